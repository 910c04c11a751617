"""The stack's TCP with the Linux kernel as its peer, over a tun device in a fresh namespace."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from random import Random

import pytest
from netns import fresh_namespace, sh

from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused
from testbed.stack.stack import Stack
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import Instant, milliseconds

pytestmark = pytest.mark.root

KERNEL, STACK = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
TUNSETIFF = 0x400454CA
DATA = Random(5).randbytes(1_000_000)  # noqa: S311 - made up


class Rig:
    """A stack on a tun device; ``loss`` is the chance that a packet either way is lost."""

    def __init__(self, config: StackConfig, *, loss: float = 0.0, seed: int = 1) -> None:
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"t0", 0x1001))
        sh("ip", "addr", "add", f"{KERNEL}/24", "dev", "t0")
        sh("ip", "link", "set", "t0", "up", "txqueuelen", "2000")
        self.stack = Stack(config, seed=seed, name="tun")
        self.stack.add_interface("tun0", mtu=1500)
        self.stack.add_address("tun0", IPv4Interface(f"{STACK}/24"), self.now)
        self.loss = loss
        self.receive_buffer = 0
        self.chance = Random(seed)  # noqa: S311 - a seed of the test's own
        self.sockets: list[socket.socket] = []

    @property
    def now(self) -> Instant:
        return Instant(time.monotonic_ns())

    def turn(self) -> None:
        """Move what is there to move; wait a little where there is nothing."""
        due = self.stack.poll_timeout()
        wait = 0.002 if due is None else min(0.002, max(0, (due - self.now) / 1e9))
        select.select([self.tun], [], [], wait)
        while True:
            try:
                packet = os.read(self.tun, 65536)
            except BlockingIOError:
                break
            if self.chance.random() >= self.loss:
                self.stack.receive(packet, self.now)
        self.stack.handle_timeout(self.now)
        while (out := self.stack.poll_transmit(self.now)) is not None:
            if self.chance.random() >= self.loss:
                os.write(self.tun, out.frame)

    def until(self, condition: Callable[[], object], within: float = 30) -> None:
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, "not within the time"
            self.turn()

    def kernel(self) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        self.sockets.append(made)
        return made

    def kernel_listener(self) -> socket.socket:
        made = self.kernel()
        if self.receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        made.bind((str(KERNEL), 7000))
        made.listen()
        return made

    def accept(self, listener: socket.socket) -> socket.socket:
        got: list[socket.socket] = []

        def taken() -> bool:
            try:
                got.append(listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.until(taken)
        got[0].setblocking(False)
        self.sockets.append(got[0])
        return got[0]

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        os.close(self.tun)


@pytest.fixture
def make():
    with fresh_namespace():
        Path("/proc/sys/net/ipv4/tcp_no_metrics_save").write_text("1")
        rigs: list[Rig] = []

        def made(config: StackConfig | None = None, **more) -> Rig:
            rigs.append(Rig(config or StackConfig(), **more))
            return rigs[-1]

        yield made
        for rig in rigs:
            rig.close()


def connected(rig: Rig, *, active: bool, options: SocketOptions | None = None):
    """A connection between stack and kernel, opened by either: stack's end, kernel's end."""
    if active:
        listener = rig.kernel_listener()
        ours = rig.stack.tcp.connect((KERNEL, 7000), rig.now, options=options)
        theirs = rig.accept(listener)
    else:
        waiting = rig.stack.tcp.listen(80, rig.now, options=options)
        theirs = rig.kernel()
        assert theirs.connect_ex((str(STACK), 80)) == errno.EINPROGRESS
        rig.until(lambda: waiting.readable)
        ours = waiting.accept(rig.now)
        rig.until(lambda: theirs.connect_ex((str(STACK), 80)) in {0, errno.EISCONN})
    rig.until(lambda: ours.state is State.ESTABLISHED)
    return ours, theirs


def exchange(rig: Rig, ours, theirs, *, out: bytes = DATA, back: bytes = DATA) -> None:
    """Send ``out`` to the kernel and ``back`` from it at once; check every byte."""
    got_there, got_here = bytearray(), bytearray()
    sent_here = sent_there = 0

    def moved() -> bool:
        nonlocal sent_here, sent_there
        if sent_here < len(out):
            sent_here += ours.send(memoryview(out)[sent_here : sent_here + 65536], rig.now)
        with contextlib.suppress(BlockingIOError):
            if sent_there < len(back):
                sent_there += theirs.send(memoryview(back)[sent_there : sent_there + 65536])
        with contextlib.suppress(BlockingIOError):
            got_there.extend(theirs.recv(1 << 20))
        got_here.extend(ours.receive(1 << 20, rig.now) or b"")
        return len(got_there) >= len(out) and len(got_here) >= len(back)

    rig.until(moved, 120)
    assert bytes(got_there) == out
    assert bytes(got_here) == back


@pytest.mark.parametrize("active", [True, False])
def test_a_megabyte_each_way_arrives(make, active):
    rig = make()
    ours, theirs = connected(rig, active=active)
    seen = ours.snapshot()
    assert (seen.sack, seen.timestamps, seen.send_scale is None) == (True, True, False)
    exchange(rig, ours, theirs)


@pytest.mark.parametrize("kernel", ["tcp_sack", "tcp_timestamps", "tcp_window_scaling"])
@pytest.mark.parametrize("active", [True, False])
def test_it_works_with_an_option_that_the_kernel_does_not_offer(make, kernel, active):
    rig = make()
    Path(f"/proc/sys/net/ipv4/{kernel}").write_text("0")
    ours, theirs = connected(rig, active=active)
    exchange(rig, ours, theirs, out=DATA[:300_000], back=DATA[:300_000])


@pytest.mark.parametrize("algorithm", ["reno", "newreno", "cubic"])
@pytest.mark.parametrize("sack", [True, False])
def test_data_gets_through_a_lossy_path(make, algorithm, sack):
    config = StackConfig.of(
        tcp={"sack": sack, "congestion_control": algorithm, "min_rto": milliseconds(50)}
    )
    rig = make(config, loss=0.03, seed=7)
    ours, theirs = connected(rig, active=True)
    exchange(rig, ours, theirs, out=DATA[:300_000], back=DATA[:100_000])


@pytest.mark.parametrize("first", ["stack", "kernel"])
def test_either_side_may_close_first(make, first):
    rig = make()
    ours, theirs = connected(rig, active=False)
    if first == "stack":
        ours.close(rig.now)
        rig.until(lambda: select.select([theirs], [], [], 0)[0])
        assert theirs.recv(10) == b""
        rig.until(lambda: ours.state is State.FIN_WAIT_2)
        theirs.close()
        rig.until(lambda: ours.state is State.TIME_WAIT)
    else:
        theirs.shutdown(socket.SHUT_WR)
        rig.until(lambda: ours.state is State.CLOSE_WAIT)
        assert ours.receive(10, rig.now) == b""
        ours.send(b"half", rig.now)
        ours.close(rig.now)
        rig.until(lambda: ours.state is State.CLOSED)
        assert theirs.recv(10) == b"half"
        assert theirs.recv(10) == b""


def test_resets_are_understood_both_ways(make):
    rig = make()
    ours, theirs = connected(rig, active=False)
    ours.abort(rig.now)
    rig.until(lambda: select.select([theirs], [], [], 0)[0])
    with pytest.raises(ConnectionResetError):
        theirs.recv(10)
    ours, theirs = connected(rig, active=True)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    rig.until(lambda: ours.state is State.CLOSED)
    with pytest.raises(Refused, match="ECONNRESET"):
        ours.receive(10, rig.now)


def test_closed_ports_refuse_both_ways(make):
    rig = make()
    ours = rig.stack.tcp.connect((KERNEL, 9), rig.now)
    rig.until(lambda: ours.state is State.CLOSED)
    assert ours.error.errno_name == "ECONNREFUSED"
    theirs = rig.kernel()
    theirs.connect_ex((str(STACK), 9))
    rig.until(lambda: select.select([], [theirs], [], 0)[1])
    assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_zero_windows_on_both_sides_are_survived(make):
    config = StackConfig.of(tcp={"receive_buffer": 4000, "persist_min": milliseconds(20)})
    rig = make(config)
    rig.receive_buffer = 4000
    ours, theirs = connected(rig, active=True)
    sent = theirs.send(DATA[:100_000])
    rig.until(lambda: ours.snapshot().rcv_wnd == 0)
    while ours.send(DATA, rig.now):
        pass
    rig.until(lambda: ours.persists > 2)
    got = bytearray()

    def drained() -> bool:
        got.extend(ours.receive(1000, rig.now) or b"")
        return len(got) >= sent

    rig.until(drained)
    assert bytes(got) == DATA[:sent]
    back = bytearray()

    def read() -> bool:
        with contextlib.suppress(BlockingIOError):
            back.extend(theirs.recv(500))
        return ours.unacked == 0 and ours.unsent == 0

    rig.until(read, 60)


def test_the_urgent_byte_goes_both_ways(make):
    rig = make()
    ours, theirs = connected(rig, active=True)
    ours.send(b"ab!", rig.now, urgent=True)
    ours.send(b"cd", rig.now)
    rig.until(lambda: ours.unacked == 0)
    assert theirs.recv(10, socket.MSG_OOB) == b"!"
    assert theirs.recv(10) == b"ab"
    assert theirs.recv(10) == b"cd"
    theirs.send(b"xy?", socket.MSG_OOB)
    theirs.send(b"z")
    rig.until(lambda: ours.unread >= 4)
    assert ours.receive_urgent() == b"?"
    assert ours.receive(10, rig.now) == b"xy"
    assert ours.receive(10, rig.now) == b"z"


def test_keepalives_are_answered_both_ways(make):
    rig = make()
    options = SocketOptions(
        keepalive=True, keepalive_idle=milliseconds(600), keepalive_interval=milliseconds(600)
    )
    ours, theirs = connected(rig, active=True, options=options)
    start = ours.segments_in
    rig.until(lambda: ours.segments_in >= start + 3)
    assert ours.state is State.ESTABLISHED
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    rig.until(lambda: ours.segments_in > start + 10)


def test_the_kernel_takes_a_syn_cookie_with_all_its_options(make):
    rig = make(StackConfig.of(tcp={"syn_cookies": "always"}))
    ours, theirs = connected(rig, active=False)
    seen = ours.snapshot()
    assert (seen.sack, seen.timestamps, seen.send_scale is None) == (True, True, False)
    exchange(rig, ours, theirs, out=DATA[:100_000], back=DATA[:100_000])


def test_our_time_wait_and_the_kernels_do_not_stop_a_new_connection(make):
    rig = make()
    waiting = rig.stack.tcp.listen(80, rig.now)
    for _ in range(3):
        theirs = rig.kernel()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        theirs.bind((str(KERNEL), 40_000))
        theirs.connect_ex((str(STACK), 80))
        rig.until(lambda: waiting.readable)
        ours = waiting.accept(rig.now)
        ours.close(rig.now)
        rig.until(lambda: ours.state is State.FIN_WAIT_2)  # noqa: B023
        theirs.close()
        rig.until(lambda: ours.state is State.TIME_WAIT)  # noqa: B023
