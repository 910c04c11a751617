"""What each path carries, as routers tell it by frag needed (RFC 1191)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.config import PmtuConfig
from testbed.stack.events import Event, EventLog
from testbed.timing import Duration, Instant, after

__all__ = ["FragNeededIgnored", "PathMtu", "PathMtuCache", "PathMtuChanged", "PmtuReason", "TooBig"]

_LEAST: Final = 68
"""RFC 791 3.2: 'Every internet module must be able to forward a datagram of 68 octets'."""


class PmtuReason(Enum):
    """Why an estimate changed."""

    REPORTED = "a router named the MTU"
    PLATEAU = "a router named none: next plateau"
    AGED = "a larger size is tried"
    PROBED = "probing found it"


@dataclass(frozen=True, slots=True)
class PathMtuChanged(Event):
    """The estimate for ``destination`` was ``previous`` bytes and is now ``mtu``."""

    destination: IPv4Address
    previous: int
    mtu: int
    reason: PmtuReason


@dataclass(frozen=True, slots=True)
class FragNeededIgnored(Event):
    """A frag needed for ``destination`` that names ``reported`` changes nothing."""

    destination: IPv4Address
    reported: int
    reason: str


@dataclass(frozen=True, slots=True)
class PathMtu:
    """One entry: ``destination`` is reached with ``mtu`` bytes; at ``raise_at`` more is tried."""

    destination: IPv4Address
    mtu: int
    raise_at: Instant


@dataclass(frozen=True, slots=True)
class TooBig:
    """What a frag needed says: the way to ``destination`` carries ``reported`` bytes (0: unsaid).

    ``original_length`` and ``header_length`` are those of the quoted packet, as quoted, in bytes;
    ``link_mtu`` is that of the interface it left by.
    """

    destination: IPv4Address
    reported: int
    original_length: int
    header_length: int
    link_mtu: int


class _Entry:
    __slots__ = ("mtu", "raise_at")

    def __init__(self, mtu: int, raise_at: Instant) -> None:
        self.mtu = mtu
        self.raise_at = raise_at


class PathMtuCache:
    """Path MTUs by destination, where they are below that of the link.

    It needs no timer: an estimate that is due to be raised is so when it is next asked for, which
    is when a packet is to be sent.
    """

    __slots__ = ("_config", "_entries", "_events")

    def __init__(self, config: PmtuConfig, events: EventLog) -> None:
        self._config = config
        self._events = events
        # In the order of their last change: the one that goes first when there are too many.
        self._entries: dict[int, _Entry] = {}

    def mtu(self, destination: IPv4Address, link_mtu: int, now: Instant) -> int:
        """What the path to ``destination`` is believed to carry, ``link_mtu`` at most."""
        entry = self._entries.get(int(destination))
        if entry is None:
            return link_mtu
        if now >= entry.raise_at:
            return self._raise(destination, entry, link_mtu, now)
        return min(entry.mtu, link_mtu)

    def frag_needed(
        self,
        destination: IPv4Address,
        reported: int,
        original_length: int,
        link_mtu: int,
        now: Instant,
        *,
        header_length: int = 20,
    ) -> int | None:
        """Lower the estimate by a frag needed that names ``reported``; None if it is ignored.

        ``original_length`` and ``header_length`` are those of the quoted packet, as quoted, in
        bytes. Whether the quoted packet was ever sent is the transport's to say, before this.
        """
        said = TooBig(destination, reported, original_length, header_length, link_mtu)
        return self._lower(said, now)

    def learned(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """Take over what probing has found (RFC 8899), whether more or less than was known."""
        entry = self._entries.get(int(destination))
        previous = entry.mtu if entry else 0
        hold = self._config.lifetime
        self._store(destination, mtu, now, previous, hold=hold, reason=PmtuReason.PROBED)

    def forget(self, destination: IPv4Address) -> None:
        """Start afresh, as after a change of route (RFC 1191 6.3)."""
        self._entries.pop(int(destination), None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def entries(self, now: Instant) -> tuple[PathMtu, ...]:
        """All that is known at ``now``; what is due to be raised, with the mark at ``now``."""
        return tuple(
            PathMtu(IPv4Address(key), entry.mtu, max(entry.raise_at, now))
            for key, entry in self._entries.items()
        )

    def __len__(self) -> int:
        return len(self._entries)

    def _lower(self, said: TooBig, now: Instant) -> int | None:
        current = self.mtu(said.destination, said.link_mtu, now)
        reported, length = said.reported, said.original_length
        estimate = reported or self._plateau_below(length, said.header_length, current)
        if reason := self._implausible(reported, estimate, length, current):
            self._events.add(FragNeededIgnored(now, said.destination, reported, reason))
            return None
        # RFC 1191 3: "A host MUST never reduce its estimate of the Path MTU below 68 octets."
        estimate = max(estimate, self._config.floor, _LEAST)
        self._take(said, estimate, now)
        return estimate if estimate < current else None

    def _take(self, said: TooBig, estimate: int, now: Instant) -> None:
        current = self.mtu(said.destination, said.link_mtu, now)
        kind = PmtuReason.REPORTED if said.reported else PmtuReason.PLATEAU
        self._store(said.destination, estimate, now, current, hold=self._quiet(), reason=kind)

    def _quiet(self) -> Duration:
        """How long after a frag needed nothing larger is tried.

        RFC 1191 3: attempts to detect an increase "MUST NOT be done less than 5 minutes after a
        Datagram Too Big message has been received".
        """
        return max(self._config.lifetime, self._config.never_before)

    def _implausible(
        self, reported: int, estimate: int, original_length: int, current: int
    ) -> str | None:
        """Why a frag needed is not to be believed (RFC 5927 7.2), or None."""
        if 0 < reported < _LEAST:
            return "below 68 bytes, which every link carries"
        if original_length and estimate >= original_length:
            return "the quoted packet fits the MTU that is named"
        # RFC 1191 3: "A host MUST NOT increase its estimate of the Path MTU in response to the
        # contents of a Datagram Too Big message."
        if estimate >= current:
            return "no smaller than the estimate"
        return None

    def _plateau_below(self, original_length: int, header_length: int, current: int) -> int:
        """The next estimate where the router names no MTU (RFC 1191 5 and 7).

        Routers derived from 4.2BSD quote the sum of total length and header length. "If the Total
        Length field returned is not less than the current PMTU estimate, it must be reduced by 4
        times the value of the returned Header Length field" (RFC 1191 5).
        """
        length = original_length or current
        if length >= current:
            length -= header_length
        # Not below the estimate, but below the packet: of a window full of packets each one draws
        # its complaint, and those that come after the first say nothing new.
        smaller = (each for each in self._config.plateaus if each < length)
        return max(smaller, default=_LEAST)

    def _raise(self, destination: IPv4Address, entry: _Entry, link_mtu: int, now: Instant) -> int:
        """Try the next plateau, or the link's MTU if that is less (RFC 1191 7.1)."""
        larger = (each for each in self._config.plateaus if each > entry.mtu)
        target = min((*larger, link_mtu))
        hold = self._config.retry_after_increase
        self._store(destination, target, now, entry.mtu, hold=hold, reason=PmtuReason.AGED)
        if target >= link_mtu:
            # It has nothing more to say than the link, until the next frag needed.
            self.forget(destination)
        return target

    def _store(
        self,
        destination: IPv4Address,
        mtu: int,
        now: Instant,
        previous: int,
        *,
        hold: Duration,
        reason: PmtuReason,
    ) -> None:
        key = int(destination)
        self._entries.pop(key, None)
        self._entries[key] = _Entry(mtu, after(now, hold))
        if len(self._entries) > self._config.limit:
            del self._entries[next(iter(self._entries))]
        if mtu != previous:
            self._events.add(PathMtuChanged(now, destination, previous, mtu, reason))
