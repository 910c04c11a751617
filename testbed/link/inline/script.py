"""Stages of one way, compiled to programs; and back, when Python is to go on where they stopped.

A script whose stages all decide at once is one program: it looks at each frame as it comes in and
sends it on (``direct``). Where a stage keeps frames back, the first program only puts every frame
into a slot, and a second one, run again and again, takes them through the stages in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from testbed.errors import Unsupported
from testbed.link.ebpf import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
    Helper,
    Program,
    SharedArray,
    XdpAction,
)
from testbed.link.impair import Corrupt, Delay, Drop, Duplicate, Hold, MtuHole, RateLimit, Reorder
from testbed.link.impair.fields import FieldTest
from testbed.link.impair.stage import Stage
from testbed.link.inline.coder import Coder, OnWire, Slotted
from testbed.link.inline.copies import Repeating
from testbed.link.inline.devmap import BROADCAST, REDIRECT_MAP, PortMap
from testbed.link.inline.fieldtests import test_code
from testbed.link.inline.lane import (
    ARMED,
    FRAME,
    FREE_HEAD,
    FREE_TAIL,
    LAST_TIME,
    NOWHERE,
    OCTETS,
    OVERRUN,
    PARK,
    PASS,
    PASSED,
    READY_HEAD,
    READY_TAIL,
    RECEIVED,
    REFUSED,
    RUN,
    SLOTS,
    Lane,
)
from testbed.link.inline.parts import Altering, Copying, Fit, Holding, Losing, Narrow, Part
from testbed.link.inline.queues import Delaying, Limiting, Queueing, Reordering
from testbed.link.inline.selecting import Layout, Translate
from testbed.link.size import HEADER

__all__ = ["Script", "entrance"]

_MOST_COPIES: Final = 16
WAITS: Final = -48
"""Where on the stack it is whether a frame is at the door."""


class Script:
    """The stages of one way as programs of a lane that send to the port ``sink``.

    Raises Unsupported, with the reason, where a stage cannot be compiled, and BpfError where the
    kernel does not take what was. ``translate``: see ``Layout``; ``by_hand``: see
    ``Coder``.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        lane: Lane,
        sink: tuple[str, int, int],
        *,
        translate: Translate | None = None,
        by_hand: bool = False,
    ) -> None:
        self.lane = lane
        self._sink_name, self._sink, mtu = sink
        self._by_hand = by_hand
        layout = Layout(translate)
        direct = _is_direct(stages)
        self.parts: list[Part] = [_part(stage, layout, lane, direct=direct) for stage in stages]
        self.fit = Fit(layout, self._sink_name, mtu)
        for index, part in enumerate(self.parts):
            part.index = index
        self.fit.index = NOWHERE
        self.asks = layout.asks
        self.direct = direct
        guards = [guard for part in self.parts for guard in part.guards()]
        guarded = [part.index for part in self.parts if any(True for _ in part.guards())]
        altered = [part.index for part in self.parts if isinstance(part, Altering)]
        if guarded and altered and altered[0] < guarded[-1]:
            raise Unsupported("frames are altered before Python is asked about them")
        self.state = SharedArray(max(8, layout.size), "script")
        self.words: Any = self.state.view("u8")
        self.ports: PortMap | None = None
        self.entrance: Program | None = None
        self.worker: Program | None = None
        try:
            self._compile(guards)
        except BaseException:
            self.close()
            raise

    def _compile(self, guards: list[FieldTest]) -> None:
        if not self.direct:
            self.entrance = entrance(self.lane, by_hand=self._by_hand)
            slotted = Slotted(self.lane, self.state.fd, by_hand=self._by_hand)
            self._work(slotted, guards)
            self.worker = Program(slotted.asm.assemble(), "box_worker")
            return
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Copying):
            self.ports = PortMap(self._sink, 1 + last.stage.copies)
        wire = OnWire(self.lane, self.state.fd, by_hand=self._by_hand)
        _enter(wire, lambda: self._decide(wire, guards))
        self.entrance = Program(wire.asm.assemble(), "box_wire")

    def load(self) -> bool:
        """Put what the stages remember into memory; False where there is no room for it."""
        done: list[Part] = []
        for part in self.parts:
            if not part.load(self.words, self.lane):
                for other in done:
                    other.store(self.words, self.lane)
                return False
            done.append(part)
        for part in self.parts:
            part.clear()
        for each in self.asks:
            each.load(self.words)
        self.settle()
        return True

    def store(self) -> None:
        """Give the stages what is in memory: they go on from there."""
        self.recall()
        for part in self.parts:
            part.store(self.words, self.lane)
        for each in self.asks:
            each.forget()

    def recall(self) -> None:
        """Give the selectors what is in memory, for whoever reads them."""
        for each in self.asks:
            each.store(self.words)

    def settle(self) -> None:
        """Put into memory what a plan may have changed meanwhile."""
        for each in self.asks:
            each.settle(self.words)
        for part in self._all:
            part.settle(self.words)

    @property
    def is_eager(self) -> bool:
        """Whether frames are under way between two runs."""
        return any(part.is_eager(self.words) for part in self.parts if part.greedy)

    def tell(self) -> dict[str, int]:
        """Have the logs note what happened; what was counted only, by action."""
        counted = [(part, part.counted(self.words)) for part in self._all]
        for event in self.lane.drain():
            part = self.fit if event.stage == NOWHERE else self.parts[event.stage]
            part.tell(event)
        missing: dict[str, int] = {}
        for part, counts in counted:
            for action, times in part.tell_uncounted(counts).items():
                missing[action] = missing.get(action, 0) + times
        return missing

    def close(self) -> None:
        """Let go of programs and memory; twice is no error."""
        for program in (self.entrance, self.worker):
            if program is not None:
                program.close()
        if self.ports is not None:
            self.ports.close()
        self.words = self.words.copy()
        self.state.close()

    @property
    def _all(self) -> list[Part]:
        return [*self.parts, self.fit]

    def _decide(self, coder: OnWire, guards: list[FieldTest]) -> None:
        """The stages on the packet, and where it goes then."""
        asm = coder.asm
        if guards:
            for guard in guards:
                other = asm.unique("unguarded")
                test_code(coder, guard, other)
                asm.jump("give up").label(other)
        for part in self._all if not self.ports else [*self.parts[:-1], self.fit, self.parts[-1]]:
            follow = asm.unique("stage")
            part.code(coder, follow)
            asm.label(follow)
        coder.length(R5)
        self._passed(coder, 1)
        asm.mov(R1, self._sink).mov(R2, 0).call(Helper.REDIRECT).exit()
        if self.ports:
            copies = self.parts[-1].stage.copies + 1  # type: ignore[attr-defined]
            asm.label("copies")
            coder.length(R5)
            asm.mul(R5, copies)
            self._passed(coder, copies)
            asm.load_map(R1, self.ports.fd).mov(R2, 0).mov(R3, BROADCAST)
            asm.call(REDIRECT_MAP).exit()
        if guards:
            # From here on frames wait for Python, this one first.
            asm.label("give up")
            coder.word(R1, ARMED)
            asm.load_constant(R2, PARK).store(R1, 0, R2).mov(R0, 1).jump_if(R0, "!=", 0, "park")

    def _passed(self, coder: Coder, times: int) -> None:
        """Count frames that go on, of R5 bytes in all."""
        coder.count(PASSED, more=times)
        coder.word(R1, OCTETS)
        coder.asm.load(R2, R1).add(R2, R5).store(R1, 0, R2)

    def _work(self, coder: Slotted, guards: list[FieldTest]) -> None:
        """One run of the second program: it takes one frame one step further."""
        asm, lane = coder.asm, self.lane
        asm.mov(R6, R1)
        coder.word(R1, LAST_TIME)
        asm.load(R9, R1)
        numbered = list(enumerate(self.parts))
        for index, part in reversed(numbered):
            if part.greedy:
                other = asm.unique("nothing")
                part.eager(coder, other)
                asm.jump(f"stage {index + 1}").label(other)
        coder.word(R1, RUN)
        asm.load(R1, R1).jump_if(R1, "==", 0, "idle")
        # The time: when the frame at the door came, or now if there is none.
        coder.word(R1, READY_TAIL)
        coder.word(R3, READY_HEAD)
        asm.load(R2, R1).load(R3, R3).mov(R7, 0).jump_if(R2, "==", R3, "empty")
        asm.bit_and(R2, SLOTS - 1).shift_left(R2, 3)
        coder.word(R3, lane.ready)
        asm.add(R3, R2).load(R1, R3)
        coder.to_slot()
        asm.load(R9, R8).mov(R7, 1).jump("timed")
        asm.label("empty")
        coder.now()
        asm.mov(R9, R0).label("timed")
        coder.word(R1, LAST_TIME)
        asm.store(R1, 0, R9).store(R10, WAITS, R7)
        for index, part in reversed(numbered):
            if part.timed:
                other = asm.unique("not due")
                part.pick(coder, other)
                asm.jump(f"stage {index + 1}").label(other)
        self._door(coder, guards)
        for index, part in numbered:
            asm.label(f"stage {index}")
            part.code(coder, f"stage {index + 1}")
        asm.label(f"stage {len(self.parts)}")
        self.fit.code(coder, "emit")
        self._emit(coder)

    def _door(self, coder: Slotted, guards: list[FieldTest]) -> None:
        """Take the frame at the door, if there is one that Python need not be asked about."""
        asm = coder.asm
        asm.load(R7, R10, WAITS).jump_if(R7, "==", 0, "idle")
        coder.word(R1, READY_TAIL)
        asm.load(R2, R1).bit_and(R2, SLOTS - 1).shift_left(R2, 3)
        coder.word(R3, self.lane.ready)
        asm.add(R3, R2).load(R1, R3)
        coder.to_slot()
        for guard in guards:
            other = asm.unique("unguarded")
            test_code(coder, guard, other)
            asm.jump("give up").label(other)
        coder.word(R1, READY_TAIL)
        asm.mov(R2, 1).atomic("+=", R1, 0, R2, fetch=True)
        if guards:
            asm.jump("stage 0").label("give up")
            coder.word(R1, RUN)
            asm.store(R1, 0, 0).mov(R0, 1).jump_if(R0, "!=", 0, "idle")

    def _emit(self, coder: Slotted) -> None:
        """The run's own frame becomes the one in the slot, and leaves."""
        asm, lane = coder.asm, self.lane
        asm.label("emit").load(R5, R8, 8)
        asm.load(R2, R6, 0, size=4).load(R3, R6, 4, size=4).sub(R3, R2).mov(R2, R5).sub(R2, R3)
        asm.jump_if(R2, "==", 0, "sized").mov(R1, R6).call(Helper.XDP_ADJUST_TAIL)
        asm.jump_if(R0, "!=", 0, "refused").label("sized")
        asm.load(R4, R8, 8).jump_if(R4, "<", HEADER, "refused")
        asm.jump_if(R4, ">", lane.room, "refused")
        asm.mov(R1, R6).mov(R2, 0).mov(R3, R8).add(R3, FRAME).call(Helper.XDP_STORE_BYTES)
        asm.jump_if(R0, "!=", 0, "refused").load(R5, R8, 8)
        self._passed(coder, 1)
        coder.give_back()
        asm.mov(R1, self._sink).mov(R2, 0).call(Helper.REDIRECT).exit()
        asm.label("refused")
        coder.count(REFUSED)
        asm.label("gone")
        coder.give_back()
        asm.label("idle").mov(R0, XdpAction.DROP).exit()


