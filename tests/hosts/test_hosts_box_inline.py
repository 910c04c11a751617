"""Boxes whose frames the kernel carries: on real veths, beside boxes that Python carries."""

import random
import threading
import time

import pytest
from box_rig import HEAD, Rig, frame, in_kernel, number
from netns import sh

from testbed.capture import match
from testbed.errors import LinkError
from testbed.hosts import RealLoop
from testbed.labs.bypass import open_bypass
from testbed.link import (
    Chance,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    GilbertElliott,
    Hold,
    MtuHole,
    Nth,
    RateLimit,
    Reorder,
)
from testbed.link.ebpf import can_run_live
from testbed.link.impair.fields import FrameField, Guarded
from testbed.link.netlink import RouteNetlink
from testbed.timing import microseconds, milliseconds, seconds

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why),
]

MARKED = FrameField(18, 1, 7)


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


def counted(interface):
    with RouteNetlink() as route:
        return route.traffic(route.link(interface).index)


def test_a_wire_passes_everything_and_counts_as_the_interfaces_do(rig):
    before = [counted(end) for end in ("x1", "x2", "far")]
    rig.box.begin()
    rig.send(*(frame(n, 60 + n) for n in range(200)))
    rig.settle(200)
    assert rig.heard == [frame(n, 60 + n) for n in range(200)]
    after = [counted(end) for end in ("x1", "x2", "far")]
    assert after[0].received - before[0].received == rig.way.received == 200
    assert after[1].sent - before[1].sent == rig.way.sent == 200
    assert after[2].received - before[2].received == 200
    rig.box.check_alive()


def test_both_ways_are_apart(rig):
    back = rig._socket("near")
    with in_kernel(rig, Drop()):
        rig.send(frame(1))
        rig.far.send(frame(2))
        assert rig.loop.run_until(lambda: rig.box.directions[1].sent == 1, seconds(5))
        assert rig.loop.run_until(lambda: rig.way.actions["drop"] == 1, seconds(5))
        assert back.recv(2000) == frame(2)
    back.close()


def test_exactly_the_nth_that_matches_is_lost_and_told(rig):
    stage = Drop(Nth(2, matching=MARKED))
    with in_kernel(rig, stage):
        before = rig.loop.wall_now()
        rig.send(*(frame(n, mark=7 if n % 3 == 0 else 0) for n in range(9)))
        rig.settle(8)
        assert [number(each) for each in rig.heard] == [0, 1, 2, 4, 5, 6, 7, 8]
        (event,) = rig.way.events
        assert (event.action, event.frame) == ("drop", frame(3, mark=7))
        assert event.note == "number 2 of those that match"
        assert before <= event.at <= rig.loop.wall_now()
        assert stage.log.counts["drop"] == 1
        assert (rig.way.received, rig.way.sent) == (9, 8)
    assert stage.which.seen == 3


