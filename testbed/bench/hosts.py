"""The hosts of a plan: kernel hosts, Python stacks on NICs, and Python stacks in a host's place."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import overload

from testbed.bench.endpoints import EVERYWHERE, Network, bring_up_network
from testbed.bench.placement import Placement
from testbed.bench.roles import Roles
from testbed.bench.session import BenchSession
from testbed.bench.telling import told_at_the_end, told_of
from testbed.bench.topology import Kind
from testbed.capture import ArpProbe, Trace, recogniser
from testbed.devices.capabilities import Device, Host
from testbed.errors import PlanError
from testbed.hosts.stack_host import StackHost
from testbed.labs.stackdevice import StackDevice
from testbed.report import NoteRecord
from testbed.stack.config import StackConfig
from testbed.stack.events import Event, PacketDropped
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = ["NIC_INTERFACE", "PlanHosts"]

NIC_INTERFACE = "eth0"
"""What a Python stack on a NIC calls its interface."""

SHOWN = 20
"""Connections of one stack whose end a report shows."""

TOLD = 300
"""Events of one stack that a report shows."""


class PlanHosts(Roles):
    """A plan's hosts, and the network that they are in."""

    def __init__(self, session: BenchSession, placement: Placement, nonce: bytes) -> None:
        super().__init__(session, placement)
        self.notes: list[NoteRecord] = []
        self.network: Network | None = None
        self.probes: list[ArpProbe] = []
        self._recognise = recogniser(nonce, self.probes)
        self._nonce = zlib.crc32(nonce)
        # Its ARP probes are answered as anybody's are: that is what they are for.
        beacons = recogniser(nonce)
        self._own: dict[str, Callable[[bytes], bool]] = {
            "ignores": lambda frame: beacons(frame) is not None
        }
        self._stacks: dict[str, StackDevice] = {}
        self._defects: dict[str, tuple[Defect, ...]] = {}
        self._ending = ExitStack()
        self.trace: Trace

    def bring_up_network(self) -> Network:
        """Give every node its addresses and routes, and wait until gateways answer."""
        if self.network is None:
            self.network = bring_up_network(self, self.probes)
        return self.network

    @overload
    def host(self, role: str) -> Host: ...

    @overload
    def host(self, role: str, config: StackConfig, *, seed: int | None = None) -> StackHost: ...

    def host(
        self, role: str, config: StackConfig | None = None, *, seed: int | None = None
    ) -> Host | StackHost:
        """The host that plays ``role``: a kernel host, or on a NIC a Python stack.

        With a ``config`` a Python stack takes over the NIC's address and gateway and is given to
        the plan to steer; after that, without one, the same stack as a host like any other.
        ``seed`` is where its random numbers come from: ports and sequence numbers are new in each
        run unless it is given, as the device may remember those of the last; the report names it.
        """
        if config is not None:
            return self._stack_on(role, config, seed)
        if self._is_stack(role):
            return self._stacks[role]
        return super().host(role)

    def device(self, role: str) -> Device:
        """The driver of whatever device plays ``role``."""
        return self._stacks[role] if self._is_stack(role) else super().device(role)

    def _is_stack(self, role: str) -> bool:
        """Whether a Python stack plays ``role``; a sim bench has no other hosts."""
        host = self.topology.kind(role) is Kind.HOST
        if host and self._session.simulated and role not in self._stacks:
            self.stand_in(role)
        return role in self._stacks

    def stand_in(
        self,
        role: str,
        *defects: Defect,
        config: StackConfig | None = None,
        seed: int | None = None,
    ) -> StackDevice:
        """Put a Python stack in the place of the kernel host that plays ``role``.

        Until the plan ends, on the host's own ports and as ``config`` has it (Linux's values by
        default), with ``defects``. The network must not be up yet; Unsupported where the host is
        another machine.
        """
        self._demand(role, Kind.HOST)
        if self.network is not None or role in self._stacks:
            raise PlanError(f"{role}: a Python stack takes a host's place before its network is up")
        links = self.topology.links_of(role)
        ports = tuple(self.placement.port(role, link.name) for link in links)
        place = self.placement.nodes[role]
        taken = self._session.gear.host_ports(place, ports)
        self._ending.callback(taken.close)
        settings = (config or StackConfig.linux()).with_defects(*defects)
        luck = self._seed_of(role, seed)
        return self._enter(
            role, StackDevice(place, taken.taps, self.loop, config=settings, seed=luck, **self._own)
        )

    def spoil(self, role: str, *defects: Defect) -> None:
        """Have whatever plays ``role`` with these defects, before the plan has touched it.

        On a NIC the Python stack that the plan is going to make there; in the place of a host
        another one; a simulated device as it is. Unsupported where a real device plays it.
        """
        kind = self.topology.kind(role)
        if role in self._stacks:
            raise PlanError(f"{role}: a Python stack is given defects before it is made")
        if kind is Kind.NIC:
            self._defects[role] = (*self._defects.get(role, ()), *defects)
        elif kind is Kind.HOST:
            self.stand_in(role, *defects)
        else:
            self._session.gear.spoil(self.placement.nodes[role], defects)

    def replace_hosts(self) -> None:
        """Put a good Python stack in the place of every kernel host."""
        for role, kind in self.topology.nodes:
            if kind is Kind.HOST:
                self.stand_in(role)

    @property
    def stacks(self) -> dict[str, StackHost]:
        """The Python stacks of this plan, by role."""
        return {role: device.host for role, device in self._stacks.items()}

    def struck(self) -> list[tuple[Instant, str, str, str, bytes]]:
        """What stages beside the stacks did to the plan's frames: when, whose, which way, what."""
        found = [
            (event.at, role, toward, f"{event.action} {event.note}".strip(), event.frame)
            for role, device in self._stacks.items()
            for wire in device.host.wires.values()
            for toward, way in (("out", wire.outgoing), ("in", wire.incoming))
            for event in way.events
            if self._recognise(event.frame) is None
        ]
        return sorted(found, key=lambda event: event[0])

    def end_hosts(self) -> None:
        """Stop the Python stacks and give their ports back; the report tells how they ended."""
        for role, device in self._stacks.items():
            for connection in device.host.stack.tcp.connections[:SHOWN]:
                told = told_at_the_end(role, connection.snapshot(), self.loop.wall_now())
                self.notes.append(told)
        self._ending.close()

    def _seed_of(self, role: str, seed: int | None) -> int:
        """The seed of a stack, noted in the report so that a run can be had again."""
        if seed is None:
            seed = zlib.crc32(role.encode(), self._nonce)
        self.notes.append(NoteRecord(at=self.loop.wall_now(), text=f"{role}: seed={seed}"))
        return seed

    def _stack_on(self, role: str, config: StackConfig, seed: int | None) -> StackHost:
        self._demand(role, Kind.NIC)
        if role in self._stacks:
            raise PlanError(f"{role} has a Python stack already: bench.host({role!r}) is it")
        network = self.bring_up_network()
        end, nic = network[role], self.nic(role)
        network.station(role).close()
        taps = {NIC_INTERFACE: nic.tap}
        config = config.with_defects(*self._defects.get(role, ()))
        luck = self._seed_of(role, seed)
        device = StackDevice(role, taps, self.loop, config=config, seed=luck, **self._own)
        self._enter(role, device)
        device.lent = True
        device.host.resolve = self._resolve
        device.add_address(NIC_INTERFACE, end.address)
        if end.gateway is not None:
            device.add_route(EVERYWHERE, end.gateway)
        return device.host

    def _enter(self, role: str, device: StackDevice) -> StackDevice:
        self._stacks[role] = device
        self._ending.callback(device.close)
        told = 0

        def tell(event: Event) -> None:
            nonlocal told
            if told < TOLD and not isinstance(event, PacketDropped):
                told += 1
                self.notes.append(told_of(role, event, self.loop.wall_now()))

        device.on_event = tell
        return device

    def _resolve(self, to: str | IPv4Address) -> IPv4Address:
        if isinstance(to, str) and to in dict(self.topology.nodes):
            return self.bring_up_network()[to].ip
        return IPv4Address(to)
