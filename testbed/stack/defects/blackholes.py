"""Faults of TCP where the path is narrow: slow to cut, fragmenting, or lost in a black hole."""

from __future__ import annotations

from dataclasses import replace

from testbed.stack.path import IpPath
from testbed.stack.pmtu import PathMtuCache, TooBig
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "CUTS_TOO_MUCH",
    "DEAF_TO_FRAG_NEEDED",
    "FRAGMENTS",
    "FRAGMENTS_IN_HOLES",
    "HANGS",
    "NOTICES_LATE",
    "WAITS_FOR_THE_TIMER",
]

_SHORT = 200
"""Bytes that a sender takes off more than it was told to."""


class _LeavesToTimer(LossRecovery):
    __slots__ = ()

    def on_path_mtu(self, smss: int, now: Instant) -> None:
        del now
        self.congestion.on_smss(smss)


class _NoDf(IpPath):
    __slots__ = ()

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
        del df
        super().send(payload, protocol, now, ttl=ttl, tos=tos, df=False)


class _Deaf(PathMtuCache):
    __slots__ = ()

    def _implausible(self, *_: int) -> str | None:
        return "the stack does not listen"


class _CutsMore(PathMtuCache):
    __slots__ = ()

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        return super()._lower(replace(said, reported=max(said.reported - _SHORT, 0)), now)


class _Trusting(PathMtu):
    __slots__ = ()

    def suspicious(self, c: Tcb) -> bool:
        del c
        return False


class _Patient(PathMtu):
    __slots__ = ()

    def suspicious(self, c: Tcb) -> bool:
        return c.timeouts >= 3 * self._lower.config.pmtu.black_hole_timeouts


WAITS_FOR_THE_TIMER = Defect(
    "waits for RTO",
    "PM-04",
    "A stack notes the MTU that it is told and leaves what was lost to the timer: each narrow path "
    "costs its users a second at the start.",
    {LossRecovery: _LeavesToTimer},
)

FRAGMENTS = Defect(
    "fragments",
    "PM-04",
    "A stack sends segments without DF and has routers cut them: it works, until a firewall drops "
    "fragments.",
    {IpPath: _NoDf},
)

DEAF_TO_FRAG_NEEDED = Defect(
    "does not believe the message",
    "PM-04",
    "A host firewall drops all ICMP, frag needed with it: small pages load, large ones hang.",
    {PathMtuCache: _Deaf},
)

CUTS_TOO_MUCH = Defect(
    "cuts more than it is told to",
    "PM-04",
    "A stack takes headers off twice, and some bytes for good measure: a sixth of the path is "
    "given away.",
    {PathMtuCache: _CutsMore},
)

HANGS = Defect(
    "hangs",
    "PM-06",
    "A stack sends the same full segment until it gives up: behind a router that may not send ICMP "
    "log-ins work and transfers do not.",
    {PathMtu: _Trusting},
)

NOTICES_LATE = Defect(
    "notices late",
    "PM-06",
    "A stack suspects the path after a dozen timeouts: it gets through, minutes after its user has "
    "left.",
    {PathMtu: _Patient},
)

FRAGMENTS_IN_HOLES = Defect(
    "relies on fragments",
    "PM-06",
    "A stack gets out of black holes by leaving DF off for everybody: the next firewall that drops "
    "fragments is a black hole of its own.",
    {IpPath: _NoDf},
)
