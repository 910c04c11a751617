"""Makes text from devices fit to be shown: whatever a device sent, nothing in it can act.

Control characters are shown in caret notation (ESC as ``^[``, as ``cat -v`` does), invisible and
direction-changing characters and undecodable bytes become escapes, so that neither a terminal nor
a browser obeys them and a reader still sees that they were there.
"""

from __future__ import annotations

import re
import unicodedata

from testbed.timing import Duration, format_duration

__all__ = ["clip", "first_line", "offset", "span", "visible"]

_NEWLINES = re.compile(r"\r+\n")
# Controls but tab and newline; soft hyphen; Arabic letter mark; zero-width and bidirectional
# formatting; line and paragraph separators; BOM; surrogates (undecodable bytes); interlinear
# annotation; non-characters; tags.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python's surrogateescape could not decode
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def visible(text: str) -> str:
    """``text`` with everything that could act, or hide, made visible; tabs and newlines stay."""
    return _ACTIVE.sub(_picture, _NEWLINES.sub("\n", text))


def clip(text: str, limit: int) -> str:
    """``text`` made visible, in at most ``limit`` characters; an ellipsis ends what was cut."""
    shown = visible(text[: limit + 1])
    if len(shown) <= limit and len(text) <= limit:
        return shown
    cut = max(limit - 1, 0)
    while cut and unicodedata.combining(shown[cut : cut + 1] or " "):
        cut -= 1  # a combining mark belongs to the character before it
    return shown[:cut] + "…"


def first_line(text: str, limit: int = 300) -> str:
    """The first line of ``text`` that is not blank, clipped to ``limit``."""
    for line in text[: 4 * limit + 4096].splitlines():
        if line.strip():
            return clip(line.strip(), limit)
    return ""


def offset(nanoseconds: int) -> str:
    """A distance on the time axis in seconds, to the microsecond: ``+0.012345``."""
    sign = "\u2212" if nanoseconds < 0 else "+"
    micros = (abs(nanoseconds) + 500) // 1000
    whole, fraction = divmod(micros, 1_000_000)
    return f"{sign}{whole}.{fraction:06d}"


def span(nanoseconds: int) -> str:
    """A duration for people, with a micro sign and a space that does not break."""
    if abs(nanoseconds) >= 60_000_000_000:
        minutes, rest = divmod(round(nanoseconds / 1e9), 60)
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    return format_duration(Duration(nanoseconds)).replace("us", "µs").replace(" ", "\u00a0")
