"""What the plugin can be told, on the command line and in ini files."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from testbed.bench.trials import Shortening

__all__ = ["Options", "add_options"]

CaptureWhen = Literal["always", "failed", "never"]


@dataclass(frozen=True, slots=True)
class Options:
    """The plugin's settings; without ``bench`` it stays out of the way."""

    bench: Path | None
    capture: CaptureWhen
    artifacts: Path
    keep_config: bool
    drill: bool
    prove: bool
    rows: tuple[str, ...]
    narrate: bool
    slow: bool
    python_hosts: bool
    report: bool
    seed: int
    performance: bool
    trial_duration: float | None
    trials: int | None
    frame_sizes: tuple[int, ...]

    def shortening(self) -> Shortening:
        """What the options want shorter in benchmarks; PlanError where that makes no sense."""
        from testbed.bench.trials import Shortening  # noqa: PLC0415 - it is of the bench
        from testbed.timing import seconds  # noqa: PLC0415

        asked = self.trial_duration
        return Shortening(None if asked is None else seconds(asked), self.trials, self.frame_sizes)

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """Read the command line, then the ini file."""

        def value(name: str) -> object:
            given = config.getoption(name)
            return config.getini(name) if given is None else given

        def path(name: str) -> Path | None:
            """A path of the command line is relative to here, one of the ini file to that file."""
            given = value(name)
            beside = config.inipath.parent if config.inipath else Path()
            is_ini = config.getoption(name) is None and config.getini(name)
            base = Path(os.path.relpath(beside)) if is_ini and given else Path()
            return base / str(given) if given else None

        when = value("bench_capture")
        if when not in ("always", "failed", "never"):
            raise pytest.UsageError(f"bench_capture is {when!r}, expected always, failed or never")
        return cls(
            bench=path("bench"),
            capture=when,
            artifacts=path("bench_artifacts") or Path("reports"),
            keep_config=bool(value("bench_keep_config")),
            drill=bool(config.getoption("bench_drill")),
            prove=bool(value("bench_prove")),
            rows=tuple(config.getoption("bench_row")),
            narrate=bool(config.getoption("bench_narrate")),
            slow=bool(value("bench_slow")),
            python_hosts=bool(config.getoption("bench_python_hosts")),
            report=bool(config.getoption("bench_report")),
            seed=int(config.getoption("bench_seed")),
            performance=bool(value("bench_performance")),
            trial_duration=config.getoption("bench_trial_duration"),
            trials=config.getoption("bench_trials"),
            frame_sizes=tuple(config.getoption("bench_frame_size")),
        )


def add_options(parser: pytest.Parser) -> None:
    """Declare the options and their ini twins."""
    group = parser.getgroup("testbed", "network test bench")
    group.addoption(
        "--bench", metavar="FILE", default=None, help="the bench file to run the plans on"
    )
    group.addoption(
        "--bench-capture",
        choices=("always", "failed", "never"),
        default=None,
        help="for which plans to keep a pcapng (default: always)",
    )
    group.addoption(
        "--bench-artifacts",
        metavar="DIR",
        default=None,
        help="where reports and captures go, a directory per run (default: reports)",
    )
    group.addoption(
        "--bench-keep-config",
        action="store_true",
        default=None,
        help="leave the changes that plans make on the devices, to look at them",
    )
    group.addoption(
        "--bench-prove",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="prove the cabling before the first plan (default: on)",
    )
    group.addoption(
        "--bench-report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a report, and the run into the bench's history (default: on)",
    )
    _add_choices(group)
    _add_performance(group)
    parser.addini("bench_performance", "run benchmarks of devices", type="bool", default=False)
    parser.addini("bench", "the bench file to run the plans on, from the ini file", default="")
    parser.addini("bench_capture", "always, failed or never", default="always")
    parser.addini("bench_artifacts", "where reports and captures go", default="")
    parser.addini("bench_keep_config", "leave plans' changes in place", type="bool", default=False)
    parser.addini("bench_prove", "prove the cabling first", type="bool", default=True)
    parser.addini("bench_slow", "run plans that are marked slow", type="bool", default=False)


def _add_choices(group: pytest.OptionGroup) -> None:
    """What is run, and on what."""
    group.addoption(
        "--bench-seed",
        type=int,
        default=1,
        metavar="N",
        help="where all chance of a sim bench comes from: the same, the same run (default: 1)",
    )
    group.addoption(
        "--bench-drill",
        action="store_true",
        default=False,
        help="run each plan against its defects, which must fail it",
    )
    group.addoption(
        "--bench-row",
        action="append",
        default=[],
        metavar="ID",
        help="run only plans of this row or family, such as SW-02 or TC; may be repeated",
    )
    group.addoption(
        "--bench-narrate",
        action="store_true",
        default=False,
        help="tell plans by their rows and sentences, as testbed run does; use it with -q",
    )
    group.addoption(
        "--bench-slow",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="run the plans that are marked slow, too (default: off)",
    )
    group.addoption(
        "--bench-python-hosts",
        action="store_true",
        default=False,
        help="put a good Python stack in the place of every kernel host",
    )


def _add_performance(group: pytest.OptionGroup) -> None:
    """Benchmarks of devices, and how long they may take."""
    group.addoption(
        "--bench-performance",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="run the benchmarks of devices, too: RFC 2544, RFC 2889 (default: off)",
    )
    group.addoption(
        "--bench-trial-duration",
        type=float,
        default=None,
        metavar="SECONDS",
        help="how long a trial lasts (default: 60, as RFC 2544 asks; 1 ms on a sim bench)",
    )
    group.addoption(
        "--bench-trials",
        type=int,
        default=None,
        metavar="N",
        help="trials that are averaged (default: what RFC 2544 asks for; 2 on a sim bench)",
    )
    group.addoption(
        "--bench-frame-size",
        type=int,
        action="append",
        default=[],
        metavar="BYTES",
        help="benchmark with frames of this size, FCS included; may be repeated (default: all)",
    )
