"""What a sender is given, and what it can do."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from testbed.errors import LinkError, PlanError, TestbedError
from testbed.link.netlink import RouteNetlink, Traffic
from testbed.link.size import room
from testbed.link.streams.flow import Blend
from testbed.link.streams.pace import Pace
from testbed.timing import Duration

__all__ = ["UNLIMITED", "Counted", "Job", "Ledger", "Outlet", "Sender"]

UNLIMITED = 1 << 62
"""A count that is never reached, and an instant that never comes."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to send, how fast, and until when: ``count`` frames, or for ``duration``, or stop()."""

    blend: Blend
    pace: Pace = field(default_factory=Pace)
    count: int | None = None
    duration: Duration | None = None

    def __post_init__(self) -> None:
        if self.count is not None and not 0 < self.count < UNLIMITED:
            raise PlanError(f"a stream of {self.count} frames: expected 1 at least")
        if self.duration is not None and self.duration <= 0:
            raise PlanError("a stream must last longer than that")

    @property
    def limit(self) -> int:
        """How many frames are sent at most."""
        return UNLIMITED if self.count is None else self.count


@dataclass(frozen=True, slots=True)
class Outlet:
    """An interface in the network namespace of the calling thread."""

    interface: str
    index: int
    mtu: int

    @classmethod
    def find(cls, interface: str) -> Outlet:
        """The interface of that name; LinkError when there is none."""
        with RouteNetlink() as route:
            link = route.link(interface)
        return cls(interface, link.index, link.mtu)

    def require_fit(self, blend: Blend) -> None:
        """Raise LinkError when a frame is longer than the MTU allows: some senders lose it."""
        for flow in blend.flows:
            for template in flow.templates:
                longest = room(template, self.mtu)
                if len(template) > longest:
                    raise LinkError(
                        f"{self.interface}: a frame of {len(template)} bytes is too long for a "
                        f"stream: its MTU of {self.mtu} allows {longest}"
                    )


class Sender(Protocol):
    """Sends a job's frames, by itself, from start() on. One job, once."""

    @property
    def sent(self) -> int:
        """Frames sent so far."""

    @property
    def done(self) -> bool:
        """Whether all is sent, the time is over, or it was stopped."""

    def start(self) -> None:
        """Begin."""

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, from now on."""

    def stop(self) -> None:
        """Send no more; returns when nothing is under way. Twice is no error.

        Raises LinkError when the port could not send.
        """


class Ledger:
    """What the kernel counted at an interface while something was sent there."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._route = RouteNetlink()
        try:
            self._before = self._route.traffic(outlet.index)
        except BaseException:
            self._route.close()
            raise

    def lost(self, handed: int) -> int:
        """How many of ``handed`` frames the interface did not send.

        What others sent there meanwhile can only make it look better than it was, so that its own
        count of dropped frames is heard too.
        """
        now = self._now()
        missing = handed - (now.sent - self._before.sent)
        return max(0, missing, min(handed, now.send_dropped - self._before.send_dropped))

    def close(self) -> None:
        """Release the socket; twice is no error."""
        self._route.close()

    def _now(self) -> Traffic:
        return self._route.traffic(self._outlet.index)


_AT_WORK: set[Counted] = set()
"""Senders of this process that have begun and are not stopped."""


class Counted:
    """The part that all senders share: when they are over, and what they really sent.

    What an interface dropped cannot be told apart by stream: where others sent there meanwhile, a
    loss is an error and no number.
    """

    name = ""

    def __init__(self, outlet: Outlet, duration: Duration | None = None) -> None:
        self.outlet = outlet
        self._duration = duration
        self.lost = 0
        """Frames that were handed to the interface and that it dropped; known after stop()."""
        self.error: TestbedError | None = None
        self._ledger: Ledger | None = None
        self._end = UNLIMITED
        self.shared = False
        """Whether others sent at the interface meanwhile."""

    def others(self) -> list[Counted]:
        """Who else in this process sends at the interface now."""
        return [each for each in _AT_WORK if each is not self and each.outlet == self.outlet]

    def _open(self) -> None:
        self._ledger = Ledger(self.outlet)
        _AT_WORK.add(self)
        for other in self.others():
            self.shared = other.shared = True
        if self._duration is not None:
            self._end = time.monotonic_ns() + self._duration

    def _settle(self, handed: int) -> None:
        """Balance the books, once; raises what went wrong."""
        if self._ledger is not None:
            _AT_WORK.discard(self)
            try:
                self.lost = self._ledger.lost(handed)
            except LinkError as error:
                self.error = self.error or error
            self._ledger.close()
            self._ledger = None
            if self.lost and self.shared and self.error is None:
                self.error = LinkError(
                    f"{self.outlet.interface} dropped frames while several streams were sent there "
                    f"({self.lost} as far as can be told), and which ones is not known: send them "
                    "as one stream, mixed by shares, or more slowly"
                )
        if self.error is not None:
            raise self.error
