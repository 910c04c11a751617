import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from testbed.devices.registry import PLATFORMS
from testbed.inventory import Bench, End, dump, load, schema

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "inventory").glob("*.yaml"))


def plain(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture(params=SHIPPED, ids=lambda path: path.name)
def shipped(request):
    return request.param


def test_both_files_ship():
    assert {"virtual.yaml", "lab-example.yaml"} <= {path.name for path in SHIPPED}


def test_shipped_file_loads_and_has_no_unused_port(shipped):
    loaded = load(shipped, platforms=frozenset(PLATFORMS))
    assert loaded.path == shipped
    # Nobody but the owner of that rack has the key of the example.
    assert [warning for warning in loaded.warnings if ".ssh.key: " not in warning] == []


def test_shipped_file_is_valid_under_the_schema(shipped):
    Draft202012Validator(schema()).validate(plain(shipped.read_text()))


def test_shipped_file_survives_dump_and_load(shipped, tmp_path):
    bench = load(shipped).bench
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump(bench))
    assert load(copy).bench == bench
    Draft202012Validator(schema()).validate(plain(copy.read_text()))


def test_lab_example_finds_its_baselines_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench = load(ROOT / "inventory" / "lab-example.yaml").bench
    baselines = [device.baseline for device in bench.devices.values() if device.baseline]
    assert baselines
    assert all(path.is_absolute() and path.is_file() for path in baselines)


def test_virtual_bench_is_what_plans_expect():
    bench = load(ROOT / "inventory" / "virtual.yaml").bench
    assert list(bench.controller.nics) == [*"abcdmefghnijklop", "x1", "x2", "y1", "y2"]
    assert bench.controller.boxes == {"w1": ("x1", "x2"), "w2": ("y1", "y2")}
    assert {name: device.platform for name, device in bench.devices.items()} == {
        "sw1": "openvswitch",
        "sw2": "linux_bridge",
        "r1": "frr",
        "r2": "frr",
    }
    mtus = {frozenset(map(str, cable.ends)): cable.mtu for cable in bench.cables if cable.mtu}
    assert mtus == {
        frozenset({"controller:k", "r1:eth3"}): 1400,
        frozenset({"r1:eth5", "h2:eth1"}): 1400,
        frozenset({"r1:eth6", "r2:eth1"}): 1400,
        frozenset({"r2:eth2", "controller:l"}): 1280,
    }
    assert {(mirror.device, mirror.to) for mirror in bench.mirrors} == {
        ("sw1", "p5"),
        ("sw2", "p5"),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"lab": "lap"},
        {"cables": [["controller:a"]]},
        {"cables": [["controller:a", "sw1"]]},
        {"cables": [{"ends": ["controller:a", "sw1:p1"], "mut": 1400}]},
        {"unknown": 1},
        {"devices": {"sw 1": {"platform": "frr", "ports": ["eth1"]}}},
        {"devices": {"sw1": {"platform": "frr", "ports": [1]}}},
        {"devices": {"sw1": {"platform": "frr", "ports": ["eth1"], "ssh": {"host": "h"}}}},
        {"controller": {"nics": {"a": {"mac": "02:00"}}}},
        {"limits": {"max_rate": "1Mbps"}},
        {"limits": {"management": ["192.0.2.0"]}},
    ],
)
def test_schema_refuses(change, small):
    data = plain(small) | change
    assert not Draft202012Validator(schema()).is_valid(data)


def test_schema_refuses_a_secret_given_as_a_literal(hardware):
    data = plain(hardware)
    validator = Draft202012Validator(schema())
    assert validator.is_valid(data)
    for literal in ("hunter2", {}, {"env": "A", "file": "/b"}):
        data["devices"]["sw1"]["ssh"]["password"] = literal
        assert not validator.is_valid(data)


def test_schema_takes_both_spellings_of_a_cable(small):
    data = plain(small)
    data["cables"] = [
        ["controller:a", "sw1:p1"],
        {"ends": ["controller:b", "sw1:p2"], "mtu": 1400, "speed": "1G"},
    ]
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(data)


def test_schema_teaches_every_key():
    found = json.loads(json.dumps(schema()))
    forms = {"Bench": found, **found["$defs"]}
    forms["Cable"] = forms["Cable"]["anyOf"][1]
    silent = [
        f"{name}.{key}"
        for name, form in forms.items()
        for key, kind in form.get("properties", {}).items()
        if not kind.get("description")
    ]
    assert silent == []
    assert all(form.get("description") for form in found["$defs"].values())


def test_models_are_values():
    end = End(node="sw1", port="Gi0/1:2")
    assert str(end) == "sw1:Gi0/1:2"
    assert End.model_validate("sw1:Gi0/1:2") == end
    with pytest.raises(ValueError, match="frozen"):
        end.node = "sw2"
    bench = load(ROOT / "inventory" / "virtual.yaml").bench
    with pytest.raises(ValueError, match="'sim', 'virtual' or 'hardware'"):
        Bench.model_validate(bench.model_copy(update={"lab": "nowhere"}))
