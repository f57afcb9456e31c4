"""The background of the pixels that are not kept, against a slow sum over them and against what densify draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import crystint
from crystint.ops.rest import rest_background
from crystint.stills import simulate_rotation


def crowded(seed=0):
    """A frame on which one pixel in ten has a spot too weak to be picked."""
    data = crystint.simulate.simulate((230, 241), background=0.6, peaks=0, dtype="uint16", seed=seed)
    rng = np.random.default_rng(seed)
    weak = rng.random(data.shape) < 0.1
    frame = rng.poisson(data.background + 0.4 * weak).astype(np.uint16)
    return data, frame, weak


def test_it_is_the_mean_of_what_is_left(engine):
    data, frame, weak = crowded()
    mask = np.zeros(data.shape, np.uint32)
    mask[40:60, 100:140] = 1
    separator = crystint.Separator(data.geometry, mask, rings=12, engine=engine)
    sparse = separator.sparsify(frame, snr=9.0)  # so far up that nothing is cut from the noise
    index = np.union1d(np.flatnonzero(weak & (mask == 0)), sparse.index).astype(np.uint32)
    kept = replace(sparse, index=index, value=frame.ravel()[index])
    rest = rest_background(kept, frame)
    left = np.isfinite(separator.rings.position) & ~weak
    left.ravel()[sparse.index] = False
    ring = np.clip(np.floor(separator.rings.position + 0.5), 0, 11)
    for number in range(12):
        here = left & (ring == number)
        weight = separator.rings.weight[here].astype(float)
        mean = frame[here].sum() / weight.sum()
        assert rest.count[number] == here.sum()
        assert rest.mean[number] == pytest.approx(mean, rel=1e-3)
        phi = ((frame[here] - mean * weight) ** 2).sum() / (mean * weight.sum()) * here.sum() / (here.sum() - 1)
        assert rest.excess[number] == pytest.approx(max(phi, 1.0), rel=1e-6)
        assert rest.std[number] == pytest.approx(np.sqrt(mean * weight.sum() / (weight**2).sum()), rel=1e-3)
    clipped = separator.background(frame).mean
    assert np.mean(clipped / rest.mean) > 1.03
    with pytest.raises(AttributeError):
        rest.mean = clipped


def test_what_is_drawn_has_the_mean_of_what_was_left_out(engine):
    """Noise ends at the threshold, and so did the pixels that it stands for."""
    data, _, _ = crowded()
    separator = crystint.Separator(data.geometry, rings=8, engine=engine)
    densifier = crystint.Densifier(engine, separator.rings)
    for snr in (1.0, 2.0, 3.0):
        raw, drawn = [], []
        for number in range(12):
            frame = np.random.default_rng(number).poisson(data.background).astype(np.uint16)
            sparse = separator.sparsify(frame, snr, number=number)
            sparse = replace(sparse, background=rest_background(sparse, frame))
            left = np.isfinite(separator.rings.position)
            left.ravel()[sparse.index] = False
            raw.append(frame[left].mean())
            drawn.append(densifier.run(sparse)[left].mean())
        error = np.sqrt(0.5 / left.sum() / 12)
        assert np.mean(drawn) == pytest.approx(np.mean(raw), abs=5 * error + 0.004 * np.mean(raw)), snr


def test_boxes_about_reflections_keep_weak_intensities(engine):
    """The background of clipping is high where spots are many; the sums of weak ones were 13 % low with it."""
    scan = simulate_rotation(1, shape=(500, 520), distance=0.08, d_min=2.0, seed=2)
    truth = scan.truth
    separator = crystint.Separator(scan.settings.geometry, rings=150, engine=engine)
    frame = scan.image(0, np.uint16)
    sparse = separator.sparsify(frame)
    near = np.zeros(frame.shape, bool)
    for slow, fast in zip(truth["slow"].astype(int), truth["fast"].astype(int)):
        near[max(slow - 4, 0) : slow + 5, max(fast - 4, 0) : fast + 5] = True
    near.ravel()[sparse.index] = True
    index = np.flatnonzero(near).astype(np.uint32)
    rest = rest_background(replace(sparse, index=index, value=frame.ravel()[index]), frame)
    true = scan.background
    quiet = np.isfinite(separator.rings.position) & ~near
    ratios = [
        np.interp(separator.rings.position[quiet], np.arange(150), np.nan_to_num(one.mean))
        @ separator.rings.weight[quiet]
        / true[quiet].sum()
        for one in (sparse.background, rest)
    ]
    assert ratios[0] > 1.015
    assert ratios[1] == pytest.approx(1.0, abs=5 / np.sqrt(true[quiet].sum()))


def test_few_pixels_leave_a_ring_as_it_is(engine):
    data, frame, _ = crowded()
    separator = crystint.Separator(data.geometry, rings=6, engine=engine)
    sparse = separator.sparsify(frame)
    index = np.flatnonzero(np.isfinite(separator.rings.position)).astype(np.uint32)
    rest = rest_background(replace(sparse, index=index, value=frame.ravel()[index]), frame)
    assert np.array_equal(rest.mean, sparse.background.mean, equal_nan=True)
