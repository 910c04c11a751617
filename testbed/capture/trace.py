"""A trace: a recording whose points can be asked what they saw."""

from __future__ import annotations

from testbed.capture.expect import PointView
from testbed.capture.recording import Recording

__all__ = ["Trace"]


class Trace(Recording):
    """Frames of several points in one clock order, and expectations on them."""

    def at(self, point: str) -> PointView:
        """What ``point`` saw: frames from the cable, unless ``.sent`` or ``.both`` is asked.

        The ends of a cable may be named in either order. PlanError for a point that is not here.
        """
        return PointView(self, self._known(point))
