"""Trials: test frames through the device at a load, counted to the frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.bench.streams import Stream, line_rate
from testbed.bench.tallies import ReceiveTally
from testbed.bench.trials.counters import Books
from testbed.bench.trials.paths import Flow, Paths
from testbed.bench.trials.rules import TrialRules
from testbed.errors import LinkError
from testbed.link.streams.pace import OVERHEAD
from testbed.link.streams.signing import signed
from testbed.link.streams.tally import StreamTally
from testbed.timing import Duration, Instant, milliseconds, seconds, to_seconds

if TYPE_CHECKING:
    from testbed.bench.bench import Bench

__all__ = ["Course", "Load", "Trial"]

LOOK_EVERY = milliseconds(5)
LOOK_AGAIN = milliseconds(100)
SHORT = 0.9
"""A tester that sends less than this share of a load does not offer it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a source offers in a trial, all its flows together: ``pps``, None as fast as it can.

    For the trial's ``duration``, or ``count`` frames; one of them.
    """

    pps: float | None
    duration: Duration | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of the frames of one trial."""

    flows: tuple[Flow, ...]
    sent: Mapping[int, int]
    """Frames sent, by stream."""
    heard: Mapping[tuple[str, int], StreamTally]
    """What each NIC got of each stream, also those that were not its."""
    span: float
    """Seconds for which frames were offered; 0 where that is not known."""
    intended: float = 0.0
    """Frames a second that were to be sent, all sources together; 0 for as many as can be."""
    engines: tuple[str, ...] = ()
    overrun: str = ""
    """Where the tester itself could not keep up, how."""

    def of(self, flow: Flow, target: str | None = None) -> StreamTally:
        """What a target of a flow, its first by default, got of it."""
        return self.heard.get((target or flow.targets[0], flow.stream), StreamTally())

    def arrived(self, flow: Flow) -> int:
        """Frames that came where they should, none counted twice, all targets together."""
        tallies = (self.of(flow, target) for target in flow.targets)
        sent = self.sent[flow.stream]
        return sum(min(sent, each.received - each.duplicates) for each in tallies)

    def due(self, flow: Flow) -> int:
        """Frames that should have come, all targets together."""
        return self.sent[flow.stream] * len(flow.targets)

    def loss_of(self, *flows: Flow) -> float:
        """The share of the frames of these flows, of all by default, that did not come."""
        chosen = flows or self.flows
        due = sum(map(self.due, chosen))
        return 1 - sum(map(self.arrived, chosen)) / due if due else 0.0

    @property
    def lost(self) -> int:
        """Frames that did not come where they should."""
        return sum(self.due(flow) - self.arrived(flow) for flow in self.flows)

    @property
    def clean(self) -> bool:
        """Whether every frame came, and the tester heard all that did."""
        return not self.lost and not self.overrun

    @property
    def short(self) -> bool:
        """Whether the tester sent clearly less than it was to: that is no trial of that load."""
        return self.offered < SHORT * self.intended or not sum(self.sent.values())

    @property
    def offered(self) -> float:
        """Frames a second that were sent, all sources together."""
        return sum(self.sent.values()) / self.span if self.span else 0.0

    @property
    def forwarded(self) -> float:
        """Frames a second that came where they should."""
        return sum(map(self.arrived, self.flows)) / self.span if self.span else 0.0


