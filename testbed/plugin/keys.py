"""Where the plugin keeps things in pytest's stashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.plugin.run import Run
    from testbed.plugin.stories import Story

__all__ = ["RUN", "STORY"]

RUN: pytest.StashKey[Run] = pytest.StashKey()
STORY: pytest.StashKey[Story] = pytest.StashKey()
