"""A fault box in the kernel: the stages of ``link.impair`` as XDP programs, with the same results.

``Engine`` is one way of a box. What it cannot do, it says, and Python does it: the stages are the
same objects, and go on where the other one stopped.
"""

from __future__ import annotations

from testbed.link.inline.engine import Engine
from testbed.link.inline.ports import BoxPort
from testbed.link.inline.prospects import prospects

__all__ = ["BoxPort", "Engine", "prospects"]
