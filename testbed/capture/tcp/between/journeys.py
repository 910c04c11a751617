"""Connections that several points saw: which is which, in what order, by whose clock."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from testbed.capture.columns.arrays import Ints
from testbed.capture.tcp.between.matching import sure_delays
from testbed.capture.tcp.between.passage import Passage, pass_on
from testbed.capture.tcp.between.sightings import Sightings, initial_numbers
from testbed.capture.tcp.connection import Connection

__all__ = ["Journey", "follow_journeys"]


@dataclass(frozen=True, eq=False)
class Journey:
    """A connection at the points that saw it, in the order from its client to its server.

    ``offsets`` is how much each point's clock is ahead of the first point's, in nanoseconds: 0
    where the times agree with each other; else what makes the least delays of both ways the
    same, as NTP has it (RFC 5905 8), so that only their sum is sure.
    """

    points: tuple[str, ...]
    connections: tuple[Connection, ...]
    offsets: tuple[int, ...]

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        """From each point to the next and back, both directions."""
        found: list[Passage] = []
        for place in range(len(self.points) - 1):
            near, far = self.connections[place], self.connections[place + 1]
            names = self.points[place], self.points[place + 1]
            offset = self.offsets[place + 1] - self.offsets[place]
            up, down = _both(near, far)
            found.append(pass_on("up", up, names, offset))
            found.append(pass_on("down", down[::-1], names[::-1], -offset))
        return tuple(found)

    def __str__(self) -> str:
        return f"{self.connections[0]} by {', '.join(self.points)}"


def follow_journeys(points: Mapping[str, Iterable[Connection]]) -> tuple[Journey, ...]:
    """The connections that more than one point saw, by the points' names.

    What has the same ends is the same connection, and what has the same initial sequence numbers:
    addresses may be translated on the way, or the numbers be changed, but not both.
    """
    known: dict[Hashable, dict[str, Connection]] = {}
    groups: list[dict[str, Connection]] = []
    for point, connections in points.items():
        for connection in connections:
            keys = _keys(connection)
            group = next(
                (known[key] for key in keys if point not in known.get(key, {point: 0})), None
            )
            if group is None or not _meet(connection, next(iter(group.values()))):
                group = {}
                groups.append(group)
            group[point] = connection
            for key in keys:
                known[key] = group
    return tuple(_journey(group) for group in groups if len(group) > 1)


def _keys(connection: Connection) -> list[Hashable]:
    client, server = initial_numbers(connection)
    ends = frozenset((connection.client, connection.server))
    keys: list[Hashable] = [(ends, client)] if client is not None else []
    if client is not None and server is not None:
        keys.append((client, server))
    return [*keys, ends]


def _meet(one: Connection, other: Connection) -> bool:
    """Whether there was a time when both went on, whatever clocks say within an hour.

    Ends that use their ports anew within that have other initial numbers, and no time in common.
    """
    numbers = zip(initial_numbers(one), initial_numbers(other), strict=True)
    other_ones = any(None not in pair and pair[0] != pair[1] for pair in numbers)
    slack = 0 if other_ones else 3600 * 10**9
    return (
        one.start <= other.start + other.duration + slack
        and other.start <= one.start + one.duration + slack
    )


def _both(
    near: Connection, far: Connection
) -> tuple[tuple[Sightings, Sightings], tuple[Sightings, Sightings]]:
    """What two points saw of the way up, and of the way down."""
    mine, theirs = initial_numbers(near), initial_numbers(far)
    common = [None not in pair for pair in zip(mine, theirs, strict=True)]
    bases = [
        [number or 0 if both else 0 for number, both in zip(numbers, common, strict=True)]
        for numbers in (mine, theirs)
    ]
    # Where one point has not seen a SYN, its client may be the other's server.
    turned = near.client == far.server and near.server == far.client
    ways = (far.down, far.up) if turned and not all(common) else (far.up, far.down)
    up = Sightings(near, near.up, *bases[0]), Sightings(far, ways[0], *bases[1])
    down = (
        Sightings(near, near.down, *bases[0][::-1]),
        Sightings(far, ways[1], *bases[1][::-1]),
    )
    return up, down


def _journey(group: dict[str, Connection]) -> Journey:
    """Put the points into the order from client to server: each where its delays say."""
    points = list(group)
    order = [points[0]]
    for point in points[1:]:
        place = len(order)
        while place and _behind(group[order[place - 1]], group[point]):
            place -= 1
        order.insert(place, point)
    connections = [group[point] for point in order]
    offsets = [0]
    for near, far in pairwise(connections):
        offsets.append(offsets[-1] + _offset(near, far))
    return Journey(tuple(order), tuple(connections), tuple(offsets))


def _least(near: Connection, far: Connection) -> tuple[int | None, int | None]:
    """The least delays from near to far on the way up, and from far to near on the way down."""
    up, down = _both(near, far)
    return _smallest(sure_delays(*up)), _smallest(sure_delays(*down[::-1]))


def _smallest(delays: Ints) -> int | None:
    return int(np.min(delays)) if len(delays) else None


def _behind(near: Connection, far: Connection) -> bool:
    """Whether ``near`` is behind ``far``: what goes up passes it later, whatever the clocks say."""
    up, down = _least(near, far)
    return (up or 0) + (down or 0) < 0


def _offset(near: Connection, far: Connection) -> int:
    """How much the clock of ``far`` is ahead; 0 where no delay is less than nothing."""
    up, down = _least(near, far)
    if near.segments.columns is far.segments.columns or up is None or down is None:
        return 0
    return (up - down) // 2 if min(up, down) < 0 else 0
