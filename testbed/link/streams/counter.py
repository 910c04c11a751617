"""``Tally`` in the kernel: an XDP program that counts signed frames as they arrive."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from testbed.link.ebpf import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    Assembler,
    BpfError,
    Helper,
    Program,
    SharedArray,
    XdpAction,
    XdpLink,
    can_attach,
)
from testbed.link.streams.job import Outlet
from testbed.link.streams.signing import MARK, SIZE, STREAMS
from testbed.link.streams.tally import BUCKETS, WINDOW, StreamTally
from testbed.timing import Duration

__all__ = ["KernelTally", "counting", "open_tally"]

RECEIVED, OCTETS, DUE, SEEN, DUPLICATES, LATE, STALE, TOTAL, LEAST, MOST = range(0, 80, 8)
HISTOGRAM = 128
ENTRY = HISTOGRAM + 8 * BUCKETS
"""Bytes of one stream: words of 64 bits, and the histogram."""
LONGEST = 16_000


def counting(memory: int, *, take: bool) -> bytes:
    """The program, for the map behind a descriptor; ``take``: signed frames go no further."""
    asm = Assembler()
    asm.load(R2, R1, 0, size=4).load(R3, R1, 4, size=4)
    asm.mov(R9, R3).sub(R9, R2)  # R9 = the frame's size
    asm.jump_if(R9, "<", SIZE, "pass").jump_if(R9, ">", LONGEST, "pass")
    asm.mov(R4, R9).sub(R4, SIZE).add(R2, R4).mov(R4, R2).add(R4, SIZE)
    asm.jump_if(R4, ">", R3, "pass")  # it cannot be, and the verifier must see that
    asm.load(R1, R2, 0, size=4).to_big_endian(R1, 32).jump_if(R1, "!=", MARK, "pass")
    asm.load(R1, R2, 4, size=4).to_big_endian(R1, 32).jump_if(R1, ">=", STREAMS, "pass")
    asm.load(R6, R2, 8).to_big_endian(R6, 64)  # R6 = the frame's number
    asm.load(R8, R2, 16).to_big_endian(R8, 64)  # R8 = when it was sent
    asm.mul(R1, ENTRY).load_map_value(R7, memory).add(R7, R1)
    _count_latency(asm)
    _count_order(asm)
    asm.mov(R0, XdpAction.DROP if take else XdpAction.PASS).exit()
    asm.label("pass").mov(R0, XdpAction.PASS).exit()
    return asm.assemble()


def _add_to(asm: Assembler, offset: int) -> None:
    asm.load(R1, R7, offset).add(R1, 1).store(R7, offset, R1)


def _count_latency(asm: Assembler) -> None:
    """From here on R8 is the latency, and then lost."""
    asm.call(Helper.KTIME_GET_NS)
    asm.jump_if(R8, "<=", R0, "past").mov(R8, R0).label("past").sub(R0, R8).mov(R8, R0)
    asm.load(R1, R7, RECEIVED).jump_if(R1, "==", 0, "least")
    asm.load(R2, R7, LEAST).jump_if(R8, ">=", R2, "not least")
    asm.label("least").store(R7, LEAST, R8).label("not least")
    asm.load(R2, R7, MOST).jump_if(R8, "<=", R2, "not most").store(R7, MOST, R8)
    asm.label("not most").add(R1, 1).store(R7, RECEIVED, R1)
    asm.load(R1, R7, OCTETS).add(R1, R9).store(R7, OCTETS, R1)
    asm.load(R1, R7, TOTAL).add(R1, R8).store(R7, TOTAL, R1)
    # R1 = how many bits the latency has, found by halves.
    asm.mov(R1, 0).jump_if(R8, "==", 0, "bits").mov(R1, 1)
    for half in (32, 16, 8, 4, 2, 1):
        small = asm.unique("small")
        asm.mov(R2, R8).shift_right(R2, half).jump_if(R2, "==", 0, small)
        asm.mov(R8, R2).add(R1, half).label(small)
    asm.label("bits").jump_if(R1, "<", BUCKETS, "bucket").mov(R1, BUCKETS - 1)
    asm.label("bucket").shift_left(R1, 3).mov(R2, R7).add(R2, R1)
    asm.load(R1, R2, HISTOGRAM).add(R1, 1).store(R2, HISTOGRAM, R1)


def _count_order(asm: Assembler) -> None:
    asm.mov(R2, R6)
    asm.load(R3, R7, DUE).load(R1, R7, SEEN).jump_if(R2, "<", R3, "not new")
    asm.mov(R4, R2).sub(R4, R3).add(R4, 1).add(R2, 1).store(R7, DUE, R2)
    asm.jump_if(R4, "<", WINDOW, "near").mov(R1, 0).jump("shifted")
    asm.label("near").shift_left(R1, R4)
    asm.label("shifted").bit_or(R1, 1).store(R7, SEEN, R1).jump("done")
    asm.label("not new").sub(R3, 1).sub(R3, R2).jump_if(R3, ">=", WINDOW, "stale")
    asm.mov(R5, 1).shift_left(R5, R3).jump_if(R1, "&", R5, "again")
    asm.bit_or(R1, R5).store(R7, SEEN, R1)
    _add_to(asm, LATE)
    asm.jump("done").label("stale")
    _add_to(asm, STALE)
    asm.jump("done").label("again")
    _add_to(asm, DUPLICATES)
    asm.label("done")


class KernelTally:
    """Counts what arrives at an interface of this thread's network namespace, until close().

    Frames of one stream must come in by one queue of the NIC, as those of a veth do. With ``take``
    signed frames go no further: no capture sees them, and they cost the least. Raises BpfError
    where the interface takes no program.
    """

    name = "XDP"

    def __init__(self, index: int, *, take: bool = True) -> None:
        self._memory = SharedArray(STREAMS * ENTRY, "tally")
        self._words = self._memory.view("u8").reshape(STREAMS, ENTRY // 8)
        try:
            self._program = Program(counting(self._memory.fd, take=take), "tally")
            try:
                self._link = XdpLink(self._program, index)
            except BaseException:
                self._program.close()
                raise
        except BaseException:
            self._memory.close()
            raise

    @property
    def streams(self) -> dict[int, StreamTally]:
        """What has come so far of each stream of which anything came."""
        found = {}
        for stream in self._words[:, 0].nonzero()[0].tolist():
            row = self._words[stream].tolist()
            found[stream] = StreamTally(
                received=row[RECEIVED // 8],
                octets=row[OCTETS // 8],
                due=row[DUE // 8],
                window=row[SEEN // 8],
                duplicates=row[DUPLICATES // 8],
                late=row[LATE // 8],
                stale=row[STALE // 8],
                total_latency=row[TOTAL // 8],
                least_latency=Duration(row[LEAST // 8]),
                most_latency=Duration(row[MOST // 8]),
                histogram=row[HISTOGRAM // 8 :],
            )
        return found

    def close(self) -> None:
        """Count no more; what was counted stays to be read. Twice is no error."""
        self._link.close()
        self._program.close()
        self._words = self._words.copy()
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def open_tally(interface: str) -> tuple[str, str, KernelTally | None]:
    """A tally at an interface of this thread's namespace: its name, why it is it, and itself.

    None where there can be none, and why not.
    """
    outlet = Outlet.find(interface)
    probe = can_attach(interface, outlet.index)
    if not probe.works:
        return "", f"not {KernelTally.name}: {probe.why}", None
    try:
        return KernelTally.name, "the fastest, and it works here", KernelTally(outlet.index)
    except BpfError as error:
        return "", f"not {KernelTally.name}: {error}", None
