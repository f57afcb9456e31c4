"""Experiment lists of DIALS: made up here, real ones, and against DIALS itself where it is installed."""

from __future__ import annotations

import copy
import json
import warnings

import gemmi
import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError, SettingError
from crystint.io.reflections.dials_experiments import is_experiment_list, read_expt
from crystint.io.reflections.dials_observations import read_refl_observations
from crystint.io.reflections.dials_table import read_table
from crystint.model.batches import batches
from crystint.model.observations import Flag
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import predict
from crystint.prediction.rays import project, sensor_efficiency
from tests.conftest import shared_data
from tests.oracles import dials_files
from tests.oracles.stills_rotation import setting_at, turn
from tests.stills.dials import run_dials_python

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

REAL = [[30.0, 2.0, 1.0], [-2.3, 40.0, 3.0], [-1.0, -4.0, 50.0]]


def panel(origin, fast=(1.0, 0.0, 0.0), slow=(0.0, -1.0, 0.0), **more):
    return {
        "origin": list(origin),
        "fast_axis": list(fast),
        "slow_axis": list(slow),
        "pixel_size": [0.1, 0.2],
        "image_size": [300, 200],
        "raw_image_offset": [0, 0],
        "trusted_range": [-1.0, 5000.0],
        "thickness": 0.45,
        "mu": 3.0,
        "px_mm_strategy": {"type": "ParallaxCorrectedPxMmStrategy"},
        **more,
    }


