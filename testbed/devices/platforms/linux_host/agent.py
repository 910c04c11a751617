"""Runs on a host, not on the controller: TCP and UDP services made of the host's own sockets.

One file, standard library only, so that it can be copied to any host with a python3. It is given
one JSON object as its argument and prints one JSON object. A service goes on in the background,
in a session of its own; the call that starts it returns once it is listening.

What a service is and does is kept in one directory: ``ROLE-PORT.lock`` is locked for as long as
the service lives, however it ends, so that waiting for its end needs no polling and no guessing
whose process a number is; ``ROLE-PORT.json`` is its result.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["Transfer", "main", "seeded"]

LIFETIME = 3600
"""Seconds after which a service ends itself: nobody is going to ask for its result any more."""

Answer = dict[str, Any]
"""A JSON object: what was asked, or the answer."""

_PROGRESS = struct.Struct("!QQQ")  # in the lock file: process, octets sent, octets received
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for no time at all
_FINISH_AT_CLOSE = struct.pack("ii", 0, 0)
_LINUX = {"IP_MTU_DISCOVER": 10, "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_DO": 2}  # linux/in.h


def seeded(size: int, seed: int) -> bytes:
    """``size`` bytes that ``seed`` determines: SHAKE128 (FIPS 202) of the seed as 8 bytes.

    The bytes of a smaller size are the beginning of those of a larger one.
    """
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def error_name(error: OSError) -> str:
    """``ECONNRESET`` and the like."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


class Transfer:
    """Both directions of one TCP connection: sends what it is given, reads to the end.

    ``flow`` holds: ``chunk`` (bytes handed over at a time), ``every`` (seconds between chunks),
    ``read_after`` (seconds during which nothing is read), ``shut`` (end the sending side after the
    last byte). What is reported of each direction: octets, SHA-256, seconds, and the error.
    """

    def __init__(self, sock: socket.socket, data: bytes, flow: Answer, lock: int) -> None:
        self._sock = sock
        self._data = memoryview(data)
        self._flow = flow
        self._lock = lock
        self._start = self._next_chunk = time.monotonic()
        self._read_from = self._start + flow["read_after"]
        self._received = hashlib.sha256()
        self._octets = {"sent": 0, "received": 0}
        self._seconds: dict[str, float] = {}
        self._errors: dict[str, str] = {}
        if not data:
            self._finish_sending()

    def run(self) -> Answer:
        """Go on until both directions have ended.

        A service that is killed before that leaves no connection behind which the kernel would go
        on with for minutes: it is reset.
        """
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        while len(self._seconds) < 2:
            self._turn()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FINISH_AT_CLOSE)
        return {name: self._report(name) for name in ("sent", "received")}

    def _turn(self) -> None:
        now = time.monotonic()
        may_read = "received" not in self._seconds and now >= self._read_from
        may_send = "sent" not in self._seconds and now >= self._next_chunk
        due = [
            at
            for at, waits in (
                (self._read_from, "received" not in self._seconds and not may_read),
                (self._next_chunk, "sent" not in self._seconds and not may_send),
            )
            if waits
        ]
        readable, writable, _ = select.select(
            [self._sock] if may_read else [],
            [self._sock] if may_send else [],
            [],
            max(0.0, min(due) - now) if due else None,
        )
        try:
            if writable:
                self._send()
            if readable:
                self._receive()
        except BlockingIOError:
            return
        except OSError as error:
            for name in {"sent", "received"} - self._seconds.keys():
                self._errors[name] = error_name(error)
                self._end(name)

    def _send(self) -> None:
        at = self._octets["sent"]
        self._octets["sent"] += self._sock.send(self._data[at : at + self._flow["chunk"]])
        self._next_chunk = time.monotonic() + self._flow["every"]
        self._tell()
        if self._octets["sent"] == len(self._data):
            self._finish_sending()

    def _finish_sending(self) -> None:
        if self._flow["shut"]:
            self._sock.shutdown(socket.SHUT_WR)
        self._end("sent")

    def _receive(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            self._end("received")
            return
        self._received.update(data)
        self._octets["received"] += len(data)
        self._tell()

    def _end(self, name: str) -> None:
        self._seconds[name] = time.monotonic() - self._start

    def _tell(self) -> None:
        octets = self._octets
        os.pwrite(self._lock, _PROGRESS.pack(os.getpid(), octets["sent"], octets["received"]), 0)

    def _report(self, name: str) -> Answer:
        sent = hashlib.sha256(self._data[: self._octets["sent"]])
        return {
            "octets": self._octets[name],
            "sha256": (sent if name == "sent" else self._received).hexdigest(),
            "seconds": self._seconds[name],
            "error": self._errors.get(name),
        }


def _failed(error: OSError) -> Answer:
    empty = hashlib.sha256().hexdigest()
    side = {"octets": 0, "sha256": empty, "seconds": 0.0, "error": error_name(error)}
    return {"sent": side, "received": side}


def _tune(sock: socket.socket, flow: Answer) -> None:
    if flow["nodelay"]:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if flow["receive_buffer"]:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, flow["receive_buffer"])


