"""Loss recovery with SACK: RFC 6675, then RFC 8985, to the segment."""

from __future__ import annotations

from conformance import opened, rfc
from script import Script

from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.snapshot import TcpSnapshot


def conn(s: Script) -> Connection:
    return s.stack.tcp.connections[0]


def seen(s: Script) -> TcpSnapshot:
    return conn(s).snapshot()


def numbers(first: int, last: int | None = None) -> tuple[int, int]:
    """The edges of segments ``first`` to ``last``, counted from 1."""
    return 1 + 1000 * (first - 1), 1 + 1000 * (last or first)


def sends(s: Script, *segments: int, push: int = 0, after: float = 0) -> None:
    """Exactly these segments of 1000 bytes go out now."""
    for number in segments:
        start, end = numbers(number)
        s.out(f"{'P.' if number == push else '.'} {start}:{end}(1000) ack 1", after=after)
        after = 0
    s.quiet()


def acks(s: Script, number: int, *blocks: tuple[int, int], after: float = 0) -> None:
    """All up to segment ``number`` is acknowledged, and the ``blocks`` of segments reported."""
    edges = " ".join("{}:{}".format(*numbers(*block)) for block in blocks)
    options = f" <sack {edges}>" if blocks else ""
    s.into(f". 1:1(0) ack {1 + 1000 * number} win 65535{options}", after=after)


def writing(segments: int, **tcp: object) -> Script:
    """RFC 6675 alone."""
    s = opened(rfc(sack=True, **{"rack": False, "tlp": False} | tcp), "mss 1000,sackOK")
    s.socket.send(bytes(1000 * segments))
    return s


def racing(segments: int, **tcp: object) -> Script:
    """With RACK-TLP, as it is by default."""
    return writing(segments, **{"rack": True, "tlp": True} | tcp)


ALL = tuple(range(1, 11))


# RFC 6675


def test_one_loss_of_ten_with_limited_transmit():
    s = writing(30)
    sends(s, *ALL)
    acks(s, 0, (2, 2), after=0.1)
    sends(s, 11)  # 3.3: cwnd - pipe is 1
    acks(s, 0, (2, 3))
    sends(s, 12)
    acks(s, 0, (2, 4))
    sends(s, 1)
    assert (seen(s).ssthresh, seen(s).cwnd) == (5000, 5000)
    assert seen(s).pipe == 9000
    for last in (5, 6, 7, 8):
        acks(s, 0, (2, last))
        s.quiet()
    acks(s, 0, (2, 9))
    sends(s, 13)
    acks(s, 0, (2, 10))
    sends(s, 14)
    acks(s, 0, (2, 12))
    sends(s, 15, 16)
    acks(s, 12, after=0.1)  # recovery is over: cwnd 5
    sends(s, 17)


def test_enough_bytes_above_a_hole_make_it_lost_at_the_first_duplicate():
    """Section 5 (2): 'DupAcks is less than DupThresh but IsLost (HighACK + 1) returns true'."""
    s = writing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (2, 4), after=0.1)
    sends(s, 1)


def test_two_segments_above_a_hole_are_not_enough():
    s = writing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (2, 3), after=0.1)
    s.quiet(0.85)


def test_three_separate_blocks_are_enough():
    s = writing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (6, 6), (4, 4), (2, 2), after=0.1)
    sends(s, 1)
    acks(s, 0, (8, 8), (6, 6), (4, 4), (2, 2))
    s.quiet()  # pipe: 1 resent, 5, 7, 9, 10 and 3, which now is lost: 5 of 5
    acks(s, 0, (8, 10), (6, 6), (4, 4), (2, 2))
    sends(s, 3, 5, 7)  # more than two segments lie above 5 and 7, too


def test_exactly_four_of_ten_are_resent():
    """1, 3, 5 and 7 are lost."""
    s = writing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (2, 2), after=0.1)
    acks(s, 0, (4, 4), (2, 2))
    s.quiet()
    acks(s, 0, (6, 6), (4, 4), (2, 2))
    sends(s, 1)
    acks(s, 0, (8, 8), (6, 6), (4, 4), (2, 2))
    s.quiet()
    acks(s, 0, (8, 9), (6, 6), (4, 4), (2, 2))
    sends(s, 3, 5)
    acks(s, 0, (8, 10), (6, 6), (4, 4), (2, 2))
    sends(s, 7)
    acks(s, 2, (8, 10), (6, 6), (4, 4), after=0.1)
    s.quiet()
    acks(s, 10)
    s.quiet(10)


