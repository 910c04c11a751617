"""What a router reads and writes in the options of packets on their way (RFC 791 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.timing import Instant

__all__ = ["BadOption", "SourceRoute", "advance", "record", "source_route"]

_END: Final = 0
_NOP: Final = 1
_RECORD_ROUTE: Final = 7
_TIMESTAMP: Final = 68
_LOOSE: Final = 131
_STRICT: Final = 137

_ONLY: Final = 0
_WITH_ADDRESS: Final = 1
_PRESPECIFIED: Final = 3
_DAY: Final = 86_400_000
_NOT_STANDARD: Final = 0x8000_0000
"""RFC 791 3.1: a time that is not milliseconds since midnight UT has the high-order bit set."""


class BadOption(Exception):  # noqa: N818 - an answer, which becomes a parameter problem
    """The options cannot be read; ``offset`` is that of the wrong byte among them."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"byte {offset} of the options")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class SourceRoute:
    """A source route at byte ``offset`` of the options; ``next`` is None once it is used up."""

    offset: int
    strict: bool
    pointer: int
    next: IPv4Address | None


def source_route(options: bytes) -> SourceRoute | None:
    """The source route among ``options``, if there is one. Raises BadOption.

    RFC 1812 5.2.4.1: a second one is a parameter problem.
    """
    found: SourceRoute | None = None
    for kind, at, length in _walk(options):
        if kind not in {_LOOSE, _STRICT}:
            continue
        if found is not None:
            raise BadOption(at)
        pointer = _pointer(options, at, length, least=4)
        address = None
        if pointer <= length:
            if pointer + 3 > length:
                raise BadOption(at + 2)
            place = at + pointer - 1
            address = IPv4Address(options[place : place + 4])
        found = SourceRoute(at, kind == _STRICT, pointer, address)
    return found


def advance(options: bytes, route: SourceRoute, own: IPv4Address) -> bytes:
    """``options`` with ``own`` recorded where the next station was named, the pointer past it."""
    changed = bytearray(options)
    place = route.offset + route.pointer - 1
    changed[place : place + 4] = own.packed
    changed[route.offset + 2] = route.pointer + 4
    return bytes(changed)


def record(options: bytes, own: IPv4Address | None, now: Instant) -> bytes:
    """``options`` with route and time recorded where they ask for it (RFC 1812 5.3.13.5, .6).

    ``own`` is the address on the interface by which the packet leaves; without one nothing is
    recorded. Raises BadOption.
    """
    changed = bytearray(options)
    for kind, at, length in _walk(options):
        if own is None:
            continue
        if kind == _RECORD_ROUTE:
            _record_route(changed, at, length, own)
        elif kind == _TIMESTAMP:
            _record_time(changed, at, length, own, now)
    return bytes(changed)


def _walk(options: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, place and length of each option that has a length."""
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            raise BadOption(min(at + 1, len(options) - 1))
        yield options[at], at, length
        at += length


def _pointer(options: bytes | bytearray, at: int, length: int, least: int) -> int:
    if length < 3:
        raise BadOption(at + 1)
    if options[at + 2] < least:
        raise BadOption(at + 2)
    return options[at + 2]


def _record_route(options: bytearray, at: int, length: int, own: IPv4Address) -> None:
    pointer = _pointer(options, at, length, least=4)
    if pointer > length:
        return
    # RFC 791 3.1: "If there is some room but not enough room for a full address to be inserted,
    # the original datagram is considered to be in error and is discarded."
    if pointer + 3 > length:
        raise BadOption(at + 2)
    options[at + pointer - 1 : at + pointer + 3] = own.packed
    options[at + 2] = pointer + 4


def _record_time(options: bytearray, at: int, length: int, own: IPv4Address, now: Instant) -> None:
    pointer = _pointer(options, at, length, least=5)
    if length < 4:
        raise BadOption(at + 1)
    overflow, flag = options[at + 3] >> 4, options[at + 3] & 15
    need = 4 if flag == _ONLY else 8
    if pointer > length:
        # RFC 791 3.1: "If the timestamp data area is already full ... the overflow count is
        # incremented by one", and if that overflows too the datagram is in error.
        if overflow == 15:
            raise BadOption(at + 3)
        options[at + 3] += 1 << 4
        return
    if flag not in {_ONLY, _WITH_ADDRESS, _PRESPECIFIED} or pointer + need - 1 > length:
        raise BadOption(at + 2)
    place = at + pointer - 1
    if flag == _PRESPECIFIED and options[place : place + 4] != own.packed:
        return
    if flag == _WITH_ADDRESS:
        options[place : place + 4] = own.packed
    stamp = now // 1_000_000 % _DAY | _NOT_STANDARD
    options[place + need - 4 : place + need] = stamp.to_bytes(4, "big")
    options[at + 2] = pointer + need
