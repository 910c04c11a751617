"""Commands that need no bench that stands: what they print, and what they end with."""

from __future__ import annotations

import json
import re

import click
import pytest
from click.testing import CliRunner
from plan_runs import ROOT, Done

from testbed.cli import main
from testbed.cli.exits import Exit


def call(*arguments: str) -> Done:
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    return Done(result.exit_code, result.output)


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        below = (*path, name)
        found += commands(command, below) if isinstance(command, click.Group) else [below]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_teaches(path: tuple[str, ...]) -> None:
    done = call(*path, "--help")
    assert done.code == 0
    assert "Usage:" in done
    assert max(len(line) for line in done.text.splitlines()) <= 100
    command: click.Command = main
    for name in path:
        command = command.commands[name]
    assert command.help, "says nothing"
    assert command.get_short_help_str(200).endswith((".", "!")) or "..." in command.help
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert option.help, f"{option.opts} says nothing"


def test_help_tells_exit_codes() -> None:
    told = call("--help").text.split("Exit codes:")[1]
    for code in Exit:
        assert re.search(rf"\b{int(code)}\b", told)


def test_without_a_command_help_is_shown() -> None:
    done = call()
    assert "testbed doctor" in done


@pytest.mark.parametrize("command", ["run", "drill"])
def test_run_without_a_bench(command: str) -> None:
    done = call(command)
    assert done.code == Exit.USAGE
    assert "Missing option '--bench'" in done


def test_unknown_command() -> None:
    done = call("rnu")
    assert done.code == Exit.USAGE
    assert "No such command 'rnu'" in done


def test_inventory_check() -> None:
    done = call("inventory", "check", str(ROOT / "inventory/virtual.yaml"))
    assert done.code == 0
    assert "bench virtual (virtual): 20 NICs, 4 devices, 2 hosts, 22 cables" in done


def test_inventory_check_tells_all_errors_of_all_files(tmp_path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("bench: one\nlab: virtuall\ncables: [[controller:z, sw1:p1]]\n")
    two.write_text("")
    done = call("inventory", "check", str(one), str(two), str(tmp_path / "none.yaml"))
    assert done.code == Exit.USAGE
    assert done.lines(r"one\.yaml:2:6: lab: ")
    assert done.lines(r"one\.yaml:3:")
    assert done.lines(r"two\.yaml:")
    assert done.lines(r"none\.yaml")


def test_inventory_schema() -> None:
    schema = json.loads(call("inventory", "schema").text)
    assert {"bench", "lab", "controller", "devices", "cables"} <= schema["properties"].keys()


def test_doctor() -> None:
    done = call("doctor")
    assert done.code in (Exit.OK, Exit.RIG)
    assert done.lines("^lab virtual: (runs here|does not run here: .)")
    assert done.lines("ovs-vswitchd|openvswitch")


def test_plans_list_shows_rows_sentences_topologies_and_clauses(tmp_path) -> None:
    done = call("plans", "list", str(ROOT / "plans/switching"))
    assert done.code == 0, done.text
    (row,) = done.lines(r"SW-06")
    assert "dut:switch" in row
    assert "802.1Q 8.8" in row
    assert "A frame to an unknown" in row
    assert [m for line in done.text.splitlines() for m in re.findall(r"SW-\d\d", line)] == sorted(
        m for line in done.text.splitlines() for m in re.findall(r"SW-\d\d", line)
    )


def test_plans_list_of_what_is_no_plan(tmp_path) -> None:
    assert call("plans", "list", str(tmp_path)).code == Exit.NOTHING
    assert call("plans", "list", str(tmp_path / "none")).code == Exit.USAGE
    (tmp_path / "test_good.py").write_text(
        "import pytest\nfrom testbed import Topology\n"
        "@pytest.mark.topology(Topology.star('dut'))\ndef test_it(bench): ...\n"
    )
    (tmp_path / "test_broken.py").write_text("def test_it(: ...\n")
    done = call("plans", "list", str(tmp_path))
    assert done.code == Exit.USAGE
    assert "test_broken.py" in done
    assert "test_good.py" in done


def test_lab_commands_about_nothing(tmp_path) -> None:
    done = call("lab", "down", "no-such-bench")
    assert done.code == Exit.RIG
    assert "no virtual bench of the name 'no-such-bench' stands" in done
    lab = tmp_path / "hardware.yaml"
    lab.write_text(
        "bench: hw\nlab: hardware\ncontroller: {nics: {a: {interface: lo}}}\n"
        "devices:\n  sw: {platform: linux_bridge, ports: [p1], console: {serial: /dev/null}}\n"
        "cables: [[controller:a, sw:p1]]\n"
    )
    done = call("lab", "up", str(lab))
    assert done.code == Exit.USAGE
    assert "only a virtual bench can be brought up" in done
    done = call("lab", "up", str(tmp_path / "none.yaml"))
    assert done.code == Exit.USAGE
    done = call("console", "nobody", "--bench", str(lab))
    assert done.code == Exit.USAGE
    assert "has no device 'nobody'; it has sw" in done
