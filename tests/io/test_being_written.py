"""HDF5 files that another program has open for writing, or left open, and files with a block of the user's."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError
from tests import processes
from tests.io.hdf5_files import stack

WRITER = """
import sys
import h5py, hdf5plugin, numpy as np
name, swmr, end = sys.argv[1], sys.argv[2] == "swmr", sys.argv[3]
frames = np.load("frames.npy")
file = h5py.File(name, "w", libver="latest")
room = {"maxshape": (None, *frames.shape[1:]), "chunks": (1, *frames.shape[1:])}
data = file.create_dataset("entry/data/data", (0, *frames.shape[1:]), frames.dtype, **room, **hdf5plugin.LZ4())
if swmr:
    file.swmr_mode = True
for number, frame in enumerate(frames):
    data.resize(number + 1, axis=0)
    data[number] = frame
    data.flush()
file.flush()
print("written", flush=True)
if end == "killed":
    import os
    os._exit(1)
sys.stdin.readline()
file.close()
"""


@pytest.fixture
def written(tmp_path):
    """A function: a file of three frames that a process has open for writing, or left open."""
    np.save(tmp_path / "frames.npy", stack(3))

    def write(swmr: bool, end: str) -> tuple[Path, object]:
        way = "swmr" if swmr else "plain"
        process = processes.started([sys.executable, "-c", WRITER, "x.h5", way, end], tmp_path)
        assert process.stdout.readline() == "written\n"
        if end == "killed":
            process.wait()
        return tmp_path / "x.h5", process

    yield write
    processes.end_all()


@pytest.mark.parametrize("end", ["open", "killed"])
def test_what_is_written_so_far_is_read(written, end):
    path, _ = written(True, end)
    with pytest.warns(CrystintWarning, match=r"x\.h5 is being written: what is in it now is read"):
        frames = crystint.open_frames(path)
    with frames:
        assert np.array_equal(frames[:], stack(3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CrystintWarning)
            assert frames.all_files() == [str(path)]


@pytest.mark.parametrize("end", ["open", "killed"])
def test_a_writer_that_lets_nobody_read_is_told(written, end):
    path, process = written(False, end)
    with pytest.raises(FileError, match=r"x\.h5 is being written by another program, or one that .*`h5clear -s`"):
        crystint.open_frames(path)
    if end == "open":
        process.communicate("\n")
        assert len(crystint.open_frames(path)) == 3


def test_behind_a_link(written, tmp_path):
    written(True, "open")
    with h5py.File(tmp_path / "master.h5", "w") as file:
        layout = h5py.VirtualLayout((3, *stack(3).shape[1:]), np.uint16)
        layout[...] = h5py.VirtualSource("x.h5", "/entry/data/data", layout.shape)
        file.create_virtual_dataset("entry/data/data", layout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)
        with crystint.open_frames(tmp_path / "master.h5") as frames:
            assert np.array_equal(frames[:], stack(3))
            assert str(tmp_path / "x.h5") in frames.all_files()


@pytest.mark.parametrize("block", [512, 4096, 8192, 65536])
def test_a_block_of_the_users_before_hdf5(tmp_path, block):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", userblock_size=block) as file:
        file["entry/data/data"] = stack(3)
    with path.open("r+b") as stream:
        stream.write(b"notes of the user\n" * 20)
    with crystint.open_frames(path) as frames:
        assert np.array_equal(frames[:], stack(3))
    path.write_bytes(path.read_bytes()[: block + 300])
    with pytest.raises(FileError, match=r"x\.h5 is truncated or damaged"):
        crystint.open_frames(path)
