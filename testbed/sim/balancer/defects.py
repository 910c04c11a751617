"""Faults of balancers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.sim.balancer.flow import Flow
from testbed.sim.balancer.gate import Gate, Limiter, SourceFilter
from testbed.sim.balancer.requests import Inspector, refusal
from testbed.sim.balancer.servers import Backend, Health, Scheduler
from testbed.stack.lower import Path
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import Instant, after, seconds
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "ALL_TO_ONE",
    "ANSWERS_AS_THE_SERVER",
    "COUNTS_PACKETS",
    "CUTS_HALF_CLOSED",
    "FILTERS_BY_THE_LETTER",
    "FILTERS_FIRST_REQUESTS",
    "FILTERS_GET_ONLY",
    "FILTERS_NEIGHBOURS",
    "FILTERS_ONE_ADDRESS",
    "FLOW_HOPS",
    "FORGETS_IDLE_FLOWS",
    "IGNORES_LIMIT",
    "KEEPS_IDLE_FLOWS",
    "LIMITS_FOR_EVER",
    "NEVER_COMES_BACK",
    "ONE_BUDGET_FOR_ALL",
    "PASSES_DENIED_PATHS",
    "PASSES_DENIED_SOURCES",
    "SENDS_TO_THE_DEAD",
    "WAITS_FOR_THE_SILENT",
]

# Spreading


class _Hopping(Flow):
    def forward(self, data: bytes, now: Instant) -> None:
        if self.server is not None and self.server.open and self.moved:
            self.leave_server(now)
            self._tried.clear()
            self.find_server(now)
        super().forward(data, now)
        self.moved = True

    moved = False


class _Favourite(Scheduler):
    __slots__ = ()

    def choose(self, backends: tuple[Backend, ...], usable: list[Backend]) -> Backend | None:
        return next((each for each in backends if each in usable), None)


class _Unaware(Health):
    __slots__ = ()

    def usable(self, backend: Backend, now: Instant) -> bool:
        del backend, now
        return True


class _FirstOnly(Flow):
    def server_failed(self, now: Instant) -> None:
        self.end(now)


class _Unforgiving(Health):
    __slots__ = ()

    def failed(self, backend: Backend, now: Instant) -> None:
        backend.down_until = after(now, seconds(86400))


FLOW_HOPS: Final = Defect(
    "flow hops servers",
    "AP-06",
    "A balancer chooses a server for each packet, and a basket that was filled on one is empty on "
    "the next.",
    {Flow: _Hopping},
)
ALL_TO_ONE: Final = Defect(
    "sends all to one server",
    "AP-06",
    "A hash over the address of the proxy before it: one server burns while the others idle.",
    {Scheduler: _Favourite},
)
SENDS_TO_THE_DEAD: Final = Defect(
    "sends to a dead server",
    "AP-06",
    "Nothing looks whether a server takes connections, and every third page fails until somebody "
    "takes it out by hand.",
    {Health: _Unaware, Flow: _FirstOnly},
)
NEVER_COMES_BACK: Final = Defect(
    "never takes a server back",
    "AP-06",
    "A server that was down for a minute gets nothing any more, until the last one is down too.",
    {Health: _Unforgiving},
)

# Flows


class _Short(Flow):
    def rest(self, now: Instant) -> None:
        super().rest(now)
        self.context.stack.alarms.set(("idle", id(self)), after(now, seconds(2)), self.end)


class _Impatient(Flow):
    def _read_client(self, now: Instant) -> None:
        super()._read_client(now)
        if self.client.ended:
            self.end(now)


@dataclass(slots=True)
class _Forged:
    """A way to a client on which packets have another's address."""

    path: Path
    stack: Stack
    source: IPv4Address

    @property
    def destination(self) -> IPv4Address:
        return self.path.destination

    def link_mtu(self) -> int:
        return self.path.link_mtu()

    def mtu(self, now: Instant) -> int:
        return self.path.mtu(now)

    def send(
        self,
        payload: bytes,
        protocol: int,
        now: Instant,
        *,
        ttl: int | None = None,
        tos: int = 0,
        df: bool = True,
    ) -> None:
        lifetime = self.stack.config.ip.ttl if ttl is None else ttl
        packet = IPv4Packet(
            self.source, self.destination, protocol, payload, ttl=lifetime, df=df, tos=tos
        )
        self.stack.ip.send_packet(packet, now)


class _Unmasked(Flow):
    def give(self, data: bytes) -> None:
        connection, backend = self.client.connection, self.backend
        if backend is not None and connection.local[0] != backend.address:
            connection.local = (backend.address, connection.local[1])
            connection.path = _Forged(connection.path, self.context.stack, backend.address)
        super().give(data)


class _Keeping(Flow):
    def rest(self, now: Instant) -> None:
        """Whoever is silent may be so for ever."""


class _Waiting(Flow):
    def _connect_late(self, now: Instant) -> None:
        """Go on waiting for the server."""


