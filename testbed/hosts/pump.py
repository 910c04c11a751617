"""Keeps a sans-IO stack going in the loop: frames in and out, timers, and a clock to stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from testbed.errors import LinkError, PlanError
from testbed.hosts.tap import Subscription, Tap
from testbed.hosts.turning import Loop
from testbed.hosts.way import ImpairedWay
from testbed.timing import Duration, Instant
from testbed.wire.frame import Direction, Frame

__all__ = ["SansIo", "Sent", "StackPump", "StackWire"]

KEPT_WHILE_FROZEN = 4096
"""Frames that wait for a stopped clock: what a NIC's ring and the kernel's queues may hold."""


class Sent(Protocol):
    """A frame that a stack wants to send, and by which of its interfaces."""

    @property
    def interface(self) -> str:
        """The interface's name."""

    @property
    def frame(self) -> bytes:
        """The frame from its destination MAC on."""


class SansIo(Protocol):
    """A stack's face: it does nothing by itself, and everything at a time that it is told."""

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame."""

    def handle_timeout(self, now: Instant) -> None:
        """Do what is due."""

    def poll_timeout(self) -> Instant | None:
        """When something is due, or None."""

    def poll_transmit(self, now: Instant) -> Sent | None:
        """The next frame to send, or None."""


class StackWire:
    """One interface of a stack on one tap, with the impairments between the two.

    A stage of ``outgoing`` strikes frames before they reach the cable, one of ``incoming`` what the
    cable brought before it reaches the stack: the very stages of fault boxes.
    """

    def __init__(self, pump: StackPump, interface: str, tap: Tap, loop: Loop) -> None:
        self.interface = interface
        self.tap = tap
        self.outgoing = ImpairedWay(f"{pump.name}>{tap.port.name}", loop, self._send)
        self.incoming = ImpairedWay(f"{tap.port.name}>{pump.name}", loop, self._take)
        self.malformed = 0
        """Frames that an offload at the far end had made larger than the cable carries."""
        self._pump = pump
        self._subscription: Subscription | None = tap.subscribe(self._hear)
        for way in (self.outgoing, self.incoming):
            way.start()

    def close(self) -> None:
        """Leave the tap, which stays open; twice is no error."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        for way in (self.outgoing, self.incoming):
            way.clear()
            way.stop()

    def _hear(self, frame: Frame) -> None:
        if frame.direction is not Direction.IN:
            return  # the stack's own, or what the bench sends by the same NIC
        if frame.wire_length != len(frame.data):
            self.malformed += 1
        elif not self._pump.ignores(frame.data):
            self.incoming.push(frame.data)

    def _take(self, frame: bytes) -> None:
        self._pump.take(self.interface, frame)

    def _send(self, frame: bytes) -> None:
        if self._subscription is None:
            return
        try:
            self.tap.send(frame)
        except LinkError as error:  # a NIC without a link loses frames; hosts do not fall over it
            self.outgoing.note("drop", frame, str(error))


class StackPump:
    """Runs one stack: its interfaces are wires to taps, its timers are the loop's.

    The stack's clock is the loop's until freeze(). Whatever a plan does to the stack by itself is
    on the cable at the latest when the loop turns; flush() sends it at once.
    """

    def __init__(
        self,
        face: SansIo,
        loop: Loop,
        *,
        name: str = "stack",
        ignores: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self.loop = loop
        self.ignores = ignores
        """Which frames are not for the stack: those by which the bench proves its captures."""
        self.wires: dict[str, StackWire] = {}
        self.after_work: list[Callable[[], None]] = []
        """Called whenever the stack has taken a frame or a time-out: something may be ready."""
        self._face = face
        self._lag = 0
        self._frozen_at: Instant | None = None
        self._kept: deque[tuple[str, bytes]] = deque(maxlen=KEPT_WHILE_FROZEN)
        self._armed: Instant | None = None
        loop.before_wait(self, self.flush)

    def attach(self, interface: str, tap: Tap) -> StackWire:
        """Join an interface of the stack to a tap."""
        if interface in self.wires:
            raise PlanError(f"{self.name}: interface {interface} has a wire already")
        self.wires[interface] = StackWire(self, interface, tap, self.loop)
        return self.wires[interface]

    def now(self) -> Instant:
        """The stack's clock: the loop's, less the time that it was stopped."""
        if self._frozen_at is not None:
            return self._frozen_at
        return Instant(self.loop.now() - self._lag)

    def wall(self, at: Instant) -> Instant:
        """An instant of the stack's clock on the capture clock; meant for the recent past."""
        return Instant(self.loop.wall_now() - (self.now() - at))

    @property
    def frozen(self) -> bool:
        """Whether the stack's clock is stopped."""
        return self._frozen_at is not None

    def freeze(self) -> None:
        """Stop the stack's clock: it hears nothing, sends nothing, no timer runs. Twice is fine.

        What comes meanwhile waits at the door (the latest 4096 frames) and is taken at thaw().
        """
        if self._frozen_at is None:
            self._frozen_at = self.now()
            self._armed = None
            self.loop.cancel(self)

    def thaw(self) -> None:
        """Let the clock go on from where it was stopped; one that runs is no error."""
        if self._frozen_at is None:
            return
        self._lag = self.loop.now() - self._frozen_at
        self._frozen_at = None
        while self._kept:
            self.take(*self._kept.popleft())
        self.flush()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clock stands still within a ``with`` block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def take(self, interface: str, frame: bytes) -> None:
        """Hand the stack a frame, as if the cable had brought it."""
        if self._frozen_at is not None:
            self._kept.append((interface, frame))
            return
        self._face.receive(frame, self.now(), interface)
        self._worked()

    def flush(self) -> None:
        """Send all that the stack has to send, and see when it wants to be woken."""
        if self._frozen_at is not None:
            return
        now = self.now()
        while (out := self._face.poll_transmit(now)) is not None:
            wire = self.wires.get(out.interface)
            if wire is not None:
                wire.outgoing.push(out.frame)
        self._arm()

    def run_until(self, condition: Callable[[], bool], within: Duration) -> bool:
        """Turn the loop until ``condition`` holds (True) or ``within`` is over (False)."""
        self.flush()
        return self.loop.run_until(condition, within)

    def close(self) -> None:
        """Leave the taps and the loop; the stack goes no further. Twice is no error."""
        for wire in self.wires.values():
            wire.close()
        self.loop.forget(self)
        self.loop.cancel(self)
        self.after_work.clear()

    def _worked(self) -> None:
        self.flush()
        for hook in tuple(self.after_work):
            hook()

    def _arm(self) -> None:
        deadline = self._face.poll_timeout()
        # A deadline that has moved away is looked at when the earlier one comes.
        if deadline is not None and (self._armed is None or deadline < self._armed):
            self._armed = deadline
            self.loop.call_at(Instant(deadline + self._lag), self._fire, name=self)

    def _fire(self) -> None:
        self._armed = None
        deadline, now = self._face.poll_timeout(), self.now()
        if deadline is not None and deadline <= now:
            self._face.handle_timeout(now)
            self._worked()
        else:
            self._arm()
