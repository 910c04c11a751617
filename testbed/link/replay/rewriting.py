"""Addresses and ports of recorded frames rewritten, each frame by itself, checksums mended.

Everything is done to many frames at once. A checksum follows what it covers by the difference (RFC
1624), so one that was right stays right, also in a fragment, and one that was wrong stays wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from testbed.errors import PlanError, WireError
from testbed.link.replay.headers import HEAD, Heads
from testbed.link.replay.recorded import Gatherer
from testbed.link.replay.reel import Ints, Rows
from testbed.wire.addresses import MacAddr
from testbed.wire.ipv4 import IpProtocol

__all__ = ["Rewrite"]

_AT_ONCE = 1 << 14
_CHECKSUM_AT = {IpProtocol.UDP: 6, IpProtocol.TCP: 16}
_PLACES = {"eth.dst": 0, "eth.src": 6}
Words: TypeAlias = tuple[Ints, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is put in place of what.

    ``macs`` maps one address to another, wherever it stands, in ARP too; ``places`` sets the
    source (offset 6) or destination (0) of every frame. ``networks`` maps IPv4 networks to others
    of the same size, the host's part staying as it is; the first that holds an address counts.
    ``ports`` maps those of UDP and TCP.
    """

    macs: tuple[tuple[MacAddr, MacAddr], ...] = ()
    places: tuple[tuple[int, MacAddr], ...] = ()
    networks: tuple[tuple[IPv4Network, IPv4Network], ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Mapping[object, object]) -> Rewrite:
        """From words such as ``{"10.1.0.0/16": "198.18.0.0/16", 80: 8080, "eth.dst": mac}``.

        PlanError for what is none of that.
        """
        macs, places, networks = [], [], []
        ports = {}
        for old, new in words.items():
            before, after = str(old), str(new)
            try:
                if before in _PLACES:
                    places.append((_PLACES[before], MacAddr(after)))
                elif ":" in before:
                    macs.append((MacAddr(before), MacAddr(after)))
                elif "." in before:
                    networks.append((IPv4Network(before), IPv4Network(after)))
                else:
                    ports[_port(before)] = _port(after)
            except (ValueError, WireError) as error:
                raise PlanError(f"cannot rewrite {before} to {after}: {error}") from error
        for left, right in networks:
            if left.prefixlen != right.prefixlen:
                raise PlanError(
                    f"cannot rewrite {left} to {right}: expected networks of the same size"
                )
        return cls(tuple(macs), tuple(places), tuple(networks), ports)

    def apply(self, data: Rows, offset: Ints, captured: Ints) -> Rows:
        """A copy of ``data`` in which the frames at ``offset`` are rewritten."""
        gatherer = Gatherer(data, HEAD)
        made = data.copy()
        columns = np.arange(HEAD)
        for at in range(0, len(offset), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            lengths = np.minimum(captured[part], HEAD)
            rows = gatherer.fetch(offset[part], HEAD)
            rows[columns >= lengths[:, None]] = 0
            heads = Heads(rows, captured[part])
            whole = captured[part] >= 14
            self._rewrite(_Edit(heads), whole)
            kept = columns < lengths[:, None]
            made[(offset[part][:, None] + columns)[kept]] = heads.rows[kept]
        return made

    def _rewrite(self, edit: _Edit, whole: npt.NDArray[np.bool_]) -> None:
        heads = edit.heads
        for place in (0, 6):
            self._map_macs(edit, np.where(whole, place, -1), place)
        for place in (8, 18):
            self._map_macs(edit, np.where(heads.arp > 0, heads.arp + place, -1), None)
        for place in (12, 16):
            self._map_addresses(edit, np.where(heads.ipv4 > 0, heads.ipv4 + place, -1), ip=True)
        for place in (14, 24):
            self._map_addresses(edit, np.where(heads.arp > 0, heads.arp + place, -1), ip=False)
        if self.ports:
            with_ports = (heads.protocol == IpProtocol.UDP) | (heads.protocol == IpProtocol.TCP)
            with_ports &= heads.transport > 0
            for place in (0, 2):
                self._map_ports(edit, np.where(with_ports, heads.transport + place, -1))
        edit.mend()

    def _map_macs(self, edit: _Edit, at: Ints, place: int | None) -> None:
        if not (self.macs or self.places):
            return
        which = np.flatnonzero(at >= 0)
        held = edit.words(which, at[which], 3)
        number = held[0] << 32 | held[1] << 16 | held[2]
        result = number.copy()
        for old, new in self.macs:
            result[number == int.from_bytes(old.packed, "big")] = int.from_bytes(new.packed, "big")
        for where, new in self.places:
            if where == place:
                result[:] = int.from_bytes(new.packed, "big")
        edit.put(which, at[which], (result >> 32, result >> 16 & 0xFFFF, result & 0xFFFF))

    def _map_addresses(self, edit: _Edit, at: Ints, *, ip: bool) -> None:
        if not self.networks:
            return
        which = np.flatnonzero(at >= 0)
        held = edit.words(which, at[which], 2)
        number = held[0] << 16 | held[1]
        result = number.copy()
        left = np.ones(len(number), np.bool_)
        for old, new in self.networks:
            chosen = left & (number & int(old.netmask) == int(old.network_address))
            result[chosen] = number[chosen] & int(old.hostmask) | int(new.network_address)
            left &= ~chosen
        words = (result >> 16, result & 0xFFFF)
        edit.put(which, at[which], words)
        if ip:
            edit.note(which, held, words, header=True)

    def _map_ports(self, edit: _Edit, at: Ints) -> None:
        which = np.flatnonzero(at >= 0)
        held = edit.words(which, at[which], 1)
        table = np.arange(1 << 16, dtype=np.int64)
        for old, new in self.ports.items():
            table[old] = new
        words = (table[held[0]],)
        edit.put(which, at[which], words)
        edit.note(which, held, words, header=False)


class _Edit:
    """Rows while they are changed, and by how much the sums of their checksums change."""

    def __init__(self, heads: Heads) -> None:
        self.heads = heads
        self._header = np.zeros(len(heads.rows), np.int64)
        self._transport = np.zeros(len(heads.rows), np.int64)

    def words(self, which: Ints, at: Ints, count: int) -> Words:
        """16 bit words of some rows, from an offset of each on."""
        rows = self.heads.rows
        halves = [rows[which, at + place].astype(np.int64) for place in range(2 * count)]
        return tuple(halves[2 * n] << 8 | halves[2 * n + 1] for n in range(count))

    def put(self, which: Ints, at: Ints, words: Words) -> None:
        """Write them."""
        for number, word in enumerate(words):
            self.heads.rows[which, at + 2 * number] = word >> 8
            self.heads.rows[which, at + 2 * number + 1] = word & 0xFF

    def note(self, which: Ints, old: Words, new: Words, *, header: bool) -> None:
        """Keep the difference: of what the transport's checksum covers, and the header's too."""
        change = sum((0xFFFF - before) + after for before, after in zip(old, new, strict=True))
        same = np.all([before == after for before, after in zip(old, new, strict=True)], axis=0)
        change = np.where(same, 0, change)
        self._transport[which] += change
        if header:
            self._header[which] += change

    def mend(self) -> None:
        """Write the checksums anew that cover something that has changed."""
        heads = self.heads
        which = np.flatnonzero(self._header)
        self._update(which, heads.ipv4[which] + 10, self._header[which])
        for protocol, place in _CHECKSUM_AT.items():
            chosen = (heads.protocol == protocol) & (heads.transport > 0) & (self._transport > 0)
            which = np.flatnonzero(chosen)
            at = heads.transport[which] + place
            udp = protocol == IpProtocol.UDP
            if udp:  # RFC 768: zero is no checksum, and stays so
                used = self.words(which, at, 1)[0] > 0
                which, at = which[used], at[used]
            self._update(which, at, self._transport[which], never_zero=udp)

    def _update(self, which: Ints, at: Ints, change: Ints, *, never_zero: bool = False) -> None:
        """RFC 1624 3, eqn. 3: HC' = ~(~HC + ~m + m')."""
        total = 0xFFFF - self.words(which, at, 1)[0] + change
        for _ in range(2):
            total = (total >> 16) + (total & 0xFFFF)
        checksum = 0xFFFF - total
        if never_zero:
            checksum[checksum == 0] = 0xFFFF
        self.put(which, at, (checksum,))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 0xFFFF:
        raise PlanError(f"{text} is no port, no MAC address and no IPv4 network")
    return int(text)
