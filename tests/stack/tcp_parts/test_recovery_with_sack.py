"""Loss recovery with SACK: by RFC 6675 where RACK is off, by RFC 8985 where it is on."""

import pytest
from recovery_rig import RTT, SMSS, Rig

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import Fired
from testbed.stack.tcp.recovery.events import RecoveryEntered, RecoveryLeft
from testbed.timing import milliseconds, seconds

both = pytest.mark.parametrize("rack", [True, False], ids=["rack", "rfc6675"])


def by_count(**config):
    return Rig(rack=False, tlp=False, frto=False, **config)


@both
def test_of_ten_segments_exactly_the_four_lost_are_sent_again(rack):
    lost = {1, 3, 4, 7}
    sender = Rig(rack=rack, unsent=10)
    sender.send()
    sender.at(100)
    received, resent = set(), []
    for number in set(range(10)) - lost:
        received.add(number)
        sender.ack(*report(received))
        resent += sender.segments()
    for round_ in range(2, 8):
        sender.at(100 * round_)
        flying, resent_before = [n for n in resent if n not in received], len(resent)
        for number in flying:
            received.add(number)
            sender.ack(*report(received))
            resent += sender.segments()
        if len(resent) == resent_before and not flying:
            break
    assert sorted(resent) == sorted(lost)
    assert sender.recovery.una == 10 * SMSS
    assert not sender.recovery.in_recovery
    assert len(sender.events.of(RecoveryEntered)) == len(sender.events.of(RecoveryLeft)) == 1
    assert sender.cc.cwnd == sender.cc.ssthresh == 9 * SMSS // 2


def report(received):
    """A receiver's ACK: the next segment lacking, and up to three stretches above it."""
    ack = 0
    while ack in received:
        ack += 1
    blocks, start = [], None
    for number in range(ack, 200):
        if number in received and start is None:
            start = number
        elif number not in received and start is not None:
            blocks.append((start, number))
            start = None
    return (ack, *reversed(blocks[-3:]))


def test_three_sacked_segments_start_recovery_and_pipe_rules_what_goes():
    sender = by_count(unsent=40)
    sender.send()
    sender.at(100)
    sender.ack(0, (1, 2))
    assert sender.segments() == [10]  # limited transmit: pipe is 9
    sender.ack(0, (1, 3))
    assert sender.segments() == [11]
    sender.ack(0, (1, 4))
    assert sender.cc.cwnd == 5 * SMSS
    assert sender.segments() == [0]
    # 12 sent, 3 SACKed, 1 lost and sent again
    assert sender.recovery.pipe == 9 * SMSS
    for last in (5, 6, 7, 8):
        sender.ack(0, (1, last))
        assert sender.segments() == []
    sender.ack(0, (1, 9))  # pipe 4
    assert sender.segments() == [12]


def test_more_than_two_segments_worth_of_sacked_bytes_are_enough_without_three_duplicates():
    sender = by_count(unsent=10)
    sender.send()
    sender.ack(0, (1, 3))
    assert not sender.recovery.in_recovery
    sender = by_count(unsent=10)
    sender.send()
    sender.ack(0, (1, 4))  # one ACK for three
    assert sender.segments() == [0]


def test_three_separate_stretches_are_enough_though_their_bytes_are_few():
    sender = by_count(unsent=10)
    sender.send()
    sender.recovery.on_ack(0, ((1000, 1100), (2000, 2100), (3000, 3100)), sender.now)
    assert sender.recovery.in_recovery
    assert sender.segments() == [0]


def test_rule_3_sends_what_is_not_known_lost_where_there_is_no_new_data():
    blocks = ((5, 7), (3, 4), (1, 2))
    for unsent, expected in ((8, [4]), (9, [8])):
        sender = by_count(unsent=8)
        sender.send()
        sender.end = unsent * SMSS
        # Two segments above 4 do not make it lost; 7 lies above all that is SACKed.
        sender.ack(0, *blocks)
        assert sender.segments() == [0, 2]
        sender.ack(1, *blocks)
        assert sender.segments() == expected
        # 1 to 7 in flight, 4 SACKed, 2 lost and sent again; then 4 counts twice, or 8 is new.
        assert sender.recovery.pipe == 4 * SMSS


