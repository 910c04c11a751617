"""Faults of learning and of moves: SW-01, SW-02."""

from __future__ import annotations

from typing import Final

from testbed.sim.switch.fdb import Entry, Fdb, Key
from testbed.sim.switch.forwarder import BROADCAST
from testbed.sim.switch.learner import Learner
from testbed.sim.switch.ports import Port
from testbed.stack.variants import Defect
from testbed.timing import Instant, seconds

__all__ = [
    "CONFUSES_STATIONS",
    "HOLDS_DOWN_MOVES",
    "KEEPS_OLD_PORT",
    "LEARNS_AT_SECOND_FRAME",
    "LEARNS_DESTINATIONS",
    "LEARNS_FROM_BROADCASTS",
    "LOSES_MOVED_STATIONS",
    "MOVES_AT_SECOND_FRAME",
    "MOVES_BY_BROADCASTS",
    "MOVES_NEIGHBOURS",
    "NEVER_LEARNS",
]


class _Dull(Learner):
    def meet(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        pass


class _LooksAtDestination(Learner):
    def learn(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        super().learn(frame[6:12] + frame[:6] + frame[12:], vlan, port, now)


class _HearsShouts(Learner):
    def meet(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if frame[:6] == BROADCAST:
            super().meet(frame, vlan, port, now)


class _WantsItTwice(Learner):
    _met: tuple[int, bytes] | None = None

    def meet(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if self._met == (vlan, frame[6:12]):
            super().meet(frame, vlan, port, now)
        self._met = vlan, frame[6:12]


class _HalfAddresses(Fdb):
    def find(self, vlan: int, mac: bytes, now: Instant) -> Entry | None:
        return super().find(vlan, mac[3:], now)

    def store(self, key: Key, entry: Entry) -> None:
        super().store((key[0], key[1][-3:]), entry)


class _Faithful(Learner):
    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        pass


class _MovesByShouts(Learner):
    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if frame[:6] == BROADCAST:
            super().move(entry, frame, vlan, port, now)


class _Doubts(Learner):
    _suspected: tuple[bytes, Port] | None = None

    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if self._suspected == (entry.mac, port):
            super().move(entry, frame, vlan, port, now)
        self._suspected = entry.mac, port


class _HoldsDown(Learner):
    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if now - entry.seen >= seconds(5):
            super().move(entry, frame, vlan, port, now)


class _Drops(Learner):
    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        del frame, vlan, port, now
        self.fdb.remove(lambda other: other is entry)


NEVER_LEARNS: Final = Defect(
    "never learns",
    "SW-01",
    "A switch whose table could not be set up works as a hub: every frame floods.",
    {Learner: _Dull},
)
LEARNS_DESTINATIONS: Final = Defect(
    "learns the destination",
    "SW-01",
    "The two addresses of the header are mixed up, and a station is learned where its peer is.",
    {Learner: _LooksAtDestination},
)
LEARNS_FROM_BROADCASTS: Final = Defect(
    "learns from broadcasts only",
    "SW-01",
    "Frames that hardware forwards never reach the software that learns; only broadcasts do.",
    {Learner: _HearsShouts},
)
LEARNS_AT_SECOND_FRAME: Final = Defect(
    "learns at the second frame",
    "SW-01",
    "The first frame of a station only takes a place in a queue; it takes a second to fill it in.",
    {Learner: _WantsItTwice},
)
CONFUSES_STATIONS: Final = Defect(
    "tells stations apart by 24 bits",
    "SW-01",
    "The table compares the half that a maker numbers, and two makers' cards become one station.",
    {Fdb: _HalfAddresses},
)
KEEPS_OLD_PORT: Final = Defect(
    "keeps the old port",
    "SW-02",
    "An entry that exists is never written again, so a laptop that is plugged in elsewhere is cut "
    "off until it ages.",
    {Learner: _Faithful},
)
MOVES_BY_BROADCASTS: Final = Defect(
    "moves by broadcasts only",
    "SW-02",
    "A machine that migrated and goes on with its connections is not found until it asks by ARP.",
    {Learner: _MovesByShouts},
)
MOVES_AT_SECOND_FRAME: Final = Defect(
    "moves at the second frame",
    "SW-02",
    "The first frame from the new port is taken for a stray, so the one announcement of a failover "
    "is in vain.",
    {Learner: _Doubts},
)
HOLDS_DOWN_MOVES: Final = Defect(
    "holds moves down",
    "SW-02",
    "A guard against loops that cannot be switched off: who spoke within five seconds cannot move.",
    {Learner: _HoldsDown},
)
LOSES_MOVED_STATIONS: Final = Defect(
    "forgets a station that moves",
    "SW-02",
    "A move deletes the entry instead of changing it, and frames to the station flood.",
    {Learner: _Drops},
)


class _MovesAll(Learner):
    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        before = entry.port
        for row in self.fdb.rows(now):
            if row.port is before and not row.static:
                row.port = port
        super().move(entry, frame, vlan, port, now)


MOVES_NEIGHBOURS: Final = Defect(
    "moves the neighbours, too",
    "SW-02",
    "A switch takes a station that moves for a cable that was moved, and takes all of the old port "
    "along: who stayed there hears nothing until it speaks.",
    {Learner: _MovesAll},
)
