"""Detectors of several panels are drawn where the sample sees them."""

from __future__ import annotations

import numpy as np
import pytest

from crystint import Geometry, Panel
from crystint.model.peaks import empty_peaks
from crystint.plot import plot_frame, plot_geometry
from crystint.plot.assembled import assembled

PIXEL = 1e-4


def two_panels(turn=0.0, closer=0.0):
    """Two panels of 40 x 30 px, stored one below the other; in the laboratory side by side, 6 px apart, at 0.1 m.

    The second is turned by a quarter about the beam, and may stand closer to the sample; both may be turned about y.
    """
    cosine, sine = np.cos(turn), np.sin(turn)
    first = Panel((0, 40), (0, 30), (-33 * PIXEL, -20 * PIXEL, 0.1), (0, PIXEL, 0), (PIXEL * cosine, 0, PIXEL * sine))
    near = (0.1 - closer) / 0.1
    step = PIXEL * near
    second = Panel((40, 80), (0, 30), (3 * step, 15 * step, 0.1 * near), (step, 0, 0), (0, -step, 0))
    return Geometry(
        (80, 30), (PIXEL, PIXEL), 0.1, (20.0, 33.0), wavelength=1.0, beam_outside=True, panels=(first, second)
    )


@pytest.mark.parametrize("closer", [0.0, 0.02])
def test_a_frame_is_put_together_by_hand(closer):
    frame = np.arange(80 * 30).reshape(80, 30)
    view = assembled(two_panels(closer=closer))
    assert view.plane.beam_center == (20.0, 33.0)
    assert view.plane.shape == (40, 76)
    image = view.image(frame, -1)
    np.testing.assert_array_equal(image[:, :30], frame[:40])
    # its slow axis runs along x, its fast axis against y; nearer, with pixels smaller by that, it looks alike
    np.testing.assert_array_equal(image[5:35, 36:], frame[40:].T[::-1])
    assert np.all(image[:, 30:36] == -1)
    assert np.all(image[:5, 36:] == -1)


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_places_have_the_scattering_angle_of_their_pixels(turn):
    geometry = two_panels(turn)
    view = assembled(geometry)
    slow, fast = np.array([3.2, 30.0, 50.5, 77.7]), np.array([4.0, 28.5, 11.1, 29.5])
    places = view.place(slow, fast)
    expected = geometry.two_theta_at(slow, fast)
    np.testing.assert_allclose(view.plane.two_theta_at(*places), expected, rtol=1e-12)
    angles = view.image(geometry.two_theta())
    rows, columns = np.floor(places).astype(int)
    np.testing.assert_allclose(angles[rows, columns], expected, atol=1.5 * PIXEL / 0.1)


def test_pictures_show_rings_and_peaks_on_the_plane():
    geometry = two_panels()
    peaks = empty_peaks(2)
    peaks["slow"], peaks["fast"] = [10.5, 60.5], [20.5, 10.5]
    figure = plot_frame(np.ones((80, 30), dtype=np.uint16), geometry=geometry, peaks=peaks)
    axes = figure.axes[0]
    assert axes.get_xlim() == (0.0, 76.0)
    assert "plane" in axes.get_xlabel()
    (circles,) = (c for c in axes.collections if c.get_label().startswith("peak"))
    np.testing.assert_allclose(circles.get_offsets(), [[20.5, 10.5], [56.5, 24.5]])
    outlines = plot_geometry(geometry).axes[0].patches
    np.testing.assert_allclose(outlines[1].get_xy().max(axis=0), [76.0, 35.0], atol=1e-4)


def test_one_flat_panel_and_panels_that_reach_too_far_stay_as_they_are_stored():
    assert assembled(Geometry((40, 30), (PIXEL, PIXEL), 0.1, (20.0, 15.0))) is None
    geometry = two_panels()
    aside = Panel((40, 80), (0, 30), (0.5, -20 * PIXEL, 0.01), (0, PIXEL, 0), (0, 0, PIXEL))
    values = geometry.to_dict() | {"panels": [geometry.panels[0].to_dict(), aside.to_dict()]}
    assert assembled(Geometry.from_dict(values)) is None
    figure = plot_frame(np.ones((80, 30)), geometry=Geometry.from_dict(values))
    assert figure.axes[0].get_xlim() == (0.0, 30.0)
