"""The lines that a device writes on its console by itself, as network gear does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from testbed.timing import Instant

__all__ = ["links_changed", "timestamp"]

_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)


def timestamp(now: Instant) -> str:
    """``*Jan  1 00:01:12.345``: of a clock that nobody set: it began with the year 1970."""
    total, milliseconds = divmod(now // 1_000_000, 1000)
    minutes, second = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    # The Gregorian calendar from a 1 March on: leap days then are the last of their year, and
    # months of 153 days in five. 719468 days are from 1 March of year 0 to 1 January 1970.
    day_of_era = (days + 719_468) % 146_097
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    name = _MONTHS[(month + 2) % 12]
    return f"*{name} {day:2} {hour:02}:{minute:02}:{second:02}.{milliseconds:03}"


def links_changed(before: Mapping[str, bool], up: Mapping[str, bool], now: Instant) -> list[str]:
    """A line for each port whose link came or went."""
    return [
        f"{timestamp(now)}: %LINK-3-UPDOWN: Interface {port}, changed state to "
        f"{'up' if state else 'down'}"
        for port, state in up.items()
        if state != before[port]
    ]
