"""Faults of forwarding to groups, and of asking who is in them (IP-13)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.group_router import GroupRouter
from testbed.stack.interface import Interface
from testbed.stack.querier import Querier
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.igmp import IgmpMessage
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "BELIEVES_FIRST_LEAVE",
    "FLOODS_GROUPS",
    "FORWARDS_LINK_LOCAL",
    "FORWARDS_UNICAST_GROUPS",
    "IGNORES_LEAVES",
    "IGNORES_REPORTS",
    "NEVER_ASKS",
    "ONE_GROUP_PER_LINK",
]


class _ForwardsAllGroups(GroupRouter):
    __slots__ = ()

    def pass_on(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        super().pass_on(packet, interface, now)
        if self.crosses(packet) and packet.ttl > 1:
            for name in self._ip.egress.interfaces:
                if name != interface.name:
                    self.forward(packet, interface, name, now)

    def crosses(self, packet: IPv4Packet) -> bool:
        return self.is_local(packet.dst)


class _ForwardsAddressedGroups(_ForwardsAllGroups):
    __slots__ = ()

    def crosses(self, packet: IPv4Packet) -> bool:
        del packet
        return not self._ip.arrival.link_broadcast


class _Floods(GroupRouter):
    __slots__ = ()

    def egresses(self, packet: IPv4Packet, ingress: Interface) -> tuple[str, ...]:
        del packet
        return tuple(name for name in self._ip.egress.interfaces if name != ingress.name)


class _Mute(Querier):
    __slots__ = ()

    def _emit(self, group: IPv4Address, within: Duration, now: Instant) -> None:
        pass


class _DeafToLeaves(Querier):
    __slots__ = ()

    def _left(self, group: IPv4Address, now: Instant) -> None:
        pass


class _DeafToReports(Querier):
    __slots__ = ()

    def _reported(self, message: IgmpMessage, now: Instant) -> None:
        pass


class _Hasty(Querier):
    __slots__ = ()

    def _left(self, group: IPv4Address, now: Instant) -> None:
        del now
        self._forget(group)


FORWARDS_LINK_LOCAL: Final = Defect(
    "forwards link-local groups",
    "IP-13",
    "The hellos of one link's routing protocol reach the next link, and routers there see "
    "neighbours that are none.",
    {GroupRouter: _ForwardsAllGroups},
)
FORWARDS_UNICAST_GROUPS: Final = Defect(
    "forwards what comes to its own MAC address",
    "IP-13",
    "A packet to a group in a frame to the router itself takes the unicast path and passes all "
    "that keeps groups in.",
    {GroupRouter: _ForwardsAddressedGroups},
)
FLOODS_GROUPS: Final = Defect(
    "floods groups",
    "IP-13",
    "Every link gets every stream, whether anybody listens or not: television fills the lines of "
    "the branch offices.",
    {GroupRouter: _Floods},
)
NEVER_ASKS: Final = Defect(
    "never asks",
    "IP-13",
    "Without a querier the members' reports end after their first, and the stream stops some "
    "minutes later.",
    {Querier: _Mute},
)
IGNORES_LEAVES: Final = Defect(
    "ignores leaves",
    "IP-13",
    "Who zaps through the channels gets all of them at once for four minutes.",
    {Querier: _DeafToLeaves},
)
IGNORES_REPORTS: Final = Defect(
    "ignores reports",
    "IP-13",
    "A host joins, the querier hears it, and nothing ever comes.",
    {Querier: _DeafToReports},
)
BELIEVES_FIRST_LEAVE: Final = Defect(
    "believes the first leave",
    "IP-13",
    "One of two viewers switches off, and the other one's picture freezes.",
    {Querier: _Hasty},
)


class _OneGroup(Querier):
    __slots__ = ()

    def _reported(self, message: IgmpMessage, now: Instant) -> None:
        for group in [each for each in self.members if each != message.group]:
            self._forget(group)
        super()._reported(message, now)


ONE_GROUP_PER_LINK: Final = Defect(
    "one group per link",
    "IP-13",
    "A second viewer of the link turns on another channel, and the first one's picture freezes.",
    {Querier: _OneGroup},
)
