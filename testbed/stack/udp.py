"""UDP (RFC 768, RFC 1122 4.1): ports, sockets, errors."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final, Protocol

from testbed.errors import WireError
from testbed.stack.config import UdpConfig
from testbed.stack.core import Core
from testbed.stack.ip import IpLayer
from testbed.stack.lower import IcmpError, NoRoute
from testbed.stack.refusals import Refused
from testbed.stack.udp_socket import Datagram, Endpoint, UdpSocket
from testbed.timing import Instant
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import UnreachableCode
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.udp import UdpDatagram

__all__ = ["Groups", "UdpLayer"]

_LARGEST: Final = 65507
"""Bytes of payload: 65535 less the headers of IP and UDP."""

_MEANINGS: Final = {
    0: "ENETUNREACH",
    1: "EHOSTUNREACH",
    2: "ENOPROTOOPT",
    3: "ECONNREFUSED",
    4: "EMSGSIZE",
    5: "EOPNOTSUPP",
    6: "ENETUNREACH",
    7: "EHOSTDOWN",
    8: "ENONET",
    9: "ENETUNREACH",
    10: "EHOSTUNREACH",
    11: "ENETUNREACH",
    12: "EHOSTUNREACH",
    13: "EHOSTUNREACH",
    14: "EHOSTUNREACH",
    15: "EHOSTUNREACH",
}
"""The errno of each code of destination unreachable, as Linux has them."""
_FATAL: Final = frozenset({2, 3, 6, 7, 8, 9, 10, 13, 14, 15})
"""Codes that a connected socket's next call fails with; the others may pass (RFC 1122 4.1.3.3)."""


