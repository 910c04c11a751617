"""A virtual bench for the tests of this folder, brought up once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import LabError
from testbed.inventory import Bench, load
from testbed.labs.requirements import require
from testbed.labs.rootless import is_root
from testbed.labs.virtual import VirtualLab

SHIPPED = Path(__file__).parents[2] / "inventory" / "virtual.yaml"


@pytest.fixture(scope="session")
def shipped() -> Bench:
    """The bench of inventory/virtual.yaml, where this machine can bring it up."""
    if not is_root():
        pytest.skip("needs root: the tests look into the namespaces of the lab")
    bench = load(SHIPPED).bench
    try:
        require("virtual", {device.platform for device in bench.devices.values()})
    except LabError as error:
        pytest.skip(str(error))
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare: apt-get install util-linux")
    return bench


@pytest.fixture(scope="module")
def lab(shipped: Bench) -> Iterator[VirtualLab]:
    """That bench, standing."""
    with VirtualLab(shipped) as lab:
        yield lab
