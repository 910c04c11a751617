"""One stack and, by hand, its peer: bare IP packets in and out, in virtual time.

Sequence numbers are relative: the stack's count from its ISS, the peer's from ``PEER_ISN``, so that
data starts at 1 on both sides, as in the RFC's figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.stack.tcp.options import SocketOptions
from testbed.timing import Instant, seconds
from testbed.wire import MSS, IPv4Packet, SackPermitted, TcpSegment, Timestamps, WindowScale
from testbed.wire.tcp import TcpFlags
from testbed.wire.tcp_options import Sack, TcpOption

__all__ = ["HOST", "PEER", "PEER_ISN", "Heard", "Wire", "flags_of"]

HOST = IPv4Address("10.0.0.1")
PEER = IPv4Address("10.0.0.2")
PEER_ISN = 3_000_000_000
START = Instant(1_000_000_000_000)
_M = 1 << 32
_LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}


def flags_of(letters: str) -> TcpFlags:
    return TcpFlags(sum(_LETTERS[each] for each in letters))


@dataclass(frozen=True)
class Heard:
    """A segment that the stack sent: ``at`` in ms from the start, relative numbers."""

    at: float
    flags: str
    seq: int
    ack: int
    payload: bytes
    window: int
    urgent: int
    segment: TcpSegment
    packet: IPv4Packet

    @property
    def size(self) -> int:
        return len(self.payload)

    @property
    def sack(self) -> list[tuple[int, int]]:
        option = self.segment.option(Sack)
        if option is None:
            return []
        return [((a - PEER_ISN) % _M, (b - PEER_ISN) % _M) for a, b in option.blocks]

    @property
    def stamp(self) -> Timestamps | None:
        return self.segment.option(Timestamps)

    def brief(self) -> str:
        """``flags seq:end ack``; the shape in which tests write what they expect."""
        text = f"{self.flags} {self.seq}:{self.seq + self.size}"
        return f"{text} {self.ack}" if "A" in self.flags else text


class Wire:
    """A stack at 10.0.0.1, to which the test speaks as 10.0.0.2."""

    def __init__(self, *, mtu: int = 1500, isn: int = 1000, **tcp: Any) -> None:
        settings: dict[str, Any] = {"isn": isn, "timestamps": False, "sack": False}
        settings |= {"window_scaling": False, "congestion_control": "newreno"}
        sections = {key[2:]: tcp.pop(key) for key in list(tcp) if key.startswith("x_")}
        settings |= tcp
        self.stack = Stack(StackConfig.of(tcp=settings, **sections), seed=1)
        self.now = START
        self.stack.add_interface("tun0", mtu=mtu)
        self.stack.add_address("tun0", IPv4Interface("10.0.0.1/24"), self.now)
        self.iss = isn
        self.port = 80
        self.peer_port = 5000
        self.heard: list[Heard] = []

    # Time

    @property
    def ms(self) -> float:
        return (self.now - START) / 1e6

    def run(self, ms: float) -> list[Heard]:
        """Let ``ms`` go by; what the stack sent meanwhile, with what it had sent before."""
        end = Instant(self.now + round(ms * 1e6))
        while True:
            self._drain()
            due = self.stack.poll_timeout()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.stack.handle_timeout(self.now)
        self.now = end
        return self.take()

    def take(self) -> list[Heard]:
        self._drain()
        heard, self.heard = self.heard, []
        return heard

    def briefs(self, ms: float = 0) -> list[str]:
        return [each.brief() for each in self.run(ms)]

    def one(self, ms: float = 0) -> Heard:
        """The only segment sent until then."""
        heard = self.run(ms)
        assert len(heard) == 1, [each.brief() for each in heard]
        return heard[0]

    def _drain(self) -> None:
        while (out := self.stack.poll_transmit(self.now)) is not None:
            packet = IPv4Packet.parse(out.frame)
            if packet.protocol != 6:
                continue
            segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
            flags = "".join(each for each, bit in _LETTERS.items() if segment.flags & bit)
            seq = segment.seq - self.iss if segment.seq else 0
            ack = (segment.ack - PEER_ISN) % _M if segment.flags & 16 else 0
            self.heard.append(
                Heard(
                    self.ms,
                    "".join(e for e in "SFRPUA" if e in flags),
                    seq % _M,
                    ack,
                    segment.payload,
                    segment.window,
                    segment.urgent,
                    segment,
                    packet,
                )
            )

    # The peer's segments

    def say(
        self,
        flags: str,
        seq: int = 1,
        ack: int = 1,
        payload: bytes = b"",
        *,
        window: int = 65535,
        options: tuple[TcpOption, ...] = (),
        urgent: int = 0,
        src_port: int | None = None,
        sack: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """The peer sends a segment; it arrives now."""
        if sack:
            edges = tuple(((a + self.iss) % _M, (b + self.iss) % _M) for a, b in sack)
            options = (*options, Sack(edges))
        segment = TcpSegment(
            self.peer_port if src_port is None else src_port,
            self.port,
            (PEER_ISN + seq) % _M,
            (self.iss + ack) % _M if "A" in flags else 0,
            flags_of(flags),
            window,
            urgent,
            options,
            payload,
        )
        self.raw(segment)

    def raw(self, segment: TcpSegment, source: IPv4Address = PEER) -> None:
        data = segment.emit(source, HOST)
        self.stack.receive(IPv4Packet(source, HOST, 6, data).emit(), self.now)

    # Opening

    def accept(
        self,
        *,
        options: tuple[TcpOption, ...] = (MSS(1460),),
        window: int = 65535,
        listening: SocketOptions | None = None,
        stamp: Timestamps | None = None,
    ) -> Any:
        """The peer connects; gives the stack's connection, with nothing sent left to look at."""
        listener = self.stack.tcp.listen(self.port, self.now, options=listening)
        self.listener = listener
        if stamp:
            options = (*options, stamp)
        self.say("S", 0, 0, options=options, window=window)
        answer = self.one()
        assert answer.flags == "SA", answer
        more = (Timestamps(stamp.value, answer.stamp.value),) if stamp and answer.stamp else ()
        self.say("A", 1, 1, options=more, window=window)
        connection = listener.accept(self.now)
        assert connection is not None
        self.take()
        return connection

    def connect(
        self,
        *,
        options: tuple[TcpOption, ...] = (MSS(1460),),
        window: int = 65535,
        chosen: SocketOptions | None = None,
    ) -> Any:
        """The stack connects to the peer; as ``accept``."""
        connection = self.start(chosen)
        self.take()
        self.say("SA", 0, 1, options=options, window=window)
        self.take()
        return connection

    def start(self, chosen: SocketOptions | None = None) -> Any:
        """The stack sends its SYN to port 5000 from port 80."""
        return self.stack.tcp.connect(
            (PEER, self.peer_port), self.now, local=(None, self.port), options=chosen
        )


ALL_OPTIONS: tuple[TcpOption, ...] = (MSS(1460), SackPermitted(), Timestamps(7), WindowScale(7))
MINUTE = seconds(60)
