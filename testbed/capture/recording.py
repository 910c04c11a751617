"""What a capture holds: numbered frames of several points, marks, proofs and judgements."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from testbed.capture.seen import look
from testbed.capture.sieve import Sieves
from testbed.errors import ExpectationFailed, PlanError
from testbed.timing import Duration, Instant
from testbed.wire.ethernet import EthFrame
from testbed.wire.frame import Direction, Frame
from testbed.wire.icmpv4 import Icmpv4
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "Judgement",
    "Mark",
    "Point",
    "Proof",
    "Recording",
    "Statistics",
    "TracedFrame",
    "Verdict",
    "format_offset",
]


def format_offset(span: Duration) -> str:
    """A time within a trace, to the microsecond: ``+1.203 ms``, ``+12.345678 s``."""
    sign = "-" if span < 0 else "+"
    if abs(span) < 1_000_000_000:
        return f"{sign}{abs(span) / 1_000_000:.3f} ms"
    return f"{sign}{abs(span) / 1_000_000_000:.6f} s"


@dataclass(frozen=True, slots=True)
class Point:
    """A place where frames are captured; ``description`` says what it is on this bench.

    ``clock`` is what stamps its frames, its name and what it means; empty where nobody knows.
    """

    name: str
    description: str = ""
    clock: str = ""


@dataclass(frozen=True, slots=True)
class TracedFrame:
    """A frame of a trace.

    ``number`` counts from 1 across all points and is the frame number in the trace's pcapng.
    ``infrastructure`` names what the bench itself sent here (``canary 3 from a``); empty for
    frames that belong to the test.
    """

    number: int
    point: str
    frame: Frame
    infrastructure: str = ""

    @property
    def data(self) -> bytes:
        """The bytes of the frame."""
        return self.frame.data

    @property
    def eth(self) -> EthFrame:
        """Its Ethernet layer; ExpectationFailed where it has none that can be read."""
        layer = look(self.data).layers.eth
        if layer is None:
            raise self._without("Ethernet frame")
        return layer

    @property
    def ipv4(self) -> IPv4Packet:
        """Its IPv4 packet; ExpectationFailed where it has none that can be read."""
        layer = look(self.data).layers.ipv4
        if layer is None:
            raise self._without("IPv4 packet")
        return layer

    @property
    def icmpv4(self) -> Icmpv4:
        """Its ICMP message; ExpectationFailed where it has none that can be read."""
        layer = look(self.data).layers.icmpv4
        if layer is None:
            raise self._without("ICMP message")
        return layer

    def _without(self, layer: str) -> ExpectationFailed:
        return ExpectationFailed(f"#{self.number} at {self.point} holds no {layer}")

    @property
    def at(self) -> Instant:
        """When it was seen, on the capture clock."""
        return self.frame.at

    @property
    def direction(self) -> Direction:
        """Which way it went, seen from the controller."""
        return self.frame.direction


@dataclass(frozen=True, slots=True)
class Mark:
    """A note on the capture clock: ``config: mtu 1280``. ``point`` is None where it is of all."""

    at: Instant
    text: str
    point: str | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of a capture at one point, and so what an absence of frames there means.

    ``alive``: it was seen to record frames, before and after. ``lossless``: nothing was dropped
    between the cable and the trace. ``settled``: whatever was under way has arrived. ``reasons``
    says why any of them is not so.
    """

    alive: bool
    lossless: bool
    settled: bool
    reasons: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether a frame that is not in the trace was not there."""
        return self.alive and self.lossless and self.settled

    def why_not(self) -> str:
        """What is missing, with the reasons, in one line."""
        named = (("alive", self.alive), ("lossless", self.lossless), ("settled", self.settled))
        missing = " and ".join(f"not {name}" for name, holds in named if not holds)
        return f"{missing}: {'; '.join(self.reasons) or 'no reason was given'}"


@dataclass(frozen=True, slots=True)
class Statistics:
    """The kernel's counts at one point: frames that reached the capture, frames that it lost."""

    received: int
    dropped: int


class Verdict(Enum):
    """What became of an expectation."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One expectation that was evaluated, for the report.

    ``frames`` are the numbers of the frames that decided it: the matches, or those that should
    not have come. ``details`` holds the near misses. ``source`` is ``file:line`` of the plan.
    """

    text: str
    point: str
    verdict: Verdict
    frames: tuple[int, ...] = ()
    details: str = ""
    source: str | None = None


def _nothing(_data: bytes) -> str | None:
    return None


