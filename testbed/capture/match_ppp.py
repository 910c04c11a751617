"""Matchers for PPPoE and what it carries: ``match.pppoe(code="pado")``, ``match.ppp(code=1)``.

They take fields as the matchers of ``match`` do, and are found there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Final, Never, TypeAlias

from testbed.capture.layers import Field, Layer
from testbed.capture.making import layer_matcher
from testbed.capture.matcher import Matcher
from testbed.capture.seen import Seen
from testbed.capture.wants import Address, Bytes, Number, Truth
from testbed.errors import WireError
from testbed.wire.ethernet import EtherType
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_control import ControlPacket, IpcpOption, LcpOption, PppOption
from testbed.wire.pppoe import PppoeCode, PppoePacket, TagType

__all__ = ["ppp", "pppoe"]

_Whole: TypeAlias = int | str | Collection[int] | Collection[str] | Callable[[int], object] | None
_Truth: TypeAlias = bool | Callable[[bool], object] | None
_Octets: TypeAlias = bytes | Collection[bytes] | Callable[[bytes], object] | None
_Ip: TypeAlias = (
    IPv4Address | str | Collection[IPv4Address] | Callable[[IPv4Address], object] | None
)

_ERRORS: Final = (TagType.SERVICE_NAME_ERROR, TagType.AC_SYSTEM_ERROR, TagType.GENERIC_ERROR)


def pppoe(
    *,
    code: _Whole = None,
    session: _Whole = None,
    service: _Octets = None,
    ac_name: _Octets = None,
    host_uniq: _Octets = None,
    cookie: _Octets = None,
    relay: _Octets = None,
    error: _Truth = None,
    **unknown: Never,
) -> Matcher:
    """PPPoE packets of either stage (RFC 2516).

    ``code`` is a number or ``"padi"``, ``"pado"``, ``"padr"``, ``"pads"``, ``"padt"``,
    ``"session"``. The tags are the first of their kinds; ``error`` tells whether there is one that
    says no.
    """
    fields = {
        "code": code,
        "session": session,
        "service": service,
        "ac_name": ac_name,
        "host_uniq": host_uniq,
        "cookie": cookie,
        "relay": relay,
        "error": error,
    }
    return layer_matcher(_PPPOE, fields, unknown)


def ppp(
    *,
    protocol: _Whole = None,
    code: _Whole = None,
    ident: _Whole = None,
    session: _Whole = None,
    mru: _Whole = None,
    authentication: _Octets = None,
    magic: _Whole = None,
    address: _Ip = None,
    data: _Octets = None,
    length: _Whole = None,
    **unknown: Never,
) -> Matcher:
    """PPP frames in PPPoE sessions.

    ``protocol`` is a number or ``"lcp"``, ``"pap"``, ``"chap"``, ``"ipcp"``, ``"ipv4"``. ``code``,
    ``ident`` and ``data`` are those of a control packet; ``mru``, ``authentication`` and
    ``address`` options of LCP and IPCP; ``magic`` LCP's option, or what an echo begins with.
    ``length`` counts the bytes of information, as an MRU does.
    """
    fields = {
        "protocol": protocol,
        "code": code,
        "ident": ident,
        "session": session,
        "mru": mru,
        "authentication": authentication,
        "magic": magic,
        "address": address,
        "data": data,
        "length": length,
    }
    return layer_matcher(_PPP, fields, unknown)


def _names(constants: type) -> dict[str, int]:
    return {name.lower(): value for name, value in vars(constants).items() if name.isupper()}


def _packet(seen: Seen) -> PppoePacket | None:
    eth = seen.layers.eth
    kinds = (EtherType.PPPOE_DISCOVERY, EtherType.PPPOE_SESSION)
    if eth is None or eth.ethertype not in kinds:
        return None
    try:
        packet = PppoePacket.parse(eth.payload)
    except WireError:
        return None
    session = eth.ethertype == EtherType.PPPOE_SESSION
    return packet if session == (packet.code == PppoeCode.SESSION) else None


def _frame(seen: Seen) -> PppFrame | None:
    packet = _packet(seen)
    if packet is None or packet.code != PppoeCode.SESSION:
        return None
    try:
        return PppFrame.parse(packet.payload)
    except WireError:
        return None


def _control(seen: Seen) -> ControlPacket | None:
    frame = _frame(seen)
    if frame is None or frame.protocol == PppProtocol.IPV4:
        return None
    try:
        return ControlPacket.parse(frame.information)
    except WireError:
        return None


def _option(protocol: int, kind: int) -> Callable[[Seen], PppOption | None]:
    def get(seen: Seen) -> PppOption | None:
        frame, packet = _frame(seen), _control(seen)
        if frame is None or packet is None or frame.protocol != protocol or packet.code > 4:
            return None
        try:
            return next((each for each in packet.options if each.kind == kind), None)
        except WireError:
            return None

    return get


def _number(protocol: int, kind: int) -> Callable[[Seen], int | None]:
    option = _option(protocol, kind)
    return lambda seen: held.value if (held := option(seen)) else None


def _address(seen: Seen) -> IPv4Address | None:
    held = _option(PppProtocol.IPCP, IpcpOption.ADDRESS)(seen)
    return IPv4Address(held.data) if held is not None and len(held.data) == 4 else None


def _method(seen: Seen) -> bytes | None:
    held = _option(PppProtocol.LCP, LcpOption.AUTHENTICATION)(seen)
    return held.data if held is not None else None


def _magic(seen: Seen) -> int | None:
    frame, packet = _frame(seen), _control(seen)
    if frame is None or packet is None or frame.protocol != PppProtocol.LCP:
        return None
    if packet.code in {9, 10, 11} and len(packet.data) >= 4:
        return packet.magic
    return _number(PppProtocol.LCP, LcpOption.MAGIC)(seen)


def _tag(kind: int) -> Callable[[Seen], bytes | None]:
    def get(seen: Seen) -> bytes | None:
        packet = _packet(seen)
        if packet is None or packet.code == PppoeCode.SESSION:
            return None
        try:
            return packet.tag(kind)
        except WireError:
            return None

    return get


def _of(find: Callable[[Seen], object | None], attribute: str) -> Callable[[Seen], Any]:
    return lambda seen: getattr(find(seen), attribute, None)


def _length(seen: Seen) -> int | None:
    frame = _frame(seen)
    return None if frame is None else len(frame.information)


def _refuses(seen: Seen) -> bool:
    return any(_tag(kind)(seen) is not None for kind in _ERRORS)


_hexadecimal = partial(Number, hexadecimal=True)

_PPPOE: Final = Layer(
    "pppoe",
    "a PPPoE packet",
    _packet,
    {
        "code": Field(Number(8, _names(PppoeCode)), _of(_packet, "code")),
        "session": Field(Number(16), _of(_packet, "session")),
        "service": Field(Bytes(), _tag(TagType.SERVICE_NAME)),
        "ac_name": Field(Bytes(), _tag(TagType.AC_NAME)),
        "host_uniq": Field(Bytes(), _tag(TagType.HOST_UNIQ)),
        "cookie": Field(Bytes(), _tag(TagType.AC_COOKIE)),
        "relay": Field(Bytes(), _tag(TagType.RELAY_SESSION_ID)),
        "error": Field(Truth(), _refuses),
    },
)

_PPP: Final = Layer(
    "ppp",
    "a PPP frame",
    _frame,
    {
        "protocol": Field(_hexadecimal(16, _names(PppProtocol)), _of(_frame, "protocol")),
        "code": Field(Number(8), _of(_control, "code")),
        "ident": Field(Number(8), _of(_control, "ident")),
        "session": Field(Number(16), _of(_packet, "session")),
        "mru": Field(Number(16), _number(PppProtocol.LCP, LcpOption.MRU)),
        "authentication": Field(Bytes(), _method),
        "magic": Field(_hexadecimal(32), _magic),
        "address": Field(Address(), _address),
        "data": Field(Bytes(), _of(_control, "data")),
        "length": Field(Number(16), _length),
    },
)
