"""Handshakes: RFC 9293 figures 6 to 11, options, retransmission, what the SYN may carry."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from conformance import accepted, at, opened, rfc
from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.sockets import constants as c
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import seconds

FIXED = {"timestamp_offset": 0}  # the clock starts at 1000 s: TS val 1000000


def test_figure_6_basic_three_way_handshake():
    s = Script(rfc())
    s.connect()
    s.out("S 0:0(0) win 65535 <mss 1460>")
    s.into("S. 0:0(0) ack 1 win 8000 <mss 1460>", after=0.05)
    s.out(". 1:1(0) ack 1 win 65535")
    s.socket.send(bytes(100))
    s.out("P. 1:101(100) ack 1 win 65535")


def test_figure_7_an_old_duplicate_syn_is_found_out():
    """TCP peer B's side: the SYN+ACK to an old SYN is reset; the new SYN is answered."""
    s = Script(rfc())
    s.listen()
    s.into("S 90:90(0) win 5000 <mss 1460>")
    s.out("S. 0:0(0) ack 91")
    s.into("R 91:91(0)")
    s.iss = None
    s.into("S 100:100(0) win 5000 <mss 1460>")
    s.out("S. 0:0(0) ack 101")
    s.into(". 101:101(0) ack 1 win 5000")
    s.accept()


def test_figure_7_an_old_duplicate_syn_ack_is_reset():
    """TCP peer A's side."""
    here = at(State.SYN_SENT)
    here.s.into("S. 300:300(0) ack 4294967286 win 5000")
    here.s.out("R 4294967286:4294967286(0)")
    here.s.into("S. 400:400(0) ack 1 win 5000 <mss 1460>")
    here.s.out(". 1:1(0) ack 401")


def test_figure_8_simultaneous_open():
    here = at(State.SYN_SENT)
    s = here.s
    s.into("S 0:0(0) win 5000 <mss 1000>", after=0.1)
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460>")
    assert here.now is State.SYN_RECEIVED
    s.into("S. 0:0(0) ack 1 win 5000 <mss 1000>", after=0.1)
    s.quiet(1)
    assert here.now is State.ESTABLISHED
    s.socket.connect_ex(("192.0.2.2", 8080))
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")


def test_a_simultaneous_open_is_completed_by_a_bare_ack_too():
    here = at(State.SYN_SENT)
    here.s.into("S 0:0(0) win 5000 <mss 1000>")
    here.s.out("S. 0:0(0) ack 1")
    here.s.into(". 1:1(0) ack 1 win 5000", after=0.1)
    here.s.quiet(5)
    assert here.now is State.ESTABLISHED


def test_text_of_a_simultaneous_syn_waits_for_the_handshake():
    here = at(State.SYN_SENT)
    here.s.into("S 0:10(10) win 5000 <mss 1000>")
    here.s.out("S. 0:0(0) ack 1")
    here.s.into(". 11:11(0) ack 1 win 5000", after=0.1)
    here.s.out(". 1:1(0) ack 11", after=0.1)


def test_in_a_simultaneous_open_the_syn_ack_is_resent_by_the_timer():
    here = at(State.SYN_SENT)
    here.s.into("S 0:0(0) win 5000 <mss 1000>", after=0.2)
    here.s.out("S. 0:0(0) ack 1")
    here.s.out("S. 0:0(0) ack 1", after=0.8)  # the SYN's own timer
    here.s.out("S. 0:0(0) ack 1", after=2)


def test_a_close_in_a_simultaneous_open_sends_the_fin():
    here = at(State.SYN_SENT)
    here.s.into("S 0:0(0) win 5000 <mss 1000>")
    here.s.out("S. 0:0(0) ack 1")
    here.s.socket.close()
    here.s.out("F. 1:1(0) ack 1")
    assert here.now is State.FIN_WAIT_1


