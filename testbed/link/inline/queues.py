"""Stages as code: those that keep frames back, each in a queue of slots.

A queue's entry is two words: a time, and a number of 48 bits with the slot below it. ``pick``
writes the code that looks whether the stage has a frame to go on with: at once, because of what
the frame before did (``eager``), or because its time has come.
"""

from __future__ import annotations

import heapq
from typing import Any

from testbed.link.ebpf import R0, R1, R2, R3, R4, R5, R9, R10
from testbed.link.impair.late import MIN_FRAME, OVERHEAD, Delay, HeldBack, RateLimit, Reorder
from testbed.link.impair.loss import Hold
from testbed.link.inline.coder import SCRATCH, SLOT, TOLD, Coder, Slotted
from testbed.link.inline.heap import ENTRY, pop, push
from testbed.link.inline.lane import SLOTS, Lane, RawEvent
from testbed.link.inline.parts import Part
from testbed.link.inline.selecting import Ask, Layout, ask
from testbed.timing import Instant

__all__ = ["Delaying", "Late", "Limiting", "Queueing", "Reordering"]

HEAD, TAIL, COUNT, ENTRIES = 0, 8, 16, 32
"""A queue: what was put in and taken out of a ring; what is in a heap; and the entries."""


class Late(Part):
    """A part with a queue."""

    late = True
    timed = True

    def __init__(self, stage: Any, layout: Layout, which: Any = None) -> None:
        super().__init__(stage, layout, which)
        self.queue = layout.words((ENTRIES + ENTRY * SLOTS) // 8)

    def pick(self, coder: Slotted, other: str) -> None:
        """Take a frame whose time, R9, has come, else go to ``other``."""
        asm = coder.asm
        self._first(coder, other)
        asm.load(R4, R3).jump_if(R4, ">", R9, other)
        self._take(coder)

    def _first(self, coder: Coder, none: str) -> None:
        """R1 = the queue, R2 = its tail, R3 = its first entry."""
        asm = coder.asm
        coder.state(R1, self.queue)
        asm.load(R2, R1, TAIL).load(R4, R1, HEAD).jump_if(R2, "==", R4, none)
        asm.mov(R3, R2).bit_and(R3, SLOTS - 1).shift_left(R3, 4).add(R3, R1)
        asm.add(R3, ENTRIES)

    def _take(self, coder: Slotted) -> None:
        """R8 = the slot of the first entry, which leaves the queue: after ``_first``."""
        coder.asm.add(R2, 1).store(R1, TAIL, R2).load(R1, R3, 8)
        coder.to_slot()

    def _put(self, coder: Coder) -> None:
        """Put (R1, R2 << 16 | slot) into the queue; the frame is no more this run's."""
        asm = coder.asm
        asm.shift_left(R2, 16).load(R3, R10, SLOT).bit_or(R2, R3)
        coder.state(R3, self.queue)
        asm.load(R4, R3, HEAD).mov(R5, R4).add(R5, 1).store(R3, HEAD, R5)
        asm.bit_and(R4, SLOTS - 1).shift_left(R4, 4).add(R3, R4)
        asm.store(R3, ENTRIES, R1).store(R3, ENTRIES + 8, R2).jump("idle")

    def _entries(self, words: Any) -> list[tuple[int, int, int]]:
        """What is in the queue: time, number, slot."""
        start = self.queue // 8
        head, tail, count = (int(words[start + at // 8]) for at in (HEAD, TAIL, COUNT))
        places = [*(turn % SLOTS for turn in range(tail, head)), *range(count)]
        first = start + ENTRIES // 8
        pairs = [words[first + 2 * place : first + 2 * place + 2].tolist() for place in places]
        return [(at, word >> 16, word & 0xFFFF) for at, word in pairs]

    def _fill(self, words: Any, lane: Lane, kept: list[tuple[int, int, bytes]], count: int) -> bool:
        """Put frames into the queue, of which ``count`` are a heap: their time and number."""
        start = self.queue // 8
        first = start + ENTRIES // 8
        words[start : start + 3] = 0, 0, 0
        slots = [lane.keep(frame, Instant(0)) for _, _, frame in kept]
        if None in slots:
            for slot in slots:
                if slot is not None:
                    lane.give_back(slot)
            return False
        for place, ((at, number, _), slot) in enumerate(zip(kept, slots, strict=True)):
            words[first + 2 * place : first + 2 * place + 2] = at, number << 16 | (slot or 0)
        words[start : start + 3] = len(kept) - count, 0, count
        return True

    def _empty(self, words: Any, lane: Lane) -> list[tuple[int, int, bytes]]:
        found = []
        for at, number, slot in self._entries(words):
            found.append((at, number, lane.read(slot)[1]))
            lane.give_back(slot)
        return found


class Delaying(Late):
    """``Delay``. Words: the latest time, the order, luck."""

    stage: Delay

    def __init__(self, stage: Delay, layout: Layout) -> None:
        super().__init__(stage, layout)
        self._at = layout.words(3)
        self._heaped = bool(stage.jitter) and not stage.keep_order

    def code(self, coder: Coder, follow: str) -> None:
        """The frame waits."""
        del follow
        asm, stage, at = coder.asm, self.stage, self._at
        asm.mov(R1, R9)
        if stage.jitter:
            coder.draw(at + 16)
            asm.load_constant(R2, stage.jitter + 1).mod(R0, R2).mov(R1, R9).add(R1, R0)
        asm.load_constant(R2, stage.span).add(R1, R2)
        coder.state(R3, at)
        if stage.keep_order:
            later = asm.unique("later")
            asm.load(R2, R3).jump_if(R1, ">=", R2, later).mov(R1, R2).label(later)
            asm.store(R3, 0, R1)
        asm.load(R2, R3, 8).add(R2, 1).store(R3, 8, R2)
        if not self._heaped:
            self._put(coder)
            return
        asm.shift_left(R2, 16).load(R3, R10, SLOT).bit_or(R2, R3)
        coder.state(R5, self.queue)
        asm.load(R3, R5, COUNT).mov(R4, R3).add(R4, 1).store(R5, COUNT, R4).add(R5, ENTRIES)
        push(asm)
        asm.jump("idle")

    def pick(self, coder: Slotted, other: str) -> None:
        """The frame that is due first."""
        if not self._heaped:
            super().pick(coder, other)
            return
        asm = coder.asm
        coder.state(R5, self.queue)
        asm.load(R3, R5, COUNT).jump_if(R3, "==", 0, other)
        asm.load(R1, R5, ENTRIES).jump_if(R1, ">", R9, other)
        asm.load(R1, R5, ENTRIES + 8).store(R10, SCRATCH, R1)
        asm.sub(R3, 1).store(R5, COUNT, R3).add(R5, ENTRIES)
        asm.mov(R4, R3).bit_and(R4, SLOTS - 1).shift_left(R4, 4).add(R4, R5)
        asm.load(R1, R4).load(R2, R4, 8)
        pop(asm)
        asm.load(R1, R10, SCRATCH)
        coder.to_slot()

    def load(self, words: Any, lane: Lane) -> bool:
        """The frames that wait, and its luck."""
        stage, at = self.stage, self._at // 8
        words[at : at + 3] = stage.latest, stage.order, stage.luck.state
        kept = sorted(stage.waiting)
        fits = self._fill(words, lane, kept, len(kept) if self._heaped else 0)  # type: ignore[arg-type]
        return fits and super().load(words, lane)

    def clear(self) -> None:
        """No frames wait there any more."""
        self.stage.waiting = []

    def store(self, words: Any, lane: Lane) -> None:
        """The frames that wait, and its luck."""
        stage, at = self.stage, self._at // 8
        latest, stage.order, stage.luck.state = words[at : at + 3].tolist()
        stage.latest = Instant(latest)
        stage.waiting = [(Instant(due), turn, each) for due, turn, each in self._empty(words, lane)]
        heapq.heapify(stage.waiting)


class Limiting(Late):
    """``RateLimit``. Words: when the link is free; how long frames of each length take."""

    stage: RateLimit

    def __init__(self, stage: RateLimit, layout: Layout, longest: int) -> None:
        super().__init__(stage, layout)
        self._longest = longest
        self._at = layout.words(1 + longest + 1)

    def code(self, coder: Coder, follow: str) -> None:
        """The frame takes its turn, or finds the queue full."""
        del follow
        asm, room, free = coder.asm, coder.asm.unique("room"), coder.asm.unique("free")
        coder.state(R1, self.queue)
        asm.load(R2, R1, HEAD).load(R3, R1, TAIL).sub(R2, R3)
        asm.jump_if(R2, "<", self.stage.queue, room)
        asm.store(R10, TOLD, 0)
        self.event(coder, "drop")
        asm.jump(coder.gone).label(room)
        coder.state(R3, self._at)
        asm.load(R1, R3).jump_if(R1, ">=", R9, free).mov(R1, R9).label(free)
        coder.length(R2)
        asm.jump_if(R2, ">", self._longest, coder.gone).shift_left(R2, 3).mov(R4, R3).add(R4, R2)
        asm.load(R4, R4, 8).add(R1, R4).store(R3, 0, R1).mov(R2, 0)
        self._put(coder)

    def note(self, event: RawEvent) -> str:
        """As the stage has it."""
        del event
        return f"queue of {self.stage.queue} is full"

    def load(self, words: Any, lane: Lane) -> bool:
        """The frames that wait, when the link is free, and the times of all lengths."""
        at = self._at // 8
        words[at] = self.stage.free_at
        words[at + 1 : at + 2 + self._longest] = [
            round(
                (max(size, MIN_FRAME) + OVERHEAD) * 8 * 1_000_000_000 / self.stage.bits_per_second
            )
            for size in range(self._longest + 1)
        ]
        kept = [(int(due), 0, frame) for due, frame in self.stage.waiting]
        return self._fill(words, lane, kept, 0) and super().load(words, lane)

    def clear(self) -> None:
        """No frames wait there any more."""
        self.stage.waiting.clear()

    def store(self, words: Any, lane: Lane) -> None:
        """The frames that wait, and when the link is free."""
        self.stage.free_at = Instant(int(words[self._at // 8]))
        self.stage.waiting.clear()
        self.stage.waiting += [(Instant(at), frame) for at, _, frame in self._empty(words, lane)]


class Reordering(Late):
    """``Reorder``. Word: how many have overtaken. An entry's number is how many are to have."""

    stage: Reorder
    greedy = True

    def __init__(self, stage: Reorder, layout: Layout) -> None:
        super().__init__(stage, layout, stage.which)
        self._by: Ask = ask(stage.overtaken_by, layout)
        self._passed = layout.words(1)

    def code(self, coder: Coder, follow: str) -> None:
        """A struck frame waits, any other goes on and may be counted."""
        asm, other = coder.asm, coder.asm.unique("overtakes")
        self.asked.code(coder, other)
        self.event(coder, "hold")
        coder.state(R2, self._passed)
        asm.load(R2, R2).add(R2, self.stage.behind)
        asm.load_constant(R1, self.stage.max_hold).add(R1, R9)
        self._put(coder)
        asm.label(other)
        self._by.code(coder, follow)
        coder.state(R1, self._passed)
        asm.load(R2, R1).add(R2, 1).store(R1, 0, R2)

    def eager(self, coder: Slotted, other: str) -> None:
        """The first frame that waits, if enough have overtaken it."""
        asm = coder.asm
        self._first(coder, other)
        coder.state(R5, self._passed)
        asm.load(R5, R5).load(R4, R3, 8).shift_right(R4, 16).jump_if(R4, ">", R5, other)
        self._take(coder)
        asm.store(R10, TOLD, 0)
        self.event(coder, "release")

    def is_eager(self, words: Any) -> bool:
        """Whether a frame waits that enough have overtaken."""
        first = self._entries(words)[:1]
        return any(number <= int(words[self._passed // 8]) for _, number, _ in first)

    def pick(self, coder: Slotted, other: str) -> None:
        """The first frame that waits, if nobody overtook it in time."""
        super().pick(coder, other)
        coder.asm.store(R10, TOLD, 1)
        self.event(coder, "release")

    def note(self, event: RawEvent) -> str:
        """As the stage has it."""
        if event.action == 3:  # hold
            return f"behind {self.stage.behind} others, {self.asked.note(event.told)}"
        return "nobody overtook it" if event.told else "overtaken"

    def guards(self) -> Any:
        """Tests of both selectors."""
        yield from super().guards()
        yield from self._by.guards()

    def load(self, words: Any, lane: Lane) -> bool:
        """The frames that wait."""
        words[self._passed // 8] = 0
        kept = [(int(held.until), max(0, held.passes), held.frame) for held in self.stage.held]
        return self._fill(words, lane, kept, 0) and super().load(words, lane)

    def clear(self) -> None:
        """No frames wait there any more."""
        self.stage.held = []

    def store(self, words: Any, lane: Lane) -> None:
        """The frames that wait."""
        passed = int(words[self._passed // 8])
        self.stage.held = [
            HeldBack(frame, number - passed, Instant(until))
            for until, number, frame in self._empty(words, lane)
        ]


class Queueing(Late):
    """``Hold`` that keeps what comes."""

    stage: Hold

    def __init__(self, stage: Hold, layout: Layout) -> None:
        super().__init__(stage, layout)
        self.flag = layout.words(1)

    def code(self, coder: Coder, follow: str) -> None:
        """Every frame waits while the cable is pulled."""
        asm = coder.asm
        coder.state(R1, self.flag)
        asm.load(R1, R1).jump_if(R1, "==", 0, follow).store(R10, TOLD, 0)
        self.event(coder, "hold")
        asm.mov(R1, 0).mov(R2, 0)
        self._put(coder)

    def pick(self, coder: Slotted, other: str) -> None:
        """What waits, once the cable is plugged in."""
        coder.state(R1, self.flag)
        coder.asm.load(R1, R1).jump_if(R1, "!=", 0, other)
        super().pick(coder, other)
        coder.asm.store(R10, TOLD, 0)
        self.event(coder, "release")

    def note(self, event: RawEvent) -> str:
        """As the stage has it."""
        return "cable pulled" if event.action == 3 else "cable plugged in again"

    def settle(self, words: Any) -> None:
        """Whether the cable is pulled."""
        super().settle(words)
        words[self.flag // 8] = self.stage.holding

    def load(self, words: Any, lane: Lane) -> bool:
        """The frames that wait."""
        kept = [(0, 0, frame) for frame in self.stage.kept]
        return self._fill(words, lane, kept, 0) and super().load(words, lane)

    def clear(self) -> None:
        """No frames wait there any more."""
        self.stage.kept = []

    def store(self, words: Any, lane: Lane) -> None:
        """The frames that wait."""
        self.stage.kept = [frame for _, _, frame in self._empty(words, lane)]
