"""A segment whose checksum or data offset is wrong is met with silence, and changes nothing.

"The receiver MUST check it" (RFC 9293 3.1, MUST-3): the checksum, which covers the addresses too,
is never left out, and 0 is a sum like any other. A data offset below 5 words, or beyond the
segment's end, makes a header that cannot be read. Such segments come in a live connection, as data
in order and out of order, as FIN, RST and bare ACK, and as a SYN to a port at which the host
listens. The host sends nothing about any of them: neither at once nor within ``ack_delay``
(seconds, 0.5: as long as an ACK may be delayed, 3.8.6.3). Then good data come, with the same
numbers, are acked, and are what the host's service is given: these bytes and no others.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    SocketOptions,
    StackConfig,
    StackConnection,
    TcpFlags,
    TcpSegment,
    Topology,
    TracedFrame,
    compose,
    defects,
    dissect,
    drill,
    faults,
    match,
    patched,
    seconds,
)

PORT = 5180
STRANGER = 40_180
TCP = 6
BAD, GOOD = b"not to be believed", b"to be taken, these"
PUSHED = TcpFlags.ACK | TcpFlags.PSH
SOON = seconds(3)
SUM_AT, OFFSET_AT = 16, 12
"""Where checksum and data offset are in a TCP header (RFC 9293 3.1)."""


@pytest.mark.behaviour("TC-08", clause="RFC 9293 3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "acks it",
    faults.python_stack(defects.segments.CHECKS_NOTHING),
    caught="data in order, its checksum .*: the host answered",
)
@drill(
    "takes 0 for no checksum",
    faults.python_stack(defects.segments.ZERO_IS_NO_CHECKSUM),
    caught="its checksum 0.*: the host answered",
)
@drill(
    "trusts the offset",
    faults.python_stack(defects.segments.TRUSTS_OFFSET),
    caught="its data offset .*: the host answered",
)
@drill(
    "resets it",
    faults.python_stack(defects.segments.ANSWERS_BAD_CHECKSUM),
    caught="its checksum .*: the host answered .*RST",
)
def test_segments_that_are_wrong_meet_silence(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    net = bench.bring_up_network()
    here, there = net["peer"], net["dut"]
    dut.tcp_serve(PORT, connections=2)
    # Without timestamps, whose absence alone would be a reason to drop what is made by hand.
    connection = peer.connect("dut", PORT, options=SocketOptions(timestamps=False))
    answers = match.ipv4(src=there.ip, dst=here.ip) & (
        match.tcp(src_port=PORT) | match.icmpv4(type=range(3, 13))
    )
    with bench.capture("peer--dut") as seen:

        def expect_silence(what: str) -> None:
            if found := seen.at("peer--dut").all(answers):
                raise ExpectationFailed(
                    f"peer--dut: {what}: the host answered it by {told(found[0])}"
                )

        for what, data in wrong_segments(connection):
            packet = IPv4Packet(here.ip, there.ip, protocol=TCP, payload=data)
            bench.nic("peer").inject(compose(EthFrame(there.mac, here.mac), packet))
            seen.settle()
            expect_silence(what)
        bench.watch_for(seconds(bench.tolerance("ack_delay", 0.5)))
        seen.settle()
        expect_silence("one of all these segments")

    connection.send(GOOD)
    connection.shutdown()
    connection.receive_all(within=SOON)
    peer.connect("dut", PORT).close()  # the listener is as good as ever
    received = dut.tcp_result("server", PORT, within=SOON)[1]
    if (received.error, received.sha256) != (None, hashlib.sha256(GOOD).hexdigest()):
        raise ExpectationFailed(
            f"{dut.name} received {received.octets} bytes"
            f"{f' and {received.error}' if received.error else ''}, the peer sent {GOOD!r}"
        )


def wrong_segments(connection: StackConnection) -> Iterator[tuple[str, bytes]]:
    """What there is to be silent about: words for it, and the bytes of the segment."""
    (here, port), (there, _) = connection.local, connection.remote
    now = connection.snapshot()
    data = TcpSegment(port, PORT, now.snd_nxt, now.rcv_nxt, PUSHED, payload=BAD)
    kinds = {
        "data in order": data,
        "data out of order": replace(data, seq=(data.seq + 100) % (1 << 32)),
        "a FIN": replace(data, flags=TcpFlags.FIN | TcpFlags.ACK, payload=b""),
        "a bare ACK of what was not sent": replace(
            data, ack=(data.ack + 5000) % (1 << 32), flags=TcpFlags.ACK, payload=b""
        ),
        "a SYN": TcpSegment(STRANGER, PORT, 1, flags=TcpFlags.SYN),
        "a RST": replace(data, flags=TcpFlags.RST, payload=b""),
    }
    for kind, segment in kinds.items():
        good = segment.emit(here, there)
        right = int.from_bytes(good[SUM_AT : SUM_AT + 2], "big")
        for what, checksum in (
            ("one too high", (right + 1) % 0xFFFF),
            ("0", 0),
            ("without the addresses", ones_complement(patched(good, {SUM_AT: b"\0\0"}))),
            ("right for another address", _sum_of(segment.emit(here, there + 1))),
        ):
            if checksum % 0xFFFF != right % 0xFFFF:
                yield f"{kind}, its checksum {what}", segment.emit(here, there, checksum=checksum)
        for words in (0, 4, len(good) // 4 + 1, 15):
            if not 20 <= 4 * words <= len(good):
                yield f"{kind}, its data offset {words}", with_offset(good, words)
        yield f"{kind}, its header cut short", good[:19]


def told(frame: TracedFrame) -> str:
    """A frame of the host in words."""
    segment = dissect(frame.data).tcp
    if segment is None:
        return "an ICMP error"
    return f"{segment.flags.name} {segment.seq}, ack {segment.ack}"


def with_offset(data: bytes, words: int) -> bytes:
    """The segment ``data`` with another data offset, its checksum right (RFC 1624 3)."""
    before = int.from_bytes(data[OFFSET_AT : OFFSET_AT + 2], "big")
    after = words << 12 | before & 0x0FFF
    total = (~_sum_of(data) & 0xFFFF) + (~before & 0xFFFF) + after
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = (~total & 0xFFFF).to_bytes(2, "big")
    return patched(data, {OFFSET_AT: after.to_bytes(2, "big"), SUM_AT: checksum})


def _sum_of(data: bytes) -> int:
    return int.from_bytes(data[SUM_AT : SUM_AT + 2], "big")


def ones_complement(data: bytes) -> int:
    """The Internet checksum of ``data`` alone (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
