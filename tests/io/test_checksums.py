"""Checksums: what others recompute with h5py, and what a changed byte does."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import crystint
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.files import create_hdf5

KINDS = ("sparse.h5", "compact.h5", "gzip.h5", "bslz4.h5", "peaks.h5", "peaks.cxi")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind that has checksums."""
    folder = tmp_path_factory.mktemp("files")
    data = crystint.simulate.simulate((60, 70), frames=20, background=3.0, peaks=9, intensity=500.0, seed=3)
    separator = crystint.Separator(data.geometry, data.mask, rings=12)
    rows = [separator.sparsify(frame) for frame in data]
    peaks = [separator.peaks(frame) for frame in data]
    for number, each in enumerate(peaks):
        each["frame"] = number
    for name in KINDS[:2]:
        how = {"geometry": data.geometry, "provenance": {"inputs": ["a"]}, "peaks": True, "compact": "comp" in name}
        with crystint.SparseWriter(folder / name, separator.rings, data.dtype, **how) as writer:
            for one, found in zip(rows, peaks, strict=True):
                writer.write(one, found)
    for name in KINDS[2:4]:
        how = {"geometry": data.geometry, "mask": None, "saturation": 1000.0, "provenance": {}}
        with crystint.DenseWriter(folder / name, data.shape, data.dtype, compression=name[:-3], **how) as writer:
            for frame in data:
                writer.write(frame)
    for name in KINDS[4:]:
        crystint.write_peaks(
            folder / name, np.concatenate(peaks), shape=data.shape, n_frames=20, geometry=data.geometry
        )
    return folder


def places(path: Path) -> list[tuple[str, int, int]]:
    """Name of a data set, first byte and number of bytes of all data of which HDF5 tells the place."""
    found = []

    def look(name, item):
        if not isinstance(item, h5py.Dataset) or item.dtype.hasobject or item.is_virtual:
            return
        if item.chunks is None:
            if item.id.get_offset() is not None and item.id.get_storage_size():
                found.append((f"/{name}", item.id.get_offset(), item.id.get_storage_size()))
            return
        for number in range(item.id.get_num_chunks()):
            chunk = item.id.get_chunk_info(number)
            found.append((f"/{name}", chunk.byte_offset, chunk.size))

    with h5py.File(path) as file:
        file.visititems(look)
    return found


def flipped(path: Path, place: int, bit: int = 0) -> None:
    with path.open("r+b") as raw:
        raw.seek(place)
        (byte,) = raw.read(1)
        raw.seek(place)
        raw.write(bytes([byte ^ (1 << bit)]))


@pytest.mark.parametrize("name", KINDS)
def test_others_compute_the_same_sums(files, name):
    with h5py.File(files / name) as file:
        table = json.loads(file[f"{file.attrs['default']}/checksums/data"].asstr()[()])["data"]
        numbers = {}
        file.visititems(
            lambda place, item: numbers.update({"/" + place: item} if isinstance(item, h5py.Dataset) else {})
        )
        for place, item in numbers.items():
            if "/checksums/" in place or item.is_virtual:
                continue
            digest = hashlib.sha256()
            if item.chunks:
                for number in range(item.id.get_num_chunks()):
                    digest.update(item.id.read_direct_chunk(item.id.get_chunk_info(number).chunk_offset)[1])
            elif item.dtype.hasobject:
                digest.update(b"\0".join(np.asarray(item[()], object).reshape(-1).tolist()))
            else:
                digest.update(np.asarray(item[()]).tobytes())
            assert table[place]["sha256"] == digest.hexdigest(), place
    assert crystint.verify(files / name).ok


