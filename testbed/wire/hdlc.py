"""HDLC-like framing of PPP (RFC 1662): flags, byte stuffing, bit stuffing, frame check sequences.

On asynchronous lines frames are runs of bytes and stuffing works on bytes (RFC 1662 4); on
synchronous ones it works on bits (RFC 1662 5). Here bits are text of ``0`` and ``1`` in the order
in which they are sent, the least significant bit of each byte first.
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import Final

from testbed.errors import WireError

__all__ = [
    "ABORT",
    "ALL_CONTROLS",
    "FLAG",
    "BitReader",
    "ByteReader",
    "Fcs",
    "bit_frame",
    "byte_frame",
    "checked",
    "fcs16",
    "stuff_bits",
    "stuff_bytes",
]

FLAG: Final = 0x7E
"""Before and after every frame (RFC 1662 3.1)."""

ABORT: Final = b"\x7d\x7e"
"""Ends a frame that is not to be taken: an escape right before the flag (RFC 1662 4.3)."""

ALL_CONTROLS: Final = 0xFFFFFFFF
"""The async control character map that a link starts with (RFC 1662 7.1): escape all 32."""

_ESCAPE: Final = 0x7D
_FLIP: Final = 0x20
_FLAG_BITS: Final = "01111110"
_POLYNOMIAL: Final = 0x8408  # x^16 + x^12 + x^5 + 1, bits reversed (RFC 1662 C.2)


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ _POLYNOMIAL if value & 1 else value >> 1
    return value


_TABLE: Final = tuple(_entry(value) for value in range(256))


def fcs16(data: bytes) -> int:
    """The 16-bit frame check sequence of ``data`` (RFC 1662 C.2)."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFF


class Fcs(Enum):
    """Which check sequence ends a frame; the value is its length in bytes."""

    NONE = 0
    CRC16 = 2
    CRC32 = 4

    def of(self, data: bytes) -> bytes:
        """The check sequence of ``data``, least significant byte first (RFC 1662 3.1)."""
        if self is Fcs.NONE:
            return b""
        number = fcs16(data) if self is Fcs.CRC16 else zlib.crc32(data)
        return number.to_bytes(self.value, "little")


def checked(frame: bytes, fcs: Fcs = Fcs.CRC16) -> bytes:
    """What is in ``frame`` before its check sequence, which must be right (WireError)."""
    at = len(frame) - fcs.value
    if at < 0:
        raise WireError(f"a frame with a check sequence has {fcs.value} bytes or more", len(frame))
    if fcs.of(frame[:at]) != frame[at:]:
        raise WireError("frame check sequence is wrong", at)
    return frame[:at]


def stuff_bytes(data: bytes, accm: int = ALL_CONTROLS) -> bytes:
    """``data`` with flags, escapes and the control characters of ``accm`` escaped (RFC 1662 4.2).

    Bit n of ``accm`` stands for the byte n; an escaped byte is 0x7d and the byte with bit 5 turned.
    """
    if accm >> 32:
        raise WireError(f"async control character map is {accm}, expected 32 bits")
    out = bytearray()
    for byte in data:
        if byte in (FLAG, _ESCAPE) or (byte < 0x20 and accm >> byte & 1):
            out += bytes((_ESCAPE, byte ^ _FLIP))
        else:
            out.append(byte)
    return bytes(out)


def byte_frame(data: bytes, accm: int = ALL_CONTROLS, fcs: Fcs = Fcs.CRC16) -> bytes:
    """A whole frame for an asynchronous line: flag, ``data`` and its check, stuffed, flag."""
    return b"\x7e" + stuff_bytes(data + fcs.of(data), accm) + b"\x7e"


def stuff_bits(data: bytes) -> str:
    """The bits of ``data``, a 0 put in after every five 1s in a row (RFC 1662 5.2)."""
    return _bits(data).replace("11111", "111110")


def bit_frame(data: bytes, fcs: Fcs = Fcs.CRC16) -> str:
    """A whole frame for a synchronous line: flag, the stuffed bits of data and check, flag."""
    return _FLAG_BITS + stuff_bits(data + fcs.of(data)) + _FLAG_BITS


def _bits(data: bytes) -> str:
    return "".join([f"{byte:08b}"[::-1] for byte in data])


