"""Which beacons can reach which capture point of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from testbed.bench.beacons import ArpPath, BeaconPath, EthPath, UdpPath
from testbed.bench.endpoints import Network
from testbed.bench.roles import Roles
from testbed.bench.topology import Kind, Link
from testbed.errors import PlanError

__all__ = ["PathFinder"]

FLOODING = (Kind.SWITCH, Kind.HUB, Kind.BUS, Kind.RING)
"""Kinds of devices that let a broadcast out of every other port."""


class PathFinder:
    """Finds the beacon paths to a point, from the topology and what the plan has set up."""

    def __init__(
        self,
        roles: Roles,
        network: Network | None,
        domains: Sequence[Sequence[str]] | None,
        mirrored: Sequence[str],
    ) -> None:
        self._roles = roles
        self._network = network
        self._domains = domains
        self._mirrored = mirrored

    def paths_to(self, name: str) -> tuple[BeaconPath, ...]:
        """Every path over which a beacon must reach the controller's NIC on link ``name``."""
        link = self._roles.topology.link(name)
        if link.mirror:
            return tuple(self._to_mirror(link))
        far = next((n for n in (link.a, link.b) if self._kind(n) not in (Kind.NIC, Kind.BOX)), None)
        if far is not None and self._kind(far) in FLOODING:
            return tuple(self._over_switch(link, far))
        return tuple(self._over_network(link))

    def _kind(self, node: str) -> Kind:
        return self._roles.topology.kind(node)

    def _leaves(self, switch: str) -> list[str]:
        """The NICs on ordinary cables of ``switch``."""
        links = self._roles.topology.links_of(switch)
        around = (link.other(switch) for link in links if not link.mirror)
        return [node for node in around if self._kind(node) is Kind.NIC]

    def _over_switch(self, link: Link, switch: str) -> Iterator[BeaconPath]:
        receiver = link.other(switch)
        for sender, vid in self._peers(receiver, switch):
            yield EthPath(self._roles.nic(sender).tap, self._roles.nic(receiver).tap, vid)

    def _peers(self, receiver: str, switch: str) -> Iterator[tuple[str, int | None]]:
        if self._domains is None:
            yield from ((leaf, None) for leaf in self._leaves(switch) if leaf != receiver)
            return
        for domain in self._domains:
            members = [_member(text) for text in domain]
            if any(name == receiver for name, _ in members):
                yield from (member for member in members if member[0] != receiver)

    def _to_mirror(self, link: Link) -> Iterator[BeaconPath]:
        switch = link.a if self._kind(link.a) is Kind.SWITCH else link.b
        watcher = self._roles.nic(link.other(switch)).tap
        for leaf in self._mirrored:
            yield EthPath(self._roles.nic(leaf).tap, watcher)

    def _over_network(self, link: Link) -> Iterator[BeaconPath]:
        """Datagrams between stations, and an ARP probe to every neighbour on the segment."""
        network = self._network
        tap = self._roles.tap(link.name)
        if network is None or tap is None:
            return
        here = network.stations_by_link.get(link.name)
        if here is not None:
            for name, there in network.stations_by_link.items():
                next_hop = network.gateway_mac(name)
                if there is not here and next_hop is not None:
                    yield UdpPath(there, here, next_hop)
        for target in network.neighbours_of(link.name):
            probe = network.probe(tap, target)
            yield ArpPath(tap, probe)


def _member(text: str) -> tuple[str, int | None]:
    name, at, vid = text.partition("@")
    if at and not vid.isdecimal():
        raise PlanError(f"{text!r}: expected NAME or NAME@VLAN in domains")
    return name, int(vid) if at else None
