"""One datagram goes to one host, to all of a network, or to all that joined a group.

Sent to a host's address, to the subnet's broadcast, to 255.255.255.255 or to a group it is the same
datagram, in frames for one station, for all stations, and for the group's MAC address
01:00:5e and the low 23 bits of the group (RFC 1112 6.4); to a group with TTL 1 unless asked for
more (RFC 1112 6.1). Who listens on the port gets one copy of each: every socket, on every host
(RFC 1122 4.1.3.5); of a group only on hosts that joined it, which they tell by IGMP (RFC 1112
7.1): to the group, or by version 3 to 224.0.0.22. To a port where nobody listens there is silence:
"an ICMP error message MUST NOT be sent as the result of receiving [...] a datagram destined to an
IP broadcast or IP multicast address" (RFC 1122 3.2.2).

The first plan judges a kernel host, as receiver and as sender. The second is of several hosts on
one switch: Python stacks, for benches have kernel hosts on cables of their own.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    ExpectationFailed,
    Host,
    MacAddr,
    Matcher,
    StackConfig,
    StackHost,
    Topology,
    defects,
    drill,
    faults,
    match,
    seconds,
)

UD03 = pytest.mark.behaviour("UD-03", clause="RFC 1112, RFC 1122 3.2.2")
POINT = "peer--dut"
PORT, SOURCE, CLOSED = 5341, 5342, 5349
LIMITED = IPv4Address("255.255.255.255")
GROUP, OTHER = IPv4Address("239.146.3.5"), IPv4Address("239.146.3.6")
GROUP_MAC = MacAddr("01:00:5e:12:03:05")
ALL = MacAddr.BROADCAST
PAYLOAD = b"one for all"
REPORT = match.ipv4(protocol="igmp", dst={GROUP, IPv4Address("224.0.0.22")}, ttl=1)
SOON = seconds(3)


@UD03
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "hears groups unasked",
    faults.python_stack(defects.udp.HEARS_GROUPS_UNASKED),
    caught="nobody joined 239.146.3.6, and it was answered",
)
@drill(
    "joins in silence",
    faults.python_stack(defects.udp.JOINS_IN_SILENCE),
    caught="protocol=2.*did not come",
)
@drill(
    "groups to all stations",
    faults.python_stack(defects.udp.GROUPS_TO_ALL_STATIONS),
    caught="dst=01:00:5e:12:03:05.*did not come",
)
@drill(
    "deaf to 255.255.255.255",
    faults.nft("type filter hook input priority 0;", "ip daddr 255.255.255.255 drop"),
    caught="to 255.255.255.255: .*did not come",
)
@drill(
    "forgets what it joined",
    faults.nft("type filter hook prerouting priority -300;", "ip daddr 239.0.0.0/8 drop"),
    caught="to 239.146.3.5: .*did not come",
)
@drill(
    "sends far",
    faults.nft("type filter hook output priority 0;", "ip daddr 239.0.0.0/8 ip ttl set 64"),
    caught="ttl=1.*did not come",
)
def test_a_host_takes_and_sends_to_one_all_and_a_group(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    end = bench.bring_up_network()["dut"]
    everywhere = (end.ip, end.address.network.broadcast_address, LIMITED, GROUP)
    with bench.capture(POINT) as seen:
        dut.udp_serve(PORT, groups=((str(GROUP), str(end.ip)),))
        seen.wait_for(POINT, REPORT, SOON)
        expect_heard(seen, peer, dut, everywhere)
        expect_silence(seen, peer, (OTHER,), PORT, f"nobody joined {OTHER}")
        expect_silence(seen, peer, everywhere[1:], CLOSED, "nobody listens")
        dut.stop_services()
        dut.udp_serve(PORT)
        expect_silence(seen, peer, (GROUP,), PORT, f"{GROUP} was left")
        expect_sent(bench, seen, dut, str(end.ip))


def expect_heard(
    seen: Capture, peer: StackHost, dut: Host, addresses: Iterable[IPv4Address]
) -> None:
    """A datagram to each of these addresses is delivered once, and answered from the first."""
    socket = peer.udp(SOURCE)
    socket.udp.broadcast = True
    targets = list(addresses)
    for number, address in enumerate(targets):
        payload = PAYLOAD + b" %d" % number
        if error := socket.send(payload, str(address), PORT):
            raise ExpectationFailed(f"peer: nothing can be sent to {address}: {error}")
        answer = match.ipv4(src=targets[0]) & match.udp(
            src_port=PORT, dst_port=SOURCE, payload=payload
        )
        try:
            seen.wait_for(POINT, answer, SOON)
        except ExpectationFailed as failure:
            told = f"{POINT}: a datagram to {address}: {failure.summary}"
            raise ExpectationFailed(told, failure.details) from None
    seen.settle()
    seen.at(POINT).expect_count(match.udp(src_port=PORT), len(targets))
    came = dut.udp_received(PORT, count=len(targets), within=SOON)
    if len(came) != len(targets):
        raise ExpectationFailed(f"dut: {len(came)} datagrams came, {len(targets)} were sent")
    socket.close()


def expect_silence(
    seen: Capture,
    peer: StackHost,
    addresses: Iterable[IPv4Address],
    port: int,
    why: str,
) -> None:
    """A datagram to each of these has no answer and no error."""
    socket = peer.udp(SOURCE)
    socket.udp.broadcast = True
    start = seen.at(POINT).both.frames[-1]
    for address in addresses:
        socket.send(PAYLOAD, str(address), port)
    echo = match.udp(src_port=PORT, dst_port=SOURCE, payload=b"a sign of life")
    if port == PORT:  # what is taken before this was is answered before it, too
        socket.send(b"a sign of life", "dut", PORT)
        seen.wait_for(POINT, echo, SOON)
    seen.settle()
    for kind in (match.udp(src_port=port, payload=PAYLOAD), match.icmpv4(type=3)):
        came = seen.at(POINT).after(start).first(kind)
        if came is not None:
            raise ExpectationFailed(f"{POINT}: {why}, and it was answered in #{came.number}")
    seen.at(POINT).after(start).expect_none(match.icmpv4(type=3))
    socket.close()


def expect_sent(bench: Bench, seen: Capture, dut: Host, source: str) -> None:
    """The host's own datagrams: one frame each, for whom they are meant."""
    network = bench.bring_up_network()
    peer = network["peer"]
    every = peer.address.network.broadcast_address
    targets: tuple[tuple[IPv4Address, MacAddr, Matcher], ...] = (
        (peer.ip, peer.mac, match.ipv4()),
        (every, ALL, match.ipv4()),
        (LIMITED, ALL, match.ipv4()),
        (GROUP, GROUP_MAC, match.ipv4(ttl=1)),
    )
    for address, mac, more in targets:
        error = dut.udp_send(str(address), CLOSED, PAYLOAD, source=source)
        if error is not None:
            raise ExpectationFailed(f"dut: nothing can be sent to {address}: {error}")
        datagram = match.udp(dst_port=CLOSED, payload=PAYLOAD, bad_checksum=False)
        to = match.ipv4(src=source, dst=address) & more
        seen.wait_for(POINT, match.eth(dst=mac) & to & datagram, SOON)
        seen.settle()
        seen.at(POINT).expect_count(match.ipv4(dst=address) & datagram, 1)


