"""What each path carries (RFC 1191)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from testbed.stack.config import PmtuConfig
from testbed.stack.events import EventLog
from testbed.timing import Instant

__all__ = ["PathMtu", "PathMtuCache"]


@dataclass(frozen=True, slots=True)
class PathMtu:
    """One entry: ``destination`` is reached with ``mtu`` bytes; at ``raise_at`` more is tried."""

    destination: IPv4Address
    mtu: int
    raise_at: Instant


class PathMtuCache:
    """Path MTUs by destination."""

    __slots__ = ("_config", "_events")

    def __init__(self, config: PmtuConfig, events: EventLog) -> None:
        self._config = config
        self._events = events

    def mtu(self, destination: IPv4Address, link_mtu: int, now: Instant) -> int:
        """What the path to ``destination`` is believed to carry, ``link_mtu`` at most."""
        raise NotImplementedError

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

        ``original_length`` and ``header_length`` are those of the quoted packet, as quoted.
        """
        raise NotImplementedError

    def learned(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """Take over what probing has found (RFC 8899)."""
        raise NotImplementedError

    def forget(self, destination: IPv4Address) -> None:
        """Start afresh, as after a change of route."""
        raise NotImplementedError

    def entries(self, now: Instant) -> tuple[PathMtu, ...]:
        """All that is known at ``now``."""
        raise NotImplementedError
