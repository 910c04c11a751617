"""The socket calls of one program over a stack.

::

    api = SocketApi(stack, clock=lambda: pair.now, waiter=pair.run_until)
    server = api.socket(SOCK_STREAM)
    server.bind(("", 80)); server.listen()
    client, peer = server.accept(within=seconds(5))

Names, arguments and errors are those of Python's ``socket`` module and of ``select.poll``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from testbed.stack.sockets import constants as c
from testbed.stack.sockets.base import Context, Socket, Waiter
from testbed.stack.sockets.datagram import DatagramSocket
from testbed.stack.sockets.errors import failure
from testbed.stack.sockets.stream import StreamSocket
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant, seconds

__all__ = ["SocketApi"]


class SocketApi:
    """Makes sockets, knows them by their descriptors, and waits for several at once.

    ``clock`` tells the present; ``waiter(condition, span)`` turns the world until the condition
    holds or the span is over, and says which. Without a waiter no call waits: where it would, it
    ends as on a non-blocking socket. ``patience`` is how long a blocking call waits that was told
    nothing else.
    """

    def __init__(
        self,
        stack: Stack,
        clock: Callable[[], Instant],
        waiter: Waiter | None = None,
        *,
        patience: Duration = seconds(300),
    ) -> None:
        self.stack = stack
        self._context = Context(stack, clock, waiter, patience)

    def socket(
        self, kind: int = c.SOCK_STREAM, proto: int = 0, *, family: int = c.AF_INET
    ) -> StreamSocket | DatagramSocket:
        """A new socket; SOCK_NONBLOCK may be or-ed to ``kind``.

        EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
        """
        if family != c.AF_INET:
            raise failure("EAFNOSUPPORT", f"family {family}")
        made: StreamSocket | DatagramSocket
        match kind & ~c.SOCK_NONBLOCK:
            case c.SOCK_STREAM if proto in {0, c.IPPROTO_TCP}:
                made = StreamSocket(self._context)
            case c.SOCK_DGRAM if proto in {0, c.IPPROTO_UDP}:
                made = DatagramSocket(self._context)
            case c.SOCK_STREAM | c.SOCK_DGRAM:
                raise failure("EPROTONOSUPPORT", f"protocol {proto}")
            case other:
                raise failure("ESOCKTNOSUPPORT", f"type {other}")
        if kind & c.SOCK_NONBLOCK:
            made.setblocking(False)
        return made

    def stream(self) -> StreamSocket:
        """A TCP socket."""
        return StreamSocket(self._context)

    def datagram(self) -> DatagramSocket:
        """A UDP socket."""
        return DatagramSocket(self._context)

    def at(self, descriptor: int) -> Socket:
        """The socket of a descriptor; EBADF."""
        found = self._context.table.get(descriptor)
        if found is None:
            raise failure("EBADF", str(descriptor))
        return found

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """All that are open, by descriptor."""
        return tuple(self._context.table[number] for number in sorted(self._context.table))

    def poll(
        self, wanted: Iterable[tuple[Socket, int]], within: Duration | None = None
    ) -> list[tuple[Socket, int]]:
        """Which sockets have which of the events wanted; errors and hang-ups are always told.

        Waits for one at least for ``within``; 0 does not wait, None has the program's patience.
        """
        pairs = list(wanted)
        span = self._context.patience if within is None else within
        if span:
            self._context.wait(lambda: bool(_events(pairs)), span)
        return _events(pairs)

    def select(
        self,
        readers: Iterable[Socket],
        writers: Iterable[Socket],
        others: Iterable[Socket],
        within: Duration | None = None,
    ) -> tuple[list[Socket], list[Socket], list[Socket]]:
        """Those that can be read, can be written, or have urgent data, as Linux sees them."""
        sets = (list(readers), list(writers), list(others))
        # Linux's fs/select.c: POLLIN_SET, POLLOUT_SET, POLLEX_SET.
        masks = (
            c.POLLIN | c.POLLRDNORM | c.POLLHUP | c.POLLERR,
            c.POLLOUT | c.POLLWRNORM | c.POLLERR,
            c.POLLPRI,
        )

        def ready() -> tuple[list[Socket], list[Socket], list[Socket]]:
            found = [
                [each for each in members if _mask(each) & mask]
                for members, mask in zip(sets, masks, strict=True)
            ]
            return found[0], found[1], found[2]

        span = self._context.patience if within is None else within
        if span:
            self._context.wait(lambda: any(ready()), span)
        return ready()

    def close_all(self) -> None:
        """Close every socket that is open, as the end of a program does."""
        for socket in self.sockets:
            socket.setblocking(False)
            socket.close()


def _mask(socket: Socket) -> int:
    return c.POLLNVAL if socket.detached() else socket.poll_mask()


def _events(pairs: list[tuple[Socket, int]]) -> list[tuple[Socket, int]]:
    always = c.POLLERR | c.POLLHUP | c.POLLNVAL
    seen = [(each, _mask(each) & (wanted | always)) for each, wanted in pairs]
    return [(each, mask) for each, mask in seen if mask]
