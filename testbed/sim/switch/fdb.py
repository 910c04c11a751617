"""The filtering database: which station is behind which port (IEEE 802.1Q 8.8)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from operator import itemgetter
from typing import Final

from testbed.sim.switch.ports import Port
from testbed.timing import Duration, Instant, seconds

__all__ = ["DEFAULT_AGEING", "LEAST_AGEING", "MOST_AGEING", "Entry", "Fdb"]

DEFAULT_AGEING: Final = seconds(300)
LEAST_AGEING: Final = seconds(10)
MOST_AGEING: Final = seconds(1_000_000)
"""IEEE 802.1Q 8.8.3, table 8-6."""

_FOR_EVER: Final = Instant(1 << 120)

Key = tuple[int, bytes]


class Entry:
    """A station, its port, and when it last spoke."""

    __slots__ = ("mac", "port", "seen", "static", "vlan")

    def __init__(self, mac: bytes, vlan: int, port: Port, seen: Instant, static: bool) -> None:
        self.mac = mac
        self.vlan = vlan
        self.port = port
        self.seen = _FOR_EVER if static else seen
        self.static = static


class Fdb:
    """The table. Nothing sweeps it: an entry that is looked at and too old is not there.

    Old entries make room only when the table is full: ``_oldest`` then finds them, a heap with one
    item for each dynamic entry, of when it was first thought to have last spoken.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.independent = True
        """Whether each VLAN learns for itself (IVL), or all share what one learns (SVL)."""
        self.ageing = DEFAULT_AGEING
        self._mask = 0xFFF
        self._entries: dict[Key, Entry] = {}
        self._oldest: list[tuple[Instant, int, Key]] = []
        self._order = count()
        self.set_independent(True)
        self.set_ageing(DEFAULT_AGEING)

    # Settings

    def set_ageing(self, ageing: Duration) -> None:
        """How long a silent station is remembered."""
        self.ageing = ageing
        self._life = self.life(ageing)

    def life(self, ageing: Duration) -> Duration:
        """How old an entry becomes when the ageing time is ``ageing``."""
        return ageing

    def set_independent(self, independent: bool) -> None:
        """Choose between IVL and SVL; what was learned is forgotten, static entries stay."""
        self.flush()
        statics = list(self._entries.values())
        self.independent = independent
        self._mask = 0xFFF if independent else 0
        self._entries = {(entry.vlan & self._mask, entry.mac): entry for entry in statics}

    # What frames ask

    def find(self, vlan: int, mac: bytes, now: Instant) -> Entry | None:
        """The entry of ``mac`` in ``vlan``, unless it is too old."""
        entry = self._entries.get((vlan & self._mask, mac))
        if entry is None or now - entry.seen >= self._life:
            return None
        return entry

    def learn(self, vlan: int, mac: bytes, port: Port, now: Instant) -> bool:
        """Make an entry of a station that has none; whether there was room."""
        key = (vlan & self._mask, mac)
        if key not in self._entries and not self.has_room(now):
            return self.overflow(vlan, mac, port, now)
        self.store(key, Entry(mac, vlan, port, now, static=False))
        return True

    def store(self, key: Key, entry: Entry) -> None:
        """Put an entry in, in place of what is there."""
        if key not in self._entries and not entry.static:
            heapq.heappush(self._oldest, (entry.seen, next(self._order), key))
        self._entries[key] = entry

    def overflow(self, vlan: int, mac: bytes, port: Port, now: Instant) -> bool:  # noqa: ARG002 - a seam
        """What is done with a new station when the table is full: it is not learned."""
        return False

    def has_room(self, now: Instant) -> bool:
        """Whether one more entry can be held."""
        if len(self._entries) >= self.capacity:
            self._reclaim(now)
        return len(self._entries) < self.capacity

    # What operators ask

    def rows(self, now: Instant) -> Iterator[Entry]:
        """All entries that are not too old, in the order of VLAN and address."""
        for _, entry in sorted(self._entries.items(), key=itemgetter(0)):
            if now - entry.seen < self._life:
                yield entry

    def statics(self) -> list[Entry]:
        """The static entries, in the order of VLAN and address."""
        return [
            entry for _, entry in sorted(self._entries.items(), key=itemgetter(0)) if entry.static
        ]

    def add_static(self, mac: bytes, vlan: int, port: Port, now: Instant) -> bool:
        """Make an entry that stays, in place of any of its address; whether there was room."""
        key = (vlan & self._mask, mac)
        if key not in self._entries and not self.has_room(now):
            return False
        self.remove(lambda entry: (entry.vlan & self._mask, entry.mac) == key)
        self.store(key, Entry(mac, vlan, port, now, static=True))
        return True

    def remove_static(self, mac: bytes, vlan: int) -> bool:
        """Remove a static entry; whether it was there."""
        entry = self._entries.get((vlan & self._mask, mac))
        if entry is None or not entry.static:
            return False
        self.remove(lambda other: other is entry)
        return True

    def flush(self, port: Port | None = None) -> None:
        """Forget what was learned, on one port or all; static entries stay."""
        self.remove(lambda entry: not entry.static and port in {None, entry.port})

    def link_down(self, port: Port) -> None:
        """Forget what was learned on a port that lost its link."""
        self.flush(port)

    def remove(self, chosen: Callable[[Entry], bool]) -> None:
        """Take out the entries that are ``chosen``."""
        self._entries = {key: entry for key, entry in self._entries.items() if not chosen(entry)}
        self._oldest = [
            (entry.seen, next(self._order), key)
            for key, entry in self._entries.items()
            if not entry.static
        ]
        heapq.heapify(self._oldest)

    def _reclaim(self, now: Instant) -> None:
        """Make room of entries that are too old."""
        while self._oldest and now - self._oldest[0][0] >= self._life:
            _, _, key = heapq.heappop(self._oldest)
            entry = self._entries.get(key)
            if entry is None:
                continue
            if now - entry.seen >= self._life:
                del self._entries[key]
            else:
                heapq.heappush(self._oldest, (entry.seen, next(self._order), key))

    def __len__(self) -> int:
        return len(self._entries)
