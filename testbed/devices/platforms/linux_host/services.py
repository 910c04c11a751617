"""The controller's side of a host's services: bringing the agent there, asking it, its answers."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from importlib.resources import files
from typing import Protocol, TypeVar

from pydantic import TypeAdapter

from testbed.console.cli import DEFAULT_WITHIN
from testbed.devices.base import quote
from testbed.devices.parsing import Row, read_json
from testbed.devices.values import Datagram, TransferResult, UdpAnswer
from testbed.errors import DeviceError, ExpectationFailed, Unsupported
from testbed.timing import Duration, seconds

__all__ = [
    "Agent",
    "parse_datagrams",
    "parse_failure",
    "parse_sent",
    "parse_transfer",
    "read_command",
    "read_file",
    "stop_command",
    "write_command",
]

T = TypeVar("T")

# The system's own, where there is one: others may hide behind wrappers that take their time.
_PYTHON = "command -v /usr/bin/python3 || command -v python3"

_AT_ONCE = Duration(0)

_UNFINISHED = "EINPROGRESS:"

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
    urgent: str = ""

    def result(self) -> TransferResult:
        if not 0 <= self.seconds < 1e9:
            raise DeviceError(f"a transfer of {self.seconds} seconds cannot be")
        try:
            urgent = bytes.fromhex(self.urgent)
        except ValueError:
            raise DeviceError(f"{self.urgent!r} is not hexadecimal") from None
        return TransferResult(self.octets, self.sha256, seconds(self.seconds), self.error, urgent)


class _Connection(Row):
    sent: _Side
    received: _Side


class _Transfer(_Connection):
    others: tuple[_Connection, ...] = ()


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


def parse_transfer(text: str) -> tuple[TransferResult, ...]:
    """What one side of a connection sent, and what it received; so for each, if there were more."""
    first = read_json(text, _TRANSFER)
    every = (first, *first.others)
    return tuple(side.result() for each in every for side in (each.sent, each.received))


def parse_datagrams(text: str) -> tuple[Datagram, ...]:
    """The datagrams that a UDP service has received, in their order."""
    found = read_json(text, _DATAGRAMS).datagrams
    return tuple(Datagram(source, _bytes(payload)) for source, payload in found)


def parse_sent(text: str) -> UdpAnswer:
    """How the sending of a datagram ended."""
    sent = read_json(text, _SENT)
    return UdpAnswer(None if sent.answer is None else _bytes(sent.answer), sent.sent)


def _program(directory: str, ask: dict[str, object]) -> str:
    """Runs the agent: isolated from the environment, without packages, hence at once."""
    argument = json.dumps({**ask, "directory": directory})
    return f"$({_PYTHON}) -IS {quote(f'{directory}/agent.pyz', argument)}"


def stop_command(directory: str) -> str:
    """Ends every service whose directory this is and removes it; nothing there is no failure."""
    program = _program(directory, {"do": "stop"})
    return (
        f"if [ -e {quote(directory + '/agent.pyz')} ]; then {program} && "
        f"{quote('rm', '-r', directory)}; fi"
    )


def write_command(path: str, content: bytes) -> str:
    """Makes the file ``path`` hold ``content``."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    return f"printf %s {packed} | base64 -d | gzip -dc > {quote(path)}"


def read_command(path: str) -> str:
    """Prints the file ``path``, for read_file."""
    file = quote(path)
    return f"cat {file} > /dev/null && gzip -nc {file} | base64"


def read_file(text: str) -> bytes:
    """The file that read_command printed."""
    try:
        return gzip.decompress(_bytes("".join(text.split())))
    except (OSError, EOFError, zlib.error) as error:
        raise DeviceError(f"not the file as it was packed: {error}") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DeviceError(f"{text[:40]!r} is not in base 64") from None


class _Run(Protocol):
    def __call__(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> str: ...


def archive() -> bytes:
    """The agent as one file that Python runs: its modules, and no more of the packages they are in.

    The same bytes each time.
    """
    steps = __name__.split(".")[:-1]
    texts = {f"{'/'.join(steps[:depth])}/__init__.py": "" for depth in range(1, 5)}
    # They are read and not imported: they need what only the host's system has.
    for module in ("agent", "transfer"):
        source = files(".".join(steps)).joinpath(f"{module}.py").read_text(encoding="utf-8")
        texts[f"{'/'.join(steps)}/{module}.py"] = source
    texts["__main__.py"] = (
        f"import sys\nfrom {'.'.join(steps)}.agent import main\nprint(main(sys.argv[1]))\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path, text in texts.items():
            file.writestr(zipfile.ZipInfo(path), text)
    return packed.getvalue()


class Agent:
    """The agent on one host. It is copied there over the host's own command line when needed."""

    def __init__(self, name: str, run: _Run) -> None:
        self._name = name
        self._run = run
        self._place: str | None = None
        self._installed = False
        self._payloads = 0

    def directory(self) -> str:
        """Where the agent keeps itself and what its services are; it need not be there yet."""
        if self._place is None:
            base = self._run("if [ -w /run ]; then echo /run; else echo /tmp; fi").strip()
            self._place = f"{base}/testbed-{self._name}"
        return self._place

    def forget(self) -> None:
        """The agent may have been removed: it is brought there again when it is needed."""
        self._installed = False

    def ask(self, what: str, *, lasting: Duration = _AT_ONCE, **details: object) -> str:
        """What the agent answers to ``what``, in JSON; DeviceError where it could not do it.

        ``lasting`` is how long its work may take. ExpectationFailed where a service that it was to
        wait for goes on: the agent has done its work, it is the host's TCP that has not.
        """
        self._install()
        command = _program(self.directory(), {"do": what, **details})
        answer = self._run(command, within=Duration(lasting + max(_MARGIN, DEFAULT_WITHIN)))
        failure = parse_failure(answer)
        if failure is not None:
            problem = f"{self._name}: {what} of port {details.get('port')}: {failure}"
            raise (ExpectationFailed if failure.startswith(_UNFINISHED) else DeviceError)(problem)
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
        self._install()
        self._payloads += 1
        path = f"{self.directory()}/payload-{self._payloads}"
        self._run(write_command(path, payload))
        return path

    def _install(self) -> None:
        if self._installed:
            return
        if not self._run(f"{_PYTHON} || :").strip():
            raise Unsupported(
                f"{self._name} has no python3, which its services need: apt-get install python3"
            )
        directory = self.directory()
        self._run(quote("mkdir", "-p", "-m", "700", directory))
        self._run(write_command(f"{directory}/agent.pyz", archive()))
        self._installed = True
