"""UDP streams sent as a few huge datagrams that the kernel cuts into frames (UDP GSO)."""

from __future__ import annotations

import errno
import os
import socket
import struct

import numpy as np

from testbed.errors import Unsupported
from testbed.link.ethtool import Ethtool
from testbed.link.streams.flow import Compiled
from testbed.link.streams.job import Job, Outlet
from testbed.link.streams.packets import SOL_PACKET, PacketSender
from testbed.link.streams.places import lay_out
from testbed.link.streams.render import Rows
from testbed.link.streams.values import Increment
from testbed.wire.ipv4 import IpProtocol

__all__ = ["SegmentSender", "can_segment"]

PACKET_VNET_HDR = 15  # linux/if_packet.h
VNET = struct.Struct("=BBHHHH")
"""virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
NEEDS_CSUM, GSO_UDP_L4 = 1, 5  # linux/virtio_net.h
SEGMENTS = 64
"""Frames of one datagram: linux/udp.h, UDP_MAX_SEGMENTS before Linux 6.8."""
LONGEST = 65_535 - 60  # of an IPv4 packet, less the longest header
DATAGRAM = 8


class SegmentSender(PacketSender):
    """``Sender`` for UDP whose headers differ in nothing but the identification, counted up.

    That is how the kernel cuts a datagram (RFC 6864 4.1 lets it). Raises Unsupported, with the
    reason, for any other job, and where the driver would hand datagrams on uncut.
    """

    name = "UDP GSO"

    def __init__(self, job: Job, outlet: Outlet) -> None:
        template = _require_fit(job)
        _require_cutting(outlet)
        # Only the queue in front of a NIC cuts; what goes past it is sent as it is or not at all.
        super().__init__(job, outlet, captured=True)
        self._ip = next(at for at in (14, 18, 22) if template[at - 2 : at] == b"\x08\x00")
        self._udp = self._ip + (template[self._ip] & 15) * 4
        self._headers = self._udp + DATAGRAM
        self._size = len(template) - self._headers
        self._at_once = min(SEGMENTS, LONGEST // self._size)
        room = VNET.size + self._headers + self._at_once * self._size
        self._datagram = np.zeros(room, np.uint8)
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            self._socket.setblocking(False)
        except OSError as error:
            self.stop()
            raise Unsupported(f"this kernel takes no datagrams to cut: {error}") from error

    def _send(self, count: int, now: int) -> None:
        feed = self._feed
        feed.fill(self._handed, count, now)
        done = 0
        while done < count and not self._stop.is_set():
            frames = min(self._at_once, count - done)
            if self._send_datagram(feed.rows[done : done + frames], frames):
                done += frames
                self._handed += frames

    def _send_datagram(self, rows: Rows, frames: int) -> bool:
        """Send so many frames as one datagram; False where there was no room for it."""
        head = bytearray(rows[0, : self._headers].tobytes())
        length = DATAGRAM + frames * self._size
        struct.pack_into("!H", head, self._ip + 2, self._udp - self._ip + length)
        struct.pack_into("!H", head, self._udp + 4, length)
        # Of the checksum, the sum of the pseudo header is the sender's part.
        addresses = struct.unpack_from("!4H", head, self._ip + 12)
        total = sum(addresses) + IpProtocol.UDP + length
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", head, self._udp + 6, total)
        # A datagram of one frame is not cut.
        kind, size = (GSO_UDP_L4, self._size) if frames > 1 else (0, 0)
        vnet = VNET.pack(NEEDS_CSUM, kind, self._headers, size, self._udp, 6)
        start = VNET.size + self._headers
        end = start + frames * self._size
        self._datagram[:start] = np.frombuffer(vnet + head, np.uint8)
        payload = rows[:, self._headers : self._headers + self._size]
        self._datagram[start:end].reshape(frames, self._size)[:] = payload
        try:
            self._socket.send(memoryview(self._datagram[:end].data))
        except OSError as error:
            self._wait_for_room(error.errno or 0)
            return False
        return True


def _require_fit(job: Job) -> bytes:
    """The one template of a job that can be sent so; Unsupported for any other."""
    flows = job.blend.flows
    if len(flows) > 1 or len(flows[0].templates) > 1:
        raise Unsupported("the frames differ in more than their payload")
    (template,) = flows[0].templates
    layout = lay_out(template)
    if "udp.src_port" not in layout.fields or len(layout.checksums) < 2:
        raise Unsupported("the frames are no UDP with a checksum")
    ident = layout.fields["ipv4.ident"]
    udp_end = layout.checksums[1].spans[0][1]
    if udp_end != len(template):
        raise Unsupported("something follows the datagram in the frame")
    if any(each.place.offset < layout.payload and each.place != ident for each in flows[0].fields):
        raise Unsupported("header fields vary")
    if not _counts_up(flows[0], ident):
        raise Unsupported("the IPv4 identification does not count up")
    return template


def _counts_up(flow: Compiled, ident: object) -> bool:
    return any(
        each.place == ident
        and isinstance(each.values, Increment)
        and each.values.step == 1
        and each.values.count in (0, 1 << 16)
        for each in flow.fields
    )


def _require_cutting(outlet: Outlet) -> None:
    with Ethtool(outlet.interface) as ethtool:
        driver = ethtool.driver()
        features = ethtool.features()
    if driver is not None and driver.driver != "veth":
        return
    for offload in ("tx-udp-segmentation", "tx-checksum-ip-generic"):
        if offload in features and features[offload].active:
            raise Unsupported(
                f"{outlet.interface} has no wire, and would hand datagrams on unfinished: "
                f"{offload} is on"
            )


def can_segment() -> tuple[bool, str]:
    """Whether this kernel takes datagrams to cut from packet sockets, and how or why not."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as trial:
            trial.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    except OSError as error:
        why = os.strerror(error.errno or errno.EPERM)
        return False, f"packet sockets take no datagrams to cut: {why}"
    return True, "for UDP whose headers differ in nothing but a counted identification"
