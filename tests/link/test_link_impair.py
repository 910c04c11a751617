from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import PlanError
from testbed.link import (
    Chance,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    GilbertElliott,
    Hold,
    Modify,
    MtuHole,
    Nth,
    Pipeline,
    RateLimit,
    Reorder,
    Stage,
    any_frame,
)
from testbed.timing import Instant, microseconds, milliseconds, seconds

HEAD = bytes.fromhex("020000000002 020000000001 88b5")
NOW = Instant(0)


def frame(n, size=60):
    return HEAD + n.to_bytes(4, "big") + bytes(size - 18)


def numbers(frames):
    return [int.from_bytes(f[14:18], "big") for f in frames]


def run(stage, frames, gap=1_000_000, start=0):
    """Push the frames ``gap`` apart, each deadline met on time, as by a box: (time, frame)."""
    out = []
    now = start
    for one in frames:
        out += _until(stage, now)
        out += [(now, f) for f in stage.push(one, Instant(now))]
        now += gap
    return out + _until(stage, now + 10**15)


def _until(stage, end):
    out = []
    while (at := stage.next_deadline()) is not None and at <= end:
        out += [(at, f) for f in stage.due(at)]
    return out


def order(stage, count=10, **how):
    return numbers(f for _, f in run(stage, [frame(n) for n in range(1, count + 1)], **how))


# ---------------------------------------------------------------- which frames


def test_nth_counts_from_one_and_only_what_matches():
    odd = lambda f: numbers([f])[0] % 2 == 1  # noqa: E731 - a predicate in one line
    assert order(Drop(Nth(3))) == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert order(Drop(Nth(1, 3, matching=odd))) == [2, 3, 4, 6, 7, 8, 9, 10]
    for wrong in ((), (0,), (2, -1)):
        with pytest.raises(PlanError, match="counts from 1"):
            Nth(*wrong)


def test_a_plain_predicate_selects_every_match():
    assert order(Drop(lambda f: numbers([f])[0] < 9)) == [9, 10]
    assert order(Drop()) == []


def test_chance_is_as_likely_as_it_says_and_repeats_with_its_seed():
    first, second, other = Chance(0.2, 5), Chance(0.2, 5), Chance(0.2, 6)
    luck = [first(b"") for _ in range(5000)]
    assert luck == [second(b"") for _ in range(5000)]
    assert luck != [other(b"") for _ in range(5000)]
    assert 0.18 < sum(luck) / 5000 < 0.22
    assert not any(Chance(0.0, 1)(b"") for _ in range(100))
    with pytest.raises(PlanError, match=r"probability from 0 to 1, got 1\.5"):
        Chance(1.5, 1)


def test_chance_takes_no_luck_from_frames_that_do_not_match():
    plain, picky = Chance(0.5, 9), Chance(0.5, 9, matching=lambda f: f != b"no")
    mixed = [picky(f) for f in [b"yes", b"no"] * 200]
    assert mixed[::2] == [plain(b"yes") for _ in range(200)]
    assert not any(mixed[1::2])


def test_gilbert_elliott_loses_in_bursts_and_its_share_in_the_long_run():
    channel = GilbertElliott(to_bad=0.01, to_good=0.1, seed=3)
    luck = [channel(b"") for _ in range(40_000)]
    assert abs(sum(luck) / len(luck) - 0.01 / 0.11) < 0.015
    bursts = sum(1 for a, b in pairwise(luck) if b and not a)
    assert 8 < sum(luck) / bursts < 12  # mean length 1 / to_good


# ---------------------------------------------------------------- one stage each


def test_drop_says_what_it_dropped():
    stage = Drop(Nth(2))
    run(stage, [frame(n) for n in (1, 2, 3)])
    (event,) = stage.log.events
    assert (event.at, event.action, event.frame) == (1_000_000, "drop", frame(2))
    assert event.note == "number 2 of those that match"
    assert stage.log.counts == Counter(drop=1)


def test_delay_is_exact():
    out = run(Delay(milliseconds(5)), [frame(1), frame(2)], gap=microseconds(10))
    assert [(at, *numbers([f])) for at, f in out] == [(5_000_000, 1), (5_010_000, 2)]


def test_no_delay_is_none():
    assert list(Delay(milliseconds(0)).push(frame(1), NOW)) == [frame(1)]


def test_jitter_reorders_unless_told_not_to():
    loose = order(Delay(milliseconds(1), milliseconds(9), seed=1), 50)
    assert loose != sorted(loose)
    assert sorted(loose) == list(range(1, 51))
    kept = order(Delay(milliseconds(1), milliseconds(9), seed=1, keep_order=True), 50)
    assert kept == sorted(kept)


def test_reorder_puts_a_frame_behind_others():
    assert order(Reorder(Nth(2))) == [1, 3, 2, 4, 5, 6, 7, 8, 9, 10]
    assert order(Reorder(Nth(2, 5), behind=2)) == [1, 3, 4, 2, 6, 7, 5, 8, 9, 10]
    assert order(Reorder(Nth(2, 3), behind=1)) == [1, 4, 2, 3, 5, 6, 7, 8, 9, 10]


