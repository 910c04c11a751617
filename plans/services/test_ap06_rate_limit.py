"""A balancer lets no more new connections in than its limit says, and counts nothing else.

With a limit of 3 new connections in 4 s for each source, 3 of 8 that one client opens at once come
to be; the rest is dropped or refused. Another client has a budget of its own. What goes over a
connection that exists is no new connection: 200 segments pass. When the time is over 3 more come
to be. The servers never see more.

Client and server are Python stacks; the second client is the first one's second address. A
connection may take ``balancer_connect`` (seconds, 5).
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    StackConfig,
    StackConnection,
    StackHost,
    State,
    Topology,
    match,
    milliseconds,
    seconds,
)

PORT, BEHIND = 80, 8080
LIMIT, PER = 3, seconds(4)
TRIES = 8
SHORT = milliseconds(500)

AP06 = pytest.mark.behaviour("AP-06")
PAIR = pytest.mark.topology(Topology.star("dut:balancer", "client", "one"))


def limited(bench: Bench, *, per_source: bool = True) -> tuple[StackHost, IPv4Address]:
    """A balancer with a limit, before one server; the client, and the address to connect to."""
    net = bench.bring_up_network()
    dut = bench.balancer("dut")
    dut.serve_balanced(PORT, [(net["one"].ip, BEHIND)])
    dut.set_rate_limit(LIMIT, PER, per_source=per_source)
    client, one = bench.host("client", StackConfig()), bench.host("one", StackConfig())
    one.listen(BEHIND)
    return client, net.at("dut", "client--dut").ip


def burst(
    bench: Bench, client: StackHost, to: IPv4Address, source: IPv4Address | None = None
) -> list[StackConnection]:
    """Open connections all at once; those that come to be before any is tried again."""
    made = [client.open(to, PORT, source=source) for _ in range(TRIES)]
    bench.watch_for(SHORT)
    done = [each for each in made if each.state is State.ESTABLISHED]
    for each in made:
        if each not in done and each.state is not State.CLOSED:
            each.abort()
    return done


def expect_budget(made: list[StackConnection], who: str) -> None:
    """As many connections came to be as the limit says."""
    if len(made) != LIMIT:
        raise ExpectationFailed(
            f"dut: of {TRIES} connections that {who} opened at once {len(made)} came to be, "
            f"expected {LIMIT}"
        )


def expect_syns(seen: Capture, most: int) -> None:
    """The server has seen no more than so many connections."""
    seen.at("one--dut").expect_count(match.tcp(dst_port=BEHIND, flags="SYN"), range(most + 1))


@AP06
@PAIR
def test_each_source_has_its_budget(bench: Bench) -> None:
    client, to = limited(bench)
    second = bench.bring_up_network()["client"].address.network[77]
    client.add_address(f"{second}/24")
    with bench.capture("one--dut") as seen:
        expect_budget(burst(bench, client, to), "a client")
        expect_budget(burst(bench, client, to, second), "another client")
        bench.watch_for(Duration(PER // 2))
        if early := burst(bench, client, to):
            raise ExpectationFailed(
                f"dut: {len(early)} connections more came to be before the time was over, expected "
                f"none: {LIMIT} is the limit"
            )
        bench.watch_for(PER)
        expect_budget(burst(bench, client, to), "the client, when the time was over,")
        seen.settle()
    expect_syns(seen, 3 * LIMIT)


@AP06
@PAIR
def test_all_sources_share_a_budget_where_it_is_so_set(bench: Bench) -> None:
    client, to = limited(bench, per_source=False)
    second = bench.bring_up_network()["client"].address.network[77]
    client.add_address(f"{second}/24")
    with bench.capture("one--dut") as seen:
        expect_budget(burst(bench, client, to), "a client")
        if late := burst(bench, client, to, second):
            raise ExpectationFailed(
                f"dut: {len(late)} connections more came to be from another source, expected none: "
                f"{LIMIT} in all is the limit"
            )
        seen.settle()
    expect_syns(seen, LIMIT)


@AP06
@PAIR
def test_what_goes_over_a_connection_is_not_limited(bench: Bench) -> None:
    client, to = limited(bench)
    within: Duration = seconds(bench.tolerance("balancer_connect", 5))
    connection = client.connect(to, PORT, within=within)
    for number in range(200):
        connection.send(number.to_bytes(2, "big"))
        bench.watch_for(milliseconds(1))
    connection.wait_until(
        lambda: not connection.tcp.unacked, within=within, what="the last of 200 acknowledgements"
    )
