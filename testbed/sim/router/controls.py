"""What can be set on a router, each as one call, and what of it is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final, NamedTuple

from testbed.errors import PlanError
from testbed.sim.router.port import Irdp, RouterPort
from testbed.sim.router.tracking import NextHopTracking
from testbed.stack.advertise import AdvertiseConfig
from testbed.stack.group_router import GroupRouter
from testbed.stack.nat import Nat, NatConfig
from testbed.stack.neighbours import NeighbourState
from testbed.stack.routes import Origin
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant
from testbed.wire.addresses import MacAddr

__all__ = ["NAT_PROTOCOLS", "RouterControls", "StaticRoute"]

NAT_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp"}
"""What is translated, by its number in IP."""


class StaticRoute(NamedTuple):
    """A route by hand; of those to one network the lowest ``distance`` is used."""

    prefix: IPv4Network
    via: IPv4Address
    distance: int = 1


class RouterControls:
    """The settings of a router. PlanError for what it cannot be told."""

    def __init__(
        self,
        stack: Stack,
        ports: Mapping[str, RouterPort],
        tracking: NextHopTracking,
        groups: GroupRouter,
    ) -> None:
        self.stack = stack
        self.ports = ports
        self.tracking = tracking
        self.groups = groups
        self.routes: list[StaticRoute] = []
        self.arp: dict[tuple[str, IPv4Address], MacAddr] = {}
        """The ARP entries by hand, by port and address."""
        self.rate_limited = True
        self.nat: Nat | None = None
        self.nat_config = NatConfig()
        self.outside: str | None = None
        self._usual = stack.config

    # Ports

    def add_address(self, port: str, address: IPv4Interface, now: Instant) -> None:
        """Give a port one more address; one that it has is no error."""
        held = self.ports[port].addresses
        if address in held:
            return
        if address.ip in (address.network.network_address, address.network.broadcast_address) and (
            address.network.prefixlen < 31
        ):
            raise PlanError(f"{address} is no host of its subnet")
        for name, other in self.ports.items():
            if name != port and any(
                address.network.overlaps(own.network) for own in other.addresses
            ):
                raise PlanError(f"{address} overlaps with an address of {name}")
        self.stack.add_address(port, address, now)
        held.append(address)
        self._addresses_changed(port, now)

    def remove_address(self, port: str, address: IPv4Interface, now: Instant) -> None:
        """Take an address off a port; one that it does not have is no error."""
        held = self.ports[port].addresses
        if address not in held:
            return
        held.remove(address)
        self.stack.remove_address(port, address, now)
        self._addresses_changed(port, now)

    def set_mtu(self, port: str, mtu: int, now: Instant) -> None:
        """Set a port's IP MTU."""
        self.stack.set_mtu(port, mtu, now)
        self.ports[port].mtu = mtu

    def set_arp_timeout(self, port: str, span: Duration) -> None:
        """How long what ARP learned on a port is believed."""
        self.ports[port].arp_timeout = span
        neighbours = self.stack.interface(port).neighbours
        neighbours.config = replace(self.stack.config.arp, reachable=span)

    def set_redirects(self, port: str, on: bool) -> None:
        """Whether packets that came by a port cause redirects."""
        _put(self.stack.core.crossing.no_redirects, port, not on)

    def set_directed_broadcast(self, port: str, on: bool) -> None:
        """Whether broadcasts directed at a port's subnet are let through."""
        _put(self.stack.core.crossing.directed_broadcast, port, on)

    def set_clamp(self, port: str, on: bool) -> None:
        """Whether SYNs that pass a port are clamped."""
        _put(self.stack.core.crossing.clamped, port, on)

    def set_irdp(self, port: str, irdp: Irdp | None, now: Instant) -> None:
        """Advertise the router on a port, or take it back."""
        self.ports[port].irdp = irdp
        self._advertise(port, now)

    def link_changed(self, port: str, up: bool, now: Instant) -> None:
        """A link came or went: what is set by hand is there as soon as it is."""
        if up:
            for (name, address), mac in self.arp.items():
                if name == port:
                    self.stack.interface(port).neighbours.set(address, mac, now)
        self._advertise(port, now)

    # Routes, neighbours

    def add_route(self, route: StaticRoute, now: Instant) -> None:
        """Add a route; it is used as soon as its gateway is on a link."""
        if any(route.via == own.ip for port in self.ports.values() for own in port.addresses):
            raise PlanError(f"{route.via} is the router's own address")
        self.routes = [each for each in self.routes if each[:2] != route[:2]]
        self.routes.append(route)
        self._reroute(now)

    def remove_route(self, prefix: IPv4Network, via: IPv4Address, now: Instant) -> None:
        """Remove a route; one that is not there is no error."""
        self.routes = [each for each in self.routes if each[:2] != (prefix, via)]
        self._reroute(now)

    def add_arp(self, port: str, address: IPv4Address, mac: MacAddr, now: Instant) -> None:
        """Set a neighbour by hand."""
        self.arp[port, address] = mac
        self.stack.interface(port).neighbours.set(address, mac, now)

    def remove_arp(self, port: str, address: IPv4Address) -> None:
        """Forget a neighbour that was set by hand; one that was not is no error."""
        if self.arp.pop((port, address), None) is not None:
            self.stack.interface(port).neighbours.forget(address)

    def clear_arp(self, port: str | None = None) -> None:
        """Forget what ARP learned, on one port or all."""
        for name in self.ports if port is None else (port,):
            neighbours = self.stack.interface(name).neighbours
            for entry in neighbours:
                if entry.state is not NeighbourState.PERMANENT:
                    neighbours.forget(entry.address)

    # The whole router

    def set_rate_limit(self, on: bool) -> None:
        """Whether ICMP errors are limited to the usual rate."""
        self.rate_limited = on
        rate = self._usual.icmp.error_rate if on else 0.0
        self.stack.reconfigure(self.stack.config.with_(icmp={"error_rate": rate}))
        for name, port in self.ports.items():
            self.set_arp_timeout(name, port.arp_timeout)

    def set_unreachables(self, on: bool) -> None:
        """Whether ICMP errors are sent at all."""
        self.stack.answers.icmp_errors = on

    def keep_out(self, tcp_port: int | None) -> None:
        """Let no connection to ``tcp_port`` through; None: all."""
        self.stack.core.crossing.kept_out = tcp_port

    def set_nat(self, outside: str | None) -> None:
        """Translate to the first address of the port ``outside``; None: do not."""
        self.outside = outside
        self._translate()

    def set_nat_lifetime(self, protocol: str, span: Duration) -> None:
        """How long an idle mapping lives; of TCP, that of an established connection."""
        if protocol == "tcp":
            self.nat_config = replace(self.nat_config, tcp_established=span)
        elif protocol == "udp":
            self.nat_config = replace(self.nat_config, udp_timeout=span)
        else:
            self.nat_config = replace(self.nat_config, icmp_timeout=span)
        if self.nat is not None:
            self.nat.reconfigure(self.nat_config)

    def nat_lifetime(self, protocol: str) -> Duration:
        """How long an idle mapping of ``protocol`` lives."""
        config = self.nat_config
        spans = {
            "icmp": config.icmp_timeout,
            "tcp": config.tcp_established,
            "udp": config.udp_timeout,
        }
        return spans[protocol]

    def set_multicast(self, on: bool, now: Instant) -> None:
        """Forward to groups, or do not."""
        if on and not self.groups.on:
            self.groups.start(now)
        elif not on:
            self.groups.stop()

    # What follows from it

    def _addresses_changed(self, port: str, now: Instant) -> None:
        self._reroute(now)
        self._advertise(port, now)
        if port == self.outside:
            self._translate()

    def _reroute(self, now: Instant) -> None:
        """Put in all routes whose gateway is on a link."""
        self.stack.routes.remove(lambda each: each.origin == Origin.STATIC)
        for route in self.routes:
            port = self._port_of(route.via)
            if port is not None:
                self.stack.add_route(
                    route.prefix, via=route.via, interface=port, metric=route.distance, now=now
                )

    def _port_of(self, gateway: IPv4Address) -> str | None:
        for name, port in self.ports.items():
            if any(gateway in own.network for own in port.addresses):
                return name
        return None

    def _advertise(self, port: str, now: Instant) -> None:
        """Begin anew where something has changed, or cease and say so."""
        state = self.ports[port]
        irdp = state.irdp
        if irdp is None or not state.addresses or not self.stack.interface(port).up:
            held = self.stack.discovery.advertisers.get(port)
            if held is not None:
                held.stop(now)
            return
        interval = irdp.interval
        config = AdvertiseConfig(
            max_interval=interval,
            min_interval=Duration(interval * 3 // 4),
            lifetime=irdp.lifetime,
        )
        self.stack.discovery.advertise(port, now, preference=irdp.preference, config=config)

    def _translate(self) -> None:
        """Begin anew to translate, without mappings, or cease."""
        self.nat = None
        self.stack.ip.onward = None
        self.set_rate_limit(self.rate_limited)
        if self.outside is not None and self.ports[self.outside].addresses:
            self.nat = self.stack.translate(self.outside, config=self.nat_config)


def _put(names: set[str], name: str, there: bool) -> None:
    if there:
        names.add(name)
    else:
        names.discard(name)
