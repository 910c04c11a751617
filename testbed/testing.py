"""Test tools for authors of plans and drivers: traces without a bench, time by hand, replays.

>>> from testbed import EthFrame, MacAddr, match
>>> from testbed.testing import trace_of
>>> hello = EthFrame(MacAddr.BROADCAST, MacAddr("02:00:00:00:00:01"))
>>> trace_of(**{"a--dut": [hello]}).at("a--dut").expect(match.eth(dst="ff:ff:ff:ff:ff:ff")).number
1
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from testbed.capture import Point, Proof, Trace, read_pcapng
from testbed.console.replay import ReplayTransport
from testbed.errors import PlanError
from testbed.link.memory import MemoryPort, memory_pair
from testbed.timing import Instant, ManualClock, microseconds
from testbed.wire import Frame, to_bytes
from testbed.wire.compose import Sendable

__all__ = [
    "ManualClock",
    "MemoryPort",
    "ReplayTransport",
    "load_trace",
    "memory_pair",
    "trace_of",
]

PROVEN = Proof(alive=True, lossless=True, settled=True)


def trace_of(**points: Iterable[Sendable]) -> Trace:
    """A trace in which each point received these frames, a microsecond apart, and no other.

    It is proven: ``expect_none`` holds on it.
    """
    trace = Trace([Point(name) for name in points])
    at = Instant(0)
    for name, frames in points.items():
        for frame in frames:
            at = Instant(at + microseconds(1))
            trace.add(name, [Frame(to_bytes(frame), at)])
        trace.set_proof(name, PROVEN)
    return trace


def load_trace(path: str | Path) -> Trace:
    """The trace of a pcapng, such as one from a report: to try matchers and expectations on it.

    Nothing is known of how it was captured, so nothing is proven. PlanError for a file that is no
    pcapng.
    """
    try:
        capture = read_pcapng(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: {error}") from None
    names = [interface.name for interface in capture.interfaces]
    trace = Trace([Point(name) for name in names])
    for packet in capture.packets:
        trace.add(names[packet.interface], [packet.frame])
    return trace
