"""The simulated token ring, by its command line."""

from __future__ import annotations

from testbed.devices.media import RingFacts
from testbed.devices.sharing import SharedMediumDriver
from testbed.timing import Duration

__all__ = ["SimRingDriver"]


class SimRingDriver(SharedMediumDriver):
    """A simulated token ring."""

    platform = "sim_ring"

    def ring(self) -> RingFacts:
        """Its order and its times."""
        medium = self._medium()
        return RingFacts(
            order=medium.order,
            rotation=Duration(medium.fact("rotation")),
            holding_time=Duration(medium.fact("holding time")),
            regenerated=medium.fact("tokens regenerated"),
        )
