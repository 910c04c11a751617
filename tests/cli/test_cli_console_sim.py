"""``testbed console`` on a sim bench: a person at a pty, and a device that is not there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

import pytest
from plan_runs import PATIENCE, SCRIPTS, Sandbox

from testbed.cli.exits import Exit

BENCH = """\
bench: tiny
lab: sim
controller:
  nics: {a: {}, b: {}}
devices:
  sw1: {platform: sim_switch, ports: [p1, p2]}
hosts:
  h1: {platform: sim_host, ports: [eth1]}
cables:
  - [controller:a, sw1:p1]
  - [controller:b, sw1:p2]
"""


@pytest.fixture
def place(tmp_path) -> Sandbox:
    made = Sandbox(tmp_path)
    made.write("tiny.yaml", BENCH)
    return made


def test_a_person_logs_in_looks_and_leaves(place):
    keyboard, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, str(SCRIPTS / "testbed"), "console", "sw1", "--bench", "tiny.yaml"],
        cwd=place.path,
        env={**place.environment(), "TERM": "vt100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)

        def read(awaited: str) -> str:
            screen = ""
            while awaited not in screen:
                ready, _, _ = select.select([keyboard], [], [], PATIENCE)
                assert ready, (awaited, screen)
                screen += os.read(keyboard, 4096).decode()
            return screen

        assert "user lab, password lab, enable password lab" in read("sw1 login: ")
        for typed, awaited in [
            ("lab\r", "Password: "),
            ("lab\r", "sw1> "),
            ("enable\r", "Password: "),
            ("lab\r", "sw1# "),
            ("conf t ; int p1\r", "sw1(config-if)# "),
            ("exit ; exit\r", "sw1# "),
        ]:
            os.write(keyboard, typed.encode())
            read(awaited)
        os.write(keyboard, b"\x1d")
        read("sw1: escape")
        assert process.wait(PATIENCE) == 0
    os.close(keyboard)


@pytest.mark.parametrize(
    ("device", "told", "code"),
    [("sw9", "no device 'sw9'; it has sw1, h1", Exit.USAGE), ("h1", "Python stack", Exit.RIG)],
)
def test_what_has_no_console_is_told(place, device, told, code):
    done = place.call("console", device, "--bench", "tiny.yaml")
    assert done.code == code
    assert told in done
