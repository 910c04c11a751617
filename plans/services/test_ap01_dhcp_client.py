"""A DHCP client takes an address that nobody else has, keeps it by asking again, and gives it back.

It asks all for an address (DHCPDISCOVER), takes one offer (DHCPREQUEST, which names the server),
and before it uses the address sees by ARP that nobody has it (RFC 2131 2.2, 4.4.1). At T1 it asks
its server for more time, at T2 everybody, and when the lease is over "it immediately [stops] any
other network processing" (4.4.5). What it needs no more it gives back (4.4.6). What somebody else
answers for it declines, and begins again after ``decline_wait`` (seconds, 0.5; RFC 2131 3.1 has 10,
the client is told less for the plan's sake). A refusal (DHCPNAK) ends the use of an address at once
(4.4.5). A question without an answer is repeated, at twice the distance each time (4.1), and an
answer to another's question, told by its xid, is none (4.4.1).

Leases are of 3 s, T1 1 s and T2 2 s; each may come ``dhcp_late`` (seconds, 0.4) late, none early.

The device under test is the Python stack: a kernel has no DHCP client.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface

import pytest

from testbed import (
    ArpPacket,
    Bench,
    Capture,
    ClientState,
    DhcpClient,
    DhcpClientConfig,
    DhcpServer,
    DhcpServerConfig,
    DhcpSubnet,
    Drop,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    Matcher,
    StackConfig,
    StackHost,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    dhcp,
    dissect,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

LAN = pytest.mark.topology(Topology.star("lan", "server", "client", "other"))
AP01 = pytest.mark.behaviour("AP-01", clause="RFC 2131 4.4")
T1, T2, LEASE = 1, 2, 3
EARLY = milliseconds(20)
"""What two clocks, the stack's and the capture's, may differ by over seconds."""
PROBING = StackConfig.of(
    arp={
        "probe_wait": milliseconds(20),
        "probe_min": milliseconds(40),
        "probe_max": milliseconds(60),
        "announce_wait": milliseconds(60),
        "announce_interval": milliseconds(60),
    }
)
"""RFC 5227's times, shortened."""
RETRY = milliseconds(300)
DECLINE_WAIT = milliseconds(500)
QUICK = DhcpClientConfig(
    start_min=seconds(0),
    start_max=seconds(0),
    first_retry=RETRY,
    jitter=seconds(0),
    least_renewal=milliseconds(300),
    decline_wait=DECLINE_WAIT,
)
SOON = seconds(4)
POINT = "server--lan"
ALL, NOBODY = IPv4Address("255.255.255.255"), IPv4Address(0)
UP = match.udp(src_port=68, dst_port=67, bad_checksum=False) & match.dhcp(op="request")
DOWN = match.udp(src_port=67, dst_port=68, bad_checksum=False) & match.dhcp(op="reply")
TO_ALL = UP & match.eth(dst="ff:ff:ff:ff:ff:ff") & match.ipv4(dst=ALL)
STRANGER = MacAddr("02:00:00:00:67:67")


@dataclass(frozen=True)
class Lan:
    """A server with ten addresses, and the client under test, which has none yet."""

    server: StackHost
    client: StackHost
    asking: DhcpClient
    served: DhcpServer
    pool: tuple[IPv4Address, ...]

    @classmethod
    def of(cls, bench: Bench) -> "Lan":
        """The two, from the NICs of these names."""
        server, client = bench.host("server", StackConfig()), bench.host("client", PROBING)
        client.stack.remove_address("eth0", client.address, client.now())
        network = bench.bring_up_network()["server"].address.network
        pool = tuple(network[number] for number in range(100, 110))
        subnet = DhcpSubnet(network, pool[0], pool[-1], routers=(server.address,))
        config = DhcpServerConfig(
            (subnet,), lease_time=LEASE, renewal_time=T1, rebinding_time=T2, ping=False
        )
        served = DhcpServer.on(server.stack, "eth0", config, server.now())
        return cls(server, client, DhcpClient.on(client.stack, "eth0", QUICK), served, pool)

    def begin(self) -> None:
        """Let the client ask for an address."""
        self.asking.start(self.client.now())
        self.client.flush()

    def until(self, bench: Bench, state: ClientState, within: Duration = SOON) -> None:
        """Wait for a state of the client."""
        bench.wait_until(lambda: self.asking.state is state, within, f"the client's {state.value}")


