"""Expectations on what one point of a trace saw, each with its proof and its near misses.

An expectation that something came is met by a frame. One that something did not come, or came no
more often, is met only when the capture is proven to have missed nothing: without that proof it
ends in CaptureError, which blames the rig, never in a pass. A frame that should not have come is
a failure whatever the proof.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NoReturn

from testbed.capture.matcher import Matcher
from testbed.capture.nearmiss import SHOWN, count, describe, locate, render
from testbed.capture.recording import (
    Mark,
    Proof,
    Recording,
    TracedFrame,
    Verdict,
)
from testbed.errors import CaptureError, ExpectationFailed, PlanError
from testbed.timing import Instant
from testbed.wire.frame import Direction

__all__ = ["PointView"]

Moment = TracedFrame | Mark | Instant
"""A point in a trace: a frame, a mark, or a time of the capture clock."""

_NO_PROOF = Proof(
    alive=False, lossless=False, settled=False, reasons=("the capture was never checked",)
)


class PointView:
    """The frames of one point: those from the cable, unless ``sent`` or ``both`` is asked.

    The bench's own frames (canaries, barriers) are left out. A view is live: frames that are
    added to the trace later are in it.
    """

    def __init__(
        self,
        recording: Recording,
        point: str,
        directions: frozenset[Direction] = frozenset({Direction.IN}),
        *,
        after: tuple[Moment, ...] = (),
        before: tuple[Moment, ...] = (),
    ) -> None:
        self._recording = recording
        self._directions = directions
        self._after = after
        self._before = before
        self.point = point

    @property
    def received(self) -> PointView:
        """The same, of frames that came from the cable."""
        return self._with(frozenset({Direction.IN}), self._after, self._before)

    @property
    def sent(self) -> PointView:
        """The same, of frames that the controller sent here."""
        return self._with(frozenset({Direction.OUT}), self._after, self._before)

    @property
    def both(self) -> PointView:
        """The same, of frames of both directions."""
        return self._with(frozenset(Direction), self._after, self._before)

    def after(self, moment: Moment) -> PointView:
        """The same, of what came later than ``moment``: a frame, a mark or a time."""
        return self._with(self._directions, (*self._after, moment), self._before)

    def before(self, moment: Moment) -> PointView:
        """The same, of what came earlier than ``moment``: a frame, a mark or a time."""
        return self._with(self._directions, self._after, (*self._before, moment))

    @property
    def proof(self) -> Proof:
        """What is known of the capture here. A frame that was cut short counts as lost."""
        return self._judged_proof() or _NO_PROOF

    @property
    def frames(self) -> tuple[TracedFrame, ...]:
        """The frames of this view, by number."""
        return tuple(self._seen())

    def all(self, matcher: Matcher) -> tuple[TracedFrame, ...]:
        """Every frame that matches. This only looks: nothing is judged."""
        question = (*self._question, _ByIdentity(matcher))
        sieve = self._recording.sieves.of(question, lambda traced: matcher(traced.data))
        return tuple(sieve.sift(self._seen()))

    def first(self, matcher: Matcher) -> TracedFrame | None:
        """The first frame that matches, or None. This only looks: nothing is judged."""
        return next((traced for traced in self._seen() if matcher(traced.data)), None)

    def _seen(self) -> list[TracedFrame]:
        sieve = self._recording.sieves.of(self._question, self._is_in_view)
        return sieve.sift(self._recording.frames_at(self.point))

    def _is_in_view(self, traced: TracedFrame) -> bool:
        return (
            traced.direction in self._directions
            and not traced.infrastructure
            and all(_is_later(traced, moment) for moment in self._after)
            and all(_is_earlier(traced, moment) for moment in self._before)
        )

    @property
    def _question(self) -> tuple[Hashable, ...]:
        moments = (
            tuple(each.number if isinstance(each, TracedFrame) else (each,) for each in side)
            for side in (self._after, self._before)
        )
        return (self.point, self._directions, *moments)

    def expect(self, matcher: Matcher) -> TracedFrame:
        """The first frame that matches; ExpectationFailed with the near misses if there is none."""
        text = f"expect {matcher}{self._scope()}"
        found = self.first(matcher)
        if found is None:
            self._missing(text, render(self._recording, matcher, self.frames))
        self._pass(text, (found,))
        return found

    def expect_none(self, matcher: Matcher) -> None:
        """No frame matches, and the capture is proven to have missed nothing.

        ExpectationFailed names the frames that did match; CaptureError says what proof is missing.
        """
        text = f"expect none: {matcher}{self._scope()}"
        found = self.all(matcher)
        if found:
            self._fail(text, f"{count(len(found))} came", self._listing(found), found)
        self._demand_proof(text)
        self._pass(text, ())

    def expect_count(self, matcher: Matcher, wanted: int | range) -> tuple[TracedFrame, ...]:
        """Exactly ``wanted`` frames match, or a number in that range; returns them.

        The upper bound needs the same proof as ``expect_none``.
        """
        counts = range(wanted, wanted + 1) if isinstance(wanted, int) else wanted
        if not counts or counts[0] < 0 or counts.step != 1:
            raise PlanError(f"expect_count wants a number or a rising range, got {wanted}")
        bounds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        text = f"expect {bounds} of {matcher}{self._scope()}"
        found = self.all(matcher)
        if len(found) > counts[-1]:
            self._fail(text, f"{len(found)} came", self._listing(found), found)
        if len(found) < counts[0]:
            self._too_few(text, matcher, found)
        self._demand_proof(text, found)
        self._pass(text, found)
        return found

    def expect_at_least(self, matcher: Matcher, wanted: int) -> tuple[TracedFrame, ...]:
        """At least ``wanted`` frames match; returns all that do."""
        if wanted < 1:
            raise PlanError(f"expect_at_least wants 1 or more, got {wanted}")
        text = f"expect at least {wanted} of {matcher}{self._scope()}"
        found = self.all(matcher)
        if len(found) < wanted:
            self._too_few(text, matcher, found)
        self._pass(text, found)
        return found

    def expect_sequence(self, *matchers: Matcher) -> tuple[TracedFrame, ...]:
        """A frame for each matcher, in this order; others may come between. Returns the frames."""
        if not matchers:
            raise PlanError("expect_sequence wants at least one matcher")
        steps = ", then ".join(str(matcher) for matcher in matchers)
        text = f"expect in order: {steps}{self._scope()}"
        frames = self.frames
        found: list[TracedFrame] = []
        at = 0
        for step, matcher in enumerate(matchers, 1):
            hit = next((i for i in range(at, len(frames)) if matcher(frames[i].data)), None)
            if hit is None:
                return self._out_of_order(text, step, matcher, frames, found)
            found.append(frames[hit])
            at = hit + 1
        self._pass(text, tuple(found))
        return tuple(found)

    def _out_of_order(
        self,
        text: str,
        step: int,
        matcher: Matcher,
        frames: tuple[TracedFrame, ...],
        found: list[TracedFrame],
    ) -> NoReturn:
        recording = self._recording
        last = found[-1].number if found else 0
        lines = [f"step {i}: {locate(recording, hit)}" for i, hit in enumerate(found, 1)]
        lines.append(f"step {step}, {matcher}: never came" + (" after that" if found else ""))
        early = [hit for hit in frames if hit.number <= last and matcher(hit.data)]
        lines += [
            f"too early: {line}" for hit in early[:SHOWN] for line in describe(recording, hit)
        ]
        later = [traced for traced in frames if traced.number > last]
        lines.append(render(recording, matcher, later))
        self._missing(text, "\n".join(lines), tuple(found))

    def _too_few(self, text: str, matcher: Matcher, found: tuple[TracedFrame, ...]) -> NoReturn:
        matched = {traced.number for traced in found}
        others = [traced for traced in self.frames if traced.number not in matched]
        lines = [f"{count(len(found))} matched"]
        if found:
            lines.append(self._listing(found))
            lines.append("of the others:")
        lines.append(render(self._recording, matcher, others))
        self._missing(text, "\n".join(lines), found)

    def _missing(self, text: str, details: str, found: tuple[TracedFrame, ...] = ()) -> NoReturn:
        """Something did not come. Where frames are known to be lost, that says nothing."""
        proof = self._judged_proof()
        if proof and not proof.lossless:
            self._unproven(text, proof, details, found)
        if proof and not proof.alive:
            details = f"{details}\nnote: the capture is {proof.why_not()}"
        self._fail(text, "it did not come", details, found)

    def _judged_proof(self) -> Proof | None:
        """The proof that the bench gave, less what cut frames take from it."""
        proof = self._recording.proof(self.point)
        cut = sum(1 for each in self.frames if len(each.data) < each.frame.wire_length)
        if proof is None or not cut:
            return proof
        # What is missing of a frame may be what a matcher would have looked for.
        reason = f"{count(cut)} cut short by the snap length"
        return replace(proof, lossless=False, reasons=(*proof.reasons, reason))

    def _listing(self, found: Sequence[TracedFrame]) -> str:
        lines = [line for hit in found[:SHOWN] for line in describe(self._recording, hit)]
        if len(found) > SHOWN:
            lines.append(f"and {len(found) - SHOWN:,} more")
        return "\n".join(lines)

    def _demand_proof(self, text: str, found: tuple[TracedFrame, ...] = ()) -> None:
        if not self.proof.holds:
            self._unproven(text, self.proof, "", found)

    def _pass(self, text: str, found: tuple[TracedFrame, ...]) -> None:
        self._recording.judge(text, self.point, Verdict.PASS, found)

    def _fail(self, text: str, what: str, details: str, found: tuple[TracedFrame, ...]) -> NoReturn:
        self._recording.judge(text, self.point, Verdict.FAIL, found, details)
        raise ExpectationFailed(f"{self.point}: {text}: {what}", details)

    def _unproven(
        self, text: str, proof: Proof, details: str, found: tuple[TracedFrame, ...]
    ) -> NoReturn:
        why = f"the capture is {proof.why_not()}"
        told = f"{why}\n{details}" if details else why
        self._recording.judge(text, self.point, Verdict.UNPROVEN, found, told)
        raise CaptureError(f"{self.point}: {text}: nothing is proven, {told}")

    def _scope(self) -> str:
        """What a plan asked to leave out, for messages; mere times tell a reader nothing."""
        parts = []
        if self._directions == {Direction.OUT}:
            parts.append("sent")
        elif len(self._directions) == 2:
            parts.append("sent or received")
        parts += [f"after {name}" for name in map(_name, self._after) if name]
        parts += [f"before {name}" for name in map(_name, self._before) if name]
        return f" [{', '.join(parts)}]" if parts else ""

    def _with(
        self,
        directions: frozenset[Direction],
        after: tuple[Moment, ...],
        before: tuple[Moment, ...],
    ) -> PointView:
        return PointView(self._recording, self.point, directions, after=after, before=before)


class _ByIdentity:
    """A matcher as a key, equal to itself only: two that look alike may differ in a function."""

    __slots__ = ("_held",)

    def __init__(self, held: Matcher) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self._held is other._held

    def __hash__(self) -> int:
        return id(self._held)


def _name(moment: Moment) -> str:
    if isinstance(moment, TracedFrame):
        return f"#{moment.number}"
    return f"mark {moment.text!r}" if isinstance(moment, Mark) else ""


def _is_later(traced: TracedFrame, moment: Moment) -> bool:
    if isinstance(moment, TracedFrame):
        return traced.number > moment.number
    return traced.at > (moment.at if isinstance(moment, Mark) else moment)


def _is_earlier(traced: TracedFrame, moment: Moment) -> bool:
    if isinstance(moment, TracedFrame):
        return traced.number < moment.number
    return traced.at < (moment.at if isinstance(moment, Mark) else moment)
