"""Draws a plan's story in packets as inline SVG: a column per capture point, time going down.

Frames, fault-box events, configuration changes and notes share one time axis. The drawing is made
to be small, since a report holds hundreds: all arrows of one look are one path, and each row is
one line of monospaced text beside it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from markupsafe import Markup, escape

from testbed.report.records import LadderRowRecord, PlanRecord
from testbed.report.text import clip, offset, span

__all__ = ["Drawing", "anchor", "deciding_frames", "draw_ladder"]

_ROW = 22
_NOTE = 15
_GUTTER = 236  # frame number, offset and distance from the row before
_LABEL = 104  # characters
_GLYPH = 6.65  # the width of a monospaced character at 11 px
_SILENCE = 1_000_000_000
"""A pause this long (ns) is drawn as a break in the time axis."""
_DECIDED_BY = 12
"""An expectation met by more frames than this marks the first ones only."""
_MARKS = {"box": "◆", "change": "▸", "undo": "◂", "note": "✎", "stack": "●", "resent": "↻"}
_CONTEXT = 6
"""Rows kept on either side of a highlighted one where not all rows are drawn."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A ladder as two SVG elements, the columns' titles and the rows.

    ``hidden`` rows were not drawn; ``anchors`` are the frame numbers that can be linked to.
    """

    head: Markup
    body: Markup
    drawn: int
    hidden: int
    anchors: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Row:
    """A ladder's row, or an event between rows (``event`` names its look)."""

    at: int
    frame: LadderRowRecord | None = None
    event: str = ""
    text: str = ""
    look: str = ""  # "bad" or "good" where the row is highlighted


def anchor(plan_index: int, number: int) -> str:
    """The HTML id of frame ``number`` in a plan's ladder."""
    return f"p{plan_index}f{number}"


def deciding_frames(plan: PlanRecord) -> dict[int, str]:
    """Frames that decided an expectation, by number: ``bad`` or ``good``."""
    looks: dict[int, str] = {}
    for judgement in plan.judgements:
        look = "good" if judgement.verdict == "pass" else "bad"
        for number in judgement.frames[:_DECIDED_BY]:
            if looks.get(number) != "bad":
                looks[number] = look
    return looks


def _rows(plan: PlanRecord) -> list[_Row]:
    """Everything on the plan's clock, in order; frames before events of the same instant."""
    looks = deciding_frames(plan)
    fallback = "good" if plan.verdict in {"pass", "drill-caught"} else "bad"
    rows = []
    for row in plan.ladder.rows:
        look = looks.get(row.number, "") if row.number else ""
        rows.append(_Row(row.time_ns, row, look=look or (fallback if row.highlight else "")))
    for event in plan.box_events:
        words = (event.box, event.direction, event.action, event.summary)
        rows.append(_Row(event.at, event="box", text=" ".join(word for word in words if word)))
    for change in plan.changes:
        text = f"{change.device}: {change.summary}"
        rows.append(_Row(change.made_at, event="change", text=text))
        if change.undone_at is not None:
            rows.append(_Row(change.undone_at, event="undo", text=f"undone: {text}"))
    rows += [_Row(note.at, event=note.kind, text=note.text) for note in plan.notes]
    rows.sort(key=lambda row: row.at)
    return rows


def _chosen(rows: list[_Row], cap: int) -> list[int]:
    """Which rows to draw: those around highlighted ones, then as many of the first as fit."""
    if len(rows) <= cap:
        return list(range(len(rows)))
    kept: set[int] = set()
    for index, row in enumerate(rows):
        if row.look and len(kept) < cap // 2:
            kept.update(range(max(0, index - _CONTEXT), min(len(rows), index + _CONTEXT + 1)))
    for index in range(len(rows)):
        if len(kept) >= cap:
            break
        kept.add(index)
    return sorted(kept)


