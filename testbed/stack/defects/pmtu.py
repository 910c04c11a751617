"""Faults of path-MTU discovery: deaf, forgetful, stuck, or too easily persuaded."""

from __future__ import annotations

from dataclasses import replace

from testbed.stack.lower import IcmpError
from testbed.stack.pmtu import PathMtuCache, TooBig
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.udp import UdpLayer
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, seconds

__all__ = [
    "BELOW_68",
    "COLLAPSES",
    "FORGETS_HEADER",
    "LISTENS_ONCE",
    "NEVER_RAISES",
    "OBEYS_FORGED_TCP",
    "OBEYS_FORGED_UDP",
    "OBEYS_LARGER",
    "OBEYS_OLD",
    "OBEYS_TINY",
    "RAISES_EARLY",
    "RETRIES_OLD_SIZE",
    "STEP_BY_STEP",
    "STUCK_AT_ZERO",
]


class _Deaf(PathMtuCache):
    __slots__ = ()

    def _implausible(self, *_: int) -> str | None:
        return "the stack has no path-MTU discovery"


class _ListensOnce(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        if any(each.destination == said.destination for each in self.entries(now)):
            return None  # the others may be forged, who knows
        return super()._lower(said, now)


class _ForgetsHeader(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        carries = said.reported and said.reported + said.header_length
        return super()._lower(replace(said, reported=carries), now)


class _NeverRaises(PathMtuCache):
    __slots__ = ()

    def _quiet(self) -> Duration:
        return seconds(86_400)


class _RaisesEarly(PathMtuCache):
    __slots__ = ()

    def _quiet(self) -> Duration:
        return Duration(super()._quiet() // 4)


class _StuckAtZero(PathMtuCache):
    __slots__ = ()

    def _implausible(self, reported: int, *more: int) -> str | None:
        return super()._implausible(reported, *more) if reported else "no MTU is named"


class _Collapses(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        if said.reported:
            return super()._lower(said, now)
        self._take(said, 68, now)
        return 68


class _StepByStep(PathMtuCache):
    __slots__ = ()

    def _plateau_below(self, original_length: int, header_length: int, current: int) -> int:
        return max(68, min(original_length - header_length, current) - 8)


class _ObeysTiny(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        if not 0 < said.reported < 68:
            return super()._lower(said, now)
        self._take(said, 68, now)
        return 68


class _Below68(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        if said.reported < said.header_length + 8:
            return super()._lower(said, now)
        self._take(said, said.reported, now)
        return said.reported


class _ObeysLarger(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        if said.reported <= self.mtu(said.destination, said.link_mtu, now):
            return super()._lower(said, now)
        mtu = min(said.reported, said.link_mtu)
        self._take(said, mtu, now)
        return mtu


class _TcpObeysForged(TcpLayer):
    __slots__ = ()

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:  # noqa: ARG002
        """Any."""
        return True


class _TcpObeysOld(TcpLayer):
    __slots__ = ()

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:  # noqa: ARG002
        """Whatever was sent at some time."""
        found = self._quoted(error)
        return found is not None and found[1] < found[0].snd_nxt


class _UdpObeysForged(UdpLayer):
    __slots__ = ()

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:  # noqa: ARG002
        """Any."""
        return True


RETRIES_OLD_SIZE = Defect(
    "retries at the old size",
    "PM-02",
    "A stack sets DF and does not listen to what comes of it: large datagrams to some places "
    "are lost, small ones are not, and nobody knows why.",
    {PathMtuCache: _Deaf},
)

FORGETS_HEADER = Defect(
    "forgets the header",
    "PM-02",
    "A stack takes the MTU for what a packet may carry behind its IP header: each try is 20 "
    "bytes too long.",
    {PathMtuCache: _ForgetsHeader},
)

NEVER_RAISES = Defect(
    "never raised",
    "PM-05",
    "A stack remembers a path MTU for ever: a detour of minutes, or one forged message, slows "
    "a host down until it is restarted.",
    {PathMtuCache: _NeverRaises},
)

RAISES_EARLY = Defect(
    "raised too early",
    "PM-05",
    "A stack tries larger packets every few seconds: each time packets are lost, for the path "
    "has not changed.",
    {PathMtuCache: _RaisesEarly},
)

BELOW_68 = Defect(
    "goes below 68",
    "PM-05",
    "A stack has no least path MTU: one message has it cut datagrams into fragments of 24 bytes.",
    {PathMtuCache: _Below68},
)

STUCK_AT_ZERO = Defect(
    "stuck",
    "PM-07",
    "A stack finds no MTU in a message of a router older than RFC 1191, passes it over, and "
    "sends the same large packet again and again.",
    {PathMtuCache: _StuckAtZero},
)

COLLAPSES = Defect(
    "collapses to 68 bytes",
    "PM-07",
    "A stack that is told no MTU takes the least there is: it gets through, at a tenth of the "
    "speed.",
    {PathMtuCache: _Collapses},
)

STEP_BY_STEP = Defect(
    "goes down byte by byte",
    "PM-07",
    "A stack takes a few bytes off at each word of an old router: it gets through after a hundred "
    "packets lost, once its users have gone.",
    {PathMtuCache: _StepByStep},
)

OBEYS_FORGED_TCP = Defect(
    "obeys it",
    "PM-08",
    "A stack looks at no more than the destination that a frag needed quotes: anybody who "
    "knows the addresses makes its connections crawl (RFC 5927).",
    {TcpLayer: _TcpObeysForged},
)

OBEYS_OLD = Defect(
    "obeys messages about segments acked",
    "PM-08",
    "A stack takes any sequence number that it has used: half of all numbers are good for a "
    "forger's guess.",
    {TcpLayer: _TcpObeysOld},
)

OBEYS_FORGED_UDP = Defect(
    "obeys forged messages about datagrams",
    "PM-08",
    "A stack believes a frag needed about a datagram that no socket of it ever sent, and "
    "large answers leave in fragments that a forger can poison.",
    {UdpLayer: _UdpObeysForged},
)

OBEYS_TINY = Defect(
    "obeys an MTU below 68",
    "PM-08",
    "A stack takes an MTU that no link may have and sends a byte or two per packet: one "
    "forged message, and the host is busy with headers.",
    {PathMtuCache: _ObeysTiny},
)

OBEYS_LARGER = Defect(
    "obeys a larger MTU",
    "PM-08",
    "A stack raises its estimate when a frag needed names a larger MTU: a forger sends its "
    "packets into a black hole.",
    {PathMtuCache: _ObeysLarger},
)

LISTENS_ONCE = Defect(
    "listens once",
    "PM-03",
    "A stack takes the first frag needed of a path and no other: behind a tunnel in a tunnel all "
    "that is large is lost.",
    {PathMtuCache: _ListensOnce},
)
