"""Matchers: what they answer, how they tell a near miss, and how they combine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from testbed.capture.seen import Seen, look
from testbed.capture.wants import describe_callable
from testbed.errors import PlanError

__all__ = ["AllOf", "AnyFrame", "AnyOf", "Bytewise", "Matcher", "Mismatch", "Not", "Where"]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that kept a frame from matching.

    ``weight`` is how much it takes to put it right: 1 for a field, more for a missing layer.
    """

    field: str
    wanted: str
    got: str
    weight: int = 1

    def __str__(self) -> str:
        return f"{self.field} {self.got}, wanted {self.wanted}"


class Matcher(ABC):
    """Says of a frame's bytes whether they are what is wanted, and if not, why not.

    Matchers combine: ``a & b``, ``a | b``, ``~a``.
    """

    @abstractmethod
    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """What keeps ``seen`` from matching; empty when it matches."""

    @abstractmethod
    def __str__(self) -> str:
        """The matcher as a plan would write it."""

    def holds(self, seen: Seen) -> bool:
        """Whether ``seen`` matches."""
        return not self.misses(seen)

    def __call__(self, data: bytes) -> bool:
        """Whether the frame ``data`` matches."""
        return self.holds(look(bytes(data)))

    def explain(self, data: bytes) -> tuple[Mismatch, ...]:
        """What keeps the frame ``data`` from matching; empty when it matches."""
        return self.misses(look(bytes(data)))

    def __and__(self, other: Matcher) -> Matcher:
        return AllOf((*_parts(self, AllOf), *_parts(_checked(other), AllOf)))

    def __or__(self, other: Matcher) -> Matcher:
        return AnyOf((*_parts(self, AnyOf), *_parts(_checked(other), AnyOf)))

    def __invert__(self) -> Matcher:
        return Not(self)

    def __bool__(self) -> bool:
        # ``a and b`` would silently drop ``a``.
        raise PlanError(f"{self} has no truth value: combine matchers with &, | and ~")


@dataclass(frozen=True, slots=True)
class AnyFrame(Matcher):
    """Matches every frame."""

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:  # noqa: ARG002 - nothing to look at
        """Nothing."""
        return ()

    def __str__(self) -> str:
        return "any()"


@dataclass(frozen=True, slots=True)
class AllOf(Matcher):
    """Matches what every part matches."""

    parts: tuple[Matcher, ...]

    def holds(self, seen: Seen) -> bool:
        """Whether every part matches."""
        return all(part.holds(seen) for part in self.parts)

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """What keeps each part from matching, told once."""
        found = dict.fromkeys(miss for part in self.parts for miss in part.misses(seen))
        return tuple(found)

    def __str__(self) -> str:
        return " & ".join(_grouped(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(Matcher):
    """Matches what at least one part matches."""

    parts: tuple[Matcher, ...]

    def holds(self, seen: Seen) -> bool:
        """Whether a part matches."""
        return any(part.holds(seen) for part in self.parts)

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """What keeps the closest part from matching."""
        each = (part.misses(seen) for part in self.parts)
        return min(each, key=lambda misses: sum(miss.weight for miss in misses))

    def __str__(self) -> str:
        return " | ".join(_grouped(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Matcher):
    """Matches what ``inner`` does not match."""

    inner: Matcher

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """The frame, where ``inner`` matches it."""
        return (Mismatch("frame", str(self), str(seen)),) if self.inner.holds(seen) else ()

    def __str__(self) -> str:
        return f"~{_grouped(self.inner)}"


@dataclass(frozen=True, slots=True)
class Where(Matcher):
    """Matches the frames whose bytes a plan's own function accepts."""

    test: Callable[[bytes], object]
    name: str

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """The name, where the function refuses the frame; PlanError where it raises."""
        try:
            accepted = self.test(seen.data)
        except Exception as error:
            raise PlanError(f"{self} raised {error!r} on {seen}") from error
        return () if accepted else (Mismatch("frame", self.name, str(seen)),)

    def __str__(self) -> str:
        return f"where({self.name})"

    @classmethod
    def of(cls, test: Callable[[bytes], object], name: str | None) -> Where:
        """``test`` under ``name``, or under its own."""
        if not callable(test):
            raise PlanError(f"where() wants a function of the frame's bytes, got {test!r}")
        return cls(test, name or describe_callable(test))


@dataclass(frozen=True, slots=True)
class Bytewise(Matcher):
    """Matches by bytes alone: the whole frame, with ``padding`` up to the minimum, or a part."""

    data: bytes
    part: bool = False
    padding: bool = False

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """The first byte that differs, or the lengths."""
        got, wanted = seen.data, self.data
        if self.part:
            return () if wanted in got else (Mismatch("frame", str(self), str(seen)),)
        if got == wanted or (self.padding and got == wanted.ljust(60, b"\0")):
            return ()
        differing = (at for at, (g, w) in enumerate(zip(got, wanted, strict=False)) if g != w)
        at = next(differing, None)
        if at is None:
            return (Mismatch("raw.length", f"{len(wanted)} bytes", f"{len(got)} bytes"),)
        count = 1 + sum(1 for _ in differing) + abs(len(got) - len(wanted))
        return (Mismatch(f"raw byte {at}", f"{wanted[at]:#04x}", f"{got[at]:#04x}", count),)

    def __str__(self) -> str:
        shown = self.data[:16].hex() + ("..." if len(self.data) > 16 else "")
        name = "containing" if self.part else "raw"
        return f"{name}({shown}, {len(self.data)} bytes)"


def _checked(other: object) -> Matcher:
    if not isinstance(other, Matcher):
        raise PlanError(f"a matcher combines with matchers only, got {other!r}")
    return other


def _parts(matcher: Matcher, kind: type[AllOf | AnyOf]) -> tuple[Matcher, ...]:
    """The parts of a combination of this kind, so that ``a & b & c`` is one of three."""
    return matcher.parts if isinstance(matcher, kind) else (matcher,)


def _grouped(matcher: Matcher) -> str:
    return f"({matcher})" if isinstance(matcher, AllOf | AnyOf) else str(matcher)
