"""A virtual bench leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from labs_traces import Machine, Traces, descendants, everybody

from testbed.errors import LabError
from testbed.inventory import load
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import VirtualLab, held_labs, hold, take_down
from testbed.labs.virtual.processes import start_time

pytestmark = pytest.mark.root

ROUNDS = 3

RUNNER = """
import sys
from testbed.inventory import Bench
from testbed.labs.virtual import VirtualLab
lab = VirtualLab(Bench.model_validate_json(sys.stdin.readline()))
print("starting", flush=True)
lab.up()
print("standing", lab.rack_pid, flush=True)
sys.stdin.read()
"""


def called(name: str) -> set[int]:
    """The processes that have ``name`` as the last word of their command line."""
    found = set()
    for pid in everybody():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in words:
            found.add(pid)
    return found


@pytest.fixture
def runner(shipped, tmp_path):
    """Starts a runner in a process of its own, for a bench of a name of its own."""
    started = []

    def start(name: str) -> subprocess.Popen:
        home = tmp_path / name
        home.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home,
            env={**os.environ, "HOME": str(home), "TMPDIR": str(home)},
        )
        started.append(process)
        bench = shipped.model_copy(update={"bench": name})
        process.stdin.write(bench.model_dump_json(exclude_none=True) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "starting\n"
        return process

    yield start
    for process in started:
        process.kill()
        with process:
            pass


def test_nothing_is_left_after_up_and_down(shipped):
    before = Machine.now()
    others = descendants(os.getpid())
    for _ in range(ROUNDS):
        lab = VirtualLab(shipped)
        lab.up()
        traces = Traces.of(os.getpid(), besides=others)
        consoles = [lab.inventory.node(name).console.serial for name in ("sw1", "h2")]
        assert len(traces.started) > 20
        assert len([space for space in traces.spaces if space.startswith("net")]) == 7
        lab.down()
        # Down returns when all is gone: nothing is waited for here.
        assert traces.left(within=0) == ""
        assert not any(Path(console).exists() for console in consoles)
    assert Machine.now() == before


def test_nothing_is_left_when_the_runner_is_killed(runner):
    before = Machine.now()
    chance = random.Random(2)  # noqa: S311 - the moments repeat from run to run
    for number in range(8):
        name = f"killed-{os.getpid()}-{number}"
        process = runner(name)
        delay = chance.uniform(0, 0.7)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        traces = Traces.of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert traces.left() == "", f"killed after {delay:.3f} s"
        assert called(name) == set()
    assert Machine.now() == before


def test_nothing_is_left_when_the_rack_is_killed(shipped):
    others = descendants(os.getpid())
    with VirtualLab(shipped) as lab:
        traces = Traces.of(os.getpid(), besides=others)
        os.kill(lab.rack_pid, signal.SIGKILL)
        assert traces.left() == ""
        with pytest.raises(LabError):
            lab.power("h1", on=False)


def test_runner_that_is_killed_leaves_no_files(runner, tmp_path):
    process = runner("home")
    while not process.stdout.readline().startswith("standing"):
        pass
    traces = Traces.of(process.pid)
    process.kill()
    process.wait()
    assert traces.left() == ""
    assert list((tmp_path / "home").iterdir()) == []


def test_held_bench_stands_until_it_is_taken_down(shipped, tmp_path):
    bench = shipped.model_copy(update={"bench": f"held-{os.getpid()}"})
    path = tmp_path / "hardware.yaml"
    held = hold(bench, path)
    try:
        assert held in held_labs()
        assert start_time(held.pid) == held.started
        loaded = load(path).bench
        assert loaded.lab == "hardware"
        with enter_controller(loaded):
            reply = subprocess.run(
                ["ip", "-brief", "link", "show", "x1"], capture_output=True, text=True, check=True
            ).stdout
        assert "UP" in reply
        with pytest.raises(LabError, match=f"stands already .process {held.pid}"):
            hold(bench, tmp_path / "another.yaml")
        assert not (tmp_path / "another.yaml").exists()
        traces = Traces.of(held.pid)
    finally:
        take_down(bench.bench)
    assert traces.left() == ""
    assert start_time(held.pid) is None
    assert not path.exists()
    assert bench.bench not in [other.name for other in held_labs()]
    with pytest.raises(LabError, match="no virtual bench of the name"):
        take_down(bench.bench)


def test_bench_file_that_was_edited_is_not_removed(shipped, tmp_path):
    bench = shipped.model_copy(update={"bench": f"edited-{os.getpid()}"})
    path = tmp_path / "hardware.yaml"
    hold(bench, path)
    try:
        path.write_text(path.read_text() + "# mine\n")
    finally:
        take_down(bench.bench)
    assert path.exists()


def test_held_bench_that_cannot_be_written_down_is_not_held(shipped, tmp_path):
    bench = shipped.model_copy(update={"bench": f"unwritten-{os.getpid()}"})
    with pytest.raises(LabError, match="cannot write the bench file"):
        hold(bench, tmp_path / "absent" / "hardware.yaml")
    assert bench.bench not in [other.name for other in held_labs()]
    assert called(bench.bench) == set()
