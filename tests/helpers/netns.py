"""Network namespaces for tests: the test's thread moves into a fresh one and back."""

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
TOOLS = ("ip", "ethtool", "tcpdump", "ping", "unshare", "nsenter", "socat", "ss", "sysctl")
QUIET = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")

_libc = ctypes.CDLL(None, use_errno=True)


def sh(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


class Guest:
    """Another network namespace, alive until close()."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", f"echo 1 2>&- >{QUIET}; echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout.readline() == b"ready\n"
        self.pid = self._holder.pid
        self.sh("ip", "link", "set", "lo", "up")

    def enter(self, *argv: str) -> list[str]:
        return ["nsenter", "--net", "-t", str(self.pid), *argv]

    def sh(self, *argv: str) -> str:
        return sh(*self.enter(*argv))

    def adopt(self, interface: str, address: str = "") -> None:
        sh("ip", "link", "set", interface, "netns", str(self.pid))
        if address:
            self.sh("ip", "addr", "add", address, "dev", interface)
        self.sh("ip", "link", "set", interface, "up")

    def wait_listening(self, port: int) -> None:
        deadline = time.monotonic() + 10
        while f":{port} " not in self.sh("ss", "-Hltn"):
            assert time.monotonic() < deadline, f"nobody listens on port {port}"

    def close(self) -> None:
        self._holder.communicate(timeout=10)


class Namespace:
    """The fresh namespace in which the test's thread runs."""

    def __init__(self) -> None:
        self._guests: list[Guest] = []

    def veth(self, a: str, b: str, *, mtu: int = 1500, up: bool = True) -> tuple[str, str]:
        size = ("mtu", str(mtu))
        sh("ip", "link", "add", a, *size, "type", "veth", "peer", "name", b, *size)
        if up:
            for end in (a, b):
                sh("ip", "link", "set", end, "up")
        return a, b

    def guest(self) -> Guest:
        guest = Guest()
        self._guests.append(guest)
        return guest

    def close(self) -> None:
        for guest in self._guests:
            guest.close()


@contextmanager
def fresh_namespace() -> Iterator[Namespace]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no new network namespace: {os.strerror(ctypes.get_errno())}")
        namespace = Namespace()
        try:
            if QUIET.exists():
                QUIET.write_text("1")
            sh("ip", "link", "set", "lo", "up")
            yield namespace
        finally:
            namespace.close()
            assert _libc.setns(home, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(home)
