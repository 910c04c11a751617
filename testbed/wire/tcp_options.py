"""TCP options (RFC 9293 3.1, RFC 7323, RFC 2018).

Padding is no option here: it is dropped when parsing and put back when emitting, in one canonical
way, so that two segments with the same options are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, pack
from typing import Final, TypeAlias

from testbed.errors import WireError
from testbed.wire.ranges import not_bytes, out_of_range
from testbed.wire.trusted import quickly_made, trusted

__all__ = [
    "MAX_OPTIONS",
    "MSS",
    "OptionKind",
    "Sack",
    "SackPermitted",
    "TcpOption",
    "Timestamps",
    "UnknownOption",
    "WindowScale",
    "emit_options",
    "options_size",
    "parse_options",
    "timestamps_at",
]

MAX_OPTIONS: Final = 40
"""Bytes left for options by a data offset of 15 words."""

_WORD = Struct("!I")
_MARKED_TIMESTAMPS = Struct("!III")
_NOP_NOP_TIMESTAMPS: Final = 0x0101080A
_SACK_PERMITTED: Final = b"\x04\x02"
_NOPS: Final = (b"", b"\x01", b"\x01\x01", b"\x01\x01\x01")


class OptionKind:
    """Option kinds (IANA, TCP Parameters)."""

    END: Final = 0
    NOP: Final = 1
    MSS: Final = 2
    WINDOW_SCALE: Final = 3
    SACK_PERMITTED: Final = 4
    SACK: Final = 5
    TIMESTAMPS: Final = 8
    USER_TIMEOUT: Final = 28
    FAST_OPEN: Final = 34


@dataclass(frozen=True, slots=True)
class MSS:
    """Maximum segment size: the largest payload that the sender of the option can take."""

    value: int

    def __post_init__(self) -> None:
        if self.value >> 16:
            raise out_of_range("TCP MSS option", value=(self.value, 16))

    @property
    def size(self) -> int:
        """Bytes of the option."""
        return 4

    def emit(self) -> bytes:
        """The option's bytes."""
        return b"\x02\x04" + self.value.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class WindowScale:
    """Windows of the sender count units of 2**shift bytes (RFC 7323 2.2).

    Shifts above 14 are legal on the wire; whoever gets one uses 14 (RFC 7323 2.3).
    """

    shift: int

    def __post_init__(self) -> None:
        if self.shift >> 8:
            raise out_of_range("TCP window scale option", shift=(self.shift, 8))

    @property
    def size(self) -> int:
        """Bytes of the option."""
        return 3

    def emit(self) -> bytes:
        """The option's bytes."""
        return bytes((3, 3, self.shift))


@dataclass(frozen=True, slots=True)
class SackPermitted:
    """The sender understands selective acknowledgements (RFC 2018 2)."""

    @property
    def size(self) -> int:
        """Bytes of the option."""
        return 2

    def emit(self) -> bytes:
        """The option's bytes."""
        return _SACK_PERMITTED


@dataclass(frozen=True, slots=True)
class Sack:
    """Blocks received out of order (RFC 2018 3): each its first number and the one past its end."""

    blocks: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.blocks) <= 4:
            raise WireError(f"TCP SACK option: {len(self.blocks)} blocks, expected 1 to 4")
        for left, right in self.blocks:
            if (left | right) >> 32:
                raise out_of_range("TCP SACK option", left=(left, 32), right=(right, 32))

    @property
    def size(self) -> int:
        """Bytes of the option."""
        return 2 + 8 * len(self.blocks)

    def emit(self) -> bytes:
        """The option's bytes."""
        edges = [edge for block in self.blocks for edge in block]
        return pack(f"!BB{len(edges)}I", 5, self.size, *edges)


@quickly_made
@dataclass(frozen=True, slots=True)
class Timestamps:
    """The sender's clock, and the latest one that it heard of its peer's (RFC 7323 3.2)."""

    value: int
    echo: int = 0

    def __post_init__(self) -> None:
        if (self.value | self.echo) >> 32:
            raise out_of_range(
                "TCP timestamps option", value=(self.value, 32), echo=(self.echo, 32)
            )

    @property
    def size(self) -> int:
        """Bytes of the option."""
        return 10

    def emit(self) -> bytes:
        """The option's bytes."""
        return pack("!BBII", 8, 10, self.value, self.echo)


