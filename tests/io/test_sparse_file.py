"""Sparse files: what is written comes back, FabIO reads it, pyFAI's files are read."""

from __future__ import annotations

import os
import shutil
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from crystint.errors import CrystintError, DTypeError, FileError, SettingError, ShapeError
from crystint.io.frames.readers import FrameSource
from crystint.io.hdf5.provenance import provenance
from crystint.io.sparse.codec import decode_index, encode_index
from crystint.io.sparse.file import SparseFile
from crystint.io.sparse.open import convert_sparse, open_sparse
from crystint.io.sparse.writer import SparseWriter
from crystint.model.geometry import Geometry
from crystint.model.mask import marker, unusable
from crystint.model.peaks import empty_peaks
from crystint.model.rings import Background, RingMap
from crystint.model.sparse import SparseFrame
from tests.conftest import shared_data

SHAPE = (61, 83)
GEOMETRY = Geometry(
    shape=SHAPE,
    pixel_size=(2e-4, 2e-4),
    distance=0.05,
    beam_center=(25.3, 44.1),
    wavelength=1.1,
    polarization=0.9,
)
RECORD = provenance({"snr": 3.0}, ["in.h5"], ["crystint", "sparsify"])
DTYPES = [np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.float32]


def ring_map(geometry: Geometry, rings: int, mask: NDArray[Any] | None = None, **more: Any) -> RingMap:
    """Rings from the smallest to the largest radius."""
    radius = geometry.ring_radius()
    first, last = radius.min(), radius.max()
    step = (last - first) / rings
    bits = np.zeros(geometry.shape, np.uint32) if mask is None else mask.astype(np.uint32)
    place = np.where(bits == 0, (radius - first) / step - 0.5, np.nan).astype(np.float32)
    weight = (geometry.solid_angle() * geometry.polarization_factor()).astype(np.float32)
    centre = first + (np.arange(rings) + 0.5) * step
    return RingMap(place, weight, bits, centre, np.linspace(0.1, 3.0, rings), **more)


def sparse_frame(frame: NDArray[Any], rings: RingMap, number: int = 0, snr: float = 3.0, **more: Any) -> SparseFrame:
    """A plain pick: ring means after clipping, and counts above Poisson's limit."""
    good = (rings.mask == 0) & ~unusable(frame)
    ring = np.clip(np.floor(np.nan_to_num(rings.position) + 0.5), 0, rings.rings - 1).astype(int)
    counts = np.where(good, frame, 0).astype(np.float64)
    keep = good.copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(6):
            sums = [
                np.bincount(ring[keep], weights=what[keep], minlength=rings.rings)
                for what in (counts, rings.weight, rings.weight**2, np.ones(frame.shape))
            ]
            mean, sem, std = sums[0] / sums[1], np.sqrt(sums[0]) / sums[1], np.sqrt(sums[0] / sums[2])
            keep = good & (counts / rings.weight < (mean + 4 * std)[ring] + 1)
    expected = np.interp(np.nan_to_num(rings.position), np.arange(rings.rings), np.nan_to_num(mean)) * rings.weight
    level, at = np.unique(np.round(np.maximum(expected, 0.01), 2), return_inverse=True)
    limit = stats.poisson.isf(stats.norm.sf(snr), level)[at].reshape(frame.shape)
    index = np.flatnonzero(good & (counts > limit)).astype(np.uint32)
    lost = np.flatnonzero((rings.mask == 0) & ~good).astype(np.uint32)
    excess = np.where(np.isnan(mean), np.nan, 1.0 + np.arange(rings.rings) % 7 / 100)
    return SparseFrame(
        index=index,
        value=frame.ravel()[index],
        background=Background(mean, std, sums[3], sem, excess, 0.0 * excess, rings, more.pop("model", "hybrid")),
        dtype=frame.dtype,
        snr=snr,
        unusable_index=lost if len(lost) else None,
        unusable_value=frame.ravel()[lost] if len(lost) else None,
        frame=number,
        **more,
    )