def entrance(lane: Lane, *, by_hand: bool = False) -> Program:
    """The program that puts every frame into a slot, or lets it pass: see PASS."""
    coder = OnWire(lane, -1, by_hand=by_hand)
    _enter(coder, None)
    return Program(coder.asm.assemble(), "box_door")


def _enter(coder: OnWire, decide: Callable[[], None] | None) -> None:
    """Frames pass, are decided about, or wait in a slot."""
    asm, lane = coder.asm, coder.lane
    asm.mov(R6, R1)
    coder.word(R1, ARMED)
    asm.load(R2, R1).load_constant(R3, PASS).jump_if(R2, "==", R3, "pass")
    coder.word(R1, RECEIVED)
    asm.load(R3, R1).add(R3, 1).store(R1, 0, R3)
    if decide is not None:
        coder.word(R1, READY_HEAD)
        asm.load(R3, R1).jump_if(R2, "!=", R3, "park")
        decide()
    asm.label("park")
    coder.length(R9)
    asm.jump_if(R9, "<", HEADER, "overrun").jump_if(R9, ">", lane.room, "overrun")
    coder.word(R1, FREE_TAIL)
    coder.word(R3, FREE_HEAD)
    asm.load(R2, R1).load(R3, R3).jump_if(R2, "==", R3, "overrun")
    asm.mov(R4, R2).bit_and(R4, SLOTS - 1).shift_left(R4, 3)
    coder.word(R5, lane.free)
    asm.add(R5, R4).load(R7, R5).bit_and(R7, SLOTS - 1).add(R2, 1).store(R1, 0, R2)
    asm.mov(R8, R7).mul(R8, lane.size)
    coder.word(R1, lane.slots)
    asm.add(R8, R1)
    coder.now()
    asm.store(R8, 0, R0).store(R8, 8, R9)
    asm.mov(R1, R6).mov(R2, 0).mov(R3, R8).add(R3, FRAME).mov(R4, R9).call(Helper.XDP_LOAD_BYTES)
    coder.word(R1, READY_HEAD)
    asm.load(R2, R1).bit_and(R2, SLOTS - 1).shift_left(R2, 3)
    coder.word(R3, lane.ready)
    asm.add(R3, R2).store(R3, 0, R7).mov(R2, 1).atomic("+=", R1, 0, R2, fetch=True)
    asm.label("drop").mov(R0, XdpAction.DROP).exit()
    asm.label("overrun")
    coder.count(OVERRUN)
    asm.mov(R0, XdpAction.DROP).exit()
    asm.label("pass").mov(R0, XdpAction.PASS).exit()


