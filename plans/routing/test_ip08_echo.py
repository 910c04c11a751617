"""Whoever is asked for an echo answers with the same identifier, sequence number and data.

One reply to each request, from the address that was asked, code 0, whatever the size: no data, an
odd byte, the most that fits a frame, and up to 65507 bytes in fragments (RFC 792; RFC 1122 3.2.2.6:
"data received in an ICMP Echo Request MUST be entirely included in the resulting Echo Reply"). A
request whose ICMP checksum is wrong gets none.
"""

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
    dissect,
    drill,
    faults,
    fragment,
    match,
    reassemble,
)

HEADERS = 28
"""Bytes of an IP header and an ICMP header."""

LARGEST = 65535 - HEADERS

SHORT_ANSWERS = """
import socket
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
while True:
    packet, asker = wire.recvfrom(65535)
    request = packet[(packet[0] & 15) * 4:]
    if request[0] == 8:
        body = request[4:1008]
        body += bytes(len(body) % 2)
        total = sum(body[0::2]) * 256 + sum(body[1::2])
        sum_ = (65535 - total % 65535).to_bytes(2, "big")
        wire.sendto(bytes(2) + sum_ + body, asker)
"""


def request(number: int, size: int) -> EchoRequest:
    """A request like no other: numbers and data are its own."""
    data = bytes((number + at * 7) % 251 for at in range(size))
    return EchoRequest(ident=0x8000 + number * 257, sequence=number * 4369, data=data)


def reply_to(asked: EchoRequest) -> Matcher:
    """The reply that ``asked`` must get."""
    return match.icmpv4(
        type=0, code=0, ident=asked.ident, seq=asked.sequence, data=asked.data, bad_checksum=False
    )


def whole_reply(seen: Capture, asked: EchoRequest) -> bytes:
    """The reply to ``asked`` that came in fragments, as the frame that it would have been."""
    at_a = seen.at("a--dut")
    start = match.icmpv4(type=0, ident=asked.ident, seq=asked.sequence) & match.ipv4(mf=True)
    first = dissect(at_a.expect_count(start, 1)[0].data)
    same = match.ipv4(src=first.ipv4.src, ident=first.ipv4.ident, fragment=True)
    try:
        packet = reassemble(dissect(frame.data).ipv4 for frame in at_a.all(same))
    except WireError as error:
        raise ExpectationFailed(
            f"a--dut: the fragments of the reply to {len(asked.data)} bytes do not make a packet",
            str(error),
        ) from None
    return compose(EthFrame(first.eth.dst, first.eth.src), packet)


@pytest.mark.behaviour("IP-08", clause="RFC 1122 3.2.2.6")
@pytest.mark.topology(Topology.star("dut:router", "a"))
@drill(
    "truncates data",
    faults.all_of(
        faults.sysctl("net.ipv4.icmp_echo_ignore_all", "1"),
        faults.shell(
            f"setsid python3 -c '{SHORT_ANSWERS}' </dev/null >/dev/null 2>&1 & "
            "echo $! >/run/testbed_fault.pid; "
            "until grep -q : /proc/net/raw; do :; done",
            undo=("kill $(cat /run/testbed_fault.pid) 2>/dev/null || true",),
        ),
    ),
    caught="icmpv4.data .*1000 bytes.*, wanted",
)
@drill(
    "answers nothing that comes in fragments",
    faults.sysctl("net.ipv4.ipfrag_high_thresh", "0"),
    caught="a--dut: expect 1 of .*: it did not come",
)
@drill(
    "answers with its own identifier",
    faults.nft("type filter hook output priority 0;", "icmp type echo-reply icmp id set 7"),
    caught="icmpv4.ident 7, wanted",
)
@drill(
    "answers a bad checksum",
    faults.nft(
        "type filter hook prerouting priority 0;", "icmp type echo-request icmp checksum set 0"
    ),
    caught="expect",
)
def test_every_echo_comes_back_whole(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, dut = net["a"], net.at("dut", "a--dut")
    mtu = bench.nic("a").mtu
    sizes = (0, 1, 2, 55, 56, 999, mtu - HEADERS, mtu - HEADERS + 1, 8001, 30000, LARGEST)
    asked = [request(number, size) for number, size in enumerate(sizes)]
    spoilt = request(len(sizes), 56)

    with bench.capture() as seen:
        for number, echo in enumerate(asked, 1):
            packet = IPv4Packet.parse(compose(IPv4Packet(a.ip, dut.ip, ident=number), echo))
            for piece in fragment(packet, mtu):
                bench.nic("a").inject(compose(EthFrame(dut.mac, a.mac), piece, pad=True))
        packet = IPv4Packet(a.ip, dut.ip, protocol=1, payload=spoilt.emit(checksum=0x0BAD))
        bench.nic("a").inject(compose(EthFrame(dut.mac, a.mac), packet))
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
    seen.at("a--dut").expect_count(match.icmpv4(), len(asked))
