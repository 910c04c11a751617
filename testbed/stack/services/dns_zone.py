"""DNS zones: what a server knows, and what it says of a name (RFC 1034 4.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from testbed.errors import PlanError
from testbed.wire.dns import MX, NS, SOA, DnsName, DnsRecord, DnsType

__all__ = ["Finding", "Found", "Zone"]


class Found(Enum):
    """What became of a look-up in one zone."""

    ANSWER = "answer"
    ALIAS = "alias"  # a CNAME: the look-up goes on at its target
    REFERRAL = "referral"  # the name is in a zone that was delegated from here
    NO_DATA = "no data"  # the name exists, without records of the type
    NO_NAME = "no name"


@dataclass(frozen=True, slots=True)
class Finding:
    """The records that were found: of the answer, the CNAME, or the delegation."""

    kind: Found
    records: tuple[DnsRecord, ...] = ()


class Zone:
    """A zone: records under ``origin``, one SOA among them; names below a delegation are glue.

    PlanError for records that do not belong into it.
    """

    __slots__ = ("_names", "_sets", "origin", "soa")

    def __init__(self, origin: DnsName | str, records: Iterable[DnsRecord]) -> None:
        self.origin = DnsName(origin)
        self._sets: dict[tuple[DnsName, int], tuple[DnsRecord, ...]] = {}
        self._names: set[DnsName] = set()
        for record in records:
            self._add(record)
        found = self._sets.get((self.origin, DnsType.SOA), ())
        if len(found) != 1:
            raise PlanError(f"zone {self.origin}: {len(found)} SOA records at its top, expected 1")
        self.soa = found[0]

    def _add(self, record: DnsRecord) -> None:
        if not record.name.within(self.origin):
            raise PlanError(f"zone {self.origin}: {record.name} lies outside")
        key = record.name, record.type
        self._sets[key] = (*self._sets.get(key, ()), record)
        # RFC 4592 2.2.2: names above a record exist too, though they have none themselves.
        self._names.update(name for name in record.name.above() if name.within(self.origin))

    def get(self, name: DnsName, kind: int) -> tuple[DnsRecord, ...]:
        """The records of one type under a name."""
        return self._sets.get((name, kind), ())

    def find(self, name: DnsName, kind: int) -> Finding:
        """What the zone says of ``name``, which lies in it."""
        cut = self.delegation(name)
        if cut:
            return Finding(Found.REFERRAL, cut)
        if name not in self._names and (star := self.wildcard(name)) is not None:
            found = self.find(star, kind)
            made = tuple(replace(record, name=name) for record in found.records)
            return Finding(found.kind, made)
        alias = self.get(name, DnsType.CNAME)
        if alias and kind not in {DnsType.CNAME, DnsType.ANY}:
            return Finding(Found.ALIAS, alias)
        records = tuple(self._of(name)) if kind == DnsType.ANY else self.get(name, kind)
        if records:
            return Finding(Found.ANSWER, records)
        return Finding(Found.NO_DATA if name in self._names else Found.NO_NAME)

    def wildcard(self, name: DnsName) -> DnsName | None:
        """The ``*`` below the closest name that exists above ``name`` (RFC 4592 3.3.1)."""
        closest = next(each for each in name.above() if each in self._names)
        star = DnsName((b"*", *closest.labels))
        return star if star in self._names else None

    def _of(self, name: DnsName) -> Iterator[DnsRecord]:
        for (owner, _), records in self._sets.items():
            if owner == name:
                yield from records

    def delegation(self, name: DnsName) -> tuple[DnsRecord, ...]:
        """The NS records of the topmost zone cut between the origin and ``name``, if any."""
        below = [each for each in name.above() if each.within(self.origin) and each != self.origin]
        for each in reversed(below):
            if found := self.get(each, DnsType.NS):
                return found
        return ()

    def negative(self) -> DnsRecord:
        """The SOA for a negative answer.

        RFC 2308 3: "The TTL of this record is set from the minimum of the MINIMUM field of the SOA
        record and the TTL of the SOA itself".
        """
        data = self.soa.data
        least = min(self.soa.ttl, data.minimum) if isinstance(data, SOA) else self.soa.ttl
        return DnsRecord(self.soa.name, data, least, self.soa.cls)

    def addresses(self, records: Iterable[DnsRecord]) -> tuple[DnsRecord, ...]:
        """The addresses, glue or not, of the hosts that NS and MX records name."""
        targets = [each.data.target for each in records if isinstance(each.data, NS)]
        targets += [each.data.exchange for each in records if isinstance(each.data, MX)]
        kinds = (DnsType.A, DnsType.AAAA)
        return tuple(each for name in targets for kind in kinds for each in self.get(name, kind))
