"""Whoever is asked for an echo answers with the same identifier, sequence number and data.

One reply to each request, from the address that was asked, code 0, whatever the size: no data, an
odd byte, the most that fits a frame, and up to 65507 bytes in fragments (RFC 792; RFC 1122 3.2.2.6:
"data received in an ICMP Echo Request MUST be entirely included in the resulting Echo Reply"). A
request whose ICMP checksum is wrong gets none. A router has several addresses: the reply comes from
the one that was asked, whichever it is and whatever port it belongs to, also to who is not on the
link (RFC 1122 3.2.2.6: "the source IP address of the Echo Reply
MUST be the same as the specific-destination address").
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from testbed import (
    Bench,
    Capture,
    EchoRequest,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Matcher,
    Topology,
    WireError,
    compose,
    drill,
    faults,
    fragment,
    match,
    reassemble,
    seconds,
)

HEADERS = 28
"""Bytes of an IP header and an ICMP header."""

LARGEST = 65535 - HEADERS

ANOTHER = IPv4Interface("198.51.100.8/24")
"""One more address of the router, on the same link."""

FAR = IPv4Address("203.0.113.8")

ANSWERS_IN_SHORT = """
import socket
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("ready", flush=True)
while True:
    packet, asker = wire.recvfrom(65535)
    request = packet[(packet[0] & 15) * 4 :]
    if request[0] == 8:
        rest = request[4:1006]
        total = sum(rest[0::2]) * 256 + sum(rest[1::2])
        checksum = (0xFFFF - total % 0xFFFF).to_bytes(2, "big")
        wire.sendto(bytes(2) + checksum + rest, asker)
