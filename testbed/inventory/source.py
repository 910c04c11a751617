"""From a path to the text of a bench file, and never to anything that is none."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from testbed.errors import InventoryError

__all__ = ["LARGEST", "read_text"]

LARGEST = 256 * 1024
"""Size in bytes beyond which a file is no bench file: 256 KiB describe a thousand devices."""

# YAML 1.2.2, 5.1 "Character set": what is not printable, and the line breaks that editors do not
# count as such (their line numbers would differ from ours).
_JUNK = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read_text(path: Path) -> str:
    """The text of the file at ``path``; InventoryError where it is none, or too large."""
    data = _read(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refused(path, "the file is UTF-16, expected UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _line_column(data[: error.start].decode("utf-8-sig"))
        raise _refused(
            path,
            f"byte {data[error.start]:#04x} at offset {error.start} is not UTF-8, "
            "expected a text file",
            place,
        ) from None
    junk = _JUNK.search(text)
    if junk:
        before = text[: junk.start()]
        offset = len(before.encode()) + (len(data) - len(text.encode()))
        raise _refused(
            path,
            f"character U+{ord(junk[0]):04X} at offset {offset} is not printable, "
            "expected a text file",
            _line_column(before),
        )
    return text


def _read(path: Path) -> bytes:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise _refused(path, "this is a directory, expected a bench file")
        if not stat.S_ISREG(kind):
            # A pipe or a terminal might keep us waiting for ever.
            raise _refused(path, "this is no regular file, expected a bench file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise _refused(
            path, "there is no such file, expected a bench file such as inventory/virtual.yaml"
        ) from None
    except OSError as error:
        raise _refused(
            path, f"cannot be read ({error.strerror}), expected a file that you may read"
        ) from None
    except ValueError:
        raise _refused(path, "the path holds a NUL, expected the path of a file") from None
    if len(data) > LARGEST:
        raise _refused(
            path, f"the file has more than {LARGEST} bytes, expected a bench file, which is smaller"
        )
    return data


def _line_column(before: str) -> tuple[int, int]:
    lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return len(lines), len(lines[-1]) + 1


def _refused(path: Path, why: str, place: tuple[int, int] = (1, 1)) -> InventoryError:
    return InventoryError((f"{path}:{place[0]}:{place[1]}: (file): {why}",))
