"""A DNS server on a device of its own answers with authority, refers, denies, and cuts.

What is in its zone it answers with AA, the zone's TTLs and the query's number; for what was
delegated it names the servers below, with their addresses (RFC 1034 4.3.2). That a name or a type
is not there comes with the zone's SOA (RFC 2308 3); a name below which there are others is there
(RFC 8020 2). An answer is no question, and gets none. What does not fit into 512 bytes is cut,
which it says (RFC 1035 4.2.1), and is whole by TCP. The answer comes from the address that was
asked (RFC 2181 4.1).

The client is a Python stack. An answer may take ``dns_answer`` (seconds, 2).
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    ExpectationFailed,
    StackConfig,
    StackHost,
    Topology,
    WireError,
    dns,
    match,
    seconds,
)

POINT = "client--dut"
TTL = 77
WEB, BELOW = IPv4Address("203.0.113.80"), IPv4Address("203.0.113.53")
MANY = tuple(IPv4Address(f"203.0.113.{number}") for number in range(128, 188))


def record(owner: str, data: dns.DnsData) -> dns.DnsRecord:
    """A record under a name."""
    return dns.DnsRecord(dns.DnsName(owner), data, TTL)


ZONE = (
    record("example.test", dns.SOA(dns.DnsName("ns.example.test"), dns.DnsName("who.test"))),
    record("example.test", dns.NS(dns.DnsName("ns.example.test"))),
    record("www.example.test", dns.A(WEB)),
    record("alias.example.test", dns.CNAME(dns.DnsName("www.example.test"))),
    record("below.example.test", dns.NS(dns.DnsName("ns.below.example.test"))),
    record("ns.below.example.test", dns.A(BELOW)),
    *(record("many.example.test", dns.A(each)) for each in MANY),
    record("leaf.inner.example.test", dns.A(WEB)),
)


def parsed(data: bytes) -> dns.DnsMessage:
    """The message; ExpectationFailed where it is none."""
    try:
        return dns.DnsMessage.parse(data)
    except WireError as error:
        raise ExpectationFailed(f"{POINT}: the answer is no DNS message: {error}") from error


def ask(bench: Bench, client: StackHost, name: str, kind: int) -> tuple[dns.DnsMessage, int]:
    """The answer by UDP, and its size in bytes."""
    server = bench.bring_up_network()["dut"].ip
    query = dns.DnsMessage.query(0x7777, dns.DnsName(name), kind, rd=False)
    socket = client.udp()
    socket.send(query.emit(), server, dns.DNS_PORT)
    came = socket.receive(within=seconds(bench.tolerance("dns_answer", 2)))
    socket.close()
    answer = parsed(came.payload)
    if (came.source, answer.ident, answer.questions) != (server, query.ident, query.questions):
        raise ExpectationFailed(f"{POINT}: {came.source} answered another question of {name}")
    return answer, len(came.payload)


@pytest.mark.behaviour("AP-02", clause="RFC 1034 4.3.2, RFC 1035 4.2.1")
@pytest.mark.topology(Topology.chain("client:nic", "dut:server"))
def test_answers_referrals_denials_and_sizes(bench: Bench) -> None:
    bench.bring_up_network()
    bench.server("dut").serve_dns("example.test", ZONE)
    client = bench.host("client", StackConfig())
    web: list[dns.DnsData] = [dns.A(WEB)]
    alias = dns.CNAME(dns.DnsName("www.example.test"))
    ns, soa = [dns.DnsType.NS], [dns.DnsType.SOA]
    ok, no_name = dns.DnsRcode.NOERROR, dns.DnsRcode.NXDOMAIN
    for name, kind, rcode, aa, wanted in (
        ("WWW.example.test", dns.DnsType.A, ok, True, (web, [], [])),
        ("alias.example.test", dns.DnsType.A, ok, True, ([alias, *web], [], [])),
        ("x.below.example.test", dns.DnsType.A, ok, False, ([], ns, [BELOW])),
        ("nothing.example.test", dns.DnsType.A, no_name, True, ([], soa, [])),
        ("www.example.test", dns.DnsType.MX, ok, True, ([], soa, [])),
        ("www.example.test", dns.DnsType.AAAA, ok, True, ([], soa, [])),
        ("inner.example.test", dns.DnsType.A, ok, True, ([], soa, [])),
        ("www.other.test", dns.DnsType.A, dns.DnsRcode.REFUSED, False, ([], [], [])),
    ):
        answer, _ = ask(bench, client, name, kind)
        sections = (
            [each.data for each in answer.answers],
            [each.data.type for each in answer.authority],
            [each.data.address for each in answer.additional if isinstance(each.data, dns.A)],
        )
        if (answer.rcode, answer.aa, answer.tc, sections) != (rcode, aa, False, wanted):
            raise ExpectationFailed(
                f"{POINT}: {name}: rcode {answer.rcode}, AA {answer.aa}, TC {answer.tc}, "
                f"{sections}; expected rcode {rcode}, AA {aa}, {wanted}"
            )
        if ttls := {each.ttl for each in answer.answers} - {TTL}:
            raise ExpectationFailed(f"{POINT}: {name} has TTLs {ttls}, the zone has {TTL}")
    expect_sizes(bench, client)
    expect_no_answer_to_an_answer(bench, client)


def expect_no_answer_to_an_answer(bench: Bench, client: StackHost) -> None:
    """Two servers that answer each other's answers never end."""
    question = (dns.DnsQuestion(dns.DnsName("www.example.test")),)
    answer = dns.DnsMessage(0x7779, question, response=True)
    with bench.capture(POINT) as seen:
        socket = client.udp()
        socket.send(answer.emit(), bench.bring_up_network()["dut"].ip, dns.DNS_PORT)
        bench.watch_for(seconds(bench.tolerance("dns_answer", 2)))
        socket.close()
    seen.at(POINT).expect_none(match.udp(src_port=dns.DNS_PORT) & match.dns(ident=0x7779))


def expect_sizes(bench: Bench, client: StackHost) -> None:
    """More than 512 bytes are cut by UDP, and whole by TCP."""
    answer, size = ask(bench, client, "many.example.test", dns.DnsType.A)
    if size > 512 or not answer.tc:
        raise ExpectationFailed(
            f"{POINT}: {size} bytes came by UDP, TC {answer.tc}; expected 512 at most, and TC set"
        )
    query = dns.DnsMessage.query(0x7778, dns.DnsName("many.example.test")).emit()
    connection = client.connect(bench.bring_up_network()["dut"].ip, dns.DNS_PORT)
    connection.send(len(query).to_bytes(2, "big") + query)
    answer = parsed(connection.receive(int.from_bytes(connection.receive(2), "big")))
    if {each.data for each in answer.answers} != {dns.A(each) for each in MANY} or answer.tc:
        raise ExpectationFailed(f"{POINT}: {len(answer.answers)} of {len(MANY)} came by TCP")
