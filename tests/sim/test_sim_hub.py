"""The hub: a repeater, and half-duplex stations in one collision domain."""

from __future__ import annotations

import pytest
from media_rig import MediumRig, frame

from testbed.devices.media import Outcome
from testbed.sim.frames import BadFcs
from testbed.sim.hub import SimHub, defects
from testbed.timing import Instant

SHORTEST = (8 + 60 + 4) * 8


@pytest.fixture
def rig() -> MediumRig:
    return MediumRig(SimHub)


def test_a_frame_comes_out_of_every_other_port_unaltered_at_the_hubs_pace(rig):
    rig.send("p2", frame(2, 1))
    rig.run()
    assert rig.came == {port: [((SHORTEST + 46) * 100, frame(2, 1))] for port in ("p1", "p3", "p4")}


def test_a_faster_hub_takes_a_tenth_of_the_time():
    rig = MediumRig(SimHub, stated={"rate": 100})
    rig.send("p2", frame(2, 1))
    rig.run()
    assert rig.came["p1"][0][0] == (SHORTEST + 46) * 10
    assert "100BASE-TX" in rig.show("show version")


def test_bad_frames_and_runts_are_repeated_as_they_are(rig):
    rig.send("p1", BadFcs(frame(1, 1)), frame(1, 2, 20))
    rig.run()
    bad, runt = rig.frames("p4")
    assert isinstance(bad, BadFcs)
    assert (bytes(bad), runt) == (frame(1, 1), frame(1, 2, 20))


def test_the_same_frame_twice_comes_twice(rig):
    one = frame(1, 1)
    rig.send("p1", one, one)
    rig.run()
    assert rig.frames("p3") == [one, one]


def test_who_sends_at_the_same_time_collides_and_tries_again(rig):
    rig.send("p1", frame(1, 1))
    rig.send("p3", frame(3, 1))
    rig.run()
    assert [each.outcome for each in rig.log()[:2]] == [Outcome.COLLISION] * 2
    assert sorted(rig.frames("p2")) == [frame(1, 1), frame(3, 1)]
    assert rig.frames("p1") == [frame(3, 1)]
    assert "p1 frames 1 collisions" in rig.show("show counters")


def test_a_port_that_is_off_neither_sends_nor_hears(rig):
    rig.device.set_enabled("p4", False, rig.now)
    rig.send("p4", frame(4, 1))
    rig.send("p1", frame(1, 1))
    rig.run()
    assert set(rig.came) == {"p2", "p3"}
    assert "p4 disabled down" in rig.show("show interfaces")


@pytest.mark.parametrize("name", defects.__all__)
def test_every_defect_shows_in_the_log_or_in_what_comes(name):
    def run(*bad: object) -> tuple[list[str], dict[str, list[tuple[Instant, bytes, bool]]]]:
        rig = MediumRig(SimHub, bad)
        own = frame(1, 9)
        known = own[6:12]
        rig.send("p1", own, BadFcs(own), own[:30], frame(1, 2, 1514), known + own[6:])
        rig.send("p1", b"\xff" * 6 + own[6:], b"\x01\x80\xc2\0\0\0" + own[6:])
        rig.send("p1", own[:12] + b"\x81\0\0\x07" + own[12:])
        rig.run()
        rig.send("p2", known + frame(2, 1)[6:])
        rig.send("p3", frame(3, 1))
        rig.run()
        came = {
            port: [(at, each, isinstance(each, BadFcs)) for at, each in frames]
            for port, frames in rig.came.items()
        }
        return [str(each) for each in rig.log()], came

    assert run(getattr(defects, name)) != run()
