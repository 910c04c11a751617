"""Tests of fields as code: go on where they hold, else somewhere else."""

from __future__ import annotations

from typing import Final

from testbed.errors import Unsupported
from testbed.link.ebpf import R0, R1, R2, R5, R10
from testbed.link.impair.fields import (
    TAGS,
    AllOf,
    AnyOf,
    FieldTest,
    FrameField,
    Ipv4Whole,
    Layer,
    Not,
    TcpData,
    UdpWhole,
)
from testbed.link.inline.coder import SCRATCH, Coder

__all__ = ["FIELD_TESTS", "test_code"]

FIELD_TESTS: Final = (FrameField, TcpData, Ipv4Whole, UdpWhole, AllOf, AnyOf, Not)
_IPV4: Final = 0x0800
_TCP: Final = 6
_UDP: Final = 17


def test_code(coder: Coder, test: FieldTest, miss: str) -> None:
    """Go on if ``test`` holds, else to ``miss``."""
    asm = coder.asm
    match test:
        case FrameField():
            _field(coder, test, miss)
        case TcpData():
            _tcp_data(coder, test, miss)
        case Ipv4Whole():
            _ipv4_whole(coder, miss)
        case UdpWhole():
            _udp_whole(coder, miss)
        case AllOf():
            for part in test.parts:
                test_code(coder, part, miss)
        case AnyOf():
            done = asm.unique("one")
            for part in test.parts[:-1]:
                other = asm.unique("other")
                test_code(coder, part, other)
                asm.jump(done).label(other)
            test_code(coder, test.parts[-1], miss)
            asm.label(done)
        case Not():
            other = asm.unique("not")
            test_code(coder, test.inner, other)
            asm.mov(R0, 1).jump_if(R0, "!=", 0, miss).label(other)
        case _:
            raise Unsupported(f"only Python can ask {type(test).__qualname__}")


def _field(coder: Coder, test: FrameField, miss: str) -> None:
    asm = coder.asm
    if test.layer != "frame":
        _start(coder, test.layer, miss)
    coder.load(R1, test.at, test.size, miss, indexed=test.layer != "frame")
    if test.mask != (1 << 32) - 1:
        asm.bit_and(R1, test.mask, bits=32)
    if test.least == test.highest:
        asm.jump_if(R1, "!=", test.least, miss, bits=32)
        return
    if test.least:
        asm.jump_if(R1, "<", test.least, miss, bits=32)
    asm.jump_if(R1, ">", test.highest, miss, bits=32)


def _tcp_data(coder: Coder, test: TcpData, miss: str) -> None:
    asm = coder.asm
    _start(coder, "payload", miss)
    asm.store(R10, SCRATCH, R5)
    _start(coder, "transport", miss)
    coder.load(R1, 12, 1, miss, indexed=True)
    asm.shift_right(R1, 4).shift_left(R1, 2).mov(R0, R5).add(R0, R1)
    asm.load(R5, R10, SCRATCH).sub(R0, R5).add(R0, test.least)
    coder.load(R1, 9, 1, miss, indexed=True)
    asm.jump_if(R1, "!=", _TCP, miss)
    coder.load(R1, 2, 2, miss, indexed=True)
    asm.jump_if(R1, "<", R0, miss)


def _ipv4_whole(coder: Coder, miss: str) -> None:
    asm = coder.asm
    _start(coder, "payload", miss)
    asm.jump_if(R1, "!=", _IPV4, miss)
    coder.load(R1, 18, 2, miss, indexed=True)
    coder.length(R0)
    asm.sub(R0, R5)  # R0 = what there is of the packet
    coder.load(R1, 2, 2, miss, indexed=True)
    asm.jump_if(R1, ">", R0, miss).mov(R0, R1)
    coder.load(R1, 0, 1, miss, indexed=True)
    asm.mov(R2, R1).shift_right(R2, 4).jump_if(R2, "!=", 4, miss)
    asm.bit_and(R1, 15).jump_if(R1, "<", 5, miss).shift_left(R1, 2).jump_if(R1, ">", R0, miss)


def _udp_whole(coder: Coder, miss: str) -> None:
    asm = coder.asm
    _start(coder, "payload", miss)
    asm.store(R10, SCRATCH, R5)
    _start(coder, "transport", miss)
    coder.load(R1, 6, 2, miss, indexed=True)
    coder.load(R1, 4, 2, miss, indexed=True)
    asm.jump_if(R1, "<", 8, miss).mov(R0, R5).add(R0, R1)
    asm.load(R5, R10, SCRATCH).sub(R0, R5)  # R0 = the headers' and the datagram's length
    coder.load(R1, 9, 1, miss, indexed=True)
    asm.jump_if(R1, "!=", _UDP, miss)
    coder.load(R1, 2, 2, miss, indexed=True)
    asm.jump_if(R1, "<", R0, miss)


def _start(coder: Coder, layer: Layer, miss: str) -> None:
    """R5 = where the layer begins, as ``fields`` says; takes R1 to R4."""
    asm, found = coder.asm, coder.asm.unique("payload")
    for start in (14, 18, 22):
        asm.mov(R5, start)
        coder.load(R1, start - 2, 2, miss)
        tagged = asm.unique("tagged")
        asm.jump_if(R1, "==", TAGS[0], tagged).jump_if(R1, "!=", TAGS[1], found).label(tagged)
    asm.mov(R1, 0).jump_if(R1, "==", 0, miss)
    asm.label(found)
    if layer == "payload":
        return
    asm.jump_if(R1, "!=", _IPV4, miss)
    coder.load(R1, 18, 2, miss, indexed=True)
    coder.load(R1, 6, 2, miss, indexed=True)
    asm.bit_and(R1, 0x1FFF).jump_if(R1, "!=", 0, miss)
    coder.load(R1, 0, 1, miss, indexed=True)
    asm.mov(R2, R1).shift_right(R2, 4).jump_if(R2, "!=", 4, miss)
    asm.bit_and(R1, 15).jump_if(R1, "<", 5, miss).shift_left(R1, 2).add(R5, R1)
