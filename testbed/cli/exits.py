"""Exit codes, for CI."""

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1  # a device did not do what a plan expects
    USAGE = 2  # the command line, a plan or a bench file is wrong
    RIG = 3  # the bench is wrong, so nothing can be said of the devices
    NOTHING = 4  # no plan ran
    INTERRUPTED = 130
