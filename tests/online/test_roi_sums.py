"""What regions of interest hold: exact sums on every device, background and signal, against an oracle in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

import crystint
from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.model.rois import Roi, Rois
from crystint.model.valid_values import ValidValues
from crystint.ops.roi_sums import RoiSums
from tests.online.test_rois import random_geometry, random_roi
from tests.oracles import rois as oracle

EXACT = ("pixels", "npixel", "masked", "sum", "max", "saturated")
CLOSE = ("sum_sq", "mean", "x", "y")
DTYPES = {np.uint8: 200, np.uint16: 60000, np.uint32: 4_000_000_000, np.int16: 30000, np.int32: 2_000_000_000}


def _check(values, names, expected):
    for name in names:
        assert values[name] == expected[name], name
    for name in CLOSE:
        assert float(values[name]) == pytest.approx(expected[name], rel=1e-12, nan_ok=True), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_exact_for_every_dtype(engine, dtype, rng):
    """Huge counts, marks, masked and saturated pixels, negative measurements; detectors narrower than a strip."""
    for shape in ((37, 53), (19, 7), (1, 1)):
        dtype = np.dtype(dtype)
        largest = DTYPES[dtype.type]
        counts = rng.integers(0, 9, shape).astype(np.int64)
        few = rng.random(shape)
        counts[few < 0.3] = rng.integers(0, largest, shape)[few < 0.3]
        valid = (
            ValidValues(lowest=-50, marks=(3,))
            if dtype.kind == "i"
            else ValidValues(marks=(3, int(np.iinfo(dtype).max)))
        )
        if dtype.kind == "i":
            counts[few > 0.8] = rng.integers(-60, 0, shape)[few > 0.8]
        else:
            counts[few > 0.9] = np.iinfo(dtype).max
        counts[0, ::2] = largest // 2  # the largest valid value
        frame = counts.astype(dtype)
        mask = (rng.random(shape) < 0.1).astype(np.uint32) << 4
        rois = [random_roi(rng, f"r{i}", shape, np.array([1.0, 2.0])) for i in range(30)]
        rois = [roi for roi in rois if roi.type != "azimuthal"]
        members = Rois((*rois, Roi.box("all", slow=(0, 99), fast=(0, 99)))).members(None, shape, strict=False)
        sums = RoiSums(members, engine, mask=mask, valid=valid, saturation=largest // 2)
        values = sums.run(frame)
        unusable = (frame.astype(np.int64) == 3) | (
            frame.astype(np.int64) < -50 if dtype.kind == "i" else frame == np.iinfo(dtype).max
        )
        for region, pixels in enumerate(members.pixels):
            inside = np.zeros(shape, bool)
            inside.reshape(-1)[pixels] = True
            _check(values[region], EXACT, oracle.values(frame, inside, mask != 0, unusable, largest // 2))
        assert np.isnan(values["background"]).all()
        assert (values["spots"] == -1).all()
        assert sums.run(frame).tobytes() == values.tobytes()


def test_a_region_without_a_measurement(engine):
    frame = np.array([[65535, 5, 0], [65535, 7, 0]], np.uint16)
    rois = Rois((Roi.box("dead", slow=(0, 1), fast=(0, 0)), Roi.box("zero", slow=(0, 1), fast=(2, 2))))
    dead, zero = RoiSums(rois.members(None, (2, 3)), engine).run(frame)
    assert (dead["pixels"], dead["npixel"], dead["masked"], dead["sum"], dead["sum_sq"]) == (2, 0, 2, 0, 0.0)
    assert dead["max"] == np.iinfo(np.int64).min
    assert all(math.isnan(dead[name]) for name in ("mean", "x", "y"))
    assert (zero["npixel"], zero["max"], zero["mean"]) == (2, 0, 0.0)
    assert math.isnan(zero["x"])
    none = RoiSums(Rois().members(None, (2, 3)), engine)
    assert len(none.run(frame)) == 0


def _rings(separator, statistics, variance):
    """As the oracle takes them."""
    rings = separator.rings
    mean, phi, other = statistics.table[:, :3].astype(float).T
    dark = np.zeros(rings.shape) if rings.dark is None else rings.dark
    return {
        "position": rings.position, "weight": rings.weight, "dark": dark, "mean": mean.tolist(), "phi": phi.tolist(),
        "other": other.tolist(), "variance": variance.tolist(),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_background_and_signal_are_those_of_the_rings(engine, seed):
    """Turned detectors and panels, dark counts, pixels lost in one frame, a ring without a background."""
    rng = np.random.default_rng(seed)
    geometry = random_geometry(rng, panels=seed == 3)
    shape = geometry.shape
    dark = rng.uniform(0, 3, shape).astype(np.float32) if seed == 1 else None
    mask = rng.random(shape) < 0.1
    dead = np.zeros(shape, bool)
    if seed == 2:
        radius = geometry.ring_radius()
        low, high = np.nanpercentile(radius, [40, 60])
        dead = (radius > low) & (radius < high)  # a dead band, but for one saturated pixel
    frame = rng.poisson(20.0, shape).astype(np.uint16)
    frame[rng.random(shape) < 0.03] = 65535
    frame[dead] = 65535
    if seed == 2:
        frame.reshape(-1)[np.flatnonzero(dead & ~mask)[::7]] = 3000
    model = "azimuthal" if seed == 0 else "hybrid"
    separator = crystint.Separator(
        geometry, mask, rings=12, error_model=model, dark=dark, engine=engine, saturation=2500
    )
    q = geometry.q()
    rois = Rois(tuple(random_roi(rng, f"r{i}", shape, q) for i in range(12)))
    members = rois.members(geometry, shape, strict=False)
    sums = RoiSums(members, engine, rings=separator.rings, saturation=2500)
    for number in range(3):
        if number == 2:  # other pixels are lost
            frame = np.roll(frame, 1, axis=1)
        _, peaks, statistics = separator.examine(frame, None, 5.0, noise=0.5, regions=sums)
        values = statistics.regions
        background = separator.background(frame)
        variance = background.sem**2 * np.where(
            background.error_model == "azimuthal", 1.0, np.maximum(background.excess, 1)
        )
        rings = _rings(separator, statistics, np.nan_to_num(variance))
        bad = separator.rings.mask != 0
        at = [(math.floor(peak["slow"]), math.floor(peak["fast"])) for peak in peaks]
        for region, pixels in enumerate(members.pixels):
            inside = np.zeros(shape, bool)
            inside.reshape(-1)[pixels] = True
            _check(values[region], EXACT, oracle.values(frame, inside, bad, frame == 65535, 2500))
            expected, signal, sigma = oracle.signal(frame, inside & ~bad & (frame != 65535), rings, 0.5)
            scale = max(abs(expected), 1.0)
            assert values["background"][region] == pytest.approx(expected, rel=1e-9, nan_ok=True)
            assert values["signal"][region] == pytest.approx(signal, abs=1e-9 * scale, nan_ok=True)
            assert values["sigma"][region] == pytest.approx(sigma, rel=2e-6, nan_ok=True)
            if sigma > 0:
                assert values["snr"][region] == pytest.approx(signal / sigma, rel=3e-6, abs=1e-9 * scale)
            assert values["spots"][region] == sum(inside[place] for place in at)


def test_signal_of_nothing_is_nothing_and_that_of_a_spot_is_its_counts(engine, rng):
    """By theory: signal / sigma of empty regions has mean 0 and spread 1, and an added 400 counts are found."""
    geometry = crystint.Geometry((200, 210), (1e-4, 1e-4), 0.1, (100.3, 105.2), wavelength=1.0)
    rois = Rois(
        tuple(
            Roi.box(f"b{i}.{j}", slow=(10 + 25 * i, 15 + 25 * i), fast=(10 + 25 * j, 16 + 25 * j))
            for i in range(8)
            for j in range(8)
        )
    )
    separator = crystint.Separator(geometry, rings=60, engine=engine)
    sums = RoiSums(rois.members(geometry, geometry.shape), engine, rings=separator.rings)
    ratios, signals = [], []
    for _ in range(20):
        frame = rng.poisson(3.0 * separator.rings.weight).astype(np.uint16)
        ratios.append(separator.examine(frame, None, None, regions=sums)[2].regions["snr"])
        frame[12, 12] += 400
        signals.append(separator.examine(frame, None, None, regions=sums)[2].regions["signal"][0])
    ratios = np.concatenate(ratios)
    assert abs(ratios.mean()) < 4 / math.sqrt(len(ratios))
    assert ratios.std() == pytest.approx(1.0, abs=0.1)
    assert np.mean(signals) == pytest.approx(400.0, abs=4 * math.sqrt(2 * 126 / 20))


def test_what_does_not_fit_is_refused(engine):
    members = Rois((Roi.box("a", slow=(0, 1), fast=(0, 1)),)).members(None, (5, 6))
    sums = RoiSums(members, engine)
    with pytest.raises(DTypeError):
        sums.run(np.zeros((5, 6), np.float32))
    with pytest.raises(ShapeError, match=r"expected \(5, 6\)"):
        sums.run(np.zeros((6, 5), np.uint16))
    with pytest.raises(ShapeError, match="mask"):
        RoiSums(members, engine, mask=np.zeros((6, 5), bool))
    geometry = crystint.Geometry((50, 60), (1e-4, 1e-4), 0.1, (25, 30))
    separator = crystint.Separator(geometry, rings=5, engine=engine)
    with pytest.raises(ShapeError, match="detector of the regions"):
        RoiSums(members, engine, rings=separator.rings)
    good = RoiSums(
        Rois((Roi.box("a", slow=(0, 1), fast=(0, 1)),)).members(None, (50, 60)), engine, rings=separator.rings
    )
    with pytest.raises(SettingError, match="variance is None"):
        good.run(np.zeros((50, 60), np.uint16), np.zeros((5, 4), np.float32))
