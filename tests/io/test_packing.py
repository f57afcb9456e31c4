"""Chunks packed here are those that HDF5 packs, whoever packs them."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Event, get_ident

import h5py
import numpy as np
import pytest

from crystint.io.hdf5 import packing
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.packing import BSLZ4, GZIP, PLAIN, ZSTD, ChunkWriter

PACKINGS = {"bslz4": BSLZ4, "gzip": GZIP, "none": PLAIN, "zstd": ZSTD}
DTYPES = ["u1", "u2", "i4", "f4", "u8"]


def pooled(workers):
    return ThreadPoolExecutor(workers) if workers else nullcontext()


def chunks_of(data):
    """Place, filter mask and bytes of every chunk."""
    offsets = []
    data.id.chunk_iter(lambda chunk: offsets.append(chunk.chunk_offset))
    return {place: data.id.read_direct_chunk(place) for place in offsets}


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PACKINGS)
def test_chunks_are_those_of_hdf5(tmp_path, rng, name, dtype, workers):
    frames = rng.poisson(2.0, (20, 37, 41)).astype(dtype)
    options = {"chunks": (1, 37, 41), "maxshape": (None, 37, 41), **PACKINGS[name].options}
    with h5py.File(tmp_path / "s.h5", "w") as file, pooled(workers) as pool:
        expected = file.create_dataset("expected", data=frames, **options)
        data = file.create_dataset("found", (0, 37, 41), dtype, **options)
        writer = ChunkWriter(data, PACKINGS[name], pool)
        for number, frame in enumerate(frames):
            writer.put(number, 1, frame[None])
        writer.flush()
        assert data.shape == frames.shape
        assert np.array_equal(data[:], frames)
        if name != "gzip":  # packed by another program
            assert chunks_of(data) == chunks_of(expected)


@pytest.mark.parametrize("available", [True, False])
def test_gzip_is_unpacked_by_zlib(rng, monkeypatch, available):
    frame = rng.poisson(2.0, (37, 41)).astype("i4")
    packing._zlib_ng.cache_clear()
    monkeypatch.setattr("imagecodecs.ZLIBNG.available", available)
    packed = GZIP.pack(frame[None])
    packing._zlib_ng.cache_clear()
    planes = np.frombuffer(zlib.decompress(packed.tobytes()), np.uint8).reshape(4, -1)
    assert np.array_equal(np.ascontiguousarray(planes.T).view("i4").reshape(frame.shape), frame)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("dtype", "row"), [("u4", ()), ("f4", (11,)), ("u1", ())])
def test_rows_in_any_portions(tmp_path, rng, dtype, row, workers):
    rows = rng.poisson(3.0, (1000, *row)).astype(dtype)
    cuts = np.sort(rng.integers(0, 1001, 30))
    with h5py.File(tmp_path / "s.h5", "w") as file, pooled(workers) as pool:
        dataset = AppendableDataset(file, "some", dtype, row, chunk=64, pool=pool, units="m")
        for number, part in enumerate(np.split(rows, cuts)):
            dataset.add(part)
            if number % 7 == 3:
                dataset.flush()
                assert len(file["some"]) == cuts[number]
                assert np.array_equal(file["some"][:], rows[: cuts[number]])
        dataset.flush()
        dataset.flush()
    with h5py.File(tmp_path / "s.h5") as file:
        assert np.array_equal(file["some"][:], rows)
        assert file["some"].attrs["units"] == "m"
        assert file["some"].chunks == (64, *row)


def test_the_file_does_not_depend_on_the_pool(tmp_path, rng):
    parts = [rng.poisson(5.0, (n, 3)).astype("u4") for n in rng.integers(0, 200, 40)]
    for workers in (0, 1, 4):
        with h5py.File(tmp_path / f"{workers}.h5", "w") as file, pooled(workers) as pool:
            columns = [AppendableDataset(file, name, "u4", (3,), chunk=64, pool=pool) for name in "abc"]
            for part in parts:
                for column in columns:
                    column.add(part)
            for column in columns:
                column.flush()
    contents = {(tmp_path / f"{workers}.h5").read_bytes() for workers in (0, 1, 4)}
    assert len(contents) == 1


def test_rows_belong_to_the_caller_again_after_add(tmp_path, rng):
    rows = rng.poisson(5.0, 100).astype("u4")
    with h5py.File(tmp_path / "s.h5", "w") as file, ThreadPoolExecutor(2) as pool:
        dataset = AppendableDataset(file, "some", "u4", chunk=16, pool=pool)
        buffer = rows.copy()
        dataset.add(buffer)
        buffer[:] = 0
        dataset.flush()
        assert np.array_equal(file["some"][:], rows)


def test_chunks_that_wait_are_few_and_packed_elsewhere(tmp_path, monkeypatch):
    """The writer waits for the oldest chunk before it takes one more than it may keep."""
    go, packed, threads = Event(), [], set()

    def pack(values):
        assert go.wait(20)
        packed.append(int(values[0, 0]))
        threads.add(get_ident())
        return packing.PLAIN.pack(values)

    with h5py.File(tmp_path / "s.h5", "w") as file, ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(1) as caller:
        data = file.create_dataset("some", (0, 4), "u2", maxshape=(None, 4), chunks=(1, 4))
        writer = ChunkWriter(data, packing.Packing({}, pack, native=False), pool, waiting=3)
        for number in range(3):
            writer.put(number, 1, np.full((1, 4), number, "u2"))
        fourth = caller.submit(writer.put, 3, 1, np.full((1, 4), 3, "u2"))
        assert not fourth.done()
        assert packed == []
        go.set()
        fourth.result(timeout=300)
        assert len(data) == 1
        writer.flush()
        assert np.array_equal(data[:, 0], range(4))
    assert get_ident() not in threads


def test_an_error_in_the_pool_reaches_the_caller(tmp_path):
    def fail(values):
        raise MemoryError("none left")

    with h5py.File(tmp_path / "s.h5", "w") as file, ThreadPoolExecutor(2) as pool:
        data = file.create_dataset("some", (0, 4), "u2", maxshape=(None, 4), chunks=(1, 4))
        writer = ChunkWriter(data, packing.Packing({}, fail), pool)
        writer.put(0, 1, np.zeros((1, 4), "u2"))
        with pytest.raises(MemoryError, match="none left"):
            writer.flush()


def test_without_hdf5plugins_functions(tmp_path, rng, monkeypatch):
    """HDF5 packs, and the data are the same."""
    monkeypatch.setattr(packing, "library", lambda: None)
    rows = rng.poisson(5.0, 100).astype("u4")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        dataset = AppendableDataset(file, "some", "u4", chunk=16)
        dataset.add(rows[:50])
        dataset.flush()
        dataset.add(rows[50:])
        dataset.flush()
        assert np.array_equal(file["some"][:], rows)
