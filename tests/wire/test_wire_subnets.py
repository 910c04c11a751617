"""Classes, masks and host counts, against the standard library and the RFCs' boundaries."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ips, thorough, u32

from testbed.errors import WireError
from testbed.wire.subnets import (
    class_network,
    class_of,
    directed_broadcast,
    host_count,
    host_range,
    mask_of,
    prefix_of,
)

prefixes = st.integers(0, 32)


@thorough
@given(ips, prefixes)
def test_masks_are_the_standard_librarys(ip: IPv4Address, prefix: int):
    network = IPv4Network((ip, prefix), strict=False)
    assert mask_of(prefix) == network.netmask
    assert prefix_of(network.netmask) == prefix
    assert int(ip) & int(mask_of(prefix)) == int(network.network_address)
    if prefix <= 30:
        assert int(directed_broadcast(network)) == int(ip) | ~int(mask_of(prefix)) & 0xFFFFFFFF


@pytest.mark.parametrize("prefix", range(20, 33))
def test_hosts_are_those_that_the_standard_library_counts(prefix: int):
    network = IPv4Network((IPv4Address("10.20.0.0"), prefix))
    hosts = list(network.hosts())
    assert host_count(network) == len(hosts)
    assert host_range(network) == (hosts[0], hosts[-1])


def test_two_hosts_share_a_prefix_of_31_bits_and_one_has_32_to_itself():
    assert host_count(IPv4Network("10.0.0.0/31")) == 2  # RFC 3021 2.1
    assert host_count(IPv4Network("10.0.0.7/32")) == 1
    assert host_count(IPv4Network("10.0.0.0/30")) == 2
    assert host_count(IPv4Network("0.0.0.0/0")) == 2**32 - 2


@thorough
@given(u32)
def test_a_mask_is_contiguous_or_none_at_all(number: int):
    legal = {int(IPv4Network((0, prefix)).netmask) for prefix in range(33)}
    if number in legal:
        assert int(mask_of(prefix_of(IPv4Address(number)))) == number
    else:
        with pytest.raises(WireError, match="not contiguous"):
            prefix_of(IPv4Address(number))


@pytest.mark.parametrize("prefix", [-1, 33])
def test_other_prefixes_are_refused(prefix: int):
    with pytest.raises(WireError):
        mask_of(prefix)


@pytest.mark.parametrize(
    ("first", "last", "kind", "prefix"),
    [
        ("0.0.0.0", "127.255.255.255", "A", 8),
        ("128.0.0.0", "191.255.255.255", "B", 16),
        ("192.0.0.0", "223.255.255.255", "C", 24),
        ("224.0.0.0", "239.255.255.255", "D", None),
        ("240.0.0.0", "255.255.255.255", "E", None),
    ],
)
def test_classes_begin_and_end_where_rfc_791_and_rfc_1112_have_them(first, last, kind, prefix):
    for text in (first, last):
        ip = IPv4Address(text)
        assert class_of(ip) == kind
        if prefix is None:
            with pytest.raises(WireError):
                class_network(ip)
        else:
            assert class_network(ip) == IPv4Network((ip, prefix), strict=False)
