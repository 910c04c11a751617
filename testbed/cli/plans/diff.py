"""``testbed plans diff``: where a model and the real thing part."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from testbed.cli.exits import Exit
from testbed.errors import LabError
from testbed.report.differences import Comparison, Difference, compare
from testbed.report.explanations import Explained, explain, load_explanations
from testbed.report.records import RunRecord
from testbed.report.serial import from_json

__all__ = ["diff"]

FORMAT = "testbed-diff/1"
"""Names the layout of the JSON; another layout gets another number."""

KNOWN = Path("plans/differences.yaml")


@click.command()
@click.argument("plans", nargs=-1, metavar="[PLANS]...")
@click.option(
    "--bench",
    "benches",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A bench file, twice: first the model, then the real thing.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    nargs=2,
    metavar="MODEL REAL",
    help="In place of benches: the run.json of two runs that there were already.",
)
@click.option(
    "-b",
    "--behaviour",
    "behaviours",
    multiple=True,
    metavar="ID",
    help="Only this row or family, such as SW-02 or TC. May be given several times.",
)
@click.option("--slow", is_flag=True, help="Also the plans that take minutes on a real bench.")
@click.option(
    "--known",
    type=click.Path(path_type=Path, dir_okay=False),
    default=KNOWN,
    show_default=True,
    metavar="FILE",
    help="Where differences are explained.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write JSON."
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the reports of both runs here.",
)
def diff(  # noqa: PLR0917 - click passes each option by name
    plans: tuple[str, ...],
    benches: tuple[Path, ...],
    runs: tuple[Path, Path] | None,
    behaviours: tuple[str, ...],
    slow: bool,
    known: Path,
    json_file: Path | None,
    artifacts: Path | None,
) -> None:
    """Run PLANS (default: plans) on two benches and list where they part.

    Verdict by verdict and expectation by expectation: which was met on one bench only, which had
    another verdict, which was decided by another number of frames. Each real device is compared
    with the model's of its kind. What cannot run on one of the benches is not compared.

    \b
      testbed plans diff --bench inventory/sim.yaml --bench inventory/virtual.yaml
      testbed plans diff --bench inventory/sim.yaml --bench rack7.yaml -b SW
      testbed plans diff --runs sim/run.json rack7/run.json

    What is known to differ is explained in one file. Exit code 1 when a difference is not.
    """  # noqa: D301 - \b is click's mark
    if len(benches) != (2 if runs is None else 0):
        raise click.UsageError("Name two benches, the model first, or --runs MODEL REAL.")
    explanations = load_explanations(known) if known.exists() or known != KNOWN else ()
    if runs is not None:
        model, real = (from_json(path.read_text()) for path in runs)
    else:
        chosen = [*(plans or ("plans",)), *(word for row in behaviours for word in _row(row))]
        chosen += ["--bench-slow"] if slow else []
        model, real = _run_both(benches, chosen, artifacts)
    comparison = compare(model, real)
    explained = explain(comparison, explanations)
    if json_file is not None:
        json_file.write_text(_to_json(model, real, comparison, explained))
    _show(model, real, comparison, explained)
    if not comparison.compared:
        sys.exit(Exit.NOTHING)
    if explained.unknown:
        sys.exit(Exit.FAILED)


def _row(row: str) -> tuple[str, str]:
    return "--bench-row", row


def _run_both(
    benches: Iterable[Path], chosen: list[str], artifacts: Path | None
) -> list[RunRecord]:
    with tempfile.TemporaryDirectory(prefix="testbed-diff-") as scratch:
        root = artifacts or Path(scratch)
        return [
            _run(bench, chosen, root / f"{number}-{bench.stem}")
            for number, bench in enumerate(benches, 1)
        ]


def _run(bench: Path, chosen: list[str], artifacts: Path) -> RunRecord:
    """Run plans on ``bench`` in a process of their own: what is loaded there stays there."""
    command = [sys.executable, "-m", "pytest", *chosen, "--bench", str(bench)]
    command += ["--bench-artifacts", str(artifacts), "--bench-capture", "failed"]
    command += ["--bench-narrate", "-q", "--tb=no", "-rN", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        said = []
        for line in process.stdout or ():
            said.append(line.rstrip())
            click.echo(line.rstrip(), err=True)
    written = sorted(artifacts.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    if not written:
        raise LabError(f"no run on {bench}: {' | '.join(said[-3:]) or 'it said nothing'}")
    return from_json(written[-1].read_text())


def _show(model: RunRecord, real: RunRecord, comparison: Comparison, explained: Explained) -> None:
    console = Console()
    if explained.known:
        table = _table(f"explained: {len(explained.known)}", model, real, "why")
        for difference, explanation in explained.known:
            table.add_row(*_cells(difference), explanation.why)
        console.print(table)
    if explained.unknown:
        table = _table(f"not explained: {len(explained.unknown)}", model, real, "plan's line")
        for difference in explained.unknown:
            table.add_row(*_cells(difference), difference.source or difference.plan)
        console.print(table)
    for stale in explained.stale:
        click.echo(f"{stale.place}: explains nothing any more: {stale.plan} on {stale.platform}")
    reasons = Counter(each.why for each in comparison.uncompared)
    for why, count in reasons.most_common():
        click.echo(f"not compared: {_count(count, 'case')}: {why}")
    click.echo(
        f"{model.bench} and {real.bench}: {_count(len(comparison.compared), 'case')} and "
        f"{_count(comparison.expectations, 'expectation')} compared, "
        f"{_count(len(comparison.uncompared), 'case')} not; "
        f"{_count(len(comparison.differences), 'difference')}, "
        f"{len(explained.unknown)} not explained, "
        f"{_count(len(explained.stale), 'explanation')} stale"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _table(title: str, model: RunRecord, real: RunRecord, last: str) -> Table:
    table = Table(title=title)
    for heading in ("row", "device", "what", model.bench, real.bench, last):
        table.add_column(heading, overflow="fold")
    return table


def _cells(difference: Difference) -> tuple[str, ...]:
    where = f"{difference.device} ({difference.platform})" if difference.platform else ""
    what = difference.expectation or difference.plan.rpartition("::")[2]
    row = difference.behaviour
    return row, where or difference.device, what, difference.model, difference.real


def _to_json(
    model: RunRecord, real: RunRecord, comparison: Comparison, explained: Explained
) -> str:
    document = {
        "format": FORMAT,
        "model": model.bench,
        "real": real.bench,
        "cases": [
            {"plan": plan, "platform": platform, "device": device}
            for plan, platform, device in comparison.compared
        ],
        "expectations": comparison.expectations,
        "explained": [
            asdict(difference) | {"why": explanation.why, "place": explanation.place}
            for difference, explanation in explained.known
        ],
        "not_explained": [asdict(difference) for difference in explained.unknown],
        "stale": [stale.model_dump() for stale in explained.stale],
        "not_compared": [asdict(each) for each in comparison.uncompared],
    }
    return json.dumps(document, indent=2) + "\n"
