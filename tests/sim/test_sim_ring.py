"""The token ring: 250 ns a bit, 3 us from one station to the next, 6 us more at the monitor."""

from __future__ import annotations

import pytest
from media_rig import PORTS, MediumRig, frame

from testbed.devices.media import Outcome
from testbed.sim.ring import SimRing, defects
from testbed.sim.ring.states import STATION, Event, State
from testbed.timing import Instant

BIT = 250
ROTATION = 4 * 3000 + 24 * BIT
LONG = (1000 + 9) * 8 * BIT


@pytest.fixture
def rig() -> MediumRig:
    return MediumRig(SimRing)


def test_a_free_ring_has_nothing_to_do(rig):
    assert rig.device.poll_timeout() is None
    rig.run(Instant(10**12))
    assert rig.log() == ()


def test_a_frame_waits_for_the_token_and_goes_round_once(rig):
    rig.run(Instant(7 * ROTATION))
    rig.now = Instant(7 * ROTATION)  # the token is at p1
    rig.send("p3", frame(3, 1, 1000))
    rig.run()
    *tokens, sent = rig.log()[:3]
    assert [(each.token, each.port) for each in tokens] == [(True, "p1"), (True, "p2")]
    assert (sent.port, sent.start) == ("p3", 7 * ROTATION + 6000)
    assert sent.end - sent.start == LONG
    end = sent.end
    assert {port: at - end for port, [(at, _)] in rig.came.items()} == {
        "p4": 3000,
        "p1": 3000 + 9000,
        "p2": 3000 + 9000 + 3000,
    }


def test_the_token_is_wherever_arithmetic_has_it():
    for wait in range(0, 3 * ROTATION, 701):
        rig = MediumRig(SimRing)
        rig.now = Instant(wait)
        rig.send("p2", frame(2, 1))
        rig.run()
        start = next(each.start for each in rig.log() if not each.token)
        assert start >= wait
        assert start - wait < ROTATION
        assert start % ROTATION == 3000


def test_stations_send_in_the_order_of_the_ring_for_their_holding_time(rig):
    for n in range(6):
        for place, port in enumerate(PORTS, 1):
            rig.send(port, frame(place, n, 1000))
    rig.run()
    frames = [each.port for each in rig.log() if not each.token]
    turns = [frames[at] for at in range(len(frames)) if at == 0 or frames[at] != frames[at - 1]]
    assert turns == ["p1", "p2", "p3", "p4"] * 2 or turns[:4] == ["p2", "p3", "p4", "p1"]
    # 8.9 ms hold four frames of 2.018 ms.
    assert [frames.count(port) for port in PORTS] == [6] * 4
    assert max(frames[at : at + 5].count(frames[at]) for at in range(len(frames))) == 4
    assert all(each.outcome is Outcome.OK for each in rig.log())
    for place, port in enumerate(PORTS, 1):
        assert all(each[11] != place for each in rig.frames(port))
        assert len(rig.frames(port)) == 18


def test_a_token_that_is_lost_is_made_again_after_ten_milliseconds(rig):
    rig.send("p2", *(frame(2, n, 1000) for n in range(9)))
    rig.send("p4", frame(4, 1))
    rig.run(Instant(1_000_000))
    rig.device.set_enabled("p2", False, rig.now)
    rig.run()
    cut = next(each for each in rig.log() if each.outcome is Outcome.CUT)
    made = next(each for each in rig.log() if each.token and each.start > cut.end)
    assert (made.port, cut.port) == ("p1", "p2")
    assert 9_000_000 < made.start - cut.end < 20_000_000
    assert rig.frames("p3")[-1] == frame(4, 1)
    assert "tokens regenerated 1" in rig.show("show medium")
    assert rig.device.poll_timeout() is None


def test_the_ring_goes_round_a_port_that_is_off(rig):
    rig.device.set_enabled("p3", False, rig.now)
    rig.send("p3", frame(3, 1))
    rig.send("p2", frame(2, 1))
    rig.run()
    assert set(rig.came) == {"p1", "p4"}


def test_a_token_that_nobody_takes_costs_little():
    rig = MediumRig(SimRing, [defects.ONE_STARVES])
    rig.send("p4", frame(4, 1))
    count, due = 0, rig.device.poll_timeout()
    while due is not None and due < 1_000_000_000:
        rig.device.handle_timeout(due)
        due, count = rig.device.poll_timeout(), count + 1
    assert count < 5000
    assert len(rig.log()) < 20


def test_it_tells_its_order_and_its_times(rig):
    told = rig.show("show medium").splitlines()
    assert "order p1 p2 p3 p4" in told
    assert f"rotation {ROTATION} ns" in told
    assert "holding time 8900000 ns" in told
    assert "delay p4 p1 9000 ns" in told
    assert "delay p1 p4 9000 ns" in told


def test_every_state_can_be_reached_and_left():
    reached = {State.REPEATING}
    for _ in STATION:
        reached |= {after for (before, _), after in STATION.items() if before in reached}
    assert reached == set(State) == {before for before, _ in STATION}
    assert {event for _, event in STATION} == set(Event)


@pytest.mark.parametrize("name", defects.__all__)
def test_every_defect_shows_in_the_log_or_in_what_comes(name):
    def run(*bad: object) -> tuple[list[str], list[bytes]]:
        rig = MediumRig(SimRing, bad)
        for n in range(12):
            for place, port in enumerate(PORTS, 1):
                rig.send(port, frame(place, n, 1000))
        rig.run(Instant(20_000_000))
        for port in PORTS:  # whoever has the token loses it
            rig.device.set_enabled(port, False, rig.now)
            rig.device.set_enabled(port, True, rig.now)
            rig.send(port, frame(int(port[1]), 99))
        rig.run(Instant(1_000_000_000))
        return [str(each) for each in rig.log()], rig.frames("p1")

    assert run(getattr(defects, name)) != run()
