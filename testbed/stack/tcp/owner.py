"""What a connection in the making knows of its listener."""

from __future__ import annotations

from abc import ABC, abstractmethod

from testbed.stack.tcp.tcb import Tcb

__all__ = ["Owner"]


class Owner(ABC):
    """Holds connections until their user takes them."""

    __slots__ = ()

    @abstractmethod
    def established(self, c: Tcb) -> None:
        """The handshake of ``c`` is done: it can be accepted."""

    @abstractmethod
    def lost(self, c: Tcb) -> None:
        """``c`` is gone."""
