"""Scripts in the kernel do what the same scripts do in Python, to the byte and the nanosecond."""

import random

import pytest
from twins import Twins, fresh_lane, memory

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
    any_frame,
)
from testbed.link.ebpf import can_load
from testbed.link.impair.fields import FrameField, Ipv4Whole, TcpData, UdpWhole
from testbed.timing import Duration

pytestmark = pytest.mark.skipif(not can_load().works, reason=can_load().why)

PORT = FrameField(2, 2, 80, layer="transport")
ARP = FrameField(-2, 2, 0x0806, layer="payload")


@pytest.fixture
def lane():
    lane = fresh_lane()
    yield lane
    lane.close()


def frames(luck, count):
    """Frames of every length, tagged or not, some of them IPv4 and TCP, some cut short."""
    for _ in range(count):
        kind = luck.randrange(6)
        head = luck.randbytes(12)
        tags = b"".join(
            luck.choice((b"\x81\x00", b"\x88\xa8")) + luck.randbytes(2)
            for _ in range(luck.choice((0, 0, 0, 1, 2, 3)))
        )
        if kind == 0:
            yield head + tags + b"\x08\x06" + luck.randbytes(luck.randrange(0, 60))
        elif kind < 4:
            header = bytearray(luck.randbytes(20))
            words = luck.choice((5, 5, 5, 6, 15, 4))
            data = luck.choice((0, 0, 1, 700, 1400))
            offset = luck.choice((5, 5, 8))
            header[0] = luck.choice((0x40, 0x40, 0x40, 0x60)) | words
            header[2:4] = (words * 4 + offset * 4 + data).to_bytes(2, "big")
            header[6:8] = luck.choice((b"\0\0", b"\x40\0", b"\x20\0", b"\0\x05"))
            header[9] = luck.choice((6, 6, 6, 17))
            segment = bytearray(luck.randbytes(20 + data))
            segment[:4] = luck.choice((80, 4000)).to_bytes(2, "big") * 2
            segment[12] = offset << 4
            options = luck.randbytes(max(0, words * 4 - 20))
            whole = head + tags + b"\x08\x00" + bytes(header) + options + bytes(segment)
            yield whole[: luck.choice((1518, 1518, 1518, 34, 40, 54))][:1518]
        else:
            yield head + luck.randbytes(luck.randrange(2, 1507))


def selector(luck, depth=0):
    inner = any_frame if depth else selector(luck, 1)
    return luck.choice(
        (
            lambda: any_frame,
            lambda: PORT,
            lambda: ~ARP & (PORT | FrameField(0, 1, 0, 127)),
            TcpData,
            Ipv4Whole,
            UdpWhole,
            lambda: TcpData(700) | FrameField(13, 4, 0, 1 << 31, mask=0xF0F0F0F0),
            lambda: Chance(luck.choice((0, 0.1, 0.5, 1)), luck.randrange(-5, 1 << 70), inner),
            lambda: GilbertElliott(0.2, 0.3, luck.randrange(100), in_bad=0.8, matching=inner),
            lambda: Nth(*(luck.randrange(1, 30) for _ in range(5)), matching=inner),
        )
    )()


def instant_stage(luck):
    return luck.choice(
        (
            lambda: Drop(selector(luck)),
            lambda: MtuHole(luck.choice((46, 600, 1400))),
            lambda: Corrupt(selector(luck), seed=luck.randrange(1000)),
            lambda: Corrupt(selector(luck), bit=luck.choice((0, 7, 500, 9000))),
        )
    )()


def late_stage(luck):
    span = Duration(luck.choice((0, 1000, 50_000, 3_000_000)))
    jitter = Duration(luck.choice((1, 70_000, 900_000)))
    return luck.choice(
        (
            lambda: Delay(span),
            lambda: Delay(span, jitter, seed=luck.randrange(1000)),
            lambda: Delay(span, jitter, seed=luck.randrange(1000), keep_order=True),
            lambda: RateLimit(luck.choice((1e7, 3.3e8, 1e9)), luck.choice((1, 5, 100))),
            lambda: Reorder(
                selector(luck),
                luck.randrange(1, 4),
                overtaken_by=selector(luck),
                max_hold=Duration(luck.choice((10_000, 2_000_000))),
            ),
            lambda: Duplicate(selector(luck), luck.randrange(1, 4)),
            lambda: Hold("queue"),
        )
    )()


def compare(make, lane, luck, *, count=60, mtu=1514, hands=0.0):
    twins = Twins(make, lane, mtu)
    try:
        now = 1_000_000
        for frame in frames(luck, count):
            now += luck.choice((0, 10, 2_000, 40_000, 900_000))
            ours, theirs = twins.until(now)
            assert theirs == ours
            for pair in zip(twins.python, twins.kernel, strict=True):
                if isinstance(pair[0], Hold) and luck.random() < 0.2:
                    for stage in pair:
                        stage.release() if stage.holding else stage.hold()
                    twins.script.settle()
            if luck.random() < hands:
                twins.change_hands()
            ours, theirs = twins.push(frame, now)
            assert theirs == ours
        keep_some = luck.random() < 0.5
        ours, theirs = twins.until(now + (50_000 if keep_some else 10**12))
        assert theirs == ours
        twins.finish()
        for mine, its in zip(twins.python, twins.kernel, strict=True):
            assert its.log.counts == mine.log.counts
            assert its.log.events == mine.log.events
            assert memory(its) == memory(mine)
    finally:
        twins.close()


@pytest.mark.parametrize("seed", range(60))
def test_stages_that_decide_at_once_are_the_same_in_the_kernel(lane, seed):
    def make():
        luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
        stages = [instant_stage(luck) for _ in range(luck.randrange(1, 5))]
        if luck.random() < 0.5:
            stages.append(Duplicate(selector(luck), luck.randrange(1, 4)))
        return stages

    compare(make, lane, random.Random(~seed))  # noqa: S311 - repeatable on purpose


@pytest.mark.parametrize("seed", range(120))
def test_stages_that_keep_frames_back_are_the_same_in_the_kernel(lane, seed):
    def make():
        luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
        return [
            late_stage(luck) if luck.random() < 0.6 else instant_stage(luck)
            for _ in range(luck.randrange(1, 5))
        ] + [Delay(Duration(5))]

    compare(make, lane, random.Random(~seed))  # noqa: S311 - repeatable on purpose


@pytest.mark.parametrize("seed", range(60))
def test_stages_go_on_where_the_other_stopped_each_time_that_hands_change(lane, seed):
    def make():
        luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
        return [
            late_stage(luck) if luck.random() < 0.6 else instant_stage(luck)
            for _ in range(luck.randrange(1, 5))
        ] + [Delay(Duration(5))]

    compare(make, lane, random.Random(~seed), hands=0.2)  # noqa: S311 - repeatable on purpose
