"""The validation of stills is a gate: it ends with 1 where a row is missed."""

from __future__ import annotations

import pytest

from benchmarks import validate_stills
from benchmarks.gates import at_least, at_most, told, within

GOOD = (at_least("a", 1.0, 1.0), at_most("b", 1.0, 1.0), within("c", 2.0, 1.0, 2.0), told("d", "no limit"))
BAD = (at_least("a", 0.99, 1.0), at_most("b", 1.01, 1.0), within("c", 2.1, 1.0, 2.0), at_most("n", float("nan"), 1.0))


@pytest.mark.parametrize("row", [*GOOD, *BAD])
def test_it_ends_with_one_where_a_row_is_missed(monkeypatch, capsys, tmp_path, row):
    seen = []

    def rows(folder):
        seen.append(folder)
        yield from (*GOOD, row, *GOOD)

    monkeypatch.setattr(validate_stills, "PARTS", {"one": ("One", rows), "two": ("Two", lambda _: iter(GOOD))})
    missed = row in BAD
    assert validate_stills.main([str(tmp_path)]) == missed
    assert seen == [tmp_path]
    text = capsys.readouterr().out
    assert ("\n1 missed\n" in text, "\nall met\n" in text, "**no**" in text) == (missed, not missed, missed)
    assert validate_stills.main([str(tmp_path), "two"]) == 0
    assert "### One" not in capsys.readouterr().out
