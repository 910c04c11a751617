"""The few settings of a network interface that take an ioctl, where starting ip(8) takes too long.

Only the standard library is imported here; see ``testbed.labs.virtual.rack``.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

__all__ = ["bring_up", "set_address", "settle_offloads"]

# include/uapi/linux/sockios.h, if.h, ethtool.h
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_SIOCETHTOOL = 0x8946
_IFF_UP = 1
_ETHTOOL_STXCSUM = 0x17
_IFREQ = "16s24s"


def bring_up(interface: str) -> None:
    """Bring an interface up."""
    name = interface.encode()
    reply = _request(_SIOCGIFFLAGS, interface, struct.pack(_IFREQ, name, b""))
    flags = struct.unpack_from("16xH", reply)[0]
    _request(_SIOCSIFFLAGS, interface, struct.pack("16sH22x", name, flags | _IFF_UP))


def set_address(interface: str, address: str) -> None:
    """Give an interface its one address, in a /31 (RFC 3021), and bring it up."""
    for number, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.254")):
        where = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
        _request(number, interface, struct.pack(_IFREQ, interface.encode(), where))
    bring_up(interface)


def settle_offloads(interface: str) -> None:
    """Switch transmit checksum offload off, and with it segmentation offload for TCP and UDP.

    A veth hands frames over without checksums and larger than the MTU: on a cable there is no
    such thing, and a userspace switch drops them.
    """
    # struct ethtool_value, to which struct ifreq holds a pointer
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
    _request(_SIOCETHTOOL, interface, request)


def _request(number: int, interface: str, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            return fcntl.ioctl(control, number, data)
        except OSError as error:
            raise OSError(error.errno, f"interface {interface}: {error.strerror}") from error
