"""Cables and interfaces of a rack: veth pairs between namespaces, by ip(8).

Only the standard library is imported here; see ``testbed.labs.virtual.rack``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from testbed.labs.interfaces import bring_up
from testbed.labs.syscalls import CLONE_NEWNET, setns, unshare
from testbed.labs.virtual.spec import CableSpec, PortSpec

__all__ = [
    "cable_lines",
    "inside",
    "move_line",
    "new_namespace",
    "open_own_namespace",
    "quiet",
    "run_ip",
]

_SYSCTL = Path("/proc/sys/net")

_KERNEL_DEFAULTS = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/accept_redirects": "1",
    "ipv4/conf/default/accept_redirects": "1",
    "ipv4/conf/all/send_redirects": "1",
    "ipv4/conf/default/send_redirects": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv6/conf/all/disable_ipv6": "1",
}
"""Settings that a new network namespace may inherit from this machine and that plans judge.

IPv6 is off so that no interface says anything of its own (router solicitations, MLD reports).
"""


def open_own_namespace() -> int:
    """A descriptor of the network namespace that this thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Be in the network namespace behind a descriptor for a while."""
    home = open_own_namespace()
    try:
        setns(namespace, CLONE_NEWNET)
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def new_namespace(*, forwarding: bool) -> int:
    """A descriptor of a new, quiet network namespace; it lives as long as somebody holds it."""
    home = open_own_namespace()
    try:
        unshare(CLONE_NEWNET)
        try:
            quiet(forwarding=forwarding)
            return open_own_namespace()
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def quiet(*, forwarding: bool) -> None:
    """Give this network namespace the kernel's defaults, no IPv6, and its loopback."""
    # First: a write to ip_forward resets what follows to the defaults for a router or a host.
    (_SYSCTL / "ipv4/ip_forward").write_text("1" if forwarding else "0")
    for name, value in _KERNEL_DEFAULTS.items():
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            (_SYSCTL / name).write_text(value)
    bring_up("lo")


def cable_lines(cable: CableSpec, namespaces: dict[str, int]) -> str:
    """The line of an ip(8) batch that plugs a cable in; its ends are down."""

    def end(port: PortSpec) -> str:
        where = f"/proc/self/fd/{namespaces[port.node]}"
        return f"name {port.name} address {port.mac} mtu {cable.mtu} netns {where}"

    return f"link add {end(cable.left)} type veth peer {end(cable.right)}\n"


def move_line(interface: str, namespace: int) -> str:
    """The line of an ip(8) batch that carries an interface into another namespace."""
    return f"link set {interface} netns /proc/self/fd/{namespace}\n"


def run_ip(batch: str, namespaces: list[int]) -> None:
    """Run a batch of ip(8) commands that name these namespaces by descriptor."""
    read, write = os.pipe()
    report = os.memfd_create("ip-errors")
    for descriptor in namespaces:
        os.set_inheritable(descriptor, True)
    try:
        process = os.posix_spawnp(
            "ip",
            ["ip", "-batch", "-"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read, 0),
                (os.POSIX_SPAWN_DUP2, report, 1),
                (os.POSIX_SPAWN_DUP2, report, 2),
            ],
        )
    finally:
        os.close(read)
        for descriptor in namespaces:
            os.set_inheritable(descriptor, False)
    with os.fdopen(write, "w") as pipe, contextlib.suppress(BrokenPipeError):
        pipe.write(batch)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    text = os.pread(report, 65536, 0).decode(errors="replace").strip()
    os.close(report)
    if status:
        raise OSError(errno.EIO, f"ip -batch ended with {status}: {text}")
