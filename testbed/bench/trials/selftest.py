"""What the receiving half of the tester can count, on a virtual cable of its own."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass

from testbed.bench.trials.paths import FCS, HEADER
from testbed.errors import TestbedError, Unsupported
from testbed.link.streams import Blend, Job
from testbed.link.streams.signing import signed
from testbed.timing import Duration, seconds, to_seconds

__all__ = ["SelfTest", "measure_receiver"]

SPAN = Duration(seconds(1) // 4)
DRAIN = 0.02
"""Seconds in which the kernel's queues are empty once nothing more is sent."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a tally counted a second of what a sender sent as fast as it could."""

    sent: float
    counted: float
    engines: str


def measure_receiver(size: int) -> SelfTest:
    """Send frames of ``size`` bytes, FCS included, over a veth pair made for this, and count them.

    In a network namespace that ends with the test. Unsupported where there can be none.
    """
    found: list[SelfTest] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            found.append(_run_apart(size))
        except (OSError, TestbedError, subprocess.CalledProcessError) as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="testbed-selftest")
    thread.start()
    thread.join()
    if failed:
        raise Unsupported(f"the tester cannot test itself here: {failed[0]}") from failed[0]
    return found[0]


def _run_apart(size: int) -> SelfTest:
    # What only Linux has is loaded where it is needed.
    from testbed.labs.syscalls import CLONE_NEWNET, unshare  # noqa: PLC0415
    from testbed.link.streams.choosing import choose  # noqa: PLC0415
    from testbed.link.streams.counter import open_tally  # noqa: PLC0415

    unshare(CLONE_NEWNET)
    mtu = max(1500, size - FCS - HEADER)
    commands = f"link add tx0 mtu {mtu} type veth peer name rx0 mtu {mtu}\nlink set tx0 up\n"
    subprocess.run(
        ["ip", "-batch", "-"],
        input=f"{commands}link set rx0 up\n",
        text=True,
        check=True,
        capture_output=True,
    )
    name, why, tally = open_tally("rx0")
    if tally is None:
        raise Unsupported(why)
    try:
        frame = bytes.fromhex("02000000000202000000000188b5")
        blend = Blend([signed(frame + bytes(size - FCS - len(frame)))])
        sender = choose(Job(blend, duration=SPAN), "tx0").sender
        sender.start()
        while not sender.done:
            threading.Event().wait(DRAIN)
        sender.stop()
        threading.Event().wait(DRAIN)
        counted = tally.streams[0].received if tally.streams else 0
    finally:
        tally.close()
    span = to_seconds(SPAN)
    return SelfTest(sender.sent / span, counted / span, f"{sender.name} to {name}")
