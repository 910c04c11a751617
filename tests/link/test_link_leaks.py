"""A thousand streams, tallies and recordings, begun and ended: nothing is left of them."""

import gc
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bpf_objects import Objects, descriptors, held, left_of
from netns import fresh_namespace, sh

from testbed.link.ebpf import can_run_live
from testbed.link.recorder import Wish
from testbed.link.recorder.choosing import open_recorder
from testbed.link.streams import Blend, Job
from testbed.link.streams.counter import KernelTally
from testbed.link.streams.job import Outlet
from testbed.link.streams.signing import signed
from testbed.link.streams.xdp import XdpSender

pytestmark = pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why)

CYCLES, WORKERS, COUNT = 1000, 8, 10
RING = 1 << 20
PLAIN = bytes.fromhex("02000000000b02000000000a88b5") + bytes(46)
BLEND = Blend([signed(PLAIN, 1), signed(PLAIN, 2)])


def cycle(near: str, far: str, *, in_kernel: bool) -> Objects:
    """A stream over a cable, counted and recorded at its far end; what the process held meanwhile.

    With ``in_kernel`` a program records, too, which then has to be at the near end.
    """
    with KernelTally(socket.if_nametoindex(far), take=in_kernel) as tally:
        wish = Wish(ring=RING)
        recorder = open_recorder(wish, near if in_kernel else far, in_kernel=in_kernel)
        try:
            sender = XdpSender(Job(BLEND, count=COUNT), Outlet.find(near))
            sender.start()
            deadline = time.monotonic() + 30
            while not sender.done or tally.received < COUNT:
                assert time.monotonic() < deadline, f"{tally.received} of {sender.sent} came"
                time.sleep(0.001)
            during = held()
            sender.stop()
        finally:
            recorder.stop()
            recorder.store.close()
        assert (recorder.frames, recorder.lost) == (0 if in_kernel else COUNT, 0)
    assert tally.balance is not None
    assert (tally.balance.counted, tally.balance.even) == (COUNT, True)
    return during


def work(number: int) -> Objects:
    """One worker's share of the cycles, on a cable in a namespace of its own."""
    seen: Objects = set()
    with fresh_namespace() as namespace:
        near, far = namespace.veth(f"near{number}", f"far{number}")
        for turn in range(CYCLES // WORKERS):
            seen |= cycle(near, far, in_kernel=turn % 4 == 3)
        for end in (near, far):
            assert "xdp" not in sh("ip", "link", "show", end)
    return seen


@pytest.mark.root
def test_a_thousand_streams_tallies_and_recordings_leave_nothing() -> None:
    before, threads, files = held(), threading.active_count(), len(descriptors())
    with ThreadPoolExecutor(WORKERS) as pool:
        seen = set().union(*pool.map(work, range(WORKERS)))
    gc.collect()
    assert held() == before
    assert len(descriptors()) == files
    assert threading.active_count() == threads
    # A program, a map and a link of each tally; a program and three maps of each stream.
    assert len(seen - before) >= CYCLES * 7
    assert left_of(seen - before) == set()
