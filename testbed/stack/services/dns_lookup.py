"""One look-up of a DNS resolver, from question to answer (RFC 1034 5.3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from testbed.stack.services.dns_answers import Reading, read_answer
from testbed.stack.services.dns_cache import DnsCache
from testbed.stack.services.dns_exchange import Exchange
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant, seconds
from testbed.wire.dns import (
    CNAME,
    NS,
    A,
    DnsMessage,
    DnsName,
    DnsQuestion,
    DnsRcode,
    DnsRecord,
    DnsType,
    Edns,
)

__all__ = ["Budget", "DnsConfig", "Lookup", "Resolution", "Shared"]


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """A resolver's choices, timers and bounds."""

    roots: tuple[IPv4Address, ...] = ()
    """Where the root's servers are: iteration starts there."""
    servers: tuple[IPv4Address, ...] = ()
    """Recursive servers to ask instead of iterating: a stub resolver (RFC 1123 6.1.3.1)."""
    first_timeout: Duration = seconds(2)
    """Until the next server is asked; doubled with each round through all of them."""
    rounds: int = 3
    """How often each server of a zone is asked."""
    max_queries: int = 64
    """Questions sent for one look-up, those for its servers' addresses included: RFC 1034 5.3.3
    wants the work for one request bounded, whatever others have configured."""
    max_aliases: int = 16
    """CNAMEs followed."""
    max_depth: int = 4
    """Look-ups for addresses of servers, within such look-ups."""
    payload: int | None = 1232
    """The size of UDP answers asked for by EDNS; None sends no OPT record."""
    cache_limit: int = 10_000
    """Entries held."""
    longest: Duration = seconds(604_800)
    """No TTL is believed longer (RFC 1035 7.3 wants a bound: a week)."""
    longest_denial: Duration = seconds(10_800)
    """RFC 2308 5: 'values of one to three hours have been found to work well'."""


