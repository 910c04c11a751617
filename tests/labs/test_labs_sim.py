"""The sim lab: its loop, its ports, its gear, and that the same seed gives the same bytes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.console.transcript import ConsoleLog
from testbed.errors import LabError, LinkError, PlanError, Unsupported
from testbed.inventory import Bench
from testbed.labs.sim import SimLab
from testbed.link.impair import Drop, Nth
from testbed.sim.switch import defects
from testbed.timing import Instant, after, microseconds, milliseconds, seconds
from testbed.wire.frame import Direction

ROOT = Path(__file__).parents[2]
A_TO_ALL = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x0a" + b"\x88\xb5" + bytes(100)

BENCH = {
    "bench": "small",
    "lab": "sim",
    "controller": {
        "nics": {"a": {}, "b": {"mac": "02:00:00:00:00:0b"}, "x": {}, "y": {}, "c": {}},
        "boxes": {"box": ("x", "y")},
    },
    "devices": {"sw1": {"platform": "sim_switch", "ports": ["p1", "p2", "p3"]}},
    "hosts": {"h1": {"platform": "sim_host", "ports": ["eth1", "eth2"]}},
    "cables": [
        ["controller:a", "sw1:p1"],
        ["controller:b", "sw1:p2"],
        {"ends": ["controller:c", "h1:eth1"], "mtu": 1400, "speed": "100M"},
        ["controller:x", "sw1:p3"],
        ["controller:y", "h1:eth2"],
    ],
}


class NoChanges:
    def before(self, change):
        """Keep nothing."""


@pytest.fixture
def lab():
    return SimLab(Bench.model_validate(BENCH), "1")


@pytest.fixture
def gear(lab):
    return lab.gear(NoChanges(), ConsoleLog(lab.loop.wall_now), lambda _: lambda: None)


# The loop


def test_loop_jumps_to_its_timers_and_ends_at_the_deadline(lab):
    loop, rung = lab.loop, []
    loop.call_at(after(loop.now(), seconds(7200)), lambda: rung.append(loop.now()))
    begun = loop.now()
    assert not loop.run_until(lambda: False, seconds(7199))
    assert rung == []
    assert loop.now() == begun + seconds(7199)
    assert loop.run_until(lambda: bool(rung), seconds(2))
    assert rung == [begun + seconds(7200)]


def test_timer_of_the_same_name_replaces_and_can_be_cancelled(lab):
    loop, rung = lab.loop, []
    loop.call_at(Instant(10), lambda: rung.append("first"), name="n")
    loop.call_at(Instant(20), lambda: rung.append("second"), name="n")
    loop.call_at(Instant(15), lambda: rung.append("never"), name="m")
    loop.cancel("m")
    loop.run_until(lambda: False, microseconds(1))
    assert rung == ["second"]


def test_what_is_done_before_a_wait_is_done_each_time_until_forgotten(lab):
    loop, calls = lab.loop, []
    loop.before_wait("me", lambda: calls.append(1))
    loop.turn(after(loop.now(), milliseconds(1)))
    loop.forget("me")
    loop.turn(after(loop.now(), milliseconds(1)))
    assert calls == [1]


def test_a_look_at_the_clock_is_later_than_what_was_and_earlier_than_what_comes(lab, gear):
    tap = gear.tap("a")
    tap.send(A_TO_ALL)
    looked = lab.loop.wall_now()
    tap.send(A_TO_ALL)
    before, behind = (frame.at for frame in tap.port.receive())
    assert before < looked < behind


def test_nothing_of_this_machine_can_be_waited_for(lab):
    with pytest.raises(PlanError, match="virtual time"):
        lab.loop.add_reader(0, lambda: None)


def test_work_is_done_at_once_and_its_error_is_its_answer(lab):
    assert lab.loop.submit(lambda: 7).result() == 7
    assert lab.loop.call(lambda: 8) == 8
    with pytest.raises(KeyError):
        lab.loop.submit(lambda: {}["x"]).result()


# NICs, devices, boxes


def test_frame_goes_through_the_switch_and_both_ends_stamp_it(lab, gear):
    a, b, seen = gear.tap("a"), gear.tap("b"), []
    for tap in (a, b):
        tap.subscribe(seen.append)
    a.send(A_TO_ALL)
    assert lab.loop.run_until(lambda: len(seen) == 2, milliseconds(1))
    sent, came = seen
    assert (sent.data, sent.direction) == (A_TO_ALL, Direction.OUT)
    assert (came.data, came.direction) == (A_TO_ALL, Direction.IN)
    assert sent.at < came.at


def test_cable_is_as_long_and_as_bad_as_the_file_says():
    far = {"ends": ["controller:a", "sw1:p1"], "delay": "20ms"}
    bad = {"ends": ["controller:b", "sw1:p2"], "loss": 1.0, "duplex": "half"}
    lab = SimLab(Bench.model_validate({**BENCH, "cables": [far, bad, *BENCH["cables"][2:]]}), "1")
    gear = lab.gear(NoChanges(), ConsoleLog(lab.loop.wall_now), lambda _: lambda: None)
    seen = []
    for name in ("a", "b", "x"):
        gear.tap(name).subscribe(lambda frame, name=name: seen.append((name, frame)))
    gear.tap("a").send(A_TO_ALL)
    assert not lab.loop.run_until(lambda: len(seen) == 3, milliseconds(100))
    (left, sent), (reached, came) = seen
    assert (left, reached) == ("a", "x"), "what goes to b is lost"
    assert milliseconds(20) < came.at - sent.at < milliseconds(21)


def test_short_frame_is_padded_unless_a_runt_is_asked_for(lab, gear):
    c, h = gear.tap("c"), gear.host_ports("h1", ("eth1",)).taps["eth1"]
    short, seen, heard = A_TO_ALL[:20], [], []
    c.subscribe(seen.append)
    h.subscribe(heard.append)
    for end in (c, h):
        end.port.send(short)
        end.port.send_runt(short)
        end.port.send_damaged(A_TO_ALL)
    lab.loop.run_until(lambda: False, milliseconds(1))
    # A host's card takes neither runts nor damaged frames; a tester's takes all.
    assert [frame.data for frame in heard if frame.direction is Direction.IN] == [short + bytes(40)]
    padded, runt, damaged = (frame for frame in seen if frame.direction is Direction.IN)
    assert padded.data == short + bytes(40)
    assert runt.data == short
    assert damaged.data == A_TO_ALL
    assert [frame.damaged for frame in (padded, runt, damaged)] == [False, False, True]


def test_nic_refuses_what_no_nic_sends(gear):
    port = gear.tap("a").port
    with pytest.raises(LinkError, match="expected 14 to"):
        port.send(bytes(13))
    with pytest.raises(LinkError, match="expected 14 to"):
        port.send(bytes(9300))


def test_port_switched_off_takes_the_link_from_its_tester(lab, gear):
    port, driver = gear.tap("a").port, gear.driver("sw1")
    assert port.link_is_up()
    driver.set_port_up("p1", up=False)
    assert not port.link_is_up()
    with pytest.raises(LinkError, match="link is down"):
        port.send(A_TO_ALL)
    driver.set_port_up("p1", up=True)
    assert port.link_is_up()
    with pytest.raises(LinkError, match="lost its link 1 times"):
        port.check_alive()
    port.forgive()
    port.check_alive()


def test_driver_takes_virtual_time_for_each_command(lab, gear):
    before = lab.loop.now()
    gear.driver("sw1").fdb()
    assert milliseconds(1) <= lab.loop.now() - before <= milliseconds(50)


def test_console_gets_through_login_enable_and_pager(gear):
    reply = gear.console("sw1").run("show mac address-table")
    assert reply.status == 0
    assert gear.console("sw1") is gear.console("sw1")


def test_box_is_a_wire_until_it_is_told_otherwise(lab, gear):
    box, a = gear.box("box"), gear.tap("a")
    box.direction(from_left=True).add(Drop(Nth(2)))
    for _ in range(3):
        a.send(A_TO_ALL)
    lab.loop.run_until(lambda: False, milliseconds(1))
    assert box.directions[0].received == 3
    assert box.directions[0].sent == 2
    assert box.directions[0].actions == {"drop": 1}


def test_device_with_a_defect_takes_the_place_of_the_good_one(lab, gear):
    gear.spoil("sw1", (defects.learning.NEVER_LEARNS,))
    gear.tap("a").send(A_TO_ALL)
    lab.loop.run_until(lambda: False, milliseconds(1))
    assert gear.driver("sw1").fdb() == ()


def test_new_world_begins_at_the_beginning(lab, gear):
    gear.driver("sw1").set_port_up("p1", up=False)
    elapsed = lab.loop.now()
    gear.renew("2")
    assert lab.loop.now() == 0
    assert lab.loop.elapsed == elapsed
    assert gear.tap("a").port.link_is_up()


def test_addresses_follow_from_the_seed_unless_the_file_names_them(gear):
    first = gear.tap("a").port.mac
    assert str(gear.tap("b").port.mac) == "02:00:00:00:00:0b"
    gear.renew("1")
    assert gear.tap("a").port.mac == first
    gear.renew("another")
    assert gear.tap("a").port.mac != first


def test_host_has_no_command_line_and_no_console(gear):
    for ask in (gear.driver, gear.console):
        with pytest.raises(Unsupported, match="Python stack"):
            ask("h1")


def test_unknown_device_is_told_with_those_there_are(gear):
    with pytest.raises(PlanError, match="it has sw1, h1"):
        gear.driver("sw9")


def test_platform_that_cannot_be_simulated_is_told():
    file = {**BENCH, "devices": {"sw1": {"platform": "frr", "ports": ["p1", "p2", "p3"]}}}
    with pytest.raises(LabError, match="sw1 is of platform frr"):
        SimLab(Bench.model_validate(file), "1")


# The same seed, the same run


def captures(directory: Path, *, hashseed: str, seed: str = "1", python: str = sys.executable):
    """The digest of each pcapng of a run, by its name."""
    plans = ["plans/switching/test_sw05_known_unicast.py", "plans/tcp/test_tc14_sack.py"]
    options = ["--bench", "inventory/sim.yaml", "--bench-seed", seed]
    options += ["--bench-artifacts", str(directory)]
    done = subprocess.run(
        [python, "-m", "pytest", *plans, "-q", "-p", "no:cacheprovider", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hashseed, "TESTBED_STATE": str(directory / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.glob("*/captures/*.pcapng")
    }
    assert len(found) >= 2
    return found


def test_same_seed_same_bytes_whatever_the_hash_seed(tmp_path):
    one = captures(tmp_path / "one", hashseed="1")
    assert captures(tmp_path / "two", hashseed="2") == one


def test_another_seed_is_another_run(tmp_path):
    one = captures(tmp_path / "one", hashseed="1")
    other = captures(tmp_path / "other", hashseed="1", seed="2")
    assert all(one[name] != other[name] for name in one)
