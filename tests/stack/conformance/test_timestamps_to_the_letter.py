"""RFC 7323: what timestamps echo, PAWS, RTTM."""

from __future__ import annotations

import pytest
from conformance import rfc
from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.tcp.connection import Connection
from testbed.timing import milliseconds, seconds


def stamped(**tcp: object) -> Script:
    """Accepted at 100 ms; the peer's clock read 100 then. Ours reads 1000000 at the start."""
    s = Script(rfc(timestamps=True, timestamp_offset=0, **tcp))
    s.listen()
    s.into("S 0:0(0) win 65535 <mss 1012,TS val 100 ecr 0>")
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 1000000 ecr 100>")
    s.into(". 1:1(0) ack 1 win 65535 <TS val 100 ecr 1000000>", after=0.1)
    s.accept()
    return s


def conn(s: Script) -> Connection:
    return s.stack.tcp.connections[0]


def test_a_delayed_ack_echoes_the_earlier_segment():
    """4.3 (A)."""
    s = stamped()
    s.into(". 1:1001(1000) ack 1 win 65535 <TS val 101 ecr 1000000>")
    s.into(". 1001:2001(1000) ack 1 win 65535 <TS val 102 ecr 1000000>", after=0.01)
    s.out(". 1:1(0) ack 2001 win 65535 <TS val 1000110 ecr 101>")
    s.into(". 2001:3001(1000) ack 1 win 65535 <TS val 103 ecr 1000000>")
    s.into(". 3001:4001(1000) ack 1 win 65535 <TS val 104 ecr 1000000>")
    s.out(". 1:1(0) ack 4001 win 65535 <TS val 1000110 ecr 103>")


def test_a_hole_is_echoed_by_the_last_in_order_segment():
    """4.3 (B), its table: 1, 3, 2 (filling), 4."""
    s = stamped(delayed_ack=False)
    s.into(". 1:1001(1000) ack 1 win 65535 <TS val 101 ecr 1000000>")
    s.out(". 1:1(0) ack 1001 win 65535 <TS val 1000100 ecr 101>")
    s.into(". 2001:3001(1000) ack 1 win 65535 <TS val 103 ecr 1000000>")
    s.out(". 1:1(0) ack 1001 win 65535 <TS val 1000100 ecr 101>")
    s.into(". 1001:2001(1000) ack 1 win 65535 <TS val 102 ecr 1000000>")
    s.out(". 1:1(0) ack 3001 win 65535 <TS val 1000100 ecr 102>")
    s.into(". 3001:4001(1000) ack 1 win 65535 <TS val 104 ecr 1000000>")
    s.out(". 1:1(0) ack 4001 win 65535 <TS val 1000100 ecr 104>")


def test_a_filled_hole_is_echoed_by_what_filled_it():
    """4.3 (C): the retransmission's time is later than that of what waited."""
    s = stamped(delayed_ack=False)
    s.into(". 1001:2001(1000) ack 1 win 65535 <TS val 102 ecr 1000000>")
    s.out(". 1:1(0) ack 1 win 65535 <TS val 1000100 ecr 100>")
    s.into(". 1:1001(1000) ack 1 win 65535 <TS val 300 ecr 1000000>")
    s.out(". 1:1(0) ack 2001 win 65535 <TS val 1000100 ecr 300>")


def test_paws_acknowledges_and_drops_what_is_older():
    """5.3 R1."""
    s = stamped()
    s.into("P. 1:11(10) ack 1 win 65535 <TS val 99 ecr 1000000>")
    s.out(". 1:1(0) ack 1 win 65535 <TS val 1000100 ecr 100>")
    assert conn(s).unread == 0


def test_paws_works_where_the_clock_wraps():
    s = Script(rfc(timestamps=True, timestamp_offset=0))
    s.listen()
    s.into("S 0:0(0) win 65535 <mss 1000,TS val 4294967290 ecr 0>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 1 win 65535 <TS val 4294967295 ecr 1000000>")
    s.accept()
    s.into("P. 1:11(10) ack 1 win 65535 <TS val 3 ecr 1000000>")
    s.out(". 1:1(0) ack 11 win 65535 <TS val 1000100 ecr 3>", after=0.1)
    s.into("P. 11:21(10) ack 1 win 65535 <TS val 4294967295 ecr 1000000>")
    s.out(". 1:1(0) ack 11")


def test_resets_are_not_tested_by_paws():
    s = stamped()
    s.into("R 1:1(0) win 0 <TS val 1 ecr 0>")
    assert not s.stack.tcp.connections


def test_resets_need_no_timestamp():
    s = stamped()
    s.into("R 1:1(0) win 0")
    assert not s.stack.tcp.connections