class Course:
    """Holds trials by the rules of RFC 2544 23, on one plan's bench."""

    def __init__(self, bench: Bench, rules: TrialRules, paths: Paths) -> None:
        self.bench = bench
        self.rules = rules
        self.paths = paths
        self.held = 0
        """Trials so far."""
        self.remarks: list[str] = []
        """What went otherwise than it should in them, for the report."""

    def line_pps(self, size: int, *roles: str) -> float | None:
        """Frames of ``size`` bytes a second on the slowest line of these NICs, if all tell theirs.

        Preamble and gap are counted (IEEE 802.3): 148,809 of 64 bytes at 100 Mbit/s.
        """
        rates = [line_rate(self.bench.nic(role).tap) for role in roles or self.paths.nics]
        known = [rate for rate in rates if rate]
        return min(known) / (8 * (size - 4 + OVERHEAD)) if len(known) == len(rates) else None

    def hold(
        self,
        flows: Sequence[Flow],
        loads: Mapping[str, Load],
        *,
        during: Callable[[Mapping[str, Stream], Mapping[str, ReceiveTally]], None] | None = None,
        extra: Sequence[tuple[Flow, Duration]] = (),
    ) -> Trial:
        """One trial: learning frames, a pause, the frames, a wait for those that are late.

        ``during`` is called once they are on their way, and may steer them. Each flow of ``extra``
        is a single frame, sent so much later.
        """
        rules, bench = self.rules, self.bench
        if self.held:
            bench.watch_for(rules.rest)
        else:
            bench.log("frames of trials are counted: they are in no capture")
        self.held += 1
        self.paths.teach()
        bench.watch_for(rules.settle)
        streams = {source: self._stream(source, flows, load) for source, load in loads.items()}
        tallies = {name: bench.nic(name).tally() for name in self.paths.nics}
        books = Books(
            (bench.nic(name) for name in self.paths.nics),
            pause=lambda: bench.watch_for(LOOK_AGAIN),
        )
        overrun: list[str] = []
        singles: list[tuple[Flow, Stream]] = []
        with bench.unrecorded(), _all_counting(tallies, overrun):
            began = bench.loop.now()
            try:
                for stream in streams.values():
                    stream.start()
                if during is not None:
                    during(streams, tallies)
                singles = [self._send_one(flow, after, began) for flow, after in extra]
                for stream in streams.values():
                    stream.wait()
            finally:
                for stream in streams.values():
                    stream.abandon()
            sent = self._sent(streams, singles)
            self._await_late(tallies, (*flows, *(flow for flow, _ in extra)), sent)
        heard = _heard(tallies)
        self.remarks += self._settle_books(books, tallies, streams, singles)
        self.remarks += [f"the tester lost frames: {each}" for each in overrun]
        return Trial(
            flows=tuple(flows),
            sent=sent,
            heard=heard,
            span=self._span(loads, streams),
            intended=sum(load.pps or 0.0 for load in loads.values() if load.count is None),
            engines=tuple(dict.fromkeys(each.engine for each in streams.values())),
            overrun="; ".join(overrun),
        )

    def look_until(self, condition: Callable[[], bool], within: Duration) -> bool:
        """Turn the loop and look now and then: what the kernel counts wakes nobody."""
        loop, deadline = self.bench.loop, self.bench.loop.now() + within
        while not (met := condition()) and (left := deadline - loop.now()) > 0:
            loop.run_until(lambda: False, Duration(min(LOOK_EVERY, left)))
        return met

    def _stream(self, source: str, flows: Sequence[Flow], load: Load) -> Stream:
        mine = [flow for flow in flows if flow.source == source]
        pps, count, duration = load.pps, load.count, load.duration
        if self.rules.virtual and count is None and duration is not None:
            # In virtual time a rate is exact, so that the count is, too.
            slowest = min(
                rate
                for flow in mine
                if (rate := self.line_pps(len(flow.frame) + 4, source)) is not None
            )
            pps = pps or slowest
            count, duration = max(1, int(pps * to_seconds(duration) + 1e-6)), None
        return self.bench.nic(source).stream(
            *(signed(flow.frame, flow.stream, share=flow.share) for flow in mine),
            pps=pps,
            count=count,
            duration=duration,
        )

    def _send_one(self, flow: Flow, after: Duration, began: Instant) -> tuple[Flow, Stream]:
        left = began + after - self.bench.loop.now()
        if left > 0:
            self.bench.watch_for(Duration(left))
        stream = self.bench.nic(flow.source).stream(
            signed(flow.frame, flow.stream), pps=1000, count=1
        )
        stream.start().wait(seconds(5))
        return flow, stream

    def _sent(
        self, streams: Mapping[str, Stream], singles: Sequence[tuple[Flow, Stream]]
    ) -> dict[int, int]:
        sent = {flow.stream: stream.sent for flow, stream in singles}
        for stream in streams.values():
            for name, count in stream.sent_by_flow.items():
                sent[int(name.removeprefix("stream "))] = count
        return sent

    def _await_late(
        self,
        tallies: Mapping[str, ReceiveTally],
        flows: Sequence[Flow],
        sent: Mapping[int, int],
    ) -> None:
        """Wait for what is late, no longer than until all have come (RFC 2544 23 d)."""

        def complete() -> bool:
            found = {name: tally.streams for name, tally in tallies.items()}
            return all(
                flow.stream in found[target]
                and found[target][flow.stream].received >= sent[flow.stream]
                for flow in flows
                for target in flow.targets
            )

        self.look_until(complete, self.rules.residual)

    def _settle_books(
        self,
        books: Books,
        tallies: Mapping[str, ReceiveTally],
        streams: Mapping[str, Stream],
        singles: Sequence[tuple[Flow, Stream]],
    ) -> tuple[str, ...]:
        sent = {source: stream.sent for source, stream in streams.items()}
        for flow, stream in singles:
            sent[flow.source] = sent.get(flow.source, 0) + stream.sent
        # What a tally counts frame by frame, the capture hears as well.
        taken = {
            name: sum(each.received for each in tally.streams.values())
            for name, tally in tallies.items()
            if tally.engine != "frame by frame"
        }
        return books.settle(sent, taken)

    def _span(self, loads: Mapping[str, Load], streams: Mapping[str, Stream]) -> float:
        """How long frames were offered: by the count where time is virtual, else as was asked."""
        spans = []
        for source, load in loads.items():
            stream = streams[source]
            if self.rules.virtual and stream.pace.pps:
                spans.append(stream.sent / stream.pace.pps)
            elif self.rules.virtual:
                rate = self.line_pps(round(stream.blend.mean_length) + 4, source)
                spans.append(stream.sent / rate if rate else 0.0)
            elif load.duration is not None:
                spans.append(to_seconds(load.duration))
        return max(spans, default=0.0)


def _heard(tallies: Mapping[str, ReceiveTally]) -> dict[tuple[str, int], StreamTally]:
    return {
        (name, number): each
        for name, tally in tallies.items()
        for number, each in tally.streams.items()
    }


@contextmanager
def _all_counting(tallies: Mapping[str, ReceiveTally], overrun: list[str]) -> Iterator[None]:
    """Have all count for a block; where the tester missed frames, that is no loss of the device."""
    begun: list[ReceiveTally] = []
    try:
        for tally in tallies.values():
            tally.__enter__()
            begun.append(tally)
        yield
    except BaseException as error:
        for tally in begun:
            tally.__exit__(type(error), error, None)
        raise
    for tally in begun:
        try:
            tally.__exit__(None, None, None)
        except LinkError as error:
            overrun.append(str(error))
