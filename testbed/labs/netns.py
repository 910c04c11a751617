"""Going where the controller's NICs are: the network namespace that a bench file names."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from testbed.errors import LabError
from testbed.inventory import Bench
from testbed.labs.syscalls import CLONE_NEWNET, CLONE_NEWUSER, setns

__all__ = ["enter_controller", "namespace_path"]

_NS_GET_USERNS = 0xB701  # include/uapi/linux/nsfs.h
_NAMED = Path("/run/netns")


def namespace_path(netns: str) -> Path:
    """The path behind ``controller.netns``: itself, or a name as ip-netns(8) keeps it."""
    return Path(netns) if "/" in netns else _NAMED / netns


@contextlib.contextmanager
def enter_controller(bench: Bench) -> Iterator[None]:
    """Be in the network namespace where the controller's NICs are, if the bench names one.

    It moves the calling thread, and with it every thread that this one starts meanwhile; threads
    that run already stay where they are. ``/sys/class/net`` goes on showing the old namespace.
    A bench that this user holds without root takes the process along for good: from a user
    namespace there is no way back.
    Raises LabError, with the remedy, when the namespace is gone or closed to this user.
    """
    if bench.controller.netns is None:
        yield
        return
    path = namespace_path(bench.controller.netns)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        way_back = _enter(bench.bench, path)
        try:
            yield
        finally:
            if way_back:
                setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def _enter(bench: str, path: Path) -> bool:
    """Go there; whether there is a way back."""
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError(
            f"bench {bench}: its network namespace {path} is gone, and the gear with it: bring the "
            "lab up again (testbed lab up)"
        ) from None
    except PermissionError:
        raise LabError(
            f"bench {bench}: {path} belongs to another user: run as that user, or as root"
        ) from None
    try:
        return _join(bench, path, target)
    finally:
        os.close(target)


def _join(bench: str, path: Path, target: int) -> bool:
    try:
        setns(target, CLONE_NEWNET)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise LabError(f"bench {bench}: {path} is no network namespace: {error}") from error
    else:
        return True
    # A bench that was held by this user without root: its user namespace comes first.
    try:
        owner = fcntl.ioctl(target, _NS_GET_USERNS)
        try:
            setns(owner, CLONE_NEWUSER)
        finally:
            os.close(owner)
        setns(target, CLONE_NEWNET)
    except OSError as error:
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())
        raise LabError(
            f"bench {bench}: cannot enter the network namespace {path} ({error}); this process has "
            f"{threads} thread(s). Run as root; or, for a bench that you hold without root, prefix "
            f"the command with: nsenter --preserve-credentials --user --target "
            f"{path.parent.parent.name} --"
        ) from error
    return False
