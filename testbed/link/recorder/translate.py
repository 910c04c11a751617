"""Classic BPF into what XDP programs are made of."""

from __future__ import annotations

from typing import Final

from testbed.link.ebpf import R0, R1, R2, R3, R4, R6, R8, R9, R10, Assembler, Helper, Register
from testbed.link.recorder.classic import ALU, JUMPS, Classic, Code

__all__ = ["emit_filter"]

_X: Final = -8
_LOADED: Final = -16
_KEPT: Final = -24
_MEMORY: Final = -32

_DIRECT: Final = 256
"""Bytes of a frame's start that are looked at without a call."""


def emit_filter(asm: Assembler, program: Classic, accept: str, reject: str, base: int) -> None:
    """Go to ``accept`` or ``reject``, by the frame whose context is in R6.

    R9 is the frame's length, which the verifier knows not to be 0; it, R6 and R7 are kept.
    ``base`` is where its part of the stack ends, of 160 bytes at most.
    """
    _Translation(asm, program, accept, reject, base).emit()


class _Translation:
    """A is in R8, X and the scratch memory on the stack."""

    def __init__(
        self, asm: Assembler, program: Classic, accept: str, reject: str, base: int
    ) -> None:
        self._asm = asm
        self._program = program
        self._accept = accept
        self._reject = reject
        self._x = base + _X
        self._loaded = base + _LOADED
        self._kept = base + _KEPT
        self._memory = base + _MEMORY
        self._name = asm.unique("filter")

    def emit(self) -> None:
        asm = self._asm
        # Never taken, for no frame is of 0 bytes; but the verifier refuses what no jump leads to.
        asm.jump_if(R9, "==", 0, self._accept).jump_if(R9, "==", 0, self._reject)
        asm.mov(R8, 0).store(R10, self._x, 0)
        for word in {code.k for code in self._program.codes if code.code in (0x60, 0x61)}:
            asm.store(R10, self._word(word), 0)
        for at in sorted(self._program.reached()):
            asm.label(self._label(at))
            self._emit(at, self._program.codes[at])

    def _label(self, at: int) -> str:
        return f"{self._name} {at}"

    def _word(self, number: int) -> int:
        return self._memory - 8 * number

    def _emit(self, at: int, code: Code) -> None:
        asm = self._asm
        match code.kind:
            case 0:
                self._load(code)
            case 1:
                self._load_x(code)
            case 2:
                asm.store(R10, self._word(code.k), R8)
            case 3:
                asm.load(R1, R10, self._x).store(R10, self._word(code.k), R1)
            case 4:
                self._compute(code)
            case 5:
                self._jump(at, code)
            case 6 if code.code == 0x16:
                asm.jump_if(R8, "!=", 0, self._accept, bits=32).jump(self._reject)
            case 6:
                asm.jump(self._accept if code.k else self._reject)
            case _ if code.code == 0x07:
                asm.store(R10, self._x, R8)
            case _:
                asm.load(R8, R10, self._x)

    def _load(self, code: Code) -> None:
        asm = self._asm
        match code.mode:
            case 0:
                asm.mov(R8, code.k, bits=32)
            case 3:
                asm.load(R8, R10, self._word(code.k))
            case 4:
                asm.mov(R8, R9)
            case 1 if code.k + code.size <= _DIRECT:
                self._load_direct(code)
            case mode:
                asm.mov(R2, code.k, bits=32)
                if mode == 2:
                    asm.load(R1, R10, self._x).add(R2, R1, bits=32)
                self._fetch(code.size)

    def _load_direct(self, code: Code) -> None:
        """What is in the first piece of memory needs no call; the rest may be in another piece."""
        asm = self._asm
        far, done = asm.unique("far"), asm.unique("done")
        asm.load(R1, R6, 0, size=4).load(R2, R6, 4, size=4)
        asm.mov(R3, R1).add(R3, code.k + code.size).jump_if(R3, ">", R2, far)
        asm.load(R8, R1, code.k, size=code.size)
        if code.size > 1:
            asm.to_big_endian(R8, 8 * code.size)
        asm.jump(done).label(far).mov(R2, code.k)
        self._fetch(code.size)
        asm.label(done)

    def _fetch(self, size: int) -> None:
        """R8 = ``size`` bytes at R2 of the frame."""
        asm = self._asm
        asm.mov(R1, R6).mov(R3, R10).add(R3, self._loaded).mov(R4, size)
        asm.call(Helper.XDP_LOAD_BYTES).jump_if(R0, "!=", 0, self._reject)
        asm.load(R8, R10, self._loaded, size=size)
        if size > 1:
            asm.to_big_endian(R8, 8 * size)

    def _load_x(self, code: Code) -> None:
        asm = self._asm
        match code.mode:
            case 0:
                asm.mov(R1, code.k, bits=32)
            case 3:
                asm.load(R1, R10, self._word(code.k))
            case 4:
                asm.mov(R1, R9)
            case _:  # four times the low half of a byte: the length of an IPv4 header
                asm.store(R10, self._kept, R8)
                self._load(Code(0x30, k=code.k))
                asm.mov(R1, R8).bit_and(R1, 15).shift_left(R1, 2)
                asm.load(R8, R10, self._kept)
        asm.store(R10, self._x, R1)

    def _compute(self, code: Code) -> None:
        asm = self._asm
        if code.code == 0x84:
            asm.negate(R8, bits=32)
            return
        name = ALU[code.operator]
        if not code.by_x:
            getattr(asm, _METHODS[name])(R8, code.k, bits=32)
            return
        asm.load(R1, R10, self._x)
        if name in ("/=", "%="):
            asm.jump_if(R1, "==", 0, self._reject, bits=32)
        if name in ("<<=", ">>="):
            asm.bit_and(R1, 31)
        getattr(asm, _METHODS[name])(R8, R1, bits=32)

    def _jump(self, at: int, code: Code) -> None:
        asm = self._asm
        if not code.operator:
            asm.jump(self._label(at + 1 + code.k))
            return
        right: Register | int = code.k
        if code.by_x:
            asm.load(R1, R10, self._x)
            right = R1
        asm.jump_if(R8, JUMPS[code.operator], right, self._label(at + 1 + code.jt), bits=32)
        if code.jf:
            asm.jump(self._label(at + 1 + code.jf))


_METHODS = {
    "+=": "add",
    "-=": "sub",
    "*=": "mul",
    "/=": "div",
    "%=": "mod",
    "|=": "bit_or",
    "&=": "bit_and",
    "^=": "bit_xor",
    "<<=": "shift_left",
    ">>=": "shift_right",
}
