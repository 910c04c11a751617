"""Which trial comes next: searches that know nothing of a bench, a clock or a device."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.errors import PlanError

__all__ = ["Bisection", "Descent", "LossPoint"]


class Bisection:
    """The largest value that is passed, by halving: RFC 2544 26.1 and 26.4, RFC 2889 5.7 and 5.8.

    The first try is ``top``, the most that there is to ask for; where that passes the search is
    over. Then the middle between the highest that passed and the lowest above that did not, until
    these are ``resolution`` (a share of the value) or ``step`` apart, whichever is wider::

        search = Bisection(top=148_809, resolution=0.01)
        while (rate := search.next) is not None:
            search.tell(trial(rate).lost == 0)
        search.best

    A device that passes now and fails then is not asked twice about the same value: ``best`` has
    passed, ``failed`` has not, and the search ends as soon as with any other.
    """

    def __init__(self, top: float, *, resolution: float, step: float = 0.0) -> None:
        """``step``: values nearer to each other than this are one; below it, nothing passes."""
        if not top > 0:
            raise PlanError(f"a search up to {top:g}: expected more than 0")
        if not 0 < resolution < 1:
            raise PlanError(f"a resolution of {resolution:g}: expected a share between 0 and 1")
        self.top = top
        self.resolution = resolution
        self.step = max(step, top * 1e-6)
        self.best = 0.0
        """The highest value that passed so far; 0 where none did."""
        self.failed: float | None = None
        """The lowest value above ``best`` that did not pass; None where none failed."""
        self.trials = 0

    @property
    def next(self) -> float | None:
        """The value to try now; None once the search is over."""
        if self.failed is None:
            return None if self.best else self.top
        if self.failed - self.best <= max(self.step, self.failed * self.resolution):
            return None
        return (self.best + self.failed) / 2

    def tell(self, passed: bool) -> None:
        """What became of the value of ``next``."""
        tried = self.next
        if tried is None:
            raise PlanError("this search is over: there is no trial to tell of")
        self.trials += 1
        if passed:
            self.best = tried
        else:
            self.failed = tried

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which values the answer lies."""
        return self.best, self.top if self.failed is None else self.failed


@dataclass(frozen=True, slots=True)
class LossPoint:
    """What a trial at a ``share`` of the greatest load lost: ``loss`` from 0 to 1."""

    share: float
    loss: float


class Descent:
    """Loads from the greatest down, until two in a row lose nothing: RFC 2544 26.3.

    ``step`` is at most a tenth of the greatest load, as the RFC has it.
    """

    QUIET = 2
    """Trials without a loss, one after the other, that end it."""

    def __init__(self, step: float = 0.1) -> None:
        if not 0 < step <= 0.1:
            raise PlanError(f"steps of {step:g} of the load: RFC 2544 26.3 asks for 0.1 at most")
        self._count = round(1 / step)
        self.points: list[LossPoint] = []

    @property
    def next(self) -> float | None:
        """The share of the greatest load to try now; None once it is over."""
        done = len(self.points)
        latest = self.points[-self.QUIET :]
        if len(latest) == self.QUIET and not any(point.loss for point in latest):
            return None
        return (self._count - done) / self._count if done < self._count else None

    def tell(self, loss: float) -> None:
        """Which share of the frames of the trial at ``next`` were lost."""
        share = self.next
        if share is None:
            raise PlanError("these trials are over: there is none to tell of")
        if not 0 <= loss <= 1:
            raise PlanError(f"a loss of {loss:g}: expected a share from 0 to 1")
        self.points.append(LossPoint(share, loss))
