"""Little programs over sockets, run over Linux's own and over the stack's: the same must happen.

All is on one host, so that on both sides whatever a call causes has happened when it returns. Each
call that a program makes through ``t.do`` is written down with its result or its errno.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

from testbed.stack.sockets import constants as c

__all__ = ["PROGRAMS", "Tool"]

LOCAL = "127.0.0.1"
LINGER_0 = struct.pack("=ii", 1, 0)


class Tool:
    """Makes sockets of either kind, all of them non-blocking, and keeps the minutes."""

    def __init__(
        self,
        make: Callable[[int], Any],
        poll: Callable[[Any], int],
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self.settle = settle
        self.opened: list[Any] = []
        self._make = make
        self._poll = poll
        self.minutes: list[str] = []

    def tcp(self) -> Any:
        return self._new(c.SOCK_STREAM)

    def udp(self) -> Any:
        return self._new(c.SOCK_DGRAM)

    def _new(self, kind: int) -> Any:
        return self._keep(self._make(kind))

    def _keep(self, made: Any) -> Any:
        made.setblocking(False)
        self.opened.append(made)
        return made

    def close_all(self) -> None:
        """Close what the program left open, as its end would."""
        for each in self.opened:
            if each.fileno() >= 0:
                each.close()

    def do(self, what: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call, and note what came of it."""
        self.settle()
        try:
            result = call(*arguments)
        except OSError as error:
            self.minutes.append(f"{what}: {errno.errorcode[error.errno]}")
            return None
        shown = result
        if isinstance(result, tuple) and hasattr(result[0], "fileno"):
            self._keep(result[0])
            shown = "a connection"
        self.minutes.append(f"{what}: {shown!r}")
        return result

    def poll(self, what: str, socket: Any) -> None:
        """Note all events that hold."""
        self.settle()
        mask = self._poll(socket)
        names = [
            name
            for name in ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP")
            if mask & getattr(c, f"POLL{name}")
        ]
        self.minutes.append(f"poll {what}: {' '.join(names) or '-'}")

    def listener(self, port: int, backlog: int = 8) -> Any:
        made = self.tcp()
        made.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
        made.bind((LOCAL, port))
        made.listen(backlog)
        return made

    def connect(self, client: Any, port: int) -> None:
        """Connect, all the way."""
        client.connect_ex((LOCAL, port))
        self.settle()
        client.connect_ex((LOCAL, port))
        self.settle()

    def connected(self, port: int) -> tuple[Any, Any, Any]:
        """A listener, a client and the server's end of it."""
        listener, client = self.listener(port), self.tcp()
        self.connect(client, port)
        server, _ = listener.accept()
        return listener, client, self._keep(server)


def error_of(socket: Any) -> str:
    """SO_ERROR by name."""
    number = socket.getsockopt(c.SOL_SOCKET, c.SO_ERROR)
    return errno.errorcode[number] if number else "0"


def fresh_stream(t: Tool) -> None:
    s = t.tcp()
    t.do("getsockname", s.getsockname)
    t.do("getpeername", s.getpeername)
    t.poll("fresh", s)
    t.do("recv", s.recv, 10)
    t.do("send", s.send, b"x")
    t.do("accept", s.accept)
    t.do("shutdown 9", s.shutdown, 9)
    t.do("shutdown", s.shutdown, c.SHUT_RDWR)
    for option in (c.SO_TYPE, c.SO_PROTOCOL, c.SO_DOMAIN, c.SO_ACCEPTCONN, c.SO_ERROR):
        t.do(f"option {option}", s.getsockopt, c.SOL_SOCKET, option)


def fresh_datagram(t: Tool) -> None:
    s = t.udp()
    t.do("getsockname", s.getsockname)
    t.do("getpeername", s.getpeername)
    t.poll("fresh", s)
    t.do("recv", s.recv, 10)
    t.do("send", s.send, b"x")
    t.do("listen", s.listen, 1)
    t.do("accept", s.accept)
    t.do("shutdown", s.shutdown, c.SHUT_RDWR)
    t.do("mtu", s.getsockopt, c.IPPROTO_IP, c.IP_MTU)
    t.do("nodelay", s.setsockopt, c.IPPROTO_TCP, c.TCP_NODELAY, 1)
    for option in (c.SO_TYPE, c.SO_PROTOCOL, c.SO_DOMAIN, c.SO_ACCEPTCONN, c.SO_ERROR):
        t.do(f"option {option}", s.getsockopt, c.SOL_SOCKET, option)


