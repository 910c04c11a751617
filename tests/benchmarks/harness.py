"""How benchmarks are made, taken and judged.

A benchmark is a module ``bench_<name>.py`` beside this one with a function ``benchmarks()`` that
yields ``Benchmark`` values. Subject and peers take turns, round by round, so that whatever slows
the machine down slows all of them; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter_ns
from typing import Literal

__all__ = ["Benchmark", "Goal", "Measure", "Result", "Skipped", "per_call", "take"]

Measure = Callable[[], float]
"""Takes one round and gives its figure, in the benchmark's unit."""


class Skipped(Exception):  # noqa: N818 - a reason, not a mishap
    """Raised by a maker of measures: this machine cannot take it; the message says why."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the subject must reach: by itself, or beside a ``peer`` as so many times as good."""

    bound: float
    peer: str | None = None

    def text(self, unit: str, better: str) -> str:
        """The goal in words."""
        if self.peer is not None:
            return f"at least {self.bound:g} x {self.peer}"
        return f"at {'most' if better == 'less' else 'least'} {self.bound:g} {unit}"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A thing to measure, in ``unit``, for the ``subject`` and its peers by their names.

    ``subject`` and each peer is a function that makes ready and gives the measure; ImportError and
    Skipped from it mean that it cannot be had here. ``better`` says which way is up. ``rounds`` are
    taken after one that is not counted. ``close`` is called at the end, come what may.
    """

    name: str
    unit: str
    subject: Callable[[], Measure]
    peers: Mapping[str, Callable[[], Measure]] = field(default_factory=dict)
    goals: Sequence[Goal] = ()
    better: Literal["less", "more"] = "less"
    rounds: int = 15
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured: all rounds of all contenders, ``subject`` being the subject's name."""

    name: str
    unit: str
    better: str
    rounds: Mapping[str, Sequence[float]]
    missing: Mapping[str, str]
    goals: Sequence[Goal]

    @property
    def medians(self) -> dict[str, float]:
        """The median round of each contender."""
        return {name: median(figures) for name, figures in self.rounds.items()}

    def ratio(self, peer: str) -> float:
        """How many times as good as ``peer`` the subject was, in the median round.

        Infinity where the peer could not do it at all.
        """
        pairs = zip(self.rounds["testbed"], self.rounds[peer], strict=True)
        if self.better == "less":
            return median([theirs / ours for ours, theirs in pairs])
        return median([ours / theirs if theirs else math.inf for ours, theirs in pairs])

    def verdict(self, goal: Goal) -> bool | None:
        """Whether the goal was reached; None where what it speaks of could not be measured."""
        if "testbed" not in self.rounds or goal.peer in self.missing:
            return None
        if goal.peer is not None:
            return self.ratio(goal.peer) >= goal.bound
        figure = self.medians["testbed"]
        return figure <= goal.bound if self.better == "less" else figure >= goal.bound


def per_call(function: Callable[[], object], span_ms: float = 20.0) -> Measure:
    """Microseconds that one call takes, over as many calls as ``span_ms`` holds."""
    function()
    started = perf_counter_ns()
    function()
    calls = max(1, int(span_ms * 1e6 / max(1, perf_counter_ns() - started)))

    def measure() -> float:
        times = range(calls)
        began = perf_counter_ns()
        for _ in times:
            function()
        return (perf_counter_ns() - began) / calls / 1000

    return measure


def take(benchmark: Benchmark) -> Result:
    """Measure one benchmark, the contenders in turns, garbage collection off meanwhile."""
    missing: dict[str, str] = {}
    measures: dict[str, Measure] = {}
    rounds: dict[str, list[float]] = {}
    try:
        for name, make in {"testbed": benchmark.subject, **benchmark.peers}.items():
            try:
                measures[name] = make()
            except (ImportError, Skipped) as reason:
                missing[name] = str(reason)
        for measure in measures.values():
            measure()
        rounds = {name: [] for name in measures}
        for _ in range(benchmark.rounds):
            for name, measure in measures.items():
                rounds[name].append(_undisturbed(measure))
    finally:
        benchmark.close()
    return Result(
        benchmark.name, benchmark.unit, benchmark.better, rounds, missing, benchmark.goals
    )


def _undisturbed(measure: Measure) -> float:
    gc.collect()
    gc.disable()
    try:
        return measure()
    finally:
        gc.enable()
