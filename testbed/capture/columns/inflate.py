"""Compressed captures unpacked, up to a limit: a few bytes can unpack to a disk full."""

from __future__ import annotations

import io
import zlib

from testbed.errors import WireError

__all__ = ["GZIP", "ZSTD", "gunzip", "unpack", "unzstd"]

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 20
_FIRST = 1 << 12
"""Of a gzip member; what is more than it has is copied: there may be many short ones in a row."""
_ZSTD_WINDOW = 1 << 27  # what the zstd tool allows without being told (--memory)


def unpack(data: memoryview, limit: int) -> tuple[memoryview, bool]:
    """``data``, unpacked where it is compressed, and whether it ended too soon.

    WireError where it unpacks to more than ``limit`` bytes, or cannot be unpacked.
    """
    if data[:2] == GZIP:
        return gunzip(data, limit)
    if data[:4] == ZSTD:
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
                _check(len(out), limit)
                rest = member.unconsumed_tail
            at -= len(member.unused_data)
    return memoryview(out), False


def unzstd(data: memoryview, limit: int) -> tuple[memoryview, bool]:
    """Every frame of a zstd file (RFC 8878)."""
    import zstandard  # noqa: PLC0415 - few captures need it

    out = bytearray()
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    with unpacker.stream_reader(io.BytesIO(data), read_across_frames=True) as stream:
        while True:
            try:
                piece = stream.read(_PIECE)
            except zstandard.ZstdError as error:
                raise WireError(f"cannot be unpacked: {error}", len(out)) from error
            if not piece:
                return memoryview(out), False
            out += piece
            _check(len(out), limit)


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise WireError(f"unpacks to more than {limit} bytes")