def test_rule_3_sends_what_is_not_lost_yet_below_the_highest_sack():
    """NextSeg rule 3: neither lost segments nor new data, and the window has room."""
    s = writing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (2, 6), after=0.1)  # 1 is lost
    sends(s, 1)
    acks(s, 0, (2, 6), (8, 8))  # 7 is not, by IsLost; pipe: 1, 7, 9, 10
    sends(s, 7)


def test_rule_4_rescues_a_lost_tail_once():
    s = writing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (3, 8), after=0.1)  # 1, 2, 9 and 10 are lost
    sends(s, 1, 2)
    acks(s, 1, (3, 8), after=0.1)
    s.quiet()  # HighACK is not greater than RescueRxt yet
    acks(s, 8, after=0.01)
    sends(s, 10, push=10)  # 'MUST include the highest outstanding unSACKed sequence number'
    acks(s, 8, (10, 10), after=0.1)
    sends(s, 9)  # rule 3
    acks(s, 10, after=0.1)
    s.quiet(5)


def test_a_timeout_forgets_what_was_sacked():
    """RFC 2018 8."""
    s = writing(4)
    sends(s, 1, 2, 3, 4, push=4)
    acks(s, 0, (2, 3), after=0.1)
    s.out(". 1:1001(1000) ack 1", after=0.9)
    acks(s, 1, after=0.1)  # the receiver has thrown them away
    sends(s, 2, 3)


def test_sacks_do_not_end_limited_transmit_nor_count_twice():
    s = writing(20)
    sends(s, *ALL)
    acks(s, 0, (2, 2), after=0.1)
    sends(s, 11)
    acks(s, 0, (2, 2))  # nothing new: no duplicate by RFC 6675 2
    acks(s, 0, (2, 2))
    acks(s, 0, (2, 2))
    s.quiet(0.5)


def test_a_loss_in_the_next_window_is_another_reduction():
    s = writing(40)
    sends(s, *ALL)
    acks(s, 0, (2, 4), after=0.1)
    sends(s, 1)
    acks(s, 0, (2, 10))
    assert seen(s).ssthresh == 5000
    sends(s, 11, 12, 13, 14)
    acks(s, 10, after=0.1)
    sends(s, 15)
    acks(s, 10, (12, 14), after=0.1)
    sends(s, 11)
    assert seen(s).ssthresh == 2500


def test_blocks_outside_what_is_outstanding_are_ignored():
    s = writing(5)
    sends(s, 1, 2, 3, 4, 5, push=5)
    acks(s, 0, (20, 30), after=0.1)
    acks(s, 0, (2, 30))
    s.quiet(0.5)
    assert seen(s).pipe == 5000


# RFC 8985: TLP


def test_a_lone_segment_is_probed_after_two_rtts_and_the_ack_delay():
    s = racing(1)
    sends(s, 1, push=1)
    sends(s, 1, push=1, after=0.4)
    sends(s, 1, push=1, after=1)  # 7.3: then the RTO, from the probe on


def test_several_segments_are_probed_after_two_rtts_by_the_last():
    s = racing(3)
    sends(s, 1, 2, 3, push=3)
    sends(s, 3, push=3, after=0.2)
    sends(s, 1, after=1)


def test_the_probe_is_new_data_where_there_is_some():
    s = racing(12)
    sends(s, *ALL)
    sends(s, 11, after=0.2)
    s.quiet(0.9)


def test_the_probe_respects_the_receive_window():
    s = racing(0)
    s.into(". 1:1(0) ack 1 win 3000")
    s.socket.send(bytes(5000))
    sends(s, 1, 2, 3)
    sends(s, 3, after=0.2)


def test_an_ack_restarts_the_probe_timer():
    s = racing(3)
    sends(s, 1, 2, 3, push=3)
    acks(s, 1, after=0.15)
    s.quiet(0.15)
    s.pass_time(0.2)
    assert len(s.sent) == 1


def test_a_probe_that_mends_the_only_loss_costs_a_reduction():
    """7.4: the ACK goes beyond TLP.end_seq."""
    s = racing(10)
    sends(s, *ALL, push=10)
    acks(s, 9, after=0.1)
    before = seen(s).cwnd
    sends(s, 10, push=10, after=0.4)
    s.socket.send(bytes(1000))
    s.out("P. 10001:11001(1000) ack 1", after=0)
    acks(s, 11, after=0.1)
    assert seen(s).cwnd < before


