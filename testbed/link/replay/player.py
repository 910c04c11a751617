"""The program that sends what lies in a ring, a frame each time that it is run.

The ring is an array of slots: the frame's length (4 bytes), 4 unused, when it is due (ns after the
start), the frame. Who fills it counts what he has put in (``MADE``), the program what it has sent
(``SENT``); a number's slot is its remainder.
"""

from __future__ import annotations

from testbed.link.ebpf import R0, R1, R2, R6, R7, R8, R9, Assembler, Helper
from testbed.link.streams.transmitter import (
    LIMIT,
    SENT,
    copy_frame,
    send_out,
    skip_the_clock,
    wait_until_due,
)

__all__ = ["BYTES", "DUE", "LEAD", "LENGTH", "MADE", "PLAYER_STATE", "START", "WORST", "player"]

KNOWN, START, MADE, BYTES, WORST = 48, 56, 128, 192, 200
"""Words of the state besides those of ``transmitter``: what the program last saw in ``MADE``; when
the schedule begins (ns; 0 before the first run); how many frames lie ready; bytes sent; how late
the latest was (ns). ``MADE`` is written by another CPU than the rest: its cache line is its own."""
PLAYER_STATE = 256

LEAD = 1_000_000
"""Nanoseconds from the first run to the begin of the schedule."""

LENGTH, DUE = 0, 8
"""Where in a slot."""


def player(
    state: int, ring: int, port: int, *, slots: int, stride: int, longest: int, alike: bool,
    burst: int | None,
) -> bytes:  # fmt: skip
    """The program for a ring of ``slots`` (a power of two) of ``stride`` bytes.

    Frames go when they are due, or with ``burst`` at the pace that the state says.
    """
    asm = Assembler()
    asm.mov(R6, R1).load_map_value(R7, state)
    asm.load(R8, R7, SENT)
    # What lies ready is looked up when all that was known of is sent: the counter is another CPU's.
    asm.load(R1, R7, KNOWN).jump_if(R8, "<", R1, "ready")
    asm.load(R1, R7, MADE).store(R7, KNOWN, R1).jump_if(R8, ">=", R1, "idle")
    asm.label("ready")
    if burst is None:
        _find_slot(asm, ring, slots, stride)
        _wait_for_its_time(asm)
    else:
        skip_the_clock(asm)
        wait_until_due(asm, burst)
        _find_slot(asm, ring, slots, stride)
    asm.mov(R1, R8).add(R1, 1).store(R7, SENT, R1)
    asm.load(R1, R9, LENGTH, size=4).load(R2, R7, BYTES).add(R2, R1).store(R7, BYTES, R2)
    copy_frame(asm, longest, alike=alike)
    send_out(asm, port)
    return asm.assemble()


def _find_slot(asm: Assembler, ring: int, slots: int, stride: int) -> None:
    """R9 = the slot of the frame whose number is in R8."""
    asm.mov(R1, R8).bit_and(R1, slots - 1).mul(R1, stride)
    asm.load_map_value(R9, ring).add(R9, R1)


def _wait_for_its_time(asm: Assembler) -> None:
    """Go on when the frame in the slot at R9 is due, and keep how late that is; else idle."""
    asm.load(R1, R7, LIMIT).jump_if(R8, ">=", R1, "idle")
    asm.call(Helper.KTIME_GET_NS)
    # It begins with the first run, not before the kernel is ready, and with all in its cache.
    asm.load(R1, R7, START).jump_if(R1, "!=", 0, "begun")
    asm.mov(R1, R0).add(R1, LEAD).store(R7, START, R1).label("begun")
    asm.load(R2, R9, DUE).add(R2, R1).jump_if(R0, "<", R2, "idle")
    asm.sub(R0, R2).load(R1, R7, WORST).jump_if(R0, "<=", R1, "due")
    asm.store(R7, WORST, R0).label("due")
