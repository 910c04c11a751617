"""Matchers for what UDP and TCP carry: ``match.dhcp(type="offer")``, ``match.dns(name="a.test")``.

They take fields as the matchers of ``match`` do, and are found there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, Never, TypeAlias

from testbed.capture.layers import Field, Layer
from testbed.capture.making import layer_matcher
from testbed.capture.matcher import Matcher
from testbed.capture.seen import Seen
from testbed.capture.wants import Address, Hardware, Kind, Number, Truth
from testbed.errors import WireError
from testbed.wire.addresses import MacAddr
from testbed.wire.dhcp import DhcpCode, DhcpOp, DhcpType
from testbed.wire.dns import DnsName, DnsRcode, DnsType

__all__ = ["dhcp", "dns"]

_Whole: TypeAlias = int | str | Collection[int] | Collection[str] | Callable[[int], object] | None
_Truth: TypeAlias = bool | Callable[[bool], object] | None
_Mac: TypeAlias = MacAddr | str | Collection[MacAddr] | Callable[[MacAddr], object] | None
_Ip: TypeAlias = (
    IPv4Address
    | IPv4Network
    | str
    | Collection[IPv4Address]
    | Collection[str]
    | Callable[[IPv4Address], object]
    | None
)
_Name: TypeAlias = DnsName | str | Collection[DnsName] | Callable[[DnsName], object] | None


class _Named(Number):
    """A number whose values have names that say more."""

    def show(self, value: Any) -> str:
        """The name, where there is one."""
        return next((name for name, held in self.names.items() if held == value), str(value))


class _DomainName(Kind):
    """A domain name; upper and lower case are the same (RFC 1035 2.3.3)."""

    def read(self, value: object) -> DnsName:
        """The name."""
        if not isinstance(value, DnsName | str):
            raise TypeError(f"{value!r} is no domain name")
        try:
            return DnsName(value)
        except WireError as error:
            raise ValueError(str(error)) from None


def dhcp(
    *,
    type: _Whole = None,  # noqa: A002 - the field's name in RFC 2132
    op: _Whole = None,
    xid: _Whole = None,
    secs: _Whole = None,
    broadcast: _Truth = None,
    ciaddr: _Ip = None,
    yiaddr: _Ip = None,
    giaddr: _Ip = None,
    client: _Mac = None,
    requested: _Ip = None,
    server: _Ip = None,
    lease_time: _Whole = None,
    asks: _Truth = None,
    names_server: _Truth = None,
    **unknown: Never,
) -> Matcher:
    """DHCP messages, between the ports 67 and 68.

    ``type`` is a number or ``"discover"``, ``"offer"`` and so on, ``client`` is chaddr.
    ``requested`` and ``server`` are the options' values (50, 54); ``asks`` and ``names_server``
    tell whether there are such options at all.
    """
    fields = {
        "type": type,
        "op": op,
        "xid": xid,
        "secs": secs,
        "broadcast": broadcast,
        "ciaddr": ciaddr,
        "yiaddr": yiaddr,
        "giaddr": giaddr,
        "client": client,
        "requested": requested,
        "server": server,
        "lease_time": lease_time,
        "asks": asks,
        "names_server": names_server,
    }
    return layer_matcher(_DHCP, fields, unknown)


def dns(
    *,
    ident: _Whole = None,
    response: _Truth = None,
    name: _Name = None,
    type: _Whole = None,  # noqa: A002 - the field's name in RFC 1035
    rcode: _Whole = None,
    aa: _Truth = None,
    tc: _Truth = None,
    rd: _Truth = None,
    ra: _Truth = None,
    answers: _Whole = None,
    authority: _Whole = None,
    additional: _Whole = None,
    **unknown: Never,
) -> Matcher:
    """DNS messages, to or from port 53: by UDP, or by TCP where a segment holds a whole one.

    ``name`` and ``type`` are the question's. ``rcode`` is a number or ``"nxdomain"``, ``"refused"``
    and so on; ``answers``, ``authority`` and ``additional`` count the records of the sections.
    """
    fields = {
        "ident": ident,
        "response": response,
        "name": name,
        "type": type,
        "rcode": rcode,
        "aa": aa,
        "tc": tc,
        "rd": rd,
        "ra": ra,
        "answers": answers,
        "authority": authority,
        "additional": additional,
    }
    return layer_matcher(_DNS, fields, unknown)


def _names(constants: type) -> dict[str, int]:
    return {name.lower(): value for name, value in vars(constants).items() if name.isupper()}


def _dhcp(attribute: str) -> Callable[[Seen], Any]:
    return lambda seen: getattr(seen.dhcp, attribute, None)


def _option(code: int) -> Callable[[Seen], Any]:
    return lambda seen: seen.dhcp.get(code) if seen.dhcp else None


def _has(code: int) -> Callable[[Seen], Any]:
    return lambda seen: seen.dhcp.get(code) is not None if seen.dhcp else None


def _dns(attribute: str) -> Callable[[Seen], Any]:
    return lambda seen: getattr(seen.dns, attribute, None)


def _question(attribute: str) -> Callable[[Seen], Any]:
    return lambda seen: getattr(seen.dns.question, attribute, None) if seen.dns else None


def _count(section: str) -> Callable[[Seen], Any]:
    return lambda seen: len(getattr(seen.dns, section)) if seen.dns else None


_hexadecimal = partial(Number, hexadecimal=True)

_DHCP: Final = Layer(
    "dhcp",
    "a DHCP message",
    lambda seen: seen.dhcp,
    {
        "type": Field(_Named(8, _names(DhcpType)), _dhcp("type")),
        "op": Field(_Named(8, _names(DhcpOp)), _dhcp("op")),
        "xid": Field(_hexadecimal(32), _dhcp("xid")),
        "secs": Field(Number(16), _dhcp("secs")),
        "broadcast": Field(Truth(), _dhcp("broadcast")),
        "ciaddr": Field(Address(), _dhcp("ciaddr")),
        "yiaddr": Field(Address(), _dhcp("yiaddr")),
        "giaddr": Field(Address(), _dhcp("giaddr")),
        "client": Field(Hardware(), _dhcp("client")),
        "requested": Field(Address(), _option(DhcpCode.REQUESTED_ADDRESS)),
        "server": Field(Address(), _option(DhcpCode.SERVER_ID)),
        "lease_time": Field(Number(32), _option(DhcpCode.LEASE_TIME)),
        "asks": Field(Truth(), _has(DhcpCode.REQUESTED_ADDRESS)),
        "names_server": Field(Truth(), _has(DhcpCode.SERVER_ID)),
    },
)

_DNS: Final = Layer(
    "dns",
    "a DNS message",
    lambda seen: seen.dns,
    {
        "ident": Field(_hexadecimal(16), _dns("ident")),
        "response": Field(Truth(), _dns("response")),
        "name": Field(_DomainName(), _question("name")),
        "type": Field(_Named(16, _names(DnsType)), _question("type")),
        "rcode": Field(_Named(4, _names(DnsRcode)), _dns("rcode")),
        "aa": Field(Truth(), _dns("aa")),
        "tc": Field(Truth(), _dns("tc")),
        "rd": Field(Truth(), _dns("rd")),
        "ra": Field(Truth(), _dns("ra")),
        "answers": Field(Number(16), _count("answers")),
        "authority": Field(Number(16), _count("authority")),
        "additional": Field(Number(16), _count("additional")),
    },
)
