"""What the parts of TCP have in common: settings that may change while the stack runs."""

from __future__ import annotations

from testbed.stack.tcp_config import TcpConfig

__all__ = ["Tuned"]


class Tuned:
    """A part of TCP that goes by the stack's settings."""

    __slots__ = ("_config",)

    def __init__(self, config: TcpConfig) -> None:
        self._config = config

    def tune(self, config: TcpConfig) -> None:
        """Go by other settings from now on."""
        self._config = config
