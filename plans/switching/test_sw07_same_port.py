"""A frame to a station on the port that it came in on goes nowhere.

IEEE 802.1Q 8.6.1: the reception port is never a transmission port, and the entry names no other.
Checked in both directions; learning goes on all the same.
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

NEIGHBOUR = MacAddr("02:00:00:00:07:0a")
SENDER = MacAddr("02:00:00:00:07:0b")
MARK = b"SW-07"
LINGER = milliseconds(100)  # a copy that comes late is a copy
HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")  # RFC 5737: documentation
IPV4, ARP, EXPERIMENTAL = 0x0800, 0x0806, 0x88B5


def expect_filtered(bench: Bench, dst: MacAddr, src: MacAddr) -> None:
    """Frames from ``src`` to ``dst``, both behind port a, come out nowhere; it knows both."""
    dut, port = bench.switch("dut"), bench.port("dut", toward="a")
    with bench.capture() as seen:
        text = MARK + bytes(60)
        bench.nic("a").inject(
            EthFrame(dst, src, IPV4, IPv4Packet(HERE, THERE, 17, text).emit()),
            EthFrame(dst, src, ARP, text),
            EthFrame(dst, src, EXPERIMENTAL, text),
            EthFrame(dst, src, EXPERIMENTAL, text * 20),
        )
        bench.watch_for(LINGER)
    for leaf in ("a", "b", "c", "d"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))
    for station in (dst, src):
        dut.wait_learned(station, on=port, within=seconds(2))


@pytest.mark.behaviour("SW-07", clause="802.1Q 8.6.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "hairpins",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={NEIGHBOUR}", "in_port"),
        "linux_bridge": faults.bridge_port("hairpin", "on", "a"),
    },
    caught="a--dut: expect none",
)
@drill(
    "floods instead",
    {"openvswitch": faults.ovs_flow(f"dl_dst={NEIGHBOUR}", "flood")},
    caught="b--dut: expect none",
)
@drill(
    "hairpins the answer",
    {"openvswitch": faults.ovs_flow(f"dl_dst={SENDER}", "in_port")},
    caught="a--dut: expect none",
)
def test_frame_between_neighbours_on_one_port_is_filtered(bench: Bench) -> None:
    dut = bench.switch("dut")
    dut.flush_fdb()
    bench.nic("a").inject(EthFrame(dst=MacAddr.BROADCAST, src=NEIGHBOUR))
    dut.wait_learned(NEIGHBOUR, on=bench.port("dut", toward="a"), within=seconds(2))

    expect_filtered(bench, NEIGHBOUR, SENDER)
    expect_filtered(bench, SENDER, NEIGHBOUR)
