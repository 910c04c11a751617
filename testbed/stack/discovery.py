"""Router discovery (RFC 1256) for the interfaces of a stack: either side of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Final

from testbed.errors import PlanError
from testbed.stack.advertise import AdvertiseConfig, RouterAdvertiser, RouterDiscovery
from testbed.stack.core import Core
from testbed.stack.icmp import IcmpLayer
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.routes import Origin, Route
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.icmp_info import RouterAdvertisement
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import Icmpv4
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.subnets import multicast_mac

__all__ = ["Discovery"]

_ALL_ROUTERS: Final = IPv4Address("224.0.0.2")
_DEFAULT: Final = IPv4Network("0.0.0.0/0")
_UNKNOWN: Final = IPv4Address(0)
_USUAL: Final = AdvertiseConfig()


class Discovery:
    """Which interfaces advertise the stack as a router, and which look for one."""

    __slots__ = ("_core", "_ip", "advertisers", "seekers")

    def __init__(self, core: Core, ip: IpLayer, icmp: IcmpLayer) -> None:
        self._core = core
        self._ip = ip
        self.advertisers: dict[str, RouterAdvertiser] = {}
        self.seekers: dict[str, RouterDiscovery] = {}
        icmp.listen(IcmpType.ROUTER_SOLICITATION, self._solicited)
        icmp.listen(IcmpType.ROUTER_ADVERTISEMENT, self._advertised)

    def advertise(
        self,
        interface: str,
        now: Instant,
        *,
        preference: int = 0,
        config: AdvertiseConfig = _USUAL,
    ) -> RouterAdvertiser:
        """Advertise all of an interface's addresses there; ``stop(now)`` of what is given ends it.

        PlanError if it has no address.
        """
        link = self._ip.egress.interfaces[interface]
        if not link.addresses:
            raise PlanError(f"{interface} has no address to advertise")
        made = self._core.variants.of(RouterAdvertiser)(
            interface,
            {held.ip: preference for held in link.addresses},
            config=config,
            alarms=self._core.alarms,
            entropy=self._core.entropy,
            on_link=link.on_link,
            send=lambda packet, at: self._send(packet, link, at),
        )
        if interface not in self.advertisers:
            # RFC 1256 4.3: a router joins the all-routers group, to hear solicitations.
            link.groups[_ALL_ROUTERS] = link.groups.get(_ALL_ROUTERS, 0) + 1
        self.advertisers[interface] = made
        made.start(now)
        return made

    def discover(
        self, interface: str, now: Instant, *, config: AdvertiseConfig = _USUAL
    ) -> RouterDiscovery:
        """Look for routers on an interface: the best one becomes the default route."""
        link = self._ip.egress.interfaces[interface]
        made = self._core.variants.of(RouterDiscovery)(
            interface,
            config=config,
            alarms=self._core.alarms,
            entropy=self._core.entropy,
            source=lambda: link.addresses[0].ip if link.addresses else _UNKNOWN,
            on_link=link.on_link,
            send=lambda packet, at: self._send(packet, link, at),
            changed=lambda best, _: self.use(best, interface),
        )
        self.seekers[interface] = made
        made.start(now)
        return made

    def use(self, router: IPv4Address | None, interface: str) -> None:
        """Let the default route of ``interface`` go by ``router``; None: there is none."""
        routes = self._ip.routes
        routes.remove(lambda each: each.origin == Origin.ADVERTISED and each.interface == interface)
        if router is not None:
            routes.add(Route(_DEFAULT, interface, router, origin=Origin.ADVERTISED))

    def _send(self, packet: IPv4Packet, link: Interface, now: Instant) -> None:
        group = packet.dst.is_multicast
        mac = multicast_mac(packet.dst) if group else MacAddr.BROADCAST
        self._ip.send_raw(self._ip.egress.stamp(packet), link.name, now, mac)

    def _solicited(self, packet: IPv4Packet, _: Icmpv4, now: Instant) -> None:
        link = self._ip.arrival.interface
        if link is not None and link.name in self.advertisers:
            self.advertisers[link.name].solicited(packet.src, now)

    def _advertised(self, _: IPv4Packet, message: Icmpv4, now: Instant) -> None:
        link = self._ip.arrival.interface
        if isinstance(message, RouterAdvertisement) and link and link.name in self.seekers:
            self.seekers[link.name].advertised(message, now)
