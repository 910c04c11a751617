"""The command lines that give one setting of an Open vSwitch bridge a value, from any state."""

from __future__ import annotations

from typing import Final

from testbed.devices.base import quote
from testbed.errors import PlanError

__all__ = [
    "OPENFLOW",
    "bridge_column",
    "bridge_other_config",
    "flow",
    "keeping_statics",
    "mirror",
    "port_protected",
    "port_vlan",
    "static",
    "storm_control",
    "storm_flow",
]

OPENFLOW: Final = ("ovs-ofctl", "-O", "OpenFlow13")
"""OpenFlow 1.3 brought meters (5.7 of its specification)."""

_BROADCAST = "ff:ff:ff:ff:ff:ff"
_STORM = 700


def bridge_other_config(bridge: str, name: str, value: str | None) -> tuple[str, ...]:
    """Set or remove a key of the bridge's other_config."""
    if value is None:
        command = quote("ovs-vsctl", "remove", "bridge", bridge, "other_config", name)
    else:
        command = quote("ovs-vsctl", "set", "bridge", bridge, f'other_config:{name}="{value}"')
    return (keeping_statics(bridge, command),)


def bridge_column(bridge: str, column: str, value: str) -> tuple[str, ...]:
    """Set a column of the bridge."""
    return (quote("ovs-vsctl", "set", "bridge", bridge, f"{column}={value}"),)


def port_vlan(bridge: str, port: str, value: str) -> tuple[str, ...]:
    """Set how a port treats tags; ``value`` is ``tag=10 trunks= vlan_mode=access``."""
    columns = []
    for word in value.split():
        column, equals, held = word.partition("=")
        if not equals or column not in {"tag", "trunks", "vlan_mode"}:
            raise PlanError(f"{value!r}: expected 'tag=... trunks=... vlan_mode=...'")
        columns.append(f"{column}=[{held}]")
    return (keeping_statics(bridge, quote("ovs-vsctl", "set", "port", port, *columns)),)


def port_protected(bridge: str, port: str, value: str) -> tuple[str, ...]:
    """Set whether a port is kept from other protected ports."""
    command = quote("ovs-vsctl", "set", "port", port, f"protected={value}")
    return (keeping_statics(bridge, command),)


def static(bridge: str, mac: str, vlan: str, port: str | None) -> tuple[str, ...]:
    """Add a static entry to the MAC table, or remove it."""
    if port is not None:
        return (quote("ovs-appctl", "fdb/add", bridge, port, vlan, mac),)
    # fdb/del fails for an entry that is not there.
    row = quote(f" {vlan} +{mac} +static$")
    look = quote("ovs-appctl", "fdb/show", bridge)
    return (f"if {look} | grep -Eq {row}; then ovs-appctl fdb/del {bridge} {vlan} {mac}; fi",)


def flow(bridge: str, match: str, actions: str | None) -> tuple[str, ...]:
    """Add a flow, or remove it."""
    if actions is not None:
        return (quote("ovs-ofctl", "add-flow", bridge, f"{match},actions={actions}"),)
    return (quote("ovs-ofctl", "--strict", "del-flows", bridge, match),)


def storm_flow(ofport: int) -> str:
    """What the flow matches that leads a port's broadcasts through its meter, as dump-flows has it.

    Nobody else's flows have its priority.
    """
    return f"priority={_STORM},in_port={ofport},dl_dst={_BROADCAST}"


def storm_control(bridge: str, ofport: int, rate: str | None) -> tuple[str, ...]:
    """Let in at most ``rate`` broadcasts a second at a port, or all: its meter has its number.

    Its bucket holds one second's worth: a switch that is held up loses nothing that is allowed.
    """
    match = storm_flow(ofport)
    if rate is None:
        return (
            quote("ovs-ofctl", "--strict", "del-flows", bridge, match),
            quote(*OPENFLOW, "del-meter", bridge, f"meter={ofport}"),  # one that is not there, too
        )
    if not rate.isdecimal() or not int(rate):
        raise PlanError(f"{rate!r}: expected a ceiling in frames per second, 1 at least")
    band = f"band=type=drop,rate={rate},burst_size={rate}"
    meter = f"meter={ofport},pktps,burst,{band}"
    return (
        quote(*OPENFLOW, "del-meter", bridge, f"meter={ofport}"),  # takes flows through it along
        quote(*OPENFLOW, "add-meter", bridge, meter),
        quote(*OPENFLOW, "add-flow", bridge, f"{match},actions=meter:{ofport},NORMAL"),
    )


def mirror(bridge: str, name: str, value: str | None) -> tuple[str, ...]:
    """Make a mirror, in place of any of its name, or remove it.

    ``value`` is ``src=p1,p2 dst=p1,p2 to=p5``; ``all=true`` stands for every port.
    """
    uuid = quote("ovs-vsctl", "--if-exists", "get", "mirror", name, "_uuid")
    forget = quote("ovs-vsctl", "remove", "bridge", bridge, "mirrors")
    remove = f'(u=$({uuid}) || exit 1; [ -z "$u" ] || {forget} $u)'
    if value is None:
        return (remove,)
    parts = dict(word.partition("=")[::2] for word in value.split())
    words: list[str] = ["ovs-vsctl"]
    columns: list[str] = [f"name={name}"]
    ids: dict[str, str] = {}
    for part, column in (
        ("src", "select_src_port"),
        ("dst", "select_dst_port"),
        ("to", "output_port"),
    ):
        ports = [port for port in parts.pop(part, "").split(",") if port]
        for port in ports:
            if port not in ids:
                ids[port] = f"@p{len(ids)}"
                words += ["--", f"--id={ids[port]}", "get", "port", port]
        if ports:
            columns.append(f"{column}={','.join(ids[port] for port in ports)}")
    for part, column in (("all", "select_all"), ("vlans", "select_vlan"), ("vlan", "output_vlan")):
        held = parts.pop(part, "")
        if held:
            columns.append(f"{column}={held}")
    if parts:
        raise PlanError(f"{value!r}: a mirror has no {', '.join(parts)}")
    words += ["--", "--id=@m", "create", "mirror", *columns]
    words += ["--", "add", "bridge", bridge, "mirrors", "@m"]
    return (remove, quote(*words))


def keeping_statics(bridge: str, command: str) -> str:
    """``command``, with the static entries of the MAC table put back after it.

    Open vSwitch forgets every entry of a port, static ones too, when the port's VLANs change, and
    makes static entries dynamic ones, of any age, when the ageing time changes.
    """
    show = quote("ovs-appctl", "fdb/show", bridge)
    row = r"s/^ *\([0-9]*\)  *\([0-9]*\)  *\([0-9a-f:]*\)  *static *$/\1 \2 \3/p"
    take = f"{show} | sed -n {quote(row)}"
    names = 'ovs-vsctl --bare --columns=name find interface "ofport=$n"'
    add = f'{quote("ovs-appctl", "fdb/add", bridge)} "$p" "$v" "$m"'
    return (
        f'(s=$({take}); {command} || exit 1; [ -z "$s" ] || '
        "printf '%s\\n' \"$s\" | while read -r n v m; do "
        f"for p in $({names}); do "
        f'[ "$(ovs-vsctl port-to-br "$p")" != {quote(bridge)} ] || {add} || exit 1; done; done)'
    )
