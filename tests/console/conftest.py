"""Real sshd on loopback, real ptys: what the console tests talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_rig import (
    NullModem,
    SshServer,
    WallClock,
    answers,
    end_tree,
    free_port,
    keygen,
    wait_until,
)

from testbed.console.transcript import ConsoleLog
from testbed.timing import Instant


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def log() -> ConsoleLog:
    return ConsoleLog(lambda: Instant(time.time_ns()))


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


PASSWD = """root:x:0:0::{home}:/bin/bash
sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin
"""


@pytest.fixture
def start_sshd(tmp_path: Path) -> Iterator[Callable[..., SshServer]]:
    """Starts sshd in a mount namespace of its own, with a /run/sshd and an empty home."""
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
        (place / "home").mkdir()
        (place / "passwd").write_text(PASSWD.format(home=place / "home"))
        errors = place / "log"
        script = (
            "mount -t tmpfs tmpfs /run && mkdir /run/sshd"
            f" && mount --bind {place}/passwd /etc/passwd"
            f" && exec /usr/sbin/sshd -D -e -f {place}/config"
        )
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                ["unshare", "--mount-proc", "--fork", "--kill-child", "--pid", "sh", "-c", script],
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


@pytest.fixture
def modem() -> Iterator[NullModem]:
    line = NullModem()
    yield line
    line.close()


@pytest.fixture
def on_console(modem) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Runs a program on the device's end of the line, as its controlling terminal."""
    programs: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **environment: str) -> subprocess.Popen[bytes]:
        modem.sane()
        programs.append(
            subprocess.Popen(
                ["setsid", "--ctty", "--wait", *argv],
                stdin=modem.device,
                stdout=modem.device,
                stderr=modem.device,
                env={"PATH": os.environ["PATH"], "TERM": "vt100", **environment},
                start_new_session=False,
            )
        )
        return programs[-1]

    yield start
    for program in programs:
        end_tree(program.pid)
        program.wait()


GETTY = """
mount -t tmpfs tmpfs /run && touch /run/utmp
mount --bind {dir}/passwd /etc/passwd && mount --bind {dir}/shadow /etc/shadow
hostname r1
while :; do
    setsid -w agetty -L -8 --noissue --nohints --noclear --keep-baud 9600 {tty} vt100
done
"""


@pytest.fixture
def getty(modem, tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    """agetty and login(1) on the console; admin's password is ``correct horse``."""
    if os.geteuid() != 0:
        pytest.skip("needs root: login(1) does")
    for program in ("agetty", "login", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    hashed = subprocess.run(
        ["openssl", "passwd", "-5", "correct horse"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (tmp_path / "home").mkdir()
    (tmp_path / "passwd").write_text(
        f"root:x:0:0::{tmp_path}/home:/bin/bash\nadmin:x:0:0::{tmp_path}/home:/bin/bash\n"
    )
    (tmp_path / "shadow").write_text(f"root:*:19000::::::\nadmin:{hashed}:19000:0:99999:7:::\n")
    script = GETTY.format(dir=tmp_path, tty=modem.device_name.removeprefix("/dev/"))
    process = subprocess.Popen(
        ["unshare", "--mount-proc", "--uts", "--fork", "--kill-child", "--pid", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.kill()
    process.wait()
