"""Prediction against an oracle that goes through every index, and against its own inverse."""

from __future__ import annotations

import time

import gemmi
import numpy as np
import pytest
from scipy.integrate import quad

from crystint.errors import GeometryError, SettingError, ShapeError
from crystint.model.experiment import Detector, Experiment
from crystint.model.panels import Panel
from crystint.prediction.candidates import candidates
from crystint.prediction.partiality import RockingWidth, partiality
from crystint.prediction.predict import excitation_of, panels_at, polarization, predict, ray_table, rays
from crystint.prediction.rays import project
from tests.oracles import stills_predict as oracle

PX = 172e-6
WIDTH = RockingWidth(domain=1.5e-3, mosaicity=2e-3, bandwidth=2e-3)


def orthogonalization(cell):
    """Columns a*, b*, c* of a crystal in the standard setting."""
    return np.array(gemmi.UnitCell(*cell).frac.mat.tolist()).T


def rotation(rng):
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return turn * np.sign(np.linalg.det(turn))


def two_panels(thickness=0.0, attenuation=0.0):
    """Two tilted panels with a gap between them, the second nearer to the sample."""
    slow, fast = np.array([1.2e-5, PX, 3e-5]), np.array([-PX, 1.1e-5, 2e-5])
    slow, fast = slow * PX / np.linalg.norm(slow), fast - slow * (fast @ slow) / (slow @ slow)
    fast *= PX / np.linalg.norm(fast)
    origin = np.array([0.0, 0.0, 0.03]) - 130 * slow - 105 * fast
    nearer = origin + 140 * slow - np.array([0.0, 0.0, 2e-3])
    panels = (
        Panel((0, 130), (0, 211), tuple(origin), tuple(slow), tuple(fast)),
        Panel((140, 263), (0, 211), tuple(nearer), tuple(slow), tuple(fast)),
    )
    return Detector((263, 211), panels, thickness=thickness, attenuation=attenuation)


def an_experiment(rng, n=3, *, detector=None, cell=(14.1, 16.2, 18.3, 84.0, 97.0, 101.0), group="P 1", sweep=0.0):
    incident = np.array([0.03, -0.02, 1.0])
    incident = np.array([incident / np.linalg.norm(incident) / (0.9 + 0.01 * i) for i in range(n)])
    setting = np.array([rotation(rng) @ orthogonalization(cell) for _ in range(n)])
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])[[2, 0, 1]][:, [2, 0, 1]]
    return Experiment(
        setting=setting,
        incident=incident,
        detectors=(detector or two_panels(),),
        cell=cell,
        space_group=gemmi.SpaceGroup(group),
        sweep=sweep * turn @ setting if sweep else None,
        polarization_fraction=0.98,
    )


def as_tuples(detector):
    return [(p.slow, p.fast, p.origin, p.slow_vector, p.fast_vector) for p in detector.panels]


@pytest.mark.parametrize("sweep", [0.0, 8e-3])
@pytest.mark.parametrize("thickness", [0.0, 4.5e-4])
def test_prediction_is_the_oracle(rng, sweep, thickness):
    detector = two_panels(thickness, 2600.0)
    experiment = an_experiment(rng, detector=detector, group="P 21 21 21", sweep=sweep)
    found = predict(experiment, 1.5, WIDTH, band=1.4)
    absent = gemmi.SpaceGroup("P 21 21 21").operations().is_systematically_absent
    seen = 0
    for image in range(3):
        wanted = oracle.predict(
            experiment.setting[image],
            experiment.incident[image],
            as_tuples(detector),
            d_min=1.5,
            width=lambda d, wavelength: float(
                np.sqrt(1.5e-3**2 + (2e-3 / d) ** 2 + (2e-3 * wavelength) ** 2 / (2 * d**4))
            ),
            band=1.4,
            sweep=None if experiment.sweep is None else experiment.sweep[image],
            thickness=thickness,
            mu=2600.0,
            absent=lambda hkl: absent(list(hkl)),
            box=14,
        )
        rows = found.select(found.image == image)
        assert [tuple(hkl) for hkl in rows.hkl.tolist()] == sorted(wanted)
        table = np.array([wanted[tuple(hkl)] for hkl in rows.hkl.tolist()]).reshape(-1, 6)
        np.testing.assert_allclose(rows.excitation, table[:, 0], atol=1e-12)
        np.testing.assert_allclose(rows.excitation_sweep, table[:, 1], atol=1e-12)
        np.testing.assert_allclose(rows.partiality, table[:, 2], atol=1e-6)
        assert np.array_equal(rows.panel, table[:, 3])
        np.testing.assert_allclose(np.stack([rows.slow, rows.fast], 1), table[:, 4:], atol=1e-5)
        s0 = experiment.incident[image]
        normal = np.array([0.0, 1.0, 0.0]) - s0 * s0[1] / (s0 @ s0)
        normal /= np.linalg.norm(normal)
        for ray, factor in zip(rows.ray, rows.polarization, strict=True):
            assert factor == pytest.approx(oracle.polarization(ray, s0, normal, 0.98), abs=1e-14)
        seen += len(rows)
    assert seen > 60
    assert len(set(found.panel.tolist())) == 2
    assert found.outside > 0
    assert not found.notes


