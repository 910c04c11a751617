"""How a sans-IO stack is kept going: by frames, by its timers, and not at all while frozen."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import pytest

from testbed.errors import PlanError
from testbed.hosts import RealLoop, StackPump, Tap
from testbed.link import Delay, Drop, Duplicate, Nth, memory_pair
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire.frame import Direction

HEAD = bytes.fromhex("020000000002 020000000001 88b5")


class Out(NamedTuple):
    interface: str
    frame: bytes


class Parrot:
    """Repeats every frame, and speaks up by itself when its time comes."""

    def __init__(self):
        self.heard = []
        self.fired = []
        self.due = None
        self.queue = deque()

    def receive(self, frame, now, interface=None):
        self.heard.append((frame, now, interface))
        self.queue.append(Out(interface, frame + b"!"))

    def handle_timeout(self, now):
        self.fired.append((self.due, now))
        self.due = None
        self.queue.append(Out("eth0", HEAD + b"tick"))

    def poll_timeout(self):
        return self.due

    def poll_transmit(self, now):
        return self.queue.popleft() if self.queue else None


@pytest.fixture
def loop():
    loop = RealLoop()
    yield loop
    loop.close()


class Rig:
    def __init__(self, loop, ignores=lambda _: False):
        near, far = memory_pair("near", "far", loop)
        self.near, self.far, self.loop = Tap(near, loop), Tap(far, loop), loop
        self.parrot = Parrot()
        self.pump = StackPump(self.parrot, loop, name="bird", ignores=ignores)
        self.wire = self.pump.attach("eth0", self.near)
        self.heard = []
        self.far.subscribe(
            lambda f: self.heard.append(f.data) if f.direction is Direction.IN else 0
        )

    def hear(self, frame):
        if frame.direction is Direction.IN:
            self.heard.append(frame.data)

    def ask(self, *texts):
        for text in texts:
            self.far.send(HEAD + text)

    def await_answers(self, count, within=seconds(2)):
        assert self.loop.run_until(lambda: len(self.heard) >= count, within)
        return [frame[len(HEAD) :] for frame in self.heard]


@pytest.fixture
def rig(loop):
    return Rig(loop)


def test_frames_reach_the_stack_and_answers_the_cable(rig):
    rig.ask(b"a", b"b")
    assert rig.await_answers(2) == [b"a!", b"b!"]
    assert [interface for _, _, interface in rig.parrot.heard] == ["eth0", "eth0"]


def test_the_stack_does_not_hear_itself_nor_what_else_is_sent_by_its_nic(rig):
    rig.near.send(HEAD + b"beside")
    rig.ask(b"a")
    rig.await_answers(2)
    rig.near.pump()
    assert [frame[14:] for frame, _, _ in rig.parrot.heard] == [b"a"]


def test_frames_of_the_bench_are_not_for_the_stack(loop):
    rig = Rig(loop, ignores=lambda frame: frame.endswith(b"beacon"))
    rig.ask(b"beacon", b"a")
    rig.await_answers(1)
    assert [frame[14:] for frame, _, _ in rig.parrot.heard] == [b"a"]


def test_timers_fire_when_due_and_not_before(rig):
    rig.parrot.due = after = Instant(rig.pump.now() + milliseconds(20))
    rig.pump.flush()
    rig.await_answers(1)
    ((due, now),) = rig.parrot.fired
    assert due == after
    assert 0 <= now - due < milliseconds(20)


def test_a_deadline_that_moves_away_does_not_fire(rig):
    start = rig.pump.now()
    rig.parrot.due = Instant(start + milliseconds(10))
    rig.pump.flush()
    rig.parrot.due = Instant(start + milliseconds(60))
    rig.pump.flush()
    rig.await_answers(1)
    ((due, now),) = rig.parrot.fired
    assert now >= due == start + milliseconds(60)


def test_a_deadline_that_comes_nearer_fires(rig):
    rig.parrot.due = Instant(rig.pump.now() + seconds(60))
    rig.pump.flush()
    rig.parrot.due = Instant(rig.pump.now() + milliseconds(5))
    rig.ask(b"a")
    assert b"tick" in rig.await_answers(2)


def test_what_a_plan_did_to_the_stack_is_sent_when_the_loop_turns(rig):
    rig.parrot.queue.append(Out("eth0", HEAD + b"by hand"))
    assert rig.await_answers(1) == [b"by hand"]


def test_stages_strike_frames_on_their_way_out(rig):
    rig.wire.outgoing.add(Drop(Nth(2)))
    rig.ask(b"a", b"b", b"c")
    assert rig.await_answers(2) == [b"a!", b"c!"]
    assert rig.wire.outgoing.actions["drop"] == 1
    assert len(rig.parrot.heard) == 3


def test_stages_strike_frames_on_their_way_in(rig):
    with rig.wire.incoming.impaired(Duplicate(Nth(1)), Delay(milliseconds(20))):
        rig.ask(b"a")
        start = rig.pump.now()
        rig.await_answers(2)
    assert [frame[14:] for frame, _, _ in rig.parrot.heard] == [b"a", b"a"]
    assert all(now >= start + milliseconds(19) for _, now, _ in rig.parrot.heard)


def test_a_frozen_stack_hears_sends_and_fires_nothing_and_goes_on_where_it_was(rig):
    rig.parrot.due = Instant(rig.pump.now() + milliseconds(10))
    rig.pump.flush()
    with rig.pump.stopped():
        then = rig.pump.now()
        rig.ask(b"a")
        rig.parrot.queue.append(Out("eth0", HEAD + b"by hand"))
        rig.loop.run_until(lambda: False, milliseconds(50))
        assert rig.pump.now() == then
        assert not rig.parrot.heard
        assert not rig.parrot.fired
        assert not rig.heard
    assert rig.await_answers(3) == [b"by hand", b"a!", b"tick"]
    assert rig.parrot.heard[0][1] < then + milliseconds(10)
    due, now = rig.parrot.fired[0]
    assert due <= now < due + milliseconds(20)


def test_a_cable_that_is_pulled_loses_frames_and_hurts_nobody(rig):
    rig.near.port.unplug()
    rig.parrot.queue.append(Out("eth0", HEAD + b"lost"))
    rig.pump.flush()
    rig.near.port.plug()
    rig.parrot.queue.append(Out("eth0", HEAD + b"found"))
    rig.pump.flush()
    assert rig.await_answers(1) == [b"found"]
    assert rig.wire.outgoing.actions["drop"] == 1


def test_whoever_waits_for_the_stack_is_told_after_it_has_worked(rig):
    told = []
    rig.pump.after_work.append(lambda: told.append(len(rig.parrot.heard)))
    rig.ask(b"a")
    rig.await_answers(1)
    assert told == [1]


def test_an_interface_has_one_wire(rig):
    with pytest.raises(PlanError, match="bird: interface eth0 has a wire already"):
        rig.pump.attach("eth0", rig.far)


def test_after_close_nothing_is_heard(rig):
    rig.pump.close()
    rig.pump.close()
    rig.ask(b"a")
    rig.parrot.due = rig.pump.now()
    rig.loop.run_until(lambda: False, milliseconds(20))
    assert not rig.parrot.heard
    assert not rig.parrot.fired
