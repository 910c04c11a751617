"""``Tally`` in the kernel: a program counts signed frames as they arrive at an interface."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from testbed.errors import LinkError
from testbed.link.ebpf import BpfError, Program, SharedArray, XdpLink, can_attach
from testbed.link.netlink import RouteNetlink
from testbed.link.streams import countcode as code
from testbed.link.streams.job import Outlet
from testbed.link.streams.signing import STREAMS
from testbed.link.streams.tally import BUCKETS, StreamTally
from testbed.timing import Duration

__all__ = ["Balance", "KernelTally", "memory_for_tally", "open_tally", "read_tally"]

ROW = code.ENTRY // 8


@dataclass(frozen=True, slots=True)
class Balance:
    """What a tally counted beside what the kernel counted at the interface meanwhile.

    The two are read one after the other: of the kernel's count, ``least`` is what came while the
    program was certainly at work, ``most`` what came while it may have been. On a cable that is
    quiet as the tally begins and ends they are the same; frames that are under way then may be in
    one of the counts only.
    """

    counted: int
    """All frames: those of the streams, and others."""
    least: int
    most: int

    @property
    def missed(self) -> int:
        """Frames that the kernel counted and the program did not."""
        return max(0, self.least - self.counted)

    @property
    def even(self) -> bool:
        """Whether both counted the same frames."""
        return self.least <= self.counted <= self.most


def memory_for_tally() -> SharedArray:
    """The memory of a tally of which nothing came."""
    memory = SharedArray(code.MEMORY, "tally")
    memory.view("u8", STREAMS * ROW).reshape(STREAMS, ROW)[:, code.LEAST // 8] = code.UNHEARD
    return memory


def read_tally(row: list[int]) -> StreamTally:
    """What the words of one entry say."""
    transit = row[code.TRANSIT // 8]
    again, stale = row[code.DUPLICATES // 8], row[code.STALE // 8]
    return StreamTally(
        received=row[code.ARRIVED // 8] + again + stale,
        octets=row[code.OCTETS // 8],
        due=row[code.DUE // 8],
        window=row[code.SEEN // 8],
        duplicates=again,
        late=row[code.LATE // 8],
        stale=stale,
        most_extent=row[code.MOST_EXTENT // 8],
        total_extent=row[code.TOTAL_EXTENT // 8],
        restarts=row[code.RESTARTS // 8],
        earlier=row[code.EARLIER // 8],
        total_latency=row[code.TOTAL // 8],
        least_latency=Duration(row[code.LEAST // 8]),
        most_latency=Duration(row[code.MOST // 8]),
        jitter_sixteenths=row[code.JITTER // 8],
        histogram=row[code.HISTOGRAM // 8 :][:BUCKETS],
        newest=row[code.NEWEST // 8],
        transit=transit - (transit >> 63 << 64),
    )


class KernelTally:
    """Counts what arrives at an interface of this thread's network namespace, until close().

    Frames of one stream must come in by one queue of the NIC, as those of a veth do. With ``take``
    signed frames go no further: no capture sees them, and they cost the least. Raises BpfError
    where the interface takes no program.
    """

    name = "XDP"

    def __init__(self, index: int, *, take: bool = True) -> None:
        self.clock = "CLOCK_MONOTONIC: read by the program as the driver hands the frame over"
        """What the time of arrival is taken from; senders on this machine stamp frames by it."""
        self.balance: Balance | None = None
        """How the count compares with the interface's own; known once it is closed."""
        self.missed = 0
        """Frames that the NIC lost for want of buffers, before the program; known then, too."""
        self._index = index
        with contextlib.ExitStack() as undo:
            self._memory = memory_for_tally()
            undo.callback(self._memory.close)
            self._words = self._memory.view("u8")
            self._route = undo.enter_context(RouteNetlink())
            program = Program(code.counting(self._memory.fd, take=take), "tally")
            self._program = undo.enter_context(program)
            self._lost_before = self._route.link(index).missed
            before = self._route.traffic(index).received
            self._link = undo.enter_context(XdpLink(self._program, index))
            self._since = (self._route.traffic(index).received, before)
            self._resources = undo.pop_all()

    @property
    def streams(self) -> dict[int, StreamTally]:
        """What has come so far of each stream of which anything came."""
        entries = self._words[: STREAMS * ROW].reshape(STREAMS, ROW)
        heard = (entries[:, code.LEAST // 8] != code.UNHEARD).nonzero()[0]
        return {stream: read_tally(entries[stream].tolist()) for stream in heard.tolist()}

    @property
    def received(self) -> int:
        """Frames of all streams so far: cheaper than ``streams``."""
        entries = self._words[: STREAMS * ROW].reshape(STREAMS, ROW)
        parts = [code.ARRIVED // 8, code.DUPLICATES // 8, code.STALE // 8]
        return int(entries[:, parts].sum(dtype="u8"))

    @property
    def others(self) -> int:
        """Frames so far that are not signed; they went on their way."""
        return int(self._words[code.OTHERS // 8])

    def close(self) -> None:
        """Count no more; what was counted stays to be read. Twice is no error."""
        if self.balance is not None:
            return
        last = latest = self._since[0]
        try:
            # Where the interface is gone, so are its counters.
            with contextlib.suppress(LinkError):
                last = latest = self._route.traffic(self._index).received
                self.missed = self._route.link(self._index).missed - self._lost_before
                self._link.close()
                latest = self._route.traffic(self._index).received
        finally:
            self._link.close()
            self._words = self._words.copy()
            self._resources.close()
        least, most = last - self._since[0], latest - self._since[1]
        self.balance = Balance(self.received + self.others, least, most)

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