def test_candidates_are_all_there_and_once_each(rng):
    cell = (9.0, 31.0, 17.0, 77.0, 92.0, 110.0)
    setting = np.array([rotation(rng) @ orthogonalization(cell) for _ in range(4)])
    incident = rng.normal(size=(4, 3))
    incident /= np.linalg.norm(incident, axis=1)[:, None] * np.array([0.7, 1.0, 1.5, 5.0])[:, None]
    reach = np.array([1e-3, 5e-3, 0.02, 0.05])
    parts = list(candidates(setting, incident, 1.5, reach))
    image, hkl = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert np.all(np.diff(image) >= 0)
    rows = {tuple(row) for row in np.column_stack([image, hkl]).tolist()}
    assert len(rows) == len(image)
    box = np.stack(np.meshgrid(*[np.arange(-25, 26)] * 3), -1).reshape(-1, 3)
    total = 0
    for number in range(4):
        r = box @ setting[number].T
        excitation = np.linalg.norm(incident[number] + r, axis=1) - np.linalg.norm(incident[number])
        wanted = box[(np.abs(excitation) <= reach[number]) & (np.linalg.norm(r, axis=1) <= 1 / 1.5)]
        assert {(number, *h) for h in wanted.tolist()} <= rows
        total += len(wanted)
    assert len(rows) < 1.02 * total + 10


def test_a_lattice_point_where_a_line_touches_the_sphere_is_given_once():
    # lines along a touch the sphere at h = 0: both runs of indices end there
    parts = list(candidates(0.1 * np.eye(3)[None], np.array([[0.0, 0.0, 1.0]]), 2.0, np.array([0.05])))
    rows = [tuple(hkl) for _, part in parts for hkl in part.tolist()]
    assert (0, 0, 0) in rows
    assert len(set(rows)) == len(rows)


def test_splitting_changes_nothing(rng, monkeypatch):
    experiment = an_experiment(rng, 6, sweep=2e-3)
    whole = predict(experiment, 1.0, WIDTH)
    monkeypatch.setattr("crystint.prediction.candidates._LINES", 37)
    monkeypatch.setattr("crystint.prediction.candidates._POINTS", 5)
    parts = predict(experiment, 1.0, WIDTH)
    for name in whole.columns():
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=0, atol=1e-12)
    order = np.lexsort((*whole.hkl.T[::-1], whole.image))
    assert np.array_equal(order, np.arange(len(whole)))


def test_images_and_limits_select(rng):
    experiment = an_experiment(rng, 4)
    whole = predict(experiment, 1.0, WIDTH)
    some = predict(experiment, 1.0, WIDTH, images=np.array([3, 1]), d_max=3.0)
    kept = whole.select(np.isin(whole.image, [1, 3]) & (whole.d <= 3.0))
    assert 0 < len(kept) < len(whole)
    assert np.array_equal(some.hkl, kept.hkl)
    assert np.array_equal(some.image, kept.image)
    narrow = predict(experiment, 1.0, WIDTH, band=0.5)
    limit = 0.5 * WIDTH.at(whole.d, experiment.wavelength[whole.image])
    assert np.array_equal(narrow.hkl, whole.hkl[np.abs(whole.excitation) <= limit])


