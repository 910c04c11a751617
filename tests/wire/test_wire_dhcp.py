"""DHCP messages: legal values, overload, hostile bytes; scapy reads ours and we read its."""

from __future__ import annotations

import warnings
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ips, macs, outcome, thorough, u8, u16, u32

from testbed.errors import WireError
from testbed.wire import (
    DhcpCode,
    DhcpMessage,
    DhcpOp,
    DhcpOption,
    DhcpType,
    EthFrame,
    IPv4Packet,
    MacAddr,
    UdpDatagram,
    compose,
    ipv4_address,
    summary,
)

MAC = MacAddr("02:00:00:00:00:01")
IP = ipv4_address("10.0.0.5")
TEXT: Any = "text"

codes = st.integers(1, 254).filter(lambda code: code != DhcpCode.OVERLOAD)
names = st.binary(max_size=60).filter(lambda data: b"\0" not in data)
messages = st.builds(
    DhcpMessage,
    op=st.sampled_from([1, 2]),
    xid=u32,
    client=macs,
    options=st.lists(
        st.builds(DhcpOption, codes, st.binary(max_size=300)),
        max_size=6,
        unique_by=lambda option: option.code,
    ).map(tuple),
    ciaddr=ips,
    yiaddr=ips,
    siaddr=ips,
    giaddr=ips,
    secs=u16,
    broadcast=st.booleans(),
    hops=u8,
    sname=names,
    file=names,
)


@thorough
@given(messages)
def test_a_dhcp_message_comes_back_as_it_went(message: DhcpMessage):
    data = message.emit()
    assert len(data) >= 300
    assert DhcpMessage.parse(data) == message


@thorough
@given(messages, st.integers(300, 800))
def test_options_that_do_not_fit_move_into_file_and_sname(message: DhcpMessage, limit: int):
    message = replace(message, sname=b"", file=b"")
    try:
        data = message.emit(limit=limit)
    except WireError:
        assert len(message.emit()) > limit
        return
    assert len(data) <= limit
    assert DhcpMessage.parse(data) == message


def test_overload_is_used_exactly_when_it_must_be():
    options = tuple(DhcpOption(code, bytes(50)) for code in range(200, 206))
    message = DhcpMessage(DhcpOp.REPLY, 1, MAC, options)
    whole = len(message.emit())
    assert whole == 240 + 6 * 52 + 1
    assert bytes((52, 1)) not in message.emit(limit=whole)
    data = message.emit(limit=whole - 1)
    assert bytes((52, 1, 1, 255)) in data  # file holds the last one
    assert data[108] == 205
    tight = message.emit(limit=240 + 3 * 52 + 4)
    assert bytes((52, 1, 3, 255)) in tight
    assert DhcpMessage.parse(tight) == message
    with pytest.raises(WireError, match="do not fit"):
        message.emit(limit=240 + 2 * 52 + 4)
    with pytest.raises(WireError, match="do not fit"):
        replace(message, file=b"boot").emit(limit=whole - 60)


@pytest.mark.parametrize(
    ("code", "value", "data"),
    [
        (DhcpCode.SUBNET_MASK, IPv4Address("255.255.255.0"), "ffffff00"),
        (DhcpCode.ROUTERS, (IP, IP), "0a0000050a000005"),
        (DhcpCode.LEASE_TIME, 3600, "00000e10"),
        (DhcpCode.MESSAGE_TYPE, 3, "03"),
        (DhcpCode.MAX_SIZE, 1500, "05dc"),
        (DhcpCode.HOST_NAME, "host", "686f7374"),
        (DhcpCode.PARAMETERS, b"\1\3\6", "010306"),
        # The examples of RFC 3442, "Classless Route Option Format".
        (
            DhcpCode.CLASSLESS_ROUTES,
            (
                (IPv4Network("0.0.0.0/0"), IP),
                (IPv4Network("10.17.0.0/16"), IP),
                (IPv4Network("10.27.129.0/24"), IP),
                (IPv4Network("10.198.122.47/32"), IP),
            ),
            "00 0a000005 10 0a11 0a000005 18 0a1b81 0a000005 20 0ac67a2f 0a000005",
        ),
    ],
)
def test_values_of_options(code: int, value: Any, data: str):
    option = DhcpOption.of(code, value)
    assert option.data == bytes.fromhex(data)
    assert option.value == value