def a_list(stills=True, images=4):
    """Two crystals; stills on two files of their own, or two sweeps."""
    beam = {
        "direction": [0.1, 0.0, 0.9],
        "wavelength": 1.2,
        "polarization_normal": [0.0, 1.0, 0.0],
        "polarization_fraction": 0.97,
    }
    crystal = {f"real_space_{axis}": row for axis, row in zip("abc", REAL, strict=True)}
    crystal |= {"__id__": "crystal", "space_group_hall_symbol": " P 2ac 2ab"}
    node = {"fast_axis": [0.0, 1.0, 0.0], "slow_axis": [-1.0, 0.0, 0.0], "origin": [1.0, 2.0, -100.0]}
    inner = {"fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, 0.6, 0.8], "origin": [5.0, 0.0, 0.0]}
    detector = {
        "panels": [panel((-15, 40, 0)), panel((-15, -5, 0))],
        "hierarchy": {**node, "children": [{"panel": 0}, {**inner, "children": [{"panel": 1}]}]},
    }
    files = [{"__id__": "ImageSet", "images": [f"/there/still_{k}.cbf"]} for k in range(2)]
    content = {
        "__id__": "ExperimentList",
        "experiment": [
            {"__id__": "Experiment", "beam": 0, "detector": 0, "crystal": k, "imageset": k, "identifier": str(k)}
            for k in range(2)
        ],
        "imageset": files,
        "beam": [beam],
        "detector": [detector],
        "goniometer": [],
        "scan": [],
        "crystal": [crystal, copy.deepcopy(crystal)],
    }
    if not stills:
        content["scan"] = [
            {"image_range": [1 + 10 * k, images + 10 * k], "oscillation": [20.0, 0.5], "exposure_time": [1.0]}
            for k in range(2)
        ]
        content["goniometer"] = [
            {"axes": [[1, 0, 0], [0, 0.6, 0.8], [0, 0, 1]], "angles": [30.0, 0.0, -40.0], "scan_axis": 1},
            {
                "rotation_axis": [0.0, 1.0, 0.0],
                "fixed_rotation": turn([1, 1, 0], 25.0).ravel().tolist(),
                "setting_rotation": turn([0, 1, 1], 5.0).ravel().tolist(),
            },
        ]
        content["imageset"] = [{"__id__": "ImageSequence", "template": f"/there/sweep{k}_####.cbf"} for k in range(2)]
        for k, entry in enumerate(content["experiment"]):
            entry |= {"scan": k, "goniometer": k}
        a = np.linalg.inv(REAL)
        points = [(turn([1, 2, 3], 0.02 * k) @ a * (1 + 1e-4 * k)).ravel().tolist() for k in range(images + 1)]
        content["crystal"][1]["A_at_scan_points"] = points
    return content


def written(tmp_path, content, name="a.expt"):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


def test_stills(tmp_path):
    path = written(tmp_path, a_list())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        experiment = read_expt(path)
    assert len(experiment) == 2
    assert experiment.sweep is None
    assert experiment.name == ("still_0.cbf", "still_1.cbf")
    assert experiment.frame.tolist() == experiment.group.tolist() == [0, 1]
    assert experiment.space_group.hm == "P 21 21 21"
    # rows a, b, c are the reciprocal of columns a*, b*, c*
    np.testing.assert_allclose(REAL @ experiment.setting[0], np.eye(3), atol=1e-14)
    np.testing.assert_allclose(experiment.incident[1], -np.array([0.1, 0.0, 0.9]) / np.hypot(0.1, 0.9) / 1.2)
    assert experiment.polarization_fraction == 0.97
    # angles of an orthorhombic cell, though the crystals' are off
    assert experiment.cell[3:] == (90.0, 90.0, 90.0)
    assert experiment.cell[0] == pytest.approx(np.linalg.norm(REAL[0]))
    assert len(experiment.detectors) == 1
    assert is_experiment_list(path)


def test_panels_are_placed_by_their_parents(tmp_path):
    detector = read_expt(written(tmp_path, a_list())).detectors[0]
    assert detector.shape == (400, 300)
    assert [part.slow for part in detector.panels] == [(0, 200), (200, 400)]
    assert (detector.thickness, detector.attenuation) == (pytest.approx(4.5e-4), pytest.approx(3000.0))
    assert detector.saturation == 5000.0
    # first: x -> y, y -> -x of the parent; second: a frame within that, slow along (0, .6, .8)
    np.testing.assert_allclose(detector.panels[0].origin, np.array([1 - 40, 2 - 15, -100]) * 1e-3)
    np.testing.assert_allclose(detector.panels[0].fast_vector, [0.0, 1e-4, 0.0], atol=1e-18)
    np.testing.assert_allclose(detector.panels[0].slow_vector, [2e-4, 0.0, 0.0], atol=1e-18)
    inner = np.array([5 - 15, 0.6 * -5, 0.8 * -5])
    np.testing.assert_allclose(
        detector.panels[1].origin, np.array([1 - inner[1], 2 + inner[0], -100 + inner[2]]) * 1e-3
    )
    np.testing.assert_allclose(detector.panels[1].slow_vector, np.array([0.6, 0.0, -0.8]) * 2e-4, atol=1e-18)


def test_panels_with_places_of_their_own_keep_them(tmp_path):
    content = a_list()
    content["detector"][0]["panels"][1]["raw_image_offset"] = [320, 10]
    detector = read_expt(written(tmp_path, content)).detectors[0]
    assert [(part.slow, part.fast) for part in detector.panels] == [((0, 200), (0, 300)), ((10, 210), (320, 620))]
    content["detector"][0]["panels"][1]["raw_image_offset"] = [299, 0]
    detector = read_expt(written(tmp_path, content)).detectors[0]
    assert [part.slow for part in detector.panels] == [(0, 200), (200, 400)]
    del content["detector"][0]["hierarchy"]
    with pytest.raises(FileError, match="edge-on"):  # the panels stand at the sample
        read_expt(written(tmp_path, content))
    for part in content["detector"][0]["panels"]:
        part["origin"][2] -= 100.0
    flat = read_expt(written(tmp_path, content)).detectors[0]
    np.testing.assert_allclose(flat.panels[1].origin, [-0.015, -0.005, -0.1])


def test_no_parallax_where_dials_has_none(tmp_path):
    content = a_list()
    for part in content["detector"][0]["panels"]:
        part["px_mm_strategy"] = {"type": "SimplePxMmStrategy"}
    assert read_expt(written(tmp_path, content)).detectors[0].thickness == 0.0
    for part in content["detector"][0]["panels"]:
        part |= {"thickness": 0.0, "mu": 0.0, "gain": 10.0}
        part["px_mm_strategy"] = {"type": "ParallaxCorrectedPxMmStrategy", "mu": 7.0, "t0": 0.3}
    with pytest.warns(CrystintWarning, match="gain"):
        detector = read_expt(written(tmp_path, content)).detectors[0]
    assert (detector.thickness, detector.attenuation) == (pytest.approx(3e-4), pytest.approx(7000.0))


def test_sweeps(tmp_path):
    path = written(tmp_path, a_list(stills=False))
    experiment = read_expt(path)
    assert len(experiment) == 8
    assert experiment.group.tolist() == [0] * 4 + [1] * 4
    assert experiment.frame.tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert experiment.name[4:6] == ("sweep1_0011.cbf", "sweep1_0012.cbf")
    assert all(source.endswith(name) for source, name in zip(experiment.source, experiment.name, strict=True))
    for row, (number, frame) in enumerate(zip(experiment.group, experiment.frame, strict=True)):
        start, end = (setting_at(path, number, frame + share) for share in (0.0, 1.0))
        np.testing.assert_allclose(experiment.setting[row], setting_at(path, number, frame + 0.5), atol=1e-15)
        np.testing.assert_allclose(experiment.sweep[row], end - start, atol=1e-15)


def test_moving_beams_and_axes_and_new_scans(tmp_path):
    plain, content = a_list(stills=False), a_list(stills=False)
    for scan in content["scan"]:
        start, width = scan.pop("oscillation")
        scan["properties"] = {"oscillation": [start + width * k for k in range(4)]}
    content["beam"].append({**content["beam"][0], "s0_at_scan_points": [[0.0, 0.01 * k, -0.8] for k in range(5)]})
    content["experiment"][0]["beam"] = 1
    same = content["goniometer"][1]["setting_rotation"]
    content["goniometer"][1]["setting_rotation_at_scan_points"] = [same] * 5
    found, wanted = read_expt(written(tmp_path, content)), read_expt(written(tmp_path, plain, "b.expt"))
    np.testing.assert_allclose(found.setting, wanted.setting, atol=1e-15)
    np.testing.assert_allclose(found.sweep, wanted.sweep, atol=1e-15)
    np.testing.assert_allclose(found.incident[2], [0.0, 0.025, -0.8])
    assert np.array_equal(found.incident[4:], wanted.incident[4:])


def test_scans_that_do_not_turn_are_stills(tmp_path):
    content = a_list(stills=False)
    for scan in content["scan"]:
        scan["oscillation"] = [0.0, 0.0]
    experiment = read_expt(written(tmp_path, content))
    assert experiment.sweep is None
    np.testing.assert_allclose(REAL @ experiment.setting[0], np.eye(3), atol=1e-14)
    del content["goniometer"]
    for entry in content["experiment"]:
        del entry["goniometer"]
    assert len(read_expt(written(tmp_path, content))) == 8


def test_frames_of_one_file_are_numbered_in_it(tmp_path):
    content = a_list()
    content["imageset"] = [{"images": ["/x/a_master.h5"], "single_file_indices": [k]} for k in (7, 3)]
    experiment = read_expt(written(tmp_path, content))
    assert experiment.frame.tolist() == [7, 3]
    assert experiment.name == ("a_master.h5//7", "a_master.h5//3")
    content["imageset"] = []
    for entry in content["experiment"]:
        del entry["imageset"]
    assert read_expt(written(tmp_path, content)).name == ("experiment 0", "experiment 1")


def test_a_singular_crystal_is_an_unusable_image(tmp_path):
    content = a_list()
    content["crystal"][0]["real_space_b"] = content["crystal"][0]["real_space_a"]
    experiment = read_expt(written(tmp_path, content))
    assert list(experiment.unusable()) == [0]
    assert experiment.cell[0] == pytest.approx(np.linalg.norm(REAL[0]))


def change(content, *keys, value=None):
    *way, last = keys
    for key in way:
        content = content[key]
    if value is None:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("__id__",), "something", "no experiment list"),
        (("crystal", 1, "space_group_hall_symbol"), " P 4", "space groups"),
        (("crystal", 0, "space_group_hall_symbol"), None, "is missing"),
        (("crystal", 0, "real_space_a"), [1.0], "is damaged"),
        (("beam", 0, "wavelength"), None, "spectrum instead of a wavelength"),
        (("beam", 0, "wavelength"), 1.2e-10, "wavelength of a beam is 1.2e-10 angstrom.*metres"),
        (("detector", 0, "panels", 0, "pixel_size"), [172.0, 172.0], "its pixel size is 0.172 m.*0.172mm"),
        (("experiment", 0, "detector"), None, "experiment 0 has no detector"),
        (("experiment", 1, "crystal"), 9, "is damaged"),
        (("detector", 0, "panels"), [], "no panels"),
        (("detector", 0, "panels", 0, "fast_axis"), [0.0, 1.0, 0.0], "parallel"),
        (("detector", 0, "panels", 0, "pixel_size"), None, "'pixel_size' is missing"),
    ],
)
def test_what_is_missing_or_wrong_is_said(tmp_path, keys, value, message):
    content = a_list()
    change(content, *keys, value=value)
    path = written(tmp_path, content)
    with pytest.raises(FileError, match=message) as error:
        read_expt(path)
    assert "a.expt" in str(error.value)


