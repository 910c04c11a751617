"""Being root in a user namespace, for machines on which this user is not root outside one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from testbed.errors import LabError
from testbed.labs.interfaces import bring_up
from testbed.labs.syscalls import CLONE_NEWNET, CLONE_NEWUSER, unshare

__all__ = ["become_root", "is_root"]

_CAP_SYS_ADMIN = 21  # include/uapi/linux/capability.h


def is_root() -> bool:
    """Whether this process may make namespaces and mounts: uid 0 with CAP_SYS_ADMIN.

    Root in a container often has the one without the other.
    """
    if os.geteuid() != 0:
        return False
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def become_root() -> None:
    """Move this process into a user namespace of its own, as its root; nothing to do for root.

    There is no way back. Files are still read and written as this user. With it goes a network
    namespace that has a loopback and nothing else: the machine's own could not be entered again
    after a visit to the lab's. The kernel allows this only while the process has a single thread
    (user_namespaces(7)): call it before numpy or paramiko start theirs. Raises LabError with the
    remedy when it is refused.
    """
    if is_root():
        return
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        raise LabError(_refusal(error)) from error
    try:
        # user_namespaces(7): without privilege, setgroups must be denied before gid_map is written.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        bring_up("lo")
    except OSError as error:
        raise LabError(f"user namespaces are restricted here: {error}. {_APPARMOR}") from error


_APPARMOR = (
    "Where AppArmor does that (Ubuntu 24.04): as root, sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0; or run as root"
)


def _refusal(error: OSError) -> str:
    if error.errno == errno.EINVAL:
        threads = len(list(Path("/proc/self/task").iterdir()))
        return (
            f"this process has {threads} threads, and only one with a single thread may enter a "
            "user namespace. Prefix the command with: unshare --user --map-root-user --"
        )
    if error.errno == errno.ENOSPC:
        return (
            "this machine allows no (more) user namespaces: as root, sysctl "
            "user.max_user_namespaces=10000; or run as root"
        )
    switch = Path("/proc/sys/kernel/unprivileged_userns_clone")
    if switch.exists() and switch.read_text().strip() == "0":
        return (
            "user namespaces are switched off for all but root: as root, sysctl "
            "kernel.unprivileged_userns_clone=1; or run as root"
        )
    return f"this machine refuses user namespaces ({error}). {_APPARMOR}"
