"""Many listeners on one port."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from testbed.hosts.turning import Loop
from testbed.link.port import Port, PushingPort
from testbed.wire.frame import Frame

__all__ = ["Subscription", "Tap"]

Listener = Callable[[Frame], None]


class Subscription:
    """One listener's place at a tap, until close()."""

    def __init__(
        self,
        listeners: dict[Subscription, Listener],
        listener: Listener,
        watchers: Sequence[Callable[[], None]],
    ) -> None:
        self._listeners = listeners
        self._watchers = watchers
        listeners[self] = listener
        self._tell()

    def close(self) -> None:
        """Hear nothing more; closing twice is no error."""
        if self._listeners.pop(self, None) is not None:
            self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()


class Tap:
    """Reads a port whenever the loop finds frames there, and hands each to every subscriber.

    Subscribers hear both directions, in the order of their subscription, and must not turn the
    loop. A tap owns its port: close() closes both.
    """

    def __init__(self, port: Port, loop: Loop) -> None:
        self.port = port
        self._loop = loop
        self._listeners: dict[Subscription, Listener] = {}
        self.watchers: list[Callable[[], None]] = []
        """Called whenever somebody begins or ends to listen."""
        self.passed_by: list[Callable[[], int]] = []
        """Count frames that the kernel carries past this tap, since it is open."""
        self._pending: deque[Frame] = deque()
        self._descriptor = port.fileno()
        self._closed = False
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self.pump)
        elif isinstance(port, PushingPort):
            port.on_frame = self._wake

    def subscribe(self, listener: Listener) -> Subscription:
        """Call ``listener`` with every frame from here on."""
        return Subscription(self._listeners, listener, self.watchers)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def unheard(self) -> int:
        """Frames that came or went here and that no subscriber heard, since the port was opened."""
        return self.port.dropped() + sum(count() for count in self.passed_by)

    def send(self, frame: bytes) -> None:
        """Send a frame; LinkError when the port cannot."""
        self.port.send(frame)

    def pump(self) -> None:
        """Hand out all frames that wait at the port now.

        Every subscriber gets every frame, also when another one fails; the first failure is
        raised after the last frame.
        """
        self._pending.extend(self.port.receive())
        failure: Exception | None = None
        while self._pending:
            frame = self._pending.popleft()
            for subscription in tuple(self._listeners):
                listener = self._listeners.get(subscription)
                if listener is None:
                    continue  # closed by another one just now
                try:
                    listener(frame)
                except Exception as error:  # noqa: BLE001 - raised below
                    failure = failure or error
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Stop listening and close the port; closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
        elif isinstance(self.port, PushingPort):
            self.port.on_frame = None
            self._loop.cancel(self)
        self._listeners.clear()
        self.port.close()

    def _wake(self) -> None:
        self._loop.call_at(self._loop.now(), self.pump, name=self)
