"""Putting fragments together (RFC 791 3.2, RFC 815), with bounds, timers and a named policy."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.stack.config import IpConfig
from testbed.stack.events import EventLog
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["Expired", "Reassembler"]


@dataclass(frozen=True, slots=True)
class Expired:
    """A datagram given up because its fragments did not all come in time.

    ``first`` is the fragment at offset 0 if it came, as it came: only then is time exceeded,
    code 1, sent (RFC 792), quoting it.
    """

    first: IPv4Packet | None
    held: int


class Reassembler:
    """The incomplete datagrams of a stack."""

    __slots__ = ("_config", "_events", "held_bytes")

    def __init__(self, config: IpConfig, events: EventLog) -> None:
        self._config = config
        self._events = events
        self.held_bytes = 0

    @property
    def held_datagrams(self) -> int:
        """Incomplete datagrams held."""
        raise NotImplementedError

    def add(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        """Take one fragment; the whole packet once it is complete. A whole packet comes back."""
        raise NotImplementedError

    def next_deadline(self) -> Instant | None:
        """When the oldest incomplete datagram is to be given up."""
        raise NotImplementedError

    def expire(self, now: Instant) -> list[Expired]:
        """Give up what is due at ``now``."""
        raise NotImplementedError