KEEPS_IDLE_FLOWS: Final = Defect(
    "keeps idle flows for ever",
    "AP-06",
    "The clock of idle flows is set and never looked at: after a week the table is full of clients "
    "that were switched off.",
    {Flow: _Keeping},
)
WAITS_FOR_THE_SILENT: Final = Defect(
    "waits for a server that is silent",
    "AP-06",
    "A server that lost its power refuses nothing: a balancer that waits for its answer has every "
    "third client wait, too.",
    {Flow: _Waiting},
)
FORGETS_IDLE_FLOWS: Final = Defect(
    "forgets idle flows too early",
    "AP-06",
    "A balancer's table is swept after seconds, and logins that nobody types at are cut.",
    {Flow: _Short},
)
CUTS_HALF_CLOSED: Final = Defect(
    "ends flows with the first FIN",
    "AP-06",
    "A client that says it has sent all gets no answer: the balancer takes the half for the whole.",
    {Flow: _Impatient},
)
ANSWERS_AS_THE_SERVER: Final = Defect(
    "answers with the server's address",
    "AP-06",
    "The way back is not rewritten, and clients drop answers from one whom they never asked.",
    {Flow: _Unmasked},
)

# The gate


class _Open(Limiter):
    __slots__ = ()

    def admit(self, source: IPv4Address, now: Instant) -> bool:
        del source, now
        return True


class _Endless(Limiter):
    __slots__ = ()

    def forget(self, now: Instant) -> None:
        pass


class _Shared(Limiter):
    __slots__ = ()

    def key(self, source: IPv4Address) -> IPv4Address | None:
        del source
        return None


class _EveryPacket(Gate):
    __slots__ = ()

    def counts(self, packet: IPv4Packet) -> bool:
        del packet
        return True


class _LetsIn(SourceFilter):
    __slots__ = ()

    def denies(self, source: IPv4Address) -> bool:
        del source
        return False


class _ShutsOut(SourceFilter):
    __slots__ = ()

    def denies(self, source: IPv4Address) -> bool:
        wide = (prefix.supernet(new_prefix=min(16, prefix.prefixlen)) for prefix in self._denied)
        return any(source in prefix for prefix in wide)


class _Blind(Inspector):
    __slots__ = ()

    def denies(self, target: bytes) -> bool:
        del target
        return False


class _Literal(Inspector):
    __slots__ = ()

    def denies(self, target: bytes) -> bool:
        return target.startswith(self._denied)


class _FirstSight(Inspector):
    __slots__ = ()

    def judge(self, head: bytes) -> bytes | None:
        verdict = super().judge(head)
        if verdict is None:
            self._body = 1 << 40
        return verdict


IGNORES_LIMIT: Final = Defect(
    "ignores the rate limit",
    "AP-06",
    "The limit is configured on a profile that no service uses, and a flood reaches the servers.",
    {Limiter: _Open},
)
COUNTS_PACKETS: Final = Defect(
    "limits packets instead of connections",
    "AP-06",
    "One long download uses up its client's budget of connections, and stalls.",
    {Gate: _EveryPacket},
)
LIMITS_FOR_EVER: Final = Defect(
    "never lets its limit recover",
    "AP-06",
    "Who was once over the limit is kept out until the next boot.",
    {Limiter: _Endless},
)
ONE_BUDGET_FOR_ALL: Final = Defect(
    "counts all clients together",
    "AP-06",
    "One noisy client uses up the connections of everybody else.",
    {Limiter: _Shared},
)
PASSES_DENIED_SOURCES: Final = Defect(
    "lets denied sources in",
    "AP-06",
    "A filter's rule is there, and bound to no interface.",
    {SourceFilter: _LetsIn},
)
FILTERS_NEIGHBOURS: Final = Defect(
    "denies the neighbours too",
    "AP-06",
    "A filter's mask is read as that of a whole class, and half a town is shut out with one host.",
    {SourceFilter: _ShutsOut},
)
PASSES_DENIED_PATHS: Final = Defect(
    "lets denied paths pass",
    "AP-06",
    "A filter of layer 7 on a service that is balanced at layer 4: nobody reads the requests.",
    {Inspector: _Blind},
)
FILTERS_BY_THE_LETTER: Final = Defect(
    "compares paths by the letter",
    "AP-06",
    "A path with one letter written as %61 is another one to the filter, and the same to the "
    "server.",
    {Inspector: _Literal},
)
FILTERS_FIRST_REQUESTS: Final = Defect(
    "looks at the first request only",
    "AP-06",
    "A connection that began with a harmless request may ask for anything afterwards.",
    {Inspector: _FirstSight},
)


class _GetOnly(Inspector):
    __slots__ = ()

    def judge(self, head: bytes) -> bytes | None:
        refused = super().judge(head)
        return refused if head.startswith(b"GET ") or refused != refusal(403, "Forbidden") else None


class _OneAddress(SourceFilter):
    __slots__ = ()

    def denies(self, source: IPv4Address) -> bool:
        return any(source == prefix.network_address for prefix in self._denied)


FILTERS_GET_ONLY: Final = Defect(
    "looks at GET only",
    "AP-06",
    "What nobody may read, everybody may write: a POST to a denied path passes.",
    {Inspector: _GetOnly},
)
FILTERS_ONE_ADDRESS: Final = Defect(
    "reads a prefix as one address",
    "AP-06",
    "A rule's mask is passed over: of a whole subnet one address is shut out.",
    {SourceFilter: _OneAddress},
)
