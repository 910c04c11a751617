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
    "/ADMIN/../admin",
    "/private",
    "/private/key",
)
RULES = ("/admin", "/private")
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
    denied, others, neighbours = (network[78], network[85]), network[87], (network[79], network[83])
    for each in (*denied, others, *neighbours):
        client.add_address(f"{each}/24")
    bench.balancer("dut").deny_source(IPv4Network(denied[0]))
    bench.balancer("dut").deny_source(IPv4Network(f"{network[84]}/30"))  # 84 to 87
    with bench.capture("client--dut") as seen:
        for source in (*denied, others):
            refused = client.open(to, PORT, source=source)
            bench.watch_for(within(bench))
            if refused.state not in (State.SYN_SENT, State.CLOSED) or one.tcp.readable:
                raise ExpectationFailed(
                    f"dut: a connection from {source}, which is denied, came to be"
                )
            refused.abort()
        for source in (client.address, *neighbours):
            client.connect(to, PORT, source=source, within=within(bench))
            one.accept(within=within(bench))
        seen.settle()
    to_denied = match.ipv4(src=to, dst={*denied, others})
    seen.at("client--dut").expect_none(to_denied & match.tcp(flags="SYN+ACK"))


def request(target: str, mark: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request that can be told from others on the wire."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: dut.test\r\nX-Mark: {mark}\r\n{length}\r\n"
    return head.encode() + body


def status(connection: StackConnection, bench: Bench) -> bytes:
    """The status of an answer."""
    return connection.receive(12, within=within(bench))[9:]


@AP06
@PAIR
def test_denied_paths_reach_no_server(bench: Bench) -> None:
    client, one, to = balanced(bench)
    for path in RULES:
        bench.balancer("dut").deny_path(path)
    asked = [(target, request(target, "denied-GET")) for target in DENIED]
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        body = b"x=1" if method in {"POST", "PUT"} else b""
        asked.append(("/admin", request("/admin", f"denied-{method}", method, body)))
    with bench.capture("one--dut") as seen:
        for target, data in asked:
            connection = client.connect(to, PORT, within=within(bench))
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
@pytest.mark.parametrize("allowed", [1, 3])
def test_later_requests_are_looked_at_too(bench: Bench, allowed: int) -> None:
    """A request that follows others is looked at, also when it comes in one piece with the last."""
    client, one, to = balanced(bench)
    bench.balancer("dut").deny_path("/admin")
    good, bad = request("/", "passed", "POST", b"GET /x HTTP/1.1"), request("/admin", "denied-late")
    for together in (False, True):
        with bench.capture("one--dut") as seen:
            connection = client.connect(to, PORT, within=within(bench))
            server: StackConnection | None = None
            for number in range(1, allowed + 1):
                last = together and number == allowed
                connection.send(good + bad if last else good)
                server = server or one.accept(within=within(bench))
                if (got := server.receive(len(good), within=within(bench))) != good:
                    raise ExpectationFailed(f"dut: request {number} came to the server as {got!r}")
                server.send(ANSWER)
                connection.receive(len(ANSWER), within=within(bench))
            if server is None:
                raise ExpectationFailed("dut: no request came to the server")
            if not together:
                connection.send(bad)
            if server.receive_all(within=within(bench)):
                raise ExpectationFailed("dut: the server got more than the requests that may pass")
            server.close()
            expect_refused(status(connection, bench), f"/admin, number {allowed + 1} of its line")
            connection.abort()
            seen.settle()
        seen.at("one--dut").expect_none(match.containing(b"X-Mark: denied-"))


def expect_refused(got: bytes, target: str) -> None:
    """The request was answered with 403."""
    if got != b"403":
        raise ExpectationFailed(
            f"dut: the request for {target} was answered with {got.decode('latin-1')!r}, "
            "expected 403"
        )
