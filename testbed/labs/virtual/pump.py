"""A serial line: two pseudo-terminals joined, one for the device's getty, one for the controller.

Only the standard library is imported here; see ``testbed.labs.virtual.rack``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import struct
import termios
import tty

__all__ = ["SerialLine"]

BACKLOG = 65536
"""Bytes that wait for a slow reader before more are lost; a UART's FIFO holds far fewer."""

_TIOCPKT_FLUSHREAD = 1


class _End:
    """One pseudo-terminal: we keep its master, and its slave open too.

    The slave stays open because a master whose slave was closed by the last user reads EIO.
    """

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        self.path = os.ttyname(self._slave)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.waiting = bytearray()

    def reopen(self) -> None:
        """Hold the slave again after login(1) hung up every descriptor to it (vhangup(2))."""
        os.close(self._slave)
        self._slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY)

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)

    def offer(self, data: bytes) -> None:
        self.waiting += data
        del self.waiting[BACKLOG:]
        self.flush()

    def flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.waiting:
                del self.waiting[: os.write(self.master, self.waiting)]


class SerialLine:
    """The line and its pump, driven by the rack's selector."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._device = _End()
        self._controller = _End()
        # tty_ioctl(2), packet mode: the master learns when the other side flushes its input, as
        # pyserial does when it opens the port. What waits here is then stale too.
        fcntl.ioctl(self._controller.master, termios.TIOCPKT, struct.pack("i", 1))
        for end, pump in ((self._device, self._to_controller), (self._controller, self._to_device)):
            selector.register(end.master, selectors.EVENT_READ, pump)

    @property
    def device_path(self) -> str:
        """The terminal for the device's getty."""
        return self._device.path

    @property
    def controller_path(self) -> str:
        """The terminal that the controller opens as a serial port."""
        return self._controller.path

    def close(self) -> None:
        """Unplug it."""
        for end in (self._device, self._controller):
            self._selector.unregister(end.master)
            end.close()

    def _to_controller(self, events: int) -> None:
        self._carry(events, self._device, self._controller)

    def _to_device(self, events: int) -> None:
        self._carry(events, self._controller, self._device)

    def _carry(self, events: int, source: _End, sink: _End) -> None:
        if events & selectors.EVENT_WRITE:
            source.flush()
        if events & selectors.EVENT_READ and (data := self._read(source)):
            sink.offer(data)
        for end in (source, sink):
            key = self._selector.get_key(end.master)
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if end.waiting else 0)
            if key.events != wanted:
                self._selector.modify(end.master, wanted, key.data)

    def _read(self, source: _End) -> bytes:
        try:
            data = os.read(source.master, 4096)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            source.reopen()
            return b""
        if source is not self._controller:
            return data
        if data[:1] != b"\0":
            if data[0] & _TIOCPKT_FLUSHREAD:
                source.waiting.clear()
            return b""
        return data[1:]
