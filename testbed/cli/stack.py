"""``testbed stack``: the Python stack on its own, for other programs to drive."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import TextIO

import click

from testbed.stack.sockets.session import Session

__all__ = ["stack"]


@click.group()
def stack() -> None:
    """The Python TCP/IP stack on its own."""


@stack.command()
@click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    help="Serve one driver after the other on this Unix socket, each with a stack of its own.",
)
def serve(path: Path | None) -> None:
    """Let another process drive a stack, with its own clock: one JSON object a line, both ways.

    Time stands still but for "advance"; sockets never block; packets are IP packets (Ethernet
    frames on an interface with a mac) in hex. Requests:

    \b
      {"do": "stack", "seed": 1, "preset": "linux", "config": {"tcp": {"sack": false}}}
      {"do": "interface", "name": "tun0", "mtu": 1500, "mac": null}
      {"do": "address", "interface": "tun0", "address": "10.0.0.1/24"}
      {"do": "route", "to": "0.0.0.0/0", "via": "10.0.0.254"}
      {"do": "link", "interface": "tun0", "up": false}
      {"do": "mtu", "interface": "tun0", "mtu": 576}
      {"do": "advance", "us": 200000}                     timers fire on the way, each at its time
      {"do": "receive", "packet": "4500...", "interface": "tun0"}
      {"do": "socket", "kind": "stream"}                  (or "datagram"); gives a descriptor
      {"do": "call", "fd": 3, "name": "connect", "args": [["10.0.0.2", 80]]}
      {"do": "call", "fd": 3, "name": "send", "args": [{"text": "hello"}, "MSG_MORE"]}
      {"do": "call", "fd": 3, "name": "setsockopt", "args": ["IPPROTO_TCP", "TCP_NODELAY", 1]}
      {"do": "snapshot", "fd": 3}                         the connection; without fd the whole stack
      {"do": "events", "after": 0}                        what happened and why

    Calls: accept, bind, close, connect, fcntl, getpeername, getsockname, getsockopt, listen,
    poll_mask, recv, recvfrom, send, sendto, setsockopt, shutdown, sockatmark. Bytes are
    {"hex": "..."} or {"text": "..."}, constants go by name. config takes the fields of StackConfig,
    times there in nanoseconds. Every answer:

    \b
      {"id": ID OF THE REQUEST, "result": ..., "now_us": 1000000, "timeout_us": 1200000,
       "packets": [{"at_us": 1000000, "interface": "tun0", "packet": "4500..."}]}

    or, in place of result, {"error": {"errno": "EAGAIN", "number": 11, "text": ...}}, or
    {"error": {"usage": ...}} for a request that makes no sense. timeout_us is the next deadline.
    """  # noqa: D301 - \b is click's mark
    if path is None:
        _converse(sys.stdin, sys.stdout)
        return
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        try:
            listener.listen()
            click.echo(f"serving on {path}; Ctrl-C ends it", err=True)
            while True:
                driver, _ = listener.accept()
                with driver, driver.makefile("r") as lines, driver.makefile("w") as answers:
                    _converse(lines, answers)
        finally:
            path.unlink(missing_ok=True)


def _converse(lines: TextIO, answers: TextIO) -> None:
    """Answer line by line until the driver ends."""
    session = Session()
    for line in lines:
        if not line.strip():
            continue
        try:
            request: object = json.loads(line)
        except ValueError as error:
            request = {"do": f"what is no JSON ({error})"}
        try:
            answers.write(json.dumps(session.answer(request)) + "\n")
            answers.flush()
        except BrokenPipeError:
            return
