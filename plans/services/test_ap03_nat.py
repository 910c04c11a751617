"""Hosts behind a translator reach the world from one address, each by a port of its own.

What leaves by the outside port has the router's address there and a port of the mapping as its
source (RFC 3022 4.1); the destination stays as it is, and so does all the rest but the TTL, under
right checksums. An answer to that port finds its way back to the host. This holds for UDP, TCP and
ICMP queries. A host's port has one mapping for all its peers (RFC 4787 REQ-1, RFC 5382 REQ-1), and
no two hosts have the same (REQ-3). Nobody demands that a port be the same outside as inside.
"""

from dataclasses import replace

import pytest

from testbed import (
    Bench,
    ExpectationFailed,
    IPv4Packet,
    Talk,
    Topology,
    Translator,
    UdpDatagram,
    drill,
    enclose,
    faults,
    match,
)

KINDS = ("udp", "tcp", "icmp")
SIZES = (1, 2, 557, 1024)
IP_UDP, IP_ICMP, IP_TCP = 17, 1, 6
TOPOLOGY = Topology.star("dut:router", "a", "b", "c")
AFTER_NAT = "type filter hook postrouting priority 150;"
BEFORE_NAT = "type filter hook prerouting priority -310;"
STALE = "set 0xdead"
NOP = b"\x01"
HEADERS = ((0xBA, b""), (0x03, b""), (0, NOP * 4), (0x28, NOP * 8))
"""Types of service (expedited, marked as congested, ...) and options that do nothing."""


@pytest.mark.behaviour("AP-03", clause="RFC 3022 4.1")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "checksum stale",
    faults.nft(AFTER_NAT, f'oifname "{{b}}" ip protocol tcp @th,128,16 {STALE}'),
    caught="tcp.bad_checksum True, wanted False",
)
@drill(
    "UDP checksum stale inward",
    faults.nft(AFTER_NAT, f'oifname "{{a}}" ip protocol udp @th,48,16 {STALE}'),
    caught="a--dut: .*\n(.*\n)*.*udp.bad_checksum True, wanted False",
)
@drill(
    "another host's port inward",
    faults.nft(AFTER_NAT, 'oifname "{a}" udp dport set 7'),
    caught="udp.dst_port 7, wanted 5000",
)
@drill(
    "rewrites the destination on the way out",
    faults.nft(AFTER_NAT, 'oifname "{b}" ip protocol udp ip daddr set 198.18.1.11'),
    caught="ipv4.dst 198.18.1.11, wanted",
)
@drill(
    "translates no ICMP",
    faults.nft(BEFORE_NAT, 'iifname "{a}" ip protocol icmp notrack'),
    caught="ipv4.src 198.18.0.10, wanted",
)
@drill(
    "sends it twice",
    faults.nft(AFTER_NAT, 'oifname "{b}" ip protocol udp dup to 198.18.1.10 device "{b}"'),
    caught="b--dut: expect 19 of",
)
def test_sources_leave_translated_and_answers_come_back(bench: Bench) -> None:
    nat = Translator(bench)
    direct = IPv4Packet(nat.hosts[0], nat.net["c"].ip, payload=b"from inside to inside")
    with bench.capture() as seen, nat.on():
        for kind in KINDS:
            talk = Talk(nat, seen, kind, 5000)
            talk.begin()
            for size in SIZES:
                talk.out(bytes(at * 11 % 256 for at in range(size)))
                talk.back(bytes(at * 13 % 255 for at in range(size)))
            expect_told(nat, talk)
            talk.end()
        nat.send("a", direct)
    nat.expect_hidden(seen)
    inside = nat.hop("c", direct.src, direct.dst) & match.ipv4(payload=direct.payload)
    seen.at("c--dut").expect_count(inside, 1)
    out = len(KINDS) * (1 + len(SIZES))
    for leaf, count in (("b", out + 4), ("a", out + 2), ("c", 1)):
        forwarded = match.eth(src=nat.net.at("dut", f"{leaf}--dut").mac)
        seen.at(f"{leaf}--dut").expect_count(forwarded & match.ipv4(), count)


def expect_told(nat: Translator, talk: Talk) -> None:
    """The router tells of the mapping that was seen."""
    told = [
        (row.outside, row.outside_port)
        for row in nat.dut.nat_table()
        if (row.protocol, row.inside, row.inside_port) == (talk.kind, talk.host, talk.port)
    ]
    if told != [(nat.outside, talk.outside)]:
        raise ExpectationFailed(
            f"{nat.dut.name} tells of {talk.kind} port {talk.port} of {talk.host}: "
            f"{told or 'nothing'}, expected one mapping, to port {talk.outside}"
        )


@pytest.mark.behaviour("AP-03", clause="RFC 3022 4.1, RFC 1812 4.2.2.6, 5.3.1")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "clears the type of service",
    faults.nft(AFTER_NAT, 'oifname "{b}" ip protocol udp ip dscp set 0'),
    caught="b--dut: expect 1 of .*dscp=46",
)
@drill(
    "strips options",
    faults.nft(AFTER_NAT, 'oifname "{a}" ip hdrlength > 5 @nh,160,32 set 0'),
    caught="a--dut: expect 1 of .*options=01010101",
)
def test_type_of_service_and_options_are_left_as_they_are(bench: Bench) -> None:
    """DSCP, ECN and options are no business of a translator's, in either direction."""
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        talk = Talk(nat, seen, "udp", 5012)
        talk.begin()
        for turn, (tos, options) in enumerate(HEADERS):
            ident = 0x5012 + turn
            for leaf, plain in (("a", talk.asked(b"marked")), ("b", talk.answered(b"marked"))):
                nat.send(leaf, replace(plain, tos=tos, options=options, ident=ident))
                seen.wait_for("b--dut" if leaf == "a" else "a--dut", match.ipv4(ident=ident))
    for turn, (tos, options) in enumerate(HEADERS):
        left = match.ipv4(dscp=tos >> 2, ecn=tos & 3, options=options, ident=0x5012 + turn)
        left &= match.ipv4(ttl=63, bad_checksum=False)
        left &= match.udp(payload=b"marked", bad_checksum=False)
        seen.at("b--dut").expect_count(left & match.ipv4(src=nat.outside), 1)
        seen.at("a--dut").expect_count(left & match.ipv4(dst=talk.host), 1)


