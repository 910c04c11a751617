"""Traces, matchers, expectations with near misses, the bench's beacons, and pcapng."""

from __future__ import annotations

from testbed.capture import match, tcpflow
from testbed.capture.beacon import ArpProbe, Beacon, BeaconKind, parse_beacon, recogniser
from testbed.capture.diagram import Ladder, LadderColumn, LadderRow, ladder
from testbed.capture.expect import PointView
from testbed.capture.matcher import Matcher, Mismatch
from testbed.capture.nearmiss import open_command
from testbed.capture.pcapng import Section, write_pcapng
from testbed.capture.pcapng_reader import CaptureFile, Interface, Packet, read_pcapng
from testbed.capture.recording import (
    Judgement,
    Mark,
    Point,
    Proof,
    Recording,
    Statistics,
    TracedFrame,
    Verdict,
    format_offset,
)
from testbed.capture.trace import Trace

__all__ = [
    "ArpProbe",
    "Beacon",
    "BeaconKind",
    "CaptureFile",
    "Interface",
    "Judgement",
    "Ladder",
    "LadderColumn",
    "LadderRow",
    "Mark",
    "Matcher",
    "Mismatch",
    "Packet",
    "Point",
    "PointView",
    "Proof",
    "Recording",
    "Section",
    "Statistics",
    "Trace",
    "TracedFrame",
    "Verdict",
    "format_offset",
    "ladder",
    "match",
    "open_command",
    "parse_beacon",
    "read_pcapng",
    "recogniser",
    "tcpflow",
    "write_pcapng",
]
