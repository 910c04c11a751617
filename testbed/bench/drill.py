"""Defect drills: the same plan against a device made wrong on purpose, which must fail it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from testbed.errors import PlanError
from testbed.stack.variants import Defect

if TYPE_CHECKING:
    from testbed.bench.bench import Bench

__all__ = ["Drill", "Flaw", "drill"]


@dataclass(frozen=True, slots=True)
class Drill:
    """One defect, how it is put into which platform, and how the plan must notice.

    ``caught`` is a regular expression that the failed expectation's text must match: a plan that
    fails for another reason has not caught this defect.
    """

    name: str
    faults: Mapping[str, Callable[[Bench], None]]
    caught: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.caught)
        except re.error as error:
            raise PlanError(
                f"drill {self.name!r}: caught={self.caught!r} is no regular expression: {error}"
            ) from None

    def roles_of(self, defect: Defect) -> tuple[str, ...]:
        """The roles that this drill gives ``defect`` to, where it is one of its faults."""
        parts = [part for fault in self.faults.values() for part in getattr(fault, "parts", ())]
        return tuple(role for part, role in parts if part is defect)

    def fault_for(self, platforms: set[str]) -> Callable[[Bench], None] | None:
        """How to make one of ``platforms`` wrong; None where nobody knows how."""
        for platform, fault in self.faults.items():
            if platform in platforms or platform == "any":
                return fault
        return None

    def sabotage(self, bench: Bench) -> None:
        """Make the gear under ``bench`` wrong."""
        fault = self.fault_for(set(bench.platforms.values()))
        if fault is None:
            raise PlanError(f"drill {self.name!r} does not know how to break {bench.placement}")
        fault(bench)

    def judge(self, failure: BaseException) -> None:
        """Accept ``failure`` as this defect's, or raise PlanError."""
        if not re.search(self.caught, str(failure)):
            raise PlanError(
                f"drill {self.name!r}: the plan failed, but for another reason than "
                f"/{self.caught}/: {failure}"
            ) from failure


@dataclass(frozen=True, slots=True)
class Flaw:
    """A defect in whoever plays ``role``, by which a plan is graded: it does not know of it."""

    defect: Defect
    role: str

    def __str__(self) -> str:
        where = "" if self.role == "dut" else f" in {self.role}"
        return f"{self.defect.name}{where}"

    def sabotage(self, bench: Bench) -> None:
        """Make the gear under ``bench`` wrong."""
        bench.spoil(self.role, self.defect)


def drill(
    name: str,
    fault: Callable[[Bench], None] | Mapping[str, Callable[[Bench], None]],
    *,
    caught: str,
) -> pytest.MarkDecorator:
    """Mark a plan with a defect that it must catch.

    ``fault`` breaks the mapped gear by means of ``bench.sabotage(...)`` (undone when the drill
    ends); one function for any platform, or one per platform. ``caught`` is a regular expression
    for the failed expectation's text.
    """
    faults = dict(fault) if isinstance(fault, Mapping) else {"any": fault}
    return pytest.mark.drill(Drill(name, faults, caught))
