"""What PAP (RFC 1334 2) and CHAP (RFC 1994) put into their packets.

The packets themselves are ControlPackets, their code one of those named here.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import md5
from typing import Final

from testbed.errors import WireError
from testbed.wire.ranges import not_bytes

__all__ = ["CHAP_MD5", "ChapCode", "ChapValue", "PapCode", "PapReply", "PapRequest", "chap_md5"]

CHAP_MD5: Final = 5
"""The algorithm that LCP's option names for CHAP with MD5 (RFC 1994 3)."""


class PapCode:
    """What a PAP packet is (RFC 1334 2.2)."""

    REQUEST: Final = 1
    ACK: Final = 2
    NAK: Final = 3


class ChapCode:
    """What a CHAP packet is (RFC 1994 4)."""

    CHALLENGE: Final = 1
    RESPONSE: Final = 2
    SUCCESS: Final = 3
    FAILURE: Final = 4


def chap_md5(ident: int, secret: bytes, challenge: bytes) -> bytes:
    """The 16 bytes that answer a challenge (RFC 1994 2): MD5 of identifier, secret, challenge."""
    return md5(bytes((ident,)) + secret + challenge, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class PapRequest:
    """The data of an Authenticate-Request: who the peer says it is, and its password."""

    peer: bytes
    password: bytes

    def __post_init__(self) -> None:
        for name, value in (("peer", self.peer), ("password", self.password)):
            _check("PAP request", name, value, least=0)

    def emit(self) -> bytes:
        """The data's bytes."""
        return _counted(self.peer) + _counted(self.password)

    @staticmethod
    def parse(data: bytes) -> PapRequest:
        """The request in a packet's data; WireError where a length points beyond it."""
        peer, at = _uncounted("PAP peer", data, 0)
        password, _ = _uncounted("PAP password", data, at)
        return PapRequest(peer, password)


@dataclass(frozen=True, slots=True)
class PapReply:
    """The data of an Authenticate-Ack or -Nak: words for people."""

    message: bytes = b""

    def __post_init__(self) -> None:
        _check("PAP reply", "message", self.message, least=0)

    def emit(self) -> bytes:
        """The data's bytes."""
        return _counted(self.message)

    @staticmethod
    def parse(data: bytes) -> PapReply:
        """The reply in a packet's data; WireError where its length points beyond it."""
        return PapReply(_uncounted("PAP message", data, 0)[0])


@dataclass(frozen=True, slots=True)
class ChapValue:
    """The data of a Challenge or a Response: the value, and who sends it."""

    value: bytes
    name: bytes = b""

    def __post_init__(self) -> None:
        # RFC 1994 4.1: the size is told in one octet, and the value has one or more.
        _check("CHAP value", "value", self.value, least=1)
        if type(self.name) is not bytes:
            raise not_bytes("CHAP value", "name", self.name)

    def emit(self) -> bytes:
        """The data's bytes."""
        return _counted(self.value) + self.name

    @staticmethod
    def parse(data: bytes) -> ChapValue:
        """The value and the name in a packet's data; WireError where the value is cut short."""
        value, at = _uncounted("CHAP value", data, 0)
        if not value:
            raise WireError("CHAP value of no bytes, expected 1 or more", 0)
        return ChapValue(value, data[at:])


def _check(owner: str, name: str, value: object, *, least: int) -> None:
    if type(value) is not bytes:
        raise not_bytes(owner, name, value)
    if not least <= len(value) <= 255:
        raise WireError(f"{owner}: {name} of {len(value)} bytes, expected {least} to 255")


def _counted(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def _uncounted(what: str, data: bytes, at: int) -> tuple[bytes, int]:
    """The value whose length is the byte at ``at``, and where it ends."""
    if at >= len(data):
        raise WireError(f"{what}: its length is missing", len(data))
    end = at + 1 + data[at]
    if end > len(data):
        raise WireError(f"{what} of {data[at]} bytes, {len(data) - at - 1} came", at)
    return data[at + 1 : end], end
