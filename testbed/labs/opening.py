"""From a bench file of any lab to one of kind ``hardware`` that can be driven."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from testbed.errors import LabError
from testbed.inventory import Bench
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import VirtualLab

__all__ = ["open_lab"]


@contextmanager
def open_lab(bench: Bench, say: Callable[[str], None] = lambda _: None) -> Iterator[Bench]:
    """Have the gear of ``bench`` standing, and this process where its NICs are, for a block.

    Gives the bench file of kind ``hardware``: the one itself, or what the virtual lab brought up.
    """
    with ExitStack() as stack:
        hardware = bench
        if bench.lab == "virtual":
            lab = stack.enter_context(VirtualLab(bench, say))
            hardware = lab.inventory
        elif bench.lab != "hardware":
            raise LabError(f"bench {bench.bench}: lab {bench.lab!r} cannot be brought up")
        stack.enter_context(enter_controller(hardware))
        yield hardware
