"""Reels: which frames are played, and when each is due, by arithmetic alone."""

from ipaddress import IPv4Network

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from testbed.errors import LinkError, PlanError
from testbed.link.replay import ArrayReel, Limits, RecordedReel, due_times
from testbed.link.replay.reel import blamed
from testbed.link.replay.schedule import period_of

ROOMY = Limits("any", 1500)


def recorded(frames: list[bytes], **options) -> RecordedReel:
    """A reel of frames with something between them, as in a file."""
    data = b"".join(b"#" * 16 + frame for frame in frames) + b"end"
    sizes = np.array([len(frame) for frame in frames], np.int64)
    options.setdefault("length", sizes)
    return RecordedReel(
        np.frombuffer(data, np.uint8),
        np.cumsum(sizes + 16) - sizes,
        sizes,
        names=np.arange(len(frames)),
        **options,
    )


def played(reel, limits: Limits = ROOMY, at_once: int = 7) -> tuple[list[bytes], list[int]]:
    """All that a reel gives, in pieces, into rows that something was in before."""
    feed = reel.open(limits)
    width = -(-reel.longest // 8) * 8
    frames, times = [], []
    while True:
        rows = np.full((at_once, width), 0xEE, np.uint8)
        if reel.longest == 60:
            rows[:] = 0  # as in a ring, whose ends nobody writes
        lengths, due = np.zeros(at_once, np.uint32), np.zeros(at_once, np.int64)
        count = feed.take(rows, lengths, due)
        if not count:
            return frames, times
        frames += [rows[n, : lengths[n]].tobytes() for n in range(count)]
        times += due[:count].tolist()


def various(count: int, seed: int = 1) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [rng.bytes(int(size)) for size in rng.choice([60, 61, 64, 65, 300, 1514], count)]


@pytest.mark.parametrize("count", [1, 2, 6, 7, 8, 100])
@pytest.mark.parametrize("loops", [1, 3])
def test_every_frame_is_played_once_a_loop_in_order(count: int, loops: int) -> None:
    frames = various(count)
    reel = recorded(frames, loops=loops)
    assert reel.count == count * loops
    assert played(reel)[0] == frames * loops


def test_many_frames_are_those_of_the_file() -> None:
    frames = various(5000)
    assert played(recorded(frames), at_once=4096)[0] == frames


def test_short_and_cut_frames_are_filled_up_with_zeros() -> None:
    frames = [b"a" * 14, b"b" * 59, b"c" * 100]
    reel = recorded(frames, length=np.array([14, 59, 200]))
    assert played(reel)[0] == [
        frames[0].ljust(60, b"\0"),
        frames[1] + b"\0",
        frames[2] + bytes(100),
    ]


def test_a_loop_follows_one_mean_gap_after_the_last_frame() -> None:
    due = np.array([0, 100, 400])
    reel = recorded(various(3), loops=3, due=due)
    assert reel.period == 600
    assert played(reel)[1] == [0, 100, 400, 600, 700, 1000, 1200, 1300, 1600]
    assert reel.span == 1600
    assert period_of(np.array([5])) == 0
    assert recorded(various(3)).span is None


def test_frames_are_due_in_the_spacing_that_they_were_captured_in() -> None:
    times = np.array([10, 17, 17, 1_000_000_017], np.int64) + 1_700_000_000_000_000_000
    assert due_times(times).tolist() == [0, 7, 7, 1_000_000_007]
    assert due_times(times, speed=2).tolist() == [0, 4, 4, 500_000_004]
    assert due_times(times, speed=0.5).tolist() == [0, 14, 14, 2_000_000_014]


def test_an_odd_speed_does_not_drift() -> None:
    times = np.arange(1_000_001, dtype=np.int64) * 1000
    assert due_times(times, speed=3)[-1] == round(1_000_000_000 / 3)


def test_a_time_that_goes_back_is_at_once() -> None:
    assert due_times(np.array([100, 50, 60, 200])).tolist() == [0, 0, 10, 150]


def test_gaps_are_kept_within_bounds() -> None:
    times = np.array([0, 1, 2, 10_000, 10_001, 50_000], np.int64)
    assert due_times(times, longest_gap=100).tolist() == [0, 1, 2, 102, 103, 203]
    # What must wait is late only as long as it must.
    least = due_times(times, least_gap=50).tolist()
    assert least == [0, 50, 100, 10_000, 10_050, 50_000]


def test_times_that_cannot_be_are_refused_and_none_are_no_times() -> None:
    with pytest.raises(PlanError, match="their times in the file are wrong"):
        due_times(np.array([0, 2**62], np.int64))
    with pytest.raises(PlanError, match="speed of 0"):
        due_times(np.array([0, 1]), speed=0)
    assert due_times(np.array([-(2**63), 2**63 - 1], np.int64)).tolist() == [0, 0]
    assert due_times(np.empty(0, np.int64)).tolist() == []


def test_a_reel_without_frames_or_loops_is_refused() -> None:
    with pytest.raises(PlanError, match="no frame to send"):
        recorded([])
    with pytest.raises(PlanError, match="0 loops"):
        recorded(various(1), loops=0)
    with pytest.raises(PlanError, match="no bench lasts that"):
        recorded(various(2), loops=1 << 40, due=np.array([0, 10**9]))


def test_a_frame_beyond_the_mtu_is_told_by_its_number() -> None:
    frames = [bytes(12) + b"\x08\x00" + bytes(size) for size in (100, 1500, 1501)]
    with pytest.raises(LinkError, match=r"eth9: frame 3, of 1515 bytes, .* 1500 allows 1514"):
        recorded(frames).open(Limits("eth9", 1500))
    tagged = [bytes(12) + b"\x81\x00" + bytes(1504)]
    recorded(tagged).open(Limits("eth9", 1500))


IP_FRAME = bytes(Ether() / IP(dst="10.9.8.7") / UDP() / Raw(b"x"))


@pytest.mark.parametrize(
    "frame",
    [
        IP_FRAME,
        bytes(Ether() / Dot1Q() / Dot1Q() / IP(dst="10.9.8.7")),
        bytes(Ether() / ARP(pdst="10.9.8.7")),
    ],
)
def test_a_frame_for_the_management_network_is_told_by_its_number(frame: bytes) -> None:
    limits = Limits("eth9", 1500, (IPv4Network("10.9.0.0/16"),))
    elsewhere = bytes(Ether() / IP(dst="10.8.8.7"))
    with pytest.raises(PlanError, match=r"frame 2 .* management network 10\.9\.0\.0/16"):
        recorded([elsewhere, frame]).open(limits)
    recorded([elsewhere, b"\xff" * 60, IP_FRAME[:20]]).open(limits)
    block = np.zeros((2, 80), np.uint8)
    block[1, : len(frame)] = np.frombuffer(frame, np.uint8)
    with pytest.raises(PlanError, match="frame 2 is for"):
        played(ArrayReel(block), limits)


def rows(count: int, width: int = 64, first: int = 0) -> np.ndarray:
    made = np.zeros((count, width), np.uint8)
    made[:, 20:28].view(">u8")[:, 0] = np.arange(first, first + count)
    return made


def test_an_array_is_a_frame_in_each_row() -> None:
    block = rows(50)
    reel = ArrayReel(block)
    assert (reel.count, reel.longest, reel.alike) == (50, 64, True)
    for _ in range(2):
        assert played(reel)[0] == [row.tobytes() for row in block]


def test_lengths_say_how_much_of_a_row_is_the_frame() -> None:
    block, lengths = rows(50, 1514), np.arange(14, 1514, 30)
    reel = ArrayReel((block, lengths))
    assert not reel.alike
    cut = [row[:size].tobytes() for row, size in zip(block, lengths, strict=True)]
    expected = [frame.ljust(60, b"\0") for frame in cut]
    assert played(reel)[0] == expected


def test_blocks_of_an_iterator_follow_each_other_once() -> None:
    reel = ArrayReel(rows(count, first=count) for count in (5, 0, 30, 1))
    assert reel.count is None
    frames = played(reel)[0]
    assert [int.from_bytes(frame[20:28], "big") for frame in frames] == [
        *range(5, 10),
        *range(30, 60),
        1,
    ]
    with pytest.raises(PlanError, match="only once"):
        reel.open(ROOMY)
    again = ArrayReel([rows(2), rows(3)])
    assert len(played(again)[0]) == len(played(again)[0]) == 5


def test_rows_shorter_than_a_frame_are_filled_up() -> None:
    assert played(ArrayReel(rows(3, 30)))[0] == [row.tobytes() + bytes(30) for row in rows(3, 30)]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (np.zeros((2, 60)), r"uint8\), a frame in each row, got float64 of 2"),
        (np.zeros(60, np.uint8), "uint8 of 1 dimensions"),
        ([b"bytes"], "got bytes"),
        (np.zeros((2, 10), np.uint8), "10 bytes are too short"),
        ((rows(2), [60]), "a length for each of its 2"),
        ((rows(2), [60, 65]), r"block 1, frame 2: a length of 65, expected 14 to 64"),
        ((rows(2), [60.0, 60.0]), "a length for each"),
        (iter([]), "no frame to send"),
        (rows(0), "no frame to send"),
        ([rows(1), rows(1, 70)], "block 2 has rows of 70 bytes, the first one of 64"),
        ([rows(1), rows(1, 60)], "block 2 has rows of 60"),
        ([rows(1), (rows(1), [60])], "block 2: lengths are given with all blocks, or with none"),
        ([rows(1), (rows(1), [99])], "block 2, frame 1: a length of 99"),
    ],
)
def test_what_is_no_array_of_frames_is_told(what, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        played(ArrayReel(what))


def test_a_long_frame_of_an_array_is_told_by_its_number() -> None:
    reel = ArrayReel([rows(10, 1600), rows(10, 1600)])
    with pytest.raises(LinkError, match="frame 1, of 1600 bytes"):
        played(reel)
    lengths = np.full(10, 60)
    lengths[4] = 1515
    with pytest.raises(LinkError, match="frame 15, of 1515 bytes"):
        played(
            ArrayReel([(rows(10, 1600), lengths - (lengths == 1515)), (rows(10, 1600), lengths)])
        )


def test_an_error_says_whose_fault_it_is() -> None:
    ours, theirs = LinkError("down"), ZeroDivisionError("oops")
    assert blamed(ours) is ours
    assert isinstance(blamed(theirs), PlanError)
    assert blamed(theirs).__cause__ is theirs
