"""Senders on real (veth) interfaces: the right frames, at the rate, counted to the frame."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netns import Namespace
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from testbed.errors import LinkError, PlanError, Unsupported
from testbed.link.ebpf import (
    R0,
    Assembler,
    Program,
    SharedArray,
    XdpAction,
    XdpLink,
    can_run_live,
)
from testbed.link.netlink import RouteNetlink
from testbed.link.streams import (
    SENT_AT,
    SEQUENCE,
    Blend,
    Frames,
    Increment,
    Job,
    Listed,
    Pace,
    Random,
)
from testbed.link.streams.choosing import choose, prospects
from testbed.link.streams.job import UNLIMITED, Outlet
from testbed.link.streams.packets import PacketSender
from testbed.link.streams.segments import SegmentSender
from testbed.link.streams.tables import Tables
from testbed.link.streams.transmitter import (
    BEHIND,
    END,
    INTERVAL,
    LAST,
    LIMIT,
    SENT,
    STATE_SIZE,
    transmitter,
)
from testbed.link.streams.xdp import XdpSender
from testbed.timing import milliseconds

needs_live = pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why)

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
UDP_FRAME = Ether(dst=B, src=A) / IP(src="198.18.0.1", dst="198.18.0.2") / UDP() / Raw(b"x" * 41)
EXPERIMENT = bytes.fromhex("02000000000b02000000000a88b5")
PLAIN = EXPERIMENT + bytes(46)

FLOWS = {
    "still": Frames(PLAIN),
    "udp": Frames(
        UDP_FRAME,
        vary={
            "eth.src": Increment(count=1000),
            "ipv4.src": Random(1, 2**32 - 1),
            "udp.src_port": Listed([5, 6, 9]),
            "payload[0:8]": SEQUENCE,
            "payload[9:11]": Increment(step=-3),
        },
    ),
    "tagged": Frames(
        Ether(dst=B, src=A) / Dot1Q(vlan=9, prio=3) / IP(dst="198.18.0.2") / UDP() / Raw(b"odd"),
        vary={"vlan.vid": Increment(count=100), "ipv4.dst": Listed([7, 8])},
        share=3,
    ),
    "lengths": Frames(PLAIN, bytes(PLAIN).ljust(1500, b"l"), PLAIN + b"m", share=2),
    "long": Frames(EXPERIMENT + bytes(1400), vary={"frame[700:708]": SEQUENCE}),
}
BLENDS = {name: Blend([frames]) for name, frames in FLOWS.items()}
BLENDS["all of them"] = Blend(list(FLOWS.values()))


@contextmanager
def far_program(interface: str, action: XdpAction = XdpAction.PASS) -> Iterator[None]:
    """Let the far end of a veth take XDP frames."""
    code = Assembler().mov(R0, action).exit().assemble()
    with Program(code, "far") as program, XdpLink(program, socket.if_nametoindex(interface)):
        yield


@pytest.fixture
def passing(veth: tuple[str, str]) -> Iterator[tuple[str, str]]:
    with far_program(veth[1]):
        yield veth


def sent_by_kernel(interface: str) -> int:
    with RouteNetlink() as route:
        return route.traffic(socket.if_nametoindex(interface)).sent


def finish(sender: XdpSender | PacketSender, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not sender.done:
        assert time.monotonic() < deadline, f"{sender.sent} sent"
        time.sleep(0.002)
    sender.stop()


@needs_live
@pytest.mark.parametrize("name", BLENDS)
def test_the_program_in_the_kernel_makes_the_frames_that_are_defined(name: str) -> None:
    blend = BLENDS[name]
    for first in (0, 2**33 + 1):
        tables = Tables(blend)
        with SharedArray(STATE_SIZE) as state:
            words = state.view("u8")
            words[SENT // 8], words[LIMIT // 8], words[END // 8] = first, UNLIMITED, UNLIMITED
            with Program(transmitter(tables, state.fd, 1, 1)) as program:
                for n in range(first, first + 300):
                    # What was left in the memory by whoever had it before must not matter.
                    verdict = program.try_on(b"\xee" * blend.longest)
                    assert verdict.action == XdpAction.REDIRECT
                    assert verdict.frame == blend.frame(n, 0)
            assert words[SENT // 8] == first + 300
        tables.close()


@needs_live
def test_the_program_stamps_the_time_it_runs_at() -> None:
    blend = Blend([Frames(UDP_FRAME, vary={"payload[0:8]": SENT_AT})])
    tables = Tables(blend)
    with SharedArray(STATE_SIZE) as state:
        words = state.view("u8")
        words[LIMIT // 8], words[END // 8] = UNLIMITED, UNLIMITED
        with Program(transmitter(tables, state.fd, 1, 1)) as program:
            before = time.monotonic_ns()
            frame = program.try_on(bytes(blend.longest)).frame
            stamp = int.from_bytes(frame[42:50], "big")
            assert before <= stamp <= time.monotonic_ns()
            assert frame == blend.frame(0, stamp)
    tables.close()


@needs_live
def test_the_program_sends_nothing_before_time_after_time_or_beyond_the_count() -> None:
    tables = Tables(BLENDS["still"])
    with SharedArray(STATE_SIZE) as state:
        words = state.view("u8")
        with Program(transmitter(tables, state.fd, 1, 1)) as program:

            def sends() -> bool:
                return program.try_on(PLAIN).action == XdpAction.REDIRECT

            words[LIMIT // 8], words[END // 8] = 1, UNLIMITED
            assert sends()
            assert not sends()
            # As fast as it can, it looks at the time for every 16th frame.
            words[SENT // 8], words[LIMIT // 8], words[END // 8] = 16, 99, time.monotonic_ns()
            assert not sends()
            words[END // 8] = UNLIMITED
            words[INTERVAL // 8] = 10**10 * 256
            words[LAST // 8] = time.monotonic_ns() * 256
            assert not sends()
            words[INTERVAL // 8] = 1
            assert sends()
    tables.close()


@needs_live
def test_a_schedule_that_is_far_behind_begins_anew_without_a_rush() -> None:
    tables = Tables(BLENDS["still"])
    with SharedArray(STATE_SIZE) as state:
        words = state.view("u8")
        words[LIMIT // 8], words[END // 8] = 99, UNLIMITED
        words[INTERVAL // 8] = 10**9 * 256
        with Program(transmitter(tables, state.fd, 1, 1)) as program:
            for last, behind in ((0, 0), (1, 1)):
                words[LAST // 8] = last
                actions = [program.try_on(PLAIN).action for _ in range(3)]
                assert actions == [XdpAction.REDIRECT, XdpAction.DROP, XdpAction.DROP]
                assert words[BEHIND // 8] == behind
    tables.close()


SO_RCVBUFFORCE = 33  # asm-generic/socket.h


@contextmanager
def wire(interface: str) -> Iterator[Callable[[int], list[bytes]]]:
    """Takes so many frames that arrive at an interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as heard:
        heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        heard.bind((interface, 3))
        heard.settimeout(5)
        yield lambda count: [heard.recv(2048) for _ in range(count)]


