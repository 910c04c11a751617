"""Faults that real switches have had, each a ``Defect`` to switch on: one module per family.

Nobody of the good switch imports this.
"""

from testbed.sim.switch.defects import (
    ageing,
    floods,
    forwarding,
    frames,
    learning,
    services,
    speed,
    table,
    vlans,
)

__all__ = [
    "ageing",
    "floods",
    "forwarding",
    "frames",
    "learning",
    "services",
    "speed",
    "table",
    "vlans",
]
