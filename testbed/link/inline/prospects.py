"""What a box can be on this machine."""

from __future__ import annotations

import os

from testbed.link.ebpf import can_load, can_run_live

__all__ = ["prospects"]


def prospects() -> list[tuple[str, bool, str]]:
    """What carries the frames of boxes here, best first: name, whether it works, how or why not."""
    load, live = can_load(), can_run_live()
    late = live.works and (os.cpu_count() or 1) > 1
    why = live.why if not live.works or late else "this machine has one CPU"
    return [
        ("XDP (wire, drops, MTU hole, bit errors, duplicates)", load.works, load.why),
        ("XDP (delay, rate limit, reordering, a hold that queues)", load.works and late, why),
        ("user space (any stage)", True, "works everywhere"),
    ]
