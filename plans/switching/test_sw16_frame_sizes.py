"""Frames of every legal length pass unchanged, byte for byte, in both directions.

IEEE 802.3 3.2.7 and 4.4.2: 64 to 1518 bytes with the FCS, 1522 with a tag (IEEE 802.1Q annex G),
longer where jumbo frames are configured. All lengths pass once; the lengths of RFC 2544 9.1 and
their neighbours with several patterns, which show a byte that is lost, doubled, moved or stuck.
What fills a short packet up to the least length (802.3 4.2.8) is the sender's: a switch that does
not make the frame shorter leaves it as it is. A frame that loses its tag is padded again.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    PointView,
    Topology,
    Unsupported,
    VlanMode,
    VlanTag,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

NEAR = MacAddr("02:00:00:00:16:0a")
FAR = MacAddr("02:00:00:00:16:0b")
UNKNOWN = MacAddr("02:00:00:00:16:99")
MARK = b"SW-16"
EXPERIMENTAL = 0x88B5  # IEEE 802: local experimental ethertype 1
IPV4, ARP = 0x0800, 0x0806
HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")  # RFC 5737: documentation
HEADER, FCS, TAG = 14, 4, 4
LEAST, MOST = 60, 1514  # without the FCS
STANDARD = MOST - HEADER  # the MTU that most ports have
SIZES = (64, 128, 256, 512, 1024, 1280, 1518)  # RFC 2544 9.1, with the FCS
JUMBO = (1519, 1522, 2048, 4096, 8192, 9018)  # with the FCS: past 1518, and what vendors name
VLAN = 16
DOMAINS: list[tuple[str, ...]] = [(f"a@{VLAN}", "b")]
SHRINKING = range(LEAST, LEAST + TAG + 1)  # lengths that need padding once the tag is gone
SECRET = b"\xa7"
# The first has no two bytes alike that are less than 251 apart.
PATTERNS = (bytes(range(251)), b"\x55\xaa", b"\x00", b"\xff")
CHUNK = 16  # frames sent in a row: less than any port has buffers for
LINGER = milliseconds(100)  # a copy that comes late is a copy


def filled(length: int, number: int, pattern: bytes) -> bytes:
    """A payload of so many bytes, unlike every other in the plan."""
    head = MARK + number.to_bytes(3, "big")
    whole = pattern * (length // len(pattern) + 1)
    return head + whole[len(head) : length]


def neighbours(sizes: Iterable[int], most: int) -> list[int]:
    """The lengths without FCS that are ``sizes`` with it, and a byte more or less."""
    found = {size - FCS + step for size in sizes for step in (-1, 0, 1)}
    return sorted(length for length in found if LEAST <= length <= most)


def payloads(lengths: Iterable[int], header: int = HEADER) -> list[bytes]:
    """Payloads of frames of these lengths: one of each pattern."""
    wanted = [(length, pattern) for length in lengths for pattern in PATTERNS]
    return [
        filled(length - header, number, pattern) for number, (length, pattern) in enumerate(wanted)
    ]


def allow(bench: Bench, mtu: int) -> None:
    """Have the ports toward a and b take payloads of so many bytes at most."""
    dut = bench.switch("dut")
    for leaf in ("a", "b"):
        port = bench.port("dut", toward=leaf)
        if dut.mtu(port) != mtu:
            dut.set_mtu(port, mtu)


def introduce(bench: Bench) -> None:
    """Have NEAR learned at a, FAR at b."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    for leaf, station in (("a", NEAR), ("b", FAR)):
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=bench.port("dut", toward=leaf), within=seconds(2))


def offer(bench: Bench, source: str, frames: list[bytes], seen: Capture) -> None:
    """Send frames, no more at once than ports have buffers for."""
    for first in range(0, len(frames), CHUNK):
        bench.nic(source).inject(*frames[first : first + CHUNK])
        seen.settle()
    bench.watch_for(LINGER)


def expect_each(view: PointView, sender: MacAddr, frames: list[bytes]) -> None:
    """Each of these frames came once, and nothing else of the sender."""
    came = Counter(frame.data for frame in view.frames)
    for frame in frames:
        if came[frame] != 1:
            view.expect_count(match.raw(frame), 1)
    view.expect_count(match.eth(src=sender), len(frames))


