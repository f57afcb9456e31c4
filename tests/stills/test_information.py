"""What the terms tell: spots against sums over pixels, and the claims about which parameters are tied together."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.information import PARAMETERS, image_information
from crystint.stills.scaling.spot_information import spot_information
from crystint.stills.simulation.simulate import simulate_stills

GEOMETRY = ("rot x", "rot y", "rot z", "distance")
WIDTH = RockingWidth(1e-3)


@pytest.fixture(scope="module")
def still():
    data = simulate_stills(1, d_min=1.9, seed=2)
    truth = data.listed
    return data, {
        "signal": np.maximum(truth.signal, 1e-6),
        "background": truth.background,
        "width": WIDTH,
        "spot_width": 1.2e-3,
        "pixel": 172e-6 / 0.15,
    }


def information(still, **other):
    data, settings = still
    return image_information(data.experiment, 0, data.listed.hkl, **(settings | other))


@pytest.mark.parametrize("weights", ["expected", "uniform"])
@pytest.mark.parametrize("level", [0.1, 3.0, 500.0])
def test_a_spot_is_its_pixels_summed(weights, level):
    """Fisher information of a finely sampled spot: J = 1000, R = 1, B such that J / (pi R^2 B) is `level`."""
    side = np.linspace(-5.0, 5.0, 801)
    x, y = np.meshgrid(side, side)
    area = (side[1] - side[0]) ** 2

    def spot(ln_j, ln_r, dx=0.0):
        r = np.exp(ln_r)
        return 1000.0 * np.exp(ln_j) * np.exp(-((x - dx) ** 2 + y**2) / r**2) / (np.pi * r**2)

    background = 1000.0 / (np.pi * level)
    variance = background + (spot(0, 0) if weights == "expected" else 0.0)
    step = 1e-4
    by = [
        (spot(step, 0) - spot(-step, 0)) / (2 * step),
        (spot(0, step) - spot(0, -step)) / (2 * step),
        (spot(0, 0, step) - spot(0, 0, -step)) / (2 * step),
    ]
    fisher = np.array([[(a * b / variance).sum() * area for b in by] for a in by])
    found = spot_information(np.array([1000.0]), np.array([np.pi * background]), weights)
    assert found.amplitude[0] == pytest.approx(fisher[0, 0], rel=2e-4)
    assert found.width[0] == pytest.approx(fisher[1, 1], rel=2e-4)
    assert found.both[0] == pytest.approx(fisher[0, 1], rel=2e-4)
    assert found.shift[0] == pytest.approx(fisher[2, 2], rel=2e-4)
    assert abs(fisher[0, 2]) < 1e-6 * fisher[0, 0]

    # the profile fit with a width that is wrong by a little
    def fitted(width):
        template = spot(0, width) / 1000.0
        v = background + (1000.0 * template if weights == "expected" else 0.0)
        return (template * spot(0, 0) / v).sum() / (template**2 / v).sum()

    change = (np.log(fitted(step)) - np.log(fitted(-step))) / (2 * step)
    assert found.sensitivity[0] == pytest.approx(change, abs=2e-4)
    # and its true variance
    template = spot(0, 0) / 1000.0
    true = background + spot(0, 0)
    weight = template / variance
    spread = (weight**2 * true).sum() / (weight * template).sum() ** 2 / area
    assert found.achieved[0] == pytest.approx(1000.0**2 / spread, rel=2e-3)


def test_terms_two_and_three_say_nothing_of_the_scale(still):
    found = information(still)
    for term in ("shape", "position"):
        assert found.coupling(term, ("ln G", "B"), PARAMETERS) == 0.0
    assert found.coupling("shape", ("ln R1",), GEOMETRY) == 0.0
    assert found.coupling("position", ("ln R1",), GEOMETRY) == 0.0
    assert np.isnan(found.of("shape").sigma["ln G"])
    assert np.isnan(found.of("position").sigma["ln R1"])


def test_the_scale_and_the_width_of_the_spots(still):
    """Per pixel they are tied by the weights; factored, with R1 from elsewhere, they are not."""
    keep = ("B", "ln domain", *GEOMETRY)
    for weights, all_pixels in (("uniform", 0.7071), ("expected", 0.2)):
        per_pixel = information(still, weights=weights, per_pixel=True).without(*keep).correlation("ln G", "ln R1")
        assert abs(per_pixel) <= all_pixels + 1e-3
    uniform = information(still, weights="uniform", per_pixel=True).without(*keep).correlation("ln G", "ln R1")
    assert uniform == pytest.approx(0.7071, abs=1e-3)
    shared = {
        w: information(still, weights=w).without(*keep).correlation("ln G", "ln R1") for w in ("expected", "uniform")
    }
    apart = information(still, shared_width=False).correlation("ln G", "ln R1")
    assert abs(apart) < 1e-12
    assert 0.0 < shared["expected"] < 0.5 * shared["uniform"]


def test_the_scale_and_the_rocking_width_stay_tied(still):
    found = information(still).without(*GEOMETRY)
    assert found.correlation("ln G", "ln domain") == pytest.approx(-0.46, abs=0.1)
    known = information(still, priors={"ln domain": 1e-4}).without(*GEOMETRY)
    assert abs(known.correlation("ln G", "ln domain")) < 0.05
    assert known.sigma["ln G"] < 0.95 * found.sigma["ln G"]


def test_the_scale_and_the_temperature_factor(still):
    found = information(still)
    assert found.correlation("ln G", "B") > 0.4
    assert found.without("B").sigma["ln G"] < found.sigma["ln G"]


def test_intensities_do_depend_on_the_orientation(still):
    """Through the excitation: not the empty block that a factored likelihood is said to have."""
    found = information(still)
    assert found.coupling("intensity", ("ln G",), ("rot x", "rot y")) > 0.005
    assert found.of("intensity").sigma["rot x"] < found.of("position").sigma["rot x"]
    assert found.coupling("intensity", ("ln G",), ("distance",)) == 0.0


def test_positions_determine_the_rotation_about_the_beam_best(still):
    only = information(still).of("position").without("ln G", "B", "ln R1", "ln domain")
    sigma = only.sigma
    assert 4.0 < sigma["rot x"] / sigma["rot z"] < 8.0
    worse = information(still, floor=0.4).of("position").without("ln G", "B", "ln R1", "ln domain")
    assert worse.sigma["rot x"] > 3.0 * sigma["rot x"]


def test_more_light_is_more_information(still):
    one = information(still).sigma
    data, settings = still
    ten = information(still, signal=10.0 * settings["signal"], background=10.0 * settings["background"]).sigma
    for name in one:
        assert ten[name] == pytest.approx(one[name] / np.sqrt(10.0), rel=1e-6)
    assert len(data.experiment) == 1


def test_the_intensity_term_is_its_derivatives(still):
    """ln J = ln G - B / 4 d^2 - excitation^2 / R^2, differentiated by differences."""
    data, settings = still
    width = RockingWidth(8e-4, 2e-3)
    experiment, hkl = data.experiment, data.listed.hkl
    names = ("ln G", "B", "ln domain", "ln mosaicity", "rot x", "rot y")  # that about the beam does nothing

    def ln_j(x):
        turn = np.eye(3) + np.array([[0, 0, x[5]], [0, 0, -x[4]], [-x[5], x[4], 0]])
        point = hkl @ (turn @ experiment.setting[0]).T
        s1 = experiment.incident[0] + point
        excitation = np.linalg.norm(s1, axis=1) - np.linalg.norm(experiment.incident[0])
        s2 = (point**2).sum(axis=1)
        square = (8e-4 * np.exp(x[2])) ** 2 + (2e-3 * np.exp(x[3])) ** 2 * s2
        return x[0] - x[1] * s2 / 4 - excitation**2 / square

    slopes = np.stack([(ln_j(step) - ln_j(-step)) / 2e-6 for step in 1e-6 * np.eye(6)], axis=1)
    facts = spot_information(settings["signal"], settings["background"] * np.pi * (1.2e-3 / settings["pixel"]) ** 2)
    expected = slopes.T @ (slopes * facts.achieved[:, None])
    found = information(still, width=width, shared_width=False)
    at = [found.names.index(name) for name in names]
    scale = np.sqrt(np.diag(expected))
    assert np.allclose((found.terms["intensity"][np.ix_(at, at)] - expected) / np.outer(scale, scale), 0.0, atol=1e-4)


def test_without_background_the_moments_hold_all_there_is(still):
    """Second moment and centroid are sufficient for a Gaussian spot: what all pixels tell, but for the core's edge."""
    dark = {"background": np.full(len(still[1]["signal"]), 1e-9)}
    found, pixels = information(still, shared_width=False, **dark), information(still, per_pixel=True, **dark)
    assert found.terms["shape"][2, 2] == pytest.approx(pixels.terms["pixels"][2, 2], rel=0.01)
    at = slice(found.names.index("rot x"), None)
    without = (pixels.terms["pixels"] - found.terms["intensity"])[at, at]
    assert np.allclose(found.terms["position"][at, at], without, rtol=0.01, atol=1e-3 * np.abs(without).max())


