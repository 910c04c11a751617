"""``python tests/benchmarks [NAME ...]``: take benchmarks, print a table, write JSON.

Exit code 1 where a goal was missed. NAMEs are the modules' (``wire_tcp``); without, all of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness import Goal, Result, take
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
MARKS = {True: "[green]reached[/]", False: "[red]MISSED[/]", None: "[yellow]not judged[/]"}


def main() -> int:
    """Take what was asked for and say whether every goal was reached."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)}")
    parser.add_argument("--json", type=Path, default=Path("reports/bench.json"))
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(known)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    machine = describe_machine()
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    results: list[Result] = []
    for name in asked.names or known:
        for benchmark in importlib.import_module(f"bench_{name}").benchmarks():
            results.append(take(benchmark))
            show(console, results[-1])
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(as_json(machine, results), indent=1) + "\n")
    console.print(f"written to {asked.json}")
    missed = [result.name for result in results for goal in result.goals if failed(result, goal)]
    if missed:
        console.print(f"[red]missed:[/] {', '.join(missed)}")
    return 1 if missed else 0


def failed(result: Result, goal: Goal) -> bool:
    """Whether a goal was judged, and missed."""
    return result.verdict(goal) is False


def show(console: Console, result: Result) -> None:
    """Print one benchmark's table."""
    table = Table(title=f"{result.name} ({result.unit})", title_justify="left", min_width=72)
    for title in ("", "median", "best", "worst", "testbed is"):
        table.add_column(title, justify="left" if not title else "right")
    for name, figures in result.rounds.items():
        least, most = min(figures), max(figures)
        best, worst = (least, most) if result.better == "less" else (most, least)
        known = name != "testbed" and "testbed" in result.rounds
        ratio = f"{result.ratio(name):.3g} x as good" if known else ""
        cells = [f"{figure:.4g}" for figure in (result.medians[name], best, worst)]
        table.add_row(name, *cells, ratio)
    for name, reason in result.missing.items():
        table.add_row(name, "-", "-", "-", f"not here: {reason}")
    console.print(table)
    for goal in result.goals:
        console.print(f"  goal {goal.text(result.unit, result.better)}: ", end="")
        console.print(MARKS[result.verdict(goal)])


def describe_machine() -> dict[str, str]:
    """What the figures were taken on, and when."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": str(len(Path("/proc/stat").read_text().split("cpu")) - 2),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": Path("/proc/loadavg").read_text().split()[0],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def as_json(machine: dict[str, str], results: Sequence[Result]) -> dict[str, object]:
    """All of it for programs: figures of every round, medians, ratios, goals."""
    return {
        "machine": machine,
        "benchmarks": [
            {
                "name": result.name,
                "unit": result.unit,
                "better": result.better,
                "medians": result.medians,
                "ratios": {
                    name: ratio if math.isfinite(ratio := result.ratio(name)) else None
                    for name in result.rounds
                    if name != "testbed" and "testbed" in result.rounds
                },
                "rounds": {name: list(figures) for name, figures in result.rounds.items()},
                "missing": dict(result.missing),
                "goals": [
                    {
                        "goal": goal.text(result.unit, result.better),
                        "reached": result.verdict(goal),
                    }
                    for goal in result.goals
                ],
            }
            for result in results
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
