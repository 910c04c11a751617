"""From the bytes of a capture file to its columns."""

from __future__ import annotations

import mmap

import numpy as np

from testbed.capture.columns import pcap, pcapng
from testbed.capture.columns.arrays import Gather, Order
from testbed.capture.columns.building import Parts
from testbed.capture.columns.columns import Columns
from testbed.capture.columns.inflate import unpack
from testbed.errors import WireError

__all__ = ["LIMIT", "read_columns"]

LIMIT = 1 << 32
"""Bytes that a compressed capture may unpack to unless its reader is told otherwise."""

_SECTIONS = 1 << 14


def read_columns(
    data: bytes | bytearray | memoryview | mmap.mmap, *, lenient: bool = False, limit: int = LIMIT
) -> Columns:
    """Read a whole capture: pcap or pcapng, of either byte order, plain, gzip or zstd.

    Files joined by ``cat`` and pcapng sections follow each other. A file that ends within a record
    gives the records before it, and ``truncated`` where it ends. Anything else that is wrong is a
    WireError with its offset; ``lenient`` keeps what stands before the fault, in ``fault``.

    What comes back looks into ``data``: nothing of it is copied unless it was compressed. Memory
    is bounded by the size of the file, and ``limit`` for what it unpacks to.
    """
    view = memoryview(data)
    parts = Parts()
    try:
        view, cut = unpack(view, limit)
        _read(view, parts)
    except WireError as error:
        parts.fault, cut = error, False
    if parts.fault is not None and not (lenient and parts.sections):
        raise parts.fault
    if cut and parts.truncated is None:
        parts.truncated = len(view)
    return parts.columns(np.frombuffer(view, np.uint8) if len(view) else np.empty(0, np.uint8))


def _read(view: memoryview, parts: Parts) -> None:
    if not len(view):
        raise WireError("the file is empty", 0)
    whole = np.frombuffer(view, np.uint8)
    gathers: dict[Order, Gather] = {"<": Gather(whole, "<"), ">": Gather(whole, ">")}
    at = 0
    while at < len(view) and parts.fault is None:
        if pcapng.is_pcapng(view, at):
            at = pcapng.read_section(view, gathers, at, parts)
        elif pcap.is_pcap(view, at):
            at = pcap.read_section(view, gathers, at, parts)
        else:
            raise WireError("neither a pcap nor a pcapng file begins here", at)
        parts.sections += 1
        if parts.sections > _SECTIONS:
            raise WireError(f"more than {_SECTIONS} sections", at)