@dataclass(slots=True)
class Shared:
    """What all look-ups of a resolver share."""

    stack: Stack
    config: DnsConfig
    cache: DnsCache
    exchange: type[Exchange]


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a look-up ended: records, or the reason why there are none.

    ``source`` is ``hosts``, ``cache`` or ``servers``. ``rcode`` SERVFAIL stands for servers that
    did not answer, or not sensibly; ``why`` says so in words.
    """

    records: tuple[DnsRecord, ...] = ()
    aliases: tuple[DnsRecord, ...] = ()
    rcode: int = DnsRcode.NOERROR
    source: str = "servers"
    why: str = ""

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """The addresses among the records."""
        return tuple(each.data.address for each in self.records if isinstance(each.data, A))


Finished: TypeAlias = Callable[[Resolution, Instant], None]


@dataclass(slots=True)
class Budget:
    """What is left of the work that one look-up may cause."""

    left: int


@dataclass(slots=True)
class _Zone:
    """Whom to ask now: the servers of ``name``, by address, or by name where that is all."""

    name: DnsName
    addresses: list[IPv4Address]
    unresolved: list[DnsName] = field(default_factory=list)
    tried: int = 0


_CLASSICAL: Final = frozenset({DnsRcode.NOERROR, DnsRcode.NXDOMAIN})


class Lookup:
    """A question under way; ``result`` is None until it is answered."""

    __slots__ = (
        "_aliases",
        "_child",
        "_edns",
        "_exchange",
        "_finished",
        "_shared",
        "_zone",
        "asked",
        "budget",
        "depth",
        "name",
        "question",
        "result",
    )

    def __init__(
        self,
        shared: Shared,
        question: DnsQuestion,
        finished: Finished | None = None,
        *,
        parent: Lookup | None = None,
    ) -> None:
        self._shared = shared
        self._finished = finished
        self.budget: Budget = parent.budget if parent else Budget(shared.config.max_queries)
        """The questions that may still be asked, by it and by those within it."""
        self.depth: int = parent.depth + 1 if parent else 0
        self._aliases: list[DnsRecord] = []
        self._child: Lookup | None = None
        self._exchange: Exchange | None = None
        self._edns = shared.config.payload
        self._zone: _Zone | None = None
        self.question = question
        self.name = question.name
        """The name looked for now: the question's, or that of its alias."""
        self.asked = False
        """Whether any server was asked."""
        self.result: Resolution | None = None

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self.result is not None

    def cancel(self, now: Instant) -> None:
        """Give up without a result."""
        if self._child is not None:
            self._child.cancel(now)
        if self._exchange is not None:
            self._exchange.cancel(now)
        self._child = self._exchange = None

    def step(self, now: Instant) -> None:
        """Answer from what is known; ask on where that is not enough."""
        cache, kind = self._shared.cache, self.question.type
        while not self.done:
            records = cache.get(self.name, kind, now)
            if records:
                self.finish(Resolution(records), now)
                return
            alias = cache.get(self.name, DnsType.CNAME, now)
            if alias:
                self.follow(alias[0], now)
                continue
            denial = cache.denial(self.name, kind, now)
            if denial is not None:
                rcode = DnsRcode.NXDOMAIN if denial.name_error else DnsRcode.NOERROR
                self.finish(Resolution(rcode=rcode), now)
                return
            self._zone = self.nearest(now)
            self._ask(now)
            return

    def follow(self, alias: DnsRecord, now: Instant) -> None:
        """Go on under the name that an alias points to; loops and long chains end here."""
        data = alias.data
        if not isinstance(data, CNAME):
            return
        self._aliases.append(alias)
        seen = any(data.target == each.name for each in self._aliases)
        if seen or len(self._aliases) > self._shared.config.max_aliases:
            self.fail("aliases that lead nowhere", now)
        self.name = data.target

    def nearest(self, now: Instant) -> _Zone:
        """The servers of the closest zone known: a stub's, the cache's, or the root's."""
        config, cache = self._shared.config, self._shared.cache
        if config.servers:
            return _Zone(DnsName.ROOT, list(config.servers))
        for above in self.name.above():
            servers = cache.get(above, DnsType.NS, now)
            if servers:
                zone = self._zone_of(above, servers, now)
                if zone.addresses or zone.unresolved:
                    return zone
        return _Zone(DnsName.ROOT, list(config.roots))

    def _zone_of(self, name: DnsName, servers: tuple[DnsRecord, ...], now: Instant) -> _Zone:
        zone = _Zone(name, [])
        for record in servers:
            if not isinstance(record.data, NS):
                continue
            target = record.data.target
            found = self._shared.cache.get(target, DnsType.A, now)
            zone.addresses += [each.data.address for each in found if isinstance(each.data, A)]
            # A server within its own zone, without glue, can only be found by asking itself.
            if not found and not target.within(name):
                zone.unresolved.append(target)
        return zone

    # Asking

    def _ask(self, now: Instant) -> None:
        """Ask the next server, or find one's address first, or give up."""
        zone, config = self._zone, self._shared.config
        if zone is None or self.done:
            return
        exhausted = zone.tried >= config.rounds * len(zone.addresses)
        if exhausted and zone.unresolved and self.depth < config.max_depth:
            self._find_server(zone, now)
        elif exhausted:
            self.fail(f"no server of {zone.name} answers", now)
        elif self.budget.left <= 0:
            self.fail("too many questions", now)
        else:
            self.budget.left -= 1
            self.asked = True
            self._send(zone, now)

    def _send(self, zone: _Zone, now: Instant) -> None:
        config = self._shared.config
        turn, place = divmod(zone.tried, len(zone.addresses))
        zone.tried += 1
        question = DnsQuestion(self.name, self.question.type)
        made = self._shared.exchange(
            self._shared.stack,
            question,
            zone.addresses[place],
            Duration(config.first_timeout << turn),
            self._hear,
        )
        self._exchange = made
        edns = None if self._edns is None else Edns(self._edns)
        made.ask(now, edns=edns, rd=bool(config.servers))

    def _find_server(self, zone: _Zone, now: Instant) -> None:
        target = zone.unresolved.pop(0)

        def found(result: Resolution, then: Instant) -> None:
            self._child = None
            zone.addresses += result.addresses
            self._ask(then)

        child = Lookup(self._shared, DnsQuestion(target), found, parent=self)
        self._child = child
        child.step(now)

    def _hear(self, message: DnsMessage | None, now: Instant) -> None:
        self._exchange = None
        if message is None:
            self._ask(now)
        elif message.rcode in _CLASSICAL:
            self._take(message, now)
        else:
            if message.rcode == DnsRcode.FORMERR and self._edns is not None and self._zone:
                # RFC 6891 7: FORMERR, "the requestor MAY retry without EDNS".
                self._edns = None
                self._zone.tried -= 1
            self._ask(now)

    # Answers

    def _take(self, message: DnsMessage, now: Instant) -> None:
        """Believe what the servers asked may say, and go on from there."""
        zone = self._zone
        if zone is None:
            return
        reading = read_answer(message, self.name, self.question.type, zone.name)
        self.remember(reading, now)
        for alias in reading.aliases:
            self.follow(alias, now)
            if self.done:
                return
        if reading.records:
            self.finish(Resolution(reading.records), now)
        elif reading.denied:
            if reading.soa is not None:
                self._shared.cache.deny(
                    self.name,
                    self.question.type,
                    reading.soa,
                    now,
                    name_error=reading.name_error,
                )
            rcode = DnsRcode.NXDOMAIN if reading.name_error else DnsRcode.NOERROR
            self.finish(Resolution(rcode=rcode), now)
        elif reading.aliases:
            self.step(now)
        elif reading.delegation:
            self._go_down(reading, now)
        else:
            self._ask(now)  # a lame server: it neither answers nor refers

    def _go_down(self, reading: Reading, now: Instant) -> None:
        """Ask the servers of the zone that was delegated."""
        zone = self._zone_of(reading.delegation[0].name, reading.delegation, now)
        for glue in reading.glue:  # those with a TTL of 0 are not in the cache
            if isinstance(glue.data, A) and glue.data.address not in zone.addresses:
                zone.addresses.append(glue.data.address)
        self._zone = zone
        self._ask(now)

    def remember(self, reading: Reading, now: Instant) -> None:
        """Put what was learned into the cache."""
        cache = self._shared.cache
        cache.put((*reading.aliases, *reading.records), now, DnsCache.ANSWER)
        cache.put((*reading.delegation, *reading.glue), now, DnsCache.REFERRAL)

    # The end

    def fail(self, why: str, now: Instant) -> None:
        """There is no answer to be had."""
        self.finish(Resolution(rcode=DnsRcode.SERVFAIL, why=why), now)

    def finish(self, result: Resolution, now: Instant) -> None:
        """Note the result, and tell whoever waits for it."""
        if self.done:
            return
        source = "servers" if self.asked else "cache"
        self.result = Resolution(
            result.records, tuple(self._aliases), result.rcode, source, result.why
        )
        if self._finished is not None:
            self._finished(self.result, now)