def test_photons_of_a_core():
    """(J f)^2 over the variance of the sum over the core: J f + B area."""
    found = spot_information(np.array([300.0]), np.array([40.0]), reach=2.0)
    share = 1.0 - np.exp(-4.0)
    assert found.photons[0] == pytest.approx((300.0 * share) ** 2 / (300.0 * share + 40.0 * 4.0))


def test_a_width_of_two_terms(still):
    found = information(still, width=RockingWidth(8e-4, 2e-3))
    assert "ln mosaicity" in found.names
    assert "ln mosaicity" not in information(still).names
    assert found.correlation("ln domain", "ln mosaicity") < -0.3
    one = image_information(
        still[0].experiment, 0, still[0].listed.hkl, **(still[1] | {"width": RockingWidth(0.0, 2e-3)})
    )
    assert "ln domain" not in one.names


def test_the_table_can_be_read(still):
    text = information(still, priors={"B": 20.0}).text()
    lines = text.splitlines()
    assert lines[0] == "terms: intensity, shape, position; prior B +- 20"
    assert lines[1].split()[:3] == ["sigma", "ln", "G"]
    assert len(lines) == 2 + 8
    assert lines[2].startswith("ln G")
    assert lines[2].rstrip().endswith("100")
    assert "-" in information(still).of("shape").text()


def test_what_is_not_possible_is_said(still):
    with pytest.raises(SettingError, match="prior of 'G'"):
        information(still, priors={"G": 1.0})
    with pytest.raises(SettingError, match="no term 'pixels'"):
        information(still).of("pixels")
    with pytest.raises(ShapeError, match="signal is"):
        information(still, signal=np.ones(3))
