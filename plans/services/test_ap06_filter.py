"""A balancer keeps out whom its filter names, and requests for paths that it denies.

From a denied source no connection comes to be, and no server hears of it; its neighbours are let
in. A request for a denied path, or one below it, is answered with 403 (RFC 9110 15.5.4) and reaches
no server, however it is written: ``/%61dmin``, ``//admin`` and ``/x/../admin`` are ``/admin`` (RFC
3986 6.2.2), with a query as without, as an absolute target, in pieces, and also as the second
request of a connection (RFC 9112 9.3). Other paths pass, even ``/administration``.

Clients and servers are Python stacks. A connection may take ``balancer_connect`` (seconds, 5).
"""

from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed import (
    Bench,
    Duration,
    ExpectationFailed,
    StackConfig,
    StackConnection,
    StackHost,
    StackListener,
    State,
    Topology,
    match,
    seconds,
)

PORT, BEHIND = 80, 8080
DENIED = (
    "/admin",
    "/admin/",
    "/admin/users?name=x",
    "/%61dmin",
    "//admin",
    "/public/../admin",
    "/./admin/../admin/x",
    "http://dut.test/admin",
    "/admin?x",
)
PASSED = ("/", "/administration", "/public/admin", "/x?path=/admin")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

AP06 = pytest.mark.behaviour("AP-06")
PAIR = pytest.mark.topology(Topology.star("dut:balancer", "client", "one"))


def balanced(bench: Bench) -> tuple[StackHost, StackListener, IPv4Address]:
    """A balancer before one server; the client, the server, and the address to connect to."""
    net = bench.bring_up_network()
    bench.balancer("dut").serve_balanced(PORT, [(net["one"].ip, BEHIND)])
    client, one = bench.host("client", StackConfig()), bench.host("one", StackConfig())
    return client, one.listen(BEHIND), net.at("dut", "client--dut").ip


def within(bench: Bench) -> Duration:
    """How long a connection may take."""
    return seconds(bench.tolerance("balancer_connect", 5))


@AP06
@PAIR
def test_denied_sources_are_kept_out(bench: Bench) -> None:
    client, one, to = balanced(bench)
    network: IPv4Network = bench.bring_up_network()["client"].address.network
    denied, neighbour = network[78], network[79]
    for each in (denied, neighbour):
        client.add_address(f"{each}/24")
    bench.balancer("dut").deny_source(IPv4Network(denied))
    with bench.capture("client--dut") as seen:
        refused = client.open(to, PORT, source=denied)
        bench.watch_for(within(bench))
        if refused.state not in (State.SYN_SENT, State.CLOSED) or one.tcp.readable:
            raise ExpectationFailed(f"dut: a connection from {denied}, which is denied, came to be")
        for source in (client.address, neighbour):
            client.connect(to, PORT, source=source, within=within(bench))
            one.accept(within=within(bench))
        seen.settle()
    seen.at("client--dut").expect_none(match.ipv4(src=to, dst=denied) & match.tcp(flags="SYN+ACK"))


def request(target: str, mark: str) -> bytes:
    """A request that can be told from others on the wire."""
    return f"GET {target} HTTP/1.1\r\nHost: dut.test\r\nX-Mark: {mark}\r\n\r\n".encode()


def status(connection: StackConnection, bench: Bench) -> bytes:
    """The status of an answer."""
    return connection.receive(12, within=within(bench))[9:]


@AP06
@PAIR
def test_denied_paths_reach_no_server(bench: Bench) -> None:
    client, one, to = balanced(bench)
    bench.balancer("dut").deny_path("/admin")
    with bench.capture("one--dut") as seen:
        for number, target in enumerate(DENIED):
            connection = client.connect(to, PORT, within=within(bench))
            data = request(target, f"denied-{number}")
            connection.send(data[:9])
            connection.send(data[9:])
            expect_refused(status(connection, bench), target)
            connection.abort()
        seen.settle()
    seen.at("one--dut").expect_none(match.containing(b"X-Mark: denied-"))
    if one.tcp.readable:
        raise ExpectationFailed("dut: it connected to a server for a request that it denies")


@AP06
@PAIR
def test_other_paths_pass(bench: Bench) -> None:
    client, one, to = balanced(bench)
    bench.balancer("dut").deny_path("/admin")
    for target in PASSED:
        connection = client.connect(to, PORT, within=within(bench))
        sent = request(target, "passed")
        connection.send(sent)
        server = one.accept(within=within(bench))
        if (got := server.receive(len(sent), within=within(bench))) != sent:
            raise ExpectationFailed(f"dut: the request for {target} came to the server as {got!r}")
        server.send(ANSWER)
        if (got := connection.receive(len(ANSWER), within=within(bench))) != ANSWER:
            raise ExpectationFailed(f"dut: the answer for {target} came to the client as {got!r}")
        connection.abort()


@AP06
@PAIR
def test_second_requests_are_looked_at_too(bench: Bench) -> None:
    client, one, to = balanced(bench)
    bench.balancer("dut").deny_path("/admin")
    with bench.capture("one--dut") as seen:
        connection = client.connect(to, PORT, within=within(bench))
        first = request("/", "first")
        connection.send(first)
        server = one.accept(within=within(bench))
        server.receive(len(first), within=within(bench))
        server.send(ANSWER)
        connection.receive(len(ANSWER), within=within(bench))
        connection.send(request("/admin", "denied-second"))
        if server.receive_all(within=within(bench)):
            raise ExpectationFailed("dut: the server got more than the first request")
        server.close()
        expect_refused(status(connection, bench), "/admin, the second of its connection")
        seen.settle()
    seen.at("one--dut").expect_none(match.containing(b"X-Mark: denied-"))


def expect_refused(got: bytes, target: str) -> None:
    """The request was answered with 403."""
    if got != b"403":
        raise ExpectationFailed(
            f"dut: the request for {target} was answered with {got.decode('latin-1')!r}, "
            "expected 403"
        )
