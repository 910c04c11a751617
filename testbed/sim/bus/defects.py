"""Faults of CSMA/CD stations, each a ``Defect`` to switch on."""

from __future__ import annotations

from testbed.sim.bus.backoff import LIMIT, Backoff
from testbed.sim.bus.deference import Deference
from testbed.sim.bus.mac import Mac
from testbed.sim.bus.states import Event
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "ALWAYS_LONGEST",
    "BLIND_TO_COLLISIONS",
    "CAPTURE",
    "EARLY_TRUNCATION",
    "ENDLESS_JAM",
    "FAVOURITE",
    "GIVES_UP_AT_ONCE",
    "GIVES_UP_EARLY",
    "GROWS_LINEARLY",
    "IN_STEP",
    "NEVER_GIVES_UP",
    "NO_BACKOFF",
    "NO_CARRIER_SENSE",
    "NO_GAP",
    "NO_GROWTH",
    "NO_JAM",
    "REMEMBERS_COLLISIONS",
    "SHORT_GAP",
    "SHORT_SLOT",
    "TWICE_AFTER_COLLISION",
    "UNTRUNCATED",
]


def _backoff(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "SW-21", story, {Backoff: mixin})


def _deference(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "SW-21", story, {Deference: mixin})


def _mac(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "SW-21", story, {Mac: mixin})


# Back-off


class _NoGrowth(Backoff):
    def range(self, collisions: int) -> int:
        return super().range(min(collisions, 1))


class _Untruncated(Backoff):
    def range(self, collisions: int) -> int:
        return 1 << collisions


class _EarlyTruncation(Backoff):
    def range(self, collisions: int) -> int:
        return super().range(min(collisions, 4))


class _GrowsLinearly(Backoff):
    def range(self, collisions: int) -> int:
        return min(collisions + 1, 1 << LIMIT)


class _NoBackoff(Backoff):
    def slots(self, collisions: int) -> int:  # noqa: ARG002 - a seam
        return 0


class _AlwaysLongest(Backoff):
    def slots(self, collisions: int) -> int:
        return self.range(collisions) - 1


class _ShortSlot(Backoff):
    slot = 51


class _InStep(Backoff):
    def _seed(self, seed: str, port: str) -> bytes:  # noqa: ARG002 - a seam
        return b"4711"


class _GivesUpAtOnce(Backoff):
    attempts = 1


class _GivesUpEarly(Backoff):
    attempts = 15


class _NeverGivesUp(Backoff):
    def exhausted(self, collisions: int) -> bool:  # noqa: ARG002 - a seam
        return False


class _Capture(Backoff):
    _has_won = False

    def slots(self, collisions: int) -> int:
        return 0 if self._has_won else super().slots(collisions)

    def succeeded(self) -> None:
        super().succeeded()
        self._has_won = True


class _Favourite(Backoff):
    """The station of the first port draws from half the range."""

    def __init__(self, seed: str, port: str) -> None:
        super().__init__(seed, port)
        self._favoured = port.endswith("1")

    def slots(self, collisions: int) -> int:
        return 0 if self._favoured else super().slots(collisions)


NO_GROWTH = _backoff(
    "no back-off growth",
    "A controller draws from two slots however often it has collided, and a busy segment melts.",
    _NoGrowth,
)
UNTRUNCATED = _backoff(
    "back-off grows without end",
    "The exponent is not cut at 10, so after some collisions a station is silent for seconds.",
    _Untruncated,
)
EARLY_TRUNCATION = _backoff(
    "back-off stops growing at 16 slots",
    "A driver that wanted to be faster than others on a busy segment cut the exponent at 4.",
    _EarlyTruncation,
)
GROWS_LINEARLY = _backoff(
    "back-off grows linearly",
    "The range grows by one slot with each collision where it should double.",
    _GrowsLinearly,
)
NO_BACKOFF = _backoff(
    "no back-off at all",
    "The station tries again as soon as the medium is clear, and meets the same others again.",
    _NoBackoff,
)
ALWAYS_LONGEST = _backoff(
    "back-off without chance",
    "The random number generator is stuck: every station always waits the longest of its range.",
    _AlwaysLongest,
)
SHORT_SLOT = _backoff(
    "slot of 51 bit times",
    "The slot timer counts in bytes where it should count in bits: stations retry within one slot.",
    _ShortSlot,
)
IN_STEP = _backoff(
    "all draw the same numbers",
    "Cards of one batch seed their generators alike, so those that collided once go on colliding.",
    _InStep,
)
GIVES_UP_AT_ONCE = _backoff(
    "gives up after 1",
    "The first collision ends the frame, which upper layers then take for loss.",
    _GivesUpAtOnce,
)
GIVES_UP_EARLY = _backoff(
    "gives up after 15",
    "The attempt counter is compared before it is raised: a frame is dropped one attempt early.",
    _GivesUpEarly,
)
NEVER_GIVES_UP = _backoff(
    "never gives up",
    "There is no excessive collision error: a frame is tried for as long as it takes.",
    _NeverGivesUp,
)
CAPTURE = _backoff(
    "capture: the winner never backs off",
    "A station that sent once retries at once ever after, and keeps the medium to itself.",
    _Capture,
)
FAVOURITE = _backoff(
    "one station never backs off",
    "One vendor's aggressive card gets the segment whenever it wants it.",
    _Favourite,
)


# Carrier sense and gap


class _NoCarrierSense(Deference):
    def heard(self, now: Instant) -> None:
        pass

    def faded(self, now: Instant) -> None:
        pass


class _NoGap(Deference):
    part_1 = 0
    part_2 = 0


class _ShortGap(Deference):
    part_1 = 32
    part_2 = 16


NO_CARRIER_SENSE = _deference(
    "no carrier sense",
    "The receive pair is broken: the station hears nobody, and sends into every frame.",
    _NoCarrierSense,
)
NO_GAP = _deference(
    "no inter-frame gap",
    "Frames follow each other without a pause, and receivers that need one lose every second.",
    _NoGap,
)
SHORT_GAP = _deference(
    "gap of 48 bit times",
    "A card shortens its gap to win the medium from its neighbours, as some benchmarks rewarded.",
    _ShortGap,
)


# Collisions


class _NoJam(Mac):
    jam = 0


class _EndlessJam(Mac):
    jam = 4096


class _Blind(Mac):
    def disturbed(self, now: Instant) -> None:
        pass


class _RemembersCollisions(Mac):
    def _forget_collisions(self) -> None:
        self.collisions = min(self.collisions, self.backoff.attempts - 1)


class _TwiceAfterCollision(Mac):
    def _enter_idle(self, event: Event, now: Instant) -> None:
        if event is Event.SENT and self.collisions and self.queue:
            self.queue.appendleft(self.queue[0])
        super()._enter_idle(event, now)


NO_JAM = _mac(
    "no jam",
    "The station falls silent at once, and a distant one never learns of the collision.",
    _NoJam,
)
ENDLESS_JAM = _mac(
    "jams for 4096 bit times",
    "A jabbering transceiver holds the medium long after each collision.",
    _EndlessJam,
)
BLIND_TO_COLLISIONS = _mac(
    "sends on through collisions",
    "Collision detection is off, as on a card forced to full duplex on a hub: frames are lost.",
    _Blind,
)
REMEMBERS_COLLISIONS = _mac(
    "counts collisions across frames",
    "The attempt counter is not cleared by success, so frames are given up after few collisions.",
    _RemembersCollisions,
)
TWICE_AFTER_COLLISION = _mac(
    "sends twice after a collision",
    "The retry is queued beside the frame it is for, and the receiver gets both.",
    _TwiceAfterCollision,
)