def some_frame(rng: np.random.Generator, dtype: Any, shape: tuple[int, int] = SHAPE) -> NDArray[Any]:
    """Background, some very strong pixels and some that hold no measurement."""
    dtype = np.dtype(dtype)
    frame = rng.poisson(6.0, shape).astype(dtype)
    top = {"i": 2**31 - 5, "u": 2**32 - 7, "f": 3e7}[dtype.kind]
    if dtype.itemsize < 4:
        top = np.iinfo(dtype).max - 3
    at = rng.choice(frame.size, 60, replace=False)
    frame.ravel()[at[:40]] = np.linspace(top // 2 if dtype.itemsize < 4 else 2**24 + 1, top, 40).astype(dtype)
    frame.ravel()[at[40:]] = marker(dtype)
    if dtype.kind == "i":
        frame.ravel()[at[50:]] = -2
    return frame


def save(path: Path, frames: list[SparseFrame], raw: list[Any] | None = None, **more: Any) -> Path:
    rings, dtype = frames[0].background.rings, frames[0].dtype
    more = {"geometry": GEOMETRY, "provenance": RECORD, **more}
    with SparseWriter(path, rings, dtype, **more) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame, frame=None if raw is None else raw[number])
    return path


def assert_same(actual: SparseFrame, expected: SparseFrame) -> None:
    """Pixels exactly, the background as the file rounds it."""
    np.testing.assert_array_equal(actual.index, expected.index)
    assert actual.index.dtype == np.uint32
    assert actual.value.dtype == expected.value.dtype
    assert actual.value.tobytes() == expected.value.tobytes()
    for name in ("unusable_index", "unusable_value"):
        one, other = getattr(actual, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if other is not None:
            assert one.tobytes() == other.tobytes()
    for name, relative in (
        ("mean", 6e-8),
        ("count", 0),
        ("std", 3.1e-5),
        ("sem", 3.1e-5),
        ("additive", 3.1e-5),
    ):
        one, other = getattr(actual.background, name), getattr(expected.background, name)
        np.testing.assert_allclose(one, np.nan_to_num(other) if name == "count" else other, rtol=relative)
    more = actual.background.excess - expected.background.excess
    assert ((more >= 0) & (more < 1 / 64) | np.isnan(expected.background.mean)).all()
    assert (actual.snr, actual.noise, actual.frame, actual.dtype) == (
        expected.snr,
        expected.noise,
        expected.frame,
        expected.dtype,
    )
    assert actual.error_model == expected.error_model


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_comes_back_exactly(tmp_path: Path, rng: np.random.Generator, dtype: Any, compact: bool) -> None:
    rings = ring_map(GEOMETRY, 20)
    frames = [sparse_frame(some_frame(rng, dtype), rings, number=3 * i, snr=2.0 + i, noise=0.5 * i) for i in range(4)]
    path = save(tmp_path / "s.h5", frames, compact=compact)
    with open_sparse(path) as file:
        assert (len(file), file.shape, file.dtype, file.compact) == (4, SHAPE, np.dtype(dtype), compact)
        assert file.geometry == GEOMETRY
        assert file.provenance == RECORD
        for number in (2, 0, 3, 1, -1):
            assert_same(file[number], frames[number])
        for again, expected in zip(file, frames, strict=True):
            assert_same(again, expected)
        with pytest.raises(IndexError):
            file[4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_fabio_returns_every_picked_pixel(tmp_path: Path, rng: np.random.Generator, dtype: Any) -> None:
    """And masked pixels as the marker, and the rounded background elsewhere."""
    mask = np.zeros(SHAPE, np.uint32)
    mask[10:13], mask[:, 40] = 1, 1 << 8
    rings = ring_map(GEOMETRY, 20, mask)
    raw = [some_frame(rng, dtype) for _ in range(3)]
    frames = [sparse_frame(frame, rings) for frame in raw]
    path = save(tmp_path / "s.h5", frames, raw)
    image = fabio.open(path)
    assert type(image).__name__ == "SparseImage"
    assert image.nframes == 3
    for number, sparse in enumerate(frames):
        by_fabio = image.getframe(number).data
        assert by_fabio.dtype == np.dtype(dtype)
        assert by_fabio.ravel()[sparse.index].tobytes() == sparse.value.tobytes()
        bad = (mask != 0) | unusable(raw[number])
        np.testing.assert_array_equal(unusable(by_fabio), bad)
        plain = ~bad
        plain.ravel()[sparse.index] = False
        expected = sparse.background.image()
        # To half a count of rounding, and what a 1/128 ring of position is worth. Pixels that only the first
        # frame lost hold their counts.
        first_lost = unusable(raw[0])
        assert np.abs(by_fabio - expected)[plain & ~first_lost].max() < 0.5 + 0.1
        np.testing.assert_array_equal(by_fabio[plain & first_lost], raw[number][plain & first_lost])
    image.close()


def test_fabio_at_the_inner_and_outer_half_ring(tmp_path: Path) -> None:
    """There FabIO would take pixels for masked."""
    geometry = replace(GEOMETRY, beam_center=(30.5, 41.5))
    rings = ring_map(geometry, 7)
    frame = np.full(SHAPE, 9, dtype=np.int32)
    path = save(tmp_path / "s.h5", [sparse_frame(frame, rings)], geometry=geometry)
    by_fabio = fabio.open(path).data
    assert by_fabio.min() >= 4
    assert by_fabio[30, 41] > 0
    assert by_fabio[0, 0] > 0


@pytest.mark.parametrize("rings", [1, 2, 3, 500])
def test_any_number_of_rings(tmp_path: Path, rng: np.random.Generator, rings: int) -> None:
    frame = rng.poisson(20, SHAPE).astype(np.uint16)
    sparse = sparse_frame(frame, ring_map(GEOMETRY, rings))
    path = save(tmp_path / "s.h5", [sparse])
    with open_sparse(path) as file:
        assert file.rings.rings == rings
        assert_same(file[0], sparse)
    by_fabio = fabio.open(path).data
    np.testing.assert_array_equal(by_fabio.ravel()[sparse.index], sparse.value)
    expected = sparse.background.image()
    unpicked = np.isfinite(expected)
    unpicked.ravel()[sparse.index] = False
    # FabIO lets an empty ring (NaN) leak into its neighbours; with 500 rings on this frame there are some.
    assert np.quantile(np.abs(by_fabio - expected)[unpicked], 0.9 if rings == 500 else 1.0) < 1.0


def test_ring_map_is_kept_closely(tmp_path: Path, rng: np.random.Generator) -> None:
    mask = rng.integers(0, 2, SHAPE).astype(np.uint32) << 5
    dark = rng.random(SHAPE).astype(np.float32)
    rings = ring_map(GEOMETRY, 40, mask, dark=dark)
    frame = some_frame(rng, np.int32)
    with open_sparse(save(tmp_path / "s.h5", [sparse_frame(frame, rings)])) as file:
        stored = file.rings
    np.testing.assert_array_equal(stored.mask, mask)
    np.testing.assert_array_equal(np.isnan(stored.position), np.isnan(rings.position))
    # Flat beyond the first and the last centre, so the places there are not kept.
    error = stored.position - np.clip(rings.position, 0, 39)
    assert np.nanmax(np.abs(error)) <= 1 / 128 + 1e-5
    np.testing.assert_allclose(stored.weight, rings.weight, rtol=1.3e-4)
    np.testing.assert_array_equal(stored.radius, rings.radius)
    np.testing.assert_array_equal(stored.q, rings.q)
    assert stored.dark is not None
    np.testing.assert_array_equal(stored.dark, dark)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("give_raw", [False, True])
def test_pixels_that_come_and_go(tmp_path: Path, rng: np.random.Generator, compact: bool, give_raw: bool) -> None:
    """The mask of the first frame is FabIO's mask; crystint knows that of each frame."""
    rings = ring_map(GEOMETRY, 20)
    raw = [rng.poisson(6.0, SHAPE).astype(np.int32) for _ in range(5)]
    raw[0][5, 5:9] = -1, -2, -1, -1
    raw[1][5, 5:9] = -1, -2, -1, -1
    raw[2][5, 5:9] = 1000, 3, -2, -1  # picked; a plain count; another marker; as before
    raw[3][20, 20:22] = -1, -7
    raw[4][5, 5:9] = -1
    frames = [sparse_frame(frame, rings, number) for number, frame in enumerate(raw)]
    path = save(tmp_path / "s.h5", frames, raw if give_raw else None, compact=compact)
    with open_sparse(path) as file:
        for again, expected in zip(file, frames, strict=True):
            assert_same(again, expected)
    if not compact:
        image = fabio.open(path)
        for number, frame in enumerate(raw):
            again = image.getframe(number).data
            np.testing.assert_array_equal(again < 0, frame < 0)
            assert give_raw is False or again[5, 5] == frame[5, 5]
        assert image.getframe(2).data[5, 6] == (3 if give_raw else pytest.approx(6, abs=2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_lost_first_frame_does_not_mask_the_others(tmp_path: Path, rng: np.random.Generator, dtype: Any) -> None:
    rings = ring_map(GEOMETRY, 20)
    raw = [np.full(SHAPE, marker(dtype), dtype=dtype), some_frame(rng, dtype)]
    frames = [sparse_frame(frame, rings) for frame in raw]
    path = save(tmp_path / "s.h5", frames, raw)
    with open_sparse(path) as file:
        for again, expected in zip(file, frames, strict=True):
            assert_same(again, expected)
        assert file.stored_index(1).size < SHAPE[0] * SHAPE[1] / 2
    image = fabio.open(path)
    assert unusable(image.getframe(0).data).all()
    np.testing.assert_array_equal(unusable(image.getframe(1).data), unusable(raw[1]))


def test_one_file_of_many_frames_and_many_of_one(tmp_path: Path, rng: np.random.Generator) -> None:
    rings = ring_map(GEOMETRY, 20)
    raw = [some_frame(rng, np.uint16) for _ in range(3)]
    frames = [sparse_frame(frame, rings) for frame in raw]
    with open_sparse(save(tmp_path / "all.h5", frames)) as together:
        for number, sparse in enumerate(frames):
            with open_sparse(save(tmp_path / f"{number}.h5", [sparse])) as alone:
                one, other = together[number], alone[0]
                np.testing.assert_array_equal(one.background.image(), other.background.image())
                assert_same(one, sparse)
                assert_same(other, sparse)
                for name in ("mean", "std", "count", "sem", "excess", "additive"):
                    left, right = getattr(one.background, name), getattr(other.background, name)
                    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("compact", [False, True])
def test_no_picks_and_no_frames(tmp_path: Path, compact: bool) -> None:
    rings = ring_map(GEOMETRY, 5)
    empty = sparse_frame(np.zeros(SHAPE, np.int32), rings)
    assert len(empty.index) == 0
    with open_sparse(save(tmp_path / "a.h5", [empty, empty], compact=compact)) as file:
        assert_same(file[1], empty)
    with SparseWriter(
        tmp_path / "b.h5", rings, np.int32, geometry=None, provenance=RECORD, compact=compact, peaks=True
    ):
        pass
    with open_sparse(tmp_path / "b.h5") as file:
        assert (len(file), list(file), file.geometry, len(file.peaks)) == (0, [], None, 0)
    if not compact:
        assert fabio.open(tmp_path / "a.h5").data.max() == 0


@pytest.mark.parametrize("to_compact", [False, True])
def test_conversion_there_and_back_changes_no_bit(tmp_path: Path, rng: np.random.Generator, to_compact: bool) -> None:
    rings = ring_map(GEOMETRY, 20)
    raw = [some_frame(rng, np.int32) for _ in range(20)]
    frames = [sparse_frame(frame, rings, number) for number, frame in enumerate(raw)]
    peaks = empty_peaks(2)
    with SparseWriter(
        tmp_path / "a.h5",
        rings,
        np.int32,
        geometry=GEOMETRY,
        provenance=RECORD,
        compact=not to_compact,
        peaks=True,
    ) as writer:
        for frame in frames:
            writer.write(frame, peaks)
    convert_sparse(tmp_path / "a.h5", tmp_path / "b.h5", compact=to_compact)
    convert_sparse(tmp_path / "b.h5", tmp_path / "c.h5", compact=not to_compact)
    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "c.h5") as other:
        names: list[str] = []
        one.visit(names.append)
        again: list[str] = []
        other.visit(again.append)
        assert sorted(names) == sorted(again)
        assert "entry_0000/sparse_frames/errors" in one
        assert "entry_0000/sparse_frames/errors" in other
        for name in names:
            assert dict(one[name].attrs).keys() == dict(other[name].attrs).keys()
            if isinstance(one[name], h5py.Dataset) and "checksums" not in name:
                assert one[name].dtype == other[name].dtype
                np.testing.assert_array_equal(one[name][()], other[name][()])
        assert one.attrs["creator"] == other.attrs["creator"]
    with open_sparse(tmp_path / "b.h5") as file:
        assert file.compact == to_compact
        for again, expected in zip(file, frames, strict=True):
            assert_same(again, expected)
        assert len(file.peaks) == 40
    with pytest.raises(FileError, match="exists"):
        convert_sparse(tmp_path / "a.h5", tmp_path / "b.h5", compact=False)
    plain = fabio.open(tmp_path / ("a.h5" if to_compact else "b.h5"))
    np.testing.assert_array_equal(plain.data.ravel()[frames[0].index], frames[0].value)


def test_fabio_does_not_misread_a_compact_file(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = sparse_frame(some_frame(rng, np.int32), ring_map(GEOMETRY, 20))
    path = save(tmp_path / "s.h5", [frame], compact=True)
    with pytest.raises(fabio.fabioutils.NotGoodReader):
        fabio.open(path)
    with h5py.File(path) as file:
        assert "index_escape" in file["entry_0000/sparse_frames"].attrs["compact"]


def test_index_as_differences(rng: np.random.Generator) -> None:
    for index in (
        [],
        [0],
        [254],
        [255],
        [256],
        [0, 1, 255, 510, 511, 2**32 - 1],
        np.unique(rng.integers(0, 10**6, 999)),
    ):
        array = np.array(index, dtype=np.uint32)
        delta, escape = encode_index(array)
        assert delta.dtype == np.uint8
        np.testing.assert_array_equal(decode_index(delta, escape), array)
    with pytest.raises(FileError, match="do not fit"):
        decode_index(np.array([255], np.uint8), np.zeros(0, np.uint32))


def test_sources_and_peaks(tmp_path: Path, rng: np.random.Generator) -> None:
    rings = ring_map(GEOMETRY, 20)
    frames = [sparse_frame(some_frame(rng, np.int32), rings, number) for number in range(40)]
    sources = [FrameSource("a.h5", i, "x/data") for i in range(30)] + [FrameSource(f"{i}.cbf", 0) for i in range(10)]
    lists = []
    with SparseWriter(
        tmp_path / "s.h5", rings, np.int32, geometry=GEOMETRY, provenance=RECORD, sources=sources, peaks=True
    ) as writer:
        for number, frame in enumerate(frames):
            peaks = empty_peaks(number % 5)
            for name in peaks.dtype.names or ():
                peaks[name] = rng.uniform(1, 50, len(peaks)).astype(peaks.dtype[name])
            peaks["frame"] = number
            lists.append(peaks)
            writer.write(frame, peaks if len(peaks) else None)
    with open_sparse(tmp_path / "s.h5") as file:
        assert file.sources == sources
        np.testing.assert_array_equal(file.peaks, np.concatenate(lists))
    with h5py.File(tmp_path / "s.h5") as file:
        tables = file["entry_0000/peaks"]
        assert tables["nPeaks"][()].tolist() == [number % 5 for number in range(40)]
        assert tables["peakXPosRaw"].shape == (40, 4)
        np.testing.assert_allclose(tables["peakXPosRaw"][4], lists[4]["fast"] - 0.5, rtol=1e-6)
        np.testing.assert_allclose(tables["peakYPosRaw"][9], lists[9]["slow"] - 0.5, rtol=1e-6)
        np.testing.assert_array_equal(tables["peakSNR"][1, 1:], 0)
    assert fabio.open(tmp_path / "s.h5").peaks == "/entry_0000/peaks"


def test_one_full_frame_makes_no_other_row_of_the_tables_of_peaks_longer(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    rings = ring_map(GEOMETRY, 20)
    frame = sparse_frame(some_frame(rng, np.int32), rings, 0)
    counts = np.array([2] * 70)
    counts[20] = 700
    with SparseWriter(tmp_path / "s.h5", rings, np.int32, geometry=GEOMETRY, provenance=RECORD, peaks=True) as writer:
        for count in counts:
            peaks = empty_peaks(count)
            peaks["fast"] = np.arange(count) + 1.5
            writer.write(frame, peaks)
    with h5py.File(tmp_path / "s.h5") as file:
        table = file["entry_0000/peaks/peakXPosRaw"]
        assert table.shape == (70, 700)
        column = np.arange(700)
        np.testing.assert_array_equal(table[()], np.where(column < counts[:, None], column + 1, 0))
        assert table.id.get_num_chunks() == 5 + 5  # of 16 frames and 128 peaks


def test_fabio_finds_the_threshold(tmp_path: Path, rng: np.random.Generator) -> None:
    sparse = sparse_frame(some_frame(rng, np.int32), ring_map(GEOMETRY, 20), snr=3.5)
    assert fabio.open(save(tmp_path / "s.h5", [sparse])).cutoff == 3.5


def test_frames_that_do_not_fit(tmp_path: Path, rng: np.random.Generator) -> None:
    rings = ring_map(GEOMETRY, 20)
    good = sparse_frame(some_frame(rng, np.int32), rings)
    writer = SparseWriter(tmp_path / "s.h5", rings, np.int32, geometry=None, provenance=RECORD)
    with pytest.raises(SettingError, match="not open"):
        writer.write(good)
    small = replace(GEOMETRY, shape=(60, 83))
    cases: list[tuple[SparseFrame, type[CrystintError], str]] = [
        (sparse_frame(some_frame(rng, np.uint16), rings), DTypeError, "uint16, the file int32"),
        (sparse_frame(some_frame(rng, np.int32, (60, 83)), ring_map(small, 20)), ShapeError, r"\(60, 83\)"),
        (sparse_frame(some_frame(rng, np.int32), ring_map(GEOMETRY, 21)), ShapeError, "21 rings"),
        (
            sparse_frame(some_frame(rng, np.int32), rings, model="poisson"),
            SettingError,
            "'poisson'.*'hybrid'",
        ),
    ]
    for bad, kind, text in cases:

        def attempt(bad: SparseFrame = bad) -> None:
            with SparseWriter(tmp_path / "s.h5", rings, np.int32, geometry=None, provenance=RECORD) as writer:
                writer.write(good)
                writer.write(bad)

        with pytest.raises(kind, match=text):
            attempt()
    with pytest.raises(DTypeError, match="complex64"):
        SparseWriter(tmp_path / "s.h5", rings, np.complex64, geometry=None, provenance=RECORD)
    assert os.listdir(tmp_path) == []
    save(tmp_path / "s.h5", [good])
    with pytest.raises(FileError, match="exists"):
        save(tmp_path / "s.h5", [good])
    save(tmp_path / "s.h5", [good, good], overwrite=True)
    with open_sparse(tmp_path / "s.h5") as file:
        assert len(file) == 2


def test_damaged_and_foreign_files(tmp_path: Path, rng: np.random.Generator) -> None:
    path = save(tmp_path / "s.h5", [sparse_frame(some_frame(rng, np.int32), ring_map(GEOMETRY, 20))])
    content = path.read_bytes()
    cut = tmp_path / "cut.h5"
    for part in (0.1, 0.5, 0.99):
        cut.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(FileError, match=r"cut\.h5"):
            open_sparse(cut)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["a"] = 1
    with pytest.raises(FileError, match="no sparse file"):
        open_sparse(other)
    with pytest.raises(FileError, match="does not exist"):
        open_sparse(tmp_path / "absent.h5")

    def harm(name: str, what: Any) -> None:
        shutil.copy(path, other)
        with h5py.File(other, "a") as file:
            what(file["entry_0000"])
        with pytest.raises(FileError, match=name), open_sparse(other) as sparse:
            sparse[0]

    harm(
        "frame_ptr",
        lambda entry: entry["sparse_frames/frame_ptr"].write_direct(np.array([0, 10**6], np.uint64)),
    )
    harm("frame_ptr", lambda entry: entry["sparse_frames/frame_ptr"].write_direct(np.array([5, 0], np.uint64)))
    harm("do not ascend", lambda entry: entry["sparse_frames/index"].__setitem__(0, 5062))
    harm("other", lambda entry: entry["sparse_frames"].__delitem__("intensity"))
    harm("other", lambda entry: entry["crystint"].__delitem__("ring_radius"))
    harm("update crystint", lambda entry: entry["crystint"].attrs.__setitem__("format", 99))


def test_memory_does_not_grow(tmp_path: Path, rng: np.random.Generator) -> None:
    """What waits to be written is bounded, however many frames there are."""
    sparse = sparse_frame(some_frame(rng, np.int32), ring_map(GEOMETRY, 20))
    many = np.arange(2000, dtype=np.uint32)  # the short columns of a frame wait longer than its pixels
    sparse = replace(sparse, index=many, value=many.astype(np.int32), unusable_index=None, unusable_value=None)
    with SparseWriter(
        tmp_path / "s.h5", sparse.background.rings, np.int32, geometry=None, provenance=RECORD, peaks=True
    ) as writer:
        tracemalloc.start()
        sizes = []
        for _ in range(600):
            writer.write(sparse, empty_peaks(3))
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        written = 300 * (sparse.index.nbytes + sparse.value.nbytes)
        assert max(sizes[300:]) < max(sizes[:300]) + 0.2 * written
    with open_sparse(tmp_path / "s.h5") as file:
        assert len(file) == 600
        assert_same(file[599], sparse)


MODELS = ["hybrid", "azimuthal"]


@pytest.mark.parametrize("model", MODELS)
def test_reads_files_of_pyfai(model: str) -> None:
    path = shared_data(f"pyfai-sparse/crop_03_{model}_sparse.h5")
    raw = fabio.open(shared_data("pyfai-sparse/crop_03.edf")).data
    mask = fabio.open(shared_data("pyfai-sparse/mask.edf")).data
    dense = fabio.open(path).data
    with open_sparse(path) as file:
        assert (len(file), file.shape, file.dtype, file.compact) == (1, raw.shape, raw.dtype, False)
        assert file.error_model == model
        sparse = file[0]
        peaks = file.peaks
        assert file.provenance["program"] == "pyFAI"
    assert (np.diff(sparse.index.astype(np.int64)) > 0).all()
    np.testing.assert_array_equal(raw.ravel()[sparse.index], sparse.value)
    assert (sparse.snr, sparse.noise, sparse.unusable_index) == (3.0, 1.0, None)
    np.testing.assert_array_equal(sparse.background.rings.mask != 0, mask != 0)
    expected = sparse.background.image()
    np.testing.assert_array_equal(np.isnan(expected), mask != 0)
    # FabIO's own rebuilding, away from picked pixels and from the half-rings that it takes for masked.
    rings = sparse.background.rings
    plain = (rings.position > 0) & (rings.position < rings.rings - 1)
    plain.ravel()[sparse.index] = False
    difference = np.abs(np.rint(expected[plain]) - dense[plain])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
    background = sparse.background
    assert background.count.sum() == (mask == 0).sum()
    np.testing.assert_array_equal(background.excess, 1.0)
    np.testing.assert_array_equal(background.additive, background.std**2 if model == "azimuthal" else 0.0)
    assert len(peaks) > 50
    assert raw[peaks["slow"].astype(int), peaks["fast"].astype(int)].mean() > 5 * np.median(raw[mask == 0])


def test_geometry_of_a_file_of_pyfai() -> None:
    path, poni = shared_data("pyfai-sparse/crop_03_hybrid_sparse.h5"), shared_data("pyfai-sparse/crop.poni")
    with open_sparse(path) as file:
        geometry, rings = file.geometry, file.rings
    assert geometry is not None
    assert f"Poni1: {geometry.beam_center[0] * geometry.pixel_size[0]:.8f}" in poni.read_text()
    assert geometry.wavelength == pytest.approx(0.96859)
    radius = rings.radius[0] + rings.position * rings.step
    good = rings.mask == 0
    np.testing.assert_allclose(radius[good], geometry.ring_radius()[good], atol=2e-6)
    weight = geometry.solid_angle() * geometry.polarization_factor()
    np.testing.assert_allclose(rings.weight[good], weight[good], rtol=1e-5)
    np.testing.assert_allclose(rings.q, 4 * np.pi * np.sin(np.arctan(rings.radius / 0.351) / 2) / 0.96859, rtol=1e-6)


def test_wrong_normalization_of_pyfai_is_noticed(tmp_path: Path) -> None:
    """In a run over many files pyFAI multiplies the polarization in once more for each."""
    path = tmp_path / "s.h5"
    shutil.copy(shared_data("pyfai-sparse/crop_03_hybrid_sparse.h5"), path)
    with open_sparse(path) as file:
        right, geometry = file.rings.weight, file.geometry
    assert geometry is not None
    with h5py.File(path, "r+") as file:
        stored = file["entry_0000/sparse_frames/normalization"]
        stored[...] = stored[()] * geometry.polarization_factor() ** 2
    with pytest.warns(UserWarning, match="more than once"), open_sparse(path) as file:
        np.testing.assert_allclose(file.rings.weight, right, rtol=1e-5)
    with h5py.File(path, "r+") as file:
        stored = file["entry_0000/sparse_frames/normalization"]
        stored[:100] *= 0.5
    with pytest.warns(UserWarning, match="but it is used"), open_sparse(path) as file:
        assert not np.allclose(file.rings.weight, right, rtol=1e-3)


def test_file_of_pyfai_becomes_one_of_crystint(tmp_path: Path) -> None:
    source = shared_data("pyfai-sparse/crop_03_hybrid_sparse.h5")
    convert_sparse(source, tmp_path / "compact.h5", compact=True)
    convert_sparse(tmp_path / "compact.h5", tmp_path / "plain.h5", compact=False)
    with open_sparse(source) as old, open_sparse(tmp_path / "plain.h5") as new:
        assert type(new) is SparseFile
        assert_same(new[0], old[0])
        for name in old.peaks.dtype.names:  # NaN in some
            np.testing.assert_array_equal(new.peaks[name], old.peaks[name])
        assert new.geometry == old.geometry
    one, other = fabio.open(source).data, fabio.open(tmp_path / "plain.h5").data
    assert (tmp_path / "plain.h5").stat().st_size < 0.3 * source.stat().st_size
    changed = one != other
    assert (other[changed & (one == 0)] != 0).all()
    assert np.abs(one - other)[~(changed & (one == 0))].max() <= 1


def test_size_on_a_real_frame(tmp_path: Path) -> None:
    """Payload against the raw frame in bitshuffle-LZ4, and what the file costs beside it."""
    frame = fabio.open(shared_data("thaumatin/thau_3_2_0003.cbf.bz2")).data
    geometry = Geometry(
        shape=(2527, 2463),
        pixel_size=(172e-6, 172e-6),
        distance=0.351,
        beam_center=(1306.96, 1261.61),
        wavelength=0.96859,
        polarization=0.99,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = sparse_frame(frame, ring_map(geometry, 1000))
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        raw = file.create_dataset("a", data=frame, chunks=frame.shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        raw_size = raw.id.get_storage_size()
    assert len(sparse.index) > 30_000
    for compact, least in ((False, 19.0), (True, 24.0)):
        path = save(tmp_path / f"{compact}.h5", [sparse], geometry=geometry, compact=compact)
        with h5py.File(path) as file:
            frames, own = file["entry_0000/sparse_frames"], file["entry_0000/crystint"]
            names = ("index", "index_delta", "index_escape", "intensity", "background_avg", "background_std")
            payload = sum(frames[name].id.get_storage_size() for name in names if name in frames)
            names = ("background_count", "background_sem", "background_excess", "background_additive", "role")
            payload += sum(own[name].id.get_storage_size() for name in names)
        assert raw_size / payload >= least
        assert path.stat().st_size - payload < 3 * raw_size
        assert path.stat().st_size - payload < 6e6
        with open_sparse(path) as file:
            assert_same(file[0], sparse)
            error = np.abs(file.rings.position - np.clip(sparse.background.rings.position, 0, 999))
            assert np.nanmax(error) <= 1 / 64
            np.testing.assert_allclose(file.rings.weight, sparse.background.rings.weight, rtol=2e-4)
    by_fabio = fabio.open(tmp_path / "False.h5").data
    np.testing.assert_array_equal(by_fabio.ravel()[sparse.index], sparse.value)
    np.testing.assert_array_equal(by_fabio < 0, frame < 0)


def test_the_file_does_not_depend_on_the_pool(tmp_path: Path, rng: np.random.Generator) -> None:
    rings = ring_map(GEOMETRY, 20)
    frames = [sparse_frame(some_frame(rng, np.int32), rings, number) for number in range(40)]
    contents = []
    with ThreadPoolExecutor(3) as pool:
        for more in ({}, {"pool": pool}):
            path = tmp_path / str(len(contents)) / "s.h5"
            path.parent.mkdir()
            with SparseWriter(
                path, rings, np.int32, geometry=GEOMETRY, provenance=RECORD, peaks=True, **more
            ) as writer:
                for frame in frames:
                    writer.write(frame, empty_peaks(3))
            contents.append(path.read_bytes())
    assert contents[0] == contents[1]
