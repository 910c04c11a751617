"""Faults of a router that cuts packets up, and passes pieces on (FR-01, FR-02, FR-08)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

from testbed.stack.defects.fragments import MEMORY_GROWS, WEDGED_WHEN_FULL
from testbed.stack.forwarding import Drop, Forwarder, Verdict
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.router import Router
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "ALL_OPTIONS_IN_EACH",
    "COUNTS_FROM_THE_PIECE",
    "CUTS_WHAT_FITS",
    "DF_ON_FRAGMENTS",
    "DROPS_INSTEAD",
    "DROPS_LATER",
    "LOSES_LAST",
    "LOSES_MF",
    "LOSES_THE_TOP_BIT",
    "MEMORY_GROWS",
    "MF_ON_LAST",
    "NEW_IDENTIFICATIONS",
    "NO_OPTIONS_LATER",
    "OFFSET_OFF",
    "OVERLAPS_ITSELF",
    "REASSEMBLES_ON_THE_WAY",
    "SENDS_TOO_LONG",
    "STARVED_BY_FRAGMENTS",
    "TTL_OF_LATER_ONES",
    "WEDGED_WHEN_FULL",
]

_Pieces: TypeAlias = tuple[IPv4Packet, ...]


class _Cutter(Forwarder):
    """Does something wrong to each of the fragments, by its number."""

    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del packet, number
        return piece

    def _cut(self, packet: IPv4Packet, mtu: int) -> _Pieces:
        pieces = super()._cut(packet, mtu)
        return tuple(self.spoil(packet, piece, at) for at, piece in enumerate(pieces))


class _OffByEight(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del packet
        return replace(piece, offset=piece.offset + 8) if number else piece


class _NeverLast(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del packet, number
        return replace(piece, mf=True)


class _OwnNumbers(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        return replace(piece, ident=packet.ident + number & 0xFFFF)


class _WithDf(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del packet, number
        return replace(piece, df=True)


class _Bare(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del packet
        return replace(piece, options=b"") if number else piece


class _FullyDressed(Forwarder):
    __slots__ = ()

    def _cut(self, packet: IPv4Packet, mtu: int) -> _Pieces:
        room = len(packet.options)
        pieces = super()._cut(replace(packet, options=b""), mtu - room)
        return tuple(replace(piece, options=packet.options) for piece in pieces)


class _OldAge(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        return replace(piece, ttl=min(packet.ttl + 1, 255)) if number else piece


class _Overlaps(Forwarder):
    __slots__ = ()

    def _cut(self, packet: IPv4Packet, mtu: int) -> _Pieces:
        first, *rest = super()._cut(packet, mtu)
        room = max(mtu - first.total_length, 0)
        more = packet.payload[len(first.payload) :][: room or 4]
        return (replace(first, payload=first.payload + more), *rest)


class _LosesLast(Forwarder):
    __slots__ = ()

    def _cut(self, packet: IPv4Packet, mtu: int) -> _Pieces:
        return super()._cut(packet, mtu)[:-1]


class _TooLong(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Pieces | Verdict:
        return super()._fit(packet, mtu if packet.df else mtu + 8)


class _DropsLong(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Pieces | Verdict:
        if packet.total_length > mtu and not packet.df:
            return Drop("too large")
        return super()._fit(packet, mtu)


class _Overeager(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Pieces | Verdict:
        if packet.total_length == mtu and not packet.df:
            return self._cut(packet, mtu - 8)
        return super()._fit(packet, mtu)


def _cutting(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "FR-01", story, {Forwarder: mixin})


OFFSET_OFF: Final = _cutting(
    "offset off by 8",
    "The offset of later fragments counts one unit too many: each large packet has a hole.",
    _OffByEight,
)
MF_ON_LAST: Final = _cutting(
    "MF on the last",
    "The last fragment says that more follow, and its receiver waits for them half a minute.",
    _NeverLast,
)
NEW_IDENTIFICATIONS: Final = _cutting(
    "fragments of different packets",
    "Each fragment gets an identification of its own, as if it were a packet: none finds its like.",
    _OwnNumbers,
)
DF_ON_FRAGMENTS: Final = _cutting(
    "DF on fragments",
    "Fragments are marked not to be cut, and die at the next narrower link.",
    _WithDf,
)
NO_OPTIONS_LATER: Final = _cutting(
    "options in the first only",
    "Options that belong in every fragment, such as source routes, are in the first one alone.",
    _Bare,
)
ALL_OPTIONS_IN_EACH: Final = _cutting(
    "all options in each",
    "The header is copied whole: a recorded route is recorded as often as there are fragments.",
    _FullyDressed,
)
TTL_OF_LATER_ONES: Final = _cutting(
    "TTL lowered in the first only",
    "Later fragments leave with the TTL that the packet came with.",
    _OldAge,
)
OVERLAPS_ITSELF: Final = _cutting(
    "fragments overlap",
    "The first fragment is filled to the link's MTU, which is no multiple of 8: strict receivers "
    "drop the packet.",
    _Overlaps,
)
LOSES_LAST: Final = _cutting(
    "loses the last",
    "What is left when all full fragments are cut is shorter than a buffer, and forgotten in it.",
    _LosesLast,
)
SENDS_TOO_LONG: Final = _cutting(
    "sends more than the MTU",
    "The header of 20 bytes is left out of the sum: fragments are longer than the link takes.",
    _TooLong,
)
DROPS_INSTEAD: Final = _cutting(
    "drops instead",
    "A chip that cannot fragment drops what is too long, and nobody is told, for DF is not set.",
    _DropsLong,
)
CUTS_WHAT_FITS: Final = _cutting(
    "cuts what fits",
    "A packet of exactly the MTU is cut in two, which doubles the load of every full transfer.",
    _Overeager,
)

# Fragments on their way


class _FirstOnly(Router):
    __slots__ = ()

    def forward(self, packet: IPv4Packet, ingress: str, now: Instant) -> None:
        if not packet.offset:
            super().forward(packet, ingress, now)


class _Collects(Router):
    __slots__ = ()

    def forward(self, packet: IPv4Packet, ingress: str, now: Instant) -> None:
        whole = self._ip.reassembler.add(packet, now)
        if whole is not None:
            super().forward(whole, ingress, now)


class _ForgetsTheRest(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del number
        end = piece.offset + len(piece.payload)
        last = end == packet.offset + len(packet.payload)
        return replace(piece, mf=False) if last else piece


class _CountsAnew(_Cutter):
    __slots__ = ()

    def spoil(self, packet: IPv4Packet, piece: IPv4Packet, number: int) -> IPv4Packet:
        del number
        return replace(piece, offset=piece.offset - packet.offset)


DROPS_LATER: Final = Defect(
    "router drops later fragments",
    "FR-02",
    "A filter that looks for ports finds none in later fragments, and drops them.",
    {Router: _FirstOnly},
)
REASSEMBLES_ON_THE_WAY: Final = Defect(
    "reassembles on the way",
    "FR-02",
    "A middlebox wants to see whole packets, and on the second of two paths it waits for fragments "
    "that take the first.",
    {Router: _Collects},
)
LOSES_MF: Final = Defect(
    "loses MF where it cuts a fragment up",
    "FR-02",
    "The last piece of a fragment is taken for the last of the packet.",
    {Forwarder: _ForgetsTheRest},
)
COUNTS_FROM_THE_PIECE: Final = Defect(
    "counts offsets in the fragment",
    "FR-02",
    "The pieces of a fragment begin at 0 again, and write over the packet's start.",
    {Forwarder: _CountsAnew},
)

# A flood of fragments

_MANY: Final = 64


class _Overwhelmed(IpLayer):
    __slots__ = ()

    def receive(
        self, data: bytes, interface: Interface, now: Instant, *, link_broadcast: bool
    ) -> None:
        if self.reassembler.held_datagrams > _MANY and not _is_fragment(data):
            self._core.drop("ip", "too busy", now)
            return
        super().receive(data, interface, now, link_broadcast=link_broadcast)


def _is_fragment(data: bytes) -> bool:
    return len(data) > 7 and bool(data[6] & 0x3F or data[7])


STARVED_BY_FRAGMENTS: Final = Defect(
    "starved by fragments",
    "FR-08",
    "A flood of fragments takes all buffers, and ordinary packets find none.",
    {IpLayer: _Overwhelmed},
)


class _TwelveBits(Forwarder):
    __slots__ = ()

    def _cut(self, packet: IPv4Packet, mtu: int) -> tuple[IPv4Packet, ...]:
        pieces = super()._cut(packet, mtu)
        return tuple(replace(piece, offset=piece.offset & 0x7FFF) for piece in pieces)


LOSES_THE_TOP_BIT: Final = Defect(
    "loses the offset's top bit",
    "FR-01",
    "Twelve bits are kept of an offset: the second half of a large datagram is written over the "
    "first.",
    {Forwarder: _TwelveBits},
)
