"""Draws the bench as inline SVG: cards, NICs, cables in the colour of their state, boxes as bumps.

State is told by colour, by dash pattern and by a mark on the line, so that no one of them has to
be seen. Hover titles name everything in full; the cable table of the report says it all again.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from testbed.report.cabling import CONTROLLER, Passage, read_cabling
from testbed.report.layout import CARD_HEIGHT, Card, Chip, Picture, Wire, lay_out
from testbed.report.records import CableRecord, DeviceRecord, NicRecord, RunRecord
from testbed.report.text import clip

__all__ = ["cable_title", "draw_bench"]

_MARGIN = 14
_CHIP_WIDTH = 36
_CHIP_HEIGHT = 24
_MARKS = {"down": "✕", "wrong": "!", "unproven": "?"}
_BUMP = 116  # the width of a box with its two NICs on a track

_ICONS = {
    "switch": "M2 6h10M9 3l3 3-3 3M14 11H4M7 8l-3 3 3 3",
    "router": "M8 1.5a6.5 6.5 0 1 0 .01 0zM4.6 4.6l6.8 6.8M11.4 4.6l-6.8 6.8",
    "host": "M2.500 3h11v7.500h-11zM6 13.500h4M8 10.500v3",
}
_OTHER_ICON = "M3 3h10v10H3zM6 6h4v4H6z"


def cable_title(cable: CableRecord) -> str:
    """A cable in one line: its ends, its MTU, its state and what the wire proof said."""
    mtu = "" if cable.mtu is None else f" · MTU {cable.mtu}"
    note = f" · {cable.note}" if cable.note else ""
    return clip(f"{cable.end_a} ↔ {cable.end_b}{mtu} · {cable.state}{note}", 300)


def _n(value: float) -> str:
    """A coordinate, no longer than need be."""
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, css: str, text: str, limit: int) -> str:
    shown = escape(clip(text, limit))
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{css}">{shown}</text>'


def _badge(x: float, y: float, cable: CableRecord) -> str:
    """What a cable carries in its middle: its MTU, and a mark where its state is not good."""
    mark = _MARKS.get(cable.state, "")
    words = " ".join(part for part in (mark, "" if cable.mtu is None else str(cable.mtu)) if part)
    if not words:
        return ""
    width = 10 + 6.2 * len(words)
    return (
        f'<rect x="{_n(x - width / 2)}" y="{_n(y - 8)}" width="{_n(width)}" height="16" rx="8"'
        f' class="mtu c-{cable.state}"/>' + _text(x, y + 3.5, f"mtu-t c-{cable.state}", words, 12)
    )


class _Drawing:
    def __init__(self, run: RunRecord, picture: Picture) -> None:
        self.picture = picture
        self.devices = {device.name: device for device in run.devices}
        self.nics = {nic.name: nic for nic in run.nics}
        self.out: list[str] = []

    def nic_title(self, name: str) -> str:
        nic = self.nics.get(name) or NicRecord(name=name)
        facts = " · ".join(fact for fact in (nic.interface, nic.mac, nic.state) if fact)
        return clip(f"controller NIC {name}" + (f": {facts}" if facts else ""), 300)

    def chip(self, x: float, y: float, name: str) -> None:
        """A NIC's own small plate, centred on ``x`` with its top at ``y``."""
        self.out.append(
            f'<g class="nic"><title>{escape(self.nic_title(name))}</title>'
            f'<rect x="{_n(x - _CHIP_WIDTH / 2)}" y="{_n(y)}" width="{_CHIP_WIDTH}"'
            f' height="{_CHIP_HEIGHT}" rx="5"/>' + _text(x, y + 16, "nic-t", name, 5) + "</g>"
        )

    def drop(self, chip: Chip) -> None:
        """The straight cable from a NIC down to the port below it."""
        cable, top = chip.leaf.cable, chip.y + _CHIP_HEIGHT
        self.out.append(
            f'<g class="cable c-{cable.state}"><title>{escape(cable_title(cable))}</title>'
            f'<path class="hit" d="M{_n(chip.x)} {_n(top)}V{_n(chip.card_y)}"/>'
            f'<path d="M{_n(chip.x)} {_n(top)}V{_n(chip.card_y)}"/>'
            + _badge(chip.x, chip.card_y - 32, cable)
            + "</g>"
        )
        self.chip(chip.x, chip.y, chip.leaf.nic)

    def card(self, card: Card) -> None:
        if card.node.startswith(f"{CONTROLLER}:"):
            name = card.node.removeprefix(f"{CONTROLLER}:")
            self.plate(card, self.nic_title(name), name, "NIC")
            return
        device = self.devices.get(card.node) or DeviceRecord(name=card.node, platform="?")
        facts = (device.platform, device.version, device.kind, device.transport)
        title = f"{device.name}: " + " · ".join(fact for fact in facts if fact)
        icon = _ICONS.get(device.kind, _OTHER_ICON)
        self.plate(card, clip(title, 400), device.name, device.platform, icon)

    def plate(self, card: Card, title: str, name: str, below: str, icon: str = "") -> None:
        """A card with its name, a second line, and the icon of a device; a NIC has none."""
        middle, room = card.x + card.width / 2, card.width - 12
        shown = clip(name, int(room / 7.6))
        path = ""
        if icon:
            place = f"{_n(middle - 3.9 * len(shown) - 21)} {_n(card.y + 25)}"
            path = f'<path class="icon" transform="translate({place})" d="{icon}"/>'
        self.out.append(
            f'<g class="{"device" if icon else "lone"}"><title>{escape(title)}</title>'
            f'<rect x="{_n(card.x)}" y="{_n(card.y)}" width="{_n(card.width)}"'
            f' height="{CARD_HEIGHT}" rx="10"/>{path}'
            + _text(middle + (8 if icon else 0), card.y + 37, "name", shown, 60)
            + _text(middle, card.y + 53, "sub", below, int(room / 5.8))
            + "</g>"
        )

    def wire(self, wire: Wire) -> None:
        """A link's U, drawn as stretches of equal length with its boxes between them."""
        parts = wire.link.parts[::-1] if wire.flipped else wire.link.parts
        cables = [part for part in parts if isinstance(part, CableRecord)]
        boxes = [part for part in parts if isinstance(part, Passage)]
        stretch = (wire.x2 - wire.x1 - _BUMP * len(boxes)) / max(len(parts) - len(boxes), 1)
        x, last = wire.x1, len(parts) - 1
        badges: list[str] = []
        for index, part in enumerate(parts):
            if isinstance(part, Passage):
                self.bump(x, wire.track_y, part, flipped=wire.flipped)
                x += _BUMP
                continue
            end = x + stretch
            self.out.append(
                f'<g class="cable c-{part.state}"><title>{escape(cable_title(part))}</title>'
                + _stretch(wire, x, end, first=index == 0, last=index == last)
                + "</g>"
            )
            if stretch > 44:
                badges.append(_badge((x + end) / 2, wire.track_y, part))
            x = end
        if not badges and boxes and cables:  # no room on the line: beside the ports
            ends = ((wire.x1, cables[0]), (wire.x2, cables[-1]))
            badges += [_badge(at, wire.track_y - 16, part) for at, part in ends]
        self.out += badges

    def bump(self, x: float, y: float, part: Passage, *, flipped: bool) -> None:
        """A box in the line: its NIC on either side, the bump with its name between."""
        left, right = (part.left, part.entered) if flipped else (part.entered, part.left)
        self.chip(x + _CHIP_WIDTH / 2, y - _CHIP_HEIGHT / 2, left)
        self.chip(x + _BUMP - _CHIP_WIDTH / 2, y - _CHIP_HEIGHT / 2, right)
        low, high, top = x + _CHIP_WIDTH, x + _BUMP - _CHIP_WIDTH, y - 14
        title = clip(f"fault box {part.box}, in line between NICs {left} and {right}", 300)
        self.out.append(
            f'<g class="box"><title>{escape(title)}</title>'
            f'<path d="M{_n(low)} {_n(y + 8)}V{_n(y + 2)}C{_n(low)} {_n(top)} {_n(high)} {_n(top)}'
            f' {_n(high)} {_n(y + 2)}V{_n(y + 8)}z"/>'
            + _text((low + high) / 2, y + 5, "box-t", part.box, 5)
            + "</g>"
        )

    def ports(self) -> None:
        """Port names, last, so that nothing covers them."""
        for chip in self.picture.chips:
            self.out.append(_text(chip.x, chip.card_y + 12, "port", chip.leaf.port, 6))
        for wire in self.picture.wires:
            ends = (
                (wire.link.end, wire.link.start)
                if wire.flipped
                else (wire.link.start, wire.link.end)
            )
            for x, (_, port) in zip((wire.x1, wire.x2), ends, strict=True):
                if port:
                    self.out.append(_text(x, wire.card_y - 5, "port", port, 7))


