"""Sparse files that know why each pixel is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.sparse.open import convert_sparse, open_sparse
from crystint.model.sparse import PixelReason, SparseFrame
from tests.io.test_sparse_file import GEOMETRY, SHAPE, assert_same, ring_map, save, some_frame, sparse_frame

RINGS = 20


def with_reasons(sparse: SparseFrame, frame: NDArray[np.int32]) -> SparseFrame:
    """The same frame with a block of pixels that are kept for being there."""
    rings = sparse.background.rings
    good = np.isfinite(rings.position) & (frame >= 0)
    reason = np.zeros(SHAPE, np.uint8)
    reason[20:50, 10:60] = PixelReason.PREDICTED
    reason[5:15, :] |= np.uint8(PixelReason.GROWN)
    reason.ravel()[sparse.index] |= np.uint8(PixelReason.SIGNIFICANT)
    index = np.flatnonzero(np.where(good, reason, 0)).astype(np.uint32)
    return replace(sparse, index=index, value=frame.ravel()[index], reason=reason.ravel()[index])


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_reasons_come_back(tmp_path: Path, rng: np.random.Generator, compact: bool, late: bool) -> None:
    """Also where the first frames have none, and pixels are unusable in some frames only."""
    rings = ring_map(GEOMETRY, RINGS)
    raw = [some_frame(rng, np.int32) for _ in range(4)]
    frames = [sparse_frame(frame, rings, number) for number, frame in enumerate(raw)]
    frames = [with_reasons(f, r) if number >= 2 * late else f for number, (f, r) in enumerate(zip(frames, raw))]
    path = save(tmp_path / "s.h5", frames, raw, compact=compact)
    with open_sparse(path) as file:
        for actual, expected in zip(file, frames, strict=True):
            assert_same(actual, expected)
            assert actual.reason is not None
            wanted = np.ones(len(expected.index), np.uint8) if expected.reason is None else expected.reason
            np.testing.assert_array_equal(actual.reason, wanted)
            np.testing.assert_array_equal(actual.significant, wanted & 1 == 1)
        counts = file.provenance["kept_pixels"]
    every = np.concatenate([np.ones(len(f.index), np.uint8) if f.reason is None else f.reason for f in frames])
    reasons = ["significant" if bits & 1 else "grown" if bits & 2 else "predicted" for bits in every.tolist()]
    assert counts == {reason: reasons.count(reason) for reason in ("significant", "grown", "predicted")}
    if not compact:
        for number, frame in enumerate(frames):
            np.testing.assert_array_equal(fabio.open(path).get_frame(number).data.ravel()[frame.index], frame.value)
    convert_sparse(path, tmp_path / "c.h5", compact=not compact)
    with open_sparse(tmp_path / "c.h5") as file:
        np.testing.assert_array_equal(file[3].reason, frames[3].reason)


def test_nothing_is_stored_where_all_are_significant(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = some_frame(rng, np.int32)
    path = save(tmp_path / "s.h5", [sparse_frame(frame, ring_map(GEOMETRY, RINGS))])
    with h5py.File(path) as file:
        assert "reason" not in file["entry_0000/crystint"]
    with open_sparse(path) as file:
        assert file[0].reason is None
        assert file[0].significant.all()


def test_a_list_of_reasons_that_is_too_short(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = some_frame(rng, np.int32)
    sparse = with_reasons(sparse_frame(frame, ring_map(GEOMETRY, RINGS)), frame)
    path = save(tmp_path / "s.h5", [sparse])
    with h5py.File(path, "r+") as file:
        file["entry_0000/crystint/reason"].resize((3,))
    with pytest.raises(FileError, match=r"damaged.*reasons"):
        open_sparse(path)