def expect_arrival(
    bench: Bench,
    source: str,
    sent: list[bytes],
    arriving: list[bytes],
    domains: list[tuple[str, ...]] | None = None,
) -> None:
    """What is ``sent`` from one side comes out at the other as ``arriving``, each frame once."""
    target, sender = ("b", NEAR) if source == "a" else ("a", FAR)
    with bench.capture("a--dut", "b--dut", domains=domains) as seen:
        offer(bench, source, sent, seen)
    expect_each(seen.at(f"{target}--dut"), sender, arriving)


def expect_unchanged(
    bench: Bench, make: Callable[[MacAddr, MacAddr], list[bytes]], mtu: int = STANDARD
) -> None:
    """Frames of both directions arrive as they were sent, at ports of this MTU."""
    allow(bench, mtu)
    introduce(bench)
    for source, ends in (("a", (FAR, NEAR)), ("b", (NEAR, FAR))):
        frames = make(*ends)
        expect_arrival(bench, source, frames, frames)


@pytest.mark.behaviour("SW-16", clause="802.3 4.4.2")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "truncates at 1500",
    {"openvswitch": faults.ovs_flow(f"dl_dst={FAR}", "output(port={b},max_len=1500)")},
    caught="b--dut: expect 1",
)
@drill(
    "drops exactly 1518",
    {
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether daddr {NEAR} meta length 1500 drop",
            family="bridge",
        ),
    },
    caught="a--dut: expect 1",
)
@drill(
    "drops the longest frames",
    faults.shell(  # a bucket that a longer frame never fits into
        "tc qdisc add dev {b} root tbf rate 1gbit burst 1513 latency 100ms",
        undo=("tc qdisc del dev {b} root 2>/dev/null || true",),
    ),
    caught="b--dut: expect 1",
)
@drill(
    "corrupts a byte",
    {
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether daddr {FAR} @ll,2000,8 set 0xff",
            family="bridge",
        ),
    },
    caught="b--dut: expect 1",
)
def test_every_length_passes_unchanged(bench: Bench) -> None:
    """All lengths from 64 to 1518 bytes, in both directions."""
    lengths = range(LEAST, MOST + 1)
    texts = [filled(length - HEADER, length, PATTERNS[0]) for length in lengths]
    expect_unchanged(
        bench, lambda dst, src: [EthFrame(dst, src, EXPERIMENTAL, text).emit() for text in texts]
    )


@pytest.mark.behaviour("SW-16", clause="RFC 2544 9.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "corrupts a byte",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={FAR}", "output(port={b},max_len=1023)"),
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether daddr {NEAR} @ll,400,8 0x55 @ll,400,8 set 0x54",
            family="bridge",
        ),
    },
    caught="a--dut: expect 1|b--dut: expect 1",
)
def test_no_pattern_is_changed(bench: Bench) -> None:
    """The lengths of RFC 2544 and their neighbours, with patterns that show stuck bits."""
    texts = payloads(neighbours(SIZES, MOST))
    expect_unchanged(
        bench, lambda dst, src: [EthFrame(dst, src, EXPERIMENTAL, text).emit() for text in texts]
    )


