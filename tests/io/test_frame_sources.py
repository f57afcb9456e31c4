"""Columns that grow with the frames: where they came from, rows that are appended, lists in JSON and in .refl files."""

from __future__ import annotations

import io
import json

import msgpack
import numpy as np
import pytest

from crystint.io.frames.frame_sources import FrameSources
from crystint.io.frames.readers import FrameSource
from crystint.io.json_lists import write_json
from crystint.io.reflections import dials_table_out
from crystint.io.reflections.dials_table import read_table
from crystint.io.reflections.dials_table_out import write_table
from crystint.model.appended_rows import AppendedRows

LISTED = [FrameSource("b.h5", 7, "/d"), FrameSource("a.cbf", 0), FrameSource("b.h5", 8, "/d"), FrameSource("c.cbf", 0)]


def test_sources_are_what_they_were_made_of() -> None:
    sources = FrameSources.of(iter(LISTED))
    assert list(sources) == LISTED
    assert sources.places == (("b.h5", "/d"), ("a.cbf", None), ("c.cbf", None))
    assert sources.files.tolist() == [each.file for each in LISTED]
    assert FrameSources.of(sources) is sources
    assert sources.place.itemsize + sources.number.itemsize == 12


@pytest.mark.parametrize("some", [slice(0, 2), slice(1, None), slice(3, None), slice(2, 1), slice(None, None, -1)])
def test_some_of_them_name_only_their_own_files(some: slice) -> None:
    chosen = FrameSources.of(LISTED)[some]
    assert list(chosen) == LISTED[some]
    assert list(chosen.places) == list(dict.fromkeys((each.file, each.dataset) for each in LISTED[some]))


def test_rows_are_those_that_were_appended() -> None:
    rng = np.random.default_rng(1)
    blocks = [rng.integers(0, 99, size) for size in rng.integers(0, 700, 40)]
    rows = AppendedRows(np.int32)
    for block in blocks:
        rows.add(block)
    assert len(rows) == sum(map(len, blocks))
    end = rows.end()
    assert end.dtype == np.int32
    np.testing.assert_array_equal(end, np.concatenate(blocks))
    rows.add(np.array([4]))  # what was given away is left alone
    assert rows.end().tolist() == [4]
    np.testing.assert_array_equal(end, np.concatenate(blocks))


def test_lists_in_json_are_whole() -> None:
    text = io.StringIO()
    plain = {"name": 'a "b"', "none": None, "nothing": [], "inner": {"x": [1, 2]}}
    write_json(
        text,
        plain
        | {
            "frames": iter([[["a", 1]], [], [["b", 2], ["c", 3]]]),
            "table": {"one": iter([[1.5, None], [2]]), "two": iter([]), "three": [3]},
        },
    )
    assert json.loads(text.getvalue()) == plain | {
        "frames": [["a", 1], ["b", 2], ["c", 3]],
        "table": {"one": [1.5, None, 2], "two": [], "three": [3]},
    }


def test_columns_made_in_blocks_are_those_of_messagepack(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dials_table_out, "_AT_ONCE", 3)
    numbers, places = np.arange(8), np.arange(24.0).reshape(8, 3)
    write_table(
        tmp_path / "t.refl",
        {"id": ("int", lambda some: numbers[some]), "xyzobs.px.value": ("vec3<double>", places)},
        rows=8,
        identifiers={0: "a"},
        overwrite=False,
    )
    _, version, table = msgpack.unpackb((tmp_path / "t.refl").read_bytes(), strict_map_key=False)
    assert (version, table["nrows"], table["identifiers"]) == (1, 8, {0: "a"})
    assert table["data"]["id"] == ["int", [8, numbers.astype("<i4").tobytes()]]
    assert table["data"]["xyzobs.px.value"] == ["vec3<double>", [8, places.astype("<f8").tobytes()]]
    np.testing.assert_array_equal(read_table(tmp_path / "t.refl")["xyzobs.px.value"], places)
