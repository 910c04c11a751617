"""Recording by a TPACKET_V3 ring of a packet socket: what works on every interface.

Documentation/networking/packet_mmap.rst; linux/if_packet.h.
"""

from __future__ import annotations

import contextlib
import mmap
import socket
import struct

import numpy as np

from testbed.errors import LinkError
from testbed.link.recorder.batch import Batch, Bytes, Ints, build_blocks, copy_rows
from testbed.link.recorder.classic import Classic, Code
from testbed.link.recorder.outcome import Clock
from testbed.link.recorder.promiscuous import SOL_PACKET, hear_all
from testbed.link.recorder.sift import sift
from testbed.link.recorder.wish import Wish

__all__ = ["RingEngine", "can_ring"]

PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_RESERVE = 5, 6, 10, 12
PACKET_IGNORE_OUTGOING = 23
TPACKET_V3 = 2
SO_TIMESTAMPNS, SO_ATTACH_FILTER = 35, 26  # asm-generic/socket.h
ETH_P_ALL = 3

TP_STATUS_USER = 1 << 0
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
TPID_8021Q = 0x8100

BLOCK = 1 << 18
SLOT = 2048  # the kernel wants a frame size of a V3 ring, and does not use it
RETIRE_MS = 10
"""A block that is not full is handed over so long after its first frame."""
STATUS, COUNT, FIRST = 8, 12, 16
"""tpacket_block_desc: whose it is, how many frames it has, where the first is."""
HEADER = 38
"""tpacket3_hdr, up to its last field that is looked at."""
TAG, ADDRESSES = 4, 12
MOST_BLOCKS = 16
"""Taken at a time: so much of the ring is not free meanwhile."""

_TAGGED = Code(0x20, k=0xFFFF_F000 + 48)  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT


