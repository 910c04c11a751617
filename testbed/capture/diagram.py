"""A trace as a ladder diagram: a column for each point, a row for each step of a frame's way.

Pure data, for a report to draw. A frame that is seen at several points, also behind a router that
rewrote its addresses and TTL, becomes arrows from point to point. Long runs of the same kind of
frame are told in one row that counts them; what a judgement named is always shown by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from testbed.capture.recording import Point, Recording, TracedFrame, Verdict
from testbed.capture.seen import look
from testbed.timing import seconds
from testbed.wire.dissect import Dissection
from testbed.wire.frame import Direction
from testbed.wire.tcp import TcpFlags

__all__ = ["Ladder", "LadderColumn", "LadderRow", "ladder"]

_SAME_FRAME_WITHIN = seconds(1)
"""How long a frame may take from the first point that sees it to the last."""

_RUN = 8
"""The longest run of rows of one kind that is shown in full."""

_HEAD, _TAIL = 3, 2
"""How many rows are left at each end of a longer one."""

_TOLD = 12
"""An expectation that more frames decided is noted on the first ones only."""

_NO_RUN = int(TcpFlags.SYN | TcpFlags.FIN | TcpFlags.RST)


@dataclass(frozen=True, slots=True)
class LadderColumn:
    """A point: ``key`` is what rows refer to, ``title`` and ``subtitle`` are what is shown."""

    key: str
    title: str
    subtitle: str = ""


@dataclass(frozen=True, slots=True)
class LadderRow:
    """One row.

    ``source`` and ``target`` are columns; one is empty where the frame went to, or came from, a
    device without a column. ``kind`` is ``frame``, ``infrastructure`` (the bench's own), ``run``
    (``count`` frames of one kind, the last at ``until``) or ``note`` (a mark). ``time_ns`` is on
    the capture clock. ``highlight`` marks frames that failed an expectation.
    """

    time_ns: int
    label: str
    source: str = ""
    target: str = ""
    kind: Literal["frame", "infrastructure", "run", "note"] = "frame"
    number: int = 0
    highlight: bool = False
    note: str = ""
    count: int = 1
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """The diagram; ``omitted`` frames of the test are in no row."""

    columns: tuple[LadderColumn, ...]
    rows: tuple[LadderRow, ...]
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class _Judged:
    """What judgements say of a frame; one that is ``told`` keeps a row of its own."""

    failed: bool = False
    told: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Step:
    """A row, what tells whether the next one is of the same kind, and whether it must stay."""

    row: LadderRow
    shape: Hashable
    stays: bool = False


def ladder(
    recording: Recording,
    *,
    limit: int = 2000,
    marks: bool = False,
    keep: Callable[[TracedFrame], bool] = lambda _: True,
) -> Ladder:
    """The diagram of ``recording``, with about ``limit`` rows at most.

    ``keep`` chooses the frames that it is about; ``marks`` adds the marks as notes.
    """
    frames = sorted(recording.frames, key=lambda traced: (traced.at, traced.number))
    judged = _judged(recording)
    steps = [_own_step(traced) for traced in frames if traced.infrastructure]
    chosen = (traced for traced in frames if not traced.infrastructure and keep(traced))
    for path in _paths(chosen):
        steps += _steps(path, judged)
    if marks:
        steps += [
            _Step(LadderRow(mark.at, mark.text, target=mark.point or "", kind="note"), mark, True)
            for mark in recording.marks
        ]
    steps.sort(key=lambda step: (step.row.time_ns, step.row.number))
    shown = _without_runs(steps)
    rows, omitted = _limited(shown, limit)
    columns = tuple(
        LadderColumn(point.name, point.name, _about(point)) for point in recording.points
    )
    return Ladder(columns, rows, omitted)


def _about(point: Point) -> str:
    return "; ".join(filter(None, (point.description, point.clock)))


def _judged(recording: Recording) -> dict[int, _Judged]:
    found: dict[int, _Judged] = {}
    for judgement in recording.judgements:
        failed = judgement.verdict is not Verdict.PASS
        note = f"{judgement.verdict.value}: {judgement.text}"
        for rank, number in enumerate(judgement.frames):
            known = found.get(number, _Judged())
            told = rank < _TOLD
            notes = (*known.notes, note) if told and note not in known.notes else known.notes
            found[number] = _Judged(known.failed or failed, known.told or told, notes)
    return found


def _paths(frames: Iterable[TracedFrame]) -> list[list[TracedFrame]]:
    """The frames grouped into ways: the same frame, seen at several points one after another."""
    paths: list[list[TracedFrame]] = []
    latest: dict[Hashable, list[TracedFrame]] = {}
    for traced in frames:
        key = _identity(look(traced.data).layers)
        path = latest.get(key)
        if path is None or not _continues(path, traced):
            path = []
            paths.append(path)
            latest[key] = path
        path.append(traced)
    return paths


def _continues(path: list[TracedFrame], traced: TracedFrame) -> bool:
    if traced.at - path[0].at > _SAME_FRAME_WITHIN:
        return False
    place = (traced.point, traced.direction)
    return all((stop.point, stop.direction) != place for stop in path)


def _identity(layers: Dissection) -> Hashable:
    """What no device on the way changes: neither a router's rewriting nor a switch's tags."""
    packet = layers.ipv4
    if packet is not None:
        ends = (packet.src, packet.dst, packet.protocol)
        return (*ends, packet.ident, packet.offset, packet.mf, packet.payload)
    if layers.eth is not None:
        eth = layers.eth
        return (eth.dst, eth.src, eth.ethertype, eth.payload.rstrip(b"\0"))
    return layers.payload


def _steps(path: list[TracedFrame], judged: dict[int, _Judged]) -> list[_Step]:
    """The rows of one way: from where the frame was sent to each place where it came out."""
    steps: list[_Step] = []
    sent: TracedFrame | None = None
    for index, stop in enumerate(path):
        verdict = judged.get(stop.number, _Judged())
        source, target = (sent.point if sent else ""), stop.point
        if stop.direction is Direction.OUT:
            # What came in at one port of a fault box goes out at the other.
            source, target = (path[index - 1].point, stop.point) if index else (stop.point, "")
            sent = stop
            if not index and len(path) > 1 and not verdict.told:
                continue  # the arrows to where it came out tell it
        steps.append(_step(stop, source, target, verdict))
    return steps


def _step(stop: TracedFrame, source: str, target: str, verdict: _Judged) -> _Step:
    seen = look(stop.data)
    row = LadderRow(
        time_ns=stop.at,
        label=str(seen),
        source=source,
        target=target,
        number=stop.number,
        highlight=verdict.failed,
        note="; ".join(verdict.notes),
    )
    shape = _conversation(seen.layers)
    if shape is None:
        shape = (source, target, re.sub(r"\d+", "#", row.label))
    return _Step(row, shape, verdict.told)


def _own_step(traced: TracedFrame) -> _Step:
    """A row for a frame of the bench's own."""
    sent = traced.direction is Direction.OUT
    row = LadderRow(
        time_ns=traced.at,
        label=traced.infrastructure,
        source=traced.point if sent else "",
        target="" if sent else traced.point,
        kind="infrastructure",
        number=traced.number,
    )
    return _Step(row, "infrastructure")


def _conversation(layers: Dissection) -> Hashable | None:
    """The connection of a segment that only moves data or acknowledges; None for all others."""
    packet, tcp = layers.ipv4, layers.tcp
    if packet is None or tcp is None or tcp.flags & _NO_RUN:
        return None
    return frozenset({(packet.src, tcp.src_port), (packet.dst, tcp.dst_port)})


def _without_runs(steps: list[_Step]) -> list[_Step]:
    """The steps with the middle of each long run of one kind told in one row."""
    result: list[_Step] = []
    for (shape, stays), group in groupby(steps, key=lambda step: (step.shape, step.stays)):
        run = list(group)
        if shape == "infrastructure" and len(run) > 1:
            result.append(_told_once(run, _names(run)))
        elif stays or len(run) <= _RUN:
            result += run
        else:
            middle = run[_HEAD:-_TAIL]
            result += [*run[:_HEAD], _told_once(middle, middle[0].row.label), *run[-_TAIL:]]
    return result


def _told_once(run: list[_Step], label: str) -> _Step:
    """One row for all of ``run``."""
    first, last = run[0].row, run[-1].row
    alike = all((s.row.source, s.row.target) == (first.source, first.target) for s in run)
    row = replace(
        first,
        label=label,
        kind="run" if first.kind == "frame" else first.kind,
        source=first.source if alike else "",
        target=first.target if alike else "",
        highlight=any(step.row.highlight for step in run),
        count=len(run),
        until=last.time_ns,
    )
    return _Step(row, run[0].shape)


def _names(run: list[_Step]) -> str:
    """What the bench's own frames of ``run`` were: ``canary, barrier``."""
    kinds = dict.fromkeys(step.row.label.partition(" ")[0] for step in run)
    return f"the bench's own: {', '.join(kinds)}"


def _limited(steps: list[_Step], limit: int) -> tuple[tuple[LadderRow, ...], int]:
    """The first rows, and any later ones that must stay; the frames of the others are counted."""
    rows = [step.row for rank, step in enumerate(steps) if rank < limit or step.stays]
    left_out = [step.row for rank, step in enumerate(steps) if rank >= limit and not step.stays]
    return tuple(rows), sum(row.count for row in left_out if row.kind in {"frame", "run"})
