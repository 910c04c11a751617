"""Matchers for plans: ``match.ipv4(dst="10.0.0.2", ttl=63)``.

Each function names a layer; a frame matches when it has that layer and every field that is given
is as wanted. A field that is left out may be anything. A field takes

- a value: ``ttl=63``, ``src="02:00:00:00:00:01"``, ``flags="SYN+ACK"``,
- several, of which one must be it: ``ttl=range(1, 64)``, ``dst={"10.0.0.1", "10.0.0.2"}``,
  ``src="10.0.0.0/8"``,
- a predicate: ``ident=lambda ident: ident != 0``.

Matchers combine with ``&``, ``|`` and ``~``. An unknown field and a value that no frame could have
are PlanErrors at once. Layers with a wrong checksum match; ask for ``bad_checksum=False`` where
that matters. A layer that is too broken to be read at all does not match, and a fragment after the
first has no transport layer: to look for a frame whatever its layers are, put a marker into it and
use ``containing``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Never, TypeAlias

from testbed.capture.layers import LAYERS, Quoting
from testbed.capture.making import Wanted, layer_matcher
from testbed.capture.match_ppp import ppp, pppoe
from testbed.capture.match_services import dhcp, dns
from testbed.capture.matcher import AnyFrame, Bytewise, Matcher, Where
from testbed.capture.wants import Flags, Number, Want
from testbed.errors import PlanError
from testbed.wire.addresses import MacAddr
from testbed.wire.tcp import TcpFlags

__all__ = [
    "any",
    "arp",
    "containing",
    "dhcp",
    "dns",
    "eth",
    "icmpv4",
    "ipv4",
    "ppp",
    "pppoe",
    "raw",
    "tcp",
    "udp",
    "vlan",
    "where",
]

Whole: TypeAlias = int | str | Collection[int] | Collection[str] | Callable[[int], object] | None
Truth: TypeAlias = bool | Callable[[bool], object] | None
Mac: TypeAlias = (
    MacAddr | str | Collection[MacAddr] | Collection[str] | Callable[[MacAddr], object] | None
)
Ip: TypeAlias = (
    IPv4Address
    | IPv4Network
    | str
    | Collection[IPv4Address]
    | Collection[str]
    | Callable[[IPv4Address], object]
    | None
)
Octets: TypeAlias = bytes | Collection[bytes] | Callable[[bytes], object] | None
Bits: TypeAlias = TcpFlags | str | Collection[TcpFlags] | Callable[[TcpFlags], object] | None
SackBlocks: TypeAlias = (
    tuple[tuple[int, int], ...] | Callable[[tuple[tuple[int, int], ...]], object] | None
)


def any() -> Matcher:  # noqa: A001 - plans write match.any()
    """Every frame."""
    return AnyFrame()


def raw(data: bytes, *, padding: bool = False) -> Matcher:
    """The frame ``data``, byte for byte; ``padding`` also takes it filled up with zeros to 60."""
    return Bytewise(_octets("raw", data), padding=padding)


def containing(data: bytes) -> Matcher:
    """Frames in which ``data`` stands anywhere, whatever their layers are."""
    return Bytewise(_octets("containing", data), part=True)


def where(test: Callable[[bytes], object], name: str | None = None) -> Matcher:
    """Frames whose bytes ``test`` accepts; ``name`` says in messages what it looks for."""
    return Where.of(test, name)


def eth(
    *,
    src: Mac = None,
    dst: Mac = None,
    ethertype: Whole = None,
    tagged: Truth = None,
    payload: Octets = None,
    length: Whole = None,
    longer_than: int | None = None,
    shorter_than: int | None = None,
    **unknown: Never,
) -> Matcher:
    """Ethernet frames.

    ``ethertype`` is that behind any VLAN tags. Lengths are of the frame without its FCS.
    ``payload`` may be followed by the zeros that fill a frame up to its minimum.
    """
    fields = {
        "src": src,
        "dst": dst,
        "ethertype": ethertype,
        "tagged": tagged,
        "payload": payload,
        "length": length,
    }
    bounds = _bounds("eth", "length", longer_than, shorter_than)
    return _layer("eth", fields, unknown, bounds, named=("longer_than", "shorter_than"))


def vlan(
    *,
    vid: Whole = None,
    pcp: Whole = None,
    dei: Truth = None,
    tpid: Whole = None,
    depth: Whole = None,
    **unknown: Never,
) -> Matcher:
    """Frames with a VLAN tag; the fields are the outermost tag's, ``depth`` counts the tags."""
    fields = {"vid": vid, "pcp": pcp, "dei": dei, "tpid": tpid, "depth": depth}
    return _layer("vlan", fields, unknown)


