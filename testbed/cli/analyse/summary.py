"""A connection in numbers, for JSON and for the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from testbed.capture.tcp import CongestionWindow, Connection, Flag, Offer, Way

__all__ = ["summarise"]

_SHOWN_STALLS = 1000


def summarise(point: str, connection: Connection) -> dict[str, Any]:
    """All that is told of a connection, as JSON has it. Times are in seconds."""
    client, server = connection.offers
    return {
        "point": point,
        "client": str(connection.client),
        "server": str(connection.server),
        "start": connection.start / 1e9,
        "duration": connection.duration / 1e9,
        "first_frame": int(connection.frames[0]),
        "packets": connection.packets,
        "opening": connection.opening,
        "closing": connection.closing,
        "offers": {"client": _offer(client), "server": _offer(server)},
        "up": _way(connection.up, connection.windows[0]),
        "down": _way(connection.down, connection.windows[1]),
        "flags": connection.counts(),
        "flagged_frames": {
            name: connection.frames[connection.flags[connection.span] & flag != 0].tolist()
            for flag, name in ((flag.value, flag.names[0]) for flag in Flag)
            if connection.count(Flag(flag))
        },
        "retransmissions": dict(connection.causes()),
        "size_changes": [
            {
                "way": way,
                "time": change.time / 1e9,
                "before": change.before,
                "after": change.after,
                "reason": change.reason,
                "mtu": change.mtu,
                "frame": int(connection.segments.row[change.index]) + 1,
            }
            for way, changes in zip(("up", "down"), connection.size_changes, strict=True)
            for change in changes
        ],
        "stalls": [
            {
                "start": stall.start / 1e9,
                "seconds": stall.span / 1e9,
                "cause": stall.cause,
                "reason": stall.reason,
                "ended_by_frame": int(connection.segments.row[stall.index]) + 1,
            }
            for stall in connection.stalls[:_SHOWN_STALLS]
        ],
    }


def _offer(offer: Offer | None) -> Mapping[str, Any] | None:
    if offer is None:
        return None
    return {
        "maximum_segment": offer.maximum_segment,
        "window_scale": offer.window_scale,
        "sack": offer.sack,
    }


def _way(way: Way, window: CongestionWindow) -> dict[str, Any]:
    times, trips = way.round_trips
    span = int(way.time[-1] - way.time[0]) if len(way.time) else 0
    sizes = way.length[way.length > 0]
    return {
        "packets": len(way.time),
        "bytes": way.bytes,
        "bits_per_second": way.bytes * 8e9 / span if span else None,
        "largest_segment": int(sizes.max()) if len(sizes) else None,
        "largest_flight": int(way.flight.max()) if len(way.flight) else 0,
        "congestion_window": {
            "samples": len(window.size),
            "median": float(np.median(window.size)),
            "largest": window.largest,
            "confidence": round(window.confidence, 3),
        }
        if len(window.size)
        else None,
        "sack_holes": way.holes,
        "round_trip": {
            "samples": len(times),
            "least": int(trips.min()) / 1e9,
            "median": float(np.median(trips)) / 1e9,
            "most": int(trips.max()) / 1e9,
        }
        if len(trips)
        else None,
    }
