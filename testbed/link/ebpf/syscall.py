"""bpf(2), and what its errors mean."""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import c_int, c_long, c_uint
from enum import IntEnum

from testbed.errors import LinkError

__all__ = ["BpfError", "Command", "address", "bpf", "pinned"]

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = c_long


class Command(IntEnum):
    """linux/bpf.h, enum bpf_cmd."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    OBJ_GET_INFO_BY_FD = 15
    LINK_CREATE = 28
    LINK_UPDATE = 29
    LINK_DETACH = 34


class BpfError(LinkError):
    """The kernel refused a program, a map or an attachment.

    ``number`` is its errno; ``log`` is what the verifier said of a program, else empty.
    """

    def __init__(self, what: str, number: int, log: str = "") -> None:
        reasons = {
            errno.EPERM: "not allowed: it takes root (CAP_BPF and CAP_NET_ADMIN) outside of any "
            "user namespace",
            errno.ENOSYS: "this kernel has no bpf(2)",
            errno.EBUSY: "another program is attached there already",
        }
        reason = reasons.get(number, os.strerror(number))
        tail = f"\nthe verifier said:\n{log}" if log else ""
        super().__init__(f"{what}: {reason}{tail}")
        self.number = number
        self.log = log


def pinned(data: bytes) -> ctypes.Array[ctypes.c_char]:
    """A copy of ``data`` at an address that stays while the result does."""
    return ctypes.create_string_buffer(data, len(data))


def address(memory: ctypes.Array[ctypes.c_char]) -> int:
    """Where it is."""
    return ctypes.addressof(memory)


def bpf(command: Command, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """Make the call; OSError when it fails. Other threads run meanwhile."""
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, f"the number of bpf(2) on {os.uname().machine} is not known")
    result = int(
        _libc.syscall(
            c_long(number), c_int(command), ctypes.byref(attributes), c_uint(len(attributes))
        )
    )
    if result < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return result
