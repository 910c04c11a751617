"""Calls that wait, in virtual time: how long, and what they end with."""

from __future__ import annotations

import errno

import pytest
from pair import Pair

from testbed.stack.config import StackConfig
from testbed.stack.sockets import SocketApi
from testbed.stack.sockets import constants as c
from testbed.timing import milliseconds, seconds


def sides(config: StackConfig | None = None) -> tuple[Pair, SocketApi, SocketApi]:
    pair = Pair(config, config)
    left, right = (
        SocketApi(stack, lambda: pair.now, pair.run_until, patience=seconds(1000))
        for stack in (pair.left, pair.right)
    )
    return pair, left, right


def joined(config: StackConfig | None = None):
    pair, left, right = sides(config)
    listener = right.stream()
    listener.bind(("", 80))
    listener.listen()
    client = left.stream()
    client.connect(("10.0.0.2", 80))
    server, _ = listener.accept()
    return pair, client, server


def test_within_bounds_a_call_as_a_receive_timeout_does():
    pair, client, _ = joined()
    began = pair.now
    with pytest.raises(BlockingIOError):
        client.recv(10, within=milliseconds(250))
    assert pair.now == began + milliseconds(250)
    client.settimeout(0.5)
    with pytest.raises(BlockingIOError):
        client.recv(10)
    assert pair.now == began + milliseconds(750)


def test_a_host_that_is_not_there_is_unreachable():
    _, left, _ = sides()
    client = left.stream()
    assert client.connect_ex(("10.0.0.99", 80)) == errno.EHOSTUNREACH


def test_a_host_that_never_answers_times_out():
    pair, client, _ = joined()
    pair.unplug()
    other = SocketApi(pair.left, lambda: pair.now, pair.run_until, patience=seconds(1000)).stream()
    assert other.connect_ex(("10.0.0.2", 80), within=seconds(1)) == errno.EINPROGRESS
    assert other.connect_ex(("10.0.0.2", 80), within=seconds(1)) == errno.EALREADY
    assert other.connect_ex(("10.0.0.2", 80)) in {errno.ETIMEDOUT, errno.EHOSTUNREACH}
    client.send(b"into the void")
    with pytest.raises(OSError) as told:  # noqa: PT011 - the errno is what counts
        client.recv(10)
    assert told.value.errno in {errno.ETIMEDOUT, errno.EHOSTUNREACH}


def test_a_blocking_send_takes_all_and_waits_for_the_reader():
    pair, client, server = joined()
    got = bytearray()

    def read() -> None:
        if server.connection.unread:
            got.extend(server.recv(100_000))
        pair.call_after(milliseconds(10), read)

    read()
    assert client.send(bytes(3_000_000)) == 3_000_000
    pair.run(seconds(5))
    assert len(got) == 3_000_000


def test_the_receive_buffer_bounds_the_window():
    pair, left, right = sides()
    listener = right.stream()
    listener.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 5000)
    listener.bind(("", 80))
    listener.listen()
    client = left.stream()
    client.connect(("10.0.0.2", 80))
    server, _ = listener.accept()
    client.setblocking(False)
    client.send(bytes(100_000))
    pair.run(seconds(10))
    assert 0 < server.connection.unread <= 5000


def test_poll_and_select_wait_for_the_first_that_is_ready():
    pair, client, server = joined()
    api = SocketApi(pair.left, lambda: pair.now, pair.run_until)
    pair.call_after(seconds(2), lambda: server.connection.send(b"now", pair.now))
    began = pair.now
    assert api.poll([(client, c.POLLIN)], seconds(1)) == []
    ((ready, mask),) = api.poll([(client, c.POLLIN)], seconds(5))
    assert (ready, mask) == (client, c.POLLIN)
    assert seconds(2) <= pair.now - began < seconds(3)
    assert api.select([client], [], [], seconds(0)) == ([client], [], [])


def test_lingering_close_waits_for_the_last_acknowledgement():
    pair, client, _ = joined()
    client.setsockopt(c.SOL_SOCKET, c.SO_LINGER, (1, 5))
    client.send(bytes(10_000))
    began = pair.now
    client.close()
    assert milliseconds(10) <= pair.now - began < seconds(1)


def test_descriptors_are_the_lowest_that_are_free():
    _, left, _ = sides()
    one, two = left.stream(), left.datagram()
    assert (one.fileno(), two.fileno()) == (3, 4)
    one.close()
    assert left.datagram().fileno() == 3
    assert left.at(4) is two
    with pytest.raises(OSError, match="Bad file descriptor"):
        left.at(77)
