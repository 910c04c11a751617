"""RST ends a connection if its number is the one expected; URG tells of urgent bytes, PSH of ends.

A reset whose number is RCV.NXT ends the connection, with or without ACK, with or without text: the
host's service is told ECONNRESET, and what comes later is answered by a reset. One that lies in
the window, up to its last byte, but is not exact is answered by a challenge ACK,
<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, and one outside the window by nothing; the connection goes on
after either (RFC 5961 3.2, RFC 9293 3.10.7.4). In SYN-SENT a reset counts if it acknowledges the
SYN, and not otherwise (3.10.7.3). Hosts that limit how often they challenge one connection (RFC
5961 7, Linux: ``net.ipv4.tcp_invalid_ratelimit``) are told not to.

The urgent pointer is one past the last urgent byte (RFC 9293 3.1, 3.8.5, RFC 6093 3.1): the host's
service reads the urgent byte out of band and the others in order, and what it sends as urgent is
pointed at so.

PSH is set on the last segment of what is sent (RFC 9293 3.9.1.2, MUST-61), and no receiver waits
for it: data without PSH are given to the user, or a small window would close for good.
"""

import hashlib
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Capture,
    Ending,
    EthFrame,
    ExpectationFailed,
    Flow,
    Hold,
    Host,
    IPv4Packet,
    Modify,
    StackConfig,
    StackConnection,
    StackHost,
    TcpFlags,
    TcpSegment,
    Topology,
    TracedFrame,
    compose,
    defects,
    dissect,
    drill,
    faults,
    match,
    seconds,
    tcpflow,
)

LIVES, REFUSED, CALLED, URGENT, URGES, PUSHES, UNPUSHED = range(5190, 5197)
ENDS = range(5200, 5203)
SOON = seconds(3)
MODULUS = 1 << 32
FAR = 100_000
"""How far beyond the window a reset is."""
TEXT = bytes(range(200))
URGENT_AT = 120
SIZE, MUCH, BUFFER = 5000, 40_000, 4096
ENDINGS = (
    ("", TcpFlags.RST, b""),
    (", with ACK,", TcpFlags.RST | TcpFlags.ACK, b""),
    (", with text,", TcpFlags.RST, b"because I say so"),
)


