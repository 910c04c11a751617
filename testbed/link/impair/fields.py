"""Selectors that say what they look at: fields of a frame, and what they may hold.

A plan's own function can look at anything, and only Python can ask it. These can be asked by a
program in the kernel as well, with the same answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal

from testbed.errors import PlanError
from testbed.link.impair.select import Selector

__all__ = [
    "TAGS",
    "AllOf",
    "AnyOf",
    "FieldTest",
    "FrameField",
    "Guarded",
    "Ipv4Whole",
    "Layer",
    "Not",
    "TcpData",
    "UdpWhole",
]

Layer = Literal["frame", "payload", "transport"]
"""From where a field's place counts: the frame's first byte; the first byte behind the Ethernet
header and up to two VLAN tags; the first byte behind the header of an IPv4 packet that is no later
fragment."""

TAGS: Final = (0x8100, 0x88A8)  # IEEE 802.1Q: C-TAG, S-TAG
_MOST_TAGS: Final = 2
_MOST: Final = (1 << 32) - 1
_FARTHEST: Final = 1024
_IPV4: Final = 0x0800
_TCP: Final = 6
_UDP: Final = 17


class FieldTest(ABC):
    """A selector that combines: ``a & b``, ``a | b``, ``~a``."""

    @abstractmethod
    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""

    def __and__(self, other: FieldTest) -> FieldTest:
        return AllOf((self, other))

    def __or__(self, other: FieldTest) -> FieldTest:
        return AnyOf((self, other))

    def __invert__(self) -> FieldTest:
        return Not(self)


@dataclass(frozen=True, slots=True)
class FrameField(FieldTest):
    """Frames whose ``size`` bytes (1, 2 or 4) at ``at``, masked, are ``least`` to ``most``.

    ``FrameField(2, 2, 80, layer="transport")`` is what goes to port 80, ``FrameField(-2, 2, 0x0806,
    layer="payload")`` is ARP behind any tags. Without ``most`` the field is ``least``. A frame that
    has no such layer, or ends before, is not struck.
    """

    at: int
    size: int
    least: int
    most: int | None = None
    mask: int = _MOST
    layer: Layer = "frame"

    def __post_init__(self) -> None:
        if self.size not in (1, 2, 4):
            raise PlanError(f"a field has 1, 2 or 4 bytes, got {self.size}")
        if not (0 if self.layer == "frame" else -2) <= self.at <= _FARTHEST:
            raise PlanError(f"a field is at 0 to {_FARTHEST}, got {self.at}")
        if not 0 <= self.least <= self.highest <= _MOST:
            raise PlanError(f"a field holds 0 to 2**32-1, got {self.least} to {self.highest}")

    @property
    def highest(self) -> int:
        """The greatest value that is wanted."""
        return self.least if self.most is None else self.most

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        start = _start(frame, self.layer)
        if start is None or start + self.at + self.size > len(frame):
            return False
        at = start + self.at
        value = int.from_bytes(frame[at : at + self.size], "big") & self.mask
        return self.least <= value <= self.highest


@dataclass(frozen=True, slots=True)
class TcpData(FieldTest):
    """TCP segments over IPv4 with ``least`` bytes of data or more, by their headers' lengths."""

    least: int = 1

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        ip, tcp = _start(frame, "payload"), _start(frame, "transport")
        if ip is None or tcp is None or tcp + 13 > len(frame) or frame[ip + 9] != _TCP:
            return False
        headers = tcp - ip + (frame[tcp + 12] >> 4) * 4
        return int.from_bytes(frame[ip + 2 : ip + 4], "big") >= headers + self.least


@dataclass(frozen=True, slots=True)
class Ipv4Whole(FieldTest):
    """Frames that hold an IPv4 packet, or a fragment, whose lengths agree with the frame's."""

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        start = _start(frame, "payload")
        if start is None or int.from_bytes(frame[start - 2 : start], "big") != _IPV4:
            return False
        if start + 20 > len(frame) or frame[start] >> 4 != 4 or frame[start] & 15 < 5:
            return False
        total = int.from_bytes(frame[start + 2 : start + 4], "big")
        return (frame[start] & 15) * 4 <= total <= len(frame) - start


@dataclass(frozen=True, slots=True)
class UdpWhole(FieldTest):
    """UDP datagrams over IPv4 as long as they say, as their IPv4 header has it; with a header."""

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        ip, udp = _start(frame, "payload"), _start(frame, "transport")
        if ip is None or udp is None or udp + 8 > len(frame) or frame[ip + 9] != _UDP:
            return False
        length = int.from_bytes(frame[udp + 4 : udp + 6], "big")
        return 8 <= length <= int.from_bytes(frame[ip + 2 : ip + 4], "big") - (udp - ip)


@dataclass(frozen=True, slots=True)
class AllOf(FieldTest):
    """What every part strikes."""

    parts: tuple[FieldTest, ...]

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        return all(part(frame) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(FieldTest):
    """What at least one part strikes."""

    parts: tuple[FieldTest, ...]

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        return any(part(frame) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(FieldTest):
    """What ``inner`` does not strike."""

    inner: FieldTest

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        return not self.inner(frame)


@dataclass(frozen=True, slots=True)
class Guarded:
    """Asks ``test``, which only Python can answer, of those frames that ``maybe`` strikes.

    All others are not struck, and a program in the kernel can say so by itself; it leaves the rest
    to Python. ``maybe`` should be rare: a frame that Python looks at takes milliseconds.
    """

    test: Selector
    maybe: FieldTest

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        return self.maybe(frame) and self.test(frame)


def _start(frame: bytes, layer: Layer) -> int | None:
    """Where a layer begins in the frame, or None where it has none."""
    if layer == "frame":
        return 0
    start = _payload(frame)
    return start if start is None or layer == "payload" else _transport(frame, start)


def _payload(frame: bytes) -> int | None:
    for start in range(14, 14 + 4 * _MOST_TAGS + 1, 4):
        if len(frame) < start:
            return None
        if int.from_bytes(frame[start - 2 : start], "big") not in TAGS:
            return start
    return None


def _transport(frame: bytes, start: int) -> int | None:
    head = frame[start - 2 : start + 20]
    if len(head) < 22 or int.from_bytes(head[:2], "big") != _IPV4:
        return None
    if head[2] >> 4 != 4 or head[2] & 15 < 5 or int.from_bytes(head[8:10], "big") & 0x1FFF:
        return None
    return start + (head[2] & 15) * 4
