"""Connections that several points saw: what was lost, late, overtaken or changed between them.

::

    for journey in follow_journeys({"a": analyse(one), "b": analyse(other)}):
        for passage in journey.passages:
            print(passage.first, passage.second, passage.lost, passage.delay, passage.changes)
"""

from __future__ import annotations

from testbed.capture.tcp.between.changed import Change
from testbed.capture.tcp.between.journeys import Journey, follow_journeys
from testbed.capture.tcp.between.passage import Passage

__all__ = ["Change", "Journey", "Passage", "follow_journeys"]
