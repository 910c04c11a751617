"""The ports of a host on this machine, taken from its kernel for a Python stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from testbed.errors import Unsupported
from testbed.hosts.tap import Tap
from testbed.hosts.turning import Loop
from testbed.labs.virtual.wiring import inside
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import NicClaim, claim

__all__ = ["TakenPorts", "take_ports"]

_BOOT = "/proc/sys/kernel/random/boot_id"  # proc(5): made anew at each boot
_PROC = Path("/proc")


class TakenPorts:
    """Ports of a host, each as a tap in this process's loop, until close()."""

    def __init__(self, taps: dict[str, Tap], ending: ExitStack) -> None:
        self.taps = taps
        self._ending = ending

    def close(self) -> None:
        """Give the ports back as they were; twice is no error."""
        self._ending.close()


def take_ports(
    name: str, execute: Callable[[str], str], ports: Iterable[str], loop: Loop
) -> TakenPorts:
    """Open ``ports`` of the host that ``execute`` runs commands on, offloads off.

    The host must have no addresses on them: its kernel would answer, too. Unsupported where the
    host is another machine.
    """
    with ExitStack() as undo:
        namespace = _namespace(name, execute)
        undo.callback(os.close, namespace)
        taps = {}
        for port in ports:
            with inside(namespace):
                claimed = claim(port)
                undo.callback(_restore, claimed, namespace)
                tap = Tap(AfPacketPort(f"{name}:{port}", port), loop)
            undo.callback(tap.close)
            taps[port] = tap
        return TakenPorts(taps, undo.pop_all())


def _restore(claimed: NicClaim, namespace: int) -> None:
    with inside(namespace):
        claimed.restore()


def _namespace(name: str, execute: Callable[[str], str]) -> int:
    """A descriptor of the host's network namespace, found by a process that is in it."""
    boot, wanted = execute(f"cat {_BOOT}; readlink /proc/self/ns/net").split()
    if boot == Path(_BOOT).read_text().strip():
        for process in _PROC.iterdir():
            link = process / "ns/net"
            try:
                if process.name.isdigit() and link.readlink() == Path(wanted):
                    return os.open(link, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # it ended, or is somebody else's
    raise Unsupported(f"{name} is another machine: no Python stack of this one can take its place")
