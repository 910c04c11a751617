"""The one name that plans import: what it offers, what it costs, and that plans keep to it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import testbed
from testbed.bench.grading.registry import known_defects

ROOT = Path(__file__).parents[1]
PLANS = sorted((ROOT / "plans").rglob("*.py"))
GRADED = {known.row for known in known_defects()}
"""The rows that have defects of simulated devices and stacks, by which plans are graded."""
HEAVY = ("paramiko", "numpy", "scapy", "pytest", "netmiko", "fabric", "pydantic", "networkx")


def typed_names() -> dict[str, str]:
    """What type checkers see, and where it comes from."""
    tree = ast.parse(Path(testbed.__file__).read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.asname or alias.name: statement.module
        for statement in block.body
        for alias in statement.names
    }


def test_all_is_what_type_checkers_see() -> None:
    assert sorted(testbed.__all__) == sorted(typed_names())
    assert len(set(testbed.__all__)) == len(testbed.__all__)
    assert dir(testbed) == sorted(testbed.__all__)


@pytest.mark.parametrize("name", testbed.__all__)
def test_every_name_is_found_where_type_checkers_look(name: str) -> None:
    assert testbed._HOMES[name] == typed_names()[name]
    assert getattr(testbed, name) is not None


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'testbed' has no attribute 'Wrench'"):
        _ = testbed.Wrench


def test_importing_it_loads_nothing_else() -> None:
    probe = f"import sys, testbed; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_plans_import_testbed_and_pytest_only(plan: Path) -> None:
    allowed = sys.stdlib_module_names | {"pytest"}
    tree = ast.parse(plan.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        else:
            continue
        others = [name for name in names if name != "testbed"]
        strange = [name for name in others if name.split(".")[0] not in allowed]
        assert not strange, f"line {node.lineno}"


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_plans_say_what_they_are(plan: Path) -> None:
    tree = ast.parse(plan.read_text())
    assert ast.get_docstring(tree)
    tests = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for test in tests:
        written = [
            named.get(mark.id, mark) if isinstance(mark, ast.Name) else mark
            for mark in test.decorator_list
        ]
        marks = " ".join(map(ast.unparse, written))
        for wanted in ("mark.behaviour(", "mark.topology("):
            assert wanted in marks, f"{test.name} has no {wanted.strip('(')}"
        row = re.search(r"mark\.behaviour\('([A-Z]+-\d+)'", marks)
        assert row, f"{test.name} names no row of the catalogue"
        graded = row.group(1) in GRADED
        assert graded or "drill(" in marks, f"{test.name} is held to no defect, nor has it a drill"
