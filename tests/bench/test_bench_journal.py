import json

from hypothesis import given
from hypothesis import strategies as st

from testbed.bench.journal import Journal
from testbed.devices.changes import Change
from testbed.errors import DeviceError
from testbed.timing import Instant


def journal(path):
    return Journal(path, lambda: Instant(7))


def change(number: int) -> Change:
    return Change("sw1", f"change {number}", (f"undo {number}",))


def test_what_was_written_is_there_after_a_crash(tmp_path) -> None:
    first = journal(tmp_path / "j")
    first.before(change(1))
    first.before(change(2))
    first.undone(first.entries[1])
    second = journal(tmp_path / "j")  # the first one was never closed
    assert [entry.change for entry in second.open_entries()] == [change(1)]


def test_changes_are_undone_newest_first(tmp_path) -> None:
    book = journal(tmp_path / "j")
    for number in (1, 2, 3):
        book.before(change(number))
    undone = []
    assert book.undo_all(lambda entry: undone.append(entry.number), book.open_entries()) == []
    assert undone == [3, 2, 1]


def test_a_failure_does_not_stop_the_rest_and_stays_open(tmp_path) -> None:
    book = journal(tmp_path / "j")
    for number in (1, 2, 3):
        book.before(change(number))

    def undo(entry) -> None:
        if entry.number == 2:
            raise DeviceError("sw1: refused")

    assert book.undo_all(undo, book.open_entries()) == ["sw1: sw1: refused"]
    assert [entry.number for entry in book.open_entries()] == [2]


def test_a_torn_last_line_is_a_change_that_was_never_made(tmp_path) -> None:
    book = journal(tmp_path / "j")
    book.before(change(1))
    with (tmp_path / "j").open("a") as file:
        file.write('{"do": 2, "at": 7, "dev')
    again = journal(tmp_path / "j")
    again.before(change(2))
    third = journal(tmp_path / "j")
    assert [entry.change for entry in third.entries] == [change(1), change(2)]


@given(st.binary(max_size=300))
def test_junk_in_the_file_is_no_reason_to_fall_over(tmp_path_factory, junk) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    path.write_bytes(junk + b"\n" + json.dumps({"undone": 1, "at": 1}).encode())
    journal(path).close()


def test_a_journal_with_nothing_to_undo_leaves_no_file(tmp_path) -> None:
    book = journal(tmp_path / "j")
    book.before(change(1))
    book.undone(book.entries[0])
    book.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_with_something_to_undo_stays(tmp_path) -> None:
    book = journal(tmp_path / "j")
    book.before(change(1))
    book.close()
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


def test_a_journal_without_a_path_keeps_nothing_on_disk(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    book = journal(None)
    book.before(change(1))
    assert [entry.change for entry in book.open_entries()] == [change(1)]
    book.close()
    assert list(tmp_path.iterdir()) == []
