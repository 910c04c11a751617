"""From what happened to records: what a plan did, saw and changed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.bench.bench import Bench
from testbed.bench.cases import Case, Marked, first_line
from testbed.bench.journal import Entry
from testbed.bench.session import BenchSession
from testbed.console.transcript import ConsoleLine
from testbed.devices.registry import PLATFORMS
from testbed.plugin.ladders import draw
from testbed.report import (
    ArtifactRecord,
    BoxEventRecord,
    BoxRecord,
    CableRecord,
    ChangeRecord,
    ConsoleRecord,
    DeviceRecord,
    JudgementRecord,
    NicRecord,
    PlanRecord,
    Verdict,
)
from testbed.wire import Direction, summary

__all__ = ["Story", "bench_records", "tell"]


@dataclass(slots=True)
class Story:
    """One plan's run, as far as it got."""

    nodeid: str
    marked: Marked
    case: Case | None = None
    verdict: Verdict = "pass"
    reason: str = ""
    details: str = ""
    rig_at_fault: bool = False
    """Of an error: whether the bench caused it, or else the plan's author."""
    started: int = 0
    duration: int = 0
    attempt: int = 1
    bench: Bench | None = None
    capture: Path | None = None
    console: tuple[ConsoleLine, ...] = ()
    changes: list[Entry] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """The node id as a file name."""
        name = self.nodeid.rpartition("/")[2].replace(".py::", "-")
        return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_")[:150]


def tell(story: Story, *, in_full: bool = True) -> PlanRecord:
    """The record of one plan; with what it saw where that is told ``in_full``."""
    case, bench, marked = story.case, story.bench, story.marked
    return PlanRecord(
        nodeid=story.nodeid,
        verdict=story.verdict,
        title=first_line(marked.doc),
        oracle=_paragraphs(marked.doc.strip().partition("\n")[2]),
        behaviour=marked.behaviour,
        family=marked.family,
        clause=marked.clause,
        topology=str(marked.topology or ""),
        mapping=dict(case.placement.nodes) if case else {},
        drill=case.drill.name if case and case.drill else "",
        reason=story.reason,
        details=story.details,
        started=story.started,
        duration=story.duration,
        attempt=story.attempt,
        console=tuple(
            ConsoleRecord(
                device=line.device,
                transport=line.transport,
                at=line.at,
                direction="sent" if line.direction is Direction.OUT else "received",
                text=line.text,
            )
            for line in story.console
        ),
        changes=tuple(_change(entry) for entry in story.changes),
        **(_seen(bench) if bench and in_full else {}),
        artifacts=_artifacts(story),
    )


def _paragraphs(text: str) -> str:
    """A docstring's text with one line for each paragraph: the reader's screen wraps it.

    Names of code lose their marks, which the report would show as they are.
    """
    blocks = re.split(r"\n\s*\n", text.replace("``", "").strip())
    return "\n\n".join(" ".join(block.split()) for block in blocks)


def _change(entry: Entry) -> ChangeRecord:
    change = entry.change
    return ChangeRecord(
        device=entry.target,
        summary=change.summary if change else "",
        made_at=entry.made_at,
        undone_at=entry.undone_at,
        undo=change.undo if change else (),
    )


def _seen(bench: Bench) -> dict[str, Any]:
    return {
        "judgements": tuple(
            JudgementRecord(
                text=judgement.text,
                point=judgement.point,
                verdict=judgement.verdict.value,
                frames=judgement.frames,
                details=judgement.details,
                source=judgement.source or "",
            )
            for judgement in bench.trace.judgements
        ),
        "ladder": draw(bench),
        "box_events": tuple(
            BoxEventRecord(
                at=at, box=box.role, direction=direction, action=action, summary=summary(frame)
            )
            for box in bench.boxes
            for at, direction, action, frame in box.events()
        )
        + tuple(
            BoxEventRecord(
                at=at, box=role, direction=direction, action=action, summary=summary(frame)
            )
            for at, role, direction, action, frame in bench.struck()
        ),
        "notes": tuple(bench.notes),
        "benchmarks": tuple(bench.benchmarks),
    }


def _artifacts(story: Story) -> tuple[ArtifactRecord, ...]:
    if story.capture is None:
        return ()
    decided = next(
        (
            judgement.frames[0]
            for judgement in reversed(story.bench.trace.judgements if story.bench else [])
            if judgement.frames
        ),
        None,
    )
    return (ArtifactRecord(path=str(story.capture), frame=decided, description="every frame"),)


def bench_records(session: BenchSession) -> dict[str, Any]:
    """The bench itself: devices with versions, NICs, boxes, cables with their proven state."""
    bench = session.hardware
    proofs = {proof.cable: proof for proof in session.proofs}
    gear = {**bench.devices, **bench.hosts}
    return {
        "devices": tuple(
            DeviceRecord(
                name=name,
                platform=device.platform,
                kind=PLATFORMS[device.platform].kind,
                version=session.versions.get(name, ""),
                ports=device.ports,
                transport=", ".join(
                    word
                    for word, there in (("ssh", device.ssh), ("serial", device.console))
                    if there
                ),
            )
            for name, device in gear.items()
        ),
        "nics": tuple(
            NicRecord(name=name, interface=nic.interface or "", mac=str(nic.mac or ""))
            for name, nic in bench.controller.nics.items()
        ),
        "boxes": tuple(
            BoxRecord(name=name, left=left, right=right)
            for name, (left, right) in bench.controller.boxes.items()
        ),
        "cables": tuple(
            CableRecord(
                end_a=str(cable.ends[0]),
                end_b=str(cable.ends[1]),
                mtu=cable.mtu,
                state=proofs[cable].state if cable in proofs else "unproven",
                note=proofs[cable].note if cable in proofs else "",
            )
            for cable in bench.cables
        ),
    }
