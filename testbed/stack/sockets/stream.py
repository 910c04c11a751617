"""Stream sockets: TCP connections and listeners behind the BSD calls."""

from __future__ import annotations

from typing import Final

from testbed.stack.sockets import constants as c
from testbed.stack.sockets.base import Address
from testbed.stack.sockets.errors import failure, translated
from testbed.stack.sockets.opening import OPENING, OpeningStream, Phase
from testbed.stack.sockets.settings import Key
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.states import State
from testbed.timing import Duration, seconds

__all__ = ["StreamSocket"]

_FLUSHED: Final = frozenset({State.CLOSED, State.TIME_WAIT, State.FIN_WAIT_2})
"""States in which all that was sent has been acknowledged, the FIN as well."""


class StreamSocket(OpeningStream):
    """One end of a TCP connection, or a listener, or neither yet."""

    # Data

    def send(self, data: bytes, flags: int = 0, *, within: Duration | None = None) -> int:
        """Send; how many bytes were taken. A blocking socket takes all, as Linux's does.

        MSG_OOB makes the last byte urgent; MSG_MORE holds back a segment that is not full.
        EPIPE where this side was shut down or is not connected, ECONNRESET, EAGAIN.
        """
        self._check()
        connection = self._sending(within, flags)
        view = bytes(data)
        taken = 0

        def progress() -> bool:
            nonlocal taken
            if self._closed or connection.state is State.CLOSED:
                return True
            taken += connection.send(
                view[taken:],
                self._context.now(),
                urgent=bool(flags & c.MSG_OOB),
                more=bool(flags & c.MSG_MORE),
            )
            return taken == len(view)

        with translated():
            self._wait_write(progress, within, flags)
        if taken or not view:
            return taken
        self._check()
        if connection.state is State.CLOSED:
            raise failure(self._take_error() or "EPIPE")
        raise failure("EAGAIN", "the send buffer is full")

    def _sending(self, within: Duration | None, flags: int) -> Connection:
        """The connection, if this side may send. Linux: a pending error comes before EPIPE."""
        if self.phase is Phase.CONNECTING and not self._settled():
            self._wait_write(self._settled, within, flags)
            if not self._settled():
                raise failure("EAGAIN", "not connected yet")
        self._raise_error()
        connection = self.connection
        if connection is None or self.shut_write or connection.state is State.CLOSED:
            raise failure("EPIPE")
        return connection

    def sendall(self, data: bytes, flags: int = 0, *, within: Duration | None = None) -> None:
        """Send all of ``data``; EAGAIN where the time was too short for all of it."""
        taken = self.send(data, flags, within=within)
        if taken < len(data):
            self._raise_error()
            raise failure("EAGAIN", f"{taken} of {len(data)} bytes were taken")

    def sendto(
        self, data: bytes, flags: int, address: Address, *, within: Duration | None = None
    ) -> int:
        """As send(): the address is not looked at, as in Linux."""
        del address
        return self.send(data, flags, within=within)

    def recv(self, size: int, flags: int = 0, *, within: Duration | None = None) -> bytes:
        """At most ``size`` bytes; none at the end of the stream.

        MSG_PEEK leaves them, MSG_WAITALL waits for all, MSG_OOB takes the urgent byte.
        ENOTCONN, EAGAIN, ECONNRESET.
        """
        self._check()
        if flags & c.MSG_OOB:
            return self._urgent(flags)
        connection = self.connection
        if connection is None:
            raise failure("ENOTCONN")
        failed = connection.state is State.CLOSED and not connection.unread
        if self.phase is Phase.CONNECTING and failed:
            self._raise_error()
            return b""  # Linux: what failed counts as shut down until connect() has told of it
        peek = bool(flags & c.MSG_PEEK)
        wanted = size if flags & c.MSG_WAITALL else 1
        got = b""

        def progress() -> bool:
            nonlocal got
            if peek:
                got = connection.receive(size, self._context.now(), peek=True) or b""
            else:
                got += connection.receive(size - len(got), self._context.now()) or b""
            return len(got) >= wanted or self._dry() or self._closed

        with translated():
            if size:
                self._wait_read(progress, within, flags)
        if got or not size:
            return got
        self._check()
        return self._nothing()

    def _dry(self) -> bool:
        """Whether no byte can ever come."""
        connection = self.connection
        return (
            connection is None
            or connection.state is State.CLOSED
            or connection.at_eof
            or self.shut_read
        )

    def _nothing(self) -> bytes:
        """What recv() gives where nothing came: the end, an error, or EAGAIN."""
        connection = self.connection
        if connection is not None and connection.at_eof and connection.error is None:
            return b""
        self._raise_error()
        if self._dry():
            return b""
        raise failure("EAGAIN", "nothing came")

    def _urgent(self, flags: int) -> bytes:
        """The urgent byte. Linux: EINVAL where there is none or it is inline, EAGAIN before it."""
        connection = self.connection
        if connection is None:
            raise failure("ENOTCONN")
        if self.settings.on(c.SOL_SOCKET, c.SO_OOBINLINE):
            raise failure("EINVAL", "urgent data is inline")
        if connection.urgent_byte is None:
            if connection.urgent_at < connection.rcv_nxt:
                raise failure("EINVAL", "no urgent byte")
            raise failure("EAGAIN", "the urgent byte has not come")
        return connection.receive_urgent(peek=bool(flags & c.MSG_PEEK)) or b""

    def sockatmark(self) -> bool:
        """Whether the next byte to read is the one at the urgent mark (SIOCATMARK)."""
        self._check()
        return self.connection is not None and self.connection.at_urgent_mark

    def recvfrom(
        self, size: int, flags: int = 0, *, within: Duration | None = None
    ) -> tuple[bytes, None]:
        """As recv(): a stream tells no sender."""
        return self.recv(size, flags, within=within), None

    # Closing

    def shutdown(self, how: int) -> None:
        """Close one direction or both; ENOTCONN without a connection, EINVAL for another number.

        SHUT_RD ends a listener.
        """
        self._check()
        if how not in {c.SHUT_RD, c.SHUT_WR, c.SHUT_RDWR}:
            raise failure("EINVAL", f"how is {how}")
        now = self._context.now()
        if self.listener is not None:
            if how != c.SHUT_WR:
                self._end_listening()
            return
        connection = self.connection
        if connection is None or connection.state in {State.CLOSED, State.TIME_WAIT}:
            self._mark_shut(how)  # as Linux does in spite of the error
            raise failure("ENOTCONN")
        if connection.state is State.SYN_SENT:
            connection.abort(now)
            self.connection = None
            self.phase = Phase.UNCONNECTED
            return
        first = how != c.SHUT_RD and not self.shut_write
        self._mark_shut(how)
        if first:
            with translated():
                connection.shutdown(now)

    def _mark_shut(self, how: int) -> None:
        self.shut_read = self.shut_read or how != c.SHUT_WR
        self.shut_write = self.shut_write or how != c.SHUT_RD

    def _end_listening(self) -> None:
        if self.listener is not None:
            self.listener.close(self._context.now())
        self.listener = None
        self.phase = Phase.UNCONNECTED

    def _release(self, within: Duration | None) -> None:
        self._end_listening()
        connection = self.connection
        if connection is None:
            return
        now = self._context.now()
        on, span = self._options.linger
        if connection.state is State.SYN_SENT or (on and span == 0):
            connection.abort(now)
            return
        connection.close(now)
        if on and self._blocking:
            limit = seconds(span) if within is None else within
            self._context.wait(lambda: connection.state in _FLUSHED, limit)

    # Options, events

    def _set_raw(self, key: Key, value: object) -> None:
        if not self._options.set_raw(key, value):
            super()._set_raw(key, value)
        self._push()

    def _apply(self, key: Key, value: int) -> None:
        self._options.apply(key, value)
        self._push()

    def _push(self) -> None:
        """What an option held back may go now."""
        connection = self.connection
        if connection is not None and connection.state is not State.CLOSED:
            connection.apply(self._context.now())

    def _look(self, key: Key) -> int | bytes:
        if key == (c.SOL_SOCKET, c.SO_ACCEPTCONN):
            return int(self.listener is not None)
        known = self._options.look(key, self.connection, self._context)
        return super()._look(key) if known is None else known

    def _take_error(self) -> str | None:
        error = None if self.connection is None else self.connection.take_error()
        return None if error is None else error.errno_name

    def poll_mask(self) -> int:
        """As Linux's tcp_poll."""
        if self.listener is not None:
            return c.POLLIN | c.POLLRDNORM if self.listener.readable else 0
        connection = self.connection
        state = State.CLOSED if connection is None else connection.state
        ended = connection is not None and (connection.fin_received or state is State.CLOSED)
        no_more_in = self.shut_read or ended
        mask = 0
        if state is State.CLOSED or (no_more_in and self.shut_write):
            mask |= c.POLLHUP
        if no_more_in:
            mask |= c.POLLIN | c.POLLRDNORM | c.POLLRDHUP
        if state not in OPENING:
            if connection is not None and connection.unread:
                mask |= c.POLLIN | c.POLLRDNORM
            if state is State.CLOSED or self.shut_write or (connection and connection.writable):
                mask |= c.POLLOUT | c.POLLWRNORM
            if connection is not None and connection.urgent_byte is not None:
                mask |= c.POLLPRI
        return mask | (c.POLLERR if connection is not None and connection.error else 0)
