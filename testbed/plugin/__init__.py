"""Pytest's way in: options, fixtures, markers.

Every pytest run in this environment loads this module, with a bench or without, so whatever a
bench needs is imported only once ``--bench`` is given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from testbed.errors import InventoryError, PlanError
from testbed.plugin.keys import RUN, STORY
from testbed.plugin.options import Options, add_options

if TYPE_CHECKING:
    from testbed.bench.bench import Bench
    from testbed.bench.capturing import Capture
    from testbed.bench.cases import Case
    from testbed.bench.trials import Trials

__all__ = ["bench", "bench_case", "capture", "trials"]

MARKERS = (
    "behaviour(id, clause=None): the row of the catalogue that this plan judges",
    "topology(Topology): what the plan needs, as named nodes and links",
    "needs(*what): what its devices must have: console, ssh, power",
    "slow(why): takes minutes of real time; run only where slow plans are asked for",
    "performance(minimum=None): a benchmark, run only where these are asked for; what is reached",
    "drill(Drill): a defect that the plan must catch; write it with testbed.drill(...)",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare --bench and its kin."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the bench file, before anything is collected."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    options = Options.of(config)
    if options.bench is None:
        return
    from testbed.bench.grading.desk import DESK  # noqa: PLC0415 - see the module's docstring
    from testbed.devices.registry import PLATFORMS  # noqa: PLC0415
    from testbed.inventory import load  # noqa: PLC0415
    from testbed.plugin.hooks import BenchPlugin  # noqa: PLC0415
    from testbed.plugin.run import Run  # noqa: PLC0415

    try:
        loaded = load(options.bench, platforms=frozenset(PLATFORMS))
    except InventoryError as error:
        raise pytest.UsageError(str(error)) from None

    def say(text: str) -> None:
        reporter = config.pluginmanager.getplugin("terminalreporter")
        capture = config.pluginmanager.getplugin("capturemanager")
        # What is said while a plan runs is said now, and no output of the plan's.
        aside = nullcontext() if capture is None else capture.global_and_fixture_disabled()
        if reporter is not None:
            with aside:
                reporter.ensure_newline()
                reporter.write_line(f"bench: {text}")

    config.stash[RUN] = Run(options, loaded.bench, say)
    desk = config.stash.get(DESK, None)
    if desk is not None:
        from testbed.plugin.grading import GradingPlugin  # noqa: PLC0415

        config.pluginmanager.register(GradingPlugin(desk, loaded.bench), "testbed-grading")
    config.pluginmanager.register(BenchPlugin(config.stash[RUN]), "testbed-bench")
    if options.narrate:
        from testbed.plugin.terminal import Narrator  # noqa: PLC0415

        config.pluginmanager.register(Narrator(config.stash[RUN]), "testbed-narrator")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each device that can be under test, and in a drill for each defect."""
    run = metafunc.config.stash.get(RUN, None)
    wanted = "bench_case" in metafunc.fixturenames
    if run is None and not wanted:
        return
    reason = "no bench: say --bench FILE, such as --bench inventory/virtual.yaml"
    cases: list[Case] = []
    if run is not None:
        from testbed.bench.cases import cases_for, read_marks  # noqa: PLC0415

        try:
            marked = read_marks(metafunc.definition)
            grading = metafunc.config.pluginmanager.getplugin("testbed-grading")
            if wanted and grading is not None:
                cases, reason = grading.cases(metafunc.definition, marked)
            elif wanted:
                cases, reason = cases_for(marked, run.file, drill=run.options.drill)
        except PlanError as error:
            where = metafunc.definition.nodeid
            raise pytest.Collector.CollectError(f"{where}: {error}") from None
    if not wanted:
        return
    params = [pytest.param(case, id=case.id) for case in cases]
    skipped = pytest.param(None, id="no bench", marks=pytest.mark.skip(reason=reason))
    metafunc.parametrize("bench_case", params or [skipped], indirect=True)


@pytest.fixture
def bench_case(request: pytest.FixtureRequest) -> Case:
    """Where this plan runs; parametrized by the plugin."""
    case: Case = request.param
    return case


@pytest.fixture
def bench(request: pytest.FixtureRequest, bench_case: Case) -> Iterator[Bench]:
    """The bench, with the plan's topology placed on it; put back when the plan ends."""
    run, story = request.config.stash[RUN], request.node.stash[STORY]
    story.case = bench_case

    def source() -> str | None:
        return _plan_line(str(request.node.path))

    with run.plan(story, bench_case, source) as made:
        yield made


@pytest.fixture
def capture(bench: Bench) -> Iterator[Capture]:
    """A capture of every link that a controller NIC can hear, from the plan's start to its end."""
    with bench.capture() as seen:
        yield seen


@pytest.fixture
def trials(request: pytest.FixtureRequest, bench: Bench) -> Trials:
    """Benchmarks of RFC 2544 and RFC 2889 on this plan's bench, as long as the run wants them."""
    from testbed.bench.cases import read_marks  # noqa: PLC0415 - see the module's docstring
    from testbed.bench.trials import Trials  # noqa: PLC0415

    minimum = read_marks(request.node).minimum
    return Trials(bench, request.config.stash[RUN].options.shortening(), minimum or {})


def _plan_line(path: str) -> str | None:
    """``file:line`` of the innermost frame that is in the plan's file."""
    frame = sys._getframe()  # noqa: SLF001 - the documented way to the caller's frames
    while frame.f_code.co_filename != path:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return f"{os.path.relpath(path)}:{frame.f_lineno}"
