"""Cutting IPv4 packets up and putting them together again (RFC 791 3.2), strictly.

Meant for plans and for judging what devices did, so it forgives nothing: every hole, overlap and
odd length is an error that says where.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from testbed.errors import WireError
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["copied_options", "fragment", "reassemble"]

_END = 0
_NOP = 1
_COPIED = 0x80


def fragment(packet: IPv4Packet, mtu: int) -> tuple[IPv4Packet, ...]:
    """``packet`` as fragments of at most ``mtu`` bytes each, headers included; itself if it fits.

    A fragment can be cut up further. Raises WireError where DF forbids it, or where ``mtu`` has no
    room for a header and 8 bytes.
    """
    if packet.total_length <= mtu:
        return (packet,)
    if packet.df:
        raise WireError(f"a packet of {packet.total_length} bytes with DF set, MTU {mtu}")
    # The first fragment of all carries every option, the others those with the copied flag.
    later = copied_options(packet.options)
    pieces: list[IPv4Packet] = []
    at = 0
    while at < len(packet.payload):
        options = later if at else packet.options
        room = (mtu - 20 - len(options)) & ~7
        if room < 8:
            raise WireError(f"MTU {mtu} has no room for a header and 8 bytes of payload")
        left = len(packet.payload) - at
        take = left if left <= mtu - 20 - len(options) else room
        pieces.append(
            replace(
                packet,
                payload=packet.payload[at : at + take],
                offset=packet.offset + at,
                mf=packet.mf or take < left,
                options=options,
            )
        )
        at += take
    return tuple(pieces)


def reassemble(packets: Iterable[IPv4Packet]) -> IPv4Packet:
    """The packet that ``packets``, in any order, are the fragments of.

    Its header is the first fragment's. Raises WireError where the fragments are not of one packet,
    where bytes are missing or come twice, where any but the last is no multiple of 8 bytes, or
    where the whole would be longer than 65535 bytes.
    """
    pieces = sorted(packets, key=lambda piece: piece.offset)
    if not pieces:
        raise WireError("no fragments")
    # What belongs together has the same identification, source, destination and protocol (RFC 791
    # 2.3).
    if len({(piece.src, piece.dst, piece.protocol, piece.ident) for piece in pieces}) > 1:
        raise WireError("fragments of different packets: addresses, protocol or id differ")
    end = 0
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        if piece.offset != end:
            what = "missing" if piece.offset > end else "there twice"
            low, high = sorted((piece.offset, end))
            raise WireError(f"bytes {low} to {high} of the payload are {what}")
        if last and piece.mf:
            raise WireError(f"the fragment at {piece.offset} has MF, yet none follows")
        if not last and not piece.mf:
            raise WireError(f"the fragment at {piece.offset} has no MF, yet others follow")
        if not last and len(piece.payload) % 8:
            size = len(piece.payload)
            raise WireError(f"the fragment at {piece.offset} has {size} bytes, no multiple of 8")
        end += len(piece.payload)
    payload = b"".join(piece.payload for piece in pieces)
    return replace(pieces[0], payload=payload, mf=False, offset=0)


def copied_options(options: bytes) -> bytes:
    """Those of a header's ``options`` that every fragment carries: copied flag 1 (RFC 791 3.1).

    Raises WireError where an option's length is below 2 or beyond the end.
    """
    kept = b""
    at = 0
    while at < len(options) and options[at] != _END:
        kind = options[at]
        if kind == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            raise WireError(f"IPv4 option {kind} of length {length}", at)
        if kind & _COPIED:
            kept += options[at : at + length]
        at += length
    return kept
