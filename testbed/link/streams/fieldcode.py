"""Code for the fields of one frame and the checksums that follow them.

Registers: R6 the frame, R8 the frame's number in its flow, R9 its template's slot. R7 and R5 add up
what the two checksums cover; R0 to R4 are free. Nothing is called.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed.link.ebpf import R0, R1, R5, R6, R7, R8, R9, R10, Assembler, Register
from testbed.link.streams.places import Place
from testbed.link.streams.tables import Shape
from testbed.link.streams.values import (
    MULTIPLIERS,
    STEP,
    WORD,
    Increment,
    Listed,
    Random,
    Values,
    as_number,
)

__all__ = ["put_fields"]

SUMS = (R7, R5)
BASES = 8
"""Where in a template's slot the sums are of what does not vary, 4 bytes each."""


def put_fields(
    asm: Assembler, shape: Shape, lists: Mapping[Listed, int], numbers: int, now: int
) -> None:
    """Write every field and then the checksums; ``now`` is where on the stack the time is."""
    for index in range(len(shape.sums)):
        asm.load(SUMS[index], R9, BASES + 4 * index, size=4)
    for number, field in enumerate(shape.fields):
        _value(asm, field.values, lists, numbers, now)
        _cut(asm, field.place)
        for index, (_, _, terms) in enumerate(shape.sums):
            weight = dict(terms).get(number, 0)
            if weight:
                _count_in(asm, SUMS[index], field.place, weight)
        _store(asm, field.place)
    for index, (offset, optional, _) in enumerate(shape.sums):
        _store_checksum(asm, SUMS[index], offset, optional=optional)


def _value(
    asm: Assembler, values: Values, lists: Mapping[Listed, int], numbers: int, now: int
) -> None:
    """R0 = what the field holds, as ``Values.at`` says."""
    if isinstance(values, Increment):
        asm.mov(R0, R8)
        if values.count:
            _by_constant(asm, "mod", values.count)
        if values.step != 1:
            _by_constant(asm, "mul", values.step)
        if values.start:
            _by_constant(asm, "add", as_number(values.start))
    elif isinstance(values, Listed):
        size = 1 << (len(values.values) - 1).bit_length()
        asm.mov(R0, R8).mod(R0, len(values.values)).bit_and(R0, size - 1).shift_left(R0, 3)
        asm.load_map_value(R1, numbers, lists[values]).add(R1, R0).load(R0, R1, 0)
    elif isinstance(values, Random):
        _mix(asm, values.seed)
        if values.span <= WORD:
            _by_constant(asm, "mod", values.span)
        _by_constant(asm, "add", as_number(values.least))
    else:
        asm.load(R0, R10, now)


def _by_constant(asm: Assembler, operation: str, value: int) -> None:
    """R0 changed by a constant of up to 64 bits."""
    method = getattr(asm, operation)
    if -0x8000_0000 <= value <= 0x7FFF_FFFF:
        method(R0, value)
    else:
        asm.load_constant(R1, value)
        method(R0, R1)


def _mix(asm: Assembler, seed: int) -> None:
    """R0 = ``mixed(R8, seed)``."""
    asm.mov(R0, R8).add(R0, 1).load_constant(R1, STEP).mul(R0, R1)
    asm.load_constant(R1, seed).add(R0, R1)
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        asm.mov(R1, R0).shift_right(R1, shift).bit_xor(R0, R1)
        asm.load_constant(R1, multiplier).mul(R0, R1)
    asm.mov(R1, R0).shift_right(R1, 31).bit_xor(R0, R1)


def _cut(asm: Assembler, place: Place) -> None:
    """R0 without the bits that the field has no room for."""
    width = place.mask.bit_length()
    if width < 64:
        asm.shift_left(R0, 64 - width).shift_right(R0, 64 - width)


def _count_in(asm: Assembler, total: Register, place: Place, weight: int) -> None:
    """Add R0 to a sum, in halves, so that nothing is carried out of 64 bits."""
    scale = weight.bit_length() - 1
    for upper in (False, True):
        if upper and place.size <= 4:
            return
        asm.mov(R1, R0)
        if upper:
            asm.shift_right(R1, 32)
        elif place.size > 4:
            asm.mov(R1, R1, bits=32)
        if scale:
            asm.shift_left(R1, scale)
        asm.add(total, R1)


def _store(asm: Assembler, place: Place) -> None:
    """Put R0 into the frame, in the order of a network."""
    if not place.whole:
        asm.load(R1, R6, place.offset, size=2).to_big_endian(R1, 16)
        asm.bit_and(R1, 0xFFFF & ~place.mask).bit_or(R0, R1)
    if place.size == 1:
        asm.store(R6, place.offset, R0, size=1)
    elif place.size == 6:
        asm.mov(R1, R0).shift_right(R1, 32).to_big_endian(R1, 16)
        asm.store(R6, place.offset, R1, size=2)
        asm.to_big_endian(R0, 32).store(R6, place.offset + 2, R0, size=4)
    else:
        asm.to_big_endian(R0, 8 * place.size).store(R6, place.offset, R0, size=place.size)


def _store_checksum(asm: Assembler, total: Register, offset: int, *, optional: bool) -> None:
    """The complement of the sum, folded to 16 bits: 64 to 33, to 18, to 17, to 16."""
    asm.mov(R1, total).shift_right(R1, 32).mov(R0, total, bits=32).add(R0, R1)
    for _ in range(3):
        asm.mov(R1, R0).shift_right(R1, 16).bit_and(R0, 0xFFFF).add(R0, R1)
    asm.bit_xor(R0, 0xFFFF)
    if optional:
        nonzero = asm.unique("nonzero")
        asm.jump_if(R0, "!=", 0, nonzero).mov(R0, 0xFFFF).label(nonzero)
    asm.to_big_endian(R0, 16).store(R6, offset, R0, size=2)
