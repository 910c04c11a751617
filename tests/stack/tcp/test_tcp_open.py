"""Opening by literal segments: RFC 9293 3.5 and 3.10.7.1 to 3.10.7.3."""

from __future__ import annotations

import pytest
from tcp_wire import ALL_OPTIONS, HOST, PEER, PEER_ISN, Wire, flags_of

from testbed.stack.lower import IcmpError
from testbed.stack.refusals import Refused
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import seconds
from testbed.wire import MSS, IPv4Packet, SackPermitted, TcpSegment, Timestamps, WindowScale
from testbed.wire.tcp_options import UnknownOption


def test_a_passive_open_answers_syn_with_syn_ack_and_an_ack_establishes_it():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0, options=(MSS(1460),))
    answer = wire.one()
    assert answer.brief() == "SA 0:0 1"
    assert answer.segment.options == (MSS(1460),)
    assert answer.window == 65535
    assert listener.half_open == 1
    assert not listener.readable
    wire.say("A", 1, 1)
    connection = listener.accept(wire.now)
    assert connection.state is State.ESTABLISHED
    assert wire.briefs() == []
    assert listener.accept(wire.now) is None


def test_an_active_open_sends_syn_and_acknowledges_the_syn_ack():
    wire = Wire()
    connection = wire.start()
    assert wire.one().brief() == "S 0:0"
    assert connection.state is State.SYN_SENT
    wire.say("SA", 0, 1)
    assert wire.one().brief() == "A 1:1 1"
    assert connection.state is State.ESTABLISHED


def test_the_syn_offers_its_options_as_linux_lays_them_out():
    wire = Wire(timestamps=True, sack=True, window_scaling=True, timestamp_offset=0)
    wire.start()
    syn = wire.one()
    stamp = Timestamps(1_000_000, 0)  # the clock ticks in ms
    assert syn.segment.options == (MSS(1460), SackPermitted(), stamp, WindowScale(3))
    raw = syn.packet.payload[20:]
    assert raw[:10] == bytes.fromhex("020405b40402080a000f")
    assert raw[-4:] == bytes.fromhex("01030303")
    assert len(raw) == 20


def test_options_that_the_peer_does_not_offer_are_not_in_the_syn_ack():
    wire = Wire(timestamps=True, sack=True, window_scaling=True)
    wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0, options=(MSS(1000), SackPermitted()))
    assert wire.one().segment.options == (MSS(1460), SackPermitted())
    wire.say("A", 1, 1)
    assert wire.stack.tcp.connections[0].snapshot().send_scale is None


def test_all_options_are_agreed_when_both_sides_offer_them():
    wire = Wire(timestamps=True, sack=True, window_scaling=True)
    wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0, options=ALL_OPTIONS)
    answer = wire.one()
    kinds = [type(each) for each in answer.segment.options]
    assert kinds == [MSS, SackPermitted, Timestamps, WindowScale]
    assert answer.stamp.echo == 7
    wire.say("A", 1, 1, options=(Timestamps(8, answer.stamp.value),), window=100)
    seen = wire.stack.tcp.connections[0].snapshot()
    assert (seen.sack, seen.timestamps, seen.send_scale, seen.receive_scale) == (True, True, 7, 3)
    assert seen.snd_wnd == 100 << 7
    assert seen.smss == 1448


def test_a_window_in_a_syn_is_never_scaled():
    wire = Wire(window_scaling=True)
    connection = wire.connect(options=(MSS(1460), WindowScale(7)), window=1000)
    assert connection.snapshot().snd_wnd == 1000


def test_a_shift_above_14_is_taken_as_14():
    wire = Wire(window_scaling=True)
    connection = wire.connect(options=(MSS(1460), WindowScale(200)))
    assert connection.snapshot().send_scale == 14


def test_unknown_options_are_skipped():
    wire = Wire()
    connection = wire.accept(options=(UnknownOption(200, b"xyz"), MSS(700)))
    assert connection.snapshot().peer_mss == 700


def test_without_an_mss_option_segments_carry_536_bytes():
    wire = Wire()
    connection = wire.connect(options=())
    connection.send(bytes(2000), wire.now)
    assert [each.size for each in wire.take()] == [536, 536, 536]  # the rest waits: Nagle


