"""The receiver in the kernel: an XDP program that counts signed frames, stream by stream.

It computes what ``StreamTally.hear`` defines. Of its 35 ns a frame the clock takes 30, and waits
for whatever the CPU has begun: so it is read first. The rest is made for frames that come in order:
these touch three of a stream's cache lines (two of counts, one of the histogram), branch as the
last frame did, and divide nothing. All that is only needed for gaps, late frames, duplicates and
restarts is out of their way.

Registers: R6 the frame's number, R7 the stream's entry, R8 the transit time, R9 the frame's size.
"""

from __future__ import annotations

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
    Assembler,
    Helper,
    Register,
    XdpAction,
)
from testbed.link.streams.signing import MARK, SIZE, STREAMS
from testbed.link.streams.tally import BUCKETS, PARTS, WINDOW

__all__ = [
    "ARRIVED",
    "DUE",
    "DUPLICATES",
    "EARLIER",
    "ENTRY",
    "HISTOGRAM",
    "JITTER",
    "LATE",
    "LEAST",
    "MEMORY",
    "MOST",
    "MOST_EXTENT",
    "NEWEST",
    "OCTETS",
    "OTHERS",
    "RESTARTS",
    "SEEN",
    "STALE",
    "TOTAL",
    "TOTAL_EXTENT",
    "TRANSIT",
    "UNHEARD",
    "counting",
]

LINE = 64

# An entry, in words of 64 bits. The first line is read and written for every frame.
DUE, SEEN, OCTETS, TOTAL, LEAST, MOST, TRANSIT, JITTER = range(0, LINE, 8)
# Of the second one, the first two are.
NEWEST, ARRIVED, EARLIER, RESTARTS, DUPLICATES, LATE, STALE, TOTAL_EXTENT = range(LINE, 2 * LINE, 8)
MOST_EXTENT, GAPS, GAPS_DUE = range(2 * LINE, 2 * LINE + 24, 8)
"""``ARRIVED``: frames without duplicates and the stale. ``GAPS``: which of the WINDOW frames before
``GAPS_DUE`` left a gap behind them."""
ARRIVALS = 3 * LINE
"""What ARRIVED was when each of these came, in 32 bits, by the frame's number modulo WINDOW."""
HISTOGRAM = ARRIVALS + 4 * WINDOW
ENTRY = HISTOGRAM + 8 * BUCKETS
"""Bytes of one stream. An odd number of lines: so entries spread over all sets of a cache."""
OTHERS = STREAMS * ENTRY
"""Where the number is of frames that are not signed."""
MEMORY = OTHERS + 8

UNHEARD = (1 << 64) - 1
"""LEAST of a stream of which nothing came: it has to be put there first."""
LONGEST = 16_000
NEAR = 20
"""Bits of a latency that is sought in the tree at once: 1 ms."""
STEP = 16
"""Bits by which others are shifted before, which puts them so many buckets higher:"""
STEP_BUCKETS = STEP * PARTS


def counting(memory: int, *, take: bool, clock: int | None = None) -> bytes:
    """The program, for the map behind a descriptor; ``take``: signed frames go no further.

    ``clock`` is the descriptor of a map that holds the time, in place of the kernel's clock: for
    tests that must know it.
    """
    asm = Assembler()
    asm.mov(R6, R1)
    if clock is None:
        asm.call(Helper.KTIME_GET_NS)
    else:
        asm.load_map_value(R0, clock).load(R0, R0, 0)
    _find_entry(asm, memory)
    asm.mov(R5, R8).sub(R0, R8).mov(R8, R0)  # R5 = when it was sent, until _count_order
    _count_time(asm)
    _count_order(asm)
    asm.mov(R0, XdpAction.DROP if take else XdpAction.PASS).exit()
    _count_gap(asm)
    _look_back(asm)
    asm.label("other").load_map_value(R1, memory, OTHERS).mov(R2, 1).atomic("+=", R1, 0, R2)
    asm.mov(R0, XdpAction.PASS).exit()
    return asm.assemble()


