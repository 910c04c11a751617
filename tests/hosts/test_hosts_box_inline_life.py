"""Boxes in the kernel come and go, and leave nothing."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from box_rig import Rig
from netns import sh

from testbed.hosts import RealLoop
from testbed.labs.bypass import open_bypass
from testbed.link import (
    Delay,
    Drop,
    Nth,
)
from testbed.link.ebpf import can_run_live

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why),
]


@pytest.fixture
def loop():
    loop = RealLoop()
    yield loop
    loop.close()


@pytest.fixture
def rig(netns, loop):
    rig = Rig(netns, loop)
    assert (rig.way.engine, rig.way.why) == (
        "XDP",
        "the fastest, and all stages can be compiled",
    )
    yield rig
    rig.close()


def things():
    """Programs, maps, links, threads and descriptors of this process."""
    kinds = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    numbered = sorted(kind.partition("[")[0].partition(":")[0] for kind in kinds)
    return numbered, len(list(Path("/proc/self/task").iterdir()))


def test_two_hundred_starts_and_stops_leave_nothing(rig):
    rig.box.stop()
    back = rig.box.directions[1]
    before = things()
    for round_ in range(200):
        way = back if round_ % 2 else rig.way
        if round_ % 10 == 0:
            way.add(Delay(1000) if round_ % 20 else Drop(Nth(1)))
        way.start()
        way.connect(open_bypass)
        rig.turn()
        assert way.engine == "XDP", (round_, way.why)
        way.stop()
        way.clear()
    assert things() == before
    assert "xdp" not in sh("ip", "link", "show", "x1")


def test_a_killed_process_leaves_no_program_at_the_ports(netns):
    for pair in (("near", "x1"), ("x2", "far")):
        netns.veth(*pair)
    for end in ("near", "far"):
        sh("ethtool", "-K", end, "gro", "on")
    code = """
        from testbed.hosts import FaultBox, RealLoop, Tap
        from testbed.labs.bypass import open_bypass
        from testbed.link import Delay
        from testbed.link.afpacket import AfPacketPort
        from testbed.timing import milliseconds
        loop = RealLoop()
        box = FaultBox("w1", *(Tap(AfPacketPort(x, x), loop) for x in ("x1", "x2")), loop,
                       open_bypass)
        box.start()
        box.direction(from_left=True).add(Delay(milliseconds(1)))
        loop.run_until(lambda: False, milliseconds(1))
        print(box.direction(from_left=True).engine, flush=True)
        loop.run_until(lambda: False, milliseconds(60000))
    """
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout.readline() == "XDP\n"
    assert "xdp" in sh("ip", "link", "show", "x1")
    victim.kill()
    victim.communicate(timeout=10)
    deadline = time.monotonic() + 10
    while "xdp" in sh("ip", "link", "show", "x1") + sh("ip", "link", "show", "x2"):
        assert time.monotonic() < deadline
