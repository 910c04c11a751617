"""What the template shows, worked out from the records: totals, the verdict grid, each plan's view.

A report must stay small and quick for a run of any size, so each plan has a share of a fixed
budget of bytes, plans that did not pass a larger one. What is left out is said where it is
missing, and is whole in the pcapng and in run.json.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from markupsafe import Markup

from testbed.report.benchmarks.figures import Figures, figures_of
from testbed.report.fragments import ConsoleView, commands, console, link_to, mark_differences
from testbed.report.history import History, PastVerdict
from testbed.report.ladder import Drawing, draw_ladder
from testbed.report.records import (
    VERDICTS,
    ArtifactRecord,
    JudgementRecord,
    PlanRecord,
    RunRecord,
    Verdict,
)
from testbed.report.text import clip, offset, span

__all__ = [
    "FAMILIES",
    "GOOD",
    "LABELS",
    "Headline",
    "PlanView",
    "RunView",
    "family_of",
    "headline",
    "player",
    "view_run",
]

GOOD: frozenset[Verdict] = frozenset({"pass", "skip", "drill-caught"})
"""Verdicts that need nobody's attention."""

LABELS: dict[Verdict, tuple[str, str]] = {
    "pass": ("passed", "passed"),
    "fail": ("failed", "failed"),
    "error": ("error", "errors"),
    "skip": ("skipped", "skipped"),
    "drill-caught": ("drill caught", "drills caught"),
    "drill-missed": ("drill missed", "drills missed"),
}
"""What a verdict is called for one plan and for several."""

FAMILIES = {
    "SW": "Switching",
    "IP": "ARP, IPv4, ICMP, routing",
    "FR": "Fragmentation",
    "PM": "Path MTU",
    "UD": "UDP",
    "AP": "Services",
    "TC": "TCP",
    "BM": "Benchmarks",
    "NX": "Beyond",
}
"""The catalogue's families in their order."""

_BUDGET = 9_000_000
"""Bytes that all plans together may take in the report."""


def family_of(plan: PlanRecord) -> str:
    """The plan's family, from its behaviour's id where it does not say."""
    return plan.family or plan.behaviour.partition("-")[0] or "other"


def player(plan: PlanRecord) -> str:
    """The device that a plan is about: who plays ``dut``, or everybody."""
    return plan.mapping.get("dut") or ", ".join(dict.fromkeys(plan.mapping.values()))


@dataclass(frozen=True, slots=True)
class Headline:
    """The run in one sentence, and how it looks: ``good``, ``bad`` or ``idle``."""

    text: str
    look: str


def headline(run: RunRecord) -> Headline:
    """What a person wants to know first."""
    count = Counter(plan.verdict for plan in run.plans)
    missed = count["drill-missed"]
    parts = [
        f"{count['fail']} failed" if count["fail"] else "",
        f"{count['error']} could not be judged" if count["error"] else "",
        f"{missed} drill{'s' * (missed > 1)} not caught" if missed else "",
    ]
    troubles = ", ".join(part for part in parts if part)
    if troubles:
        return Headline(troubles[0].upper() + troubles[1:], "bad")
    if not run.restored:
        return Headline("The bench was not restored", "bad")
    judged = count["pass"] + count["drill-caught"]
    if not judged:
        return Headline("No plan was judged", "idle")
    what = "plan passed" if count["pass"] else "drill was caught"
    plural = "plans passed" if count["pass"] else "drills were caught"
    number = count["pass"] or count["drill-caught"]
    return Headline(f"The {what}" if number == 1 else f"All {number} {plural}", "good")


@dataclass(frozen=True, slots=True)
class Trend:
    """A plan's past: verdicts oldest first, this run's last, and a word where it gives one."""

    marks: tuple[Verdict, ...]
    word: str

    @property
    def told(self) -> str:
        """The marks in words, for those who do not see them."""
        return f"last {len(self.marks)} runs, newest last: " + ", ".join(self.marks)


