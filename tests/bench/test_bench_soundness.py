"""A pass needs proof: what a capture may have missed is no evidence, and the rig is to blame."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.root

BENCH = """\
bench: sound
lab: virtual
controller:
  nics: {a: {}, b: {}, c: {}, x1: {}, x2: {}}
  boxes: {w: [x1, x2]}
devices:
  sw: {platform: linux_bridge, ports: [p1, p2, p3, p4]}
hosts:
  h: {platform: linux_host, ports: [eth1]}
cables:
  - [controller:a, sw:p1]
  - [controller:b, sw:p2]
  - [controller:c, sw:p3]
  - [controller:x1, sw:p4]
  - [controller:x2, h:eth1]
limits: {management: [192.0.2.0/24], max_rate: 500pps}
"""

SOUND = '''
import time

from testbed import ArpPacket, Drop, IPv4Packet, compose

NEVER = match.eth(src="02:00:00:00:77:ff")

@STAR
def test_quiet(bench: Bench) -> None:
    """The control: nothing comes, and that is proven."""
    with bench.capture() as seen:
        bench.nic("a").inject(HELLO)
    seen.at("b--dut").expect_none(NEVER)

@STAR
def test_link_lost(bench: Bench) -> None:
    dut, port = bench.switch("dut"), bench.port("dut", toward="b")
    with bench.capture() as seen:
        dut.set_port_up(port, up=False)
        dut.set_port_up(port, up=True)
        dut.wait_port_up(port, within=seconds(2))
    seen.at("b--dut").expect_none(NEVER)

@STAR
def test_canary_swallowed(bench: Bench) -> None:
    faults.nft("type filter hook forward priority 0;", "ether daddr ff:ff:ff:ff:ff:ff drop",
               family="bridge")(bench)
    with bench.capture() as seen:
        pass
    seen.at("b--dut").expect_none(NEVER)

@STAR
def test_barrier_swallowed(bench: Bench) -> None:
    with bench.capture() as seen:
        faults.nft("type filter hook forward priority 0;", "ether daddr ff:ff:ff:ff:ff:ff drop",
                   family="bridge")(bench)
    seen.at("b--dut").expect_none(NEVER)

@STAR
def test_barrier_swallowed_after_settling(bench: Bench) -> None:
    with bench.capture() as seen:
        bench.nic("a").inject(HELLO)
        seen.settle()
        faults.nft("type filter hook forward priority 0;", "ether daddr ff:ff:ff:ff:ff:ff drop",
                   family="bridge")(bench)
        bench.watch_for(milliseconds(10))
    seen.at("b--dut").expect_none(NEVER)

@STAR
def test_not_settled(bench: Bench) -> None:
    with bench.capture() as seen:
        seen.settle()
        bench.nic("a").inject(HELLO)
        seen.at("b--dut").expect_none(NEVER)

@STAR
def test_each_capture_has_its_own_proof(bench: Bench) -> None:
    dut, port = bench.switch("dut"), bench.port("dut", toward="b")
    with bench.capture() as first:
        dut.set_port_up(port, up=False)
        dut.set_port_up(port, up=True)
        dut.wait_port_up(port, within=seconds(2))
    with bench.capture() as second:
        pass
    second.at("b--dut").expect_none(NEVER)
    bench.log("the second one is proven")
    first.at("b--dut").expect_none(NEVER)

@STAR
def test_management_is_left_alone(bench: Bench) -> None:
    a = bench.nic("a")
    kept, free = IPv4Address("192.0.2.9"), IPv4Address("198.51.100.9")
    packet = IPv4Packet(src=free, dst=kept, protocol=17, payload=bytes(40))
    frame = compose(EthFrame(dst=STATION, src=a.mac), packet)
    cut = frame[:40]
    ask = EthFrame(dst=MacAddr.BROADCAST, src=a.mac, ethertype=0x0806, payload=bytes.fromhex(
        "0001080006040001") + a.mac.packed + free.packed + bytes(6) + kept.packed)
    for bad in (frame, cut, ask):
        with pytest.raises(PlanError, match=r"192.0.2.9 is in the bench's management network"):
            a.inject(bad)
    with bench.capture() as seen:
        a.inject(HELLO)
    assert len(seen.at("a--dut").sent.frames) == 1

@STAR
def test_rate_is_kept(bench: Bench) -> None:
    with bench.capture() as seen:
        bench.nic("a").inject(*[HELLO] * 51)
    times = [traced.at for traced in seen.at("a--dut").sent.frames]
    assert len(times) == 51
    assert times[-1] - times[0] >= 99_000_000

@pytest.mark.topology(Topology.of(
    ["dut:switch", "a:nic", "w:box", "h:host"], [("a", "dut"), ("dut", "w"), ("w", "h")]
))
def test_box(bench: Bench) -> None:
    with bench.box("w").toward("h").impaired(Drop(match.eth(src=STATION))):
        bench.nic("a").inject(HELLO)
        bench.watch_for(milliseconds(50))
'''

LOSSY = """
@STAR
def test_frames_lost(bench: Bench) -> None:
    with bench.capture("b--dut") as seen:
        bench.nic("a").inject(*[HELLO] * 20_000)  # more than the ring of b holds at once
    seen.at("b--dut").expect_none(match.eth(src="02:00:00:00:77:ff"))
