"""Header fields of the packets that most captures are full of, fetched in one piece.

Ethernet without tags, IPv4 without options, in one datagram, and no tunnel: every field has one
place then, and one fetch from memory that is far apart brings all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from testbed.capture.columns.arrays import Bools, Gather, Ints
from testbed.capture.columns.columns import Columns
from testbed.capture.columns.tunnels import is_tunnel

__all__ = ["read_usual"]

_FIELDS = {
    "kind": (">u2", 12),
    "first": (">u4", 14),  # version, header length, service, total length
    "second": (">u4", 18),  # identification, flags, fragment offset
    "third": (">u4", 22),  # TTL, protocol, checksum
    "src": (">u4", 26),
    "dst": (">u4", 30),
    "sport": (">u2", 34),
    "dport": (">u2", 36),
    "sequence": (">u4", 38),
    "ack": (">u4", 42),
    "control": (">u4", 46),
    "option": (">u4", 54),
}
_SIZE = 58
_FRAME = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [kind for kind, _ in _FIELDS.values()],
        "offsets": [place for _, place in _FIELDS.values()],
        "itemsize": _SIZE,
    }
)
_LINK, _NETWORK = 14, 34
"""Where the network header begins, and where what it carries does."""
_ETHERNET = 1
_TCP = 6
_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[[6, 17, 33, 132, 136]] = True


def read_usual(columns: Columns, gather: Gather, into: dict[str, npt.NDArray[Any]]) -> Ints:
    """Fill ``into``, arrays as long as ``columns``, for usual packets; the rows of all others.

    What is left in ``into`` at the others means nothing.
    """
    ethernet = [source.linktype == _ETHERNET for source in columns.sources]
    last = gather.size - _SIZE
    if last < 0 or not any(ethernet):
        return np.arange(len(columns))
    frames = gather.runs(np.minimum(columns.offset, last), _SIZE).view(_FRAME)
    first, second = frames["first"].astype(np.uint32), frames["second"].astype(np.uint32)
    third = frames["third"].astype(np.uint32)
    total = (first & 0xFFFF).astype(np.int32)
    protocol = (third >> 16).astype(np.uint8)
    usual = frames["kind"] == 0x0800
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