@pytest.mark.parametrize("name", KINDS)
def test_one_flipped_bit_in_any_chunk_is_found(files, name, tmp_path):
    path, rng = tmp_path / name, np.random.default_rng(0)
    shutil.copyfile(files / name, path)
    some = [(data_set, start + int(rng.integers(size))) for data_set, start, size in places(path)]
    assert len(some) > 10
    for number in rng.choice(len(some), 4, replace=False):  # one byte in the whole file
        data_set, place = some[number]
        flipped(path, place, int(number % 8))
        assert [data_set in problem for problem in crystint.verify(path).problems] == [True]
        flipped(path, place, int(number % 8))
    for _, place in some:  # and one in every chunk, in one go: each of the data sets is named
        flipped(path, place, int(rng.integers(8)))
    problems = crystint.verify(path).problems
    assert sorted(line.split(":")[0] for line in problems) == sorted({data_set for data_set, _ in some})


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_in_texts_attributes_and_the_table_is_found(files, name, tmp_path):
    path = tmp_path / name
    shutil.copyfile(files / name, path)
    raw = path.read_bytes()
    words = [
        b"crystint ",
        b"distance",
        b"NXnote",
        b"pixel",
        b'"sha256": "',
    ]  # a version, geometry, attributes, the table
    for word in words:
        place = raw.find(word)
        if place < 0:
            continue
        flipped(path, place + len(word) - 1)
        try:
            assert not crystint.verify(path).ok, word
        except crystint.FileError:
            assert word == b"distance"  # the name of a data set: HDF5 sorts by names
        flipped(path, place + len(word) - 1)
    assert crystint.verify(path).ok


def test_a_broken_link_of_the_book_keeping_is_found(files, tmp_path):
    """Of an index of chunks (HDF5 File Format Specification, III.A.1): data can be read, objects not visited."""
    path = tmp_path / "broken.h5"
    shutil.copyfile(files / "sparse.h5", path)
    for node in re.finditer(b"TREE\x01\x00", path.read_bytes()):
        flipped(path, node.start() + 17)  # of the address of the right neighbour
    assert "visited" in "".join(crystint.verify(path).problems)


def test_what_is_changed_with_h5py_is_found(files, tmp_path):
    def changed(change):
        path = tmp_path / "changed.h5"
        shutil.copyfile(files / "sparse.h5", path)
        with h5py.File(path, "r+") as file:
            change(file)
        return "\n".join(crystint.verify(path).problems)

    def attribute(file):
        file["entry_0000/crystint"].attrs["cycles"] = 6

    def deleted(file):
        del file["entry_0000/crystint/snr"]

    def added(file):
        file["entry_0000/crystint/more"] = 1

    def value(file):
        file["entry_0000/sparse_frames/intensity"][5] += 1

    def shorter(file):
        file["entry_0000/crystint/frame"].resize((19,))

    assert "/entry_0000/crystint: its attributes or members" in changed(attribute)
    assert "/entry_0000/crystint/snr is not there" in changed(deleted)
    assert "/entry_0000/crystint: its attributes or members" in changed(added)
    assert "/entry_0000/sparse_frames/intensity: its" in changed(value)
    assert "/entry_0000/crystint/frame: its attributes, type, shape or packing" in changed(shorter)
    assert changed(lambda file: None) == ""


def test_files_without_checksums_and_other_files_cannot_be_verified(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "other.h5").read_bytes()[:500])
    for name, words in (
        ("other.h5", "no checksums"),
        ("text.h5", "neither HDF5 nor CBF"),
        ("cut.h5", "truncated"),
        ("no", "exist"),
    ):
        with pytest.raises(crystint.FileError, match=words):
            crystint.verify(tmp_path / name)


def test_a_list_that_is_flushed_twice_has_the_sum_of_what_is_in_the_file(tmp_path):
    with create_hdf5(tmp_path / "a.h5", False, "test", checksums=True) as file:
        column = AppendableDataset(file["/"], "column", np.int32, chunk=4)
        for part in (np.arange(3), np.arange(3, 5), np.arange(5, 30)):
            column.add(part)
            column.flush()
    assert crystint.verify(tmp_path / "a.h5").ok


def test_converting_an_old_file_gives_it_checksums(tmp_path):
    source = Path(__file__).parents[1] / "data/sparse/format-1.h5"
    from crystint.io.sparse.open import convert_sparse

    convert_sparse(source, tmp_path / "new.h5", compact=False)
    assert crystint.verify(tmp_path / "new.h5").ok
