"""Every defect there is, and the kinds of node in which each can live."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import testbed.sim as simulated
import testbed.stack.defects as stacked
from testbed.bench.topology import Topology
from testbed.errors import PlanError
from testbed.stack.variants import Defect

__all__ = ["LINK", "KnownDefect", "known_defects", "roles_for"]

LINK = "link"
"""The kind of defects that sit in cables: all cables of the node that is given one have it."""

ENDPOINTS = frozenset({"host", "nic"})
"""Where the defects of ``testbed.stack`` live: hosts, and stacks that a plan makes on a NIC."""

STACKED = ENDPOINTS | {"router", "server", "balancer", "gateway"}
"""Every kind of node that runs a stack: a part of it can be wrong in any of them."""


@dataclass(frozen=True, slots=True)
class KnownDefect:
    """A defect with a ``key`` of its own, ``module:CONSTANT``, and the kinds of node for it."""

    key: str
    defect: Defect
    kinds: frozenset[str]
    own: bool = False
    """Whether the user brought it, and the testbed does not ship it."""

    @property
    def row(self) -> str:
        """The catalogue's row, or a user's own."""
        return self.defect.behaviour


def known_defects(sources: Iterable[str] = ()) -> tuple[KnownDefect, ...]:
    """Every defect that the testbed ships, then the user's: of ``sources``, modules or files.

    PlanError where one of these has none or cannot be read.
    """
    modules = [*_walk(stacked), *(m for m in _walk(simulated) if _is_of_defects(m.__name__))]
    return (*_known(modules), *(known for source in sources for known in _own(source)))


def _own(source: str) -> tuple[KnownDefect, ...]:
    found = _known(_walk(_load(source)), own=source)
    if not found:
        raise PlanError(f"{source} has no defects: none of its constants is a testbed Defect")
    return found


def roles_for(known: KnownDefect, topology: Topology, drilled: Iterable[str]) -> tuple[str, ...]:
    """The roles into which a defect goes, one after the other; none where it fits no node.

    The role that a drill of the plan names for this very defect (``drilled``), else the device
    under test where its kind fits, else each node of a kind that fits.
    """
    named = tuple(role for role in dict.fromkeys(drilled) if role in dict(topology.nodes))
    fitting = tuple(
        name for name, kind in topology.nodes if kind.value in known.kinds or LINK in known.kinds
    )
    if named:
        return named
    return (topology.dut,) if topology.dut in fitting and topology.dut else fitting


def _is_of_defects(name: str) -> bool:
    return any(part.endswith("defects") for part in name.split("."))


def _walk(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for each in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
        yield importlib.import_module(each.name)


def _known(modules: Iterable[ModuleType], own: str = "") -> tuple[KnownDefect, ...]:
    """One entry for each defect: found in several modules, it lives wherever these say."""
    found: dict[int, KnownDefect] = {}
    for module in modules:
        for name, value in vars(module).items():
            if not isinstance(value, Defect):
                continue
            kinds = _kinds(module.__name__, value)
            before = found.get(id(value))
            key = before.key if before else f"{own or module.__name__}:{name}"
            merged = kinds | before.kinds if before else kinds
            found[id(value)] = KnownDefect(key, value, merged, bool(own))
    return tuple(found.values())


def _kinds(module: str, defect: Defect) -> frozenset[str]:
    """Where a defect lives: the module that has it says so, else the parts that it alters."""
    if module.startswith(stacked.__name__):
        return ENDPOINTS
    if (kind := _kind_of(module)) is not None:
        return frozenset({kind})
    return frozenset.intersection(*(_kinds_of_part(part) for part in defect.mixins))


def _kinds_of_part(part: type) -> frozenset[str]:
    kind = _kind_of(part.__module__)
    return STACKED if kind is None else frozenset({kind})


def _kind_of(module: str) -> str | None:
    """``switch`` of ``testbed.sim.switch.table``; None for what is of no device."""
    inside = module.removeprefix(f"{simulated.__name__}.")
    if inside == module:
        return None
    kind = inside.partition(".")[0].removesuffix("_defects")
    return None if kind == "defects" else kind


def _load(source: str) -> ModuleType:
    try:
        return (
            _load_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
        )
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise PlanError(f"the defects of {source} cannot be read: {why}") from error


def _load_file(path: Path) -> ModuleType:
    name = f"testbed_own_defects_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