"""


def request(number: int, size: int) -> EchoRequest:
    """A request like no other: numbers and data are its own."""
    data = bytes((number + at * 7) % 251 for at in range(size))
    return EchoRequest(ident=0xFFFF - number * 0x1111, sequence=number * 0x1111, data=data)


OTHER_WAY, OTHER_PORT = request(12, 120), request(13, 121)
FROM_AFAR = request(14, 57)
SPOILT, WRONG = request(15, 56), 0x0BAD


def reply_to(asked: EchoRequest) -> Matcher:
    """The reply that ``asked`` must get."""
    return match.icmpv4(
        type=0, code=0, ident=asked.ident, seq=asked.sequence, data=asked.data, bad_checksum=False
    )


def carrying() -> EchoRequest:
    """A request to whose checksum the 0x0800 of its type cannot be added without a carry."""
    plain = EchoRequest(1, 1, bytes(2) + b"carry")
    checksum = int.from_bytes(plain.emit()[2:4], "big")
    return replace(plain, data=((checksum - 0xFF00) % 0xFFFF).to_bytes(2, "big") + plain.data[2:])


def whole_reply(seen: Capture, asked: EchoRequest) -> bytes:
    """The reply to ``asked`` that came in fragments, as the frame that it would have been."""
    at_a = seen.at("a--dut")
    start = match.icmpv4(type=0, ident=asked.ident, seq=asked.sequence) & match.ipv4(mf=True)
    first = at_a.expect_count(start, 1)[0]
    same = match.ipv4(src=first.ipv4.src, ident=first.ipv4.ident, fragment=True)
    try:
        packet = reassemble(frame.ipv4 for frame in at_a.all(same))
    except WireError as error:
        raise ExpectationFailed(
            f"a--dut: the fragments of the reply to {len(asked.data)} bytes do not make a packet",
            str(error),
        ) from None
    return compose(EthFrame(first.eth.dst, first.eth.src), packet)


@pytest.mark.behaviour("IP-08", clause="RFC 1122 3.2.2.6")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "truncates data",
    faults.all_of(
        faults.sysctl("net.ipv4.icmp_echo_ignore_all", "1"), faults.program(ANSWERS_IN_SHORT)
    ),
    caught=r"icmpv4.data \w+... \(998 bytes\), wanted",
)
@drill(
    "answers nothing that comes in fragments",
    faults.nft("type filter hook prerouting priority 0;", "ip frag-off & 0x3fff != 0 drop"),
    caught=r"expect 1 of icmpv4\(type=0.*mf=True\): it did not come",
)
@drill(
    "answers with its own identifier",
    faults.nft("type filter hook output priority 0;", "icmp type echo-reply icmp id set 7"),
    caught="icmpv4.ident 7, wanted",
)
@drill(
    "answers a bad checksum",
    # Mended on arrival, the request is as good as any.
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        f"icmp checksum {WRONG} @th,16,16 set 0x{SPOILT.emit()[2:4].hex()}",
        family="netdev",
    ),
    caught="a--dut: expect 17 of icmpv4.*: 18 came",
)
@drill(
    "answers from another address",
    faults.nft(
        "type filter hook output priority 0;",
        f"icmp type echo-reply ip saddr {ANOTHER.ip} ip saddr set 198.51.100.9",
    ),
    caught="src 198.51.100.9, wanted 198.51.100.8",
)
def test_every_echo_comes_back_whole(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, dut = net["a"], net.at("dut", "a--dut")
    mtu = bench.nic("a").mtu
    sizes = (0, 1, 2, 55, 56, 999, mtu - HEADERS, mtu - HEADERS + 1, 8001, 30000, LARGEST, 4000)
    asked = [request(number, size) for number, size in enumerate(sizes)]
    asked += (EchoRequest(0, 0, b"\xff" * 57), carrying())
    bench.router("dut").add_address(bench.port("dut", toward="a"), ANOTHER)
    bench.router("dut").add_route(IPv4Network(FAR), a.ip)
    others = (
        (a.ip, ANOTHER.ip, OTHER_WAY),
        (a.ip, net.at("dut", "b--dut").ip, OTHER_PORT),
        (FAR, dut.ip, FROM_AFAR),
    )

    with bench.capture() as seen:
        for number, echo in enumerate(asked, 1):
            packet = IPv4Packet.parse(compose(IPv4Packet(a.ip, dut.ip, ident=number), echo))
            for piece in fragment(packet, mtu):
                bench.nic("a").inject(compose(EthFrame(dut.mac, a.mac), piece, pad=True))
        for source, to, echo in others:
            there = IPv4Packet(source, to, ident=90)
            bench.nic("a").inject(compose(EthFrame(dut.mac, a.mac), there, echo))
        packet = IPv4Packet(a.ip, dut.ip, protocol=1, payload=SPOILT.emit(checksum=WRONG))
        bench.nic("a").inject(compose(EthFrame(dut.mac, a.mac), packet))
        # A router's own answers come from its processor, which barriers may overtake.
        all_asked = [*asked, *(echo for _, _, echo in others)]
        replies = [match.icmpv4(type=0, ident=e.ident, seq=e.sequence) for e in all_asked]
        bench.loop.run_until(
            lambda: all(seen.at("a--dut").all(reply) for reply in replies), seconds(2)
        )
        seen.settle()

    frame = match.eth(src=dut.mac, dst=a.mac)
    header = match.ipv4(src=dut.ip, dst=a.ip, bad_checksum=False)
    for echo in asked:
        wanted = frame & header & reply_to(echo)
        if len(echo.data) + HEADERS <= mtu:
            seen.at("a--dut").expect_count(wanted, 1)
        elif wrong := wanted.explain(whole_reply(seen, echo)):
            raise ExpectationFailed(
                f"a--dut: the reply to {len(echo.data)} bytes is another: {wrong[0]}"
            )
    for source, to, echo in others:
        other = match.ipv4(src=to, dst=source, bad_checksum=False)
        seen.at("a--dut").expect_count(frame & other & reply_to(echo), 1)
    seen.at("a--dut").expect_count(match.icmpv4(), len(all_asked))
