"""Web servers, groups and chosen sources on kernel hosts and Python stacks; defects on NICs."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

BENCH = """\
bench: services
lab: virtual
controller:
  nics: {a: {}}
hosts:
  h1: {platform: linux_host, ports: [eth1]}
cables:
  - [controller:a, h1:eth1]
"""

PLANS = """
from testbed import HttpFetch, StackConfig, defects

PAIR = pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
GROUP = "239.1.2.3"

def fetch(bench, peer, path):
    to = bench.bring_up_network()["dut"].ip, 8080
    made = HttpFetch.on(peer.stack, to, "dut", path, peer.now())
    peer.flush()
    bench.wait_until(lambda: made.done, seconds(5), "an answer")
    assert made.error is None, made.error
    return made.answer

@PAIR
def test_web(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    page = bytes(range(256)) * 100
    dut.http_serve(8080, {"/": b"<p>Hello</p>", "/page": page})
    assert fetch(bench, peer, "/").body == b"<p>Hello</p>"
    assert fetch(bench, peer, "/page").body == page
    assert fetch(bench, peer, "/nothing").status == 404
    dut.stop_services()
    dut.http_serve(8080, {"/": b"again"})
    assert fetch(bench, peer, "/").body == b"again"

@PAIR
def test_groups(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    end = bench.bring_up_network()["dut"]
    dut.udp_serve(5000, groups=((GROUP, str(end.ip)),))
    to_all = peer.udp()
    with bench.capture() as seen:
        for target in (GROUP, "dut"):
            to_all.send(b"hello", target, 5000)
            assert to_all.receive().payload == b"hello"
        for target in (GROUP, "255.255.255.255"):
            assert dut.udp_send(target, 5001, b"out", source=str(end.ip)) is None
            seen.wait_for("peer--dut", match.ipv4(src=end.ip, dst=target))
        seen.settle()
    assert len(dut.udp_received(5000, count=2, within=seconds(2))) == 2

@pytest.mark.behaviour("UD-01")
@PAIR
@drill(
    "sends twice",
    faults.python_stack(defects.udp.SENDS_TWICE, role="peer"),
    caught="2 came",
)
@drill("nothing", faults.python_stack(role="peer"), caught="never")
def test_a_stack_on_a_nic(bench: Bench) -> None:
    peer = bench.host("peer", StackConfig())
    bench.host("dut")
    with bench.capture() as seen:
        peer.udp().send(b"once", "dut", 9)
        seen.settle()
    seen.at("peer--dut").sent.expect_count(match.udp(payload=b"once"), 1)
    with pytest.raises(PlanError, match="defects before it is made"):
        bench.spoil("peer")
    with pytest.raises(PlanError, match="dut: a Python stack .* before"):
        bench.spoil("dut")
"""


@pytest.fixture(scope="module")
def services(sandbox):
    sandbox.write("services.yaml", BENCH)
    return sandbox, sandbox.plan("test_services", PLANS)


@pytest.mark.parametrize("hosts", [(), ("--python-hosts",)], ids=["kernel", "python"])
def test_hosts_serve_pages_join_groups_and_send_from_where_they_are_told(services, hosts):
    place, plan = services
    done = place.testbed(
        "run", "--bench=services.yaml", "--no-prove", "--artifacts=good", *hosts, plan
    )
    assert done.code == 0, done.text


def test_drills_give_defects_to_the_stacks_of_nics(services):
    place, plan = services
    done = place.testbed("drill", "--bench=services.yaml", "--artifacts=drills", "-k", "nic", plan)
    assert done.code == 1, done.text
    verdicts = {name: r.verdict for name, r in place.plans("drills").items()}
    assert sorted(verdicts.values()) == ["drill-caught", "drill-missed"], done.text
