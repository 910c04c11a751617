"""Fast retransmit and recovery without SACK: RFC 5681 3.2, 3042, 6582; timeouts by RFC 6298 5."""

from recovery_rig import SMSS, Rig

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import Fired
from testbed.timing import milliseconds, seconds


def rig(**config):
    config.setdefault("frto", False)
    return Rig(sack=False, **config)


def test_ten_segments_go_out_at_first():
    sender = rig(unsent=40)
    assert sender.segments() == list(range(10))
    assert sender.recovery.flight == 10 * SMSS
    assert sender.recovery.pipe == 10 * SMSS


def test_the_timer_runs_from_the_first_segment_and_starts_anew_with_each_advance():
    sender = rig(unsent=10)
    sender.send()
    assert sender.recovery.next_deadline() == seconds(1)
    sender.at(100)
    sender.ack(2)
    assert sender.recovery.next_deadline() == milliseconds(1100)
    sender.at(200)
    sender.ack(2)  # a duplicate: the timer runs on
    assert sender.recovery.next_deadline() == milliseconds(1100)
    sender.ack(10)
    assert sender.recovery.next_deadline() is None


def test_two_duplicates_let_two_new_segments_out_and_the_third_resends_the_first():
    sender = rig(unsent=40)
    sender.send()
    sender.at(100)
    assert sender.ack(0).duplicate
    assert sender.segments() == [10]
    sender.ack(0)
    assert sender.segments() == [11]
    sender.ack(0)
    assert sender.segments() == [0]
    assert sender.recovery.in_recovery
    # Half of what was in flight without what limited transmit sent, and three for the duplicates.
    assert sender.cc.ssthresh == 5 * SMSS
    assert sender.cc.cwnd == 8 * SMSS
    assert [entry.reason for entry in sender.recovery.history] == [Reason.FAST]


def test_without_limited_transmit_duplicates_send_nothing_before_the_third():
    sender = rig(unsent=40, limited_transmit=False)
    sender.send()
    for expected in ([], [], [0]):
        sender.ack(0)
        assert sender.segments() == expected


def test_each_further_duplicate_inflates_the_window_and_a_full_ack_deflates_it():
    sender = rig(unsent=40, limited_transmit=False)
    sender.send()
    for _ in range(3):
        sender.ack(0)
    sender.send()
    for _ in range(6):
        sender.ack(0)
    # ssthresh 5, inflated by 9: 14 segments, 10 of them outstanding.
    assert sender.cc.cwnd == 14 * SMSS
    assert sender.segments() == [10, 11, 12, 13]
    sender.at(200)
    sender.ack(10)
    assert not sender.recovery.in_recovery
    # RFC 6582: min(ssthresh, max(FlightSize, SMSS) + SMSS)
    assert sender.cc.cwnd == 5 * SMSS
    assert sender.segments() == [14]


def test_a_segment_with_data_or_another_window_is_no_duplicate():
    sender = rig(unsent=10)
    sender.send()
    for _ in range(4):
        sender.ack(0, pure=False)
        sender.ack(0, window_moved=True)
    assert sender.segments() == []
    assert not sender.recovery.in_recovery


def test_newreno_resends_one_loss_per_partial_ack_and_halves_once():
    """Segments 0, 3 and 6 of ten are lost: exactly those go out again."""
    sender = rig(unsent=10)
    sender.send()
    sender.at(100)
    resent = []
    for _ in range(7):  # for 1 2 4 5 7 8 9
        sender.ack(0)
        resent += sender.segments()
    assert resent == [0]
    ssthresh = sender.cc.ssthresh
    for partial, expected in ((3, [3]), (6, [6]), (10, [])):
        sender.at(100 + partial * 50)
        sender.ack(partial)
        assert sender.segments() == expected
        assert sender.cc.ssthresh == ssthresh
    assert not sender.recovery.in_recovery


def test_a_partial_ack_deflates_by_what_it_acknowledges_less_one_segment():
    sender = rig(unsent=10)
    sender.send()
    for _ in range(3):
        sender.ack(0)
    sender.send()
    assert sender.cc.cwnd == 8 * SMSS
    sender.ack(3)
    assert sender.cc.cwnd == 6 * SMSS


def test_only_the_first_partial_ack_restarts_the_timer():
    sender = rig(unsent=10)
    sender.send()
    for _ in range(3):
        sender.ack(0)
    sender.send()
    sender.at(200)
    sender.ack(3)
    sender.send()
    assert sender.recovery.next_deadline() == milliseconds(1200)
    sender.at(300)
    sender.ack(6)
    sender.send()
    assert sender.recovery.next_deadline() == milliseconds(1200)


