"""A gateway turns HTTP into gopher and back, and what comes through it is what was there.

A path is that of a gopher URL (RFC 4266 2.1): a type, and the selector, coded. The origin gets the
selector, decoded, and the end of the line, nothing else (RFC 1436 2). What it sends until it closes
is the content: of a binary item (type 9) byte for byte, of a text (type 0) its lines up to the one
that is a full stop, those beginning with a full stop without the one that was put before it (RFC
1436 appendix, TextFileEntity). Content-Length is the length of that (RFC 9110 8.6), and answers to
HEAD are without it (9.3.2). Answers to requests that are under way at the same time do not mix.

An error item (type 3) is 404, an origin that refuses or resets 502, one that is silent 504 (RFC
9110 15.5.5, 15.6.3, 15.6.5), and a selector with a line's end in it, which would be a request
within the request, 400: the origin hears nothing of it.

Client and origin are Python stacks. The gateway's patience is set to 4 s. An answer may take
``gateway_answer`` (seconds, 10).
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Duration,
    ExpectationFailed,
    StackConfig,
    StackConnection,
    StackHost,
    StackListener,
    Topology,
    match,
    milliseconds,
    seconds,
)

HTTP, GOPHER = 80, 70
PATIENCE = seconds(4)
BINARY = bytes(range(256)) * 800
TRICKY = b"\r\n.\r\n..\r\n\xff\x00\r\n"
ZEROS = b"3 is a number\t\x00\x00"
"""Looks like an error at its start, and ends in zeros."""
HUGE = bytes(range(255)) * 10_000
LINES = (
    *(b"A text.", b"", b".hidden", b"..", b"", b"", b".", b"<b>tags & all</b>"),
    *(b"\ttab\tand spaces  ", b"caf\xe9 caf\xc3\xa9", b"long " * 1000, b"The end."),
)
TEXT = b"".join(line + b"\r\n" for line in LINES)
STUFFED = b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in LINES)
NAMES = (b"About this server", b"Pictures", b"A note", b"The last item")
MENU = b"".join(b"0%b\t/x\torigin\t70\r\n" % name for name in NAMES) + b".\r\n"
ERROR = b"3'/nothing' does not exist\t\terror.host\t1\r\n.\r\n"

AP07 = pytest.mark.behaviour("AP-07", clause="RFC 1436 2, RFC 9110 15")
PAIR = pytest.mark.topology(Topology.star("dut:gateway", "client", "origin"))


@dataclass
class Answer:
    """An HTTP answer: its status, its fields by names in small letters, its content."""

    status: int
    fields: dict[str, str]
    body: bytes


@dataclass
class Pair:
    """A client and an origin, and the gateway between them."""

    bench: Bench
    client: StackHost
    origin: StackHost
    address: IPv4Address
    gopher: StackListener

    @property
    def within(self) -> Duration:
        """How long an answer may take."""
        return seconds(self.bench.tolerance("gateway_answer", 10))

    def ask(self, path: str, *, method: str = "GET") -> StackConnection:
        """Send a request."""
        connection = self.client.connect(self.address, HTTP, within=self.within)
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: dut.test\r\n\r\n".encode())
        return connection

    def asked(self, selector: bytes) -> StackConnection:
        """Take the gateway's request, which must be for exactly this."""
        connection = self.gopher.accept(within=self.within)
        wanted = selector + b"\r\n"
        got = connection.receive(len(wanted), within=self.within)
        self.bench.watch_for(milliseconds(100))
        got += connection.read() or b""
        if got != wanted:
            raise ExpectationFailed(f"dut: the origin was asked {got!r}, expected {wanted!r}")
        return connection

    def fetch(self, path: str, selector: bytes, reply: bytes, *, method: str = "GET") -> Answer:
        """Ask; have the origin reply, and close; the answer."""
        mine = self.ask(path, method=method)
        theirs = self.asked(selector)
        theirs.send(reply, within=self.within)
        theirs.close()
        return self.answer(mine)

    def answer(self, connection: StackConnection) -> Answer:
        """The answer, until the gateway ends the connection."""
        data = connection.receive_all(within=self.within)
        head, end, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if not end or not first.startswith("HTTP/1.") or not first[9:12].isdecimal():
            raise ExpectationFailed(f"dut: it answered with {data[:60]!r}, which is no HTTP")
        pairs = (line.partition(":")[::2] for line in lines)
        fields = {name.strip().lower(): value.strip() for name, value in pairs}
        return Answer(int(first[9:12]), fields, body)


def pair(bench: Bench) -> Pair:
    """Set all up."""
    net = bench.bring_up_network()
    dut = bench.gateway("dut")
    dut.translate(HTTP, net["origin"].ip, GOPHER)
    dut.set_patience(PATIENCE)
    client, origin = bench.host("client", StackConfig()), bench.host("origin", StackConfig())
    address = net.at("dut", "client--dut").ip
    return Pair(bench, client, origin, address, origin.listen(GOPHER))


def expect(answer: Answer, status: int, body: bytes | None = None) -> None:
    """An answer has this status, and exactly this content, whose length it tells."""
    if answer.status != status:
        raise ExpectationFailed(f"dut: it answered with {answer.status}, expected {status}")
    if body is not None and answer.body != body:
        both = zip(answer.body, body, strict=False)
        at = next((i for i, (a, b) in enumerate(both) if a != b), min(len(answer.body), len(body)))
        raise ExpectationFailed(
            f"dut: {len(answer.body)} bytes of content came, {len(body)} were there; at byte {at} "
            f"{answer.body[at : at + 16]!r}, expected {body[at : at + 16]!r}"
        )
    if body is not None and answer.fields.get("content-length") != str(len(body)):
        raise ExpectationFailed(
            f"dut: Content-Length is {answer.fields.get('content-length')}, expected {len(body)}"
        )


