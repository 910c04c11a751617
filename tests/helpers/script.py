"""Scripts with exact segments at exact times, in the notation of packetdrill.

::

    s = Script(StackConfig.of(tcp={"timestamps": False}))
    s.connect()                                            # a socket call, at +0
    s.out("S 0:0(0) win 65535 <mss 1460,sackOK,wscale 3>")
    s.into("S. 0:0(0) ack 1 win 8000 <mss 1000>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.out("P. 1:1001(1000) ack 1", after=0.2)           # exactly 200 ms later, nothing before
    s.quiet(5)

Numbers count from each side's initial one. What is not named is not looked at, but for flags,
numbers and length. Every segment that the stack sends must be expected, in order, to the
nanosecond.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

from testbed.stack.config import StackConfig
from testbed.stack.sockets import SocketApi, StreamSocket
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant, after, format_duration, seconds
from testbed.wire import (
    MSS,
    IpProtocol,
    IPv4Packet,
    Sack,
    SackPermitted,
    TcpFlags,
    TcpSegment,
    Timestamps,
    WindowScale,
)

__all__ = ["Script"]

US, THEM = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
PEER_ISN = 1_000_000
MASK = 0xFFFFFFFF
FLAGS = {
    "F": TcpFlags.FIN,
    "S": TcpFlags.SYN,
    "R": TcpFlags.RST,
    "P": TcpFlags.PSH,
    ".": TcpFlags.ACK,
    "U": TcpFlags.URG,
}
LINE = re.compile(
    r"(?P<flags>[FSRPU.]+) (?P<seq>\d+):(?P<end>\d+)\((?P<size>\d+)\)"
    r"(?: ack (?P<ack>\d+))?(?: win (?P<win>\d+))?(?: urg (?P<urg>\d+))?(?: <(?P<options>[^>]*)>)?$"
)


class Script:
    """One stack, one connection, and a peer that is this script."""

    def __init__(self, config: StackConfig | None = None, *, mtu: int = 1500) -> None:
        self.now = Instant(seconds(1000))
        self.start = self.now
        self.stack = Stack(config or StackConfig(), seed=1, name="scripted")
        self.stack.add_interface("tun0", mtu=mtu)
        self.stack.add_address("tun0", IPv4Interface(f"{US}/24"), self.now)
        self.api = SocketApi(self.stack, lambda: self.now)
        self.sent: deque[tuple[Instant, IPv4Packet]] = deque()
        self.iss: int | None = None
        self.port = 80
        self.peer_port = 8080
        self.socket: StreamSocket = self.api.stream()
        self.socket.setblocking(False)
        self.passive = False

    # Calls

    def connect(self) -> None:
        """Open actively; the SYN is to be expected."""
        assert self.socket.connect_ex((str(THEM), self.peer_port)) != 0

    def listen(self) -> None:
        """Open passively; the peer's SYN is to be given."""
        self.socket.bind(("", self.port))
        self.socket.listen()
        self.passive = True

    def accept(self) -> StreamSocket:
        """The connection that the peer opened; from now on it is ``socket``."""
        self.socket, _ = self.socket.accept()
        self.socket.setblocking(False)
        return self.socket

    # The timeline

    def pass_time(self, span: float) -> None:
        """Let timers fire, each at its own time."""
        end = after(self.now, seconds(span))
        self._collect()
        while (due := self.stack.poll_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.stack.handle_timeout(self.now)
            self._collect()
        self.now = end

    def into(self, line: str, *, after: float = 0, **fields: object) -> None:
        """Give the stack a segment."""
        self.pass_time(after)
        segment = replace(self._segment(line), **fields)
        packet = IPv4Packet(THEM, US, IpProtocol.TCP, segment.emit(THEM, US))
        self.stack.receive(packet.emit(), self.now)
        self._collect()

    def give(self, packet: IPv4Packet, *, after: float = 0) -> None:
        """Give the stack any packet, such as an ICMP error."""
        self.pass_time(after)
        self.stack.receive(packet.emit(), self.now)
        self._collect()

    def out(self, line: str, *, after: float = 0) -> TcpSegment:
        """The stack's next segment, sent ``after`` seconds from now and not before."""
        self.pass_time(after)
        assert self.sent, f"nothing was sent at {self._at(self.now)}; expected {line}"
        at, packet = self.sent.popleft()
        segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
        if self.iss is None and segment.flags & TcpFlags.SYN:
            self.iss = segment.seq
            if not self.passive:
                self.port = segment.src_port
        assert self._text(segment, line) == line, f"sent at {self._at(at)}: {segment}"
        assert at == self.now, f"{line}: sent at {self._at(at)}, expected {self._at(self.now)}"
        return segment

    def quiet(self, span: float = 0) -> None:
        """Nothing more is sent for so long."""
        self.pass_time(span)
        told = [self._text(TcpSegment.parse(p.payload, p.src, p.dst), "") for _, p in self.sent]
        assert not told, f"sent by {self._at(self.now)} though nothing was due: {told}"

    # Notation

    def _segment(self, line: str) -> TcpSegment:
        found = LINE.match(line)
        assert found, f"no segment: {line!r}"
        seq, end, size = (int(found[name]) for name in ("seq", "end", "size"))
        assert end - seq == size, line
        flags = TcpFlags(sum(FLAGS[each] for each in found["flags"]))
        return TcpSegment(
            self.peer_port,
            self.port,
            (PEER_ISN + seq) & MASK,
            ((self.iss or 0) + int(found["ack"])) & MASK if found["ack"] else 0,
            flags,
            int(found["win"] or 65535),
            int(found["urg"] or 0),
            self._options(found["options"] or ""),
            bytes(size),
        )

    def _options(self, text: str) -> tuple[object, ...]:
        options: list[object] = []
        for word in filter(None, (part.strip() for part in text.split(","))):
            name, *rest = word.split()
            match name:
                case "mss":
                    options.append(MSS(int(rest[0])))
                case "sackOK":
                    options.append(SackPermitted())
                case "wscale":
                    options.append(WindowScale(int(rest[0])))
                case "TS":
                    options.append(Timestamps(int(rest[1]), int(rest[3])))
                case "sack":
                    edges = [tuple(map(int, each.split(":"))) for each in rest]
                    iss = self.iss or 0
                    blocks = tuple(((iss + a) & MASK, (iss + b) & MASK) for a, b in edges)
                    options.append(Sack(blocks))
                case "nop" | "eol":
                    pass
                case other:
                    raise AssertionError(f"no option: {other}")
        return tuple(options)

    def _text(self, segment: TcpSegment, like: str) -> str:
        """A segment as a line, as far as ``like`` names what it has."""
        iss = self.iss or 0
        flags = "".join(letter for letter in "FSRPU." if FLAGS[letter] & segment.flags)
        seq = (segment.seq - iss) & MASK
        size = len(segment.payload)
        text = f"{flags} {seq}:{seq + size}({size})"
        if segment.flags & TcpFlags.ACK:
            text += f" ack {(segment.ack - PEER_ISN) & MASK}"
        if " win " in like:
            text += f" win {segment.window}"
        if " urg " in like:
            text += f" urg {segment.urgent}"
        if "<" in like:
            text += f" <{','.join(self._told(each) for each in segment.options)}>"
        return text

    def _told(self, option: object) -> str:
        match option:
            case MSS(value):
                return f"mss {value}"
            case SackPermitted():
                return "sackOK"
            case WindowScale(shift):
                return f"wscale {shift}"
            case Timestamps(value, echo):
                return f"TS val {value} ecr {echo}"
            case Sack(blocks):
                edges = [f"{(a - PEER_ISN) & MASK}:{(b - PEER_ISN) & MASK}" for a, b in blocks]
                return f"sack {' '.join(edges)}"
        return str(option)

    def _collect(self) -> None:
        while (out := self.stack.poll_transmit(self.now)) is not None:
            self.sent.append((self.now, IPv4Packet.parse(out.frame)))

    def _at(self, at: Instant) -> str:
        return f"+{format_duration(Duration(at - self.start))}"
