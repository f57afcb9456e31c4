"""Time of reading, decoding, writing and of whole commands; without ``--benchmark-enable`` each runs once."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import crystint
from crystint.io.sparse.dense_file import DenseWriter
from crystint.io.sparse.open import open_sparse
from crystint.io.sparse.writer import SparseWriter
from crystint.separation import files as pipeline

FRAMES = 8


@pytest.fixture(scope="module")
def sample(sample_of):
    return sample_of("uint16")


@pytest.fixture(scope="module")
def stack(sample, tmp_path_factory):
    """A NXmx file of some frames, each a chunk of bitshuffle-LZ4."""
    path = tmp_path_factory.mktemp("bench") / "frames.h5"
    settings = {"mask": sample.mask, "saturation": None, "provenance": {}, "compression": "bslz4"}
    with DenseWriter(path, sample.frame.shape, sample.frame.dtype, geometry=sample.geometry, **settings) as writer:
        for _ in range(FRAMES):
            writer.write(sample.frame)
    return path


def test_read(benchmark, stack, sample):
    with h5py.File(stack) as file:
        _, chunk = benchmark(file["entry/data/data"].id.read_direct_chunk, (0, 0, 0))
    assert 0 < len(chunk) < sample.frame.nbytes


def test_decode(benchmark, stack, sample):
    with crystint.open_frames(stack) as frames:
        np.testing.assert_array_equal(benchmark(frames.__getitem__, 1), sample.frame)


def test_write(benchmark, engine, sample, tmp_path):
    separator = crystint.Separator(sample.geometry, sample.mask, engine=engine)
    sparse = separator.sparsify(sample.frame)
    path = tmp_path / "sparse.h5"
    settings = {"geometry": sample.geometry, "provenance": {}}
    with SparseWriter(path, separator.rings, sample.frame.dtype, **settings) as writer:
        benchmark(writer.write, sparse, None, sample.frame)
    with open_sparse(path) as written:
        assert len(written)
        np.testing.assert_array_equal(written[0].index, sparse.index)


@pytest.mark.parametrize("verb", ["sparsify", "find_peaks"])
def test_command(benchmark, engine, stack, tmp_path, verb):
    """A whole command on a file of several frames, with all that it does before the first."""
    out = tmp_path / "out.h5"

    def run():
        given = {"device": engine.device.id, "overwrite": True}
        return getattr(pipeline, verb)([stack], out if verb == "sparsify" else [out], **given)

    summary = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark.extra_info |= {"device": engine.device.name, "frames": FRAMES}
    assert summary.frames == FRAMES
    assert out.stat().st_size
