"""Faults of a filter that is to keep connections out (FR-06)."""

from __future__ import annotations

from typing import Final

from testbed.stack.gate import ConnectionFilter
from testbed.stack.variants import Defect
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "FILTERS_ALL",
    "FILTERS_NOTHING",
    "FILTER_PASSED",
    "FILTER_PASSED_BY_FLAGS",
    "FILTER_PASSED_BY_OVERLAPS",
    "LETS_NO_FRAGMENT_THROUGH",
    "LOOKS_AT_WHOLE_PACKETS",
]


class _BlindToPieces(ConnectionFilter):
    __slots__ = ()

    def is_tiny(self, packet: IPv4Packet) -> bool:
        del packet
        return False

    def overlaps_header(self, packet: IPv4Packet) -> bool:
        del packet
        return False


class _BlindToOverlaps(ConnectionFilter):
    __slots__ = ()

    def overlaps_header(self, packet: IPv4Packet) -> bool:
        del packet
        return False


class _PortsSuffice(ConnectionFilter):
    __slots__ = ()

    def is_tiny(self, packet: IPv4Packet) -> bool:
        return not packet.offset and len(packet.payload) < 4


class _NoPieces(ConnectionFilter):
    __slots__ = ()

    def refuses(self, packet: IPv4Packet) -> str | None:
        if self._crossing.kept_out is not None and packet.is_fragment:
            return "fragment"
        return super().refuses(packet)


class _Idle(ConnectionFilter):
    __slots__ = ()

    def opens(self, packet: IPv4Packet, port: bytes) -> bool:
        del packet, port
        return False


class _Total(ConnectionFilter):
    __slots__ = ()

    def opens(self, packet: IPv4Packet, port: bytes) -> bool:
        return packet.payload[2:4] == port


def _filtering(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "FR-06", story, {ConnectionFilter: mixin})


FILTER_PASSED: Final = _filtering(
    "filter passed",
    "A SYN cut in two behind its first eight bytes passes, for no piece of it looks like one.",
    _BlindToPieces,
)
FILTER_PASSED_BY_OVERLAPS: Final = _filtering(
    "filter passed by overlaps",
    "A harmless first fragment passes, and a second one writes SYN over its flags.",
    _BlindToOverlaps,
)
FILTER_PASSED_BY_FLAGS: Final = _filtering(
    "filter passed without flags",
    "A first fragment that shows its ports counts as long enough: the flags come in the second.",
    _PortsSuffice,
)
LETS_NO_FRAGMENT_THROUGH: Final = _filtering(
    "lets no fragment through",
    "The filter drops every fragment, to be on the safe side, and large answers of DNS with them.",
    _NoPieces,
)
FILTERS_NOTHING: Final = _filtering(
    "filters nothing",
    "The rule is in the configuration, and was never put on a port.",
    _Idle,
)
FILTERS_ALL: Final = _filtering(
    "filters all to the port",
    "Segments of connections that exist are kept out like new ones: sessions die with it.",
    _Total,
)


class _WholeOnly(ConnectionFilter):
    __slots__ = ()

    def opens(self, packet: IPv4Packet, port: bytes) -> bool:
        return not packet.is_fragment and super().opens(packet, port)


LOOKS_AT_WHOLE_PACKETS: Final = Defect(
    "looks at whole packets only",
    "FR-06",
    "Tiny fragments are dropped, and a first one that is large enough is let through unread.",
    {ConnectionFilter: _WholeOnly},
)
