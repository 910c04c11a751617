"""Matchers for PPPoE and PPP, on frames that scapy made and on those that cannot be read."""

from __future__ import annotations

import pytest

from testbed.capture import match
from testbed.capture.seen import look
from testbed.errors import PlanError
from testbed.wire import (
    ControlPacket,
    EtherType,
    EthFrame,
    MacAddr,
    PppFrame,
    PppoeCode,
    PppoePacket,
    PppoeTag,
    TagType,
    summary,
)

ppp = pytest.importorskip("scapy.layers.ppp")
l2 = pytest.importorskip("scapy.layers.l2")

ONE, TWO = "02:00:00:00:00:01", "02:00:00:00:00:02"


def session(protocol: int, data: bytes, number: int = 7) -> bytes:
    packet = PppoePacket(PppoeCode.SESSION, number, PppFrame(protocol, data).emit())
    return EthFrame(MacAddr(TWO), MacAddr(ONE), EtherType.PPPOE_SESSION, packet.emit()).emit()


def test_discovery_that_scapy_made():
    tags = ppp.PPPoED_Tags(
        tag_list=[
            ppp.PPPoETag(tag_type=0x0101, tag_value=b"gold"),
            ppp.PPPoETag(tag_type=0x0102, tag_value=b"ac"),
            ppp.PPPoETag(tag_type=0x0103, tag_value=b"uniq"),
            ppp.PPPoETag(tag_type=0x0110, tag_value=b"relay"),
        ]
    )
    frame = bytes(l2.Ether(src=ONE, dst=TWO, type=0x8863) / ppp.PPPoED(code=7) / tags)
    wanted = match.pppoe(
        code="pado",
        session=0,
        service=b"gold",
        ac_name=b"ac",
        host_uniq=b"uniq",
        relay=b"relay",
        error=False,
    )
    assert wanted(frame)
    assert not match.pppoe(cookie=b"x")(frame)
    assert not match.ppp()(frame)
    assert str(match.pppoe(code="padi").misses(look(frame))[0].field) == "pppoe.code"
    assert summary(frame) == f"{ONE} > {TWO} PPPoE PADO session 0"


def test_link_control_that_scapy_made():
    options = [
        ppp.PPP_LCP_MRU_Option(max_recv_unit=1492),
        ppp.PPP_LCP_Auth_Protocol_Option(auth_protocol=0xC223, data=b"\x05"),
        ppp.PPP_LCP_Magic_Number_Option(magic_number=0x01020304),
    ]
    frame = bytes(
        l2.Ether(src=ONE, dst=TWO)
        / ppp.PPPoE(sessionid=7)
        / ppp.PPP()
        / ppp.PPP_LCP_Configure(code=1, id=9, options=options)
    )
    wanted = match.ppp(
        protocol="lcp",
        code=1,
        ident=9,
        session=7,
        mru=range(1, 1493),
        authentication=b"\xc2\x23\x05",
        magic=0x01020304,
    )
    assert wanted(frame)
    assert not match.ppp(mru=range(1493, 2000))(frame)
    assert not match.ppp(address="10.0.0.1")(frame)
    assert summary(frame).endswith("PPPoE session 7 LCP Configure-Request id 9")
    ipcp = bytes(
        l2.Ether(src=ONE, dst=TWO)
        / ppp.PPPoE(sessionid=7)
        / ppp.PPP()
        / ppp.PPP_IPCP(code=3, id=4, options=[ppp.PPP_IPCP_Option_IPAddress(data="10.9.0.1")])
    )
    assert match.ppp(protocol="ipcp", code=3, address="10.9.0.1")(ipcp)


def test_echoes_and_packets_of_ip():
    echo = session(0xC021, ControlPacket.echo(9, 3, 0x0A0B0C0D, b"hello").emit())
    assert match.ppp(code=9, magic=0x0A0B0C0D, data=b"\x0a\x0b\x0c\x0dhello", length=13)(echo)
    assert match.ppp(protocol="ipv4", length=20)(session(0x0021, bytes(20)))
    assert not match.ppp(code=0)(session(0x0021, bytes(20)))
    assert summary(session(0x0021, bytes(20))).endswith("PPPoE session 7 IP length 20")
    assert summary(session(0x8057, bytes(9))).endswith("protocol 0x8057 length 9")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        bytes(14),
        EthFrame(MacAddr(TWO), MacAddr(ONE), EtherType.PPPOE_SESSION, b"\x21" + bytes(9)).emit(),
        EthFrame(MacAddr(TWO), MacAddr(ONE), EtherType.PPPOE_DISCOVERY, b"\x11\x09").emit(),
        session(0xC021, b""),
        session(0xC021, b"\x01\x01\x00\x06\x01\x01"),
        EthFrame(
            MacAddr(TWO),
            MacAddr(ONE),
            EtherType.PPPOE_DISCOVERY,
            PppoePacket(PppoeCode.PADI, 0, b"\x01\x01\x00\x09").emit(),
        ).emit(),
    ],
)
def test_what_cannot_be_read_matches_nothing_and_raises_nothing(frame: bytes):
    assert not match.pppoe(service=b"x")(frame)
    assert not match.ppp(mru=1492)(frame)
    assert not match.ppp(address="10.0.0.1")(frame)
    assert not match.ppp(magic=1)(frame)
    assert isinstance(summary(frame), str)
    match.pppoe(service=b"x", error=True).misses(look(frame))


def test_errors_among_tags():
    refusal = PppoePacket.discovery(PppoeCode.PADS, [PppoeTag(TagType.SERVICE_NAME_ERROR, b"no")])
    frame = EthFrame(MacAddr(TWO), MacAddr(ONE), EtherType.PPPOE_DISCOVERY, refusal.emit()).emit()
    assert match.pppoe(code="pads", error=True)(frame)
    with pytest.raises(PlanError, match="no field 'name'"):
        match.pppoe(name=b"x")  # type: ignore[call-arg]
