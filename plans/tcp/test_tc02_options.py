"""What both SYNs offer is used, what one of them left out is not, what nobody knows is skipped.

A SYN+ACK has no option but the MSS that the SYN did not offer, and agrees to all that the host has
switched on. From then on: no data segment is larger than the peer's MSS, 536 where it told none,
less the options it carries (RFC 9293 3.7.1, RFC 6691), and it tells its own, for which there is
"SHOULD" (SHLD-5); every segment has a timestamp if both SYNs had one, and none otherwise (RFC 7323
3.2), which echoes what came lately (4.3); a hole is reported by SACK if that was permitted, and
not otherwise (RFC 2018 2); windows are scaled if both offered it, those of SYNs never (RFC 7323
2.2): a host with much to send fills the peer's window and not more, and its own window's right edge
does not move back. An option of a kind that nobody knows, in any segment, changes nothing (RFC 9293
3.1, MUST-6). The bytes arrive intact.

The peer offers all, nothing, and each option alone, and both sides have a turn as client.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import partial

import pytest

from testbed import (
    MSS,
    Bench,
    ExpectationFailed,
    Host,
    Modify,
    SackPermitted,
    SocketOptions,
    StackConfig,
    StackConnection,
    TcpFlags,
    Timestamps,
    Topology,
    UnknownOption,
    WindowScale,
    compose,
    defects,
    dissect,
    drill,
    faults,
    milliseconds,
    seconds,
    tcpflow,
)

PORT = 5102
DOWN = 12_000
PEER_MSS, DEFAULT_MSS = 1000, 536  # RFC 9293 3.7.1, MUST-15: 536 where no MSS was told
WINDOW, SHIFT = 4000, 3
STRANGE = UnknownOption(253, b"\x12\x34\x56\x78\x9a\xbc")  # RFC 4727 4: for experiments
HOLE = b"a hole"
SOON = seconds(3)
LATER = milliseconds(20)
"""Enough for the peer's timestamps to have moved on."""
OPTIONS = {"timestamps": Timestamps, "sack": SackPermitted, "scale": WindowScale}


@dataclass(frozen=True)
class Offer:
    """What the peer's SYN or SYN+ACK has."""

    names: frozenset[str]
    mss: int | None = PEER_MSS
    strange: bool = False

    def __str__(self) -> str:
        told = sorted(self.names) + ([f"MSS {self.mss}"] if self.mss else [])
        return f"a peer that offers {', '.join(told) or 'nothing'}"

    @property
    def options(self) -> SocketOptions:
        """The same as settings of a connection."""
        return SocketOptions(
            mss=self.mss or DEFAULT_MSS,
            timestamps="timestamps" in self.names,
            sack="sack" in self.names,
            window_scaling="scale" in self.names,
            window_scale=SHIFT,
            receive_buffer=WINDOW,
        )


EVERYTHING = frozenset(OPTIONS)
OFFERS = (
    Offer(EVERYTHING),
    Offer(EVERYTHING, strange=True),
    Offer(frozenset(), mss=None),
    *(Offer(frozenset({name})) for name in sorted(OPTIONS)),
)


