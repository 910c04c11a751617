"""A port without a descriptor: what its cable brings waits in memory until it is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from testbed.errors import LinkError
from testbed.wire.frame import Frame

__all__ = ["InboxPort"]


class InboxPort:
    """The receiving half of ``Port``, and its link, for ports that no kernel knows.

    Whatever the cable is made of calls ``keep`` and ``set_link``. ``on_frame`` is called after each
    frame that is kept, in place of a descriptor; at most ``capacity`` frames wait.
    """

    def __init__(self, name: str, capacity: int, *, linked: bool) -> None:
        self.on_frame: Callable[[], None] | None = None
        self._name = name
        self._capacity = capacity
        self._waiting: deque[Frame] = deque()
        self._dropped = 0
        self._linked = linked
        self._downs = 0
        self._closed = False

    @property
    def name(self) -> str:
        """The port's name."""
        return self._name

    def fileno(self) -> int:
        """There is no descriptor: -1."""
        return -1

    def receive(self) -> list[Frame]:
        """All frames that wait, oldest first."""
        frames = list(self._waiting)
        self._waiting.clear()
        return frames

    def dropped(self) -> int:
        """Frames that found ``capacity`` others waiting."""
        return self._dropped

    def link_is_up(self) -> bool:
        """Whether there is a link."""
        return self._linked

    def check_alive(self) -> None:
        """Raise LinkError when the link is down, or was."""
        if not self._linked:
            raise LinkError(f"{self._name} lost its link while it was in use")
        if self._downs:
            raise LinkError(
                f"{self._name} lost its link {self._downs} times while in use; it is back now"
            )

    def check_sendable(self) -> None:
        """Raise LinkError when nothing can be sent: without a link, or closed."""
        if self._closed or not self._linked:
            raise LinkError(f"{self._name}: cannot send: the link is down")

    def forgive(self) -> None:
        """Take the link's losses so far as meant."""
        self._downs = 0

    def close(self) -> None:
        """Stop; frames that arrive are not kept. Closing twice is no error."""
        self._closed = True
        self._waiting.clear()

    # The cable's side

    def set_link(self, up: bool) -> None:
        """The link came or went."""
        self._downs += self._linked and not up
        self._linked = up

    def keep(self, frame: Frame) -> None:
        """Let a frame wait, sent or received; without room it is counted and gone."""
        if self._closed:
            return
        if len(self._waiting) >= self._capacity:
            self._dropped += 1
            return
        self._waiting.append(frame)
        if self.on_frame is not None:
            self.on_frame()
