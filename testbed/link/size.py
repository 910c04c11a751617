"""How long a frame may be: what counts against an MTU and what does not."""

from __future__ import annotations

__all__ = ["HEADER", "payload_length", "room"]

HEADER = 14
"""Bytes of an Ethernet header: no frame is shorter."""

_TAG = 4
_TPIDS = (b"\x81\x00", b"\x88\xa8")  # IEEE 802.1Q: C-TAG, S-TAG


def room(frame: bytes, mtu: int) -> int:
    """The length that ``mtu`` allows a frame like this one: its header, one tag, the payload."""
    return mtu + HEADER + (_TAG if frame[12:14] in _TPIDS else 0)


def payload_length(frame: bytes) -> int:
    """What counts against an MTU: all behind the header and one VLAN tag."""
    return len(frame) - room(frame, 0)
