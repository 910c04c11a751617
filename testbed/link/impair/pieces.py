"""A fault of fragments: cut up otherwise, out of order, some left out, some over each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from testbed.errors import PlanError, WireError
from testbed.link.impair.late import MAX_HOLD
from testbed.link.impair.select import Selector, any_frame, describe, seeded
from testbed.link.impair.stage import Stage
from testbed.timing import Duration, Instant, after
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.fragment import fragment, reassemble
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["Fragments"]

_HEADER = 20


@dataclass(slots=True, eq=False)
class _Pending:
    """Fragments of one packet, as they came, until all are there or ``until``."""

    until: Instant
    frames: list[bytes] = field(default_factory=list)
    packets: list[IPv4Packet] = field(default_factory=list)


class Fragments(Stage):
    """Sends the IPv4 packets that ``which`` selects as other fragments than they would be.

    ``which`` is asked of whole packets: fragments wait until the last one is there, for
    ``max_hold`` at most. ``mtu`` is the size to cut them to, header included; with None a packet
    that came whole stays so, and none of the others is larger than what came. DF is cleared where
    a packet is cut.

    Fragments are numbered from 1 by their offset. Each but the first begins ``overlap`` bytes early
    (a multiple of 8), with the bytes that were there already, or with ``filler`` in their place,
    one byte over and over. Those in ``omit`` are not sent. The others leave in ``order``,
    those that it does not name behind, or shuffled by the seed ``shuffle``.
    """

    def __init__(
        self,
        which: Selector = any_frame,
        *,
        mtu: int | None = None,
        overlap: int = 0,
        filler: bytes | None = None,
        omit: Collection[int] = (),
        order: Sequence[int] = (),
        shuffle: int | None = None,
        max_hold: Duration = MAX_HOLD,
    ) -> None:
        super().__init__()
        if mtu is not None and mtu - overlap < _HEADER + 8:
            raise PlanError(f"an MTU of {mtu} has no room for 8 bytes beside the overlap")
        if overlap < 0 or overlap % 8:
            raise PlanError(f"fragments begin at multiples of 8 bytes, got an overlap of {overlap}")
        if filler is not None and len(filler) != 1:
            raise PlanError(f"a filler is one byte, got {len(filler)}")
        if order and shuffle is not None:
            raise PlanError("fragments leave in an order, or shuffled, and not both")
        if min((*omit, *order), default=1) < 1 or len(set(order)) != len(order):
            raise PlanError("fragments are numbered from 1, each once")
        self.which = which
        self.mtu = mtu
        self.overlap = overlap
        self.filler = filler
        self.omit = frozenset(omit)
        self.order = tuple(order)
        self.max_hold = max_hold
        self._luck = None if shuffle is None else seeded(shuffle)
        self._pending: dict[tuple[object, ...], _Pending] = {}

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame as it came, nothing while others of its packet are to come, or the pieces."""
        out = list(self.due(now))
        outer, packet = _ipv4_in(frame)
        if outer is None or packet is None:
            return [*out, frame]
        if not packet.mf and not packet.offset:
            alone = _Pending(now, [frame], [packet])
            return [*out, *self._pieces(outer, packet, alone, now)]
        key = (packet.src, packet.dst, packet.protocol, packet.ident)
        pending = self._pending.setdefault(key, _Pending(after(now, self.max_hold)))
        pending.frames.append(frame)
        pending.packets.append(packet)
        try:
            whole = reassemble(pending.packets)
        except WireError:
            return out  # more are to come
        del self._pending[key]
        return [*out, *self._pieces(outer, whole, pending, now)]

    def due(self, now: Instant) -> Sequence[bytes]:
        """Fragments whose packet did not become whole in time, as they came."""
        late = [key for key, pending in self._pending.items() if pending.until <= now]
        return [frame for key in late for frame in self._pending.pop(key).frames]

    def next_deadline(self) -> Instant | None:
        """When fragments that wait for others go on without."""
        return min((pending.until for pending in self._pending.values()), default=None)

    def flush(self, now: Instant) -> Sequence[bytes]:
        """All that wait, as they came."""
        del now
        kept = [frame for pending in self._pending.values() for frame in pending.frames]
        self._pending.clear()
        return kept

    def _pieces(
        self, outer: EthFrame, whole: IPv4Packet, came: _Pending, now: Instant
    ) -> Sequence[bytes]:
        """What is sent in place of the frames that came, which make up ``whole``."""
        told = replace(outer, payload=whole.emit()).emit() if came.packets[1:] else came.frames[0]
        if not self.which(told):
            return came.frames
        parts = tuple(sorted(came.packets, key=lambda part: part.offset))
        mtu = self.mtu or max(part.total_length for part in parts)
        if whole.total_length <= mtu:
            return came.frames if len(parts) == 1 else (told,)
        if self.mtu is not None or self.overlap:
            parts = _cut(whole, mtu - self.overlap)
        sent = self._turns(len(parts))
        pieces = [self._early(part, whole) if part.offset else part for part in parts]
        names = " ".join(str(turn) for turn in sent) or "none"
        note = f"as fragments {names} of {len(parts)}"
        note += f", each {self.overlap} bytes early" if self.overlap else ""
        self.log.add(now, "modify", told, f"{note}, {describe(self.which)}")
        return [replace(outer, payload=pieces[turn - 1].emit()).emit(pad=True) for turn in sent]

    def _turns(self, count: int) -> list[int]:
        """The numbers of the fragments to send, in the order in which they leave."""
        named = [turn for turn in self.order if turn <= count]
        turns = [*named, *(turn for turn in range(1, count + 1) if turn not in named)]
        if self._luck is not None:
            self._luck.shuffle(turns)
        return [turn for turn in turns if turn not in self.omit]

    def _early(self, part: IPv4Packet, whole: IPv4Packet) -> IPv4Packet:
        start = max(0, part.offset - self.overlap)
        before = whole.payload[start : part.offset]
        if self.filler is not None:
            before = self.filler * len(before)
        return replace(part, offset=start, payload=before + part.payload)


def _cut(whole: IPv4Packet, mtu: int) -> tuple[IPv4Packet, ...]:
    try:
        return fragment(replace(whole, df=False), mtu)
    except WireError as error:
        raise PlanError(f"a packet cannot be cut into fragments as wished: {error}") from error


def _ipv4_in(frame: bytes) -> tuple[EthFrame | None, IPv4Packet | None]:
    try:
        outer = EthFrame.parse(frame)
        if outer.ethertype != EtherType.IPV4:
            return None, None
        return outer, IPv4Packet.parse(outer.payload)
    except WireError:
        return None, None
