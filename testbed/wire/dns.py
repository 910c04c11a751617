"""DNS messages (RFC 1035 4), with the extension that names a larger size (RFC 6891)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

from testbed.errors import WireError
from testbed.wire.dns_name import DnsName, NameWriter, read_name
from testbed.wire.dns_records import (
    AAAA,
    CNAME,
    MX,
    NS,
    PTR,
    SOA,
    TXT,
    A,
    DnsClass,
    DnsData,
    DnsRecord,
    DnsType,
    RawData,
    RawRecord,
    read_record,
)
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = [
    "AAAA",
    "CNAME",
    "DNS_PORT",
    "MX",
    "NS",
    "PTR",
    "SOA",
    "TXT",
    "A",
    "DnsClass",
    "DnsData",
    "DnsMessage",
    "DnsName",
    "DnsQuestion",
    "DnsRcode",
    "DnsRecord",
    "DnsType",
    "Edns",
    "RawData",
]

DNS_PORT: Final = 53

_HEADER: Final = Struct("!HHHHHH")
_QUESTION: Final = Struct("!HH")
_OPT: Final = Struct("!HHIH")


class DnsRcode:
    """How a query was answered (RFC 1035 4.1.1)."""

    NOERROR: Final = 0
    FORMERR: Final = 1
    SERVFAIL: Final = 2
    NXDOMAIN: Final = 3
    NOTIMP: Final = 4
    REFUSED: Final = 5


@dataclass(frozen=True, slots=True)
class DnsQuestion:
    """What is asked: records of ``type`` under ``name``."""

    name: DnsName
    type: int = DnsType.A
    cls: int = DnsClass.IN

    def __post_init__(self) -> None:
        if type(self.name) is not DnsName:
            raise WireError("DNS question: name must be a DnsName value")
        if (self.type | self.cls) >> 16:
            raise out_of_range("DNS question", type=(self.type, 16), cls=(self.cls, 16))


@dataclass(frozen=True, slots=True)
class Edns:
    """What an OPT record says (RFC 6891 6.1): above all how large a UDP answer may be."""

    payload: int = 1232
    version: int = 0
    rcode: int = 0
    """The upper eight bits of the response's code."""
    flags: int = 0
    options: bytes = b""

    def __post_init__(self) -> None:
        if (self.payload | self.flags) >> 16 or (self.version | self.rcode) >> 8:
            raise out_of_range(
                "DNS OPT",
                payload=(self.payload, 16),
                version=(self.version, 8),
                rcode=(self.rcode, 8),
                flags=(self.flags, 16),
            )
        if type(self.options) is not bytes:
            raise not_bytes("DNS OPT", "options", self.options)

    def emit(self) -> bytes:
        """The bytes of the pseudo-record."""
        word = self.rcode << 24 | self.version << 16 | self.flags
        head = _OPT.pack(DnsType.OPT, self.payload, word, len(self.options))
        return b"\0" + head + self.options


