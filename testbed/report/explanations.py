"""Differences between the model and the real thing that are known: read from the one file of them.

Each entry names what it explains and says why::

    - plan: plans/tcp/test_tc10_rto.py          # a file, a node id, or a pattern with *
      platform: linux_host                      # the real device's; left out: any
      expectation: "*: expect 2 of tcp(*"       # as the command shows it; left out: the whole plan
      differs: [frames]                         # left out: in whatever way
      sometimes: true                           # left out: each time
      why: ...
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from testbed.errors import PlanError
from testbed.inventory.source import read_text
from testbed.inventory.tree import BROKEN, Tree, compose
from testbed.report.differences import Comparison, Difference, Kind

__all__ = ["Explained", "Explanation", "explain", "load_explanations"]


class Explanation(BaseModel):
    """Why some differences are there, and stay."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    plan: str = Field(min_length=1)
    platform: str = "*"
    expectation: str = "*"
    differs: list[Kind] = []
    why: str = Field(min_length=10)
    sometimes: bool = False
    """Whether some runs show it and others do not: then it is never stale."""
    place: str = ""
    """``file:line``, for messages."""

    def covers(self, difference: Difference) -> bool:
        """Whether ``difference`` is one of those."""
        return (
            self.is_about(difference.plan, difference.platform)
            and fnmatchcase(difference.expectation, _literally(self.expectation))
            and (not self.differs or difference.kind in self.differs)
        )

    def is_about(self, plan: str, platform: str) -> bool:
        """Whether it is about this plan on this platform."""
        return fnmatchcase(platform, self.platform) and any(
            fnmatchcase(name, _literally(self.plan)) for name in (plan, plan.partition("::")[0])
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """A comparison in the light of what is known.

    ``stale`` are the explanations of plans that were compared, and did not differ in that way.
    """

    known: tuple[tuple[Difference, Explanation], ...]
    unknown: tuple[Difference, ...]
    stale: tuple[Explanation, ...]


def explain(comparison: Comparison, explanations: Iterable[Explanation]) -> Explained:
    """Tell which differences are explained, by the first entry that covers each."""
    explanations = tuple(explanations)
    known, unknown = [], []
    for difference in comparison.differences:
        why = next((each for each in explanations if each.covers(difference)), None)
        if why is None:
            unknown.append(difference)
        else:
            known.append((difference, why))
    stale = [
        each
        for each in explanations
        if not each.sometimes
        and any(each.is_about(plan, platform) for plan, platform, _ in comparison.compared)
        and not any(each.covers(difference) for difference in comparison.differences)
    ]
    return Explained(tuple(known), tuple(unknown), tuple(stale))


def load_explanations(path: Path) -> tuple[Explanation, ...]:
    """The entries of a file; PlanError says what is wrong with it, and where."""
    tree = compose(read_text(path))
    problems = [
        f"{path}:{(fault.mark or tree.mark(fault.path)).line}: {fault.text}"
        for fault in tree.faults
    ]
    data = tree.data
    if data is not BROKEN and data is not None and not isinstance(data, list):
        problems.append(f"{path}:1: expected a list of explanations")
    if problems or data is BROKEN:
        raise PlanError("; ".join(problems))
    return tuple(_entry(path, tree, number) for number in range(len(data or ())))


def _entry(path: Path, tree: Tree, number: int) -> Explanation:
    entry: Any = tree.data[number]
    if not isinstance(entry, dict):
        raise PlanError(f"{_at(path, tree, (number,))}: expected an explanation, got {entry!r}")
    try:
        return Explanation.model_validate({**entry, "place": _at(path, tree, (number,))})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = (number, *first["loc"])
        known = where if where in tree.values else (number,)
        text = ".".join(str(step) for step in first["loc"])
        raise PlanError(f"{_at(path, tree, known)}: {text}: {first['msg']}") from error


def _at(path: Path, tree: Tree, where: tuple[str | int, ...]) -> str:
    return f"{path}:{tree.mark(where).line}"


def _literally(pattern: str) -> str:
    """A pattern in which only ``*`` is special: texts of expectations are full of brackets."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
