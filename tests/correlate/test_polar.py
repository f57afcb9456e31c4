"""Polar images: LOKI's to the last bit, oracles by loops and polygons, conservation, tilts, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.polar.polar import METHODS, PolarGrid, PolarImage, PolarTransform, polar_image, smooth_size
from crystint.engine import Engine
from crystint.errors import DTypeError, GeometryError, SettingError, ShapeError
from crystint.model.geometry import Geometry
from tests.conftest import shared_data
from tests.oracles import correlate_polar as oracle

SHAPE = (17, 23)
CENTER = (8.3, 12.1)
RADII = np.array([0.0, 1.5, 3.0, 4.0, 7.5, 9.0, 12.0, 15.5])
WAYS = [(0.0, 1), (-np.pi, 1), (0.4, -1)]


def scene(rng, dtype=np.uint16):
    """A frame with unusable pixels, a mask, and the same as floats with NaN."""
    frame = rng.poisson(50, SHAPE).astype(dtype)
    mask = rng.random(SHAPE) < 0.1
    lost = rng.random(SHAPE) < 0.05
    frame[lost] = {"u": np.iinfo(dtype).max if dtype != np.float32 else 0, "i": -1, "f": np.nan}[frame.dtype.kind]
    return frame, mask, np.where(mask | lost, np.nan, frame.astype(float))


def test_the_nearest_image_is_that_of_loki(engine):
    case = np.load(shared_data("loki/loki_out_py3.npz"))
    frame, valid = (np.load(shared_data(f"loki/inputs/test_{name}.npy")) for name in ("img", "mask"))
    x, y, low, high, n = case["polar_params"]
    grid = PolarGrid.loki(x, y, int(high), int(low), int(n))
    found = PolarTransform(engine, grid, frame.shape, mask=~valid).run(frame)
    assert np.array_equal(found.good, case["polar_mask"])
    assert np.array_equal(np.where(found.good, found.values, 0), case["polar_img"])
    assert np.array_equal(found.weights, case["polar_mask"].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.float32])
@pytest.mark.parametrize(("origin", "direction"), WAYS)
def test_nearest_equals_the_oracle(engine, rng, dtype, origin, direction):
    frame, mask, image = scene(rng, dtype)
    grid = PolarGrid(CENTER, RADII, 45, origin, direction)
    found = PolarTransform(engine, grid, SHAPE, mask=mask).run(frame)
    wanted = oracle.nearest(image, CENTER, RADII, 45, origin, direction)
    assert np.array_equal(found.values, wanted.astype(np.float32), equal_nan=True)
    assert 0 < np.isnan(wanted).sum() < wanted.size


@pytest.mark.parametrize("method", METHODS)
def test_a_device_with_memory_of_its_own_gives_the_same(engine, rng, monkeypatch, method):
    frame, mask, _ = scene(rng)
    grid = PolarGrid(CENTER, RADII, 45)
    wanted = PolarTransform(engine, grid, SHAPE, mask=mask, method=method).run(frame)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    found = PolarTransform(Engine(engine.device), grid, SHAPE, mask=mask, method=method).run(frame)
    assert np.array_equal(found.values, wanted.values, equal_nan=True)
    assert np.array_equal(found.weights, wanted.weights)


def test_halves_go_to_the_lower_pixel_and_the_frame_ends_at_its_edge(engine):
    frame = np.arange(12, dtype=np.uint16).reshape(3, 4)
    grid = PolarGrid.loki(1.0, 1.0, 4, 0, 4)  # -x, -y, +x, +y
    found = PolarTransform(engine, grid, frame.shape).run(frame).values
    nan = np.nan
    wanted = [[5, 5, 5, 5], [4, 1, 6, 9], [nan, nan, 7, nan], [nan] * 4]
    assert np.array_equal(found, np.array(wanted, np.float32), equal_nan=True)
    halves = PolarGrid((1.0, 2.0), [0.0, 1.0, 2.0], 1)  # on pixel corners: (0.5, 1.5 + r)
    found = PolarTransform(engine, halves, frame.shape).run(frame).values
    assert np.array_equal(found, np.array([[1], [2], [3]], np.float32))


@pytest.mark.parametrize(("origin", "direction"), WAYS)
def test_bilinear_equals_the_oracle(engine, rng, origin, direction):
    frame, mask, image = scene(rng)
    grid = PolarGrid(CENTER, RADII, 45, origin, direction)
    found = PolarTransform(engine, grid, SHAPE, mask=mask, method="bilinear").run(frame)
    values, weights = oracle.bilinear(image, CENTER, RADII, 45, origin, direction)
    np.testing.assert_allclose(found.weights, weights, atol=1e-4)
    sure = (weights == 0) | (weights > 0.02)  # where little is left, places to 8e-6 px are not enough
    np.testing.assert_allclose(found.values[sure], values[sure], rtol=2e-3)
    most = weights > 0.5
    np.testing.assert_allclose(found.values[most], values[most], rtol=1e-5)
    assert most.sum() > 200


def test_bilinear_is_exact_on_a_plane(engine):
    slow, fast = np.mgrid[:61, :83].astype(np.float32)
    frame = 3.0 * slow - 2.0 * fast + 200.0
    grid = PolarGrid((30.2, 41.7), np.arange(1.0, 28.0), 90)
    found = PolarTransform(engine, grid, frame.shape, method="bilinear").run(frame)
    places = grid.positions(grid.radii, grid.angles)
    np.testing.assert_allclose(found.values, 3.0 * places[0] - 2.0 * places[1] + 200.0, rtol=2e-6)
    assert np.all(found.weights > 1.0 - 1e-6)


@pytest.mark.parametrize(("azimuths", "origin", "direction"), [(3, 0.0, 1), (20, -np.pi, 1), (13, 0.4, -1)])
def test_area_equals_clipped_polygons(engine, rng, azimuths, origin, direction):
    frame, mask, image = scene(rng)
    grid = PolarGrid(CENTER, RADII, azimuths, origin, direction)
    found = PolarTransform(engine, grid, SHAPE, mask=mask, method="area").run(frame)
    values, weights, _ = oracle.area(image, CENTER, RADII, azimuths, origin, direction)
    np.testing.assert_allclose(found.weights, weights, atol=3e-3)  # chords miss arcs by up to 0.001 px
    sure = weights > 0.01
    np.testing.assert_allclose(found.values[sure], values[sure], rtol=3e-3)
    assert np.array_equal(np.isnan(found.values), found.weights == 0)


@pytest.mark.parametrize(("shape", "center", "azimuths"), [((40, 52), (19.5, 27.5), 256), ((40, 52), (-6.0, 60.3), 37)])
def test_area_counts_every_pixel_once(engine, rng, shape, center, azimuths):
    frame = rng.poisson(100, shape).astype(np.uint16)
    mask = rng.random(shape) < 0.2
    far = np.hypot(*(np.array(shape) + 1.0)) + 12.0
    operation = PolarTransform(
        engine, PolarGrid(center, np.arange(0.0, far), azimuths), shape, method="area", mask=mask
    )
    found = operation.run(frame)
    covered = found.weights.astype(np.float64) * operation.cell_area
    good = frame[~mask].astype(np.float64)
    # chords: the outermost circle encloses the frame, so that nothing is lost; the innermost radius is 0
    assert covered.sum() == pytest.approx(good.size, rel=1e-5)
    assert (covered * np.nan_to_num(found.values)).sum() == pytest.approx(good.sum(), rel=1e-5)


def test_area_of_a_flat_frame_is_flat_and_cells_weigh_1_inside(engine):
    frame = np.full((50, 60), 7, np.int32)
    operation = PolarTransform(engine, PolarGrid((24.7, 31.2), np.arange(3, 24), 360), frame.shape, method="area")
    found = operation.run(frame)
    np.testing.assert_allclose(found.values, 7.0, rtol=1e-6)
    np.testing.assert_allclose(found.weights, 1.0, atol=1e-3)
    edges = np.array(oracle.borders(list(range(3, 24))))
    np.testing.assert_allclose(operation.cell_area[:, 0], np.pi * np.diff(edges**2) / 360, rtol=1e-3)


def test_a_turned_frame_gives_a_turned_image(engine, rng):
    frame = rng.poisson(20, (31, 31)).astype(np.uint16)
    for method in METHODS:
        operation = PolarTransform(engine, PolarGrid((15.5, 15.5), np.arange(0.7, 14), 64), frame.shape, method=method)
        before, after = operation.run(frame).values, operation.run(np.rot90(frame, -1).copy()).values
        # fast -> slow is +90 degrees: the sense of np.rot90(k=-1) on a screen
        np.testing.assert_allclose(after, np.roll(before, 16, axis=1), rtol=1e-4, err_msg=method)


def test_origin_and_direction():
    grid = PolarGrid((5.0, 5.0), [1.0, 2.0], 8, origin="loki", direction=-1)
    np.testing.assert_allclose(grid.angles[:3], [-np.pi, -1.25 * np.pi, -1.5 * np.pi])
    slow, fast = grid.positions(grid.radii, grid.angles)
    np.testing.assert_allclose((slow[1, 0], fast[1, 0]), (4.5, 2.5), atol=1e-12)
    np.testing.assert_allclose((slow[0, 2], fast[0, 2]), (5.5, 4.5), atol=1e-12)


def test_sizes_have_small_factors():
    def plain(n):
        for p in (2, 3, 5):
            while n % p == 0:
                n //= p
        return n == 1

    for n in range(1, 2000):
        found = smooth_size(n)
        assert plain(found)
        assert not any(plain(k) for k in range(n, found))
    assert smooth_size(6283) == 6400
    assert PolarGrid((0.0, 0.0), np.arange(100, 1001)).azimuths == 6400


def test_normalization_by_geometry_and_flat(engine, rng):
    geometry = Geometry(SHAPE, (1e-3, 1e-3), 0.02, CENTER, wavelength=1.0, polarization=0.9)
    weight = geometry.solid_angle() * geometry.polarization_factor()
    flat = rng.uniform(0.5, 2.0, SHAPE)
    flat[3, 4] = 0.0
    frame = (1000 * weight * flat).astype(np.float32)
    grid = PolarGrid(CENTER, RADII, 45)
    for method in METHODS:
        found = PolarTransform(engine, grid, SHAPE, method=method, geometry=geometry, normalization=flat).run(frame)
        np.testing.assert_allclose(found.values[found.good], 1000.0, rtol=1e-5)
    assert np.isnan(PolarTransform(engine, grid, SHAPE, normalization=flat).run(frame).values).sum() > 0


def test_saturated_pixels_are_no_data(engine):
    frame = np.array([[1, 2, 3]], np.uint16)
    grid = PolarGrid((0.5, 0.5), [0.0, 1.0, 2.0], 1)
    found = PolarTransform(engine, grid, (1, 3), saturation=2.0).run(frame).values
    assert np.array_equal(found[:, 0], [1, 2, np.nan], equal_nan=True)


@pytest.mark.parametrize("rotation", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.7)])
def test_rows_of_q_are_rings_of_q_on_tilted_detectors(engine, rotation):
    geometry = Geometry((200, 240), (1e-3, 0.8e-3), 0.12, (95.0, 130.0), 1.0, rotation=rotation, beam_outside=True)
    q = np.linspace(0.5, 3.0, 12)
    grid = PolarGrid.of_q(geometry, q, 36, origin=0.2)
    slow, fast = (x + 0.5 for x in grid.positions(grid.radii, grid.angles))
    np.testing.assert_allclose(geometry.q_at(slow, fast), np.broadcast_to(q[:, None], slow.shape), rtol=1e-9)
    x, y, _ = geometry._lab(slow, fast)
    turn = np.angle(np.exp(1j * (np.arctan2(y, x) - grid.angles)))
    assert np.abs(turn).max() < 1e-9
    frame = geometry.q().astype(np.float32)
    for method, close in (("nearest", 0.05), ("bilinear", 0.01), ("area", 0.03)):
        operation = PolarTransform(engine, grid, geometry.shape, method=method)
        found = operation.run(frame)
        whole = found.weights > 0.999
        assert whole.sum() > 200
        wanted = np.broadcast_to(q[:, None], slow.shape)[whole]
        np.testing.assert_allclose(found.values[whole], wanted, atol=close, err_msg=method)
    inside = found.weights * operation.cell_area
    assert 0.3 * frame.size < inside.sum() < frame.size


@pytest.mark.parametrize("rotation", [(0.9, 0.1, 0.0), (-0.9, 0.1, 0.0), (0.1, 0.9, 0.0), (-0.6, -0.7, 0.3)])
def test_cells_that_never_meet_a_steep_detector_have_no_data(engine, rotation):
    geometry = Geometry((60, 80), (1e-3, 1e-3), 0.03, (30.0, 40.0), 1.0, rotation=rotation, beam_outside=True)
    grid = PolarGrid.of_q(geometry, np.linspace(0.5, 7.5, 60), 90)
    slow, _ = grid.positions(grid.radii, grid.angles)
    assert 100 < np.isnan(slow).sum() < slow.size / 2
    frame = geometry.q().astype(np.float32)
    for method in METHODS:
        operation = PolarTransform(engine, grid, geometry.shape, method=method)
        found = operation.run(frame)
        assert np.isnan(found.values[np.isnan(slow)]).all()
        assert not found.weights[np.isnan(slow)].any()
        assert np.array_equal(found.good, found.weights > 0)
        wanted = np.broadcast_to(grid.q[:, None], slow.shape)[found.good]
        np.testing.assert_allclose(found.values[found.good], wanted, atol=0.3, err_msg=method)
    assert np.nansum(found.weights * operation.cell_area) <= frame.size * (1 + 1e-5)


def test_a_centre_given_as_loki_gives_it_keeps_its_last_bit():
    x = 255.6
    assert (x + 0.5) - 0.5 != x
    grid = PolarGrid.loki(x, 3.0, 2, 0, 4)
    assert grid.positions(grid.radii, grid.angles)[1][0, 0] == x


def test_untilted_rows_of_q_are_circles():
    geometry = Geometry((200, 240), (1e-3, 1e-3), 0.12, (95.0, 130.0), 1.0)
    grid = PolarGrid.of_q(geometry, [1.0, 2.0])
    assert grid.geometry is None
    np.testing.assert_allclose(geometry.q_at(95.0, 130.0 + grid.radii), [1.0, 2.0])


def test_more_azimuths_than_pixels_repeat_pixels(engine, rng):
    frame = rng.poisson(9, (6, 7)).astype(np.uint16)
    for method in METHODS:
        found = PolarTransform(engine, PolarGrid((3.0, 3.5), [1.0, 2.0], 1000), frame.shape, method=method).run(frame)
        assert found.values.shape == (2, 1000)
        assert found.good.all()


def test_a_centre_outside_the_frame_is_allowed_and_nothing_wraps(engine):
    frame = np.tile(np.arange(30, dtype=np.uint16), (20, 1))
    grid = PolarGrid((10.0, -5.0), np.arange(1.0, 60.0), 360)
    for method in METHODS:
        found = PolarTransform(engine, grid, frame.shape, method=method).run(frame)
        slow, fast = grid.positions(grid.radii, grid.angles)
        outside = (slow < -1.5) | (slow > 20.5) | (fast < -1.5) | (fast > 30.5)
        assert np.isnan(found.values[outside]).all()
        assert not found.weights[outside].any()
        inside = (slow > 1) & (slow < 18) & (fast > 1) & (fast < 28)
        np.testing.assert_allclose(found.values[inside], fast[inside], atol=0.6)


@pytest.mark.parametrize("method", METHODS)
def test_a_grid_beside_the_frame_is_refused(engine, method):
    with pytest.raises(GeometryError, match="no point of the polar grid"):
        PolarTransform(engine, PolarGrid((500.0, 500.0), [1.0, 2.0], 10), SHAPE, method=method)
    with pytest.raises(GeometryError, match=r"fast, slow"):
        PolarTransform(engine, PolarGrid((22.0, 5.0), [0.5, 1.0], 10), SHAPE, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_masked_frame_has_no_data(engine, method):
    found = PolarTransform(engine, PolarGrid(CENTER, RADII, 9), SHAPE, method=method, mask=np.ones(SHAPE)).run(
        np.ones(SHAPE, np.uint16)
    )
    assert np.isnan(found.values).all()
    assert not found.weights.any()


def test_impossible_input_is_refused(engine):
    grid = PolarGrid(CENTER, RADII, 9)
    operation = PolarTransform(engine, grid, SHAPE)
    with pytest.raises(ShapeError, match="transposed"):
        operation.run(np.zeros(SHAPE[::-1], np.uint16))
    with pytest.raises(DTypeError, match="float64"):
        operation.run(np.zeros(SHAPE))
    with pytest.raises(SettingError, match="method"):
        PolarTransform(engine, grid, SHAPE, method="cubic")
    with pytest.raises(ShapeError, match="mask"):
        PolarTransform(engine, grid, SHAPE, mask=np.zeros((3, 3)))
    with pytest.raises(ShapeError, match="geometry"):
        PolarTransform(engine, grid, SHAPE, geometry=Geometry((9, 9), (1e-3, 1e-3), 0.1, (4.0, 4.0)))
    with pytest.raises(ShapeError, match="normalization"):
        PolarTransform(engine, grid, SHAPE, normalization=np.ones(3))
    with pytest.raises(DTypeError, match="normalization"):
        PolarTransform(engine, grid, SHAPE, normalization=np.ones(SHAPE, complex))
    with pytest.raises(ShapeError, match="shape"):
        PolarTransform(engine, grid, (0, 4))
    with pytest.raises(SettingError, match="16383"):
        PolarTransform(engine, PolarGrid(CENTER, [1.0, 50000.0], 9), SHAPE, method="area")


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"radii": []}, ShapeError, "at least one"),
        ({"radii": [2.0, 1.0]}, SettingError, "ascending"),
        ({"radii": [np.nan]}, SettingError, "finite"),
        ({"radii": [-1.0, 1.0]}, SettingError, "0 or more"),
        ({"center": (np.nan, 1.0)}, SettingError, "center"),
        ({"azimuths": -3}, SettingError, "azimuths"),
        ({"azimuths": 2**31}, SettingError, "too many"),
        ({"origin": "north"}, SettingError, "north"),
        ({"direction": 2}, SettingError, "direction"),
    ],
)
def test_impossible_grids_are_refused(values, error, text):
    with pytest.raises(error, match=text):
        PolarGrid(**{"center": CENTER, "radii": RADII, **values})


def test_impossible_rows_of_q_are_refused():
    plain = {"shape": SHAPE, "pixel_size": (1e-3, 1e-3), "distance": 0.1, "beam_center": CENTER}
    with pytest.raises(GeometryError, match="wavelength"):
        PolarGrid.of_q(Geometry(**plain), [1.0])
    with pytest.raises(GeometryError, match="90 degrees"):
        PolarGrid.of_q(Geometry(**plain, wavelength=1.0), [1.0, 12.0])
    with pytest.raises(SettingError, match="qRmin"):
        PolarGrid.loki(1.0, 1.0, 5, 9, 10)
    with pytest.raises(SettingError, match="n is 0"):
        smooth_size(0)


def test_the_function_is_the_operation(rng):
    frame, mask, _ = scene(rng)
    grid = PolarGrid(CENTER, RADII, 9)
    found = polar_image(frame, grid, mask=mask, method="area")
    assert isinstance(found, PolarImage)
    assert found.grid is grid
