"""What the console tests talk to: a real sshd, two joined ptys; and small waits."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.timing import Instant

__all__ = [
    "NullModem",
    "SshServer",
    "WallClock",
    "answers",
    "end_tree",
    "free_port",
    "keygen",
    "wait_until",
]


class WallClock:
    def now(self) -> Instant:
        return Instant(time.monotonic_ns())


@dataclass(frozen=True)
class SshServer:
    """An sshd of our own; ``pid`` is the listener."""

    port: int
    host_key: str
    other_host_key: str
    key: Path
    process: subprocess.Popen[bytes]
    log: Path


def keygen(path: Path, kind: str = "ed25519") -> str:
    """Make a key pair; the fingerprint."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)], check=True
    )
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{path}.pub"], check=True, capture_output=True, text=True
    )
    return said.stdout.split()[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.01)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class NullModem:
    """Two ptys joined: ``url`` is the controller's end, ``device`` a descriptor of the other.

    Both slave ends are held open, so that neither sees a hang-up when the other lets go.
    """

    def __init__(self) -> None:
        self._ends = [pty.openpty(), pty.openpty()]
        for master, slave in self._ends:
            tty.setraw(slave)
            os.set_blocking(master, False)
        (near, near_slave), (far, far_slave) = self._ends
        self.url = os.ttyname(near_slave)
        self.device = far_slave
        self.device_name = os.ttyname(far_slave)
        self._far = far
        self._stop_read, self._stop_write = os.pipe()
        self._peer = {near: far, far: near}
        self._thread = threading.Thread(target=self._pump)
        self._thread.start()

    def say(self, data: bytes) -> None:
        """Have the device say ``data``: it goes into the line as if the device had written it."""
        os.write(self.device, data)

    def sane(self) -> None:
        """Make the device's end a terminal line as a getty finds it."""
        subprocess.run(["stty", "-F", self.device_name, "sane"], check=True)

    def _pump(self) -> None:
        while True:
            ready, _, _ = select.select([*self._peer, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            for master in ready:
                try:
                    os.write(self._peer[master], os.read(master, 4096))
                except OSError:
                    continue  # nobody reads: what a UART does, it is lost

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (*sum(self._ends, ()), self._stop_read, self._stop_write):
            os.close(descriptor)


def end_tree(pid: int) -> None:
    """End ``pid`` and what it started, the youngest first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            end_tree(int(child))
        os.kill(pid, signal.SIGKILL)
    except (OSError, ProcessLookupError):
        return
