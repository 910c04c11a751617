"""Plans' topologies mapped onto the cabling of made-up benches."""

from __future__ import annotations

import time

import pytest

from testbed.bench.cases import Marked, cases_for
from testbed.bench.placement import find_placements
from testbed.bench.topology import Topology
from testbed.errors import PlanError
from testbed.inventory import Bench


def bench(
    cables: list[object],
    *,
    boxes: dict[str, list[str]] | None = None,
    mirrors: tuple[tuple[str, str], ...] = (),
    lab: str = "virtual",
    **platforms: str,
) -> Bench:
    """A bench of these cables; a device's platform is told by its name unless it is given."""
    kinds = {"sw": "linux_bridge", "ov": "openvswitch", "r": "frr", "h": "linux_host"}
    ports: dict[str, list[str]] = {}
    for cable in cables:
        for end in cable["ends"] if isinstance(cable, dict) else cable:
            node, _, port = end.partition(":")
            ports.setdefault(node, []).append(port)
    nics = ports.pop("controller", [])
    gear = {
        name: {"platform": platforms.get(name) or kinds[name.rstrip("0123456789")], "ports": own}
        for name, own in ports.items()
    }
    return Bench.model_validate(
        {
            "bench": "made-up",
            "lab": lab,
            "controller": {"nics": {nic: {} for nic in nics}, "boxes": boxes or {}},
            "devices": {n: d for n, d in gear.items() if d["platform"] != "linux_host"},
            "hosts": {n: d for n, d in gear.items() if d["platform"] == "linux_host"},
            "cables": cables,
            "mirrors": [{"device": device, "to": to} for device, to in mirrors],
        }
    )


def star(switch: str, *nics: str) -> list[object]:
    return [[f"controller:{nic}", f"{switch}:p{n}"] for n, nic in enumerate(nics)]


def test_every_device_that_can_be_under_test_gets_a_case() -> None:
    made = bench(star("sw1", "a", "b") + star("ov2", "c", "d") + star("sw3", "e"))
    found = find_placements(Topology.star("dut", "x", "y"), made)
    assert [placed.nodes["dut"] for placed in found] == ["sw1", "ov2"]
    assert found[1].nodes == {"dut": "ov2", "x": "c", "y": "d"}
    assert found[1].port("dut", "y--dut") == "p1"
    assert found[1].port("y", "dut--y") == "d"


def test_the_first_nics_of_the_file_are_taken_in_order() -> None:
    made = bench(star("sw1", "a", "b", "c", "d"))
    (found,) = find_placements(Topology.star("dut", "one", "two"), made)
    assert found.nodes == {"dut": "sw1", "one": "a", "two": "b"}


def test_wide_cables_are_preferred() -> None:
    made = bench(
        [
            {"ends": ["controller:a", "r1:e1"], "mtu": 1280},
            {"ends": ["controller:b", "r1:e2"], "mtu": 9000},
            ["controller:c", "r1:e3"],
        ]
    )
    (found,) = find_placements(Topology.star("dut:router", "x", "y"), made)
    assert {found.nodes["x"], found.nodes["y"]} == {"b", "c"}


def test_parallel_cables_are_told_apart() -> None:
    made = bench([*star("sw1", "a"), ["sw1:t1", "sw2:t1"], ["sw1:t2", "sw2:t2"]])
    twice = Topology.of(["dut:switch", "far:switch", "a:nic"], [("a", "dut"), ("dut", "far")])
    (found,) = find_placements(twice, made)
    assert found.nodes["far"] == "sw2"
    assert found.port("dut", "dut--far") == "t1"
    assert found.port("far", "dut--far") == "t1"


def test_a_mirror_port_is_no_ordinary_port() -> None:
    made = bench(star("sw1", "a", "b", "m"), mirrors=(("sw1", "p2"),))
    (found,) = find_placements(Topology.star("dut", "x", "y", mirror="watcher"), made)
    assert found.nodes["watcher"] == "m"
    assert find_placements(Topology.star("dut", "x", "y", "z"), made) == []
    without = bench(star("sw1", "a", "b", "m"))
    assert find_placements(Topology.star("dut", "x", "y", mirror="watcher"), without) == []