_trusted_timestamps = trusted(Timestamps)


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """Any other option, and a known one whose length is not what its RFC says; ``data`` is raw."""

    kind: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if self.kind >> 8:
            raise out_of_range("TCP option", kind=(self.kind, 8))
        if self.kind in {OptionKind.END, OptionKind.NOP}:
            raise WireError(f"TCP option: kind {self.kind} is padding")
        if type(self.data) is not bytes:
            raise not_bytes("TCP option", "data", self.data)
        if self.size > MAX_OPTIONS:
            raise WireError(f"TCP option: {len(self.data)} bytes of data, expected at most 38")
        if _known(self.kind, self.data) is not None:
            raise WireError(f"TCP option: kind {self.kind} of {self.size} bytes has its own class")

    @property
    def size(self) -> int:
        """Bytes of the option."""
        return 2 + len(self.data)

    def emit(self) -> bytes:
        """The option's bytes."""
        return bytes((self.kind, self.size)) + self.data


TcpOption: TypeAlias = MSS | WindowScale | SackPermitted | Sack | Timestamps | UnknownOption
"""Any option; fit for ``isinstance`` too."""


def options_size(options: tuple[TcpOption, ...]) -> int:
    """Bytes of ``options`` without any padding."""
    return sum([option.size for option in options])


def emit_options(options: tuple[TcpOption, ...]) -> bytes:
    """The bytes of ``options``, padded to whole 32-bit words.

    NOPs stand before an option, so that it ends on a word and its fields are aligned, the layout
    of RFC 7323 appendix A and of Linux. As Linux does it in a SYN, SACK permitted takes the place
    of the two NOPs of timestamps that follow it. Where all that would not fit, the options are
    packed tightly.
    """
    if len(options) == 1:
        (option,) = options
        if type(option) is Timestamps:
            return _MARKED_TIMESTAMPS.pack(_NOP_NOP_TIMESTAMPS, option.value, option.echo)
    aligned = _aligned(options)
    if len(aligned) <= MAX_OPTIONS:
        return aligned
    tight = b"".join([option.emit() for option in options])
    return tight + bytes(-len(tight) % 4)


def _aligned(options: tuple[TcpOption, ...]) -> bytes:
    out = b""
    before: TcpOption | None = None
    for option in options:
        chunk = option.emit()
        if type(option) is Timestamps and type(before) is SackPermitted:
            out = out[:-4] + _SACK_PERMITTED + chunk
        else:
            out += _NOPS[-len(chunk) % 4] + chunk
        before = option
    return out


def timestamps_at(data: bytes, at: int) -> tuple[TcpOption, ...] | None:
    """The timestamps alone, after two NOPs, that the 12 bytes of ``data`` from ``at`` are, or None.

    Nearly every segment of a connection that agreed on timestamps has this and no other option.
    """
    mark, value, echo = _MARKED_TIMESTAMPS.unpack_from(data, at)
    return (_trusted_timestamps(value, echo),) if mark == _NOP_NOP_TIMESTAMPS else None


def parse_options(data: bytes) -> tuple[TcpOption, ...]:
    """The options in ``data``, up to its end or an end-of-options mark, without their padding.

    Raises WireError where an option's length is below 2 or beyond the end.
    """
    return (timestamps_at(data, 0) if len(data) == 12 else None) or _parse_any(data)


# A connection's segments without timestamps carry the same few options again and again.
@lru_cache(maxsize=512)
def _parse_any(data: bytes) -> tuple[TcpOption, ...]:
    options: list[TcpOption] = []
    at = 0
    while at < len(data):
        kind = data[at]
        if kind == OptionKind.END:
            break
        if kind == OptionKind.NOP:
            at += 1
            continue
        if at + 1 >= len(data):
            raise WireError(f"TCP option {kind} ends before its length", at)
        length = data[at + 1]
        if length < 2 or at + length > len(data):
            raise WireError(
                f"TCP option {kind} of length {length}, expected 2 to {len(data) - at}", at + 1
            )
        body = data[at + 2 : at + length]
        options.append(_known(kind, body) or UnknownOption(kind, body))
        at += length
    return tuple(options)


def _known(kind: int, body: bytes) -> TcpOption | None:
    """The option with a class of its own that ``body`` is, or None."""
    option: TcpOption | None = None
    match kind, len(body):
        case OptionKind.MSS, 2:
            option = MSS(int.from_bytes(body, "big"))
        case OptionKind.WINDOW_SCALE, 1:
            option = WindowScale(body[0])
        case OptionKind.SACK_PERMITTED, 0:
            option = SackPermitted()
        case OptionKind.SACK, 8 | 16 | 24 | 32:
            edges = [edge for (edge,) in _WORD.iter_unpack(body)]
            option = Sack(tuple(zip(edges[::2], edges[1::2], strict=True)))
        case OptionKind.TIMESTAMPS, 8:
            option = Timestamps(int.from_bytes(body[:4], "big"), int.from_bytes(body[4:], "big"))
    return option
