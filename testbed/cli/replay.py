"""``testbed replay``: a capture played at an interface of this machine, without a bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from testbed.cli.exits import Exit
from testbed.errors import UsageError
from testbed.report.progress import SendingBars, rate_text

if TYPE_CHECKING:
    from testbed.bench.reels import Recording
    from testbed.link.replay.packets import PacketPlayer
    from testbed.link.replay.xdp import RingPlayer
    from testbed.link.streams import Pace

__all__ = ["replay"]

LOOK_EVERY = 0.1
"""Seconds between two moves of the bar."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-i", "--interface", required=True, metavar="IF", help="Where the frames leave.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="X times as fast as it was captured. Default: 1.",
)
@click.option("--top-speed", is_flag=True, help="As fast as this machine can.")
@click.option(
    "--pps",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="N frames a second, evenly spaced.",
)
@click.option(
    "--bits-per-second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="N bits a second of whole frames, with their check sequences.",
)
@click.option(
    "--loop",
    "loops",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Play it N times.",
)
@click.option(
    "--longest-gap",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait no longer than that between two frames.",
)
@click.option(
    "--frames",
    metavar="FIRST-LAST",
    help="Only these, by the numbers that Wireshark shows.",
)
@click.option(
    "--only",
    metavar="EXPRESSION",
    help="Only these, as tcpdump describes them (man pcap-filter): 'udp port 53'.",
)
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="OLD=NEW",
    help="Put one MAC address, IPv4 network or port in place of another. May be given several "
    "times.",
)
@click.option("--fix-checksums", is_flag=True, help="Make the checksums of all frames right.")
@click.option("--fill-cut", is_flag=True, help="Fill frames that a snap length cut with zeros.")
@click.option(
    "--captured", is_flag=True, help="Let captures on this machine see them, which is slower."
)
def replay(  # noqa: PLR0917 - click passes each option by name
    file: Path,
    interface: str,
    speed: float | None,
    top_speed: bool,
    pps: float | None,
    bits_per_second: float | None,
    loops: int,
    longest_gap: float | None,
    frames: str | None,
    only: str | None,
    maps: tuple[str, ...],
    fix_checksums: bool,
    fill_cut: bool,
    captured: bool,
) -> None:
    """Play the pcap or pcapng capture FILE at an interface, in its own spacing.

    \b
      testbed replay field.pcapng -i eth1                    as it was captured
      testbed replay field.pcapng -i eth1 --speed 2 --loop 5
      testbed replay field.pcapng -i eth1 --pps 10000
      testbed replay field.pcapng -i eth1 --map 10.1.0.0/16=198.18.0.0/16 --map 80=8080 \\
                     --map eth.dst=02:00:00:00:00:01         checksums are mended

    Every frame leaves once, in its order, and what is told at the end was counted by the
    interface itself. A file that is damaged is played up to the damage, with a warning.

    Exit code 0 when all was sent, 2 for a file that cannot be played, 3 when the interface
    refused or dropped frames, 130 when it was interrupted.
    """  # noqa: D301 - \b is click's mark
    from testbed.bench.reels import Cut, read_recording  # noqa: PLC0415 - numpy is heavy
    from testbed.link.replay.choosing import choose_player  # noqa: PLC0415
    from testbed.timing import seconds  # noqa: PLC0415

    cut = Cut(_range(frames), only, _pairs(maps), fix_checksums, fill_cut)
    timed = not (top_speed or pps or bits_per_second)
    if not timed and (speed is not None or longest_gap is not None):
        raise UsageError("give a speed or a rate, not both")
    if top_speed and (pps or bits_per_second):
        raise UsageError("give --top-speed or a rate, not both")
    recording = read_recording(file, cut, lenient=True)
    reel = recording.reel(
        speed=(speed or 1.0) if timed else None,
        loops=loops,
        longest_gap=None if longest_gap is None else seconds(longest_gap),
    )
    pace = None if timed else _pace(recording, pps, bits_per_second)
    if recording.warning:
        click.echo(f"warning: {recording.warning}", err=True)
    choice = choose_player(reel, pace, interface, captured=captured)
    click.echo(f"sending by {choice.sender.name}: {choice.why}", err=True)
    sys.exit(_play(choice.sender, f"{file.name} -> {interface}", reel.count))


def _play(sender: RingPlayer | PacketPlayer, label: str, total: int) -> Exit:
    from time import monotonic  # noqa: PLC0415

    began = monotonic()
    interrupted = False
    with SendingBars(Console(stderr=True)) as bars:
        try:
            sender.start()
            while not sender.wait(LOOK_EVERY):
                bars.show(sender, label, sender.sent, sender.sent_bytes, total)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sender.stop()
    took = max(monotonic() - began, 1e-9)
    rate = f"{rate_text(sender.sent / took, 'pps')}, "
    rate += rate_text(sender.sent_bytes * 8 / took, "bit/s")
    click.echo(f"{sender.sent} of {total} frames sent in {took:.3f} s ({rate})")
    if sender.lateness:
        click.echo(f"the latest left {sender.lateness / 1000:.1f} us after its time")
    if sender.lost:
        click.echo(f"error: the interface dropped {sender.lost} frames", err=True)
        return Exit.RIG
    return Exit.INTERRUPTED if interrupted else Exit.OK


def _pace(recording: Recording, pps: float | None, bits_per_second: float | None) -> Pace:
    from testbed.link.streams import Pace  # noqa: PLC0415

    mean = float(recording.reel(speed=None).mean_length)
    return Pace.of(mean, pps=pps, bits_per_second=bits_per_second)


def _range(text: str | None) -> range | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        raise UsageError(f"--frames {text}: expected a number, or two, such as 10-20")
    return range(int(first), int(last or first) + 1)


def _pairs(maps: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for each in maps:
        old, equals, new = each.partition("=")
        if not equals:
            raise UsageError(f"--map {each}: expected OLD=NEW")
        pairs[old] = new
    return pairs
