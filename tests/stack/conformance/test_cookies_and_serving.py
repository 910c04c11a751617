"""SYN cookies (RFC 4987), and scripts that another process runs by ``testbed stack serve``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from conformance import rfc
from script import Script

from testbed.stack.config import StackConfig
from testbed.wire import MSS, IPv4Packet, TcpFlags, TcpSegment
from testbed.wire.ipv4 import IpProtocol


def flooded(**tcp: object) -> Script:
    """The backlog of one is taken by a half-open connection."""
    s = Script(rfc(backlog=1, **tcp))
    s.socket.bind(("", 80))
    s.socket.listen(1)
    s.passive = True
    s.into("S 0:0(0) win 5000 <mss 1460>", src_port=1)
    s.out("S. 0:0(0) ack 1")
    s.iss = None
    return s


def test_a_full_backlog_answers_with_a_cookie():
    s = flooded()
    s.into("S 0:0(0) win 5000 <mss 1460>")
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460>")
    assert len(s.stack.tcp.connections) == 1
    s.into("P. 1:11(10) ack 1 win 5000", after=0.1)
    assert len(s.stack.tcp.connections) == 2
    server = s.accept()
    assert server.recv(10) == bytes(10)


def test_a_cookie_keeps_the_mss():
    s = flooded()
    s.into("S 0:0(0) win 5000 <mss 1220>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 1 win 5000", after=0.1)
    s.accept().send(bytes(2000))
    s.out(". 1:1221(1220) ack 1")


def test_a_cookie_is_not_resent():
    s = flooded()
    s.into("S 0:0(0) win 5000 <mss 1220>")
    s.out("S. 0:0(0) ack 1")
    s.pass_time(0.9)
    assert not s.sent


def test_what_is_no_cookie_is_reset():
    s = flooded()
    s.into("S 0:0(0) win 5000 <mss 1220>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 2 win 5000")
    s.out("R 2:2(0)")
    s.into(". 2:2(0) ack 1 win 5000")  # another number of the peer's
    s.out("R 1:1(0)")


def test_an_old_cookie_is_reset():
    s = flooded()
    s.into("S 0:0(0) win 5000 <mss 1220>")
    s.out("S. 0:0(0) ack 1")
    s.pass_time(200)
    s.sent.clear()
    s.into(". 1:1(0) ack 1 win 5000")
    s.out("R 1:1(0)")


def test_without_cookies_a_syn_too_many_is_dropped():
    s = flooded(syn_cookies="off")
    s.into("S 0:0(0) win 5000 <mss 1220>")
    s.quiet(0.9)


def test_a_cookie_with_timestamps_keeps_the_options():
    s = Script(StackConfig.of(tcp={"syn_cookies": "always", "timestamp_offset": 0}))
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1460,sackOK,TS val 5 ecr 0,wscale 7>")
    answer = s.out("S. 0:0(0) ack 1")
    stamp = answer.options[2]
    s.into(f". 1:1(0) ack 1 win 100 <TS val 6 ecr {stamp.value}>", after=0.1)
    s.accept()
    seen = s.stack.tcp.connections[0].snapshot()
    assert seen.snd_wnd == 12_800
    s.into(f". 1001:1011(10) ack 1 win 100 <TS val 7 ecr {stamp.value}>")
    kinds = [type(each).__name__ for each in s.out(". 1:1(0) ack 1").options]
    assert kinds == ["Timestamps", "Sack"]


# By another process


class Served:
    """A stack in another process, on its own clock."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.packets: list[dict[str, Any]] = []

    def ask(self, **request: object) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.packets += answer.get("packets", [])
        return answer.get("error", answer.get("result"))

    def call(self, fd: int, name: str, *args: object) -> Any:
        return self.ask(do="call", fd=fd, name=name, args=list(args))

    def sent(self) -> list[tuple[int, TcpSegment]]:
        held, self.packets = self.packets, []
        told = []
        for each in held:
            packet = IPv4Packet.parse(bytes.fromhex(each["packet"]))
            told.append((each["at_us"], TcpSegment.parse(packet.payload, packet.src, packet.dst)))
        return told

    def give(self, segment: TcpSegment) -> None:
        packet = IPv4Packet(THERE, HERE, IpProtocol.TCP, segment.emit(THERE, HERE))
        self.ask(do="receive", packet=packet.emit().hex(), interface="tun0")


SERVE = "from testbed.cli import main; main(['stack', 'serve'])"
HERE, THERE = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


@pytest.fixture
def served() -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        made = Served(process)
        made.ask(do="stack", seed=1, config={"tcp": {"timestamps": False, "sack": False}})
        made.ask(do="interface", name="tun0", mtu=1500, mac=None)
        made.ask(do="address", interface="tun0", address="10.0.0.1/24")
        yield made
        process.stdin.close()


def test_another_process_sees_every_segment_at_its_microsecond(served):
    fd = served.ask(do="socket", kind="stream")
    assert served.call(fd, "connect", ["10.0.0.2", 80])["errno"] == "EINPROGRESS"
    ((began, syn),) = served.sent()
    assert syn.flags == TcpFlags.SYN
    served.ask(do="advance", us=3_000_000)
    assert [at - began for at, _ in served.sent()] == [1_000_000, 3_000_000]
    there = TcpSegment(
        80,
        syn.src_port,
        7000,
        (syn.seq + 1) % (1 << 32),
        TcpFlags.SYN | TcpFlags.ACK,
        50_000,
        options=(MSS(1000),),
    )
    served.give(there)
    ((_, ack),) = served.sent()
    assert (ack.flags, ack.ack) == (TcpFlags.ACK, 7001)
    assert served.call(fd, "send", {"text": "hello"}) == 5
    ((at, data),) = served.sent()
    assert data.payload == b"hello"
    served.ask(do="advance", us=3_000_001)
    ((again, copy),) = served.sent()
    assert (again - at, copy.payload) == (3_000_000, b"hello")  # RFC 6298 5.7: the SYN was lost
    served.call(fd, "close")
    assert [segment.flags for _, segment in served.sent()] == [TcpFlags.FIN | TcpFlags.ACK]