def _find_entry(asm: Assembler, memory: int) -> None:
    asm.load(R2, R6, 0, size=4).load(R3, R6, 4, size=4)
    asm.mov(R9, R3).sub(R9, R2)
    asm.mov(R4, R9).sub(R4, SIZE).jump_if(R4, ">", LONGEST - SIZE, "other")  # or below zero
    asm.add(R2, R4).mov(R4, R2).add(R4, SIZE)
    asm.jump_if(R4, ">", R3, "other")  # it cannot be, and the verifier must see that
    # Mark and stream in one: what is left of both, less the mark, is the stream.
    asm.load(R1, R2, 0).to_big_endian(R1, 64).load_constant(R4, MARK << 32).sub(R1, R4)
    asm.jump_if(R1, ">=", STREAMS, "other")
    asm.load(R6, R2, 8).to_big_endian(R6, 64)
    asm.load(R8, R2, 16).to_big_endian(R8, 64)
    asm.mul(R1, ENTRY).load_map_value(R7, memory).add(R7, R1)


def _add(asm: Assembler, offset: int) -> None:
    """One more of these, and how many there are then in R1."""
    asm.load(R1, R7, offset).add(R1, 1).store(R7, offset, R1)


def _count_time(asm: Assembler) -> None:
    """Jitter, octets, latency and its histogram; R8 is lost."""
    asm.load(R1, R7, TRANSIT).store(R7, TRANSIT, R8).load(R2, R7, LEAST)
    asm.jump_if(R2, "==", -1, "first")  # UNHEARD
    asm.mov(R3, R8).sub(R3, R1).mov(R4, R3).shift_signed(R4, 63).bit_xor(R3, R4).sub(R3, R4)
    asm.load(R1, R7, JITTER).add(R3, R1).add(R1, 8).shift_right(R1, 4).sub(R3, R1)
    asm.store(R7, JITTER, R3)
    asm.label("first").jump_if(R8, "s>=", 0, "past").mov(R8, 0).label("past")
    asm.jump_if(R8, ">=", R2, "not least").store(R7, LEAST, R8).label("not least")
    asm.load(R1, R7, MOST).jump_if(R8, "<=", R1, "not most").store(R7, MOST, R8)
    asm.label("not most").load(R1, R7, OCTETS).add(R1, R9).store(R7, OCTETS, R1)
    asm.load(R1, R7, TOTAL).add(R1, R8).store(R7, TOTAL, R1)
    _find_bucket(asm)
    asm.shift_left(R8, 3).add(R8, R7)
    asm.load(R1, R8, HISTOGRAM).add(R1, 1).store(R8, HISTOGRAM, R1)


def _find_bucket(asm: Assembler) -> None:
    """R8, a latency, becomes its bucket: see ``bucket_of``."""
    asm.jump_if(R8, "<", 1 << NEAR, "near")
    asm.mov(R1, STEP_BUCKETS).shift_right(R8, STEP).jump_if(R8, "<", 1 << NEAR, "far")
    asm.add(R1, STEP_BUCKETS).shift_right(R8, STEP).jump_if(R8, "<", 1 << NEAR, "far")
    asm.mov(R8, BUCKETS - 1).jump("bucket")
    asm.label("near").mov(R1, 0).label("far")
    _tree(asm, 0, NEAR - 4)
    asm.label("found").add(R8, R1)
    asm.jump_if(R8, "<", BUCKETS, "bucket").mov(R8, BUCKETS - 1).label("bucket")


def _tree(asm: Assembler, least: int, most: int) -> None:
    """Scale R8, of 4 + ``least`` bits or fewer to 4 + ``most``: a jump for each halving."""
    if least == most:
        if least:
            asm.shift_right(R8, least).add(R8, PARTS * least)
        asm.jump("found")
        return
    middle = (least + most) // 2
    longer = asm.unique("longer")
    asm.jump_if(R8, ">=", 1 << middle + 4, longer)
    _tree(asm, least, middle)
    asm.label(longer)
    _tree(asm, middle + 1, most)


def _count_order(asm: Assembler) -> None:
    """Go on here with a frame that is the next one, elsewhere with all others; R5 is lost."""
    asm.load(R3, R7, DUE).load(R1, R7, SEEN).jump_if(R6, "!=", R3, "not next")
    asm.shift_left(R1, 1).bit_or(R1, 1).store(R7, SEEN, R1)
    asm.add(R6, 1).store(R7, DUE, R6).store(R7, NEWEST, R5)
    _add(asm, ARRIVED)
    asm.label("done")


