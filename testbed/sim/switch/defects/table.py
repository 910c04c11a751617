"""Faults of the table's size, speed and flushing: SW-11, SW-12, SW-13."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from functools import reduce
from operator import xor
from typing import Final

from testbed.sim.switch.fdb import Entry, Fdb
from testbed.sim.switch.learner import Learner
from testbed.sim.switch.ports import Port
from testbed.stack.variants import Defect
from testbed.timing import Instant, milliseconds

__all__ = [
    "CAPACITY_BELOW_STATED",
    "CLEARS_ALL_PORTS",
    "CLEARS_NOTHING",
    "CLEARS_NO_PORT",
    "CLEARS_STATIC_TOO",
    "DEAD_PORT_CLEARS_ALL",
    "DEAD_PORT_LOSES_STATIC",
    "FORGETS_ALL_WHEN_FULL",
    "KEEPS_DEAD_PORT",
    "LEARNS_ONE_AT_A_TIME",
    "LOSES_ABOVE_A_RATE",
    "PAUSES_WHEN_TOO_FAST",
    "POOR_HASH",
    "REPLACES_THE_OLDEST",
    "STUCK_ONCE_FULL",
]

_SLOW: Final = 500
"""Addresses a second that a slow processor learns where nothing is stated."""


class _Small(Fdb):
    def has_room(self, now: Instant) -> bool:
        if len(self) >= self.capacity // 2:
            self._reclaim(now)
        return len(self) < self.capacity // 2


class _Panics(Fdb):
    def overflow(self, vlan: int, mac: bytes, port: Port, now: Instant) -> bool:
        self.flush()
        return self.has_room(now) and self.learn(vlan, mac, port, now)


class _Replaces(Fdb):
    def overflow(self, vlan: int, mac: bytes, port: Port, now: Instant) -> bool:
        if not self._oldest:
            return False
        self._entries.pop(heapq.heappop(self._oldest)[2], None)
        return self.learn(vlan, mac, port, now)


class _Hashes(Fdb):
    """Holds so many addresses of one hash, which is the sum of the bytes without carry."""

    _held: Counter[int]

    def learn(self, vlan: int, mac: bytes, port: Port, now: Instant) -> bool:
        held = self.__dict__.setdefault("_held", Counter())
        bucket = reduce(xor, mac)
        if self.find(vlan, mac, now) is None:
            if held[bucket] >= max(1, self.capacity // 512):
                return False
            held[bucket] += 1
        return super().learn(vlan, mac, port, now)

    def remove(self, chosen: Callable[[Entry], bool]) -> None:
        super().remove(chosen)
        self._held = Counter(reduce(xor, mac) for _, mac in self._entries)


class _Sticks(Fdb):
    _stuck = False

    def overflow(self, vlan: int, mac: bytes, port: Port, now: Instant) -> bool:
        self._stuck = True
        return super().overflow(vlan, mac, port, now)

    def has_room(self, now: Instant) -> bool:
        return super().has_room(now) and not self._stuck


class _Slow(Learner):
    def __init__(self, fdb: Fdb, rate: int | None) -> None:
        super().__init__(fdb, _SLOW if rate is None else max(1, rate // 4))


class _OneAtATime(Learner):
    _busy_until = Instant(0)

    def meet(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if now >= self._busy_until:
            super().meet(frame, vlan, port, now)
            self._busy_until = Instant(now + milliseconds(2))


class _Chokes(Learner):
    _last = Instant(-(10**18))
    _run = 0
    _deaf_until = Instant(0)

    def meet(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        self._run = self._run + 1 if now - self._last < milliseconds(1) else 0
        self._last = now
        if self._run >= 32:
            self._run, self._deaf_until = 0, Instant(now + milliseconds(200))
        if now >= self._deaf_until:
            super().meet(frame, vlan, port, now)


class _Mourns(Fdb):
    def link_down(self, port: Port) -> None:
        pass


class _ClearsStatic(Fdb):
    def flush(self, port: Port | None = None) -> None:
        self.remove(lambda entry: port in {None, entry.port})


class _ClearsAll(Fdb):
    def flush(self, port: Port | None = None) -> None:
        del port
        super().flush()


class _ClearsNothing(Fdb):
    def flush(self, port: Port | None = None) -> None:
        pass

    def link_down(self, port: Port) -> None:
        super().flush(port)


class _ClearsNoPort(Fdb):
    def flush(self, port: Port | None = None) -> None:
        if port is None:
            super().flush()

    def link_down(self, port: Port) -> None:
        super().flush(port)


class _DiesWhole(Fdb):
    def link_down(self, port: Port) -> None:
        del port
        self.flush()


class _DiesWithStatic(Fdb):
    def link_down(self, port: Port) -> None:
        self.remove(lambda entry: entry.port is port)


CAPACITY_BELOW_STATED: Final = Defect(
    "capacity below the stated one",
    "SW-11",
    "Half of the table is set aside for multicast, which the data sheet does not say.",
    {Fdb: _Small},
)
FORGETS_ALL_WHEN_FULL: Final = Defect(
    "forgets all when it is full",
    "SW-11",
    "A full table is taken for a broken one and set up anew: all traffic floods.",
    {Fdb: _Panics},
)
REPLACES_THE_OLDEST: Final = Defect(
    "replaces the oldest when it is full",
    "SW-11",
    "A flood of made-up addresses drives out every station, and the attacker hears all traffic.",
    {Fdb: _Replaces},
)
POOR_HASH: Final = Defect(
    "loses addresses to a poor hash",
    "SW-11",
    "Addresses of one hash have a few places only, and those of one maker's cards meet there.",
    {Fdb: _Hashes},
)
STUCK_ONCE_FULL: Final = Defect(
    "learns nothing more once it was full",
    "SW-11",
    "The flag that says full is set and never taken back.",
    {Fdb: _Sticks},
)
LOSES_ABOVE_A_RATE: Final = Defect(
    "loses addresses above a rate",
    "SW-12",
    "Learning is done by a slow processor, and new addresses that it has no time for are lost.",
    {Learner: _Slow},
)
LEARNS_ONE_AT_A_TIME: Final = Defect(
    "learns one address at a time",
    "SW-12",
    "There is no queue of new addresses: what comes while one is written is lost.",
    {Learner: _OneAtATime},
)
PAUSES_WHEN_TOO_FAST: Final = Defect(
    "stops learning for a while when addresses come fast",
    "SW-12",
    "A guard against attacks takes the first minute after a power cut for one.",
    {Learner: _Chokes},
)
KEEPS_DEAD_PORT: Final = Defect(
    "keeps entries of a dead port",
    "SW-13",
    "After a failover frames go to the port without a link until the entries age.",
    {Fdb: _Mourns},
)
CLEARS_STATIC_TOO: Final = Defect(
    "clears static entries too",
    "SW-13",
    "A clear empties the hardware's table, and what operators wrote there is not put back.",
    {Fdb: _ClearsStatic},
)
CLEARS_ALL_PORTS: Final = Defect(
    "clears the other ports too",
    "SW-13",
    "The hardware can only empty the whole table, and each flap of a link makes all traffic flood.",
    {Fdb: _ClearsAll},
)
CLEARS_NOTHING: Final = Defect(
    "keeps entries through a clear",
    "SW-13",
    "The clear empties the software's copy, which the hardware fills again at once.",
    {Fdb: _ClearsNothing},
)
CLEARS_NO_PORT: Final = Defect(
    "keeps entries through a port's clear",
    "SW-13",
    "The port's number is compared with the hardware's, which is another.",
    {Fdb: _ClearsNoPort},
)
DEAD_PORT_CLEARS_ALL: Final = Defect(
    "forgets all stations when one port dies",
    "SW-13",
    "A loss of link is treated as a change of topology, and one bad cable makes the network flood.",
    {Fdb: _DiesWhole},
)
DEAD_PORT_LOSES_STATIC: Final = Defect(
    "loses static entries with the link",
    "SW-13",
    "The entries that an operator wrote are gone once the cable was out.",
    {Fdb: _DiesWithStatic},
)
