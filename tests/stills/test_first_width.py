"""The width of the rocking curve from frames alone, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crystint.errors import SettingError, recorded_warnings
from crystint.model.observations import Observations
from crystint.stills.integration.first_width import NoWidthError, first_width, width_of
from crystint.stills.simulation.simulate import Crystal, simulate_stills

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

CROWD = Crystal(cell=(150.0, 165.0, 180.0, 90.0, 90.0, 90.0), intensity=20000.0)
SMALL = {"shape": (401, 387), "distance": 0.12, "d_min": 4.5, "spot": 1.2e-3, "seed": 2}


@pytest.mark.parametrize("domain", [1e-4, 3e-4, 1e-3, 2.5e-3])
def test_widths_of_any_size_are_found(domain: float) -> None:
    frames = 3 if domain < 1e-3 else 12
    crystal = CROWD if domain < 1e-3 else Crystal(intensity=20000.0)
    data = simulate_stills(frames, crystal=crystal, domain=domain, **SMALL)
    found = first_width(data.images(), data.experiment, d_min=4.5)
    d = np.array([5.0, 8.0, 12.0])
    assert found.at(d, 1.0) == pytest.approx(domain, rel=0.12)


@pytest.mark.parametrize("bandwidth", [0.0, 0.02])
def test_what_the_bandwidth_makes_is_not_the_crystals(bandwidth: float) -> None:
    data = simulate_stills(12, crystal=Crystal(intensity=20000.0), bandwidth=bandwidth, **SMALL)
    found = first_width(data.images(), data.experiment, d_min=4.5, bandwidth=bandwidth)
    assert found.bandwidth == bandwidth
    d = np.array([5.0, 8.0, 12.0])
    assert found.at(d, 1.0) == pytest.approx(data.settings.rocking(d, 1.0), rel=0.12)
    assert np.hypot(found.domain, found.mosaicity / 6.0) == pytest.approx(1e-3, rel=0.12)


def test_a_bandwidth_that_explains_more_than_is_seen_leaves_a_width() -> None:
    data = simulate_stills(12, crystal=Crystal(intensity=20000.0), domain=3e-4, **SMALL)
    found = first_width(data.images(), data.experiment, d_min=4.5, bandwidth=0.2)
    assert found.domain > 0.0


def test_frames_without_spots_are_told() -> None:
    data = simulate_stills(2, crystal=Crystal(intensity=1e-6), **SMALL)
    with pytest.raises(SettingError, match="fewer than 30 reflections"):
        first_width(data.images(), data.experiment, d_min=4.5)


@pytest.mark.parametrize(("error", "angle"), [(3e-3, 4.2e-3), (1e-2, 14e-3)])
def test_orientations_that_do_not_fit_give_the_width_that_holds_the_spots(error: float, angle: float) -> None:
    """An error of `error` about each axis moves points by up to `angle` / d; shells that are flat must not decide."""
    data = simulate_stills(
        20, d_min=3.21, shape=(400, 420), distance=0.06, spot=2.2e-3, seed=5, orientation_error=error
    )
    with recorded_warnings() as notes:
        found = first_width(data.images(), data.experiment, d_min=3.21)
    d = np.array([4.0, 6.0])
    assert found.at(d, 1.0) == pytest.approx(np.hypot(1e-3, angle / d), rel=0.3)
    assert [("orientations do not fit" in note) for note in notes] == [True] * (error > 5e-3)


def observed(partial: Callable[[NDArray[np.float64]], NDArray[np.float64]], n: int = 4000) -> tuple[Any, ...]:
    """Reflections anywhere in a band of 3e-3, on one image."""
    data = simulate_stills(1, **SMALL)
    rng = np.random.default_rng(0)
    excitation = rng.uniform(-3e-3, 3e-3, n)
    value = rng.exponential(1000.0, n) * partial(excitation)
    table = Observations(
        image=np.zeros(n, dtype=np.int32),
        hkl=np.tile(np.array([[1, 2, 3]], dtype=np.int32), (n, 1)),
        intensity=rng.normal(value, 10.0),
        sigma=np.full(n, 10.0),
        d=rng.uniform(2.0, 20.0, n) ** (1.0 / 3.0) * 2.0,
        excitation=excitation,
    )
    return table, data.experiment, np.full(n, 3e-3)


def test_a_flat_distribution_has_no_width() -> None:
    assert width_of(*observed(lambda e: np.exp(-((e / 2e-3) ** 2)))).domain == pytest.approx(2e-3, rel=0.1)
    for flat in (np.ones_like, lambda e: 0.2 + np.abs(e) / 3e-3):
        with pytest.raises(NoWidthError, match=r"do not fall off within 0\.003 1/angstrom .* refine them, or give"):
            width_of(*observed(flat))


def test_shells_that_are_flat_do_not_count() -> None:
    table, experiment, band = observed(lambda e: np.exp(-((e / 1.5e-3) ** 2)))
    weak = table.d > np.quantile(table.d, 0.45)
    flat = np.where(weak, 100.0 * (1.0 + np.abs(table.excitation) / 3e-3), table.intensity)
    found = width_of(table.replace(intensity=flat), experiment, band)
    assert found.at(3.5, 1.0) == pytest.approx(1.5e-3, rel=0.05)
