"""The Linux system calls that Python 3.11 does not offer, with errors as OSError.

Only the standard library is imported here: the first process of a virtual bench loads this module
and must be up within milliseconds.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_int, c_long, c_uint, c_ulong

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_REC",
    "mount",
    "protect",
    "set_name",
    "setns",
    "succeed_quietly",
    "unshare",
]

# include/uapi/linux/sched.h
CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

# include/uapi/linux/mount.h
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000

_SYS_MOUNT_SETATTR = 442  # the same on every architecture
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1

_PR_SET_NAME = 15
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = c_long


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give this thread new namespaces, one for each flag."""
    _checked(_libc.unshare(c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Move this thread into the namespace behind ``descriptor``, which is of this ``kind``."""
    _checked(_libc.setns(c_int(descriptor), c_int(kind)), "setns")


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    """Put a filesystem at ``target``; no ``kind`` is needed to bind a path or to change a mount."""
    result = _libc.mount(
        c_char_p(source.encode()),
        c_char_p(target.encode()),
        c_char_p(kind.encode() if kind else None),
        c_ulong(flags),
        c_char_p(data.encode() or None),
    )
    _checked(result, f"mount {kind or source} on {target}")


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def protect(path: str, *, writable: bool) -> None:
    """Make the mount at ``path`` and all below it read-only, or writable again."""
    attributes = _MountAttr(
        attr_set=0 if writable else _MOUNT_ATTR_RDONLY,
        attr_clr=_MOUNT_ATTR_RDONLY if writable else 0,
    )
    result = _libc.syscall(
        c_long(_SYS_MOUNT_SETATTR),
        c_int(_AT_FDCWD),
        c_char_p(path.encode()),
        c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _checked(result, f"mount_setattr {path}")


def set_name(name: str) -> None:
    """Let this process be called ``name`` (15 bytes at most) in process lists."""
    _checked(_libc.prctl(c_int(_PR_SET_NAME), c_char_p(name.encode()), 0, 0, 0), "prctl name")


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


def succeed_quietly() -> None:
    """Make setgroups(2) a no-op that succeeds, in this process and all that it starts.

    user_namespaces(7): with an unprivileged map of one id, "the use of the setgroups(2) system
    call is denied in the user namespace"; sshd and login call it and give up when it fails. With
    one group there is nothing that it could set. A seccomp filter answers it with success.
    """
    load, jump_equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, errno_zero = 0x7FFF_0000, 0x0005_0000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 0
    number = _SETGROUPS.get(os.uname().machine)
    if number is None:
        raise OSError(f"the number of setgroups(2) on {os.uname().machine} is not known here")
    steps = (_Instruction * 4)(
        _Instruction(load, 0, 0, 0),
        _Instruction(jump_equal, 0, 1, number),
        _Instruction(give, 0, 0, errno_zero),
        _Instruction(give, 0, 0, allow),
    )
    program = _Program(len(steps), steps)
    result = _libc.prctl(
        c_int(_PR_SET_SECCOMP), c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(program), 0, 0
    )
    _checked(result, "seccomp filter")
