"""Python stacks on a bench: on its NICs, in the place of its hosts, and gone when a plan ends."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

BENCH = """\
bench: stacks
lab: virtual
controller:
  nics: {a: {}, b: {}}
hosts:
  h1: {platform: linux_host, ports: [eth1]}
devices:
  r1: {platform: frr, ports: [eth1, eth2]}
cables:
  - [controller:a, h1:eth1]
  - [controller:b, r1:eth1]
"""

PLANS = """
from testbed import Drop, Nth, SocketOptions, StackConfig, State, defects

PAIR = pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))

@PAIR
@pytest.mark.behaviour("TC-02")
@drill("no defect", faults.python_stack(), caught="never")
@drill(
    "permits SACK unasked",
    faults.python_stack(defects.tcp.SACK_UNASKED),
    caught="permits SACK",
)
def test_pair(bench: Bench) -> None:
    peer = bench.host("peer", StackConfig.of(tcp={"sack": False}))
    dut = bench.host("dut")
    with bench.capture() as seen:
        dut.tcp_serve(5000, send=5000, seed=1)
        made = peer.connect("dut", 5000)
        assert len(made.receive(5000)) == 5000
        made.close()
        assert dut.tcp_result("server", 5000, within=seconds(3))[1].error is None
        seen.settle()
    if seen.at("peer--dut").all(match.tcp(src_port=5000, sack_permitted=True)):
        raise ExpectationFailed("a segment permits SACK")
    seen.at("peer--dut").expect_none(match.tcp(has="RST"))
    for client, server in (("peer", "dut"), ("dut", "peer")):
        transfer = bench.transfer(client, server, port=5001, up=3000, down=4000)
        transfer.expect_intact(within=seconds(3))
    bench.log(f"dut is {dut.platform}, {dut.name}")

@PAIR
def test_resent(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.tcp_serve(5000)
    made = peer.connect("dut", 5000)
    with peer.outgoing.impaired(Drop(Nth(2, matching=match.tcp(longer_than=0)))):
        made.send(bytes(5000))
        bench.wait_until(lambda: made.snapshot().flight == 0, seconds(3))
    made.close()

@pytest.mark.topology(Topology.chain("peer:nic", "r:router"))
def test_behind_a_router(bench: Bench) -> None:
    peer = bench.host("peer", StackConfig())
    router = bench.bring_up_network()["r"]
    neighbours = peer.stack.interface("eth0").neighbours
    with bench.capture() as seen:
        assert peer.udp().send(b"closed", "r", 9) is None
        bench.wait_until(lambda: neighbours.get(router.ip, peer.now()) is not None, seconds(1))
        seen.settle()
    assert neighbours.get(router.ip, peer.now()) == router.mac
    seen.at("peer--r").expect(match.icmpv4(type=3))

@PAIR
def test_mistakes(bench: Bench) -> None:
    with pytest.raises(PlanError, match="dut is a host in this topology, not a nic"):
        bench.host("dut", StackConfig())
    with pytest.raises(PlanError, match="peer is a nic in this topology, not a host"):
        bench.host("peer")
    bench.host("peer", StackConfig())
    with pytest.raises(PlanError, match="peer has a Python stack already"):
        bench.host("peer", StackConfig())
    with pytest.raises(PlanError, match="before its network is up"):
        bench.stand_in("dut")

@PAIR
def test_the_kernel_is_itself_again(bench: Bench) -> None:
    bench.bring_up_network()
    shown = bench.host("dut").execute("ip -4 addr show dev eth1; ethtool -k eth1")
    assert bench.host("dut").platform == "linux_host"
    assert "198.18." in shown
"""


@pytest.fixture(scope="module")
def stacks(sandbox):
    sandbox.write("stacks.yaml", BENCH)
    return sandbox, sandbox.plan("test_stacks", PLANS)


def test_plans_have_stacks_on_nics(stacks):
    place, plan = stacks
    done = place.testbed("run", "--bench=stacks.yaml", "--no-prove", "--artifacts=good", plan)
    assert done.code == 0, done.text
    (pair,) = [r for name, r in place.plans("good").items() if "test_pair" in name]
    told = [note.text for note in pair.notes]
    assert "dut is linux_host, h1" in told
    assert any("SYN-SENT → ESTABLISHED: receive SYN+ACK, send ACK" in text for text in told)
    assert any(text.startswith("peer: in the end") for text in told)


def test_reports_tell_what_was_resent_and_why_and_what_was_struck(stacks):
    place, _ = stacks
    (plan,) = [r for name, r in place.plans("good").items() if "test_resent" in name]
    (struck,) = plan.box_events
    assert (struck.box, struck.direction) == ("peer", "out")
    assert struck.action.startswith("drop number 2")
    resent = [note.text for note in plan.notes if note.kind == "resent"]
    assert any("resent 1448 from" in text and "RACK, sent before" in text for text in resent)
    assert any("1 resent (RACK)" in note.text for note in plan.notes if note.kind == "stack")


def test_plans_run_on_python_stacks_in_the_place_of_hosts(stacks):
    place, plan = stacks
    done = place.testbed(
        "run", "--bench=stacks.yaml", "--no-prove", "--python-hosts", "--artifacts=py",
        "-k", "pair or router", plan,
    )  # fmt: skip
    assert done.code == 0, done.text
    (pair,) = [r for name, r in place.plans("py").items() if "test_pair" in name]
    assert "dut is python_stack, h1" in [note.text for note in pair.notes]


def test_drills_put_defective_stacks_in_the_place_of_hosts(stacks):
    place, plan = stacks
    done = place.testbed("drill", "--bench=stacks.yaml", "--artifacts=drills", "-k", "pair", plan)
    assert done.code == 1, done.text
    verdicts = {name: r.verdict for name, r in place.plans("drills").items()}
    assert sorted(verdicts.values()) == ["drill-caught", "drill-missed"], done.text
    assert "not put back" not in done
