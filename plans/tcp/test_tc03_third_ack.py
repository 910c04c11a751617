"""Data, and a FIN, that come with the third ACK of a handshake are accepted at once.

"If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state and continue processing": text and
FIN of that very segment are taken as those of any other (RFC 9293 3.10.7.4, fifth, seventh and
eighth check). A client's bare ACK is lost, or it saves it; what comes first is data, data with the
FIN, or the second of three segments, the first being late. All of it is acked within ``ack_delay``
(seconds, 0.5: RFC 9293 3.8.6.3, MUST-40) without being sent again, and arrives intact.

The same holds where the host keeps no half-open connections but answers SYNs with cookies
(RFC 4987 3.6): but for what is late, for it is the number before the first byte that makes the
cookie good.
"""

import hashlib
from dataclasses import dataclass

import pytest

from testbed import (
    Bench,
    Drop,
    ExpectationFailed,
    Host,
    Nth,
    Reorder,
    StackConfig,
    StackConnection,
    StackHost,
    State,
    TcpFlags,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    match,
    seconds,
    tcpflow,
)

PORT = 5130
DOWN = 2000
SOON = seconds(3)
BARE = match.tcp(flags="ACK", shorter_than=1)
DATA = match.tcp(longer_than=0)


@dataclass(frozen=True)
class Opening:
    """What takes the place of the third ACK."""

    what: str
    size: int
    cookies: bool = False
    late: bool = False
    fin: bool = False

    def __str__(self) -> str:
        return f"{self.what}{', to a cookie' if self.cookies else ''}"


OPENINGS = (
    Opening("data", 300),
    Opening("data and FIN", 300, fin=True),
    Opening("a second segment", 3000, late=True),
    Opening("data", 300, cookies=True),
    Opening("data and FIN", 300, cookies=True, fin=True),
)


@pytest.mark.behaviour("TC-03", clause="RFC 9293 3.10.7.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "dropped",
    faults.python_stack(defects.handshake.DROPS_DATA_OF_THIRD_ACK),
    caught=r"data: the host acked 0 of 300 bytes",
)
@drill(
    "loses the FIN",
    faults.python_stack(defects.handshake.LOSES_FIN_OF_THIRD_ACK),
    caught=r"data and FIN: the host acked 300 of 300 bytes and not the FIN",
)
@drill(
    "resets",
    faults.python_stack(defects.handshake.RESETS_DATA_OF_THIRD_ACK),
    caught=r"data: the host reset the connection",
)
@drill(
    "a filter that wants a bare ACK first",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp dport {PORT}-{PORT + len(OPENINGS)} tcp flags & (syn|ack) == ack meta length > 200"
        " limit rate 1/second burst 1 packets drop",
    ),
    caught=r"the host acked 0 of 300 bytes",
)
def test_data_on_the_third_ack_are_accepted(bench: Bench) -> None:
    # Without these it sends nothing again for a second.
    peer = bench.host("peer", StackConfig.of(tcp={"tlp": False, "rack": False}))
    dut = bench.host("dut")
    for port, opening in enumerate(OPENINGS, PORT):
        dut.set_sysctl("net.ipv4.tcp_syncookies", "2" if opening.cookies else "1")
        dut.tcp_serve(port, send=DOWN, seed=port)
        with bench.capture("peer--dut") as seen:
            connection, data = open_with(peer, port, opening)
            within = seconds(bench.tolerance("ack_delay", 0.5))
            end = len(data) + 1 + opening.fin

            def flow(port: int = port) -> tcpflow.Connection:
                return tcpflow.connection(seen.at("peer--dut").both, server_port=port)

            bench.loop.run_until(
                lambda: highest_ack(flow()) >= end or was_reset(flow()),  # noqa: B023 - used here
                within,
            )
            expect_taken(flow(), opening, len(data), within=format_duration(within))
            if not opening.fin:
                connection.shutdown()
            expect_delivered(dut, port, opening, data)
            connection.receive_all(within=SOON)


def open_with(peer: StackHost, port: int, opening: Opening) -> tuple[StackConnection, bytes]:
    """Connect so that the host sees no ACK before these data; what was sent."""
    data = hashlib.shake_128(b"TC-03").digest(opening.size)
    with peer.outgoing.impaired(Drop(BARE & match.tcp(dst_port=port))):
        connection = peer.open("dut", port)
        connection.wait_for(State.ESTABLISHED, within=SOON)
    late = (Reorder(Nth(1, matching=DATA), 1, overtaken_by=DATA),) if opening.late else ()
    with peer.outgoing.impaired(*late):
        if opening.fin:
            connection.options.cork = True
            connection.apply()
        connection.send(data)
        if opening.fin:
            connection.shutdown()
        peer.flush()
    return connection, data


def highest_ack(flow: tcpflow.Connection) -> int:
    """What the host has acked."""
    return max((segment.ack or 0 for segment in flow.down), default=0)


def was_reset(flow: tcpflow.Connection) -> bool:
    """Whether the host reset the connection."""
    return any(segment.tcp.flags & TcpFlags.RST for segment in flow.down)


def expect_taken(flow: tcpflow.Connection, opening: Opening, size: int, *, within: str) -> None:
    """The host acked all of it, and nothing had to be sent again for that."""
    first = next((each for each in flow.up if not each.tcp.flags & TcpFlags.SYN), None)
    if first is None or not first.payload:
        raise ExpectationFailed(f"{opening}: the host was sent something before it")
    if was_reset(flow):
        raise ExpectationFailed(f"{opening}: the host reset the connection")
    acked, again = highest_ack(flow), tcpflow.retransmissions(flow.up)
    if acked < size + 1 + opening.fin:
        missing = " and not the FIN" if acked == size + 1 else ""
        raise ExpectationFailed(
            f"{opening}: the host acked {max(0, acked - 1)} of {size} bytes{missing} within "
            f"{within}, expected all"
        )
    if again:
        raise ExpectationFailed(
            f"{opening}: {again[0].segment.seq}..{again[0].segment.end} had to be sent again"
        )


def expect_delivered(dut: Host, port: int, opening: Opening, data: bytes) -> None:
    """The host's service was given these data, and their end."""
    received = dut.tcp_result("server", port, within=SOON)[1]
    if (received.error, received.sha256) != (None, hashlib.sha256(data).hexdigest()):
        raise ExpectationFailed(
            f"{opening}: {dut.name} received {received.octets} bytes"
            f"{f' and {received.error}' if received.error else ''}, the peer sent {len(data)}"
        )
