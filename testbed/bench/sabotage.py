"""Making a device wrong on purpose, by real means, journaled and undone like any change."""

from __future__ import annotations

import shlex
from typing import Any

from testbed.devices.changes import Change, ChangeLog

__all__ = ["Sabotage"]


class Sabotage:
    """A shell on the device that plays ``role``, for the faults of a drill."""

    def __init__(self, role: str, driver: Any, changes: ChangeLog) -> None:
        self.role = role
        self._driver = driver
        self._changes = changes

    @property
    def platform(self) -> str:
        """The device's platform, where the means depend on it."""
        return str(self._driver.platform)

    def run(self, *do: str, undo: tuple[str, ...] = ()) -> str:
        """Run shell commands on the device; ``undo`` puts it back and may run more than once."""
        self._changes.before(Change(self._driver.name, f"sabotage: {do[0]}", undo))
        return "".join(str(self._driver.execute(command)) for command in do)

    def keep_doing(self, command: str, every: float = 0.05) -> None:
        """Run ``command`` on the device again and again in the background until the drill ends."""
        marker = f"testbed-sabotage-{self.role}"
        loop = f"while :; do {command}; sleep {every}; done"
        endless = shlex.quote(f": {marker}; {loop}")
        # In a subshell, so that the login shell does not report the job among its answers.
        start = f"(setsid sh -c {endless} </dev/null >/dev/null 2>&1 &)"
        self.run(start, undo=(f"pkill -f '^sh -c : {marker}' || true",))
