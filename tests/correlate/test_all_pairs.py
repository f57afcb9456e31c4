"""All rings with all: the same as pair by pair, in any blocks, masks and batches."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.sums.all_pairs import AllPairs, PairSums, all_pairs, bytes_of_pairs, row_blocks
from crystint.correlate.sums.correlation import Correlator
from crystint.correlate.sums.harmonics import fourier_coefficients
from crystint.errors import SettingError, ShapeError


def exposures_of(rng, kind, dtype=np.float64, shape=(19, 5, 24)):
    values = (3 + rng.normal(size=shape)).astype(dtype)
    if kind == "masked":
        values[rng.random(shape) < 0.3] = np.nan
        values[2, 3] = np.nan
    elif kind == "late":  # masks begin after the first batch
        values[17][rng.random(shape[1:]) < 0.3] = np.nan
    return values


def reference(exposures, **options):
    rings = exposures.shape[1]
    rows = [(i, j) for i in range(rings) for j in range(rings)]
    correlator = Correlator(pairs=rows, **options)
    for exposure in exposures:
        correlator.add(exposure)
    return correlator.sums, rings


@pytest.mark.parametrize("kind", ["whole", "masked", "late"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize("memory", [0, 1e5])
def test_all_pairs_are_those_of_one_by_one(rng, kind, dtype, tolerance, memory):
    exposures = exposures_of(rng, kind, dtype)
    sums, rings = reference(exposures)
    seen = []
    for block in all_pairs(exposures, memory=memory):
        assert block.number == 19
        assert block.spectrum.dtype == (np.complex64 if dtype == np.float32 else np.complex128)
        for i in range(block.rows.stop - block.rows.start):
            row = block.rows.start + i
            pick = [row * rings + j for j in range(block.columns.start, rings)]
            for norm in ("mask", "mean", "sum"):
                np.testing.assert_allclose(block.correlation(i, norm), sums.mean(norm)[pick], rtol=tolerance)
            level = sums.mean(by_intensity=True)[pick]
            np.testing.assert_allclose(block.correlation(i, by_intensity=True), level, rtol=tolerance)
            seen.append(row)
    assert seen == list(range(rings))
    assert bool(memory) == (block.rows.start == 0)


def test_a_lag_without_pairs_is_nan_in_single_precision(rng):
    exposures = exposures_of(rng, "whole", np.float32, (40, 2, 64))
    exposures[:, :, 16:] = np.nan
    (block,) = all_pairs(exposures)
    assert np.array_equal(np.isnan(block.correlation(0)[1]), np.isnan(reference(exposures)[0].mean()[1]))


@pytest.mark.parametrize("workers", [1, 3])
def test_products_of_more_rings_than_a_tile(rng, workers):
    """More rows, columns, harmonics and exposures than are multiplied at a time."""
    exposures = rng.normal(1.0, 0.1, (18, 150, 90))
    exposures[rng.random(exposures.shape) < 0.1] = np.nan
    block = AllPairs(slice(3, 60), slice(1, None), workers=workers)
    for exposure in exposures:
        block.add(exposure)
    good = np.isfinite(exposures)
    spectra = [np.fft.rfft(np.where(good, exposures, 0.0), axis=2), np.fft.rfft(good, axis=2)]
    for found, part in zip((block.sums.spectrum, block.sums.weight), spectra, strict=True):
        np.testing.assert_allclose(found, np.einsum("eih,ejh->hij", np.conj(part[:, 3:60]), part[:, 1:]), atol=1e-9)


def test_weights_and_centered_rings(rng):
    exposures, weight = exposures_of(rng, "masked"), rng.random((5, 24))
    weight[:, 4:9] = 0.0
    correlator, block = Correlator(pairs=[[1, 2]], centered=True), AllPairs(slice(1, 2), slice(2, 3), centered=True)
    for exposure in exposures:
        correlator.add(exposure, weight)
        block.add(exposure, weight)
    np.testing.assert_allclose(block.sums.correlation(0), correlator.sums.mean(), atol=1e-12)


def test_weights_and_masks_may_alternate(rng):
    exposures, correlator, block = exposures_of(rng, "masked"), Correlator(pairs=[[0, 1]]), AllPairs()
    for number, exposure in enumerate(exposures):
        weight = np.full(exposure.shape, 0.3 if number < 3 else 1.0) if number < 16 else np.ones(exposure.shape, bool)
        correlator.add(exposure, weight)
        block.add(exposure, weight)
    np.testing.assert_allclose(block.sums.correlation(0)[1], correlator.sums.mean()[0])


@pytest.mark.parametrize("kind", ["whole", "masked", "late"])
def test_sums_add(rng, kind):
    exposures = exposures_of(rng, kind)
    parts = []
    for some in (exposures[:4], exposures[4:]):
        pairs = AllPairs()
        for exposure in some:
            pairs.add(exposure)
        parts.append(pairs.sums)
    (whole,) = all_pairs(exposures)
    added = PairSums() + parts[0] + parts[1] + PairSums()
    assert added.number == 19
    for i in range(5):
        np.testing.assert_allclose(added.correlation(i), whole.correlation(i), rtol=1e-12)
    with pytest.raises(ShapeError, match="do not add"):
        parts[0] + next(iter(all_pairs(exposures[:, :2])))


def test_harmonics_of_all_pairs(rng):
    exposures = exposures_of(rng, "masked")
    (block,) = all_pairs(exposures)
    found = block.harmonics(3)
    assert found.shape == (5, 5, 4)
    np.testing.assert_allclose(found[2, 4], fourier_coefficients(block.correlation(2)[4], 3))
    np.testing.assert_allclose(found, np.conj(found.transpose(1, 0, 2)), atol=1e-12)


def test_memory_is_as_stated(rng):
    exposures = exposures_of(rng, "masked", np.float32)
    (block,) = all_pairs(exposures)
    assert block.spectrum.nbytes + block.weight.nbytes == bytes_of_pairs(5, 5, 24)
    assert bytes_of_pairs(1000, 1000, 6300) == 16 * 3151 * 10**6
    blocks = row_blocks(1000, 6300, 2**30)
    assert [part.start for part in blocks[1:]] == [part.stop for part in blocks[:-1]]
    assert blocks[-1].stop == 1000
    for part in blocks:
        assert bytes_of_pairs(part.stop - part.start, 1000 - part.start, 6300) <= 2**30


def test_a_function_is_called_once_per_block(rng):
    exposures, calls = exposures_of(rng, "whole"), []

    def source():
        calls.append(1)
        return iter(exposures)

    assert len(list(all_pairs(source, memory=0))) == 5
    assert len(calls) == 6  # and once for the shape
    assert not list(all_pairs(lambda: iter([])))


def test_bad_input_is_told_what_is_wrong(rng):
    pairs = AllPairs()
    assert pairs.sums.number == 0
    with pytest.raises(ShapeError, match="rings, n"):
        pairs.add(np.zeros(5))
    pairs.add(np.zeros((3, 8)))
    with pytest.raises(ShapeError, match="before"):
        pairs.add(np.zeros((4, 8)))
    with pytest.raises(SettingError, match="norm"):
        pairs.sums.correlation(0, "max")
    for wrong in (slice(3, None), slice(0, 3, 2)):
        with pytest.raises(SettingError, match="rows or columns are"):
            AllPairs(wrong).add(np.zeros((3, 8)))
