"""Logins over SSH (paramiko): one pinned host key, no agent, no known_hosts, no guessing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from testbed.console.profiles import LINUX_SHELL, DialogProfile
from testbed.console.session import Access, Session
from testbed.console.ssh_connection import SshConnection
from testbed.console.steps import Entry
from testbed.console.transcript import ConsoleLog
from testbed.console.transport import HangupError
from testbed.timing import Clock, Duration, after, milliseconds, seconds

if TYPE_CHECKING:
    import paramiko

__all__ = ["SshTransport", "connect_ssh", "open_ssh"]

LOGIN_WITHIN = seconds(15)
"""How long an SSH login may take, TCP to prompt: sshd's own UseDNS look-ups can take ten."""

SETTLE = milliseconds(30)
"""How long a line must rest to be a prompt: a shell writes its prompt in one go."""

WRITE_SECONDS = 10.0
"""How long the far end may refuse to take bytes."""

STATUS_SECONDS = 0.5
"""How long the exit status may lag behind the end of the output (RFC 4254, 6.10: either order)."""

COLUMNS, ROWS = 511, 1000
"""The terminal asked for: so wide that no echo wraps, so high that no pager starts."""


class SshTransport:
    """The terminal of an SSH login."""

    def __init__(self, name: str, client: paramiko.SSHClient, channel: paramiko.Channel) -> None:
        self._name = name
        self._client = client
        self._channel = channel

    @property
    def name(self) -> str:
        """``ssh user@host``, with the port where it is not 22."""
        return self._name

    def read(self, within: Duration) -> bytes:
        """What has come; empty once ``within`` is over; HangupError."""
        self._channel.settimeout(within / 1e9)
        try:
            data = bytes(self._channel.recv(65536))
        except TimeoutError:
            return b""
        if not data:
            raise HangupError(self._end())
        return data

    def write(self, data: bytes) -> None:
        """Send all of ``data``; HangupError."""
        self._channel.settimeout(WRITE_SECONDS)
        try:
            self._channel.sendall(data)
        except TimeoutError as error:
            raise HangupError("it takes no more bytes") from error
        except OSError as error:
            raise HangupError(self._end()) from error

    def fileno(self) -> int:
        """Readable when something has come."""
        return int(self._channel.fileno())

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _end(self) -> str:
        transport = self._client.get_transport()
        error = transport.get_exception() if transport else None
        if error is not None:
            return f"the connection dropped ({error})"
        self._channel.status_event.wait(STATUS_SECONDS)
        status = self._channel.exit_status
        return "the connection was closed" if status < 0 else f"the login ended (status {status})"


def open_ssh(
    device: str,
    host: str,
    *,
    user: str,
    host_key: str,
    clock: Clock,
    log: ConsoleLog,
    port: int = 22,
    key: Path | None = None,
    password: str | None = None,
    profile: DialogProfile = LINUX_SHELL,
    within: Duration = LOGIN_WITHIN,
) -> Session:
    """Log in and bring the command line to its prompt.

    ``host_key`` is the pinned fingerprint (``SHA256:...``). Sockets and threads are made in the
    network namespace of the calling thread. ConsoleError says what was awaited and what came.
    """
    deadline = clock.now() + within
    transport = connect_ssh(
        device,
        host,
        user=user,
        host_key=host_key,
        port=port,
        key=key,
        password=password,
        clock=clock,
        within=within,
    )
    access = Access(profile, Entry.LOGIN, SETTLE, user, password)
    session = Session(device, transport, access, clock=clock, log=log)
    return session.login(Duration(max(0, deadline - clock.now())))


def connect_ssh(
    device: str,
    host: str,
    *,
    user: str,
    host_key: str,
    clock: Clock,
    port: int = 22,
    key: Path | None = None,
    password: str | None = None,
    within: Duration = LOGIN_WITHIN,
    term: tuple[str, int, int] = ("vt100", COLUMNS, ROWS),
) -> SshTransport:
    """As open_ssh, but only the terminal (its type, columns and rows are ``term``), no dialogue."""
    connection = SshConnection(device, host, port, user, host_key, key, password)
    channel = connection.open_terminal(clock, after(clock.now(), within), term)
    return SshTransport(connection.name, *channel)
