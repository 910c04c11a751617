"""MAC and IPv4 addresses as values."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from wire_strategies import ips, thorough

from testbed.errors import WireError
from testbed.wire import (
    MacAddr,
    class_network,
    class_of,
    directed_broadcast,
    ipv4_address,
    multicast_mac,
)
from testbed.wire.addresses import ipv4_from_int, mac_from_bytes


def test_mac_forms_are_equal():
    mac = MacAddr("02:00:00:00:0A:01")
    assert mac == MacAddr("02-00-00-00-0a-01") == MacAddr(b"\x02\0\0\0\x0a\x01") == MacAddr(mac)
    assert hash(mac) == hash(mac_from_bytes(mac.packed))
    assert str(mac) == "02:00:00:00:0a:01"
    assert repr(mac) == "MacAddr('02:00:00:00:0a:01')"


@pytest.mark.parametrize(
    "text", ["", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00-00:00:00:01", "02:00:00:00:00:01\n"]
)
def test_text_that_is_no_mac(text: str):
    with pytest.raises(WireError, match="no MAC address"):
        MacAddr(text)


def test_mac_bits_and_order():
    assert MacAddr.BROADCAST.is_group
    assert not MacAddr("02:00:00:00:00:01").is_group
    assert MacAddr("02:00:00:00:00:01").is_local
    assert MacAddr.ZERO < MacAddr.BROADCAST
    with pytest.raises(WireError, match="6 bytes, got 5"):
        MacAddr(bytes(5))
    with pytest.raises(TypeError):
        assert MacAddr.ZERO < 1


@pytest.mark.parametrize("value", ["10.0.0.1", 0x0A000001, b"\x0a\0\0\1", IPv4Address("10.0.0.1")])
def test_ipv4_forms_are_equal(value: str | int | bytes | IPv4Address):
    assert ipv4_address(value) == IPv4Address("10.0.0.1") == ipv4_from_int(0x0A000001)


@pytest.mark.parametrize("value", ["10.0.0", "10.0.0.256", "::1", -1, 1 << 32, b"\x0a"])
def test_what_is_no_ipv4_address(value: str | int | bytes):
    with pytest.raises(WireError, match="no IPv4 address"):
        ipv4_address(value)


@pytest.mark.parametrize(
    ("ip", "kind", "network"),
    [
        ("0.0.0.0", "A", "0.0.0.0/8"),
        ("127.255.255.255", "A", "127.0.0.0/8"),
        ("128.0.0.0", "B", "128.0.0.0/16"),
        ("191.255.255.255", "B", "191.255.0.0/16"),
        ("192.0.0.0", "C", "192.0.0.0/24"),
        ("223.255.255.255", "C", "223.255.255.0/24"),
        ("224.0.0.0", "D", None),
        ("239.255.255.255", "D", None),
        ("240.0.0.0", "E", None),
        ("255.255.255.255", "E", None),
    ],
)
def test_classes_at_their_borders(ip: str, kind: str, network: str | None):
    assert class_of(IPv4Address(ip)) == kind
    if network:
        assert class_network(IPv4Address(ip)) == IPv4Network(network)
    else:
        with pytest.raises(WireError, match=f"class {kind}"):
            class_network(IPv4Address(ip))


@thorough
@given(ips)
def test_a_class_is_the_run_of_leading_ones(ip: IPv4Address):
    ones = len(f"{int(ip):032b}".split("0", maxsplit=1)[0])
    assert class_of(ip) == "ABCDE"[min(ones, 4)]


def test_directed_broadcast():
    assert directed_broadcast(IPv4Interface("10.1.2.3/20")) == IPv4Address("10.1.15.255")
    assert directed_broadcast(IPv4Network("10.0.0.0/30")) == IPv4Address("10.0.0.3")
    with pytest.raises(WireError, match="longer than 30"):
        directed_broadcast(IPv4Network("10.0.0.0/31"))


def test_multicast_mac_keeps_23_bits():
    # 224.0.0.1 and its 31 namesakes, of which 239.128.0.1 is one (RFC 1112 6.4).
    assert multicast_mac(IPv4Address("224.0.0.1")) == MacAddr("01:00:5e:00:00:01")
    assert multicast_mac(IPv4Address("239.128.0.1")) == MacAddr("01:00:5e:00:00:01")
    assert multicast_mac(IPv4Address("239.255.255.255")) == MacAddr("01:00:5e:7f:ff:ff")
    with pytest.raises(WireError, match="no multicast address"):
        multicast_mac(IPv4Address("10.0.0.1"))
