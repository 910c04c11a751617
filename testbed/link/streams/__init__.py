"""Streams: frames that differ from one to the next, sent at a rate, by the fastest means at hand.

``Frames`` says what is sent and how its fields vary, ``Blend`` mixes such flows by their shares,
``Pace`` says how fast. A sender takes a ``Job`` of these: in the kernel (``xdp``), or through a
packet socket (``packets``); ``choosing`` knows which works where. ``Blend.frame`` defines what the
n-th frame is, and all senders send just that. Nothing imported here needs numpy, or Linux.
"""

from __future__ import annotations

from testbed.link.streams.flow import Blend, Frames
from testbed.link.streams.job import Job, Sender
from testbed.link.streams.pace import Pace
from testbed.link.streams.values import (
    SENT_AT,
    SEQUENCE,
    Increment,
    Listed,
    Random,
    TimeStamp,
    Values,
)

__all__ = [
    "SENT_AT",
    "SEQUENCE",
    "Blend",
    "Frames",
    "Increment",
    "Job",
    "Listed",
    "Pace",
    "Random",
    "Sender",
    "TimeStamp",
    "Values",
]
