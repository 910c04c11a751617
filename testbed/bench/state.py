"""Where a bench keeps what must outlive a run: leases, journals, history."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["state_directory", "state_file"]


def state_directory() -> Path:
    """``$TESTBED_STATE``, else ``$XDG_STATE_HOME/testbed``, else ``~/.local/state/testbed``."""
    if own := os.environ.get("TESTBED_STATE"):
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "testbed"


def state_file(kind: str, bench: str, suffix: str) -> Path:
    """The file of ``kind`` for ``bench``, in a directory that exists."""
    directory = state_directory() / kind
    directory.mkdir(parents=True, exist_ok=True)
    return directory / (re.sub(r"[^A-Za-z0-9._-]", "_", bench) + suffix)
