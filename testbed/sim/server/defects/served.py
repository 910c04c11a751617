"""Faults of the stack's own DHCP and DNS servers, which a server has as well."""

from testbed.stack.defects.dhcp import (
    FORGETS_DECLINES,
    FORGETS_RENEWALS,
    LEASES_TWICE,
    NEVER_REFUSES,
    OFFERS_TAKEN,
    RELEASED_BY_ANYBODY,
    TAKES_OTHERS_REQUESTS,
)
from testbed.stack.defects.services import (
    ANSWERS_ANSWERS,
    DENIES_EMPTY_NAMES,
    DENIES_WITHOUT_SOA,
    KNOWS_NO_AAAA,
    LEAVES_OUT_GLUE,
    NEVER_TRUNCATES,
)

__all__ = [
    "ANSWERS_ANSWERS",
    "DENIES_EMPTY_NAMES",
    "DENIES_WITHOUT_SOA",
    "FORGETS_DECLINES",
    "FORGETS_RENEWALS",
    "KNOWS_NO_AAAA",
    "LEASES_TWICE",
    "LEAVES_OUT_GLUE",
    "NEVER_REFUSES",
    "NEVER_TRUNCATES",
    "OFFERS_TAKEN",
    "RELEASED_BY_ANYBODY",
    "TAKES_OTHERS_REQUESTS",
]
