"""The evidence beside the exact tail of the binomial distribution, and beside spots thrown at random."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import binom

from crystint.index.evidence import FITTED, RADII, evidence, orientations


@pytest.mark.parametrize("volume", [532.0, 240e3, 6e6])
@pytest.mark.parametrize("spots", [10, 50, 1000])
def test_it_is_the_tail_of_the_binomial_distribution(spots, volume):
    share = 4 / 3 * np.pi * RADII**3 * volume
    for number, p in enumerate(share):
        for k in {FITTED + 1, spots // 2, spots}:
            inside = np.zeros(len(RADII), int)
            inside[number] = k
            value, _ = evidence(spots, inside, volume)
            tail = np.arange(k - FITTED, spots - FITTED + 1)
            exact = -logsumexp(binom.logpmf(tail, spots - FITTED, min(p, 0.5))) / np.log(10)
            if p > 0.2 or k - FITTED <= (spots - FITTED) * p:
                assert value == 0
            else:
                assert value <= exact + 1e-6  # never more certain than it is
                assert value > exact - 0.35


def test_the_largest_of_all_radii_is_told_with_its_radius():
    value, radius = evidence(np.array([40, 40]), np.array([[1, 9, 20, 22, 24, 25, 25, 26], [0] * 8]), 240e3)
    single = [evidence(40, np.where(np.arange(8) == i, 25, 0), 240e3)[0] for i in range(8)]
    assert value[0] < max(single)
    assert radius[0] == RADII[2]
    assert value[1] == 0
    assert np.isnan(radius[1])


def test_thousands_of_spots_do_not_overflow():
    value, _ = evidence(30000, np.full(8, 29000), 532.0)
    assert np.isfinite(value)
    assert value > 1e4


def test_the_chance_is_that_of_any_lattice_that_was_tried():
    inside = np.array([1, 9, 20, 22, 24, 25, 25, 26])
    alone, _ = evidence(40, inside, 240e3)
    among, _ = evidence(40, inside, 240e3, tried=orientations(80.0, 0.5))
    assert alone - among == pytest.approx(np.log10(8 * np.pi**2 * 64000))