def binding(t: Tool) -> None:
    for make in (t.tcp, t.udp):
        s = make()
        t.do("foreign", s.bind, ("192.0.2.1", 1000))
        t.do("bind", s.bind, (LOCAL, 1000))
        t.do("again", s.bind, (LOCAL, 1001))
        t.do("name", s.getsockname)
        other = make()
        t.do("taken", other.bind, (LOCAL, 1000))
        t.do("all taken", other.bind, ("0.0.0.0", 1000))
        t.do("elsewhere", other.bind, ("127.0.0.2", 1000))
        t.do("close", s.close)
        third = make()
        t.do("free again", third.bind, (LOCAL, 1000))
        t.do("use after close", s.getsockname)


def reusing(t: Tool) -> None:
    for make in (t.tcp, t.udp):
        one, two = make(), make()
        for s in (one, two):
            s.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
        t.do("one", one.bind, (LOCAL, 1100))
        t.do("two", two.bind, (LOCAL, 1100))
        if make == t.tcp:
            t.do("listen one", one.listen, 1)
            t.do("listen two", two.listen, 1)
            three = make()
            three.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
            t.do("three", three.bind, (LOCAL, 1100))


def listening(t: Tool) -> None:
    s = t.listener(1200)
    t.do("acceptconn", s.getsockopt, c.SOL_SOCKET, c.SO_ACCEPTCONN)
    t.poll("idle", s)
    t.do("accept", s.accept)
    t.do("listen again", s.listen, 3)
    t.do("recv", s.recv, 10)
    t.do("send", s.send, b"x")
    t.do("connect", s.connect, (LOCAL, 1200))
    t.do("bind", s.bind, (LOCAL, 1201))
    t.do("getpeername", s.getpeername)
    client = t.tcp()
    t.do("client", client.connect_ex, (LOCAL, 1200))
    t.poll("waiting", s)
    made = t.do("accept", s.accept)
    t.poll("taken", s)
    t.do("listen on a connection", made[0].listen, 1)
    t.do("bind a connection", made[0].bind, (LOCAL, 1202))
    t.do("shutdown WR", s.shutdown, c.SHUT_WR)
    t.poll("shut for writing", s)
    t.do("shutdown", s.shutdown, c.SHUT_RD)
    t.do("accept", s.accept)
    t.poll("shut", s)
    late = t.tcp()
    t.do("late", late.connect_ex, (LOCAL, 1200))
    t.do("listen after shutdown", s.listen, 1)


def listening_unbound(t: Tool) -> None:
    s = t.tcp()
    t.do("listen", s.listen, 1)
    name = s.getsockname()
    t.minutes.append(f"{name[0]} {name[1] > 0}")
    client = t.tcp()
    t.do("connect", client.connect_ex, ("0.0.0.0", name[1]))


def connecting(t: Tool) -> None:
    listener = t.listener(1300)
    s = t.tcp()
    t.do("connect", s.connect_ex, (LOCAL, 1300))
    t.do("connect again", s.connect_ex, (LOCAL, 1300))
    t.do("and again", s.connect_ex, (LOCAL, 1300))
    t.do("peer", s.getpeername)
    t.poll("connected", s)
    t.do("recv", s.recv, 10)
    t.do("error", error_of, s)
    t.do("to group", t.tcp().connect_ex, ("224.0.0.5", 80))
    t.do("to broadcast", t.tcp().connect_ex, ("255.255.255.255", 80))
    t.do("nowhere", t.tcp().connect_ex, ("198.51.100.1", 80))
    made = t.do("accept", listener.accept)
    t.do("server's name", made[0].getsockname)


