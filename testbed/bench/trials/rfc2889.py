"""The benchmarks of RFC 2889 5 that are not of the address table: those are SW-11 and SW-12."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from testbed.bench.trials.course import Trial
from testbed.bench.trials.kit import COLUMN_LIMITS, REMARK, SIZE, Kit, Rate, percent
from testbed.bench.trials.limits import Limit
from testbed.bench.trials.paths import FCS, HEADER, Flow
from testbed.bench.trials.rfc2544 import rates_chart
from testbed.errors import Unsupported
from testbed.link.streams.signing import MARK, SIGNATURE
from testbed.report import BenchmarkColumn, Cell, ChartRecord, SeriesRecord
from testbed.timing import microseconds
from testbed.wire.frame import Direction, Frame

__all__ = [
    "Congestion",
    "Errored",
    "Forwarding",
    "broadcast",
    "congestion",
    "errored",
    "forwarding",
]

STEPS = 5
"""Loads at which forwarding rates are measured: fifths of the full one."""
NO_LOSS = 1e-9
Pattern = Callable[[Kit, int], list[Flow]]


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What a pattern of flows of frames of ``size`` bytes came to."""

    rate: Rate
    """The throughput: of each source."""
    sources: int
    at_full: float
    """The forwarding rate at the greatest load, all ports together, frames a second (FRMOL)."""
    most: float
    """The highest forwarding rate of all loads (MFR)."""
    most_at: float
    """The share of the greatest load at which that was."""
    points: tuple[tuple[float, float], ...]
    """Share of the load and forwarding rate of each trial."""

    @property
    def share(self) -> float | None:
        """The forwarding rate at the greatest load, of what the lines could carry; 1 is all."""
        line = self.rate.limit.line
        return self.at_full / line if line else None


def full_mesh(kit: Kit, size: int) -> list[Flow]:
    """5.1: each port sends to all others in turn."""
    return [
        kit.paths.flow(place * len(kit.paths.nics) + other, source, target, size=size)
        for place, source in enumerate(kit.paths.nics)
        for other, target in enumerate(kit.paths.nics)
        if source != target
    ]


def partial_mesh(kit: Kit, size: int) -> list[Flow]:
    """5.4: half of the ports send, each in turn to all of the other half."""
    half = len(kit.paths.nics) // 2
    return [
        kit.paths.flow(place * half + other, source, target, size=size)
        for place, source in enumerate(kit.paths.nics[:half])
        for other, target in enumerate(kit.paths.nics[half:])
    ]


PATTERNS: dict[str, tuple[str, str, Pattern]] = {
    "full": ("fully meshed", "RFC 2889 5.1", full_mesh),
    "partial": ("partially meshed, one way", "RFC 2889 5.4", partial_mesh),
}


def forwarding(kit: Kit, mesh: str) -> tuple[Forwarding, ...]:
    """5.1 and 5.4, and 5.6's maximum forwarding rate: loads from a fifth to all."""
    what, clause, pattern = PATTERNS[mesh]
    found = []
    for size in kit.sizes():
        flows = pattern(kit, size)
        rate = kit.throughput(flows, size, f"{what}, throughput")
        found.append(_forwarding(kit, flows, rate, what))
    kit.record(
        f"Forwarding, {what}",
        clause,
        (
            SIZE,
            BenchmarkColumn(key="sources", title="sources"),
            BenchmarkColumn(key="throughput", title="throughput, each", unit="frames/s"),
            BenchmarkColumn(key="full", title="forwarded at full load", unit="frames/s"),
            BenchmarkColumn(key="most", title="most forwarded", unit="frames/s"),
            BenchmarkColumn(key="most_at", title="at a load of", unit="%"),
            *COLUMN_LIMITS,
            REMARK,
        ),
        [
            (
                each.rate.size,
                each.sources,
                round(each.rate.pps),
                round(each.at_full),
                round(each.most),
                percent(each.most_at),
                *each.rate.limits,
                each.rate.limit.remark(each.at_full),
            )
            for each in found
        ],
        departures=kit.rules.departures(),
        tester=[each.rate.limit.told for each in found],
        remarks=["limits, and what is forwarded, are of all ports together"],
        charts=[
            ChartRecord(
                title=f"Forwarding rate, {what}",
                x="load, % of the full",
                y="frames/s",
                series=tuple(
                    SeriesRecord(
                        name=f"{each.rate.size} bytes",
                        points=tuple((100 * share, pps) for share, pps in each.points),
                    )
                    for each in found
                ),
            )
        ],
    )
    return tuple(found)


