"""Scripts with exact segments at exact times, through the socket facade."""

from __future__ import annotations

import pytest
from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.sockets import constants as c

PLAIN = StackConfig.of(tcp={"timestamps": False, "window_scaling": False, "sack": False})
SACK = StackConfig.of(
    tcp={"timestamps": False, "window_scaling": False, "rack": False, "tlp": False}
)


def opened(config: StackConfig = PLAIN, options: str = "mss 1000") -> Script:
    s = Script(config)
    s.connect()
    s.out("S 0:0(0)")
    s.into(f"S. 0:0(0) ack 1 win 50000 <{options}>", after=0.1)
    s.out(". 1:1(0) ack 1 win 65535")
    return s


def test_a_syn_offers_what_linux_offers():
    s = Script()
    s.connect()
    segment = s.out("S 0:0(0) win 65535")
    kinds = [type(option).__name__ for option in segment.options]
    assert kinds == ["MSS", "SackPermitted", "Timestamps", "WindowScale"]


def test_a_syn_is_resent_after_1_3_7_seconds():
    s = Script(PLAIN)
    s.connect()
    for wait in (0, 1, 2, 4, 8):
        s.out("S 0:0(0) win 65535 <mss 1460>", after=wait)


def test_passive_open_data_and_close():
    s = Script(PLAIN)
    s.listen()
    s.into("S 0:0(0) win 20000 <mss 1000>")
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460>")
    s.into(". 1:1(0) ack 1 win 20000", after=0.05)
    server = s.accept()
    s.into("P. 1:101(100) ack 1 win 20000")
    assert server.recv(1000) == bytes(100)
    s.out(". 1:1(0) ack 101", after=0.1)  # the delayed ACK
    s.into("P. 101:1101(1000) ack 1 win 20000")
    s.into("P. 1101:2101(1000) ack 1 win 20000")
    s.out(". 1:1(0) ack 2101 win 65535")  # every second full segment at once
    s.into("F. 2101:2101(0) ack 1 win 20000")
    s.out(". 1:1(0) ack 2102")
    assert server.recv(5000) == bytes(2000)
    assert server.recv(1) == b""
    server.close()
    s.out("F. 1:1(0) ack 2102")
    s.into(". 2102:2102(0) ack 2 win 20000", after=0.05)
    s.quiet(300)
    assert s.stack.tcp.connections == ()


def test_the_retransmission_timer_backs_off():
    s = opened(PLAIN.with_(pmtu={"probing": "off"}))
    s.socket.send(bytes(500))
    s.out("P. 1:501(500) ack 1")
    for wait in (1, 2, 4, 8, 16, 32):
        s.out("P. 1:501(500) ack 1", after=wait)
    s.into(". 1:1(0) ack 501 win 50000", after=0.5)
    s.quiet(100)


def test_after_timeouts_of_a_full_segment_smaller_ones_are_tried():
    s = Script(
        PLAIN.with_(pmtu={"black_hole_timeouts": 2})
    )  # RFC 4821 7.7, from a base of 1200 bytes (RFC 8899 5.1.2)
    s.connect()
    s.out("S 0:0(0)")
    s.into("S. 0:0(0) ack 1 win 50000 <mss 1460>", after=0.1)
    s.out(". 1:1(0) ack 1")
    s.socket.send(bytes(1460))
    s.out("P. 1:1461(1460) ack 1")
    s.out("P. 1:1461(1460) ack 1", after=1)
    s.out(". 1:1161(1160) ack 1", after=2)


def test_nagle_holds_the_second_small_segment_until_the_first_is_acknowledged():
    s = opened()
    s.socket.send(b"a")
    s.out("P. 1:2(1) ack 1")
    s.socket.send(b"bc")
    s.quiet(0.05)
    s.into(". 1:1(0) ack 2 win 50000")
    s.out("P. 2:4(2) ack 1")
    s.socket.setsockopt(c.IPPROTO_TCP, c.TCP_NODELAY, 1)
    s.socket.send(b"d")
    s.out("P. 4:5(1) ack 1")


def test_three_duplicates_resend_the_first_segment_at_once():
    s = opened()
    s.socket.send(bytes(5000))
    for start in range(1, 5001, 1000):
        flags = "P." if start == 4001 else "."
        s.out(f"{flags} {start}:{start + 1000}(1000) ack 1")
    for _ in range(2):
        s.into(". 1:1(0) ack 1 win 50000", after=0.1 if _ == 0 else 0)
        s.quiet()
    s.into(". 1:1(0) ack 1 win 50000")
    s.out(". 1:1001(1000) ack 1")
    s.into(". 1:1(0) ack 5001 win 50000", after=0.1)
    s.quiet(10)


def test_exactly_the_holes_are_filled_with_sack():
    s = opened(SACK, "mss 1000,sackOK")
    s.socket.send(bytes(9000))
    for start in range(1, 9001, 1000):
        s.out(f"{'P.' if start == 8001 else '.'} {start}:{start + 1000}(1000) ack 1")
    s.into(". 1:1(0) ack 1 win 50000 <sack 1001:2001>", after=0.1)
    s.into(". 1:1(0) ack 1 win 50000 <sack 1001:3001>")
    s.into(". 1:1(0) ack 1 win 50000 <sack 4001:5001 1001:3001>")
    s.out(". 1:1001(1000) ack 1")
    s.into(". 1:1(0) ack 1 win 50000 <sack 4001:9001 1001:3001>")
    s.out(". 3001:4001(1000) ack 1")
    s.into(". 1:1(0) ack 9001 win 50000", after=0.1)
    s.quiet(10)


def test_a_closed_window_is_probed_with_back_off():
    s = opened()
    s.into(". 1:1(0) ack 1 win 0")
    s.socket.send(bytes(3000))
    s.quiet(0.9)
    probe = s.out(". 1:2(1) ack 1", after=0.1)
    assert len(probe.payload) == 1
    s.into(". 1:1(0) ack 1 win 0")
    s.out(". 1:2(1) ack 1", after=2)
    s.into(". 1:1(0) ack 1 win 0")
    s.into(". 1:1(0) ack 1 win 10000", after=1)
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.out("P. 2001:3001(1000) ack 1")


def test_an_active_close_waits_in_time_wait():
    s = opened(StackConfig.of(tcp={"timestamps": False, "window_scaling": False, "sack": False}))
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 2 win 50000", after=0.1)
    s.out(". 2:2(0) ack 2")
    s.into("F. 1:1(0) ack 2 win 50000", after=10)  # its ACK was lost
    s.out(". 2:2(0) ack 2")
    s.quiet(239)
    assert len(s.stack.tcp.connections) == 1
    s.quiet(2)
    assert s.stack.tcp.connections == ()


def test_a_script_notices_what_is_wrong():
    s = opened()
    s.socket.send(b"x")
    with pytest.raises(AssertionError, match=r"sent at|P\. 1:2"):
        s.out("P. 1:3(2) ack 1")
    s.socket.send(b"x")
    with pytest.raises(AssertionError, match="nothing was sent"):
        s.out("P. 2:3(1) ack 1", after=0.5)
    with pytest.raises(AssertionError, match="nothing was due"):
        s.quiet(5)
