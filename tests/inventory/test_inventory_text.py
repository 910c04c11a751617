"""Files that are no bench file at all, and YAML that a bench file does not use."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import InventoryError
from testbed.inventory import load
from testbed.inventory.source import LARGEST

NOBODY = 65534


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "---\n", "---\n...\n", "~\n"])
def test_empty_file(content, problems):
    assert only(problems(content)) == "1:1: (file): the file is empty, expected a bench"


def test_ten_megabytes_are_refused_before_they_are_read(problems):
    before = time.monotonic()
    assert f"more than {LARGEST} bytes" in only(problems("a: b\n" * 2_000_000))
    assert time.monotonic() - before < 1


def test_the_largest_file_is_read_in_bearable_time(problems):
    devices = "".join(f"  s{n}: {{platform: frx, ports: [p1]}}\n" for n in range(6_000))
    found = problems("bench: big\nlab: virtual\ndevices:\n" + devices)
    assert found[-1].endswith("(file): there are faults beyond these")
    assert len(found) == 201


def test_nul_bytes(problems):
    assert only(problems(b"bench: a\nlab\0: b\n")) == (
        "2:4: (file): character U+0000 at offset 12 is not printable, expected a text file"
    )


def test_offset_counts_bytes_not_characters(problems):
    assert "2:1: (file): character U+0007 at offset 5" in only(problems("# \xe9\n\a"))


def test_byte_order_mark_is_passed_over_and_counted(read, problems, small):
    assert read(b"\xef\xbb\xbf" + small.encode()).bench.bench == "small"
    assert "1:1: (file): character U+0000 at offset 3" in only(problems(b"\xef\xbb\xbf\0"))


def test_utf16(problems, small):
    assert "is UTF-16, expected UTF-8" in only(problems(small.encode("utf-16")))


def test_invalid_utf8_tells_the_offset(problems):
    assert only(problems(b"bench: a\nlab: \xff\xfe")) == (
        "2:6: (file): byte 0xff at offset 14 is not UTF-8, expected a text file"
    )


def test_directory(tmp_path):
    with pytest.raises(InventoryError, match="this is a directory, expected a bench file"):
        load(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(InventoryError, match=r"none\.yaml:1:1: \(file\): there is no such file"):
        load(tmp_path / "none.yaml")


def test_path_with_nul():
    with pytest.raises(InventoryError, match="holds a NUL"):
        load("a\0b")


def test_path_too_long():
    with pytest.raises(InventoryError, match="cannot be read"):
        load("a" * 5000)


def test_pipe_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InventoryError, match="no regular file"):
        load(pipe)


@pytest.fixture
def not_root() -> Iterator[None]:
    """Root may read every file: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_file_of_somebody_else(tmp_path, small, request):
    path = tmp_path / "bench.yaml"
    path.write_text(small)
    path.chmod(0)
    for directory in tmp_path, *tmp_path.parents[:2]:
        directory.chmod(0o755)
    request.getfixturevalue("not_root")
    with pytest.raises(InventoryError, match=r"cannot be read \(Permission denied\)"):
        load(path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_file_that_fails_when_it_is_read():
    with pytest.raises(InventoryError, match=r"cannot be read \(Input/output error\), expected"):
        load("/proc/self/mem")


def test_anchor_bomb_is_refused_before_it_goes_off(problems):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    before = time.monotonic()
    found = problems("\n".join(lines))
    assert time.monotonic() - before < 2
    assert sum("an alias (*)" in problem for problem in found) == 99
    assert sum("an anchor (&)" in problem for problem in found) == 12


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "[a: ", "{a: ", "{? ", "!x [", "&a ["])
@pytest.mark.parametrize("front", ["", "? "])
def test_deep_nesting_is_refused(opening, front, problems):
    before = time.monotonic()
    found = problems(front + opening * (200_000 // len(opening)))
    assert time.monotonic() - before < 5
    assert any("nested more than 16 deep" in problem for problem in found)


def test_alias(problems, small):
    found = only(problems(small.replace("[p1, p2]", "*ports")))
    assert found.startswith("10:12: devices.sw1.ports: an alias (*), expected the value itself")


def test_anchor(problems, small):
    found = only(problems(small.replace("[p1, p2]", "&ports [p1, p2]")))
    assert found.startswith("10:12: devices.sw1.ports: an anchor (&), expected none")


def test_merge_key(problems, small):
    found = only(problems(small.replace("ports:", "<<: {}\n    ports:")))
    assert found == "10:5: devices.sw1: a merge key (<<), expected every key written out"


@pytest.mark.parametrize(
    "tag", ["!!python/object:os.system", "!!str", "!x", "!", "!<tag:yaml.org,2002:str>"]
)
def test_tag(tag, problems, small):
    found = problems(small.replace("bench: small", f"bench: {tag} small"))
    assert only(found) == "1:8: bench: a tag (!), expected none: a bench file is plain data"


def test_undeclared_tag_handle(problems, small):
    assert "a tag, expected none" in only(problems(small.replace("small", "!e!x small")))


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%TAG ! tag:x,2000:"])
def test_directive(directive, problems, small):
    assert "a % directive, expected none" in only(problems(f"{directive}\n---\n{small}"))


def test_second_document(problems, small):
    assert only(problems(f"{small}---\nbench: other\n")) == (
        "14:1: (file): a second document, expected one bench in one file"
    )


def test_tab(problems, small):
    assert only(problems(small.replace("  sw1:", "\tsw1:"))) == (
        "8:1: (file): a tab, expected spaces: YAML indents with nothing else"
    )


def test_colon_out_of_place(problems):
    found = only(problems("bench: a: b\n"))
    assert found.startswith("1:9: (file): no YAML: a ':' where none can be")


@pytest.mark.parametrize("broken", ["a: 'x", 'a: "x', "a: [1, 2", "a: }", "a: @x", "- a\nb: c"])
def test_broken_syntax_tells_the_place(broken, problems):
    assert "(file): no YAML: " in only(problems(broken))


@pytest.mark.parametrize(
    "escape", [r"\UFFFFFFFF", r"\U00110000", r"\ud800", r"\0", r"\x1b[31m", r"\n", r"\u2028"]
)
def test_escapes_that_make_no_printable_text(escape, problems, small):
    found = problems(small.replace("bench: small", f'bench: "{escape}"'))
    assert "print" in only(found) or "escapes" in only(found)


def test_keys_that_are_no_names(problems, small):
    found = problems(small.replace("    a: {}", "    1: {}\n    ~: {}\n    true: {}\n    [x]: {}"))
    assert [problem for problem in found if problem.startswith(("5:", "6:", "7:"))] == [
        f"{line}:5: controller.nics: a key that is a number, a truth value or nothing, "
        "expected quotes around a name"
        for line in (5, 6, 7)
    ]
    assert "8:5: controller.nics: a key that is no text, expected a name" in found


def test_top_level_is_no_mapping(problems):
    assert only(problems("- a\n- b\n")) == (
        "1:1: (file): a list is no mapping, expected keys and values"
    )
    assert "'hello' is no mapping" in only(problems("hello"))
