"""Hearing what is for others."""

from __future__ import annotations

import socket
import struct

__all__ = ["SOL_PACKET", "hear_all"]

SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1  # linux/if_packet.h


def hear_all(packets: socket.socket, interface: str) -> None:
    """Have the NIC hand over all frames while the socket is open; OSError where it cannot."""
    membership = struct.pack("=iHH8s", socket.if_nametoindex(interface), _PROMISCUOUS, 0, b"")
    packets.setsockopt(SOL_PACKET, _ADD_MEMBERSHIP, membership)
