"""Sparse frames as an array of whole frames, and densify in a loop."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import DTypeError, FileError
from crystint.ops.dense_frames import DenseFrames
from crystint.ops.densify import Densifier, densifier_of

SHAPE = (60, 71)
MASK = np.arange(60 * 71).reshape(SHAPE) % 97 == 5


@pytest.fixture
def sparse_file(tmp_path):
    """A file of five frames, the fourth of which is missing, and what densify makes of each."""
    data = crystint.simulate.simulate(SHAPE, frames=5, background=4.0, peaks=5, intensity=500.0, dtype="uint16", seed=3)
    separator = crystint.Separator(data.geometry, data.mask, rings=20)
    with crystint.SparseWriter(
        tmp_path / "s.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ) as writer:
        for number, frame in enumerate(data):
            if number == 3:
                writer.put_missing(number)
            else:
                writer.write(separator.sparsify(frame, number=number), frame=frame)
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        whole = np.stack(
            [np.full(SHAPE, 65535, np.uint16) if one.missing else crystint.densify(one, seed=4) for one in file]
        )
        yield file, whole


@pytest.mark.parametrize(
    "index",
    [0, -1, 3, np.int64(2), slice(1, 4), slice(None, None, -2), ..., (1, 5), (1, slice(3, 9), 7), (slice(0, 2), 5, 6),
     (slice(None), slice(10, 20), slice(0, 70, 7)), (..., 4), (2, ...), [4, 0], np.array([1, 1]), slice(3, 3),
     np.array([True, False, False, False, True]), (2, np.array([3, 4]), np.array([5, 6])), ([0, 2], slice(2, 4)),
     (0, MASK), (slice(None), MASK), (..., MASK), (slice(1, 3), MASK.tolist()), (-1, slice(None), [1, 2]),
     (1, [1, 2], slice(None)), (slice(0, 2), slice(None), [1, 2]), (2, MASK[:, 0]), (slice(0, 2), 5, MASK[0])],
)  # fmt: skip
def test_an_index_gives_what_it_gives_of_the_array(sparse_file, index):
    file, whole = sparse_file
    found, expected = file.dense(seed=4)[index], whole[index]
    assert np.shape(found) == np.shape(expected)
    assert np.array_equal(found, expected)


def test_it_looks_like_an_array(sparse_file):
    file, whole = sparse_file
    dense = file.dense(seed=4)
    assert isinstance(dense, DenseFrames)
    assert (dense.shape, dense.dtype, dense.ndim, dense.size, dense.nbytes) == (
        whole.shape, whole.dtype, 3, whole.size, whole.nbytes
    )  # fmt: skip
    assert np.array_equal(np.asarray(dense), whole)
    assert np.asarray(dense, np.float32).dtype == np.float32
    assert np.array_equal(np.stack(list(dense)), whole)
    assert "5 of 60 x 71 px" in repr(dense)
    assert np.array_equal(file.dense(noise=False)[0], crystint.densify(file[0], noise=False))


@pytest.mark.parametrize("index", [5, -6, (0, 60), (0, 0, 0, 0), (..., ...), None, ([0, 1], [2, 3]),
                                   (0, 0, MASK), (MASK, 0), (0, MASK.T)])  # fmt: skip
def test_an_index_outside_is_an_index_error(sparse_file, index):
    with pytest.raises(IndexError):
        sparse_file[0].dense()[index]


def test_a_closed_file_is_named_as_such(tmp_path, sparse_file):
    with crystint.open_sparse(sparse_file[0].path) as file:
        dense = file.dense()
    with pytest.raises(FileError, match=r"s\.h5 is closed"):
        dense[0]


def test_no_array_without_a_copy(sparse_file):
    dense = sparse_file[0].dense()
    with pytest.raises(ValueError, match="copy=False"):
        dense.__array__(copy=False)
    with pytest.raises(DTypeError, match="expected numbers"):
        dense.__array__(np.dtype("U5"))


def test_it_travels_to_other_processes(sparse_file):
    file, whole = sparse_file
    engine = densifier_of(file.rings).engine
    again = pickle.loads(pickle.dumps(file.dense(seed=4, engine=engine)))
    assert np.array_equal(again[1], whole[1])
    again.sparse.close()


def test_dask_takes_it(sparse_file):
    array = pytest.importorskip("dask.array")
    file, whole = sparse_file
    lazy = array.from_array(file.dense(seed=4), chunks=(1, *SHAPE))
    assert np.array_equal(lazy[1:3, 5:50].sum(axis=0).compute(scheduler="synchronous"), whole[1:3, 5:50].sum(axis=0))


def test_a_loop_makes_one_densifier(sparse_file, monkeypatch):
    file, _ = sparse_file
    made = []
    monkeypatch.setattr(Densifier, "__init__", lambda *_: made.append(1) or pytest.fail("a second one"))
    for one in (file[0], file[1]):
        crystint.densify(one)


def test_a_densifier_goes_with_its_rings():
    import gc
    import weakref

    data = crystint.simulate.simulate(SHAPE, background=4.0, peaks=3, intensity=500.0, seed=3)
    separator = crystint.Separator(data.geometry, data.mask, rings=20)
    crystint.densify(separator.sparsify(data[0]))
    rings = weakref.ref(separator.rings)
    assert len(rings().by_device) == 1
    del separator
    gc.collect()
    assert rings() is None


def test_densify_into_an_array(sparse_file):
    file, whole = sparse_file
    out = np.empty(SHAPE, np.uint16)
    assert crystint.densify(file[1], seed=4, out=out) is out
    assert np.array_equal(out, whole[1])


@pytest.mark.parametrize(("packed", "expected"), [(True, 32008), (False, 1)])
def test_frames_are_packed_as_their_readers_know_it(tmp_path, packed, expected):
    data = crystint.simulate.simulate(SHAPE, frames=2, background=4.0, peaks=3, intensity=500.0, dtype="uint16", seed=3)
    with crystint.DenseWriter(
        tmp_path / "raw.h5",
        SHAPE,
        np.uint16,
        geometry=data.geometry,
        mask=None,
        saturation=None,
        provenance={},
        compression="bslz4" if packed else "none",
    ) as writer:
        for frame in data:
            writer.write(frame)
    crystint.separation.sparsify([tmp_path / "raw.h5"], tmp_path / "s.h5")
    crystint.separation.densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5") as file:
        filters = file["entry/data/data"].id.get_create_plist()
        assert expected in [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
