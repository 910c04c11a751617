"""A DHCP server (RFC 2131 4.3): one socket, any number of subnets, relays welcome.

::

    subnet = DhcpSubnet(IPv4Network("10.0.0.0/24"), IPv4Address("10.0.0.100"), ...)
    server = DhcpServer.on(stack, "eth0", DhcpServerConfig((subnet,)), now)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, Self

from testbed.errors import WireError
from testbed.stack.events import Event
from testbed.stack.lower import NoRoute
from testbed.stack.refusals import Refused
from testbed.stack.services.dhcp_pool import Binding, BindingState, DhcpServerConfig, Pool
from testbed.stack.services.dhcp_replies import ServerReplies
from testbed.stack.stack import Stack
from testbed.stack.udp_socket import UdpSocket
from testbed.timing import Instant, after, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.dhcp import (
    DHCP_CLIENT_PORT,
    DHCP_SERVER_PORT,
    DhcpCode,
    DhcpMessage,
    DhcpOp,
    DhcpType,
)
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import EchoReply, EchoRequest, Icmpv4
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.udp import UdpDatagram

__all__ = ["AddressInUse", "DhcpServer", "LeaseGranted"]

_ALL: Final = IPv4Address("255.255.255.255")
_INFINITE: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class LeaseGranted(Event):
    """A client has an address; ``client`` is its identifier, or 1 and its MAC."""

    address: IPv4Address
    client: bytes
    seconds: int


@dataclass(frozen=True, slots=True)
class AddressInUse(Event):
    """An address that was to be given out is somebody's: it answered a ping, or was declined."""

    address: IPv4Address
    declined: bool


@dataclass(slots=True)
class _Pending:
    """A client that waits for an offer while an address is pinged."""

    message: DhcpMessage
    pool: Pool
    address: IPv4Address
    tries: int


