"""How a recording begins, as a file."""

from __future__ import annotations

from testbed.wire.pcapng import Option, Section, interface_block, option, section_block

__all__ = ["heading"]

_STRING = b"\0"  # the first byte of if_filter: what follows is an expression


def heading(name: str, about: str, snap: int, wanted: str = "") -> bytes:
    """The section's head and its one interface; ``about`` says what recorded, by which clock."""
    options = [option(Option.INTERFACE_FILTER, _STRING + wanted.encode())] if wanted else []
    return section_block(Section()) + interface_block(name, about, snap=snap, options=options)