def tcp_serve(ask: Answer) -> Answer:
    """Listen, then take one connection, send, and read to the end of what the peer sends."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _tune(listener, ask["flow"])
    listener.bind(("", ask["port"]))
    listener.listen(1)
    data = seeded(ask["send"], ask["seed"])

    def serve(lock: int) -> Answer:
        sock, _ = listener.accept()
        listener.close()
        with sock:
            return Transfer(sock, data, {**ask["flow"], "shut": False}, lock).run()

    return _in_background(ask, "server", serve)


def tcp_connect(ask: Answer) -> Answer:
    """Connect, send, end the sending side, and read to the end of what the peer sends."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    _tune(sock, ask["flow"])
    if ask["source"]:
        sock.bind((ask["source"], 0))
    data = seeded(ask["send"], ask["seed"])

    def connect(lock: int) -> Answer:
        with sock:
            try:
                sock.connect((ask["to"], ask["port"]))
            except OSError as error:
                return _failed(error)
            return Transfer(sock, data, {**ask["flow"], "shut": True}, lock).run()

    return _in_background(ask, "client", connect)


def udp_serve(ask: Answer) -> Answer:
    """Echo every datagram and remember it, until stopped."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("", ask["port"]))
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = _path(ask, "udp", "sock")
    path.unlink(missing_ok=True)
    control.bind(str(path))
    control.listen(8)
    return _in_background(ask, "udp", lambda _: _serve_datagrams(sock, control))


def _serve_datagrams(sock: socket.socket, control: socket.socket) -> NoReturn:
    seen: list[tuple[str, str]] = []
    waiting: list[tuple[socket.socket, int]] = []  # (connection, how many datagrams it waits for)
    while True:
        for ready in select.select([sock, control], [], [])[0]:
            if ready is control:
                connection, _ = control.accept()
                waiting.append((connection, int.from_bytes(connection.recv(4), "big")))
                continue
            data, peer = sock.recvfrom(65535)
            seen.append((f"{peer[0]}:{peer[1]}", base64.b64encode(data).decode()))
            try:
                sock.sendto(data, peer)
            except OSError:
                continue  # that there is no way back to the peer is for the peer to find out
        for connection, count in waiting:
            if len(seen) >= count:
                _tell_seen(connection, seen)
        waiting = [(connection, count) for connection, count in waiting if len(seen) < count]


def _tell_seen(connection: socket.socket, seen: list[tuple[str, str]]) -> None:
    with connection, contextlib.suppress(OSError):  # it may have given up waiting
        connection.sendall(json.dumps(seen).encode())


def udp_received(ask: Answer) -> Answer:
    """The datagrams that the service of a port has received, once there are ``count``."""
    deadline = time.monotonic() + ask["within"]
    for count in (ask["count"], 0):  # 0: what there is, once the time is up
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(
                max(1.0, deadline - time.monotonic()) if count == 0 else ask["within"]
            )
            control.connect(str(_path(ask, "udp", "sock")))
            control.sendall(count.to_bytes(4, "big"))
            parts = []
            try:
                while part := control.recv(65536):
                    parts.append(part)
            except TimeoutError:
                continue
            return {"datagrams": json.loads(b"".join(parts))}
    return {"error": "ETIMEDOUT", "text": "the UDP service does not answer"}


def udp_send(ask: Answer) -> Answer:
    """Send one datagram; with ``within``, wait that long for an answer or an error."""
    payload = Path(ask["file"]).read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        discover = _LINUX["IP_PMTUDISC_DO" if ask["df"] else "IP_PMTUDISC_DONT"]
        sock.setsockopt(socket.IPPROTO_IP, _LINUX["IP_MTU_DISCOVER"], discover)
        sock.bind((ask["source"] or "", ask["source_port"]))
        try:
            sock.connect((ask["to"], ask["port"]))
            sock.send(payload)
            if not ask["within"]:
                return {"sent": None}
            sock.settimeout(ask["within"])
            return {"sent": None, "answer": base64.b64encode(sock.recv(65535)).decode()}
        except TimeoutError:
            return {"sent": None}
        except OSError as error:
            return {"sent": error_name(error)}


def result(ask: Answer) -> Answer:
    """Wait for the end of a service, for ``within`` seconds at most; its result."""
    path = _path(ask, ask["role"], "lock")
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return {"error": "ENOENT", "text": f"no {ask['role']} was started on port {ask['port']}"}

    def give_up(*_: object) -> NoReturn:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, max(ask["within"], 0.001))
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
    except TimeoutError:
        _, sent, received = _PROGRESS.unpack(os.pread(lock, _PROGRESS.size, 0))
        far = f"it has sent {sent} and received {received} octets"
        return {"error": "EINPROGRESS", "text": f"the {ask['role']} has not ended: {far}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.close(lock)
    try:
        held: Answer = json.loads(_path(ask, ask["role"], "json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"error": "ECHILD", "text": "it was killed"}
    return held


def stop(ask: Answer) -> Answer:
    """End every service of this directory."""
    stopped = []
    directory = Path(ask["directory"])
    for path in sorted(directory.glob("*.lock")):
        lock = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Whoever holds the lock lives, and wrote its number: it is nobody else's process.
            os.kill(_PROGRESS.unpack(os.pread(lock, _PROGRESS.size, 0))[0], signal.SIGKILL)
            fcntl.flock(lock, fcntl.LOCK_EX)
            stopped.append(path.stem)
        os.close(lock)
    for path in directory.iterdir():
        if path.suffix in (".lock", ".json", ".sock"):
            path.unlink()
    return {"stopped": stopped}


def _path(ask: Answer, role: str, kind: str) -> Path:
    return Path(ask["directory"]) / f"{role}-{ask['port']}.{kind}"


def _in_background(ask: Answer, role: str, work: Callable[[int], Answer]) -> Answer:
    """Go on with ``work`` in a process of its own, which keeps nothing of this one's open."""
    lock = os.open(_path(ask, role, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return {"error": "EBUSY", "text": f"a {role} of port {ask['port']} is still running"}
    path = _path(ask, role, "json")
    path.unlink(missing_ok=True)
    os.pwrite(lock, _PROGRESS.pack(0, 0, 0), 0)
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os.read(told, 1)  # the child is about to work, its number is in the lock file
        return {"started": role}
    os.setsid()
    signal.alarm(LIFETIME)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.pwrite(lock, _PROGRESS.pack(os.getpid(), 0, 0), 0)
    os.close(told)
    os.close(tell)
    try:
        held = work(lock)
    except OSError as error:
        held = _failed(error)
    except Exception:  # noqa: BLE001 - the one place where a fault of this program can be told
        held = {"error": "EPROTO", "text": traceback.format_exc()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(held), encoding="utf-8")
    part.replace(path)
    os._exit(0)


_ASKS = {
    "result": result,
    "stop": stop,
    "tcp_connect": tcp_connect,
    "tcp_serve": tcp_serve,
    "udp_received": udp_received,
    "udp_send": udp_send,
    "udp_serve": udp_serve,
}


def main(argument: str) -> str:
    """Do what the JSON object ``argument`` asks for; an answer in JSON."""
    ask = json.loads(argument)
    try:
        return json.dumps(_ASKS[ask["do"]](ask))
    except OSError as error:
        return json.dumps({"error": error_name(error), "text": str(error)})


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]) + "\n")
