"""What a call on the stack is refused with: the name of an errno, so that nothing here needs os."""

from __future__ import annotations

from testbed.errors import TestbedError

__all__ = ["Refused"]


class Refused(TestbedError):  # noqa: N818 - an answer to the caller, as errno is
    """A call that cannot be done; ``errno_name`` is what Linux would say, such as ``EADDRINUSE``.

    It is also how a connection's or a socket's pending error is kept.
    """

    def __init__(self, errno_name: str, text: str = "") -> None:
        super().__init__(f"{errno_name}: {text}" if text else errno_name)
        self.errno_name = errno_name
        self.text = text
