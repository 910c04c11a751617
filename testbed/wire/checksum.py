"""The Internet checksum (RFC 1071), its pseudo header, and its incremental update (RFC 1624).

One's complement addition of 16-bit words is addition modulo 65535 with two names for zero. So the
sum of all words of a message is the message, read as one big number, modulo 65535: every word
weighs a power of 65536, which is 1 modulo 65535. That is what makes this fast in Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address

__all__ = [
    "checksum_ok",
    "fold",
    "internet_checksum",
    "ones_sum",
    "pseudo_header_sum",
    "update_checksum",
]


def ones_sum(data: bytes) -> int:
    """The one's complement sum of the 16-bit words of ``data``; an odd end is padded with zero.

    Between 0 and 0xFFFF, and 0 only if every byte is: addition that wraps never comes back to
    +0, it ends at -0, which is 0xFFFF.
    """
    # "The sum of 16-bit integers can be computed in either byte order" (RFC 1071 2(B)): the bytes
    # of the result are swapped, that is all. Python reads little-endian numbers twice as fast, and
    # an odd end then needs no padding.
    number = int.from_bytes(data, "little")
    swapped = number % 0xFFFF
    if swapped:
        return (swapped & 0xFF) << 8 | swapped >> 8
    return 0xFFFF if number else 0


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
    total = ones_sum(data) + start
    return total != 0 and total % 0xFFFF == 0


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
