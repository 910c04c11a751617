"""The layers that matchers know, and the fields of each.

A getter returns None where the frame does not have the field: an echo has no next-hop MTU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.capture.matcher import Matcher, Mismatch
from testbed.capture.seen import Seen, look_quoted
from testbed.capture.wants import (
    Address,
    Blocks,
    Bytes,
    Flags,
    Hardware,
    Kind,
    Number,
    Padded,
    Truth,
    Want,
)
from testbed.errors import PlanError
from testbed.wire.arp import ArpOp
from testbed.wire.ethernet import EtherType
from testbed.wire.icmpv4 import IcmpType, UnreachableCode
from testbed.wire.ipv4 import IpProtocol
from testbed.wire.tcp_options import MSS, Sack, SackPermitted, Timestamps, WindowScale

__all__ = ["LAYERS", "Field", "Layer", "LayerMatcher", "Quoting"]

_SHORTEST_QUOTE = 8
"""RFC 792: an error quotes the IP header and the first 64 bits of what follows."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a layer: the values it takes, and how to get it from a frame."""

    kind: Kind
    get: Callable[[Seen], Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its name, what a frame that has it is called, how to find it, its fields."""

    name: str
    title: str
    find: Callable[[Seen], object | None]
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class LayerMatcher(Matcher):
    """Matches frames that have a layer whose fields are as wanted."""

    layer: Layer
    wanted: tuple[tuple[str, Want], ...]
    quoting: Quoting | None = None

    def holds(self, seen: Seen) -> bool:
        """Whether the layer is there and every field is as wanted."""
        if self.layer.find(seen) is None:
            return False
        for name, wanted in self.wanted:
            value = self.layer.fields[name].get(seen)
            if value is None or not wanted.accepts(value):
                return False
        return self.quoting is None or not self.quoting.misses(seen)

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """The layer, where it is missing; else each field that is not as wanted."""
        if self.layer.find(seen) is None:
            return (Mismatch(self.layer.name, self.layer.title, str(seen), 1 + len(self.wanted)),)
        found = []
        for name, wanted in self.wanted:
            each = self.layer.fields[name]
            value = each.get(seen)
            if value is None or not wanted.accepts(value):
                got = "absent" if value is None else each.kind.show(value)
                found.append(Mismatch(f"{self.layer.name}.{name}", wanted.text, got))
        return (*found, *(self.quoting.misses(seen) if self.quoting else ()))

    def __str__(self) -> str:
        parts = [wanted.written or f"{name}={wanted.text}" for name, wanted in self.wanted]
        if self.quoting:
            parts.append(f"quoting={self.quoting}")
        return f"{self.layer.name}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Quoting:
    """What an ICMP error must quote: a packet that matches, or a given one."""

    wanted: Matcher | bytes

    def __post_init__(self) -> None:
        if isinstance(self.wanted, bytes) and (len(self.wanted) < 20 or self.wanted[0] >> 4 != 4):
            raise PlanError(
                "icmpv4.quoting: expected a matcher, or an IPv4 packet from its header on"
            )

    def misses(self, seen: Seen) -> tuple[Mismatch, ...]:
        """How the quotation differs; the frame is known to be ICMP."""
        quoted = getattr(seen.layers.icmpv4, "quoted", None)
        if quoted is None:
            return (Mismatch("icmpv4.quoting", str(self), "no quotation"),)
        if isinstance(self.wanted, Matcher):
            inner = self.wanted.misses(look_quoted(quoted))
            return tuple(
                Mismatch(f"quoted {miss.field}", miss.wanted, miss.got, miss.weight)
                for miss in inner
            )
        return self._compare(quoted, self.wanted)

    def _compare(self, quoted: bytes, sent: bytes) -> tuple[Mismatch, ...]:
        """TTL and header checksum change on the way to the router and are not compared."""
        least = min(len(sent), (sent[0] & 15) * 4 + _SHORTEST_QUOTE)
        if len(quoted) < least:
            got = f"{len(quoted)} bytes"
            return (Mismatch("icmpv4.quoting", f"at least {least} bytes", got),)
        for at, (came, wanted) in enumerate(zip(quoted, sent, strict=False)):
            if came != wanted and at not in {8, 10, 11}:
                return (Mismatch(f"quoted byte {at}", f"{wanted:#04x}", f"{came:#04x}"),)
        return ()

    def __str__(self) -> str:
        return f"{len(self.wanted)} bytes" if isinstance(self.wanted, bytes) else str(self.wanted)

    @classmethod
    def of(cls, value: object) -> Quoting | None:
        """What ``value`` asks for; None asks for nothing."""
        if value is None:
            return None
        if isinstance(value, bytes | bytearray | memoryview):
            return cls(bytes(value))
        if isinstance(value, Matcher):
            return cls(value)
        raise PlanError(f"icmpv4.quoting: expected a matcher or bytes, got {value!r}")


def _of(layer: str, attribute: str) -> Callable[[Seen], Any]:
    """A field that is an attribute of the layer's value."""

    def get(seen: Seen) -> Any:
        return getattr(getattr(seen.layers, layer), attribute, None)

    return get


def _bad(layer: str) -> Field:
    return Field(Truth(), lambda seen: layer in seen.layers.bad_checksums)


def _tcp(attribute: str) -> Callable[[Seen], Any]:
    return lambda seen: getattr(seen.tcp, attribute, None)


def _option(kind: type, attribute: str) -> Callable[[Seen], Any]:
    """An attribute of a TCP option; None where the segment has no such option."""

    def get(seen: Seen) -> Any:
        segment = seen.layers.tcp
        return getattr(segment.option(kind), attribute, None) if segment else None

    return get


def _eth_payload(seen: Seen) -> bytes | None:
    return seen.layers.eth.payload if seen.layers.eth else None


def _ip_length(seen: Seen) -> int:
    """The total length that the header states; a quotation may have less of the packet."""
    start = seen.packet_start + 2
    return int.from_bytes(seen.data[start : start + 2], "big")


def _next_hop_mtu(seen: Seen) -> int | None:
    message = seen.layers.icmpv4
    if (
        message is None
        or message.type != IcmpType.DESTINATION_UNREACHABLE
        or message.code != UnreachableCode.FRAGMENTATION_NEEDED
    ):
        return None
    return getattr(message, "next_hop_mtu", None)


def _names(constants: type, *names: str) -> dict[str, int]:
    """Names that plans may use, in lower case, for the constants of these names."""
    return {name.lower(): getattr(constants, name) for name in names}


_PORT = Number(16)
_ETHERTYPE = Number(16, _names(EtherType, "IPV4", "ARP", "IPV6", "LLDP"), hexadecimal=True)

_ETH = {
    "src": Field(Hardware(), _of("eth", "src")),
    "dst": Field(Hardware(), _of("eth", "dst")),
    "ethertype": Field(_ETHERTYPE, _of("eth", "ethertype")),
    "tagged": Field(Truth(), lambda seen: seen.layers.vlan is not None),
    "length": Field(Number(16), lambda seen: len(seen.data)),
    "payload": Field(Padded(), _eth_payload),
}

_VLAN = {
    "vid": Field(Number(12), _of("vlan", "vid")),
    "pcp": Field(Number(3), _of("vlan", "pcp")),
    "dei": Field(Truth(), _of("vlan", "dei")),
    "tpid": Field(Number(16, hexadecimal=True), _of("vlan", "tpid")),
    "depth": Field(Number(8), lambda seen: len(seen.layers.eth.tags) if seen.layers.eth else None),
}

_ARP = {
    "op": Field(Number(16, _names(ArpOp, "REQUEST", "REPLY")), _of("arp", "op")),
    "sender_mac": Field(Hardware(), _of("arp", "sender_mac")),
    "sender_ip": Field(Address(), _of("arp", "sender_ip")),
    "target_mac": Field(Hardware(), _of("arp", "target_mac")),
    "target_ip": Field(Address(), _of("arp", "target_ip")),
}

_IPV4 = {
    "src": Field(Address(), _of("ipv4", "src")),
    "dst": Field(Address(), _of("ipv4", "dst")),
    "protocol": Field(
        Number(8, _names(IpProtocol, "ICMP", "IGMP", "TCP", "UDP", "OSPF")), _of("ipv4", "protocol")
    ),
    "ttl": Field(Number(8), _of("ipv4", "ttl")),
    "ident": Field(Number(16), _of("ipv4", "ident")),
    "df": Field(Truth(), _of("ipv4", "df")),
    "mf": Field(Truth(), _of("ipv4", "mf")),
    "offset": Field(Number(16), _of("ipv4", "offset")),
    "fragment": Field(Truth(), _of("ipv4", "is_fragment")),
    "dscp": Field(Number(6), _of("ipv4", "dscp")),
    "ecn": Field(Number(2), _of("ipv4", "ecn")),
    "options": Field(Bytes(), _of("ipv4", "options")),
    "length": Field(Number(16), _ip_length),
    "payload": Field(Bytes(), _of("ipv4", "payload")),
    "bad_checksum": _bad("ipv4"),
}

_ICMPV4 = {
    "type": Field(Number(8), _of("icmpv4", "type")),
    "code": Field(Number(8), _of("icmpv4", "code")),
    "ident": Field(Number(16), _of("icmpv4", "ident")),
    "seq": Field(Number(16), _of("icmpv4", "sequence")),
    "next_hop_mtu": Field(Number(16), _next_hop_mtu),
    "gateway": Field(Address(), _of("icmpv4", "gateway")),
    "pointer": Field(Number(8), _of("icmpv4", "pointer")),
    "data": Field(Bytes(), _of("icmpv4", "data")),
    "bad_checksum": _bad("icmpv4"),
}

_UDP = {
    "src_port": Field(_PORT, _of("udp", "src_port")),
    "dst_port": Field(_PORT, _of("udp", "dst_port")),
    "payload": Field(Bytes(), _of("udp", "payload")),
    "bad_checksum": _bad("udp"),
}

_TCP = {
    "src_port": Field(_PORT, _tcp("src_port")),
    "dst_port": Field(_PORT, _tcp("dst_port")),
    "seq": Field(Number(32), _tcp("seq")),
    "ack": Field(Number(32), _tcp("ack")),
    "flags": Field(Flags(), _tcp("flags")),
    "window": Field(Number(16), _tcp("window")),
    "urgent": Field(Number(16), _tcp("urgent")),
    "mss": Field(Number(16), _option(MSS, "value")),
    "wscale": Field(Number(8), _option(WindowScale, "shift")),
    "sack_permitted": Field(
        Truth(),
        lambda seen: seen.layers.tcp and seen.layers.tcp.option(SackPermitted) is not None,
    ),
    "sack": Field(Blocks(), _option(Sack, "blocks")),
    "timestamp": Field(Number(32), _option(Timestamps, "value")),
    "payload": Field(Bytes(), _tcp("payload")),
    "payload_length": Field(
        Number(16), lambda seen: len(seen.layers.tcp.payload) if seen.layers.tcp else None
    ),
    "bad_checksum": _bad("tcp"),
}

LAYERS = {
    "eth": Layer("eth", "an Ethernet frame", lambda seen: seen.layers.eth, _ETH),
    "vlan": Layer("vlan", "a VLAN tag", lambda seen: seen.layers.vlan, _VLAN),
    "arp": Layer("arp", "an ARP packet", lambda seen: seen.layers.arp, _ARP),
    "ipv4": Layer("ipv4", "an IPv4 packet", lambda seen: seen.layers.ipv4, _IPV4),
    "icmpv4": Layer("icmpv4", "an ICMP message", lambda seen: seen.layers.icmpv4, _ICMPV4),
    "udp": Layer("udp", "a UDP datagram", lambda seen: seen.layers.udp, _UDP),
    "tcp": Layer("tcp", "a TCP segment", lambda seen: seen.tcp, _TCP),
}
"""Every layer by name."""
