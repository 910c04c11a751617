"""What all ICMP messages share: the layout of RFC 792, and the numbers of their types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct
from typing import Final

from testbed.wire.checksum import fold, ones_sum
from testbed.wire.ranges import out_of_range

__all__ = ["ICMP_HEADER", "IcmpMessage", "IcmpType"]

ICMP_HEADER: Final = Struct("!BBHI")
"""Type, code, checksum, and one word whose meaning is the type's."""


class IcmpType:
    """Message types (IANA, ICMP Parameters)."""

    ECHO_REPLY: Final = 0
    DESTINATION_UNREACHABLE: Final = 3
    SOURCE_QUENCH: Final = 4
    REDIRECT: Final = 5
    ECHO_REQUEST: Final = 8
    ROUTER_ADVERTISEMENT: Final = 9
    ROUTER_SOLICITATION: Final = 10
    TIME_EXCEEDED: Final = 11
    PARAMETER_PROBLEM: Final = 12
    TIMESTAMP: Final = 13
    TIMESTAMP_REPLY: Final = 14
    MASK_REQUEST: Final = 17
    MASK_REPLY: Final = 18


class IcmpMessage(ABC):
    """A message: type, code, checksum, one word, a body."""

    __slots__ = ()

    @abstractmethod
    def _parts(self) -> tuple[int, int, int, bytes]:
        """Type, code, the header's second word, and what follows the header."""

    def emit(self, *, checksum: int | None = None) -> bytes:
        """The message's bytes; ``checksum`` replaces the right one, to send a wrong one."""
        kind, code, word, body = self._parts()
        if checksum is None:
            checksum = fold((kind << 8) + code + word + ones_sum(body))
        elif checksum >> 16:
            raise out_of_range("ICMP message", checksum=(checksum, 16))
        return ICMP_HEADER.pack(kind, code, checksum, word) + body
