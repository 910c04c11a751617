"""``testbed run`` and ``testbed drill``: plans on a bench."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from testbed.cli.exits import Exit
from testbed.cli.options import bench_option
from testbed.plugin.keys import RUN
from testbed.plugin.run import Run
from testbed.plugin.terminal import Narrator

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


class _Session:
    """Our part in pytest's session: choosing plans, and telling how they go."""

    def __init__(self, behaviours: tuple[str, ...]) -> None:
        self._behaviours = behaviours
        self.run: Run | None = None
        self.narrator: Narrator | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Have each plan told in our own words."""
        self.run = config.stash.get(RUN, None)
        if self.run is not None:
            self.narrator = Narrator(self.run)
            config.pluginmanager.register(self.narrator, "testbed-narrator")

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect what was not asked for."""
        if not self._behaviours:
            return
        dropped = [item for item in items if not self._wanted(item)]
        items[:] = [item for item in items if self._wanted(item)]
        config.hook.pytest_deselected(items=dropped)

    def _wanted(self, item: pytest.Item) -> bool:
        marker = item.get_closest_marker("behaviour")
        row = str(marker.args[0]) if marker and marker.args else ""
        return any(row == wanted or row.startswith(f"{wanted}-") for wanted in self._behaviours)


ENDS = {
    pytest.ExitCode.INTERRUPTED: Exit.INTERRUPTED,
    pytest.ExitCode.USAGE_ERROR: Exit.USAGE,
    pytest.ExitCode.INTERNAL_ERROR: Exit.USAGE,
    pytest.ExitCode.NO_TESTS_COLLECTED: Exit.NOTHING,
}


def _pytest(arguments: list[str], select: str | None, behaviours: tuple[str, ...]) -> Exit:
    session = _Session(behaviours)
    status = pytest.main([*arguments, *(("-k", select) if select else ())], plugins=[session])
    run = session.run
    if session.narrator is not None:
        session.narrator.close()
    if run is not None and run.failed_to_open is not None:
        return Exit.RIG
    if status in ENDS:
        return ENDS[pytest.ExitCode(status)]
    return _verdict(run) if run is not None else Exit.USAGE


def _verdict(run: Run) -> Exit:
    verdicts = {record.verdict for record in run.records}
    restored = run.session is None or run.session.restored
    if verdicts & {"fail", "drill-missed"}:
        return Exit.FAILED
    if "error" in verdicts or not restored:
        return Exit.RIG
    return Exit.OK if verdicts - {"skip"} else Exit.NOTHING


def _arguments(plans: tuple[str, ...], bench_file: Path, artifacts: str, capture: str) -> list[str]:
    return [
        *(plans or ("plans",)),
        "--bench",
        str(bench_file),
        "--bench-artifacts",
        artifacts,
        "--bench-capture",
        capture,
        "-q",
        "--tb=no",
        "-rN",
        "-p",
        "no:cacheprovider",
    ]


@click.command()
@plans_argument
@bench_option
@behaviour_option
@select_option
@capture_option
@artifacts_option
@click.option("--keep-config", is_flag=True, help="Leave the plans' changes on the devices.")
@click.option(
    "--prove/--no-prove", default=True, show_default=True, help="Prove the cabling first."
)
@click.option("--junit", metavar="FILE", help="Also write JUnit XML.")
@click.option("-x", "--stop", is_flag=True, help="Stop at the first failure or error.")
def run(
    plans: tuple[str, ...],
    bench_file: Path,
    behaviours: tuple[str, ...],
    select: str | None,
    capture: str,
    artifacts: str,
    keep_config: bool,
    prove: bool,
    junit: str | None,
    stop: bool,
) -> None:
    r"""Run PLANS (files, folders or pytest node ids; default: plans) on a bench.

    \b
      testbed run --bench inventory/virtual.yaml
      testbed run --bench rack7.yaml -b SW              switching only
      testbed run --bench rack7.yaml plans/routing -k ttl
    """
    arguments = _arguments(plans, bench_file, artifacts, capture)
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
def drill(
    plans: tuple[str, ...],
    bench_file: Path,
    behaviours: tuple[str, ...],
    select: str | None,
    artifacts: str,
) -> None:
    """Run each of PLANS against its defects, which must fail it for the right reason.

    A plan that still passes on a device made wrong on purpose is a broken plan: exit code 1.
    """
    arguments = [*_arguments(plans, bench_file, artifacts, "failed"), "--bench-drill"]
    sys.exit(_pytest(arguments, select, behaviours))
