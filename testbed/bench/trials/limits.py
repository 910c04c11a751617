"""The tester's own limit, measured before the device: what no result can be above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.bench.trials.course import Course, Load
from testbed.errors import Unsupported
from testbed.timing import Duration, format_duration, seconds

if TYPE_CHECKING:
    from testbed.bench.trials.paths import Flow

__all__ = ["AT_LIMIT", "FOOTNOTE", "Limit", "Limits"]

NEAR = 0.97
"""From this share of the tester's limit on a result may be the tester's and not the device's."""
FULL = 0.999
"""From this share of the line rate on, nothing could be faster: counts are of whole frames."""
AT_LIMIT = "at the tester's limit"
FOOTNOTE = f"{AT_LIMIT}: the device may do more"
LONGEST = seconds(1)
ATTEMPTS = 2
"""Measurements of the sender, of which the better one counts."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Frames a second, of all sources together, that can be offered and counted.

    None where that is not known.
    """

    line: float | None
    """The line rate of the slowest NIC, once for each source."""
    sender: float | None
    """What the same senders reach on the same NICs, all together."""
    receiver: float | None
    """What the receiving engine counts on a cable of the tester's own, for each NIC."""
    told: str
    """How that was found."""

    @property
    def top(self) -> float:
        """The highest load that makes sense to try."""
        return min(known for known in (self.line, self.sender) if known)

    @property
    def own(self) -> float | None:
        """The tester's own limit, beside the line's."""
        known = [each for each in (self.sender, self.receiver) if each]
        return min(known) if known else None

    def remark(self, pps: float) -> str:
        """What must be said beside a result: that it is the line's or may be the tester's."""
        if self.line and pps >= FULL * self.line:
            return "line rate"
        return AT_LIMIT if self.own and pps >= NEAR * self.own else ""


class Limits:
    """Measures limits by frame size, each once, with the engines that trials use."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._receivers: dict[int, tuple[float | None, str]] = {}

    def of(self, size: int, *flows: Flow) -> Limit:
        """The limit for these flows of frames of ``size`` bytes.

        In virtual time it is the line rate: the simulated tester keeps up with any line. Else the
        same senders run on the same NICs as fast as they can, and the receiver counts on a veth
        pair of the tester's own, as there is no way past the device.
        """
        sources = tuple(dict.fromkeys(flow.source for flow in flows))
        targets = tuple(dict.fromkeys(name for flow in flows for name in flow.targets))
        course = self._course
        slowest = course.line_pps(size, *sources, *targets)
        line = slowest and slowest * len(sources)
        if course.rules.virtual:
            return Limit(line, None, None, "virtual time: the tester keeps up with any line")
        span = min(course.rules.duration, LONGEST)
        loads = {source: Load(None, Duration(span)) for source in sources}
        trials = [course.hold(flows, loads) for _ in range(ATTEMPTS)]
        trial = max(trials, key=lambda each: each.offered)
        receiver, how = self._receiver(size)
        told = (
            f"sender: {', '.join(trial.engines)} on {', '.join(sources)} for "
            f"{format_duration(Duration(span))}; receiver: {how}"
        )
        return Limit(line, trial.offered, receiver, told)

    def _receiver(self, size: int) -> tuple[float | None, str]:
        if size not in self._receivers:
            from testbed.bench.trials.selftest import measure_receiver  # noqa: PLC0415 - of Linux

            try:
                found = measure_receiver(size)
                self._receivers[size] = found.counted, f"{found.engines} on a veth pair"
            except Unsupported as reason:
                self._receivers[size] = None, str(reason)
        return self._receivers[size]
