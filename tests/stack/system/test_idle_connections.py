"""Ten thousand idle connections in one stack: their memory, and what a tick costs with them."""

from __future__ import annotations

import time
import tracemalloc
from ipaddress import IPv4Address, IPv4Interface

from pair import Net

from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.stack.tcp.states import State
from testbed.timing import milliseconds, seconds

MANY = 10_000
LIMIT = 60 << 20


def crowd(count: int) -> tuple[Net, Stack, list]:
    """A stack with ``count`` connections that another one opened, each having carried a word."""
    net = Net(trace=False)
    server, client = Stack(StackConfig(), seed=1), Stack(StackConfig(), seed=2)
    for number, stack in ((1, server), (2, client)):
        stack.add_interface("tun0")
        stack.add_address("tun0", IPv4Interface(f"10.0.0.{number}/24"), net.now)
    net.join((server, "tun0"), (client, "tun0"), delay=milliseconds(1))
    listener = server.tcp.listen(80, net.now, backlog=count)
    held = []
    for _ in range(count):
        connection = client.tcp.connect((IPv4Address("10.0.0.1"), 80), net.now)
        net.run(milliseconds(3))
        connection.send(b"word", net.now)
        accepted = listener.accept(net.now)
        net.run(milliseconds(2))
        assert accepted.receive(10, net.now) == b"word"
        held.append(accepted)
    net.run(seconds(5))
    return net, server, held


def test_ten_thousand_idle_connections_take_less_than_sixty_megabytes():
    tracemalloc.start()
    try:
        _, server, held = crowd(MANY)
        # Both ends are in this process: the other stack's connections are counted, too.
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert {connection.state for connection in held} == {State.ESTABLISHED}
    assert len(server.tcp.connections) == MANY
    assert taken / 2 < LIMIT


def test_a_tick_costs_no_more_with_many_connections_than_with_few():
    def cost(count: int) -> float:
        net, server, held = crowd(count)
        busy = held[0]
        best = float("inf")
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(200):
                busy.send(b"x", net.now)
                net.run(milliseconds(5))
                server.poll_timeout()
                server.handle_timeout(net.now)
            best = min(best, time.perf_counter() - began)
        assert len(server.alarms) < 20  # idle connections have none
        return best

    few, many = cost(10), cost(3000)
    assert many < 2 * few
