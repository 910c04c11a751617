"""A recorder: every frame that comes to a NIC, into memory or a pcapng file, at full rate.

An XDP program writes frames into shared memory as the blocks of a pcapng file (``program``,
``xdp``); where there can be none, a TPACKET_V3 ring gives them, and numpy makes the blocks
(``ring3``). Either way a thread (``recorder``) writes them out as they are, many at a time, and no
frame costs Python anything. ``choosing`` knows which works where. Nothing is lost silently: what
did not fit into the ring is counted by the kernel, and told of with its place and time.

Filters are classic BPF (``classic``), of expressions or of fields (``fields``); the kernel runs
them translated (``translate``), or numpy does (``sift``). Nothing imported here needs numpy.
"""

from __future__ import annotations

from testbed.link.recorder.classic import Classic, accepts
from testbed.link.recorder.fields import FilterLike, as_filter
from testbed.link.recorder.outcome import Clock, Overrun
from testbed.link.recorder.wish import Limits, Wish

__all__ = ["Classic", "Clock", "FilterLike", "Limits", "Overrun", "Wish", "accepts", "as_filter"]
