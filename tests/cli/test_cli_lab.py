"""``testbed lab``: a bench that stands on its own, and one that ends with its command."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from plan_runs import await_end, below

from testbed.inventory import load

pytestmark = pytest.mark.root

PLAN = """
@STAR
def test_long(bench: Bench) -> None:
    bench.switch("dut").set_ageing_time(seconds(77))
    Path("middle").touch()
    bench.watch_for(seconds(60))
"""


def test_held_until_it_is_taken_down(sandbox) -> None:
    up = sandbox.call("lab", "up", "small.yaml", "--hold")
    assert up.code == 0, up.text
    rack = int(re.search(r"bench small stands \(process (\d+)\)", up.text)[1])
    gear = below(rack)
    try:
        assert load(sandbox.path / "small-held.yaml").bench.lab == "hardware"
        assert sandbox.call("lab", "list").lines(rf"^small: process {rack}, .*small-held.yaml")
        again = sandbox.call("lab", "up", "small.yaml", "--hold")
        assert again.code == 3
        assert "stands already" in again
        plan = sandbox.plan("test_long", PLAN)
        run = ("run", plan, "--bench", "small-held.yaml", "--no-prove")
        with sandbox.start("testbed", *run) as process:
            sandbox.await_sign("middle", process)
            os.kill(process.pid, signal.SIGKILL)
        assert list(sandbox.state.glob("journals/*"))
    finally:
        down = sandbox.call("lab", "down", "small")
    assert down.code == 0, down.text
    assert below(rack) == set()
    await_end(gear)
    assert not (sandbox.path / "small-held.yaml").exists()
    assert not list(sandbox.state.glob("journals/*"))  # of devices that are no more


def test_ends_with_its_command(sandbox) -> None:
    with sandbox.start("testbed", "lab", "up", "small.yaml", "--out", "up.yaml") as process:
        for line in process.stdout:
            if "Ctrl-C takes it down" in line:
                break
        gear = below(process.pid)
        assert (sandbox.path / "up.yaml").exists()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode == 0, out
    assert "Traceback" not in out
    await_end(gear)
    assert not (sandbox.path / "up.yaml").exists()
