"""Where a bench keeps what must outlive a run: leases, journals, history."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from testbed.errors import LabError
from testbed.inventory import Bench

__all__ = ["journal_file", "state_directory", "state_file"]


def state_directory() -> Path:
    """``$TESTBED_STATE``, else ``$XDG_STATE_HOME/testbed``, else ``~/.local/state/testbed``."""
    if own := os.environ.get("TESTBED_STATE"):
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "testbed"


def state_file(kind: str, bench: str, suffix: str) -> Path:
    """The file of ``kind`` for ``bench``, in a directory that exists and can be written to."""
    directory = state_directory() / kind
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _closed(directory, error.strerror) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _closed(directory, "it is not this user's")
    return directory / (re.sub(r"[^A-Za-z0-9._-]", "_", bench) + suffix)


def journal_file(bench: Bench) -> Path:
    """The journal of ``bench``: its name and its devices' host keys tell it from others."""
    pins = [
        f"{name}={device.ssh.host_key if device.ssh else ''}"
        for name, device in {**bench.devices, **bench.hosts}.items()
    ]
    digest = hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]
    return state_file("journals", f"{bench.bench}-{digest}", ".jsonl")


def _closed(directory: Path, why: str | None) -> LabError:
    return LabError(
        f"cannot keep leases and journals in {directory}: {why}. Name another place: "
        "TESTBED_STATE=DIRECTORY"
    )
