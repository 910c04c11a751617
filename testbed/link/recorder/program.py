"""The program in the kernel that records: it writes frames into shared memory, as pcapng blocks.

Each CPU has a ring of its own. Blocks lie one behind the other in ``data``; one that begins before
the ring's end may reach over it, into room that is kept for that. ``index`` has an entry for each
block: where it begins (counted on and on), and its frame's number among all that were to be
recorded. A frame for which there is no room is not recorded, and the next number tells of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    XdpAction,
)
from testbed.link.recorder.tags import put_back, take_out
from testbed.link.recorder.translate import emit_filter
from testbed.link.recorder.wish import Wish
from testbed.wire.pcapng import PACKET_FOOT, PACKET_HEAD, Block

__all__ = [
    "ENTRY",
    "LOST",
    "MATCHED",
    "PASSED",
    "PUBLISHED",
    "SEEN",
    "STATE",
    "STRAY",
    "TAIL",
    "TAIL_POSITION",
    "Layout",
    "recording",
]

STATE: Final = 256
"""Bytes of the state of one ring."""
PUBLISHED, POSITION, SEEN, PASSED, LOST = 0, 8, 16, 24, 32
"""What the program counts: entries that are whole, bytes of blocks, frames that were to be
recorded, all frames, frames for which there was no room."""
TAIL, TAIL_POSITION = 128, 136
"""Up to where the reader has taken entries and bytes: in a cache line that only it writes."""
STRAY: Final = 192
"""In the first ring's state: frames that came on a CPU that has no ring."""

ENTRY: Final = 16
MATCHED: Final = 1 << 63
"""In an entry's number: the frame is one to stop at."""

ETHERNET: Final = 14
SHORT = (32, 64)
"""Halves of frames that are copied without a call."""

