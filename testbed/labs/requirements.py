"""What the labs need of the machine: one list of packages, read here and by ``.ci/setup``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from testbed.errors import LabError

__all__ = ["SYSTEM_PATH", "Package", "find_command", "install_command", "packages", "require"]

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for: a user's own PATH often lacks the directories of root's tools."""


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package and what is wanted of it."""

    name: str
    commands: tuple[str, ...]
    """Programs by name, or by path where they lie off the usual directories."""
    labs: tuple[str, ...]
    """The labs that cannot do without it; none where it is only useful."""
    platforms: tuple[str, ...]
    """The platforms that need it; empty where all of the lab does."""
    use: str

    def missing(self) -> tuple[str, ...]:
        """Those of its commands that this machine lacks."""
        return tuple(command for command in self.commands if find_command(command) is None)


@cache
def packages() -> tuple[Package, ...]:
    """Every package that a lab needs or can use."""
    entries = json.loads(Path(__file__).with_name("packages.json").read_text())
    return tuple(
        Package(
            entry["package"],
            tuple(entry["commands"]),
            tuple(entry["labs"]),
            tuple(entry["platforms"]),
            entry["use"],
        )
        for entry in entries
    )


def find_command(command: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(command, path=SYSTEM_PATH)


def install_command(names: Iterable[str]) -> str:
    """The command that installs these packages."""
    return f"apt-get install --yes --no-install-recommends {' '.join(names)}"


def require(lab: str, platforms: Iterable[str]) -> None:
    """Raise LabError when a package is missing that ``lab`` needs for devices of ``platforms``."""
    wanted = set(platforms)
    missing = {
        package.name: package.missing()
        for package in packages()
        if lab in package.labs and (not package.platforms or wanted & set(package.platforms))
    }
    lacking = {name: commands for name, commands in missing.items() if commands}
    if lacking:
        what = "; ".join(
            f"{', '.join(commands)} (package {name})" for name, commands in lacking.items()
        )
        raise LabError(
            f"the {lab} lab needs what this machine lacks: {what}. As root: "
            f"{install_command(lacking)}"
        )
