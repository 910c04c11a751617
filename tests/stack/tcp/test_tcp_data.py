"""Data by literal segments: what is sent, acknowledged, dropped, and when."""

from __future__ import annotations

import pytest
from tcp_wire import ALL_OPTIONS, HOST, PEER, Wire

from testbed.stack.tcp.notices import ChallengeAck
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.wire import MSS, IPv4Packet, SackPermitted, Timestamps, WindowScale

SACK = (MSS(1460), SackPermitted())


# Acceptability: RFC 9293 3.10.7.4, first check


def test_in_order_data_is_delivered_and_every_second_full_segment_acknowledged():
    wire = Wire()
    c = wire.connect()
    wire.say("A", 1, 1, bytes(1460))
    assert wire.take() == []
    wire.say("A", 1461, 1, bytes(1460))
    assert wire.one().brief() == "A 1:1 2921"
    assert len(c.receive(10_000, wire.now)) == 2920


def test_a_lone_segment_is_acknowledged_after_the_delay():
    wire = Wire()
    wire.connect()
    wire.say("PA", 1, 1, b"x")
    heard = wire.one(1000)
    assert (heard.at, heard.brief()) == (100, "A 1:1 2")


def test_small_segments_are_not_acknowledged_every_second_time():
    wire = Wire()
    wire.connect()
    for at in range(1, 5):
        wire.say("PA", at, 1, b"x")
    assert wire.one(1000).at == 100


def test_without_delayed_acks_every_segment_is_acknowledged():
    wire = Wire(delayed_ack=False)
    wire.connect()
    wire.say("PA", 1, 1, b"x")
    assert wire.one().brief() == "A 1:1 2"


def test_an_answer_carries_the_ack():
    wire = Wire()
    c = wire.connect()
    wire.say("PA", 1, 1, b"question")
    c.receive(100, wire.now)
    c.send(b"answer", wire.now)
    assert wire.one(90).brief() == "PA 1:7 9"
    assert wire.run(100) == []


def test_a_duplicate_is_acknowledged_again_and_delivered_once():
    wire = Wire(sack=True)
    c = wire.connect(options=SACK)
    wire.say("PA", 1, 1, b"abc")
    wire.run(200)
    wire.say("PA", 1, 1, b"abc")
    again = wire.one()
    assert again.brief() == "A 1:1 4"
    assert again.sack == [(1, 4)]  # DSACK, RFC 2883
    assert c.receive(100, wire.now) == b"abc"
    assert c.receive(100, wire.now) is None


def test_out_of_order_data_is_held_and_acknowledged_at_once_with_sack():
    wire = Wire(sack=True)
    c = wire.connect(options=SACK)
    wire.say("A", 4, 1, b"def")
    first = wire.one()
    assert (first.brief(), first.sack) == ("A 1:1 1", [(4, 7)])
    wire.say("A", 10, 1, b"jkl")
    assert wire.one().sack == [(10, 13), (4, 7)]
    wire.say("A", 1, 1, b"abc")
    filled = wire.one()
    assert (filled.brief(), filled.sack) == ("A 1:1 7", [(10, 13)])
    wire.say("A", 7, 1, b"ghi")
    assert wire.one().brief() == "A 1:1 13"
    assert c.receive(100, wire.now) == b"abcdefghijkl"


def test_a_fin_behind_a_hole_is_reported_with_the_data_before_it():
    wire = Wire(sack=True)
    wire.connect(options=SACK)
    wire.say("A", 4, 1, b"def")
    assert wire.one().sack == [(4, 7)]
    wire.say("FA", 7, 1)
    assert wire.one().sack == [(4, 8)]
    wire.say("A", 1, 1, b"abc")
    assert wire.take()[-1].brief() == "A 1:1 8"


def test_no_more_than_four_sack_blocks_are_reported_and_three_with_timestamps():
    wire = Wire(sack=True)
    wire.connect(options=SACK)
    for at in range(5):
        wire.say("A", 11 + 10 * at, 1, b"x")
    assert wire.take()[-1].sack == [(51, 52), (41, 42), (31, 32), (21, 22)]
    wire = Wire(sack=True, timestamps=True)
    wire.connect(options=(*SACK, Timestamps(7)))
    for at in range(5):
        wire.say("A", 11 + 10 * at, 1, b"x", options=(Timestamps(8),))
    assert wire.take()[-1].sack == [(51, 52), (41, 42), (31, 32)]


