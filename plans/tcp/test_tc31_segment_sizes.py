"""A host announces the MSS of its link and sends segments of the smaller of both sides' sizes.

The MSS in its SYN and in its SYN+ACK is its MTU less 40 (RFC 9293 3.7.1, RFC 6691: options are not
counted). What it sends is limited by "min(SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize"
(MUST-16): by the peer's MSS or by its own link, whichever is smaller, less the options that the
segment carries, 536 where the peer announced nothing. And it fills its segments: with much to send,
some carry exactly that. Nothing is cut into fragments.

For three MTUs of the host, peers that announce less, an odd number, the same, much more and nothing
at all, with and without timestamps; the host in turn as server and as client.
"""

import dataclasses
import hashlib
from dataclasses import dataclass

import pytest

from testbed import (
    MSS,
    Bench,
    ExpectationFailed,
    Modify,
    SocketOptions,
    StackConfig,
    StackConnection,
    StackHost,
    Timestamps,
    Topology,
    compose,
    defects,
    dissect,
    drill,
    faults,
    match,
    seconds,
    tcpflow,
)

PORT = 5131
DOWN = 8000
HEADERS = 40
DEFAULT = 536
SOON = seconds(5)


@dataclass(frozen=True)
class Case:
    """The host's MTU, and what the peer's SYN says."""

    mtu: int
    peer: int | None
    stamps: bool = True

    def __str__(self) -> str:
        told = f"MSS {self.peer}" if self.peer else "no MSS"
        return f"MTU {self.mtu}, a peer with {told}{'' if self.stamps else ', no timestamps'}"

    @property
    def own(self) -> int:
        """What the host has to announce."""
        return self.mtu - HEADERS

    @property
    def size(self) -> int:
        """What a full segment of the host's has room for, options included."""
        return min(self.own, self.peer or DEFAULT)


CASES = (
    Case(1500, 1460),
    Case(1500, 1460, stamps=False),
    Case(1500, 1000),
    Case(1500, 1001),
    Case(1500, 8960),
    Case(1500, None),
    Case(1200, 1460),
    Case(1200, 700, stamps=False),
    Case(576, 1460),
)


@pytest.mark.behaviour("TC-31", clause="RFC 9293 3.7.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "1460 always",
    faults.python_stack(defects.receiver.ANNOUNCES_1460),
    caught="MTU 1200.* announced an MSS of 1460, expected 1160",
)
@drill(
    "announces the default",
    faults.nft(
        "type filter hook output priority 0;",
        "tcp flags & syn == syn tcp option maxseg size set 536",
    ),
    caught="announced an MSS of 536, expected 1460",
)
@drill(
    "ignores the peer's MSS",
    faults.python_stack(defects.receiver.IGNORES_PEER_MSS),
    caught=r"has \d+ bytes with its options, expected 1000 at most",
)
@drill(
    "forgets its options",
    faults.python_stack(defects.receiver.FORGETS_OPTIONS),
    caught=r"has 1012 bytes with its options, expected 1000 at most",
)
@drill(
    "rounds up odd sizes",
    faults.python_stack(defects.receiver.ROUNDS_UP_SIZES),
    caught=r"has 1002 bytes with its options, expected 1001 at most",
)
@drill(
    "sends small segments only",
    faults.nft(
        # The kernel takes the least that it sees: this is what a clamping gateway does to it.
        "type filter hook prerouting priority 0;",
        "tcp flags & syn == syn tcp option maxseg size set 500",
    ),
    caught="largest segment has 500 bytes with its options, expected 1460",
)
def test_segments_have_the_smaller_of_both_sizes(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    interface = bench.port("dut", toward="peer")
    for port, case in enumerate(CASES, PORT):
        if dut.mtu(interface) != case.mtu:
            dut.set_mtu(interface, case.mtu)
        options = SocketOptions(mss=case.peer or DEFAULT, timestamps=case.stamps)
        bare = [] if case.peer else [Modify(without_mss, what="its MSS taken out")]
        with bench.capture("peer--dut") as seen, peer.outgoing.impaired(*bare):
            try:
                dut.tcp_serve(port, send=DOWN, seed=port)
                take(peer.connect("dut", port, within=SOON, options=options), port)
                connect_back(bench, peer, port, options)
            finally:
                seen.settle()
                for flow in tcpflow.connections(seen.at("peer--dut").both):
                    if flow.server.port == port:
                        judge(flow, case, server=flow.client.ip == peer.address)
        seen.at("peer--dut").expect_none(match.ipv4(fragment=True, src=str(peer.resolve("dut"))))


def without_mss(frame: bytes) -> bytes:
    """The peer's segment without an MSS."""
    layers = dissect(frame)
    if layers.tcp is None or layers.ipv4 is None or layers.eth is None:
        return frame
    kept = tuple(each for each in layers.tcp.options if not isinstance(each, MSS))
    segment = dataclasses.replace(layers.tcp, options=kept)
    eth, ipv4 = (dataclasses.replace(layer, payload=b"") for layer in (layers.eth, layers.ipv4))
    return compose(eth, ipv4, segment)


def connect_back(bench: Bench, peer: StackHost, port: int, options: SocketOptions) -> None:
    """The host as client sends just as much."""
    listener = peer.listen(port, options=options)
    bench.host("dut").tcp_connect(str(peer.address), port, send=DOWN, seed=port)
    take(listener.accept(within=SOON), port)
    listener.close()


def take(connection: StackConnection, port: int) -> None:
    """Read what the host sends, and close."""
    sent = hashlib.shake_128(port.to_bytes(8, "big")).digest(DOWN)
    if connection.receive(DOWN, within=SOON) != sent:
        raise ExpectationFailed(f"{connection}: {DOWN} bytes came, but not those that were sent")
    connection.shutdown()
    connection.receive_all(within=SOON)


def judge(flow: tcpflow.Connection, case: Case, *, server: bool) -> None:
    """The host announced what its link carries, and sent what both sides can take."""
    mine = flow.down if server else flow.up
    who = f"{case}, the host as {'server' if server else 'client'}"
    if not mine:
        return  # that it did not answer is told by whoever waits for the answer
    told = mine[0].tcp.option(MSS)
    if told is None or told.value != case.own:
        said = f"an MSS of {told.value}" if told else "no MSS"
        raise ExpectationFailed(f"{who}: announced {said}, expected {case.own}")
    largest = max(mine, key=sized)
    if sized(largest) > case.size:
        raise ExpectationFailed(
            f"{who}: #{largest.number} has {sized(largest)} bytes with its options, expected "
            f"{case.size} at most"
        )
    if sized(largest) < case.size:
        raise ExpectationFailed(
            f"{who}: its largest segment has {sized(largest)} bytes with its options, expected "
            f"{case.size}"
        )


def sized(segment: tcpflow.FlowSegment) -> int:
    """What a segment behind the SYNs takes of the MSS."""
    stamps = 12 if segment.tcp.option(Timestamps) else 0
    return len(segment.payload) + stamps if segment.payload else 0
