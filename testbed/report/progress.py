"""How far sending has come, as bars on a terminal: frames, rates, what remains."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

__all__ = ["SendingBars", "rate_text"]

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def rate_text(rate: float, unit: str) -> str:
    """A rate with three digits or so: ``1.25 Mpps``."""
    for size, prefix in _UNITS:
        if rate >= size:
            return f"{rate / size:.3g} {prefix}{unit}"
    return f"{rate:.3g} {unit}"


def _one_line() -> Column:
    return Column(no_wrap=True)


class _Sent(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Frames sent, of how many, and what remains."""
        sent = int(task.completed)
        if task.total is None:
            return Text(f"{sent:,} frames")
        return Text(f"{sent:,} of {int(task.total):,}, {int(task.total) - sent:,} to go")


class SendingBars:
    """Shows a bar for each thing that is sent; nothing at all where there is no terminal.

    Rates are those since the bar was last told, not the average since the start.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._before: dict[int, tuple[float, int, int]] = {}
        self._shown: Progress | None = None
        if console.is_terminal:
            self._shown = Progress(
                TextColumn("{task.description}", markup=False, table_column=_one_line()),
                BarColumn(bar_width=10),
                _Sent(table_column=_one_line()),
                TextColumn("{task.fields[rates]}", markup=False, table_column=_one_line()),
                TimeRemainingColumn(compact=True),
                console=console,
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        self._tasks: dict[object, object] = {}

    def show(
        self, key: object, label: str, sent: int, sent_bytes: int, total: int | None = None
    ) -> None:
        """Move the bar of ``key``, a new one the first time."""
        if self._shown is None:
            return
        now = self._clock()
        if key not in self._tasks:
            self._shown.start()
            self._tasks[key] = self._shown.add_task(label, total=total, rates="")
            self._before[id(key)] = (now, sent, sent_bytes)
        then, frames, octets = self._before[id(key)]
        rates = ""
        if now > then:
            pps, bits = (sent - frames) / (now - then), (sent_bytes - octets) * 8 / (now - then)
            rates = f"{rate_text(pps, 'pps')}, {rate_text(bits, 'bit/s')}"
            self._before[id(key)] = (now, sent, sent_bytes)
        self._shown.update(self._tasks[key], completed=sent, rates=rates, refresh=True)  # type: ignore[arg-type]

    def hide(self, key: object) -> None:
        """Take the bar of ``key`` away; one that is not there is no error."""
        if self._shown is None or key not in self._tasks:
            return
        self._shown.remove_task(self._tasks.pop(key))  # type: ignore[arg-type]
        del self._before[id(key)]
        if not self._tasks:
            self._shown.stop()

    def close(self) -> None:
        """Take all bars away."""
        for key in list(self._tasks):
            self.hide(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()
