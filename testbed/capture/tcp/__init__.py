"""The TCP analyser: what became of every connection of a capture.

::

    analysis = analyse(read_columns(data))
    for connection in analysis:
        print(connection, connection.counts(), connection.causes(), connection.stalls)

Flags have the meanings of Wireshark's (``flags`` says where they differ, and how that is tested).
"""

from __future__ import annotations

from testbed.capture.tcp.analysis import Analysis, analyse
from testbed.capture.tcp.connection import Connection, Endpoint, Offer
from testbed.capture.tcp.cwnd import CongestionWindow
from testbed.capture.tcp.flags import Flag
from testbed.capture.tcp.sizes import SizeChange
from testbed.capture.tcp.stalls import Stall
from testbed.capture.tcp.traced import TracedTcp
from testbed.capture.tcp.way import Cause, Way

__all__ = [
    "Analysis",
    "Cause",
    "CongestionWindow",
    "Connection",
    "Endpoint",
    "Flag",
    "Offer",
    "SizeChange",
    "Stall",
    "TracedTcp",
    "Way",
    "analyse",
]
