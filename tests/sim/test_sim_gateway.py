"""The simulated gateway: its translation, its exchanges, and each of its faults."""

from __future__ import annotations

import pytest
from appliance_rig import Rig

from testbed.sim.gateway import SimGateway, defects
from testbed.sim.gateway.requests import BadRequest, Request, RequestReader
from testbed.sim.gateway.translate import Item, Translator
from testbed.stack.entropy import Entropy
from testbed.stack.refusals import Refused
from testbed.stack.tcp.connection import Connection
from testbed.stack.variants import Defect
from testbed.timing import milliseconds, seconds

ALL = [value for value in vars(defects).values() if isinstance(value, Defect)]
TEXT = b"one\r\n\r\n.two\r\n..\r\nthree\r\n"
STUFFED = b"one\r\n\r\n..two\r\n...\r\nthree\r\n.\r\n"
BINARY = bytes(range(256)) * 400 + b"\r\n.\r\nafter"
ERROR = b"3 nothing here\t\terror.host\t1\r\n.\r\n"


class Pair(Rig):
    """A client on p1, an origin on p2."""

    def __init__(self, *found: Defect, listening: bool = True) -> None:
        super().__init__(SimGateway, 2, defects=found)
        self.type("service port 80", f"origin {self.address(2, 2)} 70", "patience 3")
        self.client, self.origin = self.host(1), self.host(2)
        self.gopher = self.origin.tcp.listen(70, self.now) if listening else None

    def ask(self, path: str, method: str = "GET", head: str = "Host: a\r\n") -> Connection:
        mine = self.client.tcp.connect((self.address(1), 80), self.now)
        self.run(milliseconds(50))
        mine.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode(), self.now)
        self.run(milliseconds(100))
        return mine

    def asked(self) -> tuple[bytes | None, Connection | None]:
        """What the origin was asked, and its end of the connection."""
        made = self.gopher.accept(self.now) if self.gopher else None
        return (made.receive(999, self.now) if made else None), made

    def reply(self, theirs: Connection | None, data: bytes) -> None:
        if theirs is None:
            return
        while data:
            data = data[theirs.send(data, self.now) :]
            self.run(milliseconds(50))
        theirs.close(self.now)
        self.run(milliseconds(200))

    def read(self, mine: Connection) -> tuple[str, bytes]:
        """The head of the answer, and its body; it must have ended."""
        data = b""
        for _ in range(200):
            try:
                part = mine.receive(1 << 20, self.now)
            except Refused:
                return "reset", data
            if part == b"":
                mine.close(self.now)
                self.run(milliseconds(100))
                head, _, body = data.partition(b"\r\n\r\n")
                return head.decode(), body
            data += part or b""
            self.run(milliseconds(50))
        return "no end", data

    def fetch(self, path: str, data: bytes, method: str = "GET") -> tuple[str, bytes]:
        mine = self.ask(path, method)
        self.reply(self.asked()[1], data)
        return self.read(mine)


@pytest.mark.parametrize(
    ("target", "item"),
    [
        ("/", Item("1", b"")),
        ("/0/docs/readme", Item("0", b"/docs/readme")),
        ("/9plain", Item("9", b"plain")),
        ("/0/a%20b%C3%A9", Item("0", b"/a b\xc3\xa9")),
        ("/7/find?two%20words", Item("7", b"/find\ttwo words")),
        ("/0/x?y", Item("0", b"/x")),
    ],
)
def test_a_target_is_an_item(target: str, item: Item):
    assert Translator().item(target) == item


@pytest.mark.parametrize("target", ["x", "/0/a%0d%0ab", "/0/a%09b", "/0/a%00", "/7/a?b%0a"])
def test_what_cannot_be_asked_is_refused(target: str):
    with pytest.raises(BadRequest) as caught:
        Translator().item(target)
    assert caught.value.status == 400


def test_a_text_is_as_it_was_written():
    assert Translator().text(STUFFED) == TEXT
    assert Translator().text(STUFFED[:-3]) == TEXT, "the last line may be missing"
    assert Translator().text(b".\r\nmore") == b""
    assert Translator().text(b"no end") == b"no end"


def test_a_menu_is_a_list_of_links():
    menu = b"iHello <you>\t\tx\t1\r\n0About it\t/about it\thost\t70\r\nodd\r\n.\r\n"
    page = Translator().page(Item("1", b""), menu)
    assert page.media.startswith("text/html")
    assert page.body == (
        b"<ul>\n<li>Hello &lt;you&gt;</li>\n"
        b'<li><a href="/0/about%20it">About it</a></li>\n<li>dd</li>\n</ul>\n'
    )


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\n\r\n", 501),
        (b"GET / HTTP/1.0\r\n" + b"x: y\r\n" * 4000, 400),
    ],
)
def test_requests_that_are_none(data: bytes, status: int):
    with pytest.raises(BadRequest) as caught:
        RequestReader().read(data)
    assert caught.value.status == status


def test_a_request_is_read_once_it_is_whole():
    whole = b"HEAD /x HTTP/1.0\r\n\r\n"
    assert RequestReader().read(whole[:-1]) is None
    assert RequestReader().read(whole) == Request("HEAD", "/x")


