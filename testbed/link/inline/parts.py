"""Stages as code: those that decide at once. ``part`` makes a part of a script of a stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from testbed.link.ebpf import R0, R1, R2, R10
from testbed.link.impair.alter import Corrupt, Duplicate
from testbed.link.impair.fields import TAGS, FieldTest
from testbed.link.impair.loss import Drop, Hold, MtuHole
from testbed.link.impair.stage import Stage
from testbed.link.inline.coder import ACTIONS, EXTRA, TOLD, Coder, Slotted
from testbed.link.inline.lane import Lane, RawEvent
from testbed.link.inline.selecting import Ask, Layout, ask
from testbed.link.size import HEADER, room

__all__ = ["Altering", "Copying", "Fit", "Holding", "Losing", "Narrow", "Part"]

LOG: Final = 1 + len(ACTIONS)


class Part:
    """A stage in a script: its code, and what it remembers, to and fro.

    ``late`` parts keep frames back and work on slots only. ``index`` is the part's place.
    """

    late = False
    last = False
    """Whether no other stage may come behind it, where frames are not in slots."""
    timed = False
    """Whether it lets frames go when their time has come: it has ``pick``."""
    greedy = False
    """Whether it lets frames go because of the one before: it has ``eager``."""

    def __init__(self, stage: Stage, layout: Layout, which: Any = None) -> None:
        self.stage = stage
        self.index = 0
        self.log = layout.words(LOG)
        self.ask: Ask | None = None if which is None else ask(which, layout)
        self._told = dict.fromkeys(ACTIONS, 0)

    @property
    def asked(self) -> Ask:
        """The stage's selector."""
        assert self.ask is not None  # noqa: S101 - asked only by parts that have one
        return self.ask

    def code(self, coder: Coder, follow: str) -> None:
        """Let the frame go on to ``follow`` or behind this code, or to ``coder.gone``."""

    def pick(self, coder: Slotted, other: str) -> None:
        """R8 = the slot of a frame whose time, R9, has come, else go to ``other``."""
        raise NotImplementedError

    def eager(self, coder: Slotted, other: str) -> None:
        """R8 = the slot of a frame that the one before let go, else go to ``other``."""
        raise NotImplementedError

    def is_eager(self, words: Any) -> bool:
        """Whether ``eager`` would find a frame."""
        del words
        return False

    def note(self, event: RawEvent) -> str:
        """What the stage would write of an event."""
        return self.asked.note(event.told)

    def guards(self) -> Iterator[FieldTest]:
        """Tests of frames about which only Python can decide."""
        return iter(()) if self.ask is None else self.ask.guards()

    def event(self, coder: Coder, action: str, *, more: int = 1) -> None:
        """Note what is done to the frame."""
        coder.event(self.index, action, self.log, more=more)

    def load(self, words: Any, lane: Lane) -> bool:
        """Put what the stage remembers into memory; False where the lane has no room for it."""
        del words, lane
        return True

    def store(self, words: Any, lane: Lane) -> None:
        """Give the stage what is in memory."""

    def clear(self) -> None:
        """The stage keeps no frames any more: they are in memory."""

    def settle(self, words: Any) -> None:
        """Put into memory what a plan may have changed meanwhile."""
        words[self.log // 8] = self.stage.log.room

    def counted(self, words: Any) -> dict[str, int]:
        """How often each action was done in this script."""
        start = self.log // 8 + 1
        return dict(zip(ACTIONS, words[start : start + len(ACTIONS)].tolist(), strict=True))

    def tell(self, event: RawEvent) -> int:
        """Have the stage's log note an event of the program; how many it was."""
        action = ACTIONS[event.action]
        times = event.extra if action == "duplicate" else 1
        for _ in range(times):
            self.stage.log.add(event.at, action, event.frame, self.note(event))
        self._told[action] += times
        return times

    def tell_uncounted(self, counted: dict[str, int]) -> dict[str, int]:
        """Have the log count what was counted and not written down; how often each was."""
        missing = {}
        for action, count in counted.items():
            if count > self._told[action]:
                missing[action] = count - self._told[action]
                self.stage.log.count(action, missing[action])
                self._told[action] = count
        return missing


class Losing(Part):
    """``Drop``."""

    stage: Drop

    def __init__(self, stage: Drop, layout: Layout) -> None:
        super().__init__(stage, layout, stage.which)

    def code(self, coder: Coder, follow: str) -> None:
        """A struck frame is gone."""
        self.asked.code(coder, follow)
        self.event(coder, "drop")
        coder.asm.jump(coder.gone)


class Narrow(Part):
    """``MtuHole``."""

    stage: MtuHole

    def __init__(self, stage: MtuHole, layout: Layout) -> None:
        super().__init__(stage, layout)
        self._mtu = layout.words(1)

    def code(self, coder: Coder, follow: str) -> None:
        """A frame whose payload is too large is gone."""
        asm, plain = coder.asm, coder.asm.unique("untagged")
        _payload_length(coder, plain)
        coder.state(R1, self._mtu)
        asm.load(R1, R1).jump_if(R0, "s<=", R1, follow).store(R10, TOLD, R0)
        self.event(coder, "drop")
        asm.jump(coder.gone)

    def note(self, event: RawEvent) -> str:
        """As the stage has it."""
        size = len(event.frame) - room(event.frame, 0)
        return f"{size} bytes in an MTU of {self.stage.mtu}"

    def settle(self, words: Any) -> None:
        """The MTU."""
        super().settle(words)
        words[self._mtu // 8] = max(0, self.stage.mtu)


class Fit(Part):
    """What the far port's MTU does not take is lost, as between two links without a router."""

    def __init__(self, layout: Layout, sink: str, mtu: int) -> None:
        super().__init__(Stage(), layout)
        self._sink = sink
        self._mtu = mtu

    def code(self, coder: Coder, follow: str) -> None:
        """A frame that is too long is gone."""
        plain = coder.asm.unique("untagged")
        _payload_length(coder, plain)
        coder.asm.jump_if(R0, "s<=", self._mtu, follow)
        self.event(coder, "drop")
        coder.asm.jump(coder.gone)

    def note(self, event: RawEvent) -> str:
        """What box and NIC are to blame for."""
        longest = room(event.frame, self._mtu)
        return f"{len(event.frame)} bytes do not fit {self._sink}, which takes {longest}"


class Holding(Part):
    """``Hold`` that loses what comes."""

    stage: Hold

    def __init__(self, stage: Hold, layout: Layout) -> None:
        super().__init__(stage, layout)
        self.flag = layout.words(1)

    def code(self, coder: Coder, follow: str) -> None:
        """Every frame is gone while the cable is pulled."""
        coder.state(R1, self.flag)
        coder.asm.load(R1, R1).jump_if(R1, "==", 0, follow)
        self.event(coder, "drop")
        coder.asm.jump(coder.gone)

    def note(self, event: RawEvent) -> str:
        """As the stage has it."""
        del event
        return "cable pulled"

    def settle(self, words: Any) -> None:
        """Whether the cable is pulled."""
        super().settle(words)
        words[self.flag // 8] = self.stage.holding


class Altering(Part):
    """``Corrupt``."""

    stage: Corrupt

    def __init__(self, stage: Corrupt, layout: Layout) -> None:
        super().__init__(stage, layout, stage.which)
        self._luck = layout.words(1)

    def code(self, coder: Coder, follow: str) -> None:
        """A struck frame that is long enough has one bit flipped."""
        asm = coder.asm
        self.asked.code(coder, follow)
        coder.length(R1)
        if self.stage.bit is None:
            asm.jump_if(R1, "<=", HEADER, follow)
            coder.draw(self._luck)
            coder.length(R1)
            asm.sub(R1, HEADER).shift_left(R1, 3).mod(R0, R1).add(R0, HEADER * 8)
        else:
            asm.shift_left(R1, 3).jump_if(R1, "<=", self.stage.bit, follow)
            asm.mov(R0, self.stage.bit)
        asm.store(R10, EXTRA, R0)
        self.event(coder, "corrupt")
        coder.flip(follow)

    def note(self, event: RawEvent) -> str:
        """As the stage has it."""
        bit = event.extra
        return f"bit {bit} (byte {bit // 8}) flipped, {self.asked.note(event.told)}"

    def load(self, words: Any, lane: Lane) -> bool:
        """Its luck."""
        words[self._luck // 8] = self.stage.luck.state
        return super().load(words, lane)

    def store(self, words: Any, lane: Lane) -> None:
        """Its luck."""
        del lane
        self.stage.luck.state = int(words[self._luck // 8])


class Copying(Part):
    """``Duplicate`` as the last stage: the port is told to send the frame several times."""

    stage: Duplicate
    last = True

    def __init__(self, stage: Duplicate, layout: Layout) -> None:
        super().__init__(stage, layout, stage.which)

    def code(self, coder: Coder, follow: str) -> None:
        """A struck frame goes on at ``copies``."""
        self.asked.code(coder, follow)
        coder.asm.store(R10, EXTRA, self.stage.copies)
        self.event(coder, "duplicate", more=self.stage.copies)
        coder.asm.jump("copies")


def _payload_length(coder: Coder, plain: str) -> None:
    """R0 = ``size.payload_length``, below 0 for a frame without a whole header."""
    asm, tagged = coder.asm, coder.asm.unique("tagged")
    coder.length(R0)
    asm.sub(R0, HEADER)
    coder.load(R1, 12, 2, plain)
    asm.jump_if(R1, "==", TAGS[0], tagged).jump_if(R1, "!=", TAGS[1], plain).label(tagged)
    asm.sub(R0, 4).label(plain)
    asm.mov(R2, 0)
