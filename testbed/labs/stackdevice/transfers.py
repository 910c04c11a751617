"""TCP services of a Python stack, which do what a kernel host's agent does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

from testbed.devices.values import Ending, Flow, TransferResult
from testbed.hosts.stack_host import StackHost
from testbed.stack.refusals import Refused
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import Duration, Instant, after

__all__ = ["Client", "Server", "seeded", "socket_options"]

Side = Literal["sent", "received"]
_OPENING = (State.SYN_SENT, State.SYN_RECEIVED)
_AT_ONCE = Duration(0)


def seeded(size: int, seed: int) -> bytes:
    """``size`` bytes that ``seed`` determines: SHAKE128 (FIPS 202) of the seed as 8 bytes."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def socket_options(flow: Flow) -> SocketOptions:
    """The options of a connection that behaves as ``flow`` says."""
    options = SocketOptions(oob_inline=flow.oob_inline, user_timeout=flow.user_timeout)
    if flow.nodelay:
        options.nodelay = True
    if flow.receive_buffer is not None:
        options.receive_buffer = 2 * flow.receive_buffer  # as Linux: socket(7), SO_RCVBUF
    if flow.send_buffer is not None:
        options.send_buffer = 2 * flow.send_buffer
    if flow.max_segment is not None:
        options.max_segment = flow.max_segment
    if flow.keepalive is not None:
        options.keepalive = True
        options.keepalive_idle = flow.keepalive.idle
        options.keepalive_interval = flow.keepalive.interval
        options.keepalive_probes = flow.keepalive.probes
    return options


class _Transfer:
    """Both directions of one connection, as far as the flow and the stack let them go."""

    def __init__(
        self, host: StackHost, connection: Connection, data: bytes, flow: Flow, ending: Ending
    ) -> None:
        self._host = host
        self._tcp = connection
        self._data = memoryview(data)
        self._flow = flow
        self._ending = ending
        self._opened: Instant | None = None
        self._read_from = self._next_chunk = self._end_at = Instant(0)
        self._began = host.now()
        self._octets: dict[Side, int] = {"sent": 0, "received": 0}
        self._received = hashlib.sha256()
        self._urgent = b""
        self._ends: dict[Side, Duration] = {}
        self._errors: dict[Side, str] = {}

    @property
    def done(self) -> bool:
        """Whether both directions have ended."""
        return len(self._ends) == 2

    @property
    def octets(self) -> tuple[int, int]:
        """How many bytes were sent and received."""
        return self._octets["sent"], self._octets["received"]

    @property
    def results(self) -> tuple[TransferResult, TransferResult]:
        """What was sent and what was received."""
        sent = hashlib.sha256(self._data[: self._octets["sent"]]).hexdigest()
        return (
            TransferResult(
                self._octets["sent"], sent, self._ends["sent"], self._errors.get("sent")
            ),
            TransferResult(
                self._octets["received"],
                self._received.hexdigest(),
                self._ends["received"],
                self._errors.get("received"),
                self._urgent,
            ),
        )

    def step(self) -> None:
        """Do all that can be done now, and see to be called when there is more."""
        if self.done:
            return
        try:
            if self._is_open():
                self._send()
                self._receive()
                self._finish()
        except Refused as refusal:
            self._fail(refusal.errno_name)
        self._arm()

    def abandon(self) -> None:
        """Leave nothing behind: the connection is reset."""
        self._host.loop.cancel(self)
        if self._tcp.state is not State.CLOSED:
            self._tcp.abort(self._host.now())

    def _is_open(self) -> bool:
        if self._opened is not None:
            return True
        if self._tcp.error is not None:
            raise self._tcp.error
        if self._tcp.state is State.CLOSED:
            raise Refused("ECONNABORTED")
        if self._tcp.state in _OPENING:
            return False
        now = self._host.now()
        self._opened = self._began = self._next_chunk = now
        self._read_from = after(now, self._flow.read_after)
        self._end_at = after(now, self._flow.end_after)
        return True

    def _send(self) -> None:
        while "sent" not in self._ends and self._octets["sent"] < len(self._data):
            now = self._host.now()
            if now < self._next_chunk:
                return
            at = self._octets["sent"]
            end, urgent = min(at + self._flow.chunk, len(self._data)), self._flow.urgent
            if urgent is not None and at < urgent < end:
                end = urgent
            if urgent == at:
                end = at + 1
            taken = self._tcp.send(bytes(self._data[at:end]), now, urgent=urgent == at)
            if not taken:
                return
            self._octets["sent"] += taken
            self._next_chunk = after(now, self._flow.every)
            self._end_at = after(now, self._flow.end_after)

    def _receive(self) -> None:
        while "received" not in self._ends:
            now = self._host.now()
            if now < self._read_from:
                return
            self._urgent += self._tcp.receive_urgent() or b""
            data = self._tcp.receive(self._flow.read_chunk, now)
            if data is None:
                return
            if not data:
                self._end("received")
                return
            self._received.update(data)
            self._octets["received"] += len(data)
            self._read_from = max(self._read_from, after(now, self._flow.read_every))

    def _finish(self) -> None:
        all_sent = self._octets["sent"] == len(self._data)
        now = self._host.now()
        if all_sent and "sent" not in self._ends and self._ending is not Ending.HOLD:
            if now < self._end_at:
                return
            self._end("sent")
            if self._ending is Ending.HALF:
                self._tcp.shutdown(now)
            elif self._ending is Ending.ABORT:
                self._tcp.abort(now)
                self._end("received")
            elif self._ending is Ending.CLOSE:
                self._end("received")
        if self._ending is Ending.HOLD and self._tcp.error is not None:
            raise self._tcp.error
        if self.done and self._ending is not Ending.ABORT:
            self._tcp.close(now)

    def _fail(self, name: str) -> None:
        sides: tuple[Side, Side] = ("sent", "received")
        for side in sides:
            if side not in self._ends:
                self._errors[side] = name
                self._end(side)

    def _end(self, side: Side) -> None:
        self._ends.setdefault(side, Duration(self._host.now() - self._began))

    def _arm(self) -> None:
        now, due = self._host.now(), [self._read_from, self._next_chunk, self._end_at]
        waits = [at for at in due if at > now]
        if waits and not self.done and self._opened is not None:
            span = Duration(min(waits) - now)
            self._host.loop.call_at(after(self._host.loop.now(), span), self._wake, name=self)

    def _wake(self) -> None:
        self.step()
        self._host.flush()


