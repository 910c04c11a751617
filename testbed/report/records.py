"""What a run leaves behind: plain values that become JSON, the HTML report and the closing summary.

The bench fills these; nothing here reads a clock, a device or a capture. Instants are nanoseconds
of the capture clock (``testbed.timing``), on real labs the realtime clock, so that frames, console
lines and changes share one time axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from testbed.report.benchmarks.records import BenchmarkRecord

__all__ = [
    "VERDICTS",
    "ArtifactRecord",
    "BoxEventRecord",
    "BoxRecord",
    "CableRecord",
    "CableState",
    "ChangeRecord",
    "ColumnRecord",
    "ConsoleRecord",
    "DeviceRecord",
    "JudgementRecord",
    "LadderRecord",
    "LadderRowRecord",
    "NicRecord",
    "NoteRecord",
    "PlanRecord",
    "RunRecord",
    "Verdict",
]

Verdict = Literal["pass", "fail", "error", "skip", "drill-caught", "drill-missed"]
"""How a plan ended.

``fail``: the device under test is wrong. ``error``: the rig, or the author, is wrong. ``skip``: the
bench cannot do it. ``drill-caught``: the plan failed on a device made wrong on purpose, as it must;
``drill-missed``: it did not, so the plan is broken.
"""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Every verdict, in the order in which totals are told."""

CableState = Literal["proven", "up", "down", "unproven", "wrong"]
"""``proven``: a tagged frame showed where the cable ends. ``up``: link, not proven by a frame.
``down``: no link. ``unproven``: not looked at. ``wrong``: it ends elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicRecord:
    """A NIC of the controller; ``state`` is free text such as ``up 1000 Mb/s veth``."""

    name: str
    interface: str = ""
    mac: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRecord:
    """An in-line fault box between the controller NICs ``left`` and ``right``."""

    name: str
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A device or host: ``kind`` is ``switch``, ``router``, ``host`` or another word.

    ``transport`` says how it was reached, such as ``ssh, serial``.
    """

    name: str
    platform: str
    kind: str = ""
    version: str = ""
    ports: tuple[str, ...] = ()
    transport: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CableRecord:
    """A cable between two ends such as ``controller:a`` and ``sw1:p1``.

    ``mtu`` is in bytes, None where the file says nothing. ``note`` is what the wire proof found,
    such as ``found on sw1:p3``.
    """

    end_a: str
    end_b: str
    mtu: int | None = None
    state: CableState = "unproven"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementRecord:
    """One expectation of a plan and what became of it.

    ``text`` is the expectation, ``point`` where it was held against the frames, ``verdict`` is
    ``pass``, ``fail`` or another word of the capture package. ``frames`` are the deciding frames'
    numbers in the plan's pcapng, counted from 1. ``details`` are the near misses, one per line;
    ``source`` is the plan's line, as ``file:line``.
    """

    text: str
    point: str = ""
    verdict: str = "pass"
    frames: tuple[int, ...] = ()
    details: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRecord:
    """A vertical line of a ladder: ``key`` is what rows refer to, ``title`` what is shown.

    ``subtitle`` is a second, quieter line, such as the interface or the MAC address.
    """

    key: str
    title: str = ""
    subtitle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRowRecord:
    """One row of a ladder: a frame, or a run of frames, or a remark.

    ``source`` and ``target`` are column keys; equal, or one of them empty, for what was seen at
    one column only. ``kind`` is ``frame``, ``infrastructure`` (barriers, canaries: drawn subdued),
    ``run`` (``count`` alike frames told once) or ``note`` (a remark across the ladder). ``number``
    is the frame's number in the pcapng from 1, 0 for none; ``until`` the time of a run's last
    frame. ``note`` says what is special about a highlighted row.
    """

    time_ns: int
    source: str = ""
    target: str = ""
    label: str = ""
    kind: str = "frame"
    number: int = 0
    highlight: bool = False
    note: str = ""
    count: int = 1
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRecord:
    """A plan's story in packets; ``omitted`` frames are in the pcapng only.

    ``clocks`` are those that stamped the frames, each with the points where it did.
    """

    columns: tuple[ColumnRecord, ...] = ()
    rows: tuple[LadderRowRecord, ...] = ()
    omitted: int = 0
    clocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleRecord:
    """What went over a device's command line: ``direction`` is ``sent``, ``received`` or a word."""

    device: str
    transport: str
    at: int
    direction: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """A change to a device's configuration; ``undone_at`` is None while it stands."""

    device: str
    summary: str
    made_at: int
    undone_at: int | None = None
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxEventRecord:
    """What a fault box did to a frame, or was told to do."""

    at: int
    box: str
    direction: str
    action: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRecord:
    """A remark, at a time.

    ``kind`` is ``note``, or for what a Python stack tells ``stack``, ``resent`` where it sent
    something once more.
    """

    at: int
    text: str
    kind: Literal["note", "stack", "resent"] = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """A file kept as evidence; ``path`` is relative to the report.

    ``frame`` is the number, from 1, of the frame that decided. ``command`` opens the file there;
    where it is empty and the file is a capture, the report writes the command itself.
    """

    path: str
    frame: int | None = None
    command: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """One plan on one bench, once.

    ``title`` is the docstring's first line, ``oracle`` the rest of it; ``behaviour`` an id of the
    catalogue such as ``SW-02``, whose ``family`` is ``SW``; ``clause`` the document that the
    oracle rests on. ``mapping`` tells which device plays each role, ``drill`` the defect that was
    put in, empty on a good device. ``reason`` is the failed expectation, the rig's fault or the
    skip's reason, ``details`` its near misses, one per line. ``started`` is an instant,
    ``duration`` in nanoseconds, ``attempt`` counts from 1.
    """

    nodeid: str
    verdict: Verdict
    title: str = ""
    oracle: str = ""
    behaviour: str = ""
    family: str = ""
    clause: str = ""
    topology: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    drill: str = ""
    reason: str = ""
    details: str = ""
    started: int = 0
    duration: int = 0
    attempt: int = 1
    judgements: tuple[JudgementRecord, ...] = ()
    ladder: LadderRecord = field(default_factory=LadderRecord)
    console: tuple[ConsoleRecord, ...] = ()
    changes: tuple[ChangeRecord, ...] = ()
    box_events: tuple[BoxEventRecord, ...] = ()
    notes: tuple[NoteRecord, ...] = ()
    artifacts: tuple[ArtifactRecord, ...] = ()
    benchmarks: tuple[BenchmarkRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A whole run on one bench.

    ``started`` and ``ended`` are nanoseconds of wall time since 1970. ``environment`` holds what
    else is worth keeping about the machine, each a name and a value. ``restored`` is whether every
    device is as it was found; ``restore_notes`` say what is not.
    """

    run_id: str
    bench: str
    lab: str
    started: int
    ended: int
    command: str = ""
    version: str = ""
    python: str = ""
    platform: str = ""
    nics: tuple[NicRecord, ...] = ()
    boxes: tuple[BoxRecord, ...] = ()
    devices: tuple[DeviceRecord, ...] = ()
    cables: tuple[CableRecord, ...] = ()
    plans: tuple[PlanRecord, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    restored: bool = True
    restore_notes: tuple[str, ...] = ()