@pytest.mark.behaviour("AP-03", clause="RFC 768, RFC 3022 4.1")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "makes up a UDP checksum",
    faults.nft(AFTER_NAT, f'oifname "{{b}}" udp checksum 0 @th,48,16 {STALE}'),
    caught="expect 1 of .*ident=1, payload=",
)
@drill(
    "takes a computed zero for none",
    faults.nft(AFTER_NAT, 'oifname "{b}" udp checksum 0xffff @th,48,16 set 0'),
    caught="expect 1 of .*ident=2, payload=",
)
def test_no_udp_checksum_stays_none_and_a_zero_is_all_ones(bench: Bench) -> None:
    """No checksum (zero) is none outside too; one that comes to zero is sent as 0xFFFF."""
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        talk = Talk(nat, seen, "udp", 5001)
        talk.begin()
        ends, service = (nat.hosts[0], nat.servers[0]), talk.service
        none = UdpDatagram(5001, service, b"no checksum")
        bare = IPv4Packet(*ends, protocol=IP_UDP, ident=1, payload=none.emit(*ends, checksum=0))
        nat.send("a", bare)
        # The data that makes the sum of the datagram outside all ones: its checksum without them.
        blank = UdpDatagram(talk.outside, service, b"\0\0").emit(nat.outside, ends[1])
        zero = UdpDatagram(5001, service, blank[6:8])
        nat.send("a", enclose(IPv4Packet(*ends, ident=2), zero))
        seen.wait_for("b--dut", match.ipv4(ident=2))
    hop = nat.hop("b", nat.outside, ends[1])
    outside = replace(none, src_port=talk.outside).emit(nat.outside, ends[1], checksum=0)
    seen.at("b--dut").expect_count(hop & match.ipv4(ident=1, payload=outside), 1)
    outside = replace(zero, src_port=talk.outside).emit(nat.outside, ends[1], checksum=0xFFFF)
    seen.at("b--dut").expect_count(hop & match.ipv4(ident=2, payload=outside), 1)


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-3")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "two hosts share a mapping",
    faults.nft(AFTER_NAT, 'oifname "{b}" udp sport > 1023 udp dport 53 udp sport set 5002'),
    caught="udp port 5002 of two hosts left from one port",
)
@drill(
    "answers go to the last host",
    faults.nft(AFTER_NAT, 'oifname "{a}" ip saddr 198.18.1.10 ip daddr set 198.18.0.11'),
    caught="ipv4.dst 198.18.0.11, wanted 198.18.0.10",
)
def test_two_hosts_with_one_port_have_two_outside(bench: Bench) -> None:
    """Two hosts that write to one server from the same port are told apart, each to its own."""
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        for kind in KINDS:
            talks = [Talk(nat, seen, kind, 5002, host=host) for host in (0, 1)]
            expect_apart(*talks)
            for talk in (*talks, talks[0]):
                talk.out()
                talk.back()
    nat.expect_hidden(seen)


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-3")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "two hosts share a mapping",
    faults.nft(AFTER_NAT, 'oifname "{b}" udp sport > 1023 udp dport 53-54 udp sport set 5003'),
    caught="udp port 5003 of two hosts left from one port",
)
def test_no_two_hosts_share_a_port_whomever_they_write_to(bench: Bench) -> None:
    """Port overloading is forbidden: not even toward different servers is a port given twice."""
    bench.except_known("dut", "shares outside ports")
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        for kind in KINDS:
            expect_apart(*(Talk(nat, seen, kind, 5003, host=each, server=each) for each in (0, 1)))


def expect_apart(one: Talk, other: Talk) -> None:
    """Each has a port of its own outside, and its own answers."""
    if one.begin() == other.call():
        raise ExpectationFailed(
            f"{one.kind} port {one.port} of two hosts left from one port, {one.outside}"
        )
    other.begin()


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-1, RFC 5382 REQ-1")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "a new port for each peer",
    faults.nft(AFTER_NAT, 'oifname "{b}" ip daddr 198.18.1.11 udp dport 54 udp sport set 1777'),
    caught=r"udp port 5004 left from ports \[1777, 5004\]",
)
def test_a_port_has_one_mapping_for_all_peers(bench: Bench) -> None:
    """Whatever server a host writes to from a port, it is seen there from the same port."""
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        for kind in KINDS:
            talks = [Talk(nat, seen, kind, 5004, server=server) for server in (0, 1)]
            ports = {talk.call() for talk in talks}
            if len(ports) > 1:
                raise ExpectationFailed(
                    f"{kind} port 5004 left from ports {sorted(ports)}, expected one for all peers"
                )
            for talk in talks:
                talk.begin()
            for talk in (*talks, *talks):
                talk.out()
                talk.back()
