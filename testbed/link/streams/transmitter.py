"""The sender in the kernel: an XDP program that makes each frame of a blend when it is due.

It is run over and over on frames that the kernel keeps (``Program.run_live``). When the next frame
is not due it drops the one at hand, which costs nothing; when it is, it writes the template, the
fields and the checksums, and redirects it to the port. Whoever got a frame before may have left
anything in its memory, so all of it is written each time.
"""

from __future__ import annotations

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
    Assembler,
    Helper,
    Register,
    XdpAction,
)
from testbed.link.streams.fieldcode import put_fields
from testbed.link.streams.flow import Varied
from testbed.link.streams.tables import HEAD, ORDER_ENTRY, Tables
from testbed.link.streams.values import TimeStamp

__all__ = [
    "BEHIND",
    "END",
    "INTERVAL",
    "LAST",
    "LIMIT",
    "SENT",
    "STATE_SIZE",
    "copy_frame",
    "send_out",
    "skip_the_clock",
    "transmitter",
    "wait_until_due",
]

LAST, INTERVAL, SENT, LIMIT, END, BEHIND, LOOKED = 0, 8, 16, 24, 32, 40, 48
"""Where in the state each word of 64 bits is: when the last burst was due (``TICKS`` of a
nanosecond on the monotonic clock; 0 before the first), the gap, how many frames were sent, how many
to send, when to stop (ns), how often the schedule was given up for being too far behind, and when
the program last looked at the clock (ns)."""
STATE_SIZE = 64

SLACK = 5_000_000 << 8
"""By how much the sender may lag behind and still catch up, in ``TICKS``: 5 ms. What was due before
is not sent in a rush: the schedule begins anew."""

LOOK_EVERY = 16

NOW, SHAPE = -8, -16  # places on the stack
INLINE = 256
"""Bytes up to which a frame is copied word by word; a longer one takes a call."""
MOST_CODE = 30_000
"""A jump reaches 32,767 instructions."""


def transmitter(tables: Tables, state: int, port: int, burst: int) -> bytes:
    """The program, for a state map and a port's index. Unsupported where it would be too long."""
    asm = Assembler()
    asm.mov(R6, R1).load_map_value(R7, state)
    stamps = [each.values for each in _fields(tables) if isinstance(each.values, TimeStamp)]
    if all(stamp.shared for stamp in stamps):
        skip_the_clock(asm, stamped=bool(stamps))
    wait_until_due(asm, burst)
    _choose_frame(asm, tables)
    longest = tables.blend.longest
    copy_frame(asm, longest, alike=tables.lengths == {longest})
    _put_fields(asm, tables)
    send_out(asm, port)
    if len(asm) > MOST_CODE:
        raise Unsupported(f"the flows differ too much: {len(asm)} instructions in the kernel")
    return asm.assemble()


def _fields(tables: Tables) -> list[Varied]:
    return [each for shape in tables.shapes for each in shape.fields]


def send_out(asm: Assembler, port: int) -> None:
    """The ends of a program: ``send`` lets the frame go, ``idle`` keeps it for another time."""
    asm.label("send").mov(R1, port).mov(R2, 0).call(Helper.REDIRECT).exit()
    asm.label("idle").mov(R0, XdpAction.DROP).exit()


def skip_the_clock(asm: Assembler, *, stamped: bool = False) -> None:
    """Without a gap, look at the time for every 16th frame only: that is half of the work.

    ``stamped`` frames then hold the time of the last look. That is no loss: frames without a gap
    leave 64 at a time, so that the first of them waits longer than that.
    """
    asm.load(R1, R7, INTERVAL).jump_if(R1, "!=", 0, "look")
    asm.load(R8, R7, SENT).mov(R1, R8).bit_and(R1, LOOK_EVERY - 1).jump_if(R1, "==", 0, "look")
    asm.load(R1, R7, LIMIT).jump_if(R8, ">=", R1, "idle")
    if stamped:
        asm.load(R1, R7, LOOKED).store(R10, NOW, R1)
    asm.jump("due").label("look")


def wait_until_due(asm: Assembler, burst: int) -> None:
    """Go on with the next frame's number in R8 when it is due; else the frame is idle."""
    asm.call(Helper.KTIME_GET_NS)
    asm.load(R1, R7, END).jump_if(R0, ">=", R1, "idle")
    asm.load(R8, R7, SENT).load(R1, R7, LIMIT).jump_if(R8, ">=", R1, "idle")
    asm.store(R10, NOW, R0).store(R7, LOOKED, R0)
    if burst > 1:
        asm.mov(R1, R8).mod(R1, burst).jump_if(R1, "!=", 0, "due")
    asm.shift_left(R0, 8)
    asm.load(R2, R7, LAST).load(R3, R7, INTERVAL).jump_if(R3, "==", 0, "due")
    asm.jump_if(R2, "==", 0, "begin")
    asm.add(R2, R3).jump_if(R0, "<", R2, "idle")
    asm.mov(R3, R0).sub(R3, SLACK).jump_if(R2, ">=", R3, "in time")
    asm.load(R1, R7, BEHIND).add(R1, 1).store(R7, BEHIND, R1)
    asm.label("begin").mov(R2, R0)
    asm.label("in time").store(R7, LAST, R2)
    asm.label("due")