def test_reorder_can_count_some_frames_only_as_overtaking():
    even = lambda f: numbers([f])[0] % 2 == 0  # noqa: E731 - a predicate in one line
    assert order(Reorder(Nth(1), behind=2, overtaken_by=even), 5) == [2, 3, 4, 1, 5]


def test_the_last_frame_is_late_and_not_lost():
    stage = Reorder(Nth(3), max_hold=milliseconds(7))
    out = run(stage, [frame(n) for n in (1, 2, 3)])
    assert [(at, *numbers([f])) for at, f in out] == [(0, 1), (1_000_000, 2), (9_000_000, 3)]
    assert [event.action for event in stage.log.events] == ["hold", "release"]


def test_equal_frames_are_held_apart():
    stage = Reorder(any_frame, behind=1, max_hold=milliseconds(5))
    assert list(stage.push(frame(1), NOW)) == []
    assert list(stage.push(frame(1), NOW)) == []
    assert numbers(stage.flush(NOW)) == [1, 1]


def test_duplicate():
    assert order(Duplicate(Nth(2)), 3) == [1, 2, 2, 3]
    assert order(Duplicate(Nth(1), copies=3), 2) == [1, 1, 1, 1, 2]
    with pytest.raises(PlanError):
        Duplicate(copies=0)


def test_corrupt_flips_the_bit_that_is_named():
    stage = Corrupt(bit=8 * 14 + 1)
    (out,) = stage.push(frame(0), NOW)
    assert out == HEAD + b"\x40" + frame(0)[15:]
    (short,) = stage.push(HEAD, NOW)
    assert short == HEAD  # has no such bit, and the log claims none
    assert stage.log.counts["corrupt"] == 1


@given(seed=st.integers(0, 2**32), size=st.integers(18, 1514))
def test_corrupt_flips_one_bit_behind_the_header(seed, size):
    (out,) = Corrupt(seed=seed).push(frame(7, size), NOW)
    differing = [a ^ b for a, b in zip(out, frame(7, size), strict=True)]
    assert sum(bits.bit_count() for bits in differing) == 1
    assert not any(differing[:14])


def test_mtu_hole_counts_what_an_mtu_counts():
    hole = MtuHole(1400)
    tagged = HEAD[:12] + bytes.fromhex("81000001") + b"\x88\xb5"
    fits = [HEAD + bytes(1400), tagged + bytes(1400)]
    swallowed = [HEAD + bytes(1401), tagged + bytes(1401)]
    assert [f for _, f in run(hole, fits + swallowed)] == fits
    assert [event.note for event in hole.log.events] == ["1401 bytes in an MTU of 1400"] * 2


def test_hold_loses_until_released():
    cable = Hold()
    assert list(cable.push(frame(1), NOW)) == []
    cable.release()
    assert cable.next_deadline() is None
    assert list(cable.push(frame(2), NOW)) == [frame(2)]
    cable.hold()
    assert list(cable.push(frame(3), NOW)) == []
    assert [event.action for event in cable.log.events] == ["drop", "drop"]


def test_hold_can_keep_them_for_the_release():
    cable = Hold("queue")
    for n in (1, 2):
        assert list(cable.push(frame(n), NOW)) == []
    assert cable.next_deadline() is None
    cable.release()
    assert cable.next_deadline() <= NOW
    assert numbers(cable.push(frame(3), NOW)) == [1, 2, 3]


def test_modify():
    stage = Modify(lambda f: f[:14] + b"\0\0\0\x63" + f[18:], Nth(2), what="99 for the number")
    assert order(stage, 3) == [1, 99, 3]
    assert stage.log.events[0].note == "99 for the number, number 2 of those that match"


def test_rate_limit_spaces_frames_as_a_wire_does():
    link = RateLimit(10_000_000)  # 84 bytes with preamble, FCS and gap: 67.2 us at 10 Mbit/s
    out = run(link, [frame(n) for n in range(3)], gap=0)
    assert [at for at, _ in out] == [67_200, 134_400, 201_600]


def test_rate_limit_drops_what_finds_the_queue_full():
    link = RateLimit(10_000_000, queue=2)
    assert order(link, 5, gap=0) == [1, 2]
    assert link.log.counts["drop"] == 3


# ---------------------------------------------------------------- composed


def test_stages_apply_in_order():
    assert order(Pipeline(Duplicate(Nth(1)), Drop(Nth(2))), 3) == [1, 2, 3]
    assert order(Pipeline(Drop(Nth(2)), Duplicate(Nth(2))), 3) == [1, 3, 3]
    assert order(Pipeline()) == list(range(1, 11))


def test_deadlines_of_all_stages_are_met():
    line = Pipeline(Delay(milliseconds(3)), Delay(milliseconds(4)))
    out = run(line, [frame(1), frame(2)], gap=milliseconds(1))
    assert [(at, *numbers([f])) for at, f in out] == [(7_000_000, 1), (8_000_000, 2)]


