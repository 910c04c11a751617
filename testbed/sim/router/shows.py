"""What the router prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from testbed.sim.router.controls import NAT_PROTOCOLS, RouterControls
from testbed.sim.router.port import RouterPort, Tally
from testbed.stack.neighbours import Neighbour, NeighbourState
from testbed.stack.routes import Route
from testbed.timing import Instant, milliseconds, seconds

__all__ = [
    "Shown",
    "arp",
    "groups",
    "interface",
    "interfaces",
    "routes",
    "running",
    "traffic",
    "translations",
    "version",
]

_RELEASE: Final = "1.0"


class Shown(Protocol):
    """A router, as far as it is shown."""

    name: str
    model: str
    up: dict[str, bool]
    enabled: dict[str, bool]
    controls: RouterControls


def version(router: Shown) -> str:
    """One line, and what the device is made of."""
    ports = router.controls.ports
    return (
        f"{router.model} software, release {_RELEASE}\n"
        f"{router.name} has {len(ports)} ports: {', '.join(ports)}\n"
    )


def routes(router: Shown, now: Instant) -> str:
    """The routes that packets follow, a line for each next hop."""
    return "".join(f"{_route(route)}\n" for route in router.controls.stack.routes.used(now))


def _route(route: Route) -> str:
    if route.via is None:
        return f"C {route.network} is directly connected, {route.interface}"
    return f"S {route.network} [{route.metric}/0] via {route.via}, {route.interface}"


def arp(router: Shown, now: Instant) -> str:
    """The neighbours whose addresses are known."""
    rows = [("Address", "Age(s)", "Hardware address", "Type", "Interface")]
    for name, port in router.controls.ports.items():
        for entry in router.controls.stack.interface(name).neighbours:
            if entry.mac is None or entry.header is None or entry.expires <= now:
                continue
            permanent = entry.state is NeighbourState.PERMANENT
            age = "-" if permanent else str(_age(entry, port, now))
            kind = "permanent" if permanent else "dynamic"
            rows.append((str(entry.address), age, str(entry.mac), kind, name))
    return _table(rows)


def _age(entry: Neighbour, port: RouterPort, now: Instant) -> int:
    return max(port.arp_timeout - (entry.expires - now), 0) // seconds(1)


def interfaces(router: Shown) -> str:
    """All ports at length."""
    return "".join(interface(router, name) for name in router.controls.ports)


def interface(router: Shown, name: str) -> str:
    """One port at length."""
    port = router.controls.ports[name]
    state = "up" if router.enabled[name] else "administratively down"
    lines = [
        f"{name} is {state}, line protocol is {'up' if router.up[name] else 'down'}",
        f"  Hardware address is {port.jack.mac}",
        f"  MTU {port.mtu} bytes",
        *(f"  Internet address is {address}" for address in port.addresses),
        f"  Received {_tally(port.received)}",
        f"  Sent {_tally(port.sent)}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _tally(tally: Tally) -> str:
    return f"{tally.frames} frames, {tally.octets} bytes, {tally.errors} errors"


def traffic(router: Shown) -> str:
    """The counters, a line each."""
    core = router.controls.stack.core
    counts = dict(core.counts)
    counts |= {f"{layer} dropped, {why}": count for (layer, why), count in core.dropped.items()}
    return "".join(f"{what}: {count}\n" for what, count in sorted(counts.items()))


def translations(router: Shown, now: Instant) -> str:
    """The mappings that have not run out."""
    rows = [("Pro", "Inside global", "Inside local", "Peers")]
    nat = router.controls.nat
    if nat is not None:
        nat.expire(now)
        rows += [
            (
                NAT_PROTOCOLS.get(each.protocol, str(each.protocol)),
                f"{nat.address}:{each.outside_port}",
                f"{each.inside}:{each.port}",
                str(len(each.peers)),
            )
            for each in nat.mappings
        ]
    return _table(rows)


def groups(router: Shown, now: Instant) -> str:
    """Which port has listeners to which group, and for how long that is believed."""
    rows = [("Group", "Interface", "Expires(s)")]
    for name, querier in router.controls.groups.queriers.items():
        rows += [
            (str(group), name, str(max(until - now, 0) // seconds(1)))
            for group, until in querier.members.items()
        ]
    return _table(rows)


def running(router: Shown) -> str:
    """All settings, as the lines that make them."""
    return "".join(f"{line}\n" for line in (*_whole(router), *_ports(router)))


def _whole(router: Shown) -> Iterator[str]:
    controls = router.controls
    yield f"hostname {router.name}"
    switches = {
        "ip unreachables": controls.stack.answers.icmp_errors,
        "ip icmp rate-limit": controls.rate_limited,
        "ip multicast-routing": controls.groups.on,
        "ip route tracking": controls.tracking.on,
    }
    yield from _switched(switches)
    kept_out = controls.stack.core.crossing.kept_out
    if kept_out is not None:
        yield f"ip filter tcp syn {kept_out}"
    for protocol in sorted(NAT_PROTOCOLS.values()):
        yield f"ip nat timeout {protocol} {controls.nat_lifetime(protocol) // seconds(1)}"
    for route in controls.routes:
        yield f"ip route {route.prefix} {route.via} {route.distance}"
    for (port, address), mac in controls.arp.items():
        yield f"arp {address} {mac} {port}"


def _ports(router: Shown) -> Iterator[str]:
    crossing = router.controls.stack.core.crossing
    for name, port in router.controls.ports.items():
        yield f"interface {name}"
        yield " no shutdown" if router.enabled[name] else " shutdown"
        for address in port.addresses:
            yield f" ip address {address}"
        yield f" mtu {port.mtu}"
        yield f" arp timeout {port.arp_timeout // milliseconds(1)}"
        switches = {
            " ip redirects": name not in crossing.no_redirects,
            " ip directed-broadcast": name in crossing.directed_broadcast,
            " ip tcp adjust-mss": name in crossing.clamped,
            " ip nat outside": name == router.controls.outside,
        }
        yield from _switched(switches)
        if port.irdp is not None:
            spans = port.irdp.interval // seconds(1), port.irdp.lifetime // seconds(1)
            yield f" ip irdp {port.irdp.preference} {spans[0]} {spans[1]}"


def _switched(switches: Mapping[str, bool]) -> Iterator[str]:
    for words, on in switches.items():
        indent = " " * (len(words) - len(words.lstrip()))
        yield words if on else f"{indent}no {words.lstrip()}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as they must be."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)
