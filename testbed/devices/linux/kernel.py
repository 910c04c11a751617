"""Kernel settings and counters: /proc/sys and /proc/net."""

from __future__ import annotations

import re
from collections.abc import Iterable

from testbed.devices.base import quote
from testbed.devices.parsing import number, rows
from testbed.errors import DeviceError, PlanError

__all__ = [
    "parse_snmp",
    "parse_sysctls",
    "read_sysctls_command",
    "sysctl_key",
    "sysctl_path",
    "write_sysctl_command",
]

_ROOT = "/proc/sys/"
_NAME = re.compile(r"[A-Za-z0-9_.:@-]+(?:/[A-Za-z0-9_.:@-]+)+")
_SETTING = re.compile(r"/proc/sys/([^:]+):(.*)")
_SNMP = re.compile(r"([A-Za-z0-9]+):((?: \S+)+)\s*")


def sysctl_path(name: str) -> str:
    """The kernel setting ``name`` with slashes: ``net.ipv4.tcp_sack`` is ``net/ipv4/tcp_sack``.

    A name that has a slash is taken as it is, for names of interfaces may hold dots.
    """
    path = name if "/" in name else name.replace(".", "/")
    if not _NAME.fullmatch(path) or ".." in path.split("/"):
        raise PlanError(f"{name!r} is no kernel setting, expected one like net.ipv4.tcp_sack")
    return path


def sysctl_key(path: str) -> str:
    """The key of a kernel setting in a device's configuration."""
    return f"sysctl {path}"


def read_sysctls_command(paths: Iterable[str]) -> str:
    """Prints each of ``paths`` (shell patterns) that can be read, for parse_sysctls.

    Its status is 0 also where some cannot be read: settings that can only be written exist.
    """
    return f"grep -s '' {' '.join(_ROOT + path for path in paths)} /dev/null || :"


def write_sysctl_command(path: str, value: str) -> str:
    """Gives a kernel setting a value; the status tells whether the kernel took it."""
    return f"printf '%s\\n' {quote(value)} > {quote(_ROOT + path)}"


def parse_sysctls(text: str) -> dict[str, str]:
    """The settings that read_sysctls_command printed; blanks within a value become one space."""
    return {match[1]: " ".join(match[2].split()) for match in rows(text, _SETTING)}


def parse_snmp(text: str) -> dict[str, int]:
    """The counters of /proc/net/snmp and /proc/net/netstat: ``IpForwDatagrams``, ``IcmpOutMsgs``.

    Each protocol has one line of names and one of values.
    """
    found: dict[str, int] = {}
    lines = [(match[1], match[2].split()) for match in rows(text, _SNMP)]
    if len(lines) % 2:
        raise DeviceError("expected pairs of lines: names, then values")
    for (head, names), (again, values) in zip(lines[::2], lines[1::2], strict=True):
        if head != again or len(names) != len(values):
            raise DeviceError(f"{head}: {len(names)} names, but {again}: {len(values)} values")
        for name, value in zip(names, values, strict=True):
            found[head + name] = number(value)
    return found