def refused(t: Tool) -> None:
    s = t.tcp()
    t.do("connect", s.connect_ex, (LOCAL, 9))
    t.poll("refused", s)
    t.do("error", error_of, s)
    t.do("error again", error_of, s)
    t.do("recv", s.recv, 10)
    t.do("send", s.send, b"x")
    t.do("connect again", s.connect_ex, (LOCAL, 9))
    t.do("getpeername", s.getpeername)
    t.do("shutdown", s.shutdown, c.SHUT_WR)
    t.listener(1310)
    t.do("then to another", s.connect_ex, (LOCAL, 1310))
    t.do("send", s.send, b"x")


def talking(t: Tool) -> None:
    _, client, server = t.connected(1400)
    t.do("send", client.send, b"hello world")
    t.poll("readable", server)
    t.do("peek", server.recv, 5, c.MSG_PEEK)
    t.do("recv", server.recv, 5)
    t.do("recv nothing", server.recv, 0)
    t.do("rest", server.recv, 100)
    t.do("empty", server.recv, 100)
    t.do("dontwait", server.recv, 100, c.MSG_DONTWAIT)
    t.do("send nothing", client.send, b"")
    t.do("sendto", client.sendto, b"abc", 0, (LOCAL, 9))
    t.do("recvfrom", server.recvfrom, 100)
    t.do("oob without", server.recv, 1, c.MSG_OOB)


def half_close(t: Tool) -> None:
    _, client, server = t.connected(1500)
    t.do("send", client.send, b"last")
    t.do("shutdown", client.shutdown, c.SHUT_WR)
    t.do("send after", client.send, b"x")
    t.do("shutdown again", client.shutdown, c.SHUT_WR)
    t.poll("client", client)
    t.poll("server", server)
    t.do("recv", server.recv, 100)
    t.do("end", server.recv, 100)
    t.do("end again", server.recv, 100)
    t.poll("server at end", server)
    t.do("answer", server.send, b"still here")
    t.do("recv", client.recv, 100)
    t.do("server shuts", server.shutdown, c.SHUT_WR)
    t.poll("server shut", server)
    t.poll("client shut", client)
    t.do("client end", client.recv, 100)
    t.do("server shuts again", server.shutdown, c.SHUT_WR)
    t.do("client's peer", client.getpeername)


def shut_reading(t: Tool) -> None:
    _, client, server = t.connected(1510)
    t.do("shutdown", client.shutdown, c.SHUT_RD)
    t.poll("client", client)
    t.do("recv", client.recv, 10)
    t.do("server sends", server.send, b"abc")
    t.do("recv all the same", client.recv, 10)
    t.do("recv", client.recv, 10)
    t.do("client sends", client.send, b"x")
    t.do("shut both", client.shutdown, c.SHUT_RDWR)
    t.poll("client shut", client)


def closed_by_peer(t: Tool) -> None:
    _, client, server = t.connected(1600)
    t.do("server closes", server.close)
    t.poll("client", client)
    t.do("send into it", client.send, b"x")
    t.poll("after the reset", client)
    t.do("send", client.send, b"x")
    t.do("send", client.send, b"x")
    t.do("recv", client.recv, 10)
    t.do("recv", client.recv, 10)
    t.do("peer", client.getpeername)


def reset_by_peer(t: Tool) -> None:
    _, client, server = t.connected(1700)
    t.do("data first", server.send, b"data")
    t.do("linger", server.setsockopt, c.SOL_SOCKET, c.SO_LINGER, LINGER_0)
    t.do("get linger", server.getsockopt, c.SOL_SOCKET, c.SO_LINGER, 8)
    t.do("server aborts", server.close)
    t.poll("client", client)
    t.do("recv", client.recv, 10)
    t.do("recv", client.recv, 10)
    t.do("recv", client.recv, 10)
    t.do("send", client.send, b"x")
    t.do("shutdown", client.shutdown, c.SHUT_WR)
    t.do("connect", client.connect_ex, (LOCAL, 1700))


