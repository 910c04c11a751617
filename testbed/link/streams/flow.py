"""What is sent: flows of frames whose fields vary, mixed by their shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from testbed.errors import PlanError
from testbed.link.streams.places import Checksum, Place, lay_out
from testbed.link.streams.values import Increment, Values
from testbed.wire.checksum import fold, ones_sum
from testbed.wire.compose import Sendable, to_bytes
from testbed.wire.ethernet import EthFrame

__all__ = ["Blend", "Compiled", "Frames", "Sum", "Varied"]

LEAST = 60
"""Bytes of the shortest frame that a NIC sends: it fills up what is shorter."""

LONGEST_PERIOD = 4096
"""Frames after which the flows of a blend come in the same order again, at most."""


@dataclass(frozen=True, slots=True)
class Varied:
    """A field, and what it holds in each frame."""

    place: Place
    values: Values


@dataclass(frozen=True, slots=True)
class Sum:
    """A checksum that must follow the fields: where it is, and by what each field counts in it.

    ``bases`` holds, for each template, the sum of all that does not vary.
    """

    offset: int
    optional: bool
    terms: tuple[tuple[int, int], ...]
    bases: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A flow ready to be sent: its templates in turn, with the fields put in."""

    templates: tuple[bytes, ...]
    fields: tuple[Varied, ...]
    sums: tuple[Sum, ...]

    def frame(self, n: int, now: int) -> bytes:
        """The ``n``-th frame, sent ``now`` (nanoseconds). This is what every sender must send."""
        which = n % len(self.templates)
        if not self.fields:
            return self.templates[which]
        made = bytearray(self.templates[which])
        numbers = [each.values.at(n, now) & each.place.mask for each in self.fields]
        for each, number in zip(self.fields, numbers, strict=True):
            each.place.write(made, number)
        for total in self.sums:
            covered = sum(numbers[index] * weight for index, weight in total.terms)
            checksum = fold(total.bases[which] + covered)
            if total.optional and not checksum:
                checksum = 0xFFFF
            made[total.offset : total.offset + 2] = checksum.to_bytes(2, "big")
        return bytes(made)


class Frames:
    """Frames that are sent in turn, again and again, some of their fields new in each.

    ``frames`` are wire values, bytes from the destination MAC on, or scapy packets. ``vary`` says
    by field what it holds: ``{"ipv4.src": Increment(count=100), "payload[0:8]": SEQUENCE}``; all
    frames must then have these fields at the same places. Checksums that cover a varied field are
    made right, whatever the frame held there. ``share`` is how many of these frames are sent for
    ``share`` of another flow's.
    """

    def __init__(
        self,
        *frames: Sendable,
        vary: Mapping[str, Values] | None = None,
        share: int = 1,
        name: str = "",
    ) -> None:
        if not frames:
            raise PlanError("a flow has no frame")
        if share < 1:
            raise PlanError(f"a flow has a share of {share}, expected 1 at least")
        self.name = name
        self.share = share
        self.compiled = _compile(tuple(_padded(frame) for frame in frames), vary or {})


def _padded(frame: Sendable) -> bytes:
    data = frame.emit(pad=True) if isinstance(frame, EthFrame) else to_bytes(frame)
    return data.ljust(LEAST, b"\0")


def _compile(templates: tuple[bytes, ...], vary: Mapping[str, Values]) -> Compiled:
    if not vary:
        return Compiled(templates, (), ())
    layouts = [lay_out(template) for template in templates]
    fields = []
    for name, values in vary.items():
        place = layouts[0].place(name)
        if any(layout.place(name) != place for layout in layouts):
            raise PlanError(f"field {name} is not at the same place in all frames of the flow")
        if isinstance(values, Increment) and values.start is None:
            values = replace(values, start=place.read(templates[0]))  # noqa: PLW2901 - filled in
        fields.append(Varied(place, values))
    _refuse_overlap(fields)
    places = [each.place for each in fields]
    kinds: dict[tuple[int, bool, tuple[tuple[int, int], ...]], list[int]] = {}
    for template, layout in zip(templates, layouts, strict=True):
        for checksum in layout.checksums:
            weights = [(index, checksum.weight(place)) for index, place in enumerate(places)]
            terms = tuple((index, weight) for index, weight in weights if weight)
            if terms:
                _refuse_checksum(checksum, places)
                kind = (checksum.offset, checksum.optional, terms)
                kinds.setdefault(kind, []).append(_base(template, checksum, places))
    if any(len(bases) != len(templates) for bases in kinds.values()):
        raise PlanError(
            "a varied field is covered by a checksum in some frames of the flow only, or by "
            "another one"
        )
    sums = [Sum(*kind, tuple(bases)) for kind, bases in kinds.items()]
    return Compiled(templates, tuple(fields), tuple(sums))


