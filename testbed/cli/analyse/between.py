"""What became of connections between the points that saw them, for JSON and for the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from testbed.capture.tcp.between import Journey, Passage, follow_journeys
from testbed.cli.analyse.captures import Seen

__all__ = ["show_journeys", "summarise_journey", "travel"]


def travel(seen: Sequence[Seen]) -> tuple[Journey, ...]:
    """The connections that more than one point saw."""
    points: dict[str, list[Any]] = {}
    for each in seen:
        points.setdefault(each.point, []).append(each.connection)
    return follow_journeys(points) if len(points) > 1 else ()


def summarise_journey(journey: Journey) -> dict[str, Any]:
    """All that is told of a connection's way from point to point. Times are in seconds."""
    return {
        "connection": str(journey.connections[0]),
        "points": list(journey.points),
        "clock_offsets": [offset / 1e9 for offset in journey.offsets],
        "passages": [_passage(passage) for passage in journey.passages],
    }


def _passage(passage: Passage) -> dict[str, Any]:
    return {
        "way": passage.way,
        "from": passage.first,
        "to": passage.second,
        "sent": passage.sent,
        "arrived": passage.arrived,
        "cut": passage.cut,
        "lost_frames": list(passage.lost),
        "uncaptured_frames": list(passage.uncaptured),
        "extra_frames": list(passage.extra),
        "repeated_frames": list(passage.repeated),
        "overtaken_frames": list(passage.overtaken),
        "delay": {
            "least": int(passage.delay.min()) / 1e9,
            "median": float(np.median(passage.delay)) / 1e9,
            "p99": float(np.percentile(passage.delay, 99)) / 1e9,
            "most": int(passage.delay.max()) / 1e9,
        }
        if len(passage.delay)
        else None,
        "changes": [
            {
                "field": change.field,
                "before": change.before,
                "after": change.after,
                "count": change.count,
                "frame": change.frame,
            }
            for change in passage.changes
        ],
    }


def show_journeys(console: Console, journeys: Sequence[Mapping[str, Any]]) -> None:
    """Print a row for every passage."""
    table = Table(show_edge=False, pad_edge=False)
    for title in ("connection", "between points", "segments", "lost", "overtaken", "repeated"):
        words = title[0] in "cb"
        table.add_column(title, justify="left" if words else "right", no_wrap=True)
    table.add_column("delay")
    table.add_column("changed")
    for journey in journeys:
        for passage in journey["passages"]:
            table.add_row(*map(escape, _cells(journey, passage)))
    console.print(table)


def _cells(journey: Mapping[str, Any], passage: Mapping[str, Any]) -> list[str]:
    delay = passage["delay"]
    lost, uncaptured = len(passage["lost_frames"]), len(passage["uncaptured_frames"])
    return [
        journey["connection"],
        f"{passage['from']} > {passage['to']}",
        str(passage["sent"]),
        f"{lost}" + (f", {uncaptured} not captured" if uncaptured else ""),
        str(len(passage["overtaken_frames"])),
        str(len(passage["repeated_frames"])),
        f"{1000 * delay['median']:.3f} ms, {1000 * delay['most']:.3f} at most" if delay else "",
        ", ".join(_change(change) for change in passage["changes"]),
    ]


def _change(change: Mapping[str, Any]) -> str:
    if not change["before"]:
        return f"{change['field']} of {change['count']}"
    return f"{change['field']} {change['before']} > {change['after']}"