def test_a_refused_simultaneous_open_is_told():
    here = at(State.SYN_SENT)
    here.s.into("S 0:0(0) win 5000 <mss 1000>")
    here.s.out("S. 0:0(0) ack 1")
    here.s.into("R 1:1(0)")
    here.s.quiet(10)
    with pytest.raises(ConnectionRefusedError):
        here.s.socket.connect(("192.0.2.2", 8080))


def test_figure_9_half_open_connection_is_discovered():
    """The survivor's side: SYN, challenge ACK, RST."""
    here = at(State.ESTABLISHED)
    here.s.into("S 400:400(0) win 5000 <mss 1000>")
    here.ack()
    here.s.into("R 1:1(0)")
    here.s.quiet(10)
    assert here.now is State.CLOSED
    with pytest.raises(ConnectionResetError):
        here.s.socket.recv(10)


def test_figure_9_the_side_that_crashed_resets_what_it_does_not_know():
    here = at(State.SYN_SENT)
    here.s.into(". 300:300(0) ack 4294967000")
    here.s.out("R 4294967000:4294967000(0)")
    here.s.out("S 0:0(0)", after=1)


def test_figure_10_data_for_a_connection_that_is_gone_is_reset():
    s = Script(rfc())
    s.iss = 0
    s.into("P. 300:310(10) ack 100")
    s.out("R 100:100(0)")


def test_figure_11_an_old_syn_for_a_listener():
    s = Script(rfc())
    s.listen()
    s.into("S 0:0(0) win 5000")
    s.out("S. 0:0(0) ack 1")
    s.into("R 1:1(0)")
    s.quiet(300)


# Options


def test_all_options_are_offered_in_one_order():
    s = Script(StackConfig.of(tcp=FIXED))
    s.connect()
    s.out("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1000000 ecr 0,wscale 3>")
    s.into("S. 0:0(0) ack 1 win 5000 <mss 1400,sackOK,TS val 7 ecr 1000000,wscale 2>", after=0.25)
    s.out(". 1:1(0) ack 1 win 32768 <TS val 1000250 ecr 7>")


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("mss 1000", "mss 1460"),
        ("mss 1000,sackOK", "mss 1460,sackOK"),
        ("mss 1000,wscale 5", "mss 1460,wscale 3"),
        ("mss 1000,TS val 5 ecr 0", "mss 1460,TS val 1000000 ecr 5"),
        (
            "mss 1000,sackOK,TS val 9 ecr 0,wscale 0",
            "mss 1460,sackOK,TS val 1000000 ecr 9,wscale 3",
        ),
        ("", "mss 1460"),
    ],
)
def test_only_what_the_syn_offers_is_answered(offer, answer):
    s = Script(StackConfig.of(tcp=FIXED))
    s.listen()
    s.into(f"S 0:0(0) win 5000 <{offer}>" if offer else "S 0:0(0) win 5000")
    s.out(f"S. 0:0(0) ack 1 win 65535 <{answer}>")


@pytest.mark.parametrize(("mtu", "mss"), [(1500, 1460), (576, 536), (296, 256), (9000, 8960)])
def test_the_mss_announced_is_the_mtu_less_40(mtu, mss):
    s = Script(rfc(), mtu=mtu)
    s.connect()
    s.out(f"S 0:0(0) win 65535 <mss {mss}>")


def test_a_peer_without_mss_option_gets_536():
    s = Script(rfc())
    s.connect()
    s.out("S 0:0(0)")
    s.into("S. 0:0(0) ack 1 win 5000", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(600))
    s.out(". 1:537(536) ack 1")
    s.quiet()


