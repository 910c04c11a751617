"""Header fields of the packets that most captures are full of, fetched in one piece.

Ethernet with one VLAN tag or none, IPv4 without options or IPv6 without extension headers, whole
datagrams, and no tunnel: every field has one place then, and one fetch from memory that is far
apart brings all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from testbed.capture.columns.addresses import Addresses
from testbed.capture.columns.arrays import Bools, Gather, Ints
from testbed.capture.columns.columns import Columns
from testbed.capture.columns.tunnels import is_tunnel

__all__ = ["read_tagged", "read_usual", "read_version_6"]

_TRANSPORT = {
    "sport": (">u2", 0),
    "dport": (">u2", 2),
    "sequence": (">u4", 4),
    "ack": (">u4", 8),
    "control": (">u4", 12),
    "option": (">u4", 20),
}


def _layout(network: dict[str, tuple[str, int]], transport: int) -> np.dtype[np.void]:
    """A frame whose transport header has that place; up to the first four bytes of options."""
    fields = network | {
        name: (kind, transport + place) for name, (kind, place) in _TRANSPORT.items()
    }
    return np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [place for _, place in fields.values()],
            "itemsize": transport + 24,
        }
    )


_FRAME = _layout(
    {
        "kind": (">u2", 12),
        "first": (">u4", 14),  # version, header length, service, total length
        "second": (">u4", 18),  # identification, flags, fragment offset
        "third": (">u4", 22),  # TTL, protocol, checksum
        "src": (">u4", 26),
        "dst": (">u4", 30),
    },
    34,
)
_SIZE = _FRAME.itemsize
_FRAME_6 = _layout(
    {
        "kind": (">u2", 12),
        "version": ("u1", 14),
        "size": (">u2", 18),
        "following": ("u1", 20),
        "ttl": ("u1", 21),
    },
    54,
)
_SIZE_6 = _FRAME_6.itemsize
_LINK, _NETWORK = 14, 34
"""Where the network header begins, and where what it carries does."""
_ETHERNET = 1
_TCP = 6
_NETWORK_6 = 54
_VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
_HAS_PORTS, _IS_EXTENSION = np.zeros((2, 256), np.bool_)
_HAS_PORTS[[6, 17, 33, 132, 136]] = True
_IS_EXTENSION[[0, 43, 44, 51, 60, 135, 139, 140]] = True


def read_usual(columns: Columns, gather: Gather, into: dict[str, npt.NDArray[Any]]) -> Ints:
    """Fill ``into``, arrays as long as ``columns``, for usual packets; the rows of all others.

    What is left in ``into`` at the others means nothing.
    """
    ethernet = [source.linktype == _ETHERNET for source in columns.sources]
    last = gather.size - _SIZE
    if last < 0 or not any(ethernet):
        return np.arange(len(columns))
    frames = gather.runs(np.minimum(columns.offset, last), _SIZE).view(_FRAME)
    usual: Bools = frames["kind"] == 0x0800
    if not usual.any():
        return np.arange(len(columns))
    first, second = frames["first"].astype(np.uint32), frames["second"].astype(np.uint32)
    third = frames["third"].astype(np.uint32)
    total = (first & 0xFFFF).astype(np.int32)
    protocol = (third >> 16).astype(np.uint8)
    usual &= first >> 24 == 0x45
    usual &= second & 0x3FFF == 0
    usual &= columns.offset <= last
    usual &= columns.captured >= _NETWORK + 4
    usual &= total >= 24
    usual &= total + _LINK <= columns.length
    usual &= ~is_tunnel(protocol, frames["sport"], frames["dport"])
    if not all(ethernet):
        usual &= np.array(ethernet)[columns.source]
    room = np.minimum(columns.captured - _NETWORK, total - 20).astype(np.int32, copy=False)
    _network(into, frames, (second, third, protocol), (total, room))
    _transport(into, frames, protocol, room)
    return np.flatnonzero(~usual)


def read_tagged(columns: Columns, gather: Gather, into: dict[str, npt.NDArray[Any]]) -> Ints:
    """The same for packets with a VLAN tag: what ``read_usual`` left."""
    rows = np.flatnonzero(columns.captured >= _LINK + 4)
    word = gather.u4(columns.offset[rows] + 12)
    tagged = np.isin(word >> 16, np.array(_VLANS))
    rows, word = rows[tagged], word[tagged]
    some = columns.where(rows)
    moved = replace(
        some, offset=some.offset + 4, captured=some.captured - 4, length=some.length - 4
    )
    found = {name: np.empty(len(rows), array.dtype) for name, array in into.items()}
    others = read_usual(moved, gather, found)
    found["vlan"][:] = word & 0xFFF
    found["network_at"] += 4
    found["payload_at"] += 4
    for name, array in found.items():
        into[name][rows] = array
    left = np.ones(len(columns), np.bool_)
    left[rows] = False
    left[rows[others]] = True
    return np.flatnonzero(left)


def read_version_6(
    columns: Columns, gather: Gather, addresses: Addresses, into: dict[str, npt.NDArray[Any]]
) -> Ints:
    """The same for IPv6 packets without tags. Addresses are numbered as they come."""
    ethernet = np.array([source.linktype == _ETHERNET for source in columns.sources], np.bool_)
    last = gather.size - _SIZE_6
    if last < 0 or not ethernet.any():
        return np.arange(len(columns))
    at = np.minimum(columns.offset, last)
    frames = gather.runs(at, _SIZE_6).view(_FRAME_6)
    size, following = frames["size"].astype(np.int32), frames["following"].copy()
    usual = (frames["kind"] == 0x86DD) & (frames["version"] >> 4 == 6) & ethernet[columns.source]
    usual &= (columns.offset <= last) & (columns.captured >= _NETWORK_6 + 4)
    usual &= (size >= 4) & (size + _NETWORK_6 <= columns.length)
    usual &= ~is_tunnel(following, frames["sport"], frames["dport"]) & ~_IS_EXTENSION[following]
    room = np.minimum(columns.captured - _NETWORK_6, size).astype(np.int32, copy=False)
    plain = {"vlan": -1, "version": 6, "network_at": _LINK, "payload_at": _NETWORK_6, "ident": 0}
    values = plain | {"payload_length": size, "room": room, "protocol": following}
    for name, value in (values | {"ttl": frames["ttl"]}).items():
        into[name][:] = value
    for name in ("fragment", "fragment_at", "more"):
        into[name][:] = 0
    _transport(into, frames, following, room)
    rows = np.flatnonzero(usual)
    into["src"][rows] = addresses.number(gather, at[rows] + 22)
    into["dst"][rows] = addresses.number(gather, at[rows] + 38)
    return np.flatnonzero(~usual)


def _network(
    into: dict[str, npt.NDArray[Any]],
    frames: npt.NDArray[np.void],
    words: tuple[npt.NDArray[Any], ...],
    lengths: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
) -> None:
    second, third, protocol = words
    total, room = lengths
    into["vlan"][:] = -1
    into["version"][:] = 4
    into["network_at"][:] = _LINK
    into["payload_at"][:] = _NETWORK
    np.subtract(total, 20, out=into["payload_length"])
    into["room"][:] = room
    into["protocol"][:] = protocol
    into["src"][:] = frames["src"]
    into["dst"][:] = frames["dst"]
    into["ident"][:] = second >> 16
    into["ttl"][:] = third >> 24
    for name in ("fragment", "fragment_at", "more"):
        into[name][:] = 0


def _transport(
    into: dict[str, npt.NDArray[Any]],
    frames: npt.NDArray[np.void],
    protocol: npt.NDArray[np.uint8],
    room: npt.NDArray[np.int32],
) -> None:
    tcp = (protocol == _TCP) & (room >= 20)
    _where(into, frames, ("sport", "dport"), _HAS_PORTS[protocol])
    _where(into, frames, ("sequence", "ack", "control"), tcp)
    _where(into, frames, ("option",), tcp & (room >= 24))


def _where(
    into: dict[str, npt.NDArray[Any]],
    frames: npt.NDArray[np.void],
    names: tuple[str, ...],
    has: Bools,
) -> None:
    """Fields of the packets that have them; 0 for others."""
    every = bool(has.all())
    for name in names:
        into[name][:] = frames[name]
        if not every:
            into[name] *= has
