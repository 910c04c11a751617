"""A trace: a recording whose points can be asked what they saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.capture.expect import PointView
from testbed.capture.recording import Recording

if TYPE_CHECKING:  # the analyser brings numpy with it, which few plans need
    from testbed.capture.tcp import TracedTcp

__all__ = ["Trace"]


class Trace(Recording):
    """Frames of several points in one clock order, and expectations on them."""

    def at(self, point: str) -> PointView:
        """What ``point`` saw: frames from the cable, unless ``.sent`` or ``.both`` is asked.

        The ends of a cable may be named in either order. PlanError for a point that is not here.
        """
        return PointView(self, self._known(point))

    def tcp(self, point: str | None = None) -> TracedTcp:
        """The TCP analysis of what ``point`` saw, both ways; the first point unless one is named.

        ``trace.tcp("a--dut").retransmissions(of=match.tcp(dst_port=80))``.
        """
        from testbed.capture.tcp import TracedTcp  # noqa: PLC0415 - as above

        names = [each.name for each in self.points]
        return TracedTcp(self.at(names[0] if point is None and names else point or "").both.frames)
