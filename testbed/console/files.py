"""Commands and files on Linux hosts by fabric, over a connection with a pinned host key."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.console.ssh_connection import SshConnection
from testbed.errors import ConsoleError
from testbed.timing import Clock, Duration, after, format_duration, seconds

if TYPE_CHECKING:
    import fabric

__all__ = ["FabricHost", "open_fabric"]

LOGIN_WITHIN = seconds(15)
"""How long the connection may take."""

TRANSFER_SECONDS = 60.0
"""How long SFTP may wait for one answer."""


class FabricHost:
    """A Linux host: each command a channel of its own, without a terminal; files by SFTP."""

    def __init__(self, where: SshConnection, connection: fabric.Connection) -> None:
        self._where = where
        self._connection = connection

    @property
    def device(self) -> str:
        """The device's name in the bench file."""
        return self._where.device

    @property
    def transport(self) -> str:
        """What carries it, for messages."""
        return self._where.name

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        """Run a shell command; standard output and errors together, and the exit status."""
        from invoke.exceptions import CommandTimedOut  # noqa: PLC0415 - loads with fabric

        with self._mapped(f"the end of {command[:80]!r}"):
            try:
                result = self._connection.run(
                    f"{{ {command}\n}} 2>&1",
                    hide=True,
                    warn=True,
                    in_stream=False,
                    timeout=within / 1e9,
                    encoding="utf-8",
                )
            except CommandTimedOut as error:
                got = f"no end within {format_duration(within)}"
                raise self._error(f"the end of {command[:80]!r}", got) from error
        return Reply(result.stdout.replace("\r\n", "\n"), result.exited)

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, to the host."""
        source = io.BytesIO(local) if isinstance(local, bytes) else str(local)
        with self._mapped(f"{remote} to be written"):
            self._connection.put(source, remote)

    def get(self, remote: str, local: Path | None = None) -> bytes:
        """Copy a file from the host; its bytes, also written to ``local`` where that is given."""
        content = io.BytesIO()
        with self._mapped(f"{remote} to be read"):
            self._connection.get(remote, content)
        if local is not None:
            local.write_bytes(content.getvalue())
        return content.getvalue()

    def close(self) -> None:
        """End the connection; closing twice is no error."""
        self._connection.close()

    @contextmanager
    def _mapped(self, awaited: str) -> Iterator[None]:
        import paramiko  # noqa: PLC0415

        try:
            yield
        except (paramiko.SSHException, EOFError) as error:
            got = f"the connection dropped ({error or type(error).__name__})"
            raise self._error(awaited, got) from error
        except OSError as error:
            raise self._error(awaited, error.strerror or str(error)) from error

    def _error(self, awaited: str, got: str) -> ConsoleError:
        return ConsoleError(self.device, self.transport, awaited, got)


def open_fabric(
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
) -> FabricHost:
    """Connect as open_ssh does; ConsoleError says what was awaited and what came."""
    import fabric  # noqa: PLC0415 - half a second that only its users should pay

    where = SshConnection(device, host, port, user, host_key, key, password)
    client = where.connect(clock, after(clock.now(), within))
    # Nothing from ~/.ssh/config or ~/.fabric: the bench file says all.
    config = fabric.Config(lazy=True)
    config.load_ssh_config = False
    connection = fabric.Connection(host, user=user, port=port, config=config)
    connection.client = client
    connection.transport = client.get_transport()
    return FabricHost(where, connection)
