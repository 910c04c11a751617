"""The numbers that the graphs of a connection are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from testbed.capture.columns.arrays import Ints
from testbed.capture.tcp import CongestionWindow, Connection, Flag, Way
from testbed.capture.tcp.between import Journey, Passage

__all__ = ["KINDS", "POINTS", "graph_of"]

POINTS = 50_000
"""Segments, and ACKs, of one direction that are drawn at most: the first ones."""

KINDS = (
    ("new", Flag(0)),
    ("sent again", Flag.RETRANSMISSION),
    ("fast", Flag.FAST_RETRANSMISSION),
    ("spurious", Flag.SPURIOUS_RETRANSMISSION),
    ("out of order", Flag.OUT_OF_ORDER),
    ("probe", Flag.ZERO_WINDOW_PROBE | Flag.KEEP_ALIVE),
)
"""How segments are coloured: the last kind that fits, by its place."""


def graph_of(
    point: str, connection: Connection, journeys: Sequence[Journey] = ()
) -> dict[str, Any]:
    """One connection for the page's script. Times are microseconds from its first segment."""
    start = connection.start
    frames = connection.segments.row + 1
    return {
        "name": str(connection) + (f" at {point}" if point else ""),
        "opening": connection.opening,
        "closing": connection.closing,
        "packets": connection.packets,
        "seconds": connection.duration / 1e9,
        "counts": connection.counts(),
        "causes": dict(connection.causes()),
        "stalls": [
            [_micro(stall.start - start), _micro(stall.span), stall.cause, stall.reason]
            for stall in connection.stalls[:200]
        ],
        "passages": [
            _passage(passage)
            for journey in journeys
            if connection in journey.connections
            for passage in journey.passages
        ],
        "ways": [
            _way(way, frames, start) | _window(window, start)
            for way, window in zip(
                (connection.up, connection.down), connection.windows, strict=True
            )
        ],
    }


def _micro(nanoseconds: int) -> float:
    return nanoseconds / 1000


def _way(way: Way, frames: Ints, start: int) -> dict[str, Any]:
    carries = np.flatnonzero(way.end > way.start)
    shown = carries[:POINTS]
    kinds = np.zeros(len(way.flags), np.int64)
    for number, (_, flags) in enumerate(KINDS):
        kinds[way.flags & int(flags) != 0] = number
    times, trips = (column[:POINTS] for column in way.round_trips)
    acks = slice(0, POINTS)
    return {
        "bytes": way.bytes,
        "cut": max(0, len(carries) - POINTS),
        "frame": frames[way.index[shown]].tolist(),
        "t": _times(way.time[shown], start),
        "a": way.start[shown].tolist(),
        "b": way.end[shown].tolist(),
        "k": kinds[shown].tolist(),
        "flight": way.flight[shown].tolist(),
        "at": _times(way.answered[acks], start),
        "ack": way.ack[acks].tolist(),
        "edge": way.edge[acks].tolist(),
        "sack": [
            [(time - start) / 1000, left, right] for time, left, right in way.sack[acks].tolist()
        ],
        "rt": _times(times, start),
        "rtt": (trips / 1000).tolist(),
    }


def _passage(passage: Passage) -> list[str]:
    """What became of the segments between two points, as a title and words."""
    words = [f"{passage.sent} sent", f"{passage.arrived} arrived"]
    for name in ("lost", "uncaptured", "overtaken", "repeated", "extra"):
        frames = getattr(passage, name)
        if frames:
            shown = ", ".join(map(str, frames[:10])) + (" ..." if len(frames) > 10 else "")
            words.append(f"{len(frames)} {name} (frame {shown})")
    if len(passage.delay):
        least, middle, most = (value / 1e6 for value in np.percentile(passage.delay, (0, 50, 100)))
        words.append(f"delay {least:.3f}, {middle:.3f}, {most:.3f} ms")
    for change in passage.changes:
        values = f" {change.before} > {change.after}" if change.before else ""
        words.append(f"{change.field}{values} in {change.count}")
    return [f"{passage.first} > {passage.second}", ", ".join(words)]


def _window(window: CongestionWindow, start: int) -> dict[str, Any]:
    """The estimate of the congestion window; ``cl`` is 1 where it is more than a lower bound."""
    shown = slice(0, POINTS)
    return {
        "ct": _times(window.time[shown], start),
        "cw": window.size[shown].tolist(),
        "cl": window.limited[shown].astype(np.int64).tolist(),
        "sure": round(100 * window.confidence),
    }


def _times(times: Ints, start: int) -> list[float]:
    return [float(time) for time in ((times - start) / 1000).tolist()]
