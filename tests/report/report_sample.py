"""A made-up run on the shipped virtual bench, with the look of a real one."""

from testbed.report.history import History, PastVerdict
from testbed.report.records import (
    ArtifactRecord,
    BoxEventRecord,
    BoxRecord,
    CableRecord,
    ChangeRecord,
    ColumnRecord,
    ConsoleRecord,
    DeviceRecord,
    JudgementRecord,
    LadderRecord,
    LadderRowRecord,
    NicRecord,
    NoteRecord,
    PlanRecord,
    RunRecord,
)

START = 1_763_690_000_000_000_000
MS = 1_000_000

CABLES = """\
a sw1:p1 -
b sw1:p2 -
c sw1:p3 -
d sw1:p4 -
m sw1:p5 -
e sw2:p1 -
f sw2:p2 -
g sw2:p3 -
h sw2:p4 -
n sw2:p5 -
i r1:eth1 1500
j r1:eth2 1500
k r1:eth3 1400
x2 r1:eth4 1500
r1:eth5 h2:eth1 1400
r1:eth6 r2:eth1 1400
l r2:eth2 1280
x1 h1:eth1 1500
y1 h1:eth2 1500
y2 h2:eth2 1500
"""

SENTENCES = {
    "SW-01": "A switch learns a station from its frames and sends to it on one port only.",
    "SW-02": "A switch must relearn a station that reappears behind another port.",
    "SW-03": "An entry leaves the MAC table after the ageing time, and not before.",
    "SW-04": "Traffic from a station restarts its ageing; traffic to it does not.",
    "SW-05": "A known unicast frame leaves on the learned port only, once.",
    "SW-06": "An unknown unicast frame floods to every port but its own.",
    "SW-07": "A frame for its own port is filtered.",
    "SW-08": "A broadcast reaches every port but its own, at any state of the table.",
    "SW-09": "Flooding stops as soon as the station answers.",
    "SW-10": "No frame crosses VLANs, and each VLAN learns for itself.",
    "SW-13": "Link down and an operator's clear empty a port's entries.",
    "SW-14": "Reserved group addresses are not forwarded.",
    "SW-17": "A mirror shows each frame once per direction, unaltered and in order.",
    "IP-01": "Only the owner of an address answers an ARP request, by unicast.",
    "IP-03": "A packet with a wrong header is dropped in silence.",
    "IP-04": "A router rewrites the MACs, takes one off the TTL and keeps the payload.",
    "IP-05": "A packet whose TTL runs out is dropped and reported.",
    "IP-06": "Of the routes that match, the longest prefix wins.",
    "IP-07": "What cannot be delivered is reported, but never an error about an error.",
    "IP-08": "An echo comes back with its id, its sequence and all of its data.",
    "IP-09": "A better next hop on the same link is told by a redirect.",
    "IP-11": "A local broadcast never crosses a router.",
    "IP-12": "A directed broadcast is dropped unless it was switched on.",
    "FR-01": "A router cuts a datagram without DF into fragments that fit the link.",
    "FR-02": "Fragments cross routers as they are and are put together at the end.",
    "PM-01": "A datagram with DF that does not fit is dropped, with the next hop's MTU.",
    "PM-03": "Path MTU discovery converges over several narrower hops.",
    "PM-04": "TCP resends at once in smaller segments.",
    "PM-06": "A path MTU black hole does not stop a stream.",
    "TC-01": "The handshake counts SYN and FIN as one.",
    "TC-10": "The retransmission timeout doubles each time.",
    "TC-14": "Selective acknowledgement resends the holes only.",
    "TC-16": "The application sees the stream once and in order.",
    "TC-20": "The third duplicate ACK resends before the timeout.",
    "TC-29": "A transfer survives an unplugged cable.",
}


