"""Faults of mirrors, storm control and store and forward: SW-17, SW-18, SW-20."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.switch.admission import Admission
from testbed.sim.switch.bucket import Bucket
from testbed.sim.switch.fabric import Fabric
from testbed.sim.switch.forwarder import BROADCAST, Forwarder
from testbed.sim.switch.mirror import Mirror
from testbed.sim.switch.ports import TAG, Port
from testbed.sim.switch.storm import StormControl
from testbed.stack.variants import Defect
from testbed.timing import Instant, milliseconds

__all__ = [
    "BLOCKS_FOR_GOOD",
    "CEILING_TEN_TIMES",
    "COUNTS_PORTS_TOGETHER",
    "CUTS_MIRRORED",
    "DOUBLES_MIRRORED",
    "DROPS_MIRRORED",
    "HOLDS_FRAMES",
    "LETS_MIRROR_PORT_IN",
    "LIMITS_MULTICAST",
    "LIMITS_SHORT_ONLY",
    "LIMITS_UNICAST",
    "LONG_FRAMES_LAG",
    "MIRRORS_EGRESS_ONLY",
    "MIRRORS_INGRESS_ONLY",
    "MIRROR_JOINS_IN",
    "MIRROR_TAKES_AWAY",
    "NO_CEILING",
    "PASSES_ARP_STORMS",
    "REORDERS",
    "RETAGS_MIRRORED",
    "SHUTS_PORT",
    "SLOW_PATH",
    "SWAPS_MIRRORED",
]

_LONG: Final = 500
_ARP: Final = b"\x08\x06"


class _DropsCopies(Mirror):
    _count = 0

    def copy(self, frame: bytes, now: Instant) -> None:
        self._count += 1
        if self._count % 3:
            super().copy(frame, now)


class _Doubles(Mirror):
    def copy(self, frame: bytes, now: Instant) -> None:
        super().copy(frame, now)
        super().copy(frame, now)


class _Retags(Mirror):
    def copy(self, frame: bytes, now: Instant) -> None:
        rest = frame[16:] if frame[12:14] == TAG else frame[12:]
        super().copy(frame[:12] + TAG + b"\x00\x01" + rest, now)


class _InOnly(Mirror):
    def left(self, frame: bytes, port: Port, now: Instant) -> None:
        pass


class _OutOnly(Mirror):
    def entered(self, frame: bytes, port: Port, now: Instant) -> None:
        pass


class _Cuts(Mirror):
    def copy(self, frame: bytes, now: Instant) -> None:
        super().copy(frame[:128], now)


class _SwapsCopies(Mirror):
    _held: bytes | None = None

    def copy(self, frame: bytes, now: Instant) -> None:
        held, self._held = self._held, frame
        if held is not None:
            self._held = None
            super().copy(frame, now)
            super().copy(held, now)


class _JoinsIn(Port):
    __slots__ = ()

    def settle(self) -> None:
        self.live = self.up and self.enabled


class _LetsIn(Admission):
    __slots__ = ()

    def admits(self, frame: bytes, port: Port) -> bool:
        good = port.counters.rx_frames
        admitted = super().admits(frame, port)
        return admitted or (port.listens and port.counters.rx_frames > good)


class _TakesAway(Forwarder):
    def exits(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return () if port.mirrored else super().exits(frame, vlan, port, now)


class _Unlimited(StormControl):
    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:
        del frame, port, now
        return True


class _Generous(StormControl):
    def bucket(self, rate: int) -> Bucket:
        return super().bucket(rate * 10)


class _Final(StormControl):
    _over = False

    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:
        self._over = self._over or not super().passes(frame, port, now)
        return not self._over


class _Shuts(StormControl):
    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:
        passed = super().passes(frame, port, now)
        if not passed:
            port.live = False
        return passed


class _CountsTogether(StormControl):
    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:
        del frame, port
        return next(iter(self._buckets.values())).take(now)


class _LimitsGroups(Forwarder):
    def to_group(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        limited = port.ceiling is not None and frame[:6] != BROADCAST
        if not limited or self.storm.passes(frame, port, now):
            return super().to_group(frame, vlan, port, now)
        port.counters.storm_dropped += 1
        return ()


class _LimitsAll(Forwarder):
    def exits(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        if port.ceiling is None or frame[0] & 1 or self.storm.passes(frame, port, now):
            return super().exits(frame, vlan, port, now)
        port.counters.storm_dropped += 1
        return ()


class _Reorders(Fabric):
    _count = 0

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        self._count += 1
        late = 0 if self._count % 4 else milliseconds(2)
        self.place(Instant(now + self.latency + late), port, frame)


class _Lags(Fabric):
    def store(self, port: str, frame: bytes, now: Instant) -> None:
        late = milliseconds(2) if len(frame) > 512 else 0
        self.place(Instant(now + self.latency + late), port, frame)


class _SlowPath(Fabric):
    _count = 0

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        self._count += 1
        late = 0 if self._count % 50 else milliseconds(5)
        self.place(Instant(now + self.latency + late), port, frame)


class _Holds(Fabric):
    def store(self, port: str, frame: bytes, now: Instant) -> None:
        super().store(port, frame, Instant(now + milliseconds(50)))


DROPS_MIRRORED: Final = Defect(
    "drops mirrored frames",
    "SW-17",
    "The mirror has the lowest priority in the fabric, and what is looked for is not shown.",
    {Mirror: _DropsCopies},
)
DOUBLES_MIRRORED: Final = Defect(
    "doubles mirrored frames",
    "SW-17",
    "Each frame is copied at both ends of the fabric, and looks like a retransmission.",
    {Mirror: _Doubles},
)
RETAGS_MIRRORED: Final = Defect(
    "retags mirrored frames",
    "SW-17",
    "Copies carry the tag that frames have within the switch, not that which they had.",
    {Mirror: _Retags},
)
MIRRORS_INGRESS_ONLY: Final = Defect(
    "mirrors what enters only",
    "SW-17",
    "A session for both directions is set up for one, and every dialogue is a monologue.",
    {Mirror: _InOnly},
)
MIRRORS_EGRESS_ONLY: Final = Defect(
    "mirrors what leaves only",
    "SW-17",
    "A session for both directions is set up for one, and no question is ever seen.",
    {Mirror: _OutOnly},
)
CUTS_MIRRORED: Final = Defect(
    "cuts mirrored frames short",
    "SW-17",
    "Copies hold the first 128 bytes only, to save the memory for them.",
    {Mirror: _Cuts},
)
SWAPS_MIRRORED: Final = Defect(
    "swaps mirrored frames",
    "SW-17",
    "Copies go through two queues that take turns, and effects are seen before causes.",
    {Mirror: _SwapsCopies},
)
MIRROR_JOINS_IN: Final = Defect(
    "keeps the mirror port in its VLAN",
    "SW-17",
    "The mirror port gets broadcasts besides the copies, and each is seen twice.",
    {Port: _JoinsIn},
)
LETS_MIRROR_PORT_IN: Final = Defect(
    "lets frames in at the mirror port",
    "SW-17",
    "The analyser's own chatter is forwarded, and is learned behind the mirror port.",
    {Admission: _LetsIn},
)
MIRROR_TAKES_AWAY: Final = Defect(
    "mirrors in place of forwarding",
    "SW-17",
    "The session redirects where it should copy: who is watched is cut off.",
    {Forwarder: _TakesAway},
)
NO_CEILING: Final = Defect(
    "no ceiling",
    "SW-18",
    "Storm control is set, shown and without effect, and one loop takes the network down.",
    {StormControl: _Unlimited},
)
CEILING_TEN_TIMES: Final = Defect(
    "ceiling ten times as high",
    "SW-18",
    "The setting is in frames, the hardware counts in units of ten.",
    {StormControl: _Generous},
)
LIMITS_UNICAST: Final = Defect(
    "limits unicast too",
    "SW-18",
    "The meter is in front of the classifier, and a backup is taken for a storm.",
    {Forwarder: _LimitsAll},
)
LIMITS_MULTICAST: Final = Defect(
    "limits multicast too",
    "SW-18",
    "The meter looks at the group bit only, and television stutters when ARP is busy.",
    {Forwarder: _LimitsGroups},
)
COUNTS_PORTS_TOGETHER: Final = Defect(
    "counts all ports together",
    "SW-18",
    "There is one meter in the chip, and one bad port silences the broadcasts of all.",
    {StormControl: _CountsTogether},
)
BLOCKS_FOR_GOOD: Final = Defect(
    "blocks broadcasts for good",
    "SW-18",
    "Once above the ceiling, broadcasts never pass again, and leases run out one by one.",
    {StormControl: _Final},
)
SHUTS_PORT: Final = Defect(
    "shuts the port when the ceiling is reached",
    "SW-18",
    "The action is to disable the port where it should be to drop, and unicast dies as well.",
    {StormControl: _Shuts},
)
REORDERS: Final = Defect(
    "reorders",
    "SW-20",
    "Frames of one flow are spread over parallel links of unlike load.",
    {Fabric: _Reorders},
)
LONG_FRAMES_LAG: Final = Defect(
    "lets short frames overtake long ones",
    "SW-20",
    "Long frames are kept in slower memory, and the end of a message comes before its middle.",
    {Fabric: _Lags},
)
SLOW_PATH: Final = Defect(
    "sends a frame by the slow path now and then",
    "SW-20",
    "A cache of flows misses once in a while, and the frame takes the way through the processor.",
    {Fabric: _SlowPath},
)
HOLDS_FRAMES: Final = Defect(
    "holds frames for 50 ms",
    "SW-20",
    "An energy-saving port wakes up for each frame.",
    {Fabric: _Holds},
)


class _LimitsShort(StormControl):
    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:
        return len(frame) > _LONG or super().passes(frame, port, now)


class _SparesArp(StormControl):
    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:
        return frame[12:14] == _ARP or super().passes(frame, port, now)


LIMITS_SHORT_ONLY: Final = Defect(
    "limits short broadcasts only",
    "SW-18",
    "Storm control counts what fits into one cell of the chip's memory: a storm of long frames "
    "passes, which is the worse one.",
    {StormControl: _LimitsShort},
)
PASSES_ARP_STORMS: Final = Defect(
    "lets storms of ARP pass",
    "SW-18",
    "ARP is spared, for nothing works without it: a loop is full of little else.",
    {StormControl: _SparesArp},
)
