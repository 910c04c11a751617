"""The switch's command line: what there is to type, and what each line sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from testbed.errors import PlanError, WireError
from testbed.sim.cli.commands import Call, Command, CommandRefused, Mode
from testbed.sim.switch import shows
from testbed.sim.switch.controls import Controls
from testbed.sim.switch.fdb import DEFAULT_AGEING, LEAST_AGEING, MOST_AGEING
from testbed.sim.switch.ports import AS_IT_COMES, LARGEST_VLAN, Port, PortMode
from testbed.timing import seconds
from testbed.wire.addresses import MacAddr

__all__ = ["SwitchCommands"]

_LOOK: Final = (Mode.EXEC, Mode.ENABLE)
_ENABLE: Final = (Mode.ENABLE,)
_CONFIG: Final = (Mode.CONFIG, Mode.INTERFACE)
_PORT: Final = (Mode.INTERFACE,)

_LEAST_MTU: Final = 68
_MOST_MTU: Final = 9216
_MOST_PPS: Final = 10_000_000


class SwitchCommands:
    """The commands of one switch."""

    def __init__(self, switch: Controls) -> None:
        self.switch = switch

    def all(self) -> tuple[Command, ...]:
        """Every command."""
        return (*self._shows(), *self._clears(), *self._settings(), *self._port_settings())

    # What is shown

    def _shows(self) -> Iterable[Command]:
        switch = self.switch

        def table(words: str, text: Callable[[Call], str], about: str) -> Command:
            return Command(_LOOK, words, text, about)

        def macs(call: Call) -> str:
            return shows.macs(switch, call.now, lambda _: True)

        def static_macs(call: Call) -> str:
            return shows.macs(switch, call.now, lambda entry: entry.static)

        def port_macs(call: Call) -> str:
            port = self._port(call["port"])
            return shows.macs(switch, call.now, lambda entry: entry.port is port)

        def one(call: Call) -> str:
            return shows.interface(switch, self._port(call["port"]))

        return (
            table("show version", lambda _: shows.version(switch), "what this is"),
            table("show mac address-table", macs, "all stations"),
            table("show mac address-table static", static_macs, "stations set by hand"),
            table("show mac address-table interface <port>", port_macs, "those of a port"),
            table(
                "show mac address-table aging-time",
                lambda _: f"Aging time: {switch.fdb.ageing // seconds(1)} seconds\n",
                "how long a silent station is remembered",
            ),
            table(
                "show mac address-table count",
                lambda call: shows.count(switch, call.now),
                "how many there are, and may be",
            ),
            table("show interfaces status", lambda _: shows.status(switch), "links and modes"),
            table("show interfaces counters", lambda _: shows.counters(switch), "frames and bytes"),
            table("show interfaces", lambda _: shows.interfaces(switch), "all ports at length"),
            table("show interfaces <port>", one, "one port at length"),
            table("show vlan", lambda _: shows.vlans(switch), "the VLANs and their ports"),
            table("show monitor", lambda _: shows.monitor(switch), "the mirror session"),
            table("show storm-control", lambda _: shows.storm(switch), "ceilings of broadcasts"),
            Command(
                _ENABLE,
                "show running-config",
                lambda _: shows.running_config(switch),
                "the settings, as they would be typed",
            ),
        )

    # What is done

    def _clears(self) -> Iterable[Command]:
        switch = self.switch

        def clear(_: Call) -> None:
            switch.fdb.flush()

        def clear_port(call: Call) -> None:
            switch.fdb.flush(self._port(call["port"]))

        def counters(_: Call) -> None:
            for port in switch.ports.all:
                port.counters.clear()

        return (
            Command(_ENABLE, "clear mac address-table dynamic", clear, "forget what was learned"),
            Command(
                _ENABLE,
                "clear mac address-table dynamic interface <port>",
                clear_port,
                "forget what was learned on a port",
            ),
            Command(_ENABLE, "clear counters", counters, "count from nothing"),
        )

    # What is set for all

    def _settings(self) -> Iterable[Command]:
        return (
            Command(
                _CONFIG,
                "mac address-table aging-time <seconds>",
                self._set_ageing,
                "how long a silent station is remembered",
            ),
            Command(_CONFIG, "no mac address-table aging-time", self._default_ageing),
            Command(
                _CONFIG,
                "mac address-table static <mac> vlan <vlan> interface <port>",
                self._add_static,
                "a station that stays; VLAN 0 for none",
            ),
            Command(_CONFIG, "no mac address-table static <mac> vlan <vlan>", self._remove_static),
            Command(
                _CONFIG,
                "vlan learning shared",
                lambda _: self.switch.fdb.set_independent(False),
                "one table for all VLANs",
            ),
            Command(
                _CONFIG,
                "vlan learning independent",
                lambda _: self.switch.fdb.set_independent(True),
                "one table for each VLAN",
            ),
            Command(
                _CONFIG,
                "monitor session 1 source interface <ports>",
                self._mirror_from,
                "the ports that are mirrored: p1,p2",
            ),
            Command(
                _CONFIG,
                "monitor session 1 destination interface <port>",
                self._mirror_to,
                "the port that shows it",
            ),
            Command(_CONFIG, "no monitor session 1", lambda _: self.switch.mirror.set((), None)),
        )

    def _set_ageing(self, call: Call) -> None:
        least, most = LEAST_AGEING // seconds(1), MOST_AGEING // seconds(1)
        span = _number(call["seconds"], "seconds", least, most)
        self.switch.fdb.set_ageing(seconds(span))

    def _default_ageing(self, _: Call) -> None:
        self.switch.fdb.set_ageing(DEFAULT_AGEING)

    def _add_static(self, call: Call) -> None:
        mac, vlan = _mac(call["mac"]), _number(call["vlan"], "VLAN", 0, LARGEST_VLAN)
        if mac.is_group:
            raise CommandRefused(f"Not the address of a station: {mac}")
        port = self._port(call["port"])
        if not self.switch.fdb.add_static(mac.packed, vlan, port, call.now):
            raise CommandRefused("The table is full")

    def _remove_static(self, call: Call) -> None:
        mac, vlan = _mac(call["mac"]), _number(call["vlan"], "VLAN", 0, LARGEST_VLAN)
        self.switch.fdb.remove_static(mac.packed, vlan)

    def _mirror_from(self, call: Call) -> None:
        mirror = self.switch.mirror
        sources = [self._port(name) for name in call["ports"].split(",")]
        if mirror.to in sources:
            raise CommandRefused("A port cannot show itself")
        mirror.set(sources, mirror.to)

    def _mirror_to(self, call: Call) -> None:
        mirror, to = self.switch.mirror, self._port(call["port"])
        if to in mirror.sources:
            raise CommandRefused("A port cannot show itself")
        mirror.set(mirror.sources, to)

    # What is set for a port

    def _port_settings(self) -> Iterable[Command]:
        switch = self.switch

        def enable(call: Call) -> None:
            switch.set_enabled(call.port, True, call.now)

        def disable(call: Call) -> None:
            switch.set_enabled(call.port, False, call.now)

        def no_ceiling(call: Call) -> None:
            switch.storm.set_ceiling(self._port(call.port), None)

        def any_vlan(call: Call) -> None:
            switch.set_mode(call.port, AS_IT_COMES)

        return (
            Command(_PORT, "shutdown", disable, "switch the port off"),
            Command(_PORT, "no shutdown", enable, "switch the port on"),
            Command(_PORT, "switchport access vlan <vlan>", self._access, "one VLAN, no tags"),
            Command(
                _PORT, "switchport trunk allowed vlan <vlans>", self._trunk, "tagged: 10,20-29"
            ),
            Command(
                _PORT, "switchport trunk native vlan <vlan>", self._native, "untagged on a trunk"
            ),
            Command(_PORT, "no switchport trunk native vlan", self._no_native),
            Command(_PORT, "no switchport", any_vlan, "every frame as it comes"),
            Command(
                _PORT,
                "storm-control broadcast level pps <rate>",
                self._storm,
                "broadcasts a second that may come in",
            ),
            Command(_PORT, "no storm-control broadcast", no_ceiling),
            Command(_PORT, "mtu <bytes>", self._mtu, "the largest payload"),
            Command(_PORT, "no mtu", self._default_mtu),
        )

    def _access(self, call: Call) -> None:
        vlan = _number(call["vlan"], "VLAN", 1, LARGEST_VLAN)
        self.switch.set_mode(call.port, PortMode(access=vlan))

    def _trunk(self, call: Call) -> None:
        had = self._port(call.port).mode
        self._set_mode(call.port, None, _vlans(call["vlans"]), had.native)

    def _native(self, call: Call) -> None:
        had = self._port(call.port).mode
        vlan = _number(call["vlan"], "VLAN", 1, LARGEST_VLAN)
        self._set_mode(call.port, had.access, had.trunk, vlan)

    def _no_native(self, call: Call) -> None:
        had = self._port(call.port).mode
        self._set_mode(call.port, had.access, had.trunk, None)

    def _set_mode(
        self, port: str, access: int | None, trunk: frozenset[int], native: int | None
    ) -> None:
        try:
            mode = PortMode(access, trunk, native)
        except PlanError as error:
            raise CommandRefused(str(error)) from None
        self.switch.set_mode(port, mode)

    def _storm(self, call: Call) -> None:
        rate = _number(call["rate"], "frames a second", 0, _MOST_PPS)
        self.switch.storm.set_ceiling(self._port(call.port), rate)

    def _mtu(self, call: Call) -> None:
        size = _number(call["bytes"], "bytes", _LEAST_MTU, _MOST_MTU)
        self._port(call.port).set_mtu(size)

    def _default_mtu(self, call: Call) -> None:
        self._port(call.port).set_mtu(self.switch.jacks[call.port].mtu)

    def _port(self, name: str) -> Port:
        if name not in self.switch.ports.by_name:
            some = ", ".join(self.switch.ports.by_name)
            raise CommandRefused(f"No such port: {name}; there are {some}")
        return self.switch.ports[name]


def _number(text: str, what: str, least: int, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most:
        return int(text)
    raise CommandRefused(f"Not a number of {what} from {least} to {most}: {text}")


def _mac(text: str) -> MacAddr:
    try:
        return MacAddr(text)
    except WireError as error:
        raise CommandRefused(str(error)) from None


def _vlans(text: str) -> frozenset[int]:
    """The VLANs of a list such as ``10,20-29``."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        low = _number(first, "VLAN", 1, LARGEST_VLAN)
        found.update(range(low, _number(last or first, "VLAN", low, LARGEST_VLAN) + 1))
    return frozenset(found)
