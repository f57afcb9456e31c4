"""The work-group form of each kernel, which GPUs run, gives on any device what the CPU form gives."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.model.geometry import Geometry
from crystint.ops.densify import densify
from crystint.ops.separator import Separator


def results(engine, frame, model):
    geometry = Geometry(
        shape=(211, 307),
        pixel_size=(1e-4, 1e-4),
        distance=0.05,
        beam_center=(100, 150),
        wavelength=1.0,
        polarization=0.9,
    )
    separator = Separator(geometry, rings=60, error_model=model, engine=engine)
    sparse = separator.sparsify(frame)
    return separator.background(frame), sparse, separator.peaks(frame), densify(sparse, engine=engine)


@pytest.mark.parametrize("model", ["poisson", "azimuthal", "hybrid"])
@pytest.mark.parametrize("mean", [0.05, 4.0, 90.0])
def test_work_groups_agree_with_single_work_items(engine, rng, monkeypatch, mean, model):
    frame = rng.poisson(mean, (211, 307)).astype(np.int32)
    frame[rng.random(frame.shape) < 0.03] = -1
    slow, fast = np.mgrid[10:200:17, 10:300:19]
    for i, j in ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)):
        frame[slow + i, fast + j] += int(20 + 9 * np.sqrt(mean))
    background, sparse, peaks, back = results(engine, frame, model)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    groups = results(Engine(engine.device), frame, model)
    assert np.array_equal(groups[0].count, background.count)
    for name in ("mean", "std", "sem", "excess"):
        np.testing.assert_allclose(getattr(groups[0], name), getattr(background, name), rtol=1e-5)
    assert np.array_equal(groups[1].index, sparse.index)
    assert np.array_equal(groups[1].unusable_index, sparse.unusable_index)
    assert len(groups[2]) == len(peaks) > 100
    for name in peaks.dtype.names:
        np.testing.assert_allclose(groups[2][name], peaks[name], rtol=1e-4, atol=1e-4)
    assert np.mean(groups[3] != back) < 1e-3