@pytest.mark.parametrize("name", [name for name in BLENDS if name not in ("tagged", "all of them")])
@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
def test_what_arrives_is_what_was_to_be_sent(kind: type, name: str, passing) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)
    blend = BLENDS[name]
    sender = kind(Job(blend, Pace(20_000), count=1000), Outlet.find(passing[0]))
    with wire(passing[1]) as take:
        sender.start()
        frames = take(1000)
    finish(sender)
    assert frames == [blend.frame(n, 0) for n in range(1000)]
    assert sender.sent == 1000


@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
@pytest.mark.parametrize("pace", [Pace(), Pace(50_000), Pace(50_000, burst=7)])
def test_the_count_is_kept_and_is_the_kernels(kind: type, pace: Pace, passing) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)
    before = sent_by_kernel(passing[0])
    sender = kind(Job(BLENDS["udp"], pace, count=10_001), Outlet.find(passing[0]))
    sender.start()
    finish(sender)
    assert (sender.sent, sender.lost) == (10_001, 0)
    assert sent_by_kernel(passing[0]) - before == 10_001
    sender.stop()


@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
def test_a_stream_that_is_stopped_midway_has_counted_to_the_frame(kind: type, passing) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)
    before = sent_by_kernel(passing[0])
    sender = kind(Job(BLENDS["udp"]), Outlet.find(passing[0]))
    sender.start()
    while sender.sent < 5000:
        time.sleep(0.001)
    assert not sender.done
    sender.stop()
    assert sender.done
    assert sent_by_kernel(passing[0]) - before == sender.sent
    time.sleep(0.05)
    assert sent_by_kernel(passing[0]) - before == sender.sent


