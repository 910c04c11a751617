"""TCP of one stack: whose segment it is, who listens, who connects."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.events import PacketDropped
from testbed.stack.lower import IcmpError, Lower, NoRoute, Path
from testbed.stack.refusals import Refused
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.machine import Machine
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import SYNCHRONIZED, Cause, State
from testbed.stack.tcp.tcb import MODULUS, Key, Tcb, unwrap
from testbed.stack.tcp.transmit import ACK, RST, SYN
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import Timestamps

__all__ = ["TcpLayer"]

_HALF: Final = MODULUS >> 1
_UNREACHABLE: Final = 3
_ABOUT_THE_PATH: Final = frozenset({3, 11, 12})
"""RFC 9293 3.9.2.2: unreachable, time exceeded, parameter problem; source quench is ignored."""
_PARAMETER_PROBLEM: Final = 12
_HARD_CODES: Final = {2: "ENOPROTOOPT", 3: "ECONNREFUSED"}
"""RFC 1122 4.2.3.9: protocol and port unreachable (and frag needed) are hard errors."""


class TcpLayer:
    """The transport that IP hands segments of protocol 6 to."""

    __slots__ = ("_lower", "_machine", "_next_port", "bad_segments", "segments_in")

    def __init__(self, lower: Lower) -> None:
        self._lower = lower
        self._machine = lower.variants.of(Machine)(lower)
        self._next_port = 0
        self.segments_in = 0
        self.bad_segments = 0

    # User calls

    def listen(
        self,
        port: int,
        now: Instant,
        address: IPv4Address | None = None,
        *,
        backlog: int | None = None,
        options: SocketOptions | None = None,
    ) -> Listener:
        """Wait for connections at ``port``; 0 takes a free one. Raises Refused EADDRINUSE."""
        if address is not None and not self._lower.is_local(address):
            raise Refused("EADDRNOTAVAIL", str(address))
        if port == 0:
            port = self.free_port(now, address)
        if self._machine.table.taken(port, address):
            raise Refused("EADDRINUSE", f"port {port}")
        limit = self._lower.config.tcp.backlog if backlog is None else max(1, backlog)
        make = self._lower.variants.of(Listener)
        listener = make(self._machine, port, address, limit, (options or SocketOptions()).copy())
        self._machine.table.listen(port, address, listener)
        return listener

    def connect(
        self,
        remote: tuple[IPv4Address, int],
        now: Instant,
        *,
        local: tuple[IPv4Address | None, int] | None = None,
        options: SocketOptions | None = None,
    ) -> Connection:
        """Send a SYN to ``remote``; the handshake goes on by itself.

        Raises Refused: ENETUNREACH, EADDRNOTAVAIL (no such local address, or no port left),
        EADDRINUSE (these four numbers have a connection).
        """
        address, port = local or (None, 0)
        there, remote_port = remote
        if address is not None and not self._lower.is_local(address):
            raise Refused("EADDRNOTAVAIL", str(address))
        if there.is_multicast or self._lower.is_broadcast(there):
            raise Refused("ENETUNREACH", f"{there} is no single host")
        try:
            path = self._lower.path(there, address)
        except NoRoute:
            raise Refused("ENETUNREACH", str(there)) from None
        if len(self._machine.table.connections) >= self._lower.config.tcp.max_connections:
            raise Refused("ENOBUFS", "too many connections")
        if port == 0:
            port = self._ephemeral(path, remote_port)
        key = (int(path.source), port, int(there), remote_port)
        if key in self._machine.table.connections:
            raise Refused("EADDRINUSE", f"{path.source}:{port} to {there}:{remote_port}")
        make = self._lower.variants.of(Connection)
        chosen = (options or SocketOptions()).copy()
        c = make(self._machine, key, path, chosen, now, passive=False)
        self._machine.factory.open(c, now)
        self._machine.table.add(c)
        self._machine.handshake.start(c, Cause.ACTIVE_OPEN, now)
        self._machine.timers.settle(c)
        return c

    def free_port(self, now: Instant, address: IPv4Address | None = None) -> int:  # noqa: ARG002
        """A dynamic port that nobody has; raises Refused EADDRINUSE."""
        low, high = self._lower.config.tcp.ephemeral
        count = high - low + 1
        start = self._lower.entropy.below(count)
        for step in range(count):
            port = low + (start + step) % count
            if not self._machine.table.port_used(port) and not self._machine.table.taken(
                port, address
            ):
                return port
        raise Refused("EADDRINUSE", "no free port")

    def _ephemeral(self, path: Path, remote_port: int) -> int:
        """RFC 6056 3.3.3, algorithm 3: a keyed offset per destination, and a counter."""
        low, high = self._lower.config.tcp.ephemeral
        count = high - low + 1
        table = self._machine.table
        here, there = int(path.source), int(path.destination)
        offset = self._machine.factory.secret(b"port", (here, 0, there, remote_port))
        for _ in range(count):
            port = low + (offset + self._next_port) % count
            self._next_port = (self._next_port + 1) % MODULUS
            if (here, port, there, remote_port) not in table.connections and not table.taken(
                port, path.source
            ):
                return port
        raise Refused("EADDRNOTAVAIL", "no free port")

    def reconfigure(self) -> None:
        """The stack's settings have changed: new connections go by them."""
        self._machine.retune()

    # Views

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections, TIME-WAIT included."""
        held = self._machine.table.connections.values()
        return tuple(c for c in held if isinstance(c, Connection))

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """All listeners."""
        return tuple(each for each in self._machine.table.listeners() if isinstance(each, Listener))

    # Transport

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """A segment came for one of the stack's addresses."""
        self.segments_in += 1
        try:
            segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
        except WireError as error:
            # TC-08: 'silence' (RFC 9293 3.1: a segment with a bad checksum is discarded).
            self._drop(error.reason, now)
            return
        key = (int(packet.dst), segment.dst_port, int(packet.src), segment.src_port)
        c = self._machine.table.connections.get(key)
        if c is None:
            self._to_listener(packet, segment, now)
            return
        if c.override is not None and c.override.ignore and c.override.ignore(segment):
            return
        if c.state is State.TIME_WAIT and self._reopens(c, segment):
            self._machine.lifecycle.move(c, Cause.REOPENED, now)
            self._to_listener(packet, segment, now, after=c.snd_nxt)
            return
        self._machine.input.segment(c, segment, now)
        self._machine.timers.settle(c)
        if c.on_change is not None:
            c.on_change(now)

    def _drop(self, reason: str, now: Instant) -> None:
        self.bad_segments += 1
        self._lower.events.add(PacketDropped(now, "tcp", reason))

    def _to_listener(
        self, packet: IPv4Packet, segment: TcpSegment, now: Instant, after: int | None = None
    ) -> None:
        if not self._lower.is_local(packet.dst) or self._no_host(packet.src):
            # RFC 9293 3.9.2.3 MUST-57, MUST-63: neither to nor from a broadcast or multicast
            # address.
            self._drop("not from one host to another", now)
            return
        listener = self._machine.table.listener(segment.dst_port, packet.dst)
        if isinstance(listener, Listener):
            listener.segment(packet, segment, now, after=after)
        elif not int(segment.flags) & RST:
            self._refuse(packet, segment, now)

    def _no_host(self, address: IPv4Address) -> bool:
        return address.is_multicast or int(address) == 0 or self._lower.is_broadcast(address)

    def _refuse(self, packet: IPv4Packet, segment: TcpSegment, now: Instant) -> None:
        try:
            path = self._lower.path(packet.src, packet.dst)
        except NoRoute:
            return
        self._machine.transmit.refuse(packet, segment, path, now)

    def _reopens(self, c: Tcb, segment: TcpSegment) -> bool:
        """Whether a SYN may end TIME-WAIT: surely newer than the old connection (RFC 6191)."""
        if int(segment.flags) & (SYN | ACK | RST) != SYN:
            return False
        if not self._lower.config.tcp.time_wait_reuse:
            return False
        stamp = segment.option(Timestamps)
        if stamp is not None and not c.ts_on and self._lower.config.tcp.timestamps:
            # RFC 6191 2: not in use before, but 'would be enabled for the new incarnation of the
            # connection, honor the incoming connection request'.
            return True
        if c.ts_on and stamp is not None and stamp.value != c.ts_recent:
            return (stamp.value - c.ts_recent) % MODULUS < _HALF
        return unwrap(segment.seq, c.rcv_nxt) > c.rcv_nxt

    # ICMP

    def _quoted(self, error: IcmpError) -> tuple[Tcb, int] | None:
        """The connection of a quoted segment, and its number there (RFC 5927 4.1)."""
        quoted = error.quoted
        header = quoted.payload
        if len(header) < 8:
            return None
        here, there = int.from_bytes(header[:2], "big"), int.from_bytes(header[2:4], "big")
        key: Key = (int(quoted.src), here, int(quoted.dst), there)
        c = self._machine.table.connections.get(key)
        if c is None:
            return None
        return c, unwrap(int.from_bytes(header[4:8], "big"), c.snd_una)

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        """An error about a segment: hard ones end the opening of a connection.

        Once connected nothing ends it (RFC 5927 5.1: treat hard errors as soft ones there). A soft
        error is what the user is told if the connection later fails (RFC 9293 3.9.2.2, SHLD-25).
        """
        found = self._quoted(error)
        if found is None or error.type not in _ABOUT_THE_PATH:
            return
        c, seq = found
        if not c.snd_una <= seq < max(c.snd_nxt, c.snd_una + 1):
            return
        name = _HARD_CODES.get(error.code) if error.type == _UNREACHABLE else None
        if name is None:
            c.soft_error = _soft_error(error)
        elif c.state in SYNCHRONIZED:
            c.soft_error = name
        else:
            self._machine.lifecycle.fail(c, Cause.GIVE_UP, name, "unreachable", now)
            if c.on_change is not None:
                c.on_change(now)

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:  # noqa: ARG002
        """RFC 5927 5.2: the quoted number must be of data in flight."""
        found = self._quoted(error)
        if found is None:
            return False
        c, seq = found
        return c.snd_una <= seq < c.snd_nxt

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:  # noqa: ARG002
        """Resend at once, in smaller segments, what the path to ``destination`` cannot carry."""
        for c in tuple(self._machine.table.connections.values()):
            if c.remote[0] == destination:
                self._machine.pathmtu.changed(c, now)
                self._machine.timers.settle(c)


def _soft_error(error: IcmpError) -> str:
    """What a user is told of it, as Linux names it."""
    if error.type == _PARAMETER_PROBLEM:
        return "EPROTO"
    return "ENETUNREACH" if error.type == _UNREACHABLE and error.code in {0, 6} else "EHOSTUNREACH"
