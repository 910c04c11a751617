"""Which plan runs where: a case for every device that can be under test, and for every drill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from testbed.bench.drill import Drill, Flaw
from testbed.bench.placement import Placement, find_placements
from testbed.bench.topology import Topology
from testbed.devices.registry import PLATFORMS
from testbed.errors import PlanError
from testbed.inventory import Bench as BenchFile

__all__ = ["RIG_STATUS", "Case", "Marked", "cases_for", "first_line", "read_marks"]

RIG_STATUS = 6
"""The status of a pytest session in which the bench was wrong and no device; pytest has 0 to 5."""

NEEDS = ("console", "ssh", "power")
"""What a plan can ask of the devices that it is placed on, by ``@pytest.mark.needs(...)``."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What a plan's markers and docstring say."""

    behaviour: str
    clause: str
    topology: Topology | None
    needs: tuple[str, ...]
    drills: tuple[Drill, ...]
    doc: str
    slow: str = ""
    """Why the plan takes so long that it runs only where slow plans are asked for."""
    minimum: Mapping[str, float] | None = None
    """Of a benchmark: what the device must reach, by name, which may be nothing; else None."""

    @property
    def family(self) -> str:
        """``SW`` of ``SW-02``."""
        return self.behaviour.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Case:
    """A plan on a placement, on good gear or with a defect in it: a drill's, or one that grades."""

    placement: Placement
    drill: Drill | None = None
    flaw: Flaw | None = None
    seed: int | None = None
    """What all chance of a simulated bench follows from; None for the run's own."""

    @property
    def id(self) -> str:
        """Short and readable, for the node id: ``sw1``, ``sw1-never ages``, ``sw1-seed 3``."""
        topology = self.placement.topology
        dut = topology.dut
        places = [self.placement.nodes[name] for name, kind in topology.nodes]
        name = self.placement.nodes[dut] if dut else "-".join(places)
        if self.flaw is not None:
            return f"{name}-{self.flaw}"
        if self.seed is not None:
            return f"{name}-seed {self.seed}"
        return f"{name}-{self.drill.name}" if self.drill else name


def first_line(text: str) -> str:
    """The first line of a docstring, without its full stop."""
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def read_marks(definition: pytest.Item | pytest.Function) -> Marked:
    """What the markers of a plan say; PlanError where they make no sense."""
    behaviour = definition.get_closest_marker("behaviour")
    topology = definition.get_closest_marker("topology")
    needs = tuple(str(n) for mark in definition.iter_markers("needs") for n in mark.args)
    unknown = [need for need in needs if need not in NEEDS]
    if unknown:
        raise PlanError(f"needs({', '.join(unknown)}): expected some of {', '.join(NEEDS)}")
    shape = topology.args[0] if topology and topology.args else None
    if topology and not isinstance(shape, Topology):
        raise PlanError(f"topology({shape!r}): expected a Topology, such as Topology.star('dut')")
    row = behaviour.args[0] if behaviour and behaviour.args else None
    if behaviour and (not isinstance(row, str) or behaviour.kwargs.keys() - {"clause"}):
        raise PlanError('behaviour(...): expected a row and its clause: "SW-02", clause="..."')
    function = getattr(definition, "function", None)
    module = getattr(definition, "module", None)
    doc = getattr(function, "__doc__", None) or getattr(module, "__doc__", None) or ""
    return Marked(
        behaviour=row or "",
        clause=str(behaviour.kwargs.get("clause", "")) if behaviour else "",
        topology=shape,
        needs=needs,
        drills=tuple(_drill(mark) for mark in definition.iter_markers("drill")),
        doc=doc,
        slow=_slow(definition.get_closest_marker("slow")),
        minimum=_minimum(definition.get_closest_marker("performance")),
    )


def _slow(mark: pytest.Mark | None) -> str:
    if mark is None:
        return ""
    if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0]:
        raise PlanError('slow(...): say why, such as slow("R2 is 100 s at least")')
    return mark.args[0]


def _minimum(mark: pytest.Mark | None) -> Mapping[str, float] | None:
    if mark is None:
        return None
    minimum = mark.kwargs.get("minimum") or {}
    if mark.args or mark.kwargs.keys() - {"minimum"} or not isinstance(minimum, Mapping):
        raise PlanError(
            'performance(...): expected what the device must reach: minimum={"throughput": 0.9}'
        )
    return dict(minimum)


def _drill(mark: pytest.Mark) -> Drill:
    drill = mark.args[0] if mark.args else None
    if not isinstance(drill, Drill):
        raise PlanError(f"pytest.mark.drill({drill!r}): write drills with testbed.drill(...)")
    strange = drill.faults.keys() - PLATFORMS.keys() - {"any"}
    if strange:
        raise PlanError(
            f"drill {drill.name!r}: no platform {', '.join(sorted(strange))}; "
            f"there are {', '.join(PLATFORMS)}"
        )
    return drill


def cases_for(marked: Marked, bench: BenchFile, *, drill: bool) -> tuple[list[Case], str]:
    """The cases of a plan on ``bench``, or none and the reason; PlanError without a topology."""
    if marked.topology is None:
        raise PlanError(
            "a plan that uses bench says what it needs: @pytest.mark.topology(Topology.star(...))"
        )
    placements = find_placements(marked.topology, bench)
    if not placements:
        return [], f"bench {bench.bench} has nowhere to put {marked.topology}"
    fit = [p for p in placements if not _lacks(p, marked.needs, bench)]
    if not fit:
        return [], f"bench {bench.bench}: {_lacks(placements[0], marked.needs, bench)}"
    if not drill:
        return [Case(placement) for placement in fit], ""
    cases = [
        Case(placement, one)
        for placement in fit
        for one in marked.drills
        if one.fault_for(_platforms(placement, bench))
    ]
    return cases, "" if cases else "no drill of this plan knows how to break these devices"


def _platforms(placement: Placement, bench: BenchFile) -> set[str]:
    gear = {**bench.devices, **bench.hosts}
    return {gear[place].platform for place in placement.nodes.values() if place in gear}


def _lacks(placement: Placement, needs: tuple[str, ...], bench: BenchFile) -> str:
    """What a device of ``placement`` does not have, or nothing."""
    if bench.lab == "virtual":
        return "" if "power" not in needs else "the virtual lab has no power relay"
    if bench.lab == "sim":
        lacking = [need for need in needs if need != "console"]
        return f"the sim lab has no {lacking[0]}" if lacking else ""
    gear = {**bench.devices, **bench.hosts}
    for place in placement.nodes.values():
        for need in needs:
            if place in gear and getattr(gear[place], need) is None:
                return f"{place} has no {need}"
    return ""
