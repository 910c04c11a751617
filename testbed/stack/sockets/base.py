"""What all sockets have in common: a descriptor, blocking or not, options."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from typing import Final, Self, TypeAlias

from testbed.stack.sockets import constants as c
from testbed.stack.sockets.errors import failure
from testbed.stack.sockets.settings import Key, Settings, timeval
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant, seconds, to_seconds

__all__ = ["Address", "Context", "Socket", "Waiter", "endpoint"]

Address: TypeAlias = tuple[str, int]
"""An IPv4 address in dots, and a port."""

Waiter: TypeAlias = Callable[[Callable[[], bool], Duration], bool]
"""Turns the world until the condition holds; False when it did not within the time."""

ANY: Final = IPv4Address(0)
_FIRST_DESCRIPTOR: Final = 3


class Context:
    """What the sockets of one program share: a stack, a clock, a way to wait, descriptors."""

    def __init__(
        self, stack: Stack, clock: Callable[[], Instant], waiter: Waiter | None, patience: Duration
    ) -> None:
        self.stack = stack
        self.now = clock
        self.waiter = waiter
        self.patience = patience
        self.table: dict[int, Socket] = {}

    def register(self, socket: Socket) -> int:
        """The lowest descriptor that is free, as POSIX has it."""
        number = _FIRST_DESCRIPTOR
        while number in self.table:
            number += 1
        self.table[number] = socket
        return number

    def wait(self, ready: Callable[[], bool], span: Duration) -> bool:
        """Wait for ``ready``, where somebody gave a way to wait."""
        return ready() or (self.waiter is not None and self.waiter(ready, span))


class Socket(ABC):
    """A socket: the calls that streams and datagrams share.

    A blocking call that has waited in vain for ``within`` (or the socket's own time-out, or the
    context's patience) ends as with SO_RCVTIMEO and SO_SNDTIMEO on Linux: EAGAIN, and EINPROGRESS
    for connect().
    """

    family = c.AF_INET

    def __init__(self, context: Context, kind: int, proto: int) -> None:
        self.type = kind
        self.proto = proto
        self.settings = Settings(kind)
        self.shut_read = False
        self.shut_write = False
        self._context = context
        self._blocking = True
        self._receive_limit: Duration | None = None
        self._send_limit: Duration | None = None
        self._number = context.register(self)
        self._closed = False

    # Descriptor and blocking

    def fileno(self) -> int:
        """The descriptor: a number in this program's table only; -1 once closed."""
        return -1 if self._closed else self._number

    def setblocking(self, flag: bool) -> None:
        """Blocking, or not (O_NONBLOCK)."""
        self._check()
        self._blocking = bool(flag)

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self._blocking

    def settimeout(self, value: float | None) -> None:
        """Seconds that any call may wait; None: the program's patience; 0: not at all."""
        self._check()
        self._blocking = value != 0
        span = seconds(value) if value else None
        self._receive_limit = self._send_limit = span

    def gettimeout(self) -> float | None:
        """What settimeout() was given."""
        if not self._blocking:
            return 0.0
        return None if self._receive_limit is None else to_seconds(self._receive_limit)

    def fcntl(self, command: int, argument: int = 0) -> int:
        """F_GETFL and F_SETFL, of which O_NONBLOCK counts."""
        self._check()
        if command == c.F_GETFL:
            return c.O_RDWR | (0 if self._blocking else c.O_NONBLOCK)
        if command != c.F_SETFL:
            raise failure("EINVAL", f"fcntl command {command}")
        self._blocking = not argument & c.O_NONBLOCK
        return 0

    def close(self, *, within: Duration | None = None) -> None:
        """Give the descriptor back; the stack goes on with what the protocol still has to do.

        EBADF the second time. ``within`` bounds the wait of SO_LINGER.
        """
        self._check()
        self._closed = True
        del self._context.table[self._number]
        self._release(within)

    def detached(self) -> bool:
        """Whether close() was called."""
        return self._closed

    # Options

    def setsockopt(self, level: int, name: int, value: object) -> None:
        """Set an option, to a number or to the bytes of its C struct."""
        self._check()
        key = (level, name)
        if self.settings.find(key).raw:
            self._set_raw(key, value)
            return
        number = self.settings.number(key, value)
        self._apply(key, number)
        self.settings.keep(key, number)

    def getsockopt(self, level: int, name: int, size: int = 0) -> int | bytes:
        """An option's number, or with ``size`` at most so many bytes of its C struct."""
        self._check()
        key = (level, name)
        if not self.settings.find(key).readable:
            raise failure("ENOPROTOOPT", "write-only")
        value = self._look(key)
        if isinstance(value, bytes):
            return value[:size] if size else value
        return struct.pack("=i", value)[:size] if size else value

    def _look(self, key: Key) -> int | bytes:
        match key:
            case c.SOL_SOCKET, c.SO_TYPE:
                return self.type
            case c.SOL_SOCKET, c.SO_PROTOCOL:
                return self.proto
            case c.SOL_SOCKET, c.SO_ERROR:
                name = self._take_error()
                return failure(name).errno or 0 if name else 0
            case c.SOL_SOCKET, c.SO_RCVTIMEO:
                return _timeval(self._receive_limit)
            case c.SOL_SOCKET, c.SO_SNDTIMEO:
                return _timeval(self._send_limit)
        return self.settings.value(key)

    def _set_raw(self, key: Key, value: object) -> None:
        if key not in {(c.SOL_SOCKET, c.SO_RCVTIMEO), (c.SOL_SOCKET, c.SO_SNDTIMEO)}:
            raise failure("ENOPROTOOPT", f"level {key[0]}, {key[1]}")
        span = timeval(value)
        limit = seconds(span) if span else None
        if key[1] == c.SO_RCVTIMEO:
            self._receive_limit = limit
        else:
            self._send_limit = limit

    # For streams and datagrams to fill in

    @abstractmethod
    def poll_mask(self) -> int:
        """The events of poll() that hold now."""

    @abstractmethod
    def bind(self, address: Address) -> None:
        """Take a local address and port."""

    @abstractmethod
    def connect(self, address: Address, *, within: Duration | None = None) -> None:
        """Choose the peer."""

    @abstractmethod
    def getsockname(self) -> Address:
        """The local address and port."""

    @abstractmethod
    def getpeername(self) -> Address:
        """The peer's address and port; ENOTCONN without one."""

    @abstractmethod
    def _apply(self, key: Key, value: int) -> None:
        """Let a number that was set take effect."""

    @abstractmethod
    def _take_error(self) -> str | None:
        """The pending error's name, which is then no longer pending."""

    @abstractmethod
    def _release(self, within: Duration | None) -> None:
        """The descriptor is gone: let go of what is below."""

    # Shared helpers

    def connect_ex(self, address: Address, *, within: Duration | None = None) -> int:
        """As connect(), with the errno as result, 0 for success."""
        try:
            self.connect(address, within=within)
        except OSError as error:
            return error.errno or 0
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._closed:
            self.close()

    def _check(self) -> None:
        if self._closed:
            raise failure("EBADF")

    def _raise_error(self) -> None:
        if (name := self._take_error()) is not None:
            raise failure(name)

    def _wait_read(self, ready: Callable[[], bool], within: Duration | None, flags: int) -> bool:
        return self._wait(ready, within, flags, self._receive_limit)

    def _wait_write(
        self, ready: Callable[[], bool], within: Duration | None, flags: int = 0
    ) -> bool:
        return self._wait(ready, within, flags, self._send_limit)

    def _wait(
        self, ready: Callable[[], bool], within: Duration | None, flags: int, limit: Duration | None
    ) -> bool:
        if ready():
            return True
        if not self._blocking or flags & c.MSG_DONTWAIT:
            return False
        span = within if within is not None else limit
        return self._context.wait(ready, self._context.patience if span is None else span)


def endpoint(address: object) -> tuple[IPv4Address, int]:
    """A pair as values; EINVAL for what is no IPv4 address with a port.

    An empty address is 0.0.0.0 and ``<broadcast>`` is 255.255.255.255, as in ``socket``.
    """
    if not isinstance(address, tuple | list) or len(address) != 2:
        raise failure("EINVAL", f"{address!r} is no pair of address and port")
    text, port = address
    if not isinstance(port, int) or not 0 <= port <= 65535:
        raise failure("EINVAL", f"port {port!r}")
    named = {"": ANY, "<broadcast>": IPv4Address(0xFFFFFFFF), "localhost": IPv4Address("127.0.0.1")}
    try:
        return named.get(str(text)) or IPv4Address(text), port
    except AddressValueError:
        raise failure("EINVAL", f"{text!r} is no IPv4 address") from None


def _timeval(span: Duration | None) -> bytes:
    micro = (span or 0) // 1000
    return struct.pack("=qq", micro // 1_000_000, micro % 1_000_000)
