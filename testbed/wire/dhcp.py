"""DHCP messages (RFC 2131) with their options (RFC 2132), over Ethernet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import Any, Final

from testbed.errors import WireError
from testbed.wire.addresses import MacAddr, ipv4_from_int, mac_from_bytes
from testbed.wire.dhcp_options import (
    DhcpCode,
    DhcpOption,
    DhcpRoute,
    DhcpType,
    lay_out,
    option_size,
    read_options,
)
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = [
    "DHCP_CLIENT_PORT",
    "DHCP_SERVER_PORT",
    "DhcpCode",
    "DhcpMessage",
    "DhcpOp",
    "DhcpOption",
    "DhcpRoute",
    "DhcpType",
    "dhcp_options",
]

DHCP_SERVER_PORT: Final = 67
DHCP_CLIENT_PORT: Final = 68

_LAYOUT: Final = Struct("!BBBBIHHIIII16s64s128s4s")
_COOKIE: Final = bytes((99, 130, 83, 99))
_BROADCAST: Final = 0x8000
_NONE: Final = IPv4Address(0)
_SNAME_AT, _FILE_AT, _OPTIONS_AT = 44, 108, 240
_SMALLEST: Final = 300
"""RFC 1542 2.1: BOOTP messages have 300 octets at least; relays and clients older than DHCP discard
what is shorter."""


class DhcpOp:
    """From client to server, or back."""

    REQUEST: Final = 1
    REPLY: Final = 2


@dataclass(frozen=True, slots=True)
class DhcpMessage:
    """A DHCP message.

    ``client`` is chaddr. ``ciaddr`` is an address that the client has and answers for, ``yiaddr``
    the one that it is given, ``siaddr`` the next server in its boot, ``giaddr`` the relay's.
    ``broadcast`` is the flag that asks for replies by broadcast. ``sname`` and ``file`` end before
    their first NUL. ``options`` have each code once; ``emit`` puts what does not fit among them
    into ``file`` and ``sname``, and ``parse`` gets it back from there (option overload).
    """

    op: int
    xid: int
    client: MacAddr
    options: tuple[DhcpOption, ...] = ()
    ciaddr: IPv4Address = _NONE
    yiaddr: IPv4Address = _NONE
    siaddr: IPv4Address = _NONE
    giaddr: IPv4Address = _NONE
    secs: int = 0
    broadcast: bool = False
    hops: int = 0
    sname: bytes = b""
    file: bytes = b""

    def __post_init__(self) -> None:
        if self.op not in {DhcpOp.REQUEST, DhcpOp.REPLY}:
            raise WireError(f"DHCP message: op is {self.op}, expected 1 or 2")
        if self.xid >> 32 or self.secs >> 16 or self.hops >> 8:
            raise out_of_range(
                "DHCP message", xid=(self.xid, 32), secs=(self.secs, 16), hops=(self.hops, 8)
            )
        if type(self.client) is not MacAddr:
            raise WireError("DHCP message: client must be a MacAddr value")
        addresses = (self.ciaddr, self.yiaddr, self.siaddr, self.giaddr)
        if any(type(address) is not IPv4Address for address in addresses):
            raise WireError("DHCP message: ciaddr, yiaddr, siaddr, giaddr must be IPv4Address")
        for name, value, limit in (("sname", self.sname, 64), ("file", self.file, 128)):
            if type(value) is not bytes:
                raise not_bytes("DHCP message", name, value)
            if len(value) > limit or b"\0" in value:
                raise WireError(
                    f"DHCP message: {name} is {value!r}, expected {limit} bytes, no NUL"
                )
        codes = [option.code for option in self.options]
        if len(codes) != len(set(codes)):
            raise WireError(f"DHCP message: options {codes}, expected each code once")

    @classmethod
    def of(
        cls, op: int, kind: int, xid: int, client: MacAddr, *options: DhcpOption, **fields: Any
    ) -> DhcpMessage:
        """A message of type ``kind``, which comes first among its options."""
        first = DhcpOption.of(DhcpCode.MESSAGE_TYPE, kind)
        return cls(op, xid, client, (first, *options), **fields)

    def get(self, code: int) -> Any:
        """The value of an option; None where it is missing or its bytes are no such value."""
        for option in self.options:
            if option.code == code:
                return option.value
        return None

    @property
    def type(self) -> int | None:
        """What the message is (DhcpType); None for plain BOOTP."""
        kind: int | None = self.get(DhcpCode.MESSAGE_TYPE)
        return kind

    @property
    def client_key(self) -> bytes:
        """What a server knows the client by: its identifier, or else its hardware address.

        RFC 2131 4.2: "if the client does not provide a client identifier option, the server MUST
        use the contents of the 'chaddr' field".
        """
        ident: bytes | None = self.get(DhcpCode.CLIENT_ID)
        return ident or b"\x01" + self.client.packed

    def emit(self, *, limit: int = 65507) -> bytes:
        """The message's bytes, at most ``limit``, at least 300.

        Where the options do not fit, ``file`` and ``sname`` take them, if they are empty. WireError
        where even that is too little.
        """
        fields, sname, file = self._spread(limit - _OPTIONS_AT)
        head = _LAYOUT.pack(
            self.op,
            1,
            6,
            self.hops,
            self.xid,
            self.secs,
            _BROADCAST if self.broadcast else 0,
            int(self.ciaddr),
            int(self.yiaddr),
            int(self.siaddr),
            int(self.giaddr),
            self.client.packed,
            sname,
            file,
            _COOKIE,
        )
        return (head + fields).ljust(_SMALLEST, b"\0")

    def _spread(self, room: int) -> tuple[bytes, bytes, bytes]:
        """The contents of the options field, of sname and of file."""
        if sum(map(option_size, self.options)) < room:
            return lay_out(self.options) + b"\xff", self.sname, self.file
        waiting = list(self.options)
        # Three bytes of the options field are for the overload option itself. RFC 3396 5: file
        # comes before sname.
        main = _taken(waiting, room - 4)
        file = b"" if self.file else _taken(waiting, 127)
        sname = b"" if self.sname else _taken(waiting, 63)
        if waiting:
            raise WireError(f"DHCP message: its options do not fit into {room} bytes")
        overload = bytes((DhcpCode.OVERLOAD, 1, bool(file) | bool(sname) << 1))
        return (
            main + overload + b"\xff",
            sname + b"\xff" if sname else self.sname,
            file + b"\xff" if file else self.file,
        )

    @staticmethod
    def parse(data: bytes) -> DhcpMessage:
        """The message that ``data`` is.

        Raises WireError where it is cut short, speaks of other hardware than Ethernet, or its
        options contradict their lengths.
        """
        if len(data) < _OPTIONS_AT:
            raise WireError(f"a DHCP message has 240 bytes or more, {len(data)} came", len(data))
        op, hardware, length, hops, xid, secs, flags, *rest = _LAYOUT.unpack_from(data)
        ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie = rest
        if op not in {DhcpOp.REQUEST, DhcpOp.REPLY}:
            raise WireError(f"DHCP op {op}, expected 1 or 2", 0)
        if hardware != 1 or length != 6:
            raise WireError(f"DHCP hardware type {hardware} of {length} bytes, expected 1 of 6", 1)
        if cookie != _COOKIE:
            raise WireError(f"DHCP magic cookie {cookie.hex()}, expected 63825363", 236)
        found: dict[int, bytes] = {}
        read_options(data[_OPTIONS_AT:], _OPTIONS_AT, found)
        sname, file = _unload(found, sname, file)
        return DhcpMessage(
            op,
            xid,
            mac_from_bytes(chaddr[:6]),
            tuple(DhcpOption(code, value) for code, value in found.items()),
            ipv4_from_int(ciaddr),
            ipv4_from_int(yiaddr),
            ipv4_from_int(siaddr),
            ipv4_from_int(giaddr),
            secs,
            bool(flags & _BROADCAST),
            hops,
            sname.split(b"\0", 1)[0],
            file.split(b"\0", 1)[0],
        )


def _taken(waiting: list[DhcpOption], room: int) -> bytes:
    """The bytes of the first of ``waiting`` that fit into ``room``; they wait no longer."""
    taken: list[DhcpOption] = []
    while waiting and sum(map(option_size, (*taken, waiting[0]))) <= room:
        taken.append(waiting.pop(0))
    return lay_out(taken)


def _unload(found: dict[int, bytes], sname: bytes, file: bytes) -> tuple[bytes, bytes]:
    """Read the options that sname and file hold; what remains of the two as names."""
    overload = found.pop(DhcpCode.OVERLOAD, b"\0")
    which = overload[0] if len(overload) == 1 else 0
    if which & 1:
        read_options(file, _FILE_AT, found)
        file = b""
    if which & 2:
        read_options(sname, _SNAME_AT, found)
        sname = b""
    found.pop(DhcpCode.OVERLOAD, None)
    return sname, file


def dhcp_options(values: Iterable[tuple[int, Any]]) -> tuple[DhcpOption, ...]:
    """Options from codes and values; those whose value is None are left out."""
    return tuple(DhcpOption.of(code, value) for code, value in values if value is not None)
