"""What hypothesis draws for the tests of the wire formats: any legal value of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from testbed.errors import WireError
from testbed.wire import (
    MSS,
    TPIDS,
    ArpPacket,
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EthFrame,
    IcmpUnknown,
    IgmpMessage,
    IPv4Packet,
    MacAddr,
    MaskReply,
    MaskRequest,
    ParameterProblem,
    Redirect,
    RouterAdvertisement,
    RouterSolicitation,
    Sack,
    SackPermitted,
    SourceQuench,
    TcpFlags,
    TcpSegment,
    TimeExceeded,
    TimestampReply,
    TimestampRequest,
    Timestamps,
    UdpDatagram,
    UnknownOption,
    VlanTag,
    WindowScale,
    compose,
    ipv4_address,
)
from testbed.wire.tcp_options import MAX_OPTIONS, options_size

thorough = settings(derandomize=True, deadline=None, max_examples=150)

u3 = st.integers(0, 7)
u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
i32 = st.integers(-(1 << 31), (1 << 31) - 1)
u32 = st.integers(0, 0xFFFFFFFF)
blob = st.binary(max_size=80)

macs = st.binary(min_size=6, max_size=6).map(MacAddr)
ips = u32.map(ipv4_address)

tags = st.builds(
    VlanTag,
    vid=st.integers(0, 0xFFF),
    pcp=u3,
    dei=st.booleans(),
    tpid=st.sampled_from(sorted(TPIDS)),
)
eth_frames = st.builds(
    EthFrame,
    dst=macs,
    src=macs,
    ethertype=u16.filter(lambda value: value not in TPIDS),
    payload=blob,
    tags=st.lists(tags, max_size=3).map(tuple),
)
arp_packets = st.builds(
    ArpPacket, op=u16, sender_mac=macs, sender_ip=ips, target_mac=macs, target_ip=ips
)
ipv4_packets = st.builds(
    IPv4Packet,
    src=ips,
    dst=ips,
    protocol=u8,
    payload=blob,
    ttl=u8,
    ident=u16,
    df=st.booleans(),
    mf=st.booleans(),
    offset=st.integers(0, 0x1FFF).map(lambda units: units * 8),
    tos=u8,
    options=st.binary(max_size=40),
    reserved=st.booleans(),
)
udp_datagrams = st.builds(UdpDatagram, src_port=u16, dst_port=u16, payload=blob)


def _is_unknown(kind_and_data: tuple[int, bytes]) -> bool:
    lengths = {2: {2}, 3: {1}, 4: {0}, 5: {8, 16, 24, 32}, 8: {8}}
    kind, data = kind_and_data
    return len(data) not in lengths.get(kind, set())


tcp_options = st.one_of(
    st.builds(MSS, u16),
    st.builds(WindowScale, u8),
    st.builds(SackPermitted),
    st.builds(Sack, st.lists(st.tuples(u32, u32), min_size=1, max_size=4).map(tuple)),
    st.builds(Timestamps, u32, u32),
    st.tuples(st.integers(2, 255), st.binary(max_size=38))
    .filter(_is_unknown)
    .map(lambda pair: UnknownOption(*pair)),
)
tcp_flags = st.integers(0, 0x1FF).map(TcpFlags)
tcp_segments = st.builds(
    TcpSegment,
    src_port=u16,
    dst_port=u16,
    seq=u32,
    ack=u32,
    flags=tcp_flags,
    window=u16,
    urgent=u16,
    options=st.lists(tcp_options, max_size=5)
    .map(tuple)
    .filter(lambda options: options_size(options) <= MAX_OPTIONS),
    payload=blob,
    reserved=u3,
)
icmp_messages = st.one_of(
    st.builds(EchoRequest, ident=u16, sequence=u16, data=blob),
    st.builds(EchoReply, ident=u16, sequence=u16, data=blob),
    st.builds(DestinationUnreachable, code=u8, quoted=blob, next_hop_mtu=u16),
    st.builds(TimeExceeded, code=u8, quoted=blob),
    st.builds(Redirect, code=u8, gateway=ips, quoted=blob),
    st.builds(ParameterProblem, pointer=u8, quoted=blob, code=u8),
    st.builds(SourceQuench, quoted=blob, code=u8),
    st.builds(
        RouterAdvertisement,
        lifetime=u16,
        routers=st.lists(st.tuples(ips, i32), min_size=1, max_size=4).map(tuple),
    ),
    st.just(RouterSolicitation()),
    st.builds(TimestampRequest, u16, u16, u32, u32, u32),
    st.builds(TimestampReply, u16, u16, u32, u32, u32),
    st.builds(MaskRequest, u16, u16, ips),
    st.builds(MaskReply, u16, u16, ips),
    st.builds(
        IcmpUnknown,
        type=st.sampled_from([7, 15, 30, 255]),
        code=u8,
        word=u32,
        data=blob,
    ),
    st.builds(
        IcmpUnknown,
        type=st.sampled_from([0, 8, 9, 10, 13, 14, 17, 18]),
        code=st.integers(1, 255),
        data=blob,
    ),
)
igmp_messages = st.builds(IgmpMessage, type=u8, group=ips, max_response=u8, rest=blob)
transports = st.one_of(
    udp_datagrams, tcp_segments, icmp_messages, igmp_messages, st.binary(max_size=40)
)


@st.composite
def composed_frames(draw: st.DrawFn) -> bytes:
    """A whole frame of right layers."""
    eth = EthFrame(draw(macs), draw(macs), tags=draw(st.lists(tags, max_size=2).map(tuple)))
    if draw(st.booleans()) and draw(st.booleans()):
        return compose(eth, draw(arp_packets), pad=draw(st.booleans()))
    packet = IPv4Packet(draw(ips), draw(ips), options=draw(st.binary(max_size=12)))
    return compose(eth, packet, draw(transports), pad=draw(st.booleans()))


@st.composite
def hostile_frames(draw: st.DrawFn) -> bytes:
    """A frame of right layers with bytes changed and its end cut off, or plain junk."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=120))
    data = bytearray(draw(composed_frames()))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(u8)
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


def outcome(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """What ``parse`` makes of ``data``: a value, or the WireError that it raised."""
    try:
        return parse(data)
    except WireError as error:
        return error
