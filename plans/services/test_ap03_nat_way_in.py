"""The world reaches hosts behind a translator only as far as these have asked, and as long.

Packets that nobody inside has asked for come in from nowhere; whether a device filters by address
alone, or by address and port (RFC 4787 REQ-8), is not judged. What belongs to a mapping comes in:
fragments in any order (RFC 4787 REQ-14), and ICMP errors, which quote what their reader has sent
(RFC 5508 REQ-4, REQ-5) and end no mapping (RFC 4787 REQ-12); from inside too (hairpinning, REQ-9).
A mapping lives as long as it is used. It is gone when ``lifetime`` (1.5) times its lifetime and 1 s
are over since (RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-1).
"""

from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Capture,
    DestinationUnreachable,
    Duration,
    EchoReply,
    EchoRequest,
    ExpectationFailed,
    IPv4Packet,
    Talk,
    TcpFlags,
    TcpSegment,
    TimeExceeded,
    Topology,
    Translator,
    UdpDatagram,
    WireError,
    drill,
    enclose,
    faults,
    fragment,
    match,
    reassemble,
    seconds,
)

KINDS = ("udp", "tcp", "icmp")
SIZES = (1, 2, 557, 1024)
IP_UDP, IP_ICMP, IP_TCP = 17, 1, 6
TOPOLOGY = Topology.star("dut:router", "a", "b", "c")
AFTER_NAT = "type filter hook postrouting priority 150;"
BEFORE_NAT = "type filter hook prerouting priority -310;"
STALE = "set 0xdead"


def kept_for(span: int) -> faults.Fault:
    """UDP mappings live so many seconds, whatever the router was told."""
    table = "ip testbed_fault"
    policy = f"{{{{ unreplied: {span}, replied: {span} }}}}"
    return faults.shell(
        f"nft add table {table}",
        f"nft 'add ct timeout {table} kept {{{{ protocol udp; l3proto ip; policy = {policy}; }}}}'",
        f"nft 'add chain {table} fault {{{{ type filter hook prerouting priority -150; }}}}'",
        f"nft 'add rule {table} fault meta l4proto udp ct timeout set \"kept\"'",
        undo=(f"nft delete table {table} 2>/dev/null || true",),
    )


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-8")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "lets unsolicited in",
    faults.repeatedly(
        "nft list chain ip testbed_nat forwards 2>/dev/null | grep -q '^[[:space:]]*accept' || "
        "nft insert rule ip testbed_nat forwards accept 2>/dev/null",
        every=0.01,
    ),
    caught="a--dut: expect none",
)
@drill(
    "forwards a port that nobody opened",
    faults.nft(
        "type filter hook prerouting priority -310;",
        'iifname "{b}" ip saddr 198.18.1.12 udp sport set 53 ip saddr set 198.18.1.10',
    ),
    caught="a--dut: expect none",
)
def test_nobody_outside_comes_in_unasked(bench: Bench) -> None:
    """Strangers do not reach a mapping, nor a port without one, nor an address of the inside."""
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        talks = {kind: Talk(nat, seen, kind, 5005) for kind in KINDS}
        for talk in talks.values():
            talk.begin()
        for to, port in (
            *((nat.outside, talk.outside) for talk in talks.values()),
            *((nat.outside, talk.outside ^ 0x111) for talk in talks.values()),
            *((host, 5005) for host in (*nat.hosts, nat.net["c"].ip)),
        ):
            stray = IPv4Packet(nat.stranger, to)
            data = b"unasked"
            syn = TcpSegment(80, port, flags=TcpFlags.SYN)
            for inner in (
                UdpDatagram(53, port, data),
                syn,
                replace(syn, flags=TcpFlags.ACK, ack=1, payload=data),
                EchoReply(port, 1, data),
                EchoRequest(port, 1, data),
                TimeExceeded(0, enclose(IPv4Packet(to, nat.stranger), syn).emit()),
            ):
                nat.send("b", enclose(stray, inner))
    for leaf in "ac":
        seen.at(f"{leaf}--dut").expect_none(match.ipv4(src=nat.stranger))
        seen.at(f"{leaf}--dut").expect_none(match.containing(b"unasked"))