def _trend(plan: PlanRecord, past: Sequence[PastVerdict], run_id: str) -> Trend | None:
    before = [old.verdict for old in past if old.run_id != run_id][-11:]
    if not before:
        return None
    judged = [verdict for verdict in before if verdict != "skip"]
    turns = sum(a != b for a, b in pairwise([*judged, plan.verdict]))
    word = ""
    if plan.verdict != "skip" and judged:
        was, now = judged[-1] in GOOD, plan.verdict in GOOD
        if turns >= 3:
            word = "flaky"
        elif was != now:
            word = "fixed" if now else "regression"
    return Trend((*before, plan.verdict), word)


@dataclass(frozen=True, slots=True)
class Expectation:
    """A judgement, with its near misses marked up and the frames that can be jumped to."""

    text: str
    point: str
    verdict: str
    frames: tuple[int, ...]
    details: Markup
    source: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """An artifact with its address and the commands that open it."""

    record: ArtifactRecord
    href: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A change, box event or note: its offsets and words."""

    at: str
    who: str
    text: str
    until: str = ""
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanView:
    """One plan, ready for the template; ``index`` makes its ids."""

    index: int
    record: PlanRecord
    family: str
    player: str
    duration: str
    began: str
    trend: Trend | None
    details: Markup
    expectations: tuple[Expectation, ...]
    ladder: Drawing | None
    ladder_hidden: int
    clocks: tuple[str, ...]
    console: ConsoleView
    changes: tuple[Event, ...]
    box_events: tuple[Event, ...]
    notes: tuple[Event, ...]
    evidence: tuple[Evidence, ...]
    figures: tuple[Figures, ...]
    cut: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the plan needs nobody's attention."""
        return self.record.verdict in GOOD


