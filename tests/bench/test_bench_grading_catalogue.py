"""The catalogue as data: all of its rows, and a defect for each one that it names."""

from __future__ import annotations

import pytest

from testbed.bench.grading.catalogue import CATALOGUE, row_of
from testbed.bench.grading.registry import known_defects

SIZES = {"SW": 23, "IP": 16, "FR": 9, "PM": 9, "UD": 3, "AP": 8, "TC": 31, "BM": 10}


def test_every_row_of_every_family_in_order() -> None:
    rows = [f"{family}-{n:02}" for family, size in SIZES.items() for n in range(1, size + 1)]
    assert [row.id for row in CATALOGUE] == rows


def test_each_says_what_and_where() -> None:
    for row in CATALOGUE:
        assert row.title, row.id
        assert row.where, row.id
        assert all(
            place in ("stack", "wire", "labs") or place.startswith("sim:") for place in row.where
        )


def test_a_row_is_found_by_its_id() -> None:
    found = row_of("SW-02")
    assert found is not None
    assert found.defects == ("keeps the old port",)
    assert row_of("MY-1") is None


@pytest.mark.parametrize("row", [row for row in CATALOGUE if row.defects], ids=lambda row: row.id)
def test_what_a_row_names_is_a_defect_of_that_row(row) -> None:
    names = {known.defect.name for known in known_defects() if known.row == row.id}
    assert [name for name in row.defects if name not in names] == []


def test_there_are_more_than_the_catalogue_names() -> None:
    assert len(known_defects()) >= 120
