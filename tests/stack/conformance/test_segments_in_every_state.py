"""RFC 9293 3.10.7: good and bad segments in every state, with RFC 5961's answers."""

from __future__ import annotations

import pytest
from conformance import SYNCHRONIZED, at, rfc
from script import Script

from testbed.stack.tcp.states import State

every = pytest.mark.parametrize("state", SYNCHRONIZED, ids=str)
but_time_wait = pytest.mark.parametrize("state", SYNCHRONIZED[:-1], ids=str)


# CLOSED


def test_closed_answers_a_syn_by_seq_0_and_its_end_acknowledged():
    s = Script(rfc())
    s.iss = 0
    s.into("S 0:0(0) win 1000")
    s.out("R. 0:0(0) ack 1 win 0")
    s.into("S 0:10(10) win 1000")
    s.out("R. 0:0(0) ack 11 win 0")
    s.into("FP 5:15(10) win 1000")
    s.out("R. 0:0(0) ack 16 win 0")


def test_closed_answers_an_ack_by_its_number():
    s = Script(rfc())
    s.iss = 0
    s.into(". 77:77(0) ack 4711 win 1000")
    assert s.out("R 4711:4711(0) win 0").ack == 0
    s.into("S. 77:77(0) ack 99 win 1000")
    s.out("R 99:99(0)")
    s.into("FP. 77:87(10) ack 100 win 1000")
    s.out("R 100:100(0)")


def test_closed_does_not_answer_resets():
    s = Script(rfc())
    s.iss = 0
    s.into("R 0:0(0)")
    s.into("R. 0:0(0) ack 99")
    s.quiet(5)


# LISTEN


def listening() -> Script:
    s = Script(rfc())
    s.listen()
    s.iss = 0
    return s


@pytest.mark.parametrize("line", ["R 0:0(0)", "R. 0:0(0) ack 1", "F 0:0(0)", "P 0:5(5)"])
def test_listen_drops_what_is_neither_syn_nor_ack(line):
    s = listening()
    s.into(line)
    s.quiet(5)


@pytest.mark.parametrize("flags", [".", "S.", "F.", "P."])
def test_listen_resets_every_ack(flags):
    s = listening()
    s.into(f"{flags} 5:5(0) ack 4711")
    s.out("R 4711:4711(0) win 0")
    s.quiet(5)


def test_listen_keeps_text_and_fin_of_a_syn_for_later():
    s = Script(rfc())
    s.listen()
    s.into("FS 0:10(10) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1")  # not acknowledged yet
    s.into(". 12:12(0) ack 1 win 5000", after=0.1)
    s.out(". 1:1(0) ack 12")
    server = s.accept()
    assert server.recv(100) == bytes(10)
    assert server.recv(100) == b""


def test_text_of_a_syn_that_is_sent_again_is_delivered_once():
    s = Script(rfc())
    s.listen()
    s.into("S 0:10(10) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1")
    s.into("P. 1:21(20) ack 1 win 5000", after=0.1)
    s.out(". 1:1(0) ack 21")
    assert s.accept().recv(100) == bytes(20)


# SYN-SENT


@pytest.mark.parametrize("flags", [".", "S.", "F."])
@pytest.mark.parametrize("ack", [0, 2, 4_000_000_000])
def test_syn_sent_resets_an_ack_of_what_it_did_not_send(flags, ack):
    here = at(State.SYN_SENT)
    here.s.into(f"{flags} 300:300(0) ack {ack}")
    here.s.out(f"R {ack}:{ack}(0) win 0")
    assert here.now is State.SYN_SENT
    here.s.out("S 0:0(0)", after=1)


@pytest.mark.parametrize(
    "line", ["R 0:0(0)", "R. 0:0(0) ack 0", "R. 0:0(0) ack 2", ". 0:0(0) ack 1"]
)
def test_syn_sent_ignores_resets_of_something_else_and_bare_acks(line):
    here = at(State.SYN_SENT)
    here.s.into(line)
    here.s.quiet()
    assert here.now is State.SYN_SENT