def _stretch(wire: Wire, x: float, end: float, *, first: bool, last: bool) -> str:
    """One cable of a U: its corner at either end where it is the first or the last one."""
    low, high, y = _n(x), _n(end), _n(wire.track_y)
    top, bend = _n(wire.card_y), _n(wire.track_y - 9)
    start = f"M{low} {top}V{bend}q0 9 9 9" if first else f"M{low} {y}"
    finish = f"H{_n(end - 9)}q9 0 9 -9V{top}" if last else f"H{high}"
    path = start + finish
    return f'<path class="hit" d="{path}"/><path d="{path}"/>'


def _join(parts: Iterable[str]) -> Markup:
    # Every part was built in this module, from numbers and escaped text only.
    return Markup("".join(parts))  # noqa: S704


def draw_bench(run: RunRecord) -> Markup:
    """The bench of ``run`` as an SVG element."""
    picture = lay_out(read_cabling(run))
    drawing = _Drawing(run, picture)
    for wire in picture.wires:
        drawing.wire(wire)
    for card in picture.cards:
        drawing.card(card)
    for chip in picture.chips:
        drawing.drop(chip)
    drawing.ports()
    width, height = picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN
    label = escape(clip(f"Cabling of bench {run.bench}; the cable table tells it in words", 200))
    head = (
        f'<svg class="bench" viewBox="{-_MARGIN} {-_MARGIN} {_n(width)} {_n(height)}"'
        f' width="{_n(width)}" height="{_n(height)}" role="img" aria-label="{label}">'
    )
    return _join((head, *drawing.out, "</svg>"))
