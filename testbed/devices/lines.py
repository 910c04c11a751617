"""Drivers of devices whose configuration is lines, which ``no`` takes away: ``no shutdown``.

Each line of ``show running-config`` is a setting without a value. That of a port has the port
before it: ``interface p1 | ip address 198.18.0.10/24``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from testbed.devices.settings import ConfiguredDriver, Form, Setting
from testbed.devices.values import PortCounters
from testbed.devices.waiting import PortWaits
from testbed.errors import DeviceError, PlanError
from testbed.timing import Duration, format_duration, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["LinesDriver", "whole_seconds", "word"]

_PORT = re.compile(r"interface (\S+)")
_STATE = re.compile(r"(?P<port>\S+) is [\w ]+, line protocol is (?P<state>up|down)")
_MAC = re.compile(r"(?m)^ +Hardware address is (\S+)$")
_ADDRESS = re.compile(r"(?m)^ +Internet address is (\S+)$")
_MTU = re.compile(r"(?m)^ +MTU (\d+) bytes$")
_INPUT = re.compile(r"(?m)^ +(\d+) packets input, (\d+) bytes$")
_ERRORS = re.compile(r"(?m)^ +(\d+) input errors, (\d+) dropped$")
_OUTPUT = re.compile(r"(?m)^ +(\d+) packets output, (\d+) bytes$")


def word(text: str) -> str:
    """``text`` as one word of a command line; PlanError where it is none."""
    if not text or text.split() != [text]:
        raise PlanError(f"{text!r} is not one word, as a command line wants it")
    return text


def whole_seconds(span: Duration) -> int:
    """``span`` in seconds; PlanError where it is no whole number of them."""
    if span < seconds(1) or span % seconds(1):
        raise PlanError(f"expected whole seconds, got {format_duration(span)}")
    return span // seconds(1)


def parse_lines(text: str) -> dict[str, str]:
    """The settings that a running configuration is."""
    found, port = {}, ""
    for raw in text.splitlines():
        line = raw.strip()
        if match := _PORT.fullmatch(raw):
            port = match[1]
        elif raw.startswith(" ") and port:
            found[f"interface {port} | {line}"] = ""
        elif line:
            found[line] = ""
    return found


def configure(key: str, *, there: bool) -> str:
    """The command line that makes a line be there, or not."""
    place, _, line = key.rpartition(" | ")
    enter = f"{place} ; " if place else ""
    return f"configure terminal ; {enter}{'' if there else 'no '}{line} ; end"


def parse_ports(text: str) -> dict[str, str]:
    """What is told of each port."""
    ports: dict[str, str] = {}
    for part in re.split(r"(?m)^(?=\S)", text):
        if match := _STATE.match(part):
            ports[match["port"]] = part
    return ports


class LinesDriver(ConfiguredDriver, PortWaits):
    """What all such devices can: ports with addresses, routes, and lines by their first words."""

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run("show version").partition("\n")[0].strip()

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""
        match = _STATE.match(self._told(port))
        return match is not None and match["state"] == "up"

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""
        lines = [] if up else ["shutdown"]
        self._replace(f"{port} {'on' if up else 'off'}", "shutdown", lines, port=port)

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""
        told = self._told(port)
        came, errors, went = (self._found(pattern, told) for pattern in (_INPUT, _ERRORS, _OUTPUT))
        return PortCounters(
            rx_frames=int(came[1]),
            tx_frames=int(went[1]),
            rx_bytes=int(came[2]),
            tx_bytes=int(went[2]),
            rx_errors=int(errors[1]),
            rx_dropped=int(errors[2]),
        )

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""
        return MacAddr(self._found(_MAC, self._told(port))[1])

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""
        return int(self._found(_MTU, self._told(port))[1])

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``."""
        self._replace(f"MTU {mtu} on {port}", "mtu", [f"mtu {mtu}"], port=port)

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""
        return tuple(IPv4Interface(found) for found in _ADDRESS.findall(self._told(port)))

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""
        self._add(f"address {address} on {port}", f"ip address {address}", port=port)

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route; there are no metrics."""
        if metric:
            raise PlanError(f"{self.name}: routes have no metric here, got {metric}")
        self._add(f"route {prefix} via {via}", f"ip route {prefix} {via}")

    def _settings(self) -> dict[str, str]:
        return self._read("show running-config", parse_lines)

    def _forms(self) -> tuple[Form, ...]:
        return (Form(r".+", 0, lambda key, value: (configure(key[0], there=value is not None),)),)

    def _key(self, line: str, port: str) -> str:
        return f"interface {self._port(port)} | {line}" if port else line

    def _add(self, summary: str, line: str, *, port: str = "") -> None:
        """Add one line."""
        key = self._key(line, port)
        held = "" if key in self._settings() else None
        self._set(summary, Setting(key, held, ""))

    def _replace(self, summary: str, head: str, lines: Iterable[str], *, port: str = "") -> None:
        """Have exactly ``lines`` of those that begin with the words ``head``."""
        self._set(summary, *self._instead(head, lines, self._settings(), port))

    def _instead(
        self, head: str, lines: Iterable[str], held: Iterable[str], port: str = ""
    ) -> Iterator[Setting]:
        """The changes after which there are exactly ``lines`` of those beginning with ``head``."""
        start = self._key(head, port)
        before = {key for key in held if key == start or key.startswith(f"{start} ")}
        wanted = [self._key(line, port) for line in lines]
        yield from (Setting(key, "", None) for key in sorted(before.difference(wanted)))
        yield from (Setting(key, None, "") for key in wanted if key not in before)

    def _told(self, port: str) -> str:
        """What the device tells of ``port``."""
        told = self._read("show interfaces", parse_ports).get(self._port(port))
        if told is None:
            raise DeviceError(f"{self.name}: 'show interfaces' tells nothing of {port}")
        return told

    def _found(self, pattern: re.Pattern[str], told: str) -> re.Match[str]:
        match = pattern.search(told)
        if match is None:
            raise DeviceError(f"{self.name}: 'show interfaces' has nothing like {pattern.pattern}")
        return match