@pytest.mark.parametrize("size", [0, 1, 1460, 65536, 300_000])
def test_binary_content_comes_through(size: int):
    content = (BINARY * 4)[:size]
    head, body = Pair().fetch("/9/x", content)
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {size}\r\n" in head
    assert body == content


def test_origins_that_fail():
    pair = Pair(listening=False)
    assert pair.read(pair.ask("/9/x"))[0].startswith("HTTP/1.1 502 ")
    pair = Pair()
    mine = pair.ask("/9/x")
    _, theirs = pair.asked()
    assert theirs is not None
    theirs.send(b"half", pair.now)
    pair.run(milliseconds(50))
    theirs.abort(pair.now)
    assert pair.read(mine)[0].startswith("HTTP/1.1 502 ")
    mine = pair.ask("/9/x")
    pair.run(seconds(4))
    assert pair.read(mine)[0].startswith("HTTP/1.1 504 ")
    pair.asked()
    head, body = pair.fetch("/0/x", ERROR)
    assert head.startswith("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n")
    assert body == b" nothing here\r\n"
    pair.type(f"no origin {pair.address(2, 2)} 70")
    assert pair.read(pair.ask("/9/x"))[0].startswith("HTTP/1.1 502 ")
    assert not pair.dut.exchanges


def test_a_client_that_leaves_takes_the_question_back():
    pair = Pair()
    mine = pair.ask("/9/x")
    _, theirs = pair.asked()
    assert theirs is not None
    mine.abort(pair.now)
    pair.run(seconds(1))
    assert not pair.dut.exchanges
    assert theirs.receive(1, pair.now) == b""


def tricks(pair: Pair) -> list[object]:
    """What a tester would do, and what comes of it."""
    found: list[object] = [
        pair.fetch("/9/bin", BINARY),
        pair.fetch("/0/text", STUFFED),
        pair.fetch("/9/bin", b"some content", "HEAD"),
        pair.fetch("/0/gone", ERROR),
    ]
    for path in ("/0/a%20b", "/0/a%0d%0ab"):
        mine = pair.ask(path)
        asked, theirs = pair.asked()
        pair.reply(theirs, b"x\r\n.\r\n")
        found += [asked, pair.read(mine)]
    one, two = pair.ask("/9/1"), pair.ask("/9/2")
    ends = [pair.asked()[1], pair.asked()[1]]
    for number, end in enumerate(ends):
        pair.reply(end, b"number %d" % number)
    found += [pair.read(one), pair.read(two)]
    slow = pair.ask("/9/slow")
    _, theirs = pair.asked()
    pair.run(seconds(1))
    pair.reply(theirs, b"at last")
    found.append(pair.read(slow))
    broken = pair.ask("/9/broken")
    _, theirs = pair.asked()
    if theirs is not None:
        theirs.send(b"half", pair.now)
        pair.run(milliseconds(50))
        theirs.abort(pair.now)
    found.append(pair.read(broken))
    found += [
        pair.fetch("/9/number", b"3 is a number"),
        pair.fetch("/1/menu", b"0One\t/1\th\t70\r\n0Two\t/2\th\t70\r\n.\r\n"),
    ]
    old = pair.ask("/9/caf%E9")
    asked, theirs = pair.asked()
    pair.reply(theirs, b"x")
    found += [asked, pair.read(old)]
    silent = pair.ask("/9/silent")
    pair.run(seconds(5))
    found.append(pair.read(silent)[0])
    return found


@pytest.fixture(scope="module")
def good() -> list[object]:
    return tricks(Pair())


def test_a_good_gateway_does_it_right(good: list[object]):
    assert good[1][1] == TEXT  # type: ignore[index]
    assert good[0][1] == BINARY  # type: ignore[index]
    assert good[4] == b"/a b\r\n"
    assert good[6] is None
    assert good[-1].startswith("HTTP/1.1 504")  # type: ignore[attr-defined]


@pytest.mark.parametrize("defect", ALL, ids=lambda each: each.name)
def test_a_defect_shows(defect: Defect, good: list[object]):
    assert tricks(Pair(defect)) != good


def test_names_and_stories_are_there_once():
    assert len({each.name for each in ALL}) == len(ALL)
    assert all(each.behaviour == "AP-07" and each.story.endswith(".") for each in ALL)


def test_frames_and_bytes_of_nobodys_making_raise_nothing():
    pair = Pair()
    pair.fetch("/9/x", b"content")
    good = [frame.ljust(60, b"\0") for frame in pair.frames(pair.client)]
    entropy = Entropy(5)
    for count in range(2000):
        frame = bytearray(good[count % len(good)])
        for _ in range(entropy.between(1, 5)):
            frame[entropy.between(12, len(frame) - 1)] = entropy.below(256)
        pair.dut.receive(bytes(frame), pair.now, "p1")
    for _ in range(50):
        mine = pair.ask("/9/x", head=entropy.octets(40).decode("latin-1"))
        pair.reply(pair.asked()[1], entropy.octets(200))
        mine.abort(pair.now)
    for _ in range(100):
        Translator().menu(entropy.octets(100))
        Translator().page(Item("0", b""), entropy.octets(100))