class Recording:
    """Frames of several points in one clock order, and what is known about them.

    Frames are ordered by time; those of the same instant by the order of the points, then by
    arrival. A frame is numbered when the recording is first looked at and keeps its number: what
    is added after a look comes after everything that was there, so numbers in messages stay true.

    ``recognise`` names the bench's own frames (see ``testbed.capture.beacon``); ``source`` tells
    the plan line that is being evaluated. ``path`` is where the pcapng is, or will be.
    """

    def __init__(
        self,
        points: Iterable[str | Point],
        *,
        recognise: Callable[[bytes], str | None] = _nothing,
        source: Callable[[], str | None] | None = None,
        path: str | None = None,
    ) -> None:
        known = [point if isinstance(point, Point) else Point(point) for point in points]
        self._points = {point.name: point for point in known}
        if len(self._points) != len(known):
            raise PlanError(f"a trace needs distinct points, got {[p.name for p in known]}")
        self._order = {name: rank for rank, name in enumerate(self._points)}
        self._recognise = recognise
        self._source = source
        self._waiting: list[tuple[str, Frame]] = []
        self._frames: list[TracedFrame] = []
        self._frames_at: dict[str, list[TracedFrame]] = {name: [] for name in self._points}
        self._marks: list[Mark] = []
        self._comments: dict[int, list[str]] = {}
        self._proofs: dict[str, Proof] = {}
        self._statistics: dict[str, Statistics] = {}
        self._start: Instant | None = None
        self._earliest: Instant | None = None
        self.judgements: list[Judgement] = []
        self.sieves: Sieves[TracedFrame] = Sieves()
        self.path = path

    @property
    def points(self) -> tuple[Point, ...]:
        """The points, in the order they were given."""
        return tuple(self._points.values())

    def add(self, point: str, frames: Iterable[Frame]) -> None:
        """Add frames that were seen at ``point``, in the order they were seen."""
        name = self._known(point)
        for frame in frames:
            self._waiting.append((name, frame))
            self._saw(frame.at)

    @property
    def frames(self) -> tuple[TracedFrame, ...]:
        """Every frame by number, the bench's own among them."""
        self._number()
        return tuple(self._frames)

    def frames_at(self, point: str) -> Sequence[TracedFrame]:
        """Every frame of ``point`` by number, the bench's own among them; it grows at its end."""
        self._number()
        return self._frames_at[self._known(point)]

    def _number(self) -> None:
        """Number what was added since the last look."""
        if not self._waiting:
            return
        # sort() is stable: frames of one point and one instant stay in order of arrival.
        self._waiting.sort(key=lambda seen: (seen[1].at, self._order[seen[0]]))
        for point, frame in self._waiting:
            name = self._recognise(frame.data) or ""
            traced = TracedFrame(len(self._frames) + 1, point, frame, name)
            self._frames.append(traced)
            self._frames_at[point].append(traced)
        self._waiting.clear()

    def frame(self, number: int) -> TracedFrame:
        """The frame with this number."""
        self._number()
        if not 1 <= number <= len(self._frames):
            raise PlanError(f"there is no frame #{number}: the trace holds {len(self._frames)}")
        return self._frames[number - 1]

    def mark(self, at: Instant, text: str, point: str | None = None) -> None:
        """Note that something happened at ``at``."""
        self._marks.append(Mark(at, text, None if point is None else self._known(point)))
        self._saw(at)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks by time."""
        return tuple(sorted(self._marks, key=lambda mark: mark.at))

    def comment(self, number: int, text: str) -> None:
        """Attach a comment to frame ``number``; it shows in Wireshark."""
        notes = self._comments.setdefault(self.frame(number).number, [])
        if text not in notes:
            notes.append(text)

    def comments(self, number: int) -> tuple[str, ...]:
        """The comments of frame ``number``; what the bench sent there comes first."""
        name = self.frame(number).infrastructure
        return (*((name,) if name else ()), *self._comments.get(number, ()))

    def set_proof(self, point: str, proof: Proof) -> None:
        """Say what is known of the capture at ``point``; replaces what was said before."""
        self._proofs[self._known(point)] = proof

    def proof(self, point: str) -> Proof | None:
        """What is known of the capture at ``point``; None where nothing was ever said."""
        return self._proofs.get(self._known(point))

    def set_statistics(self, point: str, statistics: Statistics) -> None:
        """Set the kernel's counts at ``point``."""
        self._statistics[self._known(point)] = statistics

    def statistics(self, point: str) -> Statistics | None:
        """The kernel's counts at ``point``, where known."""
        return self._statistics.get(self._known(point))

    @property
    def start(self) -> Instant:
        """The time that offsets count from: the first frame or mark, unless it was set."""
        if self._start is not None:
            return self._start
        return Instant(0) if self._earliest is None else self._earliest

    @start.setter
    def start(self, at: Instant) -> None:
        self._start = at

    def offset(self, at: Instant) -> Duration:
        """``at`` as time since ``start``."""
        return Duration(at - self.start)

    def judge(
        self,
        text: str,
        point: str,
        verdict: Verdict,
        frames: tuple[TracedFrame, ...] = (),
        details: str = "",
    ) -> Judgement:
        """Record what became of an expectation, and note it on the frames that decided it."""
        source = self._source() if self._source else None
        numbers = tuple(traced.number for traced in frames)
        judgement = Judgement(text, point, verdict, numbers, details, source)
        self.judgements.append(judgement)
        for number in numbers:
            self.comment(number, f"{verdict.value}: {text}")
        return judgement

    def _saw(self, at: Instant) -> None:
        if self._earliest is None or at < self._earliest:
            self._earliest = at

    def _known(self, name: str) -> str:
        """The point called ``name``, its ends in either order: ``a--dut`` or ``dut--a``."""
        if name in self._points:
            return name
        turned = "--".join(reversed(name.split("--")))
        if turned in self._points:
            return turned
        near = difflib.get_close_matches(name, self._points, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        known = ", ".join(self._points) or "none"
        raise PlanError(f"nothing was captured at {name!r}{hint} (points: {known})")
