"""What a plan adds to JUnit XML, for CI systems that read nothing else."""

from __future__ import annotations

from testbed.report.records import PlanRecord
from testbed.report.text import visible

__all__ = ["properties"]


def properties(plan: PlanRecord) -> list[tuple[str, str]]:
    """Names and values for pytest's ``record_property``, in a fixed order; empty ones left out.

    ``artifact`` and ``device.<role>`` may come several times and under several names: JUnit
    allows both.
    """
    pairs = [
        ("behaviour", plan.behaviour),
        ("clause", plan.clause),
        ("drill", plan.drill),
        ("verdict", plan.verdict),
        ("attempt", str(plan.attempt)),
    ]
    pairs += [(f"device.{role}", device) for role, device in plan.mapping.items()]
    for artifact in plan.artifacts:
        frame = "" if artifact.frame is None else f"#{artifact.frame}"
        pairs.append(("artifact", artifact.path + frame))
    return [(visible(name), visible(value)) for name, value in pairs if value]