def test_data_beyond_the_window_is_trimmed_and_acknowledged():
    wire = Wire(receive_buffer=1000)
    c = wire.connect()
    wire.say("A", 1, 1, bytes(1500))
    answer = wire.one()
    assert (answer.brief(), answer.window) == ("A 1:1 1001", 0)
    assert c.unread == 1000


def test_data_into_a_closed_window_is_refused_but_its_ack_counts():
    wire = Wire(receive_buffer=1000)
    c = wire.connect()
    c.send(b"abc", wire.now)
    wire.say("A", 1, 1, bytes(1000))
    wire.run(200)
    wire.say("PA", 1001, 4, b"more")
    assert wire.one().brief() == "A 4:4 1001"
    assert c.unread == 1000
    assert c.unacked == 0


def test_a_segment_wholly_outside_the_window_is_answered_with_an_ack():
    wire = Wire()
    c = wire.connect()
    wire.say("PA", 100_000, 1, b"far off")
    assert wire.one().brief() == "A 1:1 1"
    wire.say("A", 0, 1)  # a keepalive's number
    assert wire.one().brief() == "A 1:1 1"
    assert c.unread == 0


def test_a_segment_without_ack_is_dropped():
    wire = Wire()
    c = wire.connect()
    wire.say("P", 1, 0, b"no ack")
    assert wire.run(1000) == []
    assert c.unread == 0


def test_bad_checksums_and_offsets_meet_with_silence():
    wire = Wire()
    c = wire.connect()
    wire.say("PA", 1, 1, b"")
    good = bytearray(b"")
    del good
    from testbed.wire import TcpFlags, TcpSegment  # noqa: PLC0415

    segment = TcpSegment(5000, 80, 3_000_000_001, 1001, TcpFlags.ACK, payload=b"data")
    data = bytearray(segment.emit(PEER, HOST))
    for at, value in ((-1, data[-1] ^ 1), (12, 0x10), (12, 0xF0)):
        bad = bytearray(data)
        bad[at] = value
        wire.stack.receive(IPv4Packet(PEER, HOST, 6, bytes(bad)).emit(), wire.now)
    assert wire.run(1000) == []
    assert c.unread == 0


# RST and SYN: RFC 5961


def test_only_a_reset_at_rcv_nxt_ends_the_connection():
    wire = Wire()
    c = wire.connect()
    wire.say("R", 2)
    assert wire.one().brief() == "A 1:1 1"
    assert wire.stack.events.of(ChallengeAck)
    wire.say("R", 100_000)
    assert wire.take() == []
    wire.say("R", 0)
    assert wire.take() == []
    assert c.state is State.ESTABLISHED
    wire.say("R", 1)
    assert c.state is State.CLOSED
    assert c.error.errno_name == "ECONNRESET"
    assert wire.take() == []


@pytest.mark.parametrize("seq", [1, 2, 100_000, -100])
def test_a_syn_in_a_synchronized_state_is_challenged_whatever_its_number(seq):
    wire = Wire()
    c = wire.connect()
    wire.say("S", seq, 0)
    assert wire.one().brief() == "A 1:1 1"
    assert c.state is State.ESTABLISHED


def test_acks_out_of_range_are_challenged_and_their_data_dropped():
    wire = Wire()
    c = wire.connect(window=1000)
    for ack in (2, 1 - 1001, 1 << 31):
        wire.say("PA", 1, ack, b"forged")
        assert wire.one().brief() == "A 1:1 1"
    assert c.unread == 0
    wire.say("PA", 1, 1 - 1000, b"old but fine")
    assert c.unread == 12


def test_challenge_acks_are_limited():
    wire = Wire(challenge_ack_limit=3)
    wire.connect()
    for _ in range(10):
        wire.say("S", 1, 0)
    assert len(wire.take()) == 3
    wire.run(5000)
    wire.say("S", 1, 0)
    assert len(wire.take()) == 1


# Sending


def test_data_is_cut_into_full_segments_and_the_last_one_is_pushed():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(1460 * 3), wire.now)
    assert wire.briefs() == ["A 1:1461 1", "A 1461:2921 1", "PA 2921:4381 1"]


def test_nagle_keeps_a_small_segment_until_all_is_acknowledged():
    wire = Wire()
    c = wire.connect()
    c.send(b"a", wire.now)
    c.send(b"b", wire.now)
    c.send(b"c", wire.now)
    assert wire.briefs() == ["PA 1:2 1"]
    wire.say("A", 1, 2)
    assert wire.briefs() == ["PA 2:4 1"]


def test_without_nagle_small_segments_go_at_once():
    wire = Wire()
    c = wire.connect(chosen=SocketOptions(nodelay=True))
    for each in (b"a", b"b", b"c"):
        c.send(each, wire.now)
    assert wire.briefs() == ["PA 1:2 1", "PA 2:3 1", "PA 3:4 1"]