def test_experiments_without_crystals(tmp_path):
    content = a_list()
    del content["experiment"][0]["crystal"]
    with pytest.warns(CrystintWarning, match="1 experiments without a crystal"):
        experiment = read_expt(written(tmp_path, content))
    assert len(experiment) == 1
    assert experiment.group.tolist() == [1]
    del content["experiment"][1]["crystal"]
    with pytest.raises(FileError, match="no crystal in any of its 2"):
        read_expt(written(tmp_path, content))


def test_a_wrong_number_of_scan_points_is_refused(tmp_path):
    content = a_list(stills=False)
    content["crystal"][1]["A_at_scan_points"].pop()
    with pytest.raises(FileError, match="has 4 A_at_scan_points, expected 5"):
        read_expt(written(tmp_path, content))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.expt"
    with pytest.raises(FileError, match="does not exist"):
        read_expt(path)
    path.write_text("{")
    with pytest.raises(FileError, match="damaged"):
        read_expt(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="damaged"):
        read_expt(path)
    assert not is_experiment_list(path)


# --- observations ---------------------------------------------------------------------------------------------------


def a_table(tmp_path, experiment, rng, drop=(), **more):
    n = 40
    number = rng.integers(0, 2, n)
    frame = np.where(number == 0, rng.integers(0, 4, n), rng.integers(10, 14, n))
    z = frame + rng.random(n)
    columns = {
        "id": ("int", number),
        "miller_index": ("cctbx::miller::index<>", rng.integers(1, 9, (n, 3))),
        "panel": ("std::size_t", rng.integers(0, 2, n)),
        "flags": ("std::size_t", np.full(n, 256 + 512)),
        "xyzcal.px": ("vec3<double>", np.stack([300 * rng.random(n), 200 * rng.random(n), z], 1)),
        "bbox": ("int6", np.stack([z * 0, z * 0, z * 0, z * 0, frame - 2, frame + 3], 1)),
        "intensity.sum.value": ("double", rng.normal(50, 30, n)),
        "intensity.sum.variance": ("double", 100 + 100 * rng.random(n)),
        "intensity.prf.value": ("double", rng.normal(50, 30, n)),
        "intensity.prf.variance": ("double", 50 + 50 * rng.random(n)),
        "background.mean": ("double", rng.random(n)),
        "lp": ("double", 0.5 + rng.random(n)),
        "dqe": ("double", rng.uniform(0.5, 1, n)),
        "partiality": ("double", rng.uniform(0.3, 1, n)),
    }
    for name, values in more.items():
        columns[name] = (columns[name][0], values)
    path = tmp_path / "a.refl"
    path.write_bytes(dials_files.table({name: column for name, column in columns.items() if name not in drop}))
    return path, {name: np.asarray(values) for name, (_, values) in columns.items()}


