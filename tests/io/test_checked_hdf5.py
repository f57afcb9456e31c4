"""HDF5 files made to crash, to hang or to fill the memory are errors in words, from every reader."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import FileError
from crystint.io.describe import describe
from crystint.io.frames.masks import read_mask
from crystint.io.hdf5.checked import check_virtual
from crystint.io.hdf5.files import open_hdf5
from crystint.io.linked_files import files_read

SHAPE = (3, 20, 30)


def shows(path, name, other="entry/data/data", *, place="entry/data/data", grows=False):
    """A file with a virtual data set that shows that of another file."""
    with h5py.File(path, "a") as file:
        most = (None, *SHAPE[1:]) if grows else SHAPE
        layout = h5py.VirtualLayout(SHAPE, "u2", maxshape=most)
        source = h5py.VirtualSource(name, other, SHAPE, "u2", maxshape=most)
        if grows:
            layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
        else:
            layout[...] = source
        file.create_virtual_dataset(place, layout)
    return path


def itself(folder):
    return shows(folder / "m.h5", ".")


def grows(folder):
    return shows(folder / "m.h5", ".", grows=True)


def by_its_name(folder):
    return shows(folder / "m.h5", "m.h5")


def two_places(folder):
    shows(folder / "m.h5", ".", "entry/b")
    return shows(folder / "m.h5", ".", place="entry/b")


def three_files(folder):
    shows(folder / "c.h5", "m.h5")
    shows(folder / "b.h5", "c.h5")
    return shows(folder / "m.h5", "b.h5")


def behind_a_link(folder):
    with h5py.File(folder / "b.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("m.h5", "entry/data/data")
    return shows(folder / "m.h5", "b.h5")


def deep(folder):
    for number in range(40):
        shows(folder / f"{number}.h5", f"{number + 1}.h5")
    with h5py.File(folder / "40.h5", "w") as file:
        file["entry/data/data"] = np.ones(SHAPE, "u2")
    return folder / "0.h5"


@pytest.mark.parametrize("make", [itself, grows, by_its_name, two_places, three_files, behind_a_link, deep])
def test_a_ring_of_virtual_data_sets_is_an_error(tmp_path, make):
    path = make(tmp_path)
    match = "show one another" if make is deep else "shows itself"
    with pytest.raises(FileError, match=match), crystint.open_frames(path) as frames:
        frames[1]
    with pytest.raises(FileError, match=match):
        describe(path)
    with pytest.raises(FileError, match=match):
        read_mask(path, dataset="entry/data/data")
    assert files_read([path])


def test_virtual_data_sets_of_virtual_data_sets_are_read(tmp_path):
    """Many ways that lead to the same file are no ring."""
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["entry/data/data"] = np.arange(np.prod(SHAPE), dtype="u2").reshape(SHAPE)
    shows(tmp_path / "b.h5", "raw.h5")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        layout = h5py.VirtualLayout((5, *SHAPE[1:]), "u2")
        layout[:3] = h5py.VirtualSource("b.h5", "entry/data/data", SHAPE)
        layout[3:] = h5py.VirtualSource("b.h5", "entry/data/data", SHAPE)[:2]
        file.create_virtual_dataset("entry/data/data", layout)
    with crystint.open_frames(tmp_path / "m.h5") as frames, h5py.File(tmp_path / "raw.h5") as raw:
        for shown, number in zip(range(5), (0, 1, 2, 0, 1), strict=True):
            assert np.array_equal(frames[shown], raw["entry/data/data"][number])


def test_data_sets_of_a_series_are_followed(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        layout = h5py.VirtualLayout(SHAPE, "u2", maxshape=(None, *SHAPE[1:]))
        layout[: h5py.h5s.UNLIMITED : 1] = h5py.VirtualSource(".", "part%b", (1, *SHAPE[1:]), "u2")
        file.create_virtual_dataset("all", layout)
        file["part0"] = np.ones((1, *SHAPE[1:]), "u2")
        file["part1"] = h5py.SoftLink("/all")
    with open_hdf5(tmp_path / "m.h5") as file, pytest.raises(FileError, match="shows itself"):
        check_virtual(file["all"])


def soft_link_to_itself(file):
    file["entry/data/data"] = h5py.SoftLink("/entry/data/data")


def external_ring(file):
    file["entry/data/data"] = h5py.ExternalLink(os.path.basename(file.filename), "/entry/data/data")


def frames_that_cannot_be_stored(file):
    file.create_dataset("entry/data/data", (3, 1 << 31, 1 << 31), "u2", chunks=(1, 64, 64))


def bytes_elsewhere(file):
    Path(file.filename + ".raw").touch()
    place = [(file.filename + ".raw", 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("entry/data/data", (2, 1 << 20, 1 << 20), "u2", external=place)


@pytest.mark.parametrize("make", [soft_link_to_itself, external_ring, frames_that_cannot_be_stored, bytes_elsewhere])
def test_links_that_go_round_and_claims_without_bytes_are_errors(tmp_path, make):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        make(file)
    for read in (lambda: crystint.open_frames(path)[0], lambda: read_mask(path)):
        with pytest.raises(FileError, match=r"m\.h5"):
            read()


@pytest.mark.parametrize(
    ("selection", "refused"),
    [((), True), (slice(None), True), ((slice(0, 4), 5), False), (3, False), ((Ellipsis, 3), True), ([1, 2], False)],
)
def test_what_a_selection_takes_is_counted(tmp_path, selection, refused):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("wide", (1 << 30, 8), "f8", chunks=(64, 8))
    with open_hdf5(tmp_path / "m.h5") as file:
        if refused:
            with pytest.raises(FileError, match=r"m\.h5, /wide, claims \d+.* of which 0 B are stored"):
                file["wide"][selection]
        else:
            assert file["wide"][selection].size <= 32


def test_what_is_stored_is_read_whatever_its_size(tmp_path, monkeypatch):
    for place in ("limits", "hdf5.checked"):
        monkeypatch.setattr(f"crystint.io.{place}.ANY_FILE", 1 << 16)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("large", data=np.ones((1 << 10, 900), "u1"), chunks=(1 << 9, 900), compression="gzip")
        file.create_dataset("larger", (1 << 20, 900), "u1", chunks=(1 << 9, 900), compression="gzip")[0] = 1
    with open_hdf5(tmp_path / "m.h5") as file:
        assert file["large"][:, 3].sum() == 1 << 10
        assert np.asarray(file["large"]).nbytes == 900 << 10
        with pytest.raises(FileError, match="larger"):
            file["larger"][()]