@UD03
@pytest.mark.topology(Topology.star("lan", "sender", "member", "second", "outsider"))
@drill(
    "one taker of many",
    faults.python_stack(defects.udp.ONE_TAKER_OF_MANY, role="member"),
    caught="member: socket 2 got .*expected",
)
@drill(
    "hears groups unasked",
    faults.python_stack(defects.udp.HEARS_GROUPS_UNASKED, role="outsider"),
    caught="outsider: socket 1 got .*expected",
)
@drill(
    "groups to all stations",
    faults.python_stack(defects.udp.GROUPS_TO_ALL_STATIONS, role="sender"),
    caught="dst=01:00:5e:12:03:05.*it did not come",
)
def test_all_listeners_get_one_copy_each(bench: Bench) -> None:
    sender, member, second, outsider = (
        bench.host(name, StackConfig()) for name in ("sender", "member", "second", "outsider")
    )
    sockets = [(member, 1), (member, 2), (second, 1), (outsider, 1)]
    opened = [host.stack.udp.open(host.now(), port=PORT, reuse=True) for host, _ in sockets]
    with bench.capture() as seen:
        for (host, _), socket in zip(sockets, opened, strict=True):
            if host is not outsider:
                socket.join(GROUP, "eth0", host.now())
                host.flush()
        for host, name in ((member, "member"), (second, "second")):
            seen.wait_for("outsider--lan", REPORT & match.ipv4(src=host.address), SOON)
            seen.at(f"{name}--lan").sent.expect_at_least(REPORT, 1)
        one = bench.bring_up_network()["member"]
        every = one.address.network.broadcast_address
        sending = sender.udp(SOURCE)
        sending.udp.broadcast = True
        sending.udp.multicast_interface = "eth0"
        sending.send(PAYLOAD, "second", PORT)
        bench.wait_until(lambda: opened[2].readable, SOON, "the datagram to second")
        for address in (every, LIMITED, GROUP):
            sending.send(PAYLOAD, str(address), PORT)
        seen.settle()
        # Each has the broadcasts, members the group's besides, ``second`` its own.
        wanted = ((member, 3), (member, 3), (second, 4), (outsider, 2))
        for (host, number), socket, (_, count) in zip(sockets, opened, wanted, strict=True):
            got = [socket.receive() for _ in range(socket.waiting)]
            told = ", ".join(str(each.destination) for each in got if each is not None)
            if len(got) != count:
                raise ExpectationFailed(
                    f"{host.name}: socket {number} got {len(got)} datagrams ({told or 'none'}), "
                    f"expected {count}"
                )
    group = match.eth(dst=GROUP_MAC) & match.ipv4(dst=GROUP, ttl=1) & match.udp(payload=PAYLOAD)
    seen.at("second--lan").expect_count(group, 1)
    seen.at("second--lan").expect_count(match.eth(dst=ALL) & match.udp(payload=PAYLOAD), 2)
    seen.at("sender--lan").expect_none(match.icmpv4(type=3))
