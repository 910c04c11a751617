"""Runs on a host, not on the controller: TCP and UDP services made of the host's own sockets.

Standard library only, so that it can be copied to any host with a python3, as one file: a zip
archive of this module and ``transfer``. It is given one JSON object as its argument and prints one
JSON object. A service goes on in the background,
in a session of its own; the call that starts it returns once it is listening.

What a service is and does is kept in one directory: ``ROLE-PORT.lock`` is locked for as long as
the service lives, however it ends, so that waiting for its end needs no polling and no guessing
whose process a number is; ``ROLE-PORT.json`` is its result.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from testbed.devices.platforms.linux_host.transfer import (
    Answer,
    Progress,
    Transfer,
    error_name,
    failed,
    seeded,
    tune,
)

__all__ = ["main"]

LIFETIME = 3600
"""Seconds after which a service ends itself: nobody is going to ask for its result any more."""

_LINUX = {"IP_MTU_DISCOVER": 10, "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_DO": 2}  # linux/in.h


def tcp_serve(ask: Answer) -> Answer:
    """Listen, then take so many connections; in each, send and read to the end."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tune(listener, ask["flow"])
    listener.bind(("", ask["port"]))
    listener.listen(ask["backlog"])
    data = seeded(ask["send"], ask["seed"])
    flow = {**ask["flow"], "ending": ask["flow"]["ending"] or "wait"}

    def serve(lock: int) -> Answer:
        progress, results = Progress(lock), list[Answer]()
        running = []
        for _ in range(ask["connections"]):
            sock, _ = listener.accept()
            results.append({})
            work = partial(_serve_one, sock, data, flow, progress, results[-1])
            running.append(threading.Thread(target=work))
            running[-1].start()
        listener.close()
        for thread in running:
            thread.join()
        return {**results[0], "others": results[1:]}

    return _in_background(ask, "server", serve)


def _serve_one(
    sock: socket.socket, data: bytes, flow: Answer, progress: Progress, result: Answer
) -> None:
    with sock:
        result.update(Transfer(sock, data, flow, progress).run())


def tcp_connect(ask: Answer) -> Answer:
    """Connect, send, end the sending side, and read to the end of what the peer sends."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tune(sock, ask["flow"])
    if ask["source"] or ask["source_port"]:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ask["source"] or "", ask["source_port"]))
    data = seeded(ask["send"], ask["seed"])
    flow = {**ask["flow"], "ending": ask["flow"]["ending"] or "half"}

    def connect(lock: int) -> Answer:
        with sock:
            try:
                sock.connect((ask["to"], ask["port"]))
            except OSError as error:
                return failed(error)
            return Transfer(sock, data, flow, Progress(lock)).run()

    return _in_background(ask, "client", connect)


def udp_serve(ask: Answer) -> Answer:
    """Echo every datagram and remember it, until stopped."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("", ask["port"]))
    for group, at in ask["groups"]:
        joined = socket.inet_aton(group) + socket.inet_aton(at)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
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


def http_serve(ask: Answer) -> Answer:
    """Serve pages by their paths, one to a connection, until stopped."""
    from http.server import BaseHTTPRequestHandler  # noqa: PLC0415 - dear, and seldom needed
    from socketserver import ThreadingTCPServer  # noqa: PLC0415

    encoded = json.loads(Path(ask["file"]).read_text(encoding="utf-8"))
    pages = {path: base64.b64decode(page) for path, page in encoded.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page or b"")))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingTCPServer):
        allow_reuse_address = True

    server = Server(("", ask["port"]), Handler)

    def serve(_: int) -> NoReturn:
        while True:
            server.serve_forever()

    return _in_background(ask, "http", serve)


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
        _, sent, received = Progress.FORM.unpack(os.pread(lock, Progress.FORM.size, 0))
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
            os.kill(Progress.FORM.unpack(os.pread(lock, Progress.FORM.size, 0))[0], signal.SIGKILL)
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
    os.pwrite(lock, Progress.FORM.pack(0, 0, 0), 0)
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
    os.pwrite(lock, Progress.FORM.pack(os.getpid(), 0, 0), 0)
    os.close(told)
    os.close(tell)
    try:
        held = work(lock)
    except OSError as error:
        held = failed(error)
    except Exception:  # noqa: BLE001 - the one place where a fault of this program can be told
        held = {"error": "EPROTO", "text": traceback.format_exc()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(held), encoding="utf-8")
    part.replace(path)
    os._exit(0)


_ASKS = {
    "http_serve": http_serve,
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
