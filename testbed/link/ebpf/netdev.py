"""What an interface can do for XDP, asked over the kernel's generic netlink family ``netdev``.

Documentation/netlink/specs/netdev.yaml; the family is there since Linux 6.3.
"""

from __future__ import annotations

import os
import socket
import struct
from enum import IntFlag

__all__ = ["XdpFeature", "xdp_features"]

# linux/netlink.h, linux/genetlink.h, linux/netdev.h
_NETLINK_GENERIC = 16
_REQUEST = 0x001
_ERROR = 2
_CONTROL = 16
_GET_FAMILY, _GET_DEVICE = 3, 1
_FAMILY_ID, _FAMILY_NAME = 1, 2
_IFINDEX, _XDP_FEATURES = 1, 3
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("=BBH")
_WITHIN = 5.0  # seconds; the kernel answers within the call


class XdpFeature(IntFlag):
    """linux/netdev.h, enum netdev_xdp_act."""

    PROGRAMS = 1
    """It takes a program that drops, passes or sends back."""
    REDIRECT = 2
    """A program on it can send frames out of other interfaces."""
    TRANSMIT = 4
    """It sends what a program elsewhere redirects to it."""


def xdp_features(index: int) -> XdpFeature | None:
    """What the interface can do now; None where the kernel does not tell (before Linux 6.3).

    A veth can TRANSMIT while its far end has a program, or has GRO on. Looked up in the network
    namespace of the calling thread; OSError when there is no such interface.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(_WITHIN)
        try:
            found = _ask(kernel, _CONTROL, _GET_FAMILY, _attribute(_FAMILY_NAME, b"netdev\0"))
        except FileNotFoundError:
            return None
        (family,) = struct.unpack("=H", found[_FAMILY_ID][:2])
        wanted = _attribute(_IFINDEX, struct.pack("=I", index))
        found = _ask(kernel, family, _GET_DEVICE, wanted)
        (bits,) = struct.unpack("=Q", found[_XDP_FEATURES][:8])
        return XdpFeature(bits & 7)


def _ask(kernel: socket.socket, family: int, command: int, attributes: bytes) -> dict[int, bytes]:
    body = _GENERIC.pack(command, 1, 0) + attributes
    kernel.send(_HEADER.pack(_HEADER.size + len(body), family, _REQUEST, 1, 0) + body)
    answer = kernel.recv(1 << 16)
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise OSError(-code, os.strerror(-code))
    found = {}
    at = _HEADER.size + _GENERIC.size
    while at + 4 <= length:
        size, name = struct.unpack_from("=HH", answer, at)
        found[name] = answer[at + 4 : at + size]
        at += max(4, size + 3 & ~3)
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
