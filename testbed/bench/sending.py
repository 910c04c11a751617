"""What a NIC sends by itself while the plan goes on: started, watched, awaited, stopped."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from testbed.bench.progress import EVERY, watchers
from testbed.errors import LinkError, PlanError, TestbedError
from testbed.hosts import Loop
from testbed.link.streams import Sender
from testbed.link.streams.job import Counted
from testbed.timing import Duration, Instant, milliseconds, seconds

__all__ = ["PATIENCE", "Sending"]

LOOK_EVERY = milliseconds(5)
PATIENCE = seconds(10)
"""How much longer than it should it may take before it is given up."""


class Sending(ABC):
    """Streams and replays alike.

    ``sent`` counts to the frame what the NIC has sent, as the kernel's own counter of the interface
    does; frames that the interface dropped are not in it once it is stopped.
    """

    kind = "stream"

    def __init__(self, role: str, *, loop: Loop, on_change: Callable[[], None]) -> None:
        self.role = role
        self.engine = ""
        """What sends it; known once it was started."""
        self.why = ""
        """Why it is this engine and not a faster one."""
        self._loop = loop
        self._on_change = on_change
        self._sender: Sender | None = None
        self._running = False

    @abstractmethod
    def _open(self) -> tuple[Sender, str]:
        """What sends it, and why it is this."""

    @abstractmethod
    def _should_take(self) -> Duration:
        """How long it may take; PlanError when it has no end."""

    @property
    @abstractmethod
    def total(self) -> int | None:
        """Frames in all; None where nobody knows."""

    @property
    @abstractmethod
    def sent_bytes(self) -> int:
        """Bytes of the frames sent so far, about right where their lengths differ."""

    @property
    def label(self) -> str:
        """What it is, in a few words."""
        return f"{self.role}: {self.kind}"

    @property
    def sent(self) -> int:
        """Frames sent so far, since the last start."""
        return self._sender.sent if self._sender else 0

    @property
    def behind(self) -> int:
        """How often this machine was too late to catch up: the rate was not kept then."""
        return int(getattr(self._sender, "behind", 0))

    @property
    def running(self) -> bool:
        """Whether it is sending, and not all is sent."""
        return self._running and self._sender is not None and not self._sender.done

    def start(self) -> Self:
        """Begin with the first frame; PlanError when it runs already."""
        if self._running:
            raise PlanError(f"{self.role}: the {self.kind} runs already")
        sender, self.why = self._open()
        self.engine = str(getattr(sender, "name", ""))
        self._sender = sender
        self._on_change()
        self._running = True
        sender.start()
        if watchers and isinstance(sender, Counted):
            self._tell()
        return self

    def wait(self, within: Duration | None = None) -> int:
        """Turn the loop until all is sent; how many that were.

        PlanError for what has no end of its own. LinkError when it is not over in time: by
        default, ten seconds after it should be.
        """
        if self._sender is None or not self._running:
            return self.sent
        deadline = self._loop.now() + (self._should_take() if within is None else within)
        while self.running:
            left = deadline - self._loop.now()
            if left <= 0:
                sent = self.sent
                self.stop()
                raise LinkError(
                    f"{self.role}: the {self.kind} has sent only {sent} frames in its time"
                )
            self._loop.run_until(lambda: not self.running, Duration(min(LOOK_EVERY, left)))
        self.stop()
        return self.sent

    def stop(self) -> int:
        """Send no more; how many frames were sent. LinkError when the NIC could not send."""
        if self._sender is not None and self._running:
            self._running = False
            self._loop.cancel(self)
            try:
                self._loop.call(self._sender.stop)
            finally:
                for watcher in watchers:
                    watcher.ended(self)
                self._on_change()
        return self.sent

    def abandon(self) -> None:
        """Stop at the end of a plan that does not care any more."""
        with contextlib.suppress(TestbedError):
            self.stop()

    def _tell(self) -> None:
        for watcher in watchers:
            watcher.moved(self)
        if self.running:
            self._loop.call_at(Instant(self._loop.now() + EVERY), self._tell, name=self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self.abandon()
        else:
            self.stop()
