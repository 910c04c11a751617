"""Classic BPF run by numpy, on many frames at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from testbed.link.recorder.batch import Bools, Bytes, Ints
from testbed.link.recorder.classic import ALU, MEMORY, Classic, Code

__all__ = ["sift"]

_WORD = 0xFFFF_FFFF


def sift(program: Classic, memory: Bytes, starts: Ints, kept: Ints, lengths: Ints) -> Bools:
    """Which frames a program accepts: of each, ``kept`` bytes are at ``starts`` in ``memory``.

    All frames go through the program together: jumps are forward only, so that a frame which is at
    an instruction has waited there when those that take another way come to it.
    """
    return _Run(memory, starts, kept, lengths).through(program)


class _Run:
    """Registers and memory of all frames; ``_at`` is the instruction that each is at."""

    def __init__(self, memory: Bytes, starts: Ints, kept: Ints, lengths: Ints) -> None:
        self._memory = memory
        self._starts = starts
        self._kept = kept
        self._lengths = lengths
        count = len(starts)
        self._a = np.zeros(count, np.int64)
        self._x = np.zeros(count, np.int64)
        self._words = np.zeros((MEMORY, count), np.int64)
        self._at = np.zeros(count, np.int64)
        self._accepted = np.zeros(count, np.bool_)

    def through(self, program: Classic) -> Bools:
        """Run all of it."""
        for at, code in enumerate(program.codes):
            rows = np.flatnonzero(self._at == at)
            if not len(rows):
                continue
            self._at[rows] = at + 1
            if code.kind == 6:
                self._at[rows] = -1
                self._accepted[rows] = self._a[rows] != 0 if code.code == 0x16 else code.k != 0
            elif code.kind == 5:
                self._jump(code, at, rows)
            else:
                self._step(code, rows)
        return self._accepted

    def _step(self, code: Code, rows: Ints) -> None:
        match code.kind:
            case 0:
                self._load(code, rows, self._a)
            case 1:
                self._load(code, rows, self._x)
            case 2:
                self._words[code.k][rows] = self._a[rows]
            case 3:
                self._words[code.k][rows] = self._x[rows]
            case 4:
                self._compute(code, rows)
            case _ if code.code == 0x07:
                self._x[rows] = self._a[rows]
            case _:
                self._a[rows] = self._x[rows]

    def _reject(self, rows: Ints) -> None:
        self._at[rows] = -1

    def _load(self, code: Code, rows: Ints, register: Ints) -> None:
        match code.mode:
            case 0:
                register[rows] = code.k
            case 3:
                register[rows] = self._words[code.k][rows]
            case 4:
                register[rows] = self._lengths[rows]
            case mode:
                offset = np.full(len(rows), code.k)
                if mode == 2:
                    offset = offset + self._x[rows] & _WORD
                size = 1 if mode == 5 else code.size
                there = offset + size <= self._kept[rows]
                self._reject(rows[~there])
                rows, place = rows[there], (self._starts[rows] + offset)[there]
                value = np.zeros(len(rows), np.int64)
                for byte in range(size):
                    value = value << 8 | self._memory[place + byte]
                register[rows] = (value & 15) << 2 if mode == 5 else value

    def _compute(self, code: Code, rows: Ints) -> None:
        if code.code == 0x84:
            self._a[rows] = -self._a[rows] & _WORD
            return
        operator = ALU[code.operator]
        other = self._x[rows] if code.by_x else np.full(len(rows), code.k)
        if operator in ("/=", "%="):
            self._reject(rows[other == 0])
            rows, other = rows[other != 0], other[other != 0]
        a = self._a[rows].astype(np.uint64)
        b = other.astype(np.uint64)
        if operator in ("<<=", ">>="):
            b &= np.uint64(31)
        self._a[rows] = (_OPERATORS[operator](a, b) & np.uint64(_WORD)).astype(np.int64)

    def _jump(self, code: Code, at: int, rows: Ints) -> None:
        if not code.operator:
            self._at[rows] = at + 1 + code.k
            return
        other = self._x[rows] if code.by_x else np.full(len(rows), code.k)
        holds = _CONDITIONS[code.operator](self._a[rows], other)
        self._at[rows] = at + 1 + np.where(holds, code.jt, code.jf)


_OPERATORS: dict[str, np.ufunc] = {
    "+=": np.add,
    "-=": np.subtract,
    "*=": np.multiply,
    "/=": np.floor_divide,
    "%=": np.remainder,
    "|=": np.bitwise_or,
    "&=": np.bitwise_and,
    "^=": np.bitwise_xor,
    "<<=": np.left_shift,
    ">>=": np.right_shift,
}
_CONDITIONS: dict[int, Callable[[Ints, Ints], Bools]] = {
    0x10: np.equal,
    0x20: np.greater,
    0x30: np.greater_equal,
    0x40: lambda a, b: (a & b) != 0,
}
