"""A page is fetched by its name: DNS, ARP, handshake, request, answer, close, as one story.

The client knows a name and its own gateway. It asks by ARP who the gateway is (RFC 826), the name
server for the address (RFC 1035), opens a connection to port 80 there (RFC 9293 3.5), asks for the
page (RFC 9112), gets it whole, and both sides close (RFC 9293 3.6). Each step begins after the one
it needs. On the way every layer's header is put on and taken off: a frame carries its packet from
one station to the next, with MAC addresses of that link alone; the packet goes from end to end, its
TTL less by one behind the router, addresses and what it carries untouched; the segments are what
the two hosts agreed on; and the bytes of the page are those that the server has. All checksums are
right, nothing is sent twice (but for a probe of the last segment, RFC 8985 7.3, where the hosts are
slower than the cable), and no connection is reset.

The whole may take ``page_within`` (seconds, 5). The device under test is all of it: the client and
the name server are Python stacks, the web server is the host, the router stands between.
"""

import hashlib
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    DnsConfig,
    DnsResolver,
    DnsServer,
    ExpectationFailed,
    HttpFetch,
    Matcher,
    StackConfig,
    StackHost,
    State,
    Topology,
    TracedFrame,
    Zone,
    defects,
    dissect,
    dns,
    drill,
    faults,
    match,
    seconds,
    tcpflow,
)

NAME, PATH, PORT = "www.example.test", "/page.html", 80
PAGE = b"<html>" + hashlib.shake_128(NAME.encode()).hexdigest(6000).encode() + b"</html>\n"
NEAR, FAR, NAMES = "client--r", "wire--server", "names--r"


@pytest.mark.behaviour("AP-08", clause="RFC 1035, RFC 9293, RFC 9112")
@pytest.mark.topology(
    Topology.of(
        ("client:nic", "names:nic", "r:router", "wire:box", "server:host"),
        (("client", "r"), ("names", "r"), ("r", "wire"), ("wire", "server")),
    )
)
@drill(
    "resets after the answer",
    faults.python_stack(defects.services.RESETS_AFTER_ANSWER, role="server"),
    caught="no page: ECONNRESET|tcp.*RST",
)
@drill(
    "cuts pages",
    faults.python_stack(defects.services.CUTS_PAGES, role="server"),
    caught=r"no page: \d+ bytes came of 12014",
)
@drill(
    "answers with itself",
    faults.python_stack(defects.services.ANSWERS_WITH_ITSELF, role="names"),
    caught=r"is .*, expected 198.18",
)
@drill(
    "puts a TTL of its own",
    faults.nft(
        "type filter hook postrouting priority 0;", "ip protocol tcp ip ttl set 64", role="r"
    ),
    caught="has TTL 64, .*expected 63",
)
@drill(
    "loses ends",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} tcp flags & fin == fin drop",
        role="server",
    ),
    caught="an answer to the request did not come",
)
def test_a_page_from_name_to_close(bench: Bench) -> None:
    within = seconds(bench.tolerance("page_within", 5))
    network = bench.bring_up_network()
    server = network["server"].ip
    bench.host("server").http_serve(PORT, {PATH: PAGE})
    names = bench.host("names", StackConfig())
    # Another port than in the last run: the server may be in TIME-WAIT for that one yet.
    client = bench.host("client", StackConfig())
    DnsServer.on(names.stack, [zone(server)], names.now())
    config = DnsConfig(servers=(names.address,), payload=None)
    resolver = DnsResolver.on(client.stack, config)
    client.stack.interface("eth0").neighbours.forget()
    with bench.capture(NEAR, NAMES, FAR) as seen:
        lookup = resolver.look_up(NAME, client.now())
        client.flush()
        bench.wait_until(lambda: lookup.done, within, f"the address of {NAME}")
        found = lookup.result.addresses if lookup.result else ()
        if found != (server,):
            raise ExpectationFailed(
                f"client: {NAME} is {', '.join(map(str, found))}, expected {server}"
            )
        fetch = HttpFetch.on(client.stack, (server, PORT), NAME, PATH, client.now())
        client.flush()
        bench.wait_until(lambda: fetch.done, within, "an answer to the request")
        if fetch.answer is None:
            raise ExpectationFailed(f"client: no page: {fetch.error}")
        if (fetch.answer.status, fetch.answer.body) != (200, PAGE):
            raise ExpectationFailed(
                f"client: status {fetch.answer.status}, {len(fetch.answer.body)} bytes came, "
                f"expected 200 and the {len(PAGE)} bytes of the page"
            )
        bench.wait_until(
            lambda: fetch.connection is None or fetch.connection.state is State.CLOSED,
            within,
            "an end of the connection",
        )
        seen.settle()
    expect_story(seen, client, names.address, server)
    expect_flow(seen)
    expect_carried(seen, NEAR, FAR, match.ipv4(protocol="tcp"), client.address)
    expect_carried(seen, NEAR, NAMES, match.dns(), client.address)
    for point in (NEAR, NAMES, FAR):
        wrong = match.ipv4(bad_checksum=True) | match.udp(bad_checksum=True)
        seen.at(point).both.expect_none(wrong | match.tcp(bad_checksum=True))


def zone(server: IPv4Address) -> Zone:
    """The zone that has the page's server."""
    top = dns.SOA(dns.DnsName("ns.example.test"), dns.DnsName("who.test"))
    records = (("example.test", top), (NAME, dns.A(server)))
    return Zone(
        "example.test", [dns.DnsRecord(dns.DnsName(owner), data, 60) for owner, data in records]
    )


