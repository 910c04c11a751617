"""PPP, its framing and PPPoE: round trips, scapy both ways, the RFCs' numbers, hostile bytes."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers import ppp as scapy_ppp
from wire_strategies import blob, ips, thorough, u8, u16, u32

from testbed.errors import WireError
from testbed.wire.hdlc import (
    ABORT,
    BitReader,
    ByteReader,
    Fcs,
    bit_frame,
    byte_frame,
    checked,
    fcs16,
    stuff_bits,
    stuff_bytes,
)
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_auth import ChapValue, PapReply, PapRequest, chap_md5
from testbed.wire.ppp_control import (
    ControlCode,
    ControlPacket,
    IpcpOption,
    LcpOption,
    PppOption,
    emit_ppp_options,
    parse_ppp_options,
)
from testbed.wire.pppoe import PppoeCode, PppoePacket, PppoeTag, TagType, emit_tags, parse_tags

protocols = u16.map(lambda number: (number | 1) & 0xFEFF)
frames = st.builds(PppFrame, protocols, blob)
options = st.lists(st.builds(PppOption, u8, st.binary(max_size=20)), max_size=6).map(tuple)
control = st.builds(ControlPacket, u8, u8, blob)
tags = st.lists(st.builds(PppoeTag, st.integers(1, 0xFFFF), blob), max_size=5).map(tuple)
pppoe = st.builds(PppoePacket, u8, u16, blob)
short = st.binary(max_size=255)
checks = st.sampled_from([Fcs.CRC16, Fcs.CRC32])
contents = st.binary(min_size=2, max_size=120) | st.lists(
    st.sampled_from([b"\x7e", b"\x7d", b"\x5e", b"\x5d", b"\0", b"\xff", b"\x1f"]), min_size=2
).map(b"".join)


@thorough
@given(frames, st.booleans(), st.booleans())
def test_frames_come_back(frame: PppFrame, acfc: bool, pfc: bool):
    assert PppFrame.parse(frame.emit(pfc=pfc)) == frame
    if frame.protocol != 0xFF:
        assert PppFrame.parse_hdlc(frame.emit_hdlc(acfc=acfc, pfc=pfc)) == frame


def test_address_control_and_protocol_are_compressed_only_where_they_may_be():
    ip = PppFrame(PppProtocol.IPV4, b"x")
    assert ip.emit_hdlc().hex() == "ff03002178"
    assert ip.emit_hdlc(acfc=True, pfc=True).hex() == "2178"
    lcp = PppFrame(PppProtocol.LCP, b"x")
    assert lcp.emit_hdlc(acfc=True, pfc=True).hex() == "ff03c02178"


@thorough
@given(control, options, tags, pppoe)
def test_packets_come_back(packet, some, labels, ether):
    assert ControlPacket.parse(packet.emit() + b"padding") == packet
    assert parse_ppp_options(emit_ppp_options(some)) == some
    assert parse_tags(emit_tags(labels)) == labels
    assert PppoePacket.parse(ether.emit() + b"padding") == ether


@thorough
@given(short, short, st.binary(min_size=1, max_size=255), blob)
def test_credentials_come_back(peer, password, value, name):
    assert PapRequest.parse(PapRequest(peer, password).emit()) == PapRequest(peer, password)
    assert PapReply.parse(PapReply(peer).emit()) == PapReply(peer)
    assert ChapValue.parse(ChapValue(value, name).emit()) == ChapValue(value, name)


@thorough
@given(u16, u32, u32, u8, st.sampled_from([1, 2, 3, 4]))
def test_scapy_reads_our_lcp(mru, accm, magic, ident, code):
    ours = ControlPacket.configure(
        code,
        ident,
        (
            PppOption.number(LcpOption.MRU, mru, 2),
            PppOption.number(LcpOption.ACCM, accm, 4),
            PppOption.number(LcpOption.AUTHENTICATION, 0xC22305, 3),
            PppOption.number(LcpOption.MAGIC, magic, 4),
        ),
    )
    theirs = scapy_ppp.PPP(PppFrame(PppProtocol.LCP, ours.emit()).emit_hdlc())
    lcp = theirs[scapy_ppp.PPP_LCP_Configure]
    assert (lcp.code, lcp.id, lcp.len) == (code, ident, 4 + len(ours.data))
    first, second, third, fourth = lcp.options
    assert (first.max_recv_unit, second.accm, fourth.magic_number) == (mru, accm, magic)
    assert (third.auth_protocol, third.algorithm) == (0xC223, 5)


@thorough
@given(u16, u32, ips, u8)
def test_we_read_scapys_lcp_and_ipcp(mru, magic, ip, ident):
    lcp = scapy_ppp.PPP() / scapy_ppp.PPP_LCP_Configure(
        code=1,
        id=ident,
        options=[
            scapy_ppp.PPP_LCP_MRU_Option(max_recv_unit=mru),
            scapy_ppp.PPP_LCP_Magic_Number_Option(magic_number=magic),
        ],
    )
    frame = PppFrame.parse_hdlc(bytes(lcp))
    packet = ControlPacket.parse(frame.information)
    assert frame.protocol == PppProtocol.LCP
    assert (packet.code, packet.ident) == (ControlCode.CONFIGURE_REQUEST, ident)
    assert packet.options == (
        PppOption.number(LcpOption.MRU, mru, 2),
        PppOption.number(LcpOption.MAGIC, magic, 4),
    )
    ipcp = scapy_ppp.PPP_IPCP(
        code=3, id=ident, options=[scapy_ppp.PPP_IPCP_Option_IPAddress(data=str(ip))]
    )
    assert ControlPacket.parse(bytes(ipcp)).options == (PppOption.address(IpcpOption.ADDRESS, ip),)


@thorough
@given(u8, u32, blob)
def test_scapy_and_we_agree_on_echoes_and_rejects(ident, magic, data):
    theirs = scapy_ppp.PPP_LCP_Echo(code=9, id=ident, magic_number=magic, data=data)
    ours = ControlPacket.echo(ControlCode.ECHO_REQUEST, ident, magic, data)
    assert bytes(theirs) == ours.emit()
    assert ours.magic == magic
    refused = scapy_ppp.PPP_LCP_Protocol_Reject(
        id=ident, rejected_protocol=0x8057, rejected_information=scapy_ppp.Packet()
    )
    assert bytes(refused) == ControlPacket.protocol_reject(ident, 0x8057, b"").emit()


@thorough
@given(u8, short, short, st.binary(min_size=1, max_size=255), st.binary(max_size=30))
def test_scapy_and_we_agree_on_credentials(ident, peer, password, value, name):
    request = scapy_ppp.PPP_PAP_Request(id=ident, username=peer, password=password)
    assert bytes(request) == ControlPacket(1, ident, PapRequest(peer, password).emit()).emit()
    reply = scapy_ppp.PPP_PAP_Response(code=3, id=ident, message=peer)
    assert bytes(reply) == ControlPacket(3, ident, PapReply(peer).emit()).emit()
    challenge = scapy_ppp.PPP_CHAP_ChallengeResponse(
        code=1, id=ident, value=value, optional_name=name
    )
    assert bytes(challenge) == ControlPacket(1, ident, ChapValue(value, name).emit()).emit()


@thorough
@given(u16, tags)
def test_scapy_and_we_agree_on_discovery(session, labels):
    theirs = scapy_ppp.PPPoED(code=0x65, sessionid=session) / scapy_ppp.PPPoED_Tags(
        tag_list=[scapy_ppp.PPPoETag(tag_type=tag.kind, tag_value=tag.data) for tag in labels]
    )
    assert bytes(theirs) == PppoePacket.discovery(PppoeCode.PADS, labels, session).emit()


def test_tags_end_where_the_list_does():
    data = emit_tags((PppoeTag(TagType.SERVICE_NAME),)) + bytes(4) + b"\xff"
    assert parse_tags(data) == (PppoeTag(TagType.SERVICE_NAME),)


def test_check_sequences_have_the_values_of_their_catalogues():
    # The check values of CRC-16/X-25 and CRC-32/ISO-HDLC for "123456789".
    assert fcs16(b"123456789") == 0x906E
    assert Fcs.CRC32.of(b"123456789") == (0xCBF43926).to_bytes(4, "little")
    assert Fcs.CRC16.of(b"123456789") == b"\x6e\x90"


@thorough
@given(blob)
def test_good_frames_leave_the_residues_of_rfc_1662(data: bytes):
    # PPPGOODFCS16 is 0xf0b8 and PPPGOODFCS32 0xdebb20e3, before the final complement.
    assert fcs16(data + Fcs.CRC16.of(data)) ^ 0xFFFF == 0xF0B8
    assert zlib.crc32(data + Fcs.CRC32.of(data)) ^ 0xFFFFFFFF == 0xDEBB20E3


@thorough
@given(st.lists(contents, min_size=1, max_size=4), u32, checks, st.integers(1, 7))
def test_byte_framing_comes_back_in_any_pieces(packets, accm, fcs, piece):
    line = b"".join([byte_frame(packet, accm, fcs) for packet in packets])
    reader = ByteReader(accm, fcs)
    found = [
        frame for at in range(0, len(line), piece) for frame in reader.feed(line[at : at + piece])
    ]
    assert found == packets
    for packet in packets:
        body = byte_frame(packet, accm, fcs)[1:-1]
        assert 0x7E not in body
        assert not any(byte < 0x20 and accm >> byte & 1 for byte in body)


def test_characters_that_modems_put_in_are_removed():
    line = byte_frame(b"hello").replace(b"l", b"\x11l\x13")
    assert ByteReader(accm=0xFFFFFFFF).feed(line) == [b"hello"]
    reader = ByteReader(accm=0)
    assert reader.feed(line) == []
    assert reader.bad_checks == 1


def test_an_escape_before_the_flag_aborts_the_frame():
    reader = ByteReader()
    assert reader.feed(b"\x7ehello" + ABORT + byte_frame(b"again")) == [b"again"]
    assert (reader.aborted, reader.bad_checks) == (1, 0)


def test_stuffing_escapes_as_rfc_1662_shows():
    # RFC 1662 4.2: 0x7e is 0x7d 0x5e, 0x7d is 0x7d 0x5d, 0x03 (ETX) is 0x7d 0x23.
    assert stuff_bytes(b"\x7e\x7d\x03").hex() == "7d5e7d5d7d23"
    assert stuff_bytes(b"\x03\x11", accm=1 << 0x11).hex() == "037d31"
    with pytest.raises(WireError):
        stuff_bytes(b"", 1 << 32)


def test_frames_too_long_or_too_short_are_counted_and_dropped():
    for reader, frame in ((ByteReader(limit=8), byte_frame), (BitReader(limit=8), bit_frame)):
        line: Any = frame(b"1234567") + frame(b"123456") + frame(b"1")
        assert reader.feed(line) == [b"123456"]
        assert (reader.too_long, reader.too_short) == (1, 1)


def test_noise_without_flags_is_not_kept():
    reader = ByteReader(limit=100)
    reader.feed(b"x" * 10_000)
    assert len(reader._frame) <= 100
    bits = BitReader(limit=100)
    bits.feed("01111110" + "0" * 10_000)
    assert len(bits._bits) <= 900


@thorough
@given(st.lists(contents, min_size=1, max_size=4), checks, st.integers(1, 9))
def test_bit_framing_comes_back_in_any_pieces(packets, fcs, piece):
    line = "".join([bit_frame(packet, fcs) for packet in packets])
    reader = BitReader(fcs)
    found = [
        frame for at in range(0, len(line), piece) for frame in reader.feed(line[at : at + piece])
    ]
    assert found == packets
    assert (reader.aborted, reader.bad_checks, reader.too_short) == (0, 0, 0)


@thorough
@given(contents)
def test_no_stuffed_bits_have_six_ones_in_a_row(data: bytes):
    bits = stuff_bits(data)
    assert "111111" not in bits
    for start in range(8):
        assert "01111110" not in bits[start:]


def test_bits_are_stuffed_after_every_fifth_one():
    assert stuff_bits(b"\xff\xff") == "111110111110111110" + "1"
    assert stuff_bits(b"\x7e") == "011111010"
    assert stuff_bits(b"\x01") == "10000000"


def test_flags_may_share_their_zero_and_an_idle_line_is_no_abort():
    frame = bit_frame(b"hello")
    reader = BitReader()
    assert reader.feed(frame + "1111110" + frame[8:] + "1" * 20 + frame) == [b"hello"] * 3
    assert reader.aborted == 0


def test_seven_ones_abort_a_frame_of_bits():
    frame = bit_frame(b"hello")
    reader = BitReader()
    assert reader.feed(frame[:30] + "1111111" + "0101" + frame) == [b"hello"]
    assert reader.aborted == 1


def test_bits_that_are_no_bytes_are_no_frame():
    reader = BitReader()
    assert reader.feed("01111110" + "0" * 37 + "01111110") == []
    assert reader.too_short == 1
    with pytest.raises(WireError):
        reader.feed("012")


@pytest.mark.parametrize("flip", range(5 * 8 + 16))
def test_one_wrong_bit_is_found_by_the_check(flip: int):
    sent = b"hello" + Fcs.CRC16.of(b"hello")
    number = int.from_bytes(sent, "big") ^ 1 << flip
    with pytest.raises(WireError, match="check sequence"):
        checked(number.to_bytes(len(sent), "big"))


def test_the_answer_to_a_challenge_is_md5_of_identifier_secret_and_challenge():
    # md5("\x01" + "secret" + "challenge"), by coreutils' md5sum.
    assert chap_md5(1, b"secret", b"challenge").hex() == "46e47770030e2b4e26a0db72a7efec00"


PARSERS = (
    PppFrame.parse,
    PppFrame.parse_hdlc,
    ControlPacket.parse,
    parse_ppp_options,
    parse_tags,
    PppoePacket.parse,
    PapRequest.parse,
    PapReply.parse,
    ChapValue.parse,
    checked,
)


def fault_at(parse, data: bytes) -> int:
    """Where the fault is, 0 if there is none, below 0 if the error does not tell."""
    try:
        parse(data)
    except WireError as error:
        return -1 if error.offset is None else error.offset
    return 0


@pytest.mark.parametrize("parse", PARSERS)
@thorough
@given(data=st.binary(max_size=64))
def test_any_bytes_give_a_value_or_an_error_with_its_place(parse, data: bytes):
    assert 0 <= fault_at(parse, data) <= len(data)


@thorough
@given(st.binary(max_size=300))
def test_any_line_noise_is_survived(data: bytes):
    ByteReader(0xFFFFFFFF, limit=50).feed(data)
    BitReader(limit=50).feed("".join(f"{byte:08b}" for byte in data))


@pytest.mark.parametrize(
    "make",
    [
        lambda: PppFrame(0x0022),
        lambda: PppFrame(0x0121),
        lambda: PppFrame(0x10021),
        lambda: PppFrame(0x21, "text"),
        lambda: PppOption(256),
        lambda: PppOption(1, bytes(254)),
        lambda: PppOption.number(1, 1 << 16, 2),
        lambda: ControlPacket(256),
        lambda: ControlPacket(1, -1),
        lambda: ControlPacket(1, 1, bytes(65532)),
        lambda: ControlPacket.echo(9, 1, 1 << 32),
        lambda: PppoeTag(0),
        lambda: PppoeTag(1, bytes(65536)),
        lambda: PppoePacket(256),
        lambda: PppoePacket(0, 65536),
        lambda: PapRequest(bytes(256), b""),
        lambda: ChapValue(b""),
        lambda: ChapValue(bytes(256)),
    ],
)
def test_illegal_values_are_refused(make):
    with pytest.raises(WireError):
        make()
