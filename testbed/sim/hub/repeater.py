"""The repeater unit: what comes in at one port goes out of all others (IEEE 802.3 9.5, 9.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["Repeater"]


class Repeater:
    """Passes signals on; it knows nothing of frames, addresses or checks."""

    def __init__(self, ports: Iterable[str]) -> None:
        self.ports = tuple(ports)

    def domain(self, source: str) -> Iterator[str]:
        """The ports whose stations hear that ``source`` sends, and whose signals it hears."""
        return (port for port in self.ports if port != source)

    def outlets(self, source: str, frame: bytes) -> Iterator[str]:  # noqa: ARG002 - a seam
        """Where the frame goes."""
        return self.domain(source)

    def restore(self, frame: bytes) -> bytes:
        """The frame as it leaves: bits as they came, whatever they mean."""
        return frame
