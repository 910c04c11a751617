"""TCP connections in a trace: segments with relative numbers, and what can be told from them.

Sequence numbers are relative and do not wrap: 0 is the SYN's, 1 the first byte of the stream, as
Wireshark counts them. All of it is about what passed one point: a segment that was lost before
that point is not there, so look for retransmissions on the sender's side of the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import pairwise

from testbed.capture.expect import PointView
from testbed.capture.recording import TracedFrame
from testbed.capture.seen import look
from testbed.errors import PlanError
from testbed.timing import Duration, Instant
from testbed.wire.sequence import seq_diff
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import Sack

__all__ = [
    "Connection",
    "FlowSegment",
    "Peer",
    "Retransmission",
    "connection",
    "connections",
    "duplicate_acks",
    "payload_stream",
    "retransmissions",
    "sack_blocks",
    "transmission_gaps",
    "transmissions",
]

_SYN = int(TcpFlags.SYN)
_ACK = int(TcpFlags.ACK)
_NO_DUPLICATE = int(TcpFlags.SYN | TcpFlags.FIN | TcpFlags.RST)


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection."""

    ip: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class FlowSegment:
    """A segment of a connection, its numbers relative.

    ``ack`` is None where the ACK bit is not set. ``sack`` holds the blocks of its SACK option,
    relative too, each with its first number and the one past its end.
    """

    traced: TracedFrame
    tcp: TcpSegment
    seq: int
    ack: int | None
    sack: tuple[tuple[int, int], ...] = ()

    @property
    def end(self) -> int:
        """The sequence number after the segment."""
        return self.seq + self.tcp.span

    @property
    def payload(self) -> bytes:
        """Its part of the stream."""
        return self.tcp.payload

    @property
    def at(self) -> Instant:
        """When it was seen."""
        return self.traced.at

    @property
    def number(self) -> int:
        """The frame's number in the trace."""
        return self.traced.number


@dataclass(frozen=True, slots=True)
class Connection:
    """The segments of one connection, by direction: ``up`` from the client, ``down`` to it.

    The client is the one that sent the first SYN, or the first segment where no SYN was seen.
    """

    client: Peer
    server: Peer
    up: tuple[FlowSegment, ...]
    down: tuple[FlowSegment, ...]

    def __str__(self) -> str:
        return f"{self.client} > {self.server}"


@dataclass(frozen=True, slots=True)
class Retransmission:
    """A segment that carries sequence numbers which ``first`` had carried before."""

    segment: FlowSegment
    first: FlowSegment


_Heard = tuple[Peer, Peer, TracedFrame, TcpSegment]


def connections(seen: PointView | Iterable[TracedFrame]) -> tuple[Connection, ...]:
    """The connections of a view, or of frames of one point, in the order they began.

    Take ``view.both`` for both directions at a port of the controller. A SYN with another initial
    sequence number begins a new connection between the same ports.
    """
    return tuple(_assemble(items) for items in _by_connection(seen))


def _by_connection(seen: PointView | Iterable[TracedFrame]) -> list[list[_Heard]]:
    heard: list[list[_Heard]] = []
    current: dict[frozenset[Peer], list[_Heard]] = {}
    begun: dict[frozenset[Peer], int] = {}
    for item in _hear(seen):
        src, dst, _, tcp = item
        pair = frozenset((src, dst))
        opening = tcp.flags & (_SYN | _ACK) == _SYN
        if pair not in current or (opening and begun.get(pair, tcp.seq) != tcp.seq):
            current[pair] = []
            begun.pop(pair, None)
            heard.append(current[pair])
        if opening:
            begun[pair] = tcp.seq
        current[pair].append(item)
    return heard


def connection(
    seen: PointView | Iterable[TracedFrame],
    *,
    client: IPv4Address | None = None,
    server: IPv4Address | None = None,
    client_port: int | None = None,
    server_port: int | None = None,
) -> Connection:
    """The one connection between these; PlanError, naming them, where there is none or several."""
    every = [(*_ends(items), items) for items in _by_connection(seen)]
    found = [
        items
        for one, other, items in every
        if client in {None, one.ip}
        and server in {None, other.ip}
        and client_port in {None, one.port}
        and server_port in {None, other.port}
    ]
    if len(found) != 1:
        listed = ", ".join(f"{one} > {other}" for one, other, _ in every) or "none at all"
        raise PlanError(f"expected one TCP connection, {len(found)} are meant; seen: {listed}")
    return _assemble(found[0])


def transmissions(segments: Sequence[FlowSegment]) -> dict[int, tuple[FlowSegment, ...]]:
    """Every sending of each segment, by its first sequence number; bare ACKs are left out."""
    sent: dict[int, list[FlowSegment]] = {}
    for segment in segments:
        if segment.tcp.span:
            sent.setdefault(segment.seq, []).append(segment)
    return {seq: tuple(each) for seq, each in sent.items()}


def transmission_gaps(segments: Sequence[FlowSegment]) -> dict[int, tuple[Duration, ...]]:
    """The times between the sendings of each segment that was sent more than once."""
    return {
        seq: tuple(Duration(later.at - sooner.at) for sooner, later in pairwise(sent))
        for seq, sent in transmissions(segments).items()
        if len(sent) > 1
    }


