"""DNS resource records (RFC 1035 3.2 to 3.4, RFC 3596): their types and what each holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import ClassVar, Final, TypeAlias

from testbed.errors import WireError
from testbed.wire.addresses import ipv4_from_int
from testbed.wire.dns_name import DnsName, NameWriter, read_name
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = [
    "AAAA",
    "CNAME",
    "MX",
    "NS",
    "PTR",
    "SOA",
    "TXT",
    "A",
    "DnsClass",
    "DnsData",
    "DnsRecord",
    "DnsType",
    "RawData",
    "RawRecord",
    "read_record",
]

_FIXED: Final = Struct("!HHiH")
_TIMES: Final = Struct("!IIIII")


class DnsType:
    """Types of records, and of questions (IANA, DNS Parameters)."""

    A: Final = 1
    NS: Final = 2
    CNAME: Final = 5
    SOA: Final = 6
    PTR: Final = 12
    MX: Final = 15
    TXT: Final = 16
    AAAA: Final = 28
    OPT: Final = 41
    ANY: Final = 255


class DnsClass:
    """Classes: the Internet, and what else there once was."""

    IN: Final = 1
    CH: Final = 3
    HS: Final = 4
    ANY: Final = 255


@dataclass(frozen=True, slots=True)
class A:
    """A host's address."""

    address: IPv4Address
    type: ClassVar[int] = DnsType.A

    def __post_init__(self) -> None:
        if type(self.address) is not IPv4Address:
            raise WireError("DNS A: address must be an IPv4Address value")

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        out.data += self.address.packed


@dataclass(frozen=True, slots=True)
class AAAA:
    """A host's IPv6 address (RFC 3596)."""

    address: IPv6Address
    type: ClassVar[int] = DnsType.AAAA

    def __post_init__(self) -> None:
        if type(self.address) is not IPv6Address:
            raise WireError("DNS AAAA: address must be an IPv6Address value")

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        out.data += self.address.packed


@dataclass(frozen=True, slots=True)
class _Target:
    target: DnsName

    def __post_init__(self) -> None:
        if type(self.target) is not DnsName:
            raise WireError(f"DNS {type(self).__name__}: target must be a DnsName value")

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        out.name(self.target)


@dataclass(frozen=True, slots=True)
class NS(_Target):
    """A server that has the zone."""

    type: ClassVar[int] = DnsType.NS


@dataclass(frozen=True, slots=True)
class CNAME(_Target):
    """The name is an alias: all else is found under ``target``."""

    type: ClassVar[int] = DnsType.CNAME


@dataclass(frozen=True, slots=True)
class PTR(_Target):
    """A pointer, as from an address back to its name."""

    type: ClassVar[int] = DnsType.PTR


@dataclass(frozen=True, slots=True)
class SOA:
    """The start of a zone: times in seconds; ``minimum`` is how long to believe that there is none.

    RFC 2308 4 gave ``minimum`` that meaning: the TTL of negative answers.
    """

    primary: DnsName
    mailbox: DnsName
    serial: int = 1
    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    minimum: int = 300
    type: ClassVar[int] = DnsType.SOA

    def __post_init__(self) -> None:
        if type(self.primary) is not DnsName or type(self.mailbox) is not DnsName:
            raise WireError("DNS SOA: primary and mailbox must be DnsName values")
        if (self.serial | self.refresh | self.retry | self.expire | self.minimum) >> 32:
            raise out_of_range(
                "DNS SOA",
                serial=(self.serial, 32),
                refresh=(self.refresh, 32),
                retry=(self.retry, 32),
                expire=(self.expire, 32),
                minimum=(self.minimum, 32),
            )

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        out.name(self.primary)
        out.name(self.mailbox)
        out.data += _TIMES.pack(self.serial, self.refresh, self.retry, self.expire, self.minimum)


@dataclass(frozen=True, slots=True)
class MX:
    """A host that takes mail for the name; the lowest preference first."""

    preference: int
    exchange: DnsName
    type: ClassVar[int] = DnsType.MX

    def __post_init__(self) -> None:
        if self.preference >> 16:
            raise out_of_range("DNS MX", preference=(self.preference, 16))
        if type(self.exchange) is not DnsName:
            raise WireError("DNS MX: exchange must be a DnsName value")

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        out.data += self.preference.to_bytes(2, "big")
        out.name(self.exchange)


@dataclass(frozen=True, slots=True)
class TXT:
    """Text: one string or more, each of 255 bytes at most."""

    strings: tuple[bytes, ...]
    type: ClassVar[int] = DnsType.TXT

    def __post_init__(self) -> None:
        if not self.strings:
            raise WireError("DNS TXT: no strings, expected one or more")
        for string in self.strings:
            if type(string) is not bytes:
                raise not_bytes("DNS TXT", "string", string)
            if len(string) > 255:
                raise WireError(f"DNS TXT: string of {len(string)} bytes, expected at most 255")

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        for string in self.strings:
            out.data += bytes((len(string),)) + string


@dataclass(frozen=True, slots=True)
class RawData:
    """Data of any other type, as bytes (RFC 3597)."""

    type: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if self.type >> 16:
            raise out_of_range("DNS record", type=(self.type, 16))
        if type(self.data) is not bytes:
            raise not_bytes("DNS record", "data", self.data)
        if len(self.data) > 0xFFFF:
            raise WireError(f"DNS record: {len(self.data)} bytes of data, expected at most 65535")

    def write(self, out: NameWriter) -> None:
        """Append the data to a message."""
        out.data += self.data


