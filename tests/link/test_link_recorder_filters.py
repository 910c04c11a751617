"""Filters of recordings: by definition, by numpy, by the kernel, and by tcpdump, the same."""

import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import RawPcapReader, wrpcap

from testbed.errors import PlanError, Unsupported
from testbed.link.ebpf import Program, SharedArray, XdpAction, can_load
from testbed.link.recorder import Classic, Wish, accepts, as_filter
from testbed.link.recorder.classic import ALU, JUMPS, Code, compile_expression
from testbed.link.recorder.program import ENTRY, STATE, TAIL, Layout, recording
from testbed.link.recorder.sift import sift

needs_bpf = pytest.mark.skipif(not can_load().works, reason=can_load().why)
needs_tcpdump = pytest.mark.skipif(not shutil.which("tcpdump"), reason="tcpdump is not installed")

EXPRESSIONS = (
    "arp",
    "ip",
    "ip6",
    "udp port 53",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "host 10.0.0.1 and not icmp",
    "net 10.0.0.0/24 or vlan 5",
    "vlan and udp dst port 2000",
    "ether dst 02:00:00:00:00:0b",
    "ether broadcast or ether multicast",
    "ip[8] < 5",
    "ip and (ip[2:2] - ((ip[0] & 0xf) << 2)) > 40",
    "ip proto 17 and ip[6:2] & 0x1fff = 0",
    "len > 90 and len <= 600",
    "ether[20:4] = 0x0a000001 or ether[0] & 1 != 0",
    "tcp src portrange 80-443",
    "greater 1000",
)


