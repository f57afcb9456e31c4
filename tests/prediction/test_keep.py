"""Pixels that are kept although they do not stand out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import crystint
from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.model.geometry import Geometry, Panel
from crystint.model.sparse import PixelReason, SparseFrame
from crystint.prediction.keep import Runs, grown_runs, keep_pixels
from tests.io.test_sparse_file import GEOMETRY, SHAPE, ring_map, some_frame, sparse_frame


def boxes(*rows: tuple[int, int, int, int]) -> NDArray[np.void]:
    made = np.zeros(len(rows), crystint.BOX_DTYPE)
    for name, column in zip(("slow0", "slow1", "fast0", "fast1"), np.array(rows).T.reshape(4, -1), strict=True):
        made[name] = column
    return made


def by_hand(
    sparse: SparseFrame, rows: NDArray[np.void], grow: int, panel: NDArray[Any] | None = None
) -> NDArray[np.uint8]:
    """Reasons as an image, pixel by pixel."""
    shape = sparse.shape
    reason = np.zeros(shape, np.uint8)
    for number in sparse.index.tolist():
        slow, fast = divmod(number, shape[1])
        reason[slow, fast] |= 1
        for i in range(max(slow - grow, 0), min(slow + grow + 1, shape[0])):
            for j in range(max(fast - grow, 0), min(fast + grow + 1, shape[1])):
                near = (i - slow) ** 2 + (j - fast) ** 2 <= (grow + 0.5) ** 2
                if grow and near and (panel is None or panel[i, j] == panel[slow, fast]):
                    reason[i, j] |= 2
    for row in rows:
        inside = (slice(max(row["slow0"], 0), max(row["slow1"], 0)), slice(max(row["fast0"], 0), max(row["fast1"], 0)))
        reason[inside] |= 4
    lost = np.zeros(shape, bool)
    if sparse.unusable_index is not None:
        lost.ravel()[sparse.unusable_index] = True
    reason[lost | (sparse.background.rings.mask != 0)] = 0
    return reason


@pytest.mark.parametrize("grow", [0, 1, 2, 5])
@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float32])
def test_as_by_hand(rng: np.random.Generator, dtype: Any, grow: int) -> None:
    """Boxes that overlap, touch, leave the frame or are empty; masked and unusable pixels."""
    mask = np.zeros(SHAPE, np.uint32)
    mask[18:22] = 1
    mask[:, 40] = 2
    frame = some_frame(rng, dtype)
    sparse = sparse_frame(frame, ring_map(GEOMETRY, 20, mask))
    rows = boxes(
        (10, 30, 20, 45), (25, 35, 40, 60), (-5, 6, -3, 4), (55, 90, 70, 200), (30, 30, 1, 9), (40, 41, 82, 83)
    )
    more = keep_pixels(sparse, frame, rows, grow)
    expected = by_hand(sparse, rows, grow)
    np.testing.assert_array_equal(more.index, np.flatnonzero(expected))
    np.testing.assert_array_equal(more.reason, expected.ravel()[more.index])
    assert more.value.tobytes() == frame.ravel()[more.index].tobytes()
    assert more.index.dtype == np.uint32
    np.testing.assert_array_equal(more.index[more.significant], sparse.index)
    assert more.background is sparse.background


def test_growing_stays_on_its_panel(rng: np.random.Generator) -> None:
    vectors = (0.0, 1e-4, 0.0), (1e-4, 0.0, 0.0)
    parts = [((0, 30), (0, 41)), ((0, 30), (41, 83)), ((30, 61), (0, 41)), ((30, 61), (45, 83))]
    panels = tuple(Panel(slow, fast, (0.01 * i, 0.0, 0.1), *vectors) for i, (slow, fast) in enumerate(parts))
    geometry = Geometry(SHAPE, (1e-4, 1e-4), 0.1, (30.0, 40.0), 1.0, panels=panels)
    number = np.full(SHAPE, -1)
    for i, (slow, fast) in enumerate(parts):
        number[slice(*slow), slice(*fast)] = i
    frame = some_frame(rng, np.int32)
    frame[29:31, 38:44] = 30_000  # across the corner of all four
    rings = ring_map(GEOMETRY, 20)
    sparse = sparse_frame(frame, replace(rings, mask=(number < 0).astype(np.uint32)))
    sparse = replace(sparse, index=sparse.index[number.ravel()[sparse.index] >= 0])
    sparse = replace(sparse, value=frame.ravel()[sparse.index])
    more = keep_pixels(sparse, frame, grow=3, panels=geometry)
    expected = by_hand(sparse, boxes(), 3, number)
    assert expected.ravel()[more.index].min() > 0
    np.testing.assert_array_equal(more.index, np.flatnonzero(expected))
    wide = keep_pixels(sparse, frame, grow=3)
    assert len(wide.index) > len(more.index)


def test_nothing_to_keep(rng: np.random.Generator) -> None:
    frame = np.full(SHAPE, 5, np.int32)
    sparse = sparse_frame(frame, ring_map(GEOMETRY, 20))
    assert not len(sparse.index)
    for rows in (None, boxes(), boxes((100, 120, 3, 5))):
        more = keep_pixels(sparse, frame, rows, 2)
        assert (len(more.index), len(more.value), more.reason.dtype) == (0, 0, np.uint8)
    assert len(keep_pixels(sparse, frame, boxes((0, 2, 0, 3))).index) == 6


def test_wrong_calls(rng: np.random.Generator) -> None:
    frame = some_frame(rng, np.int32)
    sparse = sparse_frame(frame, ring_map(GEOMETRY, 20))
    with pytest.raises(ShapeError):
        keep_pixels(sparse, frame[:-1])
    with pytest.raises(DTypeError):
        keep_pixels(sparse, frame.astype(np.int16))
    with pytest.raises(SettingError, match="grow"):
        keep_pixels(sparse, frame, grow=-1)


def test_runs_of_pixels_at_the_ends_of_rows() -> None:
    """A disc at the border of the frame does not go on in the next row."""
    runs = grown_runs(np.array([9, 10, 25]), (4, 10), 1)
    assert runs.pixels().tolist() == [0, 1, 8, 9, 10, 11, 14, 15, 16, 18, 19, 20, 21, 24, 25, 26, 34, 35, 36]
    assert Runs.union(np.array([5, 1, 3]), np.array([5, 3, 6])).pixels().tolist() == [1, 2, 3, 4, 5]


def test_densified_and_separated_anew() -> None:
    """Kept pixels come back as they were; nothing else is above the threshold, and the background stays."""
    data = crystint.simulate.simulate((200, 210), background=0.6, peaks=12, intensity=300.0, dtype="int32", seed=3)
    separator = crystint.Separator(data.geometry, data.mask, rings=40)
    sparse = separator.sparsify(data[0], snr=3.0)
    more = keep_pixels(sparse, data[0], boxes((20, 60, 30, 90), (100, 130, 100, 180)), grow=1)
    dense = crystint.densify(more, noise=True, seed=5)
    np.testing.assert_array_equal(dense.ravel()[more.index], data[0].ravel()[more.index])
    again = separator.sparsify(dense, snr=3.0)
    invented = np.setdiff1d(again.index, more.index)
    assert len(invented) == 0
    good = np.isfinite(sparse.background.mean)
    off = again.background.mean[good] - sparse.background.mean[good]
    assert abs(np.average(off, weights=sparse.background.count[good])) < 0.02
    assert PixelReason(int(np.bitwise_or.reduce(more.reason))) == PixelReason(7)
