"""DNS servers and a resolver on real stacks in virtual time: a small Internet of its own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest
from pair import Net

from testbed.errors import PlanError
from testbed.stack.config import StackConfig
from testbed.stack.services.dns_cache import DnsCache
from testbed.stack.services.dns_resolver import DnsConfig, DnsResolver, Lookup, Resolution
from testbed.stack.services.dns_server import DnsQueried, DnsServer
from testbed.stack.services.dns_zone import Found, Zone
from testbed.stack.stack import Stack
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import (
    DnsMessage,
    DnsName,
    DnsQuestion,
    DnsRcode,
    DnsRecord,
    DnsType,
    Edns,
    EthFrame,
    IPv4Packet,
    MacAddr,
    UdpDatagram,
    compose,
    dissect,
    dns,
)

ROOT, TEST, EXAMPLE, OTHER = (IPv4Address(f"10.0.0.{n}") for n in (1, 2, 3, 4))
CLIENT = IPv4Address("10.0.0.9")
WEB = IPv4Address("192.0.2.80")


def name(text: str) -> DnsName:
    return DnsName(text)


def rr(owner: str, data: dns.DnsData, ttl: int = 300) -> DnsRecord:
    return DnsRecord(DnsName(owner), data, ttl)


def soa(owner: str, minimum: int = 60) -> DnsRecord:
    return rr(owner, dns.SOA(DnsName("ns." + owner), DnsName("root." + owner), minimum=minimum))


def a(owner: str, address: IPv4Address | str, ttl: int = 300) -> DnsRecord:
    return rr(owner, dns.A(IPv4Address(address)), ttl)


def ns(owner: str, target: str, ttl: int = 300) -> DnsRecord:
    return rr(owner, dns.NS(DnsName(target)), ttl)


def cname(owner: str, target: str, ttl: int = 300) -> DnsRecord:
    return rr(owner, dns.CNAME(DnsName(target)), ttl)


ROOT_ZONE = Zone(
    ".",
    [
        rr(".", dns.SOA(DnsName("a.root"), DnsName("b.root"), minimum=60)),
        ns("test", "ns.test"),
        a("ns.test", TEST),
        ns("10.in-addr.arpa", "ns.other.test"),
    ],
)
TEST_ZONE = Zone(
    "test",
    [
        soa("test"),
        ns("test", "ns.test"),
        a("ns.test", TEST),
        ns("example.test", "ns.example.test"),
        a("ns.example.test", EXAMPLE),
        ns("other.test", "ns.other.test"),
        a("ns.other.test", OTHER),
        ns("glueless.test", "ns.other.test"),
        ns("lost.test", "ns.lost.test"),
        ns("circle1.test", "ns.circle2.test"),
        ns("circle2.test", "ns.circle1.test"),
    ],
)
EXAMPLE_ZONE = Zone(
    "example.test",
    [
        soa("example.test"),
        ns("example.test", "ns.example.test"),
        a("ns.example.test", EXAMPLE),
        a("www.example.test", WEB, ttl=100),
        a("zero.example.test", WEB, ttl=0),
        cname("alias.example.test", "www.example.test"),
        cname("far.example.test", "www.other.test"),
        cname("dangling.example.test", "nothing.example.test"),
        cname("loop1.example.test", "loop2.example.test"),
        cname("loop2.example.test", "loop1.example.test"),
        rr("example.test", dns.MX(5, name("mail.example.test"))),
        a("mail.example.test", "192.0.2.25"),
        rr("www.example.test", dns.TXT((b"hello",))),
        rr("*.wild.example.test", dns.A(WEB)),
        *(a("many.example.test", IPv4Address(0xC6336400 + n)) for n in range(100)),
    ],
)
OTHER_ZONES = (
    Zone("other.test", [soa("other.test"), a("ns.other.test", OTHER), a("www.other.test", WEB)]),
    Zone("glueless.test", [soa("glueless.test"), a("www.glueless.test", "192.0.2.81")]),
    Zone(
        "10.in-addr.arpa",
        [
            rr("10.in-addr.arpa", dns.SOA(name("ns.other.test"), name("x.other.test"))),
            rr("3.0.0.10.in-addr.arpa", dns.PTR(name("ns.example.test"))),
        ],
    ),
)
# Without EDNS and with one try, the steps of a look-up are counted easily.
PLAIN = DnsConfig(roots=(ROOT,), payload=None)


class World:
    """Four servers and a client on one wire."""

    def __init__(self, config: DnsConfig = PLAIN, seed: int = 1, **named: Any) -> None:
        self.net = Net()
        self.stacks: dict[IPv4Address, Stack] = {}
        self.servers: dict[IPv4Address, DnsServer] = {}
        for address, zones in (
            (ROOT, (ROOT_ZONE,)),
            (TEST, (TEST_ZONE,)),
            (EXAMPLE, (EXAMPLE_ZONE,)),
            (OTHER, OTHER_ZONES),
            (CLIENT, ()),
        ):
            stack = Stack(StackConfig(), seed=seed * 100 + int(address) % 256, name=str(address))
            stack.add_interface("eth0", mac=mac_of(address))
            stack.add_address("eth0", IPv4Interface(f"{address}/24"), self.net.now)
            self.stacks[address] = stack
            if zones:
                self.servers[address] = DnsServer.on(stack, zones, self.net.now)
        ends = [(stack, "eth0") for stack in self.stacks.values()]
        self.net.join(*ends, delay=milliseconds(1))
        self.client = self.stacks[CLIENT]
        self.resolver = DnsResolver.on(self.client, config, **named)

    def ask(self, text: str, kind: int = DnsType.A, within: float = 60) -> Resolution:
        return self.wait(self.resolver.look_up(text, self.net.now, kind), within)

    def wait(self, lookup: Lookup, within: float = 60) -> Resolution:
        assert self.net.run_until(lambda: lookup.done, within=seconds(within))
        assert lookup.result is not None
        return lookup.result

    def queries(self) -> list[tuple[IPv4Address, DnsQuestion, UdpDatagram, DnsMessage]]:
        """What the client asked by UDP."""
        found = []
        for each in self.net.sent(self.client):
            layers = dissect(each.frame)
            if layers.ipv4 and layers.udp:
                message = DnsMessage.parse(layers.udp.payload)
                assert message.question is not None
                found.append((layers.ipv4.dst, message.question, layers.udp, message))
        return found

    def asked(self) -> list[IPv4Address]:
        return [server for server, _, _, _ in self.queries()]

    def at_rest(self) -> None:
        """Nothing is left behind: no socket, no connection that is not in TIME-WAIT, no timer."""
        assert len(self.client.udp) == 0


def mac_of(address: IPv4Address) -> MacAddr:
    return MacAddr(b"\x02\0\0\0\0" + address.packed[3:])


# Zones


def test_a_zone_has_one_soa_and_only_its_own_names():
    with pytest.raises(PlanError, match="0 SOA"):
        Zone("example.test", [])
    with pytest.raises(PlanError, match="lies outside"):
        Zone("example.test", [soa("example.test"), a("www.example.org", WEB)])


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("www.example.test", DnsType.A, Found.ANSWER),
        ("WWW.EXAMPLE.TEST", DnsType.A, Found.ANSWER),
        ("www.example.test", DnsType.MX, Found.NO_DATA),
        ("nothing.example.test", DnsType.A, Found.NO_NAME),
        ("wild.example.test", DnsType.A, Found.NO_DATA),  # it exists: there is something below
        ("any.wild.example.test", DnsType.A, Found.ANSWER),
        ("a.b.wild.example.test", DnsType.A, Found.ANSWER),
        ("any.wild.example.test", DnsType.MX, Found.NO_DATA),
        ("alias.example.test", DnsType.A, Found.ALIAS),
        ("alias.example.test", DnsType.CNAME, Found.ANSWER),
        ("example.test", DnsType.NS, Found.ANSWER),
    ],
)
def test_what_a_zone_says(text: str, kind: int, found: Found):
    finding = EXAMPLE_ZONE.find(name(text), kind)
    assert finding.kind is found
    if found is Found.ANSWER:
        assert all(record.name == name(text) for record in finding.records)


def test_names_below_a_delegation_are_referred():
    finding = TEST_ZONE.find(name("a.b.example.test"), DnsType.A)
    assert finding.kind is Found.REFERRAL
    assert finding.records == (ns("example.test", "ns.example.test"),)
    # Even for the glue itself: the zone does not speak for it.
    assert TEST_ZONE.find(name("ns.example.test"), DnsType.A).kind is Found.REFERRAL


# The server


def answer(world: World, text: str, kind: int = DnsType.A, at: IPv4Address = EXAMPLE) -> DnsMessage:
    return world.servers[at].answer(DnsMessage.query(7, name(text), kind, rd=True))


def test_an_answer_is_authoritative_and_does_not_offer_recursion():
    message = answer(World(), "www.example.test")
    assert (message.ident, message.response, message.aa, message.ra) == (7, True, True, False)
    assert message.rd  # copied (RFC 1035 4.1.1)
    assert message.questions == (DnsQuestion(name("www.example.test")),)
    assert message.answers == (a("www.example.test", WEB, 100),)


def test_a_referral_is_not_authoritative_and_has_glue():
    message = answer(World(), "www.example.test", at=TEST)
    assert not message.aa
    assert message.answers == ()
    assert message.authority == (ns("example.test", "ns.example.test"),)
    assert message.additional == (a("ns.example.test", EXAMPLE),)


def test_negative_answers_have_the_soa_with_the_lesser_ttl():
    world = World()
    for text, rcode in (
        ("nothing.example.test", DnsRcode.NXDOMAIN),
        ("wild.example.test", DnsRcode.NOERROR),
    ):
        message = answer(world, text)
        assert (message.rcode, message.aa, message.answers) == (rcode, True, ())
        assert message.authority[0].ttl == 60
        assert message.authority[0].type == DnsType.SOA


def test_aliases_are_followed_in_the_answer():
    world = World()
    message = answer(world, "alias.example.test")
    assert [record.type for record in message.answers] == [DnsType.CNAME, DnsType.A]
    message = answer(world, "dangling.example.test")
    assert message.rcode == DnsRcode.NXDOMAIN
    assert [record.type for record in message.answers] == [DnsType.CNAME]
    message = answer(world, "far.example.test")
    assert (message.rcode, message.aa, len(message.answers)) == (0, True, 1)
    message = answer(world, "loop1.example.test")
    assert message.answers == (
        cname("loop1.example.test", "loop2.example.test"),
        cname("loop2.example.test", "loop1.example.test"),
    )


def test_mail_hosts_come_with_their_addresses():
    message = answer(World(), "example.test", DnsType.MX)
    assert message.additional == (a("mail.example.test", "192.0.2.25"),)


def test_what_a_server_does_not_do():
    server = World().servers[EXAMPLE]
    query = DnsMessage.query(7, name("www.example.org"))
    assert server.answer(query).rcode == DnsRcode.REFUSED
    assert server.answer(replace(query, opcode=4)).rcode == DnsRcode.NOTIMP
    assert server.answer(replace(query, questions=())).rcode == DnsRcode.FORMERR
    chaos = DnsQuestion(name("version.bind"), DnsType.TXT, 3)
    assert server.answer(replace(query, questions=(chaos,))).rcode == DnsRcode.REFUSED
    newer = server.answer(replace(query, edns=Edns(version=1)))
    assert newer.edns is not None
    assert (newer.rcode, newer.edns.rcode) == (0, 1)  # BADVERS


def test_what_cannot_be_read_is_a_format_error_and_a_response_gets_no_answer():
    server = World().servers[EXAMPLE]
    now = Instant(0)
    data = DnsMessage.query(9, name("www.example.test")).emit()
    cut = server.respond(data[:-1], now, by_tcp=False)
    assert cut is not None
    assert DnsMessage.parse(cut).rcode == DnsRcode.FORMERR
    assert DnsMessage.parse(cut).ident == 9
    assert server.respond(data[:11], now, by_tcp=False) is None
    response = replace(DnsMessage.parse(data), response=True).emit()
    assert server.respond(response, now, by_tcp=False) is None
    assert server.respond(response[:-1], now, by_tcp=False) is None


def test_udp_answers_keep_to_the_size_that_the_asker_names():
    server = World().servers[EXAMPLE]
    query = DnsMessage.query(9, name("many.example.test"))
    for edns, limit in ((None, 512), (Edns(100), 512), (Edns(1000), 1000), (Edns(9000), 1232)):
        data = server.respond(replace(query, edns=edns).emit(), Instant(0), by_tcp=False)
        assert data is not None
        assert limit - 40 < len(data) <= limit
        assert DnsMessage.parse(data).tc
    whole = server.respond(query.emit(), Instant(0), by_tcp=True)
    assert whole is not None
    assert len(DnsMessage.parse(whole).answers) == 100
    assert not DnsMessage.parse(whole).tc


def test_the_answer_comes_from_the_address_that_was_asked():
    world = World()
    second = IPv4Address("10.0.0.33")
    stack = world.stacks[EXAMPLE]
    stack.add_address("eth0", IPv4Interface(f"{second}/24"), world.net.now)
    config = DnsConfig(servers=(second,))
    resolver = DnsResolver.on(world.client, config)
    found = world.wait(resolver.look_up("www.example.test", world.net.now))
    assert found.addresses == (WEB,)


def test_a_server_that_is_switched_off_or_closed_is_silent():
    world = World(replace(PLAIN, rounds=1))
    world.stacks[EXAMPLE].answers.dns = False
    assert world.ask("www.example.test").rcode == DnsRcode.SERVFAIL
    world.stacks[EXAMPLE].answers.dns = True
    world.servers[EXAMPLE].close(world.net.now)
    begin = world.net.now
    assert world.ask("www.example.test").rcode == DnsRcode.SERVFAIL
    assert world.net.now - begin < seconds(1)  # port unreachable is heard


# The resolver


def test_iteration_goes_from_the_root_downwards():
    world = World()
    result = world.ask("www.example.test")
    assert result.addresses == (WEB,)
    assert result.source == "servers"
    assert world.asked() == [ROOT, TEST, EXAMPLE]
    assert all(not message.rd for _, _, _, message in world.queries())
    queried = world.stacks[EXAMPLE].events.of(DnsQueried)
    assert [(event.name, event.by_tcp) for event in queried] == [(name("www.example.test"), False)]
    world.at_rest()


def test_ports_and_numbers_are_random():
    world = World()
    for text in ("www.example.test", "www.other.test", "www.glueless.test"):
        world.ask(text)
    queries = world.queries()
    assert len(queries) > 5
    assert len({datagram.src_port for _, _, datagram, _ in queries}) == len(queries)
    assert len({message.ident for _, _, _, message in queries}) == len(queries)


def test_the_second_time_the_cache_answers_with_what_is_left_of_the_ttl():
    world = World()
    assert world.ask("www.example.test").records[0].ttl == 100
    count = len(world.queries())
    world.net.run(seconds(30))
    again = world.ask("www.example.test")
    assert (again.addresses, again.source) == ((WEB,), "cache")
    assert 69 <= again.records[0].ttl <= 70
    assert len(world.queries()) == count


def test_after_its_ttl_a_record_is_asked_for_again_where_it_was_found():
    world = World()
    world.ask("www.example.test")
    world.net.run(seconds(99))
    assert world.ask("www.example.test").source == "cache"
    world.net.run(seconds(2))
    assert world.ask("www.example.test").source == "servers"
    assert world.asked() == [ROOT, TEST, EXAMPLE, EXAMPLE]  # the delegation lives longer


def test_a_ttl_of_zero_is_used_and_not_kept():
    world = World()
    assert world.ask("zero.example.test").addresses == (WEB,)
    assert world.ask("zero.example.test").source == "servers"


def test_there_is_no_such_name_and_that_is_remembered_for_its_time():
    world = World()
    for kind in (DnsType.A, DnsType.MX):  # of the name, whatever the type
        assert world.ask("nothing.example.test", kind).rcode == DnsRcode.NXDOMAIN
    assert world.asked() == [ROOT, TEST, EXAMPLE]
    world.net.run(seconds(61))
    assert world.ask("nothing.example.test").source == "servers"


def test_no_data_is_of_the_type_only():
    world = World()
    assert world.ask("www.example.test", DnsType.MX) == Resolution()
    assert world.ask("www.example.test", DnsType.MX).source == "cache"
    assert world.ask("www.example.test").addresses == (WEB,)


def test_hosts_come_first_both_ways():
    address = IPv4Address("10.1.2.3")
    world = World(hosts={"www.example.test": address})
    result = world.ask("WWW.example.TEST")
    assert (result.addresses, result.source) == ((address,), "hosts")
    back = world.wait(world.resolver.name_of(address, world.net.now))
    assert back.records[0].data == dns.PTR(name("www.example.test"))
    assert world.queries() == []


def test_addresses_are_turned_into_names():
    world = World()
    result = world.wait(world.resolver.name_of(EXAMPLE, world.net.now))
    assert [record.data for record in result.records] == [dns.PTR(name("ns.example.test"))]


def test_an_alias_into_another_zone_is_followed_there():
    world = World()
    result = world.ask("far.example.test")
    assert result.addresses == (WEB,)
    assert [record.name for record in result.aliases] == [name("far.example.test")]
    assert world.asked() == [ROOT, TEST, EXAMPLE, TEST, OTHER]
    again = world.ask("far.example.test")
    assert (again.source, again.aliases[0].name) == ("cache", name("far.example.test"))


def test_an_alias_to_nothing_is_no_name():
    world = World()
    result = world.ask("dangling.example.test")
    assert (result.rcode, len(result.aliases)) == (DnsRcode.NXDOMAIN, 1)


def test_aliases_in_a_circle_end():
    world = World()
    result = world.ask("loop1.example.test")
    assert (result.rcode, result.why) == (DnsRcode.SERVFAIL, "aliases that lead nowhere")
    world.at_rest()


def test_a_server_without_glue_is_looked_up_itself():
    world = World()
    assert world.ask("www.glueless.test").addresses == (IPv4Address("192.0.2.81"),)


@pytest.mark.parametrize("text", ["www.lost.test", "www.circle1.test"])
def test_servers_that_cannot_be_found_end_the_look_up(text: str):
    world = World()
    result = world.ask(text)
    assert result.rcode == DnsRcode.SERVFAIL
    assert len(world.queries()) < 20
    world.at_rest()


def test_the_questions_of_one_look_up_are_bounded():
    world = World(replace(PLAIN, max_queries=2))
    result = world.ask("www.example.test")
    assert (result.rcode, result.why) == (DnsRcode.SERVFAIL, "too many questions")
    assert len(world.queries()) == 2


def test_a_server_that_does_not_answer_is_asked_thrice_each_time_longer():
    world = World()
    world.net.freeze(world.stacks[ROOT])
    world.client.interface("eth0").neighbours.set(ROOT, mac_of(ROOT), world.net.now)
    begin = world.net.now
    result = world.ask("www.example.test")
    assert (result.rcode, result.why) == (DnsRcode.SERVFAIL, "no server of . answers")
    assert (world.net.now - begin) / 1e9 == pytest.approx(2 + 4 + 8)
    assert world.asked() == [ROOT] * 3
    world.at_rest()


def test_the_next_server_is_asked_when_one_is_silent():
    world = World(replace(PLAIN, roots=(IPv4Address("10.0.0.77"), ROOT)))
    begin = world.net.now
    assert world.ask("www.example.test").addresses == (WEB,)
    assert world.net.now - begin <= seconds(3.1)


def test_what_is_truncated_is_asked_for_by_tcp():
    world = World()
    result = world.ask("many.example.test")
    assert len(result.records) == 100
    assert [event.by_tcp for event in world.stacks[EXAMPLE].events.of(DnsQueried)] == [False, True]
    assert world.asked() == [ROOT, TEST, EXAMPLE]
    world.at_rest()


def test_edns_gets_more_into_a_datagram():
    world = World(DnsConfig(roots=(ROOT,), payload=4096))
    world.servers[EXAMPLE].payload = 4096
    assert len(world.ask("many.example.test").records) == 100
    assert [event.by_tcp for event in world.stacks[EXAMPLE].events.of(DnsQueried)] == [False]


def test_a_stub_asks_its_server_to_recurse():
    world = World(DnsConfig(servers=(EXAMPLE,)))
    assert world.ask("www.example.test").addresses == (WEB,)
    assert world.asked() == [EXAMPLE]
    assert world.queries()[0][3].rd


def forged(world: World, **changes: Any) -> bytes:
    """An answer to the client's last question, with a lie in it, as from the server asked."""
    server, question, datagram, message = world.queries()[-1]
    lie = changes.pop("answers", (DnsRecord(question.name, dns.A(IPv4Address("6.6.6.6")), 999),))
    source = changes.pop("source", server)
    port = changes.pop("port", datagram.src_port)
    fields = {"response": True, "aa": True, "answers": lie, **changes}
    answer = replace(message, **fields)
    return compose(
        EthFrame(mac_of(CLIENT), mac_of(server)),
        IPv4Packet(source, CLIENT),
        UdpDatagram(53, port, answer.emit()),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"ident": 1},
        {"source": IPv4Address("10.0.0.66")},
        {"port": 1},
        {"response": False},
        {"questions": (DnsQuestion(DnsName("www.example.org")),)},
        {"questions": ()},
        {"questions": (DnsQuestion(DnsName("www.example.test"), DnsType.MX),)},
    ],
)
def test_wrong_answers_are_ignored(changes: dict[str, Any]):
    world = World()
    lookup = world.resolver.look_up("www.example.test", world.net.now)
    world.net.run_until(lambda: len(world.queries()) == 1)
    if changes.get("ident") == world.queries()[0][3].ident:
        changes = {"ident": 2}
    world.net.inject(world.client, forged(world, **changes))
    assert not lookup.done
    assert world.wait(lookup).addresses == (WEB,)


