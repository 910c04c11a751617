"""Small pieces of HTML: near misses with differences marked, console logs on the plan's clock.

Everything given here may come from a hostile device: text is made visible, then escaped, before
any markup is put around it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup, escape

from testbed.report.ladder import anchor
from testbed.report.records import ArtifactRecord, ConsoleRecord
from testbed.report.text import clip, offset, visible

__all__ = ["ConsoleView", "commands", "console", "link_to", "mark_differences"]

_TOKEN = re.compile(
    r"^ +(?P<command>tshark [^\n]+)$"
    r"|(?P<frame>#\d{1,9}\b)"
    r"|\bwanted (?P<want>[^\n]{1,300}?), got (?P<got>[^\n]{1,300}?)(?=;|$| \(and )",
    re.MULTILINE,
)
# Control sequences of terminals, in text that was made visible and escaped.
_ESCAPE_SEQUENCE = re.compile(r"\^\[(?:\[[0-9;?]{0,40}[A-Za-z]|[()][A-Za-z0-9]|[=78]|&gt;)?")
HERE = Path()
"""The folder that a reader of the report is in."""

_CAPTURES = (".pcapng", ".pcap")


def mark_differences(text: str, plan_index: int, anchors: frozenset[int], limit: int) -> Markup:
    """Near misses: what was wanted and what came stand out, frame numbers lead to the ladder."""
    text = clip(text, limit)
    out: list[Markup] = []
    done = 0
    for found in _TOKEN.finditer(text):
        out.append(escape(text[done : found.start()]))
        done = found.end()
        if found["command"]:
            out.append(Markup("    <small>{}</small>").format(found["command"]))
        elif found["frame"]:
            number = int(found["frame"][1:])
            if number in anchors:
                link = Markup('<a href="#{}">#{}</a>').format(anchor(plan_index, number), number)
            else:
                link = Markup("<b>#{}</b>").format(number)
            out.append(link)
        else:
            marked = Markup("wanted <ins>{}</ins>, got <del>{}</del>")
            out.append(marked.format(found["want"], found["got"]))
    out.append(escape(text[done:]))
    return Markup("").join(out)


def link_to(path: str) -> str:
    """A relative address for ``path``, or nothing where it is not below the report."""
    return "" if path.startswith("/") else "./" + quote(path, errors="backslashreplace")


def commands(artifact: ArtifactRecord, below: Path = HERE) -> tuple[str, ...]:
    """The shell commands that open an artifact at its frame; ``below`` is the report's folder."""
    path = shlex.quote(visible(str(below / artifact.path)))
    if artifact.command or not artifact.path.endswith(_CAPTURES):
        return (artifact.command,) if artifact.command else ()
    if artifact.frame is None:
        return (f"wireshark {path}", f"tshark -r {path}")
    show = shlex.quote(f"frame.number == {artifact.frame}")
    return f"wireshark -r {path} -g {artifact.frame}", f"tshark -r {path} -Y {show} -V"


@dataclass(frozen=True, slots=True)
class ConsoleView:
    """Console logs ready to show; ``hidden`` entries were left out."""

    markup: Markup
    entries: int
    hidden: int


@dataclass(slots=True)
class _Entry:
    first: ConsoleRecord
    text: list[str]


def _joined(records: Iterable[ConsoleRecord]) -> list[_Entry]:
    """Pieces of one line, as they came off a serial port, put together again."""
    entries: list[_Entry] = []
    open_line: dict[tuple[str, str, str], _Entry] = {}
    for record in sorted(records, key=lambda record: record.at):
        who = (record.device, record.transport, record.direction)
        entry = open_line.get(who)
        if entry is None or (entries and entries[-1] is not entry):
            entry = _Entry(record, [])
            entries.append(entry)
        entry.text.append(record.text)
        if record.text.endswith("\n"):
            open_line.pop(who, None)
        else:
            open_line[who] = entry
    return entries


def _entry(entry: _Entry, start: int, hue: int) -> str:
    record = entry.first
    text = escape(clip("".join(entry.text).rstrip("\r\n"), 8_000))
    shown = _ESCAPE_SEQUENCE.sub(lambda found: f"<s>{found[0]}</s>", text)
    way = {"sent": "out", "received": "in"}.get(record.direction, "")
    sign = {"out": ">", "in": ""}.get(way, clip(record.direction, 12))
    name = escape(clip(f"{record.device} {record.transport}".strip(), 40))
    return (
        f'<div class="{way}"><b>{offset(record.at - start)}</b><i class="d{hue}">{name}</i>'
        f"<u>{escape(sign)}</u><code>{shown}</code></div>"
    )


def console(records: Iterable[ConsoleRecord], start: int, limit: int) -> ConsoleView:
    """Console records on the clock that starts at ``start``, in at most about ``limit`` characters.

    Where not all fit, the first and the last ones are kept: what was set up, and how it ended.
    """
    entries = _joined(records)
    hues = {name: i % 6 for i, name in enumerate(dict.fromkeys(e.first.device for e in entries))}
    head: list[str] = []
    tail: list[str] = []
    room = limit
    low, high = 0, len(entries)
    while low < high and room > 0:
        at_head = len(head) <= len(tail) // 2
        entry = entries[low if at_head else high - 1]
        piece = _entry(entry, start, hues[entry.first.device])
        room -= len(piece)
        if at_head:
            head.append(piece)
            low += 1
        else:
            tail.append(piece)
            high -= 1
    hidden = high - low
    if hidden:
        head.append(f'<p class="cut">⋯ {hidden:,} entries left out here; run.json has them all</p>')
    # Every piece was built here, from numbers and escaped text only.
    markup = Markup("".join(head + tail[::-1]))  # noqa: S704
    return ConsoleView(markup, len(entries), hidden)
