"""Past verdicts of a bench, as JSON lines that are only ever appended to.

One file per bench. A run is appended in one write to a descriptor opened with O_APPEND, so runs
that end together do not tear each other's lines; a line torn by a crash or a full disk is skipped,
with a note, when the file is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testbed.report.records import VERDICTS, RunRecord, Verdict

__all__ = ["History", "PastVerdict", "append", "history_path", "load"]

_TAIL = 8 * 1024 * 1024
"""How much of the file's end is read: years of nightly runs, in a fraction of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastVerdict:
    """What a plan came to in an earlier run; ``at`` is wall time and ``duration`` both in ns."""

    run_id: str
    verdict: Verdict
    at: int
    duration: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Past verdicts by plan (its node id), oldest first, and notes on what could not be read."""

    past: Mapping[str, tuple[PastVerdict, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def history_path(directory: Path, bench: str) -> Path:
    """The bench's file in ``directory``; a name unfit for a file gets a digest in its place."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", bench)[:60]
    if stem != bench:
        digest = hashlib.sha256(bench.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        stem = f"{stem}-{digest}"
    return directory / f"{stem}.jsonl"


def append(directory: Path, run: RunRecord) -> Path:
    """Add the verdicts of ``run`` to its bench's file and return the file.

    OSError where the file cannot be written whole.
    """
    path = history_path(directory, run.bench)
    directory.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps(
            {
                "run": run.run_id,
                "plan": plan.nodeid,
                "verdict": plan.verdict,
                "at": run.started,
                "duration": plan.duration,
            }
        )
        + "\n"
        for plan in run.plans
    )
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # A line that a crash tore must not swallow the first line of this run. Another's write that
        # is under way looks torn too: a blank line too many, which readers skip.
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
        data = (("\n" if torn else "") + lines).encode("ascii")
        written = os.write(descriptor, data) if data else 0
    finally:
        os.close(descriptor)
    if written != len(data):
        raise OSError(f"{path}: only {written} of {len(data)} bytes written: is the disk full?")
    return path


def load(directory: Path, bench: str, *, last: int = 12) -> History:
    """The ``last`` verdicts of each plan on ``bench``; a bench without a file has no past."""
    path = history_path(directory, bench)
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read(_TAIL).split(b"\n")
    except FileNotFoundError:
        return History()
    except OSError as error:
        return History(notes=(f"history not read: {error}",))
    if size > _TAIL:
        del lines[0]  # it may begin before what was read
    past, skipped = _collect(lines, last)
    notes = (f"{path}: {skipped} corrupt line(s) skipped",) if skipped else ()
    return History(past={plan: tuple(seen) for plan, seen in past.items()}, notes=notes)


def _collect(lines: Iterable[bytes], last: int) -> tuple[dict[str, deque[PastVerdict]], int]:
    past: dict[str, deque[PastVerdict]] = {}
    skipped = 0
    for line in lines:
        if not line.strip():
            continue
        entry = _parse(line)
        if entry is None:
            skipped += 1
        else:
            plan, verdict = entry
            past.setdefault(plan, deque(maxlen=last)).append(verdict)
    return past, skipped


def _parse(line: bytes) -> tuple[str, PastVerdict] | None:
    """The plan and verdict of one line, or None where it is none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match entry:
        case {
            "run": str(run_id),
            "plan": str(plan),
            "verdict": str(word),
            "at": int(at),
            "duration": int(duration),
        }:
            verdict = next((known for known in VERDICTS if known == word), None)
            if verdict is None:
                return None
            return plan, PastVerdict(run_id=run_id, verdict=verdict, at=at, duration=duration)
        case _:
            return None
