"""A TPACKET_V2 receive ring: frames that the kernel writes into memory shared with it.

Documentation/networking/packet_mmap.rst; linux/if_packet.h.
"""

from __future__ import annotations

import mmap
import socket
import struct
from collections.abc import Callable

from testbed.errors import LinkError
from testbed.timing import Instant
from testbed.wire.frame import Direction, Frame

__all__ = ["ReceiveRing"]

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_TIMESTAMP = 5, 6, 10, 17
TPACKET_V2 = 1

TP_STATUS_KERNEL = 0
TP_STATUS_USER = 1 << 0
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
TP_STATUS_TS_RAW_HARDWARE = 1 << 31
SOF_TIMESTAMPING_RAW_HARDWARE = 1 << 6  # linux/net_tstamp.h

SLOT = struct.Struct("=IIIHHIIHH")
"""tpacket2_hdr: status, wire length, captured length, offset of the MAC header, offset of the
network header, seconds, nanoseconds, VLAN TCI, VLAN TPID."""
STATUS = struct.Struct("=I")
PACKET_TYPE = 42  # sockaddr_ll follows the header at 32; its sll_pkttype is at 10
PACKET_OUTGOING = 4
STATISTICS = struct.Struct("=II")
HEADROOM = 66  # where the kernel puts a frame in its slot: align(32 + 20 + 16, 16) - 14
TAGS = 14 + 8  # an Ethernet header and up to two tags over the MTU
ALIGNMENT = 16
TPID_8021Q = 0x8100
MIN_SIZE, MAX_SIZE = 1 << 16, 1 << 30
CUT = 12  # a tag goes behind the two addresses


class ReceiveRing:
    """The ring of one packet socket, which must not be bound yet.

    ``size`` is the memory in bytes (LinkError unless 64 KiB to 1 GiB); slots hold a whole frame
    of ``mtu``. Longer frames (which an offload makes) are cut, and say so by their wire length.
    Frames have the kernel's software stamp; with ``to_wall``, which makes a time of CLOCK_REALTIME
    of the NIC's, they have that, where the NIC stamped them.
    """

    def __init__(
        self,
        packets: socket.socket,
        mtu: int,
        size: int,
        to_wall: Callable[[int], int] | None = None,
    ) -> None:
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise LinkError(f"a receive ring of {size} bytes: expected {MIN_SIZE} to {MAX_SIZE}")
        slot = -(-(HEADROOM + mtu + TAGS) // ALIGNMENT) * ALIGNMENT
        page = mmap.PAGESIZE
        block = max(page, MIN_SIZE, -(-slot // page) * page)
        self._per_block = block // slot
        blocks = max(1, size // block)
        self.slots = blocks * self._per_block
        self._packets = packets
        self._to_wall = to_wall
        packets.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        if to_wall is not None:
            packets.setsockopt(SOL_PACKET, PACKET_TIMESTAMP, SOF_TIMESTAMPING_RAW_HARDWARE)
        request = struct.pack("=4I", block, blocks, slot, self.slots)  # tpacket_req
        packets.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        self._memory = mmap.mmap(packets.fileno(), block * blocks)
        offsets = ((n // self._per_block, n % self._per_block) for n in range(self.slots))
        self._offsets = [b * block + k * slot for b, k in offsets]
        self._next = 0
        self._dropped = 0
        self.unfinished = 0
        """Frames seen with a checksum that was left to the NIC: an offload is on somewhere."""

    def take(self) -> list[Frame]:
        """All frames that wait, at most one ring full, oldest first."""
        frames = []
        memory = self._memory
        for _ in range(self.slots):
            offset = self._offsets[self._next]
            status, wire, kept, start, _, sec, nsec, tci, tpid = SLOT.unpack_from(memory, offset)
            if not status & TP_STATUS_USER:
                break
            first = offset + start
            data = memory[first : first + kept]
            outgoing = memory[offset + PACKET_TYPE] == PACKET_OUTGOING
            STATUS.pack_into(memory, offset, TP_STATUS_KERNEL)
            self._next = (self._next + 1) % self.slots
            if status & TP_STATUS_VLAN_VALID:
                kind = tpid if status & TP_STATUS_VLAN_TPID_VALID else TPID_8021Q
                data = data[:CUT] + struct.pack("!HH", kind, tci) + data[CUT:]
                wire += 4
            if status & TP_STATUS_CSUMNOTREADY:
                self.unfinished += 1
            at = sec * 1_000_000_000 + nsec
            if status & TP_STATUS_TS_RAW_HARDWARE and self._to_wall is not None:
                at = self._to_wall(at)
            frames.append(
                Frame(data, Instant(at), Direction.OUT if outgoing else Direction.IN, wire)
            )
        # The kernel stamps a frame before it waits its turn to be put into the ring.
        frames.sort(key=_time)
        return frames

    def dropped(self) -> int:
        """Frames for which the ring had no room, since it was made."""
        # Reading resets the kernel's count.
        answer = self._packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size)
        self._dropped += STATISTICS.unpack(answer)[1]
        return self._dropped

    def close(self) -> None:
        """Release the memory; closing twice is no error."""
        self._memory.close()


def _time(frame: Frame) -> int:
    return frame.at
