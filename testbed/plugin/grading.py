"""A pytest session that is a worker of a grade: it runs the cases that its desk hands it."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Generator
from pathlib import Path
from time import monotonic

import pytest

from testbed.bench.cases import Case, Marked, cases_for, first_line
from testbed.bench.drill import Flaw
from testbed.bench.grading.desk import (
    CaseFound,
    Collected,
    Decision,
    Desk,
    Ended,
    Outcome,
    PlanFound,
)
from testbed.bench.grading.registry import known_defects, roles_for
from testbed.bench.topology import Kind
from testbed.errors import ExpectationFailed, Unsupported
from testbed.inventory import Bench as BenchFile
from testbed.plugin.keys import STORY

__all__ = ["GradingPlugin"]

JUDGEMENTS = (AssertionError, pytest.fail.Exception)
"""How a plan fails a device: ExpectationFailed is an AssertionError."""


class GradingPlugin:
    """The hooks of a worker."""

    def __init__(self, desk: Desk, file: BenchFile) -> None:
        self._desk = desk
        self._file = file
        self._defects = known_defects(desk.order.sources)
        self._keys = {id(known.defect): known.key for known in self._defects}
        self._plans: dict[str, PlanFound] = {}
        self._problems: list[str] = []
        self._phases: list[tuple[str, BaseException]] = []

    def cases(self, definition: pytest.Function, marked: Marked) -> tuple[list[Case], str]:
        """The cases of a plan: good devices with every seed, then each defect of its row."""
        placed, reason = cases_for(marked, self._file, drill=False)
        cases = [
            Case(one.placement, seed=seed) for one in placed for seed in self._desk.order.seeds
        ]
        seed, unfit = self._desk.order.seeds[0], {}
        for known in self._defects:
            if known.row != marked.behaviour or marked.topology is None:
                continue
            drilled = (role for one in marked.drills for role in one.roles_of(known.defect))
            roles = roles_for(known, marked.topology, drilled)
            if not roles:
                unfit[known.key] = f"no {' or '.join(sorted(known.kinds))} in its topology"
            for role in roles:
                flaw = Flaw(known.defect, role)
                cases += [Case(one.placement, flaw=flaw, seed=seed) for one in placed]
        path = str(definition.path)
        self._plans[definition.nodeid] = PlanFound(
            id=definition.nodeid,
            path=path,
            function=definition.nodeid.partition("::")[2].partition("::")[0],
            row=marked.behaviour,
            title=first_line(marked.doc),
            topology=str(marked.topology or ""),
            unfit=unfit,
            unplaced=reason,
        )
        return cases, reason

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a plan that cannot be read."""
        if report.failed:
            self._problems.append(f"{report.nodeid} cannot be read: {_last_line(report)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Tell what there is, then run what the desk asks for, one after the other."""
        items = {item.nodeid: item for item in session.items}
        found = [case for item in session.items if (case := self._found(item)) is not None]
        kept = {item.nodeid.partition("[")[0] for item in session.items}
        plans = [plan for plan in self._plans.values() if plan.id in kept]
        self._desk.tell(Collected(tuple(plans), tuple(found), tuple(self._problems)))
        while (wanted := self._desk.next()) is not None:
            self._desk.tell(self._run(items[wanted]))
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what was raised, and in which phase, before anybody makes something else of it."""
        if call.excinfo is not None:
            self._phases.append((call.when, call.excinfo.value))
        return (yield)

    def _found(self, item: pytest.Item) -> CaseFound | None:
        case = item.callspec.params.get("bench_case") if hasattr(item, "callspec") else None
        if not isinstance(case, Case):
            return None
        return CaseFound(
            id=item.nodeid,
            plan=item.nodeid.partition("[")[0],
            placement=str(case.placement),
            seed=case.seed or 0,
            defect=self._keys[id(case.flaw.defect)] if case.flaw else "",
            role=case.flaw.role if case.flaw else "",
        )

    def _run(self, item: pytest.Item) -> Outcome:
        self._phases, began = [], monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        ended, reason, decision = _judged(item, self._phases)
        outcome = Outcome(
            item.nodeid,
            ended,
            reason,
            decision,
            drilled=_drilled(item, self._phases) if ended == "fail" else "",
            unused=_unused(item),
            seconds=monotonic() - began,
        )
        # Hundreds of plans are run, and each holds all the frames that it has seen.
        del item.stash[STORY]
        return outcome


def _judged(
    item: pytest.Item, phases: list[tuple[str, BaseException]]
) -> tuple[Ended, str, Decision | None]:
    """What to make of all that was raised: a failure counts where the plan's own line made it."""
    for when, error in phases:
        if isinstance(error, Unsupported | pytest.skip.Exception | pytest.xfail.Exception):
            return "skip", str(error), None
        if isinstance(error, JUDGEMENTS) and when != "teardown":
            decision = _decision(item, error)
            if decision is not None:
                return "fail", decision.expectation, decision
        where = f"{when}: " if when != "call" else ""
        return "error", f"{where}{type(error).__name__}: {_first(error)}", None
    return "pass", "", None


def _decision(item: pytest.Item, error: BaseException) -> Decision | None:
    """The innermost line of the plan's file; None where the plan has not judged.

    An assertion of ours or of a library is a crash: the plan's own are in its file or beside it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == item.path]
    judged = isinstance(error, ExpectationFailed | pytest.fail.Exception)
    if not own or not (judged or Path(frames[-1].filename).parent in item.path.parents):
        return None
    last = own[-1]
    return Decision(
        file=os.path.relpath(item.path),
        line=last.lineno or 0,
        statement=(last.line or "").strip(),
        expectation=_first(error),
        lines=tuple(frame.lineno or 0 for frame in own),
    )


def _first(error: BaseException) -> str:
    return str(getattr(error, "summary", "")) or str(error).partition("\n")[0]


def _drilled(item: pytest.Item, phases: list[tuple[str, BaseException]]) -> str:
    """The pattern of the plan's drill with this defect, where what failed does not match it."""
    story, failure = item.stash[STORY], str(phases[0][1])
    flaw = story.case.flaw if story.case else None
    if flaw is None:
        return ""
    patterns = [one.caught for one in story.marked.drills if one.roles_of(flaw.defect)]
    return "" if any(re.search(each, failure) for each in patterns) else "|".join(patterns)


def _unused(item: pytest.Item) -> str:
    """Why nothing had the defect in it: a NIC has a stack only where the plan makes one."""
    story = item.stash[STORY]
    if story.case is None or story.case.flaw is None or story.bench is None:
        return ""
    role = story.case.flaw.role
    if story.bench.topology.kind(role) is Kind.NIC and role not in story.bench.stacks:
        return f"it makes no stack on {role}"
    return ""


def _last_line(report: pytest.CollectReport) -> str:
    lines = report.longreprtext.strip().splitlines()
    return lines[-1] if lines else ""
