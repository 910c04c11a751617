"""Every fault that a stack can be given fits into it, and says what it stands for."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

from testbed.stack import defects
from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect, Variants

MODULES = {
    each.name: importlib.import_module(f"{defects.__name__}.{each.name}")
    for each in pkgutil.iter_modules(defects.__path__)
}
ALL = [
    (f"{family}.{name}", fault)
    for family, module in MODULES.items()
    for name, fault in vars(module).items()
    if isinstance(fault, Defect)
]


def test_every_family_is_exported_with_all_its_faults():
    assert sorted(defects.__all__) == sorted(MODULES)
    for family, module in MODULES.items():
        here = [each.partition(".")[2] for each, _ in ALL if each.startswith(f"{family}.")]
        assert sorted(module.__all__) == sorted(here)


@pytest.mark.parametrize(("name", "fault"), ALL, ids=[name for name, _ in ALL])
def test_a_fault_alters_parts_in_place_and_adds_no_memory(name, fault):
    assert fault.mixins
    for part, mixin in fault.mixins.items():
        made = Variants([fault]).of(part)
        assert issubclass(made, part), name
        assert issubclass(made, mixin), name
        assert made.__dictoffset__ == part.__dictoffset__, name
        for method, own in vars(mixin).items():
            if inspect.isfunction(own) and not method.startswith("__"):
                # A method that the part does not have would be called by nobody.
                helped = any(
                    f".{method}(" in inspect.getsource(other)
                    for other in vars(mixin).values()
                    if inspect.isfunction(other) and other is not own
                )
                assert hasattr(part, method) or helped, f"{name}: {method}"
    assert Stack(StackConfig.linux().with_defects(fault), seed=1).config.defects == (fault,)


@pytest.mark.parametrize(("name", "fault"), ALL, ids=[name for name, _ in ALL])
def test_a_fault_names_its_row_and_tells_its_story(name, fault):
    assert re.fullmatch(r"[A-Z]{2}-[0-9]{2}", fault.behaviour), name
    assert fault.story.endswith("."), name
    assert len(fault.story) > 40, name