def test_reno_leaves_recovery_with_a_partial_ack():
    sender = rig(unsent=10, control="reno")
    sender.send()
    for _ in range(3):
        sender.ack(0)
    sender.send()
    sender.ack(3)
    assert not sender.recovery.in_recovery
    assert sender.cc.cwnd == sender.cc.ssthresh == 5 * SMSS
    assert sender.segments() == []


def test_a_timeout_resends_the_first_segment_with_a_window_of_one_and_doubles_the_rto():
    sender = rig(unsent=20)
    sender.send()
    assert sender.fire() is Fired.RTO
    assert sender.now == seconds(1)
    assert sender.cc.cwnd == SMSS
    assert sender.cc.ssthresh == 5 * SMSS
    assert [(s.seq, s.reason) for s in sender.send()] == [(0, Reason.RTO)]
    assert sender.recovery.next_deadline() == seconds(1 + 2)
    assert sender.fire() is Fired.RTO
    # RFC 5681: for the same segment ssthresh is held.
    assert sender.cc.ssthresh == 5 * SMSS
    assert sender.segments() == [0]
    assert sender.recovery.next_deadline() == seconds(1 + 2 + 4)


def test_after_a_timeout_slow_start_goes_through_what_was_lost_and_then_on():
    sender = rig(unsent=20)
    sender.send()
    sender.fire()
    assert sender.segments() == [0]
    sender.ack(1)
    assert sender.segments() == [1, 2]
    sender.ack(3)
    # RFC 3465: an ACK adds one SMSS at most after a timeout.
    assert sender.segments() == [3, 4, 5]
    sender.ack(6)
    assert sender.segments() == [6, 7, 8, 9]
    sender.ack(10)
    assert not sender.recovery.in_recovery
    assert sender.segments()[0] == 10


def test_duplicates_that_needless_resends_cause_start_no_fast_recovery():
    """All ten had arrived, their ACKs were lost: go-back-N brings duplicates (RFC 6582 1)."""
    sender = rig(unsent=40)
    sender.send()
    sender.fire()
    sender.send()
    sender.ack(10)  # the receiver had all
    sender.send()
    assert not sender.recovery.in_recovery
    for _ in range(3):
        sender.ack(10)
    assert not sender.recovery.in_recovery


def test_a_sample_of_a_segment_sent_twice_is_not_taken_unless_timestamps_tell():
    sender = rig(unsent=10, rtt=None)
    sender.send()
    sender.fire()
    sender.send()
    sender.at(5000)
    sender.ack(1)
    assert sender.rtt.srtt is None
    assert sender.rtt.rto == seconds(2)
    sender.send()  # 1 and 2 again
    sender.at(5050)
    sender.ack(2, rtt_sample=milliseconds(4000))  # echoes what was sent before
    assert sender.rtt.srtt is None
    sender.ack(3, rtt_sample=milliseconds(50))
    assert sender.rtt.srtt == milliseconds(50)
    assert sender.rtt.backoffs == 0


def test_the_restart_window_holds_after_an_idle_rto():
    sender = rig(unsent=40)
    sender.send()
    for number in range(2, 41, 2):
        sender.at(100 + number)
        sender.ack(number)
        sender.send()
    assert sender.cc.cwnd > 20 * SMSS
    assert sender.recovery.flight == 0
    sender.end += 40 * SMSS
    sender.at(1500)
    assert len(sender.send()) == 10


def test_segments_larger_than_a_new_path_mtu_go_out_again_in_pieces_without_blame():
    sender = rig(unsent=4)
    sender.send()
    cwnd, ssthresh = sender.cc.cwnd, sender.cc.ssthresh
    sender.at(50)
    sender.recovery.on_path_mtu(600, sender.now)
    again = sender.send()
    assert [(s.seq, s.end) for s in again] == [
        edge
        for n in range(4)
        for edge in ((n * 1000, n * 1000 + 600), (n * 1000 + 600, n * 1000 + 1000))
    ]
    assert {s.reason for s in again} == {Reason.PMTU}
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (cwnd, ssthresh)
    assert not sender.recovery.in_recovery
    assert sender.recovery.pipe == 4 * SMSS
    sender.ack(4)
    assert sender.recovery.next_deadline() is None


def test_a_fin_goes_along_with_a_full_segment():
    sender = rig(unsent=1)
    sender.recovery.sent(0, SMSS + 1, sender.now)
    sender.recovery.fin = SMSS
    sender.fire()
    assert [(s.seq, s.end) for s in sender.send()] == [(0, SMSS + 1)]
