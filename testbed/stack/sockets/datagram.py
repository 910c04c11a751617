"""Datagram sockets: UDP behind the BSD calls."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from testbed.stack.refusals import Refused
from testbed.stack.sockets import constants as c
from testbed.stack.sockets.base import ANY, Address, Context, Socket, endpoint
from testbed.stack.sockets.errors import failure, translated
from testbed.stack.sockets.settings import Key
from testbed.stack.udp_socket import Datagram, UdpSocket
from testbed.timing import Duration

__all__ = ["DatagramSocket"]

_LOOPBACK = IPv4Address("127.0.0.1")


class DatagramSocket(Socket):
    """A UDP socket; the stack's own one is made when a port is first needed."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, c.SOCK_DGRAM, c.IPPROTO_UDP)
        self.udp: UdpSocket | None = None
        """The stack's own socket, for whoever wants to look into it."""
        self._bound = False

    # Names

    def bind(self, address: Address) -> None:
        """Take a local address and port; EADDRINUSE, EADDRNOTAVAIL, EINVAL the second time."""
        self._check()
        ip, port = endpoint(address)
        if self._bound or self.udp is not None:
            raise failure("EINVAL", "bound already")
        self._open(ip, port)
        self._bound = True

    def _open(self, ip: IPv4Address = ANY, port: int = 0) -> UdpSocket:
        """The stack's socket, made if need be."""
        if self.udp is None:
            reuse = self.settings.on(c.SOL_SOCKET, c.SO_REUSEADDR)
            with translated():
                self.udp = self._context.stack.udp.open(
                    self._context.now(), ip if int(ip) else None, port, reuse=reuse
                )
            for key in self.settings.changed():
                self._apply(key, self.settings.value(key))
        return self.udp

    def getsockname(self) -> Address:
        """The local address and port; ``0.0.0.0`` and 0 before there are any."""
        self._check()
        if self.udp is None:
            return str(ANY), 0
        return str(self.udp.address or ANY), self.udp.port

    def getpeername(self) -> Address:
        """The peer of connect(); ENOTCONN without one."""
        self._check()
        if self.udp is None or self.udp.remote is None:
            raise failure("ENOTCONN")
        return str(self.udp.remote[0]), self.udp.remote[1]

    def connect(self, address: Address, *, within: Duration | None = None) -> None:
        """Speak with one peer only, and hear of its ICMP errors; it may be changed."""
        del within
        self._check()
        ip, port = endpoint(address)
        ip = ip if int(ip) else _LOOPBACK
        self._permit(ip)
        with translated():
            self._open().connect(ip, port, self._context.now())

    def disconnect(self) -> None:
        """Speak with anybody again: connect() to AF_UNSPEC."""
        self._check()
        if self.udp is not None:
            self.udp.disconnect()

    def listen(self, backlog: int = 0) -> None:
        """EOPNOTSUPP: a datagram socket takes no connections."""
        del backlog
        self._check()
        raise failure("EOPNOTSUPP")

    def accept(self, *, within: Duration | None = None) -> tuple[Socket, Address]:
        """EOPNOTSUPP: a datagram socket takes no connections."""
        del within
        self._check()
        raise failure("EOPNOTSUPP")

    # Data

    def send(self, data: bytes, flags: int = 0, *, within: Duration | None = None) -> int:
        """Send to the peer of connect(); EDESTADDRREQ without one."""
        return self._transmit(data, flags, None, within)

    def sendall(self, data: bytes, flags: int = 0, *, within: Duration | None = None) -> None:
        """As send(): a datagram goes whole or not at all."""
        self._transmit(data, flags, None, within)

    def sendto(
        self, data: bytes, flags: int, address: Address, *, within: Duration | None = None
    ) -> int:
        """Send to an address. EACCES to a broadcast without SO_BROADCAST, EMSGSIZE, ENETUNREACH."""
        return self._transmit(data, flags, endpoint(address), within)

    def _transmit(
        self, data: bytes, flags: int, to: tuple[IPv4Address, int] | None, within: Duration | None
    ) -> int:
        del within  # datagrams never wait
        self._check()
        # Linux's udp_sendmsg: length, then flags, then address, then a pending error.
        if len(data) > 0xFFFF:
            raise failure("EMSGSIZE", f"{len(data)} bytes")
        if flags & c.MSG_OOB:
            raise failure("EOPNOTSUPP", "no urgent data here")
        if to is not None and to[1] == 0:
            raise failure("EINVAL", "port 0")
        if to is None and (self.udp is None or self.udp.remote is None):
            raise failure("EDESTADDRREQ")
        if self.shut_write:
            raise failure("EPIPE")
        self._raise_error()
        if to is not None:
            to = (to[0] if int(to[0]) else _LOOPBACK, to[1])
            self._permit(to[0])
        with translated():
            self._open().send(bytes(data), self._context.now(), to=to)
        return len(data)

    def _permit(self, ip: IPv4Address) -> None:
        allowed = self.settings.on(c.SOL_SOCKET, c.SO_BROADCAST)
        if not allowed and self._context.stack.ip.is_broadcast(ip):
            raise failure("EACCES", "SO_BROADCAST is off")

    def recv(self, size: int, flags: int = 0, *, within: Duration | None = None) -> bytes:
        """The next datagram's first ``size`` bytes; the rest of it is lost."""
        return self.recvfrom(size, flags, within=within)[0]

    def recvfrom(
        self, size: int, flags: int = 0, *, within: Duration | None = None
    ) -> tuple[bytes, Address]:
        """The next datagram's first ``size`` bytes, and who sent it. EAGAIN, ECONNREFUSED."""
        self._check()
        self._wait_read(self._ready, within, flags)
        self._check()
        self._raise_error()
        datagram = self._next(peek=bool(flags & c.MSG_PEEK))
        if datagram is None:
            if self.shut_read and self._blocking and not flags & c.MSG_DONTWAIT:
                return b"", (str(ANY), 0)
            raise failure("EAGAIN", "nothing came")
        return datagram.payload[:size], (str(datagram.source), datagram.source_port)

    def _next(self, *, peek: bool = False) -> Datagram | None:
        return None if self.udp is None else self.udp.receive(peek=peek)

    def _ready(self) -> bool:
        udp = self.udp
        return (
            self._closed
            or self.shut_read
            or (udp is not None and (udp.readable or udp.error is not None))
        )

    # Closing, options, events

    def shutdown(self, how: int) -> None:
        """Close one direction or both of a connected socket; ENOTCONN on any other."""
        self._check()
        if how not in {c.SHUT_RD, c.SHUT_WR, c.SHUT_RDWR}:
            raise failure("EINVAL", f"how is {how}")
        if self.udp is None or self.udp.remote is None:
            raise failure("ENOTCONN")
        self.shut_read = self.shut_read or how != c.SHUT_WR
        self.shut_write = self.shut_write or how != c.SHUT_RD

    def _release(self, within: Duration | None) -> None:
        del within
        if self.udp is not None:
            self.udp.close(self._context.now())

    def _apply(self, key: Key, value: int) -> None:
        udp = self.udp
        if udp is None:
            return
        match key:
            case c.SOL_SOCKET, c.SO_BROADCAST:
                udp.broadcast = bool(value)
            case c.SOL_SOCKET, c.SO_REUSEADDR:
                udp.reuse = bool(value)
            case c.SOL_SOCKET, c.SO_RCVBUF:
                udp.receive_buffer = max(2 * value, 2304)
            case c.IPPROTO_IP, c.IP_TTL:
                udp.ttl = value
            case c.IPPROTO_IP, c.IP_TOS:
                udp.tos = value & 0xFF
            case c.IPPROTO_IP, c.IP_MTU_DISCOVER:
                udp.df = value in {c.IP_PMTUDISC_DO, c.IP_PMTUDISC_PROBE}
            case c.IPPROTO_IP, c.IP_MULTICAST_TTL:
                udp.multicast_ttl = 1 if value < 0 else value
            case c.IPPROTO_IP, c.IP_MULTICAST_LOOP:
                udp.multicast_loop = bool(value)

    def _set_raw(self, key: Key, value: object) -> None:
        if key[0] != c.IPPROTO_IP:
            super()._set_raw(key, value)
            return
        if not isinstance(value, bytes | bytearray) or len(value) < 4:
            raise failure("EINVAL", "it takes the bytes of addresses")
        group = IPv4Address(bytes(value[:4]))
        if key[1] == c.IP_MULTICAST_IF:
            self._open().multicast_interface = self._interface_of(group)
            return
        if len(value) < 8:
            raise failure("EINVAL", "struct ip_mreq has 8 bytes")
        interface = self._interface_of(IPv4Address(bytes(value[4:8])))
        now = self._context.now()
        with translated():
            if key[1] == c.IP_ADD_MEMBERSHIP:
                self._open().join(group, interface, now)
            else:
                self._open().leave(group, interface, now)

    def _interface_of(self, address: IPv4Address) -> str | None:
        if not int(address):
            return None
        for link in self._context.stack.snapshot(self._context.now()).interfaces:
            if any(held.ip == address for held in link.addresses):
                return link.name
        raise failure("ENODEV", str(address))

    def _look(self, key: Key) -> int | bytes:
        match key:
            case c.SOL_SOCKET, c.SO_RCVBUF:
                usual = self._context.stack.config.udp.receive_buffer
                return usual if self.udp is None else self.udp.receive_buffer
            case c.IPPROTO_IP, c.IP_MTU:
                if self.udp is None or self.udp.remote is None:
                    raise failure("ENOTCONN")
                path = self._context.stack.ip.path(self.udp.remote[0])
                return int(path.mtu(self._context.now()))
            case c.SOL_SOCKET, c.SO_LINGER:
                return struct.pack("=ii", 0, 0)
        return super()._look(key)

    def _take_error(self) -> str | None:
        error: Refused | None = None if self.udp is None else self.udp.take_error()
        return None if error is None else error.errno_name

    def poll_mask(self) -> int:
        """As Linux's udp_poll and datagram_poll."""
        mask = c.POLLOUT | c.POLLWRNORM
        if self.shut_read:
            mask |= c.POLLIN | c.POLLRDNORM | c.POLLRDHUP
        if self.shut_read and self.shut_write:
            mask |= c.POLLHUP
        if self.udp is not None:
            mask |= c.POLLIN | c.POLLRDNORM if self.udp.readable else 0
            mask |= c.POLLERR if self.udp.error is not None else 0
        return mask
