"""Rewriting of recorded frames: what is mapped, what is left, and checksums as others see them."""

import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from testbed.errors import PlanError
from testbed.link.replay.mending import mend_checksums
from testbed.link.replay.rewriting import Rewrite

MAC, OTHER, THIRD = "02:00:00:00:00:01", "02:00:00:00:00:02", "06:00:00:00:00:03"


def changed(frames: list[bytes], words: dict | None, *, mend: bool = False) -> list[bytes]:
    """The frames rewritten, out of a buffer in which something is between them."""
    data = np.frombuffer(b"".join(b"#" * 3 + frame for frame in frames) + b"#", np.uint8)
    sizes = np.array([len(frame) for frame in frames], np.int64)
    offset = np.cumsum(sizes + 3) - sizes
    before = data.copy()
    made = Rewrite.of(words).apply(data, offset, sizes) if words is not None else data.copy()
    if mend:
        mend_checksums(made, offset, sizes)
    assert (data == before).all()
    outside = np.ones(len(data), bool)
    for at, size in zip(offset, sizes, strict=True):
        outside[at : at + size] = False
    assert (made[outside] == before[outside]).all()
    return [made[at : at + size].tobytes() for at, size in zip(offset, sizes, strict=True)]


def one(packet, words: dict) -> Ether:
    return Ether(changed([bytes(packet)], words)[0])


def assert_right(frame: bytes) -> None:
    """What scapy would put in for checksums is what the frame has."""
    fresh = Ether(frame)
    for layer in (IP, TCP, UDP, ICMP):
        if layer in fresh:
            fresh[layer].delfieldval("chksum")
    assert bytes(fresh) == frame