def test_the_right_answer_is_believed_so_that_the_forgeries_above_are_told_by_their_fault():
    world = World()
    lookup = world.resolver.look_up("www.example.test", world.net.now)
    world.net.run_until(lambda: len(world.queries()) == 1)
    world.net.inject(world.client, forged(world))
    assert world.wait(lookup).addresses == (IPv4Address("6.6.6.6"),)


def test_junk_instead_of_an_answer_is_ignored():
    world = World()
    lookup = world.resolver.look_up("www.example.test", world.net.now)
    world.net.run_until(lambda: len(world.queries()) == 1)
    _, _, datagram, _ = world.queries()[0]
    frame = compose(
        EthFrame(mac_of(CLIENT), mac_of(ROOT)),
        IPv4Packet(ROOT, CLIENT),
        UdpDatagram(53, datagram.src_port, b"junk"),
    )
    world.net.inject(world.client, frame)
    assert world.wait(lookup).addresses == (WEB,)


def test_what_a_server_says_of_other_zones_is_not_remembered():
    poison = (a("www.other.test", "6.6.6.6"), ns("test", "ns.evil.test"))
    zone = Zone(
        "example.test",
        [
            soa("example.test"),
            a("www.example.test", WEB),
            cname("x.example.test", "www.other.test"),
        ],
    )
    world = World()

    class Liar(DnsServer):
        def answer(self, query: DnsMessage) -> DnsMessage:
            said = super().answer(query)
            return replace(
                said,
                answers=(*said.answers, poison[0]),
                authority=(*said.authority, poison[1]),
                additional=poison,
            )

    world.servers[EXAMPLE].close(world.net.now)
    Liar.on(world.stacks[EXAMPLE], (zone,), world.net.now)
    assert world.ask("x.example.test").addresses == (WEB,)
    assert world.ask("www.example.test").addresses == (WEB,)
    assert world.ask("www.other.test").addresses == (WEB,)
    assert IPv4Address("6.6.6.6") not in world.asked()