def test_a_cork_holds_small_segments_for_the_override_timeout():
    wire = Wire()
    c = wire.connect(chosen=SocketOptions(cork=True))
    c.send(bytes(1460), wire.now)
    c.send(b"tail", wire.now)
    assert wire.briefs() == ["PA 1:1461 1"]
    wire.say("A", 1, 1461)
    tail = wire.one(1000)
    assert (tail.at, tail.brief()) == (200, "PA 1461:1465 1")


def test_more_to_come_holds_a_small_segment_until_more_came():
    wire = Wire()
    c = wire.connect()
    c.send(b"head", wire.now, more=True)
    assert wire.take() == []
    c.send(b"body", wire.now)
    assert wire.one().brief() == "PA 1:9 1"


def test_sending_keeps_to_the_peers_window():
    wire = Wire()
    c = wire.connect(window=4000)
    c.send(bytes(10_000), wire.now)
    assert [each.size for each in wire.take()] == [1460, 1460]
    wire.say("A", 1, 2921, window=4000)
    assert [each.brief() for each in wire.take()] == ["A 2921:4381 1", "A 4381:5841 1"]


def test_silly_windows_are_not_filled_until_half_the_largest_or_the_override_timeout():
    wire = Wire()
    c = wire.connect(window=2000)
    c.send(bytes(6000), wire.now)
    assert wire.one().size == 1460
    wire.say("A", 1, 1461, window=900)  # below half of 2000
    heard = wire.one(1000)
    assert (heard.at, heard.size) == (200, 900)
    wire.say("A", 1, 2361, window=1000)
    assert wire.one().size == 1000


def test_a_window_update_of_an_old_segment_is_not_believed():
    wire = Wire()
    c = wire.connect(window=3000)
    wire.say("A", 1, 1, bytes(10), window=5000)
    wire.say("A", 11, 1, bytes(10), window=4000)
    assert c.snapshot().snd_wnd == 4000
    wire.say("A", 1, 1, bytes(20), window=60000)
    assert c.snapshot().snd_wnd == 4000


def test_the_initial_window_is_ten_segments():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(100_000), wire.now)
    assert len(wire.take()) == 10


def test_timestamps_take_twelve_bytes_of_each_segment():
    wire = Wire(timestamps=True)
    c = wire.connect(options=(MSS(1460), Timestamps(7)))
    c.send(bytes(3000), wire.now)
    first, second = wire.take()
    assert (first.size, second.size) == (1448, 1448)
    assert first.packet.total_length == 1500


def test_sack_blocks_make_room_for_themselves():
    wire = Wire(sack=True, timestamps=True)
    c = wire.connect(options=(MSS(1460), SackPermitted(), Timestamps(7)))
    wire.say("A", 11, 1, b"x", options=(Timestamps(8),))
    wire.take()
    c.send(bytes(3000), wire.now)
    heard = wire.take()
    assert max(each.packet.total_length for each in heard) == 1500
    assert heard[0].sack == [(11, 12)]


def test_dont_fragment_is_set_where_the_path_mtu_is_discovered():
    wire = Wire()
    wire.start()
    assert wire.one().packet.df
    wire = Wire(x_pmtu={"enabled": False})
    wire.start()
    assert not wire.one().packet.df


def test_ttl_and_tos_are_the_connections_own():
    wire = Wire()
    wire.start(SocketOptions(ttl=3, tos=0x10))
    packet = wire.one().packet
    assert (packet.ttl, packet.tos) == (3, 0x10)


# Receive window


def test_the_window_closes_as_data_waits_and_opens_when_half_or_a_segment_is_read():
    wire = Wire(receive_buffer=4000)
    c = wire.connect()
    wire.say("A", 1, 1, bytes(1460))
    wire.say("A", 1461, 1, bytes(1460))
    assert wire.one().window == 1080
    wire.say("A", 2921, 1, bytes(1080))
    assert wire.one(200).window == 0
    c.receive(1000, wire.now)
    assert wire.take() == []  # less than a segment: not worth telling
    c.receive(1000, wire.now)
    assert wire.one().window == 2000


def test_a_right_edge_once_offered_stays():
    wire = Wire(receive_buffer=4000)
    c = wire.connect()
    wire.say("A", 1, 1, bytes(100))
    assert wire.one(200).window == 3900
    c.receive(100, wire.now)
    wire.say("A", 101, 1, bytes(100))
    assert wire.one(200).window == 3800


