"""``testbed console``: a person at a pty, logged in to a device that is really there."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest
from plan_runs import SCRIPTS, Sandbox

pytestmark = pytest.mark.root

ESCAPE = b"\x1d"


class Person:
    """Somebody at a terminal."""

    def __init__(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self.terminal = terminal
        self.process = process
        self.screen = ""

    def types(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def awaits(self, pattern: str, within: float = 20) -> str:
        deadline = time.monotonic() + within
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < deadline, f"no {pattern!r} on:\n{self.screen}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.screen += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:
                    break
        found = re.search(pattern, self.screen)
        assert found, f"no {pattern!r} on:\n{self.screen}"
        self.screen = self.screen[found.end() :]
        return found[0]


@contextlib.contextmanager
def person(sandbox: Sandbox, *arguments: str) -> Iterator[Person]:
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "testbed"), "console", *arguments],
        cwd=sandbox.path,
        env={**sandbox.environment(), "TERM": "vt100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    before = termios.tcgetattr(theirs)
    try:
        yield Person(terminal, process)
        assert process.wait(20) == 0
        assert termios.tcgetattr(theirs) == before  # the terminal is as it was
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(theirs)


def test_over_ssh(sandbox) -> None:
    with person(sandbox, "sw", "--bench", "small.yaml") as somebody:
        somebody.awaits(r"sw: ssh admin@\S+; Ctrl-\] ends")
        somebody.awaits(r"[#$] $")
        somebody.types(b"echo $((6*7)) $(hostname)\r")
        somebody.awaits("42 sw")
        somebody.types(b'sh -c \'trap "echo cau""ght; exit" INT; echo rea""dy; read x\'\r')
        somebody.awaits("ready")
        somebody.types(b"\x03")  # Ctrl-C is the device's
        somebody.awaits("caught")
        somebody.types(ESCAPE)
        somebody.awaits("sw: escape")


def test_over_serial(sandbox) -> None:
    with person(sandbox, "sw", "--bench", "small.yaml", "--serial") as somebody:
        somebody.awaits(r"sw: serial \S+; Ctrl-\] ends")
        somebody.types(b"\r")
        somebody.awaits("login: ")
        somebody.types(b"admin\r")
        somebody.awaits("[Pp]assword: ")
        somebody.types(b"\x04" + ESCAPE)
        somebody.awaits("sw: escape")


def test_the_device_ends_it(sandbox) -> None:
    with person(sandbox, "sw", "--bench", "small.yaml") as somebody:
        somebody.awaits(r"[#$] $")
        somebody.types(b"exit\r")
        somebody.awaits(r"sw: the login ended")
