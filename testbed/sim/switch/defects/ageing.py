"""Faults of ageing and refreshing: SW-03, SW-04."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.switch.fdb import DEFAULT_AGEING, Entry, Fdb
from testbed.sim.switch.forwarder import BROADCAST, Forwarder
from testbed.sim.switch.learner import Learner
from testbed.sim.switch.ports import Port
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = [
    "AGES_AT_FOUR_TIMES",
    "AGES_AT_QUARTER",
    "AGES_BY_DEFAULT",
    "AGES_IN_TABLE_ONLY",
    "DESTINATION_REFRESHES",
    "FORGETS_ALL_AT_ONCE",
    "MOVES_WITHOUT_REFRESH",
    "NEIGHBOURS_REFRESH",
    "NEVER_AGES",
    "NEVER_REFRESHES",
    "REFRESHES_BY_BROADCASTS",
]


class _Immortal(Fdb):
    def life(self, ageing: Duration) -> Duration:
        return Duration(ageing << 40)


class _ShortLived(Fdb):
    def life(self, ageing: Duration) -> Duration:
        return Duration(ageing // 4)


class _LongLived(Fdb):
    def life(self, ageing: Duration) -> Duration:
        return Duration(ageing * 4)


class _Stubborn(Fdb):
    def life(self, ageing: Duration) -> Duration:
        del ageing
        return DEFAULT_AGEING


class _Sweeps(Fdb):
    def find(self, vlan: int, mac: bytes, now: Instant) -> Entry | None:
        entry = super().find(vlan, mac, now)
        if entry is not None and not entry.static and entry.seen // self._life < now // self._life:
            return None
        return entry


class _KeepsInHardware(Fdb):
    def find(self, vlan: int, mac: bytes, now: Instant) -> Entry | None:
        del now
        return self._entries.get((vlan & self._mask, mac))


class _RefreshesByDestination(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if not entry.static:
            entry.seen = now
        return super().to_known(entry, frame, vlan, port, now)


class _NeverRefreshes(Learner):
    def refresh(self, entry: Entry, frame: bytes, now: Instant) -> None:
        pass


class _RefreshesByShouts(Learner):
    def refresh(self, entry: Entry, frame: bytes, now: Instant) -> None:
        if frame[:6] == BROADCAST:
            super().refresh(entry, frame, now)


class _RefreshesPort(Learner):
    def learn(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        super().learn(frame, vlan, port, now)
        for entry in self.fdb.rows(now):
            if entry.port is port and not entry.static:
                entry.seen = now


NEVER_AGES: Final = Defect(
    "never ages",
    "SW-03",
    "The task that ages died, and the table fills with stations that left long ago.",
    {Fdb: _Immortal},
)
AGES_AT_QUARTER: Final = Defect(
    "ages at T/4",
    "SW-03",
    "The timer's unit is mistaken, and quiet stations are flooded to after 75 s in place of 300 s.",
    {Fdb: _ShortLived},
)
AGES_AT_FOUR_TIMES: Final = Defect(
    "ages at 4 T",
    "SW-03",
    "An age of two bits counts whole rounds of the sweep, each as long as the ageing time.",
    {Fdb: _LongLived},
)
AGES_BY_DEFAULT: Final = Defect(
    "ages after 300 s whatever is set",
    "SW-03",
    "The setting is stored and shown, but never written to the hardware.",
    {Fdb: _Stubborn},
)
FORGETS_ALL_AT_ONCE: Final = Defect(
    "forgets all stations at once",
    "SW-03",
    "Instead of ageing each entry the switch empties the table once in an ageing time.",
    {Fdb: _Sweeps},
)
AGES_IN_TABLE_ONLY: Final = Defect(
    "ages in the table only",
    "SW-03",
    "The software's table forgets, the hardware's does not: frames go to a dead port on and on.",
    {Fdb: _KeepsInHardware},
)
DESTINATION_REFRESHES: Final = Defect(
    "destination traffic refreshes",
    "SW-04",
    "The hit bit is set by the destination's look-up too, so a silent station that others send to "
    "is never forgotten.",
    {Forwarder: _RefreshesByDestination},
)
NEVER_REFRESHES: Final = Defect(
    "ages from the first frame on",
    "SW-04",
    "The age counts from when a station was learned, and whoever talks all the time is forgotten.",
    {Learner: _NeverRefreshes},
)
REFRESHES_BY_BROADCASTS: Final = Defect(
    "refreshes by broadcasts only",
    "SW-04",
    "Frames that hardware forwards do not reach the software that keeps the ages.",
    {Learner: _RefreshesByShouts},
)
NEIGHBOURS_REFRESH: Final = Defect(
    "any station of the port refreshes",
    "SW-04",
    "One age is kept for a port instead of one for each entry.",
    {Learner: _RefreshesPort},
)


class _MovesAsOld(Learner):
    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        seen = entry.seen
        super().move(entry, frame, vlan, port, now)
        entry.seen = seen


MOVES_WITHOUT_REFRESH: Final = Defect(
    "is not refreshed by a move",
    "SW-04",
    "An entry keeps its age when its station moves: who roams late is forgotten at once, and its "
    "frames flood.",
    {Learner: _MovesAsOld},
)
