"""How trials are held: the rules of RFC 2544 23 and 24, and what of them a run has shortened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from testbed.errors import PlanError
from testbed.timing import Duration, format_duration, milliseconds, seconds

__all__ = ["FRAME_SIZES", "JUMBO", "Shortening", "TrialRules"]

FRAME_SIZES = (64, 128, 256, 512, 1024, 1280, 1518)
"""Bytes with the check sequence: RFC 2544 9.1."""
JUMBO = 9018
"""An IP packet of 9000 bytes in a frame."""

_FULL = seconds(60)
_SIM = milliseconds(1)
"""Of virtual time: a simulated device behaves in the first millisecond as in the next."""


@dataclass(frozen=True, slots=True)
class Shortening:
    """What the options of a run ask for: None is what the RFC says."""

    duration: Duration | None = None
    """Of a trial; the pauses around it are no longer than that, either."""
    repeats: int | None = None
    """Trials that are averaged: RFC 2544 asks for 20 of latency, 50 of bursts."""
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.duration is not None and self.duration <= 0:
            raise PlanError("a trial must last longer than that")
        if self.repeats is not None and self.repeats < 1:
            raise PlanError(f"{self.repeats} trials to average: expected 1 at least")
        for size in self.sizes:
            if not FRAME_SIZES[0] <= size <= JUMBO:
                raise PlanError(f"frames of {size} bytes: expected {FRAME_SIZES[0]} to {JUMBO}")


@dataclass(frozen=True, slots=True)
class TrialRules:
    """Durations of a trial and the pauses around it."""

    duration: Duration = _FULL
    """RFC 2544 24: "The duration of the test portion of each trial SHOULD be at least 60
    seconds"."""
    settle: Duration = seconds(2)
    """From the learning frames to the trial (RFC 2544 23 b)."""
    residual: Duration = seconds(2)
    """How long late frames are waited for (23 d)."""
    rest: Duration = seconds(5)
    """For the device to restabilize (23 e)."""
    latency_repeats: int = 20
    """RFC 2544 26.2."""
    burst_repeats: int = 50
    """RFC 2544 26.4."""
    burst: Duration = seconds(2)
    """The length of the longest burst (26.4: "MUST be at least 2 seconds")."""
    sizes: tuple[int, ...] = (*FRAME_SIZES, JUMBO)
    resolution: float = 0.01
    """To which share of itself a rate is found."""
    virtual: bool = False
    """Whether time is virtual."""

    @classmethod
    def of(cls, short: Shortening, *, simulated: bool) -> TrialRules:
        """The rules of a run: the RFC's, but for what is to be shorter.

        On a sim bench pauses cost nothing and stay as they are; frames do, so trials are short.
        """
        rules = cls(virtual=simulated)
        if short.sizes:
            rules = replace(rules, sizes=short.sizes)
        duration = short.duration or (_SIM if simulated else None)
        if duration is not None:
            rules = replace(rules, duration=duration, burst=min(duration, rules.burst))
            if not simulated:
                rules = replace(
                    rules,
                    settle=min(rules.settle, duration),
                    residual=min(rules.residual, max(duration, milliseconds(100))),
                    rest=min(rules.rest, duration),
                )
        repeats = short.repeats or (2 if simulated else None)
        if repeats is not None:
            rules = replace(rules, latency_repeats=repeats, burst_repeats=repeats)
        return rules

    def departures(self, *, latency: bool = False, bursts: bool = False) -> tuple[str, ...]:
        """In which points trials are not as the RFC has them, each in a sentence."""
        asked = TrialRules()
        told = []
        if self.duration < asked.duration:
            told.append(
                f"trials of {format_duration(self.duration)}, where RFC 2544 24 asks for 60 s"
            )
        pauses = [
            (mine, full)
            for mine, full in (
                (self.settle, asked.settle),
                (self.residual, asked.residual),
                (self.rest, asked.rest),
            )
            if mine < full
        ]
        if pauses:
            told.append(
                f"pauses of {' and '.join(dict.fromkeys(format_duration(p) for p, _ in pauses))} "
                "around trials, where RFC 2544 23 asks for 2 s before, 2 s for late frames, 5 s "
                "between"
            )
        if latency and self.latency_repeats < asked.latency_repeats:
            told.append(f"{self.latency_repeats} trials averaged, where RFC 2544 26.2 asks for 20")
        if bursts and self.burst_repeats < asked.burst_repeats:
            told.append(f"{self.burst_repeats} trials averaged, where RFC 2544 26.4 asks for 50")
        if bursts and self.burst < asked.burst:
            told.append(
                f"bursts of {format_duration(self.burst)} at most, where RFC 2544 26.4 asks for 2 s"
            )
        left = [size for size in FRAME_SIZES if size not in self.sizes]
        if left:
            told.append(f"no frames of {', '.join(map(str, left))} bytes (RFC 2544 9.1)")
        return tuple(told)