@pytest.mark.behaviour("SW-16", clause="802.1Q annex G")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "drops exactly 1522",
    {
        "openvswitch": faults.shell(
            "tc qdisc add dev {b} root tbf rate 1gbit burst 1517 latency 100ms",
            undo=("tc qdisc del dev {b} root 2>/dev/null || true",),
        ),
        "linux_bridge": faults.shell(  # to the kernel, the tag is no part of the frame
            "tc qdisc add dev {b} root tbf rate 1gbit burst 1513 latency 100ms",
            undo=("tc qdisc del dev {b} root 2>/dev/null || true",),
        ),
    },
    caught="b--dut: expect 1",
)
@drill(
    "takes the tag off",
    {"openvswitch": faults.ovs_flow(f"dl_dst={FAR}", "strip_vlan,output:{b}")},
    caught="b--dut: expect 1",
)
def test_tagged_frames_pass_unchanged(bench: Bench) -> None:
    """64 to 1522 bytes with a tag, through ports that carry tags as they come."""
    dut, tag = bench.switch("dut"), VlanTag(VLAN, pcp=3)
    for leaf in ("a", "b"):
        dut.set_vlan_mode(bench.port("dut", toward=leaf), VlanMode())
    sizes = (*SIZES, max(SIZES) + TAG)
    texts = payloads(neighbours(sizes, MOST + TAG), HEADER + TAG)
    between = range(LEAST, MOST + TAG, 11)
    texts += [filled(length - HEADER - TAG, 1000 + length, PATTERNS[0]) for length in between]
    expect_unchanged(
        bench,
        lambda dst, src: [EthFrame(dst, src, EXPERIMENTAL, text, (tag,)).emit() for text in texts],
    )


@pytest.mark.behaviour("SW-16", clause="802.3 4.4.2")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "truncates what it floods",
    {
        "openvswitch": faults.ovs_flow(
            f"dl_src={NEAR},dl_dst={UNKNOWN}", "output(port={c},max_len=1500),output:{b}"
        )
    },
    caught="--dut: expect 1",
)
def test_flooded_frames_pass_unchanged(bench: Bench) -> None:
    """The lengths of RFC 2544 and their neighbours, to all and to an unknown station."""
    allow(bench, STANDARD)
    introduce(bench)
    texts = payloads(neighbours(SIZES, MOST))
    ends = (MacAddr.BROADCAST, UNKNOWN)
    frames = [EthFrame(dst, NEAR, EXPERIMENTAL, text).emit() for text in texts for dst in ends]
    with bench.capture() as seen:
        offer(bench, "a", frames, seen)
    for leaf in ("b", "c"):
        expect_each(seen.at(f"{leaf}--dut"), NEAR, frames)


def padded(heads: Iterable[bytes]) -> list[bytes]:
    """Frames of the least length, and a little more, that end behind their packets.

    What stands there is not zero.
    """
    fill = bytes(range(0xC0, 0x100))
    return [head + fill[len(head) : length] for head in heads for length in (LEAST, LEAST + 4)]


def short_frames(dst: MacAddr, src: MacAddr) -> list[bytes]:
    """Padded frames of several protocols."""
    return padded(
        [
            EthFrame(dst, src, ARP, MARK + bytes(23)).emit(),
            EthFrame(dst, src, 3, b"\xaa\xaa\x03").emit(),  # 802.3 3.2.6: a length, no type
            EthFrame(dst, src, EXPERIMENTAL, MARK).emit(),
        ]
    )


def short_packets(dst: MacAddr, src: MacAddr) -> list[bytes]:
    """Padded frames of IPv4, whose header tells where the packet ends."""
    packets = [IPv4Packet(HERE, THERE, 17, bytes(length)).emit() for length in (0, 8, 25)]
    return padded(EthFrame(dst, src, IPV4, packet).emit() for packet in packets)


@pytest.mark.behaviour("SW-16", clause="802.3 4.2.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "corrupts a pad byte",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={FAR},arp", "output(port={b},max_len=59)"),
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether daddr {NEAR} @ll,464,8 set 0x00",
            family="bridge",
        ),
    },
    caught="a--dut: expect 1|b--dut: expect 1",
)
def test_padding_is_left_as_it_is(bench: Bench) -> None:
    """Bytes that fill a short frame up arrive as they were sent."""
    expect_unchanged(bench, short_frames)


@pytest.mark.behaviour("SW-16", clause="802.3 4.2.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "cuts padding off",
    {"openvswitch": faults.ovs_flow(f"dl_dst={FAR},ip", "output(port={b},max_len=34)")},
    caught="b--dut: expect 1",
)
def test_padding_behind_a_packet_is_left_as_it_is(bench: Bench) -> None:
    """Bytes behind the end of an IPv4 packet arrive as they were sent."""
    bench.except_known("dut", "cuts padding off IPv4 packets")
    expect_unchanged(bench, short_packets)


