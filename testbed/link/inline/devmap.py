"""A map of ports: what a program gives a frame to, to have it sent several times."""

from __future__ import annotations

import os
import struct
from typing import Final

from testbed.link.ebpf.syscall import BpfError, Command, address, bpf, pinned

__all__ = ["BROADCAST", "REDIRECT_MAP", "PortMap"]

REDIRECT_MAP: Final = 51  # linux/bpf.h: BPF_FUNC_redirect_map
BROADCAST: Final = 1 << 3  # BPF_F_BROADCAST
_DEVMAP: Final = 14  # BPF_MAP_TYPE_DEVMAP
_CREATE = struct.Struct("=5I12x16s")
_UPDATE = struct.Struct("=I4xQQQ")
_MAP_UPDATE: Final = Command.MAP_UPDATE_ELEM


class PortMap:
    """``times`` times the same port, so that a frame for all of them leaves there as often."""

    def __init__(self, port: int, times: int) -> None:
        made = _CREATE.pack(_DEVMAP, 4, 4, times, 0, b"ports")
        try:
            self.fd = bpf(Command.MAP_CREATE, pinned(made.ljust(80, b"\0")))
        except OSError as error:
            raise BpfError("cannot make a map of ports", error.errno or 0) from error
        value = pinned(struct.pack("=I", port))
        try:
            for place in range(times):
                key = pinned(struct.pack("=I", place))
                entry = _UPDATE.pack(self.fd, address(key), address(value), 0)
                bpf(_MAP_UPDATE, pinned(entry))
        except OSError as error:
            self.close()
            raise BpfError(f"interface {port} is no port", error.errno or 0) from error

    def close(self) -> None:
        """Let go of the map; closing twice is no error."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