def arp(
    *,
    op: Whole = None,
    sender_mac: Mac = None,
    sender_ip: Ip = None,
    target_mac: Mac = None,
    target_ip: Ip = None,
    **unknown: Never,
) -> Matcher:
    """ARP packets; ``op`` is a number, ``"request"`` or ``"reply"``."""
    fields = {
        "op": op,
        "sender_mac": sender_mac,
        "sender_ip": sender_ip,
        "target_mac": target_mac,
        "target_ip": target_ip,
    }
    return _layer("arp", fields, unknown)


def ipv4(
    *,
    src: Ip = None,
    dst: Ip = None,
    protocol: Whole = None,
    ttl: Whole = None,
    ident: Whole = None,
    df: Truth = None,
    mf: Truth = None,
    offset: Whole = None,
    fragment: Truth = None,
    dscp: Whole = None,
    ecn: Whole = None,
    options: Octets = None,
    payload: Octets = None,
    length: Whole = None,
    longer_than: int | None = None,
    shorter_than: int | None = None,
    bad_checksum: Truth = None,
    **unknown: Never,
) -> Matcher:
    """IPv4 packets.

    ``protocol`` is a number or one of ``"icmp"``, ``"udp"``, ``"tcp"``, ``"igmp"``, ``"ospf"``.
    ``offset`` is a fragment's in bytes; ``fragment`` tells fragments from whole packets. Lengths
    are the header's total length.
    """
    fields = {
        "src": src,
        "dst": dst,
        "protocol": protocol,
        "ttl": ttl,
        "ident": ident,
        "df": df,
        "mf": mf,
        "offset": offset,
        "fragment": fragment,
        "dscp": dscp,
        "ecn": ecn,
        "options": options,
        "payload": payload,
        "length": length,
        "bad_checksum": bad_checksum,
    }
    bounds = _bounds("ipv4", "length", longer_than, shorter_than)
    return _layer("ipv4", fields, unknown, bounds, named=("longer_than", "shorter_than"))


def icmpv4(
    *,
    type: Whole = None,  # noqa: A002 - the field's name in RFC 792
    code: Whole = None,
    ident: Whole = None,
    seq: Whole = None,
    data: Octets = None,
    next_hop_mtu: Whole = None,
    gateway: Ip = None,
    pointer: Whole = None,
    quoting: Matcher | bytes | None = None,
    bad_checksum: Truth = None,
    **unknown: Never,
) -> Matcher:
    """ICMP messages.

    ``ident``, ``seq`` and ``data`` are an echo's; ``next_hop_mtu`` is of type 3 code 4 only.
    ``quoting`` is what an error must be about: a matcher of the quoted packet (which has no
    Ethernet layer, and of TCP often no more than ports and sequence number), or the packet that
    was sent, from its IP header on: the error must quote that header and 8 bytes at the least;
    TTL and header checksum may have changed on the way.
    """
    fields = {
        "type": type,
        "code": code,
        "ident": ident,
        "seq": seq,
        "data": data,
        "next_hop_mtu": next_hop_mtu,
        "gateway": gateway,
        "pointer": pointer,
        "bad_checksum": bad_checksum,
    }
    return _layer("icmpv4", fields, unknown, named=("quoting",), quoting=Quoting.of(quoting))


def udp(
    *,
    src_port: Whole = None,
    dst_port: Whole = None,
    payload: Octets = None,
    bad_checksum: Truth = None,
    **unknown: Never,
) -> Matcher:
    """UDP datagrams."""
    fields = {
        "src_port": src_port,
        "dst_port": dst_port,
        "payload": payload,
        "bad_checksum": bad_checksum,
    }
    return _layer("udp", fields, unknown)


