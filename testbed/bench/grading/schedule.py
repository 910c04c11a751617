"""In which order cases run: good devices first, then each plan's defects where it passed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import count

from testbed.bench.grading.desk import CaseFound, Collected, Outcome

__all__ = ["Schedule"]


class Schedule:
    """The cases that are left. Plans that take long come first, so that no worker ends alone.

    A plan runs on every placement with the first seed. On the first placement where it passes (on
    the first where it is not skipped, if there is none) it gets its defects; the other seeds go to
    every placement where it is not skipped.
    """

    def __init__(self, collected: Collected, first_seed: int) -> None:
        self.cases = {case.id: case for case in collected.cases}
        self.outcomes: dict[str, Outcome] = {}
        self._first: dict[str, list[CaseFound]] = {}
        self._later: dict[str, list[CaseFound]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = count()
        for case in collected.cases:
            known = not case.defect and case.seed == first_seed
            (self._first if known else self._later).setdefault(case.plan, []).append(case)
        for cases in self._first.values():
            self._push(cases, 0.0)

    def next(self) -> str | None:
        """The case to run next; None where there is none yet, or none any more."""
        return heapq.heappop(self._heap)[2] if self._heap else None

    def done(self, outcome: Outcome) -> None:
        """Note how a case ended; it may let others begin."""
        self.outcomes[outcome.case] = outcome
        plan = self.cases[outcome.case].plan
        first = [self.outcomes.get(case.id) for case in self._first[plan]]
        ended = [each for each in first if each is not None]
        if len(ended) < len(first) or plan not in self._later:
            return
        placed = [(self.cases[each.case].placement, each) for each in ended if each.ended != "skip"]
        passed = [placement for placement, each in placed if each.ended == "pass"]
        everywhere = {placement for placement, _ in placed}
        chosen = next(iter(passed or [placement for placement, _ in placed]), None)
        left = [
            case
            for case in self._later.pop(plan)
            if (case.placement == chosen if case.defect else case.placement in everywhere)
        ]
        self._push(left, max((each.seconds for each in ended), default=0.0))

    @property
    def left(self) -> bool:
        """Whether there is a case to run now."""
        return bool(self._heap)

    def total(self) -> int:
        """How many cases there are to run in all, as far as is known."""
        later = sum(len(cases) for cases in self._later.values())
        return len(self.outcomes) + len(self._heap) + later

    def _push(self, cases: Iterable[CaseFound], seconds: float) -> None:
        for case in cases:
            heapq.heappush(self._heap, (-seconds, next(self._order), case.id))
