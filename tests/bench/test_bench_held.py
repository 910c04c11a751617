"""A held bench, driven as hardware: the same verdicts, the cabling proven, everything put back."""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import re
import signal
import subprocess
import time
from operator import itemgetter
from pathlib import Path

import pytest
from plan_runs import Sandbox, below, need_root_and, untouched_machine

from testbed.inventory import Bench, End, dump, load
from testbed.labs import hardware
from testbed.timing import milliseconds

pytestmark = pytest.mark.root

RACK = """\
bench: rack
lab: virtual
controller:
  nics: {a: {}, b: {}, c: {}, m: {}, d: {}, e: {}, i: {}, j: {}, x: {}}
devices:
  sw1: {platform: openvswitch, ports: [p1, p2, p3, p4]}
  sw2: {platform: linux_bridge, ports: [p1, p2]}
  r1: {platform: frr, ports: [eth1, eth2, eth3]}
hosts:
  h1: {platform: linux_host, ports: [eth1, eth2]}
cables:
  - [controller:a, sw1:p1]
  - [controller:b, sw1:p2]
  - [controller:c, sw1:p3]
  - [controller:m, sw1:p4]
  - [controller:d, sw2:p1]
  - [controller:e, sw2:p2]
  - [controller:i, r1:eth1]
  - {ends: [controller:j, r1:eth2], mtu: 1400}
  - [r1:eth3, h1:eth1]
  - [h1:eth2, controller:x]
mirrors:
  - {device: sw1, to: p4}
"""

VERDICTS = """
@pytest.mark.topology(Topology.star("dut", "a", "b"))
def test_flood(bench: Bench) -> None:
    bench.switch("dut").flush_fdb()
    with bench.capture() as seen:
        bench.nic("a").inject(EthFrame(dst=STATION, src=bench.nic("a").mac))
    seen.at("b--dut").expect(match.eth(dst=STATION))

@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
def test_route(bench: Bench) -> None:
    network = bench.bring_up_network()
    with bench.capture() as seen:
        pass
    seen.at("a--dut").expect_none(match.eth(src=STATION))

@pytest.mark.topology(Topology.star("dut", "a", "b"))
def test_wrong(bench: Bench) -> None:
    raise ExpectationFailed("a wrong device")

@pytest.mark.topology(Topology.star("dut", "a", "b"))
def test_rig(bench: Bench) -> None:
    raise BenchError("a wrong rig")
"""

