"""A plan's box whose frames the kernel carries, between two hosts of a virtual bench."""

from __future__ import annotations

import pytest

from testbed.link.ebpf import can_run_live

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why),
]

PAIR = """\
bench: pair
lab: virtual
controller:
  nics: {x: {}, y: {}}
  boxes: {w: [x, y]}
hosts:
  h1: {platform: linux_host, ports: [eth1]}
  h2: {platform: linux_host, ports: [eth1]}
cables:
  - [h1:eth1, controller:x]
  - [controller:y, h2:eth1]
"""

PLANS = """
from testbed.errors import BenchError

PAIR = pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
ECHO = testbed.FrameField(9, 1, 1, layer="payload") & testbed.FrameField(0, 1, 8, layer="transport")

@PAIR
def test_1_the_kernel_carries_and_python_takes_over(bench: Bench) -> None:
    net = bench.bring_up_network()
    for host in ("client", "server"):
        bench.host(host).execute("ethtool -K eth1 gro on")
    server = net.plan.of("server").address.ip
    wire = bench.box("wire")
    toward = wire.toward("server")

    def ping(count: int) -> str:
        return bench.host("client").execute(f"ping -c {count} -i 0.02 -W 1 {server} || :")

    assert wire.engines()["server"][0] == "user space"
    assert "is captured" in wire.engines()["server"][1]
    with bench.unrecorded():
        nth = testbed.Nth(3, matching=ECHO)
        with toward.impaired(testbed.Drop(nth)):
            answer = ping(5)
            assert wire.engines() == {
                node: ("XDP", "the fastest, and all stages can be compiled")
                for node in ("client", "server")
            }
            assert " 4 received" in answer and "icmp_seq=3" not in answer
            nth.rearm(2)
            answer = ping(3)
            assert " 2 received" in answer and "icmp_seq=2" not in answer
            assert toward.actions["drop"] == 2
            (first, _) = [event for event in toward.events if event.action == "drop"]
            assert first.note == "number 3 of those that match"
        with toward.impaired(testbed.Delay(milliseconds(20))):
            fastest = float(ping(4).rpartition("= ")[2].split("/")[0])
            assert 20 <= fastest < 40
        wire.box.check_alive()
        with bench.capture("client--wire") as blind:
            assert " 9 received" in ping(9)
        with pytest.raises(BenchError, match="or carried them past"):
            blind.at("client--wire").expect_none(match.udp())
    with bench.capture("client--wire") as seen:
        assert " 2 received" in ping(2)
    seen.at("client--wire").expect(match.icmpv4())
    assert wire.engines()["server"][0] == "user space"
"""


def test_in_a_plan_the_kernel_carries_what_nobody_captures(sandbox) -> None:
    sandbox.write("boxed.yaml", PAIR)
    plan = sandbox.plan("test_box_inline", PLANS)
    done = sandbox.testbed("run", plan, "--bench", "boxed.yaml")
    verdicts = {name.partition("[")[0]: plan.verdict for name, plan in sandbox.plans().items()}
    assert verdicts == {"test_1_the_kernel_carries_and_python_takes_over": "pass"}, done.text
