"""Taking any bytes apart, layer by layer, without ever raising.

What a device sends may be wrong in any way; an expectation must still be able to look at it. So a
bad checksum is noted while its layer is kept, and a fault ends the dissection but keeps the layers
around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from testbed.errors import WireError
from testbed.wire.arp import ArpPacket
from testbed.wire.checksum import checksum_ok, pseudo_header_sum
from testbed.wire.ethernet import EtherType, EthFrame, VlanTag
from testbed.wire.icmpv4 import Icmpv4, parse_icmpv4
from testbed.wire.igmp import IgmpMessage
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.udp import UdpDatagram

__all__ = ["Dissection", "dissect", "dissect_ipv4"]


@dataclass(frozen=True, slots=True)
class Dissection:
    """The layers of one frame; those that it does not have are None.

    ``vlan`` is the outermost tag. ``payload`` is what the innermost layer carries: an ICMP error's
    is the packet it quotes. ``error`` is the fault that ended the dissection, its offset counted
    from the start of the data; ``payload`` then starts with the faulty layer. ``bad_checksums``
    names the layers whose checksum is wrong: ipv4, icmpv4, igmp, udp, tcp. The checksum of a
    fragment's transport cannot be told and is not named; the fragments after the first have no
    transport.
    """

    eth: EthFrame | None = None
    vlan: VlanTag | None = None
    arp: ArpPacket | None = None
    ipv4: IPv4Packet | None = None
    icmpv4: Icmpv4 | None = None
    udp: UdpDatagram | None = None
    tcp: TcpSegment | None = None
    payload: bytes = b""
    error: WireError | None = None
    bad_checksums: tuple[str, ...] = ()
    igmp: IgmpMessage | None = None


def dissect(data: bytes) -> Dissection:
    """The layers of the Ethernet frame ``data``."""
    try:
        eth = EthFrame.parse(data)
    except WireError as error:
        return Dissection(payload=data, error=error)
    inner, at = eth.payload, len(data) - len(eth.payload)
    if eth.ethertype == EtherType.IPV4:
        return _ipv4(eth, inner, at, partial=False)
    if eth.ethertype == EtherType.ARP:
        try:
            return Dissection(eth, eth.vlan, ArpPacket.parse(inner))
        except WireError as error:
            return Dissection(eth, eth.vlan, payload=inner, error=_moved(error, at))
    return Dissection(eth, eth.vlan, payload=inner)


def dissect_ipv4(data: bytes, *, partial: bool = False) -> Dissection:
    """The layers of the IPv4 packet ``data``, which no frame surrounds.

    ``partial`` is for what ICMP errors quote, a packet without its end. The ports of a quoted TCP
    header of 8 bytes are in ``payload``, for no segment can be read from it.
    """
    return _ipv4(None, data, 0, partial=partial)


def _ipv4(eth: EthFrame | None, data: bytes, at: int, *, partial: bool) -> Dissection:
    vlan = eth.vlan if eth else None
    try:
        packet = IPv4Packet.parse(data, verify=False, partial=partial)
    except WireError as error:
        return Dissection(eth, vlan, payload=data, error=_moved(error, at))
    length = packet.header_length
    bad = () if checksum_ok(data[:length]) else ("ipv4",)
    if packet.offset:
        return Dissection(eth, vlan, None, packet, payload=packet.payload, bad_checksums=bad)
    try:
        inner, payload, wrong = _transport(packet, whole=not packet.mf and not partial)
    except WireError as error:
        fault = _moved(error, at + length)
        return Dissection(
            eth, vlan, None, packet, payload=packet.payload, error=fault, bad_checksums=bad
        )
    return Dissection(
        eth,
        vlan,
        None,
        packet,
        inner if isinstance(inner, Icmpv4) else None,
        inner if isinstance(inner, UdpDatagram) else None,
        inner if isinstance(inner, TcpSegment) else None,
        payload,
        None,
        bad + wrong,
        inner if isinstance(inner, IgmpMessage) else None,
    )


_Transport: TypeAlias = tuple[
    Icmpv4 | IgmpMessage | UdpDatagram | TcpSegment | None, bytes, tuple[str, ...]
]
"""The layer; what it carries; the name of its checksum if that is wrong."""


def _transport(packet: IPv4Packet, *, whole: bool) -> _Transport:
    """What ``packet`` carries; only if it is ``whole`` can its checksum be told."""
    data = packet.payload
    if packet.protocol == IpProtocol.TCP:
        tcp = TcpSegment.parse(data, packet.src, packet.dst, verify=False)
        fine = not whole or _transport_ok(packet, data)
        return tcp, tcp.payload, () if fine else ("tcp",)
    if packet.protocol == IpProtocol.UDP:
        udp = UdpDatagram.parse(data, packet.src, packet.dst, verify=False, partial=not whole)
        covered = data[: 8 + len(udp.payload)]
        # "An all zero transmitted checksum value means that the transmitter generated no
        # checksum" (RFC 768).
        fine = not whole or covered[6:8] == b"\0\0" or _transport_ok(packet, covered)
        return udp, udp.payload, () if fine else ("udp",)
    fine = not whole or checksum_ok(data)
    if packet.protocol == IpProtocol.ICMP:
        return parse_icmpv4(data, verify=False), data[8:], () if fine else ("icmpv4",)
    if packet.protocol == IpProtocol.IGMP:
        return IgmpMessage.parse(data, verify=False), data[8:], () if fine else ("igmp",)
    return None, data, ()


def _transport_ok(packet: IPv4Packet, covered: bytes) -> bool:
    start = pseudo_header_sum(packet.src, packet.dst, packet.protocol, len(covered))
    return checksum_ok(covered, start)


def _moved(error: WireError, by: int) -> WireError:
    """``error`` with its offset counted from ``by`` bytes further out."""
    return WireError(error.reason, by + (error.offset or 0))
