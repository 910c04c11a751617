"""Which sender runs here, and why not a faster one."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.errors import Unsupported
from testbed.link.ebpf import can_run_live
from testbed.link.streams.job import Job, Outlet
from testbed.link.streams.packets import PacketSender, can_send
from testbed.link.streams.segments import SegmentSender, can_segment
from testbed.link.streams.xdp import XdpSender

__all__ = ["Choice", "choose", "prospects"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The sender of a job, and the reason why it is this one."""

    sender: XdpSender | SegmentSender | PacketSender
    why: str


def choose(job: Job, interface: str, *, captured: bool = False) -> Choice:
    """The fastest sender that can do the job at an interface of this thread's namespace.

    ``captured``: captures on this machine are to see the frames. Raises LinkError where nothing
    can: there is no such interface, or a frame is too long for it.
    """
    outlet = Outlet.find(interface)
    outlet.require_fit(job.blend)
    if captured:
        reason = "captures on this machine are to see the frames"
        return Choice(PacketSender(job, outlet, captured=True), reason)
    try:
        return Choice(XdpSender(job, outlet), "the fastest, and it works here")
    except Unsupported as reason:
        why = f"not {XdpSender.name}: {reason}"
    try:
        return Choice(SegmentSender(job, outlet), why)
    except Unsupported as reason:
        why += f"; not {SegmentSender.name}: {reason}"
    return Choice(PacketSender(job, outlet), why)


def prospects() -> list[tuple[str, bool, str]]:
    """What senders this machine has, best first: name, whether it works, how or why not.

    The veths of the virtual lab take no XDP frames, as their far ends have GRO off. With GRO on
    they would show devices TCP segments that were merged on the way, and every stream, however
    slow, would keep a CPU busy that the devices need.
    """
    live = can_run_live()
    why = (
        f"{live.why}; not in the virtual lab, whose devices need the CPU"
        if live.works
        else live.why
    )
    return [
        (XdpSender.name, live.works, why),
        (SegmentSender.name, *can_segment()),
        (PacketSender.name, *can_send()),
    ]
