"""The benchmarks of RFC 2544 26, each as its procedure is written there."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.bench.trials.course import Load, Trial
from testbed.bench.trials.kit import COLUMN_LIMITS, REMARK, SIZE, Kit, Rate, percent
from testbed.bench.trials.limits import AT_LIMIT
from testbed.bench.trials.search import Bisection, Descent, LossPoint
from testbed.link.streams.tally import StreamTally, most_in
from testbed.report import BenchmarkColumn, Cell, ChartRecord, SeriesRecord
from testbed.timing import Duration, to_seconds

__all__ = [
    "Bursts",
    "Latency",
    "LossCurve",
    "back_to_back",
    "frame_loss",
    "latency",
    "rates_chart",
    "throughput",
]

DEFINITION = (
    "latency is from a frame's stamp, taken before its first bit leaves, to its arrival as a "
    "whole: with the time on both lines, and in the tester"
)


def throughput(kit: Kit, source: str, target: str) -> tuple[Rate, ...]:
    """26.1: for each frame size the highest rate without a loss, by binary search."""
    found = []
    for size in kit.sizes():
        flow = kit.paths.flow(1, source, target, size=size)
        found.append(kit.throughput([flow], size, "throughput"))
    kit.record(
        "Throughput",
        "RFC 2544 26.1",
        (
            SIZE,
            BenchmarkColumn(key="fps", title="throughput", unit="frames/s"),
            BenchmarkColumn(key="share", title="of line", unit="%"),
            BenchmarkColumn(key="bits", title="bits", unit="Mbit/s"),
            *COLUMN_LIMITS,
            BenchmarkColumn(key="trials", title="trials"),
            REMARK,
        ),
        [
            (
                rate.size,
                round(rate.pps),
                percent(rate.share),
                round(rate.pps * rate.size * 8 / 1e6, 3),
                *rate.limits,
                rate.trials,
                rate.remark,
            )
            for rate in found
        ],
        departures=kit.rules.departures(),
        tester=[rate.limit.told for rate in found],
        charts=[rates_chart("Throughput against frame size", "throughput", found)],
    )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Latency:
    """What frames of ``size`` bytes took at the throughput."""

    rate: Rate
    tagged: tuple[Duration, ...]
    """Of the tagged frame of each trial."""
    all: StreamTally
    """Of every frame of the last trial."""

    @property
    def mean(self) -> float:
        """The average of the tagged frames, in nanoseconds: what RFC 2544 26.2 reports."""
        return sum(self.tagged) / len(self.tagged) if self.tagged else 0.0


def latency(kit: Kit, source: str, target: str) -> tuple[Latency, ...]:
    """26.2: a tagged frame in the middle of a stream at the throughput, averaged over trials."""
    found = []
    for size in kit.sizes():
        flow = kit.paths.flow(1, source, target, size=size)
        tag = kit.paths.flow(2, source, target, size=size)
        rate = kit.throughput([flow], size, "throughput, for the latency at it")
        if not rate.pps:
            continue
        tagged, every = [], StreamTally()
        # The tag comes on top: the stream leaves room for it, or it would wait in the sender.
        load = Load(rate.pps * 0.99, Duration(2 * kit.rules.duration))
        for number in range(kit.rules.latency_repeats):
            kit.bench.say(
                f"{kit.device}: latency, {size} bytes: trial {number + 1} of "
                f"{kit.rules.latency_repeats}"
            )
            trial = kit.course.hold([flow], {source: load}, extra=[(tag, kit.rules.duration)])
            every = trial.of(flow)
            if trial.of(tag).received:
                tagged.append(trial.of(tag).mean_latency)
        found.append(Latency(rate, tuple(tagged), every))
    kit.record(
        "Latency",
        "RFC 2544 26.2",
        (
            SIZE,
            BenchmarkColumn(key="fps", title="at", unit="frames/s"),
            BenchmarkColumn(key="latency", title="latency", unit="µs"),
            BenchmarkColumn(key="trials", title="trials"),
            BenchmarkColumn(key="least", title="least", unit="µs"),
            BenchmarkColumn(key="mean", title="mean", unit="µs"),
            BenchmarkColumn(key="p99", title="p99", unit="µs"),
            BenchmarkColumn(key="most", title="most", unit="µs"),
            REMARK,
        ),
        [
            (
                each.rate.size,
                round(each.rate.pps),
                _micro(each.mean) if each.tagged else None,
                len(each.tagged),
                _micro(each.all.least_latency),
                _micro(each.all.mean_latency),
                _micro(each.all.latency_within(0.99)),
                _micro(each.all.most_latency),
                each.rate.remark,
            )
            for each in found
        ],
        departures=kit.rules.departures(latency=True),
        tester=[each.rate.limit.told for each in found],
        remarks=[DEFINITION, "streams of 99 % of the throughput leave room for the tagged frame"],
        charts=_histograms(found),
    )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LossCurve:
    """What was lost of frames of ``size`` bytes, from the full load down."""

    rate: Rate
    """The full load, as it was offered."""
    points: tuple[LossPoint, ...]


def frame_loss(kit: Kit, source: str, target: str) -> tuple[LossCurve, ...]:
    """26.3: the loss at the full load and at steps below, until two trials lose nothing."""
    found: list[LossCurve] = []
    rows: list[tuple[Cell, ...]] = []
    for size in kit.sizes():
        flow = kit.paths.flow(1, source, target, size=size)
        limit = kit.limits.of(size, flow)
        descent, full = Descent(), 0.0
        while (share := descent.next) is not None:
            kit.bench.say(
                f"{kit.device}: frame loss, {size} bytes: at {share:.0%} of {limit.top:,.0f} "
                "frames/s"
            )
            trial = kit.trial([flow], limit.top * share)
            descent.tell(max(0.0, trial.loss_of()))
            full = full or trial.offered
            rows.append(
                (
                    size,
                    round(share * 100, 1),
                    round(trial.offered),
                    round(100 * trial.loss_of(), 4),
                    trial.lost,
                    _trial_remark(trial),
                )
            )
        rate = Rate(size, full, limit, len(descent.points), limit.remark(full))
        found.append(LossCurve(rate, tuple(descent.points)))
    kit.record(
        "Frame loss rate",
        "RFC 2544 26.3",
        (
            SIZE,
            BenchmarkColumn(key="load", title="load", unit="% of full"),
            BenchmarkColumn(key="fps", title="offered", unit="frames/s"),
            BenchmarkColumn(key="loss", title="loss", unit="%"),
            BenchmarkColumn(key="lost", title="lost", unit="frames"),
            REMARK,
        ),
        rows,
        departures=kit.rules.departures(),
        tester=[each.rate.limit.told for each in found],
        remarks=[f"{each.rate.size} bytes: full load is {_full(each.rate)}" for each in found],
        charts=[
            ChartRecord(
                title="Loss against load",
                x="load, % of the full",
                y="% lost",
                series=tuple(
                    SeriesRecord(
                        name=f"{each.rate.size} bytes",
                        points=tuple((p.share * 100, p.loss * 100) for p in each.points),
                    )
                    for each in found
                ),
            )
        ],
    )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Bursts:
    """The longest bursts of frames of ``size`` bytes that passed whole."""

    size: int
    longest: tuple[int, ...]
    """In frames, of each trial."""
    asked: int
    """How long a burst was tried at most."""
    rate: Rate

    @property
    def mean(self) -> float:
        """What RFC 2544 26.4 reports."""
        return sum(self.longest) / len(self.longest) if self.longest else 0.0


def back_to_back(kit: Kit, source: str, target: str) -> tuple[Bursts, ...]:
    """26.4: the longest burst with the least gaps that passes without a loss, averaged."""
    found = []
    for size in kit.sizes():
        flow = kit.paths.flow(1, source, target, size=size)
        limit = kit.limits.of(size, flow)
        most = max(2, int(limit.top * to_seconds(kit.rules.burst) + 1e-6))
        longest = []
        for number in range(kit.rules.burst_repeats):
            search = Bisection(most, resolution=kit.rules.resolution, step=1)
            while (count := search.next) is not None:
                kit.bench.say(
                    f"{kit.device}: back-to-back, {size} bytes: trial {number + 1} of "
                    f"{kit.rules.burst_repeats}, {count:,.0f} frames of {most:,} at most"
                )
                trial = kit.course.hold([flow], {source: Load(None, count=max(1, int(count)))})
                search.tell(trial.clean)
            longest.append(int(search.best))
        rate = Rate(size, limit.top, limit, len(longest), limit.remark(limit.top))
        found.append(Bursts(size, tuple(longest), most, rate))
    kit.record(
        "Back-to-back frames",
        "RFC 2544 26.4",
        (
            SIZE,
            BenchmarkColumn(key="frames", title="longest burst", unit="frames"),
            BenchmarkColumn(key="seconds", title="lasts", unit="s"),
            BenchmarkColumn(key="asked", title="tried at most", unit="frames"),
            *COLUMN_LIMITS,
            BenchmarkColumn(key="trials", title="trials"),
            REMARK,
        ),
        [
            (
                each.size,
                round(each.mean, 1),
                round(each.mean / each.rate.pps, 6) if each.rate.pps else None,
                each.asked,
                *each.rate.limits,
                len(each.longest),
                _burst_remark(each),
            )
            for each in found
        ],
        departures=kit.rules.departures(bursts=True),
        tester=[each.rate.limit.told for each in found],
    )
    return tuple(found)


def rates_chart(title: str, name: str, found: list[Rate]) -> ChartRecord:
    """Rates against frame size, with the limits that they are held against."""
    series = [SeriesRecord(name=name, points=tuple((each.size, each.pps) for each in found))]
    for bound, of in (
        ("line rate", [each.limit.line for each in found]),
        ("tester's limit", [each.limit.own for each in found]),
    ):
        points = [(each.size, pps) for each, pps in zip(found, of, strict=True) if pps]
        if points:
            series.append(SeriesRecord(name=bound, points=tuple(points), bound=True))
    return ChartRecord(
        title=title, x="bytes of a frame", y="frames/s", series=tuple(series), doubling=True
    )


def _histograms(found: list[Latency]) -> list[ChartRecord]:
    """One for each frame size: frames by latency."""
    charts = []
    for each in found:
        points = tuple(
            ((most_in(bucket) + 1) / 1000, float(count))
            for bucket, count in enumerate(each.all.histogram)
            if count
        )
        name = f"{each.rate.size} bytes"
        charts.append(
            ChartRecord(
                title=f"Latency of {name} at {each.rate.pps:,.0f} frames/s",
                x="µs",
                y="frames",
                series=(SeriesRecord(name=name, points=points),),
                kind="bars",
                doubling=True,
            )
        )
    return charts


def _trial_remark(trial: Trial) -> str:
    """What the tester did not do as it should."""
    if trial.overrun:
        return f"the tester lost frames: {trial.overrun}"
    if not trial.short:
        return ""
    return f"the tester sent {trial.offered / trial.intended:.0%} of this load"


def _burst_remark(bursts: Bursts) -> str:
    if not bursts.longest or min(bursts.longest) < bursts.asked:
        return ""
    return bursts.rate.remark if bursts.rate.remark == AT_LIMIT else "none longer was tried"


def _full(rate: Rate) -> str:
    return f"{rate.pps:,.0f} frames/s" + (f", {rate.remark}" if rate.remark else "")


def _micro(nanoseconds: float) -> float:
    return round(nanoseconds / 1000, 3)
