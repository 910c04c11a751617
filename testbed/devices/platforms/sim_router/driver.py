"""The simulated router, by its command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from testbed.devices.platforms.sim_router.answers import (
    PortState,
    parse_arp,
    parse_config,
    parse_nat,
    parse_ports,
    parse_routes,
    parse_traffic,
)
from testbed.devices.settings import ConfiguredDriver, Form, Setting
from testbed.devices.values import ArpEntry, NatEntry, PortCounters, Route
from testbed.devices.waiting import PortWaits
from testbed.errors import DeviceError, PlanError
from testbed.timing import Duration, format_duration, milliseconds, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["SimRouterDriver"]

_PROTOCOLS: Final = ("icmp", "tcp", "udp")

_SWITCHES: Final = {
    "icmp errors": "ip unreachables",
    "icmp rate limit": "ip icmp rate-limit",
    "multicast routing": "ip multicast-routing",
    "next-hop tracking": "ip route tracking",
}
_PORT_SWITCHES: Final = {
    "directed broadcast": "ip directed-broadcast",
    "mss clamp": "ip tcp adjust-mss",
    "redirects": "ip redirects",
    "shutdown": "shutdown",
}

_Make = Callable[[re.Match[str], str | None], Sequence[str]]


class SimRouterDriver(PortWaits, ConfiguredDriver):
    """A simulated router. A route's metric is its distance, 1 where none is given."""

    platform = "sim_router"

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run("show version").partition("\n")[0].strip()

    # Ports

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""
        return self._state(port).up

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""
        self._switch(f"port {self._port(port)} shutdown", on=not up)

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""
        return self._state(port).counters()

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""
        return tuple(self._state(port).addresses)

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""
        held = "" if address in self.addresses(port) else None
        key = f"port {port} address {address.with_prefixlen}"
        self._set(f"address {address} on {port}", Setting(key, held, ""))

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""
        found = self._state(port).mac
        if found is None:
            raise DeviceError(f"{self.name}: {port} prints no hardware address")
        return found

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""
        return self._state(port).mtu

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``, 68 to 9216 bytes."""
        self._change_to(f"port {self._port(port)} mtu", str(mtu))

    # Routes and neighbours

    def routes(self) -> tuple[Route, ...]:
        """The IPv4 routing table: the routes that packets follow."""
        return self._read("show ip route", parse_routes)

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route."""
        if not 0 <= metric <= 255:
            raise PlanError(f"a distance is at most 255, got {metric}")
        self._change_to(f"route {prefix} via {via}", str(metric or 1))

    def arp_table(self) -> tuple[ArpEntry, ...]:
        """The ARP table: entries that hold an address, not those being asked for."""
        return self._read("show arp", parse_arp)

    def add_arp(self, port: str, ip: IPv4Address, mac: MacAddr) -> None:
        """Add a permanent ARP entry."""
        self._change_to(f"arp {ip} port {self._port(port)}", str(mac))

    def flush_arp(self, port: str | None = None) -> None:
        """Forget what ARP learned; entries that were added stay."""
        self._run("clear arp" if port is None else f"clear arp {self._port(port)}")

    def set_arp_timeout(self, port: str, span: Duration) -> None:
        """How long a confirmed ARP entry counts as fresh."""
        if span < milliseconds(1) or span % milliseconds(1):
            raise PlanError(f"an ARP timeout is whole ms, got {format_duration(span)}")
        self._change_to(f"port {self._port(port)} arp timeout", str(span // milliseconds(1)))

    def set_next_hop_tracking(self, on: bool) -> None:
        """Whether a next hop that ARP has given up is passed over where others share its route."""
        self._switch("next-hop tracking", on=on)

    # What it sends, and lets through

    def set_icmp_rate_limit(self, on: bool) -> None:
        """Whether ICMP errors are rate limited; plans that count errors switch it off."""
        self._switch("icmp rate limit", on=on)

    def set_icmp_errors(self, on: bool) -> None:
        """Whether ICMP errors leave the router at all: off makes a path-MTU black hole."""
        self._switch("icmp errors", on=on)

    def set_redirects(self, on: bool) -> None:
        """Whether ICMP redirects are sent."""
        keys = [f"port {port} redirects" for port in self.ports]
        self._change_all(f"ICMP redirects {_on(on)}", dict.fromkeys(keys, _on(on)))

    def set_connection_filter(self, tcp_port: int | None) -> None:
        """Let no SYN to ``tcp_port`` through that is forwarded, in whatever fragments.

        None lets all through.
        """
        self._change_to("connection filter", None if tcp_port is None else str(tcp_port))

    def set_directed_broadcast(self, port: str, on: bool) -> None:
        """Whether broadcasts directed at the subnet of ``port`` are forwarded to it (RFC 2644)."""
        self._switch(f"port {self._port(port)} directed broadcast", on=on)

    def set_mss_clamp(self, port: str, on: bool) -> None:
        """Whether SYNs that are forwarded out of ``port``, or came in by it, are clamped."""
        self._switch(f"port {self._port(port)} mss clamp", on=on)

    def set_multicast_routing(self, on: bool) -> None:
        """Whether it asks who listens to groups (IGMP), and forwards to them."""
        self._switch("multicast routing", on=on)

    def set_router_discovery(
        self,
        port: str,
        on: bool,
        *,
        preference: int = 0,
        interval: Duration = seconds(600),
        lifetime: Duration = seconds(1800),
    ) -> None:
        """Whether it advertises itself on ``port`` (RFC 1256), in whole seconds."""
        if interval % seconds(1) or lifetime % seconds(1):
            raise PlanError(
                "advertisements have whole seconds, got "
                f"{format_duration(interval)} and {format_duration(lifetime)}"
            )
        said = f"{preference} {interval // seconds(1)} {lifetime // seconds(1)}"
        self._change_to(f"port {self._port(port)} irdp", said if on else None)

    # Translation

    def set_nat(self, outside: str | None) -> None:
        """Translate between the port ``outside`` and all others (RFC 3022); None: do not."""
        self._change_to("nat outside", None if outside is None else self._port(outside))

    def nat_table(self) -> tuple[NatEntry, ...]:
        """The mappings that have not run out, one row each, however many peers they have."""
        return self._read("show ip nat translations", parse_nat)

    def set_nat_lifetime(self, protocol: str, span: Duration) -> None:
        """How long an idle mapping of ``tcp``, ``udp`` or ``icmp`` is kept, in whole seconds."""
        if protocol not in _PROTOCOLS or span < seconds(1) or span % seconds(1):
            raise PlanError(
                f"expected a protocol of {', '.join(_PROTOCOLS)} and whole seconds, "
                f"got {protocol} and {format_duration(span)}"
            )
        self._change_to(f"nat lifetime {protocol}", str(span // seconds(1)))

    def icmp_counters(self) -> dict[str, int]:
        """The router's IP and ICMP counters, by its own names."""
        return self._read("show ip traffic", parse_traffic)

    # Settings

    def _settings(self) -> dict[str, str]:
        return self._read("show running-config", parse_config)

    def _forms(self) -> tuple[Form, ...]:
        switches = "|".join(_SWITCHES)
        port_switches = "|".join(_PORT_SWITCHES)
        return (
            Form(rf"port (\S+) ({port_switches})", 4, self._make_port_switch, lasting=True),
            Form(r"port (\S+) address (\S+)", 1, self._make_address),
            Form(r"port (\S+) mtu", 0, self._at_port("mtu {}"), lasting=True),
            Form(r"port (\S+) arp timeout", 0, self._at_port("arp timeout {}"), lasting=True),
            Form(r"port (\S+) irdp", 3, self._at_port("ip irdp {}", "no ip irdp")),
            Form(r"route (\S+) via (\S+)", 2, self._make_route),
            Form(r"arp (\S+) port (\S+)", 2, self._make_arp),
            Form(r"nat outside", 3, self._make_nat),
            Form(
                r"nat lifetime (\w+)",
                0,
                lambda key, value: (_configure(f"ip nat timeout {key[1]} {value}"),),
                lasting=True,
            ),
            Form(r"connection filter", 3, self._make_filter),
            Form(
                rf"({switches})",
                3,
                lambda key, value: (_configure(_line(_SWITCHES[key[1]], value)),),
                lasting=True,
            ),
        )

    def _at_port(self, wanted: str, without: str = "") -> _Make:
        """Commands at a port: ``wanted`` with the value, ``without`` to remove the setting."""

        def make(key: re.Match[str], value: str | None) -> Sequence[str]:
            line = without if value is None else wanted.format(value)
            return (_configure(f"interface {self._port(key[1])}", line),)

        return make

    def _make_port_switch(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        line = _line(_PORT_SWITCHES[key[2]], value)
        return (_configure(f"interface {self._port(key[1])}", line),)

    def _make_address(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        line = f"ip address {key[2]}"
        return (
            _configure(
                f"interface {self._port(key[1])}", line if value is not None else f"no {line}"
            ),
        )

    def _make_route(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        line = f"ip route {key[1]} {key[2]}"
        return (_configure(f"no {line}" if value is None else f"{line} {value}"),)

    def _make_arp(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        port = self._port(key[2])
        return (
            _configure(
                f"no arp {key[1]} {port}" if value is None else f"arp {key[1]} {value} {port}"
            ),
        )

    def _make_nat(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        if value is None:
            lines = [
                line for port in self.ports for line in (f"interface {port}", "no ip nat outside")
            ]
            return (_configure(*lines),)
        return (_configure(f"interface {self._port(value)}", "ip nat outside"),)

    def _make_filter(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        return (_configure("no ip filter" if value is None else f"ip filter tcp syn {value}"),)

    def _switch(self, key: str, *, on: bool) -> None:
        self._change_to(key, _on(on))

    def _change_to(self, key: str, value: str | None) -> None:
        """Give one setting a value, or remove it; journaled."""
        self._change_all(f"{key} {'none' if value is None else value}", {key: value})

    def _change_all(self, summary: str, wanted: dict[str, str | None]) -> None:
        held = self._settings()
        moved = (Setting(key, held.get(key), value) for key, value in wanted.items())
        self._set(summary, *moved)

    def _state(self, port: str) -> PortState:
        """What the router prints of ``port``."""
        found = self._read("show interfaces", parse_ports)
        try:
            return found[self._port(port)]
        except KeyError:
            raise DeviceError(f"{self.name} prints no port {port}") from None


def _configure(*lines: str) -> str:
    """One line of commands that makes settings, from the top of the command line."""
    return " ; ".join(("configure terminal", *lines, "end"))


def _line(words: str, value: str | None) -> str:
    return words if value == "on" else f"no {words}"


def _on(on: bool) -> str:
    return "on" if on else "off"
