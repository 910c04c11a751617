"""A device's configuration as settings: one line of text for each, one way to put each right.

A configuration is a mapping from keys to values. Its text has one line per setting, sorted, the
same for the same configuration::

    port p1 admin = up
    static 02:00:00:00:00:09 vlan 0 = p3

A setting that is either there or not (an address, a route) has an empty value and no equals sign.
A driver supplies the settings as they are, and for each key the command lines that give it a
value, or remove it, from whatever state it is in. Every change is made of these, and so is every
undo, which is why an undo may run on a device that never changed.
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from testbed.devices.base import Driver
from testbed.errors import DeviceError, PlanError

__all__ = [
    "ConfiguredDriver",
    "Form",
    "Setting",
    "differences",
    "emit_settings",
    "parse_settings",
]

_EQUALS = " = "


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting on its way from one value to another; None means that it is not there."""

    key: str
    old: str | None
    new: str | None

    def reversed(self) -> Setting:
        """The way back."""
        return Setting(self.key, self.new, self.old)


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of setting: the pattern of its key, and how its command lines are made.

    ``make`` is given the key's match and the value, or None to remove the setting; it never gets
    None where the setting is ``lasting``, that is, where it always has some value. Settings of a
    lower rank are made before, and removed after, those of a higher one.
    """

    pattern: str
    rank: int
    make: Callable[[re.Match[str], str | None], Sequence[str]]
    lasting: bool = False


def emit_settings(settings: Mapping[str, str]) -> str:
    """The text of a configuration."""
    return "".join(
        f"{key}{_EQUALS}{value}\n" if value else f"{key}\n"
        for key, value in sorted(settings.items())
    )


def parse_settings(text: str) -> dict[str, str]:
    """The configuration whose text is ``text``; empty lines and lines with # are passed over.

    PlanError names the line of a setting that is given twice.
    """
    settings: dict[str, str] = {}
    for count, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, _, value = line.partition(_EQUALS)
        key = key.strip()
        if key in settings:
            raise PlanError(f"line {count}: {key!r} is set twice, expected one line per setting")
        settings[key] = value.strip()
    return settings


def differences(running: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[Setting, ...]:
    """What must change for ``running`` to become ``wanted``."""
    return tuple(
        Setting(key, running.get(key), wanted.get(key))
        for key in sorted(running.keys() | wanted.keys())
        if running.get(key) != wanted.get(key)
    )


class ConfiguredDriver(Driver, ABC):
    """A driver of a device whose whole configuration is settings."""

    @abstractmethod
    def version(self) -> str:
        """What it runs, in one line, for the report."""

    @abstractmethod
    def _settings(self) -> dict[str, str]:
        """The running configuration."""

    @abstractmethod
    def _forms(self) -> tuple[Form, ...]:
        """The kinds of settings that this platform has; the first that matches a key holds."""

    def _form(self, key: str) -> tuple[Form, re.Match[str]]:
        """The kind of ``key``; PlanError where this platform has no such setting."""
        for form in self._forms():
            match = re.fullmatch(form.pattern, key)
            if match is not None:
                return form, match
        raise PlanError(f"{self.name}: {key!r} is no setting of the platform {self.platform}")

    def _commands(self, key: str, value: str | None) -> Sequence[str]:
        """What gives ``key`` the value, or removes it (None), whatever it was before."""
        form, match = self._form(key)
        if value is None and form.lasting:
            raise PlanError(f"{self.name}: {key!r} always has a value, so it cannot be left out")
        return form.make(match, value)

    def read_config(self) -> str:
        """The running configuration: stable text, the same for the same configuration."""
        return emit_settings(self._settings())

    def diff_config(self, wanted: str) -> str:
        """Unified diff from the running configuration to ``wanted``; empty when they agree."""
        return self._diff(self._settings(), parse_settings(wanted))

    def apply_config(self, text: str) -> None:
        """Make the running configuration equal to ``text``; journaled."""
        wanted = parse_settings(text)
        self._set("apply a configuration", *differences(self._settings(), wanted))
        self._prove(wanted)

    def restore_config(self, text: str) -> None:
        """As apply_config, but not journaled: this is how a bench puts a device back."""
        wanted = parse_settings(text)
        for command in self._plan(differences(self._settings(), wanted)):
            self._run(command)
        self._prove(wanted)

    def _set(self, summary: str, *settings: Setting) -> None:
        """Change some settings, journaled; those that already are as wanted are left alone."""
        moved = [setting for setting in settings if setting.old != setting.new]
        if moved:
            self._change(
                summary,
                do=self._plan(moved),
                undo=self._plan([setting.reversed() for setting in moved]),
            )

    def _plan(self, settings: Iterable[Setting]) -> Sequence[str]:
        """The command lines that make ``settings``: removals first, for what they may stand on."""
        ordered = sorted(settings, key=lambda setting: self._form(setting.key)[0].rank)
        gone = [setting for setting in reversed(ordered) if setting.new is None]
        kept = [setting for setting in ordered if setting.new is not None]
        return [
            command
            for setting in (*gone, *kept)
            for command in self._commands(setting.key, setting.new)
        ]

    def _prove(self, wanted: Mapping[str, str]) -> None:
        left = self._diff(self._settings(), wanted)
        if left:
            raise DeviceError(f"{self.name}: did not take the whole configuration:\n{left}")

    def _diff(self, running: Mapping[str, str], wanted: Mapping[str, str]) -> str:
        return "\n".join(
            difflib.unified_diff(
                emit_settings(running).splitlines(),
                emit_settings(wanted).splitlines(),
                f"{self.name} running",
                f"{self.name} wanted",
                lineterm="",
            )
        )
