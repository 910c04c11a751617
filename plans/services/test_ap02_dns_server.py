"""A DNS server answers for its zones with authority, refers to those below, and cuts what is long.

An answer has the query's number, question and RD bit (RFC 1035 4.1.1), comes from the address and
port that were asked (RFC 2181 4.1), and the TTLs are the zone's. It is authoritative (AA) for what
is in the zone, and a referral, without AA, for what was delegated: the NS records of the zone
below, and the addresses of its servers where only the zone itself could tell them (RFC 1034 4.3.2).
That a name or a type does not exist is said with the zone's SOA, by which it is known how long to
believe it (RFC 2308 3); a name below which there are others does (RFC 8020 2). What does not fit
into 512 bytes, or into what the asker says it takes by EDNS (RFC 6891 6.2.3), is cut with TC set
(RFC 1035 4.2.1), and whole by TCP. For names of other zones there is no answer, and questions that
make no sense have an error code.

An answer may take ``dns_answer`` (seconds, 2). The device under test is the Python stack: a kernel
serves no names. The questions are the plan's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    DnsServer,
    ExpectationFailed,
    StackConfig,
    StackHost,
    Topology,
    WireError,
    Zone,
    defects,
    dns,
    drill,
    faults,
    match,
    seconds,
)

POINT = "client--lan"
TTL = 77
WEB = IPv4Address("203.0.113.80")
BELOW = IPv4Address("203.0.113.53")
MANY = tuple(IPv4Address(int(IPv4Address("203.0.113.128")) + number) for number in range(60))


def record(owner: str, data: dns.DnsData, ttl: int = TTL) -> dns.DnsRecord:
    """A record under a name."""
    return dns.DnsRecord(dns.DnsName(owner), data, ttl)


ZONE = Zone(
    "example.test",
    [
        record(
            "example.test",
            dns.SOA(dns.DnsName("ns.example.test"), dns.DnsName("who.test"), minimum=60),
        ),
        record("example.test", dns.NS(dns.DnsName("ns.example.test"))),
        record("www.example.test", dns.A(WEB)),
        record("alias.example.test", dns.CNAME(dns.DnsName("www.example.test"))),
        record("below.example.test", dns.NS(dns.DnsName("ns.below.example.test"))),
        record("ns.below.example.test", dns.A(BELOW)),
        *(record("many.example.test", dns.A(each)) for each in MANY),
        record("leaf.inner.example.test", dns.A(WEB)),
    ],
)


@dataclass
class Asker:
    """Asks the server, and looks at what every answer must have."""

    bench: Bench
    client: StackHost
    number: int = 0x7000

    def ask(
        self, name: str, kind: int = dns.DnsType.A, *, rd: bool = False, size: int | None = None
    ) -> tuple[dns.DnsMessage, int]:
        """The answer to a question, and its size in bytes."""
        self.number += 1
        edns = None if size is None else dns.Edns(size)
        query = dns.DnsMessage.query(self.number, dns.DnsName(name), kind, rd=rd, edns=edns)
        answer, length = self.exchange(query.emit())
        if (answer.ident, answer.questions, answer.rd) != (query.ident, query.questions, rd):
            raise ExpectationFailed(
                f"{POINT}: question {query.ident} for {name} was answered as {answer.ident} for "
                f"{answer.question and answer.question.name}, RD {answer.rd}"
            )
        return answer, length

    def exchange(self, data: bytes) -> tuple[dns.DnsMessage, int]:
        """What comes back for these bytes, from where they went."""
        within = seconds(self.bench.tolerance("dns_answer", 2))
        socket = self.client.udp()
        socket.send(data, "server", dns.DNS_PORT)
        came = socket.receive(within=within)
        socket.close()
        asked = self.bench.bring_up_network()["server"].ip, dns.DNS_PORT
        if (came.source, came.source_port) != asked:
            raise ExpectationFailed(f"{POINT}: {asked} was asked, {came.source} answered")
        return parsed(came.payload), len(came.payload)

    def by_tcp(self, name: str) -> dns.DnsMessage:
        """The answer by TCP."""
        self.number += 1
        query = dns.DnsMessage.query(self.number, dns.DnsName(name)).emit()
        connection = self.client.connect("server", dns.DNS_PORT)
        connection.send(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(connection.receive(2), "big")
        answer = parsed(connection.receive(size))
        connection.close()
        return answer


def parsed(data: bytes) -> dns.DnsMessage:
    """The message; ExpectationFailed where it is none."""
    try:
        return dns.DnsMessage.parse(data)
    except WireError as error:
        raise ExpectationFailed(f"{POINT}: the answer is no DNS message: {error}") from error


def expect(
    answer: dns.DnsMessage,
    what: str,
    *,
    rcode: int = dns.DnsRcode.NOERROR,
    aa: bool = True,
    answers: Iterable[dns.DnsData] = (),
    authority: Iterable[int] = (),
    glue: Iterable[IPv4Address] = (),
) -> None:
    """An answer has exactly this."""
    found = (answer.rcode, answer.aa, answer.tc)
    if not answer.response or found != (rcode, aa, False):
        raise ExpectationFailed(
            f"{POINT}: {what}: rcode {answer.rcode}, AA {answer.aa}, TC {answer.tc}, "
            f"expected rcode {rcode}, AA {aa}, and a whole answer"
        )
    parts = (
        ("answers", [each.data for each in answer.answers], list(answers)),
        ("authority", [each.data.type for each in answer.authority], list(authority)),
        (
            "addresses beside it",
            [each.data.address for each in answer.additional if isinstance(each.data, dns.A)],
            list(glue),
        ),
    )
    for section, came, wanted in parts:
        if came != wanted:
            raise ExpectationFailed(f"{POINT}: {what}: {section} {came}, expected {wanted}")
    ttls = {each.ttl for each in answer.answers}
    if ttls - {TTL}:
        raise ExpectationFailed(f"{POINT}: {what}: TTLs {sorted(ttls)}, the zone has {TTL}")


@pytest.mark.behaviour("AP-02", clause="RFC 1034 4.3.2, RFC 1035 4.2.1")
@pytest.mark.topology(Topology.star("lan", "client", "server"))
@drill(
    "never truncates",
    faults.python_stack(defects.services.NEVER_TRUNCATES, role="server"),
    caught="bytes came by UDP, expected 512 at most",
)
@drill(
    "leaves out glue",
    faults.python_stack(defects.services.LEAVES_OUT_GLUE, role="server"),
    caught="a name below: addresses beside it .*expected",
)
@drill(
    "denies without a SOA",
    faults.python_stack(defects.services.DENIES_WITHOUT_SOA, role="server"),
    caught=r"no such name: authority \[\], expected \[6\]",
)
def test_answers_referrals_denials_and_sizes(bench: Bench) -> None:
    server, client = bench.host("server", StackConfig()), bench.host("client", StackConfig())
    DnsServer.on(server.stack, [ZONE], server.now())
    asker = Asker(bench, client)
    with bench.capture(POINT) as seen:
        for rd in (False, True):
            answer, _ = asker.ask("WWW.example.test", rd=rd)
            expect(answer, "a name", answers=[dns.A(WEB)])
        answer, _ = asker.ask("alias.example.test")
        expect(answer, "an alias", answers=[dns.CNAME(dns.DnsName("www.example.test")), dns.A(WEB)])
        answer, _ = asker.ask("deep.below.example.test")
        expect(answer, "a name below", aa=False, authority=[dns.DnsType.NS], glue=[BELOW])
        nxdomain, soa = dns.DnsRcode.NXDOMAIN, [dns.DnsType.SOA]
        answer, _ = asker.ask("nothing.example.test")
        expect(answer, "no such name", rcode=nxdomain, authority=soa)
        answer, _ = asker.ask("www.example.test", dns.DnsType.MX)
        expect(answer, "no such type", authority=soa)
        answer, _ = asker.ask("www.example.test", dns.DnsType.AAAA)
        expect(answer, "no address of the other kind", authority=soa)
        answer, _ = asker.ask("inner.example.test")
        expect(answer, "a name below which there are others", authority=soa)
        answer, _ = asker.ask("www.other.test")
        expect(answer, "another's name", rcode=dns.DnsRcode.REFUSED, aa=False)
        expect_errors(asker)
        expect_sizes(asker)
        seen.settle()
    seen.at(POINT).expect_none(match.ipv4(src=server.address, fragment=True))
    seen.at(POINT).expect_none(match.ipv4(src=server.address) & match.udp(bad_checksum=True))


def expect_errors(asker: Asker) -> None:
    """What is no question has an error code, or no answer (RFC 1035 4.1.1)."""
    status = dns.DnsMessage(0x6001, (dns.DnsQuestion(dns.DnsName("www.example.test")),), opcode=2)
    query = dns.DnsMessage.query(0x6002, dns.DnsName("www.example.test")).emit()
    for data, rcode, what in (
        (status.emit(), dns.DnsRcode.NOTIMP, "an opcode that nobody has"),
        (query[:-3], dns.DnsRcode.FORMERR, "a question without its end"),
    ):
        answer, _ = asker.exchange(data)
        if (answer.ident, answer.rcode) != (int.from_bytes(data[:2], "big"), rcode):
            raise ExpectationFailed(
                f"{POINT}: {what}: rcode {answer.rcode} to {answer.ident}, expected {rcode}"
            )


def expect_sizes(asker: Asker) -> None:
    """More than the asker takes is cut and says so; TCP has it all."""
    for size, limit in ((None, 512), (100, 512), (700, 700), (4096, 4096)):
        answer, length = asker.ask("many.example.test", size=size)
        whole = len(answer.answers) == len(MANY)
        if length > limit:
            raise ExpectationFailed(
                f"{POINT}: {length} bytes came by UDP, expected {limit} at most"
            )
        if whole is answer.tc:
            raise ExpectationFailed(
                f"{POINT}: {len(answer.answers)} of {len(MANY)} answers came, TC {answer.tc}, to "
                f"one who takes {limit} bytes"
            )
    answer = asker.by_tcp("many.example.test")
    expect(answer, "by TCP", answers=[dns.A(each) for each in MANY])