def retransmissions(segments: Sequence[FlowSegment]) -> tuple[Retransmission, ...]:
    """The segments that carry any sequence number again.

    A keep-alive, which repeats the last number to provoke an ACK (RFC 9293 3.8.4), is none. A
    segment that came out of order carries numbers that were not seen yet and is none either.
    """
    found: list[Retransmission] = []
    sent: list[FlowSegment] = []
    highest = 0
    for segment in segments:
        if not segment.tcp.span:
            continue
        keep_alive = segment.seq == highest - 1 == segment.end - 1 and bool(segment.payload)
        if segment.seq < highest and not keep_alive:
            overlapping = (s for s in sent if s.seq < segment.end and segment.seq < s.end)
            first = next(overlapping, None)
            if first is not None:
                found.append(Retransmission(segment, first))
        sent.append(segment)
        highest = max(highest, segment.end)
    return tuple(found)


def sack_blocks(acks: Sequence[FlowSegment]) -> tuple[tuple[FlowSegment, tuple[int, int]], ...]:
    """Every SACK block in the order it was sent, with the segment that carries it."""
    return tuple((segment, block) for segment in acks for block in segment.sack)


def duplicate_acks(
    acks: Sequence[FlowSegment], data: Sequence[FlowSegment]
) -> tuple[FlowSegment, ...]:
    """The duplicates among ``acks``, which acknowledge the other direction's ``data``.

    RFC 5681 2: "(a) the receiver of the ACK has outstanding data, (b) the incoming acknowledgment
    carries no data, (c) the SYN and FIN bits are both off, (d) the acknowledgment number is equal
    to the greatest acknowledgment received on the given connection and (e) the advertised window
    [...] equals the advertised window in the last incoming acknowledgment."
    """
    found: list[FlowSegment] = []
    sent = sorted(data, key=lambda segment: segment.number)
    position = outstanding = 0
    greatest, window = -1, -1
    for segment in acks:
        while position < len(sent) and sent[position].number < segment.number:
            outstanding = max(outstanding, sent[position].end)
            position += 1
        if segment.ack is None:
            continue
        bare = not segment.payload and not segment.tcp.flags & _NO_DUPLICATE
        repeated = segment.ack == greatest and segment.tcp.window == window
        if bare and repeated and outstanding > segment.ack:
            found.append(segment)
        greatest, window = max(greatest, segment.ack), segment.tcp.window
    return tuple(found)


def payload_stream(segments: Sequence[FlowSegment]) -> bytes:
    """The stream from its first byte up to the first hole; what came first stands."""
    stream = bytearray()
    for segment in sorted(segments, key=_stream_start):
        fresh = len(stream) - (_stream_start(segment) - 1)
        if fresh < 0:
            break
        stream += segment.payload[fresh:]
    return bytes(stream)


def _stream_start(segment: FlowSegment) -> int:
    """The number of the segment's first byte of payload: a SYN comes before it."""
    return segment.seq + (1 if segment.tcp.flags & _SYN else 0)


def _hear(seen: PointView | Iterable[TracedFrame]) -> Iterable[_Heard]:
    for traced in seen.frames if isinstance(seen, PointView) else seen:
        layers = look(traced.data).layers
        if layers.ipv4 is not None and layers.tcp is not None:
            packet, tcp = layers.ipv4, layers.tcp
            src, dst = Peer(packet.src, tcp.src_port), Peer(packet.dst, tcp.dst_port)
            yield src, dst, traced, tcp


def _ends(items: list[_Heard]) -> tuple[Peer, Peer]:
    """Client and server: who sent a SYN to whom; without one, as in the first segment."""
    syn = next((item for item in items if item[3].flags & (_SYN | _ACK) == _SYN), items[0])
    return syn[0], syn[1]


def _assemble(items: list[_Heard]) -> Connection:
    client, server = _ends(items)
    origin = {peer: _origin(items, peer) for peer in (client, server)}
    ways: dict[Peer, list[FlowSegment]] = {client: [], server: []}
    reached = {client: 0, server: 0}
    for src, dst, traced, tcp in items:
        seq = _relative(tcp.seq, origin[src], reached[src])
        reached[src] = max(reached[src], seq + tcp.span)
        ack = _relative(tcp.ack, origin[dst], reached[dst]) if tcp.flags & _ACK else None
        option = tcp.option(Sack)
        sack = tuple(
            (
                _relative(left, origin[dst], reached[dst]),
                _relative(right, origin[dst], reached[dst]),
            )
            for left, right in (option.blocks if option else ())
        )
        ways[src].append(FlowSegment(traced, tcp, seq, ack, sack))
    return Connection(client, server, tuple(ways[client]), tuple(ways[server]))


def _origin(items: list[_Heard], peer: Peer) -> int:
    """The number that counts as 0: the SYN's; without one, the one before the first seen."""
    first: int | None = None
    for src, _, _, tcp in items:
        if src == peer and tcp.flags & _SYN:
            return tcp.seq
        if src == peer and first is None:
            first = tcp.seq - 1
        elif src != peer and first is None and tcp.flags & _ACK:
            first = tcp.ack - 1
    return (first or 0) & 0xFFFF_FFFF


def _relative(number: int, origin: int, near: int) -> int:
    """``number`` counted from ``origin``, in the turn of 2**32 that is closest to ``near``."""
    return near + seq_diff(number, (origin + near) & 0xFFFF_FFFF)
