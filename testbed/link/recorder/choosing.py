"""Which recorder runs here, and why not a faster one."""

from __future__ import annotations

from testbed.errors import LinkError, Unsupported
from testbed.link.ebpf import can_load
from testbed.link.netlink import RouteNetlink
from testbed.link.nic import LinkWatch, wait_for_link
from testbed.link.recorder.batch import Engine
from testbed.link.recorder.envelope import heading
from testbed.link.recorder.recorder import Recorder
from testbed.link.recorder.ring3 import RingEngine, can_ring
from testbed.link.recorder.store import FileStore, RollingStore
from testbed.link.recorder.wish import Wish
from testbed.link.recorder.xdp import XdpEngine
from testbed.timing import seconds

__all__ = ["open_recorder", "prospects"]

LINK_WITHIN = seconds(15)
"""How long a link may take to come back: negotiation takes some seconds."""


def open_recorder(
    wish: Wish, interface: str, name: str = "", *, in_kernel: bool = True
) -> Recorder:
    """Begin to record at an interface of this thread's network namespace, in the fastest way.

    ``name`` is what the file calls the interface; ``in_kernel`` False lets no program see its
    frames. Raises LinkError where nothing can record.
    """
    with RouteNetlink() as route:
        if route.link(interface).mac is None:
            raise LinkError(f"{interface} is no Ethernet interface, and nothing else is recorded")
    watch = LinkWatch(interface)
    try:
        engine, why = _open_engine(wish, interface, in_kernel=in_kernel)
        try:
            if watch.downs():  # some drivers take their link down for a program
                wait_for_link(interface, LINK_WITHIN)
                watch.forgive()
            store = RollingStore(wish.keep) if wish.keep else FileStore(wish.path)
            about = f"{interface}, by {engine.name}, {engine.clock}"
            store.write(heading(name or interface, about, wish.snap, str(wish.wanted or "")))
        except BaseException:
            engine.close()
            raise
    except BaseException:
        watch.close()
        raise
    return Recorder(engine, store, wish.limits, watch, why)


def _open_engine(wish: Wish, interface: str, *, in_kernel: bool) -> tuple[Engine, str]:
    why = f"not {XdpEngine.name}: no program was to see the frames"
    if in_kernel:
        try:
            return XdpEngine(wish, interface), "the fastest, and it works here"
        except Unsupported as reason:
            why = f"not {XdpEngine.name}: {reason}"
    return RingEngine(wish, interface), why


def prospects() -> list[tuple[str, bool, str]]:
    """What recorders this machine has, best first: name, whether it works, how or why not."""
    loads = can_load()
    return [(XdpEngine.name, loads.works, loads.why), (RingEngine.name, *can_ring())]
