"""Names of files: patterns, files that are named twice, masters beside their data files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.errors import CrystintWarning, FileError
from crystint.io.linked_files import files_read
from crystint.io.names import expand
from tests.io.hdf5_files import eiger_master, stack, virtual_master


@pytest.mark.parametrize(
    ("made", "pattern", "expected"),
    [
        (["a_10", "a_9"], "a_*", ["a_9", "a_10"]),
        (["run [1]/a_2", "run [1]/a_1", "run 1/a_3"], "run [1]/a_*", ["run [1]/a_1", "run [1]/a_2"]),
        (["run 1/a_1", "run 2/a_1", "run 3/a_1"], "run [13]/a_*", ["run 1/a_1", "run 3/a_1"]),
        (["x[a]/y[b]/1", "x[a]/y[b]/2"], "x[a]/y[b]/?", ["x[a]/y[b]/1", "x[a]/y[b]/2"]),
        (["a[1]_2", "a[1]_1"], "a[1]_*", ["a[1]_1", "a[1]_2"]),
        (["r/s/t/1", "r/2"], "r/**/[0-9]", ["r/2", "r/s/t/1"]),
        (["a*b"], "a*b", ["a*b"]),
    ],
)
def test_patterns(tmp_path, monkeypatch, made, pattern, expected):
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in expand(pattern)] == expected
    assert [str(path) for path in expand(str(tmp_path / pattern))] == [str(tmp_path / name) for name in expected]
    assert [str(path) for path in files_read([pattern])] == expected
    with pytest.raises(FileError, match=re.escape(f"no file matches {pattern}.none*")):
        expand(f"{pattern}.none*")


def test_a_file_that_is_named_twice_is_read_once(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"a_{number}.npy", stack(1, seed=number))
    (tmp_path / "last.npy").symlink_to("a_2.npy")
    with pytest.warns(CrystintWarning, match=r"read once: \S*last.npy is \S*a_2.npy, \S*a_1"):
        frames = crystint.open_frames(tmp_path / "*.npy", tmp_path / "a_1.npy")
    assert len(frames) == 3


@pytest.mark.parametrize("make", [eiger_master, virtual_master])
@pytest.mark.parametrize("reverse", [False, True])
def test_data_files_beside_their_master_are_left_out(tmp_path, make, reverse):
    frames = stack()
    master = make(tmp_path, frames)
    names = sorted(tmp_path.glob("*.h5"), reverse=reverse)
    with pytest.warns(CrystintWarning, match=f"data_00000[123].h5 is left out: .*{master.name} shows its") as caught:
        opened = crystint.open_frames(names)
    assert len(opened) == 5
    assert opened.files == [str(master)]
    assert len(caught) == 3
    assert np.array_equal(opened[:], frames)


def test_a_file_of_which_another_shows_no_frames_stays(tmp_path):
    one, two = stack(2), stack(2, seed=1)
    for name, frames in (("a.h5", one), ("b.h5", two)):
        with h5py.File(tmp_path / name, "w") as file:
            file["entry/data/data"] = frames
            file["dark"] = h5py.ExternalLink("b.h5" if name == "a.h5" else "a.h5", "/entry/data/data")
    opened = crystint.open_frames(tmp_path / "a.h5", tmp_path / "b.h5")
    assert np.array_equal(opened[:], np.concatenate([one, two]))


def test_info_expands_patterns_and_knows_folders(tmp_path):
    for number in (10, 9):
        np.save(tmp_path / f"a_{number}.npy", stack(1, seed=number))
    names = map(str, (tmp_path / "a_*.npy", tmp_path, tmp_path / "b*"))
    result = CliRunner().invoke(main, ["info", *names, "--json"])
    files = {Path(about["file"]).name: about for about in json.loads(result.stdout)}
    assert list(files) == ["a_9.npy", "a_10.npy", tmp_path.name, "b*"]
    assert files["a_10.npy"]["frames"] == 1
    assert "is a folder; name its files" in files[tmp_path.name]["why"]
    assert "no file matches" in files["b*"]["why"]
    assert result.exit_code == 1
