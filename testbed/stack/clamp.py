"""MSS clamping: the segment size that a SYN announces, lowered by a router on its way."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.wire.checksum import update_checksum
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags

__all__ = ["clamped", "mss_at"]

_CHECKSUM: Final = 16
_END, _NOP, _MSS = 0, 1, 2


def clamped(packet: IPv4Packet, most: int) -> IPv4Packet:
    """``packet``; if it is a SYN that announces an MSS over ``most``, with that one.

    The checksum is brought along (RFC 1624). What is no TCP, cut short or malformed stays.
    """
    payload = packet.payload
    if packet.protocol != IpProtocol.TCP or packet.offset or len(payload) < 20:
        return packet
    if not payload[13] & TcpFlags.SYN or (at := mss_at(payload)) is None:
        return packet
    if int.from_bytes(payload[at : at + 2], "big") <= most:
        return packet
    # The sum is over words at even places: where the option stands at an odd one, two of them
    # change.
    start, end = at & ~1, at + 2 + (at & 1)
    changed = bytearray(payload)
    changed[at : at + 2] = most.to_bytes(2, "big")
    old = int.from_bytes(payload[_CHECKSUM : _CHECKSUM + 2], "big")
    new = update_checksum(old, payload[start:end], bytes(changed[start:end]))
    changed[_CHECKSUM : _CHECKSUM + 2] = new.to_bytes(2, "big")
    return replace(packet, payload=bytes(changed))


def mss_at(segment: bytes) -> int | None:
    """Where in a segment the value of its MSS option stands, None without one."""
    end = min((segment[12] >> 4) * 4, len(segment))
    at = 20
    while at < end and segment[at] != _END:
        if segment[at] == _NOP:
            at += 1
            continue
        length = segment[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            return None
        if segment[at] == _MSS and length == 4:
            return at + 2
        at += length
    return None
