"""How long a device is not itself: RFC 2544 26.5, after an overload, and 26.6, after a reset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from testbed.bench.streams import Stream
from testbed.bench.tallies import ReceiveTally
from testbed.bench.trials.course import Load, Trial
from testbed.bench.trials.kit import REMARK, SIZE, Kit, Rate
from testbed.report import BenchmarkColumn
from testbed.timing import Duration, Instant, milliseconds, seconds, to_seconds

__all__ = ["Outage", "recovery", "reset"]

OVERLOAD, RELIEF = 1.1, 0.5
"""RFC 2544 26.5: 110 % of the throughput, then half of it."""
WEAK = 1.05
"""From this share of the throughput on, a load is an overload."""
POLL = milliseconds(1)
SIM_PPS = 1000.0
"""At which a simulated device is reset: an outage may last for minutes of virtual time."""
ENDLESS = 1 << 40
"""Frames of a stream that is stopped when its time has come."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What was lost, and for how long, of frames of ``size`` bytes."""

    size: int
    span: float
    """In seconds."""
    exact: float
    """To how many seconds that is known."""
    lost: int
    rate: Rate
    remark: str = ""


class _Relief:
    """Lets an overload last, halves it, and notes when the last loss showed."""

    def __init__(self, kit: Kit, source: str, target: str, pps: float) -> None:
        self._kit = kit
        self._source, self._target = source, target
        self._pps = pps
        self.step = Duration(max(1, min(POLL, kit.rules.duration // 100)))
        self.span = 0.0
        self.lost = 0

    def __call__(self, streams: Mapping[str, Stream], tallies: Mapping[str, ReceiveTally]) -> None:
        bench, duration = self._kit.bench, self._kit.rules.duration
        bench.watch_for(duration)
        stream, tally = streams[self._source], tallies[self._target]
        before = tally.of(1).lost
        stream.set_rate(pps=self._pps)
        relieved = bench.loop.now()
        end = Instant(relieved + duration)
        while bench.loop.now() < end:
            bench.watch_for(self.step)
            lost = tally.of(1).lost
            if lost > before:
                self.span = (bench.loop.now() - relieved) / 1e9
                self.lost += lost - before
            before = lost
        stream.stop()


def recovery(kit: Kit, source: str, target: str) -> tuple[Outage, ...]:
    """26.5: from the end of an overload to the last loss that it brings about."""
    found = []
    for size in kit.sizes():
        flow = kit.paths.flow(1, source, target, size=size)
        rate = kit.throughput([flow], size, "throughput, to recover from more")
        if not rate.pps:
            continue
        over = min(rate.pps * OVERLOAD, rate.limit.top)
        kit.bench.say(
            f"{kit.device}: system recovery, {size} bytes: {over:,.0f} frames/s, then half"
        )
        relief = _Relief(kit, source, target, rate.pps * RELIEF)
        trial = kit.course.hold([flow], {source: Load(over, count=ENDLESS)}, during=relief)
        found.append(_recovered(kit, relief, trial, rate, over))
    kit.record(
        "System recovery",
        "RFC 2544 26.5",
        (
            SIZE,
            BenchmarkColumn(key="fps", title="throughput", unit="frames/s"),
            BenchmarkColumn(key="seconds", title="recovery", unit="s"),
            BenchmarkColumn(key="exact", title="exact to", unit="s"),
            BenchmarkColumn(key="lost", title="lost after the overload", unit="frames"),
            REMARK,
        ),
        [
            (each.size, round(each.rate.pps), each.span, each.exact, each.lost, each.remark)
            for each in found
        ],
        departures=kit.rules.departures(),
        tester=[each.rate.limit.told for each in found],
    )
    return tuple(found)


def _recovered(kit: Kit, relief: _Relief, trial: Trial, rate: Rate, over: float) -> Outage:
    """What the watch has seen, and what it could not: that nothing came any more."""
    span, lost, told = relief.span, relief.lost, []
    (flow,) = trial.flows
    if silent := trial.sent[flow.stream] - trial.of(flow).due:
        span, lost = to_seconds(kit.rules.duration), lost + silent
        told.append("not recovered when the trial ended")
    if over < rate.pps * WEAK:
        told.append(f"no overload: {over / rate.pps:.0%} is the most")
    return Outage(rate.size, span, to_seconds(relief.step), lost, rate, ", ".join(told))


class _Reset:
    """Switches a port off and on under load, and waits until frames come again."""

    def __init__(self, kit: Kit, target: str, within: Duration) -> None:
        self._kit = kit
        self._target = target
        self._within = within
        self.port = kit.bench.port(kit.paths.dut, toward=target)
        self.back = False

    def __call__(self, streams: Mapping[str, Stream], tallies: Mapping[str, ReceiveTally]) -> None:
        kit, tally = self._kit, tallies[self._target]
        bench, dut = kit.bench, kit.bench.device(kit.paths.dut)
        bench.watch_for(kit.rules.duration)
        kit.bench.say(f"{kit.device}: {self.port} goes off and on")
        dut.set_port_up(self.port, False)
        before = tally.of(1).received
        dut.set_port_up(self.port, True)
        self.back = kit.course.look_until(lambda: tally.of(1).received > before + 1, self._within)
        bench.watch_for(kit.rules.duration)
        for stream in streams.values():
            stream.stop()
        bench.nic(self._target).tap.port.forgive()


def reset(kit: Kit, source: str, target: str, within: Duration = seconds(60)) -> Outage:
    """26.6: how long nothing passes when the port toward ``target`` is reset under load.

    A bench without relays cannot cut a device's power; a port that is switched off and on is as
    near to the reset of a line card (RFC 6201 4.1.2) as a device's management comes. The outage is
    what was lost at a known rate (RFC 6201 5), at half of the throughput, where nothing is lost for
    another reason.
    """
    size = kit.sizes()[0]
    flow = kit.paths.flow(1, source, target, size=size)
    rate = kit.throughput([flow], size, "throughput, for a reset below it")
    pps = max(1.0, min(rate.pps * RELIEF, SIM_PPS if kit.rules.virtual else rate.pps))
    strike = _Reset(kit, target, within)
    trial = kit.course.hold([flow], {source: Load(pps, count=ENDLESS)}, during=strike)
    remark = "" if strike.back else f"nothing came for {to_seconds(within):g} s"
    outage = Outage(size, trial.lost / pps, 1 / pps, trial.lost, rate, remark)
    kit.record(
        "Reset",
        "RFC 2544 26.6",
        (
            SIZE,
            BenchmarkColumn(key="fps", title="at", unit="frames/s"),
            BenchmarkColumn(key="seconds", title="outage", unit="s"),
            BenchmarkColumn(key="lost", title="lost", unit="frames"),
            REMARK,
        ),
        [(size, round(pps), round(outage.span, 6), trial.lost, remark)],
        departures=(
            *kit.rules.departures(),
            (
                f"{strike.port} was switched off and on, where RFC 2544 26.6 asks for resets and a "
                "cut of the power, which this bench cannot do"
            ),
            f"at {pps:,.0f} frames/s, where 26.6 asks for the throughput",
        ),
        tester=[rate.limit.told],
    )
    return outage
