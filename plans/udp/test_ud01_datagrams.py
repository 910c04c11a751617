"""A datagram arrives whole, by itself, once or not at all, and is checked by its own checksum.

"This protocol [...] is transaction oriented, and delivery and duplicate protection are not
guaranteed" (RFC 768). Datagrams of no byte to 65 507 arrive each as one, with 8 bytes of header
before them and their length in it; what follows that in the packet is not theirs. The checksum is
over header, data and the addresses around them; 0 says that there is none, and such a datagram is
taken; where the sum is zero, all ones are sent. A datagram with a wrong sum is dropped in silence
(RFC 1122 4.1.3.4), and one whose length cannot be. None is sent again: after the one frame
there is nothing for ``udp_quiet`` (seconds, 1). None waits for another: one that is overtaken is
delivered later, and one of which a fragment is missing holds up nobody.

What the host sends itself has a checksum: "a UDP implementation [...] by default" (RFC 1122
4.1.3.4) does that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Drop,
    EthFrame,
    ExpectationFailed,
    Host,
    IPv4Packet,
    Matcher,
    Nth,
    Reorder,
    StackConfig,
    StackHost,
    Topology,
    UdpDatagram,
    compose,
    defects,
    drill,
    faults,
    match,
    seconds,
)

POINT = "peer--dut"
PORT, SOURCE = 5301, 5311
APART = 10
SIZES = (0, 1, 2, 7, 511, 1024, 1472, 1473, 4000, 65507)
SOON = seconds(3)
UDP = 17
RIGHT = match.where(
    lambda frame: len(frame) >= 42 and frame[40:42] != b"\0\0", "with a checksum"
) & match.udp(bad_checksum=False)


@pytest.mark.behaviour("UD-01", clause="RFC 768, RFC 1122 4.1.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "accepts a bad checksum",
    faults.python_stack(defects.udp.ACCEPTS_BAD_CHECKSUM),
    caught="a wrong checksum: it was answered",
)
@drill(
    "refuses datagrams without a checksum",
    faults.python_stack(defects.udp.REFUSES_NO_CHECKSUM),
    caught="no checksum.*did not come",
)
@drill(
    "takes no checksum for a wrong one",
    faults.nft("type filter hook input priority 0;", "udp checksum 0 drop"),
    caught="no checksum.*did not come",
)
@drill(
    "takes what follows",
    faults.python_stack(defects.udp.TAKES_WHAT_FOLLOWS),
    caught="bytes behind its end.*did not come",
)
@drill(
    "sends twice",
    faults.python_stack(defects.udp.SENDS_TWICE),
    caught="2 frames of 0 bytes came back, expected 1",
)
@drill(
    "cuts long datagrams",
    faults.python_stack(defects.udp.CUTS_LONG_DATAGRAMS),
    caught="1472 bytes were sent, 1024 came back",
)
@drill(
    "loses large ones",
    faults.nft("type filter hook input priority 0;", "udp length > 2000 drop"),
    caught="4000 bytes.* did not come back",
)
def test_datagrams_are_whole_checked_and_single(bench: Bench) -> None:
    quiet = seconds(bench.tolerance("udp_quiet", 1))
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.udp_serve(PORT)
    with bench.capture(POINT) as seen:
        expect_boundaries(seen, peer)
        by_hand = ByHand(bench, seen, peer.address)
        by_hand.expect_accepted_and_dropped()
        expect_alone(peer, dut, by_hand.sent + len(SIZES))
        peer.stack.answers.icmp_errors = False
        dut.udp_send(str(peer.address), PORT + 1, b"into the void")
        bench.watch_for(quiet)
        seen.settle()
    seen.at(POINT).expect_count(match.udp(dst_port=PORT + 1), 1)
    seen.at(POINT).expect_none(match.udp(src_port=PORT) & match.ipv4(fragment=False) & ~RIGHT)
    seen.at(POINT).expect_none(match.icmpv4(type=3))


def expect_boundaries(seen: Capture, peer: StackHost) -> None:
    """Each datagram comes back as it went: one for one, whatever its size.

    Each to a port of its own, where a copy of one is not taken for the answer to the next.
    """
    sent = {SOURCE + APART + at: bytes([at]) * size for at, size in enumerate(SIZES)}
    for port, payload in sent.items():
        socket = peer.udp(port)
        socket.send(payload, "dut", PORT)
        try:
            came = socket.receive(within=SOON).payload
        except ExpectationFailed:
            raise ExpectationFailed(
                f"{POINT}: {len(payload)} bytes were sent as one datagram, and did not come back"
            ) from None
        if came != payload:
            raise ExpectationFailed(
                f"{POINT}: {len(payload)} bytes were sent, {len(came)} came back: not those"
            )
        socket.close()
    seen.settle()
    for port, payload in sent.items():
        if len(payload) > 1472:
            continue
        whole = match.ipv4(length=28 + len(payload)) & match.udp(
            src_port=PORT, dst_port=port, payload=payload
        )
        found = seen.at(POINT).all(whole)
        if len(found) != 1:
            raise ExpectationFailed(
                f"{POINT}: {len(found)} frames of {len(payload)} bytes came back, expected 1"
            )


@dataclass
class ByHand:
    """Datagrams that no socket sends."""

    bench: Bench
    seen: Capture
    source: IPv4Address
    sent: int = 0

    def expect_accepted_and_dropped(self) -> None:
        """What must be answered is, and nothing else; an answer to the last says it was heard."""
        dut = self.bench.bring_up_network()["dut"].ip
        good = self.datagram(b"right")
        self.expect_echo("right", good, b"right")
        self.expect_echo("no checksum", zeroed(self.datagram(b"no sum")), b"no sum")
        ones = self.datagram(checksum_of(self.datagram(b"\0\0")))
        self.expect_echo("a sum of zero, sent as ones", ones, ones[8:])
        more = self.datagram(b"its own") + b"behind it"
        self.expect_echo("bytes behind its end", more, b"its own")
        other = IPv4Address(int(dut) ^ 0x80)
        strayed = UdpDatagram(SOURCE, PORT, b"strayed").emit(self.source, other)
        wrong = bytearray(self.datagram(b"changed"))
        wrong[-1] ^= 1
        long = bytearray(self.datagram(b"long" * 360))
        long[-1] ^= 1
        self.expect_none(
            "a wrong checksum",
            (bytes(wrong), strayed, bytes(long)),
            (b"change", b"strayed", b"longlong"),
        )
        short = self.datagram(b"short")
        self.expect_none(
            "an impossible length",
            (with_length(short, len(short) + 1), with_length(short, 7), short[:7]),
            (b"short",),
        )

    def datagram(self, payload: bytes) -> bytes:
        """One to the service, with the right checksum."""
        dut = self.bench.bring_up_network()["dut"].ip
        return UdpDatagram(SOURCE, PORT, payload).emit(self.source, dut)

    def inject(self, data: bytes) -> None:
        """Send the bytes of a datagram."""
        end, dut = self.bench.bring_up_network()["peer"], self.bench.bring_up_network()["dut"]
        packet = IPv4Packet(end.ip, dut.ip, UDP, data)
        self.bench.nic("peer").inject(compose(EthFrame(dut.mac, end.mac), packet))

    def expect_echo(self, what: str, data: bytes, payload: bytes) -> None:
        """It is answered with what it carries."""
        self.inject(data)
        self.sent += 1
        try:
            self.seen.wait_for(POINT, echo(payload) & RIGHT, SOON)
        except ExpectationFailed as failure:
            raise ExpectationFailed(
                f"{POINT}: {what}: {failure.summary}", failure.details
            ) from None

    def expect_none(self, what: str, datagrams: Iterable[bytes], marks: Iterable[bytes]) -> None:
        """None of them is answered, nor anything else said about it."""
        for data in datagrams:
            self.inject(data)
        self.expect_echo(what, self.datagram(what.encode()), what.encode())
        self.seen.settle()
        for mark in marks:
            came = self.seen.at(POINT).first(match.containing(mark))
            if came is not None:
                raise ExpectationFailed(f"{POINT}: {what}: it was answered in #{came.number}")


def echo(payload: bytes) -> Matcher:
    """The service's answer."""
    return match.udp(src_port=PORT, dst_port=SOURCE, payload=payload)


