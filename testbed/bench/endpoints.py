"""A plan's IPv4 network, brought up: addresses and routes on devices, stations on NICs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from testbed.bench.addressing import AddressPlan, Assignment, plan_addresses
from testbed.bench.roles import Roles
from testbed.bench.topology import Kind
from testbed.capture import ArpProbe
from testbed.errors import BenchError, PlanError
from testbed.hosts import Station, Tap
from testbed.timing import format_duration, seconds
from testbed.wire import MacAddr

__all__ = ["Endpoint", "Network", "bring_up_network"]

EVERYWHERE = IPv4Network("0.0.0.0/0")

READY_WITHIN = seconds(5)
"""How long a router may take from a route's configuration to its forwarding table."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of the network: who has it, and how its packets leave.

    ``gateway_mac`` is where an end sends what is not on its link; None for routers and for ends
    without a router.
    """

    node: str
    link: str
    address: IPv4Interface
    mac: MacAddr
    gateway: IPv4Address | None = None
    next_hop_mac: MacAddr | None = None

    @property
    def gateway_mac(self) -> MacAddr:
        """Where this end sends what is not on its link; PlanError where it has no gateway."""
        if self.next_hop_mac is None:
            raise PlanError(f"{self.node} has no gateway: the topology has no router beside it")
        return self.next_hop_mac

    @property
    def ip(self) -> IPv4Address:
        """The address itself."""
        return self.address.ip


@dataclass(slots=True)
class Network:
    """The plan's network: ``net["a"]`` is an end, ``net.at("r", "a--r")`` a router's address."""

    plan: AddressPlan
    endpoints: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    stations_by_link: dict[str, Station] = field(default_factory=dict)
    nics: set[str] = field(default_factory=set)
    probes: list[ArpProbe] = field(default_factory=list)

    def __getitem__(self, node: str) -> Endpoint:
        assignment = self.plan.of(node)
        return self.endpoints[node, assignment.link]

    def at(self, node: str, link: str) -> Endpoint:
        """The address of ``node`` on ``link``."""
        found = self.endpoints.get((node, link))
        if found is None:
            links = ", ".join(other for name, other in self.endpoints if name == node)
            raise PlanError(f"{node} has no address on {link!r}; it has one on: {links or 'none'}")
        return found

    def station(self, node: str) -> Station:
        """The tester's station on the NIC that plays ``node``."""
        link = self.plan.of(node).link
        if link not in self.stations_by_link:
            raise PlanError(f"{node} is no NIC: only NICs have stations")
        return self.stations_by_link[link]

    def gateway_mac(self, link: str) -> MacAddr | None:
        """Where the station on ``link`` sends what is not on its link."""
        found = (e for e in self.endpoints.values() if e.link == link and e.node in self.nics)
        return next((end.next_hop_mac for end in found), None)

    def neighbours_of(self, link: str) -> tuple[IPv4Address, ...]:
        """The devices that answer ARP at the far end of the controller's cable ``link``."""
        return tuple(
            end.ip
            for end in self.endpoints.values()
            if end.link == link and end.node not in self.nics
        )

    def probe(self, tap: Tap, target: IPv4Address) -> ArpProbe:
        """The ARP probe that asks ``target`` from ``tap``; the same one each time."""
        seed = f"{tap.port.name} {target}".encode()
        mac = MacAddr(b"\x02\x7c" + zlib.crc32(seed).to_bytes(4, "big"))
        probe = ArpProbe(mac, target)
        if probe not in self.probes:
            self.probes.append(probe)
        return probe

    def close(self) -> None:
        """Take the stations off their NICs."""
        for station in self.stations_by_link.values():
            station.close()


def bring_up_network(roles: Roles, probes: list[ArpProbe]) -> Network:
    """Address every node of the plan's topology and wait until every gateway answers.

    ICMP rate limits of routers are switched off: a plan that counts errors would otherwise judge
    the limit and not the behaviour. Hosts keep nothing of what a connection has learned about its
    path, or it would begin the next plan's. All of it is journaled and undone when the plan ends.
    ``probes`` collects the ARP probes that captures send.
    """
    network = Network(plan_addresses(roles.topology, roles.management), probes=probes)
    for assignment in network.plan.assignments:
        network.endpoints[assignment.node, assignment.link] = _assign(roles, network, assignment)
    for hop in network.plan.routes:
        roles.router(hop.router).add_route(hop.prefix, hop.via)
    for name, kind in roles.topology.nodes:
        if kind is Kind.ROUTER:
            roles.router(name).set_icmp_rate_limit(on=False)
            _await_routes(roles, network, name)
        if kind is Kind.HOST:
            roles.host(name).set_sysctl("net.ipv4.tcp_no_metrics_save", "1")
    for key, end in network.endpoints.items():
        station = network.stations_by_link.get(end.link)
        if end.node in network.nics and station is not None and end.gateway is not None:
            mac = station.resolve(end.gateway, within=READY_WITHIN)
            network.endpoints[key] = replace(end, next_hop_mac=mac)
    return network


def _assign(roles: Roles, network: Network, assignment: Assignment) -> Endpoint:
    node, link, address = assignment.node, assignment.link, assignment.address
    kind = roles.topology.kind(node)
    if kind is Kind.NIC:
        nic = roles.nic(node)
        network.nics.add(node)
        network.stations_by_link[link] = Station(
            nic.tap, address, gateway=assignment.gateway, loop=roles.loop
        )
        return Endpoint(node, link, address, nic.mac, assignment.gateway)
    port = roles.placement.port(node, link)
    device = roles.addressed(node)
    device.add_address(port, address)
    if assignment.gateway is not None:
        device.add_route(EVERYWHERE, assignment.gateway)
    return Endpoint(node, link, address, device.mac(port), assignment.gateway)


def _await_routes(roles: Roles, network: Network, router: str) -> None:
    """A routing daemon takes a moment from configuration to forwarding."""
    wanted = {end.address.network for end in network.endpoints.values() if end.node == router}
    wanted |= {hop.prefix for hop in network.plan.routes if hop.router == router}
    device = roles.router(router)
    deadline = roles.loop.now() + READY_WITHIN
    while missing := wanted - {route.prefix for route in device.routes()}:
        if roles.loop.now() >= deadline:
            names = ", ".join(str(prefix) for prefix in sorted(missing))
            raise BenchError(
                f"{device.name}: no route to {names} {format_duration(READY_WITHIN)} after it was "
                "configured; see its console log in the report"
            )