def test_the_next_one_that_matches_is_lost_as_soon_as_it_is_armed(rig):
    nth = Nth(1)
    with in_kernel(rig, Drop(nth)):
        rig.send(frame(0), frame(1))
        rig.settle(1)
        for n in (2, 4, 6):
            nth.rearm(2)
            rig.send(frame(n), frame(n + 1))
            rig.settle(n // 2 + 1)
            assert rig.way.engine == "XDP"
        assert [number(each) for each in rig.heard] == [1, 2, 4, 6]


@pytest.mark.parametrize(
    ("mode", "action", "came"), [("drop", "drop", [3]), ("queue", "hold", [1, 2, 3])]
)
def test_a_cable_is_pulled_and_plugged_in_while_the_kernel_carries(rig, mode, action, came):
    cable = Hold(mode)
    with in_kernel(rig, cable):
        rig.send(frame(1), frame(2))
        assert rig.loop.run_until(lambda: cable.log.counts[action] == 2, seconds(5))
        cable.release()
        rig.send(frame(3))
        rig.settle(len(came))
        assert [number(each) for each in rig.heard] == came


def test_what_a_stage_keeps_back_goes_along_when_python_takes_over(rig):
    slow = Delay(seconds(100))
    rig.way.add(slow)
    rig.turn()
    rig.send(*(frame(n) for n in range(5)))
    assert rig.loop.run_until(lambda: rig.way.received >= 5, seconds(5))
    rig.way.add(Duplicate())
    assert [number(each) for _, _, each in slow.waiting] == [0, 1, 2, 3, 4]
    rig.turn()
    assert rig.way.engine == "XDP"
    rig.way.remove(slow)
    rig.settle(10)
    assert [number(each) for each in rig.heard] == [n // 2 for n in range(10)]


def test_what_only_python_can_do_runs_in_python_and_says_so(rig):
    with rig.way.impaired(Drop(lambda data: number(data) == 1)):
        rig.turn()
        assert rig.way.engine == "user space"
        assert "only Python can ask" in rig.way.why
        rig.send(frame(0), frame(1), frame(2))
        rig.settle(2)
    rig.turn()
    assert rig.way.engine == "XDP"
    rig.send(frame(3))
    rig.settle(3)
    assert [number(each) for each in rig.heard] == [0, 2, 3]


def test_a_capture_at_the_box_has_python_carry_the_frames(rig):
    seen = []
    subscription = rig.taps[1].subscribe(lambda each: seen.append(each.data))
    rig.send(frame(1))
    rig.settle(1)
    assert rig.way.engine == "user space"
    assert rig.way.why.startswith("x2 is captured")
    rig.loop.run_until(lambda: frame(1) in seen, seconds(5))
    subscription.close()
    rig.turn()
    assert rig.way.engine == "XDP"
    rig.send(frame(2))
    rig.settle(2)
    assert frame(2) not in seen


def test_python_is_asked_about_the_few_frames_that_only_it_can_judge(rig):
    asked = []

    def judge(data):
        asked.append(number(data))
        return number(data) % 2 == 1

    for stages in ((Drop(Guarded(judge, MARKED)),), (Drop(Guarded(judge, MARKED)), Delay(1000))):
        rig.heard.clear()
        asked.clear()
        with in_kernel(rig, *stages):
            rig.send(*(frame(n, mark=7 if n in (3, 4) else 0) for n in range(8)))
            rig.settle(7)
            assert [number(each) for each in rig.heard] == [0, 1, 2, 4, 5, 6, 7]
            assert asked == [3, 4]
            assert rig.way.engine == "XDP"


@pytest.mark.parametrize("late", [False, True])
def test_nothing_is_lost_or_overtaken_while_hands_change(rig, late):
    count = 6000
    pace = threading.Event()

    def send():
        for n in range(count):
            rig.near.send(frame(n))
            pace.wait(0.0001)

    seen = set()
    sender = threading.Thread(target=send)
    sender.start()
    while sender.is_alive():
        python_only = Drop(lambda _: False)
        for stage in (Delay(microseconds(50)) if late else Drop(Nth(60000)), python_only):
            rig.way.add(stage)
            rig.turn()
            seen.add(rig.way.engine)
        for stage in rig.way.stages:
            rig.way.remove(stage)
            rig.turn()
            seen.add(rig.way.engine)
    sender.join()
    rig.settle(count)
    assert [number(each) for each in rig.heard] == list(range(count))
    assert seen == {"XDP", "user space"}
    rig.box.check_alive()


def test_a_matcher_decides_in_the_kernel_and_python_is_asked_where_a_frame_is_not_plain(rig):
    def segment(n, options=b"", data=b"x"):
        control = (20 + len(options)) // 4 << 4
        tcp = b"\0\x50\0\x50" + n.to_bytes(4, "big") + bytes(4) + bytes([control, 16]) + bytes(6)
        tcp += options + data
        ip = b"\x45\0" + (20 + len(tcp)).to_bytes(2, "big") + bytes(5) + b"\x06" + bytes(10)
        return (HEAD[:12] + b"\x08\x00" + ip + tcp).ljust(60, b"\0")

    other = b"\x02\x04\x05\xb4"
    sent = [segment(0), segment(1, data=b""), segment(2, other), segment(3), segment(4, other, b"")]
    nth = Nth(2, 3, matching=match.tcp(longer_than=0))
    far = rig._socket("far")
    with in_kernel(rig, Drop(nth)):
        rig.send(*sent)
        assert rig.loop.run_until(lambda: rig.way.sent == 3, seconds(5))
        assert rig.way.actions["drop"] == 2
        assert rig.way.engine == "XDP"
        assert [far.recv(2000) for _ in range(3)] == [sent[0], sent[1], sent[4]]
    assert nth.seen == 3
    far.close()


def test_a_sink_without_a_link_is_an_error_of_the_rig(rig):
    rig.box.begin()
    rig.send(frame(1))
    rig.settle(1)
    rig.box.check_alive()
    sh("ip", "link", "set", "far", "down")
    rig.send(frame(2))
    rig.loop.run_until(lambda: rig.way.received >= 2, seconds(5))
    rig.way.settle()
    assert rig.way.refused == 1
    with pytest.raises(LinkError):
        rig.box.check_alive()


def test_a_far_end_that_takes_nothing_from_xdp_leaves_it_to_python(netns, loop):
    rig = Rig(netns, loop, gro="off")
    try:
        assert rig.way.engine == "user space"
        assert "sends no XDP frames now" in rig.way.why
        rig.send(frame(1))
        rig.settle(1)
    finally:
        rig.close()


def test_frames_are_late_by_what_the_delay_says(rig):
    with in_kernel(rig, Delay(milliseconds(5))):
        sent = []
        for n in range(20):
            sent.append(time.monotonic_ns())
            rig.send(frame(n))
            rig.turn()
        rig.settle(20)
    late = [came - went for came, went in zip(rig.times, sent, strict=True)]
    assert [number(each) for each in rig.heard] == list(range(20))
    assert min(late) >= milliseconds(5)


def stages_of(seed):
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    which = luck.choice(
        (
            lambda: Chance(0.3, seed),
            lambda: GilbertElliott(0.1, 0.4, seed),
            lambda: Nth(3, 7, 50, matching=MARKED),
        )
    )
    return [
        luck.choice(
            (
                lambda: Drop(which()),
                lambda: Corrupt(which(), seed=seed),
                lambda: Duplicate(which(), 2),
                lambda: MtuHole(300),
                lambda: Reorder(which(), 2),
                lambda: Delay(microseconds(300)),
                lambda: RateLimit(1e9, 1000),
            )
        )()
        for _ in range(luck.randrange(1, 5))
    ]


@pytest.mark.parametrize("seed", range(8))
def test_on_a_wire_the_kernel_does_what_python_does(netns, loop, seed):
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    sent = [frame(n, luck.randrange(60, 600), luck.choice((0, 7))) for n in range(300)]
    outcomes = []
    for bypass in (open_bypass, None):
        rig = Rig(netns, loop, bypass=bypass)
        stages = stages_of(seed)
        try:
            for stage in stages:
                rig.way.add(stage)
            rig.turn()
            assert rig.way.engine == ("XDP" if bypass else "user space"), rig.way.why
            rig.send(*sent)
            rig.await_received(len(sent))
            rig.loop.run_until(lambda: False, milliseconds(250))  # what waits to be overtaken
            notes = [[(e.action, e.frame, e.note) for e in stage.log.events] for stage in stages]
            outcomes.append((rig.heard, notes, rig.way.actions, rig.way.sent))
            rig.box.check_alive()
        finally:
            rig.close()
            sh("ip", "link", "del", "near")
            sh("ip", "link", "del", "far")
    assert outcomes[0] == outcomes[1]
