"""The bus: CSMA/CD by the figures of IEEE 802.3 clause 4, in 100 ns a bit."""

from __future__ import annotations

import pytest
from media_rig import MediumRig, frame

from testbed.devices.media import Outcome
from testbed.sim.bus import SimBus, defects
from testbed.sim.bus.backoff import Backoff
from testbed.sim.bus.log import KEPT
from testbed.sim.bus.states import DEFERENCE, SENDER, Event, Phase, Sense, State
from testbed.sim.frames import BadFcs
from testbed.timing import Instant

BIT = 100
SHORTEST = (8 + 60 + 4) * 8  # bits of a frame of the least length: preamble, frame, FCS


@pytest.fixture
def rig() -> MediumRig:
    return MediumRig(SimBus)


def test_a_frame_goes_to_all_others_as_far_as_they_are(rig):
    rig.send("p2", frame(2, 1))
    rig.run()
    assert {port: at for port, [(at, _)] in rig.came.items()} == {
        "p1": SHORTEST * BIT + 1000,
        "p3": SHORTEST * BIT + 1000,
        "p4": SHORTEST * BIT + 2000,
    }
    (attempt,) = rig.log()
    assert (attempt.port, attempt.octets, attempt.outcome) == ("p2", 60, Outcome.OK)
    assert (attempt.start, attempt.end) == (0, SHORTEST * BIT)


def test_frames_of_one_station_are_a_gap_apart(rig):
    rig.send("p1", frame(1, 1), frame(1, 2))
    rig.run()
    first, second = rig.log()
    assert second.start - first.end == 96 * BIT


def test_a_station_waits_for_a_gap_after_what_it_hears(rig):
    rig.send("p1", frame(1, 1, 1514))
    rig.run(Instant(50_000))
    rig.send("p4", frame(4, 1))
    rig.run()
    first, second = rig.log()
    assert (second.port, second.outcome) == ("p4", Outcome.OK)
    assert second.start == first.end + 3000 + 96 * BIT
    assert "p4 frames 1 collisions 0 late 0 excessive 0 deferred 1" in rig.show("show counters")


def test_what_begins_in_the_second_part_of_the_gap_is_not_looked_at(rig):
    rig.send("p1", frame(1, 1))
    rig.run(Instant(10_000))
    rig.send("p4", frame(4, 1))
    quiet = SHORTEST * BIT + 3000  # at p4
    rig.run(Instant(quiet + 80 * BIT - 1000))
    rig.send("p3", frame(3, 1))  # it has waited for its gap 10 bit times before p4 has
    rig.run()
    third = next(each for each in rig.log() if each.port == "p3")
    fourth = next(each for each in rig.log() if each.port == "p4")
    assert fourth.start == quiet + 96 * BIT
    assert fourth.start > third.start
    assert fourth.outcome is Outcome.COLLISION


def test_two_that_begin_within_the_propagation_time_collide_jam_and_try_again(rig):
    rig.send("p1", frame(1, 1))
    rig.run(Instant(2000))
    rig.send("p4", frame(4, 1))  # p1's signal is 1 us away
    rig.run()
    first, second, *later = rig.log()
    assert first.outcome is second.outcome is Outcome.COLLISION
    # The preamble is sent to its end, then the jam: 64 + 32 bits.
    assert first.end - first.start == second.end - second.start == 96 * BIT
    assert [each.outcome for each in later][-2:] == [Outcome.OK, Outcome.OK]
    assert rig.frames("p2") == rig.frames("p3")
    assert sorted(rig.frames("p2")) == [frame(1, 1), frame(4, 1)]


def test_a_collision_after_the_preamble_is_jammed_from_there_on():
    rig = MediumRig(SimBus, stated={"apart": 4000})
    rig.send("p1", frame(1, 1))
    rig.run(Instant(11_900))
    rig.send("p4", frame(4, 1))
    rig.run()
    first, second = rig.log()[:2]
    assert second.end == 11_900 + 96 * BIT
    assert first.end == 11_900 + 12_000 + 32 * BIT


def test_a_long_collision_leaves_a_fragment_with_a_bad_check_sequence():
    rig = MediumRig(SimBus, stated={"apart": 8000})
    rig.send("p1", frame(1, 1, 1514))
    rig.run(Instant(23_900))
    rig.send("p4", frame(4, 1))
    rig.run()
    fragment = rig.frames("p2")[0]
    assert isinstance(fragment, BadFcs)
    assert frame(1, 1, 1514).startswith(fragment)
    assert len(fragment) < 64


