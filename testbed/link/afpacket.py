"""A port on a NIC of this machine, by AF_PACKET sockets: what is sent and seen is what is wired."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct

from testbed.errors import LinkError
from testbed.link.ethtool import Ethtool
from testbed.link.nic import LinkWatch, read_nic
from testbed.link.ring import SOL_PACKET, ReceiveRing
from testbed.link.size import HEADER, room
from testbed.link.timestamping import open_clock
from testbed.wire.addresses import MacAddr
from testbed.wire.frame import Frame

__all__ = ["RING_SIZE", "AfPacketPort"]

RING_SIZE = 8 << 20
"""Bytes of receive ring: some 5000 frames of 1514 bytes, 60 ms of a full gigabit."""

ETH_P_ALL = 3
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
SIOCGIFFLAGS = 0x8913  # linux/sockios.h
IFF_RUNNING = 0x40  # linux/if.h: the link is up and the queue in front of it is at work
IFNAMSIZ = 16
FLAGS = struct.Struct("=H")  # ifreq.ifr_flags
SEND_BUFFER = 4 << 20
SO_TIMESTAMPNS = 35  # asm-generic/socket.h


class AfPacketPort:
    """``Port`` over a network interface: sends raw, hears everything in promiscuous mode.

    The NIC should be claimed first (``testbed.link.claim``): offloads are no business of a port.
    Raises LinkError when there is no such interface, when it is down or has no link, or when
    packet sockets are not allowed.
    """

    def __init__(self, name: str, interface: str, *, ring_size: int = RING_SIZE) -> None:
        state = read_nic(interface)
        state.require_link()
        self._name = name
        self.interface = interface
        self._mac = state.mac
        self._mtu = state.mtu
        self._flags = bytearray(interface.encode().ljust(IFNAMSIZ + 24, b"\0"))  # an ifreq
        self._missed = 0
        self._ring_dropped = 0
        with contextlib.ExitStack() as undo:
            self._watch = LinkWatch(interface)
            undo.callback(self._watch.close)
            self._clock, self._nic_clock = open_clock(interface)
            if self._nic_clock is not None:
                undo.callback(self._nic_clock.close)
            self._sender = undo.enter_context(self._packet_socket())
            self._receiver = undo.enter_context(self._packet_socket())
            try:
                self._ring = self._open(ring_size, state.index)
            except OSError as error:
                raise LinkError(
                    f"{interface}: cannot capture with a ring of {ring_size} bytes: "
                    f"{error.strerror}"
                ) from error
            undo.callback(self._ring.close)
            self._resources = undo.pop_all()

    @property
    def name(self) -> str:
        """The port's name in the bench file."""
        return self._name

    @property
    def mac(self) -> MacAddr:
        """The NIC's own address."""
        return self._mac

    @property
    def mtu(self) -> int:
        """The NIC's MTU, in bytes."""
        return self._mtu

    @property
    def line_rate(self) -> int | None:
        """The link's speed in bit/s; None where the driver does not know."""
        with Ethtool(self.interface) as ethtool:
            speed = ethtool.mode().speed
        return None if speed is None else speed * 1_000_000

    @property
    def clock(self) -> str:
        """What stamps frames here: its name, and what it means."""
        return str(self._clock)

    @property
    def unfinished(self) -> int:
        """Frames captured with a checksum that was left to some NIC.

        An offload is on at the far end of a virtual cable, or could not be switched off here.
        """
        return self._ring.unfinished

    def fileno(self) -> int:
        """Readable when frames wait."""
        return self._receiver.fileno()

    def send(self, frame: bytes) -> None:
        """Put one frame on the wire, unaltered. Short frames are padded by the NIC or not at all.

        Raises LinkError when the frame is longer than the MTU allows, or the NIC cannot send.
        """
        self._require_fit(frame)
        try:
            # Without a link the kernel takes a frame, loses it and reports success.
            if not self._is_running():
                raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))  # noqa: TRY301
            self._sender.send(frame)
        except OSError as error:
            raise LinkError(self._explain(error, len(frame))) from error

    def receive(self) -> list[Frame]:
        """All frames that wait, both directions, oldest first."""
        frames = self._ring.take()
        if not frames:
            # A link that goes down leaves an error, which keeps the descriptor readable until it
            # is read; check_alive() reports the cause.
            self._receiver.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return frames

    def dropped(self) -> int:
        """Frames lost by the ring or by the NIC's own buffers since the port was opened."""
        if self._receiver.fileno() >= 0:
            self._ring_dropped = self._ring.dropped()
            with contextlib.suppress(LinkError):  # the interface is gone: check_alive() says so
                self._missed = self._watch.missed()
        return self._ring_dropped + self._missed

    def link_is_up(self) -> bool:
        """Whether the NIC has a link; False when it is gone."""
        try:
            return self._is_running()
        except OSError:
            return False

    def check_alive(self) -> None:
        """Raise LinkError when the link is down, was down, or the NIC is not what it was."""
        self._watch.check()

    def forgive(self) -> None:
        """Take the link's losses so far as meant, as when a plan sets the far port down."""
        self._watch.forgive()

    def close(self) -> None:
        """Release sockets and ring; promiscuous mode ends with them. Twice is no error."""
        self.dropped()
        self._resources.close()

    def _is_running(self) -> bool:
        fcntl.ioctl(self._sender, SIOCGIFFLAGS, self._flags)
        return bool(FLAGS.unpack_from(self._flags, IFNAMSIZ)[0] & IFF_RUNNING)

    def _packet_socket(self) -> socket.socket:
        # Protocol 0: the socket hears nothing until it is bound to one.
        try:
            return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise LinkError(
                f"{self.interface}: packet sockets are refused ({error.strerror}): run as root, or "
                "in a user namespace that owns the NIC"
            ) from error

    def _open(self, ring_size: int, index: int) -> ReceiveRing:
        # The sender hears nothing, so that what it sends comes back by the receiver alone.
        self._sender.bind((self.interface, 0))
        self._sender.setblocking(False)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # Stamp frames when they reach the kernel and not when they reach the ring.
        self._receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        to_wall = self._nic_clock.to_wall if self._nic_clock is not None else None
        ring = ReceiveRing(self._receiver, self._mtu, ring_size, to_wall)
        try:
            membership = struct.pack("=iHH8s", index, PACKET_MR_PROMISC, 0, b"")
            self._receiver.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
            # Bound last: no frame of another interface can have come before.
            self._receiver.bind((self.interface, ETH_P_ALL))
        except BaseException:
            ring.close()
            raise
        return ring

    def _require_fit(self, frame: bytes) -> None:
        if len(frame) < HEADER:
            raise LinkError(
                f"{self._where()}: a frame of {len(frame)} bytes is shorter than an Ethernet "
                f"header, expected {HEADER} at least"
            )
        longest = room(frame, self._mtu)
        if len(frame) > longest:
            raise LinkError(self._too_long(len(frame), longest))

    def _explain(self, error: OSError, length: int) -> str:
        if error.errno == errno.EMSGSIZE:
            return self._too_long(length, self._mtu + HEADER)
        reasons = {
            errno.ENETDOWN: "the link is down; see that it is set up and its cable plugged in",
            errno.ENODEV: "the interface is gone",
            errno.ENXIO: "the interface is gone",
            errno.ENOBUFS: "the NIC's queue is full and dropped the frame; send at a lower rate",
            errno.EAGAIN: "the NIC's queue is full; send at a lower rate",
        }
        why = reasons.get(error.errno or 0, os.strerror(error.errno or 0))
        return f"{self._where()}: cannot send {length} bytes: {why}"

    def _too_long(self, length: int, longest: int) -> str:
        return (
            f"{self._where()}: a frame of {length} bytes is too long: its MTU of {self._mtu} "
            f"allows {longest}; raise it: ip link set {self.interface} mtu {length - HEADER}"
        )

    def _where(self) -> str:
        return f"{self._name} ({self.interface})"
