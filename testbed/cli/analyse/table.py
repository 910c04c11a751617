"""The table of connections on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["show"]

_NOTED = (
    ("lost_segment", "not captured"),
    ("ack_lost_segment", "ACK of unseen"),
    ("out_of_order", "out of order"),
    ("duplicate_ack", "dup ACKs"),
    ("zero_window", "zero window"),
    ("window_full", "window full"),
    ("keep_alive", "keep-alives"),
    ("reused_ports", "ports reused"),
)


def show(console: Console, connections: Sequence[Mapping[str, Any]], total: int) -> None:
    """Print a row for every connection, and how many there are."""
    several = len({each["point"] for each in connections}) > 1
    table = Table(show_edge=False, pad_edge=False)
    for title in ("connection", "opened, closed", "time", "packets", "bytes up", "down"):
        words = title[0] in "co"
        table.add_column(title, justify="left" if words else "right", no_wrap=True)
    for title in ("RTT", "sent again", "stalls", "noted"):
        table.add_column(title)
    for each in connections:
        table.add_row(*map(escape, _cells(each, several=several)))
    console.print(table)
    if len(connections) < total:
        console.print(f"the {len(connections)} longest of {total} connections; --limit shows more")
    else:
        console.print(f"{total} connection{'' if total == 1 else 's'}")


def _cells(each: Mapping[str, Any], *, several: bool) -> list[str]:
    trips = [way["round_trip"]["median"] for way in (each["up"], each["down"]) if way["round_trip"]]
    again = ", ".join(f"{count} {cause}" for cause, count in each["retransmissions"].items())
    stalls: dict[str, float] = {}
    for stall in each["stalls"]:
        stalls[stall["cause"]] = stalls.get(stall["cause"], 0.0) + stall["seconds"]
    flags = each["flags"]
    noted = [f"{flags[name]} {words}" for name, words in _NOTED if name in flags]
    noted += [f"segments {size['before']} > {size['after']} B" for size in each["size_changes"]]
    return [
        f"{each['client']} > {each['server']}" + (f" at {each['point']}" if several else ""),
        f"{each['opening']}, {each['closing']}",
        f"{each['duration']:.3f} s",
        str(each["packets"]),
        str(each["up"]["bytes"]),
        str(each["down"]["bytes"]),
        f"{1000 * max(trips):.3f} ms" if trips else "",
        again,
        ", ".join(f"{cause} {seconds:.1f} s" for cause, seconds in stalls.items()),
        ", ".join(noted),
    ]