def test_syn_sent_is_refused_by_a_reset_that_acknowledges_the_syn():
    here = at(State.SYN_SENT)
    here.s.into("R. 0:0(0) ack 1")
    here.s.quiet(100)
    assert here.now is State.CLOSED


def test_syn_sent_takes_text_and_fin_with_the_syn_ack():
    here = at(State.SYN_SENT)
    here.s.into("FS. 0:10(10) ack 1 win 5000 <mss 1000>", after=0.1)
    here.s.out(". 1:1(0) ack 12")
    assert here.now is State.CLOSE_WAIT
    here.s.socket.connect_ex(("192.0.2.2", 8080))
    assert here.s.socket.recv(100) == bytes(10)


# SYN-RECEIVED


@pytest.mark.parametrize("ack", [0, 2, 4_000_000_000])
def test_syn_received_resets_an_ack_that_is_not_of_its_syn(ack):
    here = at(State.SYN_RECEIVED)
    here.s.into(f". 1:1(0) ack {ack}")
    here.s.out(f"R {ack}:{ack}(0) win 0")
    assert here.now is State.SYN_RECEIVED


def test_syn_received_returns_to_listen_on_a_reset():
    here = at(State.SYN_RECEIVED)
    here.s.into("R 1:1(0)")
    here.s.quiet(100)
    assert here.now is State.CLOSED
    here.s.iss = None
    here.s.into("S 0:0(0) win 65535 <mss 1000>")
    here.s.out("S. 0:0(0) ack 1")


def test_syn_received_challenges_a_reset_inside_the_window():
    here = at(State.SYN_RECEIVED)
    here.s.into("R 2:2(0)")
    here.ack()
    assert here.now is State.SYN_RECEIVED


def test_syn_received_drops_a_reset_outside_the_window():
    here = at(State.SYN_RECEIVED)
    here.s.into("R 0:0(0)")
    here.s.into("R 70000:70000(0)")
    here.s.quiet(0.9)
    assert here.now is State.SYN_RECEIVED


def test_syn_received_by_a_passive_open_returns_to_listen_on_a_new_syn():
    here = at(State.SYN_RECEIVED)
    here.s.into("S 100:100(0) win 5000 <mss 1000>")
    here.s.quiet()
    assert here.now is State.CLOSED
    here.s.iss = None
    here.s.into("S 100:100(0) win 5000 <mss 1000>")
    here.s.out("S. 0:0(0) ack 101")


def test_syn_received_takes_text_and_fin_with_the_third_ack():
    here = at(State.SYN_RECEIVED)
    here.s.into("FP. 1:11(10) ack 1", after=0.1)
    here.s.out(". 1:1(0) ack 12")
    assert here.now is State.CLOSE_WAIT
    assert here.s.accept().recv(100) == bytes(10)


def test_syn_received_acknowledges_what_lies_outside_the_window():
    here = at(State.SYN_RECEIVED)
    here.s.into(". 70000:70000(0) ack 1")
    here.ack()
    assert here.now is State.SYN_RECEIVED


def test_syn_received_drops_what_acknowledges_nothing():
    here = at(State.SYN_RECEIVED)
    here.s.into("P 1:11(10)")
    here.s.quiet(0.9)
    assert here.now is State.SYN_RECEIVED


# Synchronized states


@every
def test_old_text_is_acknowledged_and_dropped(state):
    here = at(state)
    here.s.into(f"P. 0:1(1) ack {here.ours}") if here.peer == 1 else here.s.into("P. 1:2(1) ack 1")
    here.ack()


@but_time_wait
def test_text_beyond_the_window_is_acknowledged_and_dropped(state):
    here = at(state)
    here.s.into(f"P. 70000:70010(10) ack {here.ours}")
    here.ack()
    assert here.now is state  # not even its ACK counts


