"""The same little programs over Linux's sockets and over the stack's: the same results, errnos."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface

import pytest
from netns import fresh_namespace, sh
from pair import Net
from socket_programs import PROGRAMS, Tool

from testbed.stack.config import StackConfig
from testbed.stack.sockets import SocketApi
from testbed.stack.sockets import constants as c
from testbed.stack.stack import Stack
from testbed.timing import Duration

EVENTS = c.POLLIN | c.POLLPRI | c.POLLOUT | c.POLLERR | c.POLLHUP | c.POLLRDHUP


@contextmanager
def closing_all(tool: Tool) -> Iterator[None]:
    try:
        yield
    finally:
        tool.close_all()


def over_linux(program) -> list[str]:
    with fresh_namespace() as namespace:
        near, _ = namespace.veth("near", "far")
        sh("ip", "addr", "add", "10.0.0.1/24", "brd", "10.0.0.255", "dev", near)

        def poll(each: socket.socket) -> int:
            poller = select.poll()
            poller.register(each, EVENTS)
            return dict(poller.poll(0)).get(each.fileno(), 0)

        tool = Tool(lambda kind: socket.socket(socket.AF_INET, kind), poll)
        with closing_all(tool):
            program(tool)
        return tool.minutes


def over_the_stack(program) -> list[str]:
    stack = Stack(StackConfig.linux(), seed=5)
    net = Net()
    net.add(stack)
    stack.add_interface("eth0", mtu=1500)
    stack.add_address("eth0", IPv4Interface("10.0.0.1/24"), net.now)
    api = SocketApi(stack, lambda: net.now)

    def poll(each) -> int:
        return dict(api.poll([(each, EVENTS)])).get(each, 0)

    tool = Tool(api.socket, poll, lambda: net.run(Duration(0)))
    program(tool)
    return tool.minutes


@pytest.mark.root
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_sees_what_it_would_see_on_linux(program):
    assert over_the_stack(program) == over_linux(program)
