"""What a stack has to send, and which of its answers are switched on."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, TypeAlias

from testbed.stack.config import StackConfig

__all__ = ["Answers", "Outgoing", "OutputQueue"]


class Outgoing(NamedTuple):
    """A frame to send: an Ethernet frame, or a bare IP packet if the interface has no MAC."""

    interface: str
    frame: bytes


OutputQueue: TypeAlias = deque[Outgoing]


class Answers:
    """Switches that a plan flips while the stack runs: what it answers, and what it reports.

    Each begins as the settings have it.
    """

    __slots__ = ("arp", "dhcp", "dns", "echo", "icmp_errors", "igmp", "timestamp")

    def __init__(self, config: StackConfig) -> None:
        self.arp = config.arp.answer
        """Answer ARP requests for the stack's addresses."""
        self.echo = config.icmp.answer_echo
        """Answer pings."""
        self.timestamp = config.icmp.answer_timestamp
        """Answer ICMP timestamp requests."""
        self.icmp_errors = config.icmp.send_errors
        """Send ICMP errors and redirects."""
        self.igmp = True
        """Report multicast memberships."""
        self.dhcp = True
        """Let DHCP servers on this stack answer."""
        self.dns = True
        """Let DNS servers on this stack answer."""

    def follow(self, old: StackConfig, new: StackConfig) -> None:
        """Take over the settings that differ between two; the others stay as they are flipped."""
        if old.arp.answer != new.arp.answer:
            self.arp = new.arp.answer
        if old.icmp.answer_echo != new.icmp.answer_echo:
            self.echo = new.icmp.answer_echo
        if old.icmp.answer_timestamp != new.icmp.answer_timestamp:
            self.timestamp = new.icmp.answer_timestamp
        if old.icmp.send_errors != new.icmp.send_errors:
            self.icmp_errors = new.icmp.send_errors
