"""The largest datagram goes through, and one byte more is refused.

An IPv4 packet has 65 535 bytes at most, its header included (RFC 791 3.1): 65 507 of payload in UDP
and in a ping. The host takes such a datagram from its fragments and answers it with one as large. A
datagram of one byte more is refused to the program that wants to send it, and nothing leaves. One
whose fragments add up to more than 65 535 bytes with the header of the first, which may have
options, is dropped; what was lost of it leaves no trace in the next one.
"""

from dataclasses import replace

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
    TracedFrame,
    UdpDatagram,
    WireError,
    compose,
    defects,
    drill,
    enclose,
    faults,
    fragment,
    match,
    reassemble,
    seconds,
)

SERVICE = 40901
PORT = 41900
LARGEST = 65_507
BODY = bytes(at * 7 % 251 for at in range(LARGEST + 1))
NOPS = b"\x01" * 40
SOON = seconds(3)


@pytest.mark.behaviour("FR-09", clause="RFC 791 3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "wraps",
    faults.python_stack(defects.datagrams.WRAPS),
    caught="65508 bytes: sent without an error, expected EMSGSIZE",
)
@drill(
    "forgets the header's length",
    faults.python_stack(defects.fragments.ACCEPTS_TOO_LONG),
    caught="peer--dut: expect none: .*1 frame came",
)
@drill(
    "length as a signed number",
    faults.python_stack(defects.fragments.SIGNED_LENGTH),
    caught="no answer to a datagram of 65507 bytes",
)
@drill(
    "no room for large ones",
    faults.nft("type filter hook prerouting priority -450;", "ip frag-off & 0x1fff > 4096 drop"),
    caught="no answer to a datagram of 65507 bytes",
)
@drill(
    "sends no more than 9216",
    faults.python_stack(defects.datagrams.SENDS_9216),
    caught="no answer to a datagram of 65507 bytes",
)
def test_largest_datagram_goes_through_and_no_larger(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    host = net["dut"]
    dut.set_sysctl("net.ipv4.ipfrag_time", "2")
    dut.udp_serve(SERVICE)
    there = IPv4Packet(net["peer"].ip, host.ip, 17, ident=PORT)
    answer = match.udp(src_port=SERVICE, dst_port=PORT)

    with bench.capture("peer--dut") as seen:
        send(bench, enclose(there, UdpDatagram(PORT, SERVICE, BODY[:LARGEST])))
        what = f"a datagram of {LARGEST} bytes"
        expect_whole(bench, seen, answer, what, BODY[:LARGEST])
        ping = replace(there, ident=PORT + 1)
        send(bench, enclose(replace(ping, protocol=1), EchoRequest(7, 7, BODY[:LARGEST])))
        reply = match.icmpv4(type=0)
        expect_whole(bench, seen, reply, f"a ping of {LARGEST} bytes", BODY[:LARGEST])

    with bench.capture("peer--dut") as seen:
        error = dut.udp_send(str(net["peer"].ip), PORT + 2, BODY)
        if error != "EMSGSIZE":
            raise ExpectationFailed(
                f"{dut.name}: a datagram of {len(BODY)} bytes: "
                f"{error or 'sent without an error'}, expected EMSGSIZE"
            )
        # 65 476 bytes and the first fragment's header of 60 are one byte more than there can be.
        options = replace(there, ident=PORT + 2, options=NOPS)
        too_long(bench, options, UdpDatagram(PORT + 3, SERVICE, BODY[: LARGEST - 39]))
        too_long(bench, replace(there, ident=PORT + 4), UdpDatagram(PORT + 3, SERVICE, BODY))
        fits = replace(options, ident=PORT + 5)
        send(bench, enclose(fits, UdpDatagram(PORT + 4, SERVICE, BODY[: LARGEST - 40])))
        answer = match.udp(src_port=SERVICE, dst_port=PORT + 4)
        expect_whole(bench, seen, answer, "one that fits with options", BODY[: LARGEST - 40])
        seen.settle()
    at_peer = seen.at("peer--dut")
    at_peer.expect_none(match.udp(dst_port=PORT + 2))
    at_peer.expect_none(match.udp(src_port=SERVICE, dst_port=PORT + 3))


def send(bench: Bench, packet: IPv4Packet) -> None:
    """Hand the host a packet, in fragments as large as the cable takes."""
    net, nic = bench.bring_up_network(), bench.nic("peer")
    for each in fragment(packet, nic.mtu):
        nic.inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), each))


def too_long(bench: Bench, header: IPv4Packet, datagram: UdpDatagram) -> None:
    """Send the fragments of a datagram that no packet can be, its first with ``header``."""
    net, nic = bench.bring_up_network(), bench.nic("peer")
    data = datagram.emit(header.src, header.dst)
    room = (nic.mtu - header.header_length) & ~7
    for at in range(0, len(data), room):
        part = data[at : at + room]
        options = b"" if at else header.options
        piece = replace(header, options=options, offset=at, mf=at + room < len(data), payload=part)
        nic.inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), piece))


def expect_whole(bench: Bench, seen: Capture, first: Matcher, what: str, body: bytes) -> None:
    """The fragments that begin with ``first`` come, and make up an answer that carries ``body``."""

    def fragments() -> list[TracedFrame]:
        heads = seen.at("peer--dut").all(first)
        if not heads:
            return []
        head = heads[0].ipv4
        mine = match.ipv4(src=head.src, ident=head.ident, protocol=head.protocol)
        return list(seen.at("peer--dut").all(mine))

    def complete() -> bool:
        came = fragments()
        return sum(len(each.ipv4.payload) for each in came) >= len(body) + 8

    if not bench.loop.run_until(complete, SOON) and not fragments():
        raise ExpectationFailed(f"peer--dut: no answer to {what}, expected one as large")
    came = fragments()
    try:
        whole = reassemble(frame.ipv4 for frame in came)
    except WireError as error:
        raise ExpectationFailed(
            f"peer--dut: the answer to {what}, from #{came[0].number} on, is no packet: {error}"
        ) from None
    if whole.payload[8:] != body:
        raise ExpectationFailed(
            f"peer--dut: the answer to {what}, from #{came[0].number} on, has "
            f"{len(whole.payload) - 8} bytes, and not those that were sent"
        )