class RingEngine:
    """``Engine`` on any interface of this thread's network namespace.

    It cannot keep frames from others. Raises LinkError where there is no such interface, or packet
    sockets are refused.
    """

    name = "TPACKET_V3"

    def __init__(self, wish: Wish, interface: str) -> None:
        self.clock = Clock(
            "CLOCK_REALTIME", "the kernel's software stamp as its network stack gets the frame"
        )
        self._snap = wish.snap
        self._wanted = wish.wanted
        self._until = wish.until
        self._interface = interface
        self._blocks = max(2, wish.ring // BLOCK)
        self._next = 0
        self._held = 0
        self._taken = 0  # frames that came out of the ring
        self._counted = 0  # frames that the kernel says were for it
        self._lost = 0  # of these, such as are not told of yet
        self._all_lost = 0
        try:
            with contextlib.ExitStack() as undo:
                kind = socket.SOCK_RAW
                self._packets = undo.enter_context(socket.socket(socket.AF_PACKET, kind, 0))
                self._memory = self._open()
                undo.callback(self._unmap)
                self._resources = undo.pop_all()
        except OSError as error:
            what = f"{interface}: cannot record with a ring of {self._blocks * BLOCK} bytes"
            raise LinkError(f"{what}: {error.strerror}") from error
        self._bytes: Bytes = np.frombuffer(self._memory, np.uint8)
        self._words = self._bytes.view(np.uint32)

    def _open(self) -> mmap.mmap:
        packets = self._packets
        packets.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        # Tags travel beside the frame: there must be room to put one back into it.
        packets.setsockopt(SOL_PACKET, PACKET_RESERVE, TAG)
        packets.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._attach_filter()
        slots = self._blocks * (BLOCK // SLOT)
        request = struct.pack("=7I", BLOCK, self._blocks, SLOT, slots, RETIRE_MS, 0, 0)
        packets.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        memory = mmap.mmap(packets.fileno(), BLOCK * self._blocks)
        hear_all(packets, self._interface)
        packets.bind((self._interface, ETH_P_ALL))  # last: nothing of other interfaces comes
        return memory

    def _attach_filter(self) -> None:
        """Let the kernel filter frames without a tag: the program is of frames that have theirs."""
        accept, reject = Code(0x06, k=self._snap), Code(0x06, k=0)
        if self._wanted is None:
            program = Classic((accept,))
            before: tuple[Code, ...] = ()
        else:
            ends = {True: accept, False: reject}
            codes = (ends[c.k != 0] if c.code == 0x06 else c for c in self._wanted.codes)
            program = Classic(tuple(codes))
            before = (_TAGGED, Code(0x15, jt=1, k=0), accept)
        code = program.packed(*before)
        held = mmap.mmap(-1, len(code))
        held.write(code)
        memory = np.frombuffer(held, np.uint8)
        filter_ = struct.pack("HxxxxxxP", len(code) // 8, memory.ctypes.data)  # sock_fprog
        self._packets.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)

    @property
    def passed(self) -> int:
        """Frames that came, wanted or not, as far as this socket heard of them."""
        self._count()
        return self._counted

    def take(self) -> list[Batch]:
        """What waits, or a part of it."""
        batches = []
        while self._held < min(self._blocks, MOST_BLOCKS):
            block = (self._next + self._held) % self._blocks * BLOCK
            if not self._words[block + STATUS >> 2] & TP_STATUS_USER:
                break
            self._held += 1
            batch = self._read(block)
            if len(batch):
                batches.append(batch)
        if batches and self._lost:
            batches[0].losses = [(0, self._lost)]
            self._lost = 0
        return batches

    def release(self) -> None:
        """Give the blocks that were taken back to the kernel."""
        for _ in range(self._held):
            self._words[self._next * BLOCK + STATUS >> 2] = 0
            self._next = (self._next + 1) % self._blocks
        if self._held:
            # What was lost until now was lost before anything that comes into these blocks.
            self._count()
        self._held = 0

    def stop(self) -> None:
        """Hear no more: the kernel hands the last block over in its time."""
        with contextlib.suppress(OSError):  # the interface is gone, and nothing comes any more
            self._packets.bind((self._interface, 0))

    @property
    def drained(self) -> bool:
        """Whether all frames that the kernel counted have been taken."""
        self._count()
        return self._taken + self._all_lost == self._counted

    def lost_at_end(self) -> int:
        """Frames lost behind the last one."""
        self._count()
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Give everything back; twice is no error."""
        self._bytes = self._bytes[:0].copy()
        self._words = self._words[:0].copy()
        self._resources.close()

    def _unmap(self) -> None:
        self._memory.close()

    def _count(self) -> None:
        """Reading resets the kernel's counts."""
        if self._packets.fileno() < 0:
            return
        answer = self._packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        counted, lost, _ = struct.unpack("=3I", answer)
        self._counted += counted
        self._lost += lost
        self._all_lost += lost

    def _read(self, block: int) -> Batch:
        """The frames of a block."""
        count = int(self._words[block + COUNT >> 2])
        self._taken += count
        at = self._walk(block + int(self._words[block + FIRST >> 2]), count)
        heads = at >> 2
        words = self._words
        times = words[heads + 1].astype(np.int64) * 1_000_000_000 + words[heads + 2]
        kept, lengths = words[heads + 3].astype(np.int64), words[heads + 4].astype(np.int64)
        starts = at + (words[heads + 6] & 0xFFFF)
        status = words[heads + 5]
        tagged = np.flatnonzero(status & TP_STATUS_VLAN_VALID)
        if len(tagged):
            self._put_back(tagged, heads, status, starts)
            starts[tagged] -= TAG
            lengths[tagged] += TAG
            kept[tagged] = np.minimum(kept[tagged] + TAG, self._snap)
            if self._wanted is not None:
                fit = np.ones(count, np.bool_)
                columns = (each[tagged] for each in (starts, kept, lengths))
                fit[tagged] = sift(self._wanted, self._bytes, *columns)
                times, kept, lengths, starts = (
                    each[fit] for each in (times, kept, lengths, starts)
                )
        batch = build_blocks(self._bytes, starts, kept, lengths, times)
        if self._until is not None:
            batch.matched = sift(self._until, self._bytes, starts, kept, lengths)
        return batch

    def _walk(self, first: int, count: int) -> Ints:
        """Where the headers of ``count`` frames are. Most often all have the same distance."""
        words = self._words
        step = int(words[first >> 2]) if count else 0
        guess = first + step * np.arange(count, dtype=np.int64)
        if count and guess[-1] < len(words) * 4 and (words[guess[:-1] >> 2] == step).all():
            return guess
        places, at, view = [], first >> 2, memoryview(self._memory).cast("I")
        for _ in range(count):
            places.append(at)
            at += view[at] >> 2
        return np.array(places, np.int64) << 2

    def _put_back(self, tagged: Ints, heads: Ints, status: Ints, starts: Ints) -> None:
        """Put tags back into frames, whose addresses move to make room."""
        memory, rows = self._bytes, starts[tagged]
        sizes = np.full(len(tagged), ADDRESSES)
        addresses = np.empty(len(tagged) * ADDRESSES, np.uint8)
        places = np.arange(len(tagged)) * ADDRESSES
        copy_rows(memory, rows, addresses, places, sizes)
        copy_rows(addresses, places, memory, rows - TAG, sizes)
        told = status[tagged] & TP_STATUS_VLAN_TPID_VALID
        kinds = np.where(told, self._words[heads[tagged] + 9] & 0xFFFF, TPID_8021Q)
        tags = kinds.astype(np.int64) << 16 | self._words[heads[tagged] + 8] & 0xFFFF
        for byte in range(TAG):
            memory[rows - TAG + ADDRESSES + byte] = tags >> 8 * (TAG - 1 - byte) & 0xFF


def can_ring() -> tuple[bool, str]:
    """Whether this process may record by it, and how or why not."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        return False, f"packet sockets are refused: {error.strerror}"
    return True, "on every interface"
