"""Stream sockets' options, as the stack's ``SocketOptions`` and back."""

from __future__ import annotations

import struct
from typing import Final

from testbed.stack.sockets import constants as c
from testbed.stack.sockets.base import Context
from testbed.stack.sockets.errors import failure
from testbed.stack.sockets.settings import Key, linger
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, milliseconds, seconds

__all__ = ["StreamOptions"]

_TCP: Final = c.IPPROTO_TCP
_SOCKET: Final = c.SOL_SOCKET
_ALGORITHMS: Final = ("reno", "newreno", "cubic")
_NUMBERS: Final = {
    State.ESTABLISHED: 1,
    State.SYN_SENT: 2,
    State.SYN_RECEIVED: 3,
    State.FIN_WAIT_1: 4,
    State.FIN_WAIT_2: 5,
    State.TIME_WAIT: 6,
    State.CLOSED: 7,
    State.CLOSE_WAIT: 8,
    State.LAST_ACK: 9,
    State.LISTEN: 10,
    State.CLOSING: 11,
}
"""Linux's include/net/tcp_states.h."""
_INFO: Final = struct.Struct("=8B24I")
"""The first 104 bytes of Linux's struct tcp_info."""


class StreamOptions:
    """Holds one socket's ``SocketOptions``: its own until it opens, then its connection's."""

    def __init__(self) -> None:
        self._options = SocketOptions()
        self.linger: tuple[bool, int] = (False, 0)

    def wanted(self) -> SocketOptions:
        """What a connection or listener is opened with; later changes reach it."""
        return self._options

    def hold(self, options: SocketOptions) -> None:
        """An accepted connection has its own copy."""
        self._options = options
        if options.linger is not None:
            self.linger = True, options.linger // 1_000_000_000

    def set_raw(self, key: Key, value: object) -> bool:
        """Set what is no plain number; False for an option that is not the streams'."""
        if key == (_SOCKET, c.SO_LINGER):
            on, span = self.linger = linger(value)
            self._options.linger = seconds(span) if on else None
            return True
        if key == (_TCP, c.TCP_CONGESTION):
            name = value.decode() if isinstance(value, bytes) else str(value)
            if name not in _ALGORITHMS:
                raise failure("ENOENT", name)
            self._options.congestion_control = name
            return True
        return False

    def apply(self, key: Key, value: int) -> None:
        """Let a number take effect."""
        options = self._options
        match key:
            case c.SOL_SOCKET, c.SO_RCVBUF:
                # What Linux doubles is for its own bookkeeping: the window gets what was asked.
                options.receive_buffer = max(value, 1152)
            case c.SOL_SOCKET, c.SO_SNDBUF:
                options.send_buffer = max(value, 2304)
            case c.SOL_SOCKET, c.SO_KEEPALIVE:
                options.keepalive = bool(value)
            case c.SOL_SOCKET, c.SO_OOBINLINE:
                options.oob_inline = bool(value)
            case c.IPPROTO_IP, c.IP_TTL:
                options.ttl = value
            case c.IPPROTO_IP, c.IP_TOS:
                options.tos = value
            case c.IPPROTO_TCP, name:
                self._apply_tcp(name, value)

    def _apply_tcp(self, name: int, value: int) -> None:
        options = self._options
        match name:
            case c.TCP_NODELAY:
                options.nodelay = bool(value)
            case c.TCP_CORK:
                options.cork = bool(value)
            case c.TCP_QUICKACK:
                options.quickack = bool(value)
            case c.TCP_MAXSEG:
                options.max_segment = value or None
            case c.TCP_KEEPIDLE:
                options.keepalive_idle = seconds(value)
            case c.TCP_KEEPINTVL:
                options.keepalive_interval = seconds(value)
            case c.TCP_KEEPCNT:
                options.keepalive_probes = value
            case c.TCP_USER_TIMEOUT:
                options.user_timeout = milliseconds(value) if value else None

    def look(self, key: Key, connection: Connection | None, context: Context) -> int | bytes | None:
        """What getsockopt() gives; None where the settings know."""
        config = context.stack.config.tcp
        options = self._options
        match key:
            case c.SOL_SOCKET, c.SO_RCVBUF:
                return 2 * (options.receive_buffer or config.receive_buffer)
            case c.SOL_SOCKET, c.SO_SNDBUF:
                return 2 * (options.send_buffer or config.send_buffer)
            case c.SOL_SOCKET, c.SO_LINGER:
                return struct.pack("=ii", *self.linger)
            case c.IPPROTO_IP, c.IP_MTU:
                return _path_mtu(connection, context)
            case c.IPPROTO_TCP, name:
                return self._look_tcp(name, connection, config)
        return None

    def _look_tcp(
        self, name: int, connection: Connection | None, config: TcpConfig
    ) -> int | bytes | None:
        options = self._options
        known: int | bytes | None = None
        match name:
            case c.TCP_CONGESTION:
                known = (options.congestion_control or config.congestion_control).encode()
            case c.TCP_MAXSEG:
                known = connection.snapshot().smss if connection else options.max_segment or 536
            case c.TCP_KEEPIDLE:
                known = _whole(options.keepalive_idle, config.keepalive_idle)
            case c.TCP_KEEPINTVL:
                known = _whole(options.keepalive_interval, config.keepalive_interval)
            case c.TCP_KEEPCNT:
                known = options.keepalive_probes or config.keepalive_probes
            case c.TCP_INFO:
                known = _info(connection)
        return known


def _path_mtu(connection: Connection | None, context: Context) -> int:
    if connection is None or connection.state is State.CLOSED:
        raise failure("ENOTCONN")
    path = context.stack.ip.path(connection.remote[0], connection.local[0])
    return path.mtu(context.now())


def _whole(given: Duration | None, usual: Duration) -> int:
    return (usual if given is None else given) // 1_000_000_000


def _info(connection: Connection | None) -> bytes:
    """Linux's struct tcp_info, as far as a stack without a kernel can fill it; times in us."""
    words = [0] * 24
    if connection is None:
        return _INFO.pack(7, *[0] * 7, *words)
    seen = connection.snapshot()
    words[0] = (seen.rto or 0) // 1000
    mss = max(1, seen.smss)
    words[2] = mss
    words[4] = seen.flight // mss
    words[15] = (seen.srtt or 0) // 1000
    words[16] = (seen.rttvar or 0) // 1000
    words[17] = min(seen.ssthresh // mss, 0x7FFFFFFF)
    words[18] = seen.cwnd // mss
    words[23] = seen.retransmission_count
    return _INFO.pack(_NUMBERS[connection.state], *[0] * 7, *words)