def zeroed(data: bytes) -> bytes:
    """A datagram without a checksum."""
    return data[:6] + b"\0\0" + data[8:]


def checksum_of(data: bytes) -> bytes:
    """A datagram's checksum."""
    return data[6:8]


def with_length(data: bytes, length: int) -> bytes:
    """A datagram that says it is so long, without a checksum."""
    return zeroed(data[:4] + length.to_bytes(2, "big") + data[6:])


def expect_alone(peer: StackHost, dut: Host, before: int) -> None:
    """Order is that of arrival, and what never becomes whole holds up nothing."""
    socket = peer.udp(SOURCE + 1)
    first = match.udp(dst_port=PORT, payload=b"1")
    with peer.outgoing.impaired(Reorder(Nth(1, matching=first), 2)):
        for payload in (b"1", b"2", b"3"):
            socket.send(payload, "dut", PORT)
        came = [each.payload for each in dut.udp_received(PORT, count=before + 3, within=SOON)]
    if came[before:] != [b"2", b"3", b"1"]:
        raise ExpectationFailed(
            f"dut: {came[before:]} were received, where 1 came behind 2 and 3 on the cable"
        )
    rest = match.ipv4(offset=lambda offset: offset > 0)
    with peer.outgoing.impaired(Drop(rest)):
        socket.send(bytes(4000), "dut", PORT)
        socket.send(b"behind it", "dut", PORT)
        came = [each.payload for each in dut.udp_received(PORT, count=before + 4, within=SOON)]
    if came[before + 3 :] != [b"behind it"]:
        raise ExpectationFailed(
            f"dut: {len(came) - before - 3} datagrams were received behind one that was not whole, "
            "expected the one"
        )
