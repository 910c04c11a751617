"""Runs of ``testbed`` and pytest as their users start them, in a place of their own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.cli import main
from testbed.errors import LabError
from testbed.labs.requirements import require
from testbed.labs.virtual.processes import start_time
from testbed.report import PlanRecord, RunRecord, from_json

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
PATIENCE = 60

SMALL = """\
bench: small
lab: virtual
controller:
  nics: {a: {}, b: {}, c: {}, m: {}}
devices:
  sw: {platform: linux_bridge, ports: [p1, p2, p3, p4]}
cables:
  - [controller:a, sw:p1]
  - [controller:b, sw:p2]
  - [controller:c, sw:p3]
  - [controller:m, sw:p4]
mirrors:
  - {device: sw, to: p4}
"""
"""A bench that is up in a third of a second."""

HEADER = """\
from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

import testbed
from testbed import (
    Bench,
    BenchError,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    PlanError,
    Topology,
    Unsupported,
    VlanMode,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

STAR = pytest.mark.topology(Topology.star("dut", "a", "b"))
STATION = MacAddr("02:00:00:00:77:0a")
HELLO = EthFrame(dst=MacAddr.BROADCAST, src=STATION)

"""


def need_root_and(*platforms: str) -> None:
    """Skip, with the reason, where the virtual lab cannot be looked into."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the tests look into the namespaces of the lab")
    try:
        require("virtual", platforms)
    except LabError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    code: int
    text: str

    def __contains__(self, text: str) -> bool:
        return text in self.text

    def lines(self, pattern: str) -> list[str]:
        return [line for line in self.text.splitlines() if re.search(pattern, line)]


def below(root: int) -> set[tuple[int, int]]:
    """The processes below one, each with its start time, so that a pid taken anew is another."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    todo = {root}
    while todo:
        todo = {pid for pid, parent in parents.items() if parent in todo} - found
        found |= todo
    return {(pid, started) for pid in found if (started := start_time(pid)) is not None}


def await_end(processes: set[tuple[int, int]], within: float = 10) -> None:
    deadline = time.monotonic() + within
    while left := {(pid, since) for pid, since in processes if start_time(pid) == since}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


class Sandbox:
    """A directory with plans and bench files, and the state and temporary files of its runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "state"
        self.scratch = path / "scratch"
        self.scratch.mkdir()
        self.write("small.yaml", SMALL)

    def write(self, name: str, text: str) -> Path:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def plan(self, name: str, body: str) -> str:
        """Write a plan of HEADER and ``body``; its path, to be given to a command."""
        self.write(f"plans/{name}.py", HEADER + body)
        return f"plans/{name}.py"

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "CI"))}
        return {
            **kept,
            "TESTBED_STATE": str(self.state),
            "TMPDIR": str(self.scratch),
            "COLUMNS": "250",
            "NO_COLOR": "1",
        }

    @contextlib.contextmanager
    def start(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs for a block; it is killed at its end if it still does."""
        program, *rest = command
        with subprocess.Popen(
            [sys.executable, str(SCRIPTS / program), *rest],
            cwd=self.path,
            env=self.environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *command: str) -> Done:
        with self.start(*command) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        return Done(process.returncode, out)

    def await_sign(self, name: str, process: subprocess.Popen[str]) -> None:
        """Wait until a plan has made the file ``name``, and take it away again."""
        sign = self.path / name
        deadline = time.monotonic() + PATIENCE
        while not sign.exists():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline, f"{name} never came"
            time.sleep(0.01)
        sign.unlink()

    def testbed(self, *arguments: str) -> Done:
        return self.run("testbed", *arguments)

    def call(self, *arguments: str) -> Done:
        """As testbed(), but in this process: it costs no start of Python."""
        before = signal.getsignal(signal.SIGTERM)
        home = Path.cwd()
        os.chdir(self.path)
        try:
            own = {"TESTBED_STATE": str(self.state), "COLUMNS": "250", "NO_COLOR": "1"}
            result = CliRunner().invoke(main, arguments, env=own, catch_exceptions=False)
        finally:
            os.chdir(home)
            signal.signal(signal.SIGTERM, before)
        return Done(result.exit_code, result.output)

    def pytest(self, *arguments: str) -> Done:
        return self.run("pytest", "-p", "no:cacheprovider", *arguments)

    def report(self, where: str = "reports") -> RunRecord:
        """run.json of the last run whose reports went to ``where``."""
        runs = sorted((self.path / where).glob("*/run.json"), key=lambda f: f.stat().st_mtime_ns)
        assert runs, f"no run in {where}"
        return from_json(runs[-1].read_text())

    def verdicts(self, where: str = "reports") -> dict[str, str]:
        """The verdict of each plan of the last run, by the plan's name and case."""
        return {name: plan.verdict for name, plan in self.plans(where).items()}

    def plans(self, where: str = "reports") -> dict[str, PlanRecord]:
        """The record of each plan of the last run, by the plan's name and case."""
        return {plan.nodeid.rpartition("::")[2]: plan for plan in self.report(where).plans}

    def assert_clean(self) -> None:
        """Nothing is left in the temporary directory, and no journal."""
        assert sorted(path.name for path in self.scratch.iterdir()) == []
        assert [path.name for path in self.state.glob("journals/*")] == []


@contextlib.contextmanager
def untouched_machine() -> Iterator[None]:
    """The machine has the same interfaces, mounts and named namespaces after the block."""

    def now() -> tuple[object, ...]:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        named = Path("/run/netns")
        return (
            sorted(mounts),
            sorted(path.name for path in Path("/sys/class/net").iterdir()),
            sorted(path.name for path in named.iterdir()) if named.exists() else [],
        )

    before = now()
    yield
    assert now() == before
