"""An authenticated SSH connection to a host whose key is pinned."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from testbed.errors import ConsoleError
from testbed.timing import Clock, Instant

if TYPE_CHECKING:
    import paramiko

__all__ = ["SshConnection"]

KEEPALIVE_SECONDS = 15
"""Between keep-alives: less than firewalls take to forget, more than disturbs a capture."""

UNANSWERED_MS = 20_000
"""How long sent bytes may stay unacknowledged before the kernel gives the connection up."""

# The host key algorithms of each kind of key. A host has several keys and shows the one that is
# negotiated: where that is not the pinned one, the other kinds are asked for before the key
# counts as changed.
KEY_KINDS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
}

LEGACY_HINT = (
    "Old gear speaks only what current SSH libraries dropped (SHA-1): "
    "install the extra, pip install 'testbed[legacy-ssh]'"
)
BANNER = "an SSH banner and key exchange"


class _WrongHostKeyError(Exception):
    """The host showed another key than the pinned one."""

    def __init__(self, shown: paramiko.PKey) -> None:
        super().__init__(shown.fingerprint)
        self.fingerprint = str(shown.fingerprint)
        self.kind = next((k for k in KEY_KINDS if str(shown.get_name()).startswith(k)), "")


class _NoSuchKeyError(Exception):
    """The host has no (further) key of the kinds that it was asked for."""


@dataclass(slots=True)
class Stage:
    """How far a connection got: what it awaits, and whether its time ran out."""

    awaited: str = BANNER
    confirmed: bool = False
    over: bool = False


class _Pin:
    """paramiko's host key policy: one fingerprint is right, every other is wrong."""

    def __init__(self, host_key: str, stage: Stage) -> None:
        self._host_key = host_key.rstrip("=")
        self._stage = stage

    def missing_host_key(self, _client: object, _name: str, key: paramiko.PKey) -> None:
        """Raise unless ``key`` is the pinned one."""
        if str(key.fingerprint).rstrip("=") != self._host_key:
            raise _WrongHostKeyError(key)
        self._stage.confirmed = True


