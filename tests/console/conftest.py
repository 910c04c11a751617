"""Real sshd on loopback, real ptys: what the console tests talk to."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.console.transcript import ConsoleLog
from testbed.timing import Instant


class WallClock:
    def now(self) -> Instant:
        return Instant(time.monotonic_ns())


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def log() -> ConsoleLog:
    return ConsoleLog(lambda: Instant(time.time_ns()))


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


CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/host_ed25519
HostKey {dir}/host_ecdsa
AuthorizedKeysFile {dir}/id.pub
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
PrintLastLog no
UseDNS no
PermitRootLogin yes
Subsystem sftp internal-sftp
{extra}
"""


@pytest.fixture
def start_sshd(tmp_path: Path) -> Iterator[Callable[..., SshServer]]:
    """Starts sshd in a mount namespace of its own, which has a /run/sshd."""
    if os.geteuid() != 0:
        pytest.skip("needs root: sshd logs in as root")
    if shutil.which("sshd") is None:
        pytest.skip("needs sshd: apt-get install openssh-server")
    servers: list[subprocess.Popen[bytes]] = []

    def start(extra: str = "") -> SshServer:
        place = tmp_path / f"sshd{len(servers)}"
        place.mkdir()
        host_key = keygen(place / "host_ed25519")
        other = keygen(place / "host_ecdsa", "ecdsa")
        keygen(place / "id")
        port = free_port()
        (place / "config").write_text(CONFIG.format(port=port, dir=place, extra=extra))
        errors = place / "log"
        script = (
            "mount -t tmpfs tmpfs /run && mkdir /run/sshd"
            f" && exec /usr/sbin/sshd -D -e -f {place}/config"
        )
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                ["unshare", "--mount", "--fork", "--kill-child", "--pid", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        servers.append(process)
        wait_until(lambda: answers(port), f"sshd ({errors.read_text()})")
        return SshServer(port, host_key, other, place / "id", process, errors)

    yield start
    for process in servers:
        process.kill()
        process.wait()


@pytest.fixture
def sshd(start_sshd: Callable[..., SshServer]) -> SshServer:
    return start_sshd()
