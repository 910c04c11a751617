"""Faults that lose frames: drops, a hole in the path's MTU, a pulled cable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from testbed.link.impair.select import Selector, any_frame, describe
from testbed.link.impair.stage import Stage
from testbed.link.size import payload_length
from testbed.timing import Instant

__all__ = ["Drop", "Hold", "MtuHole"]


class Drop(Stage):
    """Loses the frames that ``which`` selects; all of them by default."""

    def __init__(self, which: Selector = any_frame) -> None:
        super().__init__()
        self.which = which

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """Nothing for a selected frame, the frame itself for any other."""
        if not self.which(frame):
            return (frame,)
        self.log.add(now, "drop", frame, describe(self.which))
        return ()


class MtuHole(Stage):
    """Swallows without a word what is larger than ``mtu``: a path MTU black hole (RFC 2923 2.1).

    What counts is the payload behind the Ethernet header and one VLAN tag.
    """

    def __init__(self, mtu: int) -> None:
        super().__init__()
        self.mtu = mtu

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame, if it fits."""
        size = payload_length(frame)
        if size <= self.mtu:
            return (frame,)
        self.log.add(now, "drop", frame, f"{size} bytes in an MTU of {self.mtu}")
        return ()


class Hold(Stage):
    """A pulled cable: nothing passes until release(), after which everything does.

    With ``queue`` the frames that came meanwhile go on at the release, in order; without, they are
    lost, as on a real cable. hold() pulls it again.
    """

    def __init__(self, mode: Literal["drop", "queue"] = "drop") -> None:
        super().__init__()
        self.mode = mode
        self.holding = True
        self.kept: list[bytes] = []

    def hold(self) -> None:
        """Let nothing pass from here on."""
        self.holding = True
        self._announce_change()

    def release(self) -> None:
        """Let everything pass again, what was queued first."""
        self.holding = False
        self._announce_change()

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame, unless the cable is pulled."""
        if not self.holding:
            return (*self.due(now), frame)
        if self.mode == "drop":
            self.log.add(now, "drop", frame, "cable pulled")
        else:
            self.log.add(now, "hold", frame, "cable pulled")
            self.kept.append(frame)
        return ()

    def due(self, now: Instant) -> Sequence[bytes]:
        """What was queued, once the cable is released."""
        return () if self.holding else self.flush(now)

    def next_deadline(self) -> Instant | None:
        """At once, when frames wait and the cable is released."""
        return Instant(0) if self.kept and not self.holding else None

    def flush(self, now: Instant) -> Sequence[bytes]:
        """What was queued."""
        kept, self.kept = self.kept, []
        for frame in kept:
            self.log.add(now, "release", frame, "cable plugged in again")
        return kept
