"""Each part of TCP is a place where a defect can sit: one overridden method breaks one thing."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from tcp_wire import HOST, PEER, PEER_ISN, flags_of

from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.stack.tcp.acks import Acks
from testbed.stack.tcp.congestion import Cubic
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.cookies import Cookies
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.keepalive import Keepalive
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.receivebuffer import ReceiveBuffer
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp.sendbuffer import SendBuffer
from testbed.stack.tcp.timers import Timers
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.tcp.window import Window
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire import IPv4Packet, TcpSegment

START = Instant(10**12)

PARTS = {
    Acks: "take",
    Connection: "receive",
    Cubic: "on_ack",
    Delivery: "schedule_ack",
    Factory: "initial_number",
    Guard: "acceptable",
    Handshake: "established",
    Input: "segment",
    Keepalive: "start",
    LossRecovery: "sent",
    Output: "sendable",
    PathMtu: "start",
    ReceiveBuffer: "insert",
    RttEstimator: "sample",
    SendBuffer: "release",
    TcpLayer: "receive",
    Timers: "settle",
    Transmitter: "send",
    Window: "field",
    Listener: "has_room",
    Lifecycle: "move",
    Cookies: "check",
}


class Reached(Exception):  # noqa: N818 - no error: a sign
    """Raised where the altered method is reached."""


def altered(method: str) -> type:
    def breaks(self, *args, **kwargs):
        raise Reached

    return type("Mixin", (), {"__slots__": (), method: breaks})


def exercise(stack: Stack) -> None:
    """A handshake, data each way and a close."""
    stack.add_interface("tun0", mtu=1500)
    stack.add_address("tun0", IPv4Interface("10.0.0.1/24"), START)
    listener = stack.tcp.listen(80, START)

    def say(flags: str, seq: int, ack: int, payload: bytes = b"") -> None:
        segment = TcpSegment(9, 80, PEER_ISN + seq, ack, flags_of(flags), payload=payload)
        data = segment.emit(PEER, HOST)
        stack.receive(IPv4Packet(PEER, HOST, 6, data).emit(), START)

    say("S", 0, 0)
    out = stack.poll_transmit(START)
    iss = TcpSegment.parse(IPv4Packet.parse(out.frame).payload, HOST, PEER).seq
    say("A", 1, iss + 1)
    connection = listener.accept(START)
    say("PA", 1, iss + 1, b"abc")
    connection.receive(10, START)
    connection.send(b"def", START)
    say("A", 4, iss + 4)
    connection.close(START)


@pytest.mark.parametrize(("part", "method"), PARTS.items(), ids=str)
def test_a_method_of_any_part_can_be_altered(part, method):
    defect = Defect("broken", "TC-00", "made up", {part: altered(method)})
    cookies = {"syn_cookies": "always"} if part is Cookies else {}
    config = StackConfig.of(tcp={"isn": 5, **cookies})
    if part is Factory:
        config = StackConfig()
    exercise_fails = Stack(config.with_defects(defect), seed=1)
    with pytest.raises(Reached):
        exercise(exercise_fails)


def test_without_defects_the_same_exercise_passes():
    exercise(Stack(StackConfig.of(tcp={"isn": 5}), seed=1))
