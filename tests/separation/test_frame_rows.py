"""The row of a frame: totals against NumPy, expected false spots and resolution against simulations."""

from __future__ import annotations

import numpy as np
import pytest

from crystint import Separator, ValidValues
from crystint.engine import Engine
from crystint.ops.resolution import DetectedArea, outermost
from crystint.simulate import simulate

SHAPE = (131, 217)


def a_frame(dtype, rate, rng):
    """Counts with huge ones, unusable ones and ones below zero."""
    most = {"uint8": 200, "uint16": 60000, "uint32": 4e9, "int16": 30000, "int32": 2e9, "float32": 1e6}[dtype]
    frame = np.minimum(rng.poisson(rate, SHAPE), most).astype(np.float64)
    frame[rng.random(SHAPE) < 0.01] = most
    frame[rng.random(SHAPE) < 0.01] = 0.6 * most
    if dtype == "float32":
        frame += rng.normal(0, 1, SHAPE)
    frame = frame.astype(dtype)
    lost = rng.random(SHAPE) < 0.01
    if dtype == "float32":
        frame[lost] = np.nan
    elif dtype[0] == "i":
        frame[lost] = -2
    else:
        frame[lost] = np.iinfo(dtype).max
    return frame, 0.7 * most


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "float32"])
@pytest.mark.parametrize(("rings", "rate"), [(1, 3.0), (7, 0.01), (40, 100.0), (300, 3.0)])
def test_totals_are_those_of_numpy(dtype, rings, rate, engine):
    rng = np.random.default_rng(rings)
    frame, saturation = a_frame(dtype, rate, rng)
    mask = rng.random(SHAPE) < 0.05
    valid = ValidValues(lowest=-100) if dtype == "int16" else None
    separator = Separator(simulate(SHAPE).geometry, mask, rings, saturation=saturation, valid=valid, engine=engine)
    found = separator.examine(frame)[2].totals
    bad = (valid or ValidValues.of(frame.dtype)).unusable(frame)
    good = ~mask & ~bad & ~(frame > saturation)
    assert found.usable == np.count_nonzero(good)
    assert found.bad == np.count_nonzero(~mask & bad)
    assert found.saturated == np.count_nonzero(~mask & ~bad & (frame > saturation))
    assert found.negative == np.count_nonzero(frame[good] < 0)
    assert found.maximum == frame[good].max()
    if dtype == "float32":
        assert found.sum == pytest.approx(frame[good].sum(dtype=np.float64), rel=1e-5)
    else:
        assert found.sum == frame[good].sum(dtype=np.int64)


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32"])
def test_work_groups_find_the_same_totals(dtype, engine, monkeypatch):
    """The form of the kernel that GPUs run adds up over work-items."""
    frame, saturation = a_frame(dtype, 30.0, np.random.default_rng(5))
    geometry = simulate(SHAPE).geometry
    frame[:30] = saturation + 1  # some rings lose pixels, some lose all
    single = Separator(geometry, rings=40, saturation=saturation, engine=engine).examine(frame)[2].totals
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    groups = Separator(geometry, rings=40, saturation=saturation, engine=Engine(engine.device)).examine(frame)[2].totals
    assert groups == single


def test_totals_of_dead_and_saturated_frames(engine):
    geometry = simulate(SHAPE).geometry
    separator = Separator(geometry, rings=20, saturation=100.0, engine=engine)
    dead = separator.examine(np.full(SHAPE, -1, np.int32))[2].totals
    assert (dead.usable, dead.bad, dead.saturated) == (0, dead.bad, 0)
    assert dead.bad == SHAPE[0] * SHAPE[1]
    assert np.isnan(dead.maximum)
    full = separator.examine(np.full(SHAPE, 101, np.int32))[2].totals
    assert (full.usable, full.bad, full.saturated) == (0, 0, SHAPE[0] * SHAPE[1])
    huge = separator.examine(np.full(SHAPE, 2**31 - 1, np.int32))[2].totals
    assert huge.sum == 0


def test_sums_beyond_32_bits(engine):
    """One ring of the largest numbers there are: each part of the sum is carried."""
    frame = np.full(SHAPE, 2**32 - 2, np.uint32)
    separator = Separator(simulate(SHAPE).geometry, rings=1, engine=engine)
    assert separator.examine(frame)[2].totals.sum == float((2**32 - 2) * frame.size)


@pytest.mark.parametrize(
    ("background", "snr", "connected"), [(0.05, 3.0, 1), (0.4, 3.0, 2), (4.0, 3.3, 2), (60.0, 3.3, 1)]
)
def test_false_spots_are_as_many_as_expected(background, snr, connected):
    """Blank frames. Spots that touch one another count as one, so the threshold is not too low."""
    data = simulate((700, 700), frames=6, background=background, seed=4)
    separator = Separator(data.geometry, data.mask, rings=100)
    found = expected = 0.0
    for number, frame in enumerate(data):
        _, peaks, statistics = separator.examine(frame, None, snr, 2.0, connected, number=number)
        row = separator.rows.row(number, statistics, peaks, snr=snr, connected=connected)[0]
        found += len(peaks)
        expected += row["expected_false_spots"]
    assert expected > 30
    assert found == pytest.approx(expected, rel=0.12, abs=4 * np.sqrt(expected))


def test_limits_of_even_spots():
    """n spots spread evenly up to U: the largest is at U n / (n + 1) on average, with a standard deviation of U / n."""
    rng = np.random.default_rng(2)
    limits = np.array([outermost(0.3 * rng.random(50))[0] for _ in range(2000)])
    assert np.mean(limits) == pytest.approx(0.3, rel=0.01)
    assert np.std(limits) < 0.3 * 0.05
    with_noise = [outermost(np.append(0.3 * rng.random(50), rng.uniform(0.5, 1.0, 2)), 2.0)[0] for _ in range(500)]
    assert np.mean(with_noise) == pytest.approx(0.3, rel=0.01)


def test_areas_and_spacings_are_inverse():
    q = np.linspace(0.2, 5.0, 300)
    area = DetectedArea(q, np.arange(300.0))
    d = np.array([1.5, 2.0, 4.0, 9.0])
    assert [area.spacing(share) for share in area.share(d)] == pytest.approx(d.tolist(), rel=1e-6)
    assert not DetectedArea(np.full(3, np.nan), np.ones(3)).in_spacings
