"""Faults of the stack's own DHCP and DNS servers, which a server has as well."""

from testbed.stack.defects.dhcp import (
    FORGETS_DECLINES,
    LEASES_TWICE,
    NEVER_REFUSES,
    OFFERS_TAKEN,
    TAKES_OTHERS_REQUESTS,
)
from testbed.stack.defects.services import DENIES_WITHOUT_SOA, LEAVES_OUT_GLUE, NEVER_TRUNCATES

__all__ = [
    "DENIES_WITHOUT_SOA",
    "FORGETS_DECLINES",
    "LEASES_TWICE",
    "LEAVES_OUT_GLUE",
    "NEVER_REFUSES",
    "NEVER_TRUNCATES",
    "OFFERS_TAKEN",
    "TAKES_OTHERS_REQUESTS",
]