class Client:
    """One connection that this side opened."""

    def __init__(self, host: StackHost, connection: Connection, data: bytes, flow: Flow) -> None:
        ending = flow.ending or Ending.HALF
        self._transfer = _Transfer(host, connection, data, flow, ending)
        self._host = host
        host.after_work.append(self._transfer.step)
        self._transfer.step()

    @property
    def done(self) -> bool:
        """Whether the connection has ended."""
        return self._transfer.done

    @property
    def octets(self) -> tuple[int, int]:
        """How many bytes were sent and received."""
        return self._transfer.octets

    @property
    def results(self) -> tuple[TransferResult, ...]:
        """What was sent and what was received."""
        return self._transfer.results

    def stop(self) -> None:
        """End it, at whatever point it is."""
        _unhook(self._host, self._transfer.step)
        self._transfer.abandon()


class Server:
    """A listening port that takes so many connections."""

    def __init__(
        self, host: StackHost, listener: Listener, data: bytes, flow: Flow, connections: int
    ) -> None:
        self._host = host
        self._listener: Listener | None = listener
        self._data = data
        self._flow = flow
        self._left = connections
        self._taken: list[_Transfer] = []
        host.after_work.append(self._step)

    @property
    def done(self) -> bool:
        """Whether all connections have come and ended."""
        return not self._left and all(transfer.done for transfer in self._taken)

    @property
    def octets(self) -> tuple[int, int]:
        """How many bytes were sent and received in all."""
        each = [transfer.octets for transfer in self._taken]
        return sum(sent for sent, _ in each), sum(received for _, received in each)

    @property
    def results(self) -> tuple[TransferResult, ...]:
        """What was sent and what was received, for each connection."""
        return tuple(result for transfer in self._taken for result in transfer.results)

    def stop(self) -> None:
        """Listen no more, and end all connections."""
        _unhook(self._host, self._step)
        self._close()
        for transfer in self._taken:
            transfer.abandon()

    def _step(self) -> None:
        while self._left and self._listener is not None:
            connection = self._listener.accept(self._host.now())
            if connection is None:
                break
            self._left -= 1
            ending = self._flow.ending or Ending.WAIT
            made = _Transfer(self._host, connection, self._data, self._flow, ending)
            self._taken.append(made)
        if not self._left:
            self._close()
        for transfer in self._taken:
            transfer.step()
        self._host.flush()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close(self._host.now())
            self._listener = None


def _unhook(host: StackHost, hook: Callable[[], None]) -> None:
    if hook in host.after_work:
        host.after_work.remove(hook)
