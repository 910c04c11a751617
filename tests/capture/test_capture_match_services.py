"""Matchers of DHCP and DNS: fields by name and number, near misses, and bytes that are neither."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from testbed.capture import match
from testbed.errors import PlanError
from testbed.wire import (
    DhcpCode,
    DhcpMessage,
    DhcpOp,
    DhcpOption,
    DhcpType,
    DnsMessage,
    DnsName,
    EthFrame,
    IPv4Packet,
    MacAddr,
    UdpDatagram,
    compose,
)

CLIENT = MacAddr("02:00:00:00:00:0a")
SERVER = IPv4Address("10.0.0.1")
WANTED = IPv4Address("10.0.0.100")
ETH = EthFrame(MacAddr.BROADCAST, CLIENT)
REQUEST = DhcpMessage.of(
    DhcpOp.REQUEST,
    DhcpType.REQUEST,
    0x1234,
    CLIENT,
    DhcpOption.of(DhcpCode.REQUESTED_ADDRESS, WANTED),
    broadcast=True,
    secs=3,
)


def datagram(data: bytes, source: int = 68, destination: int = 67) -> bytes:
    return compose(
        ETH,
        IPv4Packet(IPv4Address(0), IPv4Address("255.255.255.255")),
        UdpDatagram(source, destination, data),
    )


FRAME = datagram(REQUEST.emit())
QUERY = bytes(Ether() / IP() / UDP(sport=4000, dport=53) / DNS(id=7, qd=DNSQR(qname="a.test")))


@pytest.mark.parametrize(
    "matcher",
    [
        match.dhcp(),
        match.dhcp(type="request", op="request", xid=0x1234, client=CLIENT),
        match.dhcp(type={3, 1}, requested=WANTED, asks=True, names_server=False),
        match.dhcp(requested="10.0.0.0/24", broadcast=True, secs=range(2, 5)),
        match.dhcp(ciaddr="0.0.0.0", yiaddr="0.0.0.0", giaddr="0.0.0.0"),
    ],
)
def test_a_dhcp_message_is_matched_by_what_it_says(matcher):
    assert matcher(FRAME)


@pytest.mark.parametrize(
    ("matcher", "told"),
    [
        (match.dhcp(type="offer"), "dhcp.type request, wanted offer"),
        (match.dhcp(server=SERVER), "dhcp.server absent, wanted 10.0.0.1"),
        (match.dhcp(names_server=True), "dhcp.names_server False, wanted True"),
        (match.dhcp(lease_time=60), "dhcp.lease_time absent, wanted 60"),
    ],
)
def test_what_keeps_a_dhcp_message_from_matching_is_told(matcher, told):
    assert not matcher(FRAME)
    assert [str(miss) for miss in matcher.explain(FRAME)] == [told]


def test_other_ports_and_broken_messages_are_no_dhcp():
    assert not match.dhcp()(datagram(REQUEST.emit(), 68, 69))
    assert not match.dhcp()(datagram(REQUEST.emit()[:200]))
    assert not match.dhcp()(QUERY)


def test_a_query_that_scapy_made_is_matched():
    assert match.dns(ident=7, response=False, name="A.test.", type="a", rd=True, aa=False)(QUERY)
    assert match.dns(answers=0, authority=0, additional=0, rcode="noerror", tc=False)(QUERY)
    assert not match.dns(name="b.test")(QUERY)
    (miss,) = match.dns(type="mx").explain(QUERY)
    assert str(miss) == "dns.type a, wanted mx"


def test_dns_in_tcp_is_matched_where_a_segment_holds_a_whole_message():
    data = DnsMessage.query(9, DnsName("a.test")).emit()
    framed = len(data).to_bytes(2, "big") + data
    whole = bytes(Ether() / IP() / TCP(sport=4000, dport=53, flags="PA") / framed)
    assert match.dns(ident=9)(whole)
    part = bytes(Ether() / IP() / TCP(sport=4000, dport=53, flags="PA") / framed[:-1])
    assert not match.dns()(part)
    assert not match.dns()(bytes(Ether() / IP() / TCP(sport=4000, dport=53, flags="S")))
    assert not match.dns()(bytes(Ether() / IP() / TCP(sport=4000, dport=80, flags="PA") / framed))


def test_unknown_fields_and_values_are_mistakes_of_the_plan():
    with pytest.raises(PlanError, match=r"dhcp has no field .leasetime.; did you mean lease_time"):
        match.dhcp(leasetime=60)
    with pytest.raises(PlanError, match="'offering' is no number, expected a number or discover"):
        match.dhcp(type="offering")
    with pytest.raises(PlanError, match=r"dns\.name"):
        match.dns(name="a..b")
