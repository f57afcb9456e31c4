"""The width of the rocking curve from frames alone, wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.stills.integration.first_width import first_width
from crystint.stills.simulation.simulate import Crystal, simulate_stills

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