@pytest.mark.parametrize("seed", range(20))
def test_the_first_retry_after_a_collision_is_whole_slots_after_its_jam(seed):
    rig = MediumRig(SimBus, seed=seed)
    rig.send("p1", frame(1, 1))
    rig.send("p4", frame(4, 1))
    rig.run()
    first, second, retry = rig.log()[:3]
    own = first if retry.port == first.port else second
    bits = (retry.start - own.end) // BIT
    # Without a slot to wait it is the gap, from when the other's jam is over too.
    assert bits in (96 + 30, 512)


def test_all_frames_come_once_and_in_order_however_many_stations_want_to_send(rig):
    for n in range(20):
        for place, port in enumerate(("p1", "p2", "p3", "p4"), 1):
            rig.send(port, frame(place, n))
    rig.run()
    for port in ("p1", "p2", "p3", "p4"):
        for place in range(1, 5):
            mine = [each for each in rig.frames(port) if each[11] == place]
            due = [] if port == f"p{place}" else [frame(place, n) for n in range(20)]
            assert mine == due


def test_a_damaged_frame_and_a_runt_pass_as_they_are(rig):
    rig.send("p1", BadFcs(frame(1, 1)), b"short" * 4)
    rig.run()
    first, second = rig.frames("p3")
    assert isinstance(first, BadFcs)
    assert second == b"short" * 4
    assert not isinstance(second, BadFcs)


def test_the_sixteenth_collision_ends_a_frame():
    rig = MediumRig(SimBus, [defects.NO_BACKOFF])
    rig.send("p1", frame(1, 1))
    rig.send("p4", frame(4, 1))
    rig.run()
    assert len(rig.log()) == 32
    assert "p1 frames 0 collisions 16 late 0 excessive 1" in rig.show("show counters")


def test_the_range_of_slots_doubles_up_to_1024():
    backoff = Backoff("seed", "p1")
    assert [backoff.range(n) for n in (1, 2, 3, 9, 10, 11, 16)] == [2, 4, 8, 512, 1024, 1024, 1024]
    drawn = [backoff.slots(4) for _ in range(2000)]
    assert set(drawn) == set(range(16))


def test_a_port_that_is_switched_off_falls_silent_and_hears_nothing(rig):
    rig.send("p1", frame(1, 1, 1514), frame(1, 2))
    rig.run(Instant(100_000))
    rig.device.set_enabled("p1", False, rig.now)
    rig.send("p1", frame(1, 3))
    rig.send("p2", frame(2, 1))
    rig.run()
    cut, other = rig.log()
    assert (cut.end, cut.outcome) == (100_000, Outcome.CUT)
    assert other.outcome is Outcome.OK
    assert rig.frames("p1") == []
    assert [each for each in rig.frames("p3") if not isinstance(each, BadFcs)] == [frame(2, 1)]
    rig.device.set_enabled("p1", True, rig.now)
    rig.send("p2", frame(2, 2))
    rig.run()
    assert rig.frames("p1") == [frame(2, 2)]


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    def run(seed: int) -> list[str]:
        rig = MediumRig(SimBus, seed=seed)
        for port in ("p1", "p2", "p3"):
            rig.send(port, *(frame(int(port[1]), n) for n in range(20)))
        rig.run()
        return [str(each) for each in rig.log()]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_the_log_says_what_it_has_forgotten(rig):
    log = rig.device.log
    for n in range(KEPT + 10):
        log.add("p1", b"", 60, Instant(n)).end = Instant(n)
    answer = rig.device.login().run("show medium attempts after 5", rig.now)
    assert (answer.status, answer.output) == (1, "% Attempts after 5 are forgotten in part\n")
    assert rig.device.login().run("show medium attempts after 10", rig.now).status == 0


def test_every_state_can_be_reached_and_left():
    for table, start, events in ((SENDER, State.IDLE, Event), (DEFERENCE, Phase.CLEAR, Sense)):
        reached = {start}
        for _ in range(len(table)):
            reached |= {after for (before, _), after in table.items() if before in reached}
        assert reached == set(type(start))
        assert {before for before, _ in table} == set(type(start))
        assert {event for _, event in table} == set(events)


@pytest.mark.parametrize("name", defects.__all__)
def test_every_defect_shows_in_the_log_or_in_what_comes(name):
    def run(*bad: object) -> tuple[list[str], list[bytes]]:
        rig = MediumRig(SimBus, bad)
        rig.send("p2", frame(2, 999, 1514))
        rig.run(Instant(300_000))
        for port in ("p1", "p2", "p3", "p4"):
            rig.send(port, *(frame(int(port[1]), n, 1514) for n in range(120)))
        rig.run(Instant(3_000_000_000))
        return [str(each) for each in rig.log()], rig.frames("p1")

    assert run(getattr(defects, name)) != run()
