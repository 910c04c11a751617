"""What the plugin is told, on the command line and in ini files, and what it makes of nonsense."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.root

GOOD = '''
@STAR
def test_good(bench: Bench) -> None:
    """It does."""
    bench.nic("a").inject(HELLO)

@STAR
def test_bad(bench: Bench) -> None:
    raise ExpectationFailed("it does not")
'''


def test_ini_twins(sandbox) -> None:
    here = sandbox.path / "ini"
    sandbox.write(
        "ini/pytest.ini",
        "[pytest]\nbench = ../small.yaml\nbench_capture = failed\nbench_artifacts = out\n"
        "bench_prove = false\n",
    )
    sandbox.write("ini/deep/test_ini.py", (sandbox.path / sandbox.plan("x", GOOD)).read_text())
    done = sandbox.pytest("ini/deep")  # neither the ini file's directory nor the plan's
    assert done.code == 1, done.text
    assert "proving the cabling" not in done
    (run,) = (here / "out").iterdir()
    assert [path.name for path in (run / "captures").iterdir()] == ["test_ini-test_bad_sw.pcapng"]


def test_no_captures_and_exit_code_0(sandbox) -> None:
    plan = sandbox.plan("test_pair", GOOD)
    done = sandbox.testbed(
        "run",
        "--bench=small.yaml",
        "--capture=never",
        "--artifacts=never",
        "-k",
        "good",
        "--no-prove",
        "--junit=j.xml",
        plan,
    )
    assert done.code == 0, done.text
    assert (sandbox.path / "j.xml").exists()
    (run,) = (sandbox.path / "never").iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "run.json"]


def test_command_line_wins(sandbox) -> None:
    sandbox.write("wins/pytest.ini", "[pytest]\nbench = no-such.yaml\nbench_capture = sometimes\n")
    plan = sandbox.write("wins/test_it.py", "def test_it(): pass\n")
    done = sandbox.pytest(str(plan), "--bench", "small.yaml", "--bench-capture", "never")
    assert "1 passed" in done
    done = sandbox.pytest(str(plan), "--bench", "small.yaml")
    assert done.code == 4
    assert "bench_capture is 'sometimes', expected always, failed or never" in done


def test_without_a_bench_plans_are_skipped(sandbox) -> None:
    done = sandbox.pytest(sandbox.plan("test_good", GOOD), "-rs")
    assert done.code == 0, done.text
    assert "2 skipped" in done
    assert "no bench: say --bench FILE" in done


def test_bad_bench_file(sandbox) -> None:
    plan = sandbox.plan("test_good", GOOD)
    sandbox.write("bad.yaml", "bench: bad\nlab: virtuall\ncables: [[controller:a, sw:p1]]\n")
    done = sandbox.testbed("run", plan, "--bench", "bad.yaml")
    assert done.code == 2, done.text
    assert done.lines(r"bad\.yaml:2:6: lab: .*expected")
    assert done.lines(r"bad\.yaml:3:")
    assert "Traceback" not in done


def test_no_bench_file(sandbox) -> None:
    done = sandbox.testbed("run", "--bench", "nowhere.yaml")
    assert done.code == 2
    assert done.lines("nowhere.yaml.*(no such file|does not exist|cannot be read)")


def test_collecting_needs_no_lab(sandbox) -> None:
    done = sandbox.pytest(sandbox.plan("test_good", GOOD), "--bench=small.yaml", "--collect-only")
    assert done.code == 0, done.text
    assert "bench: cables plugged in" not in done
    assert "test_good[sw]" in done


MARKS = {
    '@pytest.mark.topology("star")\ndef test_it(bench): ...': r"topology\('star'\): expected a Top",
    "@pytest.mark.topology(Topology.star('dut', 'dut'))\ndef test_it(bench): ...": "names a node",
    '@STAR\n@pytest.mark.needs("luck")\ndef test_it(bench): ...': r"needs\(luck\): expected some",
    "@STAR\n@pytest.mark.behaviour\ndef test_it(bench): ...": r"behaviour\(...\): expected a row",
    '@STAR\n@pytest.mark.behaviour("A", cause="x")\ndef test_it(bench): ...': r"behaviour\(...\)",
    "def test_it(bench): ...": "a plan that uses bench says what it needs",
    "def test_it(: ...": "invalid syntax|SyntaxError",
}


def test_plans_that_make_no_sense(sandbox) -> None:
    names = []
    for number, body in enumerate(MARKS):
        names.append(sandbox.plan(f"test_mark{number}", body + "\n"))
    done = sandbox.testbed("run", "--bench", "small.yaml", *names)
    assert done.code == 2, done.text
    for number, message in enumerate(MARKS.values()):
        told = done.text.split(f"test_mark{number}.py", 1)[1].split("cannot be read", 2)[1]
        assert re.search(message, told), (message, told)
    assert "cables plugged in" not in done
    assert "Traceback" not in done


def test_gone_lab_is_the_rigs_fault(sandbox) -> None:
    sandbox.write(
        "gone.yaml",
        "bench: gone\nlab: hardware\n"
        "controller: {netns: /proc/1/no-such, nics: {a: {interface: a}, b: {interface: b}}}\n"
        "devices:\n  sw: {platform: linux_bridge, ports: [p1, p2], console: {serial: /dev/null}}\n"
        "cables: [[controller:a, sw:p1], [controller:b, sw:p2]]\n",
    )
    plan = sandbox.plan("test_good", GOOD)
    done = sandbox.testbed("run", plan, "--bench", "gone.yaml")
    assert done.code == 3, done.text
    assert "the bench cannot be used" in done
    assert "/proc/1/no-such is gone" in done
    assert "Traceback" not in done


def test_places_that_cannot_be_written(sandbox) -> None:
    plan = sandbox.plan("test_good", GOOD)
    sandbox.write("a-file", "")
    done = sandbox.testbed("run", plan, "--bench=small.yaml", "--artifacts=a-file/reports")
    assert done.code == 2, done.text
    assert "cannot write reports to a-file/reports" in done
    assert "Traceback" not in done


def test_nothing_asked_for_is_there(sandbox) -> None:
    plan = sandbox.plan("test_good", GOOD)
    done = sandbox.testbed("run", plan, "--bench", "small.yaml", "-b", "XX-99")
    assert done.code == 4, done.text
    done = sandbox.testbed("run", "no-such-plans", "--bench", "small.yaml")
    assert done.code == 2, done.text
    assert "no-such-plans" in done
