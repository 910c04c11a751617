"""Results of a benchmark as plain values: the same for the terminal, the page and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BenchmarkColumn", "BenchmarkRecord", "Cell", "ChartRecord", "SeriesRecord"]

Cell = float | int | str | None
"""A value of a table; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkColumn:
    """A column of a table: ``key`` for programs, ``title`` and ``unit`` for people."""

    key: str
    title: str
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRecord:
    """A line of a graph; ``bound`` where it is a limit that the others cannot pass."""

    name: str
    points: tuple[tuple[float, float], ...]
    bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRecord:
    """A graph: ``x`` and ``y`` are what its axes show, units included.

    ``kind`` is ``line``, or ``bars`` for a histogram, whose points are the upper edges of its
    classes, each about an eighth of its edge wide, and their counts. ``doubling``: the x axis is
    logarithmic.
    """

    title: str
    x: str
    y: str
    series: tuple[SeriesRecord, ...]
    kind: Literal["line", "bars"] = "line"
    doubling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRecord:
    """One benchmark of one device.

    ``clause`` is where its procedure is written, ``device`` who was measured. ``departures`` say in
    which points the procedure was not held to, a sentence each; ``tester`` what sent and counted,
    and how its own limit was found; ``remarks`` what else must be known.
    """

    name: str
    clause: str
    device: str
    columns: tuple[BenchmarkColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]
    departures: tuple[str, ...] = ()
    tester: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    charts: tuple[ChartRecord, ...] = ()
