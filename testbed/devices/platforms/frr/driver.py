"""FRR over the Linux kernel: vtysh for routing, iproute2, sysctl and nft for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import MappingProxyType

from testbed.devices.base import quote
from testbed.devices.linux.driver import LinuxIpDriver, arp_settings, link_settings
from testbed.devices.linux.kernel import parse_snmp
from testbed.devices.linux.links import parse_addresses
from testbed.devices.platforms.frr.answers import (
    parse_rib,
    parse_routes,
    parse_running_config,
    parse_tables,
)
from testbed.devices.platforms.frr.conntrack import (
    LIFETIMES,
    READ_MAPPINGS,
    forget_mappings,
    parse_mappings,
)
from testbed.devices.platforms.frr.lines import (
    clamp_mss,
    configure,
    drop_connections,
    drop_icmp_errors,
    filter_broadcast,
    no_table,
    translate,
    vtysh,
)
from testbed.devices.settings import Form, Setting
from testbed.devices.values import NatEntry, Route
from testbed.devices.waiting import wait_until
from testbed.errors import DeviceError, ExpectationFailed, PlanError, Unsupported
from testbed.timing import Duration, format_duration, milliseconds, seconds

__all__ = ["Frr"]

_SETTLE = seconds(5)
"""How long FRR may take to hand the kernel what it was configured with; it takes milliseconds."""

_PROBE_DELAY = 5
"""The kernel's own delay_first_probe_time, in seconds (arp(7))."""

_ICMP_TABLE = "testbed_icmp"
_BROADCAST_TABLE = "testbed_broadcast"
_FILTER_TABLE = "testbed_filter"
_MSS_TABLE = "testbed_mss"
_NAT_TABLE = "testbed_nat"

_HELD_BY_TABLE = {
    _BROADCAST_TABLE: "directed broadcast",
    _FILTER_TABLE: "connection filter",
    _MSS_TABLE: "mss clamp",
    _NAT_TABLE: "nat",
}
"""The setting that each table is made for; the comment of its last rule is the value."""

_MULTICAST = ("ip pim", "ip igmp version 2", "ip igmp")
"""At each port; in this order, or its first query would be one of version 3."""
_RENDEZVOUS = "ip pim rp "
"""At an address of a port: at one of the loopback pimd would lose each sender's first packet."""

_USE_NEIGHBOURS = "net/ipv4/fib_multipath_use_neigh"

# ip-sysctl: icmp_ratelimit is a time in ms, 0 is no limit; icmp_ratemask has a bit for each type
# that it and the limit for all peers together (icmp_msgs_per_sec) hold for.
_RATE_LIMIT = {"net.ipv4.icmp_ratelimit": "1000", "net.ipv4.icmp_ratemask": "6168"}
_NO_RATE_LIMIT = {"net.ipv4.icmp_ratelimit": "0", "net.ipv4.icmp_ratemask": "0"}