def made(count: int = 300, seed: int = 3) -> list[bytes]:
    """Frames of many kinds, some cut short, each with its number at the end."""
    chance = random.Random(seed)  # noqa: S311 - test data
    frames = []
    for number in range(count):
        ether = Ether(
            dst=chance.choice(["02:00:00:00:00:0b", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"]),
            src="02:00:00:00:00:0a",
        )
        for _ in range(chance.choice([0, 0, 0, 1, 2])):
            ether = ether / chance.choice([Dot1Q, Dot1AD])(vlan=chance.choice([5, 6]))
        port = chance.choice([53, 80, 443, 2000])
        above = chance.choice(
            [UDP(dport=port, sport=2000), TCP(sport=port, flags=chance.randrange(64)), ICMP()]
        )
        ip = IP(
            src=chance.choice(["10.0.0.1", "10.0.0.9", "192.0.2.1"]),
            dst="198.18.0.1",
            ttl=chance.choice([1, 4, 5, 64]),
            frag=chance.choice([0, 0, 0, 7]),
            options=chance.choice([b"", b"", b"\x01" * 4]),
        )
        packet = chance.choice(
            [ip / above, ip / above, IPv6() / above, ARP(psrc="10.0.0.1"), Raw(b"?" * 30)]
        )
        data = bytes(ether / packet / Raw(bytes(chance.choice([0, 20, 500, 1300]))))
        if chance.random() < 0.2:
            data = data[: chance.randrange(14, 40)]
        frames.append(data + number.to_bytes(2, "big"))
    return frames


def sifted(program: Classic, frames: list[bytes]) -> list[bool]:
    lengths = np.array([len(each) for each in frames])
    starts = np.cumsum(lengths) - lengths
    memory = np.frombuffer(b"".join(frames), np.uint8)
    return sift(program, memory, starts, lengths, lengths).tolist()


def taken_by_kernel(program: Classic, frames: list[bytes]) -> list[bool]:
    """The recording program, alone: it drops what it records."""
    layout = Layout(64, 1 << 16, 1 << 9, 65535)
    sizes = (
        layout.rings * STATE,
        layout.rings * layout.entries * ENTRY,
        layout.rings * layout.room,
    )
    with (
        SharedArray(sizes[0]) as state,
        SharedArray(sizes[1]) as index,
        SharedArray(sizes[2]) as data,
    ):
        wish = Wish(wanted=program, take=True)
        maps = (state.fd, index.fd, data.fd)
        words = state.view("u8").reshape(layout.rings, -1)
        with Program(recording(wish, layout, maps, ahead=0), "filter", fragments=True) as loaded:
            found = []
            for frame in frames:
                found.append(loaded.try_on(frame).action == XdpAction.DROP)
                words[:, TAIL // 8 : TAIL // 8 + 2] = words[:, :2]
            return found


@needs_tcpdump
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_means_what_tcpdump_says(expression: str, tmp_path: Path) -> None:
    frames = made()
    wrpcap(str(tmp_path / "all.pcap"), [Ether(each) for each in frames])
    command = ["tcpdump", "-r", str(tmp_path / "all.pcap"), "-w", str(tmp_path / "some.pcap")]
    subprocess.run([*command, expression], check=True, capture_output=True)
    with RawPcapReader(str(tmp_path / "some.pcap")) as reader:
        chosen = {data for data, _ in reader}
    program = compile_expression(expression)
    assert 0 < len(chosen) < len(frames)
    assert {each for each in frames if accepts(program, each)} == chosen
    assert sifted(program, frames) == [each in chosen for each in frames]
    if can_load().works:
        assert taken_by_kernel(program, frames) == [each in chosen for each in frames]


def drawn(chance: random.Random) -> Classic:
    """Any program that is legal."""
    count = chance.randrange(2, 24)
    codes = []
    for at in range(count - 1):
        left = count - 2 - at
        k = chance.choice([0, 1, 3, 12, 30, 59, 200, chance.randrange(1 << 32)])
        kind = chance.choice(
            ["load", "x", "memory", "alu", "alu", "jump", "jump", "move", "return"]
        )
        match kind:
            case "load":
                code = Code(chance.choice([0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x80]), k=k)
            case "x":
                code = Code(chance.choice([0x01, 0x81, 0xB1]), k=k % 64)
            case "memory":
                code = Code(chance.choice([0x60, 0x61, 0x02, 0x03]), k=k % 16)
            case "alu":
                operator = chance.choice(list(ALU))
                code = Code(4 | operator | chance.choice([0, 8]), k=k % 31 + 1)
            case "jump" if chance.random() < 0.2:
                code = Code(0x05, k=chance.randrange(left + 1))
            case "jump":
                places = chance.randrange(left + 1), chance.randrange(left + 1)
                code = Code(5 | chance.choice(list(JUMPS)) | chance.choice([0, 8]), *places, k)
            case "move":
                code = Code(chance.choice([0x07, 0x87, 0x84]))
            case _:
                code = Code(chance.choice([0x06, 0x16]), k=k & 1) if at > 5 else Code(0x07)
        codes.append(code)
    return Classic((*codes, Code(0x16)))


@needs_bpf
def test_any_program_ends_alike_everywhere() -> None:
    chance = random.Random(8)  # noqa: S311 - test data
    frames = made(12, 5)
    outcomes = set()
    for _ in range(150):
        program = drawn(chance)
        expected = [accepts(program, each) for each in frames]
        assert sifted(program, frames) == expected, program.codes
        assert taken_by_kernel(program, frames) == expected, program.codes
        outcomes |= set(expected)
    assert outcomes == {True, False}


UDP_FRAME = bytes(
    Ether(dst="02:00:00:00:00:0b", src="02:00:00:00:00:0a")
    / IP(src="10.0.0.1", dst="10.0.0.2", options=b"\x01" * 8)
    / UDP(sport=1000, dport=53)
    / Raw(b"question")
)


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        ({"eth.dst": "02:00:00:00:00:0b"}, True),
        ({"eth.src": "02:00:00:00:00:0b"}, False),
        ({"eth.type": 0x0800, "ipv4.dst": "10.0.0.2"}, True),
        ({"ipv4.src": "10.0.0.2"}, False),
        ({"udp.dst_port": 53, "udp.src_port": 1000}, True),
        ({"udp.dst_port": 54}, False),
        ({"tcp.dst_port": 53}, False),
        ({"ipv4.protocol": 17}, True),
        ({"frame[0:3]": b"\x02\x00\x00", "frame[50:58]": b"question"}, True),
        ({"frame[51:58]": b"question"[:7]}, False),
        ({"frame[56:60]": b"on\0\0"}, False),
        ({"vlan.id": 5}, False),
    ],
)
def test_fields_say_what_a_frame_must_hold(wanted: dict, held: bool) -> None:
    program = as_filter(wanted)
    assert accepts(program, UDP_FRAME) is held
    assert sifted(program, [UDP_FRAME]) == [held]
    if can_load().works:
        assert taken_by_kernel(program, [UDP_FRAME]) == [held]


def test_a_vlan_is_told_from_its_priority_and_ports_are_in_first_fragments_alone() -> None:
    tagged = bytes(Ether() / Dot1Q(vlan=5, prio=7) / ARP())
    assert accepts(as_filter({"vlan.id": 5}), tagged)
    assert not accepts(as_filter({"vlan.id": 4}), tagged)
    later = bytes(Ether() / IP(frag=10, proto=17) / Raw(b"\x03\xe8\x00\x35" + bytes(40)))
    assert not accepts(as_filter({"udp.dst_port": 53}), later)
    assert accepts(as_filter({"ipv4.protocol": 17}), later)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, "of no fields"),
        ({"ipv6.dst": 1}, "no filter knows 'ipv6.dst'"),
        ({"frame[4:4]": b""}, "no filter knows"),
        ({"eth.type": 1 << 16}, "cannot be its value"),
        ({"eth.dst": "here"}, "cannot be its value"),
        ({"udp.dst_port": b"abc"}, "cannot be its value of 2 bytes"),
        ({"vlan.id": 4096}, "cannot be its value"),
        ({"frame[0:1600]": bytes(1600)}, "no classic BPF"),
    ],
)
def test_fields_that_make_no_sense_are_refused(wanted: dict, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        as_filter(wanted)


@needs_tcpdump
def test_an_expression_that_makes_no_sense_is_refused_in_tcpdumps_words() -> None:
    with pytest.raises(PlanError, match="filter 'prot 5': can't parse filter expression"):
        as_filter("prot 5")


def test_without_tcpdump_an_expression_cannot_be_had(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="tcpdump compiles expressions, and it is not installed"):
        as_filter("udp port 5353")
    assert as_filter(None) is None


@pytest.mark.parametrize(
    "codes",
    [
        (),
        (Code(0x06), Code(0x20)),
        (Code(0x05, k=1), Code(0x06)),
        (Code(0x15, 0, 5, 0), Code(0x06)),
        (Code(0x60, k=16), Code(0x06)),
        (Code(0x34, k=0), Code(0x06)),
        (Code(0x64, k=32), Code(0x06)),
        (Code(0xFF), Code(0x06)),
    ],
)
def test_what_is_no_program_is_refused(codes: tuple[Code, ...]) -> None:
    with pytest.raises(PlanError):
        Classic(codes)
