"""A capture in a plan: a window of the plan's trace, and the proof of what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from testbed.bench.beacons import BeaconPath, Beacons
from testbed.capture import BeaconKind, Matcher, PointView, Proof, Trace, TracedFrame
from testbed.errors import ExpectationFailed, LinkError, PlanError
from testbed.hosts import Loop, Tap
from testbed.timing import Duration, Instant, format_duration, seconds

__all__ = ["Capture"]

ARRIVE_WITHIN = seconds(2)
"""How long wait_for() waits unless told otherwise."""

STILL_OPEN = Proof(
    alive=True,
    lossless=True,
    settled=False,
    reasons=("nobody waited for what may still be under way: call settle() first",),
)


class Capture:
    """Frames of some points of a plan, from entering the block to leaving it.

    ``settle()`` waits, by barrier frames, until whatever the plan sent has arrived; leaving the
    block does so too, for the capture must have been alive to its end. Expectations that something
    did *not* come hold only if canaries and barriers came through and no frame was lost.
    """

    def __init__(
        self,
        trace: Trace,
        taps: Mapping[str, Tap],
        paths: Mapping[str, tuple[BeaconPath, ...]],
        *,
        beacons: Beacons,
        loop: Loop,
        activity: Callable[[], int],
    ) -> None:
        self._trace = trace
        self._taps = dict(taps)
        self._paths = paths
        self._beacons = beacons
        self._loop = loop
        self._activity = activity
        self._settled_at = -1
        self._dropped: dict[str, int] = {}
        self._dead: dict[str, list[str]] = {}
        self._proofs: dict[str, Proof] = {}
        self._start = Instant(0)
        self._end: Instant | None = None

    def __enter__(self) -> Self:
        for tap in self._taps.values():
            tap.pump()
            tap.port.forgive()
        self._dropped = {point: tap.unheard() for point, tap in self._taps.items()}
        missing = self._beacons.round(BeaconKind.CANARY, self._all_paths())
        self._start = self._loop.wall_now()
        self._dead = {point: self._of(missing, point, "canary") for point in self._taps}
        self._proofs = dict.fromkeys(self._taps, STILL_OPEN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.settle()
        for tap in self._taps.values():
            tap.pump()
        self._end = self._loop.wall_now()

    def settle(self) -> None:
        """Wait until everything that is under way has arrived, proven by two rounds of barriers."""
        activity = self._activity()
        missing = self._beacons.round(BeaconKind.BARRIER, self._all_paths())
        if not missing:
            missing = self._beacons.round(BeaconKind.BARRIER, self._all_paths())
        for point, tap in self._taps.items():
            tap.pump()
            lost = tap.unheard() - self._dropped[point]
            late = self._of(missing, point, "barrier")
            dead = list(self._dead[point])
            if not self._paths[point]:
                dead.append("no canary can reach this point: give capture() its paths")
            try:
                tap.port.check_alive()
            except LinkError as error:
                dead.append(str(error))
            losses = [f"the kernel dropped {lost} frames, or carried them past"] if lost else []
            self._proofs[point] = Proof(
                alive=not dead,
                lossless=not lost,
                settled=not late and bool(self._paths[point]),
                reasons=(*dead, *late, *losses),
            )
        self._settled_at = activity

    def at(self, point: str) -> PointView:
        """What ``point`` saw within this capture: frames from the cable, unless asked otherwise."""
        view = self._trace.at(point)
        if view.point not in self._taps:
            raise PlanError(f"{point} is no point of this capture: {', '.join(self._taps)}")
        # A point may be in several captures of a plan, one after the other: each has its own proof.
        stale = self._end is None and self._settled_at != self._activity()
        self._trace.set_proof(view.point, STILL_OPEN if stale else self._proofs[view.point])
        view = view.after(self._start)
        return view if self._end is None else view.before(self._end)

    def wait_for(
        self, point: str, matcher: Matcher, within: Duration = ARRIVE_WITHIN, *, sent: bool = False
    ) -> TracedFrame:
        """Turn the loop until a frame that matches comes to ``point``; the first such frame."""

        def view() -> PointView:
            return self.at(point).sent if sent else self.at(point)

        if self._loop.run_until(lambda: bool(view().all(matcher)), within):
            return view().expect(matcher)
        try:
            return view().expect(matcher)
        except ExpectationFailed as failure:
            raise ExpectationFailed(
                f"{failure.summary} within {format_duration(within)}", failure.details
            ) from None

    def _all_paths(self) -> list[BeaconPath]:
        return [path for paths in self._paths.values() for path in paths]

    def _of(self, missing: list[BeaconPath], point: str, kind: str) -> list[str]:
        mine = self._paths[point]
        return [f"{kind} lost: {path} did not come" for path in missing if path in mine]
