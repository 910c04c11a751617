"""A bench file of kind ``sim`` as a network: its devices, its NICs, its cables."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from testbed.errors import LabError
from testbed.inventory import Bench, Cable, Device
from testbed.inventory.model import CONTROLLER
from testbed.labs.sim.loop import EPOCH
from testbed.labs.sim.port import WIRE, SimPort, Socket
from testbed.sim.device import Jack, SimDevice
from testbed.sim.link import Lane, LinkSpec
from testbed.sim.network import Network
from testbed.sim.nic import MacFilter
from testbed.stack.entropy import Entropy
from testbed.stack.variants import Defect
from testbed.timing import Duration
from testbed.wire.addresses import MacAddr

__all__ = ["HOST_PLATFORM", "MODELS", "World"]

HOST_PLATFORM = "sim_host"
"""Hosts are no devices of the network: a Python stack sits on their ports."""

MODELS = {
    "sim_switch": ("testbed.sim.switch", "SimSwitch"),
    "sim_router": ("testbed.sim.router", "SimRouter"),
    "sim_hub": ("testbed.sim.hub", "SimHub"),
    "sim_bus": ("testbed.sim.bus", "SimBus"),
    "sim_ring": ("testbed.sim.ring", "SimRing"),
    "sim_server": ("testbed.sim.server", "SimServer"),
    "sim_balancer": ("testbed.sim.balancer", "SimBalancer"),
    "sim_gateway": ("testbed.sim.gateway", "SimGateway"),
}
"""Which class is a platform's device; loaded when a bench has one."""

FULL_MTU = 1500
MEGABIT = 1_000_000
GIGABIT = 1000 * MEGABIT
NEAR, FAR = 300, 20_000
"""Nanoseconds of propagation on the shortest and the longest cable that the lab lays: which one a
cable is follows from the seed, for plans must not depend on it."""


class World:
    """Everything of one bench in one network; made anew for every plan, always alike for a seed."""

    def __init__(self, bench: Bench, seed: str) -> None:
        self.bench = bench
        self.seed = seed
        self.network = Network(seed=seed)
        self.ports: dict[str, SimPort] = {}
        """NICs of the controller as ``controller:a``, ports of hosts as ``h1:eth1``."""
        self.devices: dict[str, SimDevice] = {}
        self._entropy = Entropy(f"{seed}/world".encode())
        self._entries = {**bench.devices, **bench.hosts}
        self._mtus = {
            (end.node, end.port): cable.mtu or FULL_MTU
            for cable in bench.cables
            for end in cable.ends
        }
        for name, nic in bench.controller.nics.items():
            own = MacAddr(nic.mac) if nic.mac is not None else None
            self._add_port(CONTROLLER, name, own)
        for name, entry in self._entries.items():
            self._add(name, entry)
        for cable in bench.cables:
            self._plug_in(cable)

    def spoil(self, name: str, defects: tuple[Defect, ...]) -> None:
        """Put a device with these defects in the place of ``name``, or wrong cables on it."""
        on_cables = tuple(each for each in defects if Lane in each.mixins)
        within = tuple(each for each in defects if Lane not in each.mixins)
        if on_cables:
            self.network.rewire(name, on_cables)
        if within:
            device = self._make(name, self._entries[name], within)
            self.devices[name] = device
            self.network.replace(device)

    def _add(self, name: str, entry: Device) -> None:
        if entry.platform == HOST_PLATFORM:
            for port in entry.ports:
                self._add_port(name, port, None)
            return
        self.devices[name] = device = self._make(name, entry, ())
        self.network.add(device)

    def _make(self, name: str, entry: Device, defects: tuple[Defect, ...]) -> SimDevice:
        if entry.platform not in MODELS:
            raise LabError(
                f"bench {self.bench.bench}: {name} is of platform {entry.platform}, which cannot "
                f"be simulated; there are {', '.join([*MODELS, HOST_PLATFORM])}"
            )
        module, model = MODELS[entry.platform]
        jacks = [
            Jack(port, self._mac(f"{name}:{port}"), self._mtus.get((name, port), FULL_MTU))
            for port in entry.ports
        ]
        device: SimDevice = getattr(import_module(module), model)(
            name, jacks, seed=self.seed, defects=defects, stated=entry.stated
        )
        device.on_enabled = lambda _: self.network.refresh(name)
        return device

    def _add_port(self, node: str, name: str, own: MacAddr | None) -> None:
        place = f"{node}:{name}"
        mtu = self._mtus.get((node, name), FULL_MTU)
        tester = node == CONTROLLER
        shown = name if tester else place
        mac = own or self._mac(place)
        # A host's stack knows for itself which addresses and groups are its own.
        card = MacFilter(mac, mtu=mtu, promiscuous=True, keeps_bad=tester)
        self.ports[place] = port = SimPort(shown, card, EPOCH)
        port.node = self.network.add(Socket(place, port))

    def _plug_in(self, cable: Cable) -> None:
        rate = GIGABIT if cable.speed is None else cable.speed * MEGABIT
        near = self._entropy.between(NEAR, FAR)  # drawn for each: others keep theirs
        spec = LinkSpec(
            rate=rate,
            delay=Duration(near if cable.delay is None else cable.delay),
            loss=cable.loss or 0.0,
            half_duplex=cable.duplex == "half",
        )
        left, right = (
            (place, WIRE) if (place := str(end)) in self.ports else (end.node, end.port)
            for end in cable.ends
        )
        self.network.join(left, right, spec)

    def _mac(self, place: str) -> MacAddr:
        """A locally administered address that follows from the seed and the place."""
        number = Entropy(f"{self.seed}/{self.bench.bench}/{place}".encode()).octets(4)
        return MacAddr(b"\x02\x51" + number)

    def host_ports(self, host: str) -> Iterator[tuple[str, SimPort]]:
        """The ports of a host, by the names that the bench file gives them."""
        for port in self._entries[host].ports:
            yield port, self.ports[f"{host}:{port}"]
