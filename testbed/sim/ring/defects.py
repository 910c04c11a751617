"""Faults of token ring stations and monitors, each a ``Defect`` to switch on."""

from __future__ import annotations

from testbed.sim.bus.log import Signal
from testbed.sim.ring.monitor import Monitor
from testbed.sim.ring.states import Event, State
from testbed.sim.ring.station import Station
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "EARLY_SECOND_TOKEN",
    "HOGS",
    "NEVER_RELEASES",
    "NEVER_STRIPS",
    "NO_NEW_TOKEN",
    "ONE_FRAME_TOO_MANY",
    "ONE_STARVES",
    "ONE_WAITS_LONGER",
    "SENDS_WITHOUT_TOKEN",
    "TOKEN_BACK_TO_ITSELF",
    "TWO_TOKENS",
]


def _station(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "SW-22", story, {Station: mixin})


class _LastStation(Station):
    @property
    def is_last(self) -> bool:
        """Whether this is the station before the monitor."""
        return self.port == self.wire.order[-1]


class _Starves(_LastStation):
    def may_capture(self, now: Instant) -> bool:
        return super().may_capture(now) and not self.is_last


class _WaitsLonger(_LastStation):
    _skipped = 0

    def may_capture(self, now: Instant) -> bool:
        if not super().may_capture(now):
            return False
        self._skipped += 1
        return not self.is_last or self._skipped % 3 == 0


class _SendsWithoutToken(Station):
    """Begins when it has a frame; the token that it did not take stays with the others."""

    _unearned = False

    def submit(self, frame: bytes, now: Instant) -> None:
        super().submit(frame, now)
        if self.state is State.REPEATING:
            self.taken_at = now
            self._unearned = True
            self._happens(Event.CAPTURED, now)

    def release(self, now: Instant) -> None:
        if not self._unearned:
            super().release(now)
        self._unearned = False


class _NeverReleases(Station):
    def release(self, now: Instant) -> None:
        pass


class _TwoTokens(Station):
    def release(self, now: Instant) -> None:
        super().release(now)
        later = Instant(now + self.wire.rotation // 2)
        self._alarms.set(("second", self.port), later, super().release)


class _EarlySecondToken(Station):
    def _sent(self, now: Instant) -> None:
        super()._sent(now)
        if self.state is State.HOLDING:
            self.wire.pass_token(self.port, now)


class _Hogs(Station):
    def may_go_on(self, now: Instant) -> bool:  # noqa: ARG002 - a seam
        return bool(self.queue)


class _OneFrameTooMany(Station):
    def may_go_on(self, now: Instant) -> bool:
        return bool(self.queue) and now <= self.taken_at + self.holding_time


class _NeverStrips(Station):
    _around = 0

    def returned(self, signal: Signal, frame: bytes, now: Instant) -> None:
        self._around += 1
        if self._around % 2:  # the monitor takes off what passes it a second time
            self.wire.carry(signal, frame, now)
        else:
            super().returned(signal, frame, now)


class _TokenBackToItself(Station):
    """Takes the token again at once, where it has more to send."""

    def release(self, now: Instant) -> None:
        if self.queue:
            self.token(now)
        else:
            super().release(now)


class _NoNewToken(Monitor):
    def regenerate(self, now: Instant) -> None:
        pass


ONE_STARVES = _station(
    "one station starves",
    "A station's token detector is deaf: it repeats every token, and its own frames wait forever.",
    _Starves,
)
ONE_WAITS_LONGER = _station(
    "one station gets every third token",
    "A station's reserved priority is never raised, so it is passed over while others are busy.",
    _WaitsLonger,
)
SENDS_WITHOUT_TOKEN = _station(
    "sends without the token",
    "An adapter takes a quiet ring for a free one, and sends into what others send.",
    _SendsWithoutToken,
)
NEVER_RELEASES = _station(
    "never releases the token",
    "The station forgets the token after its frames; the ring waits for its monitor each time.",
    _NeverReleases,
)
TWO_TOKENS = _station(
    "two tokens",
    "A station releases the token twice, and two stations send at the same time.",
    _TwoTokens,
)
EARLY_SECOND_TOKEN = _station(
    "passes the token on and goes on sending",
    "Early release is done after each frame of a burst, where it belongs after the last.",
    _EarlySecondToken,
)
HOGS = _station(
    "hogs the token beyond the holding time",
    "The holding timer is off: a station with much to send keeps all others waiting.",
    _Hogs,
)
ONE_FRAME_TOO_MANY = _station(
    "begins a frame that outlasts the holding time",
    "The timer is looked at when a frame begins, not for when it will end.",
    _OneFrameTooMany,
)
NEVER_STRIPS = _station(
    "does not take its frames off the ring",
    "Frames go round twice before the monitor removes them, and everybody gets them twice.",
    _NeverStrips,
)
TOKEN_BACK_TO_ITSELF = _station(
    "takes the token again at once",
    "A station that has more to send takes the token back before it has gone round.",
    _TokenBackToItself,
)
NO_NEW_TOKEN = Defect(
    "lost token is never replaced",
    "SW-22",
    "The active monitor is asleep: a station that is switched off with the token stops the ring.",
    {Monitor: _NoNewToken},
)
