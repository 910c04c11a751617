"""A run that is told to end puts everything back and reports; one that is killed leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from plan_runs import Sandbox, await_end, below

pytestmark = pytest.mark.root

PLAN = """
@pytest.fixture
def tidy(bench: Bench):
    yield
    Path("tidied").write_text(bench.device("dut").execute("echo over"))

@STAR
def test_first(bench: Bench) -> None:
    pass

@STAR
def test_long(bench: Bench, tidy: None) -> None:
    dut = bench.switch("dut")
    dut.set_ageing_time(seconds(77))
    dut.set_port_up(bench.port("dut", toward="b"), up=False)
    with bench.capture("a--dut"):
        Path("middle").touch()
        bench.watch_for(seconds(60))

@STAR
def test_never_begun(bench: Bench) -> None:
    pass
"""
TESTBED = ("testbed", "run")
PYTEST = ("pytest", "-p", "no:cacheprovider")


@contextlib.contextmanager
def middle(
    sandbox: Sandbox, *command: str
) -> Iterator[tuple[subprocess.Popen[str], set[tuple[int, int]]]]:
    """A run in the middle of a plan, and the processes of its bench."""
    plan = sandbox.plan("test_long", PLAN)
    with sandbox.start(*command, plan, "--bench", "small.yaml") as process:
        sandbox.await_sign("middle", process)
        yield process, below(process.pid)


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [(TESTBED, 130, signal.SIGINT), (TESTBED, 130, signal.SIGTERM), (PYTEST, 2, signal.SIGTERM)],
)
def test_told_to_end(sandbox, command, code, number) -> None:
    with middle(sandbox, *command) as (process, lab):
        process.send_signal(number)
        began = time.monotonic()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == code, out
    assert time.monotonic() - began < 10
    await_end(lab)
    report = sandbox.report()
    assert report.restored, report.restore_notes
    assert sandbox.verdicts() == {"test_first[sw]": "pass", "test_long[sw]": "error"}
    plan = sandbox.plans()["test_long[sw]"]
    assert plan.reason == "interrupted"
    assert len(plan.changes) >= 2
    assert all(change.undone_at for change in plan.changes)
    # The plan's own fixtures end on a bench that is still there.
    assert (sandbox.path / "tidied").read_text() == "over\n"
    assert "Traceback" not in out


def test_killed(sandbox) -> None:
    with middle(sandbox, *TESTBED) as (process, lab):
        os.kill(process.pid, signal.SIGKILL)
        await_end(lab)
    assert list(sandbox.scratch.iterdir()) == []
    plan = sandbox.plan("test_next", "@STAR\ndef test_next(bench: Bench) -> None:\n    pass\n")
    done = sandbox.testbed("run", plan, "--bench", "small.yaml")
    assert done.code == 0, done.text


def test_killed_while_it_begins(sandbox) -> None:
    plan = sandbox.plan("test_long", PLAN)
    with sandbox.start(*TESTBED, plan, "--bench", "small.yaml") as process:
        time.sleep(1)  # about when the bench comes up: any moment must do
        lab = below(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        await_end(lab)
