"""The Internet checksum (RFC 1071), its pseudo header, and its incremental update (RFC 1624).

One's complement addition of 16-bit words is addition modulo 65535 with two names for zero. So the
sum of all words of a message is the message, read as one big number, modulo 65535: every word
weighs a power of 65536, which is 1 modulo 65535. That is what makes this fast in Python.

Division is the dear part of it: it goes digit by digit, each waiting for the one before. So long
numbers are folded first, their upper part added to their lower one, which is what carrying does
with words of 16 bits and leaves the remainder as it is.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

__all__ = [
    "checksum_ok",
    "fold",
    "internet_checksum",
    "ones_sum",
    "pseudo_header_sum",
    "update_checksum",
]

# Widths of the folds: multiples of 16, so that words stay words, and of the 30 bits of a digit of
# Python's numbers. The first holds an Ethernet payload in two parts, the last divides fast.
_WIDE: Final = 7680
_MIDDLE: Final = 3840
_NARROW: Final = 1920
_WIDE_MASK: Final = (1 << _WIDE) - 1
_MIDDLE_MASK: Final = (1 << _MIDDLE) - 1
_NARROW_MASK: Final = (1 << _NARROW) - 1
_PIECE: Final = 2 * _WIDE // 8  # bytes that the widest fold takes
_SHORT: Final = 2 * _NARROW // 8  # bytes that are not worth a fold


def ones_sum(data: bytes) -> int:
    """The one's complement sum of the 16-bit words of ``data``; an odd end is padded with zero.

    Between 0 and 0xFFFF, and 0 only if every byte is: addition that wraps never comes back to
    +0, it ends at -0, which is 0xFFFF.
    """
    # "The sum of 16-bit integers can be computed in either byte order" (RFC 1071 2(B)): the bytes
    # of the result are swapped, that is all. Python reads little-endian numbers faster, and an odd
    # end then needs no padding.
    number = _folded(data)
    swapped = number % 0xFFFF
    if swapped:
        return (swapped & 0xFF) << 8 | swapped >> 8
    return 0xFFFF if number else 0


def _folded(data: bytes) -> int:
    """A number that is the little-endian one in ``data`` modulo 65535, and 0 only if that is."""
    size = len(data)
    if size <= _SHORT:
        return int.from_bytes(data, "little")
    if size <= _PIECE:
        number = int.from_bytes(data, "little")
    else:
        pieces = [data[at : at + _PIECE] for at in range(0, size, _PIECE)]
        number = sum([int.from_bytes(piece, "little") for piece in pieces])
    number = (number >> _WIDE) + (number & _WIDE_MASK)
    number = (number >> _MIDDLE) + (number & _MIDDLE_MASK)
    return (number >> _NARROW) + (number & _NARROW_MASK)


def fold(total: int) -> int:
    """The checksum of a message whose words add up to ``total``: the complement of its sum."""
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def internet_checksum(data: bytes, start: int = 0) -> int:
    """The checksum of ``data``, whose checksum field holds zero.

    ``start`` is the sum of what is covered besides, such as the pseudo header.
    """
    return fold(ones_sum(data) + start)


def checksum_ok(data: bytes, start: int = 0) -> bool:
    """Whether ``data``, with the checksum it carries, adds up to 0xFFFF."""
    number = _folded(data)
    # Swapping the bytes of a remainder is multiplying it by 256, modulo 65535.
    total = (number % 0xFFFF << 8) + start
    return total % 0xFFFF == 0 and (number != 0 or start != 0)


def pseudo_header_sum(src: IPv4Address, dst: IPv4Address, protocol: int, length: int) -> int:
    """The sum of the pseudo header of UDP (RFC 768) and TCP (RFC 9293 3.1).

    ``length`` counts the bytes of the transport header and its payload.
    """
    return int(src) + int(dst) + protocol + length


def update_checksum(checksum: int, old: bytes, new: bytes) -> int:
    """``checksum`` after the bytes ``old`` were replaced by ``new``, both at an even offset.

    RFC 1624 3, eqn. 3: HC' = ~(~HC + ~m + m'). It never turns a checksum into the other zero, as
    the earlier RFC 1141 did. A field of odd length is padded at its end.
    """
    return 0xFFFF - _wrap((0xFFFF - checksum) + (0xFFFF - ones_sum(old)) + ones_sum(new))


def _wrap(total: int) -> int:
    """``total`` with its carries added back, until it has 16 bits."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