def test_nothing_to_predict_is_an_empty_table(rng):
    found = predict(an_experiment(rng, 2), 50.0, WIDTH, d_max=60.0)
    assert len(found) == 0
    assert found.hkl.shape == found.ray.shape == (0, 3)


def test_unusable_images_are_named_and_the_rest_goes_on(rng):
    experiment = an_experiment(rng, 5)
    experiment.setting[1][:, 2] = experiment.setting[1][:, 1]
    experiment.setting[2][0, 0] = np.nan
    experiment.setting[3] *= 1e-4
    good = predict(experiment, 1.0, WIDTH, images=np.array([0, 4]))
    found = predict(experiment, 1.0, WIDTH)
    assert set(found.notes) == {1, 2, 3}
    assert "image 1" in found.notes[1]
    assert "image 3: its cell gives" in found.notes[3]
    assert np.array_equal(found.hkl, good.hkl)


def test_only_the_front_of_a_panel_is_hit(rng):
    detector = two_panels()
    behind = tuple(
        Panel(
            p.slow, p.fast, tuple(-np.array(p.origin)), tuple(-np.array(p.slow_vector)), tuple(-np.array(p.fast_vector))
        )
        for p in detector.panels
    )
    experiment = an_experiment(rng, detector=Detector(detector.shape, behind))
    assert len(predict(experiment, 1.2, WIDTH)) == 0
    # a mirror image of the axes turns the normal round, not the front
    mirrored = tuple(
        Panel(
            p.slow,
            p.fast,
            tuple(np.array(p.origin) + 211 * np.array(p.fast_vector)),
            p.slow_vector,
            tuple(-np.array(p.fast_vector)),
        )
        for p in detector.panels
    )
    one = predict(an_experiment(np.random.default_rng(1)), 1.2, WIDTH)
    two = predict(an_experiment(np.random.default_rng(1), detector=Detector(detector.shape, mirrored)), 1.2, WIDTH)
    assert np.array_equal(one.hkl, two.hkl)
    np.testing.assert_allclose(211 - two.fast, one.fast, atol=1e-9)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearest_of_panels_behind_one_another_counts(order):
    near = Panel((0, 9), (0, 9), (-4.5e-3, -4.5e-3, 0.1), (0.0, 1e-3, 0.0), (1e-3, 0.0, 0.0))
    far = Panel((9, 18), (0, 9), (-4.5e-3, -4.5e-3, 0.2), (0.0, 1e-3, 0.0), (1e-3, 0.0, 0.0))
    detector = Detector((18, 9), tuple((near, far)[number] for number in order))
    panel, slow, fast = project(detector, np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    assert panel.tolist() == [order.index(0), -1]
    assert (slow[0], fast[0]) == (4.5, 4.5)
    assert np.isnan(slow[1])


def test_rays_undo_parallax(rng):
    detector = two_panels(1e-3, 900.0)
    thin = two_panels()
    experiment = an_experiment(rng, detector=detector)
    found = predict(experiment, 1.0, WIDTH)
    back = rays(experiment, found.image, found.slow, found.fast)
    np.testing.assert_allclose(back, found.ray, atol=1e-13)
    given = rays(experiment, found.image, found.slow, found.fast, found.panel)
    assert np.array_equal(back, given)
    without = rays(an_experiment(rng, detector=thin), found.image, found.slow, found.fast)
    assert np.abs(without - back).max() > 1e-4
    table = ray_table(detector)
    assert np.isnan(table[130:140]).all()
    slow, fast = np.array([3, 129, 140, 262]), np.array([0, 210, 7, 100])
    np.testing.assert_allclose(table[slow, fast], rays(experiment, 0, slow + 0.5, fast + 0.5), atol=1e-14)
    assert panels_at(detector, slow + 0.5, fast + 0.5).tolist() == [0, 0, 1, 1]
    assert np.isnan(rays(experiment, 0, 135.0, 20.0)).all()


def test_offsets_are_the_vector_between_pixel_and_point(rng):
    experiment = an_experiment(rng, sweep=1e-3)
    found = predict(experiment, 1.0, WIDTH)
    steps = np.array([[0.0, 0.0], [2.0, -1.0], [-1.5, 0.5]])
    u = rays(
        experiment,
        found.image[:, None],
        found.slow[:, None] + steps[:, 0],
        found.fast[:, None] + steps[:, 1],
        found.panel[:, None],
    )
    offsets = excitation_of(experiment, found.image, found.hkl, u)
    np.testing.assert_allclose(offsets.along[:, 0], -found.excitation, atol=1e-12)
    np.testing.assert_allclose(offsets.across[:, 0], 0.0, atol=1e-12)
    s0 = experiment.incident[found.image]
    r = np.einsum("nij,nj->ni", experiment.setting[found.image], found.hkl)
    for step in (1, 2):
        dq = u[:, step] * np.linalg.norm(s0, axis=1)[:, None] - s0 - r
        along = np.einsum("ni,ni->n", dq, u[:, step])
        rest = dq - along[:, None] * u[:, step]
        np.testing.assert_allclose(offsets.along[:, step], along, atol=1e-13)
        np.testing.assert_allclose(offsets.across[:, step], np.linalg.norm(rest, axis=1), atol=1e-13)
        side = np.cross(u[:, step], s0)
        side /= np.linalg.norm(side, axis=1)[:, None]
        np.testing.assert_allclose(offsets.tangential[:, step], np.einsum("ni,ni->n", dq, side), atol=1e-13)
        outward = np.cross(u[:, step], side)
        assert np.all(np.einsum("ni,ni->n", outward, s0) <= 0.0)
        np.testing.assert_allclose(offsets.radial[:, step], np.einsum("ni,ni->n", dq, outward), atol=1e-13)
    single = excitation_of(experiment, found.image, found.hkl, u[:, 1])
    np.testing.assert_allclose(single.along, offsets.along[:, 1], atol=1e-15)
    with pytest.raises(ShapeError, match="expected"):
        excitation_of(experiment, found.image, found.hkl[:2], u)


def test_polarization_is_dials_where_the_normal_is_across_the_beam(rng):
    experiment = an_experiment(rng, 1)
    experiment.incident[0] = (0.4, 0.0, -0.9)
    u = rng.normal(size=(50, 3))
    u /= np.linalg.norm(u, axis=1)[:, None]
    found = polarization(experiment, np.zeros(50, dtype=int), u)
    wanted = [oracle.polarization(ray, (0.4, 0.0, -0.9), (0, 1, 0), 0.98) for ray in u]
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    experiment.incident[0] = (0.0, -1.1, 0.0)
    with pytest.raises(GeometryError, match="along the beam"):
        polarization(experiment, np.zeros(50, dtype=int), u)


def test_efficiency_is_what_the_sensor_stops(rng):
    detector = two_panels(4.5e-4, 2600.0)
    found = predict(an_experiment(rng, detector=detector), 1.0, WIDTH)
    for ray, panel, efficiency in zip(found.ray[:20], found.panel[:20], found.efficiency[:20], strict=True):
        part = detector.panels[panel]
        normal = np.cross(part.fast_vector, part.slow_vector) / PX**2
        assert efficiency == pytest.approx(1 - np.exp(-4.5e-4 * 2600.0 / abs(ray @ normal)), abs=1e-12)
    assert np.all(predict(an_experiment(rng), 1.0, WIDTH).efficiency == 1.0)


def test_detectors_belong_to_images(rng):
    experiment = an_experiment(rng, 2, detector=two_panels(), sweep=1e-3)
    far = tuple(
        Panel(p.slow, p.fast, tuple(1.5 * np.array(p.origin)), p.slow_vector, p.fast_vector)
        for p in two_panels().panels
    )
    mixed = Experiment(
        setting=experiment.setting,
        incident=experiment.incident,
        detectors=(two_panels(), Detector((263, 211), far)),
        detector=np.array([0, 1]),
        sweep=experiment.sweep,
        cell=experiment.cell,
        space_group=experiment.space_group,
    )
    found, first = predict(mixed, 1.0, WIDTH), predict(experiment, 1.0, WIDTH)
    assert np.array_equal(found.slow[found.image == 0], first.slow[first.image == 0])
    u = found.ray[found.image == 1]
    np.testing.assert_allclose(
        rays(mixed, 1, *(getattr(found, n)[found.image == 1] for n in ("slow", "fast"))), u, atol=1e-13
    )


def test_the_average_over_an_exposure_is_the_integral(rng):
    for excitation, width, sweep in [(0.0, 1e-3, 2e-3), (3e-3, 1e-3, 1.5e-3), (-2e-3, 4e-4, 3e-3), (1e-3, 1e-3, 1e-5)]:
        x, step = excitation / width, sweep / width
        integral = quad(lambda t, x, step: np.exp(-((x + step * t) ** 2)), -0.5, 0.5, (x, step), epsabs=0)[0]
        assert partiality(excitation, width, sweep) == pytest.approx(integral, rel=1e-9)
        assert partiality(-excitation, width, -sweep) == pytest.approx(integral, rel=1e-9)
    x = np.linspace(-5.0, 5.0, 101)
    assert np.array_equal(partiality(x, 1.0, 0.0), partiality(x, 1.0))
    # the series and the closed form meet
    np.testing.assert_allclose(partiality(x, 1.0, 0.0199999), partiality(x, 1.0, 0.0200001), rtol=3e-8, atol=1e-14)


def test_the_width_is_the_sum_of_its_squares():
    width = RockingWidth(3e-4, 1e-3, 2e-3)
    d, wavelength = 2.0, 1.3
    # a change of wavelength by its RMS moves the sphere by sigma; R is sqrt(2) sigma
    moved = wavelength * 2e-3 / (2 * d * d)
    assert width.at(d, wavelength) ** 2 == pytest.approx(3e-4**2 + (1e-3 / d) ** 2 + 2 * moved**2)
    assert RockingWidth(3e-4).at([1.0, 9.0], 1.0).tolist() == [3e-4, 3e-4]
    assert width.peak(d, wavelength) == pytest.approx(np.hypot(3e-4, 5e-4) / width.at(d, wavelength))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((-1e-3,), "domain is -0.001"), ((np.nan,), "domain is nan"), ((0.0,), "all 0"), ((1e-3, -1.0), "mosaicity")],
)
def test_impossible_widths_are_refused(arguments, message):
    with pytest.raises(SettingError, match=message):
        RockingWidth(*arguments)


