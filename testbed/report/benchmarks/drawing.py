"""Graphs of a benchmark as inline SVG: lines with points, bars of a histogram, axes, a legend.

Series are told apart by dash and mark as well as by colour; hovering a point shows its numbers, and
the table beside the graph says them all again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from testbed.report.benchmarks.records import ChartRecord, SeriesRecord
from testbed.report.text import clip

__all__ = ["draw_chart", "ticks"]

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 52, 62
MARKS = 8
"""Values of a logarithmic axis that are all named."""
APART = 34
NARROW = 0.93
"""From this share of its upper edge on a class of a histogram is drawn."""
COLOURS = 6
"""Classes ``s0`` to ``s5`` of the stylesheet."""
LEAST = 1e-100
"""A span that is less is none."""
FAR = 5
"""A limit that is so many times above all that was measured is left to the table."""
POINTS = 2000
"""Points of one series that are drawn at most."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """From values to places, and where its lines are."""

    place: Callable[[float], float]
    marks: tuple[float, ...]


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About ``count`` round numbers from at most ``low`` to at least ``high``."""
    span = high - low
    if not LEAST < span < math.inf:
        return (low, low + 1)
    rough = span / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(each for each in (1, 2, 2.5, 5, 10) if each * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(f"{number * step:.15g}") for number in range(first, last + 1))


def draw_chart(chart: ChartRecord) -> Markup:
    """The graph; nothing where no series has a point."""
    drawn = _in_reach(chart.series)
    points = [
        (x, y)
        for series in drawn
        for x, y in series.points[:POINTS]
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not points:
        return Markup()
    across, up = _across(chart, points), _up(points)
    parts = [*_frame(chart, across, up)]
    draw = _bars if chart.kind == "bars" else _line
    for number, series in enumerate(drawn):
        parts += draw(series, number % COLOURS, across, up, chart)
    parts += _legend(drawn)
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(clip(chart.title, 120))}">' + "".join(parts) + "</svg>"
    )


def _in_reach(series: Sequence[SeriesRecord]) -> list[SeriesRecord]:
    """The series without limits so far above the rest that nothing else would be seen."""
    tops = [y for each in series if not each.bound for _, y in each.points if math.isfinite(y)]
    most = FAR * max(tops, default=math.inf)
    return [
        each
        for each in series
        if not each.bound or all(y <= most for _, y in each.points if math.isfinite(y))
    ]


def _across(chart: ChartRecord, points: list[tuple[float, float]]) -> _Axis:
    values = sorted({x for x, _ in points})
    room = WIDTH - LEFT - RIGHT
    if chart.doubling:
        low = math.log2(max(values[0], 1e-9)) - 0.3
        high = math.log2(max(values[-1], 1e-9)) + 0.3
        span = max(high - low, 1e-9)

        def place(value: float) -> float:
            return LEFT + (math.log2(max(value, 1e-9)) - low) / span * room

        return _Axis(place, _log_marks(values))
    marks = ticks(min(values[0], 0), values[-1] or 1)
    span = marks[-1] - marks[0]
    return _Axis(lambda value: LEFT + (value - marks[0]) / span * room, marks)


def _log_marks(values: Sequence[float]) -> tuple[float, ...]:
    """The values themselves where they are few, else 1, 2 and 5 of each power of ten among them."""
    if len(values) <= MARKS:
        return tuple(values)
    first, last = math.floor(math.log10(values[0])), math.ceil(math.log10(values[-1]))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    round_ones = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    inside = [each for each in round_ones if values[0] <= each <= values[-1]]
    return tuple(inside) or (values[0], values[-1])


def _up(points: list[tuple[float, float]]) -> _Axis:
    highest = max(y for _, y in points)
    marks = ticks(0, highest if highest > LEAST else 1)
    room = HEIGHT - TOP - BOTTOM
    return _Axis(lambda value: HEIGHT - BOTTOM - value / marks[-1] * room, marks)


def _frame(chart: ChartRecord, across: _Axis, up: _Axis) -> Iterator[str]:
    floor = HEIGHT - BOTTOM
    yield f'<text class="ct" x="8" y="18">{escape(clip(chart.title, 80))}</text>'
    for mark in up.marks:
        y = _n(up.place(mark))
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
        yield _tick(LEFT - 6, up.place(mark) + 4, _short(mark), "end")
    free = 0.0
    for mark in across.marks:
        x = across.place(mark)
        yield f'<path class="grid" d="M{_n(x)} {floor}v4"/>'
        if x >= free:  # a name is not written over another one
            yield _tick(x, floor + 16, _short(mark), "middle")
            free = x + APART
    yield f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>'
    yield _tick(WIDTH - RIGHT, floor + 32, chart.x, "end")
    yield _tick(8, TOP - 14, chart.y, "start")


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    shown = escape(clip(text, 60))
    return f'<text class="tick" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{shown}</text>'


def _line(
    series: SeriesRecord, number: int, across: _Axis, up: _Axis, chart: ChartRecord
) -> Iterator[str]:
    places = [
        (across.place(x), up.place(y), x, y)
        for x, y in series.points[:POINTS]
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not places:
        return
    path = "L".join(f"{_n(x)} {_n(y)}" for x, y, _, _ in places)
    bound = " bound" if series.bound else ""
    yield f'<path class="ln s{number}{bound}" d="M{path}"/>'
    for at_x, at_y, x, y in places:
        told = escape(f"{clip(series.name, 60)}: {_number(y)} ({chart.y}) at {_number(x)}")
        yield (
            f'<circle class="pt s{number}" cx="{_n(at_x)}" cy="{_n(at_y)}" r="3">'
            f"<title>{told}</title></circle>"
        )


def _bars(
    series: SeriesRecord, number: int, across: _Axis, up: _Axis, chart: ChartRecord
) -> Iterator[str]:
    floor = HEIGHT - BOTTOM
    for x, y in series.points[:POINTS]:
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        right, top = across.place(x), up.place(y)
        left = across.place(x * NARROW)
        told = escape(f"{clip(series.name, 60)}: {_number(y)} up to {_number(x)}")
        yield (
            f'<rect class="br s{number}" x="{_n(left)}" y="{_n(top)}" '
            f'width="{_n(max(right - left, 1))}" height="{_n(max(floor - top, 0))}">'
            f"<title>{told} {escape(clip(chart.x, 30))}</title></rect>"
        )


def _legend(drawn: Sequence[SeriesRecord]) -> Iterator[str]:
    x, y = 8.0, HEIGHT - 10
    for number, series in enumerate(drawn):
        name = clip(series.name, 40)
        bound = " bound" if series.bound else ""
        yield f'<path class="ln s{number % COLOURS}{bound}" d="M{_n(x)} {y - 4}h18"/>'
        yield f'<text class="tick" x="{_n(x + 24)}" y="{y}">{escape(name)}</text>'
        x += 40 + 6.2 * len(name)


def _n(value: float) -> str:
    """A coordinate, no longer than need be."""
    return f"{value:.1f}".removesuffix(".0")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _short(value: float) -> str:
    """A number on an axis: 1.5M, 20k, 64."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"
