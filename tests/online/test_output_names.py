"""Names of the files of a series."""

from __future__ import annotations

import pytest

from crystint.errors import FileError, RefusedError
from crystint.io.describe import describe
from crystint.online.output_names import checked_prefix, place_outputs, series_name, unfinished_run
from crystint.online.outputs import Outputs
from crystint.online.results_journal import ResultsJournal, looked_at
from crystint.online.series import Series
from crystint.stream.messages import SeriesKey, Start
from tests.online.series_of_frames import result_of


@pytest.mark.parametrize("prefix", ["run", "a/b/run_7", "Lysozyme 3.5 A", "x-1", "µ/träger"])
def test_names_that_are_good(prefix, tmp_path):
    folder, name = place_outputs(tmp_path, prefix)
    assert (folder / name).relative_to(tmp_path).as_posix() == prefix
    assert folder.is_dir()


@pytest.mark.parametrize(
    "prefix",
    ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", ".hidden", "a/.b", "-x", "x.", "x ", "a\nb", "a\0b", "a%bx", "a*",
     "C:x", "a\\b", "x" * 121, "/".join("a" * 17), "a\u202eb"],
)  # fmt: skip
def test_names_that_are_refused(prefix, tmp_path):
    with pytest.raises(RefusedError) as refusal:
        place_outputs(tmp_path, prefix)
    assert (refusal.value.reason, refusal.value.field) == ("bad_value", "prefix")
    assert not list(tmp_path.iterdir())


def test_a_link_that_leads_out_is_refused(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    (out / "away").symlink_to(other)
    (out / "near").mkdir()
    (out / "here").symlink_to(out / "near")
    with pytest.raises(RefusedError, match="leads out"):
        place_outputs(out, "away/run")
    with pytest.raises(RefusedError, match="leads out"):
        place_outputs(out, "away/deeper/run")
    assert place_outputs(out, "here/run") == (out / "near", "run")
    assert not list(other.iterdir())


@pytest.mark.parametrize(
    "ending",
    ["_master.h5", "_data_000007.h5", "_data_000007.h5.part", "_data_000007.h5.partial", "_results.h5.partial",
     "_peaks.cxi", "_peaks.refl.json", "_sparse.h5", ".jsonl"],
)  # fmt: skip
def test_a_name_that_is_taken_gets_a_number(tmp_path, ending):
    (tmp_path / f"run{ending}").write_bytes(b"")
    (tmp_path / f"run_002{ending}").write_bytes(b"")
    assert place_outputs(tmp_path, "run")[1] == "run_003"
    assert place_outputs(tmp_path, "ru")[1] == "ru"
    assert place_outputs(tmp_path, "run_00")[1] == "run_00"


def test_overwriting_removes_the_files_of_that_name_alone(tmp_path):
    for name in ("run_master.h5", "run_data_000009.h5", "run.jsonl", "run_002_master.h5", "runs_master.h5", "run.txt"):
        (tmp_path / name).write_bytes(b"")
    assert place_outputs(tmp_path, "run", overwrite=True)[1] == "run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.txt", "run_002_master.h5", "runs_master.h5"]


def test_files_that_are_being_written_are_not_overwritten(tmp_path):
    journal = ResultsJournal(tmp_path / "run_results.h5", SeriesKey(1))
    (tmp_path / "run_master.h5").write_bytes(b"")
    with pytest.raises(FileError, match="being written"):
        place_outputs(tmp_path, "run", overwrite=True)
    journal.close(keep=False)


def test_a_name_made_of_the_series_is_a_good_one():
    odd = [SeriesKey(3, "../../etc/pass wd%b\n"), SeriesKey(1, "ä" * 500)]
    for key in (SeriesKey(7, "01F-x"), SeriesKey(0), SeriesKey(-4), *odd):
        assert checked_prefix(series_name(key))
    assert series_name(SeriesKey(7, "01F-x")) == "7-01F-x"


def test_what_a_killed_process_left_is_told(tmp_path):
    key = SeriesKey(4, "x")
    assert unfinished_run(tmp_path, key) is None
    journal = ResultsJournal(tmp_path / "run_002_results.h5", key)
    journal.add([result_of(key, number) for number in (0, 1, 2, 5)])
    assert unfinished_run(tmp_path, key) is None  # it is being written
    journal.close(keep=True)
    assert unfinished_run(tmp_path, key) == "run_002"
    assert unfinished_run(tmp_path, SeriesKey(4, "y")) is None
    about = describe(tmp_path / "run_002_results.h5.partial")
    assert (about["kind"], about["images"], about["series"]) == ("journal", 4, "4-x")
    assert looked_at(tmp_path / "run_002_results.h5", key) == [(0, 3), (5, 6)]
    assert looked_at(tmp_path / "other_results.h5", key) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_002_results.h5.partial"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_series_that_are_open_have_names_of_their_own(tmp_path, overwrite):
    """The same series may start anew before the first file of the one before is there."""
    outputs = Outputs(tmp_path, overwrite, pytest.fail)
    every = [Series(Start(SeriesKey(4, "two"), (10, 12), "stream2")) for _ in range(3)]
    for series in every:
        outputs.place(series)
    assert [series.name for series in every] == ["4-two", "4-two_002", "4-two_003"]
    for series in every:
        series.settled = True
    outputs.place(every[1])
    assert every[1].name == "4-two"