def test_observations_are_as_recorded(tmp_path, rng):
    experiment = read_expt(written(tmp_path, a_list(stills=False)))
    path, columns = a_table(tmp_path, experiment, rng)
    with pytest.warns(CrystintWarning, match="40 intensities by summation of 40"):
        found = read_refl_observations(path, experiment, intensity="sum")
    assert np.array_equal(experiment.group[found.image], columns["id"])
    assert np.array_equal(experiment.frame[found.image], np.floor(columns["xyzcal.px"][:, 2]))
    scaled = columns["intensity.sum.value"] * columns["lp"] / columns["dqe"] / columns["partiality"]
    np.testing.assert_allclose(found.intensity / found.correction / found.partiality, scaled)
    np.testing.assert_allclose(found.sigma**2, columns["intensity.sum.variance"])
    np.testing.assert_allclose(found.slow, columns["xyzcal.px"][:, 1] + 200 * columns["panel"], rtol=1e-6)
    signal = np.maximum(columns["intensity.sum.value"], 0)
    np.testing.assert_allclose(found.background_variance, np.maximum(columns["intensity.sum.variance"] - signal, 0))
    r = np.einsum("nij,nj->ni", experiment.setting[found.image], found.hkl)
    np.testing.assert_allclose(found.d, 1 / np.linalg.norm(r, axis=1))
    with pytest.warns(CrystintWarning, match="profile fitting"):
        fitted = read_refl_observations(path, experiment)
    assert np.array_equal(fitted.intensity, columns["intensity.prf.value"])
    assert (fitted.partiality == 1.0).all()
    alone = read_refl_observations(path, None)
    assert np.array_equal(np.unique(alone.image), np.arange(len(np.unique(found.image))))


