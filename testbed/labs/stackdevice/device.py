"""A host whose TCP/IP is a Python stack, behind the same capability as a kernel host."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from types import MappingProxyType

from testbed.console.cli import DEFAULT_WITHIN
from testbed.devices.linux.kernel import sysctl_path
from testbed.devices.values import ArpEntry, PortCounters, Route, SocketInfo
from testbed.errors import DeviceError, ExpectationFailed, PlanError, Unsupported
from testbed.hosts.stack_host import StackHost
from testbed.hosts.tap import Tap
from testbed.hosts.turning import Loop
from testbed.labs.stackdevice.knobs import apply_knob, read_knob
from testbed.labs.stackdevice.services import StackServices
from testbed.labs.stackdevice.state import arp_entries, socket_infos
from testbed.stack.config import StackConfig
from testbed.stack.events import Event
from testbed.stack.routes import Origin
from testbed.stack.stack import Stack
from testbed.stack.tcp.states import State
from testbed.timing import Duration, after, format_duration, milliseconds
from testbed.wire.addresses import MacAddr

__all__ = ["StackDevice"]

_OVER = (State.TIME_WAIT, State.CLOSED)

MOMENT = milliseconds(1)
"""How long an answer takes at most: a login's takes longer."""


class StackDevice(StackServices):
    """Implements ``Host`` by a stack in this process; nothing of it outlives the plan.

    Kernel settings that a Python stack has are followed, others are kept and have no effect
    (``notes`` says which). What needs a command line is Unsupported.
    """

    platform = "python_stack"
    deviations: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        name: str,
        taps: Mapping[str, Tap],
        loop: Loop,
        *,
        config: StackConfig,
        seed: int = 1,
        ignores: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        super().__init__(name, loop)
        self.notes: list[str] = []
        """Settings that were asked for and have no effect here."""
        self.on_event: Callable[[Event], None] | None = None
        """Told what the stack does."""
        self.lent = False
        """Whether somebody holds on to ``host``: it is then never made anew."""
        self._taps = dict(taps)
        self._config = config
        self._seed, self._made = seed, 0
        self._ignores = ignores
        self._sysctls: dict[str, str] = {}
        self._files: dict[str, bytes] = {}
        self._down: set[str] = set()
        self._mtus = {port: tap.port.mtu for port, tap in self._taps.items()}
        self._addresses: list[tuple[str, IPv4Interface]] = []
        self._static: list[Route] = []
        self._neighbours: list[ArpEntry] = []
        self._host: StackHost | None = None

    @property
    def host(self) -> StackHost:
        """The stack at work, to look into and to steer."""
        if self._host is None:
            self._host = self._make()
        return self._host

    @property
    def ports(self) -> tuple[str, ...]:
        """Its ports."""
        return tuple(self._taps)

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        defects = ", ".join(map(str, self._config.defects))
        return f"Python stack{f', defects: {defects}' if defects else ''}"

    def close(self) -> None:
        """End all services and leave the ports."""
        self.stop_services()
        if self._host is not None:
            self._host.close()

    # Ports

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""
        return port not in self._down and self._tap(port).port.link_is_up()

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off, as far as the stack goes; the cable keeps its link."""
        self._tap(port)
        self.host.stack.set_link(port, up, self.host.now())
        (self._down.discard if up else self._down.add)(port)
        self.host.flush()

    def wait_port_up(self, port: str, *, within: Duration, up: bool = True) -> None:
        """Wait until the link of ``port`` is up (or down); ExpectationFailed when it is not."""
        if not self.loop.run_until(lambda: self.port_is_up(port) is up, within):
            raise ExpectationFailed(
                f"{self.name}: {port} is not {'up' if up else 'down'} after "
                f"{format_duration(within)}"
            )

    def counters(self, port: str) -> PortCounters:
        """Unsupported: a Python stack counts no frames."""
        raise Unsupported(f"{self.name} is a Python stack, which counts no frames of {port}")

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""
        return self._tap(port).port.mac

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""
        self._tap(port)
        return self._mtus[port]

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``; the NIC's own stays the most that it can send."""
        self._tap(port)
        self.host.stack.set_mtu(port, mtu, self.host.now())
        self._mtus[port] = mtu
        self.host.flush()

    # Addresses, routes, neighbours

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""
        self._tap(port)
        return tuple(self.host.stack.interface(port).addresses)

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""
        self._tap(port)
        if (port, address) not in self._addresses:
            self.host.stack.add_address(port, address, self.host.now())
            self._addresses.append((port, address))
            self.host.flush()

    def routes(self) -> tuple[Route, ...]:
        """The IPv4 routing table."""
        self._take_a_moment()
        return tuple(
            Route(row.network, row.via, row.interface, row.metric)
            for row in self.host.stack.routes
            if row.origin in (Origin.CONNECTED, Origin.STATIC)
        )

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route."""
        self.host.stack.add_route(prefix, via=via, metric=metric, now=self.host.now())
        self._static.append(Route(prefix, via, metric=metric))
        self.host.flush()

    def arp_table(self) -> tuple[ArpEntry, ...]:
        """The ARP table: entries that hold an address, not those being asked for."""
        self._take_a_moment()
        return arp_entries(self.host.stack, self.ports)

    def add_arp(self, port: str, ip: IPv4Address, mac: MacAddr) -> None:
        """Add a permanent ARP entry."""
        self._tap(port)
        self.host.stack.interface(port).neighbours.set(ip, mac, self.host.now())
        self._neighbours.append(ArpEntry(ip, mac, port, permanent=True))
        self.host.flush()

    def flush_arp(self, port: str | None = None) -> None:
        """Forget what ARP learned."""
        for name in self.ports if port is None else (port,):
            self._tap(name)
            self.host.stack.interface(name).neighbours.forget()

    def path_mtu(self, to: IPv4Address) -> int | None:
        """What the path-MTU cache holds for ``to``, or None."""
        self._take_a_moment()
        entries = self.host.stack.pmtu.entries(self.host.now())
        return next((entry.mtu for entry in entries if entry.destination == to), None)

    def sockets(self) -> tuple[SocketInfo, ...]:
        """The TCP sockets."""
        self._take_a_moment()
        return socket_infos(self.host.stack)

    # Settings

    def sysctl(self, name: str) -> str:
        """The value of a kernel setting."""
        held = read_knob(self._config, name) or self._sysctls.get(sysctl_path(name))
        if held is None:
            raise DeviceError(f"{self.name} is a Python stack, which has no setting {name}")
        return held

    def set_sysctl(self, name: str, value: str) -> None:
        """Set a kernel setting; one that a Python stack has not is kept, and noted."""
        changed = apply_knob(self._config, name, value)
        self._sysctls[sysctl_path(name)] = value
        if changed is None:
            self.notes.append(f"{self.name} is a Python stack: {name} = {value} has no effect")
        elif changed != self._config:
            self._reconfigure(changed)

    def execute(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> str:
        """Unsupported: there is no command line."""
        del within
        raise Unsupported(f"{self.name} is a Python stack, which has no command line: {command}")

    def undo(self, commands: tuple[str, ...]) -> None:
        """Nothing to do: what is set here ends with the plan."""

    def read_config(self) -> str:
        """Addresses and routes, one to a line."""
        lines = [f"address {port} {address.with_prefixlen}" for port, address in self._addresses]
        lines += [f"route {route.prefix} via {route.via}" for route in self._static]
        lines += [f"sysctl {path} = {value}" for path, value in self._sysctls.items()]
        return "".join(f"{line}\n" for line in sorted(lines))

    def diff_config(self, wanted: str) -> str:
        """Unified diff from the running configuration to ``wanted``; empty when they agree."""
        running = self.read_config().splitlines()
        return "\n".join(difflib.unified_diff(running, wanted.splitlines(), lineterm=""))

    def apply_config(self, text: str) -> None:
        """Unsupported, unless it is what runs already."""
        if self.diff_config(text):
            raise Unsupported(
                f"{self.name} is a Python stack, which takes no configuration as text"
            )

    restore_config = apply_config

    # Files

    def put(self, local: Path | bytes, remote: str) -> None:
        """Keep a file, or bytes, under the name ``remote``."""
        self._files[remote] = local if isinstance(local, bytes) else local.read_bytes()

    def get(self, remote: str, local: Path | None = None) -> bytes:
        """The bytes that were put under the name ``remote``."""
        if remote not in self._files:
            raise DeviceError(f"{self.name}: {remote}: No such file or directory")
        if local is not None:
            local.write_bytes(self._files[remote])
        return self._files[remote]

    def _take_a_moment(self) -> None:
        """Asking any device turns the loop: plans ask again and again until an answer is right."""
        self.host.flush()
        self.loop.turn(after(self.loop.now(), MOMENT))

    def _tap(self, port: str) -> Tap:
        if port not in self._taps:
            raise PlanError(f"{self.name} has no port {port!r}; it has {', '.join(self.ports)}")
        return self._taps[port]

    def _reconfigure(self, config: StackConfig) -> None:
        """Take on new settings: a stack that nobody uses just now is made anew with them.

        One in use follows them as far as a running stack can.
        """
        self._config = config
        if self._host is None:
            return
        if self._is_idle(self._host):
            self._host.close()
            self._host = self._make()
        else:
            self._host.stack.reconfigure(config)

    def _is_idle(self, host: StackHost) -> bool:
        """Whether nothing goes on that a new stack would not know of; TIME-WAIT is let go."""
        if self.lent:
            return False
        over = all(service.done for service in self._services.values()) and not (
            self._echoes or self._webs
        )
        return over and all(each.state in _OVER for each in host.stack.tcp.connections)

    def _make(self) -> StackHost:
        self._made += 1  # another stack has other ports and sequence numbers
        seed = f"{self._seed} {self.name} {self._made}".encode()
        stack = Stack(self._config, seed=seed, name=self.name)
        host = StackHost(stack, self.loop, name=self.name, ignores=self._ignores)
        stack.events.listener = lambda event: self.on_event and self.on_event(event)
        now = host.now()
        for port, tap in self._taps.items():
            stack.add_interface(port, mac=tap.port.mac, mtu=self._mtus[port])
            host.attach(port, tap)
            if port in self._down:
                stack.set_link(port, False, now)
        for port, address in self._addresses:
            stack.add_address(port, address, now)
        for route in self._static:
            stack.add_route(route.prefix, via=route.via, metric=route.metric, now=now)
        for entry in self._neighbours:
            stack.interface(entry.port).neighbours.set(entry.ip, entry.mac, now)
        host.flush()
        return host
