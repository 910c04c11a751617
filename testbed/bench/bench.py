"""The bench as a plan sees it: its topology's nodes, captures, waiting, and breaking things."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from testbed.bench.beacons import Beacons
from testbed.bench.boxes import BenchBox
from testbed.bench.capturing import Capture
from testbed.bench.hosts import PlanHosts
from testbed.bench.paths import PathFinder
from testbed.bench.placement import Placement
from testbed.bench.sabotage import Sabotage
from testbed.bench.session import BenchSession
from testbed.bench.topology import Kind
from testbed.bench.transfers import Transfer
from testbed.capture import Matcher, Point, Trace
from testbed.devices.values import Flow
from testbed.errors import ExpectationFailed, PlanError, Unsupported
from testbed.hosts import Subscription
from testbed.link.port import clock_of
from testbed.report import BenchmarkColumn, BenchmarkRecord, Cell, NoteRecord
from testbed.sim.journey import Hop
from testbed.timing import Duration, Instant, format_duration
from testbed.wire import summary

__all__ = ["Bench"]

TOLD_LOSSES = 50
"""Frames lost on simulated cables that a report tells of."""


class Bench(PlanHosts):
    """One plan's hold on the bench. Names are those of the plan's topology."""

    def __init__(
        self,
        session: BenchSession,
        placement: Placement,
        nodeid: str,
        source: Callable[[], str | None],
        started: Instant,
    ) -> None:
        nonce = hashlib.sha256(f"{nodeid} {session.loop.wall_now()}".encode()).digest()[:8]
        super().__init__(session, placement, nonce)
        self._boxes: dict[str, BenchBox] = {}
        self._mirrored: tuple[str, ...] = ()
        self._beacons = Beacons(self.loop, nonce)
        self.benchmarks: list[BenchmarkRecord] = []
        """What this plan has measured, for the report."""
        self.trace = Trace(
            [
                Point(name, f"controller NIC {tap.port.name}, {placement}", clock_of(tap.port))
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

    def box(self, role: str) -> BenchBox:
        """The fault box that plays ``role``."""
        self._demand(role, Kind.BOX)
        return self._boxes[role]

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
        finder = PathFinder(self, self.network, domains, self._mirrored)
        paths = {name: finder.paths_to(name) for name in names}
        taps = {name: self._taps[name] for name in names}
        capture = Capture(
            self.trace,
            taps,
            paths,
            beacons=self._beacons,
            loop=self.loop,
            activity=lambda: self.injected,
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

    def transfer(
        self,
        client: str,
        server: str,
        *,
        port: int,
        up: int = 0,
        down: int = 0,
        flow: Flow | None = None,
        server_flow: Flow | None = None,
    ) -> Transfer:
        """Start a TCP connection that carries ``up`` bytes from its client, ``down`` back to it.

        The server closes when the client has; ``flow`` is how the client behaves. Returns at once.
        """
        address = str(self.bring_up_network()[server].ip)
        transfer = Transfer.of(self.host(client), self.host(server), port, up=up, down=down)
        transfer.start(address, flow, server_flow)
        return transfer

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

    def measured(self, role: str, name: str, clause: str, **values: Cell) -> None:
        """Leave what was measured of a device in the report, among its benchmarks.

        Each of ``values`` is a column of the one row: ``addresses=1024, stated=1024``.
        """
        columns = tuple(BenchmarkColumn(key=key, title=key.replace("_", " ")) for key in values)
        row = tuple(values.values())
        device = self.device(role).name
        self.benchmarks.append(
            BenchmarkRecord(name=name, clause=clause, device=device, columns=columns, rows=(row,))
        )

    def say(self, text: str) -> None:
        """Tell whoever watches the run what is going on; the report does not have it."""
        self._session.say(text)

    @property
    def simulated(self) -> bool:
        """Whether time is virtual."""
        return self._session.simulated

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Keep frames out of the plan's trace for a block: more than anybody would look at."""
        for tap in self._taps.values():
            tap.pump()
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = []
        try:
            yield
        finally:
            self._subscriptions = self._record()

    def journeys(self, matcher: Matcher) -> list[list[Hop]]:
        """Where frames went on a sim bench: for each that matches, it and all that came of it.

        Each hop has its cable, its time, the frame's bytes, and why it was lost where it was.
        Unsupported on a real bench, which knows only what somebody heard.
        """
        return self._session.gear.journeys(matcher)

    def sabotage(self, role: str) -> Sabotage:
        """For drills: make the device that plays ``role`` wrong, until the drill ends."""
        driver = self._session.driver(self.placement.nodes[role])
        return Sabotage(role, driver, self._session.journal)

    def finish(self) -> None:
        """Stop recording, end streams and Python stacks, and take every stage out of the boxes."""
        for nic in self._nics.values():
            nic.end_streams()
            for text in nic.end_recordings():
                self.log(text)
        self._tell_losses()
        self.end_hosts()
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

    def _tell_losses(self) -> None:
        """Note what cables lost, the latest: nobody else would ever know."""
        ahead = self.loop.wall_now() - self.loop.now()
        for hop in self._session.gear.lost()[-TOLD_LOSSES:]:
            text = f"lost on {hop.lane}: {hop.lost}: {summary(hop.frame)}"
            self.notes.append(NoteRecord(at=ahead + hop.at, text=text))

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

    def _record(self) -> list[Subscription]:
        def recorder(name: str) -> Callable[[Any], None]:
            return lambda frame: self.trace.add(name, (frame,))

        for tap in self._taps.values():
            tap.pump()
        return [tap.subscribe(recorder(name)) for name, tap in self._taps.items()]
