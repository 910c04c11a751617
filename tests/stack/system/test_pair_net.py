"""The virtual-time net itself: order, delay, faults, jumps. Nodes here are no stacks."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import pytest
from pair import Net, Stuck

from testbed.capture import read_pcapng
from testbed.link.impair import Delay, Drop, Duplicate, Nth
from testbed.timing import Instant, milliseconds, seconds


class Out(NamedTuple):
    interface: str
    frame: bytes


class Parrot:
    """Notes what it hears; sends what it is told to; may have one timer."""

    def __init__(self) -> None:
        self.heard: list[tuple[Instant, bytes]] = []
        self.fired: list[Instant] = []
        self.out: deque[Out] = deque()
        self.deadline: Instant | None = None
        self.busy = False

    def receive(self, frame, now, interface=None):
        self.heard.append((now, frame))

    def handle_timeout(self, now):
        self.fired.append(now)
        if not self.busy:
            self.deadline = None

    def poll_timeout(self):
        return self.deadline

    def poll_transmit(self, now):
        return self.out.popleft() if self.out else None

    def say(self, *frames: bytes) -> None:
        self.out.extend(Out("eth0", frame) for frame in frames)


def joined() -> tuple[Net, Parrot, Parrot]:
    net, a, b = Net(), Parrot(), Parrot()
    net.join((a, "eth0"), (b, "eth0"), delay=milliseconds(5))
    return net, a, b


def test_frames_arrive_after_the_delay_and_in_order():
    net, a, b = joined()
    start = net.now
    a.say(b"one", b"two")
    net.run(seconds(1))
    assert b.heard == [(start + milliseconds(5), b"one"), (start + milliseconds(5), b"two")]
    assert net.now == start + seconds(1)


def test_a_timer_fires_at_its_instant_and_days_cost_no_steps():
    net, a, _ = joined()
    a.deadline = Instant(net.now + seconds(86_400))
    assert net.run_until(lambda: a.fired, within=seconds(100_000))
    assert a.fired == [net.now]


def test_faults_of_a_line_strike_one_direction_only():
    net, a, b = joined()
    line = net._lines[id(a), "eth0"]
    line.impair.add(Drop(Nth(1)))
    line.impair.add(Duplicate(Nth(1)))
    line.impair.add(Delay(milliseconds(10)))
    start = net.now
    a.say(b"lost", b"twice")
    b.say(b"fine")
    net.settle()
    assert b.heard == [(start + milliseconds(15), b"twice")] * 2
    assert a.heard == [(start + milliseconds(5), b"fine")]


def test_a_hub_gives_a_frame_to_all_others_and_a_frozen_node_hears_nothing():
    net, nodes = Net(), [Parrot() for _ in range(3)]
    net.join(*((node, "eth0") for node in nodes))
    net.freeze(nodes[2])
    nodes[0].say(b"hello")
    net.settle()
    assert [len(node.heard) for node in nodes] == [0, 1, 0]


def test_a_deadline_that_never_passes_is_found_out():
    net, a, _ = joined()
    a.busy, a.deadline = True, net.now
    with pytest.raises(Stuck, match="one instant"):
        net.run(seconds(1))


def test_the_capture_at_one_end_holds_both_directions(tmp_path):
    net, a, b = joined()
    a.say(bytes(60))
    b.say(bytes(61))
    net.settle()
    net.write_pcapng(tmp_path / "a.pcapng", a)
    packets = read_pcapng((tmp_path / "a.pcapng").read_bytes()).packets
    assert [len(packet.frame.data) for packet in packets] == [60, 61]
