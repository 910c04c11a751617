"""What every benchmark works with: the course, the limits, and where its results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.bench.trials.course import Course, Load, Trial
from testbed.bench.trials.limits import AT_LIMIT, FOOTNOTE, Limit, Limits
from testbed.bench.trials.paths import Flow, Paths
from testbed.bench.trials.rules import TrialRules
from testbed.bench.trials.search import Bisection
from testbed.errors import BenchError, Unsupported
from testbed.report import BenchmarkColumn, BenchmarkRecord, Cell, ChartRecord
from testbed.timing import to_seconds

if TYPE_CHECKING:
    from testbed.bench.bench import Bench

__all__ = ["COLUMN_LIMITS", "REMARK", "SIZE", "Kit", "Rate", "percent"]

SIZE = BenchmarkColumn(key="bytes", title="frame", unit="bytes")
REMARK = BenchmarkColumn(key="remark", title="remark")

COLUMN_LIMITS = (
    BenchmarkColumn(key="line_fps", title="line", unit="frames/s"),
    BenchmarkColumn(key="tester_fps", title="tester", unit="frames/s"),
)

AGAIN = 3
"""How often a trial is held again that the tester did not offer as it should."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate that was found for frames of ``size`` bytes, and the limit that it is held against."""

    size: int
    pps: float
    limit: Limit
    trials: int
    remark: str

    @property
    def share(self) -> float | None:
        """Of the line rate, from 0 to 1; None where that is not known."""
        return self.pps / self.limit.line if self.limit.line else None

    @property
    def limits(self) -> tuple[Cell, Cell]:
        """The cells of ``COLUMN_LIMITS``."""
        return _whole(self.limit.line), _whole(self.limit.own)


class Kit:
    """The bench of one plan, ready for trials."""

    def __init__(self, bench: Bench, rules: TrialRules, dut: str) -> None:
        self.bench = bench
        self.rules = rules
        self.paths = Paths(bench, dut)
        self.course = Course(bench, rules, self.paths)
        self.limits = Limits(self.course)
        self.device = bench.device(dut).name

    def sizes(self) -> tuple[int, ...]:
        """The frame sizes of the run that may pass here; Unsupported where none may."""
        fit = tuple(size for size in self.rules.sizes if self.paths.fits(size))
        if not fit:
            raise Unsupported("no frame of the sizes that are asked for may pass this bench")
        return fit

    def trial(self, flows: Sequence[Flow], pps: float | None) -> Trial:
        """One trial at ``pps`` for each source, for as long as the rules say.

        Where the tester was held up, and did not offer that, it is held again: see ``Trial.short``.
        BenchError where it sends nothing at all.
        """
        load = Load(pps, self.rules.duration)
        loads = {flow.source: load for flow in flows}
        trial = self.course.hold(flows, loads)
        for _ in range(AGAIN):
            if not trial.short:
                break
            trial = self.course.hold(flows, loads)
        if not sum(trial.sent.values()):
            raise BenchError(f"{', '.join(loads)}: nothing was sent in {AGAIN + 1} trials")
        if trial.short:
            share = trial.offered / trial.intended if trial.intended else 0
            self.course.remarks.append(
                f"of a load of {trial.intended:,.0f} frames/s the tester sent {share:.0%}"
            )
        return trial

    def throughput(self, flows: Sequence[Flow], size: int, what: str) -> Rate:
        """The highest rate of each source at which no frame is lost (RFC 1242 3.17).

        In a search no finer than one frame in a trial.
        """
        limit = self.limits.of(size, *flows)
        sources = len({flow.source for flow in flows})
        step = 1 / to_seconds(self.rules.duration)
        search = Bisection(limit.top / sources, resolution=self.rules.resolution, step=step)
        best, out_of_reach = 0.0, None
        while (pps := search.next) is not None:
            low, high = search.bounds
            self.bench.say(
                f"{self.device}: {what}, {size} bytes: trial {search.trials + 1} at {pps:,.0f} "
                f"frames/s, it is between {low:,.0f} and {high:,.0f}"
            )
            trial = self.trial(flows, pps)
            search.tell(trial.clean and not trial.short)
            if trial.clean:
                best = max(best, trial.offered)
                out_of_reach = pps if trial.short else out_of_reach
        remark = limit.remark(best)
        if not remark and search.failed == out_of_reach:
            remark = AT_LIMIT  # nothing failed, or the tester did, and not the device
        return Rate(size, best, limit, search.trials, remark)

    def record(
        self,
        name: str,
        clause: str,
        columns: Sequence[BenchmarkColumn],
        rows: Sequence[Sequence[Cell]],
        *,
        departures: Sequence[str] = (),
        tester: Sequence[str] = (),
        remarks: Sequence[str] = (),
        charts: Sequence[ChartRecord] = (),
    ) -> None:
        """Leave a result in the report; where it is at the tester's limit, that is explained."""
        if any(cell == AT_LIMIT for row in rows for cell in row):
            remarks = (*remarks, FOOTNOTE)
        told, self.course.remarks = self.course.remarks, []
        self.bench.benchmarks.append(
            BenchmarkRecord(
                name=name,
                clause=clause,
                device=self.device,
                columns=tuple(columns),
                rows=tuple(map(tuple, rows)),
                departures=tuple(departures),
                tester=tuple(dict.fromkeys(tester)),
                remarks=tuple(dict.fromkeys((*remarks, *told))),
                charts=tuple(charts),
            )
        )


def percent(share: float | None) -> float | None:
    """A share from 0 to 1 as a table has it."""
    return None if share is None else round(100 * share, 2)


def _whole(pps: float | None) -> int | None:
    return None if pps is None else round(pps)