@dataclass(frozen=True, slots=True)
class Group:
    """All plans of one behaviour."""

    behaviour: str
    cells: tuple[PlanView, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the verdict grid."""

    key: str
    name: str
    groups: tuple[Group, ...]
    good: int
    total: int


@dataclass(frozen=True, slots=True)
class RunView:
    """The whole report, ready for the template."""

    headline: Headline
    totals: tuple[tuple[Verdict, str, int], ...]
    families: tuple[Family, ...]
    plans: tuple[PlanView, ...]
    troubles: tuple[PlanView, ...]
    started: str
    started_iso: str
    duration: str
    cable_states: tuple[tuple[str, int], ...]
    history_notes: tuple[str, ...]


def _stamp(nanoseconds: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return datetime(1970, 1, 1, tzinfo=UTC)


def _shares(plans: Sequence[PlanRecord]) -> list[int]:
    """How many bytes each plan may take."""
    weights = [1 if plan.verdict in GOOD else 4 for plan in plans]
    unit = _BUDGET / max(sum(weights), 1)
    return [round(min(unit * weight, 70_000 * weight)) for weight in weights]


def _ladder(plan: PlanRecord, index: int, room: int) -> Drawing | None:
    """The ladder in at most ``room`` bytes, as long as a few rows fit."""
    cap = max(room // 170, 24)
    while True:
        drawing = draw_ladder(plan, index, cap)
        if drawing is None or len(drawing.body) <= room or cap <= 24:
            return drawing
        cap = max(24, min(cap - 1, drawing.drawn * room // len(drawing.body)))


def _view_plan(index: int, plan: PlanRecord, share: int, trend: Trend | None) -> PlanView:
    ladder = _ladder(plan, index, share * 6 // 10)
    anchors = ladder.anchors if ladder else frozenset()
    rows = max(share // 2_000, 10)
    start = plan.started
    room = max(share // 10, 1_500)
    expectations = tuple(
        Expectation(
            clip(judgement.text, 600),
            clip(judgement.point, 100),
            clip(judgement.verdict, 20),
            judgement.frames[:12],
            # What the reason already shows is not shown twice.
            Markup()
            if judgement.details == plan.details
            else mark_differences(judgement.details, index, anchors, room),
            clip(judgement.source, 200),
        )
        for judgement in _telling(plan, rows)
    )
    parts = {
        "expectations": len(plan.judgements),
        "configuration changes": len(plan.changes),
        "box events": len(plan.box_events),
        "notes": len(plan.notes),
    }
    return PlanView(
        index=index,
        record=plan,
        family=family_of(plan),
        player=player(plan),
        duration=span(plan.duration) if plan.duration else "",
        began=f"{_stamp(start):%H:%M:%S.%f}" if start else "",
        trend=trend,
        details=mark_differences(plan.details, index, anchors, room),
        expectations=expectations,
        ladder=ladder,
        ladder_hidden=(ladder.hidden if ladder else 0) + plan.ladder.omitted,
        clocks=plan.ladder.clocks,
        console=console(plan.console, start, share // 4),
        changes=_changes(plan, rows),
        box_events=tuple(
            Event(offset(e.at - start), f"{e.box} {e.direction}", f"{e.action} {e.summary}")
            for e in plan.box_events[:rows]
        ),
        notes=tuple(Event(offset(n.at - start), "", clip(n.text, 600)) for n in plan.notes[:rows]),
        evidence=tuple(
            Evidence(artifact, link_to(artifact.path), commands(artifact))
            for artifact in plan.artifacts[:rows]
        ),
        figures=figures_of(plan.benchmarks),
        cut=tuple(f"{n - rows:,} {what}" for what, n in parts.items() if n > rows),
    )


def _telling(plan: PlanRecord, most: int) -> list[JudgementRecord]:
    """At most ``most`` judgements in their order, the unmet ones before all others."""
    numbered = sorted(enumerate(plan.judgements), key=lambda pair: pair[1].verdict == "pass")
    return [judgement for _, judgement in sorted(numbered[:most], key=lambda pair: pair[0])]


def _changes(plan: PlanRecord, rows: int) -> tuple[Event, ...]:
    return tuple(
        Event(
            offset(change.made_at - plan.started),
            change.device,
            clip(change.summary, 600),
            "" if change.undone_at is None else offset(change.undone_at - plan.started),
            tuple(clip(line, 300) for line in change.undo[:20]),
        )
        for change in plan.changes[:rows]
    )


def _families(plans: Sequence[PlanView]) -> tuple[Family, ...]:
    grid: dict[str, dict[str, list[PlanView]]] = defaultdict(lambda: defaultdict(list))
    for plan in plans:
        grid[plan.family][plan.record.behaviour or plan.record.nodeid].append(plan)
    order = list(FAMILIES)
    families = []
    for key in sorted(grid, key=lambda key: (order.index(key) if key in order else 99, key)):
        groups = tuple(Group(name, tuple(grid[key][name])) for name in sorted(grid[key]))
        cells = [cell for group in groups for cell in group.cells]
        good = sum(cell.good for cell in cells)
        families.append(Family(key, FAMILIES.get(key, ""), groups, good, len(cells)))
    return tuple(families)


def view_run(run: RunRecord, history: History) -> RunView:
    """Everything that the template shows."""
    shares = _shares(run.plans)
    plans = tuple(
        _view_plan(
            index,
            plan,
            shares[index - 1],
            _trend(plan, history.past.get(plan.nodeid, ()), run.run_id),
        )
        for index, plan in enumerate(run.plans, 1)
    )
    count = Counter(plan.verdict for plan in run.plans)
    began = _stamp(run.started)
    return RunView(
        headline=headline(run),
        totals=tuple((v, LABELS[v][count[v] != 1], count[v]) for v in VERDICTS if count[v]),
        families=_families(plans),
        plans=plans,
        troubles=tuple(plan for plan in plans if not plan.good),
        started=f"{began:%Y-%m-%d %H:%M:%S} UTC",
        started_iso=f"{began:%Y-%m-%dT%H:%M:%SZ}",
        duration=span(max(run.ended - run.started, 0)),
        cable_states=tuple(Counter(cable.state for cable in run.cables).most_common()),
        history_notes=history.notes,
    )