def test_a_scaled_window_is_rounded_so_that_its_edge_never_moves_left():
    wire = Wire(window_scaling=True, receive_buffer=1 << 20)
    c = wire.connect(options=(MSS(1460), WindowScale(0)))
    edge = 0
    seq = 1
    for size in (1, 3, 7, 1000, 5, 1460, 13):
        wire.say("PA", seq, 1, bytes(size))
        seq += size
        heard = wire.one(200)
        now = heard.ack + (heard.window << c.rcv_scale)
        assert now >= edge
        edge = now


def test_growing_the_receive_buffer_opens_the_window():
    wire = Wire(receive_buffer=1000)
    c = wire.connect()
    wire.say("A", 1, 1, bytes(1000))
    wire.run(200)
    c.options.receive_buffer = 5000
    c.apply(wire.now)
    assert wire.one().window == 4000


# Timestamps: RFC 7323


def test_an_old_timestamp_is_acknowledged_and_dropped():
    wire = Wire(timestamps=True, timestamp_offset=0)
    c = wire.accept(options=ALL_OPTIONS[:1], stamp=Timestamps(1000))
    wire.say("PA", 1, 1, b"old", options=(Timestamps(999),))
    answer = wire.one()
    assert (answer.brief(), answer.stamp.echo) == ("A 1:1 1", 1000)
    assert c.unread == 0
    wire.say("PA", 1, 1, b"new", options=(Timestamps(1001),))
    assert c.unread == 3


def test_a_reset_needs_no_timestamp():
    wire = Wire(timestamps=True)
    c = wire.accept(stamp=Timestamps(1000))
    wire.say("R", 1, options=(Timestamps(1),))
    assert c.state is State.CLOSED


def test_a_segment_without_the_agreed_timestamp_is_dropped():
    wire = Wire(timestamps=True)
    c = wire.accept(stamp=Timestamps(1000))
    wire.say("PA", 1, 1, b"data")
    assert wire.run(1000) == []
    assert c.unread == 0


def test_the_echo_is_that_of_the_earliest_segment_not_yet_acknowledged():
    wire = Wire(timestamps=True)
    wire.accept(stamp=Timestamps(1000))
    wire.say("A", 1, 1, bytes(1448), options=(Timestamps(1010),))
    wire.say("A", 1449, 1, bytes(1448), options=(Timestamps(1020),))
    assert wire.one().stamp.echo == 1010  # RFC 7323 4.3: delayed ACKs


def test_the_echo_does_not_come_from_beyond_a_hole():
    wire = Wire(timestamps=True)
    wire.accept(stamp=Timestamps(1000))
    wire.say("A", 1449, 1, bytes(1448), options=(Timestamps(1020),))
    assert wire.one().stamp.echo == 1000
    wire.say("A", 1, 1, bytes(1448), options=(Timestamps(1030),))
    assert wire.one().stamp.echo == 1030


# Urgent data: RFC 6093, RFC 9293 3.8.5


def test_urgent_data_is_announced_by_a_pointer_one_past_it():
    wire = Wire()
    c = wire.connect()
    c.send(b"abc", wire.now, urgent=True)
    heard = wire.one()
    assert (heard.brief(), heard.urgent) == ("PUA 1:4 1", 3)
    wire.say("A", 1, 4)
    c.send(b"def", wire.now)
    assert wire.one().brief() == "PA 4:7 1"


def test_the_urgent_byte_is_marked_and_taken_out_of_the_stream():
    wire = Wire()
    c = wire.connect()
    wire.say("PUA", 1, 1, b"ab!cd", urgent=3)
    assert not c.at_urgent_mark
    assert c.receive(100, wire.now) == b"ab"
    assert c.at_urgent_mark
    assert c.receive_urgent() == b"!"
    assert c.receive_urgent() is None
    assert c.receive(100, wire.now) == b"cd"


def test_the_urgent_byte_stays_in_the_stream_where_asked():
    wire = Wire()
    c = wire.connect(chosen=SocketOptions(oob_inline=True))
    wire.say("PUA", 1, 1, b"ab!cd", urgent=3)
    assert c.receive(100, wire.now) == b"ab"
    assert c.at_urgent_mark
    assert c.receive(100, wire.now) == b"!cd"
    assert not c.at_urgent_mark


def test_urgency_is_told_through_a_closed_window():
    wire = Wire()
    c = wire.connect(window=0)
    c.send(b"stop", wire.now, urgent=True)
    heard = wire.one()
    assert (heard.brief(), heard.urgent) == ("UA 1:1 1", 4)
