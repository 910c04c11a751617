"""Logins over a serial line (pyserial): devices, ptys, by-id links, ``socket://``, ``rfc2217://``.

The modem lines are left alone: on some consoles DTR resets the device, and a pty has none
(setting it there is ENOTTY).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from testbed.console.profiles import LINUX_SHELL, DialogProfile
from testbed.console.session import Access, Session
from testbed.console.steps import Entry
from testbed.console.transcript import ConsoleLog
from testbed.console.transport import HangupError
from testbed.errors import ConsoleError
from testbed.timing import Clock, Duration, milliseconds, seconds

__all__ = ["SerialTransport", "connect_serial", "open_serial"]

LOGIN_WITHIN = seconds(30)
"""How long a serial login may take: login(1) waits seconds after a failure of the last user."""

SETTLE = milliseconds(150)
"""How long a line must rest to be a prompt: USB adapters hand bytes on every 16 ms, and a device
at 1200 baud sends a byte every 8."""

TURN = 0.05
"""Seconds that one read waits at most: pyserial renegotiates the port to change it."""

WRITE_SECONDS = 5.0
"""How long the line may refuse bytes (flow control) before it counts as stuck."""


class SerialTransport:
    """A serial line, held exclusively."""

    def __init__(self, url: str, port: Any) -> None:
        self._name = f"serial {url}"
        self._port = port

    @property
    def name(self) -> str:
        """``serial /dev/ttyUSB0``."""
        return self._name

    def read(self, within: Duration) -> bytes:
        """What has come; empty once ``within`` is over, rounded up to a read's turn."""
        turns = max(1, -(-within // round(TURN * 1e9)))
        try:
            for _ in range(turns):
                first = bytes(self._port.read(1))
                if first:
                    return first + bytes(self._port.read(min(self._port.in_waiting, 65536)))
        except (OSError, TypeError) as error:  # TypeError: pyserial's port closed under it
            raise HangupError(f"the line is gone ({error})") from error
        return b""

    def write(self, data: bytes) -> None:
        """Send all of ``data``; HangupError."""
        import serial  # noqa: PLC0415

        try:
            self._port.write(data)
            self._port.flush()
        except serial.SerialTimeoutException as error:
            raise HangupError("the line takes no bytes (flow control?)") from error
        except OSError as error:
            raise HangupError(f"the line is gone ({error})") from error

    def fileno(self) -> int | None:
        """Readable when something has come; None where the line is no descriptor."""
        try:
            return int(self._port.fileno())
        except (OSError, AttributeError, ValueError):
            return None

    def close(self) -> None:
        """Let go of the line, as it is."""
        self._port.close()


def open_serial(
    device: str,
    url: str,
    *,
    clock: Clock,
    log: ConsoleLog,
    baud: int = 9600,
    user: str | None = None,
    password: str | None = None,
    profile: DialogProfile = LINUX_SHELL,
    within: Duration = LOGIN_WITHIN,
) -> Session:
    """Wake the line, log in if it asks for that, and bring the command line to its prompt.

    ConsoleError says what was awaited and what came: also where the console was left in a pager,
    in configuration mode or with a half-typed command, none of which is touched.
    """
    transport = connect_serial(device, url, baud=baud)
    access = Access(profile, Entry.CONSOLE, SETTLE, user, password)
    return Session(device, transport, access, clock=clock, log=log).login(within)


def connect_serial(device: str, url: str, *, baud: int = 9600) -> SerialTransport:
    """As open_serial, but only the line, 8 data bits, no parity, no dialogue."""
    import serial  # noqa: PLC0415 - only a serial login should pay for it

    name, awaited = f"serial {url}", "to open the line"
    try:
        port = serial.serial_for_url(
            url, baudrate=baud, timeout=TURN, write_timeout=WRITE_SECONDS, do_not_open=True
        )
        if "://" not in url:
            _check_is_tty(url)
            port.exclusive = True  # flock: whoever opens it next is told, as we are
        port.open()
    except (OSError, ValueError) as error:
        got, hint = _explain(error)
        raise ConsoleError(device, name, awaited, got, hint) from error
    return SerialTransport(url, port)


def _check_is_tty(path: str) -> None:
    if not stat.S_ISCHR(os.stat(path).st_mode):  # noqa: PTH116 - its errno is what is wanted
        raise OSError(errno.ENOTTY, "no serial device")


def _explain(error: OSError | ValueError) -> tuple[str, str]:
    """What was met, and a hint; pyserial puts the errno of its cause into its own errors."""
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        return "no such device", "Is the adapter plugged in? `ls -l /dev/serial/by-id` shows those"
    if code in {errno.EACCES, errno.EPERM}:
        return "permission denied", "Add yourself to the group of the device (dialout), log in anew"
    if code in {errno.EAGAIN, errno.EBUSY}:
        return "in use by somebody else", "`fuser -v` names the process that holds it"
    if code == errno.ECONNREFUSED:
        return "connection refused", "Is the console server's port right?"
    return str(error), ""
