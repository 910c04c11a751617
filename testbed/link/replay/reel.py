"""What is played: frames one after another, each with the time at which it is due."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from testbed.errors import LinkError, PlanError, TestbedError
from testbed.link.replay.headers import HEAD, Heads, targets
from testbed.link.size import HEADER

__all__ = ["LEAST", "Feed", "Ints", "Limits", "Numbers", "Reel", "Rows", "blamed", "fill_up"]

Rows: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.uint32]

LEAST = 60
"""Bytes of the shortest frame that a NIC sends: it fills up what is shorter."""

_TAGS = (0x8100, 0x88A8)  # IEEE 802.1Q: C-TAG, S-TAG


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be sent at an interface: frames that its MTU allows, to no forbidden network."""

    interface: str
    mtu: int
    forbidden: tuple[IPv4Network, ...] = ()

    def check(self, rows: Rows, lengths: Numbers, names: Ints) -> None:
        """Raise LinkError or PlanError for the first frame that may not; ``names`` number them."""
        sizes = np.asarray(lengths, np.int64)
        tagged = np.isin(rows[:, 12].astype(np.int64) << 8 | rows[:, 13], _TAGS)
        most = self.mtu + HEADER + 4 * tagged
        for row in np.flatnonzero(sizes > most)[:1]:
            raise LinkError(
                f"{self.interface}: frame {int(names[row]) + 1}, of {sizes[row]} bytes, is too "
                f"long: its MTU of {self.mtu} allows {most[row]}"
            )
        if self.forbidden:
            self._check_targets(rows, sizes, names)

    def _check_targets(self, rows: Rows, lengths: Ints, names: Ints) -> None:
        which, addresses = targets(Heads(rows[:, :HEAD], lengths))
        for network in self.forbidden:
            inside = (addresses & int(network.netmask)) == int(network.network_address)
            if inside.any():
                frame = int(names[which[np.flatnonzero(inside)[0]]]) + 1
                raise PlanError(
                    f"frame {frame} is for the bench's management network {network} "
                    "(limits.management): not sent"
                )


class Feed(Protocol):
    """Frames as they are needed, from the first to the last, once."""

    def take(self, rows: Rows, lengths: Numbers, due: Ints) -> int:
        """Write the next frames into rows, one each; how many these were: 0 after the last.

        ``due`` is in nanoseconds after the start; it is not written where frames have no times.
        """


class Reel(Protocol):
    """Frames that can be played."""

    @property
    def count(self) -> int | None:
        """How many there are; None where nobody knows yet."""

    @property
    def longest(self) -> int:
        """Bytes of the longest frame."""

    @property
    def alike(self) -> bool:
        """Whether all have that length."""

    @property
    def mean_length(self) -> float:
        """Bytes of a frame, on average, as far as it is known."""

    @property
    def span(self) -> int | None:
        """Nanoseconds from the first frame to the last; None where frames have no times."""

    def open(self, limits: Limits) -> Feed:
        """Begin with the first; raises LinkError or PlanError for frames beyond the limits."""


def fill_up(rows: Rows, which: Ints, sizes: Ints) -> None:
    """Let zeros follow the ``sizes`` bytes of these rows, up to the shortest frame's length."""
    short = rows[which, :LEAST]
    short[np.arange(LEAST) >= sizes[:, None]] = 0
    rows[which, :LEAST] = short


def blamed(error: Exception) -> TestbedError:
    """What went wrong while frames were made, as an error that says whose fault it is."""
    if isinstance(error, TestbedError):
        return error
    blame = PlanError(f"the frames could not be made: {error!r}")
    blame.__cause__ = error
    return blame
