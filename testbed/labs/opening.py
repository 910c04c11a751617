"""From a bench file of any lab to one of kind ``hardware`` that can be driven."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from testbed.console.serial_line import connect_serial
from testbed.console.ssh import connect_ssh
from testbed.console.transport import Transport
from testbed.errors import LabError, PlanError, Unsupported
from testbed.hosts.loop import MonotonicClock
from testbed.inventory import Bench
from testbed.labs.hardware import ssh_access
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import VirtualLab

__all__ = ["open_lab", "open_transport"]


@contextmanager
def open_lab(bench: Bench, say: Callable[[str], None] = lambda _: None) -> Iterator[Bench]:
    """Have the gear of ``bench`` standing, and this process where its NICs are, for a block.

    Gives the bench file of kind ``hardware``: the one itself, or what the virtual lab brought up.
    """
    with ExitStack() as stack:
        hardware = bench
        if bench.lab == "virtual":
            lab = stack.enter_context(VirtualLab(bench, say))
            hardware = lab.inventory
        elif bench.lab != "hardware":
            raise LabError(f"bench {bench.bench}: lab {bench.lab!r} cannot be brought up")
        stack.enter_context(enter_controller(hardware))
        yield hardware


@contextmanager
def open_transport(bench: Bench, device: str, *, serial: bool) -> Iterator[Transport]:
    """A person's terminal on a device of a bench of kind ``hardware``, for a block."""
    entry = {**bench.devices, **bench.hosts}.get(device)
    if entry is None:
        known = ", ".join([*bench.devices, *bench.hosts])
        raise PlanError(f"bench {bench.bench} has no device {device!r}; it has {known}")
    if entry.ssh is not None and not serial:
        transport: Transport = connect_ssh(
            device,
            clock=MonotonicClock(),
            term=(os.environ.get("TERM", "vt100"), *shutil.get_terminal_size()),
            **ssh_access(entry.ssh),
        )
    elif entry.console is not None:
        transport = connect_serial(device, entry.console.serial, baud=entry.console.baud)
    else:
        wanted = "console" if serial else "ssh"
        raise Unsupported(f"{device} has no {wanted} in bench {bench.bench}")
    try:
        yield transport
    finally:
        transport.close()