@pytest.mark.behaviour("TC-09", clause="RFC 5961 3.2, RFC 9293 3.10.7")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "any RST kills",
    faults.python_stack(defects.segments.ANY_RST_KILLS),
    caught=r"a RST of RCV.NXT \+ \d+ ended the connection",
)
@drill(
    "a RST from anywhere kills",
    faults.python_stack(defects.segments.RST_ANYWHERE_KILLS),
    caught=r"a RST (before|\d+ bytes beyond) the window ended the connection",
)
@drill(
    "no challenge ACK",
    faults.python_stack(defects.segments.NO_CHALLENGE),
    caught=r"a RST of RCV.NXT \+ \d+ was not answered by a challenge ACK",
)
@drill(
    "believes a RST at the window's end",
    faults.python_stack(defects.segments.BELIEVES_AT_THE_END),
    caught=r"a RST of RCV.NXT \+ \d{5,} ended the connection",
)
@drill(
    "takes no RST",
    faults.nft("type filter hook input priority 0;", "tcp flags & (rst|fin) == rst drop"),
    caught=r"was not answered by a challenge ACK",
)
@drill(
    "takes no RST with ACK",
    faults.nft("type filter hook input priority 0;", "tcp flags == (rst|ack) drop"),
    caught=r"a RST of RCV.NXT, with ACK, did not end the connection",
)
@drill(
    "refused by any RST",
    faults.python_stack(defects.segments.ANY_RST_REFUSES),
    caught=r"nobody connected to port 5192",
)
def test_only_a_believable_reset_ends_a_connection(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_invalid_ratelimit", "0")
    with bench.capture("peer--dut") as seen:
        dut.tcp_serve(LIVES)
        lives = peer.connect("dut", LIVES)
        for beyond in (False, True):
            expect_nothing(seen, lives, beyond=beyond)
        for distance in (1, 20_000):
            expect_challenge(bench, seen, lives, distance)
        expect_challenge(bench, seen, lives, lives.snapshot().snd_wnd - 1)
        lives.shutdown()
        lives.receive_all(within=SOON)
        for port, (what, flags, text) in zip(ENDS, ENDINGS, strict=True):
            dut.tcp_serve(port, flow=Flow(ending=Ending.HOLD))
            ends = peer.connect("dut", port)
            ends.steer.send(flags, text)
            expect_ended(bench, seen, dut, ends, what)
        expect_refusals(bench, seen, peer, dut)


def expect_challenge(bench: Bench, seen: Capture, c: StackConnection, distance: int) -> None:
    """A reset in the window that is not exact is answered, and ends nothing."""
    before, now = len(answers(seen, c)), c.snapshot()
    what = f"a RST of RCV.NXT + {distance}"
    c.steer.send(TcpFlags.RST, seq=(now.snd_nxt + distance) % MODULUS)
    bench.loop.run_until(lambda: len(answers(seen, c)) > before, SOON)
    came = answers(seen, c)[before:]
    expect_alive(c, what)
    if not came:
        raise ExpectationFailed(f"peer--dut: {what} was not answered by a challenge ACK")
    segment = segment_in(came[0])
    if (segment.flags, segment.seq, segment.ack) != (TcpFlags.ACK, now.rcv_nxt, now.snd_nxt):
        raise ExpectationFailed(
            f"peer--dut: {what} was answered by {segment.flags.name} {segment.seq}, ack "
            f"{segment.ack}, expected ACK {now.rcv_nxt}, ack {now.snd_nxt}"
        )


def expect_nothing(seen: Capture, c: StackConnection, *, beyond: bool) -> None:
    """A reset outside the window is not answered, and ends nothing."""
    before, now = len(answers(seen, c)), c.snapshot()
    what = f"a RST {FAR} bytes beyond the window" if beyond else "a RST before the window"
    c.steer.send(TcpFlags.RST, seq=(now.snd_nxt + (now.snd_wnd + FAR if beyond else -1)) % MODULUS)
    seen.settle()
    came = len(answers(seen, c)) - before
    expect_alive(c, what)
    if came:
        raise ExpectationFailed(f"peer--dut: {what} was answered, expected silence")


def expect_alive(c: StackConnection, what: str) -> None:
    """The connection still acknowledges data."""
    c.send(b"still there?")
    c.host.run_until(lambda: bool(c.error) or not c.snapshot().flight, SOON)
    if c.error:
        raise ExpectationFailed(f"peer--dut: {what} ended the connection")
    if c.snapshot().flight:
        raise ExpectationFailed(f"peer--dut: after {what} data were not acknowledged")


def expect_ended(bench: Bench, seen: Capture, dut: Host, c: StackConnection, what: str) -> None:
    """The reset was believed: the service was told, and there is no connection any more."""
    c.send(b"still there?")
    bench.loop.run_until(lambda: bool(answers(seen, c)[1:]), SOON)
    heard = [segment_in(frame) for frame in answers(seen, c)[1:]]  # but for the SYN+ACK
    if not heard or not all(segment.flags & TcpFlags.RST for segment in heard):
        raise ExpectationFailed(
            f"peer--dut: a RST of RCV.NXT{what} did not end the connection: data after it were "
            f"answered by {heard[0].flags.name if heard else 'nothing'}, expected RST"
        )
    errors = {each.error for each in dut.tcp_result("server", c.remote[1], within=SOON)}
    if "ECONNRESET" not in errors:
        raise ExpectationFailed(
            f"{dut.name}: a RST of RCV.NXT{what} ended the connection and the service was not "
            f"told: its result is {errors}, expected ECONNRESET"
        )


def expect_refusals(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """In SYN-SENT only a reset that acknowledges the SYN counts."""
    listener, hold = peer.listen(CALLED), Hold("queue")
    with peer.incoming.impaired(hold):
        dut.tcp_connect(str(peer.address), CALLED, send=0)
        syn = segment_in(seen.wait_for("peer--dut", match.tcp(dst_port=CALLED, flags="SYN")))
        bare = TcpSegment(CALLED, syn.src_port, 0, flags=TcpFlags.RST)
        wrong = replace(bare, ack=(syn.seq + FAR) % MODULUS, flags=TcpFlags.RST | TcpFlags.ACK)
        outer, net = bench.nic("peer"), bench.bring_up_network()
        for segment in (bare, wrong):
            packet = IPv4Packet(net["peer"].ip, net["dut"].ip)
            outer.inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), packet, segment))
        seen.settle()
        hold.release()
        listener.accept(within=SOON).close()
    dut.tcp_connect(str(peer.address), REFUSED, send=0)
    errors = {each.error for each in dut.tcp_result("client", REFUSED, within=SOON)}
    if errors != {"ECONNREFUSED"}:
        raise ExpectationFailed(
            f"{dut.name}: a reset that acknowledges its SYN ended in {errors}, "
            f"expected ECONNREFUSED"
        )


