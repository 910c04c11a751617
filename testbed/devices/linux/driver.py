"""What every Linux device can do alike: its links, addresses, neighbours and kernel settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface

from testbed.devices.base import quote
from testbed.devices.linux.kernel import (
    parse_sysctls,
    read_sysctls_command,
    sysctl_key,
    sysctl_path,
    write_sysctl_command,
)
from testbed.devices.linux.links import Link, parse_addresses, parse_links
from testbed.devices.linux.routes import parse_neighbours
from testbed.devices.settings import ConfiguredDriver, Form, Setting
from testbed.devices.values import ArpEntry, PortCounters
from testbed.devices.waiting import PortWaits
from testbed.errors import DeviceError, PlanError
from testbed.wire.addresses import MacAddr

__all__ = ["LEAST_IPV4_MTU", "LinuxDriver", "LinuxIpDriver", "arp_settings", "link_settings"]

LEAST_IPV4_MTU = 68
"""RFC 791 3.2: every link must carry 68 octets without fragmenting."""


def link_settings(links: Mapping[str, Link], ports: tuple[str, ...]) -> dict[str, str]:
    """Whether each port is switched on, and its MTU, as settings."""
    found: dict[str, str] = {}
    for port in ports:
        if port in links:
            found[f"port {port} admin"] = "up" if links[port].admin_up else "down"
            found[f"port {port} mtu"] = str(links[port].mtu)
    return found


def arp_settings(table: tuple[ArpEntry, ...], ports: tuple[str, ...]) -> dict[str, str]:
    """The permanent ARP entries of ``ports`` as settings."""
    return {
        f"arp {row.port} {row.ip}": str(row.mac)
        for row in table
        if row.permanent and row.port in ports
    }


class LinuxDriver(PortWaits, ConfiguredDriver):
    """The links of a Linux device."""

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run("uname -sr").strip()

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up: switched on, and with a carrier."""
        return self._link(port).link_up

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""
        self._set(f"port {port} {_on(up)}", self._admin(port, up))

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""
        counters = self._link(port).counters
        if counters is None:
            raise DeviceError(f"{self.name}: ip told no counters of {port}")
        return counters

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""
        mac = self._link(port).mac
        if mac is None:
            raise DeviceError(f"{self.name}: {port} is no Ethernet interface")
        return mac

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""
        return self._link(port).mtu

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``; PlanError below what IPv4 asks of a link."""
        if mtu < LEAST_IPV4_MTU:
            raise PlanError(f"an IPv4 link carries at least {LEAST_IPV4_MTU} bytes, got {mtu}")
        old = str(self.mtu(port))
        self._set(f"port {port} mtu {mtu}", Setting(f"port {port} mtu", old, str(mtu)))

    def _admin(self, port: str, up: bool) -> Setting:
        return Setting(f"port {port} admin", _updown(self._link(port).admin_up), _updown(up))

    def _link(self, port: str) -> Link:
        """The state of one of this device's own ports."""
        return self._interface(self._port(port))

    def _interface(self, name: str) -> Link:
        links = self._read(quote("ip", "-s", "-j", "link", "show", "dev", name), parse_links)
        if name not in links:
            raise DeviceError(f"{self.name}: ip told of {', '.join(links)}, not of {name}")
        return links[name]

    def _links(self) -> dict[str, Link]:
        return self._read("ip -s -j link", parse_links)

    def _sysctls(self, *paths: str) -> dict[str, str]:
        """The kernel settings that match ``paths`` (shell patterns) and can be read."""
        return self._read(read_sysctls_command(paths), parse_sysctls)

    def _sysctl_settings(self, *paths: str) -> dict[str, str]:
        return {sysctl_key(path): value for path, value in self._sysctls(*paths).items()}

    def _sysctl_changes(self, wanted: Mapping[str, str]) -> list[Setting]:
        paths = {sysctl_path(name): value for name, value in wanted.items()}
        held = self._sysctls(*paths)
        missing = [path for path in paths if path not in held]
        if missing:
            raise DeviceError(f"{self.name}: its kernel has no setting {', '.join(missing)}")
        return [Setting(sysctl_key(path), held[path], value) for path, value in paths.items()]

    def _set_sysctls(self, summary: str, wanted: Mapping[str, str]) -> None:
        self._set(summary, *self._sysctl_changes(wanted))

    def _silence(self, port: str) -> list[Setting]:
        """Changes after which the device's own IPv6 sends nothing on ``port``, where it has any."""
        path = f"net/ipv6/conf/{port}/disable_ipv6"
        held = self._sysctls(path)
        return [Setting(sysctl_key(path), held[path], "1")] if path in held else []

    def _forms(self) -> tuple[Form, ...]:
        return (
            Form(r"port (\S+) mtu", 1, self._make_mtu, lasting=True),
            Form(r"port (\S+) admin", 1, self._make_admin, lasting=True),
            Form(r"sysctl (\S+)", 2, self._make_sysctl, lasting=True),
        )

    def _make_mtu(self, match: re.Match[str], value: str | None) -> Sequence[str]:
        return (quote("ip", "link", "set", "dev", self._port(match[1]), "mtu", value or ""),)

    def _make_admin(self, match: re.Match[str], value: str | None) -> Sequence[str]:
        return (quote("ip", "link", "set", "dev", self._port(match[1]), value or ""),)

    def _make_sysctl(self, match: re.Match[str], value: str | None) -> Sequence[str]:
        return (write_sysctl_command(sysctl_path(match[1]), value or ""),)


