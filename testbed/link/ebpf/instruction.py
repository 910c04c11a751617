"""One instruction of the kernel's virtual machine: its bits, and its words.

RFC 9669 (BPF Instruction Set Architecture). An instruction is eight bytes: opcode, two registers,
a signed offset of 16 bits and a signed immediate of 32 bits; the one that loads 64 bits takes two.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from testbed.errors import WireError

__all__ = [
    "ALU_OPERATORS",
    "ATOMIC_OPERATORS",
    "CONDITIONS",
    "SIZES",
    "WIDE_LOAD",
    "Class",
    "Instruction",
    "Mode",
    "Register",
    "decode",
    "encode",
]

_LAYOUT = struct.Struct("<BBhi")


class Register(IntEnum):
    """R0 holds results, R1 to R5 arguments, R6 to R9 outlive calls, R10 is the frame pointer."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


class Class(IntEnum):
    """The low three bits of an opcode (RFC 9669 3.1)."""

    LD = 0
    LDX = 1
    ST = 2
    STX = 3
    ALU = 4
    JMP = 5
    JMP32 = 6
    ALU64 = 7


class Mode(IntEnum):
    """The high three bits of the opcode of a load or store (RFC 9669 5)."""

    IMM = 0x00
    MEM = 0x60
    ATOMIC = 0xC0


SOURCE = 0x08
"""This bit of an arithmetic or jump opcode says that the operand is a register."""

ALU_OPERATORS = {
    "+=": 0x00,
    "-=": 0x10,
    "*=": 0x20,
    "/=": 0x30,
    "|=": 0x40,
    "&=": 0x50,
    "<<=": 0x60,
    ">>=": 0x70,
    "neg": 0x80,
    "%=": 0x90,
    "^=": 0xA0,
    "=": 0xB0,
    "s>>=": 0xC0,
    "swap": 0xD0,
}
"""RFC 9669 4.1: what is done to the destination."""

CONDITIONS = {
    "goto": 0x00,
    "==": 0x10,
    ">": 0x20,
    ">=": 0x30,
    "&": 0x40,
    "!=": 0x50,
    "s>": 0x60,
    "s>=": 0x70,
    "call": 0x80,
    "exit": 0x90,
    "<": 0xA0,
    "<=": 0xB0,
    "s<": 0xC0,
    "s<=": 0xD0,
}
"""RFC 9669 4.3: when a jump is made; numbers are compared without their sign, but for ``s``."""

SIZES = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}
"""RFC 9669 5: how many bytes a load or store moves."""

ATOMIC_OPERATORS = {"+=": 0x00, "|=": 0x40, "&=": 0x50, "^=": 0xA0, "exchange": 0xE1}
"""RFC 9669 5.3."""
COMPARE_EXCHANGE = 0xF1
FETCH = 0x01
WIDE_LOAD = Class.LD | Mode.IMM | SIZES[8]