"""

BROKEN = """
@STAR
def test_login_breaks(bench: Bench) -> None:
    dut = bench.switch("dut")
    dut.set_ageing_time(seconds(88))
    dut.execute("kill -9 $PPID $$")

@STAR
def test_next_one_logs_in_anew(bench: Bench) -> None:
    assert bench.switch("dut").ageing_time() != seconds(88)

@STAR
def test_power_cut(bench: Bench) -> None:
    dut = bench.switch("dut")
    for time in range(60, 70):
        dut.set_ageing_time(seconds(time))
    dut.execute("nohup sh -c 'sleep 0.1; kill -9 -1' >/dev/null 2>&1 </dev/null &")
    bench.watch_for(milliseconds(400))
    dut.execute("true")

@STAR
def test_dead_device(bench: Bench) -> None:
    bench.switch("dut").flush_fdb()
"""


@pytest.fixture(scope="module")
def judged(sandbox):
    sandbox.write("sound.yaml", BENCH)
    plan = sandbox.plan("test_sound", SOUND)
    done = sandbox.testbed("run", plan, "--bench", "sound.yaml", "--no-prove")
    return done, sandbox.plans()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("link_lost", "not alive: .*b lost its link once while it was in use"),
        ("canary_swallowed", "not alive and not settled: canary lost: a broadcast from a to b"),
        ("barrier_swallowed", "not settled: barrier lost: a broadcast from a to b"),
        ("barrier_swallowed_after_settling", "not settled: barrier lost"),
        ("not_settled", "not settled: nobody waited for what may still be under way"),
        ("each_capture_has_its_own_proof", "not alive: .*b lost its link once"),
    ],
)
def test_absence_without_proof_is_an_error(judged, name, reason) -> None:
    done, plans = judged
    plan = plans[f"test_{name}[sw]"]
    assert plan.verdict == "error", done.text
    assert re.search(reason, plan.reason + plan.details)
    assert plan.judgements[-1].verdict == "unproven"


def test_absence_with_proof_passes(judged) -> None:
    _, plans = judged
    assert plans["test_quiet[sw]"].verdict == "pass"
    notes = plans["test_each_capture_has_its_own_proof[sw]"].notes
    assert [note.text for note in notes] == ["the second one is proven"]


def test_limits_hold(judged) -> None:
    done, plans = judged
    for name in ("test_management_is_left_alone[sw]", "test_rate_is_kept[sw]"):
        assert plans[name].verdict == "pass", done.text


def test_what_a_box_did_is_in_the_report(judged) -> None:
    _, plans = judged
    events = plans["test_box[sw]"].box_events
    assert [(event.box, event.direction) for event in events] == [("w", "to h")]
    assert events[0].action.startswith("drop")
    assert "02:00:00:00:77:0a" in events[0].summary


def test_lost_frames_are_no_evidence(sandbox) -> None:
    plan = sandbox.plan("test_lossy", LOSSY)
    done = sandbox.testbed("run", plan, "--bench=small.yaml", "--no-prove", "--capture=never")
    assert done.code == 3, done.text
    (lossy,) = sandbox.plans().values()
    assert "not lossless" in lossy.reason + lossy.details
    assert "the kernel dropped" in lossy.reason + lossy.details


def test_devices_that_break_off(sandbox) -> None:
    plan = sandbox.plan("test_broken", BROKEN)
    done = sandbox.testbed("run", plan, "--bench=small.yaml", "--no-prove")
    plans = sandbox.plans()
    assert done.code == 3, done.text
    assert [plan.verdict for plan in plans.values()] == ["error", "pass", "error", "error"]
    assert "sw over ssh" in plans["test_login_breaks[sw]"].reason
    assert all(change.undone_at for change in plans["test_login_breaks[sw]"].changes)
    report = sandbox.report()
    assert not report.restored
    assert report.ended - report.started < 60 * 10**9
    assert "Traceback" not in done