@thorough
@given(codes, st.binary(max_size=40))
def test_asking_for_a_value_never_raises(code: int, data: bytes):
    value = DhcpOption(code, data).value
    if value is not None and not isinstance(value, str) and code != DhcpCode.CLASSLESS_ROUTES:
        assert DhcpOption.of(code, value).data == data


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (DhcpCode.SUBNET_MASK, b"\1\2\3"),
        (DhcpCode.ROUTERS, b""),
        (DhcpCode.ROUTERS, b"\1\2\3\4\5"),
        (DhcpCode.LEASE_TIME, b"\1"),
        (DhcpCode.CLASSLESS_ROUTES, b"\x21\1\2\3\4\5\1\2\3\4"),
        (DhcpCode.CLASSLESS_ROUTES, b"\x18\1\2\3\1\2\3"),
    ],
)
def test_bytes_that_are_no_value_give_none(code: int, data: bytes):
    assert DhcpOption(code, data).value is None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: DhcpMessage(3, 1, MAC), "op is 3"),
        (lambda: DhcpMessage(1, 1 << 32, MAC), "xid is 4294967296"),
        (lambda: DhcpMessage(1, 1, TEXT), "client must be"),
        (lambda: DhcpMessage(1, 1, MAC, ciaddr=TEXT), "must be IPv4Address"),
        (lambda: DhcpMessage(1, 1, MAC, sname=b"a\0b"), "no NUL"),
        (lambda: DhcpMessage(1, 1, MAC, file=bytes(129)), "128 bytes"),
        (lambda: DhcpMessage(1, 1, MAC, file=TEXT), "file is str"),
        (lambda: DhcpMessage(1, 1, MAC, (DhcpOption(1), DhcpOption(1))), "each code once"),
        (lambda: DhcpOption(0), "code 0"),
        (lambda: DhcpOption(52, b"\1"), "code 52"),
        (lambda: DhcpOption(255), "code 255"),
        (lambda: DhcpOption(1, TEXT), "data is str"),
        (lambda: DhcpOption.of(DhcpCode.LEASE_TIME, -1), "-1 is no value"),
        (lambda: DhcpOption.of(DhcpCode.ROUTERS, 5), "5 is no value"),
        (lambda: DhcpOption.of(DhcpCode.SUBNET_MASK, "x"), "'x' is no value"),
    ],
)
def test_what_is_illegal_in_dhcp_is_refused_by_name(make: Any, reason: str):
    with pytest.raises(WireError, match=reason):
        make()


def _with(options: bytes, **fields: bytes) -> bytes:
    data = bytearray(DhcpMessage(1, 1, MAC).emit()[:240])
    for at, value in ((44, fields.get("sname", b"")), (108, fields.get("file", b""))):
        data[at : at + len(value)] = value
    return bytes(data) + options


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (bytes(239), 239, "240 bytes or more"),
        (b"\3" + _with(b"")[1:], 0, "op 3"),
        (b"\1\6" + _with(b"")[2:], 1, "hardware type 6"),
        (_with(b"")[:236] + bytes(4), 236, "magic cookie 00000000"),
        (_with(b"\1\4\1\2"), 241, "option 1 of 4 bytes, 2 left"),
        (_with(b"\0\1"), 241, "without a length"),
        (_with(b"\x34\1\1", file=b"\1\x80"), 109, "option 1 of 128 bytes, 126 left"),
        (_with(b"\x34\1\2", sname=b"\1\x40"), 45, "option 1 of 64 bytes, 62 left"),
    ],
)
def test_the_fault_in_a_dhcp_message_is_placed_and_named(data: bytes, offset: int, reason: str):
    with pytest.raises(WireError, match=reason) as caught:
        DhcpMessage.parse(data)
    assert caught.value.offset == offset


@thorough
@given(messages, st.data())
def test_hostile_dhcp_raises_wire_errors_only(message: DhcpMessage, data: st.DataObject):
    raw = bytearray(message.emit())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(u8)
    cut = bytes(raw[: data.draw(st.integers(200, len(raw)))])
    parsed = outcome(DhcpMessage.parse, cut)
    if isinstance(parsed, WireError):
        assert parsed.offset is not None
        assert 0 <= parsed.offset <= len(cut)
    else:
        assert replace(parsed) == parsed


