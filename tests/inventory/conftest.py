from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.errors import InventoryError
from testbed.inventory import Loaded, load

ROOT = Path(__file__).parents[2]
PLATFORMS = frozenset({"frr", "linux_bridge", "linux_host", "openvswitch", "sim_switch"})

SMALL = """\
bench: small
lab: virtual
controller:
  nics:
    a: {}
    b: {}
devices:
  sw1:
    platform: openvswitch
    ports: [p1, p2]
cables:
  - [controller:a, sw1:p1]
  - [controller:b, sw1:p2]
"""

HARDWARE = """\
bench: rack
lab: hardware
controller:
  nics:
    a: {interface: eth0}
devices:
  sw1:
    platform: openvswitch
    ports: [p1]
    ssh:
      host: 192.0.2.10
      user: lab
      password: {env: LAB}
      host_key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
cables:
  - [controller:a, sw1:p1]
"""


@pytest.fixture
def small() -> str:
    """A bench file without a fault, of the virtual lab."""
    return SMALL


@pytest.fixture
def hardware() -> str:
    """A bench file without a fault, of hardware."""
    return HARDWARE


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], Loaded]:
    """Loads a text as a bench file called bench.yaml."""

    def read(content: str | bytes) -> Loaded:
        path = tmp_path / "bench.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load(path, platforms=PLATFORMS)

    return read


@pytest.fixture
def problems(
    read: Callable[[str | bytes], Loaded], tmp_path: Path
) -> Callable[[str | bytes], list[str]]:
    """What is wrong with a text, without the name of the file in front."""

    def problems(content: str | bytes) -> list[str]:
        with pytest.raises(InventoryError) as caught:
            read(content)
        front = f"{tmp_path}/bench.yaml:"
        assert all(problem.startswith(front) for problem in caught.value.problems)
        return [problem.removeprefix(front) for problem in caught.value.problems]

    return problems
