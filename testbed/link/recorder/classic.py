"""Filters as classic BPF: the programs that tcpdump's expressions become (bpf(4), linux/filter.h).

All that recorders filter by is such a program, of frames as they are on the wire, tags and all. It
is run here (``accepts``) as it is defined; the kernel and numpy run translations of it.
"""

from __future__ import annotations

import operator
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from testbed.errors import PlanError, Unsupported

__all__ = [
    "ACCEPT",
    "ALU",
    "JUMPS",
    "MEMORY",
    "Classic",
    "Code",
    "accepts",
    "compile_expression",
]

MEMORY: Final = 16
"""Words of scratch memory."""
ACCEPT: Final = 0xFFFF_FFFF
_WORD: Final = 0xFFFF_FFFF
_MOST: Final = 4096  # BPF_MAXINSNS
_WITHIN: Final = 10.0  # seconds; tcpdump may look up a name

ALU: Final[dict[int, str]] = {
    0x00: "+=", 0x10: "-=", 0x20: "*=", 0x30: "/=", 0x40: "|=", 0x50: "&=",
    0x60: "<<=", 0x70: ">>=", 0x90: "%=", 0xA0: "^=",
}  # fmt: skip
JUMPS: Final[dict[int, str]] = {0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&"}
_NEGATE: Final = 0x80


@dataclass(frozen=True, slots=True)
class Code:
    """One instruction: what, how far to jump if true and if false, and a number."""

    code: int
    jt: int = 0
    jf: int = 0
    k: int = 0

    @property
    def kind(self) -> int:
        """The class: 0 LD, 1 LDX, 2 ST, 3 STX, 4 ALU, 5 JMP, 6 RET, 7 MISC."""
        return self.code & 7

    @property
    def size(self) -> int:
        """Bytes that a load takes."""
        return (4, 2, 1, 0)[self.code >> 3 & 3]

    @property
    def mode(self) -> int:
        """How a load finds its operand: 0 IMM, 1 ABS, 2 IND, 3 MEM, 4 LEN, 5 MSH."""
        return self.code >> 5

    @property
    def operator(self) -> int:
        """What an ALU or a jump does."""
        return self.code & 0xF0

    @property
    def by_x(self) -> bool:
        """Whether the operand is the index register and not ``k``."""
        return bool(self.code & 8)


@dataclass(frozen=True, slots=True)
class Classic:
    """A program that was checked: it ends, and does only what can be translated."""

    codes: tuple[Code, ...]
    text: str = ""
    """What it was made of, for people."""

    def __post_init__(self) -> None:
        count = len(self.codes)
        if not 0 < count <= _MOST:
            raise PlanError(f"a filter of {count} instructions: expected 1 to {_MOST}")
        for at, code in enumerate(self.codes):
            if not _is_known(code) or max(_targets(at, code)) >= count:
                raise PlanError(f"filter {self.text!r}: instruction {at} is no classic BPF: {code}")

    def packed(self, *before: Code) -> bytes:
        """As the kernel takes it (struct sock_filter), behind some other instructions."""
        every = (*before, *self.codes)
        return b"".join(struct.pack("=HBBI", c.code, c.jt, c.jf, c.k) for c in every)

    def reached(self) -> set[int]:
        """Which instructions a frame can come to."""
        found, todo = set(), [0]
        while todo:
            at = todo.pop()
            if at not in found:
                found.add(at)
                todo += _targets(at, self.codes[at])
        return found

    def __str__(self) -> str:
        return self.text or f"{len(self.codes)} instructions"


_LOADS = {0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x80, 0x60, 0x01, 0x81, 0xB1, 0x61}
_COMPUTED = {4 | operator | by_x for operator in ALU for by_x in (0, 8)} | {0x84}
_JUMPED = {5 | operator | by_x for operator in JUMPS for by_x in (0, 8)} | {0x05}
_KNOWN = _LOADS | _COMPUTED | _JUMPED | {0x02, 0x03, 0x06, 0x16, 0x07, 0x87}
_OF_MEMORY = {0x60, 0x61, 0x02, 0x03}
_BY_ZERO, _TOO_FAR = {0x34, 0x94}, {0x64, 0x74}


def _is_known(code: Code) -> bool:
    bad = (
        (code.code in _OF_MEMORY and code.k >= MEMORY)
        or (code.code in _BY_ZERO and not code.k)
        or (code.code in _TOO_FAR and code.k > 31)
    )
    return code.code in _KNOWN and max(code.jt, code.jf) < 256 and not bad


def _targets(at: int, code: Code) -> tuple[int, ...]:
    if code.kind == 6:
        return (at,)
    if code.kind != 5:
        return (at + 1,)
    if code.operator == 0:
        return (at + 1 + code.k,)
    return (at + 1 + code.jt, at + 1 + code.jf)


class _Outside(Exception):  # noqa: N818 - how a program ends that loads what is not there
    pass


def accepts(program: Classic, frame: bytes, length: int | None = None) -> bool:
    """Whether the program accepts a frame, which had ``length`` bytes on the wire."""
    try:
        return _run(program.codes, frame, len(frame) if length is None else length) != 0
    except _Outside:
        return False


def _run(codes: tuple[Code, ...], frame: bytes, length: int) -> int:
    a = x = at = 0
    memory = [0] * MEMORY
    while codes[at].kind != 6:
        code = codes[at]
        at += 1
        match code.kind:
            case 0:
                a = _load(code, frame, length, x, memory)
            case 1:
                x = _load(code, frame, length, x, memory)
            case 2 | 3:
                memory[code.k] = a if code.kind == 2 else x
            case 4:
                a = _compute(code, a, x)
            case 5 if code.operator:
                holds = _CONDITIONS[code.operator](a, x if code.by_x else code.k)
                at += code.jt if holds else code.jf
            case 5:
                at += code.k
            case _:
                a, x = (a, a) if code.code == 0x07 else (x, x)
    return a if codes[at].code == 0x16 else codes[at].k


_CONDITIONS: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: bool(a & b),
}


