"""Benchmarks as plans see them: the fixture ``trials``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from testbed.bench.trials import outages, rfc2544, rfc2889
from testbed.bench.trials.kit import Kit, Rate
from testbed.bench.trials.limits import AT_LIMIT
from testbed.bench.trials.outages import Outage
from testbed.bench.trials.rfc2544 import Bursts, Latency, LossCurve
from testbed.bench.trials.rfc2889 import Congestion, Errored, Forwarding
from testbed.bench.trials.rules import Shortening, TrialRules
from testbed.errors import ExpectationFailed, PlanError, Unsupported

if TYPE_CHECKING:
    from testbed.bench.bench import Bench

__all__ = ["STATED", "Trials"]

STATED = {
    "throughput": "the share of the line rate, 0 to 1, at which nothing is lost",
    "throughput_fps": "frames a second at which nothing is lost",
    "latency": "microseconds that the tagged frame takes at most",
    "frame_loss": "the share of the frames, 0 to 1, that is lost at the full load at most",
    "back_to_back": "frames of a burst that pass, or all that are tried",
    "recovery": "seconds from an overload to the last loss at most",
    "reset": "seconds without service at most",
    "forwarding": "the share of what the lines carry, 0 to 1, that is forwarded in a mesh",
    "uncongested_loss": "the share lost at a port that is not congested at most",
    "broadcast": "the share of the line rate, 0 to 1, at which no broadcast is lost",
    "errored": "frames with errors that are passed on at most",
}
"""What a bench file may state of a device, or a plan's ``performance(minimum=...)``, of trials."""


class Trials:
    """RFC 2544 and RFC 2889 on a plan's bench: every method measures, and leaves its table.

    Names are NICs of the topology; the device under test is the node ``dut``. What it must reach
    is stated in the bench file (``stated``) or by the plan; where it is not, a result is recorded
    and not judged.
    """

    def __init__(self, bench: Bench, short: Shortening, minimum: Mapping[str, float]) -> None:
        unknown = sorted(minimum.keys() - STATED.keys())
        if unknown:
            raise PlanError(
                f"performance(minimum=...): no {', '.join(unknown)}; there are {', '.join(STATED)}"
            )
        self._bench = bench
        self._minimum = minimum
        self._rules = TrialRules.of(short, simulated=bench.simulated)
        self._made: Kit | None = None

    @property
    def kit(self) -> Kit:
        """The parts, for benchmarks of a plan's own."""
        if self._made is None:
            self._made = Kit(self._bench, self._rules, "dut")
        return self._made

    def throughput(self, source: str, target: str) -> tuple[Rate, ...]:
        """RFC 2544 26.1: for each frame size the highest rate at which nothing is lost."""
        return rfc2544.throughput(self.kit, source, target)

    def latency(self, source: str, target: str) -> tuple[Latency, ...]:
        """RFC 2544 26.2: what a tagged frame takes at the throughput."""
        return rfc2544.latency(self.kit, source, target)

    def frame_loss(self, source: str, target: str) -> tuple[LossCurve, ...]:
        """RFC 2544 26.3: the loss at the full load, and at tenths below."""
        return rfc2544.frame_loss(self.kit, source, target)

    def back_to_back(self, source: str, target: str) -> tuple[Bursts, ...]:
        """RFC 2544 26.4: the longest burst that passes whole."""
        return rfc2544.back_to_back(self.kit, source, target)

    def recovery(self, source: str, target: str) -> tuple[Outage, ...]:
        """RFC 2544 26.5: how long after an overload frames are lost."""
        return outages.recovery(self.kit, source, target)

    def reset(self, source: str, target: str) -> Outage:
        """RFC 2544 26.6: how long nothing passes when the port toward ``target`` is reset."""
        return outages.reset(self.kit, source, target)

    def forwarding(self, mesh: str = "full") -> tuple[Forwarding, ...]:
        """RFC 2889 5.1 (``full``) and 5.4 (``partial``): all NICs of the topology at once."""
        return rfc2889.forwarding(self.kit, mesh)

    def congestion(self) -> tuple[Congestion, ...]:
        """RFC 2889 5.5: two sources, a congested port, and one that must not suffer."""
        return rfc2889.congestion(self.kit)

    def broadcast(self, source: str) -> tuple[Rate, ...]:
        """RFC 2889 5.10: broadcasts to all other NICs."""
        return rfc2889.broadcast(self.kit, source)

    def errored(self, source: str, target: str) -> tuple[Errored, ...]:
        """RFC 2889 5.9: frames that must not pass."""
        return rfc2889.errored(self.kit, source, target)

    def stated(self, name: str) -> float | None:
        """What the device must reach: the plan's minimum, else the bench file's; None for nothing.

        ``STATED`` has the names.
        """
        if name not in STATED:
            raise PlanError(f"nobody states a {name!r}; there are {', '.join(STATED)}")
        given = self._minimum.get(name)
        return self._bench.stated("dut", name) if given is None else given

    def expect_at_least(
        self, name: str, found: float | None, of: str, *, remark: str = "", scale: float = 1.0
    ) -> None:
        """ExpectationFailed where less was found than is stated; nothing where nothing is.

        Unsupported where what was found is the tester's limit (``remark``), or is not known:
        that says nothing about the device. ``scale``: the share of the statement that will do.
        """
        wanted = self.stated(name)
        if wanted is None:
            return
        if found is None:
            raise Unsupported(f"{of}: stated is a {name} of {wanted:g}, which cannot be known here")
        if found >= wanted * scale:
            return
        if remark == AT_LIMIT:
            raise Unsupported(
                f"{of}: stated is a {name} of {wanted:g}, the tester ends at {found:.4g}"
            )
        raise ExpectationFailed(
            f"{self.kit.device}: {of}: {name} is {found:.4g}, stated is {wanted:g} at least"
        )

    def expect_at_most(self, name: str, found: float, of: str) -> None:
        """ExpectationFailed where more was found than is stated; nothing where nothing is."""
        wanted = self.stated(name)
        if wanted is not None and found > wanted:
            raise ExpectationFailed(
                f"{self.kit.device}: {of}: {name} is {found:.4g}, stated is {wanted:g} at most"
            )
