"""Frames played as they were recorded, or as somebody makes them in numpy, one by one.

A reel (``RecordedReel``, ``ArrayReel``) says which frames there are and when each is due;
``choosing`` finds the means that sends them here: the kernel itself (``xdp``), or a packet socket.
"""

from __future__ import annotations

from testbed.link.replay.arrays import ArrayReel
from testbed.link.replay.recorded import RecordedReel
from testbed.link.replay.reel import Limits, Reel
from testbed.link.replay.schedule import due_times

__all__ = ["ArrayReel", "Limits", "RecordedReel", "Reel", "due_times"]