def _load(code: Code, frame: bytes, length: int, x: int, memory: list[int]) -> int:
    match code.mode:
        case 0:
            return code.k
        case 3:
            return memory[code.k]
        case 4:
            return length
        case 5:
            return 4 * (_bytes(frame, code.k, 1) & 15)
        case mode:
            return _bytes(frame, code.k + (x if mode == 2 else 0) & _WORD, code.size)


def _bytes(frame: bytes, at: int, size: int) -> int:
    if at + size > len(frame):
        raise _Outside
    return int.from_bytes(frame[at : at + size], "big")


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+=": operator.add,
    "-=": operator.sub,
    "*=": operator.mul,
    "/=": operator.floordiv,
    "%=": operator.mod,
    "|=": operator.or_,
    "&=": operator.and_,
    "^=": operator.xor,
    # The kernel's shifts are by five bits.
    "<<=": lambda a, b: a << (b & 31),
    ">>=": lambda a, b: a >> (b & 31),
}


def _compute(code: Code, a: int, x: int) -> int:
    if code.operator == _NEGATE:
        return -a & _WORD
    try:
        return _OPERATORS[ALU[code.operator]](a, x if code.by_x else code.k) & _WORD
    except ZeroDivisionError:
        raise _Outside from None  # the kernel ends such a program with 0


@lru_cache(maxsize=64)
def compile_expression(expression: str) -> Classic:
    """What ``man pcap-filter`` describes, compiled by tcpdump for frames as they are on the wire.

    PlanError where it says that the expression is wrong; Unsupported where there is no tcpdump.
    """
    command = ["tcpdump", "-y", "EN10MB", "-ddd", expression]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except FileNotFoundError:
        raise Unsupported(
            f"filter {expression!r}: tcpdump compiles expressions, and it is not installed; "
            "name fields instead, as in {'eth.type': 0x0806}"
        ) from None
    except subprocess.TimeoutExpired:
        raise PlanError(f"filter {expression!r}: tcpdump did not compile it in time") from None
    if done.returncode:
        said = done.stderr.strip().removeprefix("tcpdump: ") or f"status {done.returncode}"
        raise PlanError(f"filter {expression!r}: {said}")
    lines = done.stdout.splitlines()[1:]
    return Classic(tuple(Code(*map(int, line.split())) for line in lines), expression)