@but_time_wait
def test_a_reset_with_exactly_the_next_number_ends_it(state):
    here = at(state)
    here.s.into(f"R {here.peer}:{here.peer}(0)")
    here.s.quiet(100)
    assert here.now is State.CLOSED


@but_time_wait
def test_a_reset_with_an_ack_of_nonsense_counts_by_its_number_alone(state):
    here = at(state)
    here.s.into(f"R. {here.peer}:{here.peer}(0) ack 999999")
    here.s.quiet(100)
    assert here.now is State.CLOSED


@every
@pytest.mark.parametrize("ahead", [1, 1000, 60000])
def test_a_reset_elsewhere_in_the_window_is_challenged(state, ahead):
    here = at(state)
    here.s.into(f"R {here.peer + ahead}:{here.peer + ahead}(0)")
    here.ack()
    assert here.now is state


@every
@pytest.mark.parametrize("number", [0, 70_000, 2_000_000_000])
def test_a_reset_outside_the_window_is_dropped(state, number):
    here = at(state)
    here.s.into(f"R {number}:{number}(0)")
    here.s.quiet()
    assert here.now is state


def test_a_reset_does_not_end_time_wait():
    """RFC 1337 (F1)."""
    here = at(State.TIME_WAIT)
    here.s.into("R 2:2(0)")
    here.s.quiet(239)
    assert here.now is State.TIME_WAIT


@but_time_wait
@pytest.mark.parametrize("number", [0, 1, 2, 500, 70_000, 3_000_000_000])
@pytest.mark.parametrize("flags", ["S", "S."])
def test_a_syn_is_challenged_wherever_it_lies(state, number, flags):
    here = at(state)
    ack = f" ack {here.ours}" if "." in flags else ""
    here.s.into(f"{flags} {number}:{number}(0){ack} win 1000 <mss 1000>")
    here.ack()
    assert here.now is state


@every
def test_without_an_ack_nothing_is_looked_at(state):
    here = at(state)
    here.s.into(f"P {here.peer}:{here.peer + 10}(10)")
    here.s.quiet()
    assert here.now is state


@every
@pytest.mark.parametrize("ahead", [1, 1000, 1_000_000_000])
def test_an_ack_of_what_was_not_sent_is_answered_by_an_ack(state, ahead):
    here = at(state)
    here.s.into(f"P. {here.peer}:{here.peer + 10}(10) ack {here.ours + ahead}")
    here.ack()  # the text is not taken, either
    assert here.now is state


@every
def test_an_ack_older_than_the_largest_window_is_challenged(state):
    """RFC 5961 5.2: '(SND.UNA - MAX.SND.WND) <= SEG.ACK'."""
    here = at(state)
    here.s.into(f". {here.peer}:{here.peer}(0) ack {(1 - 65536 - 2) % (1 << 32)}")
    here.ack()
    assert here.now is state


def test_an_older_ack_within_the_window_is_ignored_but_its_text_is_taken():
    here = at(State.ESTABLISHED)
    here.s.into(f"P. 1:11(10) ack {(1 - 65535) % (1 << 32)}")
    here.s.out(". 1:1(0) ack 11", after=0.1)


@pytest.mark.parametrize("state", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK], ids=str)
def test_a_fin_that_comes_again_is_acknowledged_again(state):
    here = at(state)
    here.s.into("F. 1:1(0) ack 1")
    here.ack()
    assert here.now is state


def test_a_fin_that_comes_again_restarts_time_wait():
    here = at(State.TIME_WAIT)
    here.s.into("F. 1:1(0) ack 2", after=200)
    here.ack()
    here.s.quiet(239.9)
    assert here.now is State.TIME_WAIT
    here.s.quiet(0.2)
    assert here.now is State.CLOSED


@pytest.mark.parametrize("state", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK], ids=str)
def test_text_after_a_fin_is_ignored(state):
    here = at(state)
    here.s.into("P. 2:12(10) ack 1")
    here.s.quiet(0.4)
    assert here.now is state
    assert here.connection.unread == 0