@AP01
@LAN
@drill(
    "checks nothing",
    faults.python_stack(defects.dhcp.USES_TAKEN, role="client"),
    caught="arp.*it did not come",
)
@drill(
    "renews by broadcast",
    faults.python_stack(defects.dhcp.RENEWS_BY_BROADCAST, role="client"),
    caught="the renewal did not come to the server alone",
)
@drill(
    "keeps an expired address",
    faults.python_stack(defects.dhcp.KEEPS_EXPIRED_ADDRESS, role="client"),
    caught="expect none: arp.*1 frame came",
)
def test_an_address_is_taken_kept_and_given_up(bench: Bench) -> None:
    late = seconds(bench.tolerance("dhcp_late", 0.4))
    lan = Lan.of(bench)
    address = lan.pool[0]
    own = match.eth(src=lan.client.mac)
    unicast = match.dhcp(ciaddr=address) & match.ipv4(dst=lan.server.address)
    with bench.capture(POINT, "client--lan", "other--lan") as seen:
        lan.begin()
        lan.until(bench, ClientState.BOUND)
        asked = expect_four_messages(seen, lan, address)

        lan.until(bench, ClientState.RENEWING)
        lan.until(bench, ClientState.BOUND)
        renewal = expect_request(seen, asked, address, UP, "the renewal")
        if not unicast(renewal.data):
            raise ExpectationFailed(f"{POINT}: the renewal did not come to the server alone")
        expect_time(asked, renewal, seconds(T1), late, "the renewal")

        with lan.server.incoming.impaired(Drop(unicast)):
            lan.until(bench, ClientState.REBINDING)
            lan.until(bench, ClientState.BOUND)
        again = expect_request(seen, renewal, address, UP & unicast, "the second renewal")
        rebind = expect_request(seen, again, address, TO_ALL, "the rebinding")
        expect_time(renewal, again, seconds(T1), late, "the second renewal")
        expect_time(renewal, rebind, seconds(T2), late, "the rebinding")

        granted = seen.at(POINT).sent.after(rebind).expect(DOWN & match.dhcp(type="ack"))
        kept = seen.at(POINT).before(granted).all(UP & match.dhcp(ciaddr=address))[-1]
        lan.server.stack.answers.dhcp = False
        lan.until(bench, ClientState.SELECTING, Duration(seconds(LEASE) + late))
        seen.settle()
        anew = seen.at(POINT).after(kept).expect(TO_ALL & match.dhcp(type="discover"))
        expect_time(kept, anew, seconds(LEASE), late, "the end of the lease")
        expect_given_up(bench, seen, lan, address)

        lan.server.stack.answers.dhcp = True
        lan.until(bench, ClientState.BOUND)
        lan.asking.release(lan.client.now())
        lan.client.flush()
        gone = UP & unicast & match.dhcp(type="release", asks=False, server=lan.server.address)
        released = seen.wait_for(POINT, own & match.ipv4(src=address) & gone)
        expect_given_up(bench, seen, lan, address)
        if lan.served.leases:
            raise ExpectationFailed(f"server: {address} is leased yet, after #{released.number}")


def expect_four_messages(seen: Capture, lan: Lan, address: IPv4Address) -> TracedFrame:
    """DISCOVER, OFFER, REQUEST, ACK, then probes for the address; the REQUEST."""
    mac, server = lan.client.mac, lan.server.address
    new = TO_ALL & match.ipv4(src=NOBODY) & match.dhcp(ciaddr=NOBODY, client=mac)
    probe = match.arp(op="request", sender_mac=mac, sender_ip=NOBODY, target_ip=address)
    view = seen.at(POINT).both
    discover, offer, request, *_ = view.expect_sequence(
        new & match.dhcp(type="discover", names_server=False),
        DOWN & match.dhcp(type="offer", yiaddr=address, server=server),
        new & match.dhcp(type="request", requested=address, server=server),
        DOWN & match.dhcp(type="ack", yiaddr=address, lease_time=LEASE),
        probe,
        probe,
    )
    numbers = {message_of(each).xid for each in (discover, offer, request)}
    if len(numbers) != 1:
        raise ExpectationFailed(f"{POINT}: DISCOVER, OFFER and REQUEST have {len(numbers)} xids")
    used = match.arp(sender_ip=address) | match.ipv4(src=address)
    last = view.after(request).all(probe)[-1]
    seen.settle()
    seen.at(POINT).before(last).expect_none(match.eth(src=mac) & used)
    return request


