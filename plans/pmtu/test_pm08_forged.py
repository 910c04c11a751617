"""A frag needed that nobody's packet gave cause for changes nothing.

What a TCP takes of an ICMP error is about a segment in flight: the sequence number that it quotes
is SND.UNA at least and less than SND.NXT (RFC 5927 4.1, 7.2). While the host has a window of
segments under way, messages come that quote a number before or behind it, other ports, or other
addresses, whose checksum is wrong, that name an MTU as large as the packet or larger, and one below
68 bytes, which no link may have (RFC 791 3.2): the segments that follow are as large as before. Of
the last kind the host may take what its own floor allows, ``forged_least`` (bytes, 552: Linux's
``min_pmtu``; RFC 1191 3 wants it ignored). The genuine message that only differs in being right is
obeyed, or the plan would judge a host that hears nothing; and no later one raises the MTU again
(RFC 1191 3: "A host MUST NOT increase its estimate of the Path MTU in response to the contents of a
Datagram Too Big message").
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

import pytest

from testbed import (
    Bench,
    Capture,
    DestinationUnreachable,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    StackConfig,
    StackHost,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    drill,
    enclose,
    faults,
    match,
    patched,
    seconds,
)

PORT, SERVICE = 40800, 40899
SIZE = 60_000
FLIGHT = 4000
"""Bytes in flight when a message comes: a few segments of any size."""
SMALL = 600
"""The MTU that forgers name: smaller than what is sent, larger than any host's floor."""
LARGE = bytes(at * 7 % 251 for at in range(1372))
SEQUENCE = 24
"""Where the quoted segment's sequence number stands: behind the IP header and the ports."""
ETHERNET, IP, CHECKSUM = 14, 20, 2
SOON = seconds(2)


@dataclass(frozen=True)
class Message:
    """One message: how its quotation differs from the true one, and which MTU it names."""

    what: str
    change: Callable[[bytearray], None] = lambda _: None
    mtu: int = SMALL
    bad_checksum: bool = False


def shifted(by: int) -> Callable[[bytearray], None]:
    """Another sequence number."""

    def change(quoted: bytearray) -> None:
        number = int.from_bytes(quoted[SEQUENCE : SEQUENCE + 4], "big") + by
        quoted[SEQUENCE : SEQUENCE + 4] = (number % (1 << 32)).to_bytes(4, "big")

    return change


def raised(at: int) -> Callable[[bytearray], None]:
    """Another byte ``at`` some place."""

    def change(quoted: bytearray) -> None:
        quoted[at] = (quoted[at] + 1) % 256

    return change


FORGERIES = (
    Message("about a byte before SND.UNA", shifted(-1)),
    Message("about a segment acked long ago", shifted(-200_000)),
    Message("about a segment not yet sent", shifted(1 << 20)),
    Message("about half the numbers on", shifted((1 << 31) - 1)),
    Message("about another port of the host", raised(21)),
    Message("about another port of the peer", raised(23)),
    Message("about a packet of another host", raised(15)),
    Message("with a bad checksum", bad_checksum=True),
    Message("naming the MTU of the link", mtu=1500),
    Message("naming an MTU of 9000", mtu=9000),
)
TINY = (Message("naming an MTU of 67", mtu=67), Message("naming an MTU of 21", mtu=21))
GENUINE = Message("that is genuine")
LARGER = Message("naming more than is known", mtu=1400)


