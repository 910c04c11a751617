"""What PPPoE frames say, in a few words."""

from __future__ import annotations

from typing import Final

from testbed.errors import WireError
from testbed.wire.ethernet import EtherType
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_auth import ChapCode, PapCode
from testbed.wire.ppp_control import CODE_NAMES, ControlPacket
from testbed.wire.pppoe import PppoeCode, PppoePacket

__all__ = ["pppoe"]

_CODES: Final = {value: name for name, value in vars(PppoeCode).items() if name.isupper()}
_PROTOCOLS: Final = {
    PppProtocol.IPV4: "IP",
    PppProtocol.IPCP: "IPCP",
    PppProtocol.LCP: "LCP",
    PppProtocol.PAP: "PAP",
    PppProtocol.CHAP: "CHAP",
}
_PAP: Final = {value: name for name, value in vars(PapCode).items() if name.isupper()}
_CHAP: Final = {value: name for name, value in vars(ChapCode).items() if name.isupper()}


def pppoe(ethertype: int, data: bytes) -> str | None:
    """What a frame of PPPoE says; None for another Ethertype, or what cannot be read."""
    if ethertype not in (EtherType.PPPOE_DISCOVERY, EtherType.PPPOE_SESSION):
        return None
    try:
        packet = PppoePacket.parse(data)
        if ethertype == EtherType.PPPOE_DISCOVERY:
            code = _CODES.get(packet.code, f"code {packet.code:#04x}")
            return f"PPPoE {code} session {packet.session}"
        return f"PPPoE session {packet.session} {_ppp(PppFrame.parse(packet.payload))}"
    except WireError:
        return None


def _ppp(frame: PppFrame) -> str:
    name = _PROTOCOLS.get(frame.protocol)
    if name is None or frame.protocol == PppProtocol.IPV4:
        return f"{name or f'protocol {frame.protocol:#06x}'} length {len(frame.information)}"
    packet = ControlPacket.parse(frame.information)
    known = {PppProtocol.PAP: _PAP, PppProtocol.CHAP: _CHAP}.get(
        frame.protocol, dict(enumerate(CODE_NAMES))
    )
    return f"{name} {known.get(packet.code, f'code {packet.code}')} id {packet.ident}"