def reset_and_send(t: Tool) -> None:
    _, client, server = t.connected(1710)
    server.setsockopt(c.SOL_SOCKET, c.SO_LINGER, LINGER_0)
    t.do("server aborts", server.close)
    t.do("send", client.send, b"x")
    t.do("send", client.send, b"x")
    t.do("recv", client.recv, 10)
    t.do("error", error_of, client)


def reset_and_so_error(t: Tool) -> None:
    _, client, server = t.connected(1720)
    server.setsockopt(c.SOL_SOCKET, c.SO_LINGER, LINGER_0)
    t.do("server aborts", server.close)
    t.do("error", error_of, client)
    t.do("error", error_of, client)
    t.poll("client", client)
    t.do("recv", client.recv, 10)
    t.do("send", client.send, b"x")


def unread_data_resets(t: Tool) -> None:
    _, client, server = t.connected(1730)
    t.do("send", client.send, b"unread")
    t.do("server closes", server.close)
    t.do("recv", client.recv, 10)
    t.do("recv", client.recv, 10)


def reset_before_accept(t: Tool) -> None:
    listener, client = t.listener(1740), t.tcp()
    t.connect(client, 1740)
    client.setsockopt(c.SOL_SOCKET, c.SO_LINGER, LINGER_0)
    t.do("client aborts", client.close)
    t.poll("listener", listener)
    made = t.do("accept", listener.accept)
    if made:
        t.do("recv", made[0].recv, 10)
        t.do("recv", made[0].recv, 10)


def data_before_accept(t: Tool) -> None:
    listener, client = t.listener(1750), t.tcp()
    t.connect(client, 1750)
    t.do("send", client.send, b"early")
    t.do("close", client.close)
    made = t.do("accept", listener.accept)
    t.do("recv", made[0].recv, 10)
    t.do("recv", made[0].recv, 10)


def listener_closes(t: Tool) -> None:
    listener, client = t.listener(1760), t.tcp()
    t.connect(client, 1760)
    t.do("listener closes", listener.close)
    t.do("recv", client.recv, 10)
    t.do("accept", listener.accept)


def urgent(t: Tool) -> None:
    _, client, server = t.connected(1800)
    t.do("send", client.send, b"ab")
    t.do("urgent", client.send, b"cX", c.MSG_OOB)
    t.do("more", client.send, b"de")
    t.poll("server", server)
    t.do("recv", server.recv, 100)
    t.do("oob", server.recv, 10, c.MSG_OOB)
    t.do("oob again", server.recv, 10, c.MSG_OOB)
    t.do("recv", server.recv, 100)
    t.do("recv", server.recv, 100)


def urgent_inline(t: Tool) -> None:
    _, client, server = t.connected(1810)
    t.do("inline", server.setsockopt, c.SOL_SOCKET, c.SO_OOBINLINE, 1)
    t.do("urgent", client.send, b"abX", c.MSG_OOB)
    t.do("more", client.send, b"de")
    t.do("oob", server.recv, 10, c.MSG_OOB)
    t.do("recv", server.recv, 100)
    t.do("recv", server.recv, 100)
    t.do("recv", server.recv, 100)


def time_wait(t: Tool) -> None:
    listener, client, server = t.connected(1900)
    t.do("server closes first", server.close)
    t.do("client", client.recv, 10)
    t.do("client closes", client.close)
    t.do("listener closes", listener.close)
    plain = t.tcp()
    t.do("bind", plain.bind, (LOCAL, 1900))
    reuser = t.tcp()
    reuser.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
    t.do("bind with reuse", reuser.bind, (LOCAL, 1900))
    t.do("listen", reuser.listen, 1)


