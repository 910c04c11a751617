"""DNS messages: names and their compression, records, truncation, hostile bytes; scapy as judge."""

from __future__ import annotations

import warnings
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ips, outcome, thorough, u8, u16, u32

from testbed.errors import WireError
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
    dns,
    ipv4_address,
    summary,
)
from testbed.wire.dns_name import read_name

IP = ipv4_address("10.0.0.5")
TEXT: Any = "text"
WWW = DnsName("www.example.test")

labels = st.one_of(
    st.sampled_from([b"a", b"www", b"example", b"test", b"EXAMPLE"]),
    st.binary(min_size=1, max_size=20),
)
names = st.lists(labels, max_size=5).map(lambda parts: DnsName(tuple(parts)))
datas = st.one_of(
    st.builds(dns.A, ips),
    st.builds(dns.AAAA, st.integers(0, (1 << 128) - 1).map(IPv6Address)),
    st.builds(dns.NS, names),
    st.builds(dns.CNAME, names),
    st.builds(dns.PTR, names),
    st.builds(dns.SOA, names, names, u32, u32, u32, u32, u32),
    st.builds(dns.MX, u16, names),
    st.builds(dns.TXT, st.lists(st.binary(max_size=40), min_size=1, max_size=3).map(tuple)),
    st.builds(dns.RawData, st.integers(256, 65535), st.binary(max_size=30)),
)
records = st.builds(DnsRecord, name=names, data=datas, ttl=st.integers(0, (1 << 31) - 1))
sections = st.lists(records, max_size=3).map(tuple)
messages = st.builds(
    DnsMessage,
    ident=u16,
    questions=st.lists(st.builds(DnsQuestion, names, u16, u16), max_size=2).map(tuple),
    answers=sections,
    authority=sections,
    additional=sections,
    response=st.booleans(),
    rcode=st.integers(0, 15),
    opcode=st.integers(0, 15),
    aa=st.booleans(),
    tc=st.booleans(),
    rd=st.booleans(),
    ra=st.booleans(),
    ad=st.booleans(),
    cd=st.booleans(),
    edns=st.none() | st.builds(Edns, u16, u8, u8, u16, st.binary(max_size=20)),
)


def spelled(message: DnsMessage) -> str:
    """All of a message with the case of its names, which equality does not look at."""
    return repr(message)


@thorough
@given(messages)
def test_a_dns_message_comes_back_as_it_went(message: DnsMessage):
    parsed = DnsMessage.parse(message.emit())
    assert parsed == message
    assert spelled(parsed) == spelled(message)


@thorough
@given(names)
def test_a_name_in_text_is_the_same_name(name: DnsName):
    again = DnsName(str(name))
    assert again.labels == name.labels
    assert str(name).isascii()


def test_names_compare_without_regard_to_case():
    assert DnsName("WWW.Example.TEST") == WWW
    assert hash(DnsName("WWW.Example.TEST")) == hash(WWW)
    assert DnsName("example.test") != WWW
    assert str(DnsName("WWW.Example.TEST.")) == "WWW.Example.TEST."


def test_relations_of_names():
    assert WWW.within(DnsName("EXAMPLE.test"))
    assert WWW.within(WWW)
    assert WWW.within(DnsName.ROOT)
    assert not DnsName("notexample.test").within(DnsName("example.test"))
    assert WWW.parent == DnsName("example.test")
    assert DnsName.ROOT.parent == DnsName.ROOT
    assert WWW.above() == (WWW, DnsName("example.test"), DnsName("test"), DnsName.ROOT)
    assert DnsName.reverse(IP) == DnsName("5.0.0.10.in-addr.arpa")
    assert str(DnsName(".")) == "."


