"""What ``ss -tainHO`` prints."""

from __future__ import annotations

import re

from testbed.devices.parsing import number, rows
from testbed.devices.values import SocketInfo
from testbed.errors import DeviceError
from testbed.timing import Duration, milliseconds

__all__ = ["SHOW", "parse_sockets"]

SHOW = "ss -4tainHO"
"""IPv4, TCP, all states, TCP's inside, numbers, no heading, one line each."""

_ROW = re.compile(
    r"(?P<state>[A-Z][A-Z0-9-]*)\s+(?P<receive>\d+)\s+(?P<send>\d+)"
    r"\s+(?P<local>\S+)\s+(?P<remote>\S+)(?:\s+(?P<inside>.*))?"
)
# Values in brackets, as those of a congestion control algorithm, may have any names.
_BRACKETS = re.compile(r"\S+:\([^)]*\)")
_VALUE = re.compile(r"(?:^|\s)(?P<name>[a-z_]+):(?P<value>\S+)")
_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)


def parse_sockets(text: str) -> tuple[SocketInfo, ...]:
    """The sockets in the answer to SHOW."""
    return tuple(_socket(match) for match in rows(text, _ROW))


def _socket(match: re.Match[str]) -> SocketInfo:
    inside = _BRACKETS.sub("", match["inside"] or "")
    values = {found["name"]: found["value"] for found in _VALUE.finditer(inside)}
    return SocketInfo(
        local=match["local"],
        remote=match["remote"],
        state=match["state"],
        rto=_time(values.get("rto")),
        # The smoothed time, and behind the slash its variation.
        rtt=_time(values["rtt"].partition("/")[0]) if "rtt" in values else None,
        cwnd=_count(values.get("cwnd")),
        ssthresh=_count(values.get("ssthresh")),
        mss=_count(values.get("mss")),
        pmtu=_count(values.get("pmtu")),
        # Those under way, and behind the slash all of them.
        retransmits=_count(values.get("retrans", "0/0").rpartition("/")[2]) or 0,
        unacked=_count(values.get("unacked")) or 0,
        backoff=_count(values.get("backoff")) or 0,
    )


def _count(text: str | None) -> int | None:
    return None if text is None else number(text)


def _time(text: str | None) -> Duration | None:
    if text is None:
        return None
    if not _DECIMAL.fullmatch(text):
        raise DeviceError(f"{text!r} is no time in milliseconds")
    return milliseconds(float(text))