@pytest.mark.behaviour("TC-09", clause="RFC 9293 3.8.5, RFC 6093 3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "URG ignored",
    faults.python_stack(defects.segments.DROPS_URGENT),
    caught=r"received 200 bytes and b'' out of band",
)
@drill(
    "a normaliser that clears URG",
    faults.nft(
        "type filter hook prerouting priority -300;",
        f"tcp dport {URGENT} tcp flags & urg == urg tcp flags set psh|ack",
    ),
    caught=r"received 200 bytes and b'' out of band",
)
@drill(
    "points at the urgent byte",
    faults.python_stack(defects.segments.POINTS_AT_URGENT),
    caught=r"points at byte 121, expected 122",
)
@drill(
    "sends no URG",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {URGES} tcp flags & urg == urg tcp flags set psh|ack",
    ),
    caught=r"sent an urgent byte without URG",
)
def test_urgent_bytes_are_told_and_heard(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.tcp_serve(URGENT)
    told = peer.connect("dut", URGENT)
    told.send(TEXT[:URGENT_AT])
    told.send(TEXT[URGENT_AT : URGENT_AT + 1], urgent=True)
    told.send(TEXT[URGENT_AT + 1 :])
    told.shutdown()
    told.receive_all(within=SOON)
    received = dut.tcp_result("server", URGENT, within=SOON)[1]
    rest = TEXT[:URGENT_AT] + TEXT[URGENT_AT + 1 :]
    wanted = TEXT[URGENT_AT : URGENT_AT + 1], hashlib.sha256(rest).hexdigest()
    if (received.urgent, received.sha256) != wanted:
        raise ExpectationFailed(
            f"{dut.name}: received {received.octets} bytes and {received.urgent!r} out of band, "
            f"expected {len(rest)} and {wanted[0]!r}"
        )

    with bench.capture("peer--dut") as seen:
        dut.tcp_serve(URGES, send=len(TEXT), seed=URGES, flow=Flow(urgent=URGENT_AT))
        heard = peer.connect("dut", URGES)
        heard.shutdown()
        heard.receive_all(within=SOON)
    down = tcpflow.connection(seen.at("peer--dut").both, server_port=URGES).down
    if tcpflow.payload_stream(down) != stream(len(TEXT), URGES):
        raise ExpectationFailed("peer--dut: the bytes around the urgent one are not those sent")
    pointers = {each.seq + each.tcp.urgent for each in down if each.tcp.flags & TcpFlags.URG}
    if not pointers:
        raise ExpectationFailed("peer--dut: the host sent an urgent byte without URG")
    beyond = 1 + URGENT_AT + 1  # a SYN, what comes before, and the byte itself
    if pointers != {beyond}:
        raise ExpectationFailed(
            f"peer--dut: the urgent pointer points at byte {min(pointers)}, expected {beyond}, one "
            f"past the urgent byte (counted from the SYN's number)"
        )


@pytest.mark.behaviour("TC-09", clause="RFC 9293 3.9.1.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "never pushes",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PUSHES} tcp flags & psh == psh tcp flags set ack",
    ),
    caught="the last segment of 5000 bytes has no PSH",
)
@drill(
    "a filter that drops what is not pushed",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp dport {UNPUSHED} tcp flags & psh != psh meta length > 100 drop",
    ),
    caught=r"data without PSH: ",
)
def test_push_ends_what_is_sent_and_nobody_waits_for_it(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    with bench.capture("peer--dut") as seen:
        dut.tcp_serve(PUSHES, send=SIZE, seed=PUSHES)
        pushed = peer.connect("dut", PUSHES)
        pushed.receive(SIZE, within=SOON)
        pushed.shutdown()
        pushed.receive_all(within=SOON)
    down = tcpflow.connection(seen.at("peer--dut").both, server_port=PUSHES).down
    last = max((each for each in down if each.payload), key=lambda each: each.end)
    if not last.tcp.flags & TcpFlags.PSH:
        raise ExpectationFailed(f"peer--dut: the last segment of {SIZE} bytes has no PSH")

    dut.tcp_serve(UNPUSHED, flow=Flow(receive_buffer=BUFFER))
    unpushed, data = peer.connect("dut", UNPUSHED), stream(MUCH, UNPUSHED)
    with peer.outgoing.impaired(Modify(without_push, what="no PSH")):
        try:
            unpushed.send(data, within=SOON)
            unpushed.shutdown()
            unpushed.receive_all(within=SOON)
        except ExpectationFailed as failure:
            raise ExpectationFailed(f"data without PSH: {failure.summary}") from None
    received = dut.tcp_result("server", UNPUSHED, within=SOON)[1]
    if (received.error, received.sha256) != (None, hashlib.sha256(data).hexdigest()):
        raise ExpectationFailed(
            f"{dut.name}: data without PSH: received {received.octets} bytes of {MUCH}"
        )


def without_push(frame: bytes) -> bytes:
    """The frame, its PSH bit cleared."""
    layers = dissect(frame)
    if layers.eth is None or layers.ipv4 is None or layers.tcp is None:
        return frame
    segment = replace(layers.tcp, flags=TcpFlags(layers.tcp.flags & ~TcpFlags.PSH))
    eth, ipv4 = (replace(layer, payload=b"") for layer in (layers.eth, layers.ipv4))
    return compose(eth, ipv4, segment)


def answers(seen: Capture, c: StackConnection) -> tuple[TracedFrame, ...]:
    """What the host has sent in a connection."""
    return seen.at("peer--dut").all(match.tcp(src_port=c.remote[1], dst_port=c.local[1]))


def stream(size: int, seed: int) -> bytes:
    """What a service sends for ``seed``."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def segment_in(frame: TracedFrame) -> TcpSegment:
    """The segment in a frame that matched as one."""
    segment = dissect(frame.data).tcp
    if segment is None:
        raise ExpectationFailed(f"#{frame.number} is no TCP segment")
    return segment