@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
def test_the_pace_changes_while_it_runs(kind: type, passing) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)
    sender = kind(Job(BLENDS["still"], Pace(10)), Outlet.find(passing[0]))
    sender.start()
    time.sleep(0.1)
    slow = sender.sent
    assert slow <= 4
    for pace in (Pace(2000), Pace(), Pace(10)):
        sender.set_pace(pace)
        time.sleep(0.1)
    counted = sender.sent
    assert counted > 1000
    time.sleep(0.15)
    assert sender.sent - counted <= 5
    sender.stop()


@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
def test_a_stream_lasts_as_long_as_it_was_told(kind: type, passing) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)
    job = Job(BLENDS["still"], Pace(1000), duration=milliseconds(200))
    sender = kind(job, Outlet.find(passing[0]))
    began = time.monotonic()
    sender.start()
    finish(sender)
    assert 0.2 <= time.monotonic() - began < 2
    assert 150 <= sender.sent <= 201


@needs_live
def test_frames_that_the_interface_would_not_send_are_not_counted(veth: tuple[str, str]) -> None:
    before = sent_by_kernel(veth[0])
    with far_program(veth[1]):
        sender = XdpSender(Job(BLENDS["still"], Pace(20_000)), Outlet.find(veth[0]))
        sender.start()
        while sender.sent < 100:
            time.sleep(0.001)
    # The far end has let go of its program: from now on the veth takes no such frame.
    time.sleep(0.1)
    sender.stop()
    assert sender.lost > 0
    assert sender.sent == sent_by_kernel(veth[0]) - before


def test_the_fastest_that_works_is_chosen_and_the_reason_given(veth: tuple[str, str]) -> None:
    job = Job(BLENDS["still"], count=1)
    choice = choose(job, veth[0])
    assert isinstance(choice.sender, PacketSender)
    assert choice.why.startswith("not XDP live frames: ")
    choice.sender.stop()
    seen = choose(job, veth[0], captured=True)
    assert seen.why == "captures on this machine are to see the frames"
    seen.sender.stop()
    if can_run_live().works:
        with far_program(veth[1]):
            best = choose(job, veth[0])
            assert isinstance(best.sender, XdpSender)
            best.sender.stop()
    names = [name for name, _, _ in prospects()]
    assert names == ["XDP live frames", "UDP GSO", "sendmmsg"]


def switch_off_offloads(interface: str) -> None:
    offloads = ("tx-udp-segmentation", "off", "tx-checksum-ip-generic", "off")
    subprocess.run(["ethtool", "-K", interface, *offloads], check=True, capture_output=True)


COUNTED = {"ipv4.ident": Increment(), "payload[0:8]": SEQUENCE}


