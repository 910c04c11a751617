"""Reads a report as a browser's parser would, for tests to look at."""

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

VOID = {"meta", "link", "br", "hr", "img", "input", "area", "base", "col", "embed", "source", "wbr"}
ADDRESSES = {"href", "src", "action", "xlink:href", "srcset", "poster", "data", "formaction"}


def read_svg(markup):
    """The element tree of an SVG that this project drew itself; it must be well-formed XML."""
    return ET.fromstring(markup)  # noqa: S314


class Page(HTMLParser):
    """Tags, ids, addresses and text of a page; ``faults`` are tags that do not nest."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.addresses, self.faults = [], [], [], []
        self.handlers, self.text, self.scripts = [], [], []
        self._open = []
        self.feed(html)
        self.close()
        self.faults += self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ADDRESSES:
                self.addresses.append(value)
            if name.startswith("on"):
                self.handlers.append((tag, name))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}>")

    def handle_data(self, data):
        (
            self.scripts if self._open and self._open[-1] in {"script", "style"} else self.text
        ).append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    def classes(self, tag):
        return [set((attrs.get("class") or "").split()) for name, attrs in self.tags if name == tag]
