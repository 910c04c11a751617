"""A frame to an unknown station leaves every port but the one it came in on, once.

IEEE 802.1Q 8.8: without an entry, all ports of the VLAN are potential transmission ports; 8.6.1
excludes the reception port. Several frames from every side, of several protocols, short and long,
to addresses of a maker's range and of a local one: flooding teaches nothing about their
destination. Nor is one bit's difference from a known station enough to know it.
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

UNKNOWN = MacAddr("02:00:00:00:06:99")
GLOBAL = MacAddr("00:00:5e:00:53:99")  # RFC 7042 2.1.2: documentation, and of a maker's range
KNOWN = MacAddr("02:00:00:00:06:98")
SENDERS = {leaf: MacAddr(f"02:00:00:00:06:0{leaf}") for leaf in ("a", "b", "c", "d")}
MARK = b"SW-06"
LINGER = milliseconds(100)  # a copy that comes late is a copy
HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")  # RFC 5737: documentation
IPV4, ARP, EXPERIMENTAL = 0x0800, 0x0806, 0x88B5


def calls_from(leaf: str) -> list[EthFrame]:
    """Frames of several protocols to the unknown station."""
    src, text = SENDERS[leaf], MARK + leaf.encode() * 200
    packet = IPv4Packet(HERE, THERE, 17, text)
    return [
        EthFrame(UNKNOWN, src, IPV4, packet.emit()),
        EthFrame(UNKNOWN, src, ARP, text),
        EthFrame(UNKNOWN, src, EXPERIMENTAL, text),
        EthFrame(UNKNOWN, src, EXPERIMENTAL, text * 7),
        EthFrame(GLOBAL, src, EXPERIMENTAL, text),
    ]


def expect_sought(bench: Bench) -> None:
    """Calls from every leaf come out toward every other, once each and unaltered."""
    calls = {leaf: calls_from(leaf) for leaf in SENDERS}
    with bench.capture() as seen:
        for leaf, frames in calls.items():
            bench.nic(leaf).inject(*frames)
        bench.watch_for(LINGER)

    for leaf, sender in SENDERS.items():
        others = [frame for other, frames in calls.items() if other != leaf for frame in frames]
        for frame in others:
            seen.at(f"{leaf}--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
        seen.at(f"{leaf}--dut").expect_none(match.eth(src=sender))
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), len(others))


@pytest.mark.behaviour("SW-06", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "misses one port",
    {
        "openvswitch": faults.ovs_flow(f"in_port={{a}},dl_dst={UNKNOWN}", "output:{b},output:{d}"),
        "linux_bridge": faults.bridge_port("flood", "off", "c"),
    },
    caught="c--dut: expect 1",
)
@drill(
    "echoes to the ingress",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={UNKNOWN}", "flood,in_port"),
        "linux_bridge": faults.bridge_port("hairpin", "on", "a"),
    },
    caught="a--dut: expect none",
)
@drill(
    "alters what it floods",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={UNKNOWN}", "mod_vlan_vid:7,flood"),
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether daddr {UNKNOWN} @ll,400,8 set 0xff",
            family="bridge",
        ),
    },
    caught="--dut: expect 1",
)
@drill(
    "takes an unknown station for its neighbour",
    {"openvswitch": faults.ovs_flow("dl_dst=02:00:00:00:06:98/ff:ff:ff:ff:ff:fe", "output:{d}")},
    caught="--dut: expect 1",
)
def test_unknown_station_is_sought_on_every_other_port(bench: Bench) -> None:
    dut = bench.switch("dut")
    dut.flush_fdb()
    bench.nic("d").inject(EthFrame(dst=MacAddr.BROADCAST, src=KNOWN))
    dut.wait_learned(KNOWN, on=bench.port("dut", toward="d"), within=seconds(2))

    for _ in range(2):  # the second time, the switch has seen the address as a destination
        expect_sought(bench)
