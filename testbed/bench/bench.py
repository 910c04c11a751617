"""The bench as a plan sees it: its topology's nodes, captures, waiting, and breaking things."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Any, cast

from testbed.bench.beacons import Beacons
from testbed.bench.boxes import BenchBox
from testbed.bench.capturing import Capture
from testbed.bench.endpoints import Network, bring_up_network
from testbed.bench.nic import BenchNic
from testbed.bench.paths import PathFinder
from testbed.bench.placement import Placement
from testbed.bench.sabotage import Sabotage
from testbed.bench.session import BenchSession
from testbed.bench.topology import Kind
from testbed.capture import ArpProbe, Point, Trace, recogniser
from testbed.console.cli import Cli
from testbed.devices.capabilities import Device, Host, Router, Switch
from testbed.errors import ExpectationFailed, PlanError, Unsupported
from testbed.hosts import RealLoop, Subscription, Tap
from testbed.report import NoteRecord
from testbed.timing import Duration, Instant, format_duration

__all__ = ["Bench"]


class Bench:
    """One plan's hold on the bench. Names are those of the plan's topology."""

    def __init__(
        self,
        session: BenchSession,
        placement: Placement,
        nodeid: str,
        source: Callable[[], str | None],
        started: Instant,
    ) -> None:
        self._session = session
        self.placement = placement
        self.topology = placement.topology
        self.loop: RealLoop = session.loop
        self.notes: list[NoteRecord] = []
        self._nics: dict[str, BenchNic] = {}
        self._boxes: dict[str, BenchBox] = {}
        self._injected = 0
        self.network: Network | None = None
        self._mirrored: tuple[str, ...] = ()
        nonce = hashlib.sha256(f"{nodeid} {session.loop.wall_now()}".encode()).digest()[:8]
        self.probes: list[ArpProbe] = []
        self._recognise = recogniser(nonce, self.probes)
        self._beacons = Beacons(self.loop, nonce)
        self._taps = self._open_taps()
        self.trace = Trace(
            [
                Point(name, f"controller NIC {tap.port.name}, {placement}")
                for name, tap in self._taps.items()
            ],
            recognise=self._recognise,
            source=source,
        )
        self.trace.start = started
        self._subscriptions = self._record()
        for name, kind in self.topology.nodes:
            if kind is Kind.BOX:
                self._boxes[name] = self._place_box(name)

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

    def box(self, role: str) -> BenchBox:
        """The fault box that plays ``role``."""
        self._demand(role, Kind.BOX)
        return self._boxes[role]

    def device(self, role: str) -> Device:
        """The driver of whatever device plays ``role``."""
        if self.topology.kind(role) in (Kind.NIC, Kind.BOX):
            raise PlanError(f"{role} is a {self.topology.kind(role).value}, not a device")
        return cast("Device", self._session.driver(self.placement.nodes[role]))

    def console(self, role: str) -> Cli:
        """A login on the serial console of ``role``."""
        return self._session.gear.login_serial(self.placement.nodes[role])

    def port(self, role: str, toward: str) -> str:
        """The name of the port of ``role`` at which the cable to ``toward`` ends."""
        names = [link.name for link in self.topology.links_of(role) if link.joins(toward)]
        if len(names) != 1:
            raise PlanError(f"{len(names)} links join {role} and {toward}; expected one")
        return self.placement.port(role, names[0])

    @contextmanager
    def capture(
        self,
        *links: str,
        domains: Sequence[Sequence[str]] | None = None,
    ) -> Iterator[Capture]:
        """Capture at the controller's ends of ``links``; of all that have one, if none is named.

        ``domains`` are the NICs between which a broadcast goes, where a plan has made VLANs:
        ``[("a", "b"), ("c", "t@10")]``, ``@10`` for one that must tag. Default: all NICs of a
        switch reach each other.
        """
        names = [self.topology.link(name).name for name in links] or list(self._taps)
        for name in names:
            if name not in self._taps:
                raise Unsupported(f"nobody can listen on {name}: neither end is a controller NIC")
        finder = PathFinder(self, domains, self._mirrored)
        paths = {name: finder.paths_to(name) for name in names}
        taps = {name: self._taps[name] for name in names}
        capture = Capture(
            self.trace,
            taps,
            paths,
            beacons=self._beacons,
            loop=self.loop,
            activity=lambda: self._injected,
        )
        with capture:
            yield capture

    @contextmanager
    def mirror(self, role: str, *toward: str) -> Iterator[None]:
        """Copy both directions of the ports of ``role`` toward these nodes to its mirror port."""
        switch = self.switch(role)
        links = [link for link in self.topology.links_of(role) if link.mirror]
        if not links:
            raise PlanError(f"the topology gives {role} no mirror NIC: Topology.star(mirror=...)")
        sources = tuple(self.port(role, toward=node) for node in toward)
        switch.set_mirror(sources, self.placement.port(role, links[0].name))
        self._mirrored = tuple(toward)
        try:
            yield
        finally:
            self._mirrored = ()
            switch.clear_mirror()

    @property
    def management(self) -> tuple[IPv4Network, ...]:
        """Networks that the bench file keeps for management."""
        return self._session.file.limits.management

    def bring_up_network(self) -> Network:
        """Give every node its addresses and routes, and wait until gateways answer."""
        if self.network is None:
            self.network = bring_up_network(self, self.probes)
        return self.network

    def wait_until(
        self, condition: Callable[[], bool], within: Duration, what: str = "the condition"
    ) -> None:
        """Turn the loop until ``condition`` holds; ExpectationFailed says ``what`` did not come."""
        if not self.loop.run_until(condition, within):
            raise ExpectationFailed(f"{what} did not come within {format_duration(within)}")

    def watch_for(self, span: Duration) -> None:
        """Turn the loop for ``span``: for oracles that are about time passing, such as ageing."""
        self.loop.run_until(lambda: False, span)

    def tolerance(self, name: str, default: float) -> float:
        """A tolerance that the bench file may set; ``default`` where it does not."""
        return self._session.file.tolerances.get(name, default)

    def log(self, text: str) -> None:
        """Leave a remark in the report, at this time."""
        now = self.loop.wall_now()
        self.notes.append(NoteRecord(at=now, text=text))
        self.trace.mark(now, text)

    def sabotage(self, role: str) -> Sabotage:
        """For drills: make the device that plays ``role`` wrong, until the drill ends."""
        driver = self._session.driver(self.placement.nodes[role])
        return Sabotage(role, driver, self._session.journal)

    def finish(self) -> None:
        """Stop recording and take every stage out of the boxes."""
        for box in self._boxes.values():
            box.clear()
        if self.network is not None:
            self.network.close()
        for tap in self._taps.values():
            tap.pump()
        for subscription in self._subscriptions:
            subscription.close()

    @property
    def boxes(self) -> tuple[BenchBox, ...]:
        """The fault boxes of this plan, for the report."""
        return tuple(self._boxes.values())

    def tap(self, link: str) -> Tap | None:
        """The controller's NIC on ``link``, where it has one."""
        return self._taps.get(self.topology.link(link).name)

    def _demand(self, role: str, kind: Kind) -> None:
        found = self.topology.kind(role)
        if found is not kind:
            raise PlanError(f"{role} is a {found.value} in this topology, not a {kind.value}")

    def _count_injected(self) -> None:
        self._injected += 1

    def _open_taps(self) -> dict[str, Tap]:
        taps = {}
        for link in self.topology.links:
            for node in (link.a, link.b):
                if self.topology.kind(node) in (Kind.NIC, Kind.BOX):
                    nic = self.placement.port(node, link.name)
                    taps[link.name] = self._session.gear.tap(nic)
        return taps

    def _place_box(self, role: str) -> BenchBox:
        place = self.placement.nodes[role]
        left_nic, _ = self._session.hardware.controller.boxes[place]
        left = next(
            link.other(role)
            for link in self.topology.links_of(role)
            if self.placement.port(role, link.name) == left_nic
        )
        box = self._session.gear.box(place)
        return BenchBox(role, self.topology, box, self._recognise, left=left)

    @property
    def platforms(self) -> dict[str, str]:
        """The platform of every device, by role."""
        gear = {**self._session.file.devices, **self._session.file.hosts}
        places = self.placement.nodes.items()
        return {role: gear[place].platform for role, place in places if place in gear}

    def _record(self) -> list[Subscription]:
        def recorder(name: str) -> Callable[[Any], None]:
            return lambda frame: self.trace.add(name, (frame,))

        for tap in self._taps.values():
            tap.pump()
        return [tap.subscribe(recorder(name)) for name, tap in self._taps.items()]
