"""The simulated managed switch, by its command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from testbed.devices.platforms.sim_switch.answers import (
    Config,
    PortConfig,
    list_vlans,
    parse_capacity,
    parse_config,
    parse_counters,
    parse_fdb,
    parse_links,
)
from testbed.devices.settings import ConfiguredDriver, Form, Setting
from testbed.devices.values import FdbEntry, PortCounters, VlanMode
from testbed.devices.waiting import FdbWaits
from testbed.errors import DeviceError, PlanError, Unsupported
from testbed.timing import Duration, format_duration, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["SimSwitchDriver"]

T = TypeVar("T")

_LEAST = seconds(10)
_MOST = seconds(1_000_000)
"""IEEE 802.1Q table 8-6, which the device holds to."""


class SimSwitchDriver(FdbWaits, ConfiguredDriver):
    """A simulated switch, by nothing but what it prints."""

    platform = "sim_switch"
    least_ageing_time = _LEAST

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run("show version").partition("\n")[0].strip()

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""
        links = self._read("show interfaces status", parse_links)
        return self._of(links, port)

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""
        old, new = _updown(self._port_config(port).admin_up), _updown(up)
        self._set(f"port {port} {new}", Setting(f"port {port} admin", old, new))

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""
        return self._of(self._read("show interfaces counters", parse_counters), port)

    def mtu(self, port: str) -> int:
        """The largest payload that ``port`` takes, in bytes."""
        return self._port_config(port).mtu

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the largest payload that ``port`` takes, in bytes: 68 to 9216."""
        if not 68 <= mtu <= 9216:
            raise PlanError(f"{self.name}: an MTU is from 68 to 9216 bytes, got {mtu}")
        old = str(self.mtu(port))
        self._set(f"port {port} mtu {mtu}", Setting(f"port {port} mtu", old, str(mtu)))

    def fdb(self) -> tuple[FdbEntry, ...]:
        """The MAC table."""
        return self._read("show mac address-table", parse_fdb)

    def fdb_capacity(self) -> int:
        """How many addresses the MAC table holds, as the device tells it."""
        return self._read("show mac address-table count", parse_capacity)

    def flush_fdb(self, port: str | None = None) -> None:
        """Forget dynamic entries, of one port or all; static entries stay."""
        only = "" if port is None else f" interface {self._port(port)}"
        self._run(f"clear mac address-table dynamic{only}")

    def add_static(self, mac: MacAddr, port: str, vlan: int = 0) -> None:
        """Add a static entry."""
        old = self._config().statics.get((str(mac), vlan))
        self._set(
            f"static {mac} vlan {vlan} on {port}",
            Setting(f"static {mac} vlan {vlan}", old, self._port(port)),
        )

    def ageing_time(self) -> Duration:
        """The ageing time."""
        return seconds(self._config().ageing)

    def set_ageing_time(self, span: Duration) -> None:
        """Set the ageing time; Unsupported, with the range, where the device cannot hold it."""
        if not _LEAST <= span <= _MOST or span % seconds(1):
            raise Unsupported(
                f"{self.name}: it ages after whole seconds from {format_duration(_LEAST)} to "
                f"{_MOST // seconds(1)} s, not after {format_duration(span)}"
            )
        old = str(self._config().ageing)
        self._set(
            f"ageing time {format_duration(span)}", Setting("ageing", old, str(span // seconds(1)))
        )

    def vlan_mode(self, port: str) -> VlanMode:
        """How ``port`` treats tags."""
        return self._port_config(port).mode

    def set_vlan_mode(self, port: str, mode: VlanMode) -> None:
        """Make ``port`` an access or trunk port."""
        old = _mode_text(self._port_config(port).mode)
        self._set(f"port {port} {mode}", Setting(f"port {port} vlan", old, _mode_text(mode)))

    def set_shared_learning(self, on: bool) -> None:
        """Whether all VLANs share what one of them learns (SVL); off, each has its own (IVL)."""
        old = _learning(self._config().independent)
        self._set(f"VLAN learning {_learning(not on)}", Setting("learning", old, _learning(not on)))

    def set_mirror(self, sources: tuple[str, ...], to: str) -> None:
        """Copy both directions of ``sources`` to ``to``, which then carries nothing else."""
        if not sources or to in sources:
            raise PlanError(f"a mirror to {to} needs other ports as sources, got {sources}")
        named = ",".join(sorted(self._port(source) for source in sources))
        new = f"from={named} to={self._port(to)}"
        self._set(f"mirror {named} to {to}", Setting("mirror", _mirror(self._config()), new))

    def clear_mirror(self) -> None:
        """Remove the mirror session that set_mirror made."""
        self._set("no mirror", Setting("mirror", _mirror(self._config()), None))

    def set_storm_control(self, port: str, frames_per_second: int | None) -> None:
        """Let in at most so many broadcast frames a second at ``port``; None: all of them."""
        if frames_per_second is not None and frames_per_second < 1:
            raise PlanError(f"a ceiling is 1 frame per second at least, got {frames_per_second}")
        held = self._port_config(port).storm
        old = None if held is None else str(held)
        new = None if frames_per_second is None else str(frames_per_second)
        self._set(
            f"port {port} storm control {new or 'off'}", Setting(f"port {port} storm", old, new)
        )

    def _settings(self) -> dict[str, str]:
        config = self._config()
        found = {"ageing": str(config.ageing), "learning": _learning(config.independent)}
        for port in self.ports:
            if port in config.ports:
                held = config.ports[port]
                found[f"port {port} admin"] = _updown(held.admin_up)
                found[f"port {port} mtu"] = str(held.mtu)
                found[f"port {port} vlan"] = _mode_text(held.mode)
                if held.storm is not None:
                    found[f"port {port} storm"] = str(held.storm)
        for (station, vlan), port in config.statics.items():
            found[f"static {station} vlan {vlan}"] = port
        mirror = _mirror(config)
        return found if mirror is None else found | {"mirror": mirror}

    def _forms(self) -> tuple[Form, ...]:
        return (
            Form(
                r"ageing",
                0,
                lambda _, value: (_configure(f"mac address-table aging-time {value}"),),
                lasting=True,
            ),
            Form(
                r"learning",
                0,
                lambda _, value: (_configure(f"vlan learning {value}"),),
                lasting=True,
            ),
            Form(r"port (\S+) admin", 1, self._make_admin, lasting=True),
            Form(r"port (\S+) mtu", 1, self._make_mtu, lasting=True),
            Form(r"port (\S+) vlan", 1, self._make_mode, lasting=True),
            Form(r"port (\S+) storm", 1, self._make_storm),
            Form(r"static (\S+) vlan (\d+)", 2, _make_static),
            Form(r"mirror", 3, _make_mirror),
        )

    def _make_admin(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        return (self._at_port(key[1], "no shutdown" if value == "up" else "shutdown"),)

    def _make_mtu(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        return (self._at_port(key[1], f"mtu {value}"),)

    def _make_storm(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        if value is None:
            return (self._at_port(key[1], "no storm-control broadcast"),)
        return (self._at_port(key[1], f"storm-control broadcast level pps {value}"),)

    def _make_mode(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        match (value or "").split():
            case ["as-it-comes"]:
                lines = ["no switchport"]
            case ["access", vlan]:
                lines = [f"switchport access vlan {vlan}"]
            case ["trunk", vlans]:
                lines = ["no switchport", f"switchport trunk allowed vlan {vlans}"]
            case ["trunk", vlans, "native", vlan]:
                lines = [
                    f"switchport trunk allowed vlan {vlans}",
                    f"switchport trunk native vlan {vlan}",
                ]
            case _:
                raise PlanError(
                    f"{value!r}: expected 'as-it-comes', 'access N' or 'trunk N,N [native N]'"
                )
        return (self._at_port(key[1], *lines),)

    def _at_port(self, port: str, *lines: str) -> str:
        return _configure(f"interface {self._port(port)}", *lines)

    def _config(self) -> Config:
        return self._read("show running-config", parse_config)

    def _port_config(self, port: str) -> PortConfig:
        return self._of(self._config().ports, port)

    def _of(self, found: dict[str, T], port: str) -> T:
        """What the device told of ``port``."""
        self._port(port)
        if port not in found:
            raise DeviceError(f"{self.name}: it tells nothing of its port {port}")
        return found[port]


def _configure(*lines: str) -> str:
    return " ; ".join(("configure terminal", *lines, "end"))


def _make_static(key: re.Match[str], value: str | None) -> Sequence[str]:
    entry = f"mac address-table static {key[1]} vlan {key[2]}"
    return (_configure(f"no {entry}" if value is None else f"{entry} interface {value}"),)


def _make_mirror(_: re.Match[str], value: str | None) -> Sequence[str]:
    if value is None:
        return (_configure("no monitor session 1"),)
    parts = dict(word.partition("=")[::2] for word in value.split())
    if unknown := parts.keys() - {"from", "to"}:
        raise PlanError(f"{value!r}: a mirror has no {', '.join(sorted(unknown))}")
    lines = ["no monitor session 1"]
    if "from" in parts:
        lines.append(f"monitor session 1 source interface {parts['from']}")
    if "to" in parts:
        lines.append(f"monitor session 1 destination interface {parts['to']}")
    return (_configure(*lines),)


def _mirror(config: Config) -> str | None:
    """The mirror session as a setting, or None."""
    parts = []
    if config.mirror_from:
        parts.append(f"from={','.join(sorted(config.mirror_from))}")
    if config.mirror_to is not None:
        parts.append(f"to={config.mirror_to}")
    return " ".join(parts) or None


def _mode_text(mode: VlanMode) -> str:
    if mode.access is not None:
        return f"access {mode.access}"
    if not mode.trunk:
        return "as-it-comes"
    native = "" if mode.native is None else f" native {mode.native}"
    return f"trunk {list_vlans(mode.trunk)}{native}"


def _updown(up: bool) -> str:
    return "up" if up else "down"


def _learning(independent: bool) -> str:
    return "independent" if independent else "shared"