def test_a_lame_server_is_passed_over():
    class Lame(DnsServer):
        def answer(self, query: DnsMessage) -> DnsMessage:
            return DnsMessage(query.ident, query.questions, response=True)

    world = World(replace(PLAIN, roots=(ROOT, OTHER)))
    world.servers[ROOT].close(world.net.now)
    Lame.on(world.stacks[ROOT], (), world.net.now)
    world.servers[OTHER].zones = (ROOT_ZONE,)
    assert world.ask("www.example.test").addresses == (WEB,)
    assert world.asked()[:2] == [ROOT, OTHER]


def test_a_server_that_knows_no_edns_is_asked_without():
    class Old(DnsServer):
        def answer(self, query: DnsMessage) -> DnsMessage:
            if query.edns is not None:
                return DnsMessage(query.ident, (), response=True, rcode=DnsRcode.FORMERR)
            return super().answer(query)

    world = World(DnsConfig(roots=(ROOT,)))
    world.servers[ROOT].close(world.net.now)
    Old.on(world.stacks[ROOT], (ROOT_ZONE,), world.net.now)
    assert world.ask("www.example.test").addresses == (WEB,)
    assert world.asked() == [ROOT, ROOT, TEST, EXAMPLE]


def test_look_ups_at_once_do_not_disturb_each_other_and_tell_their_ends():
    world = World()
    ends: list[tuple[DnsName, Resolution]] = []
    texts = ["www.example.test", "www.other.test", "nothing.example.test", "many.example.test"]
    for text in texts:
        world.resolver.look_up(
            text, world.net.now, finished=lambda r, _, text=text: ends.append((name(text), r))
        )
    world.net.run(seconds(5))
    assert {each: len(result.records) for each, result in ends} == {
        name(text): count for text, count in zip(texts, (1, 1, 0, 100), strict=True)
    }
    world.at_rest()


