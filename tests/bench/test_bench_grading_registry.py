"""Every defect is found, and goes where it can live: into the node that is under test."""

from __future__ import annotations

import pytest

from testbed.bench.grading.catalogue import CATALOGUE
from testbed.bench.grading.registry import KnownDefect, known_defects, roles_for
from testbed.bench.topology import Topology
from testbed.errors import PlanError
from testbed.stack import defects
from testbed.stack.variants import Defect

OWN = """
from testbed.stack.udp import UdpLayer
from testbed.stack.variants import Defect

class _Deaf(UdpLayer):
    __slots__ = ()

DEAF = Defect("deaf", "MY-1", "A host that hears nothing after an update.", {UdpLayer: _Deaf})
"""


@pytest.fixture(scope="module")
def shipped() -> dict[str, KnownDefect]:
    return {known.key: known for known in known_defects()}


def test_each_is_found_once_under_its_own_key(shipped) -> None:
    assert len({id(known.defect) for known in shipped.values()}) == len(shipped)
    assert "testbed.stack.defects.tcp:SCALES_UNAGREED" in shipped
    assert sum(key.startswith("testbed.sim.switch.defects") for key in shipped) >= 40


def test_those_of_a_stack_live_in_hosts_and_those_of_a_device_in_that_device(shipped) -> None:
    for key, known in shipped.items():
        home = key.partition(":")[0].split(".")
        expected = {"host", "nic"} if home[1] == "stack" else {home[2].removesuffix("_defects")}
        assert expected <= known.kinds, key


def test_all_are_of_rows_of_the_catalogue(shipped) -> None:
    rows = {row.id for row in CATALOGUE}
    assert [key for key, known in shipped.items() if known.row not in rows] == []


def test_no_two_of_a_row_have_one_name_in_one_kind_of_node(shipped) -> None:
    named = [(k.row, k.defect.name, kind) for k in shipped.values() for kind in k.kinds]
    assert sorted({each for each in named if named.count(each) > 1}) == []


def test_own_ones_live_wherever_the_parts_do_that_they_alter(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    (mine,) = [known for known in known_defects([str(path)]) if known.own]
    assert mine.key == f"{path}:DEAF"
    assert mine.row == "MY-1"
    assert mine.kinds >= {"host", "nic", "router", "server"}
    assert "switch" not in mine.kinds


@pytest.mark.parametrize(
    ("text", "told"),
    [("X = 1\n", "has no defects"), ("X =\n", "SyntaxError"), ("import nowhere\n", "nowhere")],
)
def test_own_ones_that_are_none(tmp_path, text, told) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(PlanError, match=told):
        known_defects([str(path)])


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(PlanError, match="no_such_module"):
        known_defects(["no_such_module"])


def made(*kinds: str) -> KnownDefect:
    return KnownDefect("here:X", Defect("x", "MY-1", "", {}), frozenset(kinds))


CHAIN = Topology.chain("client:host", "wire:box", "server:host")


@pytest.mark.parametrize(
    ("kinds", "topology", "drilled", "roles"),
    [
        (("switch",), Topology.star("dut", "a", "b"), (), ("dut",)),
        (("host", "nic"), Topology.chain("peer:nic", "dut:host"), (), ("dut",)),
        (("host", "nic"), CHAIN, (), ("client", "server")),
        (("host", "nic"), CHAIN, ("server",), ("server",)),
        (("host", "nic"), CHAIN, ("elsewhere",), ("client", "server")),
        (("router",), CHAIN, (), ()),
        (("link",), Topology.star("dut", "a"), (), ("dut",)),
        (("link",), CHAIN, (), ("client", "wire", "server")),
        (("host", "nic"), Topology.chain("a:nic", "dut:router", "h:host"), (), ("a", "h")),
    ],
)
def test_roles(kinds, topology, drilled, roles) -> None:
    assert roles_for(made(*kinds), topology, drilled) == roles


def test_a_drills_faults_name_the_role_of_their_defects() -> None:
    from testbed import drill, faults  # noqa: PLC0415 - as a plan does

    one, two = defects.tcp.SCALES_UNAGREED, defects.tcp.ASSUMES_1460
    fault = faults.all_of(
        faults.python_stack(one, role="server"), faults.sysctl("net.x", "1", role="client")
    )
    made_drill = drill("both", {"linux_host": fault}, caught="x").mark.args[0]
    assert made_drill.roles_of(one) == ("server",)
    assert made_drill.roles_of(two) == ()
