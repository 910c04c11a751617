"""A DHCP client (RFC 2131 4.4): from no address to one, and how it is kept or given back.

``client = DhcpClient.on(stack, "eth0")``, ``client.start(now)``; then see its state and lease.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Final, Self

from testbed.errors import PlanError, WireError
from testbed.stack.refusals import Refused
from testbed.stack.services.dhcp_lease import DhcpClientConfig, DhcpLease, lease_of
from testbed.stack.services.dhcp_messages import ClientMessages
from testbed.stack.services.dhcp_states import TABLE, ClientEvent, ClientState, DhcpStateChanged
from testbed.stack.stack import Stack
from testbed.stack.udp_socket import UdpSocket
from testbed.timing import Duration, Instant, after
from testbed.wire.addresses import MacAddr
from testbed.wire.dhcp import (
    DHCP_CLIENT_PORT,
    DHCP_SERVER_PORT,
    DhcpCode,
    DhcpMessage,
    DhcpType,
)
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.udp import UdpDatagram

__all__ = ["DhcpClient", "DhcpStateChanged"]

_ALL: Final = IPv4Address("255.255.255.255")
_NONE: Final = IPv4Address(0)
_DEFAULT: Final = IPv4Network("0.0.0.0/0")
_HOLDING: Final = frozenset(
    {ClientState.CHECKING, ClientState.BOUND, ClientState.RENEWING, ClientState.REBINDING}
)


class DhcpClient:
    """The client of one interface. ``TABLE`` says what it does when; each action is a method."""

    __slots__ = (
        "_attempt",
        "_began",
        "_messages",
        "_offers",
        "_sent",
        "_socket",
        "_stack",
        "config",
        "interface",
        "lease",
        "offer",
        "on_change",
        "state",
    )

    def __init__(self, stack: Stack, interface: str, config: DhcpClientConfig) -> None:
        mac = stack.interface(interface).mac
        if mac is None:
            raise PlanError(f"{interface} has no hardware address to ask DHCP for one with")
        self._stack = stack
        made = stack.ip.variants.of(ClientMessages)
        self._messages = made(mac, config, stack.entropy)
        self._socket: UdpSocket | None = None
        self._attempt = 0
        self._began = self._sent = Instant(0)
        self._offers: list[DhcpMessage] = []
        self.interface = interface
        self.config = config
        self.state = ClientState.STOPPED
        self.offer: DhcpMessage | None = None
        """The offer that was selected."""
        self.lease: DhcpLease | None = None
        """The lease in hand; kept after release, to ask for the same address again."""
        self.on_change: Callable[[DhcpClient, Instant], None] | None = None
        """Told after each change of state."""

    @classmethod
    def on(cls, stack: Stack, interface: str, config: DhcpClientConfig | None = None) -> Self:
        """A client for an interface of ``stack``, with the stack's defects if it has any."""
        return stack.ip.variants.of(cls)(stack, interface, config or DhcpClientConfig())

    # The user's calls

    def start(self, now: Instant, *, remembered: DhcpLease | None = None) -> None:
        """Begin; with a lease remembered from before, ask to keep it (INIT-REBOOT)."""
        if self.state is not ClientState.STOPPED:
            return
        self._socket = self._stack.udp.open(
            now, port=DHCP_CLIENT_PORT, reuse=True, interface=self.interface
        )
        self._socket.broadcast = True
        self._socket.on_datagram = self._hear
        if remembered is not None and remembered.valid(now):
            self.lease = remembered
            self._enter(ClientState.INIT_REBOOT, now)
        else:
            self._enter(ClientState.INIT, now)
        wait = self._stack.entropy.between(self.config.start_min, self.config.start_max)
        self._later(Duration(wait), ClientEvent.BEGIN, now)

    def release(self, now: Instant) -> None:
        """Give the address back (RFC 2131 4.4.6), and stop."""
        if self.state in _HOLDING and self.lease is not None:
            if self.state is not ClientState.CHECKING:
                self._unicast(self._messages.release(self.lease), self.lease.server, now)
            self._remove(self.lease, now)
        self.stop(now)

    def stop(self, now: Instant) -> None:
        """Stop where it stands, without a word; the address stays."""
        self._stack.alarms.cancel(self._key())
        if self._socket is not None:
            self._socket.close(now)
            self._socket = None
        self._enter(ClientState.STOPPED, now)

    # The machine

    def happen(self, event: ClientEvent, now: Instant) -> None:
        """Do what the table has for ``event`` in this state."""
        step = TABLE.get((self.state, event))
        if step is None:
            return
        old, new = self.state, step.state
        self._enter(new, now)
        getattr(self, step.action)(now)
        if old is not new and self.on_change is not None:
            self.on_change(self, now)

    def _enter(self, state: ClientState, now: Instant) -> None:
        if state is not self.state:
            old, self.state = self.state, state
            self._stack.events.add(DhcpStateChanged(now, self.interface, old, state))

    def _key(self) -> tuple[str, str]:
        return "dhcp client", self.interface

    def _later(self, span: Duration, event: ClientEvent, now: Instant) -> None:
        self._at(after(now, max(span, Duration(0))), event)

    def _at(self, at: Instant | None, event: ClientEvent) -> None:
        if at is None:
            self._stack.alarms.cancel(self._key())
        else:
            self._stack.alarms.set(self._key(), at, lambda now: self.happen(event, now))

    def back_off(self, attempt: int) -> Duration:
        """The wait after the ``attempt``-th sending, from 1: 4, 8, 16, 32, 64 s, each +-1 s."""
        config = self.config
        span = min(config.first_retry << attempt - 1, config.last_retry)
        return Duration(span + self._stack.entropy.between(-config.jitter, config.jitter))

    def _await_answer(self, now: Instant) -> None:
        """Wait for an answer to a request, and repeat it so often."""
        self._attempt += 1
        more = self._attempt < self.config.attempts
        event = ClientEvent.RETRY if more else ClientEvent.GIVE_UP
        self._later(self.back_off(self._attempt), event, now)

    # Actions, by name in the table

    def discover(self, now: Instant) -> None:
        """Ask who is there."""
        self._messages.new_exchange()
        self._began, self._attempt = now, 0
        self.offer = None
        self._offers.clear()
        self.discover_again(now)

    def discover_again(self, now: Instant) -> None:
        """Send a DHCPDISCOVER."""
        self._attempt += 1
        self._messages.elapsed(Duration(now - self._began))
        self._broadcast(self._messages.discover(), now)
        self._later(self.back_off(self._attempt), ClientEvent.RETRY, now)

    def request(self, now: Instant) -> None:
        """Take the offer."""
        self._attempt = 0
        self.request_again(now)

    def request_again(self, now: Instant) -> None:
        """Send a DHCPREQUEST that names the server and the address."""
        if self.offer is not None:
            self._sent = now
            self._broadcast(self._messages.request(self.offer), now)
            self._await_answer(now)

    def reboot(self, now: Instant) -> None:
        """Ask to keep the address of before."""
        self._messages.new_exchange()
        self._began, self._attempt = now, 0
        self.reboot_again(now)

    def reboot_again(self, now: Instant) -> None:
        """Send a DHCPREQUEST of INIT-REBOOT."""
        if self.lease is not None:
            self._sent = now
            self._messages.elapsed(Duration(now - self._began))
            self._broadcast(self._messages.reboot(self.lease.address.ip), now)
            self._await_answer(now)

    def check(self, now: Instant) -> None:
        """See whether anybody else has the address."""

        def settle(free: bool, then: Instant) -> None:
            self.happen(ClientEvent.FREE if free else ClientEvent.TAKEN, then)

        lease = self.lease
        if lease is None:
            return
        self._at(None, ClientEvent.RETRY)
        try:
            self._stack.add_address(
                self.interface, lease.address, now, probe=self.config.probe, outcome=settle
            )
        except PlanError:  # the stack has it already, by hand
            self.happen(ClientEvent.FREE, now)

    def bind(self, now: Instant) -> None:
        """Use the address, or go on to, perhaps with other parameters."""
        if (lease := self.lease) is not None:
            self.configure(lease, now)
            self._at(lease.t1, ClientEvent.T1)

    def renew(self, now: Instant) -> None:
        """Ask the server that gave the address for more time."""
        self._messages.new_exchange()
        self._began = now
        self.renew_again(now)

    def renew_again(self, now: Instant) -> None:
        """Send a DHCPREQUEST to the server alone, from the address."""
        lease = self.lease
        if lease is None or lease.t2 is None:
            return
        self._sent = now
        self._messages.elapsed(Duration(now - self._began))
        self._unicast(self._messages.extension(lease.address.ip), lease.server, now)
        self._halfway(lease.t2, ClientEvent.T2, now)

    def rebind(self, now: Instant) -> None:
        """Ask any server for more time."""
        self._messages.new_exchange()
        self.rebind_again(now)

    def rebind_again(self, now: Instant) -> None:
        """Send a DHCPREQUEST to all, from the address."""
        lease = self.lease
        if lease is None or lease.expires is None:
            return
        self._sent = now
        self._messages.elapsed(Duration(now - self._began))
        message = self._messages.extension(lease.address.ip)
        self._broadcast(message, now, source=lease.address.ip)
        self._halfway(lease.expires, ClientEvent.EXPIRED, now)

    def _halfway(self, end: Instant, at_end: ClientEvent, now: Instant) -> None:
        """4.4.5: "wait one-half of the remaining time [...], down to a minimum of 60 seconds"."""
        retry = after(now, Duration(max((end - now) // 2, self.config.least_renewal)))
        if retry < end:
            self._at(retry, ClientEvent.RETRY)
        else:
            self._at(end, at_end)

    def decline(self, now: Instant) -> None:
        """Tell the server that the address is somebody else's, and start over after a while."""
        lease, self.lease = self.lease, None
        if lease is not None:
            self._remove(lease, now)
            self._broadcast(self._messages.decline(lease), now)
        self._later(self.config.decline_wait, ClientEvent.BEGIN, now)

    def start_over(self, now: Instant) -> None:
        """Nothing came of it: begin again at once."""
        self.lease = None
        self._later(Duration(0), ClientEvent.BEGIN, now)

    def halt(self, now: Instant) -> None:
        """The lease is over: "halt network" (figure 5), and begin again."""
        self._remove(self.lease, now)
        self.start_over(now)

    # What a lease changes in the stack

    def configure(self, lease: DhcpLease, now: Instant) -> None:
        """Set the routes that came with ``lease``; RFC 3442: 121 in place of 3."""
        routes = lease.routes or tuple((_DEFAULT, router) for router in lease.routers[:1])
        for network, router in routes:
            self._stack.remove_route(network, via=router, now=now)
            via, link = (router, None) if int(router) else (None, self.interface)
            try:
                self._stack.add_route(network, via=via, interface=link, now=now)
            except Refused:
                continue  # a router that is on no link: nothing can be sent to it

    def _remove(self, lease: DhcpLease | None, now: Instant) -> None:
        """Take away all that ``lease`` put into the stack."""
        if lease is None:
            return
        for network, router in (*lease.routes, *((_DEFAULT, each) for each in lease.routers[:1])):
            self._stack.remove_route(network, via=router, now=now)
        self._stack.remove_address(self.interface, lease.address, now)

    # Messages out

    def _broadcast(
        self, message: DhcpMessage, now: Instant, *, source: IPv4Address = _NONE
    ) -> None:
        """Send to all, from 0.0.0.0 as long as there is no address (RFC 2131 4.1)."""
        datagram = UdpDatagram(DHCP_CLIENT_PORT, DHCP_SERVER_PORT, message.emit())
        packet = IPv4Packet(
            source,
            _ALL,
            IpProtocol.UDP,
            datagram.emit(source, _ALL),
            ttl=self._stack.config.ip.ttl,
            ident=self._stack.entropy.below(1 << 16),
        )
        self._stack.ip.send_raw(packet, self.interface, now, MacAddr.BROADCAST)

    def _unicast(self, message: DhcpMessage, server: IPv4Address, now: Instant) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(message.emit(), now, to=(server, DHCP_SERVER_PORT))
        except Refused:
            return  # no way to the server: as if the message were lost

    # Messages in

    def _hear(self, socket: UdpSocket, now: Instant) -> None:
        while (datagram := socket.receive()) is not None:
            try:
                message = DhcpMessage.parse(datagram.payload)
            except WireError:
                continue
            if self.is_answer(message):
                self._take(message, now)

    def is_answer(self, message: DhcpMessage) -> bool:
        """Whether a message answers this client's last one (4.4.1: xid, and whose it is)."""
        return self._messages.answered_by(message) and self.state not in {
            ClientState.STOPPED,
            ClientState.INIT,
            ClientState.CHECKING,
        }

    def _take(self, message: DhcpMessage, now: Instant) -> None:
        kind = message.type
        if kind == DhcpType.OFFER and self.state is ClientState.SELECTING:
            self._take_offer(message, now)
        elif kind == DhcpType.NAK and self._from_server(message):
            self.happen(ClientEvent.NAK, now)
        elif kind == DhcpType.ACK and self._from_server(message):
            self._take_ack(message, now)

    def _from_server(self, message: DhcpMessage) -> bool:
        """While requesting, only the server that was selected has a say."""
        if self.state is not ClientState.REQUESTING or self.offer is None:
            return True
        server = message.get(DhcpCode.SERVER_ID)
        return server is None or server == self.offer.get(DhcpCode.SERVER_ID)

    def _take_offer(self, message: DhcpMessage, now: Instant) -> None:
        if message.get(DhcpCode.SERVER_ID) is None or not int(message.yiaddr):
            return
        self._offers.append(message)
        if not self.config.offer_wait:
            self._choose(now)
        elif len(self._offers) == 1:
            at = after(now, self.config.offer_wait)
            self._stack.alarms.set(self._key(), at, self._choose)

    def _choose(self, now: Instant) -> None:
        self.offer = self.select(tuple(self._offers))
        self.happen(ClientEvent.CHOSEN, now)

    def select(self, offers: tuple[DhcpMessage, ...]) -> DhcpMessage:
        """Which offer to take: one of the address that was asked for, else the first."""
        wanted = self.config.requested
        return next((offer for offer in offers if offer.yiaddr == wanted), offers[0])

    def _take_ack(self, message: DhcpMessage, now: Instant) -> None:
        known = self.lease.server if self.lease is not None else None
        lease = lease_of(message, self._sent, known)
        if lease is None:
            return
        if self.state in {ClientState.REQUESTING, ClientState.REBOOTING}:
            self._remove(self.lease, now)
        elif self.lease is not None and lease.address.ip != self.lease.address.ip:
            return  # an extension is of the address in use
        self.lease = lease
        self.happen(ClientEvent.ACK, now)
