"""Multicast in a stack that forwards: from the link of the sender to those that have members."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.core import Core
from testbed.stack.forwarding import Forward, Forwarder
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.querier import Querier, QuerierConfig
from testbed.stack.router import Surroundings
from testbed.timing import Instant
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.subnets import multicast_mac

__all__ = ["GroupRouter"]

_USUAL: Final = QuerierConfig()


class GroupRouter:
    """``ip.GroupRouter``: asks each link who listens (RFC 2236), and forwards to those links.

    There is no routing protocol: the tree is that of the unicast routes, whose way back to the
    sender says by which interface its packets have to come. Off until ``start``.
    """

    __slots__ = ("_config", "_core", "_forwarder", "_ip", "on", "queriers")

    def __init__(self, core: Core, ip: IpLayer, config: QuerierConfig = _USUAL) -> None:
        self._core = core
        self._ip = ip
        self._config = config
        around = core.variants.of(Surroundings)(ip.egress, ip.routes)
        self._forwarder = core.variants.of(Forwarder)(core.config.ip, around, core.crossing)
        self.on = False
        self.queriers: dict[str, Querier] = {}
        ip.group_router = self

    def start(self, now: Instant) -> None:
        """Ask on all interfaces, and forward."""
        self.on = True
        for link in self._ip.egress.interfaces.values():
            if link.mac is not None:
                made = self.queriers[link.name] = self._make_querier(link)
                if link.up:
                    made.start(now)

    def stop(self) -> None:
        """Forward no more; what was learned is forgotten."""
        self.on = False
        for querier in self.queriers.values():
            querier.stop()
        self.queriers.clear()

    def link_changed(self, link: Interface, now: Instant) -> None:
        """The cable was pulled, or is back: then all are asked anew."""
        querier = self.queriers.get(link.name)
        if querier is not None:
            querier.stop()
            if link.up:
                querier.start(now)

    def pass_on(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        """Forward ``packet``, which came in on ``interface``, to the members of its group."""
        if packet.protocol == IpProtocol.IGMP and (asker := self.queriers.get(interface.name)):
            asker.receive(packet, now)
        reason = self.unfit(packet, interface, now)
        if reason is not None:
            self._core.drop("multicast", reason, now)
            return
        for egress in self.egresses(packet, interface):
            self.forward(packet, interface, egress, now)

    def unfit(self, packet: IPv4Packet, interface: Interface, now: Instant) -> str | None:
        """Why a packet must not cross, whoever listens; None if it may."""
        if self.is_local(packet.dst):
            return "link-local group"
        if not self.on:
            return "no multicast routing"
        if not self._ip.arrival.link_broadcast:
            return "group in a frame to one station"
        back = self._ip.routes.lookup(packet.src, now)
        if back is None or back.interface != interface.name:
            return "not from where its sender is"
        return None

    def is_local(self, group: IPv4Address) -> bool:
        """Whether ``group`` is in 224.0.0.0/24, which stays on its link (RFC 5771 4)."""
        return int(group) >> 8 == 0xE00000

    def egresses(self, packet: IPv4Packet, ingress: Interface) -> tuple[str, ...]:
        """The interfaces to forward to: all others that have members."""
        return tuple(
            name
            for name, querier in self.queriers.items()
            if name != ingress.name and querier.has_members(packet.dst)
        )

    def forward(self, packet: IPv4Packet, ingress: Interface, egress: str, now: Instant) -> None:
        """Send one copy; where it cannot go, nobody is told (RFC 1122 3.2.2)."""
        verdict = self._forwarder.to_group(packet, ingress.name, egress, now)
        if not isinstance(verdict, Forward):
            self._core.drop("multicast", "TTL exceeded or too large", now)
            return
        link = self._ip.egress.interfaces[egress]
        for piece in verdict.packets:
            self._core.count("multicast packets forwarded")
            link.neighbours.transmit(link.neighbour(packet.dst), piece.emit(), now)

    def _make_querier(self, link: Interface) -> Querier:
        return self._core.variants.of(Querier)(
            link.name,
            config=self._config,
            alarms=self._core.alarms,
            source=lambda: link.addresses[0].ip if link.addresses else None,
            send=lambda packet, at: self._send(packet, link, at),
        )

    def _send(self, packet: IPv4Packet, link: Interface, now: Instant) -> None:
        stamped = self._ip.egress.stamp(packet)
        self._ip.send_raw(stamped, link.name, now, multicast_mac(packet.dst))