def test_the_announced_mss_is_the_mtu_less_40():
    wire = Wire(mtu=1280)
    wire.start()
    assert wire.one().segment.option(MSS) == MSS(1240)


@pytest.mark.parametrize(("mtu", "theirs", "used"), [(1500, 1000, 1000), (576, 1460, 536)])
def test_segments_keep_to_the_smaller_of_both_sides(mtu, theirs, used):
    wire = Wire(mtu=mtu)
    connection = wire.connect(options=(MSS(theirs),))
    connection.send(bytes(used), wire.now)
    assert wire.one().size == used


def test_the_third_ack_may_carry_data():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    wire.take()
    wire.say("PA", 1, 1, b"hello")
    connection = listener.accept(wire.now)
    assert connection.receive(100, wire.now) == b"hello"


def test_a_lost_syn_is_resent_with_doubling_intervals_until_three_minutes_are_over():
    wire = Wire()
    connection = wire.start()
    heard = wire.run(400_000)
    assert [each.at / 1000 for each in heard] == [0, 1, 3, 7, 15, 31, 63, 123]
    assert {each.brief() for each in heard} == {"S 0:0"}
    assert connection.state is State.CLOSED
    assert connection.error.errno_name == "ETIMEDOUT"
    assert wire.stack.poll_timeout() is None


def test_a_lost_syn_ack_is_resent_and_the_entry_released():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    heard = wire.run(200_000)
    assert [each.at / 1000 for each in heard] == [0, 1, 3, 7, 15, 31, 63, 123]  # 3 minutes
    assert {each.brief() for each in heard} == {"SA 0:0 1"}
    assert listener.half_open == 0
    assert wire.stack.tcp.connections == ()


def test_a_repeated_syn_is_answered_with_the_same_syn_ack():
    wire = Wire()
    wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    wire.take()
    wire.say("S", 0, 0)
    assert wire.one().brief() == "SA 0:0 1"


def test_after_two_lost_syns_data_starts_with_one_segment_and_three_seconds():
    wire = Wire()
    connection = wire.start()
    wire.run(3500)
    wire.say("SA", 0, 1, options=(MSS(1000),))
    wire.take()
    assert connection.snapshot().rto == seconds(3)
    connection.send(bytes(5000), wire.now)
    assert len(wire.take()) == 1


def test_the_handshake_gives_the_first_round_trip_sample():
    wire = Wire()
    connection = wire.start()
    wire.run(400)
    wire.say("SA", 0, 1)
    seen = connection.snapshot()
    assert seen.srtt == 400_000_000
    assert seen.rto == 1_200_000_000  # SRTT + 4 * RTTVAR, RTTVAR = R / 2


def test_simultaneous_open_reaches_established_as_in_figure_8():
    wire = Wire()
    connection = wire.start()
    assert wire.one().brief() == "S 0:0"
    wire.say("S", 0)
    assert connection.state is State.SYN_RECEIVED
    assert wire.one().brief() == "SA 0:0 1"
    wire.say("SA", 0, 1)
    assert connection.state is State.ESTABLISHED
    assert wire.briefs() == []
    connection.send(b"x", wire.now)
    assert wire.one().brief() == "PA 1:2 1"


def test_simultaneous_open_also_ends_with_a_bare_ack():
    wire = Wire()
    connection = wire.start()
    wire.say("S", 0)
    wire.say("A", 1, 1)
    assert connection.state is State.ESTABLISHED


# RFC 9293 3.10.7.1: CLOSED


def test_a_syn_to_a_closed_port_is_reset_with_an_ack_of_it():
    wire = Wire()
    wire.say("S", 0, 0)
    answer = wire.one()
    assert answer.segment.flags == flags_of("RA")
    assert answer.segment.seq == 0
    assert answer.ack == 1


def test_a_stray_ack_is_reset_at_its_own_number():
    wire = Wire()
    wire.say("A", 7, 77)
    answer = wire.one()
    assert answer.brief() == "R 77:77"


def test_a_stray_reset_is_left_alone():
    wire = Wire()
    wire.say("R", 7)
    wire.say("RA", 7, 7)
    assert wire.take() == []


# RFC 9293 3.10.7.2: LISTEN


