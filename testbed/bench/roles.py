"""The nodes of a plan's topology, found on the bench: NICs, devices, ports."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import cast

from testbed.bench.nic import BenchNic
from testbed.bench.placement import Placement
from testbed.bench.session import BenchSession
from testbed.bench.topology import Kind
from testbed.console.cli import Cli
from testbed.devices.capabilities import Device, Host, Router, Switch
from testbed.devices.media import SharedMedium, TokenRing
from testbed.devices.middle import Addressed, Balancer, Gateway, Server
from testbed.errors import PlanError, Unsupported
from testbed.hosts import Loop, Tap

__all__ = ["Roles"]


class Roles:
    """Who plays which role of a topology. Names are those of the topology."""

    def __init__(self, session: BenchSession, placement: Placement) -> None:
        self._session = session
        self.placement = placement
        self.topology = placement.topology
        self.loop: Loop = session.loop
        self.injected = 0
        """How many frames this plan has sent: what has been sent since was not settled."""
        self._nics: dict[str, BenchNic] = {}
        self._taps = self._open_taps()

    def nic(self, role: str) -> BenchNic:
        """The controller NIC that plays ``role``."""
        self._demand(role, Kind.NIC)
        if role not in self._nics:
            limits = self._session.file.limits
            self._nics[role] = BenchNic(
                role,
                self._session.gear.tap(self.placement.nodes[role]),
                self.loop,
                management=limits.management,
                max_rate=limits.max_rate,
                on_inject=self._count_injected,
            )
        return self._nics[role]

    def switch(self, role: str) -> Switch:
        """The switch that plays ``role``."""
        self._demand(role, Kind.SWITCH)
        return cast("Switch", self.device(role))

    def router(self, role: str) -> Router:
        """The router that plays ``role``."""
        self._demand(role, Kind.ROUTER)
        return cast("Router", self.device(role))

    def host(self, role: str) -> Host:
        """The kernel host that plays ``role``."""
        self._demand(role, Kind.HOST)
        return cast("Host", self.device(role))

    def hub(self, role: str) -> SharedMedium:
        """The hub that plays ``role``."""
        self._demand(role, Kind.HUB)
        return cast("SharedMedium", self.device(role))

    def bus(self, role: str) -> SharedMedium:
        """The CSMA/CD bus that plays ``role``."""
        self._demand(role, Kind.BUS)
        return cast("SharedMedium", self.device(role))

    def ring(self, role: str) -> TokenRing:
        """The token ring that plays ``role``."""
        self._demand(role, Kind.RING)
        return cast("TokenRing", self.device(role))

    def server(self, role: str) -> Server:
        """The server that plays ``role``."""
        self._demand(role, Kind.SERVER)
        return cast("Server", self.device(role))

    def balancer(self, role: str) -> Balancer:
        """The balancer that plays ``role``."""
        self._demand(role, Kind.BALANCER)
        return cast("Balancer", self.device(role))

    def gateway(self, role: str) -> Gateway:
        """The application gateway that plays ``role``."""
        self._demand(role, Kind.GATEWAY)
        return cast("Gateway", self.device(role))

    def addressed(self, role: str) -> Addressed:
        """The device that plays ``role``, as one whose ports have addresses."""
        if self.topology.kind(role) is Kind.HOST:
            return self.host(role)
        return cast("Addressed", self.device(role))

    def device(self, role: str) -> Device:
        """The driver of whatever device plays ``role``."""
        if self.topology.kind(role) in (Kind.NIC, Kind.BOX):
            raise PlanError(f"{role} is a {self.topology.kind(role).value}, not a device")
        return cast("Device", self._session.driver(self.placement.nodes[role]))

    def except_known(self, role: str, deviation: str) -> None:
        """Skip the plan, with the reason, where the device's platform is known to deviate.

        Only what a driver lists in ``deviations`` is excepted, and the report says so each time.
        """
        reason = self.device(role).deviations.get(deviation)
        if reason is not None:
            raise Unsupported(f"not judged, known of {self.device(role).platform}: {reason}")

    def stated(self, role: str, name: str) -> float | None:
        """What the bench file says that the device's data sheet promises; None where it is silent.

        ``fdb_capacity`` in addresses, ``learning_rate`` in addresses per second; what benchmarks
        ask for is in ``testbed.bench.trials.STATED``.
        """
        return self._session.file.node(self.device(role).name).stated.get(name)

    def speed(self, link: str) -> int | None:
        """The speed of a link's cable in Mbit/s; None where the bench file is silent."""
        return self.placement.cables[self.topology.link(link).name].speed

    def console(self, role: str) -> Cli:
        """A login on the serial console of ``role``; logged out when the run ends."""
        return self._session.gear.console(self.placement.nodes[role])

    def port(self, role: str, toward: str) -> str:
        """The name of the port of ``role`` at which the cable to ``toward`` ends."""
        names = [link.name for link in self.topology.links_of(role) if link.joins(toward)]
        if len(names) != 1:
            raise PlanError(f"{len(names)} links join {role} and {toward}; expected one")
        return self.placement.port(role, names[0])

    def tap(self, link: str) -> Tap | None:
        """The controller's NIC on ``link``, where it has one."""
        return self._taps.get(self.topology.link(link).name)

    @property
    def management(self) -> tuple[IPv4Network, ...]:
        """Networks that the bench file keeps for management."""
        return self._session.file.limits.management

    @property
    def platforms(self) -> dict[str, str]:
        """The platform of every device, by role."""
        gear = {**self._session.file.devices, **self._session.file.hosts}
        places = self.placement.nodes.items()
        return {role: gear[place].platform for role, place in places if place in gear}

    def _demand(self, role: str, kind: Kind) -> None:
        found = self.topology.kind(role)
        if found is not kind:
            raise PlanError(f"{role} is a {found.value} in this topology, not a {kind.value}")

    def _count_injected(self) -> None:
        self.injected += 1

    def _open_taps(self) -> dict[str, Tap]:
        taps = {}
        for link in self.topology.links:
            for node in (link.a, link.b):
                if self.topology.kind(node) in (Kind.NIC, Kind.BOX):
                    nic = self.placement.port(node, link.name)
                    taps[link.name] = self._session.gear.tap(nic)
        return taps
