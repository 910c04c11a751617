"""Frames for people: one line for a terminal, a table of fields for a diff."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from itertools import chain

from testbed.wire.arp import ArpOp, ArpPacket
from testbed.wire.describe_apps import application
from testbed.wire.describe_ppp import pppoe
from testbed.wire.dissect import Dissection, dissect, dissect_ipv4
from testbed.wire.icmp_info import (
    MaskReply,
    MaskRequest,
    RouterAdvertisement,
    RouterSolicitation,
    TimestampReply,
    TimestampRequest,
)
from testbed.wire.icmpv4 import (
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    Icmpv4,
    ParameterProblem,
    Redirect,
    RedirectCode,
    SourceQuench,
    TimeExceeded,
    TimeExceededCode,
    UnreachableCode,
)
from testbed.wire.igmp import IgmpMessage, IgmpType
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import (
    MSS,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    WindowScale,
)

__all__ = ["fields", "summary"]

_UNREACHABLE = {
    UnreachableCode.NET: "net unreachable",
    UnreachableCode.HOST: "host unreachable",
    UnreachableCode.PROTOCOL: "protocol unreachable",
    UnreachableCode.PORT: "port unreachable",
    UnreachableCode.FRAGMENTATION_NEEDED: "frag needed",
    UnreachableCode.SOURCE_ROUTE_FAILED: "source route failed",
    UnreachableCode.NET_PROHIBITED: "net prohibited",
    UnreachableCode.HOST_PROHIBITED: "host prohibited",
    UnreachableCode.ADMIN_PROHIBITED: "admin prohibited",
}
_TIME_EXCEEDED = {
    TimeExceededCode.TTL: "TTL exceeded",
    TimeExceededCode.REASSEMBLY: "reassembly time exceeded",
}
_REDIRECT = {
    RedirectCode.NET: "net",
    RedirectCode.HOST: "host",
    RedirectCode.TOS_NET: "TOS and net",
    RedirectCode.TOS_HOST: "TOS and host",
}
_IGMP = {
    IgmpType.V1_REPORT: "v1 report",
    IgmpType.V2_REPORT: "v2 report",
    IgmpType.LEAVE: "leave",
    IgmpType.V3_REPORT: "v3 report",
}
_PROTOCOLS = {
    IpProtocol.ICMP: "ICMP",
    IpProtocol.IGMP: "IGMP",
    IpProtocol.UDP: "UDP",
    IpProtocol.TCP: "TCP",
}


def fields(dissection: Dissection) -> dict[str, dict[str, object]]:
    """The fields of each layer that is there, outermost first: layer, field, value.

    Layers and fields have the names of the attributes. What a layer carries is left out, for the
    next layer shows it; the innermost is under ``payload``. A layer whose checksum is wrong has
    ``checksum``: ``bad``; a fault is under ``error``.
    """
    table: dict[str, dict[str, object]] = {}
    for name in ("eth", "vlan", "arp", "ipv4", "icmpv4", "igmp", "udp", "tcp"):
        layer = getattr(dissection, name)
        if layer is None:
            continue
        rows: dict[str, object] = {}
        if name == "icmpv4":
            rows = {"message": type(layer).__name__, "type": layer.type, "code": layer.code}
        for field in dataclass_fields(layer):
            if field.name not in {"payload", "data", "quoted", "tags"}:
                rows[field.name] = getattr(layer, field.name)
        if name in dissection.bad_checksums:
            rows["checksum"] = "bad"
        table[name] = rows
    table["payload"] = {"length": len(dissection.payload), "data": dissection.payload}
    if dissection.error:
        table["error"] = {"reason": dissection.error.reason, "offset": dissection.error.offset}
    return table


def summary(data: bytes | Dissection) -> str:
    """One line that tells what a frame is, much as tcpdump would; printable ASCII, never raises."""
    seen = data if isinstance(data, Dissection) else dissect(data)
    parts = chain(_where(seen), _what(seen), _faults(seen))
    return " ".join(parts)


def _where(seen: Dissection) -> list[str]:
    """Who sent it to whom, on the layer that matters most."""
    parts = [f"vlan {tag.vid}" for tag in seen.eth.tags] if seen.eth else []
    if seen.ipv4 is not None:
        transport = seen.udp or seen.tcp
        src = f"{seen.ipv4.src}.{transport.src_port}" if transport else f"{seen.ipv4.src}"
        dst = f"{seen.ipv4.dst}.{transport.dst_port}" if transport else f"{seen.ipv4.dst}"
        parts.append(f"IP {src} > {dst}")
    elif seen.eth is not None:
        parts.append(f"{seen.eth.src} > {seen.eth.dst}")
    return parts


def _what(seen: Dissection) -> list[str]:
    """What it says."""
    parts: list[str] = []
    if seen.ipv4 is not None:
        parts = [_transport(seen, seen.ipv4), *_fragment(seen.ipv4)]
    elif seen.arp is not None:
        parts = [_arp(seen.arp)]
    elif seen.eth is not None and seen.eth.ethertype < 0x0600:
        parts = [f"802.3 length {len(seen.payload)}"]
    elif seen.eth is not None:
        said = pppoe(seen.eth.ethertype, seen.payload)
        parts = [said or f"{seen.eth.ethertype:#06x} length {len(seen.payload)}"]
    return parts


def _faults(seen: Dissection) -> list[str]:
    parts = [f"[bad checksum: {', '.join(seen.bad_checksums)}]"] if seen.bad_checksums else []
    if seen.error:
        parts.append(f"[malformed: {seen.error}]")
    return parts


def _transport(seen: Dissection, packet: IPv4Packet) -> str:
    if seen.icmpv4 is not None:
        return f"ICMP {_icmp(seen.icmpv4)}"
    if seen.igmp is not None:
        return f"IGMP {_igmp(seen.igmp)}"
    if seen.udp is not None:
        said = application(seen.udp.src_port, seen.udp.dst_port, seen.payload)
        return said or f"UDP length {len(seen.payload)}"
    if seen.tcp is not None:
        return f"TCP {_tcp(seen.tcp)}"
    name = _PROTOCOLS.get(packet.protocol, f"protocol {packet.protocol}")
    return f"{name} length {len(seen.payload)}"


def _fragment(packet: IPv4Packet) -> list[str]:
    if not packet.is_fragment:
        return []
    more = "+" if packet.mf else ""
    return [f"frag {packet.ident}:{len(packet.payload)}@{packet.offset}{more}"]


def _arp(packet: ArpPacket) -> str:
    if packet.op == ArpOp.REQUEST:
        return f"ARP who-has {packet.target_ip} tell {packet.sender_ip}"
    if packet.op == ArpOp.REPLY:
        return f"ARP {packet.sender_ip} is-at {packet.sender_mac}"
    return f"ARP op {packet.op} {packet.sender_ip} to {packet.target_ip}"


def _tcp(segment: TcpSegment) -> str:
    flags = ",".join(flag.name or "" for flag in segment.flags) or "none"
    parts = [f"[{flags}] seq {segment.seq}"]
    if "ACK" in flags:
        parts.append(f"ack {segment.ack}")
    parts.append(f"win {segment.window}")
    if segment.payload:
        parts.append(f"length {len(segment.payload)}")
    parts += [_option(option) for option in segment.options]
    return " ".join(parts)


def _option(option: TcpOption) -> str:
    match option:
        case MSS():
            text = f"mss {option.value}"
        case WindowScale():
            text = f"wscale {option.shift}"
        case SackPermitted():
            text = "sackOK"
        case Sack():
            text = "sack " + ",".join(f"{left}:{right}" for left, right in option.blocks)
        case Timestamps():
            text = f"ts {option.value}/{option.echo}"
        case _:
            text = f"opt {option.kind}"
    return text


def _igmp(message: IgmpMessage) -> str:
    if not message.is_query:
        return f"{_IGMP.get(message.type, f'type {message.type}')} {message.group}"
    about = f" {message.group}" if int(message.group) else ""
    return f"query{about} max response {message.max_response / 10:g} s"


def _icmp(message: Icmpv4) -> str:
    match message:
        case EchoRequest() | EchoReply():
            name = "echo request" if isinstance(message, EchoRequest) else "echo reply"
            length = len(message.data)
            return f"{name} id {message.ident} seq {message.sequence} length {length}"
        case DestinationUnreachable():
            text = _UNREACHABLE.get(message.code, f"unreachable code {message.code}")
            if message.code == UnreachableCode.FRAGMENTATION_NEEDED:
                text += f" mtu {message.next_hop_mtu}"
        case TimeExceeded():
            text = _TIME_EXCEEDED.get(message.code, f"time exceeded code {message.code}")
        case Redirect():
            what = _REDIRECT.get(message.code, f"code {message.code}")
            text = f"redirect {what} to {message.gateway}"
        case ParameterProblem():
            text = f"parameter problem at byte {message.pointer}"
        case SourceQuench():
            text = "source quench"
        case _:
            return _query(message)
    return f"{text}, about {_quoted(message.quoted)}"


def _query(message: Icmpv4) -> str:
    """Messages that quote nothing, but for echoes."""
    if isinstance(message, RouterAdvertisement):
        routers = ", ".join(f"{ip} preference {pref}" for ip, pref in message.routers)
        return f"router advertisement lifetime {message.lifetime} {routers}"
    if isinstance(message, RouterSolicitation):
        return "router solicitation"
    names = {
        TimestampRequest: "timestamp request",
        TimestampReply: "timestamp reply",
        MaskRequest: "mask request",
        MaskReply: f"mask reply {getattr(message, 'mask', '')}",
    }
    if name := names.get(type(message)):
        return f"{name} id {getattr(message, 'ident', 0)} seq {getattr(message, 'sequence', 0)}"
    return f"type {message.type} code {message.code} length {len(getattr(message, 'data', b''))}"


def _quoted(data: bytes) -> str:
    """The packet that an ICMP error quotes, as far as it is there."""
    seen = dissect_ipv4(data, partial=True)
    packet = seen.ipv4
    if packet is None:
        return "nothing legible"
    name = _PROTOCOLS.get(packet.protocol, f"protocol {packet.protocol}")
    src, dst = f"{packet.src}", f"{packet.dst}"
    # Both transports start with their ports, and 8 bytes of either hold them.
    ports = packet.payload[:4]
    if name in {"UDP", "TCP"} and len(ports) == 4 and not packet.offset:
        src += f".{int.from_bytes(ports[:2], 'big')}"
        dst += f".{int.from_bytes(ports[2:], 'big')}"
    return f"{name} {src} > {dst}"
