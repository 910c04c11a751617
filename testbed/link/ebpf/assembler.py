"""Programs for the kernel's virtual machine, written as methods of an assembler.

::

    asm = Assembler()
    asm.mov(R0, XDP_PASS).jump_if(R2, ">", R3, "out").add(R4, 14)
    asm.label("out").exit()
    code = asm.assemble()

Jumps go to labels, forward or back. An operand that is a ``Register`` is one; a plain int is an
immediate, sign-extended from 32 bits. Arithmetic is on 64 bits unless ``bits=32``, which clears
the upper half of the destination (RFC 9669 4.1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from testbed.errors import WireError
from testbed.link.ebpf.instruction import (
    ALU_OPERATORS,
    ATOMIC_OPERATORS,
    COMPARE_EXCHANGE,
    CONDITIONS,
    FETCH,
    SIZES,
    SOURCE,
    WIDE_LOAD,
    Class,
    Instruction,
    Mode,
    Register,
    encode,
)

__all__ = ["R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "Assembler"]

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = Register

_MAP, _MAP_VALUE = 1, 2  # linux/bpf.h: BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE
_FUNCTION_CALL = 2  # BPF_PSEUDO_KFUNC_CALL
_HALF = 0xFFFF_FFFF


def _signed(word: int) -> int:
    """A word of 32 bits as the number that the field of an instruction holds."""
    if not -0x8000_0000 <= word <= _HALF:
        raise WireError(f"immediate {word} does not fit into 32 bits")
    return word - (1 << 32) if word > 0x7FFF_FFFF else word


class Assembler:
    """Instructions, one after another; each method appends and returns the assembler."""

    def __init__(self) -> None:
        self._code: list[Instruction] = []
        self._slots = 0
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, int, str]] = []
        self._made = 0

    def __len__(self) -> int:
        return self._slots

    # Arithmetic: the destination comes first, and holds the result.

    def mov(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst = value``."""
        return self._alu("=", dst, value, bits)

    def add(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst += value``."""
        return self._alu("+=", dst, value, bits)

    def sub(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst -= value``."""
        return self._alu("-=", dst, value, bits)

    def mul(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst *= value``."""
        return self._alu("*=", dst, value, bits)

    def div(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst //= value``, unsigned; by zero gives zero."""
        return self._alu("/=", dst, value, bits)

    def mod(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst %= value``, unsigned; by zero leaves it as it is."""
        return self._alu("%=", dst, value, bits)

    def bit_or(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst |= value``."""
        return self._alu("|=", dst, value, bits)

    def bit_and(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst &= value``."""
        return self._alu("&=", dst, value, bits)

    def bit_xor(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst ^= value``."""
        return self._alu("^=", dst, value, bits)

    def shift_left(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst <<= value``."""
        return self._alu("<<=", dst, value, bits)

    def shift_right(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst >>= value``; zeros come in."""
        return self._alu(">>=", dst, value, bits)

    def shift_signed(self, dst: Register, value: Register | int, bits: int = 64) -> Self:
        """``dst >>= value``; copies of the sign come in."""
        return self._alu("s>>=", dst, value, bits)

    def negate(self, dst: Register, bits: int = 64) -> Self:
        """``dst = -dst``."""
        return self._alu("neg", dst, 0, bits)

    def to_big_endian(self, dst: Register, bits: int) -> Self:
        """The low 16, 32 or 64 bits of ``dst`` in the order of a network; the rest is cleared."""
        return self._append(
            Instruction(Class.ALU | ALU_OPERATORS["swap"] | SOURCE, dst, 0, 0, bits)
        )

    def to_little_endian(self, dst: Register, bits: int) -> Self:
        """The low 16, 32 or 64 bits of ``dst``, the least first; the rest is cleared."""
        return self._append(Instruction(Class.ALU | ALU_OPERATORS["swap"], dst, 0, 0, bits))

    # Memory: ``size`` in bytes, 1, 2, 4 or 8.

    def load(self, dst: Register, base: Register, offset: int = 0, *, size: int = 8) -> Self:
        """``dst`` = what is at ``base + offset``, its upper bytes cleared."""
        return self._append(Instruction(Class.LDX | Mode.MEM | SIZES[size], dst, base, offset))

    def store(self, base: Register, offset: int, value: Register | int, *, size: int = 8) -> Self:
        """Put the low bytes of ``value`` at ``base + offset``."""
        if isinstance(value, Register):
            code = Instruction(Class.STX | Mode.MEM | SIZES[size], base, value, offset)
        else:
            code = Instruction(Class.ST | Mode.MEM | SIZES[size], base, 0, offset, _signed(value))
        return self._append(code)

    def atomic(
        self,
        operator: str,
        base: Register,
        offset: int,
        value: Register,
        *,
        size: int = 8,
        fetch: bool = False,
    ) -> Self:
        """Change what is at ``base + offset`` in one step that no other CPU can come between.

        ``operator`` is ``+=``, ``|=``, ``&=``, ``^=`` or ``exchange``. With ``fetch``, ``value``
        then holds what was there before; ``exchange`` always does that. ``size`` is 4 or 8.
        """
        code = ATOMIC_OPERATORS[operator] | (FETCH if fetch else 0)
        opcode = Class.STX | Mode.ATOMIC | SIZES[size]
        return self._append(Instruction(opcode, base, value, offset, code))

    def compare_exchange(
        self, base: Register, offset: int, value: Register, *, size: int = 8
    ) -> Self:
        """Put ``value`` at ``base + offset`` if that is equal to R0; R0 = what was there."""
        opcode = Class.STX | Mode.ATOMIC | SIZES[size]
        return self._append(Instruction(opcode, base, value, offset, COMPARE_EXCHANGE))

    def load_constant(self, dst: Register, value: int) -> Self:
        """``dst`` = a constant of 64 bits."""
        value &= (1 << 64) - 1
        low, high = _signed(value & _HALF), _signed(value >> 32)
        return self._append(Instruction(WIDE_LOAD, dst, 0, 0, low, high))

    def load_map(self, dst: Register, descriptor: int) -> Self:
        """``dst`` = the map behind a descriptor, as helpers take it."""
        return self._append(Instruction(WIDE_LOAD, dst, _MAP, 0, descriptor))

    def load_map_value(self, dst: Register, descriptor: int, offset: int = 0) -> Self:
        """``dst`` = the address of byte ``offset`` in the one value of an array map."""
        return self._append(Instruction(WIDE_LOAD, dst, _MAP_VALUE, 0, descriptor, offset))

    # Control

    def label(self, name: str) -> Self:
        """Name this place; WireError when the name is taken."""
        if name in self._labels:
            raise WireError(f"label {name!r} is there already")
        self._labels[name] = self._slots
        return self

    def unique(self, stem: str) -> str:
        """A label that no other call gives."""
        self._made += 1
        return f"{stem}#{self._made}"

    def jump(self, label: str) -> Self:
        """Go on at ``label``."""
        return self._jump(Instruction(Class.JMP | CONDITIONS["goto"]), label)

    def jump_if(
        self, left: Register, condition: str, right: Register | int, label: str, bits: int = 64
    ) -> Self:
        """Go on at ``label`` if the condition holds, one of ``CONDITIONS``."""
        kind = Class.JMP if bits == 64 else Class.JMP32
        opcode = kind | CONDITIONS[condition]
        if isinstance(right, Register):
            return self._jump(Instruction(opcode | SOURCE, left, right), label)
        return self._jump(Instruction(opcode, left, 0, 0, _signed(right)), label)

    def call(self, helper: int) -> Self:
        """Call a helper of the kernel: arguments in R1 to R5, which are lost; result in R0."""
        return self._append(Instruction(Class.JMP | CONDITIONS["call"], 0, 0, 0, helper))

    def call_function(self, number: int) -> Self:
        """Call a function of the kernel by its number (``function_number``), as a helper."""
        return self._append(
            Instruction(Class.JMP | CONDITIONS["call"], 0, _FUNCTION_CALL, 0, number)
        )

    def exit(self) -> Self:
        """End the program; R0 is its verdict."""
        return self._append(Instruction(Class.JMP | CONDITIONS["exit"]))

    def instructions(self) -> tuple[Instruction, ...]:
        """What was written, with jumps resolved; WireError for a label that is nowhere."""
        code = list(self._code)
        for index, slot, label in self._jumps:
            if label not in self._labels:
                raise WireError(f"a jump goes to label {label!r}, which is nowhere")
            code[index] = replace(code[index], offset=self._labels[label] - slot - 1)
        return tuple(code)

    def assemble(self) -> bytes:
        """The program as the kernel takes it."""
        return encode(self.instructions())

    def _alu(self, operator: str, dst: Register, value: Register | int, bits: int) -> Self:
        opcode = (Class.ALU64 if bits == 64 else Class.ALU) | ALU_OPERATORS[operator]
        if isinstance(value, Register):
            return self._append(Instruction(opcode | SOURCE, dst, value))
        return self._append(Instruction(opcode, dst, 0, 0, _signed(value)))

    def _append(self, code: Instruction) -> Self:
        self._code.append(code)
        self._slots += code.slots
        return self

    def _jump(self, code: Instruction, label: str) -> Self:
        self._jumps.append((len(self._code), self._slots, label))
        return self._append(code)