@pytest.mark.parametrize("size", [18, 19, 100, 1472])
@pytest.mark.parametrize("vlan", [False, True])
def test_datagrams_are_cut_into_the_frames_that_are_defined(size: int, vlan: bool, veth) -> None:
    switch_off_offloads(veth[0])
    head = Ether(dst=B, src=A) / Dot1Q(vlan=5) if vlan else Ether(dst=B, src=A)
    frame = head / IP(src="198.18.0.1", dst="198.18.0.2", id=65_500) / UDP() / Raw(b"x" * size)
    blend = Blend([Frames(frame, vary=COUNTED)])
    before = sent_by_kernel(veth[0])
    sender = SegmentSender(Job(blend, Pace(20_000, burst=100), count=1001), Outlet.find(veth[0]))
    with wire(veth[1]) as take:
        sender.start()
        frames = take(1001)
    finish(sender)
    untagged = [untag(blend.frame(n, 0)) if vlan else blend.frame(n, 0) for n in range(1001)]
    assert frames == untagged  # the kernel keeps the tag of what it heard beside the frame
    assert sender.sent == sent_by_kernel(veth[0]) - before == 1001


def untag(frame: bytes) -> bytes:
    return frame[:12] + frame[16:]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (Frames(PLAIN), "no UDP"),
        (Frames(PLAIN, PLAIN), "more than their payload"),
        (Frames(UDP_FRAME), "identification does not count up"),
        (Frames(UDP_FRAME, vary={"ipv4.ident": Increment(step=2)}), "does not count up"),
        (Frames(UDP_FRAME, vary={**COUNTED, "udp.src_port": SEQUENCE}), "header fields vary"),
        (Frames(Ether() / IP() / UDP() / Raw(b"short"), vary={"ipv4.ident": Increment()}),
         "something follows the datagram"),
    ],
)  # fmt: skip
def test_what_no_datagram_can_be_cut_into_is_told(frames, reason, veth) -> None:
    switch_off_offloads(veth[0])
    with pytest.raises(Unsupported, match=reason):
        SegmentSender(Job(Blend([frames])), Outlet.find(veth[0]))


def test_a_driver_that_would_hand_datagrams_on_uncut_gets_none(veth: tuple[str, str]) -> None:
    job = Job(Blend([Frames(UDP_FRAME, vary=COUNTED)]), count=1)
    choice = choose(job, veth[0])
    assert type(choice.sender) is PacketSender
    assert "tx-udp-segmentation is on" in choice.why
    choice.sender.stop()
    switch_off_offloads(veth[0])
    better = choose(job, veth[0])
    assert isinstance(better.sender, SegmentSender)
    better.sender.stop()


@needs_live
def test_too_many_frames_for_the_kernel_go_through_a_socket(passing) -> None:
    many = Frames(*[EXPERIMENT + n.to_bytes(46, "big") for n in range(33_000)])
    choice = choose(Job(Blend([many]), count=1), passing[0])
    assert isinstance(choice.sender, PacketSender)
    assert "33000 different frames are too many" in choice.why
    choice.sender.stop()


def test_a_capture_here_sees_frames_that_are_to_be_seen(passing) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap:
        tap.bind((passing[0], 3))
        tap.settimeout(0.2)
        for captured in (True, False):
            sender = PacketSender(
                Job(BLENDS["still"], Pace(1000), count=5),
                Outlet.find(passing[0]),
                captured=captured,
            )
            sender.start()
            finish(sender)
            if captured:
                assert [tap.recv(100) for _ in range(5)] == [PLAIN] * 5
            else:
                with pytest.raises(TimeoutError):
                    tap.recv(100)


def test_a_frame_beyond_the_mtu_is_refused_before_anything_is_sent(veth: tuple[str, str]) -> None:
    with pytest.raises(LinkError, match="a frame of 1520 bytes is too long"):
        choose(Job(Blend([Frames(EXPERIMENT + bytes(1506))])), veth[0])
    with pytest.raises(LinkError, match="no network interface 'nil'"):
        choose(Job(BLENDS["still"]), "nil")


def test_a_link_that_goes_down_is_an_error_of_the_stream(veth: tuple[str, str]) -> None:
    sender = PacketSender(Job(BLENDS["still"], Pace(1000)), Outlet.find(veth[0]))
    sender.start()
    subprocess.run(["ip", "link", "set", veth[0], "down"], check=True)
    deadline = time.monotonic() + 5
    while not sender.done:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    with pytest.raises(LinkError, match="cannot send: Network is down"):
        sender.stop()