def test_a_probe_that_was_not_needed_costs_nothing():
    """7.4: a DSACK tells that both arrived."""
    s = racing(3)
    sends(s, 1, 2, 3, push=3)
    sends(s, 3, push=3, after=0.2)
    before = seen(s).cwnd
    acks(s, 3)
    s.into(". 1:1(0) ack 3001 win 65535 <sack 2001:3001>", after=0.05)
    assert seen(s).cwnd >= before


def test_a_lost_tail_is_repaired_without_timeout():
    """7: the probe's SACK lets RACK find 1 and 2 lost."""
    s = racing(3)
    sends(s, 1, 2, 3, push=3)
    sends(s, 3, push=3, after=0.2)
    acks(s, 0, (3, 3), after=0.1)
    sends(s, 1, 2)
    acks(s, 3, after=0.1)
    s.quiet(10)


def test_without_tlp_the_rto_repairs():
    s = racing(3, tlp=False)
    sends(s, 1, 2, 3, push=3)
    sends(s, 1, after=1)


# RFC 8985: RACK


def test_a_segment_is_lost_a_quarter_rtt_after_a_later_one_came():
    s = racing(3)
    sends(s, 1, 2, 3, push=3)
    acks(s, 0, (2, 2), after=0.1)
    s.quiet(0.0249)
    sends(s, 1, after=0.0001)


def test_reordering_within_that_time_resends_nothing():
    s = racing(3)
    sends(s, 1, 2, 3, push=3)
    acks(s, 0, (2, 2), after=0.1)
    acks(s, 2, after=0.02)
    acks(s, 3)
    s.quiet(10)


def test_three_sacked_segments_need_no_wait():
    s = racing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (2, 2), after=0.1)
    acks(s, 0, (2, 3))
    s.quiet()
    acks(s, 0, (2, 4))
    sends(s, 1)


def test_once_reordering_was_seen_three_are_not_enough():
    s = racing(30)
    sends(s, *ALL)
    acks(s, 0, (2, 2), after=0.1)
    s.sent.clear()
    acks(s, 2, after=0.01)
    s.sent.clear()
    acks(s, 2, (4, 7))
    s.sent.clear()
    retransmissions = seen(s).retransmission_count
    s.pass_time(0.0251)  # RACK.rtt, which is 110 ms now, and a quarter of the least RTT
    assert seen(s).retransmission_count == retransmissions + 1


def test_a_lost_retransmission_is_found():
    s = racing(30)
    sends(s, *ALL)
    acks(s, 0, (2, 4), after=0.1)
    sends(s, 1)
    acks(s, 0, (2, 10))
    sends(s, 11, 12, 13, 14)
    acks(s, 0, (2, 11), after=0.1)  # 11 was sent after 1 was resent
    assert seen(s).ssthresh == 2500  # RFC 5681 4.3: cwnd 'MUST be lowered twice'
    s.quiet()  # 12 to 14 are on their way
    acks(s, 0, (2, 12))
    s.quiet()
    acks(s, 0, (2, 13))
    sends(s, 1)


def test_new_data_of_the_same_instant_as_a_delivered_retransmission_is_not_lost():
    """6.2: RACK_sent_after() goes by the numbers where the times are alike."""
    s = racing(30)
    sends(s, *ALL)
    acks(s, 0, (2, 2), after=0.1)
    sends(s, 11)
    acks(s, 0, (2, 3))
    sends(s, 12)
    acks(s, 0, (2, 4))
    sends(s, 1)
    acks(s, 0, (2, 10))
    sends(s, 13, 14)
    acks(s, 10, after=0.1)  # says nothing of 11 and 12, sent as 1 was resent
    sends(s, 15)


def test_sacked_data_that_the_receiver_threw_away_is_resent_in_the_end():
    """RFC 2018 8: reneging."""
    s = racing(10)
    sends(s, *ALL, push=10)
    acks(s, 0, (2, 10), after=0.1)
    sends(s, 1)
    acks(s, 1, after=0.1)  # and no block any more
    sends(s, 2, after=1)
    acks(s, 2, after=0.1)
    sends(s, 3, 4)
    acks(s, 10)
    s.sent.clear()
    s.quiet(10)
