"""Faults of broadcasts, and of floods that do not end: SW-08, SW-09."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.switch.defects.near import nearest
from testbed.sim.switch.fdb import Entry
from testbed.sim.switch.forwarder import BROADCAST, Forwarder
from testbed.sim.switch.learner import Learner
from testbed.sim.switch.ports import Port
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "BROADCASTS_SHORT_ONLY",
    "BROADCASTS_TWICE",
    "ECHOES_BROADCASTS",
    "FLOODS_FLOWS_ON",
    "FLOODS_FOREVER",
    "FLOODS_TO_HALF_KNOWN",
    "KEEPS_ARP",
    "LEARNS_GROUP_SOURCE",
    "MISSES_PORT_IN_BROADCASTS",
    "STOPS_BROADCASTING_WHEN_FULL",
    "STOPS_BROADCASTS_TOO",
]

_ARP: Final = b"\x08\x06"
_LONG: Final = 1000


class _SilentWhenFull(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        if not self.fdb.has_room(now):
            return ()
        return super().to_broadcast(frame, vlan, port, now)


class _LearnsGroups(Learner):
    def is_group(self, frame: bytes) -> bool:
        del frame
        return False


class _LooksGroupsUp(Forwarder):
    def to_group(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        entry = self.fdb.find(vlan, frame[:6], now)
        if entry is not None:
            return self.to_known(entry, frame, vlan, port, now)
        return super().to_group(frame, vlan, port, now)


class _EchoesShouts(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return (*super().to_broadcast(frame, vlan, port, now), port)


class _MissesOne(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        exits = super().to_broadcast(frame, vlan, port, now)
        missed = nearest(exits, port)
        return [each for each in exits if each not in missed]


class _ShoutsTwice(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return 2 * tuple(super().to_broadcast(frame, vlan, port, now))


class _AnswersNoArp(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        if frame[12:14] == _ARP:
            return ()
        return super().to_broadcast(frame, vlan, port, now)


class _FloodsAll(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        exits = super().to_known(entry, frame, vlan, port, now)
        return self.flood(vlan, port) if exits else ()


class _FloodsOn(Forwarder):
    _flow: tuple[int, bytes] | None = None

    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        self._flow = vlan, frame[:12]
        return super().to_unknown(frame, vlan, port, now)

    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if self._flow == (vlan, frame[:12]):
            return self.flood(vlan, port)
        return super().to_known(entry, frame, vlan, port, now)


class _StopsShouts(Forwarder):
    _answered: bytes | None = None

    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        self._answered = frame[6:12]
        return super().to_known(entry, frame, vlan, port, now)

    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        exits = super().to_broadcast(frame, vlan, port, now)
        return nearest(exits, port) if self._answered == frame[6:12] else exits


class _NeedsShout(Learner):
    def learn(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if frame[:6] == BROADCAST:
            self.fdb.__dict__.setdefault("shouted", set()).add(frame[6:12])
        super().learn(frame, vlan, port, now)


class _FloodsUnlessShouted(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if entry.mac in self.fdb.__dict__.get("shouted", ()) or entry.port is port:
            return super().to_known(entry, frame, vlan, port, now)
        return self.flood(vlan, port)


STOPS_BROADCASTING_WHEN_FULL: Final = Defect(
    "stops broadcasting once the table is full",
    "SW-08",
    "Broadcasts of stations that find no room are dropped, and they get no address and no ARP.",
    {Forwarder: _SilentWhenFull},
)
LEARNS_GROUP_SOURCE: Final = Defect(
    "learns a group source",
    "SW-08",
    "A frame with a group address as its source makes an entry, and the group's frames then go to "
    "one port.",
    {Learner: _LearnsGroups, Forwarder: _LooksGroupsUp},
)
ECHOES_BROADCASTS: Final = Defect(
    "echoes broadcasts",
    "SW-08",
    "Stations hear their own ARP probes and think that their address is taken.",
    {Forwarder: _EchoesShouts},
)
MISSES_PORT_IN_BROADCASTS: Final = Defect(
    "misses a port in broadcasts",
    "SW-08",
    "The broadcast mask was made before the last port came up, and its station gets no address.",
    {Forwarder: _MissesOne},
)
BROADCASTS_TWICE: Final = Defect(
    "broadcasts twice",
    "SW-08",
    "Hardware floods the broadcast, and so does the software that gets a copy of it.",
    {Forwarder: _ShoutsTwice},
)
KEEPS_ARP: Final = Defect(
    "keeps broadcasts of ARP to itself",
    "SW-08",
    "ARP suppression was left on without anything that answers in the stations' place.",
    {Forwarder: _AnswersNoArp},
)
FLOODS_FOREVER: Final = Defect(
    "floods forever",
    "SW-09",
    "The table is right, but the look-up never hits, and the network runs as a hub.",
    {Forwarder: _FloodsAll},
)
FLOODS_FLOWS_ON: Final = Defect(
    "floods on what it once flooded",
    "SW-09",
    "A cache of flows keeps the decision to flood after the station has answered.",
    {Forwarder: _FloodsOn},
)
FLOODS_TO_HALF_KNOWN: Final = Defect(
    "floods until a broadcast tells the station",
    "SW-09",
    "Stations that answer with unicast alone are put into the table but not into the hardware.",
    {Learner: _NeedsShout, Forwarder: _FloodsUnlessShouted},
)
STOPS_BROADCASTS_TOO: Final = Defect(
    "stops broadcasts together with floods",
    "SW-09",
    "Broadcast and flood share one mask for each source, narrowed when its calls are answered.",
    {Forwarder: _StopsShouts},
)


class _Brief(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return super().to_broadcast(frame, vlan, port, now) if len(frame) < _LONG else ()


BROADCASTS_SHORT_ONLY: Final = Defect(
    "loses long broadcasts",
    "SW-08",
    "Broadcasts are copied from a small buffer: ARP passes, and the announcements of a routing "
    "protocol do as long as the network is small.",
    {Forwarder: _Brief},
)
