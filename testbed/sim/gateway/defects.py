"""Faults of application gateways."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final
from weakref import WeakKeyDictionary

from testbed.sim.gateway.exchange import Exchange, Fetch
from testbed.sim.gateway.requests import Answers
from testbed.sim.gateway.translate import Item, Page, Translator
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import Instant, after, milliseconds

__all__ = [
    "ANSWERS_HEAD_WITH_A_BODY",
    "ASKS_IN_LINES",
    "CUTS_AT_A_FULL_STOP",
    "FORGETS_TYPES",
    "HANGS",
    "IMPATIENT",
    "KEEPS_CODED_PATHS",
    "KEEPS_DOUBLED_STOPS",
    "KEEPS_THE_LAST_LINE",
    "LOSES_CONTENT",
    "LOSES_EMPTY_LINES",
    "LOSES_LARGE_CONTENT",
    "LOSES_MENU_ITEMS",
    "MANGLES_BINARY",
    "MIXES_REQUESTS",
    "NO_ERRORS",
    "RECODES_SELECTORS",
    "STOPS_AT_FULL_STOPS_IN_BINARY",
    "SUCCEEDS_WITH_PARTS",
    "TAKES_THREE_FOR_AN_ERROR",
    "WRONG_LENGTH",
]

# Content


class _LosesTheEnd(Fetch):
    def reply(self) -> bytes:
        return b"".join(self._parts[:-1]) if len(self._parts) > 1 else super().reply()[:-1]


class _Small(Fetch):
    def reply(self) -> bytes:
        return super().reply()[:65535]


class _SevenBits(Translator):
    __slots__ = ()

    def binary(self, reply: bytes) -> bytes:
        return reply.decode("ascii", "replace").encode("ascii", "replace")


class _TextAlways(Translator):
    __slots__ = ()

    def binary(self, reply: bytes) -> bytes:
        return self.text(reply)


class _NoEmptyLines(Translator):
    __slots__ = ()

    def text(self, reply: bytes) -> bytes:
        lines = super().text(reply).split(b"\r\n")
        return b"".join(line + b"\r\n" for line in lines if line)


class _Stuffed(Translator):
    __slots__ = ()

    def unstuffed(self, line: bytes) -> bytes:
        return line


class _Endless(Translator):
    __slots__ = ()

    def is_last(self, line: bytes) -> bool:
        del line
        return False

    def unstuffed(self, line: bytes) -> bytes:
        return line if line == b"." else super().unstuffed(line)


class _EarlyEnd(Translator):
    __slots__ = ()

    def is_last(self, line: bytes) -> bool:
        return line.startswith(b".")


class _Miscounts(Answers):
    __slots__ = ()

    def length(self, body: bytes) -> int:
        return len(body.replace(b"\r\n", b"\n"))


class _Untyped(Translator):
    __slots__ = ()

    def page(self, item: Item, reply: bytes) -> Page:
        page = super().page(item, reply)
        return replace(page, media="text/html") if page.status == 200 else page


LOSES_CONTENT: Final = Defect(
    "loses content",
    "AP-07",
    "What the origin sends with its last segment is thrown away with the connection.",
    {Fetch: _LosesTheEnd},
)
LOSES_LARGE_CONTENT: Final = Defect(
    "loses what is beyond 64 KB",
    "AP-07",
    "A buffer of fixed size: small pages are fine, and large files end early.",
    {Fetch: _Small},
)
MANGLES_BINARY: Final = Defect(
    "mangles binary content",
    "AP-07",
    "Everything is taken for ASCII text, and pictures are broken.",
    {Translator: _SevenBits},
)
STOPS_AT_FULL_STOPS_IN_BINARY: Final = Defect(
    "takes binary for text",
    "AP-07",
    "A file in which a line is a full stop ends there.",
    {Translator: _TextAlways},
)
LOSES_EMPTY_LINES: Final = Defect(
    "loses empty lines",
    "AP-07",
    "A text's paragraphs run into each other.",
    {Translator: _NoEmptyLines},
)
KEEPS_DOUBLED_STOPS: Final = Defect(
    "keeps doubled full stops",
    "AP-07",
    "Lines that begin with a full stop have two on the other side.",
    {Translator: _Stuffed},
)
KEEPS_THE_LAST_LINE: Final = Defect(
    "takes the end mark for content",
    "AP-07",
    "Every text has one line more, a full stop.",
    {Translator: _Endless},
)
CUTS_AT_A_FULL_STOP: Final = Defect(
    "ends at any line with a full stop",
    "AP-07",
    "A text ends at its first line that begins with a full stop.",
    {Translator: _EarlyEnd},
)
WRONG_LENGTH: Final = Defect(
    "tells a wrong length",
    "AP-07",
    "Content-Length counts lines' ends as one byte, and clients cut the last ones off.",
    {Answers: _Miscounts},
)
FORGETS_TYPES: Final = Defect(
    "calls everything HTML",
    "AP-07",
    "A text is shown as HTML, and what looks like a tag in it is gone.",
    {Translator: _Untyped},
)

# Requests


class _OneForAll(Exchange):
    """Every answer goes to the exchange that asked last."""

    latest: ClassVar[WeakKeyDictionary[Stack, Exchange]] = WeakKeyDictionary()

    def ask(self, item: Item, now: Instant) -> None:
        self.latest[self.context.stack] = self
        super().ask(item, now)

    def heard(self, outcome: bytes | int, now: Instant) -> None:
        whose = self.latest.get(self.context.stack, self)
        Exchange.heard(whose, outcome, now)
        if whose is not self:
            super().heard(outcome, now)


class _Raw(Translator):
    __slots__ = ()

    def decoded(self, text: str) -> bytes:
        return text.encode("latin-1")


class _Careless(Translator):
    __slots__ = ()

    def check(self, selector: bytes) -> None:
        pass


class _BodyAnyway(Answers):
    __slots__ = ()

    def write(self, status: int, media: str, body: bytes, *, with_body: bool) -> bytes:
        del with_body
        return super().write(status, media, body, with_body=True)


MIXES_REQUESTS: Final = Defect(
    "mixes two requests",
    "AP-07",
    "One variable for the request under way: the answer to one client goes to another.",
    {Exchange: _OneForAll},
)
KEEPS_CODED_PATHS: Final = Defect(
    "asks for paths as they are coded",
    "AP-07",
    "A name with a space is asked for as %20, and the origin does not know it.",
    {Translator: _Raw},
)
ASKS_IN_LINES: Final = Defect(
    "passes line ends on",
    "AP-07",
    "A path with %0d%0a in it is two lines to the origin: a request within the request.",
    {Translator: _Careless},
)
ANSWERS_HEAD_WITH_A_BODY: Final = Defect(
    "answers HEAD with a body",
    "AP-07",
    "What a client did not ask for is taken for the beginning of its next answer.",
    {Answers: _BodyAnyway},
)

# Errors


class _Hangs(Fetch):
    def too_late(self, now: Instant) -> None:
        pass


class _Hasty(Fetch):
    def wait(self, now: Instant) -> None:
        super().wait(now)
        self._stack.alarms.set(("fetch", id(self)), after(now, milliseconds(200)), self.too_late)


class _Flattering(Translator):
    __slots__ = ()

    def is_error(self, reply: bytes) -> bool:
        del reply
        return False


class _Content(Fetch):
    def broken(self, now: Instant) -> None:
        self.finish(self.reply(), now)


HANGS: Final = Defect(
    "hangs on a silent origin",
    "AP-07",
    "A client waits for as long as it likes to, as the gateway has no time-out of its own.",
    {Fetch: _Hangs},
)
IMPATIENT: Final = Defect(
    "gives up on a slow origin",
    "AP-07",
    "A time-out made for a fast LAN: an origin that takes a second to think is called dead.",
    {Fetch: _Hasty},
)
NO_ERRORS: Final = Defect(
    "no error translation",
    "AP-07",
    "What is not there is answered with 200 and an error's words, and search engines keep it.",
    {Translator: _Flattering},
)
SUCCEEDS_WITH_PARTS: Final = Defect(
    "passes off a part for the whole",
    "AP-07",
    "The origin breaks off, and what came until then is answered with 200 and kept in caches.",
    {Fetch: _Content},
)


class _ThreeIsAnError(Translator):
    __slots__ = ()

    def is_error(self, reply: bytes) -> bool:
        return reply.startswith(b"3")


class _FirstItem(Translator):
    __slots__ = ()

    def menu(self, reply: bytes) -> bytes:
        return super().menu(reply.partition(b"\r\n")[0])


class _Utf8(Translator):
    __slots__ = ()

    def decoded(self, text: str) -> bytes:
        return super().decoded(text).decode("utf-8", "replace").encode()


TAKES_THREE_FOR_AN_ERROR: Final = Defect(
    "takes what begins with 3 for an error",
    "AP-07",
    "A text that begins with a 3 is not found, and nobody sees why.",
    {Translator: _ThreeIsAnError},
)
LOSES_MENU_ITEMS: Final = Defect(
    "loses a menu's other items",
    "AP-07",
    "A menu is read as one line, and the rest of the server is out of reach.",
    {Translator: _FirstItem},
)
RECODES_SELECTORS: Final = Defect(
    "recodes selectors",
    "AP-07",
    "A selector is taken for UTF-8, and files whose names are older than that are not found.",
    {Translator: _Utf8},
)
