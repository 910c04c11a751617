"""Which means plays a reel here, and why not a faster one."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from testbed.errors import Unsupported
from testbed.link.replay.packets import PacketPlayer
from testbed.link.replay.reel import Limits, Reel
from testbed.link.replay.xdp import RingPlayer
from testbed.link.streams.job import Outlet
from testbed.link.streams.pace import Pace

__all__ = ["PlayChoice", "choose_player"]


@dataclass(frozen=True, slots=True)
class PlayChoice:
    """What plays the reel, and the reason why it is this."""

    sender: RingPlayer | PacketPlayer
    why: str


def choose_player(
    reel: Reel,
    pace: Pace | None,
    interface: str,
    *,
    captured: bool = False,
    forbidden: tuple[IPv4Network, ...] = (),
) -> PlayChoice:
    """The fastest means for an interface of this thread's namespace.

    Without a ``pace`` frames leave when they are due. ``captured``: captures on this machine are
    to see them. Raises LinkError where there is no such interface or a frame is too long for it,
    PlanError for a frame to a ``forbidden`` network.
    """
    outlet = Outlet.find(interface)
    limits = Limits(interface, outlet.mtu, forbidden)
    if captured:
        why = "captures on this machine are to see the frames"
        return PlayChoice(PacketPlayer(reel, pace, outlet, limits, captured=True), why)
    try:
        sender = RingPlayer(reel, pace, outlet, limits)
    except Unsupported as reason:
        why = f"not {RingPlayer.name}: {reason}"
        return PlayChoice(PacketPlayer(reel, pace, outlet, limits), why)
    return PlayChoice(sender, "the fastest, and it works here")
