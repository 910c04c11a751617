"""Selectors as code: each asks the same questions, draws the same luck and keeps the same count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, Final

from testbed.errors import Unsupported
from testbed.link.ebpf import R0, R1, R2, R3, R5, R10
from testbed.link.impair.fields import (
    FieldTest,
    Guarded,
)
from testbed.link.impair.luck import UNIT, threshold
from testbed.link.impair.select import Chance, GilbertElliott, Nth, Selector, any_frame, describe
from testbed.link.inline.coder import TOLD, Coder
from testbed.link.inline.fieldtests import FIELD_TESTS, test_code

__all__ = ["Ask", "Layout", "Translate", "ask"]

_TURNS: Final = 1 << 16
"""The highest turn of an Nth: each is a bit."""
_BANK: Final = _TURNS // 8


Translate = Callable[[Selector], tuple[FieldTest, FieldTest] | None]
"""Of a selector of some other kind: tests of frames that it strikes for sure, and of those that it
does not strike for sure. None where nothing can be said."""


class Layout:
    """The memory of a script: who has which bytes of it. Selectors in two places are one.

    ``translate`` knows selectors of other packages.
    """

    def __init__(self, translate: Translate | None = None) -> None:
        self.size = 0
        self.translate = translate
        self._known: dict[int, Ask] = {}

    def words(self, count: int) -> int:
        """Where ``count`` new words of 64 bits are."""
        start = self.size
        self.size += 8 * count
        return start

    def once(self, which: Selector, make: Callable[[], Ask]) -> Ask:
        """What was made of a selector the first time."""
        if id(which) not in self._known:
            self._known[id(which)] = make()
        return self._known[id(which)]

    @property
    def asks(self) -> tuple[Ask, ...]:
        """All that was made of selectors."""
        return tuple(self._known.values())


class Ask:
    """A selector in a script. This one strikes every frame."""

    def __init__(self, which: Any) -> None:
        self.which = which

    def code(self, coder: Coder, miss: str) -> None:
        """Go on if the frame is struck, with a number at TOLD for the note, else to ``miss``."""
        # The verifier takes no code that nothing leads to: what is behind ``miss`` may be such.
        coder.asm.store(R10, TOLD, 0).mov(R0, 0).jump_if(R0, "!=", 0, miss)

    def note(self, told: int) -> str:
        """``describe(which)`` as it was when ``told`` was told."""
        del told
        return describe(self.which)

    def guards(self) -> Iterator[FieldTest]:
        """Tests of frames about which only Python can decide."""
        return iter(())

    def load(self, words: Any) -> None:
        """Put what the selector remembers into memory."""

    def store(self, words: Any) -> None:
        """Give the selector what is in memory."""

    def settle(self, words: Any) -> None:
        """Put into memory what a plan may have changed meanwhile."""

    def forget(self) -> None:
        """The selector decides by itself again."""


class _Fields(Ask):
    def code(self, coder: Coder, miss: str) -> None:
        coder.asm.store(R10, TOLD, 0)
        test_code(coder, self.which, miss)


class _Translated(Ask):
    def __init__(self, which: Selector, yes: FieldTest, no: FieldTest) -> None:
        super().__init__(which)
        self._yes, self._no = yes, no

    def code(self, coder: Coder, miss: str) -> None:
        coder.asm.store(R10, TOLD, 0)
        test_code(coder, self._yes, miss)

    def guards(self) -> Iterator[FieldTest]:
        yield ~self._yes & ~self._no


class _Guarded(Ask):
    def code(self, coder: Coder, miss: str) -> None:
        # Frames that the guard strikes have not come here: Python has them.
        coder.asm.store(R10, TOLD, 0).mov(R0, 1).jump_if(R0, "!=", 0, miss)

    def guards(self) -> Iterator[FieldTest]:
        yield self.which.maybe


class _Chance(Ask):
    def __init__(self, which: Chance, layout: Layout) -> None:
        super().__init__(which)
        self._matching = ask(which.matching, layout)
        self._luck = layout.words(2)

    def code(self, coder: Coder, miss: str) -> None:
        self._matching.code(coder, miss)
        _strike(coder, self._luck, self._luck + 8, miss)
        coder.asm.store(R10, TOLD, 0)

    def guards(self) -> Iterator[FieldTest]:
        return self._matching.guards()

    def load(self, words: Any) -> None:
        words[self._luck // 8] = self.which.luck.state

    def store(self, words: Any) -> None:
        self.which.luck.state = int(words[self._luck // 8])

    def settle(self, words: Any) -> None:
        words[self._luck // 8 + 1] = threshold(self.which.probability)


class _Burst(Ask):
    """Words: luck, whether the channel is bad, the four thresholds: good's and bad's by turns."""

    def __init__(self, which: GilbertElliott, layout: Layout) -> None:
        super().__init__(which)
        self._matching = ask(which.matching, layout)
        self._at = layout.words(6)

    def code(self, coder: Coder, miss: str) -> None:
        asm, at = coder.asm, self._at
        stay = asm.unique("stay")
        self._matching.code(coder, miss)
        self._draw(coder, at + 16, stay)
        coder.state(R1, at + 8)
        asm.load(R2, R1).bit_xor(R2, 1).store(R1, 0, R2)
        asm.label(stay)
        self._draw(coder, at + 32, miss)
        coder.state(R1, at + 8)
        asm.load(R2, R1).store(R10, TOLD, R2)

    def _draw(self, coder: Coder, thresholds: int, miss: str) -> None:
        """Strike by the threshold of the channel's state."""
        asm = coder.asm
        coder.draw(self._at)
        coder.state(R1, self._at + 8)
        asm.load(R1, R1).bit_and(R1, 1).shift_left(R1, 3)
        coder.state(R2, thresholds)
        asm.add(R2, R1).load(R2, R2).shift_right(R0, 64 - UNIT).jump_if(R0, ">=", R2, miss)

    def note(self, told: int) -> str:
        then = copy(self.which)
        then.bad = bool(told)
        return describe(then)

    def guards(self) -> Iterator[FieldTest]:
        return self._matching.guards()

    def load(self, words: Any) -> None:
        words[self._at // 8] = self.which.luck.state
        words[self._at // 8 + 1] = self.which.bad

    def store(self, words: Any) -> None:
        self.which.luck.state = int(words[self._at // 8])
        self.which.bad = bool(words[self._at // 8 + 1])

    def settle(self, words: Any) -> None:
        which = self.which
        chances = which.to_bad, which.to_good, which.in_good, which.in_bad
        words[self._at // 8 + 2 : self._at // 8 + 6] = [threshold(chance) for chance in chances]


class _Nth(Ask):
    """Words: how many were seen, the bank in use, the bank to use from the next one on plus 1.

    A bank has a bit for each turn. Python fills the one that is not in use and says so by one word:
    the program changes over between two frames.
    """

    def __init__(self, which: Nth, layout: Layout) -> None:
        super().__init__(which)
        if max(which.turns) >= _TURNS:
            raise Unsupported(f"Nth counts to {_TURNS - 1} there, not to {max(which.turns)}")
        self._matching = ask(which.matching, layout)
        self._at = layout.words(3)
        self._banks = layout.words(2 * _BANK // 8)
        self._words: Any = None

    def code(self, coder: Coder, miss: str) -> None:
        asm, at = coder.asm, self._at
        go_on = asm.unique("go on")
        self._matching.code(coder, miss)
        coder.state(R1, at)
        asm.load(R2, R1, 16).jump_if(R2, "==", 0, go_on)
        asm.sub(R2, 1).store(R1, 8, R2).store(R1, 0, 0).store(R1, 16, 0)
        asm.label(go_on).load(R2, R1).add(R2, 1).store(R1, 0, R2).store(R10, TOLD, R2)
        asm.jump_if(R2, ">=", _TURNS, miss)
        asm.load(R3, R1, 8).bit_and(R3, 1).mul(R3, _BANK)
        asm.mov(R5, R2).shift_right(R5, 3).add(R3, R5)
        coder.state(R1, self._banks)
        asm.add(R1, R3).load(R1, R1, 0, size=1).bit_and(R2, 7).shift_right(R1, R2)
        asm.bit_and(R1, 1).jump_if(R1, "==", 0, miss)

    def note(self, told: int) -> str:
        then = copy(self.which)
        then.seen = told
        return describe(then)

    def guards(self) -> Iterator[FieldTest]:
        return self._matching.guards()

    def load(self, words: Any) -> None:
        self._words = words
        at = self._at // 8
        words[at : at + 3] = self.which.seen, 0, 0
        self._fill(0)
        self.which.on_rearm = self._rearm

    def store(self, words: Any) -> None:
        at = self._at // 8
        self.which.seen = 0 if words[at + 2] else int(words[at])

    def forget(self) -> None:
        self.which.on_rearm = None
        self._words = None

    def _rearm(self) -> None:
        if max(self.which.turns) >= _TURNS:
            raise Unsupported(f"Nth counts to {_TURNS - 1} while a program decides")
        at = self._at // 8
        # A change that was not taken up yet is taken back: its bank is filled anew.
        self._words[at + 2] = 0
        bank = 1 - int(self._words[at + 1])
        self._fill(bank)
        self._words[at + 2] = bank + 1

    def _fill(self, bank: int) -> None:
        start = self._banks + bank * _BANK
        bits = bytearray(_BANK)
        for turn in self.which.turns:
            bits[turn // 8] |= 1 << turn % 8
        self._words.view("u1")[start : start + _BANK] = list(bits)


def ask(which: Selector, layout: Layout) -> Ask:
    """A selector for a script; Unsupported where only Python can ask it."""
    if which is any_frame:
        return Ask(which)
    kinds: dict[type, Callable[[], Ask]] = {
        Chance: lambda: _Chance(which, layout),  # type: ignore[arg-type]
        GilbertElliott: lambda: _Burst(which, layout),  # type: ignore[arg-type]
        Nth: lambda: _Nth(which, layout),  # type: ignore[arg-type]
        Guarded: lambda: _Guarded(which),
        **{kind: lambda: _Fields(which) for kind in FIELD_TESTS},
    }
    make = kinds.get(type(which))
    told = layout.translate(which) if make is None and layout.translate else None
    if told is not None:
        return layout.once(which, lambda: _Translated(which, *told))
    if make is None:
        name = getattr(which, "__qualname__", type(which).__qualname__)
        raise Unsupported(f"only Python can ask {name}")
    return layout.once(which, make)


def _strike(coder: Coder, luck: int, limit: int, miss: str) -> None:
    """Go on with the chance whose threshold is at ``limit``."""
    coder.draw(luck)
    coder.state(R1, limit)
    coder.asm.load(R1, R1).shift_right(R0, 64 - UNIT).jump_if(R0, ">=", R1, miss)
