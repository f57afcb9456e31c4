"""What info says of peak lists: frames are rows, hits are counted among them, and the frames of a CXI are told, too."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import FileError
from crystint.io.describe import describe
from crystint.model.peaks import empty_peaks
from tests.io.hdf5_files import SHAPE, stack


def cheetah(path, counts, frames=None, mask=None):
    """A CXI file as Cheetah writes it."""
    width = max(*counts, 1)
    with h5py.File(path, "w") as file:
        result = file.create_group("entry_1/result_1")
        result["nPeaks"] = np.array(counts, "i4")
        for name in ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity"):
            result[name] = np.full((len(counts), width), 5.0, "f4")
        if frames is not None:
            file["entry_1/data_1/data"] = frames
        if mask is not None:
            file["entry_1/data_1/mask"] = mask
    return path


def test_frames_and_peaks_of_a_cxi_file(tmp_path):
    mask = np.zeros(SHAPE, np.uint16)
    mask[3, 4] = 1
    about = describe(cheetah(tmp_path / "x.cxi", [0, 12, 3, 0], stack(4), mask))
    assert (about["kind"], about["form"], about["peaks"]) == ("peak list", "CXI", 15)
    assert (about["frames"], about["with peaks"], about["hits"]) == (4, 2, "1 (>= 10 peaks)")
    assert (about["images"], about["shape"], about["dtype"]) == (4, "31 x 47 (slow x fast)", "uint16")
    assert about["dataset"] == "/entry_1/data_1/data"
    assert about["mask"].startswith("1 px")


def test_a_cxi_file_without_frames_or_with_those_of_a_lost_file(tmp_path):
    assert "images" not in describe(cheetah(tmp_path / "x.cxi", [1, 0]))
    with h5py.File(cheetah(tmp_path / "y.cxi", [1, 0]), "r+") as file:
        layout = h5py.VirtualLayout((2, *SHAPE), np.uint16)
        layout[...] = h5py.VirtualSource("lost.h5", "data", (2, *SHAPE))
        file.create_virtual_dataset("entry_1/data_1/data", layout)
    about = describe(tmp_path / "y.cxi")
    assert (about["images"], about["images missing"]) == (2, "2 frames: 0, 1")
    assert "lost.h5 does not exist" in about["why missing"]


@pytest.mark.parametrize("name", ["p.cxi", "p.h5", "p.jsonl", "p.refl", "SPOT.XDS"])
def test_frames_without_peaks_count_in_every_format(tmp_path, name):
    peaks = empty_peaks(14)
    peaks["frame"], peaks["slow"], peaks["fast"], peaks["intensity"] = [1] * 11 + [3] * 3, 5.5, 7.5, 9.0
    crystint.write_peaks(tmp_path / name, peaks, shape=SHAPE, n_frames=6, provenance={}, missing=[4])
    about = describe(tmp_path / name)
    assert (about["peaks"], about["frames"], about["with peaks"], about["hits"]) == (14, 6, 2, "1 (>= 10 peaks)")
    assert about["missing"] == "1 frame: 4"
    if name in ("p.refl", "SPOT.XDS"):
        (tmp_path / f"{name}.json").unlink()
        about = describe(tmp_path / name)
        assert (about["frames"], about["with peaks"]) == ("not told", 2)


def test_a_sparse_file_that_lacks_its_background_is_refused_by_all(tmp_path):
    data = crystint.simulate.simulate((60, 70), background=5.0, peaks=3, intensity=900.0, dtype="uint16", seed=1)
    separator = crystint.Separator(data.geometry, data.mask, rings=20)
    with crystint.SparseWriter(tmp_path / "s.h5", separator.rings, data.dtype,
                               geometry=data.geometry, provenance={}) as writer:  # fmt: skip
        writer.write(separator.sparsify(data[0]))
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        del file["entry_0000/sparse_frames/background_avg"]
    for use in (describe, crystint.open_sparse, lambda path: crystint.separation.densify_file(path, tmp_path / "d.h5")):
        with pytest.raises(FileError, match=r"s.h5 is a damaged sparse file: it has no background_avg"):
            use(tmp_path / "s.h5")