CHANGES = """
import random

@pytest.mark.topology(Topology.of(
    ["dut:switch", "a:nic", "b:nic", "c:nic", "s2:switch", "d:nic", "e:nic",
     "r:router", "i:nic", "j:nic", "h:host"],
    [("a", "dut"), ("b", "dut"), ("c", "dut"), ("d", "s2"), ("e", "s2"), ("i", "r"), ("j", "r"),
     ("r", "h")],
))
def test_changes_everything(bench: Bench) -> None:
    one, two, r, h = bench.switch("dut"), bench.switch("s2"), bench.router("r"), bench.host("h")
    eth1, eth2 = bench.port("r", toward="i"), bench.port("r", toward="j")
    steps = [
        lambda: one.set_ageing_time(seconds(61)),
        lambda: two.set_ageing_time(seconds(62)),
        lambda: one.set_vlan_mode(bench.port("dut", toward="b"), VlanMode(access=10)),
        lambda: one.set_mirror((bench.port("dut", toward="a"),), "p4"),
        lambda: one.set_port_up(bench.port("dut", toward="c"), up=False),
        lambda: two.set_port_up(bench.port("s2", toward="e"), up=False),
        lambda: two.add_static(STATION, bench.port("s2", toward="d")),
        lambda: r.add_address(eth1, IPv4Interface("198.18.7.1/24")),
        lambda: r.add_route(IPv4Network("198.19.7.0/24"), IPv4Address("198.18.7.9")),
        lambda: r.set_mtu(eth2, 1300),
        lambda: r.set_icmp_rate_limit(on=False),
        lambda: r.set_redirects(on=False),
        lambda: h.add_address(bench.port("h", toward="r"), IPv4Interface("198.18.8.2/24")),
        lambda: h.set_sysctl("net.ipv4.tcp_sack", "0"),
        lambda: h.udp_serve(7007),
        lambda: h.tcp_serve(7008),
        lambda: bench.sabotage("dut").keep_doing("ovs-appctl fdb/flush"),
    ]
    random.shuffle(steps)
    Path("begun").touch()
    for number, step in enumerate(steps):
        step()
        if number == MANY:
            Path("middle").touch()
    bench.watch_for(seconds(60))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    need_root_and("openvswitch", "linux_bridge", "frr", "linux_host")
    with untouched_machine():
        made = Sandbox(tmp_path_factory.mktemp("held"))
        made.write("rack.yaml", RACK)
        yield made
        made.assert_clean()


@pytest.fixture(scope="module")
def held(place):
    """The bench file of a held bench."""
    up = place.call("lab", "up", "rack.yaml", "--hold", "--out", "held.yaml")
    assert up.code == 0, up.text
    (line,) = up.lines(r"^bench rack stands \(process")
    pid = int(re.search(r"process (\d+)", line)[1])
    lab = below(pid)
    try:
        yield load(place.path / "held.yaml").bench
    finally:
        down = place.call("lab", "down", "rack")
        assert down.code == 0, down.text
        assert below(pid) == set()
        left = {p for p, since in lab if Path(f"/proc/{p}").exists()}
        assert not left
        assert not (place.path / "held.yaml").exists()
        assert place.call("lab", "down", "rack").code == 3


INSIDE = {
    "links": "ip -o -d link show | sed -E 's/(gc|hello|tcn|topology_change)_timer +[0-9.]+//g; "
    "s/state [A-Z]+//; s/LOWER_UP//'",
    "addresses": "ip -o -4 address show",
    "routes": "ip route show table all",
    "filters": "nft list ruleset; for i in $(ls /proc/sys/net/ipv4/conf); do "
    "tc filter show dev $i; done 2>/dev/null",
    "sockets": "ss -Hltnu | awk '{print $1, $5}' | sort",
    "neighbours": "ip neigh show nud permanent",
    "forwarding": "bridge fdb show | grep static",
    "settings": "cd /proc/sys/net; grep -r . ipv4/conf/*/forwarding ipv4/conf/*/arp_ignore "
    "ipv4/conf/*/send_redirects ipv4/conf/*/accept_redirects ipv4/tcp_sack ipv4/icmp_ratelimit "
    "ipv4/icmp_ratemask ipv6/conf/*/disable_ipv6",
    "offloads": "for i in $(ls /proc/sys/net/ipv4/conf); do ethtool -k $i; done 2>/dev/null",
    "switch": "ovs-vsctl --columns=name,tag,trunks,vlan_mode list Port; ovs-vsctl list Mirror; "
    "ovs-vsctl get bridge br0 other_config mirrors; ovs-ofctl dump-flows br0 | "
    "sed 's/duration=[^ ]*//; s/n_[a-z]*=[^ ]*//g; s/idle_age=[^ ]*//'",
    "router": "vtysh -c 'show running-config'",
}
"""How to see what a run could leave changed; not every command is on every device."""


def inits(bench: Bench) -> dict[str, int]:
    """The first process of every device: the oldest one there."""
    rack = int(bench.controller.netns.split("/")[2])
    found: dict[str, int] = {}
    for pid, _ in sorted(below(rack), key=itemgetter(1)):
        with contextlib.suppress(OSError):  # it has just ended
            name = Path(f"/proc/{pid}/root/etc/hostname").read_text().strip()
            if name in {*bench.devices, *bench.hosts}:
                found.setdefault(name, pid)
    return found


def look(bench: Bench) -> dict[str, str]:
    """The state of every device and of the controller's NICs, without the testbed's drivers."""
    nodes = {"controller": ["nsenter", f"--net={bench.controller.netns}"]}
    for name, pid in inits(bench).items():
        nodes[name] = ["nsenter", "--all", "-t", str(pid)]
    assert len(nodes) == 1 + len(bench.devices) + len(bench.hosts)
    seen = {}
    for name, enter in nodes.items():
        script = "; ".join(f"echo '=== {part}'; {command}" for part, command in INSIDE.items())
        done = subprocess.run(
            [*enter, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=30
        )
        for part in done.stdout.split("=== ")[1:]:
            title, _, text = part.partition("\n")
            seen[f"{name} {title}"] = text
    for told in ("sw1 switch", "r1 router", "controller offloads", "h1 settings"):
        assert len(seen[told]) > 50, told
    return seen


def difference(now: dict[str, str], before: dict[str, str]) -> dict[str, list[str]]:
    return {
        part: list(difflib.unified_diff(before[part].splitlines(), now[part].splitlines(), n=0))
        for part in before
        if before[part] != now[part]
    }


def device_processes(bench: Bench) -> list[str]:
    rack = int(bench.controller.netns.split("/")[2])
    names = []
    for pid, _ in below(rack):
        try:
            names.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
        except OSError:
            continue
    return sorted(name for name in names if name and not name.startswith("sshd: "))


def test_the_same_verdicts_as_brought_up_for_the_run(place, held) -> None:
    plan = place.plan("test_verdicts", VERDICTS)
    other = place.testbed("run", plan, "--bench", "rack.yaml", "--artifacts", "virtual")
    done = place.testbed("run", plan, "--bench", "held.yaml", "--artifacts", "held")
    assert done.code == other.code == 1, done.text + other.text
    assert place.verdicts("held") == place.verdicts("virtual")
    assert set(place.verdicts("held").values()) == {"pass", "fail", "error"}
    assert place.report("held").lab == "hardware"
    assert place.report("held").restored
    place.assert_clean()


def test_cabling_is_proven(place, held) -> None:
    before = look(held)
    done = place.call("bench", "check", "--bench", "held.yaml")
    assert done.code == 0, done.text
    assert len(done.lines("proven")) == len(held.cables)
    assert difference(look(held), before) == {}


def swapped(bench: Bench, one: str, two: str) -> Bench:
    """``bench`` as if two cables were plugged in the wrong way round."""
    nics = dict(bench.controller.nics)
    nics[one], nics[two] = nics[two], nics[one]
    return bench.model_copy(
        update={"controller": bench.controller.model_copy(update={"nics": nics})}
    )


def recabled(bench: Bench, one: str, two: str) -> Bench:
    ends = {End.model_validate(one): End.model_validate(two)}
    ends |= {there: here for here, there in ends.items()}
    cables = tuple(
        cable.model_copy(update={"ends": tuple(ends.get(end, end) for end in cable.ends)})
        for cable in bench.cables
    )
    return bench.model_copy(update={"cables": cables})


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda b: swapped(b, "a", "b"), ("controller:a", "controller:b")),
        (lambda b: swapped(b, "a", "i"), ("controller:a", "controller:i")),
        (lambda b: recabled(b, "sw2:p1", "sw2:p2"), ("sw2:p1", "sw2:p2")),
        (lambda b: recabled(b, "r1:eth2", "sw1:p3"), ("controller:c", "controller:j")),
    ],
    ids=["two NICs of a switch", "of a switch and a router", "two ports", "of two devices"],
)
def test_cables_swapped(place, held, spoil, wrong) -> None:
    place.write("spoilt.yaml", dump(spoil(held)))
    done = place.call("bench", "check", "--bench", "spoilt.yaml")
    assert done.code == 3, done.text
    for end in wrong:
        assert done.lines(rf"{end}.* wrong "), done.text
    assert len(done.lines(" wrong ")) == 2, done.text
    assert len(done.lines(" proven ")) == len(held.cables) - 2, done.text


def test_miswired_bench_runs_no_plan(place, held) -> None:
    place.write("spoilt.yaml", dump(swapped(held, "a", "b")))
    plan = place.plan("test_verdicts", VERDICTS)
    refused = place.testbed("run", plan, "--bench", "spoilt.yaml")
    assert refused.code == 3, refused.text
    assert refused.lines("controller:a -- sw1:p1: wrong .*sw1:p2")
    assert refused.lines("controller:b -- sw1:p2: wrong .*sw1:p1")
    assert "test_flood" not in refused
    place.assert_clean()


def test_unplugged_cable_is_named(place, held, monkeypatch) -> None:
    monkeypatch.setattr(hardware, "LINK_WITHIN", milliseconds(300))
    far = ["nsenter", "--net", "-t", str(inits(held)["h1"]), "ip", "link", "set", "eth2"]
    subprocess.run([*far, "down"], check=True)
    try:
        done = place.call("bench", "check", "--bench", "held.yaml")
    finally:
        subprocess.run([*far, "up"], check=True)
    assert done.code == 3, done.text
    assert done.lines("h1:eth2 .*controller:x .* down "), done.text
    assert len(done.lines(" proven ")) == len(held.cables) - 1, done.text


def test_kept_configuration_is_undone_by_the_next_run(place, held) -> None:
    before = look(held)
    body = '@STAR\ndef test_it(bench: Bench) -> None:\n    dut = bench.switch("dut")\n'
    plan = place.plan("test_kept", f"{body}    dut.set_ageing_time(seconds(99))\n")
    kept = place.testbed("run", plan, "--bench", "held.yaml", "--keep-config", "--no-prove")
    assert kept.code == 0, kept.text
    assert kept.lines("2 changes stay on the devices; testbed bench recover undoes them")
    assert difference(look(held), before) != {}
    done = place.call("bench", "recover", "--bench", "held.yaml")
    assert done.code == 0, done.text
    assert "without putting 2 changes back" in done
    assert difference(look(held), before) == {}
    again = place.call("bench", "recover", "--bench", "held.yaml")
    assert again.text == "rack: nothing was left to undo\n"
    place.assert_clean()


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_in_the_middle(place, held, seed) -> None:
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    before, running = look(held), device_processes(held)
    plan = place.plan("test_changes", CHANGES.replace("MANY", str(chance.randrange(8, 17))))
    arguments = (plan, "--bench", "held.yaml", "--no-prove")
    with place.start("testbed", "run", *arguments) as process:
        place.await_sign("begun", process)
        place.await_sign("middle", process)
        if seed == 1:
            second = place.testbed("run", *arguments)
            assert second.code == 3, second.text
            assert second.lines(rf"bench rack is in use by .*process {process.pid}, since .*run")
        time.sleep(chance.random() * 0.3)  # a random moment is the subject of this test
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert len(difference(look(held), before)) > 3
    if seed % 2:
        done = place.call("bench", "recover", "--bench", "held.yaml")
        assert done.lines(r"an earlier run ended without putting \d+ changes back"), done.text
    else:
        good = place.plan("test_next", "@STAR\ndef test_next(bench: Bench) -> None:\n    pass\n")
        done = place.testbed("run", good, "--bench", "held.yaml", "--no-prove")
    assert done.code == 0, done.text
    assert difference(look(held), before) == {}
    assert device_processes(held) == running
    place.assert_clean()