def test_escapes_in_names():
    name = DnsName(r"a\.b.\065\000.test")
    assert name.labels == (b"a.b", b"A\0", b"test")
    assert str(name) == r"a\.b.A\000.test."


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: DnsName("a..b"), "label b''"),
        (lambda: DnsName("a" * 64), "1 to 63 bytes"),
        (lambda: DnsName(".".join(["a" * 63] * 4)), "more than 255"),
        (lambda: DnsName("ä.test"), "not ASCII"),
        (lambda: DnsName("a\\"), "ends in a backslash"),
        (lambda: DnsName("\\256"), "is no byte"),
        (lambda: dns.A(TEXT), "address must be"),
        (lambda: dns.AAAA(TEXT), "address must be"),
        (lambda: dns.NS(TEXT), "target must be"),
        (lambda: dns.SOA(TEXT, WWW), "must be DnsName"),
        (lambda: dns.SOA(WWW, WWW, serial=-1), "serial is -1"),
        (lambda: dns.MX(65536, WWW), "preference is 65536"),
        (lambda: dns.MX(1, TEXT), "exchange must be"),
        (lambda: dns.TXT(()), "no strings"),
        (lambda: dns.TXT((bytes(256),)), "256 bytes"),
        (lambda: dns.TXT((TEXT,)), "string is str"),
        (lambda: dns.RawData(65536), "type is 65536"),
        (lambda: dns.RawData(99, TEXT), "data is str"),
        (lambda: dns.RawData(99, bytes(65536)), "65536 bytes"),
        (lambda: DnsRecord(WWW, dns.RawData(1, bytes(4))), "RawData is not how class 1"),
        (lambda: DnsRecord(WWW, dns.A(IP), cls=3), "A is not how class 3"),
        (lambda: DnsRecord(WWW, dns.A(IP), ttl=1 << 31), "ttl is 2147483648"),
        (lambda: DnsRecord(TEXT, dns.A(IP)), "must be a DnsName"),
        (lambda: DnsQuestion(TEXT), "must be a DnsName"),
        (lambda: DnsQuestion(WWW, 65536), "type is 65536"),
        (lambda: Edns(65536), "payload is 65536"),
        (lambda: Edns(options=TEXT), "options is str"),
        (lambda: DnsMessage(65536), "ident is 65536"),
        (lambda: DnsMessage(1, rcode=16), "rcode is 16"),
        (lambda: DnsMessage(1, answers=(DnsRecord(WWW, dns.RawData(41)),)), "belongs in edns"),
    ],
)
def test_what_is_illegal_in_dns_is_refused_by_name(make: Any, reason: str):
    with pytest.raises(WireError, match=reason):
        make()


def test_a_message_longer_than_its_length_field_is_refused():
    text = DnsRecord(WWW, dns.TXT((bytes(255),) * 200))
    with pytest.raises(WireError, match="expected at most 65535"):
        DnsMessage(1, answers=(text, text)).emit()


# The example of RFC 1035 4.1.4: F.ISI.ARPA, FOO.F.ISI.ARPA, ARPA and the root, at these offsets.
RFC_NAMES = (
    bytes(20)
    + b"\x01F\x03ISI\x04ARPA\x00"
    + bytes(8)
    + b"\x03FOO\xc0\x14"
    + bytes(18)
    + b"\xc0\x1a"
    + bytes(26)
    + b"\x00"
)


@pytest.mark.parametrize(
    ("at", "name", "end"),
    [(20, "F.ISI.ARPA", 32), (40, "FOO.F.ISI.ARPA", 46), (64, "ARPA", 66), (92, ".", 93)],
)
def test_the_compressed_names_of_rfc_1035(at: int, name: str, end: int):
    assert read_name(RFC_NAMES, at) == (DnsName(name), end)


@pytest.mark.parametrize(
    ("data", "at", "offset", "reason"),
    [
        (b"\xc0\x00", 0, 0, "pointer to 0, not to before 0"),  # itself
        (
            b"\xc0\x02\xc0\x00",
            2,
            0,
            "pointer to 2, not to before 0",
        ),  # two that point at each other
        (b"\x01a\xc0\x00", 0, 2, "pointer to 0, not to before 0"),  # a, and a, and a...
        (b"\x00\xc0\x05", 1, 1, "pointer to 5"),  # forwards
        (b"\x40a", 0, 0, "label type 1"),
        (b"\x80a", 0, 0, "label type 2"),
        (b"\x03ab", 0, 3, "cut short"),
        (b"\x01a", 0, 2, "cut short"),
        (b"\xc0", 0, 1, "cut short"),
        ((b"\x3f" + b"a" * 63) * 4 + b"\0", 0, 192, "longer than 255"),
    ],
)
def test_names_that_are_none_or_have_no_end(data: bytes, at: int, offset: int, reason: str):
    with pytest.raises(WireError, match=reason) as caught:
        read_name(data, at)
    assert caught.value.offset == offset


def test_names_are_compressed_and_only_to_the_left():
    message = DnsMessage(
        1,
        (DnsQuestion(WWW),),
        (DnsRecord(WWW, dns.CNAME(DnsName("host.example.test"))),),
        response=True,
    )
    data = message.emit()
    assert data.count(b"example") == 1
    assert data[12 + 18 + 4 :][:2] == b"\xc0\x0c"
    assert DnsMessage.parse(data) == message


