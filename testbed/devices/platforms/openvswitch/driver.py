"""Open vSwitch, by its own tools on the switch's shell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from testbed.devices.base import DriverContext, quote
from testbed.devices.linux.driver import LinuxDriver, link_settings
from testbed.devices.platforms.openvswitch import lines
from testbed.devices.platforms.openvswitch.answers import (
    BridgeRow,
    MirrorRow,
    PortRow,
    parse_bridges,
    parse_fdb,
    parse_flows,
    parse_interfaces,
    parse_meters,
    parse_mirrors,
    parse_most_meters,
    parse_ports,
)
from testbed.devices.settings import Form, Setting
from testbed.devices.values import FdbEntry, VlanMode
from testbed.devices.waiting import FdbWaits
from testbed.errors import DeviceError, PlanError, Unsupported
from testbed.timing import Duration, format_duration, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["OpenVswitch"]

LEAST_AGEING = seconds(15)
MOST_AGEING = seconds(3600)
"""ovs-vswitchd.conf.db(5) names no range; the switch clamps to 15 s and 3600 s in silence."""

DEFAULT_AGEING = seconds(300)
"""ovs-vswitchd.conf.db(5), mac-aging-time."""

_MIRROR = "testbed"
_AGEING = "mac-aging-time"
_SWITCHES = ("stp_enable", "rstp_enable", "mcast_snooping_enable")


class OpenVswitch(FdbWaits, LinuxDriver):
    """An Open vSwitch bridge as a managed switch.

    Its ports are the bridge's ports. What it does not do as most switches do: it keeps the MAC
    table's entries of a port whose link went down, and shows a frame that passes two mirrored
    ports on the mirror once.
    """

    platform = "openvswitch"
    deviations = MappingProxyType(
        {
            "keeps entries of dead ports": (
                "Open vSwitch keeps what it learned on a port whose link goes down, until it ages"
            ),
            "clears drop eligibility": (
                "Open vSwitch marks by a tag's DEI bit that there is a tag, and sends it as 0"
            ),
        }
    )
    least_ageing_time = LEAST_AGEING

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._bridge_name: str | None = None

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run("ovs-vsctl --version").partition("\n")[0].strip()

    def fdb(self) -> tuple[FdbEntry, ...]:
        """The MAC table."""
        names = self._port_numbers()
        return self._read(
            quote("ovs-appctl", "fdb/show", self._bridge()), lambda text: parse_fdb(text, names)
        )

    def flush_fdb(self, port: str | None = None) -> None:
        """Forget dynamic entries, of one port or all; static entries stay.

        Open vSwitch can empty a whole bridge only. Of one port it forgets the entries when a
        property of the port changes that forwarding depends on; the one that matters only
        between two ports that both have it is switched over and back.
        """
        if port is None:
            self._run(quote("ovs-appctl", "fdb/flush", self._bridge()))
            return
        held = next(row for row in self._port_rows() if row.name == self._port(port)).protected
        once = [
            quote("ovs-vsctl", "set", "port", port, f"protected={value}")
            for value in (_boolean(not held), _boolean(held))
        ]
        self._run(lines.keeping_statics(self._bridge(), " && ".join(once)))

    def add_static(self, mac: MacAddr, port: str, vlan: int = 0) -> None:
        """Add a static entry."""
        held = {
            row.port for row in self.fdb() if (row.mac, row.vlan, row.static) == (mac, vlan, True)
        }
        old = next(iter(held), None)
        self._set(
            f"static {mac} vlan {vlan} on {port}",
            Setting(f"static {mac} vlan {vlan}", old, self._port(port)),
        )

    def ageing_time(self) -> Duration:
        """The ageing time."""
        held = self._bridge_row().other_config.get(_AGEING)
        if held is None:
            return DEFAULT_AGEING
        if not held.isdecimal():
            raise DeviceError(f"{self.name}: {_AGEING} is {held!r}, expected seconds")
        return Duration(min(max(seconds(int(held)), LEAST_AGEING), MOST_AGEING))

    def set_ageing_time(self, span: Duration) -> None:
        """Set the ageing time; Unsupported, with the range, where the device cannot hold it."""
        if not LEAST_AGEING <= span <= MOST_AGEING or span % seconds(1):
            raise Unsupported(
                f"{self.name}: Open vSwitch ages after whole seconds from "
                f"{format_duration(LEAST_AGEING)} to {format_duration(MOST_AGEING)}, "
                f"not after {format_duration(span)}"
            )
        old = self._bridge_row().other_config.get(_AGEING)
        new = str(span // seconds(1))
        self._set(
            f"ageing time {format_duration(span)}",
            Setting(f"bridge other_config {_AGEING}", old, new),
        )

    def vlan_mode(self, port: str) -> VlanMode:
        """How ``port`` treats tags."""
        row = self._port_row(port)
        if row.vlan_mode in (None, "access") and row.tag is not None:
            return VlanMode(access=row.tag)
        if row.vlan_mode in (None, "trunk"):
            return VlanMode(trunk=row.trunks)
        if row.vlan_mode == "native-untagged" and row.trunks:
            return VlanMode(trunk=row.trunks, native=row.tag)
        raise DeviceError(
            f"{self.name}: {port} is in VLAN mode {row.vlan_mode!r} with {_vlan(row)!r}, which is "
            "neither an access nor a trunk port; 'ovs-vsctl clear port' puts it back"
        )

    def set_vlan_mode(self, port: str, mode: VlanMode) -> None:
        """Make ``port`` an access or trunk port."""
        old = _vlan(self._port_row(port))
        if mode.access is not None:
            new = f"tag={mode.access} trunks= vlan_mode=access"
        elif mode.native is not None:
            new = f"tag={mode.native} trunks={_list(mode.trunk)} vlan_mode=native-untagged"
        elif mode.trunk:
            new = f"tag= trunks={_list(mode.trunk)} vlan_mode=trunk"
        else:
            new = "tag= trunks= vlan_mode="
        self._set(f"port {port} {mode}", Setting(f"port {port} vlan", old, new))

    def set_mirror(self, sources: tuple[str, ...], to: str) -> None:
        """Copy both directions of ``sources`` to ``to``, which then carries nothing else."""
        if not sources or to in sources:
            raise PlanError(f"a mirror to {to} needs other ports as sources, got {sources}")
        named = ",".join(sorted(self._port(source) for source in sources))
        new = f"src={named} dst={named} to={self._port(to)}"
        self._set(
            f"mirror {named} to {to}",
            Setting(f"mirror {_MIRROR}", self._mirror(), new),
            *self._silence(to),
        )

    def clear_mirror(self) -> None:
        """Remove the mirror session that set_mirror made."""
        self._set("no mirror", Setting(f"mirror {_MIRROR}", self._mirror(), None))

    def set_storm_control(self, port: str, frames_per_second: int | None) -> None:
        """Let in at most so many broadcast frames a second at ``port``; None: all of them.

        By an OpenFlow meter of the port's own; Unsupported where the datapath has none.
        """
        features = self._openflow("meter-features")
        if features is None or not parse_most_meters(features):
            raise Unsupported(f"{self.name}: its datapath has no OpenFlow meters")
        if frames_per_second is not None and frames_per_second < 1:
            raise PlanError(f"a ceiling is 1 frame per second at least, got {frames_per_second}")
        old = self._storms(self._port_numbers(), self._flows()).get(self._port(port))
        new = None if frames_per_second is None else str(frames_per_second)
        self._set(
            f"port {port} storm control {new or 'off'}", Setting(f"port {port} storm", old, new)
        )

    def _settings(self) -> dict[str, str]:
        bridge, ports = self._bridge_row(), self._port_rows()
        numbers = self._port_numbers()
        found = {f"bridge {column}": _boolean(getattr(bridge, column)) for column in _SWITCHES}
        if bridge.flood_vlans:
            found["bridge flood_vlans"] = _list(bridge.flood_vlans)
        found |= {f"bridge other_config {key}": held for key, held in bridge.other_config.items()}
        found |= link_settings(self._links(), self.ports)
        found |= self._sysctl_settings(
            *(f"net/ipv6/conf/{quote(port)}/disable_ipv6" for port in self.ports)
        )
        for row in ports:
            if row.name in self.ports:
                found[f"port {row.name} vlan"] = _vlan(row)
                found[f"port {row.name} protected"] = _boolean(row.protected)
        table = self._read(
            quote("ovs-appctl", "fdb/show", self._bridge()), lambda text: parse_fdb(text, numbers)
        )
        found |= {f"static {row.mac} vlan {row.vlan}": row.port for row in table if row.static}
        for mirror in self._mirror_rows():
            if mirror.uuid in bridge.mirrors:
                found[f"mirror {mirror.name}"] = _mirror_value(mirror, ports)
        flows = self._flows()
        storms = self._storms(numbers, flows)
        found |= {f"port {port} storm": rate for port, rate in storms.items()}
        metered = {lines.storm_flow(number) for number in numbers if numbers[number] in storms}
        return found | {f"flow {key}": held for key, held in flows.items() if key not in metered}

    def _forms(self) -> tuple[Form, ...]:
        bridge, port = self._bridge(), self._port
        return (
            Form(
                r"bridge other_config (\S+)",
                0,
                lambda key, value: lines.bridge_other_config(bridge, key[1], value),
            ),
            Form(
                r"bridge flood_vlans",
                0,
                lambda _, value: lines.bridge_column(bridge, "flood_vlans", f"[{value or ''}]"),
            ),
            Form(
                rf"bridge ({'|'.join(_SWITCHES)})",
                0,
                lambda key, value: lines.bridge_column(bridge, key[1], value or ""),
                lasting=True,
            ),
            Form(
                r"port (\S+) vlan",
                1,
                lambda key, value: lines.port_vlan(bridge, port(key[1]), value or ""),
                lasting=True,
            ),
            Form(
                r"port (\S+) protected",
                1,
                lambda key, value: lines.port_protected(bridge, port(key[1]), value or ""),
                lasting=True,
            ),
            Form(
                r"static (\S+) vlan (\d+)",
                2,
                lambda key, value: lines.static(bridge, key[1], key[2], value),
            ),
            Form(
                r"port (\S+) storm",
                4,
                lambda key, value: lines.storm_control(bridge, self._ofport(port(key[1])), value),
            ),
            Form(r"mirror (\S+)", 3, lambda key, value: lines.mirror(bridge, key[1], value)),
            Form(r"flow (\S+)", 4, lambda key, value: lines.flow(bridge, key[1], value)),
            *super()._forms(),
        )

    def _bridge(self) -> str:
        """The bridge that this device's ports are ports of."""
        if self._bridge_name is None:
            self._bridge_name = self._run(quote("ovs-vsctl", "port-to-br", self.ports[0])).strip()
        return self._bridge_name

    def _list(self, table: str, columns: Iterable[str], *only: str) -> str:
        return quote(
            "ovs-vsctl", "--format=json", f"--columns={','.join(columns)}", "list", table, *only
        )

    def _bridge_row(self) -> BridgeRow:
        command = self._list("bridge", BridgeRow.model_fields, self._bridge())
        return self._read(command, parse_bridges)[0]

    def _port_rows(self) -> tuple[PortRow, ...]:
        columns = ("_uuid", *(field for field in PortRow.model_fields if field != "uuid"))
        return self._read(self._list("port", columns), parse_ports)

    def _port_row(self, port: str) -> PortRow:
        self._port(port)
        for row in self._port_rows():
            if row.name == port:
                return row
        raise DeviceError(
            f"{self.name}: {port} is no port of bridge {self._bridge()}; add it with "
            f"'ovs-vsctl add-port {self._bridge()} {port}' or correct the bench file"
        )

    def _port_numbers(self) -> dict[int, str]:
        rows = self._read(self._list("interface", ("name", "ofport")), parse_interfaces)
        return {row.ofport: row.name for row in rows if row.ofport is not None}

    def _ofport(self, port: str) -> int:
        return next(number for number, name in self._port_numbers().items() if name == port)

    def _flows(self) -> dict[str, str]:
        return self._read(
            quote("ovs-ofctl", "--no-stats", "--no-names", "dump-flows", self._bridge()),
            parse_flows,
        )

    def _storms(self, numbers: Mapping[int, str], flows: Mapping[str, str]) -> dict[str, str]:
        """The ceiling of each port whose broadcasts a flow leads through its meter."""
        metered = [number for number in numbers if lines.storm_flow(number) in flows]
        if not metered:
            return {}
        meters = parse_meters(self._openflow("dump-meters") or "")
        return {numbers[number]: str(meters[number]) for number in metered if number in meters}

    def _openflow(self, command: str) -> str | None:
        """The answer to a command of OpenFlow 1.3; None where the bridge speaks no such."""
        reply = self._context.cli.run(quote(*lines.OPENFLOW, command, self._bridge()))
        return None if reply.status else reply.output

    def _mirror_rows(self) -> tuple[MirrorRow, ...]:
        columns = ("_uuid", *(field for field in MirrorRow.model_fields if field != "uuid"))
        return self._read(self._list("mirror", columns), parse_mirrors)

    def _mirror(self) -> str | None:
        """The mirror session that set_mirror made, as a setting, or None."""
        for row in self._mirror_rows():
            if row.name == _MIRROR:
                return _mirror_value(row, self._port_rows())
        return None


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _list(values: Iterable[int]) -> str:
    return ",".join(str(value) for value in sorted(values))


def _vlan(row: PortRow) -> str:
    tag = "" if row.tag is None else row.tag
    return f"tag={tag} trunks={_list(row.trunks)} vlan_mode={row.vlan_mode or ''}"


def _mirror_value(row: MirrorRow, ports: tuple[PortRow, ...]) -> str:
    names = {port.uuid: port.name for port in ports}

    def named(uuids: Iterable[str]) -> str:
        return ",".join(sorted(names.get(uuid, uuid) for uuid in uuids))

    parts = {
        "src": named(row.select_src_port),
        "dst": named(row.select_dst_port),
        "to": named([row.output_port] if row.output_port else []),
        "all": "true" if row.select_all else "",
        "vlans": _list(row.select_vlan),
        "vlan": "" if row.output_vlan is None else str(row.output_vlan),
    }
    return " ".join(f"{part}={held}" for part, held in parts.items() if held)