def expect_story(seen: Capture, client: StackHost, names: IPv4Address, server: IPv4Address) -> None:
    """The steps at the client's cable, in the order in which each needs the one before."""
    gateway = match.arp(op="reply", target_mac=client.mac)
    asked = match.ipv4(src=client.address, dst=names) & match.dns(response=False, name=NAME)
    told = match.ipv4(src=names, dst=client.address) & match.dns(response=True, answers=1)
    up = match.ipv4(src=client.address, dst=server) & match.tcp(dst_port=PORT)
    down = match.ipv4(src=server, dst=client.address) & match.tcp(src_port=PORT)
    steps: tuple[Matcher, ...] = (
        match.arp(op="request", sender_mac=client.mac) & match.eth(dst="ff:ff:ff:ff:ff:ff"),
        gateway,
        asked,
        told,
        up & match.tcp(flags="SYN"),
        down & match.tcp(flags="SYN+ACK"),
        up & match.tcp(has="ACK", longer_than=0, payload=starts(f"GET {PATH} HTTP/1.1\r\n")),
        down & match.tcp(has="ACK", longer_than=0, payload=starts("HTTP/1.1 200 ")),
        down & match.tcp(has="FIN+ACK"),
        up & match.tcp(has="FIN+ACK"),
        down & match.tcp(has="ACK", lacks="FIN+RST"),
    )
    frames = seen.at(NEAR).both.expect_sequence(*steps)
    reply = dissect(frames[1].data).arp
    hop = match.eth(src=client.mac, dst=reply.sender_mac) if reply else match.eth()
    for frame in (frames[2], frames[4], frames[6]):
        if misses := hop.explain(frame.data):
            raise ExpectationFailed(f"{NEAR}: #{frame.number}: {misses[0]}: not to the gateway")
    seen.at(NEAR).both.expect_count(asked, 1)
    seen.at(NEAR).both.expect_count(match.tcp(flags="SYN"), 1)
    seen.at(NEAR).both.expect_none(match.tcp(has="RST"))


def starts(text: str) -> Callable[[bytes], bool]:
    """Payloads that begin so."""

    def begins(payload: bytes) -> bool:
        return payload.startswith(text.encode())

    begins.__name__ = f"begins with {text.strip()!r}, "
    return begins


def expect_flow(seen: Capture) -> None:
    """One connection, nothing of it twice, and every byte of the page in it."""
    flows = tcpflow.connections(seen.at(NEAR).both)
    if len(flows) != 1:
        raise ExpectationFailed(f"{NEAR}: {len(flows)} connections, expected 1")
    for side in (flows[0].up, flows[0].down):
        last = max(each.end for each in side)
        again = [each for each in tcpflow.retransmissions(side) if each.segment.end != last]
        if again:
            raise ExpectationFailed(f"{NEAR}: #{again[0].segment.number} was sent before")
    stream = tcpflow.payload_stream(flows[0].down)
    head, _, body = stream.partition(b"\r\n\r\n")
    if body != PAGE:
        raise ExpectationFailed(
            f"{NEAR}: {len(body)} bytes came behind a head of {len(head)}, not those of the page"
        )


def expect_carried(seen: Capture, near: str, far: str, kind: Matcher, client: IPv4Address) -> None:
    """Each packet of a kind came out behind the router as it went in, but for what a hop changes.

    RFC 1812 5.2.1.1, 5.3.1: TTL less one, and the frame of another link around it.
    """
    outer, inner = seen.at(near).both.all(kind), seen.at(far).both.all(kind)
    there = {carried(each): each for each in inner}
    if len(outer) != len(inner) or not outer:
        raise ExpectationFailed(
            f"{near}: {len(outer)} of {kind} passed, and {len(inner)} at {far}: expected the same"
        )
    for each in outer:
        other = there.get(carried(each))
        if other is None:
            raise ExpectationFailed(f"{far}: no packet carries what #{each.number} at {near} does")
        out = source_of(each) == client
        expect_hop(*((each, near, other, far) if out else (other, far, each, near)))


def expect_hop(before: TracedFrame, at: str, after: TracedFrame, behind: str) -> None:
    """One packet before the router and behind it."""
    first, second = dissect(before.data), dissect(after.data)
    if first.ipv4 is None or second.ipv4 is None or first.eth is None or second.eth is None:
        raise ExpectationFailed(f"{at}: #{before.number} is no IPv4 packet")
    if second.ipv4.ttl != first.ipv4.ttl - 1:
        raise ExpectationFailed(
            f"{behind}: #{after.number} has TTL {second.ipv4.ttl}, #{before.number} at {at} had "
            f"{first.ipv4.ttl}: expected {first.ipv4.ttl - 1}"
        )
    stations = {first.eth.src, first.eth.dst} & {second.eth.src, second.eth.dst}
    if stations:
        raise ExpectationFailed(
            f"{behind}: #{after.number} has the MAC address {stations.pop()} of {at} on it"
        )


def source_of(traced: TracedFrame) -> IPv4Address | None:
    """Who sent a packet."""
    packet = dissect(traced.data).ipv4
    return packet.src if packet else None


def carried(traced: TracedFrame) -> tuple[object, ...]:
    """What no hop may change of a packet."""
    packet = dissect(traced.data).ipv4
    if packet is None:
        return ()
    return packet.src, packet.dst, packet.protocol, packet.ident, packet.df, packet.payload