def _count_gap(asm: Assembler) -> None:
    """A number that is new, and not the next: what is between has not come. R3 = what was due."""
    asm.label("not next").mov(R4, R6).sub(R4, R3).jump_if(R4, "s<", 0, "not new")
    asm.label("new").store(R7, NEWEST, R5)
    _shift(asm, R4)
    asm.store(R7, SEEN, R1)
    _add(asm, ARRIVED)
    asm.mov(R2, R6).bit_and(R2, WINDOW - 1).shift_left(R2, 2).add(R2, R7)
    asm.store(R2, ARRIVALS, R1, size=4)
    asm.load(R2, R7, GAPS_DUE).load(R1, R7, GAPS).mov(R4, R6).sub(R4, R2)
    _shift(asm, R4)
    asm.store(R7, GAPS, R1)
    asm.add(R6, 1).store(R7, GAPS_DUE, R6).store(R7, DUE, R6).jump("done")


def _shift(asm: Assembler, skipped: Register) -> None:
    """R1, the window, goes on by the number in a register and one more; that one came."""
    wide, shifted = asm.unique("wide"), asm.unique("shifted")
    asm.jump_if(skipped, ">=", WINDOW - 1, wide).add(skipped, 1).shift_left(R1, skipped)
    asm.bit_or(R1, 1).jump(shifted).label(wide).mov(R1, 1).label(shifted)


def _look_back(asm: Assembler) -> None:
    """A number that is not new. R1 = the window, R3 = what is due, R4 = the number less that."""
    asm.label("not new").load(R2, R7, NEWEST).mov(R0, R5).sub(R0, R2)
    asm.jump_if(R0, "s>", 0, "anew")
    asm.bit_xor(R4, -1).jump_if(R4, ">=", WINDOW, "stale")  # R4 = how many came since
    asm.mov(R5, 1).shift_left(R5, R4).jump_if(R1, "&", R5, "again")
    asm.bit_or(R1, R5).store(R7, SEEN, R1)
    _add(asm, LATE)
    _add(asm, ARRIVED)
    _count_extent(asm)
    asm.jump("done").label("stale")
    _add(asm, STALE)
    asm.jump("done").label("again")
    _add(asm, DUPLICATES)
    asm.jump("done").label("anew")
    _add(asm, RESTARTS)
    asm.load(R1, R7, EARLIER).add(R1, R3).store(R7, EARLIER, R1)
    asm.store(R7, GAPS, 0).store(R7, GAPS_DUE, 0)
    asm.mov(R1, 0).mov(R4, R6).jump("new")


def _count_extent(asm: Assembler) -> None:
    """How far behind its overtaker a late frame came. R1 = its arrival's number."""
    asm.mov(R0, R1)
    # The first that overtook it has the least number above its own, of those with a gap: it is the
    # highest bit of GAPS below the frame's own.
    asm.load(R3, R7, GAPS_DUE).mov(R4, R3).sub(R4, 1).sub(R4, R6).bit_and(R4, WINDOW - 1)
    asm.mov(R5, 1).shift_left(R5, R4).sub(R5, 1)
    asm.load(R2, R7, GAPS).bit_and(R2, R5).mov(R1, 1)
    for half in (32, 16, 8, 4, 2, 1):
        small = asm.unique("small")
        asm.mov(R4, R2).shift_right(R4, half).jump_if(R4, "==", 0, small)
        asm.mov(R2, R4).add(R1, half).label(small)
    asm.sub(R3, R1).bit_and(R3, WINDOW - 1).shift_left(R3, 2).add(R3, R7)
    asm.load(R2, R3, ARRIVALS, size=4).sub(R0, R2, bits=32)
    asm.load(R1, R7, TOTAL_EXTENT).add(R1, R0).store(R7, TOTAL_EXTENT, R1)
    asm.load(R1, R7, MOST_EXTENT).jump_if(R0, "<=", R1, "not farthest")
    asm.store(R7, MOST_EXTENT, R0).label("not farthest")
