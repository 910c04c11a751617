"""What the code of every stage is made of: words of memory, bytes of the frame, luck, events.

Registers: R6 the program's context, R8 the slot of the frame (``Slotted``), R9 the time of what is
done (``Slotted``). R0 to R5 are free between any two steps, R7 within one. The stack holds the
number of the slot, and what an event tells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from testbed.link.ebpf import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Assembler, Helper
from testbed.link.ebpf import Register as Reg
from testbed.link.impair.luck import MULTIPLIERS, SHIFTS, STEP
from testbed.link.inline.lane import (
    CLOCK,
    EVENT_FRAME,
    EVENT_HEAD,
    EVENT_TAIL,
    EVENTS,
    FRAME,
    FREE_HEAD,
    OWN_COUNT,
    RESERVE,
    SLOTS,
    Lane,
)

__all__ = [
    "ACTIONS",
    "EXTRA",
    "PROBE_READ",
    "SCRATCH",
    "SLOT",
    "TOLD",
    "Coder",
    "OnWire",
    "Slotted",
]

SLOT: Final = -8
TOLD: Final = -16
EXTRA: Final = -24
SCRATCH: Final = -32
"""Places on the stack."""

PROBE_READ: Final = 113  # linux/bpf.h: BPF_FUNC_probe_read_kernel
ACTIONS: Final = ("drop", "duplicate", "corrupt", "hold", "release")


class Coder(ABC):
    """Code for one program of a lane.

    ``state`` is the descriptor of its script's memory. With ``by_hand`` the program takes the time
    from the lane's CLOCK, where a test puts it.
    """

    def __init__(self, lane: Lane, state: int, *, by_hand: bool) -> None:
        self.asm = Assembler()
        self.lane = lane
        self._state = state
        self._by_hand = by_hand

    @property
    @abstractmethod
    def gone(self) -> str:
        """Where to go when the frame goes no further."""

    @abstractmethod
    def load(self, dst: Reg, at: int, size: int, absent: str, *, indexed: bool = False) -> None:
        """``dst`` = bytes at ``at`` (after R5, if indexed) in the frame, big-endian; not R2 to R4.

        Goes to ``absent`` where the frame ends before.
        """

    @abstractmethod
    def length(self, dst: Reg) -> None:
        """``dst`` = how long the frame is; takes R2, R3."""

    @abstractmethod
    def flip(self, beyond: str) -> None:
        """Flip the bit whose number is EXTRA on the stack."""

    @abstractmethod
    def _time(self) -> None:
        """R0 = the time of what is done."""

    @abstractmethod
    def _copy_frame(self) -> None:
        """R0 < 0 unless R3 bytes of the frame are now at R2."""

    def word(self, dst: Reg, offset: int) -> None:
        """``dst`` = the address of a word of the lane."""
        self.asm.load_map_value(dst, self.lane.fd, offset)

    def state(self, dst: Reg, offset: int) -> None:
        """``dst`` = the address of a word of the script's memory."""
        self.asm.load_map_value(dst, self._state, offset)

    def count(self, offset: int, *, more: int = 1) -> None:
        """Add to a word of the lane; takes R1, R2."""
        self.word(R1, offset)
        self.asm.load(R2, R1).add(R2, more).store(R1, 0, R2)

    def now(self) -> None:
        """R0 = the clock; takes R1 to R5."""
        if self._by_hand:
            self.word(R1, CLOCK)
            self.asm.load(R0, R1)
        else:
            self.asm.call(Helper.KTIME_GET_NS)

    def draw(self, offset: int) -> None:
        """R0 = ``Luck.draw``, its state at ``offset``; takes R1, R2."""
        asm = self.asm
        self.state(R1, offset)
        asm.load(R0, R1).load_constant(R2, STEP).add(R0, R2).store(R1, 0, R0)
        for shift, factor in zip(SHIFTS, (*MULTIPLIERS, None), strict=True):
            asm.mov(R2, R0).shift_right(R2, shift).bit_xor(R0, R2)
            if factor is not None:
                asm.load_constant(R2, factor).mul(R0, R2)

    def event(self, stage: int, action: str, log: int, *, more: int = 1) -> None:
        """Note what is done to the frame, with TOLD and EXTRA; takes R0 to R5, R7.

        ``log`` is where in the script's memory are: for how many more events there is room, and
        then how many there were of each action.
        """
        asm, full = self.asm, self.asm.unique("unnoted")
        self.state(R1, log)
        asm.load(R2, R1).jump_if(R2, "==", 0, full)
        self.word(R3, EVENT_TAIL)
        self.word(R4, EVENT_HEAD)
        asm.load(R5, R4).load(R3, R3).mov(R0, R5).sub(R0, R3).jump_if(R0, ">=", EVENTS, full)
        asm.sub(R2, 1).store(R1, 0, R2)
        asm.bit_and(R5, EVENTS - 1).mul(R5, self.lane.event_size)
        self.word(R7, self.lane.events)
        asm.add(R7, R5)
        self._time()
        asm.store(R7, 0, R0).store(R7, 8, stage, size=2)
        asm.store(R7, 10, ACTIONS.index(action), size=2)
        asm.load(R1, R10, TOLD).store(R7, 16, R1).load(R1, R10, EXTRA).store(R7, 24, R1)
        self.length(R1)
        asm.jump_if(R1, ">", self.lane.room, full).jump_if(R1, "<", 1, full)
        asm.store(R7, 12, R1, size=4).mov(R3, R1).mov(R2, R7).add(R2, EVENT_FRAME)
        self._copy_frame()
        asm.jump_if(R0, "s<", 0, full)
        # The event is whole: only now may Python see it, and only then its count.
        self.word(R1, EVENT_HEAD)
        asm.mov(R2, 1).atomic("+=", R1, 0, R2, fetch=True)
        asm.label(full)
        self.state(R1, log + 8 * (1 + ACTIONS.index(action)))
        asm.load(R2, R1).add(R2, more).store(R1, 0, R2)