class _Painter:
    def __init__(self, plan: PlanRecord, index: int, rows: list[_Row]) -> None:
        self.index = index
        self.start = plan.started or (rows[0].at if rows else 0)
        columns = plan.ladder.columns
        count = max(len(columns) - 1, 1)
        self.pitch = min(max(450 / count, 84), 150)
        self.x = {col.key: _GUTTER + 56 + i * self.pitch for i, col in enumerate(columns)}
        self.columns = columns
        self.label_x = max(self.x.values(), default=_GUTTER) + 48
        self.y = 8.0
        self.previous: int | None = None
        self.arrows: dict[str, list[str]] = defaultdict(list)
        self.bands: list[str] = []
        self.texts: list[str] = []
        self.anchors: set[int] = set()
        self.longest = 40

    def head(self) -> Markup:
        cells = [f'<text x="8" y="28" class="h2">{" frame     seconds      after"}</text>']
        room = int((self.pitch - 8) / 6.9)
        for column in self.columns:
            x = f"{self.x[column.key]:.0f}"
            title = escape(clip(column.title or column.key, room))
            whole = escape(clip(f"{column.title or column.key} {column.subtitle}", 200))
            below = escape(clip(column.subtitle, int(room * 1.15)))
            cells.append(f'<g><title>{whole}</title><text x="{x}" y="16" class="h">{title}</text>')
            cells.append(f'<text x="{x}" y="30" class="h2 m">{below}</text></g>')
        return self.svg("head", 36, cells, "")

    def svg(self, css: str, height: float, parts: list[str], label: str) -> Markup:
        width = self.label_x + self.longest * _GLYPH + 12
        about = f' role="img" aria-label="{escape(label)}"' if label else ' aria-hidden="true"'
        size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        size += ' preserveAspectRatio="xMinYMin"'
        # Every part was built in this class, from numbers and escaped text only.
        return Markup(f'<svg class="ladder-{css}" {size}{about}>{"".join(parts)}</svg>')  # noqa: S704

    def advance(self, at: int) -> None:
        """Leave room for a long silence before what happened at ``at``."""
        if self.previous is not None and at - self.previous >= _SILENCE:
            text = f"{span(at - self.previous)} later"
            self.texts.append(
                f'<text x="{_GUTTER}" y="{self.y + 13:.0f}" class="w">⋮ {text}</text>'
            )
            self.y += 20

    def gap(self, hidden: int) -> None:
        noun = "row" if hidden == 1 else "rows"
        text = f"⋯ {hidden:,} {noun} not drawn"
        self.texts.append(f'<text x="{_GUTTER}" y="{self.y + 14:.0f}" class="w">{text}</text>')
        self.y += 22
        self.previous = None

    def frame(self, row: _Row, frame: LadderRowRecord) -> None:
        self.advance(row.at)
        after = ""
        if self.previous is not None and row.at >= self.previous:
            after = span(row.at - self.previous).replace("\u00a0", " ")
        number = f"#{frame.number}" if frame.number else ""
        when = f"{number:>6} {offset(row.at - self.start):>12} {after:>10}"
        self.previous = frame.until if frame.until is not None else row.at
        middle = self.y + _ROW / 2
        label = frame.label
        if frame.count > 1:
            until = "" if frame.until is None else f" in {span(frame.until - row.at)}"
            label = f"{frame.count:,}\N{MULTIPLICATION SIGN} {label}{until}"
        css = row.look or {"infrastructure": "i", "run": "r"}.get(frame.kind, "")
        self.arrow(css or "f", frame, middle)
        shown = clip(label, _LABEL)
        self.longest = max(self.longest, len(shown))
        title = f"<title>{escape(clip(label, 400))}</title>" if len(label) > _LABEL else ""
        text = (
            f'<text x="8" y="{middle + 4:.0f}">{when}</text>'
            f'<text x="{self.label_x:.0f}" y="{middle + 4:.0f}">{escape(shown)}{title}</text>'
        )
        height = _ROW
        if frame.note:
            note = clip(frame.note, _LABEL)
            self.longest = max(self.longest, len(note) + 2)
            place = f'x="{self.label_x:.0f}" y="{middle + 4 + _NOTE:.0f}"'
            text += f'<text {place} class="why">↳ {escape(note)}</text>'
            height += _NOTE
        self.texts.append(self.wrapped(text, css, row, frame.number, height))
        self.y += height

    def wrapped(self, text: str, css: str, row: _Row, number: int, height: float) -> str:
        """The row's text in a group where it has a look of its own or can be linked to."""
        if row.look:
            self.bands.append(
                f'<rect class="band {row.look}" y="{self.y + 1:.0f}" width="4000"'
                f' height="{height - 2:.0f}"/>'
            )
        identity = ""
        if row.look and number and number not in self.anchors:
            self.anchors.add(number)
            identity = f' id="{anchor(self.index, number)}"'
        return f'<g class="{css}"{identity}>{text}</g>' if css or identity else text

    def arrow(self, css: str, frame: LadderRowRecord, y: float) -> None:
        a, b = self.x.get(frame.source), self.x.get(frame.target)
        if a is None and b is None:
            return
        if a == b:  # seen at one column only
            b = None
        if a is None:
            a = (b or 0) - 34
        if b is None:
            b = a + 34
        head = "m-7-4l7 4-7 4" if b > a else "m7-4l-7 4 7 4"
        inset = 2 if b > a else -2
        self.arrows[css].append(f"M{a + inset:.0f} {y:.0f}H{b - inset:.0f}{head}")

    def event(self, row: _Row) -> None:
        self.advance(row.at)
        self.previous = row.at
        middle = self.y + _ROW / 2
        shown = clip(row.text.replace("\n", " "), _LABEL)
        title = f"<title>{escape(clip(row.text, 400))}</title>" if len(row.text) > _LABEL else ""
        when = f"{'':>6} {offset(row.at - self.start):>12}"
        mark = _MARKS[row.event]
        self.longest = max(self.longest, len(shown) - int((self.label_x - _GUTTER) / _GLYPH) + 3)
        self.texts.append(
            f'<g class="e {row.event}"><text x="8" y="{middle + 4:.0f}">{when}</text>'
            f'<text x="{_GUTTER}" y="{middle + 4:.0f}">{mark} {escape(shown)}{title}</text></g>'
        )
        self.y += _ROW

    def body(self) -> Markup:
        bottom = self.y + 6
        lines = "".join(f"M{x:.0f} 0V{bottom:.0f}" for x in self.x.values())
        parts = [*self.bands, f'<path class="life" d="{lines}"/>']
        parts += [f'<path class="a {css}" d="{"".join(d)}"/>' for css, d in self.arrows.items()]
        label = "Ladder diagram: frames, events and changes in order of time"
        return self.svg("body", bottom, parts + self.texts, label)


def draw_ladder(plan: PlanRecord, index: int, cap: int) -> Drawing | None:
    """The ladder of ``plan``, the report's ``index``-th, in at most about ``cap`` rows.

    None where there is nothing to draw.
    """
    rows = _rows(plan)
    if not rows:
        return None
    painter = _Painter(plan, index, rows)
    chosen = _chosen(rows, cap)
    expected = 0
    for at in chosen:
        if at > expected:
            painter.gap(at - expected)
        expected = at + 1
        row = rows[at]
        if row.frame is None:
            painter.event(row)
        elif row.frame.kind == "note":
            remark = row.frame.label or row.frame.note
            painter.event(_Row(row.at, event="note", text=remark))
        else:
            painter.frame(row, row.frame)
    if len(rows) > expected:
        painter.gap(len(rows) - expected)
    body = painter.body()
    hidden = len(rows) - len(chosen)
    return Drawing(painter.head(), body, len(chosen), hidden, frozenset(painter.anchors))
