"""Whatever is in a file, loading it gives a bench or says what is wrong, and soon."""

import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import InventoryError
from testbed.inventory import (
    Bench,
    Cable,
    Controller,
    Device,
    End,
    Limits,
    Mirror,
    Nic,
    Power,
    Secret,
    Serial,
    Ssh,
    dump,
    format_delay,
    format_rate,
    format_speed,
    load,
    parse_delay,
    parse_rate,
    parse_speed,
)
from testbed.wire.addresses import MacAddr

ROOT = Path(__file__).parents[2]
VALID = [path.read_bytes() for path in sorted((ROOT / "inventory").glob("*.yaml"))]

# What breaks parsers: indicators, indents, odd scalars, keys that mean something.
SPLINTERS = st.sampled_from(
    [
        *rb"[ ] { } : - , ? | > ' # @ ` = ~ % ! !! & * << --- ... on 010 1e999 0x .nan".split(),
        *rb'2024-01-01 12:30 " \ "\U99999999" "\ud800" "\0" password: ssh: ports: [key]'.split(),
        *(b": ", b"- ", b"? ", b"&a ", b"*a ", b"!x ", b"|\n", b">9\n", b"%YAML 1.1\n", b"\n---\n"),
        *(b" ", b"\t", b"\n", b"\n  ", b"\r", b"\x00", b"\xff", b"\xc2\x85", b"\xe2\x80\xa8"),
        *(b"\xef\xbb\xbf", b"cables: ", b"ends: ", b"mtu: ", b"baseline: ", b"lab: hardware\n"),
        *(b"a" * 300, b"9" * 40),
    ]
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "bench.yaml"


def judge(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    before = time.monotonic()
    problems: tuple[str, ...] = ()
    try:
        assert isinstance(load(place, platforms=frozenset({"frr"})).bench, Bench)
    except InventoryError as error:
        problems = error.problems or ("it says nothing",)
    for problem in problems:
        line, column, rest = problem.removeprefix(f"{place}:").split(":", 2)
        assert int(line) >= 1
        assert int(column) >= 1
        assert rest.isprintable()
        assert len(problem) < 2_000
    # Generous: it must not hang, and the machine may be busy.
    assert time.monotonic() - before < 20


FUZZ = settings(max_examples=200, deadline=None, derandomize=True)


@FUZZ
@given(content=st.binary(max_size=400))
def test_arbitrary_bytes(place, content):
    judge(place, content)


@FUZZ
@given(content=st.text(max_size=300))
def test_arbitrary_text(place, content):
    judge(place, content.encode("utf-8", "surrogatepass"))


@FUZZ
@given(pieces=st.lists(st.one_of(SPLINTERS, st.sampled_from([b"a", b" ", b"b: 1\n"])), max_size=60))
def test_splinters_of_yaml(place, pieces):
    judge(place, b"".join(pieces))


@FUZZ
@given(data=st.data())
def test_mutated_valid_files(place, data):
    content = data.draw(st.sampled_from(VALID))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.sampled_from([0, 0, 1, 5, 40, 400]))
        splinter = data.draw(st.one_of(SPLINTERS, st.binary(max_size=4)))
        content = content[:at] + splinter + content[at + length :]
    judge(place, content)


TREES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["a", "x:y", "sw1"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *Bench.model_fields,
                    *Device.model_fields,
                    *Ssh.model_fields,
                    *("nics", "boxes", "env", "ends", "mtu", "a", "sw1", "to", "device", "node"),
                ]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=30,
)