def bench(*, wrong=False):
    nics = tuple(
        NicRecord(
            name=name,
            interface=f"tb-{name}",
            mac=f"02:00:00:00:00:{i:02x}",
            state="up 10 Gb/s veth",
        )
        for i, name in enumerate((*"abcdmefghnijkl", "x1", "x2", "y1", "y2"), 1)
    )
    five = tuple(f"p{i}" for i in range(1, 6))
    devices = (
        DeviceRecord(
            name="sw1", platform="openvswitch", kind="switch", version="3.1.0", ports=five
        ),
        DeviceRecord(
            name="sw2", platform="linux_bridge", kind="switch", version="6.18", ports=five
        ),
        DeviceRecord(
            name="r1",
            platform="frr",
            kind="router",
            version="8.4.4",
            ports=tuple(f"eth{i}" for i in range(1, 7)),
            transport="ssh, serial",
        ),
        DeviceRecord(name="r2", platform="frr", kind="router", ports=("eth1", "eth2")),
        DeviceRecord(name="h1", platform="linux_host", kind="host", ports=("eth1", "eth2")),
        DeviceRecord(name="h2", platform="linux_host", kind="host", ports=("eth1", "eth2")),
    )
    cables = []
    for line in CABLES.splitlines():
        a, b, mtu = line.split()
        cables.append(
            CableRecord(
                end_a=a if ":" in a else f"controller:{a}",
                end_b=b,
                mtu=None if mtu == "-" else int(mtu),
                state="proven" if ":" not in a else "up",
            )
        )
    if wrong:
        swap = {"controller:c": "found on sw1:p4", "controller:d": "found on sw1:p3"}
        cables = [
            CableRecord(end_a=c.end_a, end_b=c.end_b, state="wrong", note=swap[c.end_a])
            if c.end_a in swap
            else CableRecord(end_a=c.end_a, end_b=c.end_b, state="down", note="no carrier")
            if c.end_a == "controller:n"
            else c
            for c in cables
        ]
    boxes = (
        BoxRecord(name="w1", left="x1", right="x2"),
        BoxRecord(name="w2", left="y1", right="y2"),
    )
    return nics, boxes, devices, tuple(cables)


def switching_story(start, *, moved):
    """A station that moves from one port to another, on a switch that relearns it or not."""
    columns = (
        ColumnRecord(key="old", title="old", subtitle="a, sw1:p1"),
        ColumnRecord(key="new", title="new", subtitle="c, sw1:p3"),
        ColumnRecord(key="peer", title="peer", subtitle="b, sw1:p2"),
        ColumnRecord(key="dut", title="dut", subtitle="sw1"),
    )
    station, peer = "02:57:a7:00:00:01", "02:00:00:00:00:02"
    rows = []

    def row(ms, source, target, label, **more):
        rows.append(
            LadderRowRecord(
                time_ns=start + round(ms * MS),
                source=source,
                target=target,
                label=label,
                number=len(rows) + 1,
                **more,
            )
        )

    row(3.1, "old", "dut", "canary 1 from old", kind="infrastructure")
    row(3.15, "dut", "peer", "canary 1 from old", kind="infrastructure")
    row(12.02, "old", "dut", f"ETH {station} > ff:ff:ff:ff:ff:ff type 0x88b5 len 60")
    row(12.05, "dut", "peer", f"ETH {station} > ff:ff:ff:ff:ff:ff type 0x88b5 len 60")
    row(12.06, "dut", "new", f"ETH {station} > ff:ff:ff:ff:ff:ff type 0x88b5 len 60")
    row(211.4, "new", "dut", f"ETH {station} > ff:ff:ff:ff:ff:ff type 0x88b5 len 60")
    row(211.44, "dut", "old", f"ETH {station} > ff:ff:ff:ff:ff:ff type 0x88b5 len 60")
    row(405.9, "peer", "dut", f"ETH {peer} > {station} type 0x88b5 len 60")
    if moved:
        row(405.93, "dut", "new", f"ETH {peer} > {station} type 0x88b5 len 60", highlight=True)
    else:
        row(
            405.93,
            "dut",
            "old",
            f"ETH {peer} > {station} type 0x88b5 len 60",
            highlight=True,
            note="fail: expect none: eth(dst=02:57:a7:00:00:01)",
        )
    row(406.5, "peer", "dut", "barrier 7 from peer", kind="infrastructure")
    row(406.55, "dut", "old", "barrier 7 from peer", kind="infrastructure")
    row(406.56, "dut", "new", "barrier 7 from peer", kind="infrastructure")
    return LadderRecord(columns=columns, rows=tuple(rows))


