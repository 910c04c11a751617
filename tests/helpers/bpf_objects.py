"""Programs, maps and links that a process holds, and whether the kernel still has them."""

import re
import struct
import time
from pathlib import Path

from testbed.link.ebpf.syscall import bpf, pinned

# linux/bpf.h: BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID
NEXT = {"prog": 11, "map": 12, "link": 31}

NUMBER = re.compile(r"^(prog|map|link)_id:\s*(\d+)", re.MULTILINE)

Objects = set[tuple[str, int]]


def held(pid: int | str = "self") -> Objects:
    """Kind and number of each that the process has a descriptor of."""
    found = set()
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = file.read_text()
        except OSError:  # the descriptor of this very listing
            continue
        found |= {
            (kind, int(n))
            for kind, n in re.findall(r"^(prog|map|link)_id:\s*(\d+)", text, re.MULTILINE)
        }
    return found


def descriptors() -> list[str]:
    """What this process has open."""
    return [file.name for file in Path("/proc/self/fd").iterdir()]


def alive() -> Objects:
    """All that the kernel has."""
    found = set()
    for kind, command in NEXT.items():
        last = 0
        while True:
            attributes = pinned(struct.pack("=II", last, 0).ljust(16, b"\0"))
            try:
                bpf(command, attributes)
            except FileNotFoundError:
                break
            last = struct.unpack_from("=I", attributes.raw, 4)[0]
            found.add((kind, last))
    return found


def left_of(objects: Objects, within: float = 10.0) -> Objects:
    """Those that are still there; the kernel frees them a moment after their last user went."""
    deadline = time.monotonic() + within
    while left := objects & alive():
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return left