def test_no_pointer_beyond_its_fourteen_bits():
    filler = tuple(DnsRecord(DnsName.ROOT, dns.TXT((bytes(250),))) for _ in range(70))
    late = DnsRecord(DnsName("late.test"), dns.NS(DnsName("x.late.test")))
    message = DnsMessage(1, answers=(*filler, late, late))
    assert DnsMessage.parse(message.emit()) == message


def _answer(kind: int, data: bytes, cls: int = 1, name: bytes = b"\0") -> bytes:
    head = bytes.fromhex("0001 8000 0000 0001 0000 0000")
    fixed = kind.to_bytes(2, "big") + cls.to_bytes(2, "big") + bytes(4)
    return head + name + fixed + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (bytes(11), 11, "12 bytes or more"),
        (bytes(4) + b"\0\1" + bytes(7), 13, "question is cut short"),
        (bytes(6) + b"\0\1" + bytes(6), 14, "name is cut short|record is cut short"),
        (_answer(1, b"\1\2\3"), 23, "3 bytes of data, it has 4"),
        (_answer(1, b"\1\2\3\4\5"), 23, "5 bytes of data, it has 4"),
        (_answer(28, b"\1\2\3\4"), 23, "4 bytes of data, it has 16"),
        (_answer(2, b"\1a\0\0"), 23, "4 bytes of data, it has 3"),
        (_answer(2, b"\1a"), 25, "cut short"),
        (_answer(6, b"\0\0" + bytes(19)), 25, "SOA is cut short"),
        (_answer(15, b"\0"), 24, "cut short"),
        (_answer(16, b"\5abc"), 23, "4 bytes of data, it has 6"),
        (_answer(16, b""), 23, "TXT without a string"),
        (_answer(1, bytes(4))[:-1], 26, "4 bytes of data is cut short"),
        (_answer(41, b""), 12, "OPT record outside"),
    ],
)
def test_the_fault_in_a_dns_message_is_placed_and_named(data: bytes, offset: int, reason: str):
    with pytest.raises(WireError, match=reason) as caught:
        DnsMessage.parse(data)
    if "|" not in reason:
        assert caught.value.offset == offset


def test_two_opt_records_are_one_too_many():
    opt = Edns().emit()
    data = DnsMessage(1, edns=Edns()).emit()
    assert DnsMessage.parse(data).edns == Edns()
    twice = data[:10] + b"\0\2" + data[12:] + opt
    with pytest.raises(WireError, match="expected one"):
        DnsMessage.parse(twice)


def test_a_ttl_with_its_top_bit_set_counts_as_zero():
    data = bytearray(_answer(1, bytes(4)))
    data[17] = 0x80
    assert DnsMessage.parse(bytes(data)).answers[0].ttl == 0


def test_an_address_of_another_class_is_kept_raw():
    message = DnsMessage.parse(_answer(1, b"\1\2\3\4", cls=3))
    assert message.answers[0].data == dns.RawData(1, b"\1\2\3\4")
    assert DnsMessage.parse(message.emit()) == message


