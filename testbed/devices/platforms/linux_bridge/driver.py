"""The Linux kernel's bridge, by iproute2 on the switch's shell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

from testbed.devices.base import DriverContext, quote
from testbed.devices.linux.driver import LinuxDriver, link_settings
from testbed.devices.platforms.linux_bridge import lines
from testbed.devices.platforms.linux_bridge.answers import (
    BridgeInfo,
    PortInfo,
    PortVlan,
    parse_bridge,
    parse_bridge_ports,
    parse_fdb,
    parse_mirrored,
    parse_vlans,
)
from testbed.devices.settings import Form, Setting
from testbed.devices.values import FdbEntry, VlanMode
from testbed.devices.waiting import FdbWaits
from testbed.errors import DeviceError, PlanError, Unsupported
from testbed.timing import Duration, format_duration, milliseconds, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["LinuxBridge"]

LEAST_AGEING = seconds(1)
MOST_AGEING = seconds(1_000_000)
"""802.1Q table 8-6: 10 s to 1 000 000 s; the kernel ages exactly from 1 s on."""

_TICK = milliseconds(10)
"""USER_HZ is 100 on every architecture that Linux still runs on."""

_BRIDGE = ("ageing_time", "group_fwd_mask", "mcast_snooping", "stp_state", "vlan_filtering")
_PORT = ("bcast_flood", "flood", "hairpin", "isolated", "learning", "mcast_flood")


class LinuxBridge(FdbWaits, LinuxDriver):
    """A bridge of the Linux kernel as a switch."""

    platform = "linux_bridge"
    deviations = MappingProxyType(
        {
            "passes BPDUs": (
                "a Linux bridge whose spanning tree is off forwards 01:80:c2:00:00:00 by design"
            ),
            "cuts padding off IPv4 packets": (
                "a Linux bridge that shows packets to netfilter (bridge-nf-call-iptables) cuts "
                "them to the length that their IPv4 header states"
            ),
        }
    )
    least_ageing_time = LEAST_AGEING

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._bridge_name: str | None = None

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return f"bridge of {super().version()}, iproute2 {self._run('bridge -V').split()[-1]}"

    def fdb(self) -> tuple[FdbEntry, ...]:
        """The MAC table."""
        return self._read(
            quote("bridge", "-s", "-j", "fdb", "show", "br", self._bridge()), parse_fdb
        )

    def flush_fdb(self, port: str | None = None) -> None:
        """Forget dynamic entries, of one port or all; static entries stay."""
        if port is None:
            what = (self._bridge(), "type", "bridge")
        else:
            what = (self._port(port), "type", "bridge_slave")
        self._run(quote("ip", "link", "set", "dev", *what, "fdb_flush"))

    def add_static(self, mac: MacAddr, port: str, vlan: int = 0) -> None:
        """Add a static entry; Unsupported in a VLAN where the bridge knows none."""
        self._port(port)
        if vlan and not self._info().vlan_filtering:
            self._require_vlans()
        wanted = f"static {mac} vlan {vlan} port {port}"
        held = [
            f"static {row.mac} vlan {row.vlan} port {row.port}"
            for row in self.fdb()
            if (row.mac, row.vlan, row.static) == (mac, vlan, True)
        ]
        moved = [Setting(key, "", None) for key in held if key != wanted]
        self._set(
            f"static {mac} vlan {vlan} on {port}",
            *moved,
            Setting(wanted, "" if wanted in held else None, ""),
        )

    def ageing_time(self) -> Duration:
        """The ageing time."""
        return Duration(self._info().ageing_time * _TICK)

    def set_ageing_time(self, span: Duration) -> None:
        """Set the ageing time; Unsupported, with the range, where the device cannot hold it."""
        if not LEAST_AGEING <= span <= MOST_AGEING or span % _TICK:
            raise Unsupported(
                f"{self.name}: a Linux bridge ages after {format_duration(LEAST_AGEING)} to "
                f"{format_duration(MOST_AGEING)}, in steps of {format_duration(_TICK)}, "
                f"not after {format_duration(span)}"
            )
        self._set(
            f"ageing time {format_duration(span)}",
            Setting("bridge ageing_time", str(self._info().ageing_time), str(span // _TICK)),
        )

    def vlan_mode(self, port: str) -> VlanMode:
        """How ``port`` treats tags."""
        self._port(port)
        if not self._info().vlan_filtering:
            return VlanMode()
        return lines.mode_of_vlans(self._vlans().get(port, ()))

    def set_vlan_mode(self, port: str, mode: VlanMode) -> None:
        """Make ``port`` an access or trunk port; Unsupported where the kernel filters no VLANs."""
        filtering = self._info().vlan_filtering
        if mode == self.vlan_mode(port):
            return
        if not filtering:
            self._require_vlans()
        if mode == VlanMode():
            raise Unsupported(
                f"{self.name}: a Linux bridge that filters VLANs has no port that carries every "
                "VLAN as it comes; list the VLANs as a trunk"
            )
        old = lines.vlans_value(self._vlans().get(port, ()))
        new = lines.vlans_value(lines.vlans_of_mode(mode))
        self._set(
            f"port {port} {mode}",
            Setting("bridge vlan_filtering", str(filtering), "1"),
            Setting(f"port {port} vlan", old, new),
        )

    def set_mirror(self, sources: tuple[str, ...], to: str) -> None:
        """Copy both directions of ``sources`` to ``to``, which then carries nothing else.

        A frame that passes two of the sources is copied for each of them.
        """
        if not sources or to in sources:
            raise PlanError(f"a mirror to {to} needs other ports as sources, got {sources}")
        named = ",".join(sorted(self._port(source) for source in sources))
        key, held = f"mirror {self._port(to)}", self._mirrors()
        self._set(
            f"mirror {named} to {to}",
            *(Setting(other, value, None) for other, value in held.items() if other != key),
            Setting(key, held.get(key), named),
            *self._silence(to),
        )

    def clear_mirror(self) -> None:
        """Remove the mirror session that set_mirror made."""
        held = self._mirrors().items()
        self._set("no mirror", *(Setting(key, value, None) for key, value in held))

    def set_storm_control(self, port: str, frames_per_second: int | None) -> None:
        """Unsupported: the kernel's bridge lets every broadcast in."""
        del frames_per_second
        raise Unsupported(
            f"{self.name}: a Linux bridge has no storm control, at {port} or anywhere"
        )

    def _settings(self) -> dict[str, str]:
        info = self._info()
        found = {f"bridge {name}": str(getattr(info, name)) for name in _BRIDGE}
        found |= link_settings(self._links(), self.ports)
        for port, (master, parameters) in self._bridge_ports().items():
            if port in self.ports:
                found[f"port {port} master"] = master
                for flag in _PORT:
                    found[f"port {port} {flag}"] = "on" if getattr(parameters, flag) else "off"
        if info.vlan_filtering:
            for port, vlans in self._vlans().items():
                if port in self.ports:
                    found[f"port {port} vlan"] = lines.vlans_value(vlans)
        found |= {
            f"static {row.mac} vlan {row.vlan} port {row.port}": ""
            for row in self.fdb()
            if row.static
        }
        found |= self._sysctl_settings(
            *(f"net/ipv6/conf/{quote(port)}/disable_ipv6" for port in self.ports)
        )
        return found | self._mirrors()

    def _forms(self) -> tuple[Form, ...]:
        port = self._port
        return (
            Form(rf"bridge ({'|'.join(_BRIDGE)})", 0, self._make_bridge, lasting=True),
            Form(r"port (\S+) master", 2, lambda key, value: lines.master(port(key[1]), value)),
            Form(rf"port (\S+) ({'|'.join(_PORT)})", 3, self._make_flag),
            Form(r"port (\S+) vlan", 3, lambda key, value: lines.vlans(port(key[1]), value or "")),
            Form(
                r"static (\S+) vlan (\d+) port (\S+)",
                4,
                lambda key, value: lines.static(
                    key[1], key[2], port(key[3]), there=value is not None
                ),
            ),
            Form(
                r"mirror (\S+)",
                5,
                lambda key, value: lines.mirror(self.ports, port(key[1]), value),
            ),
            *super()._forms(),
        )

    def _make_bridge(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        words = (self._bridge(), "type", "bridge", key[1], value or "")
        return (quote("ip", "link", "set", "dev", *words),)

    def _make_flag(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        if value is None:  # it goes with the port's membership of the bridge
            return ()
        words = (self._port(key[1]), "type", "bridge_slave", key[2], value)
        return (quote("ip", "link", "set", "dev", *words),)

    def _bridge(self) -> str:
        """The bridge that this device's ports are ports of."""
        if self._bridge_name is None:
            found = {
                master for port, (master, _) in self._bridge_ports().items() if port in self.ports
            }
            if len(found) != 1:
                raise DeviceError(
                    f"{self.name}: expected its ports in one bridge, found "
                    f"{', '.join(sorted(found)) or 'none'}; add them with 'ip link set PORT master'"
                )
            self._bridge_name = found.pop()
        return self._bridge_name

    def _info(self) -> BridgeInfo:
        return self._read(
            quote("ip", "-d", "-j", "link", "show", "dev", self._bridge()), parse_bridge
        )

    def _bridge_ports(self) -> dict[str, tuple[str, PortInfo]]:
        return self._read("ip -d -j link", parse_bridge_ports)

    def _vlans(self) -> dict[str, tuple[PortVlan, ...]]:
        return self._read("bridge -j vlan show", parse_vlans)

    def _mirrors(self) -> dict[str, str]:
        """The mirror sessions that set_mirror made, as settings."""
        sources: dict[str, set[str]] = {}
        output = self._run(lines.show_mirrors(self.ports))
        for port, answer in lines.split_mirrors(self.ports, output):
            try:
                to = parse_mirrored(answer, lines.PREF)
            except DeviceError as error:
                raise DeviceError(
                    f"{self.name}: cannot read the filters of {port}: {error}"
                ) from None
            if to is not None:
                sources.setdefault(to, set()).add(port)
        return {f"mirror {to}": ",".join(sorted(found)) for to, found in sources.items()}

    def _require_vlans(self) -> None:
        """Unsupported, with the reason, where the kernel was built without VLAN filtering.

        The question is asked by switching off what is off.
        """
        command = quote("ip", "link", "set", "dev", self._bridge(), "type", "bridge")
        reply = self._context.cli.run(f"{command} vlan_filtering 0 2>&1")
        if reply.status:
            raise Unsupported(
                f"{self.name}: its kernel's bridge filters no VLANs ({reply.output.strip()}): "
                "CONFIG_BRIDGE_VLAN_FILTERING is not built in"
            )