def _forwarding(kit: Kit, flows: Sequence[Flow], rate: Rate, what: str) -> Forwarding:
    sources = len({flow.source for flow in flows})
    points = []
    for step in range(STEPS, 0, -1):
        share = step / STEPS
        kit.bench.say(f"{kit.device}: {what}, {rate.size} bytes: {share:.0%} of the full load")
        trial = kit.trial(flows, rate.limit.top / sources * share)
        points.append((share, trial.forwarded))
    most_at, most = max(points, key=lambda point: point[1])
    return Forwarding(rate, sources, points[0][1], most, most_at, tuple(points))


@dataclass(frozen=True, slots=True)
class Congestion:
    """5.5: what two sources did to a port that both send to, and to one that only one sends to."""

    size: int
    limit: Limit
    congested_loss: float
    """The share of the frames to the congested port that was lost."""
    uncongested_loss: float
    """Of those to the other one: above 0, the head of the line is blocked."""
    overloaded: bool
    """Whether the congested port was offered more than its line carries, as far as is known."""

    @property
    def congested(self) -> bool:
        """Whether the port was congested: else nothing follows."""
        return self.congested_loss > NO_LOSS

    @property
    def told(self) -> str:
        """What RFC 2889 5.5.3 has reported."""
        if not self.congested and self.uncongested_loss <= NO_LOSS:
            if not self.overloaded:
                return "not congested: the tester offers less than the line carries"
            return "no loss: back pressure, or buffers for more than a trial"
        blocked = self.uncongested_loss > NO_LOSS
        return "head of line blocked" if blocked else "no head of line blocked, no back pressure"


def congestion(kit: Kit) -> tuple[Congestion, ...]:
    """5.5: the first NIC sends to the third and the fourth in turn, the second to the fourth."""
    first, second, free, congested = kit.paths.nics[:4]
    found = []
    for size in kit.sizes():
        flows = [
            kit.paths.flow(1, first, free, size=size),
            kit.paths.flow(2, first, congested, size=size),
            kit.paths.flow(3, second, congested, size=size),
        ]
        limit = kit.limits.of(size, *flows)
        pps = limit.top / 2
        kit.bench.say(f"{kit.device}: congestion, {size} bytes: {pps:,.0f} frames/s from each")
        trial = kit.trial(flows, pps)
        line = kit.course.line_pps(size, congested)
        offered = sum(trial.sent[flow.stream] for flow in flows[1:]) / trial.span
        over = line is None or offered > line
        losses = trial.loss_of(*flows[1:]), trial.loss_of(flows[0])
        found.append(Congestion(size, limit, *losses, over))
    kit.record(
        "Congestion control",
        "RFC 2889 5.5",
        (
            SIZE,
            BenchmarkColumn(key="load", title="of each source", unit="frames/s"),
            BenchmarkColumn(key="congested", title="lost at the congested port", unit="%"),
            BenchmarkColumn(key="uncongested", title="lost at the other", unit="%"),
            REMARK,
        ),
        [
            (
                each.size,
                round(each.limit.top / 2),
                round(100 * each.congested_loss, 3),
                round(100 * each.uncongested_loss, 3),
                each.told,
            )
            for each in found
        ],
        departures=kit.rules.departures(),
        tester=[each.limit.told for each in found],
    )
    return tuple(found)


