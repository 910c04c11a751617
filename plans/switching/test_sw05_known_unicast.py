"""A frame to a learned station leaves the learned port, once, and no other.

IEEE 802.1Q 8.6.3 and 8.8: the filtering database names the only port. Checked in both directions,
for several frames in a row, short and long, of several protocols, each of which must arrive
unaltered; also when nobody has spoken for a while, and from a station that is new to the switch.
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Topology,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

NEAR = MacAddr("02:00:00:00:05:0a")
FAR = MacAddr("02:00:00:00:05:0b")
STRANGER = MacAddr("02:00:00:00:05:0c")
HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")  # RFC 5737: documentation
MARK = b"SW-05"
LINGER = milliseconds(100)  # a copy that comes late is a copy
A_WHILE = seconds(1)
LENGTHS = (46, 200, 1500)  # of the payload: the least and the most that IEEE 802.3 has, and between
IP_HEADER = 20
IPV4, ARP, EXPERIMENTAL = 0x0800, 0x0806, 0x88B5


def conversation(dst: MacAddr, src: MacAddr) -> list[EthFrame]:
    """Frames that differ in protocol, length and content."""
    frames = []
    for number, length in enumerate(LENGTHS):
        text = MARK + bytes([number]) * (length - len(MARK))
        packet = IPv4Packet(HERE, THERE, 17, text[:-IP_HEADER])
        frames += [
            EthFrame(dst, src, IPV4, packet.emit()),
            EthFrame(dst, src, ARP, text),
            EthFrame(dst, src, EXPERIMENTAL, text),
        ]
    return frames


@pytest.mark.behaviour("SW-05", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "copies to one more port",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={NEAR}", "normal,output:{c}"),
        "linux_bridge": faults.shell(
            "tc qdisc add dev {b} clsact",
            "tc filter add dev {b} ingress protocol all u32 match u32 0 0"
            " action mirred egress mirror dev {c}",
            undo=("tc qdisc del dev {b} clsact 2>/dev/null || true",),
        ),
    },
    caught="c--dut: expect none",
)
@drill(
    "floods one protocol",
    {"openvswitch": faults.ovs_flow(f"arp,dl_dst={NEAR}", "flood")},
    caught="--dut: expect none",
)
@drill(
    "doubles",
    {"openvswitch": faults.ovs_flow(f"dl_dst={FAR}", "output:{b},output:{b}")},
    caught="b--dut: expect 1 of .*: 2 came",
)
@drill(
    "alters a byte",
    {
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether daddr {NEAR} @ll,400,8 set 0xff",
            family="bridge",
        ),
    },
    caught="a--dut: expect 1",
)
def test_known_station_gets_one_copy_and_nobody_else_any(bench: Bench) -> None:
    dut, a, b = bench.switch("dut"), bench.nic("a"), bench.nic("b")
    dut.flush_fdb()
    for nic, station in ((a, NEAR), (b, FAR)):
        nic.inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
    dut.wait_learned(NEAR, on=bench.port("dut", toward="a"), within=seconds(2))
    dut.wait_learned(FAR, on=bench.port("dut", toward="b"), within=seconds(2))

    for pause in (LINGER, A_WHILE):
        bench.watch_for(pause)
        expect_conversation(bench)
    strange = conversation(NEAR, STRANGER)[:1]
    with bench.capture() as seen:
        bench.nic("c").inject(*strange)
        bench.watch_for(LINGER)
    seen.at("a--dut").expect_count(match.raw(strange[0].emit(pad=True)), 1)
    for leaf in ("b", "c", "d"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))


def expect_conversation(bench: Bench) -> None:
    """What the two say to each other comes to them, and to nobody else."""
    there, back = conversation(NEAR, FAR), conversation(FAR, NEAR)
    with bench.capture() as seen:
        bench.nic("b").inject(*there)
        bench.nic("a").inject(*back)
        bench.watch_for(LINGER)
    for leaf, frames in (("a", there), ("b", back)):
        for frame in frames:
            seen.at(f"{leaf}--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), len(frames))
    for leaf in ("c", "d"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))
