"""Runs on a host, not on the controller: both directions of TCP connections, as a flow says.

Standard library only, as all of the agent (see ``agent``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import select
import socket
import struct
import threading
import time
from typing import Any

__all__ = ["Progress", "Transfer", "error_name", "failed", "seeded", "tune"]

Answer = dict[str, Any]
"""A JSON object: what was asked, or the answer."""

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for no time at all
_FINISH_AT_CLOSE = struct.pack("ii", 0, 0)
_LOST = select.POLLERR | select.POLLHUP
_BREATH = 0.01  # seconds between looks at a connection that is over and not yet to be read


def seeded(size: int, seed: int) -> bytes:
    """``size`` bytes that ``seed`` determines: SHAKE128 (FIPS 202) of the seed as 8 bytes.

    The bytes of a smaller size are the beginning of those of a larger one.
    """
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def error_name(error: OSError) -> str:
    """``ECONNRESET`` and the like."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def failed(error: OSError) -> Answer:
    """The report of a connection that never came to be."""
    empty = hashlib.sha256().hexdigest()
    side = {"octets": 0, "sha256": empty, "seconds": 0.0, "error": error_name(error)}
    return {"sent": side, "received": side}


def tune(sock: socket.socket, flow: Answer) -> None:
    """Set the options that a flow asks for; a listener's connections inherit them."""
    tcp, own = socket.IPPROTO_TCP, socket.SOL_SOCKET
    asked = [
        (own, socket.SO_RCVBUF, flow["receive_buffer"]),
        (own, socket.SO_SNDBUF, flow["send_buffer"]),
        (own, socket.SO_OOBINLINE, int(flow["oob_inline"])),
        (tcp, socket.TCP_NODELAY, int(flow["nodelay"])),
        (tcp, socket.TCP_MAXSEG, flow["max_segment"]),
        (tcp, socket.TCP_USER_TIMEOUT, flow["user_timeout"]),
    ]
    if flow["keepalive"]:
        idle, interval, probes = flow["keepalive"]
        asked += [
            (own, socket.SO_KEEPALIVE, 1),
            (tcp, socket.TCP_KEEPIDLE, idle),
            (tcp, socket.TCP_KEEPINTVL, interval),
            (tcp, socket.TCP_KEEPCNT, probes),
        ]
    for level, option, value in asked:
        if value:
            sock.setsockopt(level, option, value)


class Progress:
    """How far a service has come, for whoever asks while it is at work: kept in its lock file."""

    FORM = struct.Struct("!QQQ")  # process, octets sent, octets received

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._octets = {"sent": 0, "received": 0}
        self._mutex = threading.Lock()

    def add(self, name: str, octets: int) -> None:
        """So many more were ``sent`` or ``received``."""
        with self._mutex:
            self._octets[name] += octets
            told = self.FORM.pack(os.getpid(), *self._octets.values())
            os.pwrite(self._lock, told, 0)