def broadcast(kit: Kit, source: str) -> tuple[Rate, ...]:
    """5.10: broadcasts of one port at the highest rate without a loss, and how long they take."""
    others = tuple(name for name in kit.paths.nics if name != source)
    found: list[tuple[Rate, Trial | None]] = []
    for size in kit.sizes():
        flow = kit.paths.flow(1, source, *others, size=size)
        rate = kit.throughput([flow], size, "broadcast throughput")
        trial = kit.trial([flow], rate.pps) if rate.pps else None
        found.append((rate, trial))
    rows: list[tuple[Cell, ...]] = []
    for rate, trial in found:
        tallies = [trial.of(trial.flows[0], name) for name in others] if trial else []
        rows.append(
            (
                rate.size,
                round(rate.pps),
                percent(rate.share),
                *rate.limits,
                *(
                    round(of(getattr(each, which) for each in tallies) / 1000, 3)
                    if tallies
                    else None
                    for of, which in (
                        (min, "least_latency"),
                        (max, "mean_latency"),
                        (max, "most_latency"),
                    )
                ),
                rate.remark,
            )
        )
    rates = [rate for rate, _ in found]
    kit.record(
        "Broadcast forwarding and latency",
        "RFC 2889 5.10",
        (
            SIZE,
            BenchmarkColumn(key="fps", title="throughput", unit="frames/s"),
            BenchmarkColumn(key="share", title="of line", unit="%"),
            *COLUMN_LIMITS,
            BenchmarkColumn(key="least", title="least", unit="µs"),
            BenchmarkColumn(key="mean", title="mean", unit="µs"),
            BenchmarkColumn(key="most", title="most", unit="µs"),
            REMARK,
        ),
        rows,
        departures=kit.rules.departures(),
        tester=[rate.limit.told for rate in rates],
        remarks=["latencies: the least at any port, the mean at the slowest, the most at any"],
        charts=[rates_chart("Broadcasts against frame size", "broadcasts", rates)],
    )
    return tuple(rates)


@dataclass(frozen=True, slots=True)
class Errored:
    """5.9: frames of one kind that must not pass, and how many did."""

    kind: str
    sent: int
    passed: int


ERRORED = 64
"""Frames of each kind."""
GAP = microseconds(100)
LONG = 1600
"""Bytes of an oversize frame, FCS included: more than any tag explains."""


def errored(kit: Kit, source: str, target: str) -> tuple[Errored, ...]:
    """5.9: undersize frames, oversize frames, and frames with a wrong check sequence.

    What the tester's NIC cannot send is said in the result; Unsupported where that is everything.
    """
    sender, receiver = kit.bench.nic(source), kit.bench.nic(target)
    good = kit.paths.frame(source, target, 64)
    kinds: list[tuple[str, bytes, Callable[[bytes], None]]] = []
    lacking = []
    if sender.sends_flawed:
        kinds.append(("undersize, 60 bytes", good[: 60 - 4 - SIGNATURE.size], sender.inject_runt))
        kinds.append(("wrong check sequence", good[: -SIGNATURE.size], sender.inject_damaged))
    else:
        lacking += ["undersize frames", "wrong check sequences"]
    if min(sender.mtu, receiver.mtu) >= LONG - FCS - HEADER and kit.paths.limit(1500):
        long = kit.paths.frame(source, target, LONG)
        kinds.append((f"oversize, {LONG} bytes", long[: -SIGNATURE.size], sender.inject))
    else:
        lacking.append("oversize frames")
    if not kinds:
        raise Unsupported(f"{source}: this NIC can send no {', no '.join(lacking)}")
    kit.paths.teach()
    kit.bench.watch_for(kit.rules.settle)
    found = []
    for stream, (kind, head, send) in enumerate(kinds, start=1):
        kit.bench.say(f"{kit.device}: errored frames: {kind}")
        mark = SIGNATURE.pack(MARK, stream, 0, 0)
        came: list[Frame] = []  # a device may have filled them up: the mark is not at the end

        def hear(frame: Frame, mark: bytes = mark, came: list[Frame] = came) -> None:
            if frame.direction is Direction.IN and mark in frame.data:
                came.append(frame)

        with kit.bench.unrecorded():
            listening = receiver.tap.subscribe(hear)
            for _ in range(ERRORED):
                send(head + mark)
                kit.bench.watch_for(GAP)
            kit.bench.watch_for(kit.rules.residual)
            listening.close()
        found.append(Errored(kind, ERRORED, len(came)))
    kit.record(
        "Errored frames filtering",
        "RFC 2889 5.9",
        (
            BenchmarkColumn(key="kind", title="frames"),
            BenchmarkColumn(key="sent", title="sent", unit="frames"),
            BenchmarkColumn(key="passed", title="passed on", unit="frames"),
        ),
        [(each.kind, each.sent, each.passed) for each in found],
        departures=("at 10,000 frames/s, where RFC 2889 5.9 asks for loads up to the full one",),
        remarks=[f"this NIC can send no {each}" for each in lacking],
    )
    return tuple(found)
