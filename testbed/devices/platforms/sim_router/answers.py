"""What the simulated router prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from testbed.devices.parsing import mac, number, rows
from testbed.devices.values import ArpEntry, NatEntry, PortCounters, Route
from testbed.errors import DeviceError
from testbed.wire.addresses import MacAddr

__all__ = [
    "PortState",
    "parse_arp",
    "parse_config",
    "parse_nat",
    "parse_ports",
    "parse_routes",
    "parse_traffic",
]

_ROUTE: Final = re.compile(
    r"[CS] (?P<prefix>[\d./]+) (?:is directly connected|"
    r"\[(?P<metric>\d+)/0\] via (?P<via>[\d.]+)), (?P<port>\S+)"
)
_ARP: Final = re.compile(
    r"(?P<ip>[\d.]+) +(?:\d+|-) +(?P<mac>[0-9a-f:]{17}) +(?P<kind>dynamic|permanent) +(?P<port>\S+)"
)
_NAT: Final = re.compile(
    r"(?P<protocol>\w+) +(?P<outside>[\d.]+):(?P<outside_port>\d+) +"
    r"(?P<inside>[\d.]+):(?P<inside_port>\d+) +\d+"
)
_TRAFFIC: Final = re.compile(r"(?P<name>.+): (?P<count>\d+)")
_PORT: Final = re.compile(
    r"(?P<port>\S+) is (?:up|administratively down), line protocol is (?P<state>up|down)"
)
_FACT: Final = re.compile(
    r"  (?:Hardware address is (?P<mac>\S+)|MTU (?P<mtu>\d+) bytes|"
    r"Internet address is (?P<address>\S+)|"
    r"(?P<way>Received|Sent) (?P<frames>\d+) frames, (?P<octets>\d+) bytes, (?P<errors>\d+) errors)"
)

_SWITCHES: Final = {
    "ip unreachables": "icmp errors",
    "ip icmp rate-limit": "icmp rate limit",
    "ip multicast-routing": "multicast routing",
    "ip route tracking": "next-hop tracking",
}
_PORT_SWITCHES: Final = {
    "shutdown": "shutdown",
    "ip redirects": "redirects",
    "ip directed-broadcast": "directed broadcast",
    "ip tcp adjust-mss": "mss clamp",
}
_LINE: Final = re.compile(
    r"ip filter tcp syn (?P<filter>\d+)|"
    r"ip nat timeout (?P<protocol>\w+) (?P<lifetime>\d+)|"
    r"ip route (?P<prefix>\S+) (?P<via>\S+) (?P<distance>\d+)|"
    r"arp (?P<ip>\S+) (?P<mac>\S+) (?P<port>\S+)"
)
_PORT_LINE: Final = re.compile(
    r"ip address (?P<address>\S+)|mtu (?P<mtu>\d+)|arp timeout (?P<arp>\d+)|"
    r"ip irdp (?P<irdp>-?\d+ \d+ \d+)|(?P<no>no )?(?P<nat>ip nat outside)"
)


class PortState:
    """One port of ``show interfaces``."""

    def __init__(self, *, up: bool) -> None:
        self.up = up
        self.mac: MacAddr | None = None
        self.mtu = 0
        self.addresses: list[IPv4Interface] = []
        self.tallies: dict[str, tuple[int, int, int]] = {}

    def counters(self) -> PortCounters:
        """Its counters; DeviceError where it prints none."""
        try:
            received, sent = self.tallies["Received"], self.tallies["Sent"]
        except KeyError as missing:
            raise DeviceError(f"no line of frames {missing}") from None
        return PortCounters(
            rx_frames=received[0],
            tx_frames=sent[0],
            rx_bytes=received[1],
            tx_bytes=sent[1],
            rx_errors=received[2],
            tx_errors=sent[2],
        )


def parse_ports(text: str) -> dict[str, PortState]:
    """The ports in the answer to ``show interfaces``."""
    found: dict[str, PortState] = {}
    held: PortState | None = None
    for count, line in enumerate(text.splitlines(), start=1):
        if match := _PORT.fullmatch(line):
            held = found[match["port"]] = PortState(up=match["state"] == "up")
        elif held is not None and (match := _FACT.fullmatch(line)):
            _note(held, match)
        elif line.strip():
            raise DeviceError(f"line {count}: {line!r} is not of the form expected")
    return found


def _note(port: PortState, fact: re.Match[str]) -> None:
    if fact["mac"]:
        port.mac = mac(fact["mac"])
    elif fact["mtu"]:
        port.mtu = number(fact["mtu"])
    elif fact["address"]:
        port.addresses.append(_interface(fact["address"]))
    else:
        tally = number(fact["frames"]), number(fact["octets"]), number(fact["errors"])
        port.tallies[fact["way"]] = tally


def parse_routes(text: str) -> tuple[Route, ...]:
    """The rows of ``show ip route``."""
    return tuple(
        Route(
            _network(row["prefix"]),
            _address(row["via"]) if row["via"] else None,
            row["port"],
            number(row["metric"] or "0"),
        )
        for row in rows(text, _ROUTE)
    )


def parse_arp(text: str) -> tuple[ArpEntry, ...]:
    """The rows of ``show arp``, below its heading."""
    return tuple(
        ArpEntry(_address(row["ip"]), mac(row["mac"]), row["port"], row["kind"] == "permanent")
        for row in rows(_body(text), _ARP)
    )


def parse_nat(text: str) -> tuple[NatEntry, ...]:
    """The rows of ``show ip nat translations``, below its heading."""
    return tuple(
        NatEntry(
            row["protocol"],
            _address(row["inside"]),
            number(row["inside_port"]),
            _address(row["outside"]),
            number(row["outside_port"]),
        )
        for row in rows(_body(text), _NAT)
    )


def parse_traffic(text: str) -> dict[str, int]:
    """The counters of ``show ip traffic``."""
    return {row["name"]: number(row["count"]) for row in rows(text, _TRAFFIC)}


def parse_config(text: str) -> dict[str, str]:
    """The settings in the answer to ``show running-config``."""
    if not text.startswith("hostname "):
        raise DeviceError("expected 'hostname' first")
    found: dict[str, str] = {}
    port = ""
    for line in text.splitlines()[1:]:
        if line.startswith("interface "):
            port = line.removeprefix("interface ")
        elif line.startswith(" ") and port:
            found |= dict(_port_setting(port, line.strip()))
        else:
            found |= dict(_setting(line))
    return found


def _setting(line: str) -> Iterator[tuple[str, str]]:
    words = line.removeprefix("no ")
    if words in _SWITCHES:
        yield _SWITCHES[words], "on" if words == line else "off"
        return
    match = _LINE.fullmatch(line)
    if match is None:
        raise DeviceError(f"{line!r} is no line of a configuration that is known")
    if match["filter"]:
        yield "connection filter", match["filter"]
    elif match["protocol"]:
        yield f"nat lifetime {match['protocol']}", match["lifetime"]
    elif match["prefix"]:
        yield f"route {match['prefix']} via {match['via']}", match["distance"]
    else:
        yield f"arp {match['ip']} port {match['port']}", match["mac"]


def _port_setting(port: str, line: str) -> Iterator[tuple[str, str]]:
    words = line.removeprefix("no ")
    if words in _PORT_SWITCHES:
        yield f"port {port} {_PORT_SWITCHES[words]}", "on" if words == line else "off"
        return
    match = _PORT_LINE.fullmatch(line)
    if match is None:
        raise DeviceError(f"{line!r} is no line of a port's configuration that is known")
    if match["address"]:
        yield f"port {port} address {match['address']}", ""
    elif match["mtu"]:
        yield f"port {port} mtu", match["mtu"]
    elif match["arp"]:
        yield f"port {port} arp timeout", match["arp"]
    elif match["irdp"]:
        yield f"port {port} irdp", match["irdp"]
    elif not match["no"]:
        yield "nat outside", port


def _body(text: str) -> str:
    """A table without its heading."""
    return text.partition("\n")[2]


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise DeviceError(str(error)) from None


def _interface(text: str) -> IPv4Interface:
    try:
        return IPv4Interface(text)
    except ValueError as error:
        raise DeviceError(str(error)) from None


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise DeviceError(str(error)) from None
