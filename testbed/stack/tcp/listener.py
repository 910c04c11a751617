"""LISTEN: taking SYNs in, a bounded queue of them, and cookies beyond it (RFC 4987)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.lower import NoRoute
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.machine import Machine
from testbed.stack.tcp.notices import CookieAccepted, CookieSent, SynDropped
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.owner import Owner
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import MODULUS, Key, Tcb
from testbed.stack.tcp.transmit import ACK, RST, SYN
from testbed.timing import Instant, seconds
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import SackPermitted, Timestamps, WindowScale

__all__ = ["Listener"]

_COOKIES_GOOD: Final = seconds(128)
"""So long after the queue overflowed, an ACK that comes from nowhere may carry a cookie."""


class Listener(Owner):
    """Waits for connections at one port."""

    __slots__ = (
        "_accepted",
        "_half_open",
        "_machine",
        "_overflowed_at",
        "address",
        "backlog",
        "closed",
        "on_change",
        "options",
        "port",
    )

    def __init__(
        self,
        machine: Machine,
        port: int,
        address: IPv4Address | None,
        backlog: int,
        options: SocketOptions,
    ) -> None:
        self._machine = machine
        self.port = port
        self.address = address
        self.backlog = backlog
        self.options = options
        self.closed = False
        self.on_change: Callable[[Instant], None] | None = None
        """Told when a connection can be accepted, and of what comes on it until it is."""
        self._half_open: dict[Key, Tcb] = {}
        self._accepted: deque[Tcb] = deque()
        self._overflowed_at: Instant | None = None

    # The user's side

    @property
    def state(self) -> State:
        """LISTEN, or CLOSED after ``close``."""
        return State.CLOSED if self.closed else State.LISTEN

    @property
    def readable(self) -> bool:
        """Whether a connection waits to be accepted."""
        return bool(self._accepted)

    @property
    def half_open(self) -> int:
        """Connections whose handshake is going on."""
        return len(self._half_open)

    @property
    def waiting(self) -> int:
        """Connections that wait to be accepted."""
        return len(self._accepted)

    def accept(self, now: Instant) -> Connection | None:  # noqa: ARG002 - as every call
        """The connection that has waited longest, or None."""
        while self._accepted:
            c = self._accepted.popleft()
            c.owner = None
            c.accepted = True
            if c.on_change is self.on_change:
                c.on_change = None
            if isinstance(c, Connection):
                return c
        return None

    def close(self, now: Instant) -> None:
        """Listen no more; connections that nobody has accepted are reset."""
        self.closed = True
        self._machine.table.unlisten(self.port, self.address)
        for c in (*self._half_open.values(), *self._accepted):
            self._machine.lifecycle.abort(c, now)
        self._half_open.clear()
        self._accepted.clear()

    # Owner

    def established(self, c: Tcb) -> None:
        """The handshake of ``c`` is done: it can be accepted."""
        self._half_open.pop(c.key, None)
        self._accepted.append(c)
        if c.on_change is None:
            c.on_change = self.on_change

    def lost(self, c: Tcb) -> None:
        """``c`` is gone. Once established it can be accepted all the same, as on Linux.

        Its user then reads what came and hears of the reset.
        """
        self._half_open.pop(c.key, None)

    # Segments

    def segment(
        self, packet: IPv4Packet, segment: TcpSegment, now: Instant, *, after: int | None = None
    ) -> None:
        """RFC 9293 3.10.7.2. ``after``: a new ISN must lie beyond this number (RFC 6191)."""
        flags = int(segment.flags)
        if flags & RST:  # first
            return
        if flags & ACK:  # second: 'Any acknowledgment is bad if it arrives on [...] LISTEN'
            if flags & SYN or not self._cookie(packet, segment, now):
                self._refuse(packet, segment, now)
            return
        if not flags & SYN:  # fourth
            return
        if self.has_room():
            self._open(packet, segment, now, after)
        else:
            self._overflow(packet, segment, now)

    def has_room(self) -> bool:
        """Whether another half-open connection may be held."""
        config = self._machine.lower.config.tcp
        if config.syn_cookies == "always":
            return False
        if len(self._machine.table.connections) >= config.max_connections:
            return False
        return len(self._half_open) + len(self._accepted) < self.backlog

    def _overflow(self, packet: IPv4Packet, segment: TcpSegment, now: Instant) -> None:
        policy = self._machine.lower.config.tcp.syn_cookies
        self._overflowed_at = now
        name = f"{packet.dst}:{self.port}-{packet.src}:{segment.src_port}"
        config = self._machine.lower.config.tcp
        full = len(self._machine.table.connections) >= config.max_connections
        if policy == "off" or full or len(self._accepted) >= self.backlog:
            self._machine.lifecycle.note(SynDropped(now, name))
            return
        c = self._child(packet, segment, now)
        if c is None:
            return
        number = self._machine.cookies.make(c.key, segment, now)
        self._machine.factory.open(c, now, isn=number)
        self._machine.factory.hear_syn(c, segment, now)
        transmit = self._machine.transmit
        options = transmit.syn_options(c, now, answer=True)
        if c.ts_on:
            value = self._machine.cookies.stamp(segment, transmit.clock(c, now))
            kept = Timestamps(value, c.ts_recent)
            options = tuple([kept if type(each) is Timestamps else each for each in options])
        else:  # nothing would bring them back
            options = tuple(
                [each for each in options if not isinstance(each, SackPermitted | WindowScale)]
            )
        window = transmit.window.unscaled(c)
        transmit.put(c, now, c.iss, c.rcv_nxt, SYN | ACK, window=window, options=options)
        self._machine.lifecycle.note(CookieSent(now, name))

    def _child(self, packet: IPv4Packet, segment: TcpSegment, now: Instant) -> Connection | None:
        machine = self._machine
        try:
            path = machine.lower.path(packet.src, packet.dst)
        except NoRoute:
            return None
        key = (int(packet.dst), self.port, int(packet.src), segment.src_port)
        make = machine.lower.variants.of(Connection)
        c = make(machine, key, path, self.options.copy(), now, passive=True)
        c.state = State.LISTEN
        c.owner = self
        return c

    def _open(
        self, packet: IPv4Packet, segment: TcpSegment, now: Instant, after: int | None
    ) -> None:
        machine = self._machine
        c = self._child(packet, segment, now)
        if c is None:
            return
        machine.factory.open(c, now)
        if after is not None and not 0 < (c.iss - after) % MODULUS < MODULUS >> 1:
            machine.factory.renumber(c, (after + 0x10000) % MODULUS)
        machine.factory.hear_syn(c, segment, now)
        machine.handshake.keep_early(c, segment)
        machine.table.add(c)
        self._half_open[c.key] = c
        machine.handshake.start(c, Cause.SYN, now)
        machine.timers.settle(c)

    # Cookies

    def _cookie(self, packet: IPv4Packet, segment: TcpSegment, now: Instant) -> bool:
        """Whether ``segment`` brought a cookie back; if so the connection exists now."""
        machine = self._machine
        if not self._expects_cookies(now):
            return False
        key = (int(packet.dst), self.port, int(packet.src), segment.src_port)
        kept = machine.cookies.check(key, segment, now)
        if kept is None:
            return False
        config = machine.lower.config.tcp
        full = len(machine.table.connections) >= config.max_connections
        if full or len(self._accepted) >= self.backlog:
            return True  # dropped: the peer will send again
        c = self._child(packet, segment, now)
        if c is None:
            return True
        machine.factory.open(c, now, isn=(segment.ack - 1) % MODULUS)
        syn = TcpSegment(
            segment.src_port,
            segment.dst_port,
            (segment.seq - 1) % MODULUS,
            flags=TcpFlags.SYN,
            window=segment.window,
            options=kept.options,
        )
        machine.factory.hear_syn(c, syn, now)
        if not c.ts_on:
            c.rcv_scale = -1
        machine.transmit.window.unscaled(c)
        c.snd_nxt = c.iss + 1
        c.syn_resent = True  # nobody knows when the SYN+ACK went out
        machine.table.add(c)
        machine.lifecycle.note(CookieAccepted(now, c.name))
        machine.lifecycle.move(c, Cause.SYN, now)
        machine.input.segment(c, segment, now)
        machine.timers.settle(c)
        return True

    def _expects_cookies(self, now: Instant) -> bool:
        policy = self._machine.lower.config.tcp.syn_cookies
        if policy == "always":
            return True
        overflowed = self._overflowed_at
        return policy != "off" and overflowed is not None and now - overflowed <= _COOKIES_GOOD

    def _refuse(self, packet: IPv4Packet, segment: TcpSegment, now: Instant) -> None:
        """An ACK that belongs to no connection: <SEQ=SEG.ACK><CTL=RST>."""
        try:
            path = self._machine.lower.path(packet.src, packet.dst)
        except NoRoute:
            return
        self._machine.transmit.refuse(packet, segment, path, now)