@dataclass(frozen=True, slots=True)
class SshConnection:
    """Whom to connect to, as whom. ``host_key`` is the pinned ``SHA256:...``."""

    device: str
    host: str
    port: int
    user: str
    host_key: str
    key: Path | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """How it is called in messages: ``ssh user@host``, with the port where it is not 22."""
        return f"ssh {self.user}@{self.host}" + ("" if self.port == 22 else f":{self.port}")

    def connect(self, clock: Clock, deadline: Instant) -> paramiko.SSHClient:
        """Connect and authenticate before ``deadline``, or ConsoleError.

        Only the given key or password is tried: no agent, no ~/.ssh, no known_hosts.
        """
        import paramiko  # noqa: PLC0415 - 0.2 s that only a login should pay

        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # errors come as raised
        pkey = self._load_key()
        shown: list[_WrongHostKeyError] = []
        while True:
            disabled = [name for wrong in shown for name in KEY_KINDS.get(wrong.kind, ())]
            sock = self._dial(clock, deadline)
            client = paramiko.SSHClient()
            try:
                with self._bounded(sock, clock, deadline) as stage:
                    client.set_missing_host_key_policy(_Pin(self.host_key, stage))
                    self._negotiate(client, sock, pkey, disabled, stage)
            except _WrongHostKeyError as wrong:
                client.close()
                shown.append(wrong)
                if not wrong.kind or len(shown) == len(KEY_KINDS):
                    self._refuse_key(shown)
            except _NoSuchKeyError:
                client.close()
                self._refuse_key(shown)
            except BaseException:
                client.close()
                sock.close()
                raise
            else:
                return client

    def open_terminal(
        self, clock: Clock, deadline: Instant, term: tuple[str, int, int]
    ) -> tuple[paramiko.SSHClient, paramiko.Channel]:
        """Connect, and start a login shell on a terminal (type, columns, rows)."""
        client = self.connect(clock, deadline)
        transport = client.get_transport()
        try:
            with self._bounded(transport.sock, clock, deadline) as stage:
                stage.awaited = "a terminal"
                channel = transport.open_session()
                channel.get_pty(*term)
                channel.invoke_shell()
        except BaseException:
            client.close()
            raise
        return client, channel

    @contextmanager
    def _bounded(self, sock: socket.socket, clock: Clock, deadline: Instant) -> Iterator[Stage]:
        """Within it nothing outlasts ``deadline``, and what fails is a ConsoleError.

        paramiko waits without end for some answers (a terminal, a shell): a socket that is shut
        down ends every wait.
        """
        stage = Stage()

        def expire() -> None:
            stage.over = True
            _shut(sock)

        timer = threading.Timer(max(0, deadline - clock.now()) / 1e9, expire)
        timer.start()
        try:
            yield stage
        except (_WrongHostKeyError, _NoSuchKeyError):
            raise
        except Exception as error:  # noqa: BLE001 - see below
            # paramiko raises here whatever its reader met in the bytes, an IndexError too.
            if stage.over:
                self._fail(
                    stage.awaited, "no answer in time", "Is it up, and is that its port?", error
                )
            self._fail(stage.awaited, *_explain(error), error)
        finally:
            timer.cancel()

    def _negotiate(
        self,
        client: paramiko.SSHClient,
        sock: socket.socket,
        pkey: paramiko.PKey | None,
        disabled: list[str],
        stage: Stage,
    ) -> None:
        import paramiko  # noqa: PLC0415

        try:
            client.connect(
                self.host,
                self.port,
                username=self.user,
                pkey=pkey,
                password=self.password,
                sock=sock,
                timeout=FOREVER,
                banner_timeout=FOREVER,
                auth_timeout=FOREVER,
                allow_agent=False,
                look_for_keys=False,
                disabled_algorithms={"keys": disabled} if disabled else None,
            )
        except paramiko.ssh_exception.IncompatiblePeer as error:
            if disabled and "host key" in str(error):
                raise _NoSuchKeyError from error
            raise
        finally:
            if stage.confirmed:
                stage.awaited = f"to be let in as {self.user}"
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE_SECONDS)

    def _dial(self, clock: Clock, deadline: Instant) -> socket.socket:
        awaited = f"a TCP connection to port {self.port}"
        try:
            sock = socket.create_connection(
                (self.host, self.port), max(0.001, (deadline - clock.now()) / 1e9)
            )
        except ConnectionRefusedError as error:
            self._fail(awaited, "connection refused", "Is its SSH service running?", error)
        except TimeoutError as error:
            self._fail(awaited, "no answer in time", "Is it up, and cabled for management?", error)
        except socket.gaierror as error:
            self._fail(awaited, f"no address for {self.host!r} ({error.strerror})", "", error)
        except OSError as error:
            self._fail(awaited, error.strerror or str(error), "Is there a route to it?", error)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
        return sock

    def _load_key(self) -> paramiko.PKey | None:
        import paramiko  # noqa: PLC0415

        if self.key is None:
            return None
        awaited = f"the private key {self.key}"
        try:
            return paramiko.PKey.from_path(self.key.expanduser())
        except OSError as error:
            self._fail(awaited, error.strerror or str(error), "", error)
        except (paramiko.SSHException, ValueError, TypeError) as error:
            hint = "It must be an unencrypted private key (ssh-keygen -p removes a passphrase)"
            self._fail(awaited, str(error) or type(error).__name__, hint, error)

    def _refuse_key(self, shown: list[_WrongHostKeyError]) -> NoReturn:
        got = " and ".join(wrong.fingerprint for wrong in shown)
        hint = (
            "The host key changed: somebody else answers there, or it was installed anew. "
            "If that is known to be so, put the new fingerprint into the bench file"
        )
        self._fail(f"the host key {self.host_key}", got, hint, None)

    def _fail(self, awaited: str, got: str, hint: str, cause: BaseException | None) -> NoReturn:
        raise ConsoleError(self.device, self.name, awaited, got, hint) from cause


FOREVER = 3600.0
"""Seconds; paramiko's own time-outs stand back: the deadline shuts the socket down."""


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is down already


def _explain(error: BaseException) -> tuple[str, str]:
    """What came, and a hint, for what paramiko raised."""
    import paramiko  # noqa: PLC0415

    if isinstance(error, paramiko.BadAuthenticationType):
        return f"refused; it takes {', '.join(error.allowed_types)}", "Use one of those"
    if isinstance(error, paramiko.AuthenticationException):
        return f"refused ({error})", "Check the user, and the key or password it refers to"
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"no algorithm in common ({error})", LEGACY_HINT
    if isinstance(error, EOFError):
        return "the connection closed", "Is that an SSH service?"
    return str(error) or type(error).__name__, ""
