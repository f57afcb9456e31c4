"""Files behind HDF5 files, as HDF5 itself finds them, and outputs that would replace one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import FileError, SettingError
from crystint.io.describe import describe
from crystint.io.linked_files import files_read, master_of
from crystint.io.outputs import _temporary, atomic_path, check_outputs, remove_leftovers
from crystint.run.geometry import geometry_of
from crystint.run.settings import DetectorSettings
from tests.io.hdf5_files import eiger_master, stack

FRAMES = stack(3)


def data_file(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = FRAMES
    return path


def external(master: Path, name: str) -> None:
    with h5py.File(master, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink(name, "/entry/data/data")


def virtual(master: Path, name: str) -> None:
    with h5py.File(master, "w") as file:
        layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
        layout[...] = h5py.VirtualSource(name, "/entry/data/data", FRAMES.shape)
        file.create_virtual_dataset("entry/data/data", layout)


def real(paths) -> set[str]:
    return {os.path.realpath(path) for path in paths}


@pytest.mark.parametrize("make", [external, virtual])
def test_beside_what_a_link_to_the_master_means(tmp_path, make):
    target = data_file(tmp_path / "raw" / "d.h5")
    make(tmp_path / "raw" / "master.h5", "d.h5")
    (tmp_path / "work").mkdir()
    link = tmp_path / "work" / "link.h5"
    link.symlink_to("../raw/master.h5")
    with h5py.File(link) as file:
        assert np.array_equal(file["entry/data/data"], FRAMES)
    with crystint.open_frames(link) as frames:
        assert np.array_equal(frames[1], FRAMES[1])
        assert str(target) in real(frames.all_files())
    assert str(target) in real(files_read([link]))


def test_raw_bytes_lie_in_the_working_folder_whatever_is_beside_the_master(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    with h5py.File(tmp_path / "raw" / "m.h5", "w") as file:
        place = [("frames.bin", 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("entry/data/data", FRAMES.shape, FRAMES.dtype, external=place)
    FRAMES.tofile(tmp_path / "frames.bin")
    np.zeros_like(FRAMES).tofile(tmp_path / "raw" / "frames.bin")
    monkeypatch.chdir(tmp_path)
    with h5py.File("raw/m.h5") as file:
        assert np.array_equal(file["entry/data/data"], FRAMES)
    assert str(tmp_path / "frames.bin") in real(files_read(["raw/m.h5"]))


@pytest.mark.parametrize("name", ["d[1].h5", "d*.h5", "d%%x.h5", "dæta é.h5"])
def test_names_are_taken_as_hdf5_takes_them(tmp_path, name):
    folder = tmp_path / "run [1]"
    target = data_file(folder / name.replace("%%", "%"))
    data_file(folder / "dx.h5")
    virtual(folder / "m.h5", name)
    with h5py.File(folder / "m.h5") as file:
        assert np.array_equal(file["entry/data/data"], FRAMES)
    with crystint.open_frames(folder / "m.h5") as frames:
        assert np.array_equal(frames[2], FRAMES[2])
    assert real(files_read([folder / "m.h5"])) == {str(folder / "m.h5"), str(target)}


def test_a_series_of_sources(tmp_path):
    folder = tmp_path / "run [1]"
    targets = [data_file(folder / f"d_{number}.h5") for number in range(2)]
    n, slow, fast = FRAMES.shape
    unlimited = h5py.h5s.UNLIMITED
    with h5py.File(folder / "m.h5", "w", libver="latest") as file:
        space = h5py.h5s.create_simple((n, slow, fast), (unlimited, slow, fast))
        space.select_hyperslab((0, 0, 0), (unlimited, 1, 1), (n, 1, 1), (n, slow, fast))
        source = h5py.h5s.create_simple((n, slow, fast))
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_virtual(space, b"d_%b.h5", b"/entry/data/data", source)
        extent = h5py.h5s.create_simple((n, slow, fast), (unlimited, slow, fast))
        h5py.h5d.create(file.create_group("entry/data").id, b"data", h5py.h5t.NATIVE_UINT16, extent, layout)
    with h5py.File(folder / "m.h5") as file:
        assert len(file["entry/data/data"]) == 2 * n
    assert set(map(str, targets)) < real(files_read([folder / "m.h5"]))


def test_nested_files_are_known_to_a_run_that_is_resumed(tmp_path):
    target = data_file(tmp_path / "d.h5")
    virtual(tmp_path / "middle.h5", "d.h5")
    virtual(tmp_path / "m.h5", "middle.h5")
    with crystint.open_frames(tmp_path / "m.h5") as frames:
        assert real([target, tmp_path / "middle.h5"]) < real(frames.all_files())


def test_a_data_file_tells_of_the_master_beside_it(tmp_path):
    master = eiger_master(tmp_path, FRAMES)
    part = tmp_path / "run_data_000001.h5"
    assert master_of(part) == master
    assert describe(part)["master"] == "run_master.h5 beside it shows these frames"
    with pytest.raises(crystint.GeometryError, match=r"run_master\.h5 beside it shows these frames: work on that"):
        geometry_of(crystint.open_frames(part), DetectorSettings())
    assert "master" not in describe(master)
    data_file(tmp_path / "run_data_000009.h5")  # which the master knows nothing of
    assert master_of(tmp_path / "run_data_000009.h5") is None


@pytest.mark.parametrize("name", ["out.h5.partial", _temporary(Path("out.h5"), "0a1b2c3d")])
def test_an_input_named_like_what_a_run_removes(tmp_path, name):
    source = data_file(tmp_path / name)
    with pytest.raises(FileError, match="named like a temporary file of"):
        check_outputs([tmp_path / "out.h5"], [source], overwrite=True)
    check_outputs([tmp_path / "other.h5"], [source], overwrite=True)


def test_the_notes_of_one_output_are_no_other_output(tmp_path):
    with pytest.raises(SettingError, match="same output twice"):
        check_outputs([tmp_path / "p.refl", tmp_path / "p.refl.json"])


def test_temporary_files_of_long_names_belong_to_one_output(tmp_path):
    for long in ("x" * 120, "é" * 100):
        first, second = (tmp_path / f"{long}{end}.h5" for end in "ab")
        with atomic_path(first) as temporary:
            temporary.write_text("of the first")
            remove_leftovers(second)
            assert temporary.exists()
            remove_leftovers(first)
            assert not temporary.exists()
            temporary.write_text("once more")
        assert first.read_text() == "once more"


def test_a_master_of_many_links_keeps_few_files_open(tmp_path: Path) -> None:
    links, values = 150, np.arange(20, dtype=np.uint16).reshape(4, 5)
    with h5py.File(tmp_path / "master.h5", "w") as master:
        for number in range(links):
            with h5py.File(tmp_path / f"d{number}.h5", "w") as file:
                file.create_dataset("data", data=np.stack([values + number, values + 2 * number]), chunks=(1, 4, 5))
            master[f"entry/data/data_{number + 1:06d}"] = h5py.ExternalLink(f"d{number}.h5", "/data")
    before = _descriptors()
    with crystint.open_frames(tmp_path / "master.h5") as frames:
        assert len(frames) == 2 * links
        for index in (*range(2 * links), 0, 299, 7):
            np.testing.assert_array_equal(frames[index], values + (1 + index % 2) * (index // 2))
        assert len(frames.all_files()) == links + 1
        assert not frames.missing
        assert frames.source(9).dataset == "/entry/data/data_000005"
        assert _descriptors() - before < 80
        (tmp_path / "d5.h5").unlink()
        with pytest.raises(crystint.FileError, match=r"data_000006.*d5\.h5.*does not exist.*was there when"):
            frames[11]
    assert _descriptors() == before


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_is_opened_twice_for_all_that_a_run_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for what it is, and once for a frame."""
    for number in range(9):
        with h5py.File(tmp_path / f"f{number}.h5", "w") as file:
            file["entry/data/data"] = np.full((2, 4, 5), number, np.uint16)
    opened: list[str] = []
    make = h5py.File.__init__

    def noted(self, name, *arguments, **options) -> None:
        if isinstance(name, str | Path):  # else the file of a data set, which is open
            opened.append(Path(name).name)
        make(self, name, *arguments, **options)

    monkeypatch.setattr(h5py.File, "__init__", noted)
    with crystint.open_frames(str(tmp_path / "f*.h5")) as frames:
        assert frames.geometry is None
        assert frames.mask is None
        assert frames.scan is None
        assert frames.unusable_masks == []
        assert len(frames.all_files()) == 9
        assert [frames.source(index).file for index in range(18)] == [frames.files[i // 2] for i in range(18)]
        assert [int(frame[0, 0]) for frame in frames] == [i // 2 for i in range(18)]
    assert sorted(opened) == sorted(2 * [f"f{number}.h5" for number in range(9)])


def test_another_process_opens_files_for_their_frames_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        with h5py.File(tmp_path / f"f{number}.h5", "w") as file:
            file["entry/data/data"] = np.full((2, 4, 5), number, np.uint16)
    monkeypatch.chdir(tmp_path)
    with crystint.open_frames("f*.h5") as frames:
        assert frames.geometry is None
        packed = pickle.dumps(frames)
        some = pickle.dumps(frames.select("3:7"))
    monkeypatch.chdir("/")
    monkeypatch.setattr(h5py, "File", None)  # nothing can be opened
    there = pickle.loads(packed)
    assert len(there) == 8
    assert there.geometry is None
    assert there.scan is None
    there.check_files()
    monkeypatch.undo()
    with pickle.loads(some) as chosen:
        assert [int(frame[0, 0]) for frame in chosen] == [1, 2, 2, 3]
    status = (tmp_path / "f2.h5").stat()
    os.utime(tmp_path / "f2.h5", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(FileError, match=r"f2\.h5 was changed at another time"):
        there.check_files()
    (tmp_path / "f2.h5").write_bytes(b"another file")
    with pytest.raises(FileError, match=r"f2\.h5 has 12 bytes, expected \d+ bytes"):
        there.check_files()
    (tmp_path / "f2.h5").unlink()
    with pytest.raises(FileError, match=r"f2\.h5 does not exist"):
        there.check_files()
