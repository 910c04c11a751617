"""Refusals as the ``OSError`` that Linux would raise."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.stack.lower import NoRoute
from testbed.stack.refusals import Refused

__all__ = ["failure", "number_of", "translated"]

_TEXTS = {
    "EACCES": "Permission denied",
    "EADDRINUSE": "Address already in use",
    "EADDRNOTAVAIL": "Cannot assign requested address",
    "EAGAIN": "Resource temporarily unavailable",
    "EALREADY": "Operation already in progress",
    "EBADF": "Bad file descriptor",
    "ECONNABORTED": "Software caused connection abort",
    "ECONNREFUSED": "Connection refused",
    "ECONNRESET": "Connection reset by peer",
    "EDESTADDRREQ": "Destination address required",
    "EHOSTUNREACH": "No route to host",
    "EINPROGRESS": "Operation now in progress",
    "EINVAL": "Invalid argument",
    "EISCONN": "Transport endpoint is already connected",
    "EMSGSIZE": "Message too long",
    "ENETUNREACH": "Network is unreachable",
    "ENOPROTOOPT": "Protocol not available",
    "ENOTCONN": "Transport endpoint is not connected",
    "EOPNOTSUPP": "Operation not supported",
    "EPIPE": "Broken pipe",
    "EPROTONOSUPPORT": "Protocol not supported",
    "EPROTOTYPE": "Protocol wrong type for socket",
    "ESOCKTNOSUPPORT": "Socket type not supported",
    "ETIMEDOUT": "Connection timed out",
}


def number_of(name: str) -> int:
    """The number of an errno by its name."""
    number: int = getattr(errno, name)
    return number


def failure(name: str, detail: str = "") -> OSError:
    """The ``OSError`` of an errno name; Python picks the subclass (``BlockingIOError``, ...)."""
    text = _TEXTS.get(name, name)
    return OSError(number_of(name), f"{text} ({detail})" if detail else text)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the stack refuses into what a socket call raises."""
    try:
        yield
    except Refused as refused:
        raise failure(refused.errno_name, str(refused)) from None
    except NoRoute as refused:
        raise failure("ENETUNREACH", str(refused)) from None
