"""Running gear: the ports, boxes and logins that a bench file of kind ``hardware`` names.

This is the one way in to every real bench. The virtual lab brings software devices up, writes
such a file, and has no code path of its own from there on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from testbed.console.cli import DEFAULT_WITHIN, Cli, Reply
from testbed.console.files import FabricHost, open_fabric
from testbed.console.serial_line import open_serial
from testbed.console.ssh import open_ssh
from testbed.console.transcript import ConsoleLog
from testbed.devices.changes import ChangeLog
from testbed.devices.registry import PLATFORMS, open_driver
from testbed.devices.settings import ConfiguredDriver
from testbed.errors import BenchError, ConsoleError, LinkError, PlanError, Unsupported
from testbed.hosts.box import FaultBox
from testbed.hosts.tap import Tap
from testbed.hosts.turning import Loop
from testbed.inventory import Bench as BenchFile
from testbed.inventory import Device as DeviceEntry
from testbed.inventory import Ssh
from testbed.inventory.credentials import resolve
from testbed.labs.bypass import open_bypass
from testbed.labs.gear import HostPorts
from testbed.labs.stackdevice.ports import take_ports
from testbed.link.afpacket import AfPacketPort
from testbed.link.before import NicBefore
from testbed.link.claim import NicClaim, claim
from testbed.link.nic import wait_for_link
from testbed.sim.journey import Hop
from testbed.stack.variants import Defect
from testbed.timing import Duration, seconds

__all__ = ["Gear", "LoopCli", "ssh_access"]

LINK_WITHIN = seconds(10)
"""How long a NIC may negotiate after it was set up: copper takes up to about 4 s."""

LOGIN_WITHIN = seconds(20)
"""How long a login may take, a slow switch's SSH key exchange included."""