@dataclass(frozen=True, slots=True)
class Instruction:
    """The fields of one instruction; ``upper`` is the second half of a 64-bit constant."""

    opcode: int
    dst: int = 0
    src: int = 0
    offset: int = 0
    immediate: int = 0
    upper: int = 0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("opcode", self.opcode, 0, 0xFF),
            ("destination", self.dst, 0, 15),
            ("source", self.src, 0, 15),
            ("offset", self.offset, -0x8000, 0x7FFF),
            ("immediate", self.immediate, -0x8000_0000, 0x7FFF_FFFF),
            ("upper immediate", self.upper, -0x8000_0000, 0x7FFF_FFFF),
        ):
            if not least <= value <= most:
                raise WireError(f"BPF {name} {value}: expected {least} to {most}")

    @property
    def slots(self) -> int:
        """How many times eight bytes it takes; jumps count in these."""
        return 2 if self.opcode == WIDE_LOAD else 1

    def encode(self) -> bytes:
        """Its bytes, little-endian."""
        head = _LAYOUT.pack(self.opcode, self.dst | self.src << 4, self.offset, self.immediate)
        return head + _LAYOUT.pack(0, 0, 0, self.upper) if self.slots == 2 else head

    def __str__(self) -> str:
        kind = self.opcode & 7
        if kind in (Class.ALU, Class.ALU64):
            return self._arithmetic("w" if kind == Class.ALU else "r")
        if kind in (Class.JMP, Class.JMP32):
            return self._jump("w" if kind == Class.JMP32 else "r")
        return self._memory(kind)

    def _arithmetic(self, letter: str) -> str:
        operator = _name(ALU_OPERATORS, self.opcode & 0xF0)
        dst = f"{letter}{self.dst}"
        if operator == "neg":
            return f"{dst} = -{dst}"
        if operator == "swap":
            end = "be" if self.opcode & SOURCE else "le"
            return f"r{self.dst} = {end}{self.immediate} r{self.dst}"
        source = f"{letter}{self.src}" if self.opcode & SOURCE else str(self.immediate)
        return f"{dst} {operator} {source}"

    def _jump(self, letter: str) -> str:
        condition = _name(CONDITIONS, self.opcode & 0xF0)
        if condition == "exit":
            return "exit"
        if condition == "call":
            return f"call {self.immediate}"
        where = f"goto {self.offset:+d}"
        if condition == "goto":
            return where
        source = f"{letter}{self.src}" if self.opcode & SOURCE else str(self.immediate)
        return f"if {letter}{self.dst} {condition} {source} {where}"

    def _memory(self, kind: int) -> str:
        if self.opcode == WIDE_LOAD:
            if self.src:
                return f"r{self.dst} = map {self.immediate} + {self.upper}"
            low, high = self.immediate & 0xFFFF_FFFF, self.upper & 0xFFFF_FFFF
            return f"r{self.dst} = {high << 32 | low} ll"
        size = 8 * next(size for size, bits in SIZES.items() if bits == self.opcode & 0x18)
        pointer = self.src if kind == Class.LDX else self.dst
        place = f"*(u{size} *)(r{pointer} {'-' if self.offset < 0 else '+'} {abs(self.offset)})"
        if kind == Class.LDX:
            return f"r{self.dst} = {place}"
        if kind == Class.ST:
            return f"{place} = {self.immediate}"
        if self.opcode & 0xE0 == Mode.ATOMIC:
            operator = self.immediate & ~FETCH
            name = "exchange" if operator == 0xE0 else _name(ATOMIC_OPERATORS, operator)
            if self.immediate == COMPARE_EXCHANGE:
                name = "compare and exchange"
            fetched = f"r{self.src} = " if self.immediate & FETCH else ""
            return f"lock {fetched}{place} {name} r{self.src}"
        return f"{place} = r{self.src}"


def _name(table: dict[str, int], bits: int) -> str:
    return next((name for name, value in table.items() if value == bits), f"?{bits:#x}")


def encode(instructions: Iterable[Instruction]) -> bytes:
    """A program as the kernel takes it."""
    return b"".join(each.encode() for each in instructions)


def decode(code: bytes) -> Iterator[Instruction]:
    """The instructions in ``code``; WireError where it ends in the middle of one."""
    at = 0
    while at < len(code):
        if at + 8 > len(code):
            raise WireError("a BPF instruction is cut off, expected 8 bytes", at)
        opcode, registers, offset, immediate = _LAYOUT.unpack_from(code, at)
        upper, size = 0, 8
        if opcode == WIDE_LOAD:
            size = 16
            if at + size > len(code):
                raise WireError("a BPF load of 64 bits is cut off, expected 16 bytes", at)
            upper = _LAYOUT.unpack_from(code, at + 8)[3]
        yield Instruction(opcode, registers & 15, registers >> 4, offset, immediate, upper)
        at += size
