"""``testbed plans new``: what it writes runs, is tidy, and takes nobody's place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from plan_runs import ROOT, Sandbox

from testbed.cli.exits import Exit
from testbed.cli.plans.new import LONGEST, SHAPES

SIM = str(ROOT / "inventory" / "sim.yaml")


@pytest.fixture
def place(tmp_path) -> Sandbox:
    return Sandbox(tmp_path)


@pytest.fixture(scope="module")
def every_shape(tmp_path_factory) -> Sandbox:
    made = Sandbox(tmp_path_factory.mktemp("shapes"))
    for shape in SHAPES:
        done = made.call("plans", "new", f"of_{shape}", "--topology", shape)
        assert done.code == 0, done.text
    return made


def test_it_says_what_it_wrote_and_what_to_do_next(place):
    done = place.call("plans", "new", "known_unicast", "--topology", "star")
    assert done.code == 0
    assert "wrote plans/test_known_unicast.py: a switch and four NICs around it" in done
    assert "testbed run --bench inventory/sim.yaml plans/test_known_unicast.py" in done
    text = (place.path / "plans/test_known_unicast.py").read_text()
    assert "def test_known_unicast(bench: Bench) -> None:" in text
    for taught in ("topology(", "inject(", "capture(", "settle()", "expect_none(", "@drill("):
        assert taught in text


@pytest.mark.parametrize("shape", SHAPES)
def test_what_it_writes_runs_on_the_sim_lab(every_shape, shape):
    done = every_shape.call(
        "run", "--bench", SIM, f"plans/test_of_{shape}.py", "--artifacts", shape
    )
    assert done.code == 0, done.text
    assert set(every_shape.verdicts(shape).values()) == {"pass"}, done.text


@pytest.mark.parametrize("shape", SHAPES)
def test_what_it_writes_catches_what_the_catalogue_names(every_shape, shape):
    done = every_shape.testbed("plans", "grade", "--bench", SIM, f"plans/test_of_{shape}.py")
    assert done.code == 0, done.text
    assert "caught" in done


@pytest.mark.root
@pytest.mark.parametrize("shape", SHAPES)
def test_what_it_writes_catches_its_defect_on_the_virtual_lab(sandbox, shape):
    sandbox.call("plans", "new", f"real_{shape}", "--topology", shape)
    plan = f"plans/test_real_{shape}.py"
    done = sandbox.call("drill", "--bench", str(ROOT / "inventory" / "virtual.yaml"), plan)
    assert done.code == 0, done.text
    assert set(sandbox.verdicts().values()) == {"drill-caught"}, done.text


def test_what_it_writes_is_tidy_by_the_rules_of_the_shipped_plans(every_shape):
    for path in sorted((every_shape.path / "plans").glob("*.py")):
        named = ROOT / "plans" / "switching" / path.name
        for command in (["check"], ["format", "--check"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(named), "-"],
                cwd=ROOT,
                input=path.read_text(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (path, done.stdout, done.stderr)


def test_what_it_writes_is_typed(every_shape):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(every_shape.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in done.stdout.splitlines() if "/test_of_" in line]
    assert mine == []
    assert done.returncode == 0 or done.stdout, done.stderr


def test_it_never_overwrites(place):
    place.call("plans", "new", "mine")
    written = place.path / "plans/test_mine.py"
    written.write_text("my own work")
    done = place.call("plans", "new", "mine")
    assert done.code == Exit.USAGE
    assert "plans/test_mine.py is there already" in done
    assert written.read_text() == "my own work"


def test_two_plans_of_one_file_name_cannot_be_made(place):
    place.call("plans", "new", "mine", "--into", "plans/switching")
    done = place.call("plans", "new", "mine", "--into", "plans/routing/deep")
    assert done.code == Exit.USAGE
    assert "plans/switching/test_mine.py is there already" in done
    assert not (place.path / "plans/routing").exists()


@pytest.mark.parametrize(
    "name",
    ["", "Upper", "has space", "../up", "9lives", "with-dash", "class", "a" * (LONGEST + 1), "ä"],
)
def test_a_name_must_do_for_python(place, name):
    done = place.call("plans", "new", "--", name)
    assert done.code == Exit.USAGE
    assert "a plan's name is of lower-case letters" in done
    assert not (place.path / "plans").exists()


@pytest.mark.parametrize("name", ["moved", "test_moved", "moved.py", "test_moved.py"])
def test_a_name_may_be_given_as_a_file_name(place, name):
    assert "test_moved.py" in place.call("plans", "new", name)


def test_the_row_is_the_one_that_is_named(place):
    place.call("plans", "new", "mine", "--row", "SW-02")
    assert 'behaviour("SW-02"' in (place.path / "plans/test_mine.py").read_text()
    done = place.call("plans", "new", "other", "--row", "two")
    assert done.code == Exit.USAGE
    assert "such as SW-05" in done


def test_two_names_have_two_sets_of_addresses(place):
    for name in ("one", "two"):
        place.call("plans", "new", name, "--topology", "star")
    texts = [(place.path / f"plans/test_{name}.py").read_text() for name in ("one", "two")]
    macs = {line for text in texts for line in text.splitlines() if "STATION = MacAddr" in line}
    assert len(macs) == 2


def test_an_unknown_shape_is_refused_with_those_there_are(place):
    done = place.call("plans", "new", "mine", "--topology", "ring")
    assert done.code == Exit.USAGE
    assert all(shape in done for shape in SHAPES)


def test_a_folder_that_cannot_be_made_is_told(place):
    Path(place.path / "plans").write_text("a file")
    done = place.call("plans", "new", "mine", "--into", "plans/below")
    assert done.code == Exit.USAGE
    assert "cannot write plans/below" in done