@pytest.mark.behaviour("TC-02", clause="RFC 9293 3.2, RFC 7323 2.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "scales though not agreed",
    faults.python_stack(defects.tcp.SCALES_UNAGREED),
    caught=r"the host .* (window|beyond)",
)
@drill(
    "takes 1460 for granted",
    faults.python_stack(defects.tcp.ASSUMES_1460),
    caught=r"sent \d+ bytes, and the peer has room for 536",
)
@drill(
    "timestamps unasked",
    faults.python_stack(defects.tcp.TIMESTAMPS_UNASKED),
    caught="agreed to Timestamps, which was not offered",
)
@drill(
    "permits SACK unasked",
    faults.python_stack(defects.tcp.SACK_UNASKED),
    caught="agreed to SackPermitted, which was not offered",
)
@drill(
    "chokes on unknown options",
    faults.python_stack(defects.tcp.CHOKES_ON_UNKNOWN_OPTIONS),
    caught="no connection to dut",
)
@drill(
    "does not agree to window scaling",
    faults.sysctl("net.ipv4.tcp_window_scaling", "0"),
    caught="did not agree to WindowScale",
)
@drill(
    "echoes the first timestamp for ever",
    faults.python_stack(defects.streams.ECHOES_THE_FIRST_STAMP),
    caught="echoes the timestamp of the peer's SYN",
)
@drill(
    "tells no MSS",
    faults.python_stack(defects.streams.TELLS_NO_MSS),
    caught="it told no MSS",
)
def test_options_hold_where_both_offered_them(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    for port, offer in enumerate(OFFERS, PORT):
        dressing = Modify(partial(dressed, offer=offer), what="its options changed")
        with bench.capture("peer--dut") as seen, peer.outgoing.impaired(dressing):
            flaw = None
            try:
                dut.tcp_serve(port, send=DOWN, seed=port)
                exchange(bench, peer.connect("dut", port, within=SOON, options=offer.options), port)
                expect_heard(dut, "server", port)
                listener = peer.listen(port, options=offer.options)
                dut.tcp_connect(str(peer.address), port, send=DOWN, seed=port)
                exchange(bench, listener.accept(within=SOON), port)
                expect_heard(dut, "client", port)
            except ExpectationFailed as failure:  # its cause is in the capture, as a rule
                flaw = failure
            seen.settle()
        for flow in tcpflow.connections(seen.at("peer--dut").both):
            judge(flow, offer, server=flow.client.ip == peer.address)
        if flaw is not None:
            raise flaw


def dressed(frame: bytes, offer: Offer) -> bytes:
    """The peer's segment without an MSS where it has none, with an option that nobody knows."""
    layers = dissect(frame)
    if layers.tcp is None or layers.ipv4 is None or layers.eth is None:
        return frame
    kept = layers.tcp.options
    if offer.mss is None:
        kept = tuple(each for each in kept if isinstance(each, Timestamps))
    if offer.strange:
        kept = (STRANGE, *kept)
    segment = dataclasses.replace(layers.tcp, options=kept)
    eth, ipv4 = (dataclasses.replace(layer, payload=b"") for layer in (layers.eth, layers.ipv4))
    return compose(eth, ipv4, segment)


def exchange(bench: Bench, connection: StackConnection, port: int) -> None:
    """Let the host fill the window, show it a hole, then take all it has, and close."""
    connection.wait_until(
        lambda: connection.tcp.unread > WINDOW - PEER_MSS,
        within=SOON,
        what=f"the host's data up to the window of {WINDOW}",
    )
    heard, beyond = connection.snapshot().segments_in, 2
    connection.steer.send(
        TcpFlags.ACK | TcpFlags.PSH, HOLE[beyond:], seq=connection.snapshot().snd_nxt + beyond
    )
    connection.wait_until(
        lambda: connection.snapshot().segments_in > heard,
        within=SOON,
        what="the host's ACK of a segment behind a hole",
    )
    bench.watch_for(LATER)
    connection.send(HOLE)
    if connection.receive(DOWN, within=SOON) != stream(DOWN, port):
        raise ExpectationFailed(f"{connection}: {DOWN} bytes came, but not those that were sent")
    connection.shutdown()
    connection.receive_all(within=SOON)


def expect_heard(dut: Host, role: str, port: int) -> None:
    """The host's service got the few bytes of the peer, in order."""
    received = dut.tcp_result(role, port, within=SOON)[1]
    if (received.error, received.sha256) != (None, hashlib.sha256(HOLE).hexdigest()):
        raise ExpectationFailed(
            f"{dut.name}, {role} of port {port}: received {received.octets} bytes"
            f"{f' and {received.error}' if received.error else ''}, the peer sent {HOLE!r}"
        )


def stream(size: int, seed: int) -> bytes:
    """What a host's service sends for ``seed``."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def judge(flow: tcpflow.Connection, offer: Offer, *, server: bool) -> None:
    """All that the host sent in one connection fits what both SYNs agreed on."""
    mine, theirs = (flow.down, flow.up) if server else (flow.up, flow.down)
    who = f"the host as {'server' if server else 'client'} of {offer}"
    if not mine:
        return  # there is nothing to judge: that it did not answer is told elsewhere
    if wrong := misagreed(mine[0], offer, server=server):
        raise ExpectationFailed(f"{who}: {wrong}")
    for segment in mine[1:]:
        if wrong := misused(segment, offer):
            raise ExpectationFailed(f"{who}: in #{segment.number} {wrong}")
    if wrong := misread_window(mine, theirs, offer) or shrunk_window(mine, offer):
        raise ExpectationFailed(f"{who}: {wrong}")
    if "timestamps" in offer.names and (wrong := misechoed(mine, theirs)):
        raise ExpectationFailed(f"{who}: {wrong}")
    reports = [segment.number for segment in mine if segment.sack]
    if bool(reports) is not ("sack" in offer.names) and len(mine) > 1:
        told = f"SACK blocks in #{reports[0]}" if reports else "no SACK block for a hole"
        raise ExpectationFailed(f"{who}: it sent {told}")


def misagreed(syn: tcpflow.FlowSegment, offer: Offer, *, server: bool) -> str:
    """What the host's SYN or SYN+ACK has too much or too little."""
    present = {type(option) for option in syn.tcp.options}
    for name, option in OPTIONS.items():
        if server and option in present and name not in offer.names:
            return f"it agreed to {option.__name__}, which was not offered"
        if option not in present and (not server or name in offer.names):
            return f"it did not {'agree to' if server else 'offer'} {option.__name__}"
    if not syn.tcp.option(MSS):
        return "it told no MSS"
    return "it answered an option that nobody knows" if UnknownOption in present else ""


def misused(segment: tcpflow.FlowSegment, offer: Offer) -> str:
    """What is wrong with one segment behind the SYNs."""
    if segment.tcp.flags & TcpFlags.RST:
        return "it reset the connection"
    stamped = segment.tcp.option(Timestamps) is not None
    if stamped is not ("timestamps" in offer.names):
        return f"there is {'a' if stamped else 'no'} timestamp"
    room = (offer.mss or DEFAULT_MSS) - (12 if stamped else 0)
    if len(segment.payload) > room:
        return f"it sent {len(segment.payload)} bytes, and the peer has room for {room}"
    return ""


def misechoed(
    mine: tuple[tcpflow.FlowSegment, ...], theirs: tuple[tcpflow.FlowSegment, ...]
) -> str:
    """Where the host still echoes the peer's first timestamp, when it has later ones acked."""
    first, last = theirs[0].tcp.option(Timestamps), mine[-1].tcp.option(Timestamps)
    if first and last and first.value == last.echo and mine[-1].ack == theirs[-1].end:
        return f"it echoes the timestamp of the peer's SYN in its last segment, #{mine[-1].number}"
    return ""


def misread_window(
    mine: tuple[tcpflow.FlowSegment, ...], theirs: tuple[tcpflow.FlowSegment, ...], offer: Offer
) -> str:
    """How the host took the peer's window for more, or for less, than it is."""
    shift = SHIFT if "scale" in offer.names else 0
    edge, nearest = 0, None
    for segment in sorted((*mine, *theirs), key=lambda each: each.number):
        if segment in theirs and segment.ack is not None:
            scale = 0 if segment.tcp.flags & TcpFlags.SYN else shift
            edge = max(edge, segment.ack + (segment.tcp.window << scale))
        elif segment in mine and segment.payload:
            end = segment.seq + len(segment.payload)
            if end > edge:
                return f"it sent up to byte {end} in #{segment.number}, beyond the window's {edge}"
            nearest = edge - end if nearest is None else min(nearest, edge - end)
    if nearest is not None and nearest >= PEER_MSS:
        return f"it kept {nearest} bytes away from the window's edge, with {DOWN} to send"
    return ""


def shrunk_window(mine: tuple[tcpflow.FlowSegment, ...], offer: Offer) -> str:
    """Where the right edge of the host's own window moved back (RFC 9293 3.8.6)."""
    told = mine[0].tcp.option(WindowScale)
    shift = told.shift if told is not None and "scale" in offer.names else 0
    edge = 0
    for segment in mine:
        if segment.ack is None or segment.tcp.flags & TcpFlags.RST:
            continue
        scale = 0 if segment.tcp.flags & TcpFlags.SYN else shift
        right = segment.ack + (segment.tcp.window << scale)
        if right < edge:
            return f"its window ends at {right} in #{segment.number}, it had told {edge}"
        edge = right
    return ""