def test_rule_4_rescues_the_tail_once():
    """0 and the last, 9, are lost: nothing SACKed lies above 9, and there is no new data."""
    sender = by_count(unsent=10)
    sender.send()
    for last in range(2, 10):
        sender.ack(0, (1, last))
    assert sender.segments() == [0]
    pipe = sender.recovery.pipe
    assert pipe == 2 * SMSS
    sender.at(200)
    sender.ack(9)  # a partial ACK: HighACK is above RescueRxt
    assert sender.segments() == [9]
    assert sender.recovery.pipe == SMSS  # HighRxt was not moved
    assert sender.segments() == []
    sender.ack(10)
    assert not sender.recovery.in_recovery


def test_a_timeout_expunges_what_was_sacked_where_rack_is_off():
    """RFC 2018 8: the receiver may have reneged."""
    sender = by_count(unsent=4)
    sender.send()
    sender.ack(0, (2, 3))
    assert sender.fire() is Fired.RTO
    sent = sender.segments()
    for ack in (1, 3):
        sender.ack(ack)
        sent += sender.segments()
    assert sent == [0, 1, 2, 3]


def test_no_new_recovery_begins_before_a_timeouts_is_over():
    sender = by_count(unsent=40)
    sender.send()
    sender.fire()
    sender.send()
    ssthresh = sender.cc.ssthresh
    for last in range(2, 9):
        sender.ack(0, (1, last))
    assert sender.cc.ssthresh == ssthresh
    sender.send()


def test_rack_marks_a_lost_retransmission_when_what_was_sent_later_arrives():
    sender = Rig(unsent=30)
    sender.send()
    sender.at(100)
    for last in range(2, 11):
        sender.ack(0, (1, last))
        sender.send()
    assert [e.seq for e in sender.recovery.history] == [0]
    new = sender.recovery.highest_sent // SMSS
    assert new > 10
    # The copy of 0 is lost as well; new segments sent after it arrive a round trip later.
    sender.at(205)
    sender.ack(0, (1, new))
    assert [s.reason for s in sender.send()][:1] == [Reason.RACK]
    assert [e.seq for e in sender.recovery.history] == [0, 0]


def test_the_loss_of_a_retransmission_reduces_the_window_again():
    sender = Rig(unsent=60, initial_window_segments=20)
    sender.send()
    sender.at(100)
    for last in range(2, 21):
        sender.ack(0, (1, last))
        sender.send()
    assert sender.cc.ssthresh == 10 * SMSS
    new = sender.recovery.highest_sent // SMSS
    sender.at(205)
    sender.ack(0, (1, new))
    assert sender.cc.cwnd == sender.cc.ssthresh == 5 * SMSS


def test_reordering_by_less_than_a_quarter_of_the_round_trip_resends_nothing():
    """Segment 0 comes 20 ms late. Two arrived before: fewer than DupThresh."""
    sender = Rig(unsent=40)
    sender.send()
    sender.at(100)
    sender.ack(0, (1, 2))
    sender.ack(0, (1, 3))
    assert sender.recovery.next_deadline() == milliseconds(100) + RTT // 4
    sender.at(120)
    sender.ack(3)
    sender.send()
    assert sender.recovery.retransmissions == 0
    assert not sender.recovery.in_recovery


def test_once_reordering_was_seen_three_duplicates_are_no_loss():
    sender = Rig(unsent=200)
    sender.send()
    sender.at(100)
    sender.ack(0, (1, 3))
    sender.at(105)
    sender.ack(3)  # 0 came late, having been sent once
    sender.ack(10)
    sender.at(110)
    sender.send()
    sender.at(210)
    sender.ack(10, (11, 15))  # four above 10
    assert not sender.recovery.in_recovery
    sender.at(215)
    sender.ack(15)
    sender.send()
    assert sender.recovery.retransmissions == 0


