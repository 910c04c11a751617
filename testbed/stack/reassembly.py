"""Putting fragments together (RFC 791 3.2, RFC 815), with bounds, timers and a named policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.config import IpConfig, OverlapPolicy
from testbed.stack.events import Event, EventLog, PacketDropped
from testbed.timing import Instant, after
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["DatagramGivenUp", "Expired", "FragmentsOverlapped", "Reassembler"]

_LARGEST: Final = 65535
_KEEPING: Final = 128
"""What a fragment costs besides its bytes: tiny ones must not fill the memory unseen."""

_NOT_ECT: Final = 0
_CE: Final = 3


@dataclass(frozen=True, slots=True)
class DatagramGivenUp(Event):
    """The fragments held of a datagram were thrown away: ``reason`` says why."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    ident: int
    reason: str


@dataclass(frozen=True, slots=True)
class FragmentsOverlapped(Event):
    """A fragment covers payload bytes that are there already; ``policy`` decides whose count."""

    source: IPv4Address
    ident: int
    offset: int
    length: int
    policy: OverlapPolicy


@dataclass(frozen=True, slots=True)
class Expired:
    """A datagram given up because its fragments did not all come in time.

    ``first`` is the fragment at offset 0 if it came, as it came: only then is time exceeded,
    code 1, sent (RFC 792), quoting it. ``held`` is how many payload bytes had come.
    """

    first: IPv4Packet | None
    held: int


class _Piece:
    """Payload bytes from ``start`` on, as they count."""

    __slots__ = ("data", "start")

    def __init__(self, start: int, data: bytes | bytearray) -> None:
        self.start = start
        self.data = data

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class _Datagram:
    """What came of one datagram. ``pieces`` are in order and do not overlap."""

    __slots__ = ("charge", "deadline", "ecn", "first", "held", "length", "pieces")

    def __init__(self, deadline: Instant) -> None:
        self.deadline = deadline
        self.pieces: list[_Piece] = []
        self.first: IPv4Packet | None = None
        self.length: int | None = None
        self.held = 0
        self.charge = 0
        self.ecn = 0

    @property
    def end(self) -> int:
        """The end of the last byte that came."""
        return self.pieces[-1].end if self.pieces else 0

    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.held == self.length and self.first is not None

    def index_after(self, offset: int) -> int:
        """Where among ``pieces`` the first one stands that ends behind ``offset``."""
        low, high = 0, len(self.pieces)
        if high and self.pieces[-1].end <= offset:
            return high
        while low < high:
            middle = (low + high) // 2
            if self.pieces[middle].end <= offset:
                low = middle + 1
            else:
                high = middle
        return low


_Keeps = Callable[[int, int], bool]

_KEEPS: Final[dict[OverlapPolicy, _Keeps]] = {
    OverlapPolicy.FIRST: lambda _held, _new: True,
    OverlapPolicy.LAST: lambda _held, _new: False,
    OverlapPolicy.BSD: lambda held, new: held <= new,
    OverlapPolicy.BSD_RIGHT: lambda held, new: held > new,
    OverlapPolicy.LINUX: lambda held, new: held < new,
}
"""Whether bytes held stay, by where their piece starts and where the new fragment starts."""


