"""A heap in a program: 16384 entries of two words, the smallest first; unrolled, without loops."""

from __future__ import annotations

from typing import Final

from testbed.link.ebpf import R0, R1, R2, R3, R4, R5, R7, R8, Assembler, Register
from testbed.link.inline.lane import SLOTS

__all__ = ["ENTRY", "GAP", "pop", "push"]

ENTRY: Final = 16
GAP: Final = -8
"""Where before the entries pop() keeps the place that is to be filled. Of what comes out of memory
the verifier knows nothing, and so it need not follow each of the 2**14 ways through the heap."""
_LEVELS: Final = SLOTS.bit_length()


def _at(asm: Assembler, dst: Register, index: Register) -> None:
    """``dst`` = the address of an entry of the heap at R5."""
    asm.mov(dst, index).bit_and(dst, SLOTS - 1).shift_left(dst, 4).add(dst, R5)


def push(asm: Assembler) -> None:
    """Put (R1, R2) into the heap at R5, which has R3 entries; takes R0, R3, R4, R7, R8."""
    done = asm.unique("pushed")
    for _ in range(_LEVELS):
        up = asm.unique("up")
        asm.jump_if(R3, "==", 0, done).mov(R7, R3).sub(R7, 1).shift_right(R7, 1)
        _at(asm, R4, R7)
        # The parent stays where it is if it is no greater.
        asm.load(R0, R4).jump_if(R0, ">", R1, up).jump_if(R0, "<", R1, done)
        asm.load(R0, R4, 8).jump_if(R0, "<=", R2, done).label(up)
        _at(asm, R8, R3)
        asm.load(R0, R4).store(R8, 0, R0).load(R0, R4, 8).store(R8, 8, R0).mov(R3, R7)
    asm.label(done)
    _at(asm, R4, R3)
    asm.store(R4, 0, R1).store(R4, 8, R2)


def pop(asm: Assembler) -> None:
    """Close the gap at the root of the heap at R5 with its last entry, (R1, R2).

    R3 entries are left, without that one. Takes R0, R4, R7, R8, and the word at GAP.
    """
    done = asm.unique("popped")
    asm.store(R5, GAP, 0)
    for _ in range(_LEVELS):
        right, child = asm.unique("right"), asm.unique("child")
        asm.load(R7, R5, GAP).shift_left(R7, 1).add(R7, 1).jump_if(R7, ">=", R3, done)
        asm.mov(R8, R7).add(R8, 1).jump_if(R8, ">=", R3, child)
        _compare(asm, right, child)
        asm.label(right).mov(R7, R8)
        asm.label(child)  # R7 = the lesser of the two children
        _at(asm, R8, R7)
        asm.load(R0, R8).jump_if(R0, ">", R1, done)
        less = asm.unique("less")
        asm.jump_if(R0, "<", R1, less)
        asm.load(R0, R8, 8).jump_if(R0, ">=", R2, done).label(less)
        asm.load(R4, R5, GAP)
        _at(asm, R0, R4)
        asm.load(R4, R8).store(R0, 0, R4).load(R4, R8, 8).store(R0, 8, R4)
        asm.store(R5, GAP, R7)
    asm.label(done).load(R4, R5, GAP)
    _at(asm, R0, R4)
    asm.store(R0, 0, R1).store(R0, 8, R2)


def _compare(asm: Assembler, right: str, left: str) -> None:
    """Go to ``right`` if entry R8 is less than entry R7, else to ``left``; takes R0, R4."""
    for word in (0, 8):
        _at(asm, R0, R7)
        _at(asm, R4, R8)
        asm.load(R0, R0, word).load(R4, R4, word)
        asm.jump_if(R4, "<", R0, right).jump_if(R4, ">", R0, left)
    asm.jump(left)
