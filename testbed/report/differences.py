"""Where two runs of the same plans part: a model and the real thing, case by case.

A case on the real bench is compared with the model's case of the same plan: of the device of the
same name where there is one, or else of the first. Platforms differ between benches; what is under
test is of one kind. Names, addresses and numbers that each bench chooses for itself are left out of
the comparison. A plan that either bench skips is not compared: that it cannot be run says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from testbed.report.records import JudgementRecord, PlanRecord, RunRecord

__all__ = ["Comparison", "Difference", "Uncompared", "compare", "normalised"]

Kind = Literal["verdict", "missing", "extra", "judged", "frames"]
"""``verdict``: the plan ended otherwise. ``missing``: the real bench never came to an expectation
that the model met; ``extra``: the other way round. ``judged``: one expectation, two verdicts.
``frames``: it was decided by another number of frames."""

_BY_NATURE = (
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "MAC"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "IP"),
    (re.compile(r"\((?:[0-9a-f]{8,}(?:\.\.\.)?), (\d+) bytes\)"), r"(\1 bytes)"),
    (re.compile(r"\b(seq|ack|ident|src_port|dst_port|ts_val|ts_ecr)=(?:0x[0-9a-f]+|\d+)"), r"\1=N"),
    (re.compile(r"\b(?:0x)?[0-9a-f]{9,}\b"), "HEX"),
    (re.compile(r"#\d+"), "#N"),
)
_EITHER = re.compile(r"\bone of (\d+(?:, \d+)+)")
_EPHEMERAL = 32768
"""From here on, ports are those that clients take (RFC 6335 6 says 49152, Linux begins here)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which a device differs from the model of it.

    ``plan`` is a node id without its case; ``platform`` that of the real device, ``device`` its
    name. ``expectation`` is its text as ``normalised``, with its point in front; empty where the
    plan as a whole is meant. ``model`` and ``real`` tell what each had.
    """

    plan: str
    behaviour: str
    platform: str
    device: str
    kind: Kind
    expectation: str = ""
    source: str = ""
    model: str = ""
    real: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncompared:
    """A case that one of the benches could not run, or does not have."""

    plan: str
    behaviour: str
    device: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of it. ``compared`` are the cases that both ran: plan, platform, device."""

    compared: tuple[tuple[str, str, str], ...]
    expectations: int
    differences: tuple[Difference, ...]
    uncompared: tuple[Uncompared, ...]


def normalised(text: str) -> str:
    """``text`` without what each bench chooses for itself: addresses, ports, numbers, bytes."""
    for pattern, word in _BY_NATURE:
        text = pattern.sub(word, text)
    return _EITHER.sub(_ports, text)


def _ports(match: re.Match[str]) -> str:
    numbers = match[1].split(", ")
    return "one of " + ", ".join(
        sorted("N" if int(number) >= _EPHEMERAL else number for number in numbers)
    )


def compare(model: RunRecord, real: RunRecord) -> Comparison:
    """Hold the run on the ``real`` bench against the one on the ``model``."""
    known = _by_plan(model)
    compared: list[tuple[str, str, str]] = []
    found: list[Difference] = []
    uncompared: list[Uncompared] = []
    count = 0
    for plan, cases in _by_plan(real).items():
        for case in cases.values():
            device = _device(case)
            twin = _twin(device, known.get(plan, {}))
            why = _incomparable(twin, case, model.bench, real.bench)
            if why or twin is None:
                row = case.behaviour
                uncompared.append(Uncompared(plan=plan, behaviour=row, device=device, why=why))
                continue
            platform = _platforms(real).get(device, "")
            compared.append((plan, platform, device))
            count += len(case.judgements)
            found += _parted(plan, platform, device, twin, case)
    return Comparison(
        compared=tuple(compared),
        expectations=count,
        differences=tuple(found),
        uncompared=tuple(uncompared),
    )


def _by_plan(run: RunRecord) -> dict[str, dict[str, PlanRecord]]:
    """The cases of each plan, by the device under test; of several attempts the last."""
    plans: dict[str, dict[str, PlanRecord]] = {}
    for case in run.plans:
        if not case.drill:
            plans.setdefault(case.nodeid.partition("[")[0], {})[_device(case)] = case
    return plans


def _platforms(run: RunRecord) -> Mapping[str, str]:
    return {device.name: device.platform for device in run.devices}


def _device(case: PlanRecord) -> str:
    """The device under test, or all that take part where none is."""
    return case.mapping.get("dut") or "-".join(case.mapping.values())


def _twin(device: str, cases: Mapping[str, PlanRecord]) -> PlanRecord | None:
    return cases.get(device) or next(iter(cases.values()), None)


def _incomparable(twin: PlanRecord | None, case: PlanRecord, model: str, real: str) -> str:
    if case.verdict == "skip":
        return f"{real}: {case.reason}"
    if twin is None:
        return f"{model} did not run it"
    return f"{model}: {twin.reason}" if twin.verdict == "skip" else ""


def _parted(
    plan: str, platform: str, device: str, twin: PlanRecord, case: PlanRecord
) -> list[Difference]:
    def differs(kind: Kind, model: str, real: str, of: JudgementRecord | None = None) -> Difference:
        return Difference(
            plan=plan,
            behaviour=case.behaviour,
            platform=platform,
            device=device,
            kind=kind,
            expectation=_name(of) if of else "",
            source=of.source if of else "",
            model=model,
            real=real,
        )

    found = []
    if twin.verdict != case.verdict:
        found.append(differs("verdict", _ending(twin), _ending(case)))
    there, here = _by_name(twin.judgements), _by_name(case.judgements)
    for key in {**there, **here}:
        ours, theirs = there.get(key, []), here.get(key, [])
        for one, other in zip(ours, theirs, strict=False):
            if one.verdict != other.verdict:
                found.append(differs("judged", one.verdict, other.verdict, other))
            elif len(one.frames) != len(other.frames):
                found.append(differs("frames", _frames(one), _frames(other), other))
        if len(ours) > len(theirs):
            found.append(differs("missing", _times(ours), _times(theirs), ours[-1]))
        elif len(theirs) > len(ours):
            found.append(differs("extra", _times(ours), _times(theirs), theirs[-1]))
    return found


def _by_name(judgements: Iterable[JudgementRecord]) -> dict[str, list[JudgementRecord]]:
    """The judgements of each expectation, in their order: a loop asks the same thing often.

    The plan's line is no part of it: one of the runs may be of yesterday's plan.
    """
    found: dict[str, list[JudgementRecord]] = {}
    for judgement in judgements:
        found.setdefault(_name(judgement), []).append(judgement)
    return found


def _name(judgement: JudgementRecord) -> str:
    return f"{judgement.point}: {normalised(judgement.text)}"


def _ending(case: PlanRecord) -> str:
    reason = case.reason.partition("\n")[0]
    return f"{case.verdict}: {reason}" if reason else case.verdict


def _frames(judgement: JudgementRecord) -> str:
    count = len(judgement.frames)
    return f"{count} frame" if count == 1 else f"{count} frames"


def _times(judgements: list[JudgementRecord]) -> str:
    return ("never", "once")[len(judgements)] if len(judgements) < 2 else f"{len(judgements)} times"