class LoopCli:
    """A command line whose calls leave the loop turning while the device thinks."""

    def __init__(self, inner: Cli, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop
        self.broken = False
        """Whether the dialogue went wrong: nothing more can be asked over this login."""

    @property
    def device(self) -> str:
        """The device's name in the bench file."""
        return self._inner.device

    @property
    def transport(self) -> str:
        """What carries it, for messages."""
        return self._inner.transport

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        """Run one command line in a worker thread; frames and timers are served meanwhile."""
        try:
            return self._loop.call(lambda: self._inner.run(command, within=within))
        except ConsoleError:
            self.broken = True
            raise

    def close(self) -> None:
        """Log out."""
        self._loop.call(self._inner.close)


class FabricFiles:
    """Files to and from a device over fabric, whose connection is opened when first needed."""

    def __init__(self, name: str, entry: Ssh, loop: Loop) -> None:
        self._name = name
        self._entry = entry
        self._loop = loop
        self._host: FabricHost | None = None

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, to the path ``remote`` of the device."""
        self._loop.call(lambda: self._open().put(local, remote))

    def get(self, remote: str, local: Path | None = None) -> bytes:
        """The bytes of the device's file ``remote``, also written to ``local`` where given."""
        return self._loop.call(lambda: self._open().get(remote, local))

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._host is not None:
            self._loop.call(self._host.close)
            self._host = None

    def _open(self) -> FabricHost:
        if self._host is None:
            self._host = open_fabric(
                self._name, clock=self._loop, within=LOGIN_WITHIN, **ssh_access(self._entry)
            )
        return self._host


def ssh_access(ssh: Ssh) -> dict[str, Any]:
    """Where and as whom to log in over SSH, as arguments."""
    return {
        "host": ssh.host,
        "port": ssh.port,
        "user": ssh.user,
        "key": ssh.key,
        "password": resolve(ssh.password) if ssh.password else None,
        "host_key": ssh.host_key or "",
    }


def _give_back(claimed: NicClaim, done: Callable[[], None]) -> None:
    claimed.restore()
    done()


class Gear:
    """Everything on a bench, opened when it is first asked for, closed together.

    ``note_claim`` is told a NIC's settings before they are changed and returns a function to call
    once they have been put back.
    """

    def __init__(
        self,
        bench: BenchFile,
        loop: Loop,
        changes: ChangeLog,
        log: ConsoleLog,
        note_claim: Callable[[NicBefore], Callable[[], None]],
    ) -> None:
        self.bench = bench
        self.loop = loop
        self._changes = changes
        self._log = log
        self._note_claim = note_claim
        self._taps: dict[str, Tap] = {}
        self._claims: list[tuple[NicClaim, Callable[[], None]]] = []
        self._boxes: dict[str, FaultBox] = {}
        self._drivers: dict[str, tuple[ConfiguredDriver, LoopCli]] = {}
        self._consoles: dict[str, LoopCli] = {}
        self._logins: list[Cli] = []
        self._files: list[FabricFiles] = []

    def tap(self, nic: str) -> Tap:
        """The controller NIC ``nic``: claimed, offloads off, its ring running."""
        if nic not in self._taps:
            interface = self.bench.controller.nics[nic].interface
            if interface is None:
                raise LinkError(f"NIC {nic} of bench {self.bench.bench} names no interface")
            done: list[Callable[[], None]] = []
            try:
                claimed = claim(interface, lambda before: done.append(self._note_claim(before)))
            except LinkError:
                for note in done:  # claim() has put back what it had changed
                    note()
                raise
            self._claims.append((claimed, done[0]))
            self.loop.call(lambda: wait_for_link(interface, LINK_WITHIN))
            self._taps[nic] = Tap(AfPacketPort(nic, interface), self.loop)
        return self._taps[nic]

    def box(self, name: str) -> FaultBox:
        """The in-line fault box ``name``; from its first use on it is a wire."""
        if name not in self._boxes:
            left, right = self.bench.controller.boxes[name]
            box = FaultBox(name, self.tap(left), self.tap(right), self.loop, open_bypass)
            box.start()
            self._boxes[name] = box
        return self._boxes[name]

    def driver(self, name: str) -> ConfiguredDriver:
        """The driver of a device or host, logged in over SSH where it has it, else serially.

        A new one, on a new login, where the dialogue with the device has broken off.
        """
        if name not in self._drivers or self._drivers[name][1].broken:
            entry = self._entry(name)
            by_ssh = entry.ssh is not None
            login = LoopCli(self.login_ssh(name), self.loop) if by_ssh else self.console(name)
            driver = open_driver(
                entry.platform,
                name,
                login,
                self._changes,
                self.loop,
                entry.ports,
                self._files_of(name, entry),
            )
            self._drivers[name] = driver, login
        return self._drivers[name][0]

    def console(self, name: str) -> LoopCli:
        """A login on the serial console of a device: one for all who ask, while it works."""
        if name in self._consoles and self._consoles[name].broken:
            self._consoles.pop(name).close()
        if name not in self._consoles:
            self._consoles[name] = LoopCli(self.login_serial(name), self.loop)
        return self._consoles[name]

    def login_ssh(self, name: str) -> Cli:
        """A new login over SSH."""
        entry = self._entry(name)
        ssh = entry.ssh
        if ssh is None:
            raise Unsupported(f"{name} has no ssh in bench {self.bench.bench}")
        cli = self.loop.call(
            lambda: open_ssh(
                name,
                clock=self.loop,
                log=self._log,
                profile=PLATFORMS[entry.platform].profile,
                within=LOGIN_WITHIN,
                **ssh_access(ssh),
            )
        )
        self._logins.append(cli)
        return cli

    def login_serial(self, name: str) -> Cli:
        """A new login on the serial console."""
        entry = self._entry(name)
        line = entry.console
        if line is None:
            raise Unsupported(f"{name} has no console in bench {self.bench.bench}")
        cli = self.loop.call(
            lambda: open_serial(
                name,
                line.serial,
                baud=line.baud,
                user=line.user,
                password=resolve(line.password) if line.password else None,
                clock=self.loop,
                log=self._log,
                profile=PLATFORMS[entry.platform].profile,
                within=LOGIN_WITHIN,
            )
        )
        self._logins.append(cli)
        return cli

    def host_ports(self, name: str, ports: tuple[str, ...]) -> HostPorts:
        """The ports of a host, for a Python stack; Unsupported where it is another machine."""
        return take_ports(name, self.driver(name).execute, ports, self.loop)

    def spoil(self, name: str, defects: tuple[Defect, ...]) -> None:
        """Unsupported: a real device is made wrong by real means."""
        told = ", ".join(map(str, defects))
        raise Unsupported(f"{name} is a real device, which cannot be given a defect: {told}")

    def journeys(self, wanted: Callable[[bytes], bool]) -> list[list[Hop]]:
        """Unsupported: a frame on a real cable is seen where somebody listens."""
        del wanted
        raise Unsupported("only a sim bench knows where every frame went")

    def lost(self) -> list[Hop]:
        """None: what is lost on a real cable is known to nobody."""
        return []

    def renew(self, seed: str) -> None:
        """Nothing to do: real gear stays as it is."""

    def _files_of(self, name: str, entry: DeviceEntry) -> FabricFiles | None:
        if entry.ssh is None:
            return None
        self._files.append(FabricFiles(name, entry.ssh, self.loop))
        return self._files[-1]

    def close(self) -> list[str]:
        """Close everything, put every NIC back as it was; the messages of what went wrong."""
        failures: list[str] = []

        def attempt(step: Callable[[], object]) -> None:
            try:
                step()
            except (BenchError, OSError) as error:
                failures.append(str(error))

        for box in self._boxes.values():
            attempt(box.stop)
        for tap in self._taps.values():
            attempt(tap.close)
        for files in self._files:
            attempt(files.close)
        for login in self._logins:
            attempt(partial(self.loop.call, login.close))
        for claimed, done in reversed(self._claims):
            attempt(partial(_give_back, claimed, done))
        self._boxes, self._taps, self._drivers = {}, {}, {}
        self._consoles, self._logins, self._files, self._claims = {}, [], [], []
        return failures

    def _entry(self, name: str) -> DeviceEntry:
        entry = self.bench.devices.get(name) or self.bench.hosts.get(name)
        if entry is None:
            known = ", ".join([*self.bench.devices, *self.bench.hosts])
            raise PlanError(f"bench {self.bench.bench} has no device {name!r}; it has {known}")
        return entry