class _Reader:
    """What readers of bytes and of bits share: the limit, the check, the counts.

    ``limit`` bounds the bytes of a frame, its check included, so that a line of noise holds no
    memory. Frames are dropped without a word, as RFC 1662 3.1 wants it, and counted.
    """

    __slots__ = ("aborted", "bad_checks", "fcs", "limit", "too_long", "too_short")

    def __init__(self, fcs: Fcs = Fcs.CRC16, limit: int = 1506) -> None:
        self.fcs = fcs
        self.limit = limit
        self.aborted = self.bad_checks = self.too_long = self.too_short = 0

    def _take(self, frame: bytes, found: list[bytes]) -> None:
        """Keep ``frame`` if it is good; two flags in a row enclose nothing, which is no frame."""
        if not frame:
            return
        # "Frames which are too short (less than 4 octets when using the 16-bit FCS) ... are
        # silently discarded" (RFC 1662 3.1): two bytes and the check.
        if len(frame) < 2 + self.fcs.value:
            self.too_short += 1
            return
        try:
            found.append(checked(frame, self.fcs))
        except WireError:
            self.bad_checks += 1


class ByteReader(_Reader):
    """Frames out of the bytes of an asynchronous line, in whatever pieces they come.

    ``accm`` is the receiving map: control characters in it that come unescaped were put in by
    modems on the way and are removed (RFC 1662 4.2).
    """

    __slots__ = ("_escaped", "_frame", "_skipping", "accm")

    def __init__(self, accm: int = 0, fcs: Fcs = Fcs.CRC16, limit: int = 1506) -> None:
        super().__init__(fcs, limit)
        self.accm = accm
        self._frame = bytearray()
        self._escaped = False
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The good frames that end in ``data``, without their check sequences."""
        found: list[bytes] = []
        for byte in data:
            if byte == FLAG:
                self._end(found)
            elif byte < 0x20 and self.accm >> byte & 1:
                continue
            elif byte == _ESCAPE and not self._escaped:
                self._escaped = True
            else:
                self._add(byte)
        return found

    def _add(self, byte: int) -> None:
        value = byte ^ _FLIP if self._escaped else byte
        self._escaped = False
        if len(self._frame) < self.limit:
            self._frame.append(value)
        else:
            self._skipping = True

    def _end(self, found: list[bytes]) -> None:
        if self._escaped:
            self.aborted += 1
        elif self._skipping:
            self.too_long += 1
        else:
            self._take(bytes(self._frame), found)
        self._frame.clear()
        self._escaped = self._skipping = False


class BitReader(_Reader):
    """Frames out of the bits of a synchronous line, in whatever pieces they come.

    Seven 1s in a row, or more, abort the frame that they are in (RFC 1662 5.2); the line is idle
    then until a flag comes. A frame whose bits are no whole bytes is counted as too short.
    """

    __slots__ = ("_bits", "_inside", "_ones")

    def __init__(self, fcs: Fcs = Fcs.CRC16, limit: int = 1506) -> None:
        super().__init__(fcs, limit)
        self._bits: list[str] = []
        self._ones = 0
        self._inside = False

    def feed(self, bits: str) -> list[bytes]:
        """The good frames that end in ``bits``, without their check sequences."""
        if bits.strip("01"):
            raise WireError("bits are text of 0 and 1")
        found: list[bytes] = []
        for bit in bits:
            if bit == "1":
                self._one()
            else:
                self._zero(found)
        return found

    def _one(self) -> None:
        self._ones += 1
        if self._ones == 7 and self._inside:
            # The seventh 1, with the six and the 0 before them that looked like half a flag.
            self._inside = False
            self.aborted += len(self._bits) > 6
            self._bits.clear()
        elif self._ones < 7:
            self._keep("1")

    def _zero(self, found: list[bytes]) -> None:
        ones, self._ones = self._ones, 0
        if ones == 6:
            self._flag(found)
        elif ones != 5:
            self._keep("0")

    def _keep(self, bit: str) -> None:
        # Eight more than the limit: the closing flag is in here too until it is known for one.
        if self._inside and len(self._bits) <= 8 * self.limit + 8:
            self._bits.append(bit)

    def _flag(self, found: list[bytes]) -> None:
        """The 0 after six 1s: whatever stood before the flag's own seven bits was a frame."""
        bits = "".join(self._bits[:-7])
        if self._inside and bits:
            if len(self._bits) > 8 * self.limit + 8:
                self.too_long += 1
            elif len(bits) % 8:
                self.too_short += 1
            else:
                octets = [bits[at : at + 8][::-1] for at in range(0, len(bits), 8)]
                self._take(bytes([int(octet, 2) for octet in octets]), found)
        self._bits.clear()
        self._inside = True
