"""A plan's trace as the report's ladder: points and devices side by side, frames between them."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.bench.bench import Bench
from testbed.bench.topology import Kind, Topology
from testbed.capture.ladder import RowKind, Rung, build_ladder
from testbed.report import ColumnRecord, LadderRecord, LadderRowRecord
from testbed.wire import Direction

__all__ = ["draw"]

KINDS = {RowKind.FRAME: "frame", RowKind.MARK: "note", RowKind.ELISION: "run"}


def draw(bench: Bench) -> LadderRecord:
    """The ladder of ``bench``'s trace."""
    ladder = build_ladder(bench.trace)
    start = bench.trace.start
    rows = [row for rung in ladder.rows for row in _rows(rung, start, bench.topology)]
    return LadderRecord(
        columns=tuple(_columns(bench)), rows=tuple(rows), omitted=ladder.hidden
    )


def _columns(bench: Bench) -> Iterator[ColumnRecord]:
    """Points in the order of the links, each device where its first half of them ends."""
    topology = bench.topology
    points = [point.name for point in bench.trace.points]
    told: set[str] = set()
    for index, name in enumerate(points):
        device = _device_of(name, topology)
        box = any(topology.kind(end) is Kind.BOX for end in name.split("--"))
        mine = [p for p in points if _device_of(p, topology) == device]
        behind = device is not None and (name == mine[-1] if len(mine) == 1 else False)
        first = box and index == 0 and device is not None
        if first and device not in told:
            told.add(str(device))
            yield _device_column(bench, str(device))
        yield _point_column(bench, name)
        middle = mine[(len(mine) - 1) // 2] == name
        if device is not None and device not in told and (middle or behind):
            told.add(device)
            yield _device_column(bench, device)


def _point_column(bench: Bench, name: str) -> ColumnRecord:
    tap = bench.tap(name)
    return ColumnRecord(key=name, title=name, subtitle=f"NIC {tap.port.name}" if tap else "")


def _device_column(bench: Bench, role: str) -> ColumnRecord:
    return ColumnRecord(key=role, title=role, subtitle=bench.placement.nodes[role])


def _device_of(point: str, topology: Topology) -> str | None:
    """The device at the far end of the controller's cable."""
    ends = point.split("--")
    devices = [end for end in ends if topology.kind(end) not in (Kind.NIC, Kind.BOX)]
    return devices[0] if devices else None


def _rows(rung: Rung, start: int, topology: Topology) -> Iterator[LadderRowRecord]:
    highlight = rung.verdict is not None
    note = "; ".join(rung.notes)
    if not rung.stops:
        yield LadderRowRecord(
            time_ns=start + rung.offset, label=rung.label, kind=KINDS[rung.kind], count=rung.count
        )
        return
    first, *others = rung.stops
    far = _device_of(first.point, topology) or first.point
    pairs = [(first.point, stop.point, stop) for stop in others]
    if not others:
        sent = first.direction is Direction.OUT
        pairs = [(first.point, far, first) if sent else (far, first.point, first)]
    for source, target, stop in pairs:
        yield LadderRowRecord(
            time_ns=start + stop.offset,
            source=source,
            target=target,
            label=rung.label,
            kind=KINDS[rung.kind],
            number=stop.number,
            highlight=highlight,
            note=note,
            count=rung.count,
        )