def test_pieces_of_an_option_are_joined_and_an_overloaded_field_is_no_name():
    data = _with(b"\x0c\2ab\x34\1\3\x0c\1c\xff", file=b"\x0c\1d\xff", sname=b"\x0c\1e\xff")
    message = DhcpMessage.parse(data)
    assert message.get(DhcpCode.HOST_NAME) == "abcde"  # RFC 3396 5: options, file, sname
    assert (message.file, message.sname) == (b"", b"")
    assert message.type is None


@pytest.fixture(scope="module")
def scapy_dhcp():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import dhcp  # noqa: PLC0415 - slow to load, and only here
    return dhcp


@thorough
@given(messages)
def test_scapy_reads_our_dhcp(scapy_dhcp: Any, message: DhcpMessage):
    message = replace(message, options=(DhcpOption.of(DhcpCode.MESSAGE_TYPE, 1),))
    seen = scapy_dhcp.BOOTP(message.emit())
    assert (seen.op, seen.xid, seen.secs, seen.hops) == (
        message.op,
        message.xid,
        message.secs,
        message.hops,
    )
    assert (seen.ciaddr, seen.yiaddr) == (str(message.ciaddr), str(message.yiaddr))
    assert (seen.siaddr, seen.giaddr) == (str(message.siaddr), str(message.giaddr))
    assert seen.chaddr[:6] == message.client.packed
    assert ("B" in str(seen.flags)) == message.broadcast
    assert seen.sname.rstrip(b"\0") == message.sname
    assert seen.file.rstrip(b"\0") == message.file
    assert seen[scapy_dhcp.DHCP].options[0] == ("message-type", 1)


def test_scapy_and_we_agree_on_options(scapy_dhcp: Any):
    built = scapy_dhcp.BOOTP(op=2, xid=7, chaddr=MAC.packed, yiaddr=str(IP)) / scapy_dhcp.DHCP(
        options=[
            ("message-type", "ack"),
            ("subnet_mask", "255.255.255.0"),
            ("router", "10.0.0.1", "10.0.0.2"),
            ("lease_time", 600),
            ("renewal_time", 300),
            ("rebinding_time", 525),
            ("server_id", "10.0.0.9"),
            ("hostname", b"box"),
            ("domain", b"lab.test"),
            ("name_server", "10.0.0.3"),
            ("client_id", b"\1abc"),
            ("max_dhcp_size", 1200),
            ("interface-mtu", 1400),
            "end",
        ]
    )
    message = DhcpMessage.parse(bytes(built))
    assert message.type == DhcpType.ACK
    assert (message.client, message.yiaddr, message.xid) == (MAC, IP, 7)
    assert message.get(DhcpCode.SUBNET_MASK) == IPv4Address("255.255.255.0")
    assert message.get(DhcpCode.ROUTERS) == (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"))
    assert message.get(DhcpCode.LEASE_TIME) == 600
    assert message.get(DhcpCode.RENEWAL_TIME) == 300
    assert message.get(DhcpCode.REBINDING_TIME) == 525
    assert message.get(DhcpCode.SERVER_ID) == IPv4Address("10.0.0.9")
    assert message.get(DhcpCode.HOST_NAME) == "box"
    assert message.get(DhcpCode.DOMAIN_NAME) == "lab.test"
    assert message.get(DhcpCode.MAX_SIZE) == 1200
    assert message.get(DhcpCode.INTERFACE_MTU) == 1400
    assert message.client_key == b"\1abc"
    # Every option that it wrote we write the same, in the same order.
    assert message.emit()[240:].rstrip(b"\0") == bytes(built)[240:]


def test_a_client_without_identifier_is_known_by_its_hardware():
    assert DhcpMessage(1, 1, MAC).client_key == b"\1" + MAC.packed


def test_a_capture_names_dhcp():
    message = DhcpMessage.of(
        DhcpOp.REPLY, DhcpType.OFFER, 1, MAC, DhcpOption.of(DhcpCode.LEASE_TIME, 60), yiaddr=IP
    )
    frame = compose(EthFrame(MAC, MAC), IPv4Packet(IP, IP), UdpDatagram(67, 68, message.emit()))
    assert summary(frame) == (
        "IP 10.0.0.5.67 > 10.0.0.5.68 DHCP offer for 02:00:00:00:00:01 yours 10.0.0.5 lease 60 s"
    )
    junk = compose(EthFrame(MAC, MAC), IPv4Packet(IP, IP), UdpDatagram(67, 68, b"junk"))
    assert summary(junk).endswith("UDP length 4")
