"""A router's port: what is set on it, what has passed it, and what its NIC makes of frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from typing import Final

from testbed.sim.device import Jack
from testbed.sim.frames import LEAST, BadFcs
from testbed.timing import Duration, seconds

__all__ = ["Irdp", "RouterPort", "Tally"]

_HEAD: Final = 18
"""Bytes of an Ethernet header with one tag."""


@dataclass(frozen=True, slots=True)
class Irdp:
    """How a port advertises the router (RFC 1256 4.1); the least interval is 3/4 of the most."""

    preference: int = 0
    interval: Duration = seconds(600)
    """The most between advertisements, 4 s to 1800 s."""
    lifetime: Duration = seconds(1800)
    """How long hosts may believe one, 9000 s at most."""


@dataclass(slots=True)
class Tally:
    """Frames and bytes of one direction, and those that were no good."""

    frames: int = 0
    octets: int = 0
    errors: int = 0

    def count(self, size: int) -> None:
        """One more frame of ``size`` bytes."""
        self.frames += 1
        self.octets += size


@dataclass(slots=True)
class RouterPort:
    """The settings of one port, and its counters."""

    jack: Jack
    mtu: int
    arp_timeout: Duration
    addresses: list[IPv4Interface] = field(default_factory=list)
    irdp: Irdp | None = None
    received: Tally = field(default_factory=Tally)
    sent: Tally = field(default_factory=Tally)

    def taken(self, frame: bytes) -> bytes | None:
        """A frame as the NIC hands it up; None if it is damaged, too short or too long."""
        if isinstance(frame, BadFcs) or not LEAST <= len(frame) <= self.longest():
            self.received.errors += 1
            return None
        self.received.count(len(frame))
        return frame

    def longest(self) -> int:
        """Bytes of the longest frame that is taken; the IP MTU may be lower than the link's."""
        return max(self.jack.mtu, self.mtu) + _HEAD

    def padded(self, frame: bytes) -> bytes:
        """A frame as it leaves: filled up to the shortest with zeros (RFC 894, RFC 1042)."""
        frame = frame.ljust(LEAST, b"\0")
        self.sent.count(len(frame))
        return frame
