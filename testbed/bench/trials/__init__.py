"""Benchmarks of devices: trials by the rules of RFC 2544 and RFC 2889, and searches over them.

``search`` decides which trial comes next, ``course`` holds one, ``limits`` measures the tester
itself; ``rfc2544``, ``outages`` and ``rfc2889`` are the benchmarks, ``Trials`` is a plan's way in.
"""

from __future__ import annotations

from testbed.bench.trials.rules import FRAME_SIZES, JUMBO, Shortening, TrialRules
from testbed.bench.trials.search import Bisection, Descent, LossPoint
from testbed.bench.trials.trials import STATED, Trials

__all__ = [
    "FRAME_SIZES",
    "JUMBO",
    "STATED",
    "Bisection",
    "Descent",
    "LossPoint",
    "Shortening",
    "TrialRules",
    "Trials",
]