def test_a_box_is_taken_whole() -> None:
    cables = [["h1:e1", "controller:x1"], ["controller:x2", "r1:e1"], ["r1:e2", "h2:e1"]]
    made = bench(cables, boxes={"w": ["x1", "x2"]})
    path = Topology.chain("client:host", "wire:box", "dut:router", "server:host")
    (found,) = find_placements(path, made)
    assert found.nodes == {"client": "h1", "wire": "w", "dut": "r1", "server": "h2"}
    assert found.port("wire", "client--wire") == "x1"
    assert found.port("wire", "wire--dut") == "x2"
    # Its NICs are no testers: they have a cable through which something else talks.
    assert find_placements(Topology.star("dut:router", "a"), made) == []


def test_a_tester_may_be_cabled_to_a_box() -> None:
    cables = [["controller:a", "controller:x1"], ["controller:x2", "sw1:p1"]]
    made = bench(cables, boxes={"w": ["x1", "x2"]})
    (found,) = find_placements(Topology.chain("t:nic", "wire:box", "dut:switch"), made)
    assert found.port("t", "t--wire") == "a"
    assert found.port("wire", "t--wire") == "x1"
    assert found.port("wire", "wire--dut") == "x2"


def test_a_topology_without_a_device_under_test_has_one_place() -> None:
    made = bench([["h1:e1", "h2:e1"], ["h1:e2", "h3:e1"]])
    assert len(find_placements(Topology.chain("a:host", "b:host"), made)) == 1


def test_ports_of_nodes_that_a_link_does_not_join() -> None:
    (found,) = find_placements(Topology.star("dut", "x", "y"), bench(star("sw1", "a", "b")))
    with pytest.raises(PlanError, match="link x--dut does not end at y"):
        found.port("y", "x--dut")


def marked(topology: Topology | None, *needs: str) -> Marked:
    return Marked("SW-01", "", topology, needs, (), "")


def test_why_there_is_no_place() -> None:
    made = bench(star("sw1", "a", "b"))
    cases, reason = cases_for(marked(Topology.star("dut", *"abc")), made, drill=False)
    assert (cases, reason) == (
        [],
        "bench made-up has nowhere to put dut:switch a:nic b:nic c:nic (a--dut, b--dut, c--dut)",
    )
    cases, reason = cases_for(marked(Topology.star("dut", "a"), "power"), made, drill=False)
    assert (cases, reason) == ([], "bench made-up: the virtual lab has no power relay")
    with pytest.raises(PlanError, match="says what it needs"):
        cases_for(marked(None), made, drill=False)


def test_needs_are_looked_for_on_the_devices_of_the_placement() -> None:
    text = {
        "bench": "two",
        "lab": "hardware",
        "controller": {"nics": {nic: {"interface": nic} for nic in "abcd"}},
        "devices": {
            "sw1": {"platform": "linux_bridge", "ports": ["p0", "p1"], "console": SERIAL},
            "sw2": {
                "platform": "linux_bridge",
                "ports": ["p0", "p1"],
                "console": SERIAL,
                "power": {"relay": "board1", "channel": 1},
            },
        },
        "cables": star("sw1", "a", "b") + star("sw2", "c", "d"),
    }
    made = Bench.model_validate(text)
    cases, _ = cases_for(marked(Topology.star("dut", "x"), "power"), made, drill=False)
    assert [case.id for case in cases] == ["sw2"]
    cases, reason = cases_for(marked(Topology.star("dut", "x"), "ssh"), made, drill=False)
    assert (cases, reason) == ([], "bench two: sw1 has no ssh")


SERIAL = {"serial": "/dev/ttyUSB0"}


@pytest.mark.parametrize("leaves", [1, 4, 8])
def test_a_large_switch_takes_no_time(leaves: int) -> None:
    nics = [f"n{number}" for number in range(46)]
    made = bench([*star("sw1", *nics), ["sw1:t1", "sw2:t1"], ["sw1:t2", "r1:e1"]])
    began = time.monotonic()
    (found,) = find_placements(Topology.star("dut", *(f"l{n}" for n in range(leaves))), made)
    assert time.monotonic() - began < 2
    assert found.nodes["dut"] == "sw1"
    assert len(set(found.nodes.values())) == leaves + 1


def test_a_plan_that_asks_for_too_much_of_a_large_switch_is_told_soon() -> None:
    made = bench(star("sw1", *(f"n{number}" for number in range(47))))
    began = time.monotonic()
    assert find_placements(Topology.star("dut", *(f"l{n}" for n in range(48))), made) == []
    chain = Topology.of(
        ["dut:switch", "a:nic", "b:nic", "r:router"], [("a", "dut"), ("b", "dut"), ("r", "dut")]
    )
    assert find_placements(chain, made) == []
    assert time.monotonic() - began < 2