def talk(seed: int, count: int = 200) -> list[bytes]:
    """Frames of all kinds between random stations, right as scapy makes them."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    frames = []
    for _ in range(count):
        head = Ether(dst=chance.choice([MAC, OTHER]), src=chance.choice([MAC, THIRD]))
        for _ in range(chance.choice([0, 0, 1, 2])):
            head /= Dot1Q(vlan=chance.randrange(1, 4095))
        ip = IP(
            src=f"10.1.{chance.randrange(256)}.{chance.randrange(256)}",
            dst=f"{chance.choice([10, 11])}.{chance.choice([1, 2])}.0.{chance.randrange(256)}",
            options=b"\x01" * 4 * chance.choice([0, 0, 3, 10]),
        )
        ports = {"sport": chance.choice([80, 81, 65535]), "dport": chance.choice([53, 80])}
        inside = chance.choice([UDP(**ports), TCP(**ports, flags="PA"), ICMP(type=8)])
        payload = Raw(chance.randbytes(chance.choice([0, 1, 2, 17, 100, 1300])))
        frames.append(bytes(head / ip / inside / payload))
    return frames


WORDS = {MAC: THIRD, "10.1.0.0/16": "198.18.0.0/16", "11.0.0.0/8": "12.0.0.0/8", 80: 8080, 53: "9"}


@pytest.mark.parametrize("seed", range(5))
def test_checksums_of_all_that_is_rewritten_are_right(seed: int) -> None:
    for before, after in zip(talk(seed), changed(talk(seed), WORDS), strict=True):
        assert_right(after)
        old, new = Ether(before), Ether(after)
        assert new.src == (THIRD if old.src == MAC else old.src)
        assert new.dst == (THIRD if old.dst == MAC else old.dst)
        assert new[IP].src == old[IP].src.replace("10.1.", "198.18.", 1)
        for layer in (UDP, TCP):
            if layer in old:
                ports = {80: 8080, 53: 9}
                assert new[layer].sport == ports.get(old[layer].sport, old[layer].sport)
                assert new[layer].dport == ports.get(old[layer].dport, old[layer].dport)
        assert len(after) == len(before)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_finds_no_checksum_wrong(tmp_path: Path) -> None:
    file = tmp_path / "rewritten.pcap"
    frames = changed(talk(9), WORDS) + changed([spoilt(each) for each in talk(8)], None, mend=True)
    wrpcap(str(file), [Ether(frame) for frame in frames])
    fields = ("ip", "udp", "tcp", "icmp")
    done = subprocess.run(
        ["tshark", "-r", str(file), "-n", "-T", "fields"]
        + [word for name in fields for word in ("-e", f"{name}.checksum.status")]
        + [word for name in fields for word in ("-o", f"{name}.check_checksum:TRUE")
           if name != "icmp"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(told) == 400
    # 1 is good, 2 unverified; 0 would be bad.
    assert {status for line in told for status in line if status} <= {"1"}


def test_a_wrong_checksum_stays_as_wrong_as_it_was() -> None:
    packet = Ether() / IP(src="10.1.2.3", chksum=0x1234) / UDP(chksum=0x4321) / Raw(b"x")
    right = Ether() / IP(src="10.1.2.3") / UDP() / Raw(b"x")
    wrong, good = (one(each, {"10.1.0.0/16": "9.9.0.0/16"}) for each in (packet, right))
    before = Ether(bytes(right))
    for layer, given in ((IP, 0x1234), (UDP, 0x4321)):
        error = (given - before[layer].chksum) % 0xFFFF
        assert (wrong[layer].chksum - good[layer].chksum) % 0xFFFF == error


def test_a_udp_checksum_that_is_none_stays_none() -> None:
    packet = Ether() / IP(src="10.1.2.3") / UDP(chksum=0) / Raw(b"x")
    assert one(packet, {"10.1.0.0/16": "9.9.0.0/16"})[UDP].chksum == 0
    assert Ether(changed([bytes(packet)], None, mend=True)[0])[UDP].chksum == 0


def test_fragments_make_up_a_datagram_with_a_right_checksum() -> None:
    whole = IP(src="10.1.2.3", dst="10.2.0.1", id=7) / UDP(sport=80) / Raw(bytes(range(256)) * 8)
    frames = [bytes(Ether() / each) for each in fragment(whole, fragsize=800)]
    parts = [Ether(each)[IP] for each in changed(frames, WORDS)]
    assert [part.frag for part in parts] == [0, 100, 200]
    joined = bytes(parts[0].payload) + b"".join(bytes(part.payload) for part in parts[1:])
    again = IP(src="198.18.2.3", dst="10.2.0.1", proto=17) / Raw(joined)
    assert_right(bytes(Ether() / again))
    assert IP(bytes(again))[UDP].sport == 8080


def test_arp_is_rewritten_as_the_frames_around_it() -> None:
    packet = Ether(src=MAC) / ARP(hwsrc=MAC, psrc="10.1.0.1", hwdst=OTHER, pdst="10.1.0.2")
    after = one(packet, WORDS)
    assert (after[ARP].hwsrc, after[ARP].hwdst) == (THIRD, OTHER)
    assert (after[ARP].psrc, after[ARP].pdst) == ("198.18.0.1", "198.18.0.2")


def test_every_frame_can_be_given_one_source_and_destination() -> None:
    for after in changed(talk(3), {"eth.src": THIRD, "eth.dst": OTHER}):
        assert (Ether(after).src, Ether(after).dst) == (THIRD, OTHER)
        assert_right(after)


def test_addresses_that_change_places_are_mapped_once() -> None:
    packet = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2)
    words = {"10.0.0.1": "10.0.0.2", "10.0.0.2": "10.0.0.1", 1: 2, 2: 1}
    after = one(packet, words)
    assert (after[IP].src, after[IP].dst, after.sport, after.dport) == (
        "10.0.0.2", "10.0.0.1", 2, 1,
    )  # fmt: skip
    assert_right(bytes(after))


def test_the_first_network_that_holds_an_address_counts() -> None:
    packet = Ether() / IP(src="10.1.0.1", dst="10.2.0.1")
    after = one(packet, {"10.1.0.0/16": "1.1.0.0/16", "10.0.0.0/8": "2.0.0.0/8"})
    assert (after[IP].src, after[IP].dst) == ("1.1.0.1", "2.2.0.1")


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_neither_changed_nor_an_error(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable
    frames = [chance.randbytes(chance.randrange(1, 200)) for _ in range(50)]
    for frame in talk(seed, 50):
        cut = bytearray(frame[: chance.randrange(1, len(frame) + 1)])
        for _ in range(3):
            cut[chance.randrange(len(cut))] = chance.randrange(256)
        frames.append(bytes(cut))
    after = changed(frames, WORDS, mend=True)
    assert [len(frame) for frame in after] == [len(frame) for frame in frames]
    nothing = [bytes(12) + b"\x86\xdd" + chance.randbytes(60) for _ in range(10)]
    assert changed(nothing, WORDS, mend=True) == nothing


def spoilt(frame: bytes) -> bytes:
    """The same with other checksums, as a sender leaves them that has its NIC make them."""
    packet = Ether(frame)
    for layer in (IP, TCP, UDP, ICMP):
        if layer in packet:
            packet[layer].chksum = 0x1111
    return bytes(packet)


@pytest.mark.parametrize("seed", range(5))
def test_checksums_that_a_nic_should_have_made_are_made_right(seed: int) -> None:
    right = talk(seed)
    assert changed([spoilt(frame) for frame in right], None, mend=True) == right
    padded = [spoilt(frame) + b"trailer" for frame in right]
    expected = [frame + b"trailer" for frame in right]
    assert changed(padded, None, mend=True) == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"10.0.0.0/8": "198.18.0.0/16"}, "networks of the same size"),
        ({"10.0.0.1/8": "11.0.0.0/8"}, "has host bits set"),
        ({"80": "http"}, "http is no port, no MAC address and no IPv4 network"),
        ({80: 65536}, "65536 is no port"),
        ({"02:00": MAC}, "cannot rewrite 02:00"),
        ({"eth.src": "10.0.0.1"}, "cannot rewrite eth.src to 10.0.0.1"),
        ({"2001:db8::1": "2001:db8::2"}, "cannot rewrite 2001:db8::1"),
    ],
)
def test_what_cannot_be_mapped_is_told(words: dict, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        Rewrite.of(words)
