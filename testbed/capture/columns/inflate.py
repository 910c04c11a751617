"""Compressed captures unpacked, up to a limit: a few bytes can unpack to a disk full."""

from __future__ import annotations

import zlib

from testbed.errors import WireError

__all__ = ["GZIP", "ZSTD", "gunzip", "unpack", "unzstd"]

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 20
_FIRST = 1 << 12
"""Of a gzip member; what is more than it has is copied: there may be many short ones in a row."""
_ZSTD_PIECE = 1 << 11  # four bytes make 128 kB at most (RFC 8878 3.1.1.2): 64 MB at a time
_ZSTD_WINDOW = 1 << 27  # what the zstd tool allows without being told (--memory)


def unpack(data: memoryview, limit: int) -> tuple[memoryview, bool]:
    """``data``, unpacked where it is compressed, and whether it ended too soon.

    WireError where it unpacks to more than ``limit`` bytes, or cannot be unpacked.
    """
    if data[:2] == GZIP:
        return gunzip(data, limit)
    if data[:4] == ZSTD or _skippable(data[:4]):
        return unzstd(data, limit)
    return data, False


def gunzip(data: memoryview, limit: int) -> tuple[memoryview, bool]:
    """Every member of a gzip file (RFC 1952); what follows the last one is passed over."""
    out = bytearray()
    at = 0
    while data[at : at + 2] == GZIP:
        member, size = zlib.decompressobj(wbits=31), _FIRST
        while not member.eof:
            piece = data[at : at + size]
            size = min(_PIECE, 4 * size)
            if not len(piece):
                return memoryview(out), True
            at += len(piece)
            rest: bytes | memoryview = piece
            while len(rest) and not member.eof:
                try:
                    out += member.decompress(rest, _PIECE)
                except zlib.error as error:
                    raise WireError(f"cannot be unpacked: {error}", at - len(piece)) from error
                _check(len(out), limit, at)
                rest = member.unconsumed_tail
            at -= len(member.unused_data)
    return memoryview(out), False


def unzstd(data: memoryview, limit: int) -> tuple[memoryview, bool]:
    """Every frame of a zstd file (RFC 8878); what follows the last one is passed over."""
    import zstandard  # noqa: PLC0415 - few captures need it

    out = bytearray()
    at = 0
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    while data[at : at + 4] == ZSTD or _skippable(data[at : at + 4]):
        frame = unpacker.decompressobj()
        while not frame.eof:
            piece = data[at : at + _ZSTD_PIECE]
            if not len(piece):
                return memoryview(out), True
            try:
                out += frame.decompress(piece)
            except zstandard.ZstdError as error:
                raise WireError(f"cannot be unpacked: {error}", at) from error
            at += len(piece)
            _check(len(out), limit, at)
        at -= len(frame.unused_data)
    return memoryview(out), False


def _skippable(magic: memoryview) -> bool:
    """Whether a frame begins that holds nothing of the file (RFC 8878 3.1.2)."""
    return len(magic) == 4 and magic[0] & 0xF0 == 0x50 and bytes(magic[1:]) == b"\x2a\x4d\x18"


def _check(size: int, limit: int, at: int) -> None:
    if size > limit:
        raise WireError(f"unpacks to more than {limit} bytes", at)
