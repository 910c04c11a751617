"""Header fields from the outermost header inwards, whatever a packet is made of."""

from __future__ import annotations

import numpy as np

from testbed.capture.columns.addresses import Addresses
from testbed.capture.columns.arrays import Bools, Gather, Ints
from testbed.capture.columns.columns import Columns
from testbed.capture.columns.linklayer import IPV4, IPV6, locate, unwrap
from testbed.capture.columns.tunnels import is_tunnel, open_tunnels

__all__ = ["Peeler"]

_TUNNELS = 4
"""How many IP headers inside each other are followed."""

_FRAGMENT = 44
_EXTENSIONS = (0, 43, 60, 135, 139, 140)  # Hop-by-Hop and others of 8 * (n + 1) bytes
_AUTHENTICATION = 51
_TCP = 6
_WITH_PORTS = (6, 17, 33, 132, 136)
_LONGEST = (1 << 31) - 1


class Peeler:
    """Fills the arrays of ``Headers`` for some packets."""

    def __init__(self, columns: Columns, gather: Gather, addresses: Addresses) -> None:
        count = len(columns)
        self._gather = gather
        self._columns = columns
        self._end = columns.offset + columns.captured
        self._wire_end = columns.offset + columns.length
        self._addresses = addresses
        self._version, self._network, self._payload = np.zeros((3, count), np.int64)
        self._reach, self._src, self._dst, self._ident = np.zeros((4, count), np.int64)
        self._at, self._ttl = np.zeros((2, count), np.int64)
        self._protocol = np.full(count, -1, np.int64)
        self._fragment, self._more = np.zeros((2, count), np.bool_)

    def read(self) -> dict[str, Ints | Bools]:
        """The headers of every packet: link, network, what tunnels carry, transport."""
        located = locate(self._columns, self._gather)
        rows, kinds, at = located.rows, located.kinds, located.at
        ends = self._wire_end[rows]
        for _ in range(_TUNNELS):
            four = kinds == IPV4
            if four.any():
                self._ipv4(rows[four], at[four], ends[four])
            six = kinds == IPV6
            if six.any():
                self._ipv6(rows[six], at[six], ends[six])
            rows, kinds, at, ends = self._inside(rows)
            if not len(rows):
                break
        return {
            "vlan": located.vlan,
            "version": self._version,
            "network_at": np.where(self._version > 0, self._network - self._columns.offset, 0),
            "payload_at": np.where(self._version > 0, self._payload - self._columns.offset, 0),
            "payload_length": np.clip(self._reach - self._payload, 0, _LONGEST),
            "room": self._room(),
            "protocol": self._protocol,
            "src": self._src,
            "dst": self._dst,
            "ident": self._ident,
            "fragment": self._fragment,
            "fragment_at": self._at,
            "more": self._more,
            "ttl": self._ttl,
            **self._transport(),
        }

    def _room(self) -> Ints:
        inside = np.minimum(self._end, self._reach) - self._payload
        return np.where(self._version > 0, np.maximum(0, inside), 0)

    def _transport(self) -> dict[str, Ints]:
        gather, room = self._gather, self._room()
        names = ("sport", "dport", "sequence", "ack", "control", "option")
        found = dict(zip(names, np.zeros((6, len(room)), np.int64), strict=True))
        first = (room >= 4) & (self._at == 0)
        tcp = first & (self._protocol == _TCP) & (room >= 20)
        rows = np.flatnonzero(first & ~tcp & np.isin(self._protocol, np.array(_WITH_PORTS)))
        both = gather.u4(self._payload[rows])
        found["sport"][rows], found["dport"][rows] = both >> 16, both & 0xFFFF
        rows = np.flatnonzero(tcp)
        both, sequence, ack, control = gather.words(self._payload[rows], 4)
        found["sport"][rows], found["dport"][rows] = both >> 16, both & 0xFFFF
        found["sequence"][rows], found["ack"][rows] = sequence, ack
        found["control"][rows] = control
        rows = np.flatnonzero(tcp & (room >= 24))
        found["option"][rows] = gather.u4(self._payload[rows] + 20)
        return found

    def _ipv4(self, rows: Ints, at: Ints, ends: Ints) -> None:
        gather = self._gather
        room = self._end[rows] - at >= 20
        if not room.all():
            rows, at, ends = rows[room], at[room], ends[room]
        first, second, third, src, dst = gather.words(at, 5)
        size = (first >> 24 & 15) * 4
        total = first & 0xFFFF
        # A total length of 0 is a segment on its way to a NIC that cuts it (TSO).
        reach = np.where(total == 0, ends, np.minimum(ends, at + total))
        good = (first >> 28 == 4) & (size >= 20) & (reach - at >= size)
        if not good.all():
            rows, at, size, reach = rows[good], at[good], size[good], reach[good]
            second, third, src, dst = second[good], third[good], src[good], dst[good]
        self._version[rows] = 4
        self._network[rows] = at
        self._payload[rows] = at + size
        self._reach[rows] = reach
        self._protocol[rows] = third >> 16 & 0xFF
        self._ttl[rows] = third >> 24
        self._src[rows] = src
        self._dst[rows] = dst
        self._ident[rows] = second >> 16
        self._at[rows] = (second & 0x1FFF) * 8
        self._more[rows] = second & 0x2000 != 0
        self._fragment[rows] = second & 0x3FFF != 0

    def _ipv6(self, rows: Ints, at: Ints, ends: Ints) -> None:
        gather = self._gather
        good = self._end[rows] - at >= 40
        good[good] = gather.u1(at[good]) >> 4 == 6
        rows, at, ends = rows[good], at[good], ends[good]
        second = gather.u4(at + 4)
        size = second >> 16
        self._version[rows] = 6
        self._network[rows] = at
        self._reach[rows] = np.where(size == 0, ends, np.minimum(ends, at + 40 + size))
        self._ttl[rows] = second & 0xFF
        self._src[rows] = self._addresses.number(gather, at + 8)
        self._dst[rows] = self._addresses.number(gather, at + 24)
        self._fragment[rows] = self._more[rows] = False
        self._at[rows] = self._ident[rows] = 0
        self._extensions(rows, at + 40, second >> 8 & 0xFF)

    def _extensions(self, rows: Ints, at: Ints, following: Ints) -> None:
        """Step over the extension headers of IPv6 packets (RFC 8200 4)."""
        gather = self._gather
        for _ in range(16):
            self._payload[rows] = at
            self._protocol[rows] = following
            plain = np.isin(following, np.array(_EXTENSIONS))
            cut = following == _FRAGMENT
            sealed = following == _AUTHENTICATION
            on = (plain | cut | sealed) & (self._end[rows] - at >= 8)
            if not on.any():
                return
            rows, at, cut, sealed = rows[on], at[on], cut[on], sealed[on]
            word = gather.u4(at)
            parts, place = rows[cut], word[cut] & 0xFFF9
            self._at[parts] = place & 0xFFF8
            self._more[parts] = place & 1 != 0
            self._ident[parts] = gather.u4(at[cut] + 4)
            self._fragment[parts] = place != 0
            units = word >> 16 & 0xFF
            length = np.where(cut, 8, np.where(sealed, (units + 2) * 4, (units + 1) * 8))
            following, at = word >> 24, at + length
            later = self._at[rows] > 0
            self._payload[rows[later]] = at[later]
            self._protocol[rows[later]] = following[later]
            rows, at, following = rows[~later], at[~later], following[~later]

    def _inside(self, rows: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """What the tunnels among ``rows`` carry: rows, kinds, offsets, ends."""
        protocol, at, gather = self._protocol[rows], self._payload[rows], self._gather
        ends = np.minimum(self._end[rows], self._reach[rows])
        tunnel = (protocol >= 0) & ~self._fragment[rows] & (ends - at >= 4)
        rows, protocol, at, ends = rows[tunnel], protocol[tunnel], at[tunnel], ends[tunnel]
        tunnel = is_tunnel(protocol, gather.u2(at), gather.u2(at + 2))
        rows, protocol, at, ends = rows[tunnel], protocol[tunnel], at[tunnel], ends[tunnel]
        kinds, at = open_tunnels(gather, protocol, at, ends)
        unwrap(gather, kinds, at, ends, np.zeros(len(rows), np.int64))
        known = (kinds == IPV4) | (kinds == IPV6)
        rows = rows[known]
        return rows, kinds[known], at[known], self._reach[rows]
