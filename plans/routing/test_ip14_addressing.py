"""A host knows from its mask who is a neighbour, who is behind the gateway, and who is everybody.

It has addresses with prefixes of 20 to 31 bits. From each, a service answers datagrams of all kinds
of senders: the last host of the subnet, and every host of a small one, is asked for by ARP with the
address of that subnet, and answered directly; the first address beyond the subnet, and the last one
before it, are answered by way of the gateway, without asking the link for them (RFC 1122 3.3.1.1).
Classes say nothing (RFC 4632): all addresses here are of class C by their first bits, so that a
prefix of 20 has neighbours in other "class C networks", and a prefix of 26 has none in most of its
own.

The subnet's broadcast address goes to everybody, unasked, and what comes for it is taken; not so
the address one below, nor what would be the broadcast of half the subnet, in a broadcast frame
(RFC 1122 3.3.6). ARP is answered for the host's own address, and for none of these. A prefix of 31
has two hosts and no broadcast (RFC 3021). The subnet's lowest address is not judged: hosts before
RFC 1122 3.3.6 broadcast to it, and Linux before 5.14 still did.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from testbed import (
    ArpPacket,
    Bench,
    Capture,
    EthFrame,
    IPv4Packet,
    MacAddr,
    StackConfig,
    Topology,
    UdpDatagram,
    compose,
    defects,
    drill,
    faults,
    match,
    seconds,
    subnets,
)

SPACE = IPv4Network("198.19.0.0/17")
NETWORKS = tuple(
    IPv4Network(f"198.19.{text}")
    for text in (
        "0.0/20",
        "36.0/22",
        "48.0/24",
        "56.0/25",
        "64.0/26",
        "72.0/29",
        "80.0/30",
        "88.0/31",
    )
)
SMALL = 29
"""From this prefix on, every host of a subnet has a turn."""
EVERYWHERE = IPv4Network("0.0.0.0/0")
PORT, OURS = 7014, 7114
LINK = "peer--dut"
SOON = seconds(5)


def hosts_of(network: IPv4Network) -> tuple[IPv4Address, ...]:
    """The neighbours that the host meets in a subnet: all of a small one, the last of others."""
    own, last = subnets.host_range(network)
    if network.prefixlen < SMALL:
        return (last,)
    count = subnets.host_count(network) - 1
    return tuple(own + number for number in range(1, count + 1))


def strangers_of(network: IPv4Network) -> tuple[IPv4Address, ...]:
    """The first address beyond a subnet and the last one before it."""
    return network.broadcast_address + 1, network.network_address - 1


@pytest.mark.behaviour("IP-14", clause="RFC 1122 3.3.1.1, RFC 4632")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "mask one bit long",
    faults.python_stack(defects.ip.MASK_ONE_BIT_LONG),
    caught=r"expect 1 of .*arp\(.*target_ip=198\.19\.15\.254.*did not come",
)
@drill(
    "mask one bit short",
    faults.python_stack(defects.ip.MASK_ONE_BIT_SHORT),
    caught=r"expect none: arp\(.*target_ip=198\.19\.16\.0\).*came",
)
@drill(
    "classful",
    faults.python_stack(defects.ip.CLASSFUL),
    caught=r"expect 1 of .*arp\(.*target_ip=198\.19\.15\.254.*did not come",
)
@drill(
    "broadcast one off",
    faults.python_stack(defects.ip.BROADCASTS_ONE_OFF),
    caught=r"expect 1 of .*arp\(.*target_ip=198\.19\.15\.254.*did not come",
)
@drill(
    "knows no broadcast of subnets",
    faults.python_stack(defects.ip.NO_SUBNET_BROADCAST),
    caught=r"dst=198\.19\.15\.255.*did not come",
)
@drill(
    "takes the first beyond for a neighbour",
    faults.shell(
        "ip route add 198.19.72.8/32 dev {peer}",
        undo=("ip route del 198.19.72.8/32 dev {peer} 2>/dev/null || true",),
    ),
    caught=r"expect none: arp\(.*target_ip=198\.19\.72\.8\).*came",
)
@drill(
    "deaf to its broadcast",
    faults.nft("type filter hook input priority 0;", "fib daddr type broadcast drop"),
    caught=r"198\.19\.15\.254\) & udp\(src_port=7014.*did not come",
)
@drill(
    "answers ARP for its subnet",
    faults.python_stack(config=StackConfig.linux().with_(arp={"answer_for": (str(SPACE),)})),
    caught=r"expect none: arp\(op=2.*came",
)
def test_masks_tell_neighbours_strangers_and_everybody(bench: Bench) -> None:
    peer = bench.host("peer", StackConfig.of(arp={"answer_for": (str(SPACE),)}))
    dut, port = bench.host("dut"), bench.port("dut", toward="peer")
    dut.add_route(EVERYWHERE, peer.address)
    for network in NETWORKS:
        own = subnets.host_range(network)[0]
        dut.add_address(port, IPv4Interface((own, network.prefixlen)))
    dut.udp_serve(PORT)
    with bench.capture(LINK) as seen:
        for network in NETWORKS:
            judge_senders(bench, seen, network)
        for network in NETWORKS:
            judge_broadcast(bench, seen, network)
            judge_arp(bench, seen, network)


def inject(bench: Bench, src: IPv4Address, dst: IPv4Address, mac: MacAddr, payload: bytes) -> None:
    """A datagram to the service, in a frame to ``mac``."""
    bench.nic("peer").inject(
        compose(
            EthFrame(mac, bench.nic("peer").mac),
            IPv4Packet(src, dst),
            UdpDatagram(OURS, PORT, payload),
            pad=True,
        )
    )


def judge_senders(bench: Bench, seen: Capture, network: IPv4Network) -> None:
    """Neighbours are asked for and answered; strangers are answered by way of the gateway."""
    dut, nic = bench.bring_up_network()["dut"], bench.nic("peer")
    own = subnets.host_range(network)[0]
    neighbours, strangers = hosts_of(network), strangers_of(network)
    for sender in (*neighbours, *strangers):
        inject(bench, sender, own, dut.mac, str(sender).encode())
    for sender in (*neighbours, *strangers):
        answer = match.eth(src=dut.mac, dst=nic.mac) & match.ipv4(dst=sender)
        if not bench.loop.run_until(lambda wanted=answer: bool(seen.at(LINK).all(wanted)), SOON):  # type: ignore[misc]
            break  # what follows says who was asked instead
    seen.settle()
    view = seen.at(LINK)
    for sender in neighbours:
        asked = match.eth(src=dut.mac, dst=MacAddr.BROADCAST)
        view.expect_count(asked & match.arp(op="request", sender_ip=own, target_ip=sender), 1)
    for sender in strangers:
        view.expect_none(match.arp(op="request", target_ip=sender))
    for sender in (*neighbours, *strangers):
        to_nic = match.eth(src=dut.mac, dst=nic.mac) & match.ipv4(dst=sender)
        view.expect_count(to_nic & match.udp(payload=str(sender).encode()), 1)


def judge_broadcast(bench: Bench, seen: Capture, network: IPv4Network) -> None:
    """The broadcast address is everybody's, for sending and receiving, and no other address is."""
    dut, host = bench.bring_up_network()["dut"], bench.host("dut")
    sender = hosts_of(network)[-1]
    start = bench.loop.wall_now()
    ends = {network.broadcast_address, network.broadcast_address - 1, half(network)}
    if network.prefixlen > 30:
        ends = {network.broadcast_address, network.network_address}
    else:
        everybody = subnets.directed_broadcast(network)
        ends -= {everybody}
        host.udp_send(str(everybody), OURS, b"to everybody")
        inject(bench, sender, everybody, MacAddr.BROADCAST, b"to everybody")
    own = subnets.host_range(network)[0]
    for nobody in sorted(ends - {own}):
        inject(bench, sender, nobody, MacAddr.BROADCAST, b"to nobody")
    inject(bench, sender, own, dut.mac, b"to the host")  # what came before it has been dealt with
    seen.settle()
    last = match.eth(src=dut.mac) & match.ipv4(dst=sender) & match.udp(payload=b"to the host")
    bench.wait_until(
        lambda: bool(seen.at(LINK).after(start).all(last)), SOON, f"the host's answer to {sender}"
    )
    seen.settle()
    view = seen.at(LINK).after(start)
    view.expect_none(match.udp(payload=b"to nobody"))
    if network.prefixlen <= 30:
        frame = match.eth(src=dut.mac, dst=MacAddr.BROADCAST) & match.ipv4(dst=everybody)
        view.expect_count(frame & match.udp(dst_port=OURS, payload=b"to everybody"), 1)
        view.expect_none(match.arp(target_ip=everybody))
        answer = match.eth(src=dut.mac) & match.ipv4(dst=sender)
        view.expect_count(answer & match.udp(src_port=PORT, payload=b"to everybody"), 1)


def half(network: IPv4Network) -> IPv4Address:
    """What would be the broadcast address of a subnet's lower half."""
    return next(network.subnets()).broadcast_address


def judge_arp(bench: Bench, seen: Capture, network: IPv4Network) -> None:
    """The host answers for its own address, and for no other of the subnet."""
    dut, nic = bench.bring_up_network()["dut"], bench.nic("peer")
    own, sender = subnets.host_range(network)[0], hosts_of(network)[-1]
    others = sorted({network.network_address, network.broadcast_address} - {own, sender})
    start = bench.loop.wall_now()
    for target in (*others, own):
        request = ArpPacket.request(nic.mac, sender, target)
        nic.inject(compose(EthFrame(MacAddr.BROADCAST, nic.mac), request, pad=True))
    seen.settle()
    view = seen.at(LINK).after(start)
    view.expect_count(match.arp(op="reply", sender_mac=dut.mac, sender_ip=own), 1)
    for target in others:
        view.expect_none(match.arp(op="reply", sender_ip=target))
