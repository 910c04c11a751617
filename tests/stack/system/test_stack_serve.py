"""Another process drives a stack with its own clock: ``testbed stack serve``, and a driver."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import IPv4Address

import pytest

from testbed.stack.sockets.session import Session
from testbed.wire import IpProtocol, IPv4Packet, TcpFlags, TcpSegment

HOST, PEER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


class Driver:
    """What a driver in any language does: a line out, a line in."""

    def __init__(self) -> None:
        code = "import sys; from testbed.cli import main; main(['stack', 'serve'])"
        command = [sys.executable, "-c", code]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.packets: list[dict] = []
        self.now_us = 0

    def ask(self, do: str, **more) -> dict:
        self.process.stdin.write(json.dumps({"do": do, "id": 7, **more}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["id"] == 7
        self.packets = answer["packets"]
        self.now_us = answer["now_us"]
        return answer

    def call(self, fd: int, name: str, *arguments) -> object:
        answer = self.ask("call", fd=fd, name=name, args=arguments)
        return answer.get("result", answer.get("error", {}).get("errno"))

    def sent(self) -> list[tuple[float, TcpSegment]]:
        """The segments of the last answer, with their times."""
        packets = [
            (each["at_us"], IPv4Packet.parse(bytes.fromhex(each["packet"])))
            for each in self.packets
        ]
        return [
            (at, TcpSegment.parse(packet.payload, packet.src, packet.dst)) for at, packet in packets
        ]

    def give(self, segment: TcpSegment) -> dict:
        packet = IPv4Packet(PEER, HOST, IpProtocol.TCP, segment.emit(PEER, HOST))
        return self.ask("receive", packet=packet.emit().hex())

    def close(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()


@pytest.fixture
def driver():
    made = Driver()
    config = {"tcp": {"timestamps": False, "isn": 1000}}
    made.ask("stack", config=config, start_us=5_000_000)
    made.ask("interface", name="tun0")
    made.ask("address", interface="tun0", address="10.0.0.1/24")
    yield made
    made.close()


def test_a_connection_to_the_microsecond(driver):
    fd = driver.ask("socket")["result"]
    assert driver.call(fd, "connect", ["10.0.0.2", 80]) == "EINPROGRESS"
    ((at, syn),) = driver.sent()
    assert (at, syn.flags, syn.seq) == (5_000_000, TcpFlags.SYN, 1000)
    assert driver.ask("advance", us=999_999)["packets"] == []
    assert driver.ask("advance", us=1)["now_us"] == 6_000_000
    ((at, again),) = driver.sent()
    assert (at, again) == (6_000_000, syn)
    synack = TcpSegment(80, syn.src_port, 77, 1001, TcpFlags.SYN | TcpFlags.ACK, window=8000)
    driver.give(synack)
    ((_, ack),) = driver.sent()
    assert (ack.seq, ack.ack, ack.flags) == (1001, 78, TcpFlags.ACK)
    assert driver.call(fd, "connect", ["10.0.0.2", 80]) is None
    assert driver.call(fd, "connect", ["10.0.0.2", 80]) == "EISCONN"
    assert driver.call(fd, "recv", 100) == "EAGAIN"
    assert driver.call(fd, "send", {"text": "hello"}) == 5
    ((_, data),) = driver.sent()
    assert data.payload == b"hello"
    driver.give(
        TcpSegment(80, syn.src_port, 78, 1006, TcpFlags.ACK, window=8000, payload=b"\xff\x00")
    )
    assert driver.call(fd, "recv", 100) == {"hex": "ff00"}
    snapshot = driver.ask("snapshot", fd=fd)["result"]
    assert (snapshot["state"], snapshot["snd_una"]) == ("ESTABLISHED", 1006)
    assert (
        driver.call(fd, "setsockopt", "SOL_SOCKET", "SO_LINGER", {"hex": "0100000000000000"})
        is None
    )
    driver.call(fd, "close")
    ((_, reset),) = driver.sent()
    assert TcpFlags.RST in reset.flags
    assert driver.call(fd, "recv", 1) == "EBADF"
    names = [each["event"] for each in driver.ask("events")["result"]["events"]]
    assert "StateChanged" in names


def test_what_makes_no_sense_is_told_and_nothing_breaks(driver):
    for request in (
        {"do": "nonsense"},
        {"do": "advance", "us": -1},
        {"do": "advance"},
        {"do": "receive", "packet": "zz"},
        {"do": "call", "fd": 3, "name": "__class__"},
        {"do": "call", "fd": 99, "name": "recv", "args": [1]},
        {"do": "socket", "kind": "raw"},
        {"do": "stack"},
        {"do": "mtu", "interface": "eth9", "mtu": 1500},
        {"do": "interface", "name": "x", "mac": "pear"},
    ):
        driver.process.stdin.write(json.dumps(request) + "\n")
        driver.process.stdin.flush()
        assert json.loads(driver.process.stdout.readline())["error"], request
    driver.process.stdin.write("{no json\n")
    driver.process.stdin.flush()
    assert "no JSON" in json.loads(driver.process.stdout.readline())["error"]["usage"]


def test_the_first_request_makes_the_stack():
    session = Session()
    assert "first request" in session.answer({"do": "advance", "us": 1})["error"]["usage"]
    assert "error" in session.answer([])


def test_sockets_over_loopback_need_no_packets():
    session = Session()
    session.answer({"do": "stack"})

    def call(fd: int, name: str, *arguments: object) -> object:
        answer = session.answer({"do": "call", "fd": fd, "name": name, "args": arguments})
        return answer.get("result", answer.get("error"))

    one, two = (session.answer({"do": "socket"})["result"] for _ in range(2))
    call(one, "bind", ["127.0.0.1", 80])
    call(one, "listen", 5)
    call(two, "connect", ["127.0.0.1", 80])
    made, peer = call(one, "accept")
    assert peer[0] == "127.0.0.1"
    call(two, "send", {"text": "ping"})
    assert call(made, "recv", 10) == {"hex": b"ping".hex()}