class Reassembler:
    """The incomplete datagrams of a stack, by source, destination, protocol and identification.

    Whoever receives packets gives it those that are for the stack itself, and every fragment that
    a translator is to see whole. ``expire`` is to be called at ``next_deadline``.
    """

    __slots__ = ("_config", "_datagrams", "_events", "held_bytes")

    def __init__(self, config: IpConfig, events: EventLog) -> None:
        self._config = config
        self._events = events
        # In the order of first arrival, which is that of the deadlines.
        self._datagrams: dict[int, _Datagram] = {}
        self.held_bytes = 0
        """Bytes held for all incomplete datagrams, and 128 more for the keeping of each fragment;
        at most ``IpConfig.reassembly_bytes``."""

    @property
    def held_datagrams(self) -> int:
        """Incomplete datagrams held."""
        return len(self._datagrams)

    def add(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        """Take one fragment; the whole packet once it is complete. A whole packet comes back."""
        if not packet.mf and not packet.offset:
            return packet
        if reason := self._malformed(packet):
            self._events.add(PacketDropped(now, "reassembly", reason))
            return None
        key = self._key(packet)
        held = self._datagrams.get(key)
        if held is None:
            held = self._begin(key, now)
        if reason := self._contradiction(held, packet):
            self._give_up(key, packet, reason, now)
            return None
        if not self._take(held, packet, now):
            self._give_up(key, packet, "fragments overlap", now)
            return None
        if held.whole():
            return self._complete(key, held, packet, now)
        self._make_room(now)
        return None

    def next_deadline(self) -> Instant | None:
        """When the oldest incomplete datagram is to be given up."""
        for held in self._datagrams.values():
            return held.deadline
        return None

    def expire(self, now: Instant) -> list[Expired]:
        """Give up what is due at ``now``."""
        expired: list[Expired] = []
        while self._datagrams:
            key, held = next(iter(self._datagrams.items()))
            if held.deadline > now:
                break
            self._remove(key)
            self._events.add(_given_up(key, "time-out", now))
            expired.append(Expired(held.first, held.held))
        return expired

    def _key(self, packet: IPv4Packet) -> int:
        """What belongs together: RFC 791 2.3 names these four."""
        addresses = int(packet.src) << 32 | int(packet.dst)
        return addresses << 24 | packet.protocol << 16 | packet.ident

    def _malformed(self, packet: IPv4Packet) -> str | None:
        """Why a fragment is of no use, whatever else came."""
        if not packet.payload:
            return "empty fragment"
        # "Fragments are counted in units of 8 octets" (RFC 791 3.2): what is not the last fragment
        # and has another length leaves a hole that nothing can fill.
        if packet.mf and len(packet.payload) % 8:
            return "fragment length no multiple of 8"
        return None

    def _begin(self, key: int, now: Instant) -> _Datagram:
        # RFC 1122 3.3.2: "The reassembly timeout value SHOULD be a fixed value, not set from the
        # remaining TTL"; later fragments do not extend it.
        held = _Datagram(after(now, self._config.reassembly_timeout))
        self._datagrams[key] = held
        return held

    def _contradiction(self, held: _Datagram, packet: IPv4Packet) -> str | None:
        """Why ``packet`` and what is held cannot be one datagram, or None."""
        end = packet.offset + len(packet.payload)
        if end + packet.header_length > _LARGEST:
            return "datagram longer than 65535 bytes"
        if held.length is not None and (end > held.length or (not packet.mf and end < held.length)):
            return "fragments disagree on the end"
        if not packet.mf and end < held.end:
            return "fragments disagree on the end"
        if len(held.pieces) >= self._config.reassembly_fragments:
            return "too many fragments"
        return None

    def _take(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:
        """Note the fragment's header and put its bytes in; False if the policy wants no overlap."""
        before = held.held, len(held.pieces)
        if not self._insert(held, packet, now):
            return False
        held.ecn |= 1 << packet.ecn
        if not packet.mf:
            held.length = packet.offset + len(packet.payload)
        if not packet.offset and (held.first is None or self._replaces_header()):
            held.first = packet
        grown = held.held - before[0] + _KEEPING * (len(held.pieces) - before[1])
        held.charge += grown
        self.held_bytes += grown
        return True

    def _replaces_header(self) -> bool:
        """Whether a further fragment at offset 0 brings the header (RFC 791 3.2: the latest)."""
        return self._config.overlap is OverlapPolicy.LAST

    def _insert(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:
        """Put the fragment's bytes among the pieces, as the policy has it."""
        start, end = packet.offset, packet.offset + len(packet.payload)
        at = held.index_after(start)
        if at == len(held.pieces) or held.pieces[at].start >= end:
            self._insert_between(held, at, packet)
            return True
        if self._is_duplicate(held.pieces[at], packet):
            return True
        policy = self._config.overlap
        self._events.add(
            FragmentsOverlapped(now, packet.src, packet.ident, start, end - start, policy)
        )
        if policy is OverlapPolicy.DROP:
            return False
        self._merge(held, at, packet, _KEEPS[policy])
        return True

    def _insert_between(self, held: _Datagram, at: int, packet: IPv4Packet) -> None:
        held.held += len(packet.payload)
        if self._config.overlap is OverlapPolicy.DROP:
            # Linux joins what comes in order at the end into a run, and what lies within a run is
            # a duplicate to it.
            if held.pieces and at == len(held.pieces) and held.end == packet.offset:
                held.pieces[-1].data += packet.payload
            else:
                held.pieces.insert(at, _Piece(packet.offset, bytearray(packet.payload)))
            return
        held.pieces.insert(at, _Piece(packet.offset, packet.payload))

    def _is_duplicate(self, piece: _Piece, packet: IPv4Packet) -> bool:
        """Whether a fragment came before, so that it is passed over."""
        start, end = packet.offset, packet.offset + len(packet.payload)
        if self._config.overlap is OverlapPolicy.DROP:
            return piece.start <= start and end <= piece.end
        return piece.start == start and piece.data == packet.payload

    def _merge(self, held: _Datagram, at: int, packet: IPv4Packet, keeps: _Keeps) -> None:
        """Resolve an overlap with the pieces from ``at`` on."""
        start, data = packet.offset, packet.payload
        end = start + len(data)
        merged: list[_Piece] = []
        upto = at
        fresh = start  # what of the new fragment is not yet placed starts here
        while upto < len(held.pieces) and held.pieces[upto].start < end:
            piece = held.pieces[upto]
            upto += 1
            held.held -= len(piece.data)
            if keeps(piece.start, start):
                _append(merged, fresh, data[fresh - start : max(piece.start - start, 0)])
                merged.append(piece)
                fresh = min(max(piece.end, fresh), end)
                continue
            _append(merged, piece.start, piece.data[: max(start - piece.start, 0)])
            if piece.end > end:
                _append(merged, fresh, data[fresh - start :])
                _append(merged, end, piece.data[end - piece.start :])
                fresh = end
        _append(merged, fresh, data[fresh - start :])
        held.pieces[at:upto] = merged
        held.held += sum(len(piece.data) for piece in merged)

    def _complete(
        self, key: int, held: _Datagram, packet: IPv4Packet, now: Instant
    ) -> IPv4Packet | None:
        """The whole datagram, with the header of its first fragment."""
        first = held.first
        if first is None or first.header_length + held.held > _LARGEST:
            self._give_up(key, packet, "datagram longer than 65535 bytes", now)
            return None
        tos = self._tos(first, held.ecn)
        if tos is None:
            self._give_up(key, packet, "fragments disagree on ECN", now)
            return None
        self._remove(key)
        payload = b"".join(piece.data for piece in held.pieces)
        return replace(first, payload=payload, mf=False, offset=0, tos=tos)

    def _tos(self, first: IPv4Packet, seen: int) -> int | None:
        """The whole datagram's, None where it is to be dropped.

        RFC 3168 5.3: a congestion mark on any fragment marks the whole, unless another "carries
        the Not-ECT codepoint".
        """
        if not seen >> _CE & 1:
            return first.tos
        return None if seen >> _NOT_ECT & 1 else first.tos | _CE

    def _make_room(self, now: Instant) -> None:
        config = self._config
        while self._datagrams and (
            self.held_bytes > config.reassembly_bytes
            or len(self._datagrams) > config.reassembly_datagrams
        ):
            key = next(iter(self._datagrams))
            self._remove(key)
            self._events.add(_given_up(key, "no room for more fragments", now))

    def _give_up(self, key: int, packet: IPv4Packet, reason: str, now: Instant) -> None:
        """Discard what is held, and the packet that made it useless."""
        self._remove(key)
        self._events.add(
            DatagramGivenUp(now, packet.src, packet.dst, packet.protocol, packet.ident, reason)
        )

    def _remove(self, key: int) -> None:
        held = self._datagrams.pop(key)
        self.held_bytes -= held.charge


def _append(pieces: list[_Piece], start: int, data: bytes | bytearray) -> None:
    if data:
        pieces.append(_Piece(start, data))


def _given_up(key: int, reason: str, now: Instant) -> DatagramGivenUp:
    return DatagramGivenUp(
        now,
        IPv4Address(key >> 56),
        IPv4Address(key >> 24 & 0xFFFFFFFF),
        key >> 16 & 0xFF,
        key & 0xFFFF,
        reason,
    )
