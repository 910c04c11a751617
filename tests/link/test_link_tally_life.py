"""Tallies beside the kernel's own counters, and what they leave behind: nothing."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest
from bpf_objects import descriptors, held, left_of
from netns import Namespace, sh

from testbed.errors import LinkError
from testbed.link.ebpf import can_load, can_run_live
from testbed.link.netlink import RouteNetlink
from testbed.link.streams import Blend, Job, Pace
from testbed.link.streams.counter import Balance, KernelTally
from testbed.link.streams.job import Outlet
from testbed.link.streams.signing import signed
from testbed.link.streams.xdp import XdpSender

needs_bpf = pytest.mark.skipif(not can_load().works, reason=can_load().why)
needs_live = pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why)

PLAIN = bytes.fromhex("02000000000b02000000000a88b5") + bytes(46)


def await_that(condition: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def send(interface: str, blend: Blend, count: int, pace: Pace | None = None) -> int:
    sender = XdpSender(Job(blend, pace or Pace(), count=count), Outlet.find(interface))
    sender.start()
    await_that(lambda: sender.done)
    sender.stop()
    return sender.sent


def arrived(interface: str) -> int:
    with RouteNetlink() as route:
        return route.traffic(Outlet.find(interface).index).received


@needs_live
def test_every_frame_of_a_thousand_streams_is_counted_as_the_kernel_counts_it(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    blend = Blend([signed(PLAIN, number) for number in range(1000)])
    before = arrived(veth[1])
    with KernelTally(socket.if_nametoindex(veth[1])) as tally:
        sent = send(veth[0], blend, 300_000)
        await_that(lambda: tally.received == sent)
    assert sent == 300_000 == arrived(veth[1]) - before
    assert tally.balance == Balance(sent, sent, sent)
    assert tally.balance.even
    assert not tally.balance.missed
    streams = tally.streams
    assert {stream: each.received for stream, each in streams.items()} == dict.fromkeys(
        range(1000), 300
    )
    for each in streams.values():
        assert (each.lost, each.late, each.duplicates, each.restarts) == (0, 0, 0, 0)
        assert each.octets == 300 * 60
        assert sum(each.histogram) == 300
        assert 0 < each.least_latency <= each.most_latency < 10**10


@needs_live
@pytest.mark.parametrize("take", [True, False])
def test_other_frames_pass_and_count_for_no_stream(
    netns: Namespace, veth: tuple[str, str], take: bool
) -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as heard,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender,
    ):
        heard.bind((veth[1], 0x88B5))
        heard.settimeout(10)
        sender.bind((veth[0], 0))
        with KernelTally(socket.if_nametoindex(veth[1]), take=take) as tally:
            for number in range(50):
                sender.send(PLAIN[:-2] + number.to_bytes(2, "big"))
                assert heard.recv(2048)[-2:] == number.to_bytes(2, "big")
            sender.send(Blend([signed(PLAIN, 3)]).frame(0, 1))
            await_that(lambda: tally.received == 1)
        assert (tally.others, list(tally.streams)) == (50, [3])
        assert tally.balance == Balance(51, 51, 51)
        if not take:
            assert len(heard.recv(2048)) == 60


@needs_live
def test_a_stream_that_is_started_again_loses_nothing(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    blend = Blend([signed(PLAIN, 5)])
    with KernelTally(socket.if_nametoindex(veth[1])) as tally:
        for run in range(3):
            send(veth[0], blend, 1000 - 300 * run)
        await_that(lambda: tally.received == 1000 + 700 + 400)
        counted = tally.streams[5]
    assert (counted.restarts, counted.earlier, counted.due) == (2, 1700, 400)
    assert (counted.lost, counted.late, counted.duplicates, counted.stale) == (0, 0, 0, 0)


@needs_live
def test_counts_can_be_read_while_frames_come(netns: Namespace, veth: tuple[str, str]) -> None:
    with KernelTally(socket.if_nametoindex(veth[1])) as tally:
        sender = XdpSender(Job(Blend([signed(PLAIN, 1)]), Pace(50_000)), Outlet.find(veth[0]))
        sender.start()
        seen = []
        await_that(lambda: not seen.append(tally.received) and seen[-1] > 2000)
        assert seen == sorted(seen)
        assert 2000 < tally.streams[1].received <= sender.sent
        sender.stop()
        await_that(lambda: tally.received == sender.sent)
    assert tally.streams[1].lost == 0


@needs_bpf
def test_a_tally_ends_well_when_its_interface_went_away(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    tally = KernelTally(socket.if_nametoindex(veth[1]))
    sh("ip", "link", "del", veth[1])
    tally.close()
    tally.close()
    assert tally.balance is not None
    assert tally.streams == {}
    with pytest.raises(LinkError):
        KernelTally(4_000_000)


@needs_bpf
def test_a_tally_ends_at_once_though_a_child_still_holds_its_descriptors(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    index = socket.if_nametoindex(veth[1])
    with KernelTally(index) as tally:
        held_by_child = os.dup(tally._link.fd)
    assert "xdp" not in sh("ip", "link", "show", veth[1])
    KernelTally(index).close()
    os.close(held_by_child)


@needs_live
def test_two_hundred_tallies_and_streams_leave_nothing(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    blend = Blend([signed(PLAIN, 1)])
    index = socket.if_nametoindex(veth[1])
    before, threads = held(), threading.active_count()
    count = len(descriptors())
    made = set()
    for cycle in range(200):
        with KernelTally(index) as tally:
            if cycle % 20 == 0:
                send(veth[0], blend, 10)
                await_that(lambda tally=tally: tally.received == 10)
            made |= held()
        assert tally.balance.even
    assert held() == before
    assert len(descriptors()) == count
    assert threading.active_count() == threads
    assert len(made - before) >= 200 * 3
    assert left_of(made - before) == set()
    assert "xdp" not in sh("ip", "link", "show", veth[1])


@needs_bpf
def test_a_killed_process_leaves_nothing_of_its_tally(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    script = f"""
        import sys
        from testbed.link.streams.counter import KernelTally
        tally = KernelTally({socket.if_nametoindex(veth[1])})
        print("counting", flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"counting\n"
    assert "xdp" in sh("ip", "link", "show", veth[1])
    made = held(child.pid)
    assert {kind for kind, _ in made} == {"prog", "map", "link"}
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert left_of(made) == set()
    assert "xdp" not in sh("ip", "link", "show", veth[1])
