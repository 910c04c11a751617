import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from netns import Namespace, fresh_namespace


@pytest.fixture
def netns() -> Iterator[Namespace]:
    with fresh_namespace() as namespace:
        yield namespace


@pytest.fixture
def veth(netns: Namespace) -> tuple[str, str]:
    return netns.veth("va", "vb")
