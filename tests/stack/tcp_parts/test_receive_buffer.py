"""The receive buffer against a plain bytearray, and the examples that RFC 2018 and 2883 print."""

from hypothesis import given
from hypothesis import strategies as st

from testbed.stack.tcp.receivebuffer import ReceiveBuffer

SIZE = 500


def buffer(start=5000):
    return ReceiveBuffer(start, 1 << 20, 4096)


def put(receive, seq):
    """One of the 500-byte segments of the RFCs' examples."""
    return receive.insert(seq, bytes(SIZE))


def test_rfc_2018_case_1_the_first_four_arrive():
    receive = buffer()
    for seq in range(5000, 7000, SIZE):
        put(receive, seq)
        assert receive.sack_blocks(4) == ()
    assert receive.next == 7000


def test_rfc_2018_case_2_the_first_is_lost_and_seven_come():
    receive = buffer()
    for seq in range(5500, 9000, SIZE):
        put(receive, seq)
        assert receive.next == 5000
        assert receive.sack_blocks(4) == ((5500, seq + SIZE),)


def test_rfc_2018_case_3_every_second_is_lost_and_one_comes_late():
    receive = buffer()
    put(receive, 5000)
    put(receive, 6000)
    assert receive.sack_blocks(4) == ((6000, 6500),)
    put(receive, 7000)
    assert receive.sack_blocks(4) == ((7000, 7500), (6000, 6500))
    put(receive, 8000)
    assert receive.sack_blocks(4) == ((8000, 8500), (7000, 7500), (6000, 6500))
    # "Suppose at this point, the 4th packet is received out of order."
    put(receive, 6500)
    assert receive.next == 5500
    assert receive.sack_blocks(4) == ((6000, 7500), (8000, 8500))
    # "Suppose at this point, the 2nd segment is received."
    put(receive, 5500)
    assert receive.next == 7500
    assert receive.sack_blocks(4) == ((8000, 8500),)


def test_rfc_2883_4_1_1_a_duplicate_below_the_acknowledgement():
    receive = buffer(3000)
    put(receive, 3000)
    put(receive, 3500)
    told = put(receive, 3000)
    assert told.duplicate == (3000, 3500)
    assert receive.sack_blocks(3, told.duplicate) == ((3000, 3500),)


def test_rfc_2883_4_1_3_a_duplicate_of_what_is_out_of_order():
    receive = buffer(4000)
    put(receive, 4500)
    put(receive, 5000)
    told = put(receive, 5000)
    assert told.duplicate == (5000, 5500)
    assert receive.sack_blocks(3, told.duplicate) == ((5000, 5500), (4500, 5500))


def test_rfc_2883_4_2_1_partly_duplicate_below_the_acknowledgement():
    receive = buffer(500)
    put(receive, 500)
    told = receive.insert(500, bytes(1000))
    assert told.duplicate == (500, 1000)
    assert receive.next == 1500


def test_rfc_2883_4_2_3_partly_duplicate_out_of_order():
    receive = buffer(500)
    put(receive, 1500)
    put(receive, 2000)
    told = receive.insert(1000, bytes(1000))
    assert told.duplicate == (1500, 2000)
    assert receive.sack_blocks(3, told.duplicate) == ((1500, 2000), (1000, 2500))


def test_an_old_and_a_later_segment_that_filled_no_gap_are_told_apart_from_one_that_did():
    receive = buffer(0)
    assert not put(receive, 0).filled
    put(receive, 1000)
    assert put(receive, 500).filled
    assert not put(receive, 1500).filled


def test_stretches_beyond_the_limit_are_dropped_and_joined_ones_make_room():
    receive = ReceiveBuffer(0, 1 << 20, 2)
    assert receive.insert(10, b"a").kept
    assert receive.insert(20, b"b").kept
    assert not receive.insert(30, b"c").kept
    assert receive.insert(11, bytes(9)).kept
    assert receive.insert(30, b"c").kept
    assert receive.sack_blocks(9) == ((30, 31), (10, 21))


def test_what_came_first_stays_where_a_later_segment_says_other():
    receive = buffer(0)
    receive.insert(2, b"CC")
    receive.insert(0, b"aabbcc")
    assert receive.read(99) == b"aaCCcc"


def test_peeking_takes_nothing():
    receive = buffer(0)
    receive.insert(0, b"abc")
    assert receive.read(2, peek=True) == b"ab"
    assert receive.read(2) == b"ab"
    assert receive.read(2) == b"c"
    assert receive.read(2) == b""


def test_room_is_what_is_not_yet_read():
    receive = ReceiveBuffer(0, 100, 10)
    receive.insert(0, bytes(30))
    receive.insert(50, bytes(10))
    assert (receive.room, receive.out_of_order_bytes, receive.unread) == (70, 10, 30)
    receive.read(10)
    assert receive.room == 80


def runs(known, start):
    """What a naive receiver's table of known bytes says: stretches above ``start``."""
    out = []
    for seq in sorted(known):
        if seq < start:
            continue
        if out and out[-1][1] == seq:
            out[-1] = (out[-1][0], seq + 1)
        else:
            out.append((seq, seq + 1))
    return out


steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 60), st.integers(0, 25)),
        st.tuples(st.just(-1), st.integers(0, 40)),
    ),
    max_size=40,
)


@given(steps)
def test_it_agrees_with_a_table_of_bytes(steps):
    receive, known, done, taken = ReceiveBuffer(0, 1 << 20, 100), {}, 0, 0
    for number, (seq, size) in enumerate(steps):
        if seq < 0:
            given_ = receive.read(size)
            assert given_ == bytes(known[n] for n in range(taken, min(done, taken + size)))
            taken += len(given_)
            continue
        data = bytes([number]) * size
        before = set(known)
        told = receive.insert(seq, data)
        for offset, value in enumerate(data):
            known.setdefault(seq + offset, value)
        advance = 0
        while done + advance in known:
            advance += 1
        done += advance
        twice = [n for n in range(seq, seq + size) if n in before]
        assert told.kept
        assert told.advance == advance
        assert (told.duplicate is None) == (not twice)
        if twice:
            first, last = told.duplicate
            assert set(range(first, last)) <= before
            assert first == twice[0]
        assert receive.next == done
        assert receive.unread == done - taken
        blocks = receive.sack_blocks(1000)
        assert sorted(blocks) == runs(known, done)
        assert receive.out_of_order_bytes == sum(b - a for a, b in blocks)
        if size and seq > done and blocks:
            assert blocks[0][0] <= seq < blocks[0][1]
    assert receive.read(10_000) == bytes(known[n] for n in range(taken, done))


@given(st.permutations(range(12)), st.integers(1, 4))
def test_blocks_are_told_the_latest_changed_first(order, limit):
    receive, recent = ReceiveBuffer(0, 1 << 20, 100), []
    for number in order:
        if number == 0:
            continue
        receive.insert(2 * number, b"x")  # never next to one another
        recent.insert(0, (2 * number, 2 * number + 1))
        assert receive.sack_blocks(limit) == tuple(recent[:limit])