def test_a_cancelled_look_up_leaves_nothing_behind():
    world = World()
    lookup = world.resolver.look_up("www.example.test", world.net.now)
    world.net.run(milliseconds(2))
    lookup.cancel(world.net.now)
    world.net.run(seconds(30))
    assert not lookup.done
    assert len(world.queries()) <= 2
    world.at_rest()


# The cache


def test_the_cache_is_bounded_and_what_expires_first_goes_first():
    cache = DnsCache(10, seconds(1000), seconds(1000))
    for n in range(30):
        cache.put([a(f"h{n}.test", WEB, ttl=100 + n)], Instant(0), DnsCache.ANSWER)
    assert len(cache) == 10
    assert cache.get(name("h29.test"), DnsType.A, Instant(0))
    assert not cache.get(name("h0.test"), DnsType.A, Instant(0))
    for n in range(30):
        cache.deny(name(f"n{n}.test"), 1, soa("test"), Instant(0), name_error=True)
    assert len(cache) == 10


def test_no_ttl_is_believed_beyond_the_bounds():
    cache = DnsCache(10, seconds(50), seconds(20))
    cache.put([a("h.test", WEB, ttl=1 << 30)], Instant(0), DnsCache.ANSWER)
    cache.deny(name("n.test"), 1, soa("test", minimum=300), Instant(0), name_error=False)
    assert cache.get(name("h.test"), 1, Instant(seconds(49)))
    assert not cache.get(name("h.test"), 1, Instant(seconds(50)))
    assert cache.denial(name("n.test"), 1, Instant(seconds(19)))
    assert not cache.denial(name("n.test"), 1, Instant(seconds(20)))
    assert not cache.denial(name("n.test"), 2, Instant(0))


def test_an_answer_is_not_replaced_by_glue_but_glue_by_an_answer():
    cache = DnsCache(10, seconds(500), seconds(20))
    other = IPv4Address("192.0.2.99")
    cache.put([a("h.test", WEB)], Instant(0), DnsCache.REFERRAL)
    cache.put([a("h.test", other)], Instant(0), DnsCache.ANSWER)
    cache.put([a("h.test", WEB)], Instant(0), DnsCache.REFERRAL)
    found = cache.get(name("h.test"), 1, Instant(0))
    assert [record.data for record in found] == [dns.A(other)]
    cache.put([a("h.test", WEB)], Instant(seconds(400)), DnsCache.REFERRAL)
    assert cache.get(name("h.test"), 1, Instant(seconds(400)))
    cache.clear()
    assert len(cache) == 0
