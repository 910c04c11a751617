"""A trace: a recording whose points can be asked what they saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.capture.expect import PointView
from testbed.capture.recording import Recording

if TYPE_CHECKING:  # the analyser brings numpy with it, which few plans need
    from testbed.capture.tcp import TracedTcp
    from testbed.capture.tcp.between import Journey

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

    def journeys(self, *points: str) -> tuple[Journey, ...]:
        """The TCP connections that more than one point saw, and what became of them between.

        Of all points, or of those that are named. Frame numbers count each point's own frames, from
        1. ``trace.journeys("a--dut", "dut--b")[0].passages[0].lost``.
        """
        from testbed.capture.tcp.between import follow_journeys  # noqa: PLC0415 - as above

        names = points or tuple(each.name for each in self.points)
        return follow_journeys({name: self.tcp(name).connections for name in names})
