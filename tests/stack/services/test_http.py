"""HTTP over real stacks in virtual time: one page to a connection, and what is none."""

from __future__ import annotations

import hashlib
import http.client
import io
from random import Random

import pytest
from pair import Pair

from testbed.link.impair import Chance, Drop
from testbed.stack.services.http import HttpAnswer, HttpFetch, HttpServer
from testbed.stack.tcp.states import State
from testbed.timing import seconds

PAGE = hashlib.shake_128(b"a page").digest(50_000)
PAGES = {"/": b"<p>Hello</p>", "/large": PAGE, "/empty": b""}


class Web:
    def __init__(self, **named) -> None:
        self.pair = Pair(**named)
        self.server = HttpServer.on(self.pair.right, PAGES, self.pair.now)

    def fetch(self, path: str, host: str = "www.example.test") -> HttpFetch:
        to = self.pair.right.interface().addresses[0].ip, 80
        made = HttpFetch.on(self.pair.left, to, host, path, self.pair.now)
        assert self.pair.run_until(lambda: made.done, within=seconds(120))
        return made

    def say(self, request: bytes) -> bytes:
        """What the server answers to these bytes."""
        to = self.pair.right.interface().addresses[0].ip, 80
        connection = self.pair.left.tcp.connect(to, self.pair.now)
        self.pair.run_until(lambda: connection.established, within=seconds(5))
        connection.send(request, self.pair.now)
        got = []

        def over() -> bool:
            while data := connection.receive(0xFFFF, self.pair.now):
                got.append(data)
            return data == b""

        self.pair.run_until(over, within=seconds(5))
        connection.close(self.pair.now)
        return b"".join(got)


class _Socket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self.data)


def as_pythons_own_client_reads(data: bytes) -> HttpAnswer:
    answer = http.client.HTTPResponse(_Socket(data))
    answer.begin()
    body = answer.read()
    assert answer.will_close
    return HttpAnswer(answer.status, {}, body)


@pytest.mark.parametrize(("path", "body"), PAGES.items())
def test_a_page_comes_whole_and_both_sides_close(path, body):
    web = Web()
    fetch = web.fetch(path)
    assert fetch.error is None
    assert fetch.answer is not None
    assert (fetch.answer.status, fetch.answer.body) == (200, body)
    assert fetch.answer.headers["content-length"] == str(len(body))
    web.pair.run(seconds(1))
    assert fetch.connection is not None
    assert fetch.connection.state is State.CLOSED
    assert all(each.state is State.TIME_WAIT for each in web.pair.right.tcp.connections)


def test_pages_come_through_loss():
    web = Web(seed=4)
    web.pair.to_left.impair.add(Drop(Chance(0.1, seed=5)))
    fetch = web.fetch("/large")
    assert fetch.answer is not None
    assert fetch.answer.body == PAGE


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, PAGES["/"]),
        (b"GET / HTTP/1.0\r\n\r\n", 200, PAGES["/"]),
        (b"HEAD / HTTP/1.0\r\n\r\n", 200, b"as long as the page"),
        (b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n", 404, b""),
        (b"GET / HTTP/1.1\r\n\r\n", 400, b""),
        (b"GET /\r\n\r\n", 400, b""),
        (b"\xff\x00\r\n\r\n", 400, b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405, b""),
        (b"x" * 20_000, 400, b""),
    ],
)
def test_the_server_answers_as_http_has_it(request_, status, body):
    data = Web().say(request_)
    if request_.startswith(b"HEAD"):
        assert b"Content-Length: 12\r\n" in data
        assert data.endswith(b"\r\n\r\n")
        return
    read = as_pythons_own_client_reads(data)
    assert (read.status, read.body) == (status, body)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "4 bytes came of 9"),
        (b"SSH-2.0-OpenSSH\r\n", "no answer of HTTP: b'SSH-2.0-OpenSSH\\r\\n'"),
        (b"", "no answer of HTTP: b''"),
        (
            b"HTTP/1.1 \xb2\xb2 OK\r\n\r\n",
            "no answer of HTTP: b'HTTP/1.1 \\xb2\\xb2 OK\\r\\n\\r\\n'",
        ),
    ],
)
def test_a_fetch_says_what_is_wrong_with_an_answer(answer, why, monkeypatch):
    web = Web()
    monkeypatch.setattr(HttpServer, "respond", lambda *_: answer)
    monkeypatch.setattr(HttpServer, "end", lambda _, connection, now: connection.close(now))
    if not answer:
        monkeypatch.setattr(HttpServer, "respond", lambda *_: b" ")
        why = "no answer of HTTP: b' '"
    fetch = web.fetch("/")
    assert fetch.answer is None
    assert fetch.error == why


def test_nobody_at_home_is_an_error_of_the_fetch():
    web = Web()
    web.server.close(web.pair.now)
    fetch = web.fetch("/")
    assert (fetch.answer, fetch.error) == (None, "ECONNREFUSED")


def test_nonsense_harms_neither_side(monkeypatch):
    random = Random(3)  # noqa: S311 - a seed, not a secret
    web = Web()
    for _ in range(100):
        web.say(random.randbytes(random.randint(1, 300)) + b"\r\n\r\n")
    assert web.fetch("/").answer is not None
    for _ in range(100):
        data = b"HTTP/1.1 2" + random.randbytes(random.randint(1, 300))
        monkeypatch.setattr(HttpServer, "respond", lambda *_, data=data: data)
        fetch = web.fetch("/")
        assert fetch.error is not None or fetch.answer is not None