_CPU, _LENGTH, _MATCHED, _TAGGED, _SCRATCH = -8, -16, -24, -32, -40
_STACK = -40
"""Below is the part of the filters."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of the rings. ``data`` and ``entries`` are powers of two."""

    rings: int
    data: int
    """Bytes of each ring's data, without the room behind."""
    entries: int
    snap: int
    """Bytes of a frame that are kept at most."""

    @property
    def room(self) -> int:
        """Bytes from one ring's data to the next."""
        return self.data + -(-(self.snap + PACKET_HEAD + PACKET_FOOT + 4) // 4096) * 4096


def recording(
    wish: Wish, layout: Layout, maps: tuple[int, int, int], *, ahead: int, tags: int | None = None
) -> bytes:
    """The program, for the maps ``state``, ``index`` and ``data`` behind descriptors.

    ``ahead`` (ns) is added to CLOCK_MONOTONIC. ``tags`` is the number of the kernel's function
    that tells a tag which travels beside a frame: it is put back meanwhile.
    """
    state, index, data = maps
    asm = Assembler()
    asm.mov(R6, R1).call(Helper.GET_SMP_PROCESSOR_ID)
    asm.jump_if(R0, ">=", layout.rings, "stray")
    asm.store(R10, _CPU, R0).mul(R0, STATE).load_map_value(R7, state).add(R7, R0)
    _count(asm, PASSED)
    if tags is not None:
        put_back(asm, tags, failed="no headroom", tagged=_TAGGED, scratch=_SCRATCH)
    asm.mov(R1, R6).call(Helper.XDP_GET_BUFF_LEN).mov(R9, R0)
    asm.jump_if(R9, "<", ETHERNET, "pass").store(R10, _LENGTH, R9)
    if wish.wanted is not None:
        emit_filter(asm, wish.wanted, "wanted", "pass", _STACK)
        asm.label("wanted")
    asm.store(R10, _MATCHED, 0)
    if wish.until is not None:
        emit_filter(asm, wish.until, "the one", "another", _STACK)
        asm.label("the one").load_constant(R1, MATCHED).store(R10, _MATCHED, R1).label("another")
    _count(asm, SEEN)
    _find_room(asm, layout, data)
    _write_block(asm, ahead)
    _publish(asm, layout, index)
    verdict = XdpAction.DROP if wish.take else XdpAction.PASS
    asm.label("done").mov(R8, verdict).jump("end")
    asm.label("pass").mov(R8, XdpAction.PASS)
    asm.label("end")
    if tags is not None:
        take_out(asm, tagged=_TAGGED)
    asm.mov(R0, R8).exit()
    if tags is not None:
        asm.label("no headroom")
        _count(asm, SEEN)
    asm.label("full")
    _count(asm, LOST)
    asm.jump("done")
    asm.label("stray").load_map_value(R1, state).mov(R2, 1).atomic("+=", R1, STRAY, R2)
    return asm.mov(R0, XdpAction.PASS).exit().assemble()


def _count(asm: Assembler, offset: int) -> None:
    asm.load(R1, R7, offset).add(R1, 1).store(R7, offset, R1)


def _find_room(asm: Assembler, layout: Layout, data: int) -> None:
    """From here on R8 is how much is kept of the frame, and R9 where its block goes."""
    asm.mov(R8, R9).jump_if(R8, "<=", layout.snap, "short").mov(R8, layout.snap).label("short")
    asm.load(R1, R7, PUBLISHED).load(R2, R7, TAIL).sub(R1, R2)
    asm.jump_if(R1, ">=", layout.entries, "full")
    asm.load(R3, R7, POSITION).mov(R1, R3).add(R1, R8).add(R1, PACKET_HEAD + PACKET_FOOT + 3)
    asm.load(R2, R7, TAIL_POSITION).sub(R1, R2).jump_if(R1, ">", layout.data, "full")
    asm.bit_and(R3, layout.data - 1)
    asm.load(R1, R10, _CPU).mul(R1, layout.room).add(R3, R1)
    asm.load_map_value(R9, data).add(R9, R3)


def _write_block(asm: Assembler, ahead: int) -> None:
    asm.call(Helper.KTIME_GET_NS).load_constant(R1, ahead).add(R0, R1)
    asm.store(R9, 0, Block.PACKET, size=4).store(R9, 8, 0, size=4)  # of interface 0
    asm.store(R9, 16, R0, size=4).shift_right(R0, 32).store(R9, 12, R0, size=4)
    asm.load(R1, R10, _LENGTH).store(R9, 20, R8, size=4).store(R9, 24, R1, size=4)
    # The last word of the frame is cleared for its padding before the frame is put there.
    asm.mov(R2, R8).add(R2, 3).bit_and(R2, 0x1FFFC).mov(R3, R2).add(R3, PACKET_HEAD + PACKET_FOOT)
    asm.store(R9, 4, R3, size=4).mov(R1, R9).add(R1, R2)
    asm.store(R1, PACKET_HEAD - 4, 0, size=4).store(R1, PACKET_HEAD, R3, size=4)
    _copy_short(asm)
    # No frame is empty; a filter that looked at its length can have made the verifier forget that.
    asm.jump_if(R8, "<", 1, "full")
    asm.mov(R1, R6).mov(R2, 0).mov(R3, R9).add(R3, PACKET_HEAD).mov(R4, R8)
    asm.call(Helper.XDP_LOAD_BYTES).jump_if(R0, "!=", 0, "full").label("copied")


def _copy_short(asm: Assembler) -> None:
    """Copy a short frame by its two ends, which may overlap: a call would take as long as all else.

    Others, and those that do not lie in one piece, fall through.
    """
    asm.load(R4, R6, 0, size=4).load(R5, R6, 4, size=4)
    asm.jump_if(R8, "<", SHORT[0], "copy").jump_if(R8, ">", 2 * SHORT[-1], "copy")
    for half, longer in zip(SHORT, (*SHORT[1:], 0), strict=True):
        asm.label(f"half {half}")
        if longer:
            asm.jump_if(R8, ">", 2 * half, f"half {longer}")
        asm.mov(R1, R4).add(R1, half).jump_if(R1, ">", R5, "copy")
        asm.mov(R2, R8).sub(R2, half).mov(R3, R9).add(R3, R2)
        asm.add(R2, R4).mov(R1, R2).add(R1, half).jump_if(R1, ">", R5, "copy")
        for at in range(0, half, 8):
            asm.load(R1, R4, at).store(R9, PACKET_HEAD + at, R1)
        for at in range(0, half, 8):
            asm.load(R1, R2, at).store(R3, PACKET_HEAD + at, R1)
        asm.jump("copied")
    asm.label("copy")


def _publish(asm: Assembler, layout: Layout, index: int) -> None:
    asm.load(R3, R7, PUBLISHED).bit_and(R3, layout.entries - 1).shift_left(R3, 4)
    asm.load(R1, R10, _CPU).mul(R1, layout.entries * ENTRY).add(R3, R1)
    asm.load_map_value(R2, index).add(R2, R3)
    asm.load(R4, R7, POSITION).store(R2, 0, R4)
    asm.load(R5, R7, SEEN).load(R1, R10, _MATCHED).bit_or(R5, R1).store(R2, 8, R5)
    asm.load(R5, R9, 4, size=4).add(R4, R5).store(R7, POSITION, R4)
    # Fetching makes it a barrier: whoever sees the count sees the block.
    asm.mov(R1, 1).atomic("+=", R7, PUBLISHED, R1, fetch=True)
