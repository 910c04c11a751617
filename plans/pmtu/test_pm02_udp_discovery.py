"""A host that may not fragment learns what the path carries, and goes by it.

A program on the host sends a datagram with DF set that is too large for the router's next link: it
is lost, and the router says what would fit (RFC 1191 3 and 4). UDP resends nothing; but the next
one of that size is refused to the program before it reaches the cable (EMSGSIZE), and one that just
fits goes through, DF set (RFC 1191 6.1: whoever sends is told). A service that leaves the size to
its host, as most do, gets a large answer through at the second try at the latest, in fragments that
the host makes to fit the path. After the router's word no packet to that destination is larger.
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    UdpDatagram,
    WireError,
    compose,
    defects,
    drill,
    enclose,
    faults,
    fragment,
    match,
    milliseconds,
    reassemble,
    seconds,
)

PORT, SERVICE = 40200, 40202
NARROW = 1280
HEADERS = 28
LARGE = bytes(at * 7 % 251 for at in range(1372))
"""A packet of 1400 bytes: it fits the host's link and not the router's next one."""
SOON = seconds(2)
NEEDED = match.icmpv4(type=3, code=4, next_hop_mtu=NARROW)


@pytest.mark.behaviour("PM-02", clause="RFC 1191 3, 6.1")
@pytest.mark.topology(Topology.chain("dut:host", "wire:box", "r:router", "b:nic"))
@drill(
    "retries at the old size",
    faults.nft("type filter hook input priority 0;", "icmp type destination-unreachable drop"),
    caught="sent 1400 bytes again",
)
@drill(
    "has no path-MTU discovery",
    faults.python_stack(defects.pmtu.RETRIES_OLD_SIZE),
    caught="sent 1400 bytes again",
)
@drill(
    "forgets the header",
    faults.python_stack(defects.pmtu.FORGETS_HEADER),
    caught="sent 1300 bytes",
)
@drill(
    "clears DF and lets routers do the work",
    faults.nft(
        "type filter hook output priority 0;",
        "ip protocol udp ip length 1280 ip frag-off 0x4000 ip frag-off set 0",
    ),
    caught="r--b: expect 1 of .*df",
)
def test_program_with_df_is_told_and_the_next_fits(bench: Bench) -> None:
    net, dut, router = bench.bring_up_network(), bench.host("dut"), bench.router("r")
    b = net["b"].ip
    router.set_mtu(bench.port("r", toward="b"), NARROW)

    with bench.capture() as seen:
        dut.udp_ask(str(b), PORT, LARGE, df=True, within=milliseconds(300))
        lost = seen.wait_for("dut--wire", match.udp(dst_port=PORT) & match.ipv4(df=True))
        told = seen.wait_for("wire--r", NEEDED & match.ipv4(dst=lost.ipv4.src))
        errors = [
            dut.udp_send(str(b), PORT + number, LARGE[: size - HEADERS], df=True)
            for number, size in enumerate((1400, NARROW + 20, NARROW + 1, NARROW), 1)
        ]
        seen.settle()
    expect_no_larger(seen, b, told.number)
    if errors != ["EMSGSIZE"] * 3 + [None]:
        raise ExpectationFailed(
            f"{dut.name}: datagrams with DF in packets of 1400, {NARROW + 20}, {NARROW + 1} and "
            f"{NARROW} bytes ended with {errors}, expected EMSGSIZE for all but the last"
        )
    fits = match.udp(dst_port=PORT + 4, payload=LARGE[: NARROW - HEADERS])
    seen.at("r--b").expect_count(fits & match.ipv4(df=True, bad_checksum=False), 1)
    seen.at("r--b").expect_none(match.udp(dst_port=range(PORT, PORT + 4)))


@pytest.mark.behaviour("PM-02", clause="RFC 1191 3")
@pytest.mark.topology(Topology.chain("dut:host", "wire:box", "r:router", "b:nic"))
@drill(
    "retries at the old size",
    faults.nft("type filter hook input priority 0;", "icmp type destination-unreachable drop"),
    caught="sent 1400 bytes again",
)
@drill(
    "has no path-MTU discovery",
    faults.python_stack(defects.pmtu.RETRIES_OLD_SIZE),
    caught="sent 1400 bytes again",
)
@drill(
    "forgets the header",
    faults.python_stack(defects.pmtu.FORGETS_HEADER),
    caught="sent 1300 bytes again",
)
def test_service_without_a_care_gets_large_answers_through(bench: Bench) -> None:
    """A service's large answer with DF set is lost, the next is cut up by the host to fit.

    A host that sets no DF on datagrams has nothing to learn: its router cuts them up (RFC 1191 3).
    """
    net, dut, router = bench.bring_up_network(), bench.host("dut"), bench.router("r")
    b = net["b"].ip
    router.set_mtu(bench.port("r", toward="b"), NARROW)
    dut.udp_serve(SERVICE)
    with bench.capture() as seen:
        ask(bench, PORT)
        first = seen.wait_for("dut--wire", match.udp(src_port=SERVICE, dst_port=PORT))
        if not first.ipv4.df:
            bench.log("the host sets no DF: its datagrams are the router's to cut up")
            expect_whole(bench, seen, PORT)
            return
        told = seen.wait_for("wire--r", NEEDED & match.ipv4(dst=first.ipv4.src))
        seen.settle()  # the host has had its time to learn
        ask(bench, PORT + 1)
        seen.wait_for("dut--wire", match.udp(src_port=SERVICE, dst_port=PORT + 1))
        seen.settle()
        expect_no_larger(seen, b, told.number)
        expect_whole(bench, seen, PORT + 1)
        seen.settle()
    seen.at("r--b").expect_none(match.udp(src_port=SERVICE, dst_port=PORT))


def ask(bench: Bench, port: int) -> None:
    """Send the service what it is to echo; in fragments, for the link is narrow this way, too."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["b"].ip, net["dut"].ip, ident=port)
    for piece in fragment(enclose(there, UdpDatagram(port, SERVICE, LARGE)), NARROW):
        bench.nic("b").inject(compose(EthFrame(net["b"].gateway_mac, net["b"].mac), piece))


def expect_no_larger(seen: Capture, to: IPv4Address, since: int) -> None:
    """The host sent nothing larger than the path carries once it was told."""
    sent = seen.at("dut--wire").all(match.ipv4(dst=to, longer_than=NARROW))
    for frame in sent:
        if frame.number > since:
            raise ExpectationFailed(
                f"dut--wire: the host sent {frame.ipv4.total_length} bytes again "
                f"(#{frame.number}) after the router had told it (#{since}) that the path carries "
                f"{NARROW}"
            )


def expect_whole(bench: Bench, seen: Capture, port: int) -> None:
    """The answer to ``port`` arrives, in packets that fit."""
    head = match.udp(src_port=SERVICE, dst_port=port)
    frames = seen.at("r--b").all(head)
    if frames or bench.loop.run_until(lambda: bool(seen.at("r--b").all(head)), SOON):
        frames = seen.at("r--b").all(head)
    if not frames:
        raise ExpectationFailed("r--b: the host's large answer did not come through")
    seen.settle()
    first = frames[0].ipv4
    same = match.ipv4(src=first.src, ident=first.ident, protocol="udp")
    try:
        whole = reassemble(frame.ipv4 for frame in seen.at("r--b").all(same))
    except WireError as error:
        raise ExpectationFailed(f"r--b: the host's large answer is no packet: {error}") from None
    if whole.payload[8:] != LARGE:
        raise ExpectationFailed("r--b: the host's large answer is not what it was asked to echo")