def test_flags_choose_and_mark(tmp_path, rng):
    experiment = read_expt(written(tmp_path, a_list(stills=False)))
    flags = np.full(40, 256)
    flags[:3] = 256 | 512
    flags[3] = 0
    flags[4], flags[5], flags[6], flags[7] = (256 | 1 << bit for bit in (10, 11, 23, 24))
    variance = np.full(40, 9.0)
    variance[8] = 0.0
    path, _ = a_table(tmp_path, experiment, rng, flags=flags, **{"intensity.sum.variance": variance})
    found = read_refl_observations(path, experiment)
    assert len(found) == 39
    marks = [Flag.SATURATED, Flag.OVERLAPPED, Flag.OUTLIER, Flag.BAD_VALUE, Flag.BAD_VALUE]
    assert found.flags[:9].tolist() == [0, 0, 0, *marks, 0]
    assert np.isnan(found.sigma[7])
    assert len(read_refl_observations(path, experiment, intensity="profile")) == 3
    path, _ = a_table(tmp_path, experiment, rng, flags=np.full(40, 256))
    with pytest.raises(FileError, match="integrated by profile fitting"):
        read_refl_observations(path, experiment, intensity="profile")
    with pytest.raises(SettingError, match="expected one of"):
        read_refl_observations(path, experiment, intensity="best")


def test_centroids_beside_a_sweep_belong_to_its_ends(tmp_path, rng):
    experiment = read_expt(written(tmp_path, a_list(stills=False)))
    place = np.tile([1.0, 2.0, -0.7], (40, 1))
    box = np.tile([0, 1, 0, 1, -3, 1], (40, 1))
    place[1], box[1] = (1, 2, 4.2), (0, 1, 0, 1, 2, 6)
    place[2], box[2] = (1, 2, 9.9), (0, 1, 0, 1, 8, 10)
    place[3], box[3] = (1, 2, -4.5), (0, 1, 0, 1, -6, 0)
    path, _ = a_table(tmp_path, experiment, rng, id=np.zeros(40), bbox=box, **{"xyzcal.px": place})
    with pytest.warns(CrystintWarning, match="2 reflections of images that the experiment does not have"):
        found = read_refl_observations(path, experiment)
    assert found.image[:3].tolist() == [0, 3, 0]
    assert len(found) == 38
    path, _ = a_table(tmp_path, experiment, rng, id=np.full(40, 5))
    with pytest.raises(FileError, match="is it its own"):
        read_refl_observations(path, experiment)


def test_what_is_not_corrected_is_said(tmp_path, rng):
    experiment = read_expt(written(tmp_path, a_list(stills=False)))
    path, _ = a_table(tmp_path, experiment, rng, drop=("lp", "dqe", "bbox", "partiality"))
    with pytest.warns(CrystintWarning, match="no lp and no qe"):
        found = read_refl_observations(path, experiment, intensity="sum")
    assert (found.correction == 1.0).all()
    assert (found.partiality == 1.0).all()


def test_batches(tmp_path):
    experiment = read_expt(written(tmp_path, a_list(stills=False, images=9)))
    number, runs = batches(experiment, images=4)
    # nine images: four and five, for one alone is too few
    assert number.tolist() == [0] * 4 + [1] * 5 + [2] * 4 + [3] * 5
    assert runs.name[1] == "sweep0_0005.cbf .. sweep0_0009.cbf"
    assert np.array_equal(runs.setting[1], experiment.setting[6])
    same, _ = batches(experiment, degrees=2.0)
    assert np.array_equal(same, number)
    one, runs = batches(experiment, images=1)
    assert one.tolist() == list(range(18))
    assert runs.name == experiment.name
    stills = read_expt(written(tmp_path, a_list()))
    with pytest.raises(SettingError, match="do not turn"):
        batches(stills, degrees=5.0)
    for wrong in ({}, {"images": 2, "degrees": 1.0}, {"images": 0}, {"degrees": np.nan}):
        with pytest.raises(SettingError):
            batches(experiment, **wrong)


# --- real data ------------------------------------------------------------------------------------------------------