def expect_request(
    seen: Capture, after: TracedFrame, address: IPv4Address, kind: Matcher, what: str
) -> TracedFrame:
    """The first DHCPREQUEST for more time: from the address, which is in ciaddr only."""
    extension = match.dhcp(type="request", ciaddr=address, asks=False, names_server=False)
    view = seen.at(POINT).after(after)
    found = view.first(kind & match.ipv4(src=address) & extension)
    if found is None:
        view.expect(kind & match.ipv4(src=address) & extension)
        raise ExpectationFailed(f"{POINT}: {what} did not come")
    return found


def expect_time(
    start: TracedFrame, end: TracedFrame, span: Duration, late: Duration, what: str
) -> None:
    """Something came when it was due, counted from the sending of a request (4.4.1)."""
    took = Duration(end.at - start.at)
    if not span - EARLY <= took <= span + late:
        raise ExpectationFailed(
            f"{POINT}: {what} came {format_duration(took)} after #{start.number}, expected "
            f"{format_duration(span)}, {format_duration(late)} late at most"
        )


def expect_given_up(bench: Bench, seen: Capture, lan: Lan, address: IPv4Address) -> None:
    """Nobody answers for an address."""
    end = bench.bring_up_network()["other"]
    before = seen.at("other--lan").both.frames[-1]
    who_has = ArpPacket.request(end.mac, end.ip, address)
    bench.nic("other").inject(compose(EthFrame(MacAddr.BROADCAST, end.mac), who_has))
    seen.settle()
    answer = match.arp(op="reply", sender_ip=address, sender_mac=lan.client.mac)
    seen.at("other--lan").after(before).expect_none(answer)


def message_of(traced: TracedFrame) -> dhcp.DhcpMessage:
    """The DHCP message of a frame that matched one."""
    udp = dissect(traced.data).udp
    assert udp is not None
    return dhcp.DhcpMessage.parse(udp.payload)


@AP01
@LAN
@drill(
    "uses a taken address",
    faults.python_stack(defects.dhcp.USES_TAKEN, role="client"),
    caught=r"dhcp\(type=decline.*did not come",
)
def test_a_taken_address_is_declined(bench: Bench) -> None:
    late = seconds(bench.tolerance("dhcp_late", 0.4))
    wait = seconds(bench.tolerance("decline_wait", 0.5))
    lan = Lan.of(bench)
    taken, free = lan.pool[:2]
    bench.host("other", StackConfig()).add_address(f"{taken}/24")
    lan.asking.config = replace(QUICK, decline_wait=wait)
    with bench.capture(POINT) as seen:
        lan.begin()
        declined = seen.wait_for(
            POINT,
            TO_ALL
            & match.ipv4(src=NOBODY)
            & match.dhcp(type="decline", requested=taken, server=lan.server.address, ciaddr=NOBODY),
        )
        lan.until(bench, ClientState.BOUND, Duration(wait + SOON))
        seen.settle()
    view = seen.at(POINT)
    own = match.eth(src=lan.client.mac)
    view.expect_none(own & (match.arp(sender_ip=taken) | match.ipv4(src=taken)))
    anew = view.after(declined).expect(TO_ALL & match.dhcp(type="discover"))
    expect_time(declined, anew, wait, late, "the next DISCOVER")
    view.after(anew).expect(TO_ALL & match.dhcp(type="request", requested=free))