def tcp_story(start, rows=36):
    columns = (
        ColumnRecord(key="h1", title="h1", subtitle="10.77.0.2"),
        ColumnRecord(key="x1", title="x1", subtitle="w1, left"),
        ColumnRecord(key="x2", title="x2", subtitle="w1, right"),
        ColumnRecord(key="r1", title="r1", subtitle="eth4"),
        ColumnRecord(key="h2", title="h2", subtitle="10.77.9.2"),
    )
    out = []
    at = start + 40 * MS
    hops = (("h1", "x1"), ("x2", "r1"), ("r1", "h2"))
    flags = ["SYN seq 0 win 64240 mss 1460", "SYN,ACK seq 0 ack 1 win 65160", "ACK ack 1"]
    for i in range(rows):
        source, target = hops[i % 3]
        forward = (i // 3) % 2 == 0
        label = flags[i // 3] if i // 3 < 3 else f"ACK seq {i * 1448} ack 1 len 1448"
        if not forward:
            source, target = target, source
        at += 1_200_000_000 if i == 21 else 23_000 + 917 * i
        out.append(
            LadderRowRecord(
                time_ns=at,
                source=source,
                target=target,
                label=f"TCP 41022 > 5001 {label}",
                number=i + 1,
                kind="run" if i == 15 else "frame",
                count=412 if i == 15 else 1,
                until=at + 18 * MS if i == 15 else None,
            )
        )
    clock = "by CLOCK_REALTIME: the kernel's software stamp"
    return LadderRecord(columns=columns, rows=tuple(out), clocks=(clock,))


def console(start, device, *, serial=False):
    via = "serial" if serial else "ssh"
    lines = [
        (8, "sent", "ovs-appctl fdb/show br0\n"),
        (
            11,
            "received",
            " port  VLAN  MAC                Age\n    1     0  02:57:a7:00:00:01    0\n",
        ),
        (198, "sent", "ovs-appctl fdb/show br0\n"),
        (
            204,
            "received",
            "\x1b[?2004h port  VLAN  MAC\r\n    1     0  02:57:a7:00:00:01\r\n",
        ),
    ]
    return tuple(
        ConsoleRecord(device=device, transport=via, at=start + ms * MS, direction=way, text=text)
        for ms, way, text in lines
    )


NEAR = """\
3 frames came, the closest first:
#9 old--dut +405.930 ms: eth.dst: wanted 02:57:a7:00:00:02, got 02:57:a7:00:00:01; vlan: absent
    tshark -r artifacts/sw-02-sw1.pcapng -Y 'frame.number == 9' -V
#7 old--dut +211.440 ms: eth.dst: wanted 02:57:a7:00:00:01, got ff:ff:ff:ff:ff:ff (and 1 more)
    tshark -r artifacts/sw-02-sw1.pcapng -Y 'frame.number == 7' -V"""


def plan(behaviour, device, index, verdict="pass", drill=""):
    family = behaviour[:2]
    start = START + 2_000 * MS * index
    bad = verdict in {"fail", "drill-caught"}
    story = (
        tcp_story(start) if family in {"TC", "PM", "FR"} else switching_story(start, moved=not bad)
    )
    reason = {
        "fail": "old--dut: expect none: eth(dst=02:57:a7:00:00:01): 1 frame came",
        "drill-caught": "old--dut: expect none: eth(dst=02:57:a7:00:00:01): 1 frame came",
        "drill-missed": "the plan passed on a device with the defect: keeps the old port",
        "error": "sw2 over serial: awaited a prompt of sw2 within 10 s; got '--More--'.\n"
        "Somebody left the console in a pager: press q there",
        "skip": "no device of this bench can age faster than 15 s",
    }.get(verdict, "")
    suffix = f"[{device}-{drill}]" if drill else f"[{device}]"
    file = {"SW": "switching", "IP": "ip", "FR": "fragments", "PM": "pmtu", "TC": "tcp"}[family]
    slug = behaviour.lower().replace("-", "_")
    pcapng = f"artifacts/{behaviour.lower()}-{device}{'-drill' if drill else ''}.pcapng"
    quiet = verdict in {"skip", "error"}
    return PlanRecord(
        nodeid=f"plans/{file}/test_{slug}.py::test_{slug}{suffix}",
        verdict=verdict,
        title=SENTENCES[behaviour],
        oracle="The station is announced on one port, then on another. From then on there is one\n"
        "entry, on the new port, and frames to the station leave there only.\n\n"
        "Bound: relearned within 2 s (tolerance: relearn_s).",
        behaviour=behaviour,
        family=family,
        clause="IEEE 802.1Q-2022, 8.7",
        topology="star: old, new, peer -- dut",
        mapping={"dut": device, "old": "controller:a", "new": "controller:c", "peer": "b"},
        drill=drill,
        reason=reason,
        details=NEAR if bad else "",
        started=start,
        duration=(420 + 37 * index) * MS if verdict != "skip" else 0,
        judgements=()
        if quiet
        else (
            JudgementRecord(
                text="expect eth(dst=02:57:a7:00:00:01)",
                point="new--dut",
                frames=(5,) if bad else (9,),
                source=f"plans/{file}/test_{slug}.py:31",
            ),
            JudgementRecord(
                text="expect none: eth(dst=02:57:a7:00:00:01)",
                point="old--dut",
                verdict="fail" if bad else "pass",
                frames=(9,) if bad else (),
                details=NEAR if bad else "",
                source=f"plans/{file}/test_{slug}.py:32",
            ),
        ),
        ladder=LadderRecord() if quiet else story,
        console=() if verdict == "skip" else console(start, device, serial=verdict == "error"),
        changes=()
        if quiet
        else (
            ChangeRecord(
                device=device,
                summary="ageing time 300 s to 15 s",
                made_at=start + 6 * MS,
                undone_at=start + 409 * MS,
                undo=("ovs-vsctl set bridge br0 other_config:mac-aging-time=300",),
            ),
        ),
        box_events=(
            BoxEventRecord(
                at=start + 41 * MS,
                box="w1",
                direction="x1 > x2",
                action="dropped",
                summary="frame 7 of tcp(dport=5001, payload): TCP 41022 > 5001 seq 1449",
            ),
        )
        if family == "TC"
        else (),
        notes=(NoteRecord(at=start + 210 * MS, text="the station moves to the new port"),)
        if family == "SW" and not quiet
        else (),
        artifacts=()
        if quiet
        else (
            ArtifactRecord(
                path=pcapng, frame=9 if bad else None, description="4 points, 12 frames"
            ),
        ),
    )


def sample_run(*, failing=False, drills=False):
    verdicts = {}
    if failing:
        verdicts = {
            ("SW-02", "sw1"): "fail",
            ("PM-01", "r1"): "fail",
            ("SW-13", "sw2"): "error",
            ("SW-03", "sw1"): "skip",
        }
    plans = []
    for behaviour in SENTENCES:
        family = behaviour[:2]
        devices = {"SW": ("sw1", "sw2"), "TC": ("h1",), "PM": ("r1",)}.get(family, ("r1",))
        for device in devices:
            verdict = verdicts.get((behaviour, device), "pass")
            plans.append(plan(behaviour, device, len(plans) + 1, verdict))
            if drills:
                caught = "drill-missed" if behaviour == "IP-04" else "drill-caught"
                plans.append(plan(behaviour, device, len(plans) + 1, caught, "keeps-old-port"))
    nics, boxes, devices, cables = bench(wrong=failing)
    return RunRecord(
        run_id="20251121-013320-7f3a",
        bench="virtual",
        lab="hardware",
        started=START,
        ended=START + 63_400 * MS,
        command="testbed run --bench inventory/virtual.yaml",
        version="0.1.0",
        python="CPython 3.11.2",
        platform="Linux 6.18.0 x86_64, Debian 12",
        nics=nics,
        boxes=boxes,
        devices=devices,
        cables=cables,
        plans=tuple(plans),
        environment=(("tshark", "4.0.17"), ("Open vSwitch", "3.1.0")),
        restored=not failing,
        restore_notes=("sw2: still undone: bridge link set dev p3 state 3",) if failing else (),
    )


def sample_history(run):
    words = ["pass"] * 9
    past = {}
    for index, plan_ in enumerate(run.plans):
        seen = list(words)
        if index % 9 == 4:
            seen = ["pass", "fail", "pass", "pass", "fail", "pass", "fail", "pass", "pass"]
        if index % 17 == 8:
            seen[-1] = "fail"
        past[plan_.nodeid] = tuple(
            PastVerdict(run_id=f"old-{i}", verdict=verdict, at=START - i)
            for i, verdict in enumerate(seen)
        )
    return History(past=past)
