"""F-RTO: RFC 5682, basic (2.1) and with SACK (3.1)."""

import pytest
from recovery_rig import SMSS, Rig

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery.events import SpuriousRetransmission
from testbed.timing import seconds

both = pytest.mark.parametrize("sack", [True, False], ids=["sack", "no-sack"])


def timed_out(sack, **config):
    """Ten segments are outstanding; the timer expired; the first went out again."""
    sender = Rig(sack=sack, unsent=40, tlp=False, **{"frto": True} | config)
    sender.send()
    sender.fire()
    assert sender.segments() == [0]
    return sender


@both
def test_after_a_delay_spike_nothing_but_the_first_segment_is_sent_again(sack):
    sender = timed_out(sack)
    sender.at(1100)
    assert sender.ack(2).spurious is None
    assert sender.segments() == [10, 11]  # 2b: new data, though cwnd would not allow it
    assert sender.ack(4).spurious is Reason.RTO
    assert not sender.recovery.in_recovery
    assert sender.cc.cwnd >= 10 * SMSS
    assert sender.cc.ssthresh > 1 << 60
    assert len(sender.events.of(SpuriousRetransmission)) == 1
    assert sender.recovery.retransmissions == 1
    assert sender.rtt.backoffs == 0


@both
def test_a_duplicate_after_the_first_advance_means_loss(sack):
    """0 and 3 were lost."""
    sender = timed_out(sack)
    sender.at(1100)
    sender.ack(3)
    assert sender.segments() == [10, 11]
    outcome = sender.ack(3, (10, 11)) if sack else sender.ack(3)
    assert outcome.duplicate
    assert outcome.spurious is None
    assert sender.cc.cwnd <= 3 * SMSS
    assert sender.segments()[0] == 3


@both
def test_a_duplicate_right_away_means_loss(sack):
    sender = timed_out(sack)
    sender.at(1100)
    sender.ack(0, (9, 10)) if sack else sender.ack(0)
    sender.ack(1, *((9, 10),) * sack)
    assert sender.segments()[0] == 1


@both
def test_an_ack_for_all_that_was_sent_tells_nothing_and_ends_the_recovery(sack):
    sender = timed_out(sack)
    sender.ack(10)
    assert not sender.recovery.in_recovery
    assert sender.cc.cwnd < 5 * SMSS
    assert sender.segments()[0] == 10


@both
def test_without_new_data_the_sender_goes_back_as_ever(sack):
    sender = Rig(sack=sack, unsent=10, tlp=False)
    sender.send()
    sender.fire()
    sender.send()
    sender.ack(2)
    assert sender.segments() == [2, 3]


def test_with_sack_a_report_of_what_was_sent_once_means_spurious():
    sender = timed_out(sack=True)
    sender.at(1100)
    sender.ack(1)
    assert sender.segments() == [10, 11]
    assert sender.ack(1, (2, 3)).spurious is Reason.RTO
    assert sender.recovery.retransmissions == 1


def test_a_second_timeout_for_the_same_segment_is_taken_for_real():
    sender = timed_out(sack=False)
    sender.fire()
    assert sender.segments() == [0]
    sender.ack(2)
    assert sender.segments() == [2, 3]


def test_switched_off_it_goes_back_at_once():
    sender = timed_out(sack=False, frto=False)
    sender.ack(2)
    assert sender.segments() == [2, 3]


def test_the_deadline_after_a_spurious_timeout_is_not_backed_off():
    sender = timed_out(sack=False)
    assert sender.recovery.next_deadline() == seconds(3)
    sender.at(1100)
    sender.ack(2)
    sender.send()
    sender.ack(4)
    assert sender.recovery.next_deadline() - sender.now < seconds(2)
