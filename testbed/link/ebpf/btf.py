"""Functions of the kernel that programs may call by their number in its type information.

Documentation/bpf/btf.rst; Documentation/bpf/kfuncs.rst.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

__all__ = ["function_number"]

_KERNEL = Path("/sys/kernel/btf/vmlinux")
_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_FUNCTION = 12
# Words behind the three that each type has, by its kind, and for each member that it says it has.
_MORE = {1: 1, 3: 3, 14: 1, 17: 1}
_EACH = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}


@cache
def function_number(name: str) -> int | None:
    """The number of the kernel's function ``name``; None where it has none, or does not tell."""
    try:
        data = _KERNEL.read_bytes()
    except OSError:
        return None
    magic, _, _, head, types, size, strings, length = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return None
    names = data[head + strings : head + strings + length]
    wanted = names.find(b"\0" + name.encode() + b"\0") + 1
    if not wanted:
        return None
    words = memoryview(data[head + types : head + types + size]).cast("I")
    at = number = 0
    while at < len(words):
        number += 1
        info = words[at + 1]
        kind = info >> 24 & 31
        if kind == _FUNCTION and words[at] == wanted:
            return number
        at += 3 + _MORE.get(kind, 0) + _EACH.get(kind, 0) * (info & 0xFFFF)
    return None