def introduce_in_vlan(bench: Bench) -> None:
    """A trunk toward a, an access port toward b; NEAR and FAR are known there."""
    allow(bench, STANDARD)
    dut = bench.switch("dut")
    trunk, access = bench.port("dut", toward="a"), bench.port("dut", toward="b")
    dut.set_vlan_mode(trunk, VlanMode(trunk=(VLAN,), native=1))
    dut.set_vlan_mode(access, VlanMode(access=VLAN))
    dut.flush_fdb()
    for leaf, station, tags in (("a", NEAR, (VlanTag(VLAN),)), ("b", FAR, ())):
        with bench.capture("a--dut", "b--dut", domains=DOMAINS) as seen:
            # Once it forwards in its new VLAN: some take a moment from the setting to that.
            bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station, tags=tags))
            seen.settle()
        where = bench.port("dut", toward=leaf)
        dut.wait_learned(station, on=where, within=seconds(2), vlan=VLAN)


@pytest.mark.behaviour("SW-16", clause="802.1Q annex G")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "truncates at 1500",
    {"openvswitch": faults.ovs_flow(f"dl_dst={FAR}", "strip_vlan,output(port={b},max_len=1500)")},
    caught="b--dut: expect 1",
)
def test_lengths_pass_where_tags_come_and_go(bench: Bench) -> None:
    """Trunk to access port and back: the payload is the same, the longest included."""
    introduce_in_vlan(bench)
    texts = payloads(neighbours(SIZES, MOST))
    for source, ends in (("a", (FAR, NEAR)), ("b", (NEAR, FAR))):
        plain = [EthFrame(*ends, EXPERIMENTAL, text).emit() for text in texts]
        tagged = [EthFrame(*ends, EXPERIMENTAL, text, (VlanTag(VLAN),)).emit() for text in texts]
        sent, arriving = (tagged, plain) if source == "a" else (plain, tagged)
        expect_arrival(bench, source, sent, arriving, DOMAINS)


@pytest.mark.behaviour("SW-16", clause="802.3 4.2.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
def test_what_loses_its_tag_is_padded_again(bench: Bench) -> None:
    """A tagged frame of 64 bytes leaves an access port with 64 bytes again, not with 60.

    What it is padded with is nothing that another frame held.
    """
    if not bench.nic("b").sends_flawed:
        raise Unsupported("runts are not known to pass here: whether the switch pads is not seen")
    introduce_in_vlan(bench)
    tags = (VlanTag(VLAN),)
    secret = EthFrame(FAR, NEAR, EXPERIMENTAL, SECRET * 200, tags).emit()
    texts = [filled(length - HEADER - TAG, length, PATTERNS[0]) for length in SHRINKING]
    with bench.capture("a--dut", "b--dut", domains=DOMAINS) as seen:
        for text in texts:
            bench.nic("a").inject(secret, EthFrame(FAR, NEAR, EXPERIMENTAL, text, tags).emit())
        bench.watch_for(LINGER)
    for text in texts:
        plain = EthFrame(FAR, NEAR, EXPERIMENTAL, text).emit()
        (came,) = seen.at("b--dut").expect_count(match.raw(plain, padding=True), 1)
        if len(came.data) < LEAST:
            raise ExpectationFailed(f"b--dut: a frame of {len(came.data)} bytes came, not padded")
        if SECRET in came.data:
            raise ExpectationFailed(f"b--dut: {came} is padded with bytes of another frame")


@pytest.mark.behaviour("SW-16", clause="802.3 4.4.2")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
def test_jumbo_frames_pass_unchanged_where_configured(bench: Bench) -> None:
    """Longer frames, up to what the NICs and the switch's ports can be set to."""
    mtu = min(bench.nic("a").mtu, bench.nic("b").mtu, max(JUMBO) - FCS - HEADER)
    if mtu <= STANDARD:
        raise Unsupported(f"these NICs send payloads of {mtu} bytes at most: no jumbo frames")
    texts = payloads(neighbours((*SIZES, *JUMBO), mtu + HEADER))
    expect_unchanged(
        bench,
        lambda dst, src: [EthFrame(dst, src, EXPERIMENTAL, text).emit() for text in texts],
        mtu,
    )