@AP01
@LAN
@drill(
    "ignores refusals",
    faults.python_stack(defects.dhcp.IGNORES_NAK, role="client"),
    caught=r"expect none: eth.*came",
)
def test_a_refusal_ends_the_use_of_an_address(bench: Bench) -> None:
    lan = Lan.of(bench)
    first, second = lan.pool[:2]
    own = match.eth(src=lan.client.mac)
    nak = DOWN & match.ipv4(dst=ALL) & match.dhcp(type="nak", yiaddr=NOBODY)
    with bench.capture(POINT) as seen:
        lan.begin()
        lan.until(bench, ClientState.BOUND)
        # The server learns that the address is another's: it will not extend the lease.
        lan.served.pools[0].quarantine(first, lan.server.now(), seconds(60))
        refused = seen.wait_for(POINT, nak, sent=True)
        view = seen.at(POINT).after(refused)
        anew = TO_ALL & match.dhcp(type="discover")
        bench.wait_until(lambda: bool(view.all(anew)), SOON, "a DISCOVER after the refusal")
        seen.settle()
        view = seen.at(POINT).after(refused)
        view.expect_none(own & (match.arp(sender_ip=first) | match.ipv4(src=first)))
        lan.until(bench, ClientState.BOUND)
        seen.settle()
        seen.at(POINT).after(refused).expect(TO_ALL & match.dhcp(type="request", requested=second))

        # It comes from another network, and asks to keep the address that it had there.
        lease = lan.asking.lease
        assert lease is not None
        lan.asking.stop(lan.client.now())
        lan.client.stack.remove_address("eth0", lease.address, lan.client.now())
        foreign = IPv4Interface("192.0.2.7/24")
        lan.asking.start(lan.client.now(), remembered=replace(lease, address=foreign))
        lan.client.flush()
        reboot = seen.wait_for(
            POINT,
            TO_ALL
            & match.ipv4(src=NOBODY)
            & match.dhcp(type="request", requested=foreign.ip, ciaddr=NOBODY, names_server=False),
        )
        lan.until(bench, ClientState.BOUND)
        seen.settle()
    seen.at(POINT).after(reboot).both.expect_sequence(
        nak, TO_ALL & match.dhcp(type="discover", ciaddr=NOBODY), DOWN & match.dhcp(type="ack")
    )
    seen.at(POINT).after(reboot).expect_none(own & match.arp(sender_ip=foreign.ip))


@AP01
@LAN
@drill(
    "takes any answer",
    faults.python_stack(defects.dhcp.TAKES_ANY_ANSWER, role="client"),
    caught=r"expect none: .*request.* came",
)
@drill(
    "never backs off",
    faults.python_stack(defects.dhcp.NEVER_BACKS_OFF, role="client"),
    caught="the third DISCOVER came",
)
def test_it_asks_again_and_takes_its_own_answers_only(bench: Bench) -> None:
    late = seconds(bench.tolerance("dhcp_late", 0.4))
    lan = Lan.of(bench)
    discover = TO_ALL & match.dhcp(type="discover")
    lan.server.stack.answers.dhcp = False
    with bench.capture(POINT, "client--lan") as seen:
        lan.begin()
        first = seen.wait_for(POINT, discover)
        for answer in (dhcp.DhcpType.OFFER, dhcp.DhcpType.ACK):
            bench.nic("other").inject(others(message_of(first), answer, lan.pool[5]))
        seen.settle()
        seen.at("client--lan").sent.expect_none(UP & match.dhcp(type="request"))
        bench.wait_until(
            lambda: len(seen.at(POINT).all(discover)) >= 3, seconds(3), "the third DISCOVER"
        )
        lan.server.stack.answers.dhcp = True
        lan.until(bench, ClientState.BOUND)
        seen.settle()
    second, third = seen.at(POINT).all(discover)[1:3]
    expect_time(first, second, RETRY, late, "the second DISCOVER")
    expect_time(second, third, Duration(2 * RETRY), late, "the third DISCOVER")
    seen.at(POINT).after(third).expect(UP & match.dhcp(type="request", requested=lan.pool[0]))


def others(asked: dhcp.DhcpMessage, kind: int, address: IPv4Address) -> bytes:
    """An answer to a question that another client asked, which came here by broadcast."""
    source = IPv4Address("198.18.0.253")
    options = dhcp.dhcp_options(
        [(dhcp.DhcpCode.SERVER_ID, source), (dhcp.DhcpCode.LEASE_TIME, 600)]
    )
    message = dhcp.DhcpMessage.of(
        dhcp.DhcpOp.REPLY, kind, asked.xid ^ 1, STRANGER, *options, yiaddr=address, broadcast=True
    )
    return compose(
        EthFrame(MacAddr.BROADCAST, STRANGER),
        IPv4Packet(source, IPv4Address(ALL)),
        UdpDatagram(67, 68, message.emit()),
    )