class OnWire(Coder):
    """Stages that decide while the frame is on its way in, on the packet itself."""

    @property
    def gone(self) -> str:
        """Where to go when the frame goes no further."""
        return "drop"

    def load(self, dst: Reg, at: int, size: int, absent: str, *, indexed: bool = False) -> None:
        """``dst`` = bytes of the packet."""
        asm = self.asm
        asm.load(R2, R6, 0, size=4).load(R3, R6, 4, size=4)
        if indexed:
            asm.mov(R4, R5).add(R4, at).add(R2, R4)
            at = 0
        asm.mov(R4, R2).add(R4, at + size).jump_if(R4, ">", R3, absent)
        asm.load(dst, R2, at, size=size)
        if size > 1:
            asm.to_big_endian(dst, size * 8)

    def length(self, dst: Reg) -> None:
        """``dst`` = the packet's length."""
        self.asm.load(R2, R6, 0, size=4).load(R3, R6, 4, size=4).sub(R3, R2).mov(dst, R3)

    def flip(self, beyond: str) -> None:
        """Flip the bit in the packet."""
        asm = self.asm
        asm.load(R1, R10, EXTRA).mov(R5, R1).shift_right(R5, 3)
        asm.jump_if(R5, ">", self.lane.room, beyond)
        asm.load(R2, R6, 0, size=4).load(R3, R6, 4, size=4).add(R2, R5)
        asm.mov(R4, R2).add(R4, 1).jump_if(R4, ">", R3, beyond)
        _flip_at(asm)

    def _time(self) -> None:
        self.now()

    def _copy_frame(self) -> None:
        self.asm.mov(R4, R3).mov(R3, R2).mov(R2, 0).mov(R1, R6).call(Helper.XDP_LOAD_BYTES)


