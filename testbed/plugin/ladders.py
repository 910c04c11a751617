"""A plan's trace as the report's ladder: points and devices side by side, frames between them."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.bench.bench import Bench
from testbed.bench.topology import Kind, Topology
from testbed.capture import ladder
from testbed.report import ColumnRecord, LadderRecord, LadderRowRecord

__all__ = ["draw"]


def draw(bench: Bench) -> LadderRecord:
    """The ladder of ``bench``'s trace, with a column for every device beside the points."""
    drawn = ladder(bench.trace)

    def place(column: str, other: str) -> str:
        """A frame with one end came from, or went to, the device on that cable."""
        if column or not other:
            return column
        return _device_at(other, bench.topology) or ""

    rows = tuple(
        LadderRowRecord(
            time_ns=row.time_ns,
            source=place(row.source, row.target),
            target=place(row.target, row.source),
            label=row.label,
            kind=row.kind,
            number=row.number,
            highlight=row.highlight,
            note=row.note,
            count=row.count,
            until=row.until,
        )
        for row in drawn.rows
    )
    return LadderRecord(
        columns=tuple(_columns(bench)), rows=rows, omitted=drawn.omitted, clocks=_clocks(bench)
    )


def _clocks(bench: Bench) -> tuple[str, ...]:
    """The clocks of the trace, each with its points; one that all points have needs none."""
    points: dict[str, list[str]] = {}
    for point in bench.trace.points:
        points.setdefault(point.clock, []).append(point.name)
    if len(points) == 1:
        return tuple(f"by {clock}" for clock in points if clock)
    return tuple(f"at {', '.join(names)} by {clock}" for clock, names in points.items() if clock)


def _device_at(point: str, topology: Topology) -> str | None:
    """The device at the far end of the controller's cable."""
    ends = topology.link(point).a, topology.link(point).b
    return next((end for end in ends if topology.kind(end) not in (Kind.NIC, Kind.BOX)), None)


def _columns(bench: Bench) -> Iterator[ColumnRecord]:
    """Points in the order of the links; each device amid its own, or before, as its link is."""
    points = [point.name for point in bench.trace.points]
    devices = {point: _device_at(point, bench.topology) for point in points}
    told: set[str] = set()

    def tell(role: str | None) -> Iterator[ColumnRecord]:
        if role is not None and role not in told:
            told.add(role)
            yield ColumnRecord(key=role, title=role, subtitle=bench.placement.nodes[role])

    for point in points:
        device = devices[point]
        mine = [name for name in points if devices[name] == device]
        if device == bench.topology.link(point).a:
            yield from tell(device)
        tap = bench.tap(point)
        yield ColumnRecord(key=point, title=point, subtitle=f"NIC {tap.port.name}" if tap else "")
        if point == mine[(len(mine) - 1) // 2]:
            yield from tell(device)