def _is_direct(stages: Sequence[Stage]) -> bool:
    """Whether every stage decides at once, on the packet itself."""
    for place, stage in enumerate(stages):
        if isinstance(stage, Duplicate) and place < len(stages) - 1:
            return False
        if isinstance(stage, Delay | RateLimit | Reorder):
            return False
        if isinstance(stage, Hold) and stage.mode == "queue":
            return False
    return True


def _part(stage: Stage, layout: Layout, lane: Lane, *, direct: bool) -> Part:
    if type(stage) is Duplicate:
        if stage.copies > _MOST_COPIES:
            raise Unsupported(f"Duplicate makes {_MOST_COPIES} copies there at most")
        return Copying(stage, layout) if direct else Repeating(stage, layout)
    if type(stage) is Hold:
        return Queueing(stage, layout) if stage.mode == "queue" else Holding(stage, layout)
    if type(stage) is RateLimit:
        return Limiting(stage, layout, lane.room)
    kinds: dict[type, Callable[[Any, Layout], Part]] = {
        Drop: Losing,
        MtuHole: Narrow,
        Corrupt: Altering,
        Delay: Delaying,
        Reorder: Reordering,
    }
    made = kinds.get(type(stage))
    if made is None:
        raise Unsupported(f"only Python can do {type(stage).__qualname__}")
    return made(stage, layout)