@pytest.mark.behaviour("AP-03", clause="RFC 5508 REQ-4")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "ICMP error quote untranslated",
    faults.nft(
        AFTER_NAT,
        'oifname "{a}" icmp type time-exceeded @th,160,32 set 0xc6120101',
    ),
    caught="quoted byte 1[2-5] ",
)
@drill(
    "no ICMP errors come in",
    faults.nft("type filter hook forward priority 0;", "icmp type destination-unreachable drop"),
    caught="a--dut: expect .*type=3",
)
@drill(
    "an error leaves untranslated",
    faults.nft(
        AFTER_NAT,
        'oifname "{b}" icmp type destination-unreachable @th,192,32 set 0xc612000a',
    ),
    caught="b--dut: expect .*type=3.*\n(.*\n)*.*quoted byte 1[6-9] ",
)
def test_errors_quote_what_their_reader_has_sent(bench: Bench) -> None:
    """An ICMP error comes to the host that it is about, and quotes the packet as that sent it.

    One that a host inside sends about an answer comes from the router's address, and quotes the
    answer as the server sent it. The mapping goes on.
    """
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        for kind in KINDS:
            talk = Talk(nat, seen, kind, 5006)
            talk.begin()
            expect_error_in(nat, seen, talk)
            talk.back()
            expect_error_out(nat, seen, talk)
            talk.out()
            talk.back()
    nat.expect_hidden(seen)


def expect_error_in(nat: Translator, seen: Capture, talk: Talk) -> None:
    """Errors of a server, and of a router on the way, come to the host."""
    sent = talk.out()
    came = seen.at("b--dut").all(match.ipv4(src=nat.outside, ident=sent.ident))[-1].ipv4.emit()
    for sender, error in (
        (nat.stranger, TimeExceeded(0, came[:28])),
        (talk.server, DestinationUnreachable(4, came, next_hop_mtu=1300)),
    ):
        nat.send("b", enclose(IPv4Packet(sender, nat.outside), error))
        told = match.icmpv4(
            type=error.type, code=error.code, quoting=sent.emit(), bad_checksum=False
        )
        seen.wait_for("a--dut", nat.hop("a", sender, talk.host) & told)


def expect_error_out(nat: Translator, seen: Capture, talk: Talk) -> None:
    """An error of the host comes to the server, from the router."""
    sent, came = talk.answered(b"odd"), talk.answered(b"odd", inside=True)
    came = replace(came, ident=sent.ident)
    error = DestinationUnreachable(2, came.emit()[:28])
    nat.send("a", enclose(IPv4Packet(talk.host, talk.server), error))
    told = match.icmpv4(type=3, code=2, quoting=sent.emit(), bad_checksum=False)
    seen.wait_for("b--dut", nat.hop("b", nat.outside, talk.server) & told)


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-14")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "drops later fragments",
    faults.nft("type filter hook prerouting priority -410;", "ip frag-off & 0x1fff != 0 drop"),
    caught="fragments .* make no datagram",
)
def test_fragments_in_any_order_are_one_datagram(bench: Bench) -> None:
    """A datagram in fragments goes through, both ways, though its end comes before its ports."""
    nat = Translator(bench)
    data = bytes(range(256)) * 12
    with bench.capture() as seen, nat.on():
        talk = Talk(nat, seen, "udp", 5007)
        talk.begin()
        out = IPv4Packet(talk.host, talk.server, ident=0x5007)
        back = IPv4Packet(talk.server, nat.outside, ident=0x7005)
        out = enclose(out, UdpDatagram(talk.port, talk.service, data))
        back = enclose(back, UdpDatagram(talk.service, talk.outside, data))
        for leaf, packet in (("a", out), ("b", back)):
            for order in (1, -1):
                whole = replace(packet, ident=packet.ident + order)
                for piece in fragment(whole, 1500)[::order]:
                    nat.send(leaf, piece)
    for leaf, ident, src, dst, ports in (
        ("b", out.ident, nat.outside, talk.server, (talk.outside, talk.service)),
        ("a", back.ident, talk.server, talk.host, (talk.service, talk.port)),
    ):
        wanted = UdpDatagram(*ports, data).emit(src, dst)
        for order in (1, -1):
            pieces = seen.at(f"{leaf}--dut").all(match.ipv4(src=src, dst=dst, fragment=True))
            mine = [each.ipv4 for each in pieces if each.ipv4.ident == ident + order]
            if not mine or not is_whole(mine, wanted):
                raise ExpectationFailed(
                    f"{leaf}--dut: fragments {[str(each.offset) for each in mine]} of id "
                    f"{ident + order} make no datagram such as was sent"
                )


