"""A person at a device's command line: bytes passed on, until the escape key."""

from __future__ import annotations

import os
import select

from testbed.console.transport import HangupError, Transport
from testbed.errors import Unsupported
from testbed.timing import Clock, Duration, milliseconds

__all__ = ["ESCAPE", "interact"]

ESCAPE = b"\x1d"
"""Ctrl-], as telnet and virsh console have it."""

POLL = milliseconds(50)
"""How long a line without a descriptor is listened to between two looks at the keyboard."""


def interact(
    transport: Transport, stdin_fd: int = 0, stdout_fd: int = 1, *, pace: Clock | None = None
) -> str:
    """Join a terminal and ``transport`` until Ctrl-], the end of input, or a hang-up.

    Returns why it ended. The terminal is raw meanwhile and put back in every case. The transport
    stays open: closing it is its owner's. Where it is in virtual time, which passes as fast as it
    is read, ``pace`` is the clock whose time is to pass there.
    """
    try:
        import termios  # noqa: PLC0415 - only Unix has terminals of this kind
        import tty  # noqa: PLC0415
    except ImportError:
        raise Unsupported("an interactive login needs a terminal as Unix has it") from None
    before = termios.tcgetattr(stdin_fd) if os.isatty(stdin_fd) else None
    try:
        if before is not None:
            tty.setraw(stdin_fd, termios.TCSADRAIN)
        return _join(transport, stdin_fd, stdout_fd, _Pace(pace) if pace else None)
    except HangupError as gone:
        return str(gone)
    finally:
        if before is not None:
            termios.tcsetattr(stdin_fd, termios.TCSADRAIN, before)


class _Pace:
    """How much of a clock's time has passed since it was last asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()

    def passed(self) -> Duration:
        now = self._clock.now()
        span, self._last = Duration(now - self._last), now
        return span


def _join(transport: Transport, stdin_fd: int, stdout_fd: int, pace: _Pace | None) -> str:
    line = transport.fileno()
    watched = [stdin_fd] if line is None else [stdin_fd, line]
    wait = None if line is not None else POLL / 1e9 if pace else 0
    while True:
        ready, _, _ = select.select(watched, [], [], wait)
        if line is None or line in ready:
            _show(stdout_fd, transport.read(pace.passed() if pace else POLL))
        if stdin_fd not in ready:
            continue
        typed = os.read(stdin_fd, 4096)
        if not typed:
            return "end of input"
        before_escape, escape, _ = typed.partition(ESCAPE)
        if before_escape:
            transport.write(before_escape)
            if pace:
                _show(stdout_fd, transport.read(pace.passed()))
        if escape:
            return "escape"


def _show(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