@pytest.mark.behaviour("PM-08", clause="RFC 5927 4.1, 7.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "obeys any",
    faults.python_stack(defects.pmtu.OBEYS_FORGED_TCP),
    caught="a frag needed about a byte before SND.UNA was obeyed",
)
@drill(
    "obeys messages about segments acked",
    faults.python_stack(defects.pmtu.OBEYS_OLD),
    caught="a frag needed about a .* was obeyed",
)
@drill(
    "obeys an MTU below 68",
    faults.python_stack(defects.pmtu.OBEYS_TINY),
    caught="a frag needed naming an MTU of 67 was obeyed: .* 552",
)
@drill(
    "obeys a larger MTU",
    faults.python_stack(defects.pmtu.OBEYS_LARGER),
    caught="naming more than is known was obeyed",
)
@drill(
    "ignores all, forged or not",
    faults.nft("type filter hook input priority 0;", "icmp type destination-unreachable drop"),
    caught="a frag needed that is genuine was not obeyed",
)
def test_connection_ignores_forged_messages(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    least = int(bench.tolerance("forged_least", 552))
    dut.set_sysctl("net.ipv4.tcp_mtu_probing", "0")
    sources = iter(addresses(bench))
    port = PORT
    for message in (*FORGERIES, *TINY, GENUINE):
        port += 1
        source = next(sources)
        peer.add_address(source)
        before, after = sizes(bench, peer, source.ip, port, message)
        wanted = least if message in TINY else before
        if message is not GENUINE and after < wanted:
            raise ExpectationFailed(
                f"peer--dut: a frag needed {message.what} was obeyed: the host sent packets of "
                f"{before} bytes before it and of {after} at most after it, expected {wanted}"
            )
    if after > SMALL:
        raise ExpectationFailed(
            f"peer--dut: a frag needed {GENUINE.what} was not obeyed: it named {SMALL}, and the "
            f"host went on with packets of {after} bytes"
        )
    _, after = sizes(bench, peer, source.ip, port + 1, LARGER)
    if after > SMALL:
        raise ExpectationFailed(
            f"peer--dut: a frag needed {LARGER.what} was obeyed: packets of {SMALL} bytes were "
            f"known to fit, and the host sent {after} bytes after it"
        )


@pytest.mark.behaviour("PM-08", clause="RFC 1122 3.2.2.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "obeys forged messages about datagrams",
    faults.python_stack(defects.pmtu.OBEYS_FORGED_UDP),
    caught="about a datagram that no program sent was obeyed",
)
@drill(
    "obeys an MTU below 68",
    faults.python_stack(defects.pmtu.OBEYS_TINY),
    caught="naming an MTU of 67 was obeyed",
)
def test_datagrams_ignore_forged_messages(bench: Bench) -> None:
    """A frag needed about a datagram that no program sent, or with an MTU below 68, is ignored."""
    net, dut = bench.bring_up_network(), bench.host("dut")
    least = int(bench.tolerance("forged_least", 552))
    dut.udp_serve(SERVICE)
    forgeries = (Message("about a datagram that no program sent", raised(21)), *TINY)
    for number, (message, source) in enumerate(zip(forgeries, addresses(bench), strict=False)):
        net.station("peer").answer_for.add(source.ip)
        with bench.capture("peer--dut") as seen:
            whole = ask(bench, seen, source.ip, PORT + number)
            send(bench, message, whole)
            seen.settle()
            after = ask(bench, seen, source.ip, PORT + 100 + number)
        wanted = least - 7 if message in TINY else whole.ipv4.total_length
        if after.ipv4.total_length < wanted:
            raise ExpectationFailed(
                f"peer--dut: a frag needed {message.what} was obeyed: the host answered in a "
                f"packet of {whole.ipv4.total_length} bytes before it, and of "
                f"{after.ipv4.total_length} after it, expected {wanted}"
            )


def addresses(bench: Bench) -> list[IPv4Interface]:
    """Free addresses of the peer's subnet: what the host learns of one holds for that one only."""
    net = bench.bring_up_network()
    subnet = net["peer"].address.network
    taken = net["peer"].ip, net["dut"].ip
    return [IPv4Interface((ip, subnet.prefixlen)) for ip in subnet.hosts() if ip not in taken]


def sizes(
    bench: Bench, peer: StackHost, source: IPv4Address, port: int, message: Message
) -> tuple[int, int]:
    """The largest packets of a connection before and after ``message`` comes, mid-flight."""
    data = match.tcp(src_port=port, longer_than=0)
    bench.host("dut").tcp_serve(port, send=SIZE, seed=port)
    with bench.capture("peer--dut") as seen:
        connection = peer.connect("dut", port, source=source)
        connection.steer.withhold_acks()
        connection.wait_until(
            lambda: connection.tcp.unread > FLIGHT, within=SOON, what="a window of segments"
        )
        first = seen.at("peer--dut").expect(data)
        before = max(frame.ipv4.total_length for frame in seen.at("peer--dut").all(data))
        send(bench, message, first)
        seen.settle()
        since = bench.loop.wall_now()
        connection.steer.give_back()
        connection.steer.ack_now()
        connection.receive(SIZE, within=SOON)
        connection.shutdown()
        connection.receive_all(within=SOON)
    later = seen.at("peer--dut").after(since).all(data)
    return before, max((frame.ipv4.total_length for frame in later), default=0)


def ask(bench: Bench, seen: Capture, source: IPv4Address, port: int) -> TracedFrame:
    """Have the service answer, at large; the first packet of its answer."""
    net = bench.bring_up_network()
    there = IPv4Packet(source, net["dut"].ip, ident=port)
    datagram = enclose(there, UdpDatagram(port, SERVICE, LARGE))
    bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), datagram))
    return seen.wait_for("peer--dut", match.udp(src_port=SERVICE, dst_port=port), SOON)


def send(bench: Bench, message: Message, about: TracedFrame) -> None:
    """Send the message about a packet that came."""
    net = bench.bring_up_network()
    quoted = bytearray(about.ipv4.emit()[:28])
    message.change(quoted)
    needed = DestinationUnreachable(4, bytes(quoted), message.mtu)
    back = IPv4Packet(about.ipv4.dst, net["dut"].ip)
    frame = compose(EthFrame(net["dut"].mac, net["peer"].mac), back, needed)
    if message.bad_checksum:
        at = ETHERNET + IP + CHECKSUM
        frame = patched(frame, {at: frame[at] ^ 0x55})
    bench.nic("peer").inject(frame)
