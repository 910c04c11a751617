"""A console cable to a simulated device."""

from __future__ import annotations

from collections.abc import Callable

from testbed.console.conversation import ConversationTransport, Lapse, whole
from testbed.sim.cli.terminal import Account, Managed, Terminal
from testbed.timing import Duration, Instant, milliseconds

__all__ = ["connect"]

_LAG = milliseconds(2)
"""How long the device takes to answer what is typed."""

_LOOK = milliseconds(100)
"""How old a log line on the console may be."""


def connect(
    device: Managed,
    clock: Lapse,
    *,
    account: Account | None = None,
    serial: bool = True,
    idle: Duration | None = None,
    touched: Callable[[], None] = lambda: None,
    piece: Callable[[bytes], int] = whole,
) -> ConversationTransport:
    """A line to the terminal of ``device``, in the time of ``clock``.

    ``touched`` is called whenever something was typed: what a command makes the device send is to
    go out at once. The rest is as for Terminal and ConversationTransport.
    """
    account = account or Account()
    banner = f"{device.name}, a simulated {device.kind}"
    terminal = Terminal(device, account, banner=banner, serial=serial, idle=idle)
    name = f"sim {'console' if serial else 'login'} of {device.name}"
    far = _Touching(terminal, touched)
    return ConversationTransport(name, far, clock, lag=_LAG, piece=piece, look=_LOOK)


class _Touching:
    """A terminal, and somebody who wants to know when its device may have something to do."""

    def __init__(self, terminal: Terminal, touched: Callable[[], None]) -> None:
        self._touched = touched
        self._terminal = terminal
        self.start = terminal.start
        self.handle_timeout = terminal.handle_timeout
        self.poll_timeout = terminal.poll_timeout

    @property
    def over(self) -> bool:
        return self._terminal.over

    def feed(self, data: bytes, now: Instant) -> bytes:
        shown = self._terminal.feed(data, now)
        self._touched()
        return shown
