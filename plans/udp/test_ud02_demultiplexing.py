"""A datagram goes to the one socket that it is for, and where there is none, its sender is told.

Which socket that is, addresses, ports and the protocol say together: two services, asked from two
addresses and two ports each, answer every question to where it came from (RFC 768). A socket that
speaks with one peer hears nobody else. The ports of TCP and UDP are two sets of numbers: TCP and
UDP services of one number do not meet, and where only the other protocol listens nobody does: a
datagram gets ICMP 3/3 that quotes it (RFC 1122 4.1.3.1), a SYN gets a reset (RFC 9293 3.5.2).

A port that the host chooses itself is one of the dynamic ports (RFC 6335 6), ``ephemeral_low`` to
``ephemeral_high`` (32768 and 65535: IANA's begin at 49152, Linux's are 32768 to 60999), and not
always the same (RFC 6056).
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    ExpectationFailed,
    Host,
    StackConfig,
    StackHost,
    State,
    Topology,
    defects,
    dissect,
    drill,
    faults,
    match,
    seconds,
)

POINT = "peer--dut"
BOTH, UDP_ONLY, TCP_ONLY, CLOSED = 5321, 5322, 5323, 5329
ASKED, SOURCES, SINK = 5330, (5331, 5332), 5339
SECOND = IPv4Address("198.18.0.50")
SOON = seconds(3)


@pytest.mark.behaviour("UD-02", clause="RFC 768, RFC 1122 4.1.3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "crosses protocols",
    faults.python_stack(defects.udp.CROSSES_PROTOCOLS),
    caught=r"port 5323.*icmpv4.*did not come",
)
@drill(
    "hears anybody",
    faults.python_stack(defects.udp.HEARS_ANYBODY),
    caught="asked 198.18.0.10 port 5330, and heard b'forged",
)
@drill(
    "says nothing of closed ports",
    faults.nft("type filter hook output priority 0;", "icmp type destination-unreachable drop"),
    caught=r"port 5329.*icmpv4.*did not come",
)
@drill(
    "swallows connections to closed ports",
    faults.nft("type filter hook output priority 0;", "tcp flags & rst == rst drop"),
    caught="port 5322: no answer to a SYN",
)
@drill(
    "chooses ports below",
    faults.sysctl("net.ipv4.ip_local_port_range", "2048 4095"),
    caught="source port [234]... was chosen",
)
@drill(
    "answers from one port for all",
    faults.nft("type filter hook output priority 0;", f"udp sport {UDP_ONLY} udp sport set {BOTH}"),
    caught=r"asked .* port 5322.*did not come",
)
def test_a_datagram_finds_its_socket(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.set_sysctl("net.ipv4.icmp_ratelimit", "0")
    peer.add_address(f"{SECOND}/24")
    with bench.capture(POINT) as seen:
        dut.udp_serve(BOTH)
        dut.udp_serve(UDP_ONLY)
        dut.tcp_serve(TCP_ONLY)
        expect_four_tuples(seen, peer)
        expect_refused(seen, peer, CLOSED)
        expect_ports_apart(bench, seen, peer)
        expect_one_peer(bench, seen, peer, dut)
        expect_dynamic_ports(bench, seen, peer, dut)
        seen.settle()


def expect_four_tuples(seen: Capture, peer: StackHost) -> None:
    """Each answer goes back by the way of its question."""
    ways = [
        (address, source, port)
        for address in (peer.address, SECOND)
        for source in SOURCES
        for port in (BOTH, UDP_ONLY)
    ]
    ends = {(address, source) for address, source, _ in ways}
    sockets = {end: peer.udp(end[1], address=end[0]) for end in ends}
    for address, source, port in ways:
        sockets[address, source].send(mark(address, source, port), "dut", port)
    for address, source, port in ways:
        answer = match.ipv4(dst=address) & match.udp(
            src_port=port, dst_port=source, payload=mark(address, source, port)
        )
        try:
            seen.wait_for(POINT, answer, SOON)
        except ExpectationFailed as failure:
            told = f"{POINT}: asked from {address} port {source} to port {port}: {failure.summary}"
            raise ExpectationFailed(told, failure.details) from None
    seen.settle()
    seen.at(POINT).expect_count(match.udp(src_port={BOTH, UDP_ONLY}), len(ways))
    for socket in sockets.values():
        socket.close()


def mark(address: IPv4Address, source: int, port: int) -> bytes:
    """What is asked by one way, and by no other."""
    return f"from {address} {source} to {port}".encode()


def expect_ports_apart(bench: Bench, seen: Capture, peer: StackHost) -> None:
    """TCP and UDP of one number do not meet."""
    transfer = bench.transfer("peer", "dut", port=BOTH, up=20_000, down=20_000)
    socket = peer.udp()
    socket.send(b"beside TCP", "dut", BOTH)
    if socket.receive(within=SOON).payload != b"beside TCP":
        raise ExpectationFailed(f"{POINT}: port {BOTH}: another datagram came back")
    transfer.expect_intact(within=SOON)

    expect_refused(seen, peer, TCP_ONLY)
    made = peer.connect("dut", TCP_ONLY, within=SOON)
    made.close()
    lone = peer.open("dut", UDP_ONLY)
    if not peer.run_until(lambda: lone.error is not None, SOON):
        raise ExpectationFailed(f"{POINT}: port {UDP_ONLY}: no answer to a SYN, expected a reset")
    if lone.error != "ECONNREFUSED" or lone.state is State.ESTABLISHED:
        raise ExpectationFailed(f"{POINT}: port {UDP_ONLY}: {lone.error}, expected a reset")
    socket.send(b"after the SYN", "dut", UDP_ONLY)
    if socket.receive(within=SOON).payload != b"after the SYN":
        raise ExpectationFailed(f"{POINT}: port {UDP_ONLY}: another datagram came back")
    socket.close()


def expect_refused(seen: Capture, peer: StackHost, port: int) -> None:
    """Nobody listens: ICMP 3/3, which quotes the datagram."""
    socket = peer.udp()
    quoted = match.ipv4(src=peer.address) & match.udp(src_port=socket.port, dst_port=port)
    error = match.icmpv4(type=3, code=3, quoting=quoted, bad_checksum=False)
    socket.send(b"is anybody there?", "dut", port)
    try:
        seen.wait_for(POINT, error, SOON)
    except ExpectationFailed as failure:
        told = f"{POINT}: a datagram to port {port}: {failure.summary}"
        raise ExpectationFailed(told, failure.details) from None
    socket.close()


def expect_one_peer(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """Who asks one peer takes no answer from another, though the port is right."""
    asked = peer.udp(ASKED, address=peer.address)
    forgers = (peer.udp(ASKED, address=SECOND), peer.udp(ASKED + 1, address=peer.address))
    target = bench.bring_up_network()["dut"].ip

    def answer(*_: object) -> None:
        question = asked.udp.receive()
        if question is None:
            return
        for number, forger in enumerate(forgers):
            forger.udp.send(b"forged %d" % number, peer.now(), to=(target, question.source_port))
        asked.udp.send(b"true", peer.now(), to=(target, question.source_port))

    asked.udp.on_datagram = answer
    heard = dut.udp_ask(str(peer.address), ASKED, b"well?", within=SOON)
    if heard.payload != b"true":
        raise ExpectationFailed(
            f"dut: asked {peer.address} port {ASKED}, and heard {heard.payload!r} "
            f"({heard.error or 'no error'}), expected b'true'"
        )
    seen.settle()
    seen.at(POINT).sent.expect_count(match.udp(payload={b"forged 0", b"forged 1"}), 2)


def expect_dynamic_ports(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """Ports that the host chooses itself."""
    low = int(bench.tolerance("ephemeral_low", 32768))
    high = int(bench.tolerance("ephemeral_high", 65535))
    listener = peer.listen(ASKED)
    for number in range(4):
        dut.udp_send(str(peer.address), SINK, b"port %d" % number)
    dut.tcp_connect(str(peer.address), ASKED, send=0)
    listener.accept(within=SOON).close()
    seen.settle()
    chosen = [
        udp.src_port
        for frame in seen.at(POINT).expect_count(match.udp(dst_port=SINK), 4)
        if (udp := dissect(frame.data).udp) is not None
    ]
    syn = dissect(seen.at(POINT).expect(match.tcp(flags="SYN", dst_port=ASKED)).data).tcp
    for port in (*chosen, syn.src_port if syn else 0):
        if not low <= port <= high:
            raise ExpectationFailed(
                f"{POINT}: source port {port} was chosen, expected one of {low} to {high}"
            )
    if len(set(chosen)) == 1:
        raise ExpectationFailed(f"{POINT}: source port {chosen[0]} was chosen each time")
