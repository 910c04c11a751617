"""The scoreboard, and RFC 6675's IsLost and SetPipe, against a table with a row per byte."""

from hypothesis import given
from hypothesis import strategies as st

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery.sackloss import SackLoss
from testbed.stack.tcp.recovery.scoreboard import Scoreboard
from testbed.timing import Instant

SMSS = 4


def check(board):
    """Running totals against sums, and the order by time against the segments."""
    live = [s for s in board.segments if not s.sacked]
    assert board.sacked == sum(s.end - s.seq for s in board.segments if s.sacked)
    assert board.sacked_segments == sum(s.sacked for s in board.segments)
    assert board.lost == sum(s.end - s.seq for s in live if s.lost)
    assert board.copies == sum(s.end - s.seq for s in live if s.copy)
    assert board.pipe >= 0
    edges = [board.una]
    for segment in board.segments:
        assert segment.seq == edges[-1] < segment.end
        edges.append(segment.end)
    assert edges[-1] == board.high
    order = list(board.by_time)
    assert set(order) == {s for s in live if not s.missing}
    assert [s.order for s in order] == sorted(s.order for s in order)
    missing = [s for s in board.segments if s.missing]
    assert board.first_missing() is (missing[0] if missing else None)


part = st.floats(0, 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 9), part),
        st.tuples(st.sampled_from(["ack", "forget", "unmark"]), part, part),
        st.tuples(st.sampled_from(["sack", "lost", "resend"]), part, part),
    ),
    max_size=40,
)


@given(steps)
def test_its_totals_are_the_sums_of_its_segments(steps):
    board = Scoreboard(100)
    for now, (what, one, two) in enumerate(steps):
        low, high = sorted(board.una + int(p * (board.high - board.una)) for p in (one % 1, two))
        if what == "push":
            board.push(board.high + one, Instant(now))
        elif what == "ack":
            gone = board.acknowledge(low)
            assert all(s.end <= low for s in gone)
        elif what == "sack":
            news = board.sack(((low, high), (high + 3, high + 5)))
            assert all(s.sacked for s in news)
        elif what == "lost":
            board.mark_lost([s for s in board.segments if low <= s.seq < high], Reason.RACK)
        elif what == "resend":
            board.resend(low, high, Instant(now))
        elif what == "forget":
            board.forget_sacked()
        else:
            board.unmark_lost()
        check(board)


def is_lost(sacked, seq, high):
    """RFC 6675 4 IsLost, read byte by byte."""
    above = [n for n in range(seq + 1, high) if n in sacked]
    stretches = sum(n - 1 not in sacked or n - 1 == seq for n in above)
    return stretches >= 3 or len(above) > 2 * SMSS


def set_pipe(sacked, una, high, high_rxt):
    """RFC 6675 4 SetPipe, read byte by byte."""
    pipe = 0
    for seq in range(una, high):
        if seq in sacked:
            continue
        pipe += not is_lost(sacked, seq, high)
        pipe += seq < high_rxt
    return pipe


arrivals = st.permutations(range(12)).flatmap(
    lambda order: st.tuples(st.just(order), st.integers(1, 11), st.integers(0, 3))
)


@given(arrivals)
def test_losses_and_pipe_are_those_of_rfc_6675(arrivals):
    """Some of twelve segments arrive, in any order; after each, some losses are sent again."""
    order, count, resends = arrivals
    board, judge = Scoreboard(0), SackLoss(0, 3)
    high_rxt = 0
    for number in range(12):
        board.push((number + 1) * SMSS, Instant(number))
    received, sacked = set(), set()
    for number in order[:count]:
        received.add(number)
        una = 0
        while una in received:
            una += 1
        board.acknowledge(una * SMSS)
        board.sack([(n * SMSS, (n + 1) * SMSS) for n in sorted(received) if n > una])
        sacked = {b for n in received if n > una for b in range(n * SMSS, (n + 1) * SMSS)}
        board.mark_lost(judge.lost(board, SMSS), Reason.FAST)
        high = 12 * SMSS
        lost = {b for b in range(una * SMSS, high) if b not in sacked and is_lost(sacked, b, high)}
        assert lost == {
            b for s in board.segments if s.lost and not s.sacked for b in range(s.seq, s.end)
        }
        for _ in range(resends):
            segment = board.first_missing()
            if segment is not None:
                high_rxt = segment.end
                board.resend(segment.seq, segment.end, Instant(100))
        assert board.pipe == set_pipe(sacked, una * SMSS, high, max(high_rxt, una * SMSS))


def test_a_peer_that_reports_single_bytes_cannot_make_it_grow_for_ever():
    board = Scoreboard(0)
    for number in range(100):
        board.push((number + 1) * 1000, Instant(0))
    for seq in range(1, 99_999, 2):
        board.sack(((seq, seq + 1),))
    assert len(board.segments) < 17_000


def test_a_growing_block_is_not_gone_through_again():
    board = Scoreboard(0)
    for number in range(1000):
        board.push((number + 1) * 1000, Instant(0))
    for number in range(2, 1000):
        assert len(board.sack(((1000, number * 1000),))) == 1
    assert len(board.segments) == 1000
