"""The user's side of a connection: the calls of RFC 9293 3.9.1."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.lower import Path
from testbed.stack.refusals import Refused
from testbed.stack.tcp.machine import Machine
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.snapshot import TcpSnapshot, picture
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.steering import Steering
from testbed.stack.tcp.tcb import Key, Tcb, Timer
from testbed.timing import Instant

__all__ = ["Connection"]

_OPENING: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})
_SENDING: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT})
_RECEIVING: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})


class Connection(Tcb):
    """One TCP connection."""

    __slots__ = ("_machine",)

    def __init__(
        self,
        machine: Machine,
        key: Key,
        path: Path,
        options: SocketOptions,
        now: Instant,
        *,
        passive: bool,
    ) -> None:
        super().__init__(key, path, options, now, passive=passive)
        self._machine = machine

    # What can be done now

    @property
    def established(self) -> bool:
        """Whether the handshake is done."""
        return self.state is not State.CLOSED and self.state not in _OPENING

    @property
    def readable(self) -> bool:
        """Whether ``receive`` gives bytes, the end of the stream or an error at once."""
        if self.receiving.unread or self.error is not None or self.at_eof:
            return True
        return self.state is State.CLOSED

    @property
    def writable(self) -> bool:
        """Whether ``send`` takes bytes, or gives an error, at once."""
        if self.state in _SENDING and not self.fin_queued:
            return self.send_room > 0
        return self.state not in _OPENING

    @property
    def send_room(self) -> int:
        """Bytes that ``send`` would take."""
        return max(0, self._machine.factory.send_limit(self.options) - self.sending.size)

    @property
    def at_eof(self) -> bool:
        """Whether the peer has closed and all its bytes are read."""
        return self.fin_received and not self.receiving.unread

    @property
    def at_urgent_mark(self) -> bool:
        """Whether the next byte to read is the urgent one (SIOCATMARK)."""
        return self.urgent_at >= 0 and self.urgent_at == self._read_at

    @property
    def unread(self) -> int:
        """Bytes that came and were not read."""
        return self.receiving.unread

    @property
    def unacked(self) -> int:
        """Bytes sent and not acknowledged, and the FIN if it is among them."""
        return self.snd_nxt - self.snd_una

    @property
    def _read_at(self) -> int:
        return self.receiving.next - self.receiving.unread

    # Calls

    def send(
        self,
        data: bytes | bytearray | memoryview,
        now: Instant,
        *,
        urgent: bool = False,
        more: bool = False,
    ) -> int:
        """Take as much of ``data`` as there is room for; the number of bytes taken.

        ``urgent``: the last byte is urgent (RFC 6093). ``more``: hold back a segment that is not
        full, as more will follow at once. Raises Refused: the pending error, EPIPE after a close,
        ENOTCONN.
        """
        self._check_sending()
        room = self.send_room
        taken = min(len(data), room)
        if taken:
            self.sending.append(data if taken == len(data) else memoryview(data)[:taken])
        self.cork_more = more
        if urgent and taken == len(data) > 0:
            self.snd_up = self.sending.end
        self._go(now)
        if urgent:
            self._machine.output.announce_urgent(self, now)
        return taken

    def _check_sending(self) -> None:
        self._raise_error()
        if (self.state in _OPENING or self.state in _SENDING) and not self.fin_queued:
            return
        if self.state is State.CLOSED and not self.irs_known:
            raise Refused("ENOTCONN", self.name)
        raise Refused("EPIPE", f"{self.name} is closed for sending")

    def receive(self, limit: int, now: Instant, *, peek: bool = False) -> bytes | None:
        """Up to ``limit`` bytes; None: nothing yet; ``b""``: the peer has closed.

        Stops before the urgent byte, and passes over it unless ``oob_inline``. Raises Refused: the
        pending error, or ENOTCONN where there never was a connection.
        """
        if self.receiving.unread and limit > 0:
            data = self._read(limit, peek=peek)
            if not peek:
                self._update_window(now)
            if data:
                return data
        if not limit:
            return b""
        self._raise_error()
        if self.fin_received or (self.state is State.CLOSED and self.irs_known):
            return b""
        if self.state is State.CLOSED:
            raise Refused("ENOTCONN", self.name)
        return None

    def _read(self, limit: int, *, peek: bool) -> bytes:
        if self.urgent_at >= 0:
            before = self.urgent_at - self._read_at
            if before > 0:
                limit = min(limit, before)
            elif before == 0 and not self.options.oob_inline:
                if peek:
                    return self.receiving.read(limit + 1, peek=True)[1:]
                self.receiving.read(1)
                self.urgent_at = -1
        data = self.receiving.read(limit, peek=peek)
        if not peek and self.urgent_at >= 0 and self.urgent_at < self._read_at:
            self.urgent_at = -1
        return data

    def receive_urgent(self, *, peek: bool = False) -> bytes | None:
        """The urgent byte (MSG_OOB); None where it has not come, was taken, or is read in line."""
        if self.options.oob_inline:
            return None
        byte = self.urgent_byte
        if not peek:
            self.urgent_byte = None
        return byte

    def _update_window(self, now: Instant) -> None:
        if self.state in _RECEIVING and self._machine.transmit.window.worth_telling(self):
            self._machine.transmit.ack(self, now)

    def _raise_error(self) -> None:
        error = self.take_error()
        if error is not None:
            raise error

    def take_error(self) -> Refused | None:
        """The pending error, told once (SO_ERROR)."""
        error, self.error = self.error, None
        return error

    def shutdown(self, now: Instant) -> None:
        """Send no more: half-close. What the peer sends is still received.

        Raises Refused ENOTCONN where there is no connection.
        """
        if self.state is State.CLOSED:
            raise Refused("ENOTCONN", self.name)
        self._finish(now)

    def close(self, now: Instant) -> None:
        """Neither send nor receive any more; data handed over is still delivered.

        Unread data, or a linger time of 0, make it an abort (RFC 9293 3.6.1).
        """
        if self.state is State.CLOSED:
            return
        if self.state is State.SYN_SENT:
            self._machine.lifecycle.move(self, Cause.CLOSE, now)
            return
        if self.options.linger == 0 or self.receiving.unread:
            self.abort(now)
            return
        self.orphaned = True
        self._finish(now)
        self._machine.lifecycle.limit_fin_wait(self, now)
        self._machine.timers.settle(self)

    def _finish(self, now: Instant) -> None:
        if self.fin_queued:
            return
        if self.state in _SENDING:
            self.fin_queued = True
            self.cork_more = False
            self._machine.lifecycle.move(self, Cause.CLOSE, now)
            self._go(now)
        elif self.state is State.SYN_RECEIVED and not self.sending.size:
            self._machine.handshake.close_early(self, now)
            self._go(now)
        elif self.state in _OPENING:
            # 3.10.4: 'queue for processing after entering ESTABLISHED state'.
            self.fin_queued = True

    def abort(self, now: Instant) -> None:
        """Reset the peer and forget everything at once (RFC 9293 3.10.5)."""
        self._machine.lifecycle.abort(self, now)

    def apply(self, now: Instant) -> None:
        """Let changed ``options`` take effect now, rather than with the next segment or call."""
        self.receiving.limit = self._machine.factory.receive_limit(self.options)
        if self.state in _OPENING or self.state is State.CLOSED:
            return
        self._machine.keepalive.start(self)
        self._machine.pathmtu.changed(self, now)
        self._update_window(now)
        if not self.options.cork:
            self.due.pop(Timer.OVERRIDE, None)
        self._go(now)

    def _go(self, now: Instant) -> None:
        self._machine.output.flush(self, now)
        self._machine.timers.settle(self)

    # Looking in, and steering

    def snapshot(self) -> TcpSnapshot:
        """Everything about the connection, as it is now."""
        return picture(self, self._machine.transmit.window.free(self))

    @property
    def steer(self) -> Steering:
        """What a plan makes the connection do against its own judgement."""
        return Steering(self, self._machine.transmit, self._machine.timers)

    @property
    def peer(self) -> tuple[IPv4Address, int]:
        """The peer's address and port."""
        return self.remote