def test_what_is_still_missing_after_the_reordering_window_is_sent_again():
    sender = Rig(unsent=10)
    sender.send()
    sender.at(100)
    sender.ack(0, (1, 2))
    assert sender.segments() == []
    assert sender.fire() is Fired.REORDER
    assert sender.now == milliseconds(125)
    assert [(s.seq, s.reason) for s in sender.send()] == [(0, Reason.RACK)]


def test_a_dsack_widens_the_reordering_window_by_a_quarter_of_the_least_round_trip():
    sender = Rig(unsent=100)
    sender.send()
    sender.at(100)
    sender.ack(0, (1, 2))
    sender.fire()
    sender.send()  # 0 again, needlessly
    sender.at(130)
    sender.ack(2)
    sender.at(230)
    sender.ack(10, (0, 1))  # the copy arrived too
    sender.at(231)
    sender.send()
    at = sender.recovery.highest_sent // SMSS
    assert at > 12
    sender.at(331)
    sender.ack(10, (11, 12))
    assert sender.recovery.next_deadline() == milliseconds(331) + 2 * RTT // 4


def test_a_receiver_that_reneges_gets_all_again_after_a_timeout():
    """1 to 3 were reported and thrown away: the ACK of 0 alone says so."""
    sender = Rig(unsent=4, tlp=False)
    sender.send()
    sender.at(100)
    sender.ack(0, (1, 4))
    assert sender.segments() == [0]
    sender.at(200)
    sender.ack(1)
    assert sender.recovery.flight == 3 * SMSS
    assert sender.fire() is Fired.RTO
    sent = sender.segments()
    for ack in (2, 3, 4):
        sender.ack(ack)
        sent += sender.segments()
    assert sent == [1, 2, 3]
    assert sender.recovery.next_deadline() is None


def test_sack_blocks_outside_what_was_sent_are_not_believed():
    sender = Rig(unsent=4)
    sender.send()
    for blocks in (((9, 12),), ((3, 2),), ((2, 2),), ((-4, 2),), ((3, 5),)):
        assert sender.ack(0, *blocks).sacked == 0
    assert sender.recovery.pipe == 4 * SMSS


def test_an_old_ack_is_looked_at_for_its_dsack_only():
    sender = Rig(unsent=10)
    sender.send()
    sender.at(100)
    sender.ack(5)
    outcome = sender.ack(3, (1, 2))
    assert outcome.dsack == (SMSS, 2 * SMSS)
    assert outcome.acked == 0
    assert sender.recovery.una == 5 * SMSS


def test_the_clock_of_the_oldest_byte_is_its_first_transmissions():
    sender = Rig(unsent=2, tlp=False)
    assert sender.recovery.oldest_sent_at is None
    sender.at(7)
    sender.send()
    sender.fire()
    sender.send()
    assert sender.recovery.oldest_sent_at == milliseconds(7)
    assert sender.recovery.next_deadline() == milliseconds(7) + seconds(3)


def test_history_is_bounded():
    sender = Rig(unsent=1, tlp=False)
    sender.send()
    for _ in range(400):
        sender.fire()
        sender.send()
    assert sender.recovery.retransmissions == 400
    assert len(sender.recovery.history) == 256


def test_a_report_of_what_was_sent_once_is_a_sample_and_ends_the_back_off():
    sender = Rig(unsent=30, tlp=False, frto=False)
    sender.send()
    for _ in range(5):
        sender.fire()
        sender.send()
    assert sender.rtt.backoffs == 5
    sender.ack(10)  # no timestamps: Karn's algorithm takes no sample
    assert len(sender.send()) == 2
    assert sender.recovery.next_deadline() == sender.now + seconds(32)
    sender.at(40_000)
    sender.ack(10, (11, 12))
    assert sender.rtt.backoffs == 0
    assert sender.rtt.latest is not None
    assert sender.recovery.next_deadline() <= sender.now + sender.rtt.rto