class Slotted(Coder):
    """Stages that decide on frames in slots."""

    @property
    def gone(self) -> str:
        """Where to go when the frame goes no further."""
        return "gone"

    def load(self, dst: Reg, at: int, size: int, absent: str, *, indexed: bool = False) -> None:
        """``dst`` = bytes of the slot."""
        asm = self.asm
        asm.load(R4, R8, 8)
        if indexed:
            asm.mov(R2, R5).add(R2, at).mov(R3, R2).add(R3, size).jump_if(R3, ">", R4, absent)
            asm.mov(R3, R8).add(R3, R2).load(dst, R3, FRAME, size=size)
        else:
            asm.jump_if(R4, "<", at + size, absent).load(dst, R8, FRAME + at, size=size)
        if size > 1:
            asm.to_big_endian(dst, size * 8)

    def length(self, dst: Reg) -> None:
        """``dst`` = the length of the frame in the slot."""
        self.asm.load(dst, R8, 8)

    def flip(self, beyond: str) -> None:
        """Flip the bit in the slot."""
        asm = self.asm
        asm.load(R1, R10, EXTRA).mov(R5, R1).shift_right(R5, 3)
        asm.jump_if(R5, ">=", self.lane.room, beyond)
        asm.mov(R2, R8).add(R2, FRAME).add(R2, R5)
        _flip_at(asm)

    def to_slot(self) -> None:
        """R8 = the slot whose number is R1, which goes onto the stack."""
        asm = self.asm
        asm.bit_and(R1, SLOTS - 1).store(R10, SLOT, R1).mul(R1, self.lane.size)
        self.word(R8, self.lane.slots)
        asm.add(R8, R1)

    def give_back(self) -> None:
        """The frame's slot is free again: ``Lane.give_back``; takes R1 to R5."""
        asm, shared, done = self.asm, self.asm.unique("shared"), self.asm.unique("given")
        asm.load(R5, R10, SLOT)
        self.word(R1, OWN_COUNT)
        asm.load(R2, R1).jump_if(R2, ">=", RESERVE, shared)
        asm.mov(R3, R2).add(R3, 1).store(R1, 0, R3).shift_left(R2, 3)
        self.word(R4, self.lane.own)
        asm.add(R4, R2).store(R4, 0, R5).jump(done)
        asm.label(shared)
        self.word(R1, FREE_HEAD)
        asm.load(R2, R1).bit_and(R2, SLOTS - 1).shift_left(R2, 3)
        self.word(R4, self.lane.free)
        asm.add(R4, R2).store(R4, 0, R5).mov(R2, 1).atomic("+=", R1, 0, R2, fetch=True)
        asm.label(done)

    def copy(self, none: str) -> None:
        """Copy the frame's slot; the number of the copy is at SCRATCH. Takes R0 to R5, R7.

        Goes to ``none`` where no slot is left.
        """
        asm = self.asm
        self.word(R1, OWN_COUNT)
        asm.load(R2, R1).jump_if(R2, "==", 0, none).jump_if(R2, ">", RESERVE, none)
        asm.sub(R2, 1).store(R1, 0, R2).shift_left(R2, 3)
        self.word(R3, self.lane.own)
        asm.add(R3, R2).load(R1, R3).bit_and(R1, SLOTS - 1).store(R10, SCRATCH, R1)
        asm.mul(R1, self.lane.size)
        self.word(R7, self.lane.slots)
        asm.add(R7, R1).load(R2, R8).store(R7, 0, R2).load(R2, R8, 8).store(R7, 8, R2)
        asm.jump_if(R2, ">", self.lane.room, none).jump_if(R2, "<", 1, none)
        asm.mov(R3, R8).add(R3, FRAME).mov(R1, R7).add(R1, FRAME).call(PROBE_READ)

    def _time(self) -> None:
        self.asm.mov(R0, R9)

    def _copy_frame(self) -> None:
        asm = self.asm
        asm.mov(R1, R2).mov(R2, R3).mov(R3, R8).add(R3, FRAME).call(PROBE_READ)


def _flip_at(asm: Assembler) -> None:
    """Flip the bit R1, counted from the most significant one, of the byte at R2."""
    asm.bit_and(R1, 7).mov(R4, 0x80).shift_right(R4, R1)
    asm.load(R3, R2, 0, size=1).bit_xor(R3, R4).store(R2, 0, R3, size=1)