def test_jobs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(PlanError, match="stream of 0 frames"):
        Job(BLENDS["still"], count=0)
    with pytest.raises(PlanError, match="longer than that"):
        Job(BLENDS["still"], duration=milliseconds(0))


@needs_live
def test_streams_at_once_are_counted_together_to_the_frame(passing) -> None:
    before = sent_by_kernel(passing[0])
    fast, slow = (
        choose(Job(BLENDS["udp"], Pace(pps), count=2000), passing[0]) for pps in (10_000, 5000)
    )
    fast.sender.start()
    second = choose(Job(BLENDS["still"], Pace(5000), count=2000), passing[0])
    assert isinstance(second.sender, PacketSender)
    assert "another stream is sent at" in second.why
    second.sender.start()
    for each in (fast.sender, second.sender):
        finish(each)
    slow.sender.stop()
    assert (fast.sender.sent, second.sender.sent) == (2000, 2000)
    assert sent_by_kernel(passing[0]) - before == 4000


def test_a_loss_of_streams_at_once_is_an_error_and_no_number(passing) -> None:
    outlet = Outlet.find(passing[0])
    senders = [PacketSender(Job(BLENDS["still"], Pace(5000), count=50), outlet) for _ in range(2)]
    for sender in senders:
        sender.start()
    senders[0]._handed += 1000  # frames that the interface never saw
    with pytest.raises(LinkError, match="which ones is not known"):
        finish(senders[0])
    finish(senders[1])
    assert senders[1].sent == 50


@needs_live
def test_the_burst_cannot_change_while_the_kernel_sends(passing) -> None:
    sender = XdpSender(Job(BLENDS["still"], Pace(10), count=5), Outlet.find(passing[0]))
    sender.start()
    with pytest.raises(Unsupported, match="burst of a stream cannot change"):
        sender.set_pace(Pace(10, burst=2))
    sender.stop()


@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
def test_starting_and_stopping_leaves_no_thread_and_no_descriptor(kind: type, passing) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = held()
    for _ in range(20):
        sender = kind(Job(BLENDS["udp"], Pace(1000)), Outlet.find(passing[0]))
        sender.start()
        sender.stop()
    unused = kind(Job(BLENDS["udp"]), Outlet.find(passing[0]))
    unused.stop()
    assert held() == before


@needs_live
def test_a_killed_process_sends_nothing_more(netns: Namespace, passing) -> None:
    script = f"""
        import sys
        from testbed.link.streams import *
        from testbed.link.streams.choosing import choose
        frames = Frames(bytes.fromhex("02000000000b02000000000a88b5") + bytes(46))
        choice = choose(Job(Blend([frames]), Pace(20_000)), "{passing[0]}")
        choice.sender.start()
        print(choice.sender.name, flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"XDP live frames\n"
    before = sent_by_kernel(passing[0])
    deadline = time.monotonic() + 5
    while sent_by_kernel(passing[0]) == before:
        assert time.monotonic() < deadline
    child.kill()
    child.communicate()
    after = sent_by_kernel(passing[0])
    time.sleep(0.1)
    assert sent_by_kernel(passing[0]) == after


@needs_live
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one CPU")
def test_a_paced_stream_has_a_cpu_to_itself_but_lets_others_have_their_part(passing) -> None:
    sender = XdpSender(Job(BLENDS["still"], Pace(1000)), Outlet.find(passing[0]))
    sender.start()
    try:
        runner = next(each for each in threading.enumerate() if each.name == "stream")
        # Whoever never lets go of a CPU loses it for 50 ms of every second (ALONE, SHARING).
        for policy in (os.SCHED_FIFO, os.SCHED_OTHER, os.SCHED_FIFO):
            deadline = time.monotonic() + 10
            while os.sched_getscheduler(runner.native_id) != policy:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        sender.set_pace(Pace())
        deadline = time.monotonic() + 10
        while os.sched_getscheduler(runner.native_id) != os.SCHED_OTHER:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        sender.stop()