class Frr(LinuxIpDriver):
    """An FRR router. A route's metric is its administrative distance, 1 where none is given."""

    platform = "frr"
    deviations = MappingProxyType(
        {
            "MSS at odd places": "Linux clamps an MSS that begins at an odd offset under a "
            "checksum that is then wrong: it takes it for aligned",
            "shares outside ports": "Linux gives two hosts one outside port as long as they write "
            "to different servers: port overloading, which RFC 4787 REQ-3 forbids",
            "forgets idle mappings early": "unless told otherwise Linux keeps a mapping for 30 s, "
            "of UDP 120 s once it is 2 s old; RFC 4787 REQ-5 wants 2 min, RFC 5508 REQ-1 60 s",
            "router advertisements": "zebra_irdp of FRR 8.4 writes addresses in the wrong order of "
            "bytes on little-endian machines, and ``no ip irdp`` advertises the old lifetime",
            "IGMP version 1": "pimd of FRR 8.4 takes a version 1 report for one of a group with no "
            "sources to hear, and forwards nothing",
            "shared trees": "FRR forwards to groups by PIM, whose trees lead to an address of its "
            "first port: pimd forwards to no members there, and what comes from anybody by it",
            "no hairpinning": "Linux masquerades by the port that a packet leaves by: one from "
            "inside to a mapped port is for the router itself (RFC 4787 REQ-9)",
        }
    )

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run(vtysh("show version")).partition("\n")[0].strip()

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address; returns once the kernel has it."""
        line = f"interface {self._port(port)} | ip address {address.with_prefixlen}"
        self._set(f"address {address} on {port}", self._line(line))
        self._await(f"address {address} on {port}", lambda: address in self.addresses(port))

    def routes(self) -> tuple[Route, ...]:
        """The IPv4 routing table: the routes that packets follow."""
        return self._read(vtysh("show ip route json"), parse_routes)

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route; returns once FRR uses it, or has decided that it does not."""
        if not 0 <= metric <= 255:
            raise PlanError(f"an administrative distance is at most 255, got {metric}")
        line = f"ip route {prefix} {via}" + (f" {metric}" if metric > 1 else "")
        self._set(f"route {prefix} via {via} distance {metric or 1}", self._line(line))
        if self._reaches(via):
            self._await(
                f"route {prefix} via {via}", lambda: self._settled(prefix, via, metric or 1)
            )

    def set_icmp_rate_limit(self, on: bool) -> None:
        """Whether ICMP errors are rate limited; plans that count errors switch it off."""
        wanted = _RATE_LIMIT if on else _NO_RATE_LIMIT
        self._set_sysctls(f"ICMP rate limit {_on(on)}", wanted)

    def set_icmp_errors(self, on: bool) -> None:
        """Whether ICMP errors leave the router at all: off makes a path-MTU black hole."""
        held = "off" if ("ip", _ICMP_TABLE) in self._tables() else None
        self._set(f"ICMP errors {_on(on)}", Setting("icmp errors", held, None if on else "off"))

    def set_redirects(self, on: bool) -> None:
        """Whether ICMP redirects are sent.

        ip-sysctl: an interface sends them if it or ``all`` says so.
        """
        value = "1" if on else "0"
        self._set_sysctls(
            f"ICMP redirects {_on(on)}",
            {f"net/ipv4/conf/{place}/send_redirects": value for place in ("all", *self.ports)},
        )

    def set_connection_filter(self, tcp_port: int | None) -> None:
        """Let no SYN to ``tcp_port`` through that is forwarded, in whatever fragments; None: all.

        nft matches what connection tracking has put together from fragments (nft(8), CT).
        """
        wanted = None if tcp_port is None else str(tcp_port)
        held = self._tables().get(("ip", _FILTER_TABLE))
        self._set(
            f"connections to TCP port {wanted} kept out" if wanted else "all connections let in",
            Setting("connection filter", held, wanted),
        )

    def set_directed_broadcast(self, port: str, on: bool) -> None:
        """Whether broadcasts directed at the subnet of ``port`` are forwarded to it (RFC 2644).

        Linux asks the interface that a packet came in by, so all of them are opened, and nft
        keeps broadcasts from leaving by any port but those switched on.
        """
        setting = self._listed(_BROADCAST_TABLE, port, on)
        opened = "01"[setting.new is not None]
        places = ("all", *self.ports)
        self._set(
            f"directed broadcast {_on(on)} on {port}",
            setting,
            *self._sysctl_changes(
                {f"net/ipv4/conf/{place}/bc_forwarding": opened for place in places}
            ),
        )

    def set_arp_timeout(self, port: str, span: Duration) -> None:
        """How long a confirmed ARP entry counts as fresh.

        arp(7): an entry is fresh for a random time between half of base_reachable_time and one
        and a half of it. One that is used after that is asked for again delay_first_probe_time
        later, which is 5 s by itself and must not outlast a shorter timeout.
        """
        if span < milliseconds(1):
            raise PlanError(f"an ARP timeout is 1 ms at least, got {format_duration(span)}")
        path = f"net/ipv4/neigh/{self._port(port)}"
        whole_seconds = -(-span // seconds(1))
        self._set_sysctls(
            f"ARP timeout {format_duration(span)} on {port}",
            {
                f"{path}/base_reachable_time_ms": str(span // milliseconds(1)),
                f"{path}/gc_stale_time": str(whole_seconds),
                f"{path}/delay_first_probe_time": str(min(whole_seconds, _PROBE_DELAY)),
            },
        )

    def set_mss_clamp(self, port: str, on: bool) -> None:
        """Whether the MSS of SYNs that are forwarded through ``port`` is lowered to what fits."""
        self._set(f"MSS clamp {_on(on)} on {port}", self._listed(_MSS_TABLE, port, on))

    def set_next_hop_tracking(self, on: bool) -> None:
        """Whether a next hop that ARP has given up is passed over where others share its route.

        ip-sysctl, fib_multipath_use_neigh: a neighbour that is not resolved yet counts as good.
        """
        self._set_sysctls(f"next hop tracking {_on(on)}", {_USE_NEIGHBOURS: "01"[on]})

    def set_multicast_routing(self, on: bool) -> None:
        """Whether it asks its links who listens to groups (IGMP), and forwards to those who do.

        FRR does so by PIM, sparse mode: for a router on its own, which is its own rendezvous point.
        Unsupported where the daemon for it is not run.
        """
        if "pimd" not in self._run(vtysh("show daemons")).split():
            raise Unsupported(f"{self.name}: groups are forwarded by pimd, which is not run")
        running = self._running_lines()
        held = [line for line in running if line.startswith(_RENDEZVOUS)]
        own = [address.ip for port in self.ports for address in self.addresses(port)]
        if on and not own:
            raise PlanError(f"{self.name} routes multicast once it has an address, it has none")
        wanted = [
            *(f"interface {port} | {line}" for port in self.ports for line in _MULTICAST),
            *(held or [f"{_RENDEZVOUS}{own[0]} 224.0.0.0/4"] if on else held),
        ]
        new = "" if on else None
        self._set(
            f"multicast routing {_on(on)}",
            *(Setting(f"frr {line}", "" if line in running else None, new) for line in wanted),
        )

    def set_router_discovery(
        self,
        port: str,
        on: bool,
        *,
        preference: int = 0,
        interval: Duration = seconds(600),
        lifetime: Duration = seconds(1800),
    ) -> None:
        """Unsupported: zebra is run without its module irdp."""
        del preference, interval, lifetime
        raise Unsupported(
            f"{self.name}: advertisements {_on(on)} on {self._port(port)}: zebra is run without "
            "its module irdp (zebra -M irdp)"
        )

    def set_nat(self, outside: str | None) -> None:
        """Translate what is forwarded out of ``outside`` (NAPT, RFC 3022); None: nothing."""
        wanted = None if outside is None else self._port(outside)
        held = self._tables().get(("ip", _NAT_TABLE))
        self._set(f"NAT toward {outside}" if outside else "no NAT", Setting("nat", held, wanted))

    def nat_table(self) -> tuple[NatEntry, ...]:
        """The mappings that have not run out, one row each, however many peers they have."""
        return self._read(READ_MAPPINGS, parse_mappings)

    def set_nat_lifetime(self, protocol: str, span: Duration) -> None:
        """How long an idle mapping of ``tcp``, ``udp`` or ``icmp`` is kept, in whole seconds."""
        if protocol not in LIFETIMES:
            raise PlanError(f"a mapping is of {', '.join(LIFETIMES)}, got {protocol!r}")
        if span < seconds(1) or span % seconds(1):
            raise PlanError(f"a lifetime is whole seconds, got {format_duration(span)}")
        self._set_sysctls(
            f"{protocol} mappings kept {format_duration(span)}",
            dict.fromkeys(LIFETIMES[protocol], str(span // seconds(1))),
        )

    def icmp_counters(self) -> dict[str, int]:
        """The router's IP and ICMP counters, by the kernel's own names: ``IcmpOutTimeExcds``."""
        found = self._read("cat /proc/net/snmp", parse_snmp)
        return {name: count for name, count in found.items() if name.startswith(("Ip", "Icmp"))}

    def _settings(self) -> dict[str, str]:
        found = {f"frr {line}": "" for line in self._running_lines()}
        found |= link_settings(self._links(), self.ports)
        found |= arp_settings(self.arp_table(), self.ports)
        places = ("all", *(quote(port) for port in self.ports))
        found |= self._sysctl_settings(
            "net/ipv4/icmp_ratelimit",
            "net/ipv4/icmp_ratemask",
            "net/ipv4/ip_forward",
            _USE_NEIGHBOURS,
            *(path for paths in LIFETIMES.values() for path in paths),
            *(f"net/ipv4/conf/{place}/send_redirects" for place in places),
            *(f"net/ipv4/conf/{place}/bc_forwarding" for place in places),
            *(f"net/ipv4/neigh/{place}/base_reachable_time_ms" for place in places[1:]),
            *(f"net/ipv4/neigh/{place}/gc_stale_time" for place in places[1:]),
            *(f"net/ipv4/neigh/{place}/delay_first_probe_time" for place in places[1:]),
        )
        for (family, name), comment in self._tables().items():
            if (family, name) == ("ip", _ICMP_TABLE):
                found["icmp errors"] = "off"
            elif family == "ip" and name in _HELD_BY_TABLE:
                found[_HELD_BY_TABLE[name]] = comment
            else:
                found[f"nft table {family} {name}"] = ""
        return found

    def _forms(self) -> tuple[Form, ...]:
        return (
            Form(r"frr (.+)", 3, lambda key, value: (configure(key[1], there=value is not None),)),
            Form(r"icmp errors", 5, self._make_icmp_errors),
            Form(r"directed broadcast", 5, self._make_broadcast),
            Form(r"connection filter", 5, self._make_filter),
            Form(r"mss clamp", 5, self._make_clamp),
            Form(r"nat", 5, self._make_nat),
            Form(r"nft table (\S+) (\S+)", 5, self._make_table),
            *super()._forms(),
        )

    def _make_icmp_errors(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        return (no_table("ip", _ICMP_TABLE) if value is None else drop_icmp_errors(_ICMP_TABLE),)

    def _make_broadcast(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        if value is None:
            return (no_table("ip", _BROADCAST_TABLE),)
        return (filter_broadcast(_BROADCAST_TABLE, value),)

    def _make_filter(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        if value is None:
            return (no_table("ip", _FILTER_TABLE),)
        return (drop_connections(_FILTER_TABLE, value),)

    def _make_clamp(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        if value is None:
            return (no_table("ip", _MSS_TABLE),)
        return (clamp_mss(_MSS_TABLE, value),)

    def _make_nat(self, _: re.Match[str], value: str | None) -> Sequence[str]:
        # A connection that is known goes on as it began, so none may be known from before.
        if value is None:
            return no_table("ip", _NAT_TABLE), forget_mappings()
        return translate(_NAT_TABLE, value), forget_mappings()

    def _make_table(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        if value is not None:
            raise PlanError(
                f"{self.name}: {key[0]!r} can be removed but not made, for its rules are not told"
            )
        return (no_table(key[1], key[2]),)

    def _running_lines(self) -> tuple[str, ...]:
        return self._read(vtysh("show running-config"), parse_running_config)

    def _line(self, line: str) -> Setting:
        """A line of FRR's configuration, on its way in."""
        return Setting(f"frr {line}", "" if line in self._running_lines() else None, "")

    def _listed(self, table: str, port: str, on: bool) -> Setting:
        """The setting that ``table`` holds, a list of ports, with ``port`` in it or not."""
        held = self._tables().get(("ip", table))
        ports = set(held.split(",")) if held else set()
        ports = ports | {self._port(port)} if on else ports - {port}
        return Setting(_HELD_BY_TABLE[table], held, ",".join(sorted(ports)) or None)

    def _tables(self) -> dict[tuple[str, str], str]:
        return self._read("nft -j list ruleset", parse_tables)

    def _reaches(self, via: IPv4Address) -> bool:
        """Whether ``via`` is on a subnet of a port that is up."""
        links = self._links()
        return any(
            via in address.network
            for port, addresses in self._read("ip -j -4 addr", parse_addresses).items()
            for address in addresses
            if port in self.ports and links[port].link_up
        )

    def _settled(self, prefix: IPv4Network, via: IPv4Address, distance: int) -> bool:
        """Whether FRR is done with a route: in the kernel, or known and not chosen."""
        for route in self._read(vtysh(f"show ip route {prefix} json"), parse_rib):
            if route.protocol != "static" or route.distance != distance or route.queued:
                continue
            if any(hop.ip == via for hop in route.next_hops):
                return route.installed or not route.selected
        return False

    def _await(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for FRR to hand the kernel what it was configured with; DeviceError if not."""
        try:
            wait_until(
                holds, bool, clock=self.clock, within=_SETTLE, summary=f"{what} was not installed"
            )
        except ExpectationFailed as failure:
            raise DeviceError(f"{self.name}: {failure.summary}") from None


def _on(on: bool) -> str:
    return "on" if on else "off"
