"""Waiting until no program runs that began before."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

from testbed.errors import LinkError

__all__ = ["wait_for_programs"]

_NUMBERS: Final = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_GLOBAL: Final = 1  # linux/membarrier.h: MEMBARRIER_CMD_GLOBAL

_libc = ctypes.CDLL(None, use_errno=True)


def wait_for_programs() -> None:
    """Return when every run of a program that had begun is over; some 10 ms.

    membarrier(2) waits for what the kernel calls a grace period, and a program runs within one.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None or _libc.syscall(ctypes.c_long(number), _GLOBAL, 0, 0) < 0:
        why = os.strerror(ctypes.get_errno()) if number else "its number is not known here"
        raise LinkError(f"cannot wait for programs in the kernel: membarrier(2): {why}")