class DhcpServer:
    """The server of one interface. Each decision is a method of its own."""

    __slots__ = (
        "_ident",
        "_pending",
        "_replies",
        "_sequence",
        "_socket",
        "_stack",
        "address",
        "config",
        "interface",
        "pools",
    )

    def __init__(
        self, stack: Stack, interface: str, config: DhcpServerConfig, now: Instant
    ) -> None:
        own = stack.interface(interface).addresses
        if not own:
            raise Refused("EADDRNOTAVAIL", f"{interface} has no address to serve DHCP from")
        self._stack = stack
        self.interface = interface
        self.config = config
        self.address = own[0].ip
        """What clients know the server by."""
        variants = stack.ip.variants
        self.pools = tuple(variants.of(Pool)(subnet) for subnet in config.subnets)
        self._replies = variants.of(ServerReplies)(config, self.address)
        self._pending: dict[bytes, _Pending] = {}
        self._ident = stack.entropy.below(1 << 16)
        self._sequence = 0
        self._socket = stack.udp.open(now, port=DHCP_SERVER_PORT, reuse=True, interface=interface)
        self._socket.broadcast = True
        self._socket.on_datagram = self._hear
        stack.icmp.listen(IcmpType.ECHO_REPLY, self._hear_echo)

    @classmethod
    def on(cls, stack: Stack, interface: str, config: DhcpServerConfig, now: Instant) -> Self:
        """A server on an interface of ``stack``, with the stack's defects if it has any."""
        return stack.ip.variants.of(cls)(stack, interface, config, now)

    def close(self, now: Instant) -> None:
        """Serve no more."""
        for pending in self._pending.values():
            self._stack.alarms.cancel(self._key(pending.address))
        self._pending.clear()
        self._stack.icmp.unlisten(IcmpType.ECHO_REPLY, self._hear_echo)
        self._socket.close(now)

    @property
    def leases(self) -> tuple[Binding, ...]:
        """What is leased, or was: see each binding's ``until``."""
        return tuple(
            each for pool in self.pools for each in pool if each.state is BindingState.LEASED
        )

    # Messages in

    def _hear(self, socket: UdpSocket, now: Instant) -> None:
        for message in self._messages(socket):
            if message.op != DhcpOp.REQUEST or not self._stack.answers.dhcp:
                continue
            pool = self.pool_for(message)
            if pool is None:
                continue
            if message.type == DhcpType.DISCOVER:
                self.on_discover(message, pool, now)
            elif message.type == DhcpType.REQUEST:
                self.on_request(message, pool, now)
            elif message.type == DhcpType.DECLINE:
                self.on_decline(message, pool, now)
            elif message.type == DhcpType.RELEASE:
                self.on_release(message, pool, now)
            elif message.type == DhcpType.INFORM:
                self.on_inform(message, pool, now)

    def _messages(self, socket: UdpSocket) -> Iterator[DhcpMessage]:
        while (datagram := socket.receive()) is not None:
            try:
                yield DhcpMessage.parse(datagram.payload)
            except WireError:
                continue

    def pool_for(self, message: DhcpMessage) -> Pool | None:
        """The subnet of the relay, of the client while it has an address, or of this interface.

        None where there is no pool for it.
        """
        where = message.giaddr if int(message.giaddr) else message.ciaddr
        if not int(where):
            where = self.address
        return next((pool for pool in self.pools if where in pool.subnet.network), None)

    # DISCOVER

    def on_discover(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """Find an address, see that nobody uses it, offer it."""
        waiting = self._pending.get(message.client_key)
        if waiting is not None:
            waiting.message = message
            return
        self._try(message, pool, 0, now)

    def _try(self, message: DhcpMessage, pool: Pool, tries: int, now: Instant) -> None:
        client = message.client_key
        wanted = message.get(DhcpCode.REQUESTED_ADDRESS)
        address = pool.choose(client, wanted, now)
        if address is None or tries >= self.config.ping_limit:
            return
        held = pool.of(client)
        known = held is not None and held.address == address and held.active(now)
        if known or not self.config.ping:
            self.offer(message, pool, address, now)
            return
        pool.offer(address, client, after(now, self.config.offer_time))
        self._pending[client] = _Pending(message, pool, address, tries + 1)
        self.ping(address, now)
        at = after(now, self.config.ping_wait)
        self._stack.alarms.set(self._key(address), at, lambda then: self._silent(client, then))

    def _key(self, address: IPv4Address) -> tuple[str, int, IPv4Address]:
        return "dhcp ping", id(self), address

    def ping(self, address: IPv4Address, now: Instant) -> None:
        """See whether anybody answers at ``address``."""
        self._sequence = self._sequence + 1 & 0xFFFF
        message = EchoRequest(self._ident, self._sequence, b"is anybody there?")
        try:
            path = self._stack.ip.path(address, self.address, now=now)
        except NoRoute:
            return
        path.send(message.emit(), IpProtocol.ICMP, now, df=False)

    def _silent(self, client: bytes, now: Instant) -> None:
        pending = self._pending.pop(client, None)
        if pending is not None:
            self.offer(pending.message, pending.pool, pending.address, now)

    def _hear_echo(self, packet: IPv4Packet, message: Icmpv4, now: Instant) -> None:
        if not isinstance(message, EchoReply) or message.ident != self._ident:
            return
        for client, pending in tuple(self._pending.items()):
            if pending.address == packet.src:
                del self._pending[client]
                self._stack.alarms.cancel(self._key(pending.address))
                self.in_use(pending.address, pending.pool, now, declined=False)
                self._try(pending.message, pending.pool, pending.tries, now)

    def in_use(self, address: IPv4Address, pool: Pool, now: Instant, *, declined: bool) -> None:
        """Somebody has ``address`` who did not get it here: leave it alone for a while."""
        pool.quarantine(address, now, self.config.quarantine)
        self._stack.events.add(AddressInUse(now, address, declined))

    def offer(self, message: DhcpMessage, pool: Pool, address: IPv4Address, now: Instant) -> None:
        """Offer ``address``, and keep it for the client for a while."""
        pool.offer(address, message.client_key, after(now, self.config.offer_time))
        self._send(self._replies.offer(message, pool, address), message, now)

    # REQUEST

    def on_request(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """4.3.2: which of four kinds it is, its fields tell."""
        server = message.get(DhcpCode.SERVER_ID)
        if server is not None:
            self.on_selecting(message, pool, server, now)
        elif int(message.ciaddr):
            self.on_extension(message, pool, now)
        else:
            self.on_reboot(message, pool, now)

    def on_selecting(
        self, message: DhcpMessage, pool: Pool, server: IPv4Address, now: Instant
    ) -> None:
        """The client takes an offer: this server's, or not."""
        client = message.client_key
        if server != self.address:
            held = pool.of(client)
            if held is not None and held.state is BindingState.OFFERED:
                pool.free(client, now)
            return
        wanted = message.get(DhcpCode.REQUESTED_ADDRESS)
        if wanted is not None and pool.is_free(wanted, client, now) and pool.of(client):
            self.grant(message, pool, wanted, now)
        else:
            self.refuse(message, "address not offered", now)

    def on_reboot(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """The client asks to keep an address.

        4.3.2: "If the DHCP server has no record of this client, then it MUST remain silent"; if the
        address is wrong for the network, a DHCPNAK.
        """
        client = message.client_key
        wanted = message.get(DhcpCode.REQUESTED_ADDRESS)
        if wanted is None:
            return
        if wanted not in pool.subnet.network:
            self.refuse(message, "wrong network", now)
            return
        known = pool.of(client)
        own = pool.subnet.fixed_for(client)
        if known is None and own is None:
            return
        if pool.is_free(wanted, client, now) and wanted in (own, known and known.address):
            self.grant(message, pool, wanted, now)
        else:
            self.refuse(message, "not your address", now)

    def on_extension(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """The client renews or rebinds: more time, unless the address is another's by now."""
        client = message.client_key
        known = pool.of(client)
        ours = known is not None and known.address == message.ciaddr
        if ours and pool.is_free(message.ciaddr, client, now):
            self.grant(message, pool, message.ciaddr, now)
        elif known is not None or pool.at(message.ciaddr) is not None:
            self.refuse(message, "not your address", now)

    def grant(self, message: DhcpMessage, pool: Pool, address: IPv4Address, now: Instant) -> None:
        """Give the address, or more time with it."""
        client = message.client_key
        length = self._replies.lease_time(message)
        pool.lease(address, client, None if length == _INFINITE else after(now, seconds(length)))
        self._stack.events.add(LeaseGranted(now, address, client, length))
        self._send(self._replies.ack(message, pool, address), message, now)

    def refuse(self, message: DhcpMessage, why: str, now: Instant) -> None:
        """Send a DHCPNAK."""
        if self.config.authoritative:
            self._send(self._replies.nak(message, why), message, now)

    # The rest

    def on_decline(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """The client found the address in use (4.3.3)."""
        address = message.get(DhcpCode.REQUESTED_ADDRESS)
        held = None if address is None else pool.at(address)
        mine = message.get(DhcpCode.SERVER_ID) in (None, self.address)
        if held is not None and mine and held.client == message.client_key:
            self.in_use(held.address, pool, now, declined=True)

    def on_release(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """The client gives its address back (4.3.4); it is remembered."""
        held = pool.at(message.ciaddr)
        mine = message.get(DhcpCode.SERVER_ID) in (None, self.address)
        if held is not None and mine and held.client == message.client_key:
            pool.free(held.client, now)

    def on_inform(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        """The client has an address, and wants to know the rest (4.3.5)."""
        self._send(self._replies.inform(message, pool), message, now)

    # Messages out

    def _send(self, reply: DhcpMessage, message: DhcpMessage, now: Instant) -> None:
        """To where RFC 2131 4.1 says: the relay, all, or the client alone."""
        data = reply.emit(limit=self._replies.limit(message))
        if int(message.giaddr):
            self._to(data, message.giaddr, DHCP_SERVER_PORT, now)
        elif reply.type == DhcpType.NAK:
            self._to(data, _ALL, DHCP_CLIENT_PORT, now)
        elif int(message.ciaddr):
            self._to(data, message.ciaddr, DHCP_CLIENT_PORT, now)
        elif message.broadcast:
            self._to(data, _ALL, DHCP_CLIENT_PORT, now)
        else:
            self._to_new(data, reply.yiaddr, message.client, now)

    def _to(self, data: bytes, address: IPv4Address, port: int, now: Instant) -> None:
        try:
            self._socket.send(data, now, to=(address, port))
        except Refused:
            return  # no way there: as if the answer were lost

    def _to_new(self, data: bytes, address: IPv4Address, mac: MacAddr, now: Instant) -> None:
        """Unicast to yiaddr, by the client's hardware address (4.1): it cannot answer ARP yet."""
        datagram = UdpDatagram(DHCP_SERVER_PORT, DHCP_CLIENT_PORT, data)
        payload = datagram.emit(self.address, address)
        ident = self._stack.entropy.below(1 << 16)
        ttl = self._stack.config.ip.ttl
        packet = IPv4Packet(self.address, address, IpProtocol.UDP, payload, ttl=ttl, ident=ident)
        self._stack.ip.send_raw(packet, self.interface, now, mac)
