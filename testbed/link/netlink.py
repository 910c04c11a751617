"""What the kernel knows of a network interface, asked over rtnetlink.

Not read from /sys/class/net: a sysfs shows the network namespace in which it was mounted, and the
runner enters the bench's namespace without mounting another. A netlink socket belongs to the
namespace of the thread that opened it, which is the right one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from types import TracebackType
from typing import Self

from testbed.errors import LinkError
from testbed.wire.addresses import MacAddr

__all__ = ["AddressRecord", "LinkRecord", "RouteNetlink", "Traffic"]

# linux/netlink.h, linux/rtnetlink.h
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22

# linux/if_link.h, linux/if_addr.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_STATS64 = 1, 3, 4, 23
IFLA_CARRIER, IFLA_CARRIER_UP_COUNT, IFLA_CARRIER_DOWN_COUNT = 33, 47, 48
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_PERMANENT = 0x80
IFF_UP, IFF_RUNNING = 0x1, 0x40  # linux/if.h

NLA_TYPE_MASK = 0x3FFF  # the two high bits of an attribute's type are flags
HEADER = struct.Struct("=IHHII")  # nlmsghdr
IFINFO = struct.Struct("=BxHiII")  # ifinfomsg
IFADDR = struct.Struct("=BBBBI")  # ifaddrmsg
RX_FIFO_ERRORS, RX_MISSED_ERRORS = 14, 15  # word offsets in rtnl_link_stats64
ANSWER_TIMEOUT = 5.0  # seconds; the kernel answers within the call, so this is never spent


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """One interface at one moment.

    ``carrier`` means that frames can pass: the NIC has a link, and the kernel has taken note and
    set the queue in front of it to work, which comes a moment later.
    ``carrier_downs`` and ``carrier_ups`` count since the interface exists. ``missed`` are frames
    that the NIC itself lost for want of buffers, before the kernel saw them.
    """

    index: int
    name: str
    admin_up: bool
    carrier: bool
    mac: MacAddr | None
    mtu: int
    carrier_ups: int
    carrier_downs: int
    missed: int


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """One IP address of one interface; a permanent one was set by hand, not learned."""

    index: int
    address: IPv4Interface | IPv6Interface
    permanent: bool


@dataclass(frozen=True, slots=True)
class Traffic:
    """Frames that the kernel counted at an interface, since it exists."""

    received: int
    sent: int
    receive_dropped: int
    send_dropped: int


class RouteNetlink:
    """A NETLINK_ROUTE socket in the network namespace of the thread that opens it."""

    def __init__(self, groups: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sequence = 0
        try:
            self._socket.bind((0, groups))
            self._socket.settimeout(ANSWER_TIMEOUT)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable when a message of a subscribed group waits."""
        return self._socket.fileno()

    def close(self) -> None:
        """Release the socket; closing twice is no error."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def link(self, which: str | int) -> LinkRecord:
        """The interface of that name or index; LinkError when there is none."""
        index = which if isinstance(which, int) else 0
        request = IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        if isinstance(which, str):
            request += _attribute(IFLA_IFNAME, which.encode() + b"\0")
        try:
            for kind, body in self._ask(RTM_GETLINK, request, dump=False):
                if kind == RTM_NEWLINK:
                    return _link_record(body)
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.EINVAL, errno.ERANGE):
                raise
        raise LinkError(f"there is no network interface {which!r}; there are {self._names()}")

    def traffic(self, index: int) -> Traffic:
        """What the kernel counted at the interface so far; LinkError when there is none."""
        request = IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        try:
            for kind, body in self._ask(RTM_GETLINK, request, dump=False):
                if kind == RTM_NEWLINK:
                    stats = _attributes(body[IFINFO.size :])[IFLA_STATS64]
                    words = struct.unpack_from("=8Q", stats)
                    return Traffic(words[0], words[1], words[6], words[7])
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
        raise LinkError(f"there is no network interface with index {index}")

    def links(self) -> tuple[LinkRecord, ...]:
        """Every interface of the namespace."""
        request = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        answer = self._ask(RTM_GETLINK, request, dump=True)
        return tuple(_link_record(body) for kind, body in answer if kind == RTM_NEWLINK)

    def addresses(self, index: int) -> tuple[AddressRecord, ...]:
        """The IP addresses of the interface with that index."""
        request = IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        answer = self._ask(RTM_GETADDR, request, dump=True)
        records = (_address_record(body) for kind, body in answer if kind == RTM_NEWADDR)
        return tuple(record for record in records if record.index == index)

    def drain(self) -> None:
        """Read away what the subscribed groups told."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(1 << 16):
                pass
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more news than the socket holds: still news
                raise
        finally:
            self._socket.settimeout(ANSWER_TIMEOUT)

    def _names(self) -> str:
        return ", ".join(record.name for record in self.links()) or "none at all"

    def _ask(self, kind: int, request: bytes, *, dump: bool) -> Iterator[tuple[int, bytes]]:
        self._sequence += 1
        flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else 0)
        size = HEADER.size + len(request)
        self._socket.send(HEADER.pack(size, kind, flags, self._sequence, 0) + request)
        while True:
            answer = self._socket.recv(1 << 18)
            for message, sequence, body in _messages(answer):
                if sequence != self._sequence:
                    continue  # news of a subscribed group, or the rest of an answer not wanted
                if message == NLMSG_DONE:
                    return
                if message == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, os.strerror(code))
                yield message, body
                if not dump:
                    return


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and body of each message."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, sequence, _ = HEADER.unpack_from(data, offset)
        yield kind, sequence, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (max(length, 4) + 3) & ~3
    return found


def _word(value: bytes) -> int:
    return int(struct.unpack("=I", value)[0])


def _link_record(body: bytes) -> LinkRecord:
    _, _, index, flags, _ = IFINFO.unpack_from(body)
    found = _attributes(body[IFINFO.size :])
    address = found.get(IFLA_ADDRESS, b"")
    zero = b"\0\0\0\0"
    return LinkRecord(
        index=index,
        name=found[IFLA_IFNAME].rstrip(b"\0").decode(),
        admin_up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_RUNNING) and found.get(IFLA_CARRIER, b"\0") == b"\1",
        mac=MacAddr(address) if len(address) == 6 else None,
        mtu=_word(found[IFLA_MTU]),
        carrier_ups=_word(found.get(IFLA_CARRIER_UP_COUNT, zero)),
        carrier_downs=_word(found.get(IFLA_CARRIER_DOWN_COUNT, zero)),
        missed=_missed(found.get(IFLA_STATS64, b"")),
    )


def _missed(stats: bytes) -> int:
    """Frames the NIC lost: drivers count them as missed, as FIFO errors, or as both."""
    words = struct.unpack(f"={len(stats) // 8}Q", stats[: len(stats) // 8 * 8])
    if len(words) <= RX_MISSED_ERRORS:
        return 0
    return int(max(words[RX_FIFO_ERRORS], words[RX_MISSED_ERRORS]))


def _address_record(body: bytes) -> AddressRecord:
    _, prefix, flags, _, index = IFADDR.unpack_from(body)
    found = _attributes(body[IFADDR.size :])
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    if IFA_FLAGS in found:
        flags = _word(found[IFA_FLAGS])
    address = ip_interface((packed, prefix))
    return AddressRecord(index, address, permanent=bool(flags & IFA_F_PERMANENT))
