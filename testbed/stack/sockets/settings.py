"""Socket options: which there are, what values they take, what they are before anybody sets them.

Errors are those of Linux's ``setsockopt``: ENOPROTOOPT for what a socket of this kind does not
have, EINVAL for a value out of range or too short.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from testbed.stack.sockets import constants as c
from testbed.stack.sockets.errors import failure

__all__ = ["OPTIONS", "Key", "Option", "Settings", "linger", "timeval"]

Key = tuple[int, int]
"""Level and name."""

_BOTH: Final = frozenset({c.SOCK_STREAM, c.SOCK_DGRAM})
_TCP: Final = frozenset({c.SOCK_STREAM})
_UDP: Final = frozenset({c.SOCK_DGRAM})
_INT_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """One option: who has it, its range, and its value at the start.

    ``flag`` turns any number but 0 into 1. ``raw`` options are bytes with a layout of their own.
    """

    kinds: frozenset[int] = _BOTH
    low: int = -_INT_MAX - 1
    high: int = _INT_MAX
    start: int = 0
    flag: bool = False
    raw: bool = False
    readable: bool = True
    writable: bool = True


def _flag(kinds: frozenset[int] = _BOTH, start: int = 0) -> Option:
    return Option(kinds, flag=True, start=start)


OPTIONS: Final[Mapping[Key, Option]] = MappingProxyType(
    {
        (c.SOL_SOCKET, c.SO_REUSEADDR): _flag(),
        (c.SOL_SOCKET, c.SO_REUSEPORT): _flag(),
        (c.SOL_SOCKET, c.SO_TYPE): Option(writable=False),
        (c.SOL_SOCKET, c.SO_ERROR): Option(writable=False),
        (c.SOL_SOCKET, c.SO_DOMAIN): Option(writable=False, start=c.AF_INET),
        (c.SOL_SOCKET, c.SO_PROTOCOL): Option(writable=False),
        (c.SOL_SOCKET, c.SO_ACCEPTCONN): Option(writable=False),
        (c.SOL_SOCKET, c.SO_BROADCAST): _flag(),
        (c.SOL_SOCKET, c.SO_SNDBUF): Option(),
        (c.SOL_SOCKET, c.SO_RCVBUF): Option(),
        (c.SOL_SOCKET, c.SO_KEEPALIVE): _flag(),
        (c.SOL_SOCKET, c.SO_OOBINLINE): _flag(),
        (c.SOL_SOCKET, c.SO_LINGER): Option(raw=True),
        (c.SOL_SOCKET, c.SO_RCVTIMEO): Option(raw=True),
        (c.SOL_SOCKET, c.SO_SNDTIMEO): Option(raw=True),
        (c.IPPROTO_IP, c.IP_TOS): Option(),
        (c.IPPROTO_IP, c.IP_TTL): Option(low=1, high=255, start=64),
        (c.IPPROTO_IP, c.IP_MTU_DISCOVER): Option(low=0, high=5, start=c.IP_PMTUDISC_WANT),
        (c.IPPROTO_IP, c.IP_MTU): Option(writable=False),
        (c.IPPROTO_IP, c.IP_MULTICAST_IF): Option(_UDP, raw=True),
        (c.IPPROTO_IP, c.IP_MULTICAST_TTL): Option(_UDP, low=-1, high=255, start=1),
        (c.IPPROTO_IP, c.IP_MULTICAST_LOOP): _flag(_UDP, start=1),
        (c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP): Option(_UDP, raw=True, readable=False),
        (c.IPPROTO_IP, c.IP_DROP_MEMBERSHIP): Option(_UDP, raw=True, readable=False),
        (c.IPPROTO_TCP, c.TCP_NODELAY): _flag(_TCP),
        # Linux: TCP_MIN_MSS 88 to MAX_TCP_WINDOW 32767; 0 takes the limit away.
        (c.IPPROTO_TCP, c.TCP_MAXSEG): Option(_TCP, low=0, high=32767, start=536),
        (c.IPPROTO_TCP, c.TCP_CORK): _flag(_TCP),
        (c.IPPROTO_TCP, c.TCP_KEEPIDLE): Option(_TCP, low=1, high=32767),
        (c.IPPROTO_TCP, c.TCP_KEEPINTVL): Option(_TCP, low=1, high=32767),
        (c.IPPROTO_TCP, c.TCP_KEEPCNT): Option(_TCP, low=1, high=127),
        (c.IPPROTO_TCP, c.TCP_INFO): Option(_TCP, writable=False, raw=True),
        (c.IPPROTO_TCP, c.TCP_QUICKACK): _flag(_TCP, start=1),
        (c.IPPROTO_TCP, c.TCP_CONGESTION): Option(_TCP, raw=True),
        (c.IPPROTO_TCP, c.TCP_USER_TIMEOUT): Option(_TCP, low=0),
    }
)


class Settings:
    """The options of one socket: checks what is set and keeps it."""

    __slots__ = ("_kind", "_values")

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._values: dict[Key, int] = {}

    def find(self, key: Key) -> Option:
        """The option; ENOPROTOOPT where this kind of socket has none of the number."""
        option = OPTIONS.get(key)
        if option is None or self._kind not in option.kinds:
            raise failure("ENOPROTOOPT", f"level {key[0]}, {key[1]}")
        return option

    def number(self, key: Key, value: object) -> int:
        """``value`` as this option holds it; EINVAL where it does not fit."""
        option = self.find(key)
        if not option.writable:
            raise failure("ENOPROTOOPT", "read-only")
        if isinstance(value, bytes | bytearray):
            if len(value) < 4:
                raise failure("EINVAL", f"{len(value)} bytes for a number of 4")
            value = struct.unpack_from("=i", value)[0]
        if not isinstance(value, int):
            raise failure("EINVAL", f"a {type(value).__name__}")
        if option.flag:
            return int(bool(value))
        if not option.low <= value <= option.high:
            raise failure("EINVAL", f"{value}, expected {option.low} to {option.high}")
        if key == (c.IPPROTO_IP, c.IP_TOS):
            # Linux: a stream's two ECN bits are TCP's own.
            return value & (0xFC if self._kind == c.SOCK_STREAM else 0xFF)
        if key == (c.IPPROTO_TCP, c.TCP_MAXSEG) and 0 < value < 88:
            raise failure("EINVAL", f"{value}, expected 88 to 32767")
        return value

    def keep(self, key: Key, value: int) -> None:
        """Remember a value that number() gave."""
        self._values[key] = value

    def value(self, key: Key) -> int:
        """What was set, or the value at the start."""
        return self._values.get(key, self.find(key).start)

    def given(self, key: Key) -> int | None:
        """What was set, or None."""
        return self._values.get(key)

    def changed(self) -> tuple[Key, ...]:
        """The options that were set."""
        return tuple(self._values)

    def copy(self, other: Settings) -> None:
        """Take what was set on ``other``."""
        self._values.update(other._values)

    def on(self, level: int, name: int) -> bool:
        """Whether a flag is set."""
        return bool(self.value((level, name)))


def linger(value: object) -> tuple[bool, int]:
    """``struct linger``: (on, seconds), from its 8 bytes or a pair."""
    if isinstance(value, bytes | bytearray):
        if len(value) < 8:
            raise failure("EINVAL", f"{len(value)} bytes for a struct linger")
        value = struct.unpack_from("=ii", value)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise failure("EINVAL", "SO_LINGER takes (on, seconds)")
    return bool(value[0]), int(value[1])


def timeval(value: object) -> float:
    """``struct timeval`` as seconds, from its 16 bytes or a number; 0 means no limit."""
    if isinstance(value, bytes | bytearray):
        if len(value) < 16:
            raise failure("EINVAL", f"{len(value)} bytes for a struct timeval")
        whole, micro = struct.unpack_from("=qq", value)
        return float(whole + micro / 1_000_000)
    if isinstance(value, int | float):
        return float(value)
    raise failure("EINVAL", "a time-out takes seconds")