def flow(tree: object) -> str:
    """``tree`` as YAML on one line."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f'"{key}": {flow(value)}' for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(flow, tree)) + "]"
    if isinstance(tree, str):
        return f'"{tree}"'
    return {None: "~", True: "true", False: "false"}.get(tree) or str(tree)


@FUZZ
@given(tree=st.dictionaries(st.sampled_from(list(Bench.model_fields)), TREES))
def test_well_formed_yaml_of_any_shape(place, tree):
    judge(place, flow(tree).encode())


# --- Every legal bench survives being written and read --------------------------------------------

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda name: name != "controller"
)
PORTS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 /._:@+-]{0,6}[A-Za-z0-9/._@+-])?", fullmatch=True)
PATHS = st.from_regex(r"/(no|on|a b|[0-9:]{1,9}|é)/[a-z #'\"\\&*!{}]{0,6}x", fullmatch=True).map(
    Path
)
SECRETS = st.one_of(
    st.builds(Secret, env=st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True)),
    st.builds(Secret, file=PATHS),
    st.just(Secret(keyring="rack 7/lab")),
)
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: MacAddr(bytes([raw[0] & 0xFE]) + raw[1:]))
FINGERPRINTS = st.from_regex(r"SHA256:[A-Za-z0-9+/]{43}", fullmatch=True)


@st.composite
def benches(draw):
    nics = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    macs = draw(st.lists(MACS, min_size=len(nics), max_size=len(nics), unique=True))
    gear = {
        name: Device(
            platform=draw(NAMES),
            ports=tuple(draw(st.lists(PORTS, min_size=len(nics), max_size=6, unique=True))),
            ssh=Ssh(
                host=f"192.0.2.{number}",
                port=draw(st.integers(1, 65535)),
                user=draw(st.from_regex(r"[a-z0-9.]{1,8}", fullmatch=True)),
                key=draw(st.none() | PATHS),
                password=draw(SECRETS),
                host_key=draw(FINGERPRINTS),
            ),
            console=draw(st.none() | st.just(Serial(serial=f"/dev/tty{number}", baud=115200))),
            power=draw(st.none() | st.just(Power(relay="on", channel=number))),
            stated=draw(st.dictionaries(NAMES, st.floats(0, 1e300), max_size=2)),
        )
        for number, name in enumerate(names)
    }
    switch = names[0]
    cables = tuple(
        Cable(
            ends=(
                End(node="controller", port=nic),
                End(node=switch, port=gear[switch].ports[index]),
            ),
            mtu=draw(st.none() | st.integers(68, 65535)),
            speed=draw(st.none() | st.sampled_from([10, 100, 1_000, 2_500, 100_000])),
        )
        for index, nic in enumerate(nics)
    )
    boxes = {"box": (nics[0], nics[1])} if "box" not in nics + names else {}
    return Bench(
        bench=draw(NAMES),
        lab="hardware",
        controller=Controller(
            nics={
                nic: Nic(interface=f"eth{index}", mac=draw(st.none() | st.just(macs[index])))
                for index, nic in enumerate(nics)
            },
            boxes=boxes,
            netns=draw(st.none() | st.just("/proc/12/ns/net")),
        ),
        devices={switch: gear.pop(switch)},
        hosts=gear,
        cables=cables,
        mirrors=draw(st.just(()) | st.just((Mirror(device=switch, to=cables[0].ends[1].port),))),
        limits=Limits(
            management=draw(st.just(()) | st.just((IPv4Network("192.0.2.0/24"),))),
            max_rate=draw(st.none() | st.integers(1, 10**9)),
        ),
        tolerances=draw(st.dictionaries(NAMES, st.floats(0, 1e300), max_size=3)),
    )


@settings(FUZZ, max_examples=100)
@given(bench=benches())
def test_every_bench_survives_dump_and_load(place, bench):
    place.write_text(dump(bench))
    assert load(place).bench == bench


@given(rate=st.integers(1, 10**12))
def test_rates_survive_being_written(rate):
    assert parse_rate(format_rate(rate)) == rate


@given(delay=st.integers(1, 10**10))
def test_delays_survive_being_written(delay):
    assert parse_delay(format_delay(delay)) == delay


@given(speed=st.integers(1, 10**6))
def test_speeds_survive_being_written(speed):
    assert parse_speed(format_speed(speed)) == speed


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1Mpps", 1_000_000), ("1.5 kpps", 1_500), ("500pps", 500), ("2Gpps", 2 * 10**9)],
)
def test_rates(text, rate):
    assert parse_rate(text) == rate