def test_a_missing_timestamp_drops_the_segment_silently():
    """3.2: SHOULD; Linux does not."""
    s = stamped()
    s.into("P. 1:11(10) ack 1")
    s.quiet(1)
    s = stamped(timestamps_required=False)
    s.into("P. 1:11(10) ack 1")
    s.out(". 1:1(0) ack 11", after=0.1)


def test_a_syn_without_timestamp_is_challenged_all_the_same():
    s = stamped()
    s.into("S 5:5(0) win 65535 <mss 1000>")
    s.out(". 1:1(0) ack 1 win 65535 <TS val 1000100 ecr 100>")


def test_after_24_days_an_old_timestamp_is_valid_again():
    """5.5."""
    s = stamped()
    s.pass_time(25 * 24 * 3600)
    s.into("P. 1:11(10) ack 1 win 65535 <TS val 5 ecr 1000000>")
    s.out(". 1:1(0) ack 11", after=0.1)


def test_every_segment_but_a_reset_without_ack_echoes():
    s = stamped()
    s.socket.send(bytes(2000))
    s.out(". 1:1001(1000) ack 1 win 65535 <TS val 1000100 ecr 100>")
    s.out("P. 1001:2001(1000) ack 1 win 65535 <TS val 1000100 ecr 100>")
    s.into("P. 1:11(10) ack 1 win 65535 <TS val 101 ecr 1000000>", after=0.01)
    s.socket.close()  # with data unread
    s.out("R 2001:2001(0) win 0 <TS val 1000110 ecr 0>")


def test_round_trips_are_measured_though_segments_were_resent():
    """4.1: the echo tells which of the two was answered."""
    s = stamped()
    s.socket.send(bytes(1000))
    s.out("P. 1:1001(1000) ack 1")
    s.out("P. 1:1001(1000) ack 1", after=1)
    s.into(". 1:1(0) ack 1001 win 65535 <TS val 150 ecr 1001100>", after=0.2)
    seen = conn(s).snapshot()
    assert seen.srtt == pytest.approx(100e6 + 100e6 / 8)


def test_the_timestamp_clock_ticks_as_set():
    s = Script(StackConfig.of(tcp={"timestamp_offset": 7, "timestamp_tick": milliseconds(10)}))
    s.connect()
    s.out("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100007 ecr 0,wscale 3>")
    s.out("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100107 ecr 0,wscale 3>", after=1)


def test_a_timestamp_that_the_syn_did_not_offer_is_none():
    s = Script(rfc(timestamps=False))
    s.listen()
    s.into("S 0:0(0) win 65535 <mss 1000,TS val 1 ecr 0>")
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460>")
    s.into("P. 1:11(10) ack 1 win 65535")
    s.out(". 1:1(0) ack 11 win 65535 <>", after=0.1)


def test_a_syn_ack_without_timestamps_ends_their_use():
    s = Script(rfc(timestamps=True))
    s.connect()
    s.out("S 0:0(0)")
    s.into("S. 0:0(0) ack 1 win 65535 <mss 1000>", after=0.1)
    s.out(". 1:1(0) ack 1 win 65535 <>")


def test_challenge_acks_are_limited():
    """RFC 5961 7: ten in five seconds."""
    s = stamped()
    for _ in range(10):
        s.into("R 100:100(0) win 0")
        s.out(". 1:1(0) ack 1")
    s.into("R 100:100(0) win 0")
    s.quiet(5)
    s.into("R 100:100(0) win 0")
    s.out(". 1:1(0) ack 1")


def test_linux_limits_them_to_one_in_half_a_second_per_connection():
    s = stamped(invalid_ack_interval=milliseconds(500))
    s.into("R 100:100(0) win 0")
    s.out(". 1:1(0) ack 1")
    s.into("R 100:100(0) win 0", after=0.4)
    s.into(". 70000:70000(0) ack 1 win 0 <TS val 100 ecr 1000000>")
    s.quiet()
    s.into("R 100:100(0) win 0", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.into("P. 0:1(1) ack 1 win 0 <TS val 100 ecr 1000000>")  # data is answered always
    s.out(". 1:1(0) ack 1")


def test_time_wait_is_shortened_by_a_setting():
    s = stamped(time_wait=seconds(3))
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 2 win 65535 <TS val 101 ecr 1000100>")
    s.out(". 2:2(0) ack 2 win 65535 <TS val 1000100 ecr 101>")
    s.quiet(2.99)
    assert s.stack.tcp.connections
    s.quiet(0.02)
    assert not s.stack.tcp.connections
