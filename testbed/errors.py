"""The error tree: an error's class says whose fault it is.

::

    TestbedError
    ├── ExpectationFailed     the device under test is wrong      verdict: fail
    ├── BenchError            the rig is wrong                    verdict: error
    │   ├── LinkError         a controller NIC or its cable
    │   ├── CaptureError      a capture that proves nothing (dead, lossy, unsettled)
    │   ├── ConsoleError      a login or dialogue with a device
    │   ├── DeviceError       a device refused or garbled a command
    │   ├── LabError          gear that could not be brought up, or a missing package
    │   ├── LeaseError        the bench is held by somebody else
    │   └── CablingError      the cables are not where the file says
    ├── UsageError            the author is wrong                 verdict: error, exit code 2
    │   ├── PlanError         a plan asks for what makes no sense
    │   └── InventoryError    a bench file that cannot be used
    ├── Unsupported           this bench cannot do it             verdict: skip, with the reason
    └── WireError             bytes or values that are not a legal packet
"""

from __future__ import annotations

__all__ = [
    "BenchError",
    "CablingError",
    "CaptureError",
    "ConsoleError",
    "DeviceError",
    "ExpectationFailed",
    "InventoryError",
    "LabError",
    "LeaseError",
    "LinkError",
    "PlanError",
    "TestbedError",
    "Unsupported",
    "UsageError",
    "WireError",
]


class TestbedError(Exception):
    """Anything that testbed raises on purpose."""

    __test__ = False  # the name begins with "Test": keep pytest from collecting it


class ExpectationFailed(TestbedError, AssertionError):  # noqa: N818 - a verdict, not a mishap
    """The device under test did not do what the plan expects of it.

    ``details`` carries the near misses, one per line, for the terminal and the report.
    """

    def __init__(self, summary: str, details: str = "") -> None:
        super().__init__(f"{summary}\n{details}" if details else summary)
        self.summary = summary
        self.details = details


class BenchError(TestbedError):
    """The rig is wrong: nothing can be said about the device under test."""


class LinkError(BenchError):
    """A controller NIC, its driver or its cable is not fit for use."""


class CaptureError(BenchError):
    """A capture proves nothing: it was dead, it lost frames, or it never settled."""


class DeviceError(BenchError):
    """A device refused a command, or answered what its driver cannot read."""


class ConsoleError(BenchError):
    """A dialogue with a device went wrong.

    ``device`` and ``transport`` say where, ``awaited`` what was to come and ``got`` the tail of
    what did.
    """

    def __init__(self, device: str, transport: str, awaited: str, got: str, hint: str = "") -> None:
        text = f"{device} over {transport}: awaited {awaited}; got {got}"
        super().__init__(f"{text}. {hint}" if hint else text)
        self.device = device
        self.transport = transport
        self.awaited = awaited
        self.got = got
        self.hint = hint


class LabError(BenchError):
    """Gear could not be brought up; the message names what is missing and what mends it."""


class LeaseError(BenchError):
    """The bench is in use; the message names its holder."""


class CablingError(BenchError):
    """The cables are not where the bench file says; the message names them."""


class UsageError(TestbedError):
    """The author of a plan, a bench file or a command line is wrong."""


class PlanError(UsageError):
    """A plan asks for something that makes no sense on any bench."""


class InventoryError(UsageError):
    """A bench file cannot be used.

    ``problems`` holds every fault found, each ``file:line:column: path: what, expected``.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unsupported(TestbedError):  # noqa: N818 - a reason to skip, not a mishap
    """This bench, or a device of it, cannot do what was asked; the reason is the message."""


class WireError(TestbedError, ValueError):
    """Bytes, or values, that are not a legal packet.

    ``offset`` is where in the bytes, counted from the start of what was parsed, or None where a
    value was refused.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"byte {offset}: {reason}")
        self.reason = reason
        self.offset = offset
