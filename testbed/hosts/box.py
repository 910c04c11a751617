"""A fault box: a bump in the wire between two NICs, which does to frames what a plan tells it."""

from __future__ import annotations

from testbed.errors import LinkError
from testbed.hosts.tap import Subscription, Tap
from testbed.hosts.turning import Loop
from testbed.hosts.way import ImpairedWay, WayEvent
from testbed.link.size import room
from testbed.wire.frame import Direction, Frame

__all__ = ["BoxDirection", "FaultBox"]


class BoxDirection(ImpairedWay):
    """One way through a box, named by its NICs: ``x1>x2``."""

    def __init__(self, source: Tap, sink: Tap, loop: Loop) -> None:
        super().__init__(f"{source.port.name}>{sink.port.name}", loop, self._pass_on)
        self.received = 0
        self.sent = 0
        self.refused = 0
        """Frames that could not be passed on: by no fault of a stage, but of the rig."""
        self.first_refusal = ""
        self._source = source
        self._sink = sink
        self._subscription: Subscription | None = None

    def begin(self) -> None:
        """Start a new record: forget events and counts. Stages stay in place."""
        super().begin()
        self.received = self.sent = self.refused = 0
        self.first_refusal = ""

    def start(self) -> None:
        """Let frames pass; starting twice is no error."""
        if self._subscription is None:
            self._subscription = self._source.subscribe(self._receive)
            super().start()

    def stop(self) -> None:
        """Let nothing pass; frames kept back by stages stay there. Twice is no error."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
            super().stop()

    def _receive(self, frame: Frame) -> None:
        # What the box itself sent comes back as OUT: it must not go round.
        if frame.direction is not Direction.IN:
            return
        self.received += 1
        if frame.wire_length != len(frame.data):
            why = f"an offload at the far end made a frame of {frame.wire_length} bytes"
            self._refuse(frame.data, why)
            return
        self.push(frame.data)

    def _pass_on(self, frame: bytes) -> None:
        longest = room(frame, self._sink.port.mtu)
        if len(frame) > longest:
            # As between two links of different MTU without a router: lost, not an error.
            note = f"{len(frame)} bytes do not fit {self._sink.port.name}, which takes {longest}"
            self.note("drop", frame, note)
            return
        try:
            self._sink.send(frame)
        except LinkError as error:
            self._refuse(frame, str(error))
        else:
            self.sent += 1

    def _refuse(self, frame: bytes, why: str) -> None:
        self.refused += 1
        self.first_refusal = self.first_refusal or why
        self.note("drop", frame, why)


class FaultBox:
    """Joins the NICs of two taps as if a cable ran between them, until a plan adds stages.

    Frames from the left leave at the right and the other way round, unaltered. A stage sees
    instants of the loop's clock; the events here are on the capture clock.
    """

    def __init__(self, name: str, left: Tap, right: Tap, loop: Loop) -> None:
        self.name = name
        self._taps = (left, right)
        self._rightward = BoxDirection(left, right, loop)
        self._leftward = BoxDirection(right, left, loop)
        self._dropped = [tap.port.dropped() for tap in self._taps]

    def direction(self, *, from_left: bool) -> BoxDirection:
        """The way from the left NIC to the right one, or the way back."""
        return self._rightward if from_left else self._leftward

    @property
    def directions(self) -> tuple[BoxDirection, BoxDirection]:
        """Both ways, the one from the left first."""
        return self._rightward, self._leftward

    @property
    def events(self) -> tuple[WayEvent, ...]:
        """What was done to frames both ways, oldest first."""
        both = [*self._rightward.events, *self._leftward.events]
        return tuple(sorted(both, key=lambda event: event.at))

    def begin(self) -> None:
        """Start a new record, both ways: what is past counts neither for it nor against it."""
        for way in self.directions:
            way.begin()
        for tap in self._taps:
            tap.port.forgive()
        self._dropped = [tap.port.dropped() for tap in self._taps]

    def start(self) -> None:
        """Let frames pass both ways."""
        for way in self.directions:
            way.start()

    def stop(self) -> None:
        """Let nothing pass; the NICs stay open."""
        for way in self.directions:
            way.stop()

    def clear(self) -> None:
        """Take all stages out, both ways."""
        for way in self.directions:
            way.clear()

    def check_alive(self) -> None:
        """Raise LinkError when since begin() the box itself lost frames, or a NIC its link."""
        for tap, before in zip(self._taps, self._dropped, strict=True):
            tap.port.check_alive()
            if dropped := tap.port.dropped() - before:
                raise LinkError(
                    f"box {self.name}: {tap.port.name} lost {dropped} frames for want of room; "
                    "send less, or give it a larger ring"
                )
        for way in self.directions:
            if way.refused:
                raise LinkError(
                    f"box {self.name}: {way.refused} frames on the way {way.name} could not "
                    f"be passed on; the first: {way.first_refusal}"
                )