class Transfer:
    """Both directions of one TCP connection: sends what it is given, reads to the end.

    ``flow`` holds ``chunk`` (bytes handed over at a time), ``every`` (seconds between chunks),
    ``urgent`` (offset of the byte that is sent as urgent), ``read_after`` (seconds during which
    nothing is read), ``read_chunk`` and ``read_every``, and what is done ``end_after`` so many
    seconds behind the last byte, ``ending``: ``half`` ends the sending side, ``wait`` waits for the
    peer to end its own, ``close`` closes, ``abort`` resets, ``hold`` does nothing. What is reported
    of each direction: octets, SHA-256, seconds, and the error.
    """

    def __init__(self, sock: socket.socket, data: bytes, flow: Answer, progress: Progress) -> None:
        self._sock = sock
        self._data = memoryview(data)
        self._flow = flow
        self._progress = progress
        self._start = self._next_chunk = time.monotonic()
        self._read_from = self._start + flow["read_after"]
        self._end_at = self._start + flow["end_after"]
        self._received = hashlib.sha256()
        self._urgent = b""
        self._octets = {"sent": 0, "received": 0}
        self._seconds: dict[str, float] = {}
        self._errors: dict[str, str] = {}

    def run(self) -> Answer:
        """Go on until both directions have ended.

        A service that is killed before that leaves no connection behind which the kernel would go
        on with for minutes: it is reset.
        """
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        while len(self._seconds) < 2:
            self._turn()
        if self._flow["ending"] != "abort":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FINISH_AT_CLOSE)
        return {name: self._report(name) for name in ("sent", "received")}

    def _turn(self) -> None:
        now = time.monotonic()
        all_sent = self._octets["sent"] == len(self._data)
        if all_sent and "sent" not in self._seconds and self._may_end(now):
            self._finish_sending()
            return
        reads, sends = "received" not in self._seconds, not all_sent and "sent" not in self._seconds
        due = [self._read_from] if reads else []
        due += [self._next_chunk] if sends else []
        due += [self._end_at] if all_sent and "sent" not in self._seconds else []
        events = self._poll(
            reads=reads and now >= self._read_from,
            sends=sends and now >= self._next_chunk,
            until=min((at for at in due if at > now), default=None),
        )
        try:
            self._serve(events, reads and now >= self._read_from, sends and now >= self._next_chunk)
        except BlockingIOError:
            return
        except OSError as error:
            for name in {"sent", "received"} - self._seconds.keys():
                self._errors[name] = error_name(error)
                self._end(name)

    def _may_end(self, now: float) -> bool:
        return bool(self._flow["ending"] != "hold" and now >= self._end_at)

    def _poll(self, *, reads: bool, sends: bool, until: float | None) -> int:
        poll = select.poll()
        mask = (select.POLLIN | select.POLLPRI) * reads | select.POLLOUT * sends
        poll.register(self._sock, mask)
        if until is None:
            ready = poll.poll()
        else:
            ready = poll.poll(max(0.0, until - time.monotonic()) * 1000)
        return ready[0][1] if ready else 0

    def _serve(self, events: int, reads: bool, sends: bool) -> None:
        if events & select.POLLPRI:
            self._urgent += self._take_urgent()
        if sends and events & (select.POLLOUT | _LOST):
            self._send()
        if reads and events & (select.POLLIN | _LOST):
            self._receive()
        if events & _LOST and not reads and not sends:
            lost = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if lost:
                raise OSError(lost, os.strerror(lost))
            time.sleep(_BREATH)

    def _take_urgent(self) -> bytes:
        with contextlib.suppress(OSError):  # EINVAL: it is inline, or was taken already
            return self._sock.recv(1, socket.MSG_OOB)
        return b""

    def _send(self) -> None:
        at, end = self._octets["sent"], self._octets["sent"] + self._flow["chunk"]
        urgent, flags = self._flow["urgent"], 0
        if urgent == at:
            end, flags = at + 1, socket.MSG_OOB
        elif urgent is not None and at < urgent < end:
            end = urgent
        sent = self._sock.send(self._data[at:end], flags)
        self._octets["sent"] += sent
        now = time.monotonic()
        self._next_chunk = now + self._flow["every"]
        self._end_at = now + self._flow["end_after"]
        self._progress.add("sent", sent)

    def _finish_sending(self) -> None:
        ending = self._flow["ending"]
        try:
            if ending == "half":
                self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: it is over, which reading tells, too
            self._errors["sent"] = error_name(error)
        self._end("sent")
        if ending in ("close", "abort") and "received" not in self._seconds:
            self._end("received")

    def _receive(self) -> None:
        data = self._sock.recv(self._flow["read_chunk"])
        if not data:
            self._end("received")
            return
        self._read_from = max(self._read_from, time.monotonic() + self._flow["read_every"])
        self._received.update(data)
        self._octets["received"] += len(data)
        self._progress.add("received", len(data))

    def _end(self, name: str) -> None:
        self._seconds[name] = time.monotonic() - self._start

    def _report(self, name: str) -> Answer:
        sent = hashlib.sha256(self._data[: self._octets["sent"]])
        return {
            "octets": self._octets[name],
            "sha256": (sent if name == "sent" else self._received).hexdigest(),
            "seconds": self._seconds[name],
            "error": self._errors.get(name),
            "urgent": "" if name == "sent" else self._urgent.hex(),
        }