def is_whole(pieces: list[IPv4Packet], payload: bytes) -> bool:
    """Whether these fragments make a packet of ``payload``."""
    try:
        return reassemble(pieces).payload == payload
    except WireError:
        return False


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-5")
@pytest.mark.topology(TOPOLOGY)
@drill("forgets the mapping at once", kept_for(1), caught="a--dut: expect udp|a--dut: expect eth")
@drill("never forgets", kept_for(3600), caught="a--dut: expect none: .*6c61746520756470")
def test_a_mapping_lives_as_long_as_it_is_used(bench: Bench) -> None:
    """Traffic that leaves keeps a mapping; idle, it is there for its lifetime and gone after it."""
    nat, span = Translator(bench), seconds(2)
    for kind in KINDS:
        nat.dut.set_nat_lifetime(kind, span)
    with bench.capture() as seen, nat.on():
        talks = [Talk(nat, seen, kind, 5008) for kind in KINDS]
        for talk in talks:
            talk.begin()
        for _ in range(2):
            bench.watch_for(Duration(span * 3 // 5))
            for talk in talks:
                talk.out()
        bench.watch_for(Duration(span * 3 // 5))
        for talk in talks:
            talk.back()
        over = Duration(round(span * bench.tolerance("lifetime", 1.5))) + seconds(1)
        bench.watch_for(Duration(over))
        gone = bench.loop.wall_now()
        for talk in talks:
            nat.send("b", talk.answered(f"late {talk.kind}".encode()))
    for kind in KINDS:
        seen.at("a--dut").after(gone).expect_none(match.containing(f"late {kind}".encode()))


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-5")
@pytest.mark.topology(TOPOLOGY)
@pytest.mark.slow("a mapping of UDP lives two minutes at the least")
@drill("forgets after half a minute", kept_for(30), caught="a--dut: expect .*did not come")
def test_by_default_a_mapping_of_udp_outlives_two_minutes(bench: Bench) -> None:
    """RFC 4787 REQ-5: a mapping of UDP must not run out in less than two minutes."""
    bench.except_known("dut", "forgets idle mappings early")
    expect_kept(bench, "udp", seconds(119))


@pytest.mark.behaviour("AP-03", clause="RFC 5508 REQ-1")
@pytest.mark.topology(TOPOLOGY)
@pytest.mark.slow("a mapping of an ICMP query lives 60 s at the least")
@drill(
    "forgets after half a minute",
    faults.sysctl("net.netfilter.nf_conntrack_icmp_timeout", "30"),
    caught="a--dut: expect .*did not come",
)
def test_by_default_a_mapping_of_icmp_outlives_a_minute(bench: Bench) -> None:
    """RFC 5508 REQ-1: a mapping of a query must not run out in less than 60 s."""
    bench.except_known("dut", "forgets idle mappings early")
    expect_kept(bench, "icmp", seconds(59))


def expect_kept(bench: Bench, kind: str, idle: Duration) -> None:
    """After so long without a packet an answer still comes in."""
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        talk = Talk(nat, seen, kind, 5011)
        talk.begin()
        talk.out()
        bench.watch_for(idle)
        talk.back()


@pytest.mark.behaviour("AP-03", clause="RFC 4787 REQ-9")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "no way from inside to inside",
    faults.nft(BEFORE_NAT, 'iifname "{a}" ip daddr 198.18.1.1 drop'),
    caught="a--dut: expect .*did not come",
)
def test_hosts_inside_meet_at_their_outside_ports(bench: Bench) -> None:
    """A packet from inside to a mapped port turns back, and comes from the sender's own mapping.

    Both hosts write to the other's port, for a device may filter by address here too; the second
    must be heard.
    """
    bench.except_known("dut", "no hairpinning")
    nat = Translator(bench)
    with bench.capture() as seen, nat.on():
        one, other = (Talk(nat, seen, "udp", 5009, host=host) for host in (0, 1))
        for talk in (one, other):
            talk.begin()
        for talk, peer in ((one, other), (other, one)):
            said = UdpDatagram(talk.port, peer.outside, f"from {talk.outside}".encode())
            nat.send("a", enclose(IPv4Packet(talk.host, nat.outside), said))
        there = match.udp(
            src_port=other.outside,
            dst_port=one.port,
            payload=f"from {other.outside}".encode(),
            bad_checksum=False,
        )
        seen.wait_for("a--dut", nat.hop("a", nat.outside, one.host) & there)
    nat.expect_hidden(seen)
