"""A router that does not say how much the next link carries does not stop a host.

Routers older than RFC 1191 send frag needed with an MTU of 0. The host then tries something less:
the next of a table of plateaus (RFC 1191 5 and 7), or 576 bytes or the like at once, as Linux (552,
without DF from then on). Answers of the host are answered by such a message as long as they have DF
and are larger than ``PATH``: each try must be smaller than the one before, the host gets through
after ``old_router_tries`` (6) at most, and does not fall below ``old_router_least`` (bytes, 508:
the plateau below ``PATH``), where it could send twice as much. Routers derived from 4.2BSD add the
header's length to the total length that they quote; that must not lead astray. TCP gets a stream
through, and resends at once in smaller segments.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest

from testbed import (
    Bench,
    Capture,
    DestinationUnreachable,
    EthFrame,
    ExpectationFailed,
    Instant,
    IPv4Packet,
    StackConfig,
    Stage,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    dissect,
    drill,
    enclose,
    faults,
    match,
    seconds,
)

PORT, SERVICE, STREAM = 40700, 40707, 40708
PATH = 1000
LARGE = bytes(at * 7 % 251 for at in range(1400))
SIZE = 60_000
QUOTED = 28
SOON = seconds(2)
NEEDED = 4  # code of destination unreachable: fragmentation needed and DF set


class OldRouter(Stage):
    """What is larger than ``PATH`` and has DF is dropped, and its sender told, without an MTU."""

    def __init__(self, bench: Bench, longer: int) -> None:
        super().__init__()
        self.bench = bench
        self.longer = longer
        self.sizes: set[int] = set()

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame, if it fits or may be cut up."""
        packet = dissect(frame).ipv4
        if packet is None or packet.total_length <= PATH or not packet.df:
            return (frame,)
        self.log.add(now, "drop", frame, f"{packet.total_length} bytes in an MTU of {PATH}")
        self.sizes.add(packet.total_length)
        complain(self.bench, packet, self.longer)
        return ()