@thorough
@given(messages, st.data())
def test_hostile_dns_raises_wire_errors_only(message: DnsMessage, data: st.DataObject):
    raw = bytearray(message.emit())
    for _ in range(data.draw(st.integers(0, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(u8 | st.just(0xC0))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    parsed = outcome(DnsMessage.parse, cut)
    if isinstance(parsed, WireError):
        assert parsed.offset is not None
        assert 0 <= parsed.offset <= len(cut)
    else:
        assert DnsMessage.parse(parsed.emit()) == parsed


def _many(count: int, **fields: Any) -> DnsMessage:
    records = tuple(
        DnsRecord(DnsName(f"h{n}.example.test"), dns.A(IPv4Address(n))) for n in range(count)
    )
    return DnsMessage(1, (DnsQuestion(WWW),), response=True, **{"answers": records, **fields})


def test_what_fits_is_not_truncated():
    message = _many(5)
    assert message.emit_within(512) == message.emit()


def test_too_many_answers_are_cut_and_it_says_so():
    message = _many(100, edns=Edns())
    data = message.emit_within(512)
    assert len(data) <= 512
    cut = DnsMessage.parse(data)
    assert cut.tc
    assert cut.edns == Edns()
    assert cut.answers == message.answers[: len(cut.answers)]
    more = replace(cut, answers=message.answers[: len(cut.answers) + 1])
    assert len(more.emit()) > 512


def test_additional_records_are_left_out_without_a_word():
    message = _many(5, additional=_many(100).answers, aa=True)
    cut = DnsMessage.parse(message.emit_within(512))
    assert not cut.tc
    assert cut.answers == message.answers
    assert 0 < len(cut.additional) < 100


def test_a_referral_without_all_of_its_glue_is_truncated():
    authority = (DnsRecord(DnsName("test"), dns.NS(DnsName("h0.example.test"))),)
    message = _many(0, authority=authority, additional=_many(100).answers)
    cut = DnsMessage.parse(message.emit_within(512))
    assert cut.tc
    assert cut.authority == authority


@pytest.fixture(scope="module")
def scapy_dns():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import dns as layer  # noqa: PLC0415 - slow to load, and only here
    return layer


plain_names = st.lists(st.text("abcxyz019-", min_size=1, max_size=12), min_size=1, max_size=4).map(
    lambda parts: DnsName(".".join(parts))
)


@thorough
@given(st.data())
def test_scapy_reads_our_dns(scapy_dns: Any, data: st.DataObject):
    name, target = data.draw(plain_names), data.draw(plain_names)
    ttl = data.draw(st.integers(0, (1 << 31) - 1))
    answers = (
        DnsRecord(name, dns.CNAME(target), ttl),
        DnsRecord(target, dns.A(IP), ttl),
        DnsRecord(target, dns.MX(5, name), ttl),
        DnsRecord(name, dns.TXT((b"some", b"text")), ttl),
    )
    soa = DnsRecord(name, dns.SOA(target, name, 1, 2, 3, 4, 5), ttl)
    message = DnsMessage(
        data.draw(u16),
        (DnsQuestion(name, DnsType.A),),
        answers,
        (soa,),
        response=True,
        aa=data.draw(st.booleans()),
        tc=data.draw(st.booleans()),
        ra=True,
        rcode=data.draw(st.integers(0, 5)),
        edns=Edns(4096),
    )
    seen = scapy_dns.DNS(message.emit())
    assert (seen.id, seen.qr, seen.aa, seen.tc) == (message.ident, 1, message.aa, message.tc)
    assert (seen.ra, seen.rd, seen.rcode) == (1, 0, message.rcode)
    assert seen.qd[0].qname.decode() == str(name)
    assert [record.type for record in seen.an] == [5, 1, 15, 16]
    assert all(record.ttl == ttl for record in seen.an)
    assert seen.an[0].rdata.decode() == str(target)
    assert (seen.an[1].rrname.decode(), seen.an[1].rdata) == (str(target), str(IP))
    assert (seen.an[2].preference, seen.an[2].exchange.decode()) == (5, str(name))
    assert list(seen.an[3].rdata) == [b"some", b"text"]
    assert (seen.ns[0].mname.decode(), seen.ns[0].minimum) == (str(target), 5)
    assert (seen.ar[0].type, seen.ar[0].rclass) == (41, 4096)


def test_we_read_scapys_dns(scapy_dns: Any):
    built = scapy_dns.DNS(
        id=9,
        qr=1,
        rd=1,
        aa=1,
        qd=[scapy_dns.DNSQR(qname="www.example.test", qtype="A")],
        an=[
            scapy_dns.DNSRR(rrname="www.example.test", type="A", ttl=60, rdata=str(IP)),
            scapy_dns.DNSRR(rrname="x.test", type="AAAA", ttl=60, rdata="2001:db8::1"),
        ],
        ns=[scapy_dns.DNSRR(rrname="example.test", type="NS", ttl=60, rdata="ns.example.test")],
        ar=[scapy_dns.DNSRROPT(rclass=1400)],
    )
    assert DnsMessage.parse(bytes(built)) == DnsMessage(
        9,
        (DnsQuestion(WWW),),
        (
            DnsRecord(WWW, dns.A(IP), 60),
            DnsRecord(DnsName("x.test"), dns.AAAA(IPv6Address("2001:db8::1")), 60),
        ),
        (DnsRecord(DnsName("example.test"), dns.NS(DnsName("ns.example.test")), 60),),
        response=True,
        aa=True,
        rd=True,
        edns=Edns(1400, flags=0x8000),
    )


def test_a_capture_names_dns():
    mac = MacAddr.ZERO

    def line(message: DnsMessage) -> str:
        datagram = UdpDatagram(5000, 53, message.emit())
        return summary(compose(EthFrame(mac, mac), IPv4Packet(IP, IP), datagram))

    query = DnsMessage.query(7, WWW, DnsType.MX)
    assert line(query).endswith("DNS query 7 www.example.test. MX")
    answer = replace(
        query,
        questions=(DnsQuestion(WWW, 999, 3),),
        response=True,
        rcode=DnsRcode.NXDOMAIN,
        tc=True,
    )
    assert line(answer).endswith(
        "DNS response 7 www.example.test. class 3 TYPE999 NXDOMAIN 0/0/0 truncated"
    )
