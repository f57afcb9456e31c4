"""Detector maps that sparse files share, and files for readers without plug-ins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import fabio
import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import crystint
from crystint.errors import FileError
from crystint.io.kinds import kind_of
from crystint.io.sparse.open import convert_sparse
from crystint.separation import sparsify

GAP = slice(20, 25)


@pytest.fixture(scope="module")
def data():
    made = crystint.simulate.simulate(
        (80, 90), frames=4, background=4.0, peaks=12, intensity=700.0, dtype="int32", seed=5
    )
    frames = np.array(list(made))
    frames[:, :, GAP] = -1
    frames[1, 3, 4] = frames[3, 50, 60] = -2  # unusable pixels that change
    frames[0, 70, 80] = frames[3, 70, 80] = -2
    separator = crystint.Separator(made.geometry, None, rings=20, valid=crystint.ValidValues(lowest=0))
    return frames, separator, [separator.sparsify(frame) for frame in frames]


def write(path, data, numbers, **how):
    frames, separator, sparse = data
    with crystint.SparseWriter(
        path, separator.rings, frames.dtype, geometry=separator.geometry, provenance={}, **how
    ) as writer:
        for number in numbers:
            writer.write(sparse[number], frame=frames[number])
    return path


def same(path, data, numbers):
    """Whether a file holds some of the frames, for crystint and for FabIO."""
    frames, _, sparse = data
    with crystint.open_sparse(path) as file:
        for one, number in zip(file, numbers, strict=True):
            assert_array_equal(one.index, sparse[number].index)
            assert_array_equal(one.value, sparse[number].value)
            assert_array_equal(one.unusable_index, np.flatnonzero(frames[number].ravel() < 0))
            assert_array_equal(one.unusable_value, frames[number].ravel()[one.unusable_index])
    with fabio.open(str(path)) as image:
        for row, number in enumerate(numbers):
            dense = image.data if len(numbers) == 1 else image.getframe(row).data
            bad = frames[number] < 0
            assert (dense[bad] < 0).all()  # FabIO knows one value for all of them
            assert_array_equal(dense.ravel()[sparse[number].index], sparse[number].value)


def test_files_that_share_maps_hold_the_same_frames(data, tmp_path):
    maps = tmp_path / "maps.h5"
    for name, numbers in (("a.h5", (0, 1)), ("b.h5", (2,)), ("c.h5", (3,)), ("d.h5", (1, 0))):
        same(write(tmp_path / name, data, numbers, maps=maps), data, numbers)
    alone = write(tmp_path / "alone.h5", data, (0, 1))
    with crystint.open_sparse(alone) as one, crystint.open_sparse(tmp_path / "a.h5") as other:
        assert_array_equal(one.rings.position, other.rings.position)
        assert_array_equal(one.rings.weight, other.rings.weight)
        assert_array_equal(one.rings.mask, other.rings.mask)
        assert (one.shared_maps, other.shared_maps) == ("", "maps.h5")
    assert kind_of(maps).name == "detector maps of sparse files"


def test_a_folder_with_its_maps_can_be_moved(data, tmp_path):
    (tmp_path / "one" / "below").mkdir(parents=True)
    path = write(tmp_path / "one/below/a.h5", data, (0,), maps=tmp_path / "one/maps.h5")
    with h5py.File(path) as file:
        link = file["entry_0000/sparse_frames"].get("mask", getlink=True)
        assert link.filename == os.path.join("..", "maps.h5")
    shutil.move(tmp_path / "one", tmp_path / "two")
    same(tmp_path / "two/below/a.h5", data, (0,))
    assert crystint.verify(tmp_path / "two/below/a.h5").ok


def test_maps_that_are_gone_or_changed_are_named(data, tmp_path):
    maps, path = tmp_path / "maps.h5", write(tmp_path / "a.h5", data, (0,), maps=tmp_path / "maps.h5")
    shutil.copyfile(maps, tmp_path / "kept.h5")
    maps.unlink()
    with pytest.raises(crystint.FileError, match=r"shares its detector maps .*maps\.h5"):
        crystint.open_sparse(path)
    assert any("cannot be read" in problem for problem in crystint.verify(path).problems)
    other = crystint.Separator(data[1].geometry, None, rings=21, valid=crystint.ValidValues(lowest=0))
    write(tmp_path / "b.h5", (data[0], other, [other.sparsify(frame) for frame in data[0]]), (0,), maps=maps)
    with pytest.raises(crystint.FileError, match="is not the file that it was made with, or has changed"):
        crystint.open_sparse(path)
    shutil.copyfile(tmp_path / "kept.h5", maps)
    same(path, data, (0,))
    with h5py.File(maps) as file:
        chunk = file["entry_0000/detector_maps/normalization"].id.get_chunk_info(0)
    with maps.open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        byte = raw.read(1)
        raw.seek(chunk.byte_offset + chunk.size // 2)
        raw.write(bytes([byte[0] ^ 4]))
    with pytest.raises(crystint.FileError, match="has changed"):
        crystint.open_sparse(path)
    (problem,) = crystint.verify(path).problems
    assert "normalization (in maps.h5)" in problem


def test_other_maps_and_other_files_are_refused(data, tmp_path):
    frames, separator, _ = data
    maps = tmp_path / "maps.h5"
    write(tmp_path / "a.h5", data, (0,), maps=maps)
    before = maps.read_bytes()
    moved = crystint.Geometry.from_dict(separator.geometry.to_dict() | {"distance": separator.geometry.distance * 1.01})
    mask = np.zeros(frames.shape[1:], np.uint8)
    mask[5, 5] = 1
    valid = crystint.ValidValues(lowest=0)
    for other, words in (
        (crystint.Separator(moved, None, rings=20, valid=valid), "another detector or of other settings"),
        (crystint.Separator(separator.geometry, mask, rings=20, valid=valid), "of other settings"),
    ):
        with pytest.raises(crystint.FileError, match=words):
            write(tmp_path / "b.h5", (frames, other, [other.sparsify(frames[0])]), (0,), maps=maps)
        assert not (tmp_path / "b.h5").exists()
    with pytest.raises(crystint.FileError, match="holds no detector maps"):
        write(tmp_path / "b.h5", data, (0,), maps=tmp_path / "a.h5")
    assert maps.read_bytes() == before


def test_a_damaged_file_of_maps_is_named(data, tmp_path):
    maps = tmp_path / "maps.h5"
    write(tmp_path / "a.h5", data, (0,), maps=maps)
    with h5py.File(maps, "r+") as file:
        del file["entry_0000/detector_maps/unusable_index"]
    with pytest.raises(crystint.FileError, match=r"^\S*maps\.h5: it is damaged, or lacks a part"):
        write(tmp_path / "b.h5", data, (1,), maps=maps)


def test_a_converted_file_stands_alone(data, tmp_path):
    path = write(tmp_path / "a.h5", data, (0, 1), maps=tmp_path / "maps.h5")
    for compact in (True, False):
        convert_sparse(path, tmp_path / f"{compact}.h5", compact=compact)
    (tmp_path / "maps.h5").unlink()
    same(tmp_path / "False.h5", data, (0, 1))
    for compact in (True, False):
        with crystint.open_sparse(tmp_path / f"{compact}.h5") as file:
            assert not file.shared_maps
            assert_array_equal(file[1].index, data[2][1].index)
        assert crystint.verify(tmp_path / f"{compact}.h5").ok


# -------------------------------------------------------------------------------- readers without plug-ins

READER = """
import json, sys
import h5py
assert "hdf5plugin" not in sys.modules
sums = {}
with h5py.File(sys.argv[1]) as file:
    def look(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf":
            sums[name] = float(item[()].astype("f8").ravel()[:1000].sum()) if item.size else 0.0
            assert {item.id.get_create_plist().get_filter(i)[0] for i in range(
                item.id.get_create_plist().get_nfilters())} <= {1, 2}, name
    file.visititems(look)
    for group in ("sparse_frames", "crystint"):
        for name in file["entry_0000"][group]:
            look(f"entry_0000/{group}/{name}", file["entry_0000"][group][name])
print(json.dumps(sums))
"""


def test_everything_that_a_run_can_store_is_gzip_on_request(tmp_path, monkeypatch):
    from crystint.separation import sparsify

    monkeypatch.chdir(tmp_path)
    made = crystint.simulate.simulate((150, 160), frames=3, background=3.0, peaks=20, intensity=900.0, seed=2)
    detector = {"geometry": made.geometry, "mask": None, "saturation": 60000.0, "provenance": {}}
    with crystint.DenseWriter("run.h5", made.shape, made.dtype, **detector) as writer:
        for frame in made:
            writer.write(frame)
    options = {"rings": 30, "compression": "gzip", "audit": True, "grow": 1}
    sparsify(["run.h5"], "sparse.h5", options, peaks=True)
    filters = {}

    def look(name, item):
        if isinstance(item, h5py.Dataset):
            plist = item.id.get_create_plist()
            filters[name] = {plist.get_filter(number)[0] for number in range(plist.get_nfilters())}

    with h5py.File("sparse.h5") as file:
        file.visititems(look)
    assert {name: used for name, used in filters.items() if used - {1, 2}} == {}  # gzip and shuffle
    assert filters["entry_0000/crystint/reason"] == {1, 2}
    assert crystint.verify("sparse.h5").ok


@pytest.mark.parametrize("maps", [False, True])
def test_a_gzip_file_is_read_without_plugins(data, tmp_path, maps):
    how = {"maps": tmp_path / "maps.h5"} if maps else {}
    path = write(tmp_path / "a.h5", data, (0, 1, 3), compression="gzip", peaks=True, **how)
    same(path, data, (0, 1, 3))
    environment = {name: value for name, value in os.environ.items() if name not in ("HDF5_PLUGIN_PATH", "PYTHONPATH")}
    environment["HDF5_PLUGIN_PATH"] = str(tmp_path / "nowhere")
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    sums = json.loads(done.stdout)
    with h5py.File(path) as file:
        for name in ("sparse_frames/intensity", "sparse_frames/normalization", "peaks/columns/slow"):
            values = file[f"entry_0000/{name}"][()].astype(float).ravel()[:1000]
            assert sums[f"entry_0000/{name}"] == float(values.sum())
    convert_sparse(path, tmp_path / "again.h5", compact=False)
    with crystint.open_sparse(tmp_path / "again.h5") as file:
        assert file.gzipped
    write(tmp_path / "c.h5", data, (0,), maps=tmp_path / "zstd.h5")
    with pytest.raises(crystint.FileError, match="without plug-ins cannot read"):
        write(tmp_path / "b.h5", data, (0,), compression="gzip", maps=tmp_path / "zstd.h5")
    with pytest.raises(crystint.SettingError, match="expected zstd or gzip"):
        write(tmp_path / "b.h5", data, (0,), compression="lzma")


def test_a_file_of_maps_is_no_output_to_replace(data, tmp_path):
    one = write(tmp_path / "one.h5", data, [0], maps=tmp_path / "maps.h5")
    before = (tmp_path / "maps.h5").read_bytes()
    with pytest.raises(FileError, match=r"holds detector maps, .* is not replaced: name another output"):
        write(tmp_path / "maps.h5", data, [0], overwrite=True)
    np.save(tmp_path / "frames.npy", data[0])
    data[1].geometry.write(tmp_path / "geometry.json")
    settings = {"geometry": tmp_path / "geometry.json"}
    with pytest.raises(FileError, match="is not replaced"):
        sparsify([tmp_path / "frames.npy"], tmp_path / "maps.h5", settings, overwrite=True)
    assert (tmp_path / "maps.h5").read_bytes() == before
    same(one, data, [0])