class Groups(Protocol):
    """Who keeps the memberships of the stack's interfaces."""

    def join(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """One more member of ``group`` on ``interface``."""

    def leave(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """One less."""


class UdpLayer:
    """A ``Transport``: the stack's UDP sockets by their ports."""

    __slots__ = ("_core", "_groups", "_ip", "_ports", "config")

    def __init__(self, core: Core, ip: IpLayer, groups: Groups) -> None:
        self._core = core
        self._ip = ip
        self._groups = groups
        self._ports: dict[int, list[UdpSocket]] = {}
        self.config: UdpConfig = core.config.udp
        ip.register(IpProtocol.UDP, self)

    def open(
        self,
        now: Instant,  # noqa: ARG002 - every call of a user has it
        address: IPv4Address | None = None,
        port: int = 0,
        *,
        reuse: bool = False,
        interface: str | None = None,
    ) -> UdpSocket:
        """A socket; port 0 takes a free one by chance (RFC 6056 3.3.1).

        Raises Refused: EADDRINUSE, EADDRNOTAVAIL for an address that is not the stack's, nor a
        broadcast or group.
        """
        if address is not None and not int(address):
            address = None
        if address is not None and not self._bindable(address):
            raise Refused("EADDRNOTAVAIL", f"{address} is not an address of this host")
        if port and not self.is_free(address, port, reuse=reuse):
            raise Refused("EADDRINUSE", f"UDP port {port} is in use")
        port = port or self.pick_port(address)
        socket = self._core.variants.of(UdpSocket)(self, address, port)
        socket.reuse, socket.interface = reuse, interface
        self._ports.setdefault(port, []).append(socket)
        return socket

    def _bindable(self, address: IPv4Address) -> bool:
        ip = self._ip
        return ip.is_local(address) or ip.is_broadcast(address) or address.is_multicast

    def is_free(self, address: IPv4Address | None, port: int, *, reuse: bool = False) -> bool:
        """Whether a socket may have ``port``: no other has it at an address that overlaps."""
        return all(
            (reuse and other.reuse)
            or (address is not None and other.address is not None and other.address != address)
            for other in self._ports.get(port, ())
        )

    def pick_port(self, address: IPv4Address | None) -> int:
        """A free port, from a random one onward: RFC 6056 3.3.1, algorithm 1."""
        low, high = self.config.ephemeral
        count = high - low + 1
        start = self._core.entropy.below(count)
        for step in range(count):
            port = low + (start + step) % count
            if self.is_free(address, port):
                return port
        raise Refused("EADDRINUSE", "no ephemeral UDP port is free")

    # Transport

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """Take a datagram."""
        try:
            wire = self.parse(packet)
        except WireError:
            # RFC 1122 4.1.3.4: "If a UDP datagram is received with a checksum that is non-zero and
            # invalid, UDP MUST silently discard the datagram."
            self._core.drop("udp", "malformed or bad checksum", now)
            return
        arrival = self._ip.arrival
        link = arrival.interface
        datagram = Datagram(
            wire.payload,
            packet.src,
            wire.src_port,
            packet.dst,
            link.name if link is not None else None,
            now,
            packet.ttl,
            packet.tos,
        )
        takers = self.takers(datagram, wire.dst_port, arrival.to_many)
        for socket in takers:
            if not socket.deliver(datagram):
                self._core.drop("udp", "receive buffer full", now)
        if not takers:
            self._core.drop("udp", "no socket", now)
            self._ip.send_unreachable(packet, UnreachableCode.PORT, now)

    def parse(self, packet: IPv4Packet) -> UdpDatagram:
        """The datagram in ``packet``; WireError if it is not right."""
        return UdpDatagram.parse(packet.payload, packet.src, packet.dst)

    def takers(self, datagram: Datagram, port: int, many: bool) -> list[UdpSocket]:
        """Who gets ``datagram``: the socket that fits best; of one to many, all that fit."""
        fitting = [
            (score, socket)
            for socket in self._ports.get(port, ())
            if (score := socket.matches(datagram, many))
        ]
        if many:
            return [socket for _, socket in fitting]
        return [max(fitting, key=lambda each: each[0])[1]] if fitting else []

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        """Tell the socket that sent what is quoted."""
        socket = self._sender(error)
        if socket is None:
            self._core.drop("udp", "ICMP error about nothing that was sent", now)
            return
        fatal = error.type == IcmpType.DESTINATION_UNREACHABLE and error.code in _FATAL
        if fatal and socket.remote is not None:
            socket.error = Refused(_MEANINGS.get(error.code, "EHOSTUNREACH"), "reported by ICMP")
        if socket.on_error is not None:
            socket.on_error(socket, error, now)

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:
        """Whether a socket has lately sent to where the quoted datagram went."""
        socket = self._sender(error)
        if socket is None:
            return False
        if socket.remote is not None and (socket.df or socket.discover):
            socket.error = Refused("EMSGSIZE", "a router on the way has a smaller MTU")
        if socket.on_error is not None:
            socket.on_error(socket, error, now)
        return True

    def _sender(self, error: IcmpError) -> UdpSocket | None:
        quoted = error.quoted
        if quoted.offset or len(quoted.payload) < 4:
            return None
        source_port = int.from_bytes(quoted.payload[:2], "big")
        peer = quoted.dst, int.from_bytes(quoted.payload[2:4], "big")
        for socket in self._ports.get(source_port, ()):
            if socket.address in (None, quoted.src) and socket.has_sent_to(peer):
                return socket
        return None

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """UDP resends nothing; the next datagram is measured by the new size."""

    # What sockets ask

    def transmit(
        self, socket: UdpSocket, payload: bytes, to: Endpoint, now: Instant, *, df: bool
    ) -> None:
        """Send a datagram; raises Refused."""
        address, port = to
        if not port:
            raise Refused("EINVAL", "nobody has port 0")
        if len(payload) > _LARGEST:
            raise Refused("EMSGSIZE", f"{len(payload)} bytes, {_LARGEST} at most")
        if self._ip.is_broadcast(address) and not socket.broadcast:
            # RFC 1122 leaves it open; BSD's sockets ask for permission first.
            raise Refused("EACCES", f"{address} is a broadcast")
        interface, ttl = socket.interface, socket.ttl
        if address.is_multicast:
            interface, ttl = socket.multicast_interface or interface, socket.multicast_ttl
        source = socket.address
        if source is not None and not self._ip.is_local(source):
            source = None  # bound to a group or broadcast
        try:
            path = self._ip.path(address, source, interface=interface, now=now)
        except NoRoute as error:
            raise Refused("ENETUNREACH", str(error)) from None
        size, mtu = 28 + len(payload), path.mtu(now)
        if df and size > mtu:
            raise Refused("EMSGSIZE", f"a packet of {size} bytes with DF, path MTU {mtu}")
        if socket.discover:
            df = size <= mtu
        checksum = None if self.config.checksum else 0
        data = UdpDatagram(socket.port, port, payload).emit(path.source, address, checksum=checksum)
        if address.is_multicast or (socket.discover and not df):
            packet = IPv4Packet(
                path.source,
                address,
                IpProtocol.UDP,
                data,
                self._core.config.ip.ttl if ttl is None else ttl,
                df=df,
                tos=socket.tos,
            )
            way = self._ip.egress.resolve(address, path.source, now, interface)
            way.mtu = min(way.mtu, mtu)
            self._ip.egress.send(
                self._ip.egress.stamp(packet), way, now, loop=socket.multicast_loop
            )
        else:
            path.send(data, IpProtocol.UDP, now, ttl=ttl, tos=socket.tos, df=df)

    def connect(self, socket: UdpSocket, to: Endpoint, now: Instant) -> None:
        """Settle the source address and the peer; raises Refused."""
        if self._ip.is_broadcast(to[0]) and not socket.broadcast:
            raise Refused("EACCES", f"{to[0]} is a broadcast")
        try:
            path = self._ip.path(
                to[0],
                None if socket.unbound else socket.address,
                interface=socket.interface,
                now=now,
            )
        except NoRoute as error:
            raise Refused("ENETUNREACH", str(error)) from None
        socket.remote = to
        if socket.unbound:
            socket.address = path.source

    def join(self, group: IPv4Address, interface: str | None, now: Instant) -> str:
        """Join ``group``; the name of the interface on which."""
        if not group.is_multicast:
            raise Refused("EINVAL", f"{group} is no group")
        if interface is None:
            route = self._ip.routes.lookup(group, now)
            links = self._ip.egress.interfaces
            interface = route.interface if route else next(iter(links), None)
        if interface is None or interface not in self._ip.egress.interfaces:
            raise Refused("ENODEV", f"no interface {interface}")
        self._groups.join(group, interface, now)
        return interface

    def leave(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """Leave ``group``."""
        self._groups.leave(group, interface, now)

    def remove(self, socket: UdpSocket) -> None:
        """Free the socket's port."""
        held = self._ports.get(socket.port, [])
        if socket in held:
            held.remove(socket)
        if not held:
            self._ports.pop(socket.port, None)

    def __iter__(self) -> Iterator[UdpSocket]:
        return iter([socket for held in self._ports.values() for socket in held])

    def __len__(self) -> int:
        return sum(len(held) for held in self._ports.values())