def stream_options(t: Tool) -> None:
    s = t.tcp()
    tcp, sol, ip = c.IPPROTO_TCP, c.SOL_SOCKET, c.IPPROTO_IP
    for level, name, values in (
        (tcp, c.TCP_NODELAY, (1, 0, 7)),
        (tcp, c.TCP_CORK, (1, 0)),
        (tcp, c.TCP_MAXSEG, (87, 88, 1000, 32768, -1)),
        (tcp, c.TCP_KEEPIDLE, (0, 1, 100, 32768)),
        (tcp, c.TCP_KEEPINTVL, (0, 1, 100, 32768)),
        (tcp, c.TCP_KEEPCNT, (0, 1, 127, 128)),
        (tcp, c.TCP_USER_TIMEOUT, (-1, 0, 5000)),
        (sol, c.SO_KEEPALIVE, (1, 0, 5)),
        (sol, c.SO_REUSEADDR, (1, 0)),
        (sol, c.SO_OOBINLINE, (1, 0)),
        (sol, c.SO_BROADCAST, (1,)),
        (sol, c.SO_RCVBUF, (1, 10_000)),
        (sol, c.SO_SNDBUF, (1, 10_000)),
        (sol, c.SO_TYPE, (1,)),
        (sol, c.SO_ERROR, (1,)),
        (ip, c.IP_TTL, (0, 1, 255, 256)),
        (ip, c.IP_TOS, (0, 0x10, 0x13)),
        (ip, c.IP_MTU_DISCOVER, (0, 1, 2, 3, 9)),
        (tcp, 9999, (1,)),
        (sol, 9999, (1,)),
        (ip, 9999, (1,)),
    ):
        for value in values:
            t.do(f"set {level}/{name} {value}", s.setsockopt, level, name, value)
            t.do(f"get {level}/{name}", s.getsockopt, level, name)
    t.do("short", s.setsockopt, sol, c.SO_KEEPALIVE, b"\x01")
    t.do("short linger", s.setsockopt, sol, c.SO_LINGER, b"\x01\0\0\0")
    t.do("mtu", s.getsockopt, ip, c.IP_MTU)


def inherited_options(t: Tool) -> None:
    listener, client = t.listener(2000), t.tcp()
    tcp, sol = c.IPPROTO_TCP, c.SOL_SOCKET
    listener.setsockopt(tcp, c.TCP_NODELAY, 1)
    listener.setsockopt(tcp, c.TCP_KEEPIDLE, 17)
    listener.setsockopt(sol, c.SO_KEEPALIVE, 1)
    listener.setsockopt(sol, c.SO_LINGER, struct.pack("=ii", 1, 5))
    t.connect(client, 2000)
    server = t.do("accept", listener.accept)[0]
    t.do("nodelay", server.getsockopt, tcp, c.TCP_NODELAY)
    t.do("idle", server.getsockopt, tcp, c.TCP_KEEPIDLE)
    t.do("keepalive", server.getsockopt, sol, c.SO_KEEPALIVE)
    t.do("linger", server.getsockopt, sol, c.SO_LINGER, 8)
    t.do("reuse", server.getsockopt, sol, c.SO_REUSEADDR)
    t.do("acceptconn", server.getsockopt, sol, c.SO_ACCEPTCONN)


def datagrams(t: Tool) -> None:
    one, two = t.udp(), t.udp()
    t.do("bind", two.bind, (LOCAL, 3000))
    t.do("bind", one.bind, (LOCAL, 3001))
    t.do("sendto", one.sendto, b"hello", 0, (LOCAL, 3000))
    t.poll("two", two)
    t.do("peek", two.recvfrom, 100, c.MSG_PEEK)
    t.do("recv short", two.recvfrom, 2)
    t.do("recv", two.recvfrom, 100)
    t.do("empty one", one.sendto, b"", 0, (LOCAL, 3000))
    t.do("recv", two.recvfrom, 100)
    t.do("to port 0", one.sendto, b"x", 0, (LOCAL, 0))
    t.do("too large", one.sendto, bytes(65508), 0, (LOCAL, 3000))
    t.do("far too large", one.sendto, bytes(70000), 0, (LOCAL, 3000))
    t.do("largest", one.sendto, bytes(65507), 0, (LOCAL, 3000))
    t.do("recv", lambda: len(two.recv(70000)))
    t.do("oob", one.sendto, b"x", c.MSG_OOB, (LOCAL, 3000))
    t.do("recv oob", one.recv, 10, c.MSG_OOB)
    loose = t.udp()
    loose.bind(("10.0.0.1", 0))
    t.do("to all", loose.sendto, b"x", 0, ("10.0.0.255", 3000))
    t.do("to the end", loose.sendto, b"x", 0, ("255.255.255.255", 3000))
    t.do("nowhere", one.sendto, b"x", 0, ("198.51.100.1", 3000))


