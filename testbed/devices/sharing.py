"""What the drivers of simulated shared media have in common: they print alike."""

from __future__ import annotations

import re
from collections.abc import Sequence

from testbed.devices.media import Attempt, MediumCounters, Outcome
from testbed.devices.parsing import number, rows
from testbed.devices.settings import ConfiguredDriver, Form, Setting
from testbed.devices.values import PortCounters
from testbed.devices.waiting import PortWaits
from testbed.errors import DeviceError
from testbed.timing import Duration, Instant

__all__ = ["SharedMediumDriver", "parse_attempts", "parse_counters", "parse_medium"]

_INTERFACE = re.compile(
    r"(?P<port>\S+) (?P<admin>enabled|disabled) (?P<link>up|down) "
    r"rx (?P<rxf>\d+) frames (?P<rxb>\d+) bytes tx (?P<txf>\d+) frames (?P<txb>\d+) bytes"
)
_COUNTERS = re.compile(r"(?P<port>\S+)(?P<rest>(?: [a-z]+ \d+)+)")
_ATTEMPT = re.compile(
    r"(?P<number>\d+) (?P<port>\S+) (?P<what>frame|token) (?P<start>\d+) (?P<end>\d+) "
    r"(?P<octets>\d+) (?P<outcome>ok|collision|cut)"
)
_FACT = re.compile(r"(?P<name>[a-z]+(?: [a-z]+)*?) (?P<value>\d+(?: ns)?)")
_DELAY = re.compile(r"delay (?P<source>\S+) (?P<ear>\S+) (?P<ns>\d+) ns")
_ORDER = re.compile(r"order (?P<ports>\S+(?: \S+)*)")
_LINE = re.compile(r"(?P<line>.+)")


class Medium:
    """The answer to ``show medium``: facts by name, delays by pairs of ports."""

    def __init__(self) -> None:
        self.facts: dict[str, int] = {}
        self.delays: dict[tuple[str, str], Duration] = {}
        self.order: tuple[str, ...] = ()

    def fact(self, name: str) -> int:
        """A number that it told; DeviceError where it did not."""
        if name not in self.facts:
            raise DeviceError(f"'show medium' told no {name}")
        return self.facts[name]


def parse_medium(text: str) -> Medium:
    """The answer to ``show medium``."""
    medium = Medium()
    for row in rows(text, _LINE):
        line = row["line"]
        if delay := _DELAY.fullmatch(line):
            medium.delays[delay["source"], delay["ear"]] = Duration(number(delay["ns"]))
        elif fact := _FACT.fullmatch(line):
            medium.facts[fact["name"]] = number(fact["value"].removesuffix(" ns"))
        elif order := _ORDER.fullmatch(line):
            medium.order = tuple(order["ports"].split())
        else:
            raise DeviceError(f"{line!r} is not of the form expected")
    return medium


def parse_attempts(text: str) -> tuple[Attempt, ...]:
    """The answer to ``show medium attempts after N``."""
    return tuple(
        Attempt(
            number=number(row["number"]),
            port=row["port"],
            start=Instant(number(row["start"])),
            end=Instant(number(row["end"])),
            octets=number(row["octets"]),
            outcome=Outcome(row["outcome"]),
            token=row["what"] == "token",
        )
        for row in rows(text, _ATTEMPT)
    )


def parse_counters(text: str) -> dict[str, dict[str, int]]:
    """The answer to ``show counters``, by port."""
    found = {}
    for row in rows(text, _COUNTERS):
        words = row["rest"].split()
        found[row["port"]] = dict(zip(words[::2], map(number, words[1::2]), strict=True))
    return found


class SharedMediumDriver(PortWaits, ConfiguredDriver):
    """A simulated hub, bus or ring, by nothing but what it prints."""

    def version(self) -> str:
        """What it runs, in one line, for the report."""
        return self._run("show version").partition("\n")[0].strip()

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""
        return self._interface(port)["link"] == "up"

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""
        old, new = self._interface(port)["admin"], "enabled" if up else "disabled"
        setting = Setting(f"port {port} admin", _updown(old), _updown(new))
        self._set(f"port {port} {_updown(new)}", setting)

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""
        row = self._interface(port)
        return PortCounters(
            rx_frames=int(row["rxf"]),
            tx_frames=int(row["txf"]),
            rx_bytes=int(row["rxb"]),
            tx_bytes=int(row["txb"]),
        )

    def bit_time(self) -> Duration:
        """The time of one bit."""
        return Duration(self._medium().fact("bit time"))

    def delays(self) -> dict[tuple[str, str], Duration]:
        """How long a signal of the first port takes to the second."""
        return self._medium().delays

    def medium_mark(self) -> int:
        """The number of the newest attempt, for medium_log()."""
        return self._medium().fact("attempts")

    def medium_log(self, since: int) -> tuple[Attempt, ...]:
        """The attempts after ``since`` that are over, by their start."""
        return self._read(f"show medium attempts after {since}", parse_attempts)

    def medium_counters(self, port: str) -> MediumCounters:
        """What the station at ``port`` met."""
        told = self._read("show counters", parse_counters).get(self._port(port))
        if told is None or "frames" not in told:
            raise DeviceError(f"{self.name}: 'show counters' tells nothing of {port}")
        names = ("collisions", "late", "excessive", "deferred")
        return MediumCounters(told["frames"], *(told.get(name) for name in names))

    def _medium(self) -> Medium:
        return self._read("show medium", parse_medium)

    def _interfaces(self) -> dict[str, re.Match[str]]:
        def parse(text: str) -> dict[str, re.Match[str]]:
            return {row["port"]: row for row in rows(text, _INTERFACE)}

        return self._read("show interfaces", parse)

    def _interface(self, port: str) -> re.Match[str]:
        found = self._interfaces().get(self._port(port))
        if found is None:
            raise DeviceError(f"{self.name}: 'show interfaces' tells nothing of {port}")
        return found

    def _settings(self) -> dict[str, str]:
        return {
            f"port {port} admin": _updown(row["admin"])
            for port, row in self._interfaces().items()
            if port in self.ports
        }

    def _forms(self) -> tuple[Form, ...]:
        return (Form(r"port (\S+) admin", 1, self._make_admin, lasting=True),)

    def _make_admin(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        line = "no shutdown" if value == "up" else "shutdown"
        return (f"configure terminal ; interface {self._port(key[1])} ; {line} ; end",)


def _updown(admin: str) -> str:
    return "up" if admin == "enabled" else "down"
