"""Building whole frames from layers, and frames that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import SupportsBytes, TypeAlias

from testbed.errors import WireError
from testbed.wire.arp import ArpPacket
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.icmp_info import (
    MaskReply,
    MaskRequest,
    RouterAdvertisement,
    RouterSolicitation,
    TimestampReply,
    TimestampRequest,
)
from testbed.wire.icmpv4 import EchoReply, EchoRequest, IcmpUnknown, Icmpv4
from testbed.wire.igmp import IgmpMessage
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.udp import UdpDatagram

__all__ = ["Layer", "Sendable", "compose", "enclose", "patched", "to_bytes"]

Layer: TypeAlias = (
    EthFrame | ArpPacket | IPv4Packet | UdpDatagram | TcpSegment | Icmpv4 | IgmpMessage | bytes
)
"""What ``compose`` stacks."""

Sendable: TypeAlias = EthFrame | SupportsBytes
"""What a port can send: a frame, bytes, or anything that turns into bytes, as scapy packets do."""

_WITH_PAYLOAD = (EthFrame, IPv4Packet, UdpDatagram, TcpSegment)
_WITH_DATA = (EchoRequest, EchoReply, IcmpUnknown)
_WITH_NOTHING = (
    bytes,
    ArpPacket,
    IgmpMessage,
    MaskReply,
    MaskRequest,
    RouterAdvertisement,
    RouterSolicitation,
    TimestampReply,
    TimestampRequest,
)


def compose(*layers: Layer, pad: bool = False) -> bytes:
    """The bytes of ``layers``, outermost first, each put into the one before it.

    Fills in lengths and checksums, and the ethertype or protocol that leads to the next layer
    where the author left it at its default. With ``pad``, an Ethernet frame is filled up to 60
    bytes. Raises WireError where a layer cannot carry the next one: it has a payload of its own,
    or is one that carries nothing; or where UDP or TCP stand outside IPv4, whose addresses their
    checksums cover.
    """
    if not layers:
        raise WireError("compose: no layers")
    for layer in layers:
        _check_layer(layer)
    data = b""
    for index in range(len(layers) - 1, -1, -1):
        layer = layers[index]
        if index + 1 < len(layers):
            layer = _carrying(layer, layers[index + 1], data)
        data = _emitted(layer, layers[index - 1] if index else None, pad=pad)
    return data


def _check_layer(thing: object) -> None:
    if not isinstance(thing, Layer):
        raise WireError(f"compose: {type(thing).__name__} is no layer")


def _carrying(layer: Layer, inner: Layer, data: bytes) -> Layer:
    """``layer`` around ``inner``, whose bytes are ``data``."""
    if isinstance(layer, _WITH_NOTHING):
        raise WireError(f"compose: {type(layer).__name__} cannot carry another layer")
    name = "payload" if isinstance(layer, _WITH_PAYLOAD) else "quoted"
    if isinstance(layer, _WITH_DATA):
        name = "data"
    if getattr(layer, name):
        raise WireError(
            f"compose: {type(layer).__name__} has its {name} already, and a layer inside"
        )
    changes: dict[str, object] = {name: data}
    if isinstance(layer, EthFrame) and layer.ethertype == EtherType.EXPERIMENTAL:
        changes["ethertype"] = _ethertype(inner)
    elif isinstance(layer, IPv4Packet) and layer.protocol == IpProtocol.EXPERIMENTAL:
        changes["protocol"] = _protocol(inner)
    return replace(layer, **changes)  # type: ignore[arg-type]


def _ethertype(inner: Layer) -> int:
    if isinstance(inner, IPv4Packet):
        return EtherType.IPV4
    if isinstance(inner, ArpPacket):
        return EtherType.ARP
    return EtherType.EXPERIMENTAL


def _protocol(inner: Layer) -> int:
    if isinstance(inner, UdpDatagram):
        return IpProtocol.UDP
    if isinstance(inner, TcpSegment):
        return IpProtocol.TCP
    if isinstance(inner, Icmpv4):
        return IpProtocol.ICMP
    if isinstance(inner, IgmpMessage):
        return IpProtocol.IGMP
    return IpProtocol.IPIP if isinstance(inner, IPv4Packet) else IpProtocol.EXPERIMENTAL


def _emitted(layer: Layer, outer: Layer | None, *, pad: bool) -> bytes:
    """The bytes of ``layer`` inside ``outer``."""
    if isinstance(layer, bytes):
        return layer
    if isinstance(layer, EthFrame):
        return layer.emit(pad=pad)
    if isinstance(layer, UdpDatagram | TcpSegment):
        if not isinstance(outer, IPv4Packet):
            raise WireError(f"compose: {type(layer).__name__} must stand inside an IPv4Packet")
        return layer.emit(outer.src, outer.dst)
    return layer.emit()


def to_bytes(thing: Sendable) -> bytes:
    """The whole frame that ``thing`` is: an EthFrame, bytes, or what has ``__bytes__``.

    WireError for a layer that is no frame yet.
    """
    if isinstance(thing, bytes):
        return thing
    if isinstance(thing, EthFrame):
        return thing.emit()
    other: object = thing
    if isinstance(other, bytearray | memoryview | SupportsBytes):
        return bytes(other)
    hint = ": compose it into an EthFrame" if hasattr(thing, "emit") else ""
    raise WireError(f"{type(thing).__name__} is no whole frame{hint}")


def enclose(packet: IPv4Packet, *inner: Layer) -> IPv4Packet:
    """``packet`` with these layers in it, in place of its payload."""
    return IPv4Packet.parse(compose(replace(packet, payload=b""), *inner))


def patched(data: bytes, changes: Mapping[int, int | bytes]) -> bytes:
    """``data`` with bytes replaced at offsets, checksums and lengths left as they are.

    For frames that no legal value stands for: ``patched(frame, {14: 0x65})`` sends IP version 6.
    WireError where a change reaches beyond the data.
    """
    result = bytearray(data)
    for offset, change in changes.items():
        if isinstance(change, int) and not 0 <= change <= 0xFF:
            raise WireError(f"patched: {change} at {offset} is no byte")
        new = bytes((change,)) if isinstance(change, int) else change
        if offset < 0 or offset + len(new) > len(data):
            raise WireError(f"patched: {len(new)} bytes at {offset} in {len(data)} bytes of data")
        result[offset : offset + len(new)] = new
    return bytes(result)
