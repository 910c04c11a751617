"""What a DNS resolver remembers, as long as it may (RFC 1035 7.4, RFC 2181 5.4.1, RFC 2308)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.dns import SOA, DnsName, DnsRecord

__all__ = ["Denial", "DnsCache", "Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """Records of one name and type, until ``expires``; ``rank`` tells how far they are believed."""

    records: tuple[DnsRecord, ...]
    expires: Instant
    rank: int


@dataclass(frozen=True, slots=True)
class Denial:
    """There is no such name (``name_error``), or none of its records are of the type."""

    name_error: bool
    expires: Instant


class DnsCache:
    """Bounded: when it is full, what expires first goes first."""

    __slots__ = ("_denials", "_known", "limit", "longest", "longest_denial")

    ANSWER = 2
    REFERRAL = 1
    """RFC 2181 5.4.1: what came as an answer is not replaced by what came beside one."""

    def __init__(self, limit: int, longest: Duration, longest_denial: Duration) -> None:
        self._known: dict[tuple[DnsName, int], Known] = {}
        self._denials: dict[tuple[DnsName, int | None], Denial] = {}
        self.limit = limit
        self.longest = longest
        self.longest_denial = longest_denial

    def put(self, records: Iterable[DnsRecord], now: Instant, rank: int) -> None:
        """Remember records, set by set; a TTL of 0 is for the transaction in hand only."""
        sets: dict[tuple[DnsName, int], list[DnsRecord]] = {}
        for record in records:
            sets.setdefault((record.name, record.type), []).append(record)
        for key, held in sets.items():
            known = self._known.get(key)
            if known is not None and known.expires > now and known.rank > rank:
                continue
            # RFC 2181 5.2: the records of a set have one TTL; should they not, the least counts.
            span = min(seconds(min(record.ttl for record in held)), self.longest)
            self._make_room(now)
            self._known[key] = Known(tuple(held), after(now, span), rank)
            self._denials.pop(key, None)

    def get(self, name: DnsName, kind: int, now: Instant) -> tuple[DnsRecord, ...]:
        """The records still believed, their TTLs counted down."""
        known = self._known.get((name, kind))
        if known is None or not self.fresh(known.expires, now):
            return ()
        left = max(0, (known.expires - now) // 1_000_000_000)
        return tuple(replace(record, ttl=left) for record in known.records)

    def fresh(self, expires: Instant, now: Instant) -> bool:
        """Whether what expires then is still to be believed."""
        return now < expires

    def deny(
        self, name: DnsName, kind: int, soa: DnsRecord, now: Instant, *, name_error: bool
    ) -> None:
        """Remember that there is none, for as long as the SOA's minimum says (RFC 2308 5)."""
        least = min(soa.ttl, soa.data.minimum) if isinstance(soa.data, SOA) else 0
        span = min(seconds(least), self.longest_denial)
        self._make_room(now)
        # RFC 2308 5: a name error is of the name, whatever the type.
        key = (name, None if name_error else kind)
        self._denials[key] = Denial(name_error, after(now, span))

    def denial(self, name: DnsName, kind: int, now: Instant) -> Denial | None:
        """Whether it is known that there is none."""
        for key in ((name, kind), (name, None)):
            found = self._denials.get(key)
            if found is not None and self.fresh(found.expires, now):
                return found
        return None

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._denials.clear()

    def _make_room(self, now: Instant) -> None:
        if len(self) < self.limit:
            return
        self._known = {key: held for key, held in self._known.items() if held.expires > now}
        self._denials = {key: held for key, held in self._denials.items() if held.expires > now}
        while self._known and len(self) >= self.limit:
            del self._known[min(self._known, key=lambda key: self._known[key].expires)]
        while len(self) >= self.limit:
            del self._denials[min(self._denials, key=lambda key: self._denials[key].expires)]

    def __len__(self) -> int:
        return len(self._known) + len(self._denials)
