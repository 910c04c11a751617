"""The controller's side of a host's services: bringing the agent there, asking it, its answers."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import TypeAdapter

from testbed.console.cli import DEFAULT_WITHIN
from testbed.devices.base import quote
from testbed.devices.capabilities import Datagram, TransferResult, UdpAnswer
from testbed.devices.parsing import Row, read_json
from testbed.devices.platforms.linux_host import agent
from testbed.errors import DeviceError, Unsupported
from testbed.timing import Duration, seconds

__all__ = [
    "Agent",
    "parse_datagrams",
    "parse_failure",
    "parse_sent",
    "parse_transfer",
    "read_base64",
    "stop_command",
    "write_command",
]

T = TypeVar("T")

# The system's own, where there is one: others may hide behind wrappers that take their time.
_PYTHON = "command -v /usr/bin/python3 || command -v python3"

_AT_ONCE = Duration(0)

_MARGIN = seconds(5)
"""How much longer than its work a call of the agent may take."""


class _Failure(Row):
    error: str | None = None
    text: str = ""


class _Side(Row):
    octets: int
    sha256: str
    seconds: float
    error: str | None = None

    def result(self) -> TransferResult:
        if not 0 <= self.seconds < 1e9:
            raise DeviceError(f"a transfer of {self.seconds} seconds cannot be")
        return TransferResult(self.octets, self.sha256, seconds(self.seconds), self.error)


class _Transfer(Row):
    sent: _Side
    received: _Side


class _Datagrams(Row):
    datagrams: tuple[tuple[str, str], ...]


class _Sent(Row):
    sent: str | None
    answer: str | None = None


_FAILURE = TypeAdapter(_Failure)
_TRANSFER = TypeAdapter(_Transfer)
_DATAGRAMS = TypeAdapter(_Datagrams)
_SENT = TypeAdapter(_Sent)


def parse_failure(text: str) -> str | None:
    """Why the agent could not do what it was asked: ``EADDRINUSE: ...``, or None."""
    failure = read_json(text, _FAILURE)
    return None if failure.error is None else f"{failure.error}: {failure.text}"


def parse_transfer(text: str) -> tuple[TransferResult, TransferResult]:
    """What one side of a connection sent, and what it received."""
    transfer = read_json(text, _TRANSFER)
    return transfer.sent.result(), transfer.received.result()


def parse_datagrams(text: str) -> tuple[Datagram, ...]:
    """The datagrams that a UDP service has received, in their order."""
    found = read_json(text, _DATAGRAMS).datagrams
    return tuple(Datagram(source, read_base64(payload)) for source, payload in found)


def parse_sent(text: str) -> UdpAnswer:
    """How the sending of a datagram ended."""
    sent = read_json(text, _SENT)
    return UdpAnswer(None if sent.answer is None else read_base64(sent.answer), sent.sent)


def _program(directory: str, ask: dict[str, object]) -> str:
    """Runs the agent: isolated from the environment, without packages, hence at once."""
    argument = json.dumps({**ask, "directory": directory})
    return f"$({_PYTHON}) -IS {quote(f'{directory}/agent.py', argument)}"


def stop_command(directory: str) -> str:
    """Ends every service whose directory this is and removes it; nothing there is no failure."""
    program = _program(directory, {"do": "stop"})
    return (
        f"if [ -e {quote(directory + '/agent.py')} ]; then {program} && "
        f"{quote('rm', '-r', directory)}; fi"
    )


def write_command(path: str, content: bytes) -> str:
    """Makes the file ``path`` hold ``content``."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    return f"printf %s {packed} | base64 -d | gzip -dc > {quote(path)}"


def read_base64(text: str) -> bytes:
    """The bytes behind ``text``, which may be broken into lines."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise DeviceError(f"{text[:40]!r} is not in base 64") from None


class _Run(Protocol):
    def __call__(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> str: ...


class Agent:
    """The agent on one host. It is copied there over the host's own command line when needed."""

    def __init__(self, name: str, run: _Run) -> None:
        self._name = name
        self._run = run
        self._directory: str | None = None
        self._payloads = 0

    def directory(self) -> str:
        """Where the agent is and keeps what its services are; it is brought there if need be."""
        if self._directory is None:
            self._directory = self._install()
        return self._directory

    def forget(self) -> None:
        """The directory may be gone."""
        self._directory = None

    def ask(self, what: str, *, lasting: Duration = _AT_ONCE, **details: object) -> str:
        """What the agent answers to ``what``, in JSON; DeviceError where it could not do it.

        ``lasting`` is how long its work may take.
        """
        directory = self.directory()
        command = _program(directory, {"do": what, **details})
        answer = self._run(command, within=Duration(lasting + max(_MARGIN, DEFAULT_WITHIN)))
        failure = parse_failure(answer)
        if failure is not None:
            raise DeviceError(f"{self._name}: {what} of port {details.get('port')}: {failure}")
        return answer

    def read(
        self, what: str, parse: Callable[[str], T], *, lasting: Duration, **details: object
    ) -> T:
        """As ask, with the answer parsed."""
        answer = self.ask(what, lasting=lasting, **details)
        try:
            return parse(answer)
        except DeviceError as error:
            raise DeviceError(f"{self._name}: cannot read what {what} tells: {error}") from None

    def upload(self, payload: bytes) -> str:
        """The path, on the host, of a new file that holds ``payload``."""
        self._payloads += 1
        path = f"{self.directory()}/payload-{self._payloads}"
        self._run(write_command(path, payload))
        return path

    def _install(self) -> str:
        if self._run(f"{_PYTHON} || :").strip() == "":
            raise Unsupported(
                f"{self._name} has no python3, which its services need: apt-get install python3"
            )
        base = self._run("if [ -w /run ]; then echo /run; else echo /tmp; fi").strip()
        directory = f"{base}/testbed-{self._name}"
        self._run(quote("mkdir", "-p", "-m", "700", directory))
        self._run(write_command(f"{directory}/agent.py", Path(agent.__file__).readread_base64()))
        return directory
