"""A resolver looks into its hosts file, then into its cache, and asks from the root downwards else.

A name in the hosts file is asked of nobody. Any other is asked of the root, which refers to the
servers of the zone below, and so on, until one answers with authority (RFC 1034 5.3.3); these
questions do not ask for recursion. What was learned is known for its TTL, zone cuts too, and no
longer: within it nobody is asked, after it the zone's own server only, and what it says then counts
(RFC 1034 3.6, RFC 1035 3.2.1). That there is no such name is remembered as well (RFC 2308 5).
Aliases are followed, and addresses looked up backwards under in-addr.arpa (RFC 1035 3.5). An answer
that was cut to fit a datagram is fetched by TCP (RFC 7766 5). An answer counts if it comes from the
server that was asked, to the port that asked, with the query's number (RFC 5452 9.1). A question
that gets no answer is asked again, with another number (RFC 1035 7.2).

The TTL of what is looked up here is 2 s; an answer may take ``dns_answer`` (seconds, 2).

The device under test is the Python stack: a kernel resolves no names. So are the servers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Delay,
    DnsConfig,
    DnsResolver,
    DnsServer,
    Drop,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Matcher,
    Nth,
    Resolution,
    StackConfig,
    StackHost,
    Topology,
    TracedFrame,
    UdpDatagram,
    Zone,
    compose,
    defects,
    dissect,
    dns,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

LAN = pytest.mark.topology(Topology.star("lan", "client", "root", "top", "zone"))
AP02 = pytest.mark.behaviour("AP-02", clause="RFC 1034 5.3.3")
POINT = "client--lan"
RETRY = milliseconds(400)
TTL = 2
"""Seconds that the name is known, and that denials are."""
WEB, MOVED, MAIL = (IPv4Address(f"203.0.113.{number}") for number in (80, 81, 25))
MANY = tuple(IPv4Address(int(IPv4Address("203.0.113.128")) + number) for number in range(60))
NAME = "www.example.test"


def record(owner: str, data: dns.DnsData, ttl: int = 600) -> dns.DnsRecord:
    """A record under a name."""
    return dns.DnsRecord(dns.DnsName(owner), data, ttl)


def soa(owner: str) -> dns.DnsRecord:
    """What a zone has at its top; denials are good for 2 s."""
    return record(owner, dns.SOA(dns.DnsName("ns.test"), dns.DnsName("who.test"), minimum=TTL))


def delegation(owner: str, server: str, address: IPv4Address | None = None) -> list[dns.DnsRecord]:
    """The server of a zone, and its address where that is known here."""
    found = [record(owner, dns.NS(dns.DnsName(server)))]
    return found + ([record(server, dns.A(address))] if address else [])


@dataclass(frozen=True)
class World:
    """Three servers, one below the other, and the resolver under test."""

    bench: Bench
    client: StackHost
    resolver: DnsResolver
    zone: StackHost
    server: DnsServer
    root: IPv4Address
    top: IPv4Address

    @classmethod
    def of(cls, bench: Bench) -> "World":
        """The world, on the NICs of these names."""
        root, top, zone = (bench.host(name, StackConfig()) for name in ("root", "top", "zone"))
        client = bench.host("client", StackConfig())
        own = dns.DnsName.reverse(zone.address)
        back = str(own.parent)
        upper = [
            soa("."),
            *delegation("test", "ns.test", top.address),
            *delegation(back, "ns.example.test"),
        ]
        DnsServer.on(root.stack, [Zone(".", upper)], root.now())
        middle = [soa("test"), *delegation("example.test", "ns.example.test", zone.address)]
        DnsServer.on(top.stack, [Zone("test", middle)], top.now())
        backwards = [soa(back), record(str(own), dns.PTR(dns.DnsName("ns.example.test")))]
        server = DnsServer.on(
            zone.stack, [Zone(back, backwards), example(zone.address, WEB)], zone.now()
        )
        config = DnsConfig(roots=(root.address,), payload=None, first_timeout=RETRY)
        resolver = DnsResolver.on(client.stack, config, {"printer.test": IPv4Address("192.0.2.9")})
        return cls(bench, client, resolver, zone, server, root.address, top.address)

    def ask(self, name: str | dns.DnsName, kind: int = dns.DnsType.A) -> Resolution:
        """Look a name up, to the end."""
        within = seconds(self.bench.tolerance("dns_answer", 2))
        lookup = self.resolver.look_up(name, self.client.now(), kind)
        self.client.flush()
        self.bench.wait_until(lambda: lookup.done, within, f"an end of the look-up of {name}")
        assert lookup.result is not None
        return lookup.result

    def expect(self, name: str, *addresses: IPv4Address) -> Resolution:
        """Look addresses up: these, and no others, in any order."""
        found = self.ask(name)
        if set(found.addresses) != set(addresses):
            told = ", ".join(map(str, found.addresses[:5])) or f"rcode {found.rcode} {found.why}"
            raise ExpectationFailed(
                f"client: {name} is {told} ({len(found.addresses)} addresses), expected "
                f"{', '.join(map(str, addresses[:5]))} ({len(addresses)})"
            )
        return found


def example(server: IPv4Address, web: IPv4Address) -> Zone:
    """The zone of the names that are looked up."""
    return Zone(
        "example.test",
        [
            soa("example.test"),
            *delegation("example.test", "ns.example.test", server),
            record(NAME, dns.A(web), TTL),
            record("mail.example.test", dns.A(MAIL)),
            record("alias.example.test", dns.CNAME(dns.DnsName("mail.example.test"))),
            *(record("many.example.test", dns.A(each)) for each in MANY),
        ],
    )


def asked(server: IPv4Address, name: str | dns.DnsName, kind: str = "a") -> Matcher:
    """A question to a server, which is not to find it out for the asker."""
    question = match.dns(response=False, name=name, type=kind, rd=False)
    return match.ipv4(dst=server) & match.udp(bad_checksum=False) & question


def expect_questions(
    seen: Capture, last: TracedFrame | None, wanted: Iterable[Matcher], what: str
) -> TracedFrame | None:
    """What the client has sent since ``last`` are these questions, in order; the last of them."""
    seen.settle()
    view = seen.at(POINT).sent
    if last is not None:
        view = view.after(last)
    found = view.all(match.dns(response=False))
    steps = list(wanted)
    fine = len(found) == len(steps) and all(
        step(each.data) for step, each in zip(steps, found, strict=True)
    )
    if not fine:
        told = [str(match_target(each)) for each in found]
        raise ExpectationFailed(
            f"{POINT}: {what}: {len(found)} questions were sent, to {', '.join(told) or 'nobody'}, "
            f"expected {len(steps)}: {'; '.join(map(str, steps)) or 'none'}"
        )
    if not steps:
        view.expect_none(match.dns(response=False))
    return found[-1] if found else last


def match_target(traced: TracedFrame) -> IPv4Address | None:
    """Whom a packet is for."""
    packet = dissect(traced.data).ipv4
    return packet.dst if packet else None


@AP02
@LAN
@drill(
    "ignores TTL",
    faults.python_stack(defects.services.IGNORES_TTL, role="client"),
    caught=r"is 203.0.113.80 .*expected 203.0.113.81",
)
@drill(
    "hosts file unread",
    faults.python_stack(defects.services.HOSTS_FILE_UNREAD, role="client"),
    caught=r"printer.test is rcode",
)
@drill(
    "asks the root each time",
    faults.python_stack(defects.services.ASKS_THE_ROOT_EACH_TIME, role="client"),
    caught="another name of the zone, by two types: 6 questions were sent",
)
@drill(
    "never remembers denials",
    faults.python_stack(defects.services.NEVER_REMEMBERS_DENIALS, role="client"),
    caught="a name that was denied before: 1 questions were sent",
)
def test_hosts_then_cache_then_servers_from_the_root(bench: Bench) -> None:
    world = World.of(bench)
    zone = world.zone.address
    with bench.capture(POINT, "zone--lan") as seen:
        world.expect("printer.test", IPv4Address("192.0.2.9"))
        last = expect_questions(seen, None, (), "a name of the hosts file")

        world.expect(NAME, WEB)
        way = [asked(world.root, NAME), asked(world.top, NAME), asked(zone, NAME)]
        last = expect_questions(seen, last, way, "a new name")
        referral = match.dns(response=True, aa=False, answers=0, authority=1, additional=1)
        _, _, final = seen.at(POINT).expect_sequence(
            match.ipv4(src=world.root) & referral,
            match.ipv4(src=world.top) & referral,
            match.ipv4(src=zone) & match.dns(response=True, aa=True, answers=1),
        )
        found = world.expect(NAME, WEB)
        last = expect_questions(seen, last, (), "the same name within its TTL")
        if found.source != "cache" or any(each.ttl > TTL for each in found.records):
            raise ExpectationFailed(f"client: {NAME} is known for {found.records[0].ttl} s, not 2")

        denied = world.ask("mail.example.test", dns.DnsType.MX)
        if denied.records or denied.rcode != dns.DnsRcode.NOERROR:
            raise ExpectationFailed("client: an MX record was found, and there is no such record")
        world.expect("mail.example.test", MAIL)
        two = [asked(zone, "mail.example.test", kind) for kind in ("mx", "a")]
        last = expect_questions(seen, last, two, "another name of the zone, by two types")
        world.expect("alias.example.test", MAIL)
        last = expect_questions(seen, last, [asked(zone, "alias.example.test")], "an alias")

        for name, questions in (("nothing.example.test", 1), ("nothing.example.test", 0)):
            if world.ask(name).rcode != dns.DnsRcode.NXDOMAIN:
                raise ExpectationFailed(f"client: {name} was found, and there is no such name")
            wanted = [asked(zone, name)] * questions
            last = expect_questions(seen, last, wanted, "a name that was denied before")

        denial = last
        own = dns.DnsName.reverse(zone)
        back = world.ask(own, dns.DnsType.PTR).records
        if [each.data for each in back] != [dns.PTR(dns.DnsName("ns.example.test"))]:
            raise ExpectationFailed(f"client: {zone} is {back}, expected ns.example.test")
        way = [asked(world.root, own, "ptr"), asked(zone, own, "ptr")]
        last = expect_questions(seen, last, way, "an address, backwards")

        world.server.zones = (world.server.zones[0], example(zone, MOVED))
        over = final.at + seconds(TTL)
        bench.wait_until(lambda: bench.loop.wall_now() > over, seconds(TTL + 1), "the TTL's end")
        world.expect(NAME, MOVED)
        last = expect_questions(seen, last, [asked(zone, NAME)], "the name after its TTL")
        assert denial is not None
        bench.watch_for(Duration(max(0, denial.at + seconds(TTL + 0.5) - bench.loop.wall_now())))
        world.ask("nothing.example.test")
        again = [asked(zone, "nothing.example.test")]
        expect_questions(seen, last, again, "a name that was denied, after the denial's TTL")


@AP02
@LAN
@drill(
    "takes cut answers",
    faults.python_stack(defects.services.TAKES_CUT_ANSWERS, role="client"),
    caught=r"many.example.test is .*expected .* \(60\)",
)
def test_a_cut_answer_is_fetched_by_tcp(bench: Bench) -> None:
    world = World.of(bench)
    zone = world.zone.address
    with bench.capture(POINT) as seen:
        world.expect("many.example.test", *MANY)
        seen.settle()
    stream = match.ipv4(src=zone) & match.tcp(src_port=53)
    seen.at(POINT).both.expect_sequence(
        asked(zone, "many.example.test"),
        match.ipv4(src=zone) & match.udp(src_port=53) & match.dns(response=True, tc=True),
        match.ipv4(dst=zone) & match.tcp(dst_port=53, flags="SYN"),
        match.tcp(dst_port=53) & match.dns(response=False, name="many.example.test"),
        stream & match.dns(response=True, tc=False, answers=len(MANY)),
        match.tcp(dst_port=53, has="FIN"),
        stream & match.tcp(has="FIN"),
    )


@AP02
@LAN
@drill(
    "believes anybody",
    faults.python_stack(defects.services.BELIEVES_ANYBODY, role="client"),
    caught=r"is 192.0.2.66 .*expected 203.0.113.25",
)
def test_forged_answers_are_not_believed(bench: Bench) -> None:
    world = World.of(bench)
    name, forged = "mail.example.test", record("mail.example.test", dns.A(IPv4Address(0xC0000242)))
    world.ask(NAME)  # who has the zone is known now
    question = asked(world.zone.address, name)
    with (
        bench.capture(POINT, "zone--lan") as seen,
        world.zone.outgoing.impaired(Delay(milliseconds(300))),
    ):
        lookup = world.resolver.look_up(name, world.client.now())
        world.client.flush()
        came = dissect(seen.wait_for("zone--lan", question).data)
        if came.udp is None or came.ipv4 is None or came.eth is None:
            raise ExpectationFailed("zone--lan: no question came")
        query = dns.DnsMessage.parse(came.udp.payload)
        answer = replace(query, response=True, aa=True, answers=(forged,))
        for ident, source, port in (
            (query.ident ^ 1, came.ipv4.dst, came.udp.src_port),
            (query.ident, world.top, came.udp.src_port),
            (query.ident, came.ipv4.dst, came.udp.src_port ^ 1),
        ):
            bench.nic("zone").inject(
                compose(
                    EthFrame(came.eth.src, came.eth.dst),
                    IPv4Packet(source, came.ipv4.src),
                    UdpDatagram(53, port, replace(answer, ident=ident).emit()),
                )
            )
        bench.wait_until(lambda: lookup.done, seconds(3), f"an end of the look-up of {name}")
        seen.settle()
    world.expect(name, MAIL)
    seen.at(POINT).expect_sequence(
        match.dns(name=name, response=True, ident=query.ident ^ 1),
        match.dns(name=name, response=True) & match.ipv4(src=world.top),
        match.dns(name=name, response=True, ident=query.ident) & match.udp(dst_port=port),
        match.dns(name=name, response=True, ident=query.ident, answers=1),
    )


@AP02
@LAN
@drill(
    "asks once",
    faults.python_stack(defects.services.ASKS_ONCE, role="client"),
    caught=r"mail.example.test is rcode 2 .*expected 203.0.113.25",
)
def test_a_lost_answer_is_asked_for_again(bench: Bench) -> None:
    world = World.of(bench)
    world.ask(NAME)  # who has the zone is known now
    question = asked(world.zone.address, "mail.example.test")
    lost = Nth(1, matching=match.dns(response=True))
    with bench.capture(POINT) as seen:
        with world.client.incoming.impaired(Drop(lost)):
            world.expect("mail.example.test", MAIL)
        seen.settle()
    first, second = seen.at(POINT).sent.expect_count(question, 2)
    waited = Duration(second.at - first.at)
    if waited < RETRY - milliseconds(20):
        raise ExpectationFailed(
            f"{POINT}: #{second.number} came {format_duration(waited)} after #{first.number}, "
            f"expected {format_duration(RETRY)} or more"
        )
    numbers = [udp.payload[:2] for each in (first, second) if (udp := dissect(each.data).udp)]
    if numbers[0] == numbers[1]:
        raise ExpectationFailed(f"{POINT}: #{second.number} has the number of #{first.number}")