@pytest.mark.parametrize(
    "limits", [{"d_min": 0.0}, {"d_min": 3.0, "d_max": 2.0}, {"d_min": np.nan}, {"d_min": 1, "band": 0}]
)
def test_impossible_limits_are_refused(rng, limits):
    with pytest.raises(SettingError, match="expected"):
        predict(an_experiment(rng, 1), width=WIDTH, **limits)


def test_large_cells_and_many_images_are_quick(rng):
    detector = Detector(
        (2527, 2463), (Panel((0, 2527), (0, 2463), (-0.212, -0.217, 0.15), (0.0, PX, 0.0), (PX, 0.0, 0.0)),)
    )
    start = time.thread_time()
    large = predict(
        an_experiment(rng, 1, detector=detector, cell=(300.0, 300.0, 300.0, 90, 90, 90)), 3.0, RockingWidth(3e-4)
    )
    small = predict(
        an_experiment(rng, 100, detector=detector, cell=(79.0, 79.0, 38.0, 90, 90, 90)), 1.7, RockingWidth(1e-3)
    )
    assert time.thread_time() - start < 5.0
    # the shell of the sphere has the volume pi / d^2 * 2 band R
    assert len(large) + large.outside == pytest.approx(np.pi / 9 * 2 * 1.7 * 3e-4 * 300**3, rel=0.05)
    assert len(small) + small.outside == pytest.approx(100 * np.pi / 1.7**2 * 2 * 1.7e-3 * 79 * 79 * 38, rel=0.05)
