"""``testbed run`` and ``testbed drill``: plans on a bench."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from testbed.bench.cases import RIG_STATUS
from testbed.cli.exits import Exit
from testbed.cli.options import bench_option

__all__ = ["drill", "run"]

plans_argument = click.argument("plans", nargs=-1, metavar="[PLANS]...")
select_option = click.option(
    "-k", "select", metavar="WORDS", help="Only plans whose names match, as in pytest."
)
behaviour_option = click.option(
    "-b",
    "--behaviour",
    "behaviours",
    multiple=True,
    metavar="ID",
    help="Only plans of this row or family, such as SW-02 or TC. May be given several times.",
)
slow_option = click.option(
    "--slow",
    is_flag=True,
    help="Also the plans that take minutes, which are left out otherwise, but on a sim bench.",
)
performance_option = click.option(
    "--performance",
    is_flag=True,
    help="Also the benchmarks of devices (RFC 2544, RFC 2889), which are left out otherwise.",
)
trial_duration_option = click.option(
    "--trial-duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long a benchmark's trials last: 60 s by RFC 2544; 1 ms on a sim bench.",
)
trials_option = click.option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many trials are averaged: 20 and 50 by RFC 2544; 2 on a sim bench.",
)
frame_size_option = click.option(
    "--frame-size",
    "frame_sizes",
    type=int,
    multiple=True,
    metavar="BYTES",
    help="Benchmark with frames of this size only, FCS included. May be given several times.",
)
seed_option = click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Where all chance of a sim bench comes from: the same seed, the same run, to the byte.",
)
artifacts_option = click.option(
    "--artifacts", default="reports", show_default=True, metavar="DIR", help="Where reports go."
)
capture_option = click.option(
    "--capture",
    type=click.Choice(["always", "failed", "never"]),
    default="always",
    show_default=True,
    help="For which plans to keep a pcapng.",
)


ENDS = {
    pytest.ExitCode.OK: Exit.OK,
    pytest.ExitCode.TESTS_FAILED: Exit.FAILED,
    pytest.ExitCode.INTERRUPTED: Exit.INTERRUPTED,
    pytest.ExitCode.NO_TESTS_COLLECTED: Exit.NOTHING,
    RIG_STATUS: Exit.RIG,
}
"""What pytest's statuses mean; any other is a mistake in the command, a plan or a file."""


def _pytest(arguments: list[str], select: str | None, behaviours: tuple[str, ...]) -> Exit:
    rows = [word for row in behaviours for word in ("--bench-row", row)]
    chosen = ["-k", select] if select else []
    return ENDS.get(pytest.main([*arguments, *rows, *chosen]), Exit.USAGE)


def _arguments(plans: tuple[str, ...], bench_file: Path, artifacts: str, capture: str) -> list[str]:
    return [
        *(plans or ("plans",)),
        "--bench",
        str(bench_file),
        "--bench-artifacts",
        artifacts,
        "--bench-capture",
        capture,
        "--bench-narrate",
        "-q",
        "--tb=no",
        "-rN",
        "-p",
        "no:cacheprovider",
    ]


def _shortening(
    duration: float | None, trials: int | None, frame_sizes: tuple[int, ...]
) -> list[str]:
    given = [] if duration is None else ["--bench-trial-duration", str(duration)]
    given += [] if trials is None else ["--bench-trials", str(trials)]
    return given + [word for size in frame_sizes for word in ("--bench-frame-size", str(size))]


@click.command()
@plans_argument
@bench_option
@behaviour_option
@select_option
@capture_option
@artifacts_option
@slow_option
@performance_option
@trial_duration_option
@trials_option
@frame_size_option
@seed_option
@click.option(
    "--python-hosts",
    is_flag=True,
    help="With good Python stacks in the place of kernel hosts, where these are on this machine.",
)
@click.option("--keep-config", is_flag=True, help="Leave the plans' changes on the devices.")
@click.option(
    "--prove/--no-prove", default=True, show_default=True, help="Prove the cabling first."
)
@click.option("--junit", metavar="FILE", help="Also write JUnit XML.")
@click.option("-x", "--stop", is_flag=True, help="Stop at the first failure or error.")
def run(  # noqa: PLR0917 - click passes each option by name
    plans: tuple[str, ...],
    bench_file: Path,
    behaviours: tuple[str, ...],
    select: str | None,
    capture: str,
    artifacts: str,
    slow: bool,
    performance: bool,
    trial_duration: float | None,
    trials: int | None,
    frame_sizes: tuple[int, ...],
    seed: int,
    python_hosts: bool,
    keep_config: bool,
    prove: bool,
    junit: str | None,
    stop: bool,
) -> None:
    """Run PLANS (files, folders or pytest node ids; default: plans) on a bench.

    \b
      testbed run --bench inventory/sim.yaml            in virtual time, anywhere
      testbed run --bench inventory/virtual.yaml        on software devices of this machine
      testbed run --bench rack7.yaml -b SW              switching only
      testbed run --bench rack7.yaml plans/routing -k ttl
    """  # noqa: D301 - \b is click's mark
    arguments = _arguments(plans, bench_file, artifacts, capture)
    arguments += ["--bench-slow"] if slow else []
    arguments += ["--bench-performance"] if performance else []
    arguments += _shortening(trial_duration, trials, frame_sizes)
    arguments += ["--bench-seed", str(seed)]
    arguments += ["--bench-python-hosts"] if python_hosts else []
    arguments += ["--bench-keep-config"] if keep_config else []
    arguments += [] if prove else ["--no-bench-prove"]
    arguments += [f"--junit-xml={junit}"] if junit else []
    arguments += ["-x"] if stop else []
    sys.exit(_pytest(arguments, select, behaviours))


@click.command()
@plans_argument
@bench_option
@behaviour_option
@select_option
@artifacts_option
@slow_option
def drill(  # noqa: PLR0917 - click passes each option by name
    plans: tuple[str, ...],
    bench_file: Path,
    behaviours: tuple[str, ...],
    select: str | None,
    artifacts: str,
    slow: bool,
) -> None:
    """Run each of PLANS against its defects, which must fail it for the right reason.

    A plan that still passes on a device made wrong on purpose is a broken plan: exit code 1.
    """
    arguments = [*_arguments(plans, bench_file, artifacts, "failed"), "--bench-drill"]
    arguments += ["--bench-slow"] if slow else []
    sys.exit(_pytest(arguments, select, behaviours))