@pytest.mark.behaviour("PM-07", clause="RFC 1191 5")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill("stuck", faults.python_stack(defects.pmtu.STUCK_AT_ZERO), caught="no smaller than")
@drill(
    "deaf to routers without an MTU",
    faults.nft(
        "type filter hook input priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu 0 drop",
    ),
    caught="no smaller than",
)
@drill(
    "collapses to 68 bytes",
    faults.python_stack(defects.pmtu.COLLAPSES, config=StackConfig()),
    caught="fell to 6[0-9] bytes, .* at least",
)
def test_host_gets_through_an_old_router(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    tries = int(bench.tolerance("old_router_tries", 6))
    least = int(bench.tolerance("old_router_least", 508))
    other = another(bench)
    net.station("peer").answer_for.add(other.ip)
    dut.udp_serve(SERVICE)
    for source, quirk in ((net["peer"].ip, 0), (other.ip, 20)):
        sizes: list[int] = []
        with bench.capture("peer--dut") as seen:
            while True:
                packet = ask(bench, seen, IPv4Packet(source, net["dut"].ip), PORT + len(sizes))
                size = packet.ipv4.total_length
                if sizes and size >= sizes[-1]:
                    raise ExpectationFailed(
                        f"peer--dut: #{packet.number} has {size} bytes, no smaller than the "
                        f"{sizes[-1]} that an old router could not pass on"
                    )
                sizes.append(size)
                if size <= PATH or not packet.ipv4.df:
                    break
                if len(sizes) > tries:
                    raise ExpectationFailed(
                        f"peer--dut: the host is not through after {tries} tries: {sizes}, the "
                        f"path carries {PATH}"
                    )
                complain(bench, packet.ipv4, longer=quirk)
                seen.settle()
        if sizes[-1] < least - 7:
            raise ExpectationFailed(
                f"peer--dut: the host fell to {sizes[-1]} bytes, the path carries {PATH}: expected "
                f"{least} at least"
            )
        bench.log(f"the host tried packets of {sizes} bytes")


@pytest.mark.behaviour("PM-07", clause="RFC 1191 5, 6.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill("stuck", faults.python_stack(defects.pmtu.STUCK_AT_ZERO), caught="did not come through")
@drill(
    "deaf to routers without an MTU",
    faults.nft(
        "type filter hook input priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu 0 drop",
    ),
    caught="did not come through",
)
@drill(
    "goes down byte by byte",
    faults.python_stack(defects.pmtu.STEP_BY_STEP),
    caught="was through after [0-9]+ tries, expected 6 at most",
)
@drill(
    "collapses to 68 bytes",
    faults.python_stack(defects.pmtu.COLLAPSES, config=StackConfig()),
    caught="sent no more than 68 bytes .* at least",
)
def test_stream_gets_through_an_old_router(bench: Bench) -> None:
    """TCP lowers its segments at the word of a router that names no MTU; the stream is intact."""
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    tries = int(bench.tolerance("old_router_tries", 6))
    least = int(bench.tolerance("old_router_least", 508))
    dut.set_sysctl("net.ipv4.tcp_mtu_probing", "0")  # it is to get through by what it is told
    other = another(bench)
    peer.add_address(other)
    for seed, (source, quirk) in enumerate(((peer.address, 0), (other.ip, 20))):
        router = OldRouter(bench, quirk)
        dut.tcp_serve(STREAM + seed, send=SIZE, seed=seed)
        with bench.capture("peer--dut") as seen, peer.incoming.impaired(router):
            connection = peer.connect("dut", STREAM + seed, source=source)
            try:
                came = connection.receive(SIZE, within=seconds(4))
            except ExpectationFailed as failure:
                raise ExpectationFailed(
                    "peer--dut: the stream did not come through an old router that could not pass "
                    f"on packets of {sorted(router.sizes, reverse=True)[:9]} bytes: "
                    f"{failure.summary}"
                ) from None
            connection.shutdown()
            connection.receive_all()
        if came != hashlib.shake_128(seed.to_bytes(8, "big")).digest(SIZE):
            raise ExpectationFailed(f"peer--dut: {SIZE} bytes came, but not those that were sent")
        if not 0 < len(router.sizes) <= tries:
            raise ExpectationFailed(
                f"peer--dut: the stream was through after {len(router.sizes)} tries, expected "
                f"{tries} at most"
            )
        segments = match.ipv4(protocol="tcp", shorter_than=min(router.sizes), src=dut_ip(bench))
        largest = max(frame.ipv4.total_length for frame in seen.at("peer--dut").all(segments))
        if largest < least:
            raise ExpectationFailed(
                f"peer--dut: in the end the host sent no more than {largest} bytes in a packet, "
                f"the path carries {PATH}: expected {least} at least"
            )
        bench.log(f"packets of {sorted(router.sizes)} bytes were tried, {largest} came through")
        seen.at("peer--dut").expect_none(match.ipv4(protocol="tcp", fragment=True))


def another(bench: Bench) -> IPv4Interface:
    """An address of the peer's subnet that nobody has: what is learned holds for one address."""
    net = bench.bring_up_network()
    subnet = net["peer"].address.network
    taken = net["peer"].ip, net["dut"].ip
    free = next(ip for ip in subnet.hosts() if ip not in taken)
    return IPv4Interface((free, subnet.prefixlen))


def dut_ip(bench: Bench) -> IPv4Address:
    """The host's address."""
    return bench.bring_up_network()["dut"].ip


def complain(bench: Bench, packet: IPv4Packet, longer: int = 0) -> None:
    """Tell the sender of ``packet`` as an old router does; it may quote it as ``longer``."""
    net = bench.bring_up_network()
    quoted = bytearray(packet.emit()[:QUOTED])
    quoted[2:4] = (packet.total_length + longer).to_bytes(2, "big")
    message = DestinationUnreachable(NEEDED, bytes(quoted), 0)
    back = IPv4Packet(net["peer"].ip, packet.src)
    bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), back, message))


def ask(bench: Bench, seen: Capture, there: IPv4Packet, port: int) -> TracedFrame:
    """Have the service answer, at large; the largest packet of its answer."""
    net = bench.bring_up_network()
    datagram = enclose(replace(there, ident=port), UdpDatagram(port, SERVICE, LARGE))
    bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), datagram))
    first = seen.wait_for("peer--dut", match.udp(src_port=SERVICE, dst_port=port), SOON)
    seen.settle()
    same = match.ipv4(src=net["dut"].ip, ident=first.ipv4.ident, protocol="udp", dst=there.src)
    packets = seen.at("peer--dut").all(same)
    return max((first, *packets), key=lambda frame: frame.ipv4.total_length)
