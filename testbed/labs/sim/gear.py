"""The gear of a sim bench: what ``labs.hardware.Gear`` is to a real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.console.cli import Cli
from testbed.console.profiles import SIM_CLI
from testbed.console.session import Access, Session
from testbed.console.steps import Entry
from testbed.console.transcript import ConsoleLog
from testbed.devices.changes import ChangeLog
from testbed.devices.registry import open_driver
from testbed.errors import PlanError, Unsupported
from testbed.hosts import FaultBox, Loop, Tap
from testbed.inventory import Bench
from testbed.inventory.model import CONTROLLER
from testbed.labs.sim.login import SimLogin
from testbed.labs.sim.loop import SimLoop
from testbed.labs.sim.world import HOST_PLATFORM, World
from testbed.sim.cli.connect import connect
from testbed.sim.cli.terminal import Account
from testbed.sim.journey import Hop
from testbed.stack.variants import Defect
from testbed.timing import seconds

__all__ = ["SimGear"]

LOGIN_WITHIN = seconds(20)
"""How long a login at a console may take, in virtual time."""


@dataclass(frozen=True, slots=True)
class SimHostPorts:
    """``HostPorts`` of a simulated host: they are nobody else's."""

    taps: Mapping[str, Tap]

    def close(self) -> None:
        """Nothing to give back."""


class SimGear:
    """``Gear`` on a world; ``renew()`` makes another world and lets go of this one."""

    def __init__(self, world: World, loop: SimLoop, changes: ChangeLog, log: ConsoleLog) -> None:
        self.world = world
        self._loop = loop
        self._changes = changes
        self._log = log
        self._taps: dict[str, Tap] = {}
        self._boxes: dict[str, FaultBox] = {}
        self._drivers: dict[str, Any] = {}
        self._consoles: dict[str, Cli] = {}

    @property
    def bench(self) -> Bench:
        """The bench file."""
        return self.world.bench

    @property
    def loop(self) -> Loop:
        """The loop in virtual time."""
        return self._loop

    def tap(self, nic: str) -> Tap:
        """The controller NIC ``nic``."""
        return self._tap(f"{CONTROLLER}:{nic}")

    def box(self, name: str) -> FaultBox:
        """The in-line fault box ``name``; from its first use on it is a wire."""
        if name not in self._boxes:
            left, right = self.bench.controller.boxes[name]
            box = FaultBox(name, self.tap(left), self.tap(right), self._loop)
            box.start()
            self._boxes[name] = box
        return self._boxes[name]

    def driver(self, name: str) -> Any:
        """The driver of a device; Unsupported for a host, which is a Python stack in a plan."""
        if name not in self._drivers:
            entry = self._entry(name)
            if entry.platform == HOST_PLATFORM:
                raise Unsupported(f"{name} is a Python stack, which has no command line")
            login = SimLogin(name, self.world, self._loop, self._log)
            self._drivers[name] = open_driver(
                entry.platform, name, login, self._changes, self._loop, entry.ports
            )
        return self._drivers[name]

    def console(self, name: str) -> Cli:
        """A login on the text console of a device, through its prompts."""
        if self._entry(name).platform == HOST_PLATFORM:
            raise Unsupported(f"{name} is a Python stack, which has no console")
        if name not in self._consoles:
            self._consoles[name] = self._log_in(name)
        return self._consoles[name]

    def _log_in(self, name: str) -> Cli:
        """Through login, enable and the pager, as on a real console."""
        world, account = self.world, Account()
        transport = connect(
            world.devices[name],
            self._loop,
            account=account,
            touched=lambda: world.network.refresh(name),
        )
        access = Access(
            SIM_CLI,
            entry=Entry.CONSOLE,
            user=account.user,
            password=account.password,
            secret=account.enable,
        )
        session = Session(name, transport, access, clock=self._loop, log=self._log)
        return session.login(LOGIN_WITHIN)

    def host_ports(self, name: str, ports: tuple[str, ...]) -> SimHostPorts:
        """The ports of a host, for a Python stack."""
        return SimHostPorts({port: self._tap(f"{name}:{port}") for port in ports})

    def spoil(self, name: str, defects: tuple[Defect, ...]) -> None:
        """Have the device with these defects from now on."""
        self._entry(name)
        self._drivers.pop(name, None)
        self._consoles.pop(name, None)
        self.world.spoil(name, defects)

    def journeys(self, wanted: Callable[[bytes], bool]) -> list[list[Hop]]:
        """Where frames went, hop by hop, from each that is ``wanted`` on."""
        return self.world.network.journal.journeys(wanted)

    def lost(self) -> list[Hop]:
        """Frames that were lost on cables."""
        return self.world.network.journal.lost()

    def renew(self, seed: str) -> None:
        """Make another world, with chance that follows from ``seed``, at the beginning of time."""
        self.close()
        self.world = World(self.bench, seed)
        self._loop.renew(self.world.network)

    def close(self) -> list[str]:
        """Let go of everything; nothing of a world can go wrong in that."""
        for box in self._boxes.values():
            box.stop()
        for tap in self._taps.values():
            tap.close()
        self._taps, self._boxes, self._drivers, self._consoles = {}, {}, {}, {}
        return []

    def _tap(self, place: str) -> Tap:
        if place not in self._taps:
            self._taps[place] = Tap(self.world.ports[place], self._loop)
        return self._taps[place]

    def _entry(self, name: str) -> Any:
        try:
            return self.bench.node(name)
        except KeyError:
            known = ", ".join([*self.bench.devices, *self.bench.hosts])
            message = f"bench {self.bench.bench} has no device {name!r}; it has {known}"
            raise PlanError(message) from None
