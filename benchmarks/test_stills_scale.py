"""Scales of many images per second, and the memory they take.

The largest case is 2.5 million observations of 5000 images; CRYSTINT_BENCH_IMAGES sets another number.
"""

from __future__ import annotations

import os
import resource
import sys

import numpy as np
import pytest

from crystint.model.observations import Observations
from crystint.stills.scaling.scale import scale

IMAGES = int(os.environ.get("CRYSTINT_BENCH_IMAGES", "1000"))
PER_IMAGE = 500
UNIQUE = 20_000


def table(images):
    """Columns of stills with a known truth: variance 40 + signal."""
    rng = np.random.default_rng(0)
    n = images * PER_IMAGE
    side = np.stack(np.meshgrid(*(np.arange(1, m) for m in (36, 42, 48)), indexing="ij"), axis=-1).reshape(-1, 3)
    d = 1.0 / np.linalg.norm(side / np.array([60.0, 70.0, 80.0]), axis=1)
    keep = np.argsort(-d)[:UNIQUE]
    side, d = side[keep], d[keep]
    true = 2000.0 * rng.exponential(size=UNIQUE) * np.exp(-12.5 / d**2)
    number = rng.integers(0, UNIQUE, n)
    image = np.repeat(np.arange(images), PER_IMAGE)
    ln_g, b = 0.5 * rng.normal(size=images), 2.0 * rng.normal(size=images)
    partiality = np.exp(-(rng.uniform(-1.5, 1.5, n) ** 2))
    signal = np.exp(ln_g[image] - b[image] / (4 * d[number] ** 2)) * partiality * true[number]
    intensity = signal + np.sqrt(40.0 + signal) * rng.normal(size=n)
    return ln_g, true[number], Observations(
        image=image,
        hkl=side[number],
        intensity=intensity,
        sigma=np.sqrt(40.0 + np.maximum(intensity, 0.0)),
        d=d[number],
        partiality=partiality,
        background_variance=np.full(n, 40.0),
    )  # fmt: skip


class Known:
    """A reference made of one value per row."""

    def __init__(self, values):
        self.values = values

    def match(self, hkl, space_group):
        return self.values


@pytest.fixture(scope="module")
def stills():
    return table(IMAGES)


@pytest.mark.parametrize("known", [True, False], ids=["to a reference", "to one another"])
def test_scale(benchmark, stills, known):
    ln_g, true, observations = stills
    reference = Known(true) if known else None

    found = benchmark.pedantic(
        scale, (observations, IMAGES), {"space_group": "P 2 2 2", "reference": reference}, rounds=1, iterations=1
    )

    error = found.ln_g - ln_g
    assert not found.failed
    assert (error - error.mean()).std() < 0.01
    unit = 1 if sys.platform == "darwin" else 1024
    benchmark.extra_info |= {
        "observations": len(observations),
        "ln_g_sd": float((error - error.mean()).std()),
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6,
    }