DnsData: TypeAlias = A | AAAA | NS | CNAME | PTR | SOA | MX | TXT | RawData
"""What a record holds; fit for ``isinstance`` too."""


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A resource record. ``ttl`` is in seconds, 31 bits (RFC 2181 8)."""

    name: DnsName
    data: DnsData
    ttl: int = 3600
    cls: int = DnsClass.IN

    def __post_init__(self) -> None:
        if type(self.name) is not DnsName or not isinstance(self.data, DnsData):
            raise WireError("DNS record: name must be a DnsName value, data a DnsData value")
        if self.ttl >> 31 or self.cls >> 16:
            raise out_of_range("DNS record", ttl=(self.ttl, 31), cls=(self.cls, 16))
        if (_reader(self.data.type, self.cls) is None) != (type(self.data) is RawData):
            kind = type(self.data).__name__
            raise WireError(f"DNS record: {kind} is not how class {self.cls} has its type")

    @property
    def type(self) -> int:
        """The type of its data (DnsType)."""
        return self.data.type

    def write(self, out: NameWriter) -> None:
        """Append the record to a message."""
        out.name(self.name)
        out.data += _FIXED.pack(self.data.type, self.cls, self.ttl, 0)
        start = len(out.data)
        self.data.write(out)
        length = len(out.data) - start
        if length > 0xFFFF:
            raise WireError(f"DNS record: {length} bytes of data, expected at most 65535")
        out.data[start - 2 : start] = length.to_bytes(2, "big")


_Reader: TypeAlias = Callable[[bytes, int, int], tuple[DnsData, int]]
"""Given the message, where the data starts and where it ends: the data, and where that ended."""


def _read_a(data: bytes, at: int, end: int) -> tuple[A, int]:
    return A(ipv4_from_int(int.from_bytes(data[at : min(at + 4, end)], "big"))), at + 4


def _read_aaaa(data: bytes, at: int, end: int) -> tuple[AAAA, int]:
    return AAAA(IPv6Address(int.from_bytes(data[at : min(at + 16, end)], "big"))), at + 16


def _read_target(kind: type[NS | CNAME | PTR]) -> _Reader:
    def read(data: bytes, at: int, _: int) -> tuple[DnsData, int]:
        target, here = read_name(data, at)
        return kind(target), here

    return read


def _read_soa(data: bytes, at: int, end: int) -> tuple[SOA, int]:
    primary, here = read_name(data, at)
    mailbox, here = read_name(data, here)
    if here + _TIMES.size > end:
        raise WireError("DNS SOA is cut short", min(here, end))
    return SOA(primary, mailbox, *_TIMES.unpack_from(data, here)), here + _TIMES.size


def _read_mx(data: bytes, at: int, _: int) -> tuple[MX, int]:
    exchange, here = read_name(data, at + 2)
    return MX(int.from_bytes(data[at : at + 2], "big"), exchange), here


def _read_txt(data: bytes, at: int, end: int) -> tuple[TXT, int]:
    strings = []
    here = at
    while here < end:
        after = here + 1 + data[here]
        strings.append(data[here + 1 : after])
        here = after
    if not strings:
        raise WireError("DNS TXT without a string", at)
    return TXT(tuple(strings)), here


_READERS: Final[dict[int, _Reader]] = {
    DnsType.A: _read_a,
    DnsType.NS: _read_target(NS),
    DnsType.CNAME: _read_target(CNAME),
    DnsType.SOA: _read_soa,
    DnsType.PTR: _read_target(PTR),
    DnsType.MX: _read_mx,
    DnsType.TXT: _read_txt,
    DnsType.AAAA: _read_aaaa,
}


def _reader(kind: int, cls: int) -> _Reader | None:
    """What reads data of this type in this class; None if RawData is to hold it.

    RFC 1035 3.3 has most types the same in all classes, 3.4 addresses the Internet's own.
    """
    if kind in {DnsType.A, DnsType.AAAA}:
        return _READERS[kind] if cls == DnsClass.IN else None
    return _READERS.get(kind) if cls in {DnsClass.IN, DnsClass.CH, DnsClass.HS} else None


def read_record(data: bytes, at: int) -> tuple[DnsRecord | RawRecord, int]:
    """The record at ``at`` in the message ``data``, and where what follows it starts.

    The pseudo-record OPT is given raw. WireError where it is cut short or its data is not as long
    as it says.
    """
    name, here = read_name(data, at)
    if here + _FIXED.size > len(data):
        raise WireError("DNS record is cut short", len(data))
    kind, cls, ttl, length = _FIXED.unpack_from(data, here)
    start = here + _FIXED.size
    end = start + length
    if end > len(data):
        raise WireError(f"DNS record with {length} bytes of data is cut short", len(data))
    if kind == DnsType.OPT:
        return RawRecord(name, cls, ttl & 0xFFFFFFFF, data[start:end], at), end
    # RFC 2181 8: a TTL with its most significant bit set counts as zero.
    ttl = max(0, ttl)
    reader = _reader(kind, cls)
    if reader is None:
        return DnsRecord(name, RawData(kind, data[start:end]), ttl, cls), end
    held, stop = reader(data, start, end)
    if stop != end:
        raise WireError(f"DNS record: {length} bytes of data, it has {stop - start}", start)
    return DnsRecord(name, held, ttl, cls), end


@dataclass(frozen=True, slots=True)
class RawRecord:
    """An OPT pseudo-record, whose fields mean something else (RFC 6891 6.1.2)."""

    name: DnsName
    cls: int
    ttl: int
    data: bytes
    at: int
