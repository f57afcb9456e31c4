"""Geometry maps against pyFAI and against formulas written by hand; checks of what a caller gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crystint.errors import GeometryError
from crystint.model.geometry import Geometry
from crystint.model.panels import Panel

ROTATIONS = [(0.0, 0.0, 0.0), (0.21, -0.13, 0.3), (-0.5, 0.4, 1.2), (0.0, 0.6, -2.9), (1.4, 0.0, 0.1)]


def make(rotation=(0.0, 0.0, 0.0), **changes):
    values = {
        "shape": (37, 53),
        "pixel_size": (860e-6, 750e-6),
        "distance": 0.1,
        "beam_center": (14.3, 30.2),
        "wavelength": 0.97,
        "rotation": rotation,
        "polarization": 0.9,
        "beam_outside": True,
    }
    return Geometry(**(values | changes))


def pyfai(geometry):
    azimuthal = pytest.importorskip("pyFAI.integrator.azimuthal")
    detectors = pytest.importorskip("pyFAI.detectors")
    pixel = geometry.pixel_size
    detector = detectors.Detector(*pixel, max_shape=geometry.shape, orientation=3)
    return azimuthal.AzimuthalIntegrator(
        geometry.distance,
        geometry.beam_center[0] * pixel[0],
        geometry.beam_center[1] * pixel[1],
        *geometry.rotation,
        detector=detector,
        wavelength=geometry.wavelength * 1e-10,
    )


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_maps_equal_pyfai(rotation):
    geometry = make(rotation)
    peer = pyfai(geometry)
    shape = geometry.shape
    for unit, actual in (
        ("r_m", geometry.radius()),
        ("2th_rad", geometry.two_theta()),
        ("q_A^-1", geometry.q()),
    ):
        expected = peer.array_from_unit(shape, unit=unit)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)
        assert actual.dtype == np.float64
    np.testing.assert_allclose(geometry.solid_angle(), peer.solidAngleArray(shape), rtol=1e-7)  # float32 there
    np.testing.assert_allclose(geometry.polarization_factor(), peer.polarization(shape, 0.9), rtol=1e-6)
    np.testing.assert_allclose(geometry.d(), 2 * np.pi / geometry.q(), rtol=1e-14)
    z, y, x = peer.calc_pos_zyx(corners=False)
    for actual, expected in zip(geometry.positions(), (x, y, z), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-8)  # float32 there


@pytest.mark.parametrize("rotation", ROTATIONS[:4])
def test_direct_beam_equals_pyfai(rotation):
    geometry = make(rotation)
    fit2d = pyfai(geometry).getFit2D()
    np.testing.assert_allclose(geometry.direct_beam, (fit2d["centerY"], fit2d["centerX"]), rtol=1e-9)
    np.testing.assert_allclose(geometry.distance_along_beam, fit2d["directDist"] * 1e-3, rtol=1e-9)


def test_maps_by_hand():
    geometry = Geometry((3, 5), (1e-3, 2e-3), 0.01, (1.5, 2.5), 1.0)
    assert geometry.radius()[1, 2] == 0.0
    assert geometry.radius()[2, 4] == pytest.approx(math.hypot(1e-3, 4e-3), rel=1e-15)
    angle = math.atan(math.hypot(1e-3, 4e-3) / 0.01)
    assert geometry.two_theta()[2, 4] == pytest.approx(angle, rel=1e-14)
    assert geometry.q()[2, 4] == pytest.approx(4 * math.pi * math.sin(angle / 2), rel=1e-14)
    assert geometry.d()[1, 2] == math.inf
    assert geometry.solid_angle()[2, 4] == pytest.approx(math.cos(angle) ** 3, rel=1e-14)
    assert (geometry.polarization_factor() == 1.0).all()
    flat = Geometry((3, 5), (1e-3, 2e-3), 0.01, (1.5, 2.5), polarization=1.0)
    two_theta = math.atan(4e-3 / 0.01)
    assert flat.polarization_factor()[1, 4] == pytest.approx(math.cos(two_theta) ** 2)  # in the plane of the field
    assert flat.polarization_factor()[2, 2] == pytest.approx(1.0)  # across it


@pytest.mark.parametrize("rotation", [*ROTATIONS[:2], (0.0, 0.9, 0.0)])
def test_ring_radius_and_its_inverse(rotation):
    geometry = make(rotation)
    radius = geometry.ring_radius()
    flat = geometry.two_theta().max() < math.radians(80)
    along = geometry.distance / math.cos(rotation[0]) / math.cos(rotation[1])
    expected = along * (np.tan(geometry.two_theta()) if flat else geometry.two_theta())
    np.testing.assert_allclose(radius, expected, rtol=1e-13)
    np.testing.assert_allclose(geometry.ring_two_theta(radius), geometry.two_theta(), rtol=1e-13)
    if rotation == (0.0, 0.0, 0.0):
        np.testing.assert_allclose(radius, geometry.radius(), rtol=1e-13)


def test_rings_beyond_80_degrees_are_equal_in_angle():
    wide = make(distance=0.001)
    assert wide.two_theta().max() > math.radians(80)
    np.testing.assert_allclose(wide.ring_radius(), 0.001 * wide.two_theta())
    swung = make((1.5, 0.0, 0.0))
    assert swung.two_theta().max() > math.radians(80)
    assert np.isfinite(swung.ring_radius()).all()
    np.testing.assert_allclose(swung.ring_two_theta(swung.ring_radius()), swung.two_theta())


@pytest.mark.parametrize("rotation", ROTATIONS[:3])
def test_positions_of_pixel_centres_equal_the_maps(rotation):
    geometry = make(rotation)
    slow, fast = np.indices(geometry.shape) + 0.5
    np.testing.assert_allclose(geometry.d_at(slow, fast), geometry.d(), rtol=1e-14)
    np.testing.assert_allclose(geometry.q_at(slow, fast), geometry.q(), rtol=1e-14)


def test_positions_without_wavelength_and_on_the_beam():
    assert np.isnan(make(wavelength=None).d_at([3.0], [4.0])).all()
    assert np.isnan(make(wavelength=None).q_at([3.0], [4.0])).all()
    assert make().d_at(14.3, 30.2) == np.inf
    assert make().d_at([], []).shape == (0,)


@pytest.mark.parametrize("name", ["q", "d"])
def test_missing_wavelength(name):
    with pytest.raises(GeometryError, match="wavelength"):
        getattr(make(wavelength=None), name)()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shape", (0, 5)),
        ("shape", (3.5, 5)),
        ("shape", (3, 5, 7)),
        ("shape", None),
        ("pixel_size", (0.0, 1e-3)),
        ("pixel_size", 1e-3),
        ("pixel_size", (1e-3, math.nan)),
        ("distance", 0.0),
        ("distance", -0.1),
        ("distance", math.nan),
        ("distance", "far"),
        ("beam_center", (1.0, math.inf)),
        ("beam_center", (1.0,)),
        ("wavelength", -1.0),
        ("wavelength", 0.0),
        ("wavelength", 9.7e-11),
        ("rotation", (0.0, 0.0)),
        ("rotation", (0.0, 0.0, math.nan)),
        ("polarization", 1.5),
        ("polarization", math.nan),
        ("panels", ()),
    ],
)
def test_impossible_values_name_their_field(field, value):
    with pytest.raises(GeometryError, match=field):
        make(**{field: value})


def test_beam_outside_is_refused_with_a_hint():
    values = {"shape": (100, 300), "pixel_size": (1e-4, 1e-4), "distance": 0.1}
    with pytest.raises(GeometryError, match=r"outside.*beam_outside=True"):
        Geometry(**values, beam_center=(500.0, 400.0))
    with pytest.raises(GeometryError, match=r"Swapped"):
        Geometry(**values, beam_center=(250.0, 50.0))
    with pytest.raises(GeometryError, match=r"look like um"):
        Geometry(**values, beam_center=(5000.0, 15000.0))
    assert Geometry(**values, beam_center=(500.0, 400.0), beam_outside=True).radius().min() > 0
    Geometry(**values, beam_center=(0.0, 300.0))  # the very border is inside


def test_beam_outside_looks_at_the_direct_beam_and_not_at_the_normal():
    values = {"shape": (100, 100), "pixel_size": (1e-3, 1e-3), "distance": 0.1}
    with pytest.raises(GeometryError, match="outside"):
        Geometry(**values, beam_center=(50.0, 50.0), rotation=(0.6, 0.0, 0.0))
    swung = Geometry(**values, beam_center=(50.0, 118.4), rotation=(0.6, 0.0, 0.0))
    assert swung.direct_beam[1] == pytest.approx(118.4 - 100 * math.tan(0.6))


def test_dict_round_trip_and_plain_numbers():
    geometry = make((0.1, 0.2, 0.3), shape=np.array([37, 53]), distance=np.float32(0.5))
    assert Geometry.from_dict(geometry.to_dict()) == geometry
    assert type(geometry.shape[0]) is int
    assert type(geometry.distance) is float
    hash(geometry)
    with pytest.raises(GeometryError, match="Geometry has no size"):
        Geometry.from_dict({"shape": (3, 4), "size": 2})


def two_panels():
    """Two halves of a flat detector, with a gap of two columns between them that lies in no panel."""
    halves = []
    for start, stop in ((0, 20), (22, 53)):
        origin = ((start - 30.2) * 750e-6, -14.3 * 860e-6, 0.1)
        halves.append(Panel((0, 37), (start, stop), origin, (0.0, 860e-6, 0.0), (750e-6, 0.0, 0.0)))
    return make(panels=tuple(halves))


@pytest.mark.parametrize("name", ["radius", "two_theta", "q", "d", "solid_angle", "polarization_factor", "ring_radius"])
def test_panels_of_one_plane_equal_the_plane(name):
    parts, whole = getattr(two_panels(), name)(), getattr(make(), name)()
    assert np.isnan(parts[:, 20:22]).all()
    keep = np.ones(53, dtype=bool)
    keep[20:22] = False
    np.testing.assert_allclose(parts[:, keep], whole[:, keep], rtol=1e-12)


def test_panels_at_positions_and_in_dicts():
    parts = two_panels()
    d = parts.d_at([3.5, 3.5], [10.5, 21.0])
    assert d[0] == pytest.approx(make().d()[3, 10])
    assert np.isnan(d[1])
    assert Geometry.from_dict(parts.to_dict()) == parts


def test_a_panel_must_fit_and_have_an_area():
    with pytest.raises(GeometryError, match="leaves the frame"):
        make(panels=(Panel((0, 38), (0, 5), (0, 0, 0.1), (0, 1e-3, 0), (1e-3, 0, 0)),))
    with pytest.raises(GeometryError, match="parallel"):
        Panel((0, 3), (0, 5), (0, 0, 0.1), (0, 1e-3, 0), (0, 2e-3, 0))
    with pytest.raises(GeometryError, match="start < stop"):
        Panel((3, 3), (0, 5), (0, 0, 0.1), (0, 1e-3, 0), (1e-3, 0, 0))
