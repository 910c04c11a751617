"""Memory that programs in the kernel and Python share."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from testbed.errors import LinkError
from testbed.link.ebpf.syscall import BpfError, Command, address, bpf, pinned

__all__ = ["PerCpuCounters", "SharedArray"]

_ARRAY, _PERCPU_ARRAY = 2, 6  # linux/bpf.h, enum bpf_map_type
_MMAPABLE = 1 << 10  # BPF_F_MMAPABLE
_CREATE = struct.Struct("=5I12x16s")
_ELEMENT = struct.Struct("=I4xQQQ")


def _create(kind: int, size: int, entries: int, flags: int, name: str) -> int:
    # map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name;
    # a name longer than 15 bytes is refused.
    attributes = _CREATE.pack(kind, 4, size, entries, flags, name.encode()[:15])
    try:
        return bpf(Command.MAP_CREATE, pinned(attributes.ljust(80, b"\0")))
    except OSError as error:
        what = f"cannot make the map {name} of {entries} x {size} bytes"
        raise BpfError(what, error.errno or 0) from error


class SharedArray:
    """An array map of one value, ``size`` bytes, mapped into this process.

    What either side writes the other sees at once. A program gets its address with
    ``Assembler.load_map_value(register, array.fd)``. The map goes when the last program that uses
    it, and this object, are gone. Views outlive close(): the memory goes with the last of them.
    """

    def __init__(self, size: int, name: str = "array") -> None:
        if size < 1:
            raise LinkError(f"map {name}: {size} bytes, expected 1 at least")
        self.size = size
        self.name = name
        self.fd = _create(_ARRAY, size, 1, _MMAPABLE, name)
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            self._memory = mmap.mmap(self.fd, pages, mmap.MAP_SHARED)
        except BaseException:
            os.close(self.fd)
            raise

    @property
    def memory(self) -> memoryview:
        """All of it as bytes, filled up to whole pages."""
        return memoryview(self._memory)

    def view(self, dtype: npt.DTypeLike, count: int = -1, offset: int = 0) -> npt.NDArray[Any]:
        """``count`` items from byte ``offset`` on, all there are by default; writes go through."""
        kind = np.dtype(dtype)
        if count < 0:
            count = (self.size - offset) // kind.itemsize
        return np.frombuffer(self._memory, dtype=kind, count=count, offset=offset)

    def close(self) -> None:
        """Let go of the map; closing twice is no error."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            with contextlib.suppress(BufferError):  # somebody still looks at it
                self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


class PerCpuCounters:
    """``count`` counters of 64 bits of which every CPU has its own: no CPU waits for another."""

    def __init__(self, count: int, name: str = "counters") -> None:
        self.count = count
        self.fd = _create(_PERCPU_ARRAY, 8, count, 0, name)
        self._cpus = _possible_cpus()

    def read(self, index: int) -> int:
        """The sum over all CPUs of one counter."""
        key = pinned(struct.pack("=I", index))
        values = ctypes.create_string_buffer(8 * self._cpus)
        attributes = pinned(_ELEMENT.pack(self.fd, address(key), address(values), 0))
        try:
            bpf(Command.MAP_LOOKUP_ELEM, attributes)
        except OSError as error:
            what = f"counter {index} of {self.count} cannot be read"
            raise BpfError(what, error.errno or 0) from error
        return sum(struct.unpack(f"={self._cpus}Q", values.raw))

    def close(self) -> None:
        """Let go of the map; closing twice is no error."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _possible_cpus() -> int:
    """How many CPUs the kernel has room for: a value of a per-CPU map has one part for each."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:  # noqa: PTH123
        return 1 + int(file.read().strip().replace(",", "-").split("-")[-1])
