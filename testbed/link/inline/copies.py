"""``Duplicate`` as code where frames are in slots: copies go on one after the other."""

from __future__ import annotations

from typing import Any

from testbed.link.ebpf import R1, R2, R3, R10
from testbed.link.impair.alter import Duplicate
from testbed.link.inline.coder import EXTRA, SCRATCH, Coder, Slotted
from testbed.link.inline.lane import REFUSED, Lane
from testbed.link.inline.parts import Part
from testbed.link.inline.selecting import Layout

__all__ = ["Repeating"]


class Repeating(Part):
    """``Duplicate`` with frames in slots. Words: copies to come, and the slot they are made of."""

    stage: Duplicate
    late = True
    greedy = True

    def __init__(self, stage: Duplicate, layout: Layout) -> None:
        super().__init__(stage, layout, stage.which)
        self._left = layout.words(2)

    def code(self, coder: Coder, follow: str) -> None:
        """A struck frame goes on, and copies of it in the next runs."""
        assert isinstance(coder, Slotted)  # noqa: S101 - late parts work on slots
        asm, none = coder.asm, coder.asm.unique("no slot")
        self.asked.code(coder, follow)
        asm.store(R10, EXTRA, self.stage.copies)
        self.event(coder, "duplicate", more=self.stage.copies)
        coder.copy(none)
        asm.load(R2, R10, SCRATCH)
        coder.state(R1, self._left)
        asm.store(R1, 8, R2).store(R1, 0, self.stage.copies).jump(follow)
        asm.label(none)
        coder.count(REFUSED, more=self.stage.copies)

    def eager(self, coder: Slotted, other: str) -> None:
        """The next copy."""
        asm = coder.asm
        lasting, none, made = (asm.unique(name) for name in ("last", "no slot", "copied"))
        coder.state(R1, self._left)
        asm.load(R2, R1).jump_if(R2, "==", 0, other).sub(R2, 1).store(R1, 0, R2)
        asm.load(R1, R1, 8)
        asm.store(R10, EXTRA, R2)
        coder.to_slot()
        asm.load(R2, R10, EXTRA).jump_if(R2, "==", 0, lasting)
        coder.copy(none)
        asm.load(R1, R10, SCRATCH)
        coder.to_slot()
        asm.jump(made).label(none)
        coder.state(R1, self._left)
        asm.load(R2, R1).store(R1, 0, 0)
        coder.word(R1, REFUSED)
        asm.load(R3, R1).add(R3, R2).store(R1, 0, R3)
        asm.label(lasting).label(made)

    def is_eager(self, words: Any) -> bool:
        """Whether copies are under way."""
        return bool(words[self._left // 8])

    def load(self, words: Any, lane: Lane) -> bool:
        """Nothing is under way."""
        words[self._left // 8] = 0
        return super().load(words, lane)