def test_predictions_of_the_wedge_are_those_of_dials():
    path = shared_data("stills/l_cysteine_wedge/11_integrated.expt")
    experiment, table = read_expt(path), read_table(path.with_suffix(".refl"))
    rows = np.flatnonzero(table["flags"] & 256)
    place = table["xyzcal.px"][rows]
    r = np.array([setting_at(path, 0, z) @ h for z, h in zip(place[:, 2], table["miller_index"][rows], strict=True)])
    s1 = experiment.incident[0] + r
    length = np.linalg.norm(s1, axis=1)
    assert np.abs(length - 1 / 0.6889).max() < 1e-12
    panel, slow, fast = project(experiment.detectors[0], s1 / length[:, None])
    assert (panel == 0).all()
    assert np.hypot(fast - place[:, 0], slow - place[:, 1]).max() < 1e-9
    # every reflection whose centre is in the wedge crosses the sphere in the image that DIALS gives it
    found = predict(experiment, 0.55, RockingWidth(1e-7), band=1.0)
    known = {(int(i), *h) for i, h in zip(found.image, found.hkl.tolist(), strict=True)}
    inside = (place[:, 2] >= 0) & (place[:, 2] < 10)
    wanted = np.column_stack([np.floor(place[inside, 2]), table["miller_index"][rows][inside]]).astype(int)
    assert len(wanted) > 15
    assert {tuple(row) for row in wanted.tolist()} <= known


def test_observations_of_the_wedge():
    path = shared_data("stills/l_cysteine_wedge/11_integrated.refl")
    experiment = read_expt(path.with_suffix(".expt"))
    found = read_refl_observations(path, experiment)
    assert len(found) == 63
    table = read_table(path)
    rows = table["flags"] & 256 > 0
    ray = table["s1"][rows] * 0.6889
    efficiency = sensor_efficiency(experiment.detectors[0], np.zeros(63, dtype=int), ray)
    np.testing.assert_allclose(efficiency, table["qe"][rows], atol=1e-14)
    np.testing.assert_allclose(found.correction, table["qe"][rows] / table["lp"][rows])


def test_dials_places_rays_on_the_same_pixels(tmp_path):
    """All reflections near the sphere of a tilted, nested detector, mapped by dxtbx."""
    content = a_list()
    content["detector"][0]["panels"] = [
        panel((-15, 40, -60)),
        panel((-15, -5, -10), fast=(0.8, 0.0, 0.6), slow=(0.0, -1.0, 0.0)),
    ]
    path = written(tmp_path, content)
    experiment = read_expt(path)
    found = predict(experiment, 1.5, RockingWidth(2e-3))
    assert len(set(found.panel.tolist())) == 2
    np.savez(tmp_path / "rays.npz", image=found.image, panel=found.panel, ray=found.ray)
    run_dials_python(
        "import numpy as np\n"
        "from dxtbx.model.experiment_list import ExperimentListFactory\n"
        "found = ExperimentListFactory.from_json_file('a.expt', check_format=False)\n"
        "rays = np.load('rays.npz')\n"
        "places = []\n"
        "for image, panel, ray in zip(rays['image'], rays['panel'], rays['ray']):\n"
        "    detector = found[int(image)].detector\n"
        "    mm = detector[int(panel)].get_ray_intersection(tuple(ray))\n"
        "    places.append(detector[int(panel)].millimeter_to_pixel(mm))\n"
        "a = [np.array(item.crystal.get_A()).reshape(3, 3) for item in found]\n"
        "np.savez('places.npz', places=places, a=a, s0=[item.beam.get_s0() for item in found])\n",
        tmp_path,
    )
    with np.load(tmp_path / "places.npz") as theirs:
        np.testing.assert_allclose(found.fast, theirs["places"][:, 0], atol=1e-9)
        np.testing.assert_allclose(found.slow - 200 * found.panel, theirs["places"][:, 1], atol=1e-9)
        np.testing.assert_allclose(experiment.setting, theirs["a"], atol=1e-15)
        np.testing.assert_allclose(experiment.incident, theirs["s0"], atol=1e-15)


def test_the_space_group_of_every_hall_symbol(tmp_path):
    for group in list(gemmi.spacegroup_table_itb())[::17]:
        content = a_list()
        for crystal in content["crystal"]:
            crystal["space_group_hall_symbol"] = f" {group.hall}"
        assert read_expt(written(tmp_path, content)).space_group.number == group.number