def test_timestamps_are_taken_off_the_mss():
    s = Script(StackConfig.of(tcp=FIXED | {"sack": False}))
    s.connect()
    s.out("S 0:0(0)")
    s.into("S. 0:0(0) ack 1 win 5000 <mss 1000,TS val 7 ecr 1000000>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(1500))
    s.out(". 1:989(988) ack 1 win 65535 <TS val 1000100 ecr 7>")


def test_a_window_in_a_syn_is_never_scaled():
    s = Script(rfc(window_scaling=True))
    s.connect()
    s.out("S 0:0(0) win 65535 <mss 1460,wscale 3>")
    s.into("S. 0:0(0) ack 1 win 1000 <mss 1000,wscale 7>", after=0.1)
    s.out(". 1:1(0) ack 1 win 32768")
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    s.quiet()
    s.into(". 1:1(0) ack 1001 win 10", after=0.1)  # 1280 bytes
    s.out(". 1001:2001(1000) ack 1")
    s.quiet()


def test_a_shift_above_14_is_taken_as_14():
    s = opened(rfc(window_scaling=True), "mss 1000,wscale 15")
    s.into(". 1:1(0) ack 1 win 2")
    assert s.stack.tcp.connections[0].snapshot().snd_wnd == 2 << 14


def test_the_third_ack_scales_the_window_of_the_side_that_connects():
    s = Script(rfc(window_scaling=True))
    s.listen()
    s.into("S 0:0(0) win 65535 <mss 1000,wscale 4>")
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 3>")
    s.into(". 1:1(0) ack 1 win 100", after=0.1)
    s.accept()
    s.socket.send(bytes(5000))
    s.out(". 1:1001(1000) ack 1 win 32768")
    s.quiet()  # 1600 bytes is all: the rest waits for silly-window avoidance


# Retransmission


def test_syns_back_off_and_end_after_three_minutes():
    s = Script(rfc())
    s.connect()
    for wait in (0, 1, 2, 4, 8, 16, 32, 60):
        s.out("S 0:0(0) win 65535 <mss 1460>", after=wait)
    s.quiet(59.9)
    assert s.stack.tcp.connections
    s.quiet(0.2)
    assert not s.stack.tcp.connections
    with pytest.raises(TimeoutError):
        s.socket.connect(("192.0.2.2", 8080))


def test_syn_acks_back_off_for_three_minutes_as_well():
    s = Script(rfc())
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000>")
    for wait in (0, 1, 2, 4, 8, 16, 32, 60):
        s.out("S. 0:0(0) ack 1 win 65535 <mss 1460>", after=wait)
    s.quiet(61)
    assert not s.stack.tcp.connections


def test_linux_sends_its_first_syns_at_one_second_distances():
    s = Script(StackConfig.linux())
    s.connect()
    for wait in (0, 1, 1, 1, 1, 1, 2):
        s.out("S 0:0(0)", after=wait)
    s.quiet(3.9)
    assert s.stack.tcp.connections
    s.quiet(0.2)
    assert not s.stack.tcp.connections


def test_linux_gives_a_half_open_connection_up_after_five_syn_acks():
    s = Script(StackConfig.linux())
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1")
    waits = []
    for _ in range(5):
        at = s.now
        while not s.sent:
            s.pass_time(0.5)
        waits.append((s.sent.popleft()[0] - at) / 1e9)
    s.quiet(200)
    assert not s.stack.tcp.connections
    assert len(waits) == 5


def test_a_syn_that_comes_again_is_answered_by_the_same_syn_ack():
    here = at(State.SYN_RECEIVED)
    here.s.into("S 0:0(0) win 65535 <mss 1000>", after=0.5)
    here.s.out("S. 0:0(0) ack 1 win 65535 <mss 1460>")
    here.s.out("S. 0:0(0) ack 1", after=0.5)  # the timer goes on as it was


def test_a_syn_ack_that_comes_again_is_acknowledged_again():
    here = at(State.ESTABLISHED)
    here.s.into("S. 0:0(0) ack 1 win 5000 <mss 1000>")
    here.ack()


def test_a_lost_third_ack_is_made_up_for_by_data():
    s = Script(rfc())
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1")
    s.into("P. 1:11(10) ack 1 win 5000", after=0.1)
    server = s.accept()
    assert server.recv(10) == bytes(10)
    s.out(". 1:1(0) ack 11", after=0.1)


def test_after_a_lost_syn_the_rto_is_three_seconds():
    """RFC 6298 5.7; RFC 6928 2: one lost SYN leaves the initial window as it is."""
    s = Script(rfc())
    s.connect()
    s.out("S 0:0(0)")
    s.out("S 0:0(0)", after=1)
    s.into("S. 0:0(0) ack 1 win 65535 <mss 1000>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.out("P. 2001:3001(1000) ack 1")
    s.out(". 1:1001(1000) ack 1", after=3)


def test_after_two_lost_syns_one_segment_may_go():
    s = Script(rfc())
    s.connect()
    for wait in (0, 1, 2):
        s.out("S 0:0(0)", after=wait)
    s.into("S. 0:0(0) ack 1 win 65535 <mss 1000>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    s.quiet(1)


def test_by_rfc_5681_one_lost_syn_is_enough_for_that():
    s = Script(rfc(small_window_after_syns=1))
    s.connect()
    for wait in (0, 1):
        s.out("S 0:0(0)", after=wait)
    s.into("S. 0:0(0) ack 1 win 65535 <mss 1000>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    s.quiet(1)


def test_a_user_timeout_ends_an_opening():
    s = Script(rfc(user_timeout=seconds(10)))
    s.connect()
    for wait in (0, 1, 2, 4):
        s.out("S 0:0(0)", after=wait)
    s.quiet(3)
    assert not s.stack.tcp.connections


def test_the_syn_of_a_socket_that_was_closed_is_not_sent_again():
    here = at(State.SYN_SENT)
    here.s.socket.close()
    here.s.quiet(100)
    here.s.into("S. 0:0(0) ack 1 win 5000")
    here.s.out("R 1:1(0)")


def test_a_listener_that_closes_resets_its_half_open_connections():
    here = at(State.SYN_RECEIVED)
    here.s.socket.close()
    here.s.out("R 1:1(0)")  # RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>
    here.s.quiet(10)


def test_options_of_the_socket_override_the_stacks():
    s = Script(rfc())
    s.socket.setsockopt(c.IPPROTO_TCP, c.TCP_MAXSEG, 700)
    s.connect()
    s.out("S 0:0(0) win 65535 <mss 700>")
    s.into("S. 0:0(0) ack 1 win 5000 <mss 1000>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(1000))
    s.out(". 1:701(700) ack 1")


def test_a_small_receive_buffer_is_the_window_of_the_syn():
    s = Script(rfc())
    s.socket.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 4000)
    s.connect()
    s.out("S 0:0(0) win 4000 <mss 1460>")


def test_with_window_scaling_a_small_buffer_has_shift_0():
    s = Script(rfc(window_scaling=True, receive_buffer=30_000))
    s.connect()
    s.out("S 0:0(0) win 30000 <mss 1460,wscale 0>")


def test_a_passive_connection_that_nobody_accepts_takes_data():
    s = Script(rfc())
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 1 win 5000")
    s.into("P. 1:1001(1000) ack 1 win 5000")
    s.into("P. 1001:2001(1000) ack 1 win 5000")
    s.out(". 1:1(0) ack 2001")


def test_initial_numbers_are_a_matter_of_options():
    s = Script(rfc())
    options = SocketOptions(isn=4_294_967_295)
    s.stack.tcp.connect((IPv4Address("192.0.2.2"), 8080), s.now, options=options)
    assert s.out("S 0:0(0)").seq == 4_294_967_295
    s.into("S. 0:0(0) ack 1 win 5000 <mss 1000>", after=0.1)
    assert s.out(". 1:1(0) ack 1").seq == 0


def test_accepted_connections_measure_the_handshake():
    s = accepted()
    assert s.stack.tcp.connections[0].snapshot().srtt == 100_000_000
