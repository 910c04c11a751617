"""A person's terminal joined to a device: raw while it lasts, and put back whatever happens."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from testbed.console import connect_serial, connect_ssh, interact
from testbed.console.transport import HangupError


@dataclass
class Terminal:
    """A pty: ``keyboard`` is the person's side, ``tty`` what the program has for a terminal."""

    keyboard: int
    tty: int
    ended: list[str] = field(default_factory=list)

    def join(self, transport) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: self.ended.append(interact(transport, self.tty, self.tty))
        )
        thread.start()
        return thread

    def see(self, awaited: bytes) -> bytes:
        seen = b""
        while awaited not in seen:
            ready, _, _ = select.select([self.keyboard], [], [], 10)
            assert ready, (awaited, seen)
            seen += os.read(self.keyboard, 4096)
        return seen


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    keyboard, tty = pty.openpty()
    yield Terminal(keyboard, tty)
    os.close(keyboard)
    os.close(tty)


def talk(terminal, transport) -> None:
    before = termios.tcgetattr(terminal.tty)
    thread = terminal.join(transport)
    os.write(terminal.keyboard, b"echo $((6 * 7))-seen\r")
    terminal.see(b"42-seen")
    assert termios.tcgetattr(terminal.tty) != before
    os.write(terminal.keyboard, b"sh -c 'echo begun-$((0 + 1)); exec sleep 100'\r")
    terminal.see(b"begun-1")
    os.write(terminal.keyboard, b"\x03")
    terminal.see(b"# ")
    os.write(terminal.keyboard, b"echo after-$((1 + 1))\r")
    terminal.see(b"after-2")
    os.write(terminal.keyboard, b"\x1d")
    thread.join(10)
    assert terminal.ended == ["escape"]
    assert termios.tcgetattr(terminal.tty) == before
    transport.close()


def test_at_a_serial_console(terminal, modem, on_console):
    on_console("dash", PS1="# ")
    talk(terminal, connect_serial("r1", modem.url))


@pytest.mark.root
def test_at_an_ssh_login(terminal, sshd, clock):
    transport = connect_ssh(
        "r1", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
        host_key=sshd.host_key, clock=clock,
    )  # fmt: skip
    talk(terminal, transport)


@pytest.mark.root
def test_the_end_of_the_login_ends_it(terminal, sshd, clock):
    transport = connect_ssh(
        "r1", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
        host_key=sshd.host_key, clock=clock,
    )  # fmt: skip
    before = termios.tcgetattr(terminal.tty)
    thread = terminal.join(transport)
    os.write(terminal.keyboard, b"exit 3\r")
    thread.join(10)
    assert terminal.ended == ["the login ended (status 3)"]
    assert termios.tcgetattr(terminal.tty) == before
    transport.close()


class Broken:
    """A line that fails in a way that nobody foresaw."""

    name = "broken"

    def read(self, within) -> bytes:
        raise RuntimeError("unforeseen")

    def write(self, data) -> None:
        raise HangupError("no")

    def fileno(self) -> None:
        return None

    def close(self) -> None:
        pass


def test_the_terminal_is_put_back_after_an_error_too(terminal):
    before = termios.tcgetattr(terminal.tty)
    with pytest.raises(RuntimeError, match="unforeseen"):
        interact(Broken(), terminal.tty, terminal.tty)
    assert termios.tcgetattr(terminal.tty) == before


def test_input_from_a_pipe_ends_with_it(modem, on_console):
    on_console("dash", PS1="$ ")
    line = connect_serial("r1", modem.url)
    read, write = os.pipe()
    os.write(write, b"echo typed\r")
    os.close(write)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        assert interact(line, read, nowhere.fileno()) == "end of input"
    os.close(read)
    line.close()
