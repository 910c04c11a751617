"""The frames of a trace as columns, for what works on columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from testbed.capture.columns.columns import Columns, Source
from testbed.wire.frame import Frame

__all__ = ["columns_of"]


def columns_of(frames: Sequence[Frame]) -> Columns:
    """One row for every frame, in the order they come in. What frames hold is copied."""
    captured = np.array([len(frame.data) for frame in frames], np.int64)
    data = np.frombuffer(b"".join(frame.data for frame in frames) or b"\0", np.uint8)
    return Columns(
        data=data,
        time=np.array([frame.at for frame in frames], np.int64),
        captured=captured,
        length=np.array([frame.wire_length for frame in frames], np.int64),
        offset=np.cumsum(captured) - captured,
        source=np.zeros(len(frames), np.int64),
        sources=(Source(0, 1, tick=1.0),),
    )
