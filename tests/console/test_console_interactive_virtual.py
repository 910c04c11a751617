"""A person at a device in virtual time: its time passes as the wall's does."""

from __future__ import annotations

import os
import pty
import select
import threading
from collections.abc import Iterator

import pytest
from sim_terminal_rig import Toy

from testbed.console import interact
from testbed.hosts.loop import MonotonicClock
from testbed.sim.cli.connect import connect
from testbed.timing import ManualClock


class Person:
    """``keyboard`` is the person's side of a pty, ``tty`` what the program has."""

    def __init__(self) -> None:
        self.keyboard, self.tty = pty.openpty()

    def type(self, text: str, awaited: str) -> str:
        os.write(self.keyboard, text.encode())
        seen = b""
        while awaited.encode() not in seen:
            ready, _, _ = select.select([self.keyboard], [], [], 10)
            assert ready, (awaited, seen)
            seen += os.read(self.keyboard, 4096)
        return seen.decode()


@pytest.fixture
def person() -> Iterator[Person]:
    one = Person()
    yield one
    os.close(one.keyboard)
    os.close(one.tty)


def test_a_person_logs_in_on_a_simulated_device_and_leaves(person):
    clock, ended = ManualClock(), []
    wall = MonotonicClock()
    began = wall.now()
    cable = connect(Toy(), clock)
    thread = threading.Thread(
        target=lambda: ended.append(interact(cable, person.tty, person.tty, pace=wall))
    )
    thread.start()
    person.type("", "sw1 login: ")
    person.type("lab\r", "Password: ")
    person.type("lab\r", "sw1> ")
    person.type("enable\rlab\r", "sw1# ")
    assert "toy of sw1" in person.type("show ver\t\r", "sw1# ")
    person.type("\x1d", "")
    thread.join(10)
    assert ended == ["escape"]
    assert 0 < clock.now() <= wall.now() - began


def test_a_line_that_the_device_lets_go_of_ends_it(person):
    cable, ended = connect(Toy(), ManualClock(), serial=False), []
    thread = threading.Thread(
        target=lambda: ended.append(interact(cable, person.tty, person.tty, pace=MonotonicClock()))
    )
    thread.start()
    person.type("exit\r", "exit")
    thread.join(10)
    assert ended == ["the device let go of the line"]
