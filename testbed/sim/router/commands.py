"""The router's command line: what there is to type, and what each line sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final, Protocol, TypeVar

from testbed.errors import PlanError, WireError
from testbed.sim.cli.commands import Call, Command, CommandRefused, Mode
from testbed.sim.router import shows
from testbed.sim.router.controls import NAT_PROTOCOLS, RouterControls, StaticRoute
from testbed.sim.router.port import Irdp
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["Managed", "RouterCommands"]

T = TypeVar("T")
Run = Callable[[Call], str | None]

_LOOK: Final = (Mode.EXEC, Mode.ENABLE)
_ENABLE: Final = (Mode.ENABLE,)
_CONFIG: Final = (Mode.CONFIG, Mode.INTERFACE)
_PORT: Final = (Mode.INTERFACE,)


class Managed(shows.Shown, Protocol):
    """A router, as its command line knows it."""

    def set_enabled(self, port: str, on: bool, now: Instant) -> None:
        """Switch ``port`` on or off; its link follows."""


class RouterCommands:
    """The commands of one router."""

    def __init__(self, router: Managed) -> None:
        self.router = router
        self.controls: RouterControls = router.controls

    def all(self) -> tuple[Command, ...]:
        """Every command."""
        return tuple(
            Command(modes, words, _politely(run), about)
            for modes, words, run, about in (
                *self._shows(),
                *self._settings(),
                *self._port_settings(),
                *self._port_switches(),
                *self._switches(),
            )
        )

    def _shows(self) -> Iterable[tuple[tuple[Mode, ...], str, Run, str]]:
        router, controls = self.router, self.controls

        def one(call: Call) -> str:
            return shows.interface(router, self._port(call["port"]))

        def clear(call: Call) -> None:
            controls.clear_arp(self._port(call["port"]))

        return (
            (_LOOK, "show version", lambda _: shows.version(router), "what this is"),
            (_LOOK, "show ip route", lambda call: shows.routes(router, call.now), "the routes"),
            (_LOOK, "show arp", lambda call: shows.arp(router, call.now), "the neighbours"),
            (_LOOK, "show interfaces", lambda _: shows.interfaces(router), "all ports"),
            (_LOOK, "show interfaces <port>", one, "one port"),
            (_LOOK, "show ip traffic", lambda _: shows.traffic(router), "what was counted"),
            (
                _LOOK,
                "show ip nat translations",
                lambda call: shows.translations(router, call.now),
                "who is who outside",
            ),
            (
                _LOOK,
                "show ip igmp groups",
                lambda call: shows.groups(router, call.now),
                "which port listens to which group",
            ),
            (_ENABLE, "show running-config", lambda _: shows.running(router), "all settings"),
            (_ENABLE, "clear arp", lambda _: controls.clear_arp(), "forget what ARP learned"),
            (_ENABLE, "clear arp <port>", clear, "forget what ARP learned on a port"),
        )

    def _settings(self) -> Iterable[tuple[tuple[Mode, ...], str, Run, str]]:
        controls = self.controls

        def route(call: Call, distance: int = 1) -> None:
            via = _address(call["via"])
            controls.add_route(StaticRoute(_network(call["prefix"]), via, distance), call.now)

        def distant(call: Call) -> None:
            route(call, _number(call["distance"], 1, 255))

        def no_route(call: Call) -> None:
            controls.remove_route(_network(call["prefix"]), _address(call["via"]), call.now)

        def neighbour(call: Call) -> None:
            mac, port = _mac(call["mac"]), self._port(call["port"])
            controls.add_arp(port, _address(call["ip"]), mac, call.now)

        def no_neighbour(call: Call) -> None:
            controls.remove_arp(self._port(call["port"]), _address(call["ip"]))

        def keep_out(call: Call) -> None:
            controls.keep_out(_number(call["tcp-port"], 0, 65535))

        def lifetime(call: Call) -> None:
            if call["protocol"] not in NAT_PROTOCOLS.values():
                raise CommandRefused(f"Not translated: {call['protocol']}")
            span = seconds(_number(call["seconds"], 1, 1_000_000))
            controls.set_nat_lifetime(call["protocol"], span)

        via = "a network, and by which neighbour it is reached"
        return (
            (_CONFIG, "ip route <prefix> <via>", route, via),
            (_CONFIG, "ip route <prefix> <via> <distance>", distant, f"{via}, if none is nearer"),
            (_CONFIG, "no ip route <prefix> <via>", no_route, "no such route"),
            (_CONFIG, "arp <ip> <mac> <port>", neighbour, "a neighbour, for good"),
            (_CONFIG, "no arp <ip> <port>", no_neighbour, "no such neighbour"),
            (_CONFIG, "ip filter tcp syn <tcp-port>", keep_out, "let no connection through"),
            (_CONFIG, "no ip filter", lambda _: controls.keep_out(None), "let all through"),
            (_CONFIG, "ip nat timeout <protocol> <seconds>", lifetime, "how long mappings live"),
        )

    def _switches(self) -> Iterable[tuple[tuple[Mode, ...], str, Run, str]]:
        """What is on or off for the whole router."""
        controls, tracking = self.controls, self.controls.tracking
        switches: tuple[tuple[str, Callable[[bool, Instant], None], str], ...] = (
            (
                "ip unreachables",
                lambda on, _: controls.set_unreachables(on),
                "ICMP errors are sent",
            ),
            (
                "ip icmp rate-limit",
                lambda on, _: controls.set_rate_limit(on),
                "so many ICMP errors a second",
            ),
            ("ip multicast-routing", controls.set_multicast, "forward to groups"),
            ("ip route tracking", tracking.switch, "pass over next hops that do not answer"),
        )
        for words, switch, about in switches:
            yield _CONFIG, words, _switched(switch, True), about
            yield _CONFIG, f"no {words}", _switched(switch, False), f"not: {about}"

    def _port_switches(self) -> Iterable[tuple[tuple[Mode, ...], str, Run, str]]:
        """What is on or off for a port."""
        controls = self.controls
        switches: tuple[tuple[str, Callable[[str, bool], None], str], ...] = (
            ("ip redirects", controls.set_redirects, "tell senders of better ways"),
            (
                "ip directed-broadcast",
                controls.set_directed_broadcast,
                "let broadcasts for this subnet through",
            ),
            ("ip tcp adjust-mss", controls.set_clamp, "lower the MSS of SYNs to what fits"),
            ("ip nat outside", self._set_nat, "translate to the address of this port"),
        )
        for words, switch, about in switches:
            yield _PORT, words, _port_switched(switch, True), about
            yield _PORT, f"no {words}", _port_switched(switch, False), f"not: {about}"

    def _port_settings(self) -> Iterable[tuple[tuple[Mode, ...], str, Run, str]]:
        controls, router = self.controls, self.router

        def add(call: Call) -> None:
            controls.add_address(call.port, _interface(call["address"]), call.now)

        def remove(call: Call) -> None:
            controls.remove_address(call.port, _interface(call["address"]), call.now)

        def mtu(call: Call) -> None:
            controls.set_mtu(call.port, _number(call["bytes"], 68, 9216), call.now)

        def timeout(call: Call) -> None:
            span = milliseconds(_number(call["milliseconds"], 1, 1_000_000_000))
            controls.set_arp_timeout(call.port, span)

        def irdp(call: Call) -> None:
            controls.set_irdp(call.port, Irdp(), call.now)

        def irdp_so(call: Call) -> None:
            interval = seconds(_number(call["seconds"], 4, 1800))
            lifetime = seconds(_number(call["lifetime"], 4, 9000))
            preference = _number(call["preference"], -(2**31), 2**31 - 1)
            if lifetime < interval:
                raise CommandRefused("A lifetime is no shorter than the interval")
            controls.set_irdp(call.port, Irdp(preference, interval, lifetime), call.now)

        return (
            (_PORT, "ip address <address>", add, "an address with its prefix length"),
            (_PORT, "no ip address <address>", remove, "no such address"),
            (_PORT, "mtu <bytes>", mtu, "the longest IP packet"),
            (
                _PORT,
                "shutdown",
                lambda call: router.set_enabled(call.port, False, call.now),
                "switch the port off",
            ),
            (
                _PORT,
                "no shutdown",
                lambda call: router.set_enabled(call.port, True, call.now),
                "switch the port on",
            ),
            (_PORT, "arp timeout <milliseconds>", timeout, "how long neighbours are believed"),
            (_PORT, "ip irdp", irdp, "advertise this router (RFC 1256)"),
            (_PORT, "ip irdp <preference> <seconds> <lifetime>", irdp_so, "advertise it so"),
            (
                _PORT,
                "no ip irdp",
                lambda call: controls.set_irdp(call.port, None, call.now),
                "do not advertise this router",
            ),
        )

    def _set_nat(self, port: str, on: bool) -> None:
        if on:
            self.controls.set_nat(port)
        elif self.controls.outside == port:
            self.controls.set_nat(None)

    def _port(self, name: str) -> str:
        if name not in self.controls.ports:
            raise CommandRefused(
                f"No such port: {name}; there are {', '.join(self.controls.ports)}"
            )
        return name


def _switched(switch: Callable[[bool, Instant], None], on: bool) -> Run:
    return lambda call: switch(on, call.now)


def _port_switched(switch: Callable[[str, bool], None], on: bool) -> Run:
    return lambda call: switch(call.port, on)


def _politely(run: Run) -> Run:
    """``run``, whose refusals are answers."""

    def asked(call: Call) -> str | None:
        try:
            return run(call)
        except (PlanError, WireError) as error:
            raise CommandRefused(str(error)) from None

    return asked


def _read(make: Callable[[str], T], text: str, what: str) -> T:
    try:
        return make(text)
    except (ValueError, WireError):
        raise CommandRefused(f"Not {what}: {text}") from None


def _address(text: str) -> IPv4Address:
    return _read(IPv4Address, text, "an IPv4 address")


def _network(text: str) -> IPv4Network:
    return _read(IPv4Network, text, "an IPv4 network, as 192.0.2.0/24")


def _interface(text: str) -> IPv4Interface:
    if "/" not in text:
        raise CommandRefused(f"Not an address with its prefix length: {text}")
    return _read(IPv4Interface, text, "an address with its prefix length")


def _mac(text: str) -> MacAddr:
    return _read(MacAddr, text, "a MAC address")


def _number(text: str, least: int, most: int) -> int:
    number = _read(int, text, "a number")
    if not least <= number <= most:
        raise CommandRefused(f"Not from {least} to {most}: {text}")
    return number
