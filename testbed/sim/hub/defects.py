"""Faults of repeaters, each a ``Defect`` to switch on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testbed.sim.frames import LEAST, BadFcs, as_bytes
from testbed.sim.hub.repeater import Repeater
from testbed.stack.variants import Defect

__all__ = [
    "BUFFERS",
    "DOUBLES",
    "DROPS_BROADCASTS",
    "DROPS_RESERVED",
    "DROPS_RUNTS",
    "ECHOES",
    "FILTERS",
    "GOOD_FRAMES_ONLY",
    "KEEPS_TO_ITSELF",
    "MENDS_FRAMES",
    "MISSES_A_PORT",
    "PADS_RUNTS",
    "STRIPS_TAGS",
    "TRUNCATES",
]

_TPIDS = (b"\x81\x00", b"\x88\xa8")


def _repeater(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "SW-19", story, {Repeater: mixin})


class _Filters(Repeater):
    def __init__(self, ports: Iterable[str]) -> None:
        super().__init__(ports)
        self._places: dict[bytes, str] = {}

    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        self._places[frame[6:12]] = source
        known = self._places.get(frame[:6])
        return (port for port in super().outlets(source, frame) if known in (None, port))


class _KeepsToItself(Repeater):
    """Filters by address only where both stations are on one port: here, where one calls itself."""

    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        if frame[:6] == frame[6:12]:
            return iter(())
        return super().outlets(source, frame)


class _GoodFramesOnly(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        return iter(()) if isinstance(frame, BadFcs) else super().outlets(source, frame)


class _DropsRunts(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        return iter(()) if len(frame) < LEAST else super().outlets(source, frame)


class _DropsBroadcasts(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        return iter(()) if frame[:1] == b"\xff" else super().outlets(source, frame)


class _DropsReserved(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        if frame[:5] == b"\x01\x80\xc2\x00\x00" and frame[5] < 16:
            return iter(())
        return super().outlets(source, frame)


class _Echoes(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        return iter((*super().outlets(source, frame), source))


class _MissesAPort(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        return (port for port in super().outlets(source, frame) if port != self.ports[-1])


class _Doubles(Repeater):
    def outlets(self, source: str, frame: bytes) -> Iterator[str]:
        return (port for port in super().outlets(source, frame) for _ in range(2))


class _Buffers(Repeater):
    def domain(self, source: str) -> Iterator[str]:
        side = self.ports.index(source) % 2
        return (port for port in super().domain(source) if self.ports.index(port) % 2 == side)

    def outlets(self, source: str, frame: bytes) -> Iterator[str]:  # noqa: ARG002 - a seam
        return (port for port in self.ports if port != source)


class _MendsFrames(Repeater):
    def restore(self, frame: bytes) -> bytes:
        return as_bytes(frame)


class _PadsRunts(Repeater):
    def restore(self, frame: bytes) -> bytes:
        short = len(frame) < LEAST
        return frame.ljust(LEAST, b"\0") if short else frame


class _StripsTags(Repeater):
    def restore(self, frame: bytes) -> bytes:
        return frame[:12] + frame[16:] if frame[12:14] in _TPIDS else frame


class _Truncates(Repeater):
    def restore(self, frame: bytes) -> bytes:
        return frame[:1500] if len(frame) > 1500 else frame


FILTERS = _repeater(
    "filters by address",
    "What was sold as a hub is a switch inside, and the tester that listens at it hears nothing.",
    _Filters,
)
KEEPS_TO_ITSELF = _repeater(
    "drops frames to their own sender",
    "A dual-speed hub bridges between its halves, and swallows what it takes for local traffic.",
    _KeepsToItself,
)
GOOD_FRAMES_ONLY = _repeater(
    "repeats only good frames",
    "It checks frames before it passes them on, so a tester behind it never sees a bad one.",
    _GoodFramesOnly,
)
DROPS_RUNTS = _repeater(
    "drops runts",
    "It waits for a whole slot before it passes anything on, and fragments vanish in it.",
    _DropsRunts,
)
DROPS_BROADCASTS = _repeater(
    "drops broadcasts",
    "A hub with storm protection looks at addresses that are none of its business.",
    _DropsBroadcasts,
)
DROPS_RESERVED = _repeater(
    "keeps reserved addresses",
    "It treats link-local groups as a bridge must, so stations behind it never see spanning tree.",
    _DropsReserved,
)
ECHOES = _repeater(
    "echoes to the ingress",
    "Crosstalk at the connector gives a station its own frames back.",
    _Echoes,
)
MISSES_A_PORT = _repeater(
    "misses a port",
    "The transmit driver of one port is dead, though its link light is on.",
    _MissesAPort,
)
DOUBLES = _repeater(
    "repeats twice",
    "Two stacked units both drive the ports, and every frame comes twice.",
    _Doubles,
)
BUFFERS = _repeater(
    "two collision domains",
    "A dual-speed hub has a bridge between its halves: stations at once do not collide.",
    _Buffers,
)
MENDS_FRAMES = _repeater(
    "mends bad frames",
    "It computes the check sequence anew, and damaged data pass for good.",
    _MendsFrames,
)
PADS_RUNTS = _repeater(
    "pads runts",
    "It fills short frames up, and what was noise becomes a frame that stations take.",
    _PadsRunts,
)
STRIPS_TAGS = _repeater(
    "strips VLAN tags",
    "The switch chip inside removes tags of its default VLAN.",
    _StripsTags,
)
TRUNCATES = _repeater(
    "truncates at 1500 bytes",
    "The elasticity buffer overflows on long frames, and their end is lost.",
    _Truncates,
)