@dataclass(frozen=True, slots=True)
class DnsMessage:
    """A query, or a response to one.

    The flags are those of RFC 1035 4.1.1 (and ``ad`` and ``cd`` of RFC 4035): ``aa`` the answer is
    the zone's own, ``tc`` it was cut to fit, ``rd`` find it out for me, ``ra`` I would. ``edns`` is
    the OPT record, which is not among ``additional``.
    """

    ident: int
    questions: tuple[DnsQuestion, ...] = ()
    answers: tuple[DnsRecord, ...] = ()
    authority: tuple[DnsRecord, ...] = ()
    additional: tuple[DnsRecord, ...] = ()
    response: bool = False
    rcode: int = DnsRcode.NOERROR
    opcode: int = 0
    aa: bool = False
    tc: bool = False
    rd: bool = False
    ra: bool = False
    ad: bool = False
    cd: bool = False
    edns: Edns | None = None

    def __post_init__(self) -> None:
        if self.ident >> 16 or (self.rcode | self.opcode) >> 4:
            raise out_of_range(
                "DNS message",
                ident=(self.ident, 16),
                rcode=(self.rcode, 4),
                opcode=(self.opcode, 4),
            )
        for records in (self.answers, self.authority, self.additional):
            if any(record.type == DnsType.OPT for record in records):
                raise WireError("DNS message: an OPT record belongs in edns")

    @classmethod
    def query(
        cls,
        ident: int,
        name: DnsName,
        kind: int = DnsType.A,
        *,
        rd: bool = False,
        edns: Edns | None = None,
    ) -> DnsMessage:
        """A question for the records of one type."""
        return cls(ident, (DnsQuestion(name, kind),), rd=rd, edns=edns)

    @property
    def question(self) -> DnsQuestion | None:
        """The one question that every message in use has, or None."""
        return self.questions[0] if len(self.questions) == 1 else None

    def emit(self) -> bytes:
        """The message's bytes, names compressed."""
        out = self._start()
        counts = [len(self.questions)]
        for section in (self.answers, self.authority, self.additional):
            for record in section:
                record.write(out)
            counts.append(len(section))
        return self._finish(out, counts)

    def emit_within(self, limit: int) -> bytes:
        """The message's bytes, at most ``limit``, TC set where something wanted is missing.

        RFC 2181 9: TC says that a set of records that was required did not fit; leaving out
        additional ones is none of its business, but for the glue of a referral (RFC 9471 2.1).
        """
        whole = self.emit()
        if len(whole) <= limit:
            return whole
        referral = not self.answers and not self.aa and bool(self.authority)
        fewer = replace(self, tc=self.tc or referral)
        if len(replace(fewer, additional=()).emit()) <= limit:
            return _shortened(fewer, "additional", limit)
        cut = replace(self, additional=(), authority=(), tc=True)
        return _shortened(cut, "answers", limit)

    def _start(self) -> NameWriter:
        out = NameWriter()
        out.data += bytes(_HEADER.size)
        for question in self.questions:
            out.name(question.name)
            out.data += _QUESTION.pack(question.type, question.cls)
        return out

    def _finish(self, out: NameWriter, counts: list[int]) -> bytes:
        if self.edns is not None:
            out.data += self.edns.emit()
            counts[3] += 1
        if len(out.data) > 0xFFFF:
            raise WireError(f"DNS message: {len(out.data)} bytes, expected at most 65535")
        out.data[: _HEADER.size] = _HEADER.pack(self.ident, self._flags(), *counts)
        return bytes(out.data)

    def _flags(self) -> int:
        return (
            self.response << 15
            | self.opcode << 11
            | self.aa << 10
            | self.tc << 9
            | self.rd << 8
            | self.ra << 7
            | self.ad << 5
            | self.cd << 4
            | self.rcode
        )

    @staticmethod
    def parse(data: bytes) -> DnsMessage:
        """The message at the start of ``data``.

        Raises WireError where it is cut short, a name in it has no end, the data of a record is not
        as long as it says, or there is more than one OPT.
        """
        if len(data) < _HEADER.size:
            raise WireError(f"a DNS message has 12 bytes or more, {len(data)} came", len(data))
        ident, flags, count, *counts = _HEADER.unpack_from(data)
        here = _HEADER.size
        questions = []
        for _ in range(count):
            name, here = read_name(data, here)
            if here + _QUESTION.size > len(data):
                raise WireError("DNS question is cut short", len(data))
            questions.append(DnsQuestion(name, *_QUESTION.unpack_from(data, here)))
            here += _QUESTION.size
        sections: list[list[DnsRecord | RawRecord]] = []
        for length in counts:
            section = []
            for _ in range(length):
                record, here = read_record(data, here)
                section.append(record)
            sections.append(section)
        answers, authority, additional = (_without_opt(section) for section in sections)
        return DnsMessage(
            ident,
            tuple(questions),
            answers,
            authority,
            additional,
            bool(flags >> 15),
            flags & 15,
            flags >> 11 & 15,
            bool(flags >> 10 & 1),
            bool(flags >> 9 & 1),
            bool(flags >> 8 & 1),
            bool(flags >> 7 & 1),
            bool(flags >> 5 & 1),
            bool(flags >> 4 & 1),
            _edns(*sections),
        )


def _shortened(message: DnsMessage, section: str, limit: int) -> bytes:
    """The bytes with as many records of ``section`` as fit into ``limit``."""
    records = getattr(message, section)
    low, high = 0, len(records)
    while low < high:
        middle = (low + high + 1) // 2
        if len(replace(message, **{section: records[:middle]}).emit()) <= limit:
            low = middle
        else:
            high = middle - 1
    return replace(message, **{section: records[:low]}).emit()


def _without_opt(section: Iterable[DnsRecord | RawRecord]) -> tuple[DnsRecord, ...]:
    return tuple(record for record in section if isinstance(record, DnsRecord))


def _edns(
    answers: list[DnsRecord | RawRecord],
    authority: list[DnsRecord | RawRecord],
    additional: list[DnsRecord | RawRecord],
) -> Edns | None:
    """What the OPT record says; WireError if there are several, or it is out of its place."""
    for record in (*answers, *authority):
        if isinstance(record, RawRecord):
            raise WireError("DNS OPT record outside the additional section", record.at)
    found = [record for record in additional if isinstance(record, RawRecord)]
    if not found:
        return None
    if len(found) > 1 or found[0].name != DnsName.ROOT:
        raise WireError("DNS OPT record, expected one, under the root", found[-1].at)
    opt = found[0]
    word = opt.ttl
    return Edns(opt.cls, word >> 16 & 0xFF, word >> 24, word & 0xFFFF, opt.data)
