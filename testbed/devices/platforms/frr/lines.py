"""The command lines that give one setting of an FRR router a value, from any state."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.devices.base import quote
from testbed.devices.platforms.frr.answers import STEP

__all__ = [
    "clamp_mss",
    "configure",
    "drop_connections",
    "drop_icmp_errors",
    "filter_broadcast",
    "no_table",
    "translate",
    "vtysh",
]


def vtysh(*commands: str) -> str:
    """Runs ``commands`` in FRR's shell, one after the other."""
    words = ["vtysh"]
    for command in commands:
        words += ["-c", command]
    return quote(*words)


def configure(key: str, *, there: bool) -> str:
    """Add the line ``key`` of the configuration (see parse_running_config), or remove it.

    A line that FRR does not have, or does not even know, is not there: that it says so, in one
    way or another, is no failure of removing it.
    """
    *context, line = key.split(STEP)
    if there:
        return vtysh("configure terminal", *context, line)
    remove = vtysh("configure terminal", *context, _opposite(line))
    return (
        f"(o=$({remove} 2>&1) || case $o in "
        "*\"Can't find\"*|*'non-existent'*|*'Unknown command'*) ;; "
        "*) printf '%s\\n' \"$o\"; exit 1;; esac)"
    )


def _opposite(line: str) -> str:
    if line.startswith("no "):
        return line.removeprefix("no ")
    # Nearly every line is removed by itself after "no"; of a description FRR wants that word only.
    return "no description" if line.startswith("description ") else f"no {line}"


def no_table(family: str, name: str) -> str:
    """Remove an nft table, with all that is in it."""
    # Adding what is there already is no error, deleting what is not there is one.
    return quote("nft", f"add table {family} {name}; delete table {family} {name}")


def drop_icmp_errors(table: str) -> str:
    """Let no ICMP error leave the router: RFC 792 types 3, 11 and 12."""
    kinds = "{ destination-unreachable, time-exceeded, parameter-problem }"
    return _table(table, "output", f"icmp type {kinds} drop")


def drop_connections(table: str, port: str) -> str:
    """Let no SYN to TCP ``port`` be forwarded.

    The mention of connection tracking has packets put together before the rule looks at them: a
    filter that sees fragments by themselves can be got past (RFC 1858, RFC 3128).
    """
    return _table(
        table,
        "forward",
        f"tcp dport {port} tcp flags & (fin | syn | rst | ack) == syn ct state != established drop "
        f'comment "{port}"',
    )


def filter_broadcast(table: str, ports: str) -> str:
    """Let broadcasts be forwarded only to ``ports`` (comma between)."""
    return _table(
        table,
        "forward",
        f'oifname != {_names(ports)} fib daddr type broadcast drop comment "{ports}"',
    )


def clamp_mss(table: str, ports: str) -> str:
    """Lower the MSS in SYNs that go through one of ``ports`` (comma between) to what fits.

    nft(8): ``rt mtu`` is the MSS that the MTU of the way there and of the way back has room for,
    and an MSS is not raised.
    """
    syn = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"
    names = _names(ports)
    return _table(
        table,
        "forward",
        f"oifname {names} {syn}",
        f'oifname != {names} iifname {names} {syn} comment "{ports}"',
    )


def translate(table: str, outside: str) -> str:
    """Give what leaves by ``outside`` its address; forward nothing from there that is new."""
    return _table(
        table,
        "forward",
        f'iifname "{outside}" ct state != {{ established, related }} drop comment "{outside}"',
        more=(
            f"add chain ip {table} sources {{ type nat hook postrouting priority srcnat; }}",
            f'add rule ip {table} sources oifname "{outside}" masquerade',
        ),
    )


def _names(ports: str) -> str:
    """A set of interfaces."""
    return "{ " + ", ".join(f'"{port}"' for port in ports.split(",")) + " }"


def _table(name: str, hook: str, *rules: str, more: Sequence[str] = ()) -> str:
    """Make table ``name`` hold ``rules`` at ``hook``, and ``more``, in one transaction."""
    return quote(
        "nft",
        "; ".join(
            (
                f"add table ip {name}; delete table ip {name}; add table ip {name}",
                f"add chain ip {name} {hook}s {{ type filter hook {hook} priority 0; }}",
                *(f"add rule ip {name} {hook}s {rule}" for rule in rules),
                *more,
            )
        ),
    )
