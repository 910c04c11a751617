"""A program: ``testbed`` on a Python that has nothing of Linux, nor of Unix, in it.

Modules that other systems do not have cannot be imported, and names that they do not have are taken
out of those that they have. What the standard library had loaded by itself stays as it was.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from types import ModuleType

__all__ = ["ABSENT", "FOREIGN", "strip"]

FOREIGN = frozenset(
    {
        # https://docs.python.org/3/library/: "Availability: Unix", or not on Windows.
        *("crypt", "curses", "_curses", "fcntl", "grp", "nis", "ossaudiodev", "pty", "pwd"),
        *("readline", "resource", "spwd", "syslog", "termios", "tty"),
        # It is everywhere, and what it calls is not.
        *("ctypes", "_ctypes"),
    }
)
"""Modules that are not on every operating system, and that the sim lab must do without."""

ABSENT: dict[ModuleType, str] = {
    os: "fork forkpty pipe2 setns unshare setsid killpg getpgid getpgrp setpgid mkfifo mknod chroot"
    " sched_getaffinity sched_setaffinity memfd_create eventfd pidfd_open sendfile splice waitid"
    " wait3 wait4 openpty login_tty fchown lchown getloadavg getresuid setuid setgid initgroups"
    " posix_fallocate copy_file_range posix_spawn",
    select: "epoll poll kqueue",
    signal: "SIGALRM SIGHUP SIGUSR1 SIGUSR2 SIGKILL SIGQUIT SIGPIPE SIGCHLD SIGWINCH alarm pause"
    " setitimer getitimer ITIMER_REAL pthread_sigmask pthread_kill sigwait sigpending",
    socket: "AF_PACKET PF_PACKET SOL_PACKET PACKET_OUTGOING AF_UNIX AF_NETLINK AF_VSOCK CMSG_LEN"
    " CMSG_SPACE SO_BINDTODEVICE SO_REUSEPORT TCP_USER_TIMEOUT MSG_DONTWAIT recv_fds send_fds"
    " SO_MARK SCM_RIGHTS SOCK_NONBLOCK SOCK_CLOEXEC",
    time: "clock_gettime clock_gettime_ns pthread_getcpuclockid CLOCK_MONOTONIC_RAW CLOCK_BOOTTIME",
}
"""Names that those modules have on Linux and not everywhere."""


class _Refuse(importlib.abc.MetaPathFinder):
    """Finds nothing, and lets nobody else find what is foreign."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in FOREIGN:
            raise ImportError(f"{name} is not on every operating system", name=name)
        return None


def strip() -> None:
    """Make this Python such a one."""
    for name in FOREIGN & sys.modules.keys():
        del sys.modules[name]
    sys.meta_path.insert(0, _Refuse())
    for module, names in ABSENT.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)


if __name__ == "__main__":
    strip()
    from testbed.cli import main

    main()
