"""The drivers of simulated shared media, by their command lines, and reading a medium's log."""

from __future__ import annotations

import pytest
from devices_gear import Journal
from media_rig import PORTS, MediumCli, MediumRig, frame

from testbed.devices import PortCounters, open_driver
from testbed.devices.hearing import Hearing
from testbed.devices.media import Attempt, MediumCounters, Outcome
from testbed.devices.sharing import parse_attempts, parse_counters, parse_medium
from testbed.errors import DeviceError, PlanError
from testbed.sim.bus import SimBus
from testbed.sim.hub import SimHub
from testbed.sim.ring import SimRing
from testbed.timing import Duration, Instant, microseconds

KINDS = {"sim_bus": SimBus, "sim_hub": SimHub, "sim_ring": SimRing}


@pytest.fixture(params=sorted(KINDS))
def platform(request) -> str:
    return request.param


@pytest.fixture
def rig(platform) -> MediumRig:
    return MediumRig(KINDS[platform])


@pytest.fixture
def driver(platform, rig):
    cli = MediumCli(rig)
    return open_driver(platform, "m", cli, Journal(), cli.clock, PORTS)


def test_it_tells_what_it_is(driver, platform):
    assert driver.version().startswith(platform.replace("_", "-"))
    assert isinstance(driver, type(open_driver(platform, "m", None, None, None, ())))


def test_ports_are_switched_and_switched_back(driver, rig):
    assert driver.port_is_up("p2")
    before = driver.read_config()
    driver.set_port_up("p2", False)
    assert not driver.port_is_up("p2")
    assert not rig.device.enabled["p2"]
    assert "port p2 admin = down" in driver.read_config()
    (change,) = driver._context.changes.changes
    driver.undo(change.undo)
    assert driver.read_config() == before
    driver.apply_config(before.replace("p3 admin = up", "p3 admin = down"))
    assert not rig.device.enabled["p3"]
    with pytest.raises(PlanError, match="no port 'p9'"):
        driver.set_port_up("p9", True)


def test_frames_are_counted_and_attempts_are_told_since_a_mark(driver, rig):
    rig.send("p1", frame(1, 1))
    rig.run(Instant(1_000_000))
    mark = driver.medium_mark()
    rig.send("p2", frame(2, 1), frame(2, 2))
    attempts = [each for each in driver.medium_log(mark) if not each.token]
    assert [(each.port, each.octets) for each in attempts] == [("p2", 60), ("p2", 60)]
    assert driver.counters("p1") == PortCounters(1, 2, 60, 120)
    assert driver.medium_counters("p2").frames == 2
    assert driver.bit_time() in (Duration(100), Duration(250))
    assert driver.delays()["p1", "p4"] > 0
    with pytest.raises(DeviceError, match="status 1"):
        driver.execute("show medium attempts after x")


def test_a_ring_tells_its_order_and_its_times():
    rig = MediumRig(SimRing)
    cli = MediumCli(rig)
    driver = open_driver("sim_ring", "m", cli, Journal(), cli.clock, PORTS)
    facts = driver.ring()
    assert facts.order == PORTS
    assert facts.rotation == 18_000
    assert facts.holding_time == microseconds(8900)
    assert facts.regenerated == 0
    assert driver.medium_counters("p1") == MediumCounters(0)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_medium, "bit time fast"),
        (parse_medium, "delay p1 p2 far"),
        (parse_attempts, "1 p1 frame 0 10 60 fine"),
        (parse_counters, "p1 frames many"),
    ],
)
def test_nonsense_is_a_device_error(parse, text):
    with pytest.raises(DeviceError, match="not of the form expected"):
        parse(text)


def test_a_missing_figure_is_a_device_error():
    with pytest.raises(DeviceError, match="told no rotation"):
        parse_medium("bit time 100 ns\n").fact("rotation")


# Reading a log: ports a and b, 10 bit times apart, a bit each nanosecond.

DELAYS = {("a", "b"): Duration(10), ("b", "a"): Duration(10)}


def heard(*rows: tuple[str, int, int, str]) -> Hearing:
    log = [
        Attempt(number, port, Instant(10_000 + start), Instant(10_000 + end), 60, Outcome(how))
        for number, (port, start, end, how) in enumerate(rows, 1)
    ]
    return Hearing(log, DELAYS, Duration(1))


def test_a_signal_that_is_heard_must_be_waited_for():
    busy = heard(("a", 0, 576, "collision"), ("b", 300, 876, "collision"))
    assert busy.trespass(busy.log[1]) is busy.log[0]
    assert busy.trespass(busy.log[0]) is None


def test_a_gap_is_due_after_what_was_heard_there():
    near = heard(("a", 0, 576, "ok"), ("b", 576 + 10 + 80, 1300, "ok"))
    assert near.trespass(near.log[1]) is near.log[0]
    far = heard(("a", 0, 576, "ok"), ("b", 576 + 10 + 96, 1300, "ok"))
    assert far.trespass(far.log[1]) is None


def test_a_signal_on_its_way_cannot_be_heard():
    both = heard(("a", 0, 96, "collision"), ("b", 5, 106, "collision"))
    assert both.trespass(both.log[1]) is None
    assert both.met(both.log[1]) == 10_010
    assert both.met(both.log[0]) == 10_015


def test_what_begins_within_the_gap_may_be_passed_over_by_who_waits_for_its_end():
    rows = [("a", 0, 576, "ok"), ("b", 682, 1000, "collision"), ("a", 672, 900, "collision")]
    log = heard(*rows)
    assert log.trespass(log.log[1]) is None
    idle = heard(("a", 672, 900, "collision"), ("b", 730, 1000, "collision"))
    assert idle.trespass(idle.log[1]) is idle.log[0]


def test_slots_are_read_from_the_end_of_the_jam():
    def slots(start: int, *between: tuple[str, int, int, str]) -> range:
        first = ("a", 0, 96, "collision")
        log = heard(first, ("b", 0, 96, "collision"), *between, ("a", start, start + 576, "ok"))
        one = next(each for each in log.tries() if each.attempt is log.log[-1])
        assert one.collisions == 1
        return log.slots(one)

    assert slots(96 + 10 + 96) == range(1)
    assert slots(96 + 512) == range(1, 2)
    assert slots(96 + 300) == range(1, 1)
    assert slots(96 + 2 * 512) == range(2, 3)
    # While b sends from 202 to 778, one slot passes unseen: a begins when it may.
    assert slots(778 + 10 + 96, ("b", 202, 778, "ok")) == range(1, 2)


def test_sixteen_collisions_end_a_frame():
    rows = [("a", 1000 * n, 1000 * n + 96, "collision") for n in range(17)]
    log = heard(*rows, ("a", 17_000, 17_576, "ok"))
    assert [one.collisions for one in log.tries()] == [*range(16), 0, 1]
    assert [one.range for one in log.tries()][8:13] == [256, 512, 1024, 1024, 1024]
    assert log.given_up("a") == 1


def test_no_slots_are_asked_of_a_first_attempt():
    log = heard(("a", 0, 576, "ok"))
    with pytest.raises(ValueError, match="no back-off"):
        log.slots(next(iter(log.tries())))