class LinuxIpDriver(LinuxDriver):
    """The IPv4 side of a Linux device."""

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off; off, the kernel forgets its permanent ARP entries."""
        lost = [] if up else self._lost_when_down(self._port(port))
        self._set(f"port {port} {_on(up)}", self._admin(port, up), *lost)

    def _lost_when_down(self, port: str) -> list[Setting]:
        """The settings that the kernel drops when ``port`` is switched off."""
        held = arp_settings(self.arp_table(), (port,))
        return [Setting(key, value, None) for key, value in held.items()]

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""
        command = quote("ip", "-j", "-4", "addr", "show", "dev", self._port(port))
        return self._read(command, parse_addresses).get(port, ())

    def arp_table(self) -> tuple[ArpEntry, ...]:
        """The ARP table: entries that hold an address, not those being asked for."""
        return self._read("ip -j -4 neigh", parse_neighbours)

    def add_arp(self, port: str, ip: IPv4Address, mac: MacAddr) -> None:
        """Add a permanent ARP entry."""
        self._port(port)
        key = f"arp {port} {ip}"
        old = arp_settings(self.arp_table(), (port,)).get(key)
        self._set(f"arp {port} {ip} {mac}", Setting(key, old, str(mac)))

    def flush_arp(self, port: str | None = None) -> None:
        """Forget what ARP learned, of one port or all; permanent entries stay."""
        if port is None:
            self._run("ip -4 neigh flush all")
        else:
            self._run(quote("ip", "-4", "neigh", "flush", "dev", self._port(port)))

    def sysctl(self, name: str) -> str:
        """The value of a kernel setting; blanks within it become one space."""
        path = sysctl_path(name)
        values = self._sysctls(path)
        if path not in values:
            raise DeviceError(f"{self.name}: its kernel has no setting {name}, or none to be read")
        return values[path]

    def set_sysctl(self, name: str, value: str) -> None:
        """Set a kernel setting."""
        self._set_sysctls(f"sysctl {name} = {value}", {name: value})

    def _forms(self) -> tuple[Form, ...]:
        return (Form(r"arp (\S+) (\S+)", 4, self._make_arp), *super()._forms())

    def _make_arp(self, match: re.Match[str], value: str | None) -> Sequence[str]:
        where = ("dev", self._port(match[1]))
        if value is not None:
            return (quote("ip", "neigh", "replace", match[2], "lladdr", value, *where),)
        # Deleting what is not there is an error to ip; flushing it is none.
        return (quote("ip", "neigh", "flush", "to", match[2], *where, "nud", "permanent"),)


def _updown(up: bool) -> str:
    return "up" if up else "down"


def _on(up: bool) -> str:
    return "on" if up else "off"
