"""A signature at the end of test frames, by which a receiver tells streams, order and time.

The last 24 bytes of a frame: a mark, the number of its stream, its own number in the stream, and
when it was sent, in the order of a network. At the end, for devices put tags into the front.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from testbed.errors import PlanError
from testbed.link.streams.flow import LEAST, Frames
from testbed.link.streams.places import lay_out
from testbed.link.streams.values import SEQUENCE, TimeStamp, Values
from testbed.wire.compose import Sendable, to_bytes
from testbed.wire.ethernet import EthFrame

__all__ = ["MARK", "SIGNATURE", "SIZE", "STREAMS", "signed"]

MARK: Final = 0x7B5E_1D9C
"""Just a number that the last 24 bytes of other frames do not begin with."""
SIGNATURE: Final = struct.Struct("!IIQQ")
SIZE: Final = SIGNATURE.size
STREAMS: Final = 1024
"""Streams that a receiver tells apart."""


def signed(
    frame: Sendable, stream: int = 0, *, vary: Mapping[str, Values] | None = None, share: int = 1
) -> Frames:
    """A flow of one frame, signed as ``stream``; what its checksums cover they go on covering.

    The signature takes the place of the frame's last 24 bytes; PlanError where these are not
    payload. ``vary`` and ``share`` are those of ``Frames``.
    """
    if not 0 <= stream < STREAMS:
        raise PlanError(f"stream {stream}: expected 0 to {STREAMS - 1}")
    data = frame.emit(pad=True) if isinstance(frame, EthFrame) else to_bytes(frame)
    data = data.ljust(LEAST, b"\0")
    at = len(data) - SIZE
    if lay_out(data).payload > at:
        raise PlanError(
            f"a frame of {len(data)} bytes has no room for a signature of {SIZE} in its payload"
        )
    data = data[:at] + SIGNATURE.pack(MARK, stream, 0, 0)
    marks: dict[str, Values] = {
        f"frame[{at + 8}:{at + 16}]": SEQUENCE,
        f"frame[{at + 16}:{at + 24}]": TimeStamp(shared=True),
    }
    return Frames(data, vary={**marks, **(vary or {})}, share=share, name=f"stream {stream}")
