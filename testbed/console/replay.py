"""Conversations that were recorded or written by hand, played as a transport."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from testbed.console.transport import HangupError, Transport
from testbed.errors import ConsoleError
from testbed.timing import Duration, ManualClock

__all__ = ["Recorder", "ReplayTransport", "Say", "Sent", "emit_script", "parse_script"]


@dataclass(frozen=True, slots=True)
class Say:
    """The device says ``data``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """The device has been sent ``data``."""

    data: bytes


Script = tuple[Say | Sent, ...]


def parse_script(text: str) -> Script:
    """Read a script: ``< `` before what the device says, ``> `` before what it is sent.

    Escapes as in a Python bytes literal; empty lines and lines after ``#`` mean nothing.
    ValueError names the line that is neither.
    """
    steps: list[Say | Sent] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[:2] not in {"< ", "> "}:
            raise ValueError(f"line {number}: expected '< ' or '> ', found {line[:20]!r}")
        data = line[2:].encode("latin-1").decode("unicode_escape").encode("latin-1")
        steps.append(Say(data) if line.startswith("<") else Sent(data))
    return tuple(steps)


def emit_script(steps: Iterable[Say | Sent]) -> str:
    """The text that parse_script reads as ``steps``."""
    lines = []
    for step in steps:
        escaped = step.data.decode("latin-1").encode("unicode_escape").decode("ascii")
        escaped = escaped.replace(" ", "\\x20") if escaped != escaped.strip() else escaped
        lines.append(f"{'<' if isinstance(step, Say) else '>'} {escaped}\n")
    return "".join(lines)


class ReplayTransport:
    """Plays a script: says what the device said, and checks what the device is sent.

    Time is ``clock``'s: waiting moves it on at once. At the end of the script the far end hangs
    up, or is silent for good. ``chunk`` cuts what is said into pieces of so many bytes.
    """

    def __init__(
        self,
        device: str,
        script: Iterable[Say | Sent],
        clock: ManualClock,
        *,
        chunk: int = 65536,
        hangs_up: bool = False,
    ) -> None:
        self._device = device
        self._steps = deque(script)
        self._clock = clock
        self._chunk = chunk
        self._hangs_up = hangs_up
        self._pending = b""

    @property
    def name(self) -> str:
        """``replay``."""
        return "replay"

    @property
    def left(self) -> Script:
        """What of the script is still to come."""
        return tuple(self._steps)

    def read(self, within: Duration) -> bytes:
        """The next bytes of the script that are the device's to say."""
        if not self._pending and self._steps and isinstance(self._steps[0], Say):
            self._pending = self._steps.popleft().data
        if not self._pending:
            if self._hangs_up and not self._steps:
                raise HangupError("the script ended")
            self._clock.advance(within)
            return b""
        data, self._pending = self._pending[: self._chunk], self._pending[self._chunk :]
        return data

    def write(self, data: bytes) -> None:
        """Check ``data`` against the script; ConsoleError tells the difference."""
        if self._pending or not self._steps or not isinstance(self._steps[0], Sent):
            raise self._mismatch("nothing: it is the device's turn", data)
        wanted = self._steps[0].data
        if not wanted.startswith(data):
            raise self._mismatch(repr(wanted), data)
        rest = wanted[len(data) :]
        if rest:
            self._steps[0] = Sent(rest)
        else:
            self._steps.popleft()

    def fileno(self) -> None:
        """A script has no descriptor."""

    def close(self) -> None:
        """Forget the script."""
        self._steps.clear()
        self._pending = b""

    def _mismatch(self, wanted: str, data: bytes) -> ConsoleError:
        hint = "The dialogue is not the one that was recorded"
        return ConsoleError(self._device, self.name, f"to be sent {wanted}", repr(data), hint)


class Recorder:
    """A transport that writes down what passes, as a script."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._steps: list[Say | Sent] = []

    @property
    def name(self) -> str:
        """The name of what it records."""
        return self._inner.name

    @property
    def script(self) -> Script:
        """What passed so far."""
        return tuple(self._steps)

    def read(self, within: Duration) -> bytes:
        """As the transport within."""
        data = self._inner.read(within)
        if data:
            last = self._steps[-1] if self._steps else None
            if isinstance(last, Say):
                self._steps[-1] = Say(last.data + data)
            else:
                self._steps.append(Say(data))
        return data

    def write(self, data: bytes) -> None:
        """As the transport within."""
        self._inner.write(data)
        self._steps.append(Sent(data))

    def fileno(self) -> int | None:
        """As the transport within."""
        return self._inner.fileno()

    def close(self) -> None:
        """As the transport within."""
        self._inner.close()
