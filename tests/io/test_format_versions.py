"""Sparse files of each format version, as released versions of crystint wrote them, are read.

``tests/data/sparse/format-1.h5`` and ``format-1-compact.h5`` were made by the version before format versions had a
specification (``crystint sparsify raw.h5 -o ... --rings 16 [--peaks | --compact]``) of the frames in ``frames.npz``:
60 x 70 int32, a gap of -1, pixels of -2 that change, frame 1 damaged in the file. They are not to be made anew.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

import crystint

FOLDER = Path(__file__).parents[1] / "data/sparse"


@pytest.fixture(scope="module")
def frames():
    return np.load(FOLDER / "frames.npz")["frames"]


@pytest.mark.parametrize("name", ["format-1.h5", "format-1-compact.h5"])
def test_a_file_of_format_1_is_read(frames, name):
    with crystint.open_sparse(FOLDER / name) as file:
        assert (len(file), file.shape, file.dtype) == (4, (60, 70), np.dtype(np.int32))
        assert file.missing == (1,)
        assert file.compact == ("compact" in name)
        assert [len(frame.index) for frame in file] == [87, 0, 81, 105]
        for number in (0, 2, 3):
            sparse, raw = file[number], frames[number].ravel()
            assert np.array_equal(sparse.value, raw[sparse.index])
            assert np.array_equal(sparse.unusable_index, np.flatnonzero(raw < 0))
            assert np.array_equal(sparse.unusable_value, raw[sparse.unusable_index])
            assert sparse.background.mean == pytest.approx(4.0, abs=0.8)
            dense = crystint.densify(sparse, noise=False).ravel()
            assert np.array_equal(dense[sparse.index], raw[sparse.index])
            good = np.setdiff1d(np.flatnonzero(raw >= 0), sparse.index)
            assert abs(dense[good].mean() - raw[good].mean()) < 0.3
        assert np.isnan(file[1].background.mean).all()
        assert len(file.peaks) == (0 if file.compact else 30)
        assert file.geometry.shape == (60, 70)


def test_the_layout_of_format_1_is_still_written(tmp_path, frames):
    """Every data set that a reader of the first files needs is there, of the same type."""
    with (
        crystint.open_sparse(FOLDER / "format-1.h5") as old,
        crystint.SparseWriter(
            tmp_path / "new.h5", old.rings, old.dtype, geometry=old.geometry, provenance={}, peaks=True
        ) as writer,
    ):
        for number in (0, 2, 3):
            writer.write(old[number], frame=frames[number])
    with h5py.File(FOLDER / "format-1.h5") as one, h5py.File(tmp_path / "new.h5") as other:
        assert other["entry_0000/crystint"].attrs["format_version"] == 1
        assert other["entry_0000/crystint"].attrs["format"] == one["entry_0000/crystint"].attrs["format"]
        for group in ("sparse_frames", "crystint"):
            for name, item in one[f"entry_0000/{group}"].items():
                if name != "missing" and not name.startswith("source"):
                    assert other[f"entry_0000/{group}/{name}"].dtype == item.dtype, name


def test_a_file_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "later.h5"
    path.write_bytes((FOLDER / "format-1.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["entry_0000/crystint"].attrs["format"] = 3
    with pytest.raises(crystint.FileError, match="update crystint"):
        crystint.open_sparse(path)
