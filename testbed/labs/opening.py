"""From a bench file of any lab to gear that stands and can be driven."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from testbed.console.transcript import ConsoleLog
from testbed.console.transport import Transport
from testbed.devices.changes import ChangeLog
from testbed.errors import LabError, PlanError, Unsupported
from testbed.hosts import Loop, RealLoop
from testbed.hosts.loop import MonotonicClock
from testbed.inventory import Bench
from testbed.labs.gear import Claimed, Gear, Lab

# What drives real gear is of Linux, and is loaded only where there is real gear.
# ruff: noqa: PLC0415

__all__ = ["open_bench", "open_lab", "open_transport"]


class RealLab:
    """``Lab`` on a bench file of kind ``hardware``, with the loop on real time."""

    def __init__(self, bench: Bench, loop: Loop) -> None:
        self.bench = bench
        self.loop = loop

    def gear(self, changes: ChangeLog, log: ConsoleLog, note_claim: Claimed) -> Gear:
        """Its gear."""
        from testbed.labs.hardware import Gear as RealGear

        return RealGear(self.bench, self.loop, changes, log, note_claim)


@contextmanager
def open_bench(
    bench: Bench, seed: str = "1", say: Callable[[str], None] = lambda _: None
) -> Iterator[Lab]:
    """Have the gear of ``bench`` standing, and a loop to drive it by, for a block.

    ``seed`` is where all chance of a sim bench comes from.
    """
    if bench.lab == "sim":
        from testbed.labs.sim import SimLab

        yield SimLab(bench, seed)
        return
    with ExitStack() as stack:
        hardware = stack.enter_context(open_lab(bench, say))
        loop = RealLoop()
        stack.callback(loop.close)
        yield RealLab(hardware, loop)


@contextmanager
def open_lab(bench: Bench, say: Callable[[str], None] = lambda _: None) -> Iterator[Bench]:
    """Have the gear of ``bench`` standing, and this process where its NICs are, for a block.

    Gives the bench file of kind ``hardware``: the one itself, or what the virtual lab brought up.
    LabError for a sim bench, which stands in no place that a process could be in.
    """
    from testbed.labs.netns import enter_controller

    with ExitStack() as stack:
        hardware = bench
        if bench.lab == "virtual":
            from testbed.labs.virtual import VirtualLab

            lab = stack.enter_context(VirtualLab(bench, say))
            hardware = lab.inventory
        elif bench.lab != "hardware":
            raise LabError(f"bench {bench.bench}: lab {bench.lab!r} cannot be brought up")
        stack.enter_context(enter_controller(hardware))
        yield hardware


@contextmanager
def open_transport(bench: Bench, device: str, *, serial: bool) -> Iterator[Transport]:
    """A person's terminal on a device of a bench of kind ``hardware``, for a block."""
    from testbed.console.serial_line import connect_serial
    from testbed.console.ssh import connect_ssh
    from testbed.labs.hardware import ssh_access

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
