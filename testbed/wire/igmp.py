"""IGMP messages of versions 1 and 2 (RFC 1112 appendix I, RFC 2236): who listens to which group."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from testbed.errors import WireError
from testbed.wire.addresses import ipv4_from_int
from testbed.wire.checksum import checksum_ok, fold, ones_sum
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = ["IgmpMessage", "IgmpType"]

_LAYOUT = Struct("!BBHI")
_ALL: Final = IPv4Address(0)


class IgmpType:
    """What a message says (RFC 2236 2.1; version 3's report: RFC 3376 4)."""

    QUERY: Final = 0x11
    V1_REPORT: Final = 0x12
    V2_REPORT: Final = 0x16
    LEAVE: Final = 0x17
    V3_REPORT: Final = 0x22


@dataclass(frozen=True, slots=True)
class IgmpMessage:
    """An IGMP message: its kind and the group it speaks of, 0.0.0.0 in a general query.

    ``max_response`` is a query's, in tenths of a second; a version 1 querier sends 0, which means
    ten seconds (RFC 2236 4). ``rest`` is what later versions append: the checksum covers it, and
    versions 1 and 2 look no further (RFC 2236 2.5).
    """

    type: int
    group: IPv4Address
    max_response: int = 0
    rest: bytes = b""

    def __post_init__(self) -> None:
        if (self.type | self.max_response) >> 8:
            raise out_of_range(
                "IGMP message", type=(self.type, 8), max_response=(self.max_response, 8)
            )
        if type(self.group) is not IPv4Address:
            raise WireError("IGMP message: group must be an IPv4Address value")
        if type(self.rest) is not bytes:
            raise not_bytes("IGMP message", "rest", self.rest)

    @classmethod
    def query(cls, group: IPv4Address = _ALL, max_response: int = 100) -> IgmpMessage:
        """Who listens to ``group``, or to any? 100 is the default of RFC 2236 8.3: 10 s."""
        return cls(IgmpType.QUERY, group, max_response)

    @classmethod
    def report(cls, group: IPv4Address, *, version: int = 2) -> IgmpMessage:
        """I listen to ``group``; version 1's form is for networks with a version 1 querier."""
        return cls(IgmpType.V1_REPORT if version == 1 else IgmpType.V2_REPORT, group)

    @classmethod
    def leave(cls, group: IPv4Address) -> IgmpMessage:
        """I no longer listen to ``group``."""
        return cls(IgmpType.LEAVE, group)

    @property
    def is_query(self) -> bool:
        """Whether it asks for reports."""
        return self.type == IgmpType.QUERY

    @property
    def is_report(self) -> bool:
        """Whether it reports one group, by version 1 or 2."""
        return self.type in {IgmpType.V1_REPORT, IgmpType.V2_REPORT}

    def emit(self, *, checksum: int | None = None) -> bytes:
        """The message's bytes; ``checksum`` replaces the right one, to send a wrong one."""
        kind, time, group = self.type, self.max_response, int(self.group)
        if checksum is None:
            checksum = fold((kind << 8) + time + group + ones_sum(self.rest))
        elif checksum >> 16:
            raise out_of_range("IGMP message", checksum=(checksum, 16))
        return _LAYOUT.pack(kind, time, checksum, group) + self.rest

    @staticmethod
    def parse(data: bytes, *, verify: bool = True) -> IgmpMessage:
        """The message that ``data`` is, to its end.

        ``verify`` refuses a wrong checksum. Raises WireError where it is cut short.
        """
        if len(data) < 8:
            raise WireError(f"an IGMP message has 8 bytes, {len(data)} came", len(data))
        kind, time, _, group = _LAYOUT.unpack_from(data)
        if verify and not checksum_ok(data):
            raise WireError("IGMP checksum is wrong", 2)
        return IgmpMessage(kind, ipv4_from_int(group), time, data[8:])
