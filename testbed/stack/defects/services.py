"""Faults of DNS resolvers and servers, and of a page's server."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.stack.services.dns_cache import Denial, DnsCache
from testbed.stack.services.dns_exchange import Exchange
from testbed.stack.services.dns_lookup import Lookup
from testbed.stack.services.dns_resolver import DnsResolver
from testbed.stack.services.dns_server import DnsServer
from testbed.stack.services.dns_zone import Found, Zone
from testbed.stack.services.http import HttpServer
from testbed.stack.tcp.connection import Connection
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.dns import (
    A,
    DnsMessage,
    DnsName,
    DnsQuestion,
    DnsRcode,
    DnsRecord,
    DnsType,
)

__all__ = [
    "ANSWERS_ANSWERS",
    "ANSWERS_WITH_ITSELF",
    "ASKS_ONCE",
    "ASKS_THE_ROOT_EACH_TIME",
    "BELIEVES_ANYBODY",
    "CUTS_PAGES",
    "DENIALS_STAY",
    "DENIES_EMPTY_NAMES",
    "DENIES_WITHOUT_SOA",
    "HOSTS_FILE_UNREAD",
    "IGNORES_TTL",
    "KNOWS_NO_AAAA",
    "LEAVES_OUT_GLUE",
    "NEVER_REMEMBERS_DENIALS",
    "NEVER_TRUNCATES",
    "RESETS_AFTER_ANSWER",
    "TAKES_CUT_ANSWERS",
    "TYPE_DENIES_NAME",
]

# DNS


class _NeverForgets(DnsCache):
    __slots__ = ()

    def fresh(self, expires: Instant, now: Instant) -> bool:
        del expires, now
        return True


class _NoDenials(DnsCache):
    __slots__ = ()

    def deny(
        self, name: object, kind: int, soa: DnsRecord, now: Instant, *, name_error: bool
    ) -> None:
        pass


class _NoReferrals(DnsCache):
    __slots__ = ()

    def put(self, records: object, now: Instant, rank: int) -> None:
        if rank != self.REFERRAL:
            super().put(records, now, rank)  # type: ignore[arg-type]


class _ReadsNoHosts(DnsResolver):
    __slots__ = ()

    def from_hosts(self, question: DnsQuestion) -> tuple[DnsRecord, ...]:
        del question
        return ()


class _Gullible(Exchange):
    __slots__ = ()

    def matches(self, message: DnsMessage) -> bool:
        return message.response


class _AsksOnce(Lookup):
    __slots__ = ()

    def _hear(self, message: DnsMessage | None, now: Instant) -> None:
        if message is None:
            self.fail("no answer", now)
        super()._hear(message, now)


class _ContentWithLess(Exchange):
    __slots__ = ()

    def is_cut(self, message: DnsMessage) -> bool:
        del message
        return False


class _Talkative(DnsServer):
    __slots__ = ()

    def fit(self, answer: DnsMessage, query: DnsMessage) -> bytes:
        del query
        return answer.emit()


class _LeavesOutGlue(DnsServer):
    __slots__ = ()

    def _conclude(
        self, message: DnsMessage, zone: Zone, kind: Found, records: tuple[DnsRecord, ...]
    ) -> DnsMessage:
        whole = super()._conclude(message, zone, kind, records)
        return replace(whole, additional=()) if kind is Found.REFERRAL else whole


class _DeniesBarely(DnsServer):
    __slots__ = ()

    def _conclude(
        self, message: DnsMessage, zone: Zone, kind: Found, records: tuple[DnsRecord, ...]
    ) -> DnsMessage:
        whole = super()._conclude(message, zone, kind, records)
        return replace(whole, authority=()) if kind in (Found.NO_NAME, Found.NO_DATA) else whole


IGNORES_TTL: Final = Defect(
    "ignores TTL",
    "AP-02",
    "A resolver goes on giving out the address that a service had before it moved.",
    {DnsCache: _NeverForgets},
)
NEVER_REMEMBERS_DENIALS: Final = Defect(
    "never remembers denials",
    "AP-02",
    "A mistyped name in one program has the servers asked for it again and again.",
    {DnsCache: _NoDenials},
)
ASKS_THE_ROOT_EACH_TIME: Final = Defect(
    "asks the root each time",
    "AP-02",
    "A resolver forgets who has which zone, and loads the root's servers with every question.",
    {DnsCache: _NoReferrals},
)
HOSTS_FILE_UNREAD: Final = Defect(
    "hosts file unread",
    "AP-02",
    "An address that an operator set by hand for a migration has no effect: the servers are asked.",
    {DnsResolver: _ReadsNoHosts},
)
BELIEVES_ANYBODY: Final = Defect(
    "believes anybody",
    "AP-02",
    "A resolver takes any answer that comes to its port, and is poisoned by the first who guesses.",
    {Exchange: _Gullible},
)
ASKS_ONCE: Final = Defect(
    "asks once",
    "AP-02",
    "A resolver takes one lost datagram for a name that cannot be found.",
    {Lookup: _AsksOnce},
)
TAKES_CUT_ANSWERS: Final = Defect(
    "takes cut answers",
    "AP-02",
    "A resolver takes the part that fitted into a datagram for the whole answer.",
    {Exchange: _ContentWithLess},
)
NEVER_TRUNCATES: Final = Defect(
    "never truncates",
    "AP-02",
    "A server sends by UDP whatever it has, more than the asker said it takes, and the fragments "
    "are lost at a firewall.",
    {DnsServer: _Talkative},
)
DENIES_WITHOUT_SOA: Final = Defect(
    "denies without a SOA",
    "AP-02",
    "A load balancer that plays a DNS server denies names without saying how long, and is asked "
    "for them with every page.",
    {DnsServer: _DeniesBarely},
)
LEAVES_OUT_GLUE: Final = Defect(
    "leaves out glue",
    "AP-02",
    "A parent names a zone's servers without their addresses, which only the zone itself knows.",
    {DnsServer: _LeavesOutGlue},
)

# HTTP


class _Abrupt(HttpServer):
    __slots__ = ()

    def end(self, connection: Connection, now: Instant) -> None:
        connection.abort(now)


class _SaysMoreThanItHas(HttpServer):
    __slots__ = ()

    def answer(self, status: int, body: bytes, *, with_body: bool) -> bytes:
        return super().answer(status, body, with_body=with_body)[: -len(body) // 2 or None]


class _Captive(DnsServer):
    __slots__ = ()

    def look_up(self, blank: DnsMessage, question: DnsQuestion) -> DnsMessage:
        own = self._stack.interface().addresses[0].ip
        return replace(blank, answers=(DnsRecord(question.name, A(own), 60),), aa=True)


RESETS_AFTER_ANSWER: Final = Defect(
    "resets after the answer",
    "AP-08",
    "A server resets the connection once the page is handed to its stack, and the end of the page "
    "is lost to slow clients.",
    {HttpServer: _Abrupt},
)
CUTS_PAGES: Final = Defect(
    "cuts pages",
    "AP-08",
    "A server whose worker dies ends the connection in the middle of a page.",
    {HttpServer: _SaysMoreThanItHas},
)
ANSWERS_WITH_ITSELF: Final = Defect(
    "answers with itself",
    "AP-08",
    "A hotspot's name server gives its own address for every name.",
    {DnsServer: _Captive},
)


class _DeniesEmpty(DnsServer):
    __slots__ = ()

    def look_up(self, blank: DnsMessage, question: DnsQuestion) -> DnsMessage:
        answer = super().look_up(blank, question)
        zone = self.zone_of(question.name)
        if answer.aa and not answer.answers and zone and not any(zone._of(question.name)):  # noqa: SLF001
            return replace(answer, rcode=DnsRcode.NXDOMAIN)
        return answer


class _AnswersAnswers(DnsServer):
    __slots__ = ()

    def respond(self, data: bytes, now: Instant, *, by_tcp: bool) -> bytes | None:
        if len(data) > 2:
            data = data[:2] + bytes([data[2] & 0x7F]) + data[3:]
        return super().respond(data, now, by_tcp=by_tcp)


class _NoAaaa(DnsServer):
    __slots__ = ()

    def look_up(self, blank: DnsMessage, question: DnsQuestion) -> DnsMessage:
        if question.type == DnsType.AAAA:
            return replace(blank, rcode=DnsRcode.NOTIMP)
        return super().look_up(blank, question)


class _TypeDeniesName(DnsCache):
    __slots__ = ()

    def deny(
        self,
        name: DnsName,
        kind: int,
        soa: DnsRecord,
        now: Instant,
        *,
        name_error: bool,  # noqa: ARG002 - that is the fault
    ) -> None:
        super().deny(name, kind, soa, now, name_error=True)


class _DenialsStay(DnsCache):
    __slots__ = ()

    def denial(self, name: DnsName, kind: int, now: Instant) -> Denial | None:
        del now
        return super().denial(name, kind, Instant(0))


DENIES_EMPTY_NAMES = Defect(
    "denies names that have others below",
    "AP-02",
    "A server looks names up in a flat table: a name without records of its own is said not to be, "
    "and resolvers believe that of all that is below it, too.",
    {DnsServer: _DeniesEmpty},
)

ANSWERS_ANSWERS = Defect(
    "answers answers",
    "AP-02",
    "A server does not look whether what comes is a question: one forged answer of another server "
    "has the two answer each other for ever.",
    {DnsServer: _AnswersAnswers},
)

KNOWS_NO_AAAA = Defect(
    "does not implement AAAA",
    "AP-02",
    "An old balancer has an error for types that it does not know, in place of an empty answer: "
    "hosts that ask for AAAA first take the name for broken (RFC 4074).",
    {DnsServer: _NoAaaa},
)

TYPE_DENIES_NAME = Defect(
    "takes the denial of a type for that of the name",
    "AP-02",
    "A resolver that was told that a name has no MX record tells for an hour that there is no such "
    "name.",
    {DnsCache: _TypeDeniesName},
)

DENIALS_STAY = Defect(
    "believes denials for ever",
    "AP-02",
    "A name that was asked for a moment before it was made stays unknown until the resolver is "
    "started anew.",
    {DnsCache: _DenialsStay},
)
