"""Observations merged per second, with error model, outliers and all statistics, and the memory that takes.

The largest case is 2.5 million observations of 5000 images: CRYSTINT_BENCH_IMAGES=5000.
"""

from __future__ import annotations

import os
import resource
import sys

import numpy as np
import pytest

from crystint.model import symmetry
from crystint.model.observations import Observations
from crystint.stills.merging.ambiguity import find_ambiguity
from crystint.stills.merging.image_rejection import delta_cc_half
from crystint.stills.merging.merge import merge
from crystint.stills.merging.shells import ResolutionShells

IMAGES = int(os.environ.get("CRYSTINT_BENCH_IMAGES", "200"))
PER_IMAGE = 500
CELL = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)


def observations(group):
    """Stills of a crystal with outliers, errors of 10 % and counting noise."""
    rng = np.random.default_rng(0)
    every = symmetry.possible(CELL, "P 1", 1.7)
    every = every[~symmetry.absent(every, group)]
    n = IMAGES * PER_IMAGE
    hkl = every[rng.integers(0, len(every), n)]
    unique, number = symmetry.groups(hkl, group)
    image = np.repeat(np.arange(IMAGES), PER_IMAGE)
    partiality = rng.uniform(0.3, 1.0, n)
    signal = rng.exponential(1000.0, len(unique))[number] * partiality * rng.lognormal(0.0, 0.1, n)
    intensity = signal + np.sqrt(400.0 + signal) * rng.normal(size=n)
    intensity[rng.random(n) < 1e-4] *= 30.0
    table = Observations(
        image=image, hkl=hkl, intensity=intensity, sigma=np.sqrt(400.0 + np.maximum(intensity, 0.0)),
        d=symmetry.spacing(hkl, CELL), partiality=partiality, background_variance=np.full(n, 400.0),
    )  # fmt: skip
    return table, number, unique


@pytest.mark.parametrize("anomalous", [False, True])
def test_merge(benchmark, anomalous):
    table, _, _ = observations("P 43 21 2")
    found = benchmark(merge, table, space_group="P 43 21 2", cell=CELL, anomalous=anomalous)
    assert found.statistics.overall.cc_half > 0.9
    assert found.error_model.b == pytest.approx(0.1, abs=0.01)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    benchmark.extra_info |= {"observations": len(table), "peak_GB": round(peak, 2)}


def test_delta_cc_half(benchmark):
    table, number, unique = observations("P 43 21 2")
    d = symmetry.spacing(unique, CELL)
    shell = ResolutionShells.of(d).number(d)
    found = benchmark(delta_cc_half, table.image, number, table.intensity / table.partiality, shell)
    assert np.isfinite(found.delta).all()
    benchmark.extra_info |= {"observations": len(table)}


def test_ambiguity(benchmark):
    table, _, _ = observations("P 4")
    found = benchmark(find_ambiguity, table, cell=CELL, space_group="P 4")
    assert found.message == ""
    benchmark.extra_info |= {"observations": len(table)}
