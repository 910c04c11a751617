"""Faults of DHCP and DNS clients and servers, and of a page's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.services.dhcp_client import DhcpClient
from testbed.stack.services.dhcp_messages import ClientMessages
from testbed.stack.services.dhcp_pool import Pool
from testbed.stack.services.dhcp_server import DhcpServer
from testbed.stack.services.dhcp_states import ClientEvent
from testbed.stack.services.dns_cache import DnsCache
from testbed.stack.services.dns_exchange import Exchange
from testbed.stack.services.dns_resolver import DnsResolver
from testbed.stack.services.dns_server import DnsServer
from testbed.stack.services.dns_zone import Found, Zone
from testbed.stack.services.http import HttpServer
from testbed.stack.tcp.connection import Connection
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.dhcp import DhcpMessage
from testbed.wire.dns import A, DnsMessage, DnsQuestion, DnsRecord

__all__ = [
    "ANSWERS_WITH_ITSELF",
    "ASKS_THE_ROOT_EACH_TIME",
    "BELIEVES_ANYBODY",
    "CUTS_PAGES",
    "DENIES_WITHOUT_SOA",
    "FORGETS_DECLINES",
    "HOSTS_FILE_UNREAD",
    "IGNORES_NAK",
    "IGNORES_TTL",
    "KEEPS_EXPIRED_ADDRESS",
    "LEASES_TWICE",
    "LEAVES_OUT_GLUE",
    "NEVER_BACKS_OFF",
    "NEVER_REFUSES",
    "NEVER_REMEMBERS_DENIALS",
    "NEVER_TRUNCATES",
    "OFFERS_TAKEN",
    "RENEWS_BY_BROADCAST",
    "RESETS_AFTER_ANSWER",
    "TAKES_ANY_ANSWER",
    "TAKES_CUT_ANSWERS",
    "TAKES_OTHERS_REQUESTS",
    "USES_TAKEN",
]

# DHCP clients


class _ChecksNothing(DhcpClient):
    __slots__ = ()

    def check(self, now: Instant) -> None:
        if self.lease is not None:
            self._at(None, ClientEvent.RETRY)
            self._stack.add_address(self.interface, self.lease.address, now, probe=False)
            self.happen(ClientEvent.FREE, now)


class _Stays(DhcpClient):
    __slots__ = ()

    def halt(self, now: Instant) -> None:
        self.start_over(now)


class _AsksAll(DhcpClient):
    __slots__ = ()

    def _unicast(self, message: DhcpMessage, server: IPv4Address, now: Instant) -> None:
        del server
        self._broadcast(message, now, source=message.ciaddr)


class _TakesAny(ClientMessages):
    __slots__ = ()

    def answered_by(self, message: DhcpMessage) -> bool:
        del message
        return True


class _DeafToNak(DhcpClient):
    __slots__ = ()

    def happen(self, event: ClientEvent, now: Instant) -> None:
        if event is not ClientEvent.NAK:
            super().happen(event, now)


class _Impatient(DhcpClient):
    __slots__ = ()

    def back_off(self, attempt: int) -> Duration:
        return super().back_off(min(attempt, 1))


# DHCP servers


class _PingsNobody(DhcpServer):
    __slots__ = ()

    def ping(self, address: IPv4Address, now: Instant) -> None:
        pass


class _OneForAll(Pool):
    __slots__ = ()

    def is_free(self, address: IPv4Address, client: bytes, now: Instant) -> bool:
        del client, now
        held = self.at(address)
        return self.in_range(address) and (held is None or bool(held.client))

    def _fresh(self, client: bytes, now: Instant) -> IPv4Address | None:
        numbers = range(int(self.subnet.first), int(self.subnet.last) + 1)
        free = (IPv4Address(number) for number in numbers)
        return next((each for each in free if self.is_free(each, client, now)), None)


class _SaysNoToNobody(DhcpServer):
    __slots__ = ()

    def refuse(self, message: DhcpMessage, why: str, now: Instant) -> None:
        pass


class _DeafToDecline(DhcpServer):
    __slots__ = ()

    def on_decline(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        self.on_release(message, pool, now)
        pool.free(message.client_key, now)


class _Meddles(DhcpServer):
    __slots__ = ()

    def on_selecting(
        self, message: DhcpMessage, pool: Pool, server: IPv4Address, now: Instant
    ) -> None:
        del server
        super().on_selecting(message, pool, self.address, now)


OFFERS_TAKEN: Final = Defect(
    "offers a taken address",
    "AP-01",
    "A server whose book was lost in a crash gives out addresses that hosts still use, for it asks "
    "nobody before it offers one.",
    {DhcpServer: _PingsNobody},
)
LEASES_TWICE: Final = Defect(
    "leases one address twice",
    "AP-01",
    "Two of a pair of servers, or one whose book is not kept, give the same address to two "
    "clients, and both lose their connections in turn.",
    {Pool: _OneForAll},
)
NEVER_REFUSES: Final = Defect(
    "never refuses",
    "AP-01",
    "A laptop comes from another network, asks to keep its address, and hangs until it gives up, "
    "for the server does not tell it that the address is wrong here.",
    {DhcpServer: _SaysNoToNobody},
)
FORGETS_DECLINES: Final = Defect(
    "forgets declines",
    "AP-01",
    "A server gives an address that was declined to the next client, which declines it again, and "
    "so on: one wrong host keeps all others off the network.",
    {DhcpServer: _DeafToDecline},
)
TAKES_OTHERS_REQUESTS: Final = Defect(
    "takes requests to other servers",
    "AP-01",
    "A second server answers requests that name the first one, and refuses what the first one "
    "grants.",
    {DhcpServer: _Meddles},
)
USES_TAKEN: Final = Defect(
    "uses a taken address",
    "AP-01",
    "A client goes on with the address it was given though somebody else has it.",
    {DhcpClient: _ChecksNothing},
)
KEEPS_EXPIRED_ADDRESS: Final = Defect(
    "keeps an expired address",
    "AP-01",
    "A client whose lease ran out while the server was away goes on with the address, which the "
    "server gives to somebody else.",
    {DhcpClient: _Stays},
)
RENEWS_BY_BROADCAST: Final = Defect(
    "renews by broadcast",
    "AP-01",
    "A client asks all servers for more time from the beginning, and wakes every host of the LAN.",
    {DhcpClient: _AsksAll},
)
TAKES_ANY_ANSWER: Final = Defect(
    "takes any answer",
    "AP-01",
    "A client takes the answer to another client's question for its own.",
    {ClientMessages: _TakesAny},
)
IGNORES_NAK: Final = Defect(
    "ignores refusals",
    "AP-01",
    "A client whose address was refused goes on asking for it, and goes on using it.",
    {DhcpClient: _DeafToNak},
)
NEVER_BACKS_OFF: Final = Defect(
    "never backs off",
    "AP-01",
    "After a power cut a thousand clients ask every four seconds, and the server never gets up.",
    {DhcpClient: _Impatient},
)

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