def tcp(
    *,
    src_port: Whole = None,
    dst_port: Whole = None,
    seq: Whole = None,
    ack: Whole = None,
    flags: Bits = None,
    has: TcpFlags | str | None = None,
    lacks: TcpFlags | str | None = None,
    window: Whole = None,
    urgent: Whole = None,
    mss: Whole = None,
    wscale: Whole = None,
    sack_permitted: Truth = None,
    sack: SackBlocks = None,
    timestamp: Whole = None,
    payload: Octets = None,
    payload_length: Whole = None,
    longer_than: int | None = None,
    shorter_than: int | None = None,
    bad_checksum: Truth = None,
    **unknown: Never,
) -> Matcher:
    """TCP segments.

    ``flags`` are exactly these: ``"SYN"``, ``"SYN+ACK"``. ``has`` and ``lacks`` look at some and
    leave the others open. ``longer_than`` and ``shorter_than`` bound the payload. ``sack`` are
    the blocks of the option, ``mss`` and ``wscale`` the values of theirs.
    """
    fields = {
        "src_port": src_port,
        "dst_port": dst_port,
        "seq": seq,
        "ack": ack,
        "flags": flags,
        "window": window,
        "urgent": urgent,
        "mss": mss,
        "wscale": wscale,
        "sack_permitted": sack_permitted,
        "sack": sack,
        "timestamp": timestamp,
        "payload": payload,
        "payload_length": payload_length,
        "bad_checksum": bad_checksum,
    }
    bounds = (*_bits(has, lacks), *_bounds("tcp", "payload_length", longer_than, shorter_than))
    named = ("has", "lacks", "longer_than", "shorter_than")
    return _layer("tcp", fields, unknown, bounds, named=named)


def _layer(
    name: str,
    fields: Mapping[str, object],
    unknown: Mapping[str, object],
    more: Wanted = (),
    *,
    named: tuple[str, ...] = (),
    quoting: Quoting | None = None,
) -> Matcher:
    """The matcher of layer ``name``."""
    return layer_matcher(LAYERS[name], fields, unknown, more, named=named, quoting=quoting)


def _bounds(layer: str, field: str, longer: object, shorter: object) -> Wanted:
    """The tests that ``longer_than`` and ``shorter_than`` ask for."""
    bounds: list[tuple[str, Want]] = []
    if longer is not None:
        low = _limit(f"{layer}.longer_than", longer)
        more = range(low + 1, 1 << 16)
        test = Want(f"more than {low}", lambda got: bool(got > low), f"longer_than={low}", more)
        bounds.append((field, test))
    if shorter is not None:
        high = _limit(f"{layer}.shorter_than", shorter)
        test = Want(
            f"less than {high}", lambda got: bool(got < high), f"shorter_than={high}", range(high)
        )
        bounds.append((field, test))
    return tuple(bounds)


def _limit(name: str, value: object) -> int:
    try:
        return Number(16).read(value)
    except (TypeError, ValueError) as error:
        raise PlanError(f"{name}: {error}") from None


def _bits(has: object, lacks: object) -> Wanted:
    """The tests that ``has`` and ``lacks`` ask for."""
    kind = Flags()
    tests: list[tuple[str, Want]] = []
    for name, told, value in (("has", "with", has), ("lacks", "without", lacks)):
        if value is None:
            continue
        try:
            bits = kind.read(value)
        except (TypeError, ValueError) as error:
            raise PlanError(f"tcp.{name}: {error}") from None
        text = kind.show(bits)
        accepts = _all_set(bits) if name == "has" else _none_set(bits)
        values, mask = (int(bits) if name == "has" else 0,), int(bits)
        tests.append(("flags", Want(f"{told} {text}", accepts, f"{name}={text}", values, mask)))
    return tuple(tests)


def _all_set(bits: TcpFlags) -> Callable[[Any], bool]:
    return lambda got: got & bits == bits


def _none_set(bits: TcpFlags) -> Callable[[Any], bool]:
    return lambda got: not got & bits


def _octets(name: str, data: object) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview) or not data:
        raise PlanError(f"match.{name} wants bytes, at least one, got {data!r}")
    return bytes(data)
