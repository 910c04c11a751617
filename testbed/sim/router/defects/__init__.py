"""Faults that real routers have had, each a ``Defect``: one module per family.

Those of the catalogue's rows for hosts are in ``testbed.stack.defects``; the few of them that a
router has as well are named here too.
"""

from testbed.sim.router.defects import (
    echo,
    errors,
    filters,
    fragments,
    groups,
    headers,
    hops,
    many,
    nat,
    neighbours,
    pmtu,
    routes,
)

__all__ = [
    "echo",
    "errors",
    "filters",
    "fragments",
    "groups",
    "headers",
    "hops",
    "many",
    "nat",
    "neighbours",
    "pmtu",
    "routes",
]