def datagrams_connected(t: Tool) -> None:
    one, two, three = t.udp(), t.udp(), t.udp()
    two.bind((LOCAL, 3100))
    three.bind((LOCAL, 3102))
    t.do("connect", one.connect, (LOCAL, 3100))
    t.do("peer", one.getpeername)
    t.do("name", lambda: one.getsockname()[0])
    t.do("send", one.send, b"hello")
    t.do("recv", two.recv, 10)
    where = one.getsockname()
    t.do("from a stranger", three.sendto, b"psst", 0, where)
    t.do("recv", one.recv, 10)
    t.do("from the peer", two.sendto, b"well", 0, where)
    t.do("recv", one.recv, 10)
    t.do("to another", one.sendto, b"third", 0, (LOCAL, 3102))
    t.do("recv", three.recv, 10)
    t.do("connect elsewhere", one.connect, (LOCAL, 3102))
    t.do("send", one.send, b"now")
    t.do("recv", three.recv, 10)
    t.do("to a group", one.connect, ("224.0.0.9", 5))
    t.do("to broadcast", one.connect, ("255.255.255.255", 5))
    t.do("nowhere", one.connect, ("198.51.100.1", 5))
    t.do("bind", one.bind, (LOCAL, 3150))


def datagrams_refused(t: Tool) -> None:
    s = t.udp()
    s.connect((LOCAL, 9))
    t.do("send", s.send, b"x")
    t.poll("refused", s)
    t.do("send again", s.send, b"x")
    t.do("and again", s.send, b"x")
    t.do("recv", s.recv, 10)
    t.do("recv", s.recv, 10)
    t.do("send", s.send, b"x")
    t.do("error", error_of, s)
    t.do("error", error_of, s)
    loose = t.udp()
    t.do("unconnected", loose.sendto, b"x", 0, (LOCAL, 9))
    t.do("again", loose.sendto, b"x", 0, (LOCAL, 9))
    t.do("recv", loose.recv, 10)


def datagrams_shut(t: Tool) -> None:
    s, other = t.udp(), t.udp()
    other.bind((LOCAL, 3200))
    s.connect((LOCAL, 3200))
    t.do("shutdown", s.shutdown, c.SHUT_WR)
    t.do("send", s.send, b"x")
    t.do("shutdown", s.shutdown, c.SHUT_RD)
    t.do("recv", s.recv, 10)
    t.poll("shut", s)


def groups(t: Tool) -> None:
    s = t.udp()
    s.bind(("0.0.0.0", 3300))
    request = bytes([239, 1, 2, 3, 10, 0, 0, 1])
    t.do("join", s.setsockopt, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, request)
    t.do("again", s.setsockopt, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, request)
    t.do("leave", s.setsockopt, c.IPPROTO_IP, c.IP_DROP_MEMBERSHIP, request)
    t.do("again", s.setsockopt, c.IPPROTO_IP, c.IP_DROP_MEMBERSHIP, request)
    single = bytes([10, 1, 2, 3, 10, 0, 0, 1])
    t.do("no group", s.setsockopt, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, single)
    t.do("short", s.setsockopt, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, request[:6])


PROGRAMS = (
    fresh_stream,
    fresh_datagram,
    binding,
    reusing,
    listening,
    listening_unbound,
    connecting,
    refused,
    talking,
    half_close,
    shut_reading,
    closed_by_peer,
    reset_by_peer,
    reset_and_send,
    reset_and_so_error,
    unread_data_resets,
    reset_before_accept,
    data_before_accept,
    listener_closes,
    urgent,
    urgent_inline,
    time_wait,
    stream_options,
    inherited_options,
    datagrams,
    datagrams_connected,
    datagrams_refused,
    datagrams_shut,
    groups,
)
