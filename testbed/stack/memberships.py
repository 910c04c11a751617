"""Who of a stack is a member of which group on which interface (RFC 1112 7.1), and IGMP for it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.core import Core
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.lower import IcmpError
from testbed.stack.multicast import GroupMembership
from testbed.timing import Instant
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.subnets import multicast_mac

__all__ = ["Memberships"]

_UNKNOWN: Final = IPv4Address(0)


class Memberships:
    """A ``Transport`` for IGMP, and the groups of all interfaces."""

    __slots__ = ("_core", "_ip", "_members")

    def __init__(self, core: Core, ip: IpLayer) -> None:
        self._core = core
        self._ip = ip
        self._members: dict[str, GroupMembership] = {}
        ip.register(IpProtocol.IGMP, self)

    def on(self, interface: str) -> GroupMembership:
        """The state machines of one interface."""
        member = self._members.get(interface)
        if member is None:
            link = self._ip.egress.interfaces[interface]
            member = self._members[interface] = self._core.variants.of(GroupMembership)(
                interface,
                alarms=self._core.alarms,
                entropy=self._core.entropy,
                events=self._core.events,
                source=lambda: link.addresses[0].ip if link.addresses else _UNKNOWN,
                send=lambda packet, now: self._send(packet, link, now),
                config=self._core.config.igmp,
            )
        return member

    def join(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """One more member of ``group`` on ``interface``; the first one is reported."""
        groups = self._ip.egress.interfaces[interface].groups
        groups[group] = groups.get(group, 0) + 1
        self.on(interface).join(group, now)

    def leave(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """One less; the last one's leave is told."""
        groups = self._ip.egress.interfaces[interface].groups
        left = groups.get(group, 0) - 1
        if left > 0:
            groups[group] = left
        else:
            groups.pop(group, None)
        self.on(interface).leave(group, now)

    def link_changed(self, link: Interface, now: Instant) -> None:
        """The cable was pulled, or is back: then all is reported anew."""
        if link.name not in self._members:
            return
        member = self._members[link.name]
        if link.up:
            member.announce(now)
        else:
            member.silence()

    def _send(self, packet: IPv4Packet, link: Interface, now: Instant) -> None:
        if self._core.answers.igmp:
            stamped = self._ip.egress.stamp(packet)
            self._ip.send_raw(stamped, link.name, now, multicast_mac(packet.dst))

    # Transport

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """A query, or another host's report."""
        link = self._ip.arrival.interface
        if link is not None:
            self.on(link.name).receive(packet, now)

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        """Nothing can be done about it."""

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:  # noqa: ARG002
        """No IGMP message is large."""
        return False

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """No IGMP message is large."""
