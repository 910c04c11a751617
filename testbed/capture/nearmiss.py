"""How the frames that came differ from the frame that was wanted, closest first."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from testbed.capture.matcher import Matcher, Mismatch
from testbed.capture.recording import Recording, TracedFrame, format_offset
from testbed.wire.describe import summary

__all__ = ["SHOWN", "NearMiss", "describe", "locate", "near_misses", "open_command", "render"]

SHOWN = 5
"""How many frames a message shows at most."""

_EXAMINED = 5_000
"""How many frames are compared field by field; in a flood the first ones tell it all."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A frame that did not match, what was wrong with it, and how many others were the same."""

    traced: TracedFrame
    mismatches: tuple[Mismatch, ...]
    alike: int = 0

    @property
    def distance(self) -> int:
        """How far it was from matching."""
        return sum(mismatch.weight for mismatch in self.mismatches)


def near_misses(matcher: Matcher, frames: Sequence[TracedFrame]) -> tuple[NearMiss, ...]:
    """The frames by how little kept them from matching; one stands for all with the same diff."""
    groups: dict[tuple[Mismatch, ...], list[TracedFrame]] = {}
    for traced in frames[:_EXAMINED]:
        groups.setdefault(matcher.explain(traced.data), []).append(traced)
    found = [NearMiss(group[0], diff, len(group) - 1) for diff, group in groups.items()]
    return tuple(sorted(found, key=lambda miss: (miss.distance, miss.traced.number)))


def locate(recording: Recording, traced: TracedFrame) -> str:
    """Where and when: ``#17 a--dut +1.203 ms``."""
    offset = format_offset(recording.offset(traced.at))
    return f"#{traced.number} {traced.point} {offset}"


def open_command(path: str, number: int) -> str:
    """The shell command that shows frame ``number`` of the capture file in full."""
    return f"tshark -r {shlex.quote(path)} -Y 'frame.number == {number}' -V"


def describe(recording: Recording, traced: TracedFrame, text: str = "") -> list[str]:
    """The lines about one frame: where it is, ``text`` or its summary, how to open it."""
    lines = [f"{locate(recording, traced)}: {text or summary(traced.data)}"]
    if recording.path:
        lines.append(f"    {open_command(recording.path, traced.number)}")
    return lines


def render(recording: Recording, matcher: Matcher, frames: Sequence[TracedFrame]) -> str:
    """What came instead of ``matcher``: the closest few as field diffs, and a count of the rest."""
    if not frames:
        return "no frame at all came"
    misses = near_misses(matcher, frames)
    lines = [f"{count(len(frames))} came, the closest first:"]
    told = 0
    for miss in misses[:SHOWN]:
        diff = "; ".join(str(mismatch) for mismatch in miss.mismatches)
        alike = f" (and {miss.alike} more like it)" if miss.alike else ""
        lines += describe(recording, miss.traced, f"{diff}{alike}")
        told += 1 + miss.alike
    if len(frames) > told:
        lines.append(f"and {count(len(frames) - told)} further from it")
    return "\n".join(lines)


def count(frames: int) -> str:
    """``1 frame``, ``2,000 frames``."""
    return f"{frames:,} frame{'' if frames == 1 else 's'}"