def test_an_ack_to_a_listener_is_reset():
    wire = Wire()
    wire.stack.tcp.listen(80, wire.now)
    wire.say("A", 7, 77)
    assert wire.one().brief() == "R 77:77"
    wire.say("SA", 7, 77)
    assert wire.one().brief() == "R 77:77"


def test_resets_and_segments_without_syn_leave_a_listener_alone():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("R", 0)
    wire.say("SR", 0)
    wire.say("F", 0)
    wire.say("", 0, payload=b"x")
    assert wire.take() == []
    assert listener.half_open == 0


def test_a_syn_from_a_broadcast_or_multicast_address_is_ignored():
    wire = Wire()
    wire.stack.tcp.listen(80, wire.now)
    syn = TcpSegment(5000, 80, PEER_ISN, flags=flags_of("S"))
    for source in ("10.0.0.255", "224.0.0.1", "255.255.255.255"):
        wire.raw(syn, type(PEER)(source))
    assert wire.take() == []


# RFC 9293 3.10.7.3: SYN-SENT


@pytest.mark.parametrize("ack", [0, 2, -5, 1 << 31])
def test_syn_sent_resets_what_acknowledges_anything_but_its_syn(ack):
    wire = Wire()
    connection = wire.start()
    wire.take()
    wire.say("SA", 0, ack)
    assert wire.one().brief() == f"R {ack % (1 << 32)}:{ack % (1 << 32)}"
    assert connection.state is State.SYN_SENT
    wire.say("RA", 0, ack)
    assert wire.take() == []
    assert connection.state is State.SYN_SENT


def test_a_reset_with_the_right_ack_refuses_the_connection():
    wire = Wire()
    connection = wire.start()
    wire.take()
    wire.say("R", 0)
    assert connection.state is State.SYN_SENT
    wire.say("RA", 0, 1)
    assert connection.state is State.CLOSED
    assert wire.take() == []
    with pytest.raises(Refused, match="ECONNREFUSED"):
        connection.receive(10, wire.now)


def test_an_ack_alone_changes_nothing_in_syn_sent():
    wire = Wire()
    connection = wire.start()
    wire.take()
    wire.say("A", 0, 1)
    assert connection.state is State.SYN_SENT
    assert wire.take() == []


# SYN-RECEIVED


def test_a_reset_returns_a_passive_open_to_listen():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    wire.take()
    wire.say("R", 1)
    assert (listener.half_open, wire.stack.tcp.connections) == (0, ())
    wire.say("S", 0, 0, src_port=5001)
    assert wire.one().flags == "SA"


def test_an_old_duplicate_syn_is_recovered_from_as_in_figure_9():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", -500, 0)  # the old one
    assert wire.one().ack == (-499) % (1 << 32)
    wire.say("R", -499)  # the peer refuses our answer
    wire.say("S", 0, 0)
    assert wire.one().brief() == "SA 0:0 1"
    wire.say("A", 1, 1)
    assert listener.accept(wire.now).state is State.ESTABLISHED


def test_a_wrong_ack_in_syn_received_is_reset_and_the_entry_stays():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    wire.take()
    wire.say("A", 1, 5)
    assert wire.one().brief() == "R 5:5"
    wire.say("A", 1, 1)
    assert listener.readable


def test_a_reset_refuses_an_active_open_in_syn_received():
    wire = Wire()
    connection = wire.start()
    wire.say("S", 0)
    wire.say("R", 1)
    assert connection.error.errno_name == "ECONNREFUSED"


# Numbers, ports, calls


def test_initial_numbers_follow_the_clock_and_differ_between_connections():
    wire = Wire(isn=None)  # type: ignore[arg-type]
    wire.iss = 0
    first = wire.stack.tcp.connect((PEER, 1), wire.now).snapshot().iss
    other = wire.stack.tcp.connect((PEER, 2), wire.now).snapshot().iss
    assert first != other
    same = Wire(isn=None)  # type: ignore[arg-type]
    port = wire.stack.tcp.connections[0].local[1]
    same.now += 4_000_000  # ns: a thousand ticks of 4 us
    again = same.stack.tcp.connect((PEER, 1), same.now, local=(None, port)).snapshot().iss
    assert (again - first) % (1 << 32) == 1000


