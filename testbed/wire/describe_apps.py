"""What DHCP and DNS messages say, in a few words."""

from __future__ import annotations

from testbed.errors import WireError
from testbed.wire.dhcp import DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpCode, DhcpMessage, DhcpType
from testbed.wire.dns import DNS_PORT, DnsClass, DnsMessage, DnsRcode, DnsType

__all__ = ["application"]

_DHCP = {value: name.lower() for name, value in vars(DhcpType).items() if name.isupper()}
_TYPES = {value: name for name, value in vars(DnsType).items() if name.isupper()}
_RCODES = {value: name for name, value in vars(DnsRcode).items() if name.isupper()}


def application(src_port: int, dst_port: int, payload: bytes) -> str | None:
    """What a UDP datagram between these ports says; None if they are nobody's, or it is not his."""
    ports = {src_port, dst_port}
    try:
        if ports <= {DHCP_CLIENT_PORT, DHCP_SERVER_PORT}:
            return _dhcp(DhcpMessage.parse(payload))
        if DNS_PORT in ports:
            return _dns(DnsMessage.parse(payload))
    except WireError:
        return None
    return None


def _dhcp(message: DhcpMessage) -> str:
    kind = message.type
    parts = ["BOOTP" if kind is None else f"DHCP {_DHCP.get(kind, f'type {kind}')}"]
    parts.append(f"from {message.client}" if message.op == 1 else f"for {message.client}")
    asked = message.get(DhcpCode.REQUESTED_ADDRESS)
    for name, value in (("yours", message.yiaddr), ("has", message.ciaddr), ("wants", asked)):
        if value is not None and int(value):
            parts.append(f"{name} {value}")
    lease = message.get(DhcpCode.LEASE_TIME)
    if lease is not None:
        parts.append(f"lease {lease} s")
    return " ".join(parts)


def _dns(message: DnsMessage) -> str:
    parts = [f"DNS {'response' if message.response else 'query'} {message.ident}"]
    for question in message.questions:
        cls = "" if question.cls == DnsClass.IN else f" class {question.cls}"
        parts.append(f"{question.name}{cls} {_TYPES.get(question.type, f'TYPE{question.type}')}")
    if message.response:
        parts.append(_RCODES.get(message.rcode, f"rcode {message.rcode}"))
        counts = (len(message.answers), len(message.authority), len(message.additional))
        parts.append("/".join(map(str, counts)))
        parts += ["truncated"] if message.tc else []
    return " ".join(parts)
