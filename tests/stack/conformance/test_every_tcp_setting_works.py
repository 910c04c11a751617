"""Each field of TcpConfig changes what a stack does: no setting is for show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from script import THEM, Script

from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused
from testbed.stack.sockets import constants as c
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import milliseconds, seconds
from testbed.wire import TcpSegment

PLAIN = {"timestamps": False, "window_scaling": False, "sack": False, "isn": 0}
Trace = list[Any]


def start(tcp: dict[str, object]) -> Script:
    s = Script(StackConfig.of(tcp=PLAIN | {"congestion_control": "newreno"} | tcp))
    s.iss = 0
    return s


def trace(s: Script, span: float) -> Trace:
    """All that is sent within ``span`` seconds, with its time."""
    s.pass_time(span)
    told: Trace = []
    while s.sent:
        at, packet = s.sent.popleft()
        segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
        told.append((round((at - s.start) / 1e6, 3), s._text(segment, " win <"), segment.src_port))
    return told


def opens(tcp: dict[str, object]) -> Trace:
    """A SYN that nobody answers."""
    s = start(tcp)
    s.connect()
    return trace(s, 1000)


def connected(
    tcp: dict[str, object], options: str = "mss 1000,sackOK,wscale 2", *, lost: int = 0
) -> Script:
    s = start(tcp)
    s.connect()
    s.pass_time(2**lost - 1)
    _, packet = s.sent[0]
    s.port = TcpSegment.parse(packet.payload, packet.src, packet.dst).src_port
    s.sent.clear()
    s.into(f"S. 0:0(0) ack 1 win 60000 <{options}>", after=0.1)
    s.sent.clear()
    return s


def listens(tcp: dict[str, object]) -> Trace:
    """A SYN whose answer is lost."""
    s = start(tcp)
    s.listen()
    s.into("S 0:0(0) win 60000 <mss 1000,sackOK,wscale 2,TS val 5 ecr 0>")
    return trace(s, 1000)


def floods(tcp: dict[str, object]) -> Trace:
    """More SYNs than the backlog holds."""
    s = start(tcp)
    s.stack.tcp.listen(80, s.now)
    for port in range(1, 201):
        s.into("S 0:0(0) win 60000 <mss 1000>", src_port=port)
    return [len(s.stack.tcp.connections), len(trace(s, 0))]


def writes(tcp: dict[str, object], size: int = 30_000, options: str = "mss 1000,sackOK") -> Trace:
    """Data that nobody acknowledges."""
    s = connected(tcp, options)
    s.socket.send(bytes(size))
    return trace(s, 1000)


def writes_a_little(tcp: dict[str, object]) -> Trace:
    s = connected(tcp)
    s.socket.send(bytes(2500))
    s.socket.send(bytes(10))
    return trace(s, 0.5)


def acknowledged(tcp: dict[str, object]) -> Trace:
    """Data that is acknowledged, with pauses, and more."""
    s = connected(tcp, lost=1)
    told: Trace = []
    at = 0
    s.socket.send(bytes(200_000))
    for wait in (0.1, 0.3, 0.05, 0.4, 0.2):
        told += trace(s, wait)
        at += 3000
        s.into(f". 1:1(0) ack {1 + at} win 60000")
    return told + trace(s, 5)


def rests(tcp: dict[str, object]) -> Trace:
    """A window grows, then nothing is sent for a while."""
    s = connected(tcp)
    s.socket.send(bytes(100_000))
    while sent := trace(s, 0):
        for _, line, _ in sent:
            s.into(f". 1:1(0) ack {line.split(':')[1].split('(')[0]} win 60000")
    s.pass_time(10)
    s.socket.send(bytes(100_000))
    return trace(s, 0)


def measures(tcp: dict[str, object]) -> Trace:
    """The RTO after a lost SYN and three unlike round trips."""
    s = connected(tcp, lost=1)
    told: Trace = [s.stack.tcp.connections[0].snapshot().rto]
    for at, wait in enumerate((0.8, 0.1, 0.4), 1):
        s.socket.send(bytes(1000))
        s.into(f". 1:1(0) ack {1 + 1000 * at} win 60000", after=wait)
        told.append(s.stack.tcp.connections[0].snapshot().rto)
    return told


def loses(tcp: dict[str, object]) -> Trace:
    """The first of ten is lost, without SACK; duplicates come one by one."""
    s = connected(tcp, "mss 1000")
    s.socket.send(bytes(20_000))
    told = trace(s, 0)
    for _ in range(6):
        s.into(". 1:1(0) ack 1 win 60000", after=0.01)
        told += trace(s, 0)
    s.into(". 1:1(0) ack 3001 win 60000", after=0.1)
    return told + trace(s, 0.3)


def times_out(tcp: dict[str, object]) -> Trace:
    s = connected(tcp, "mss 1000")
    s.socket.send(bytes(30_000))
    told = trace(s, 1.1)
    s.into(". 1:1(0) ack 1001 win 60000")
    return told + trace(s, 0)


def loses_with_sack(tcp: dict[str, object]) -> Trace:
    s = connected({"sack": True} | tcp)
    s.socket.send(bytes(10_000))
    told = trace(s, 0.1)
    s.into(". 1:1(0) ack 1 win 60000 <sack 1001:2001>")
    return told + trace(s, 0.05)


def ends_with_sack(tcp: dict[str, object]) -> Trace:
    s = connected({"sack": True} | tcp)
    s.socket.send(bytes(1000))
    return trace(s, 3)


def hears(tcp: dict[str, object]) -> Trace:
    """Data in order, out of order and twice."""
    s = connected({"sack": True, "timestamps": False} | tcp, "mss 1000,sackOK")
    told: Trace = []
    for start_at in (1, 1001, 2001, 5001, 7001, 5001, 3001):
        s.into(f". {start_at}:{start_at + 1000}(1000) ack 1 win 60000", after=0.03)
        told += trace(s, 0)
    return told + trace(s, 1)


def hears_nonsense(tcp: dict[str, object]) -> Trace:
    """Resets inside the window, a SYN, old segments."""
    s = connected(tcp)
    told: Trace = []
    for line in ["R 50:50(0)"] * 12 + [". 70000:70000(0) ack 1"] * 3 + ["R 5:5(0)"]:
        s.into(line)
        told += trace(s, 0.001)
    return [*told, len(s.stack.tcp.connections)]


def stamped(tcp: dict[str, object]) -> Trace:
    s = start({"timestamps": True} | tcp)
    s.listen()
    s.into("S 0:0(0) win 60000 <mss 1000,TS val 100 ecr 0>")
    told = trace(s, 0)
    s.into(". 1:1(0) ack 1 win 60000 <TS val 100 ecr 0>")
    s.into("P. 1:11(10) ack 1 win 60000 <TS val 5 ecr 0>")
    told += trace(s, 0.2)
    s.into("P. 1:11(10) ack 1 win 60000")
    return told + trace(s, 1)


def stuck(tcp: dict[str, object]) -> Trace:
    """A closed window; whoever is there answers nothing."""
    s = connected(tcp)
    s.into(". 1:1(0) ack 1 win 0")
    s.socket.send(bytes(10))
    return trace(s, 1000)


def aborts(tcp: dict[str, object]) -> Trace:
    s = connected(tcp)
    s.into("P. 1:11(10) ack 1 win 60000")
    s.socket.close()
    return trace(s, 0)


def held_back(tcp: dict[str, object]) -> Trace:
    s = connected(tcp)
    s.socket.send(bytes(10), c.MSG_MORE)
    return trace(s, 2)


def silent(tcp: dict[str, object]) -> Trace:
    return trace(connected({"keepalive": True} | tcp), 20_000)


def closes(tcp: dict[str, object]) -> Trace:
    s = connected(tcp)
    s.socket.close()
    s.into(". 1:1(0) ack 2 win 60000")
    s.pass_time(1000)
    if not s.stack.tcp.connections:
        return ["closed"]
    s.into("F. 1:1(0) ack 2 win 60000")
    began = s.now
    s.into("R 2:2(0)", after=1)
    while s.stack.tcp.connections and s.now - began < seconds(1000):
        s.pass_time(1)
    return [s.now - began]


def reopens(tcp: dict[str, object]) -> Trace:
    s = start(tcp)
    s.listen()
    s.into("S 0:0(0) win 60000 <mss 1000>")
    s.into(". 1:1(0) ack 1 win 60000")
    s.accept().close()
    s.into("F. 1:1(0) ack 2 win 60000")
    told = [len(s.stack.tcp.connections)]
    s.into("S 9:9(0) win 60000 <mss 1000>")
    return told + trace(s, 0)


def many(tcp: dict[str, object]) -> Trace:
    s = start({"isn": None} | tcp)
    made = 0
    for _ in range(3):
        try:
            s.stack.tcp.connect((THEM, 9), s.now)
            made += 1
        except Refused as refused:
            return [made, refused.errno_name]
    return [made]


TABLE: dict[str, tuple[object, Callable[[dict[str, object]], Trace]]] = {
    "mss": (700, opens),
    "default_mss": (300, lambda tcp: writes(tcp, 2000, "sackOK")),
    "min_mss": (300, lambda tcp: writes(tcp, 2000, "mss 100")),
    "window_scaling": (True, opens),
    "window_scale": (7, lambda tcp: opens({"window_scaling": True} | tcp)),
    "timestamps": (True, opens),
    "sack": (True, opens),
    "dsack": (False, hears),
    "isn": (77, opens),
    "timestamp_offset": (5, lambda tcp: opens({"timestamps": True} | tcp)),
    "timestamp_tick": (milliseconds(10), lambda tcp: opens({"timestamps": True} | tcp)),
    "syn_retries_span": (seconds(10), opens),
    "syn_retries": (2, opens),
    "synack_retries": (2, listens),
    "syn_linear_timeouts": (3, opens),
    "backlog": (5, floods),
    "syn_cookies": ("off", floods),
    "initial_rto": (seconds(3), opens),
    "min_rto": (milliseconds(200), writes),
    "min_rto_variance": (seconds(2), writes),
    "max_rto": (seconds(5), writes),
    "rto_after_syn_loss": (seconds(7), measures),
    "clock_granularity": (seconds(2), writes),
    "rtt_alpha": (0.9, measures),
    "rtt_beta": (0.9, measures),
    "rtt_k": (50, measures),
    "give_up": (seconds(100), writes),
    "user_timeout": (seconds(5), writes),
    "duplicate_ack_threshold": (5, loses),
    "limited_transmit": (False, loses),
    "rack": (False, loses_with_sack),
    "tlp": (False, ends_with_sack),
    "tlp_max_ack_delay": (milliseconds(50), ends_with_sack),
    "frto": (True, times_out),
    "congestion_control": ("reno", loses),
    "initial_window_segments": (4, writes),
    "small_window_after_syns": (1, acknowledged),
    "restart_after_idle": (False, rests),
    "abc_limit": (3, acknowledged),
    "send_buffer": (5000, writes),
    "receive_buffer": (5000, opens),
    "out_of_order_limit": (1, hears),
    "delayed_ack": (False, hears),
    "delayed_ack_timeout": (milliseconds(10), hears),
    "ack_every": (3, lambda tcp: hears({"delayed_ack_timeout": milliseconds(400)} | tcp)),
    "quick_acks": (5, hears),
    "nagle": (False, writes_a_little),
    "minshall": (True, writes_a_little),
    "override_timeout": (milliseconds(900), held_back),
    "persist_min": (seconds(5), stuck),
    "persist_max": (seconds(3), stuck),
    "persist_data": (False, stuck),
    "reset_with_ack": (True, aborts),
    "keepalive": (False, silent),
    "keepalive_idle": (seconds(10), silent),
    "keepalive_interval": (seconds(10), silent),
    "keepalive_probes": (2, silent),
    "msl": (seconds(5), closes),
    "time_wait": (seconds(5), closes),
    "time_wait_limit": (0, reopens),
    "time_wait_reuse": (False, reopens),
    "time_wait_ignores_rst": (False, closes),
    "fin_wait2_timeout": (seconds(5), closes),
    "challenge_acks": (False, hears_nonsense),
    "challenge_ack_limit": (3, hears_nonsense),
    "invalid_ack_interval": (milliseconds(500), hears_nonsense),
    "paws": (False, stamped),
    "timestamps_required": (False, stamped),
    "max_connections": (2, many),
    "ephemeral": ((5000, 5001), many),
}
ELSEWHERE = {
    "retries_r1": "test_tcp_timers",
    "tlp_margin": "test_tail_loss_probe",
    "challenge_ack_span": "test_settings_of_the_parts",
    "paws_expiry": "test_settings_of_the_parts",
    "min_rtt_window": "test_settings_of_the_parts",
    "tlp_unmeasured": "test_settings_of_the_parts",
    "cubic_c": "test_settings_of_the_parts",
    "cubic_beta": "test_settings_of_the_parts",
}
"""What shows outside the segments of one connection is tested there."""


def test_no_setting_is_forgotten():
    assert {each.name for each in fields(TcpConfig)} - set(ELSEWHERE) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_setting_changes_what_is_sent(name):
    value, scenario = TABLE[name]
    assert scenario({name: value}) != scenario({}), name
