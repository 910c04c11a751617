"""Tail loss probes: RFC 8985 7."""

import pytest
from recovery_rig import SMSS, Rig

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import Fired
from testbed.stack.tcp.recovery.events import TailLossRepaired
from testbed.timing import milliseconds, seconds


def test_a_lost_tail_is_found_by_a_probe_after_two_round_trips_and_rack_repairs_it():
    """RFC 8985 4 example 1: the last three of ten are lost; no timeout is needed."""
    sender = Rig(unsent=10)
    sender.send()
    sender.at(100)
    sender.ack(7)
    assert sender.segments() == []
    assert sender.fire() is Fired.PROBE
    assert sender.now == milliseconds(100 + 2 * 100)
    probe = sender.recovery.probe_segment()
    assert probe == (9 * SMSS, 10 * SMSS, Reason.TLP)
    sender.recovery.sent(*probe[:2], sender.now, probe.reason)
    assert sender.recovery.next_deadline() == milliseconds(300) + seconds(1)
    sender.at(400)
    sender.ack(7, (9, 10))
    assert [(s.seq // SMSS, s.reason) for s in sender.send()] == [
        (7, Reason.RACK),
        (8, Reason.RACK),
    ]
    sender.at(500)
    sender.ack(10)
    assert sender.recovery.next_deadline() is None


def test_a_lone_segment_gets_the_time_that_its_ack_may_be_delayed():
    sender = Rig(unsent=1)
    sender.send()
    assert sender.recovery.next_deadline() == milliseconds(2 * 100 + 200)
    assert sender.fire() is Fired.PROBE


def test_a_margin_is_for_hosts_that_are_later_than_their_link():
    sender = Rig(unsent=3, tlp_margin=milliseconds(8))
    sender.send()
    assert sender.recovery.next_deadline() == milliseconds(2 * 100 + 8)


def test_without_a_measured_round_trip_the_probe_comes_after_a_second():
    sender = Rig(unsent=3, rtt=None, initial_rto=seconds(3))
    sender.send()
    assert sender.recovery.next_deadline() == seconds(1)
    assert sender.fire() is Fired.PROBE


def test_a_probe_never_waits_longer_than_the_timeout_would():
    sender = Rig(unsent=3, rtt=milliseconds(700), min_rto=milliseconds(1), max_rto=seconds(1))
    sender.send()
    assert sender.recovery.next_deadline() == seconds(1)
    assert sender.fire() is Fired.PROBE


@pytest.mark.parametrize("how", [{"sack": False}, {"tlp": False}])
def test_without_sack_or_switched_off_there_is_no_probe(how):
    sender = Rig(unsent=3, frto=False, **how)
    sender.send()
    assert sender.fire() is Fired.RTO


def test_there_is_no_second_probe_before_the_first_is_answered():
    sender = Rig(unsent=3)
    sender.send()
    sender.fire()
    probe = sender.recovery.probe_segment()
    sender.recovery.sent(*probe[:2], sender.now, probe.reason)
    assert sender.fire() is Fired.RTO


def test_there_is_no_probe_while_something_is_sacked():
    sender = Rig(unsent=10)
    sender.send()
    sender.at(100)
    sender.ack(3, (4, 5))
    assert sender.fire() is Fired.REORDER


def probed(unsent=3):
    sender = Rig(unsent=unsent)
    sender.send()
    sender.at(100)
    sender.ack(unsent - 1)
    sender.fire()
    probe = sender.recovery.probe_segment()
    sender.recovery.sent(*probe[:2], sender.now, probe.reason)
    sender.at(700)
    return sender


def test_a_loss_that_the_probe_itself_mended_reduces_the_window():
    sender = probed()
    cwnd = sender.cc.cwnd
    sender.end += 5 * SMSS
    sender.send()
    sender.ack(4)  # beyond the probe, and no DSACK
    assert len(sender.events.of(TailLossRepaired)) == 1
    assert sender.cc.cwnd < cwnd


def test_a_probe_whose_original_arrived_too_reduces_nothing():
    sender = probed()
    cwnd, ssthresh = sender.cc.cwnd, sender.cc.ssthresh
    sender.ack(3, (2, 3))  # DSACK
    assert sender.recovery._tlp.end_seq is None
    assert sender.cc.ssthresh == ssthresh
    assert sender.cc.cwnd >= cwnd
    assert not sender.events.of(TailLossRepaired)


def test_new_data_is_the_better_probe_and_its_ack_ends_the_episode():
    sender = Rig(unsent=3)
    sender.send()
    sender.end += 5 * SMSS
    sender.fire()
    sender.recovery.sent(3 * SMSS, 4 * SMSS, sender.now, Reason.TLP)
    assert sender.recovery.retransmissions == 0
    sender.at(500)
    sender.ack(4)
    assert not sender.events.of(TailLossRepaired)
    sender.send()
    assert sender.fire() is Fired.PROBE
