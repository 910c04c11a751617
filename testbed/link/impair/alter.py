"""Faults that change frames, or make more of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbed.errors import PlanError
from testbed.link.impair.select import Selector, any_frame, describe, seeded
from testbed.link.impair.stage import Stage
from testbed.link.size import HEADER
from testbed.timing import Instant

__all__ = ["Corrupt", "Duplicate", "Modify"]


class Duplicate(Stage):
    """Sends the frames that ``which`` selects once more, or ``copies`` times more."""

    def __init__(self, which: Selector = any_frame, copies: int = 1) -> None:
        super().__init__()
        if copies < 1:
            raise PlanError(f"Duplicate makes one copy at least, got {copies}")
        self.which = which
        self.copies = copies

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame, and its copies right behind it."""
        if not self.which(frame):
            return (frame,)
        for _ in range(self.copies):
            self.log.add(now, "duplicate", frame, describe(self.which))
        return (frame,) * (1 + self.copies)


class Corrupt(Stage):
    """Flips one bit in the frames that ``which`` selects.

    ``bit`` counts from 0, the most significant bit of the first byte of the frame, and must be
    inside it. Without it, ``seed`` picks one behind the Ethernet header: with one in the header
    the frame would go astray and not arrive damaged. The NIC computes a right FCS over what is
    sent: only the checksums above can tell.
    """

    def __init__(
        self, which: Selector = any_frame, *, bit: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        if bit is not None and bit < 0:
            raise PlanError(f"Corrupt: bits count from 0, got {bit}")
        self.which = which
        self.bit = bit
        self.luck = seeded(seed)

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame, with a bit flipped where it is selected and long enough."""
        if not self.which(frame):
            return (frame,)
        first, end = HEADER * 8, len(frame) * 8
        bit = self.bit
        if bit is None and end > first:
            bit = self.luck.within(first, end - 1)
        if bit is None or bit >= end:
            return (frame,)
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 0x80 >> bit % 8
        where = f"bit {bit} (byte {bit // 8}) flipped, {describe(self.which)}"
        self.log.add(now, "corrupt", frame, where)
        return (bytes(damaged),)


class Modify(Stage):
    """Puts ``change(frame)`` in the place of the frames that ``which`` selects.

    ``what`` says in the report what the change is.
    """

    def __init__(
        self,
        change: Callable[[bytes], bytes],
        which: Selector = any_frame,
        what: str = "rewritten",
    ) -> None:
        super().__init__()
        self.change = change
        self.which = which
        self.what = what

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame, changed where it is selected."""
        if not self.which(frame):
            return (frame,)
        changed = self.change(frame)
        if changed != frame:
            self.log.add(now, "modify", frame, f"{self.what}, {describe(self.which)}")
        return (changed,)
