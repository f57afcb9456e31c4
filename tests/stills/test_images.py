"""Images that spoil the merge: delta-CC1/2 against leaving out for real, and what is rejected for which reason."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.stills.merging.image_rejection import DeltaCCHalf, delta_cc_half, image_cc, reject_images
from crystint.stills.scaling.scales import Scales
from tests.oracles import stills_merging as oracle

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def made(rng: np.random.Generator, images: int = 25, per_image: int = 40, level: float = 0.0) -> Columns:
    """Image, reflection, intensity and weight; reflections come more than once in an image."""
    number = rng.integers(0, 120, images * per_image)
    image = np.repeat(np.arange(images), per_image)
    true = level + rng.exponential(100.0, 120)
    weight = rng.uniform(0.5, 2.0, len(number))
    return image, number, true[number] + 20.0 * rng.normal(size=len(number)) / np.sqrt(weight), weight


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_equal_leaving_every_image_out(rng: np.random.Generator, weighted: bool) -> None:
    image, number, intensity, weight = made(rng)
    image = np.append(image, [25, 25])  # an image of reflections that no other has
    number = np.append(number, [120, 121])
    intensity, weight = np.append(intensity, [5.0, 6.0]), np.append(weight, [1.0, 1.0])
    shell = np.arange(122) % 3
    shell[5] = -1
    found = delta_cc_half(image, number, intensity, shell, weight=weight if weighted else None)
    use = np.flatnonzero(shell[number] >= 0)
    plain = weight if weighted else np.ones(len(weight))
    expected = oracle.delta_cc_half(number[use], image[use], intensity[use], plain[use], shell, 26)
    assert found.delta[:25] == pytest.approx(np.array(expected[:25]), abs=1e-12)
    assert np.isnan(found.delta[25])
    assert found.compared[25] == 0
    others = [
        sum(1 for key in set(number[use][image[use] == i]) if np.any(image[number == key] != i)) for i in range(25)
    ]
    assert found.compared[:25].tolist() == others


def test_a_high_level_does_not_cancel(rng: np.random.Generator) -> None:
    image, number, intensity, _ = made(rng)
    shell = np.zeros(120, int)
    low = delta_cc_half(image, number, intensity, shell)
    high = delta_cc_half(image, number, intensity + 1e8, shell)
    assert high.delta == pytest.approx(low.delta, abs=1e-8)


def test_a_spoiled_image_is_rejected_and_no_other(rng: np.random.Generator) -> None:
    image, number, intensity, _ = made(rng, images=200)
    bad = image == 17
    intensity[bad] = rng.permutation(intensity[bad]) * 3.0
    delta = delta_cc_half(image, number, intensity, np.zeros(120, int))
    assert np.argmin(delta.delta) == 17
    names = [f"run//{i}" for i in range(200)]
    rejected = reject_images(delta=delta, names=names)
    assert list(rejected) == [17]
    assert rejected[17].startswith("run//17: CC1/2 is ")
    assert "higher without it" in rejected[17]
    clean = image != 17
    left = delta_cc_half(image[clean], number[clean], intensity[clean], np.zeros(120, int), images=200)
    assert left.cc_half > delta.cc_half
    assert np.isnan(left.delta[17])


def test_the_limit_is_mean_minus_deviations_and_never_positive() -> None:
    delta = np.append(np.full(99, 0.001), -0.02)
    found = DeltaCCHalf(delta, 0.9, np.full(100, 9))
    assert found.threshold(4.0) == pytest.approx(delta.mean() - 4 * delta.std())
    helpful = DeltaCCHalf(np.array([0.5, 0.5, 0.5, 0.1]), 0.9, np.full(4, 9))
    assert helpful.threshold(1.0) == 0.0
    assert reject_images(delta=helpful, deviations=1.0) == {}
    assert DeltaCCHalf(np.array([-1.0, np.nan]), 0.9, np.ones(2, int)).threshold() == -np.inf


def test_reasons_add_up_and_nothing_is_rejected_unasked() -> None:
    n = 5
    b = np.array([140.0, 141.0, 300.0, 139.0, np.nan])
    scales = Scales(np.zeros(n), b, np.zeros((n, 2, 2)), np.ones(n, int), np.ones(n), {}, iterations=1, converged=True)
    cc = np.array([0.9, 0.8, 0.1, 0.2, np.nan])
    assert reject_images() == {}
    assert reject_images(cc=cc) == {}
    found = reject_images(scales=scales, cc=cc, min_cc=0.3)
    assert list(found) == [2, 3]
    assert found[2] == (
        "image 2: B 300 angstrom^2 (median 140, limit 100); correlation 0.10 to the reference (limit 0.3)"
    )
    assert found[3] == "image 3: correlation 0.20 to the reference (limit 0.3)"
    with pytest.raises(SettingError, match="correlation"):
        reject_images(cc=cc, min_cc=3.0)
    with pytest.raises(SettingError, match="deviations"):
        reject_images(delta=DeltaCCHalf(cc, 0.5, np.ones(n, int)), deviations=-1.0)


def test_correlation_of_an_image_is_numpys(rng: np.random.Generator) -> None:
    image = rng.integers(0, 4, 200)
    image[image == 3] = 2
    image[:5] = 3
    x = 1e6 + rng.normal(size=200)
    y = x + rng.normal(size=200)
    x[10] = np.nan
    found = image_cc(image, x, y, 5)
    for number in range(3):
        rows = (image == number) & np.isfinite(x)
        assert found[number] == pytest.approx(np.corrcoef(x[rows], y[rows])[0, 1])
    assert np.isnan(found[3:]).all()


def test_bad_input_is_said() -> None:
    with pytest.raises(ShapeError, match="not one table"):
        delta_cc_half(np.zeros(2, int), np.zeros(3, int), np.zeros(3), np.zeros(1, int))
    empty = delta_cc_half(np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0, int), images=3)
    assert np.isnan(empty.delta).all()
    assert np.isnan(empty.cc_half)
