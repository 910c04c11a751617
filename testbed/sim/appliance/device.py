"""A device that ends connections: a stack with an interface at each jack, and services on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import MappingProxyType
from typing import Final

from testbed.errors import PlanError
from testbed.sim.appliance.configuration import Configuration, LineKind, Words
from testbed.sim.cli.commands import Call, Command, Mode
from testbed.sim.device import Jack, SimDevice
from testbed.sim.frames import LEAST, BadFcs
from testbed.stack.config import StackConfig
from testbed.stack.output import Outgoing
from testbed.stack.refusals import Refused
from testbed.stack.routes import Origin
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = ["ADDRESS", "MTU", "ROUTE", "SHUTDOWN", "Appliance"]

_LOOKING: Final = (Mode.EXEC, Mode.ENABLE)
_BOOT: Final = Instant(0)


def _route(words: Words) -> tuple[IPv4Network, IPv4Address]:
    return IPv4Network(words["prefix"]), IPv4Address(words["via"])


ADDRESS: Final = LineKind(
    "ip address <address>",
    "an address of this port, with its prefix length",
    lambda words: IPv4Interface(words["address"]),
    per_port=True,
)
SHUTDOWN: Final = LineKind("shutdown", "switch the port off", per_port=True, single=True)
ROUTE: Final = LineKind("ip route <prefix> <via>", "a static route", _route)


def _mtu(words: Words) -> int:
    mtu = int(words["bytes"])
    if not 68 <= mtu <= 65535:
        raise ValueError(f"an MTU is 68 to 65535 bytes, got {mtu}")
    return mtu


MTU: Final = LineKind("mtu <bytes>", "the IP MTU of this port", _mtu, per_port=True, single=True)


@dataclass(slots=True)
class _Counts:
    """Frames and bytes of one port."""

    frames_in: int = 0
    bytes_in: int = 0
    errors: int = 0
    dropped: int = 0
    frames_out: int = 0
    bytes_out: int = 0


class Appliance(SimDevice):
    """A stack, whose interfaces are called as the jacks are, and a configuration of lines."""

    own_lines: tuple[LineKind, ...] = ()
    """The kinds of lines of the device's services."""

    def __init__(
        self,
        name: str,
        jacks: Iterable[Jack],
        *,
        seed: int | str = 0,
        defects: Iterable[Defect] = (),
        stated: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(name, jacks, seed=seed, defects=defects, stated=stated)
        config = self.stack_settings().with_defects(*self.defects)
        self.stack = Stack(config, seed=self.entropy.octets(16), name=name)
        self.alarms = self.stack.alarms
        self.counts = {port: _Counts() for port in self.jacks}
        self._given: dict[str, list[IPv4Interface]] = {port: [] for port in self.jacks}
        kinds = (ADDRESS, MTU, SHUTDOWN, ROUTE, *self.own_lines)
        self.configuration = Configuration(kinds, self._changed)
        for jack in self.jacks.values():
            self.stack.add_interface(jack.name, mac=jack.mac, mtu=jack.mtu)
            self.stack.set_link(jack.name, up=False, now=_BOOT)

    def stack_settings(self) -> StackConfig:
        """How its stack is: by the RFCs."""
        return StackConfig()

    @abstractmethod
    def reconfigured(self, kind: LineKind, port: str, now: Instant) -> None:
        """A line of this kind came or went: let the services follow."""

    # The sans-IO four

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame; one with a bad check sequence, or too short, is dropped and counted."""
        port = interface or next(iter(self.jacks))
        counts = self.counts[port]
        if not self.up[port]:
            counts.dropped += 1
        elif isinstance(frame, BadFcs) or len(frame) < LEAST:
            counts.errors += 1
        else:
            counts.frames_in += 1
            counts.bytes_in += len(frame)
            self.stack.receive(frame, now, port)

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """The next frame to send, filled up to the shortest that is legal, or None."""
        while (out := self.stack.poll_transmit(now)) is not None:
            counts = self.counts[out.interface]
            if self.up[out.interface]:
                frame = out.frame.ljust(LEAST, b"\0")
                counts.frames_out += 1
                counts.bytes_out += len(frame)
                return Outgoing(out.interface, frame)
            counts.dropped += 1
        return None

    # Ports

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """The link of ``port`` came or went."""
        super().set_link(port, up, now)
        self.stack.set_link(port, up, now)

    # Management

    def commands(self) -> tuple[Command, ...]:
        """Its command line."""
        return (
            Command(_LOOKING, "show version", lambda _: self._version(), "what it is"),
            Command(_LOOKING, "show interfaces", lambda _: self._interfaces(), "its ports"),
            Command(
                (Mode.ENABLE,), "show running-config", lambda _: self._running(), "its settings"
            ),
            *self.configuration.commands(),
            *(Command(_LOOKING, words, run, text) for words, run, text in self.shows()),
        )

    def shows(self) -> tuple[tuple[str, Callable[[Call], str], str], ...]:
        """What else there is to look at: words, what prints it, and what it is."""
        return ()

    def _version(self) -> str:
        return f"{self.model}\n{self.name} has {len(self.jacks)} ports: {', '.join(self.jacks)}\n"

    def _running(self) -> str:
        return self.configuration.text(iter(self.jacks))

    def _interfaces(self) -> str:
        return "".join(self._interface(port) for port in self.jacks)

    def _interface(self, port: str) -> str:
        link, counts = self.stack.interface(port), self.counts[port]
        state = "up" if self.enabled[port] else "administratively down"
        lines = (
            f"{port} is {state}, line protocol is {'up' if self.up[port] else 'down'}",
            f"  Hardware address is {link.mac}",
            *(f"  Internet address is {address}" for address in link.addresses),
            f"  MTU {link.mtu} bytes",
            f"  {counts.frames_in} packets input, {counts.bytes_in} bytes",
            f"  {counts.errors} input errors, {counts.dropped} dropped",
            f"  {counts.frames_out} packets output, {counts.bytes_out} bytes",
        )
        return "".join(f"{line}\n" for line in lines)

    def _changed(self, kind: LineKind, call: Call) -> None:
        if kind is ADDRESS:
            self._readdress(call.port, call.now)
        elif kind is MTU:
            jack = self.jack(call.port)
            mtu = self.configuration.value(MTU, jack.mtu, call.port)
            self.stack.set_mtu(call.port, mtu, call.now)
        elif kind is SHUTDOWN:
            on = not self.configuration.has(SHUTDOWN, call.port)
            self.set_enabled(call.port, on, call.now)
        self._reroute(call.now)
        self.reconfigured(kind, call.port, call.now)

    def _readdress(self, port: str, now: Instant) -> None:
        wanted, given = self.configuration.values(ADDRESS, port), self._given[port]
        for address in [each for each in given if each not in wanted]:
            self.stack.remove_address(port, address, now)
            given.remove(address)
        for address in [each for each in wanted if each not in given]:
            with suppress(PlanError):  # another port has it
                self.stack.add_address(port, address, now)
                given.append(address)

    def _reroute(self, now: Instant) -> None:
        """Let the stack have the static routes whose gateway can be reached, and no others."""
        wanted = self.configuration.values(ROUTE)
        held = {
            (each.network, each.via) for each in self.stack.routes if each.origin == Origin.STATIC
        }
        for network, via in held:
            if via is not None and (network, via) not in wanted:
                self.stack.remove_route(network, via=via, now=now)
        for network, via in wanted:
            if (network, via) not in held:
                with suppress(Refused):
                    self.stack.add_route(network, via=via, now=now)
