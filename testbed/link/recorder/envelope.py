"""How a recording begins and ends, as a file."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.link.recorder.outcome import Overrun
from testbed.wire.pcapng import (
    Option,
    Section,
    interface_block,
    number_option,
    option,
    section_block,
    statistics_block,
    text_option,
    time_option,
)

__all__ = ["ending", "heading"]

TOLD = 20
"""Losses that the end of the file tells of, the latest; each is told of where it was, too."""
_STRING = b"\0"  # the first byte of if_filter: what follows is an expression


def heading(name: str, about: str, snap: int, wanted: str = "") -> bytes:
    """The section's head and its one interface; ``about`` says what recorded, by which clock."""
    options = [option(Option.INTERFACE_FILTER, _STRING + wanted.encode())] if wanted else []
    return section_block(Section()) + interface_block(name, about, snap=snap, options=options)


def ending(began: int, ended: int, frames: int, overruns: Sequence[Overrun]) -> bytes:
    """What was recorded and lost from ``began`` to ``ended``."""
    lost = sum(overrun.lost for overrun in overruns)
    options = (
        *(text_option(Option.COMMENT, str(each)) for each in overruns[-TOLD:]),
        time_option(Option.STATISTICS_START, began),
        time_option(Option.STATISTICS_END, ended),
        number_option(Option.STATISTICS_RECEIVED, frames + lost),
        number_option(Option.STATISTICS_DROPPED, lost),
    )
    return statistics_block(0, ended, options)
