"""A place for plans and the bench that they run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plan_runs import Sandbox, need_root_and, untouched_machine


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """For runs of one module; nothing of them may be left behind."""
    need_root_and("linux_bridge")
    with untouched_machine():
        made = Sandbox(tmp_path_factory.mktemp("runs"))
        yield made
        made.assert_clean()