def test_a_hard_icmp_error_ends_the_opening_only():
    wire = Wire()
    connection = wire.start()
    syn = wire.one()
    error = IcmpError(3, 3, IPv4Packet(HOST, PEER, 6, syn.packet.payload[:8]), PEER)
    wire.stack.tcp.icmp_error(error, wire.now)
    assert connection.error.errno_name == "ECONNREFUSED"
    wire = Wire()
    connection = wire.connect()
    connection.send(b"x", wire.now)
    sent = wire.one()
    quoted = IPv4Packet(HOST, PEER, 6, sent.packet.payload[:8])
    wire.stack.tcp.icmp_error(IcmpError(3, 3, quoted, PEER), wire.now)
    assert connection.state is State.ESTABLISHED


def test_a_soft_icmp_error_is_what_the_user_is_told_in_the_end():
    wire = Wire()
    connection = wire.start()
    syn = wire.one()
    quoted = IPv4Packet(HOST, PEER, 6, syn.packet.payload[:8])
    wire.stack.tcp.icmp_error(IcmpError(3, 1, quoted, PEER), wire.now)
    assert connection.state is State.SYN_SENT
    wire.run(200_000)
    assert connection.error.errno_name == "EHOSTUNREACH"


def test_a_port_cannot_be_listened_on_twice_and_is_free_after_close():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    with pytest.raises(Refused, match="EADDRINUSE"):
        wire.stack.tcp.listen(80, wire.now, HOST)
    listener.close(wire.now)
    wire.stack.tcp.listen(80, wire.now, HOST)


def test_connecting_twice_with_the_same_four_numbers_is_refused():
    wire = Wire()
    wire.start()
    with pytest.raises(Refused, match="EADDRINUSE"):
        wire.start()


def test_a_listener_that_closes_resets_what_nobody_accepted():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    wire.say("A", 1, 1)
    wire.take()
    listener.close(wire.now)
    assert wire.one().brief() == "R 1:1"
    assert wire.stack.tcp.connections == ()


def test_options_of_one_connection_choose_isn_mss_and_scale():
    wire = Wire(window_scaling=True, timestamps=True)
    wire.iss = 77
    chosen = SocketOptions(isn=77, mss=900, window_scale=0, timestamps=False)
    wire.start(chosen)
    syn = wire.one()
    assert syn.seq == 0
    assert syn.segment.seq == 77
    assert syn.segment.options == (MSS(900), WindowScale(0))


def test_closing_in_syn_sent_forgets_the_connection_silently():
    wire = Wire()
    connection = wire.start()
    wire.take()
    connection.close(wire.now)
    assert connection.state is State.CLOSED
    assert wire.run(10_000) == []


def test_data_sent_before_the_handshake_is_done_goes_with_its_last_ack():
    wire = Wire()
    connection = wire.start()
    assert connection.send(b"early", wire.now) == 5
    wire.take()
    wire.say("SA", 0, 1)
    assert wire.one().brief() == "PA 1:6 1"


def test_a_close_in_syn_received_sends_the_fin_at_once():
    """RFC 9293 3.10.4."""
    wire = Wire()
    connection = wire.start()
    wire.say("S", 0)
    wire.take()
    connection.close(wire.now)
    assert wire.one().brief() == "FA 1:1 1"
    assert connection.state is State.FIN_WAIT_1
    assert [each.brief() for each in wire.run(1000)] == ["SA 0:0 1", "FA 1:1 1"]
    wire.say("A", 1, 1)
    assert wire.briefs(1999) == []
    wire.say("A", 1, 2)
    assert connection.state is State.FIN_WAIT_2
    wire.say("FA", 1, 2)
    assert wire.one().brief() == "A 2:2 2"
    assert connection.state is State.TIME_WAIT


def test_a_close_in_syn_received_into_a_shut_window_probes_with_the_fin():
    wire = Wire()
    connection = wire.start()
    wire.say("S", 0, window=0)
    wire.take()
    connection.close(wire.now)
    assert "FA 1:1 1" in wire.briefs(1000)
    wire.say("A", 1, 2)
    assert connection.state is State.FIN_WAIT_2


def test_settings_that_change_hold_for_new_connections():
    wire = Wire(timestamps=True)
    wire.stack.reconfigure(wire.stack.config.with_(tcp={"timestamps": False, "mss": 700}))
    wire.start()
    assert wire.one().segment.options == (MSS(700),)
