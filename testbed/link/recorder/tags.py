"""VLAN tags that travel beside a frame, in the program that records: back into it, and out again.

What a bridge or a VLAN device sends over a veth has its tag in the kernel's notes on the frame, as
has what a NIC has taken the tag out of. On the wire it is in the frame, and so it is recorded.
"""

from __future__ import annotations

from typing import Final

from testbed.link.ebpf import R0, R1, R2, R3, R4, R5, R6, R10, Assembler, Helper

__all__ = ["FUNCTION", "put_back", "take_out"]

FUNCTION: Final = "bpf_xdp_metadata_rx_vlan_tag"
"""Tells the tag of a frame (Linux 6.8)."""
TAG, ADDRESSES = 4, 12


def put_back(asm: Assembler, function: int, *, failed: str, tagged: int, scratch: int) -> None:
    """Where the frame of the context in R6 has a tag beside it, move it into the frame.

    ``tagged`` is a word of the stack that tells take_out() so, ``scratch`` one to use. Goes to
    ``failed`` where there is no room in front of the frame.
    """
    asm.store(R10, tagged, 0).store(R10, scratch, 0)
    asm.mov(R1, R6).mov(R2, R10).add(R2, scratch).mov(R3, R2).add(R3, 4)
    asm.call_function(function).jump_if(R0, "!=", 0, "in the frame")
    asm.mov(R1, R6).mov(R2, -TAG).call(Helper.XDP_ADJUST_HEAD).jump_if(R0, "!=", 0, failed)
    asm.store(R10, tagged, 1)
    _point(asm, failed)
    # The addresses first: they lie where the tag goes.
    asm.load(R1, R4, TAG).load(R2, R4, TAG + 8, size=4)
    asm.store(R4, 0, R1).store(R4, 8, R2, size=4)
    asm.load(R1, R10, scratch, size=2).store(R4, ADDRESSES, R1, size=2)  # as on the wire
    asm.load(R1, R10, scratch + 4, size=2).to_big_endian(R1, 16)
    asm.store(R4, ADDRESSES + 2, R1, size=2).label("in the frame")


def take_out(asm: Assembler, *, tagged: int) -> None:
    """Leave the frame as it came: the tag is still beside it."""
    asm.load(R1, R10, tagged).jump_if(R1, "==", 0, "as it came")
    _point(asm, "as it came")
    asm.load(R1, R4, 0).load(R2, R4, 8, size=4)
    asm.store(R4, TAG, R1).store(R4, TAG + 8, R2, size=4)
    asm.mov(R1, R6).mov(R2, TAG).call(Helper.XDP_ADJUST_HEAD).label("as it came")


def _point(asm: Assembler, otherwise: str) -> None:
    """R4 = the frame, of which its first 16 bytes can be reached."""
    asm.load(R4, R6, 0, size=4).load(R5, R6, 4, size=4)
    asm.mov(R1, R4).add(R1, ADDRESSES + TAG).jump_if(R1, ">", R5, otherwise)