def test_a_stage_taken_out_gives_its_frames_back():
    first, second = Delay(seconds(1)), Duplicate()
    line = Pipeline(first, second)
    line.push(frame(1), NOW)
    assert numbers(line.remove(first, NOW)) == [1, 1]
    assert line.stages == (second,)
    with pytest.raises(PlanError, match="Delay is not in this box"):
        line.remove(first, NOW)


def test_a_stage_serves_one_place_only():
    stage = Drop()
    line = Pipeline(stage)
    with pytest.raises(PlanError, match="Drop is in a box already"):
        Pipeline(stage)
    line.remove(stage, NOW)
    Pipeline(stage)


def test_events_reach_the_one_who_attached():
    heard, changes = [], []
    held = Hold("queue")
    line = Pipeline(Pipeline(held))
    line.attach(heard.append, lambda: changes.append(1))
    line.push(frame(1), NOW)
    held.release()
    assert [event.action for event in heard] == ["hold"]
    assert changes == [1]
    assert line.next_deadline() is not None


def test_a_stage_of_ones_own():
    class EveryOther(Stage):
        def __init__(self):
            super().__init__()
            self._seen = 0

        def push(self, frame, now):
            self._seen += 1
            if self._seen % 2:
                return (frame,)
            self.log.add(now, "drop", frame, "every other")
            return ()

    assert order(Pipeline(EveryOther())) == [1, 3, 5, 7, 9]
    assert order(Pipeline(Stage())) == list(range(1, 11))


probability = st.floats(0, 1)
seed = st.integers(0, 1000)
chances = st.builds(Chance, probability, seed)
channels = st.builds(GilbertElliott, probability, probability, seed)
selectors = st.one_of(chances, channels, st.builds(Nth, st.integers(1, 20)))
spans = st.integers(0, 5_000_000)
stages = st.one_of(
    st.builds(Drop, selectors),
    st.builds(Duplicate, selectors, st.integers(1, 3)),
    st.builds(Delay, spans, spans, seed=seed),
    st.builds(Reorder, selectors, st.integers(1, 4), max_hold=st.integers(1, 5_000_000)),
    st.builds(MtuHole, st.integers(40, 100)),
    st.builds(RateLimit, st.integers(10_000, 10_000_000), st.integers(1, 10)),
)
sizes = st.lists(st.integers(18, 120), max_size=40)
gaps = st.integers(0, 3_000_000)


def log_of(stage):
    return [(e.at, e.action, e.frame, e.note) for e in stage.log.events]


@given(lines=st.lists(stages, max_size=4), sizes=sizes, gap=gaps)
def test_no_frame_is_lost_or_invented_unless_a_stage_says_so(lines, sizes, gap):
    frames = [frame(n, size) for n, size in enumerate(sizes)]
    out = Counter(f for _, f in run(Pipeline(*lines), frames, gap))
    expected = Counter(frames)
    for stage in lines:
        for event in stage.log.events:
            expected[event.frame] += {"duplicate": 1, "drop": -1}.get(event.action, 0)
    assert out == +expected


@given(data=st.data(), sizes=sizes, gap=gaps)
def test_same_seeds_same_output(data, sizes, gap):
    kind = st.tuples(st.integers(0, 5), probability, seed)
    recipe = data.draw(st.lists(kind, max_size=4))
    frames = [frame(n, size) for n, size in enumerate(sizes)]

    def build():
        makers = (
            lambda p, s: Drop(Chance(p, s)),
            lambda p, s: Drop(GilbertElliott(p, 0.5, s)),
            lambda p, s: Duplicate(Chance(p, s)),
            lambda p, s: Corrupt(Chance(p, s), seed=s),
            lambda p, s: Delay(milliseconds(1), milliseconds(p), seed=s),
            lambda p, s: Reorder(Chance(p, s)),
        )
        return [makers[n](p, s) for n, p, s in recipe]

    first, second = build(), build()
    assert run(Pipeline(*first), frames, gap) == run(Pipeline(*second), frames, gap)
    assert [log_of(s) for s in first] == [log_of(s) for s in second]


@given(delays=st.lists(spans, min_size=1, max_size=4), sizes=sizes, gap=gaps, late=st.booleans())
def test_delay_without_jitter_keeps_the_order(delays, sizes, gap, late):
    line = Pipeline(*(Delay(span) for span in delays))
    frames = [frame(n, size) for n, size in enumerate(sizes)]
    if late:  # nobody looked at the deadlines in between
        out = [f for n, one in enumerate(frames) for f in line.push(one, Instant(n * gap))]
        out += line.flush(Instant(len(frames) * gap))
    else:
        out = [f for _, f in run(line, frames, gap)]
    assert out == frames


@given(lines=st.lists(stages, max_size=4), sizes=sizes, gap=gaps)
def test_flush_leaves_nothing_behind(lines, sizes, gap):
    line = Pipeline(*lines)
    now = 0
    for n, size in enumerate(sizes):
        line.push(frame(n, size), Instant(now))
        now += gap
    line.flush(Instant(now))
    assert line.next_deadline() is None
    assert list(line.due(Instant(now + 10**12))) == []