def _choose_frame(asm: Assembler, tables: Tables) -> None:
    """R9 = the template's slot, R8 = the frame's number in its flow."""
    blend = tables.blend
    asm.mov(R1, R8).add(R1, 1).store(R7, SENT, R1)
    if len(blend.flows) == 1:
        templates = len(blend.flows[0].templates)
        if templates == 1:
            asm.load_map_value(R9, tables.frames.fd)
            return
        asm.mov(R1, R8).mod(R1, templates)
    else:
        # One division, for it is dear: R8 = whole periods, R1 = the place in this one.
        asm.mov(R1, R8).div(R8, blend.period).mov(R2, R8).mul(R2, blend.period).sub(R1, R2)
        asm.bit_and(R1, tables.order - 1)
        asm.mul(R1, ORDER_ENTRY).load_map_value(R5, tables.numbers.fd).add(R5, R1)
        asm.load(R2, R5, 0, size=4).store(R10, SHAPE, R2)
        asm.load(R1, R5, 16, size=4).mul(R8, R1).load(R1, R5, 4, size=4).add(R8, R1)
        asm.load(R1, R5, 8, size=4)
        if any(len(flow.templates) > 1 for flow in blend.flows):
            asm.mov(R3, R8).load(R2, R5, 12, size=4).mod(R3, R2).add(R1, R3)
    asm.bit_and(R1, tables.slots - 1).mul(R1, tables.stride)
    asm.load_map_value(R9, tables.frames.fd).add(R9, R1)


def copy_frame(asm: Assembler, longest: int, *, alike: bool) -> None:
    """Write the frame in the slot at R9 over the one at hand, which has ``longest`` bytes.

    ``alike``: all that there are have that length.
    """
    if alike and longest <= INLINE:
        _load_packet(asm, longest)
        at = 0
        for size in (8, 4, 2, 1):
            while longest - at >= size:
                asm.load(R1, R9, HEAD + at, size=size).store(R2, at, R1, size=size)
                at += size
        return
    if not alike:
        asm.load(R2, R9, 0, size=4).sub(R2, longest).jump_if(R2, "==", 0, "long")
        asm.mov(R1, R6).call(Helper.XDP_ADJUST_TAIL).jump_if(R0, "!=", 0, "failed")
        asm.label("long").load(R4, R9, 0, size=4)
        asm.jump_if(R4, "<", 14, "failed").jump_if(R4, ">", longest, "failed")
    else:
        asm.mov(R4, longest)
    asm.mov(R1, R6).mov(R2, 0).mov(R3, R9).add(R3, HEAD).call(Helper.XDP_STORE_BYTES)
    asm.jump_if(R0, "==", 0, "copied")
    asm.label("failed").mov(R0, XdpAction.ABORTED).exit()
    asm.label("copied")


def _load_packet(asm: Assembler, least: int) -> None:
    """R2 = the frame, of which ``least`` bytes are there."""
    asm.load(R2, R6, 0, size=4).load(R3, R6, 4, size=4)
    asm.mov(R4, R2).add(R4, least).jump_if(R4, ">", R3, "idle")


def _put_fields(asm: Assembler, tables: Tables) -> None:
    """Go to the code of the frame's shape, by halves."""
    shapes = tables.shapes
    if all(not shape.fields for shape in shapes):
        return
    if len(shapes) > 1:
        asm.load(R1, R10, SHAPE)
        _search(asm, R1, 0, len(shapes))
    for number, shape in enumerate(shapes):
        asm.label(f"shape {number}")
        if shape.fields:
            _load_packet(asm, shape.end)
            asm.mov(R6, R2)
            put_fields(asm, shape, tables.lists, tables.numbers.fd, NOW)
        asm.jump("send")


def _search(asm: Assembler, key: Register, first: int, end: int) -> None:
    if end - first == 1:
        asm.jump(f"shape {first}")
        return
    middle = (first + end) // 2
    upper = asm.unique("upper")
    asm.jump_if(key, ">=", middle, upper)
    _search(asm, key, first, middle)
    asm.label(upper)
    _search(asm, key, middle, end)
