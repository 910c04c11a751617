"""What a program in the kernel says of a matcher is what the matcher says, or nothing."""

import random

import pytest

from testbed.capture import match
from testbed.labs.translating import translate
from testbed.link.impair.fields import TcpData
from testbed.wire.checksum import internet_checksum

MATCHERS = [
    match.any(),
    match.eth(src="02:00:00:00:00:01"),
    match.eth(ethertype="arp") | match.eth(ethertype=range(0x0800, 0x0806)),
    match.eth(dst={"02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"}),
    match.ipv4(dst="10.0.0.0/8", ttl=range(1, 64)),
    match.ipv4(df=True, dscp=46) | match.ipv4(mf=False, ecn={1, 2, 3}),
    match.ipv4(protocol="udp", ident=range(40000)),
    match.udp(dst_port=53),
    ~match.udp(src_port=range(1000, 2000)) & match.ipv4(),
    match.tcp(),
    match.tcp(longer_than=0),
    match.tcp(shorter_than=100, dst_port={80, 443}),
    match.tcp(payload_length=range(1, 10)),
    match.tcp(flags="SYN+ACK"),
    match.tcp(has="ACK", lacks="SYN+RST"),
    match.tcp(src_port=80, seq=range(1 << 31), window=1000) & ~match.ipv4(ttl=1),
    ~(match.tcp(has="FIN") | match.udp()),
]

OPTIONS = (b"", b"\x01\x01\x08\x0a" + bytes(8), b"\x02\x04\x05\xb4", b"\x02\x09\x05\xb4", b"\0" * 4)


def packet(luck):
    """TCP, UDP or something else in IPv4, now and then wrong in one of many ways."""
    protocol = luck.choice((6, 6, 6, 17, 17, 1, 89))
    data = luck.randbytes(luck.choice((0, 0, 1, 5, 99, 100, 700)))
    ports = luck.choice((80, 443, 53, 1500)).to_bytes(2, "big") * 2
    if protocol == 6:
        options = luck.choice(OPTIONS)
        numbers = luck.randbytes(8)
        offset = (20 + len(options)) // 4 if luck.random() < 0.9 else luck.randrange(16)
        control = (offset << 12 | luck.choice((2, 18, 16, 17, 4, 0x1FF))).to_bytes(2, "big")
        window = luck.choice((b"\x03\xe8", b"\0\0"))
        inner = ports + numbers + control + window + bytes(4) + options + data
    elif protocol == 17:
        length = 8 + len(data) if luck.random() < 0.8 else luck.randrange(40)
        inner = ports + length.to_bytes(2, "big") + bytes(2) + data
    else:
        inner = luck.randbytes(30)
    words = 5 if luck.random() < 0.9 else luck.choice((4, 6, 15))
    total = words * 4 + len(inner) if luck.random() < 0.9 else luck.randrange(1500)
    header = bytearray(max(20, words * 4))
    header[0] = (0x40 if luck.random() < 0.95 else 0x60) | words
    header[1] = luck.choice((0, 1, 46 << 2))
    header[2:4] = total.to_bytes(2, "big")
    header[4:6] = luck.randbytes(2)
    header[6:8] = luck.choice((b"\0\0", b"\x40\0", b"\x40\0", b"\x20\0", b"\0\x09"))
    header[8:10] = bytes([luck.choice((1, 63, 64)), protocol])
    header[12:20] = (
        luck.choice((b"\x0a", b"\xc0")) + bytes(3) + luck.choice((b"\x0a", b"\xc0")) + bytes(3)
    )
    if luck.random() < 0.8:
        header[10:12] = internet_checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + inner


def frames(luck, count):
    for _ in range(count):
        macs = luck.choice((b"\x02\0\0\0\0\x02", b"\xff" * 6)) + b"\x02\0\0\0\0\x01"
        tags = luck.choice((0, 0, 0, 0, 1, 2, 3))
        kinds = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
        vlan = b"".join(luck.choice(kinds) + luck.randbytes(2) for _ in range(tags))
        ethertype = luck.choice((b"\x08\x00",) * 6 + (b"\x08\x06", b"\x05\xdc", b"\x86\xdd"))
        whole = macs + vlan + ethertype + packet(luck)
        whole = whole.ljust(60, b"\0") if luck.random() < 0.7 else whole
        yield whole[: luck.randrange(14, 80)] if luck.random() < 0.1 else whole


@pytest.mark.parametrize("matcher", MATCHERS, ids=str)
def test_a_program_says_what_the_matcher_says_or_nothing(matcher):
    luck = random.Random(str(matcher))  # noqa: S311 - repeatable on purpose
    yes, no = translate(matcher)
    said = 0
    for frame in frames(luck, 2000):
        sure = yes(frame), no(frame)
        if any(sure):
            said += 1
            assert sure == (matcher(frame), not matcher(frame)), frame.hex()
    assert said > 800


@pytest.mark.parametrize(
    "matcher",
    [
        match.tcp(payload=b"GET"),
        match.tcp(dst_port=lambda port: port > 5),
        match.tcp(mss=1460),
        match.where(lambda _: True),
        match.udp() & match.containing(b"x"),
        match.icmpv4(quoting=match.udp()),
    ],
    ids=str,
)
def test_what_only_python_can_say_is_not_translated(matcher):
    assert translate(matcher) is None


def test_data_of_plain_segments_is_known_for_sure():
    yes, no = translate(match.tcp(longer_than=0))
    luck = random.Random(5)  # noqa: S311 - repeatable on purpose
    for frame in frames(luck, 200):
        if TcpData(1)(frame) and yes(frame):
            assert not no(frame)