def _refuse_overlap(fields: Sequence[Varied]) -> None:
    taken: set[int] = set()
    for each in fields:
        span = set(range(each.place.offset, each.place.end))
        if span & taken:
            raise PlanError(f"two varied fields share byte {min(span & taken)} of the frame")
        taken |= span


def _refuse_checksum(checksum: Checksum, places: Sequence[Place]) -> None:
    if any(p.offset < checksum.offset + 2 and checksum.offset < p.end for p in places):
        raise PlanError(
            f"bytes {checksum.offset} and {checksum.offset + 1} are a checksum: it cannot vary "
            "by itself while a field that it covers does"
        )


def _base(template: bytes, checksum: Checksum, places: Sequence[Place]) -> int:
    """The sum of what is covered and does not vary; the checksum's own field counts as zero."""
    still = bytearray(template)
    still[checksum.offset : checksum.offset + 2] = b"\0\0"
    for place in places:
        place.write(still, 0)
    covered = sum(ones_sum(bytes(still[start:end])) for start, end in checksum.spans)
    return covered + checksum.constant


class Blend:
    """Flows in an order in which each has its share, evenly spread: the n-th frame of them all."""

    def __init__(self, flows: Sequence[Frames]) -> None:
        if not flows:
            raise PlanError("a stream has no flow")
        divisor = gcd(*(flow.share for flow in flows))
        self.names = tuple(flow.name or f"flow {at}" for at, flow in enumerate(flows, start=1))
        self.counts = tuple(flow.share // divisor for flow in flows)
        """How many frames each flow has in one period."""
        self.flows = tuple(flow.compiled for flow in flows)
        self.period = sum(self.counts)
        if self.period > LONGEST_PERIOD:
            raise PlanError(
                f"the shares of a stream add up to {self.period}, expected {LONGEST_PERIOD} at most"
            )
        self.order = _spread(self.counts)
        """For each place in the period: the flow, and how many of its frames came before."""

    def locate(self, n: int) -> tuple[int, int]:
        """Which flow the ``n``-th frame belongs to, and its number in that flow."""
        flow, rank = self.order[n % self.period]
        return flow, n // self.period * self.counts[flow] + rank

    def frame(self, n: int, now: int) -> bytes:
        """The ``n``-th frame, sent ``now``."""
        flow, number = self.locate(n)
        return self.flows[flow].frame(number, now)

    def split(self, sent: int) -> tuple[int, ...]:
        """How many of the first ``sent`` frames are of each flow."""
        whole, rest = divmod(sent, self.period)
        counts = [whole * count for count in self.counts]
        for flow, _ in self.order[:rest]:
            counts[flow] += 1
        return tuple(counts)

    @property
    def longest(self) -> int:
        """Bytes of the longest frame."""
        return max(len(each) for flow in self.flows for each in flow.templates)

    @property
    def mean_length(self) -> float:
        """Bytes of a frame, on average."""
        total = sum(
            count * sum(map(len, flow.templates)) / len(flow.templates)
            for count, flow in zip(self.counts, self.flows, strict=True)
        )
        return total / self.period


def _spread(counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Each flow so many times, as far from itself as can be: whoever is most behind is next."""
    if len(counts) == 1:
        return tuple((0, rank) for rank in range(counts[0]))
    total = sum(counts)
    credit = [0] * len(counts)
    ranks = [0] * len(counts)
    order = []
    for _ in range(total):
        credit = [have + count for have, count in zip(credit, counts, strict=True)]
        chosen = max(range(len(counts)), key=lambda flow: (credit[flow], -flow))
        credit[chosen] -= total
        order.append((chosen, ranks[chosen]))
        ranks[chosen] += 1
    return tuple(order)