@AP07
@PAIR
@pytest.mark.parametrize("content", [b"", b"x", TRICKY, ZEROS, BINARY, HUGE], ids=len)
def test_binary_content_is_the_same_to_the_byte(bench: Bench, content: bytes) -> None:
    made = pair(bench)
    answer = made.fetch("/9/pub/some%20file", b"/pub/some file", content)
    expect(answer, 200, content)


@AP07
@PAIR
def test_text_is_what_its_author_wrote(bench: Bench) -> None:
    made = pair(bench)
    for end in (b".\r\n", b""):  # RFC 1436 appendix: some servers close without the full stop
        answer = made.fetch("/0/docs/readme", b"/docs/readme", STUFFED + end)
        expect(answer, 200, TEXT)
    media = answer.fields.get("content-type", "")
    if not media.startswith("text/plain"):
        raise ExpectationFailed(f"dut: a text is called {media!r}, expected text/plain")


@AP07
@PAIR
def test_selectors_are_asked_for_to_the_byte(bench: Bench) -> None:
    """What a path stands for is asked for as it is (RFC 3986 2.1): a selector is bytes."""
    made = pair(bench)
    for path, selector in (
        ("/9/A%20Dir/b+c/", b"/A Dir/b+c/"),
        ("/9/caf%E9%2Fx", b"/caf\xe9/x"),
        ("/9/%25%32%30", b"/%20"),
        ("/9no/slash", b"no/slash"),
        ("/7/find?two%20words+x", b"/find\ttwo words+x"),
    ):
        expect(made.fetch(path, selector, b"found" if path[1] == "9" else MENU), 200)


@AP07
@PAIR
def test_a_menu_keeps_its_items(bench: Bench) -> None:
    """A menu is a page that has each item's name, in order."""
    made = pair(bench)
    for path, selector in (("/1/menu", b"/menu"), ("/", b"")):
        body = made.fetch(path, selector, MENU).body
        places = [body.find(name) for name in NAMES]
        if -1 in places or places != sorted(places):
            raise ExpectationFailed(f"dut: of the items {NAMES} of a menu it made {body!r}")


@AP07
@PAIR
def test_an_answer_to_head_has_no_content(bench: Bench) -> None:
    made = pair(bench)
    answer = made.fetch("/9/pub/file", b"/pub/file", BINARY, method="HEAD")
    expect(answer, 200)
    if answer.body or answer.fields.get("content-length") != str(len(BINARY)):
        raise ExpectationFailed(
            f"dut: HEAD was answered with {len(answer.body)} bytes of content and Content-Length "
            f"{answer.fields.get('content-length')}, expected none and {len(BINARY)}"
        )


@AP07
@PAIR
def test_requests_at_the_same_time_do_not_mix(bench: Bench) -> None:
    made = pair(bench)
    names = [f"file-{number}" for number in range(4)]
    clients = [made.ask(f"/9/{name}") for name in names]
    origins = [made.asked(f"/{name}".encode()) for name in names]
    for number in (1, 3, 0, 2):  # neither the first nor the last that was asked comes first
        origins[number].send(f"this is {names[number]} ".encode() * 500)
        origins[number].close()
    for name, client in zip(names, clients, strict=True):
        expect(made.answer(client), 200, f"this is {name} ".encode() * 500)


@AP07
@PAIR
def test_a_slow_origin_is_waited_for(bench: Bench) -> None:
    made = pair(bench)
    mine = made.ask("/9/slow")
    theirs = made.asked(b"/slow")
    for part in (b"one ", b"two ", b"three"):
        bench.watch_for(Duration(PATIENCE * 3 // 4))
        theirs.send(part)
    theirs.close()
    expect(made.answer(mine), 200, b"one two three")


def _silent(made: Pair) -> int:
    mine = made.ask("/9/silent")
    made.asked(b"/silent")
    return made.answer(mine).status


def _reset(made: Pair) -> int:
    mine = made.ask("/9/broken")
    theirs = made.asked(b"/broken")
    theirs.send(b"the first half of it, ")
    made.bench.watch_for(milliseconds(100))
    theirs.abort()
    return made.answer(mine).status


def _refused(made: Pair) -> int:
    made.gopher.close()
    return made.answer(made.ask("/9/closed")).status


def _missing(made: Pair) -> int:
    return made.fetch("/0/nothing", b"/nothing", ERROR).status


@AP07
@PAIR
@pytest.mark.parametrize(
    ("origin", "status"),
    [(_missing, 404), (_refused, 502), (_reset, 502), (_silent, 504)],
    ids=["missing", "refused", "reset", "silent"],
)
def test_errors_are_told_in_the_clients_words(
    bench: Bench, origin: Callable[[Pair], int], status: int
) -> None:
    made = pair(bench)
    if (got := origin(made)) != status:
        raise ExpectationFailed(f"dut: it answered with {got}, expected {status}")


@AP07
@PAIR
def test_no_request_hides_in_another(bench: Bench) -> None:
    made = pair(bench)
    with bench.capture("origin--dut") as seen:
        for path in ("/9/a%0d%0a/b", "/9/a%0A/b", "/9/a%09/b"):
            expect(made.answer(made.ask(path)), 400)
        seen.settle()
    seen.at("origin--dut").expect_none(match.tcp(dst_port=GOPHER))
