"""What is known of images beforehand: scales tied to a beam monitor, rocking widths about those that came with them."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import CrystintWarning, FileError, SettingError, ShapeError
from crystint.model.observations import Observations
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import read_stills, write_stills
from crystint.stills.inputs import read_data
from crystint.stills.scale_priors import expected_widths, monitor_of_images
from crystint.stills.scaling.image_widths import fit_image_widths
from crystint.stills.scaling.scale import scale
from crystint.stills.simulation.simulate import simulate_stills
from crystint.stills.step_functions import scale_files
from tests.oracles import stills_scaling as oracle
from tests.stills.streams import write_stream
from tests.stills.test_scale import GROUP, Known, centred
from tests.stills.test_scale_width import dials_table

GEOMETRY = {"d_min": 4.0, "shape": (300, 320), "distance": 0.05}


def few(images=80, **settings):
    """Images with few, weak observations, and a monitor within 5 % of their scales."""
    columns, truth = oracle.stills(images=images, **{"per_image": 10, "i0": 200.0, **settings})
    scatter = np.random.default_rng(4).normal(0.0, 0.05, images)
    return Observations(**columns), truth, 7e9 * np.exp(truth["ln_g"] + scatter)


@pytest.mark.parametrize("known", [True, False])
def test_a_monitor_improves_the_scales_of_images_with_few_observations(known):
    more = {} if known else {"per_image": 40, "d_min": 5.0}
    observations, truth, monitor = few(**more)
    monitor[::4] = np.nan
    reference = Known(truth["true"]) if known else None
    free, tied = (
        scale(observations, 80, space_group=GROUP, reference=reference, monitor=flux, prior_monitor=0.05)
        for flux in (None, monitor)
    )
    assert tied.converged
    there = np.isfinite(monitor)
    before, after = (np.nanstd(centred(found.ln_g - truth["ln_g"])[there]) for found in (free, tied))
    assert after < 0.06
    assert after < 0.7 * before
    error = (tied.ln_g - truth["ln_g"])[there]
    claimed = np.sqrt(np.nanmean(tied.covariance[there, 0, 0]))
    assert 0.7 < np.nanstd(error) / claimed < 1.4
    other = scale(observations, 80, space_group=GROUP, reference=reference, monitor=1e3 * monitor, prior_monitor=0.05)
    np.testing.assert_allclose(other.ln_g, tied.ln_g, atol=1e-6)  # its unit does not matter


@pytest.mark.parametrize("known", [True, False])
def test_the_constant_is_that_of_the_images_with_a_monitor(known):
    observations, truth, monitor = few(per_image=200, d_min=4.0, i0=1e3)
    there = truth["ln_g"] < np.median(truth["ln_g"])  # the faint ones
    reference = Known(truth["true"]) if known else None
    found = scale(
        observations, 80, space_group=GROUP, reference=reference, monitor=np.where(there, monitor, np.nan),
        prior_monitor=0.02,
    )  # fmt: skip
    error = found.ln_g - truth["ln_g"]
    assert np.mean(error[there]) - np.mean(error[~there]) == pytest.approx(0.0, abs=0.02)


def test_one_image_is_what_scipy_finds_with_a_monitor():
    columns, truth = oracle.stills(images=3, per_image=100)
    one = Observations(**columns)
    monitor = np.array([np.nan, 2.0, 3.0])
    found = scale(
        one, 3, space_group=GROUP, reference=Known(truth["true"]), fit_errors=False, gain=1.0, prior_ln_g=0.4,
        prior_b=3.0, monitor=monitor, prior_monitor=0.02, limit=np.inf,
    )  # fmt: skip
    offset = np.array([0.0, *(np.log([2.0, 3.0]) - 0.5 * np.log(6.0))])
    sd = np.array([0.4, 0.02, 0.02])
    centre = np.average(found.ln_g - offset, weights=sd**-2.0), found.b.mean()
    factor = one.partiality * one.correction
    for image in range(3):
        mine = one.image == image
        x = oracle.one_image(
            one.intensity[mine], (truth["true"] * factor)[mine], one.d[mine], 40.0, np.inf, sd[image], 3.0,
            (centre[0] + offset[image], centre[1]),
        )  # fmt: skip
        off = (found.ln_g[image] - x[0], found.b[image] - x[1])
        assert np.abs(off / np.sqrt(np.diag(found.covariance[image]))).max() < 0.05


@pytest.mark.parametrize(
    ("broken", "error", "text"),
    [
        ({"monitor": np.ones(79)}, ShapeError, r"monitor is \(79,\), expected one value for each of the 80 images"),
        ({"monitor": np.arange(80.0)}, SettingError, "monitor is 0.0 for image 0, expected numbers above 0"),
        ({"monitor": np.ones(80), "prior_monitor": 0.0}, SettingError, "prior_monitor is 0"),
    ],
)
def test_impossible_monitors_are_said(broken, error, text):
    observations, truth, _ = few()
    with pytest.raises(error, match=text):
        scale(observations, 80, space_group=GROUP, reference=Known(truth["true"]), **broken)


@pytest.fixture(scope="module")
def data():
    return simulate_stills(12, seed=4, **GEOMETRY)


def csv(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def hdf5(path, values):
    with h5py.File(path, "w") as file:
        file["entry/flux"] = values
    return f"{path}:/entry/flux"


@pytest.mark.filterwarnings("ignore:.*(intensities by summation|has no lp and no qe)")
def test_files_of_monitors_are_read(data, tmp_path):
    images = read_data(dials_table(tmp_path / "run.refl", data, data.observations())).experiment
    flux = np.arange(1.0, 13.0)
    for source in (
        csv(tmp_path / "n.csv", ["image,i0", *(f"{i},{v}" for i, v in enumerate(flux))]),
        csv(tmp_path / "s.csv", ["image,i0", *(f"{s},{v}" for s, v in zip(images.source, flux, strict=True))]),
        csv(tmp_path / "t.csv", ["image,i0", *(f"{s},{v}" for s, v in zip(images.name, flux, strict=True))]),
        hdf5(tmp_path / "m.h5", flux[:, None].astype(np.float32)),
    ):
        monitor, words = monitor_of_images(source, images)
        assert monitor.tolist() == flux.tolist()
        assert words == f"ln G of 12 of 12 images tied to the monitor {source}"
    monitor, words = monitor_of_images(csv(tmp_path / "p.csv", ["image,i0", "3,", "4,-1", "5,2", "99,1"]), images)
    assert np.flatnonzero(np.isfinite(monitor)).tolist() == [5]
    assert "1 of 12 images" in words
    assert words.endswith("; 11 images without a value above 0 not; 1 value of other images not used")


@pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
def test_files_that_are_no_monitor_of_the_images_are_said(data, tmp_path):
    images = read_data(dials_table(tmp_path / "run.refl", data, data.observations())).experiment
    for number, (lines, text) in enumerate(
        (
            (["image,i0", "a,1"], "has none of the images: it names a, the images are "),
            (["image,i0", "1,1", "1,2", "11,1"], "image 1 has several values"),
            (["image,i0", "0,1", "5,1"], "has 2 values, up to frame 5, but there are images up to frame 11"),
            (["image,i0,i1", "0,1,1"], "has the columns image, i0, i1; expected image"),
            (["image,i0", "0,bright"], "column i0 has something else than numbers"),
            (["image,i0", "11,0"], "no image has a value above 0"),
        )
    ):
        with pytest.raises(FileError, match=text):
            monitor_of_images(csv(tmp_path / f"{number}.csv", lines), images)
    for source, text in (
        (
            hdf5(tmp_path / "short.h5", np.ones(11)),
            "has 11 values, up to frame 10, but there are images up to frame 11",
        ),
        (hdf5(tmp_path / "wide.h5", np.ones((12, 2))), r"/entry/flux is \(12, 2\) float64; expected one number per"),
        (hdf5(tmp_path / "other.h5", np.ones(12)) + "es", "has no data set /entry/fluxes"),
        (str(tmp_path / "other.h5"), "name the data set with a value per frame"),
        (str(tmp_path / "none.csv"), "none.csv does not exist"),
    ):
        with pytest.raises(FileError, match=text):
            monitor_of_images(source, images)
    twice = csv(tmp_path / "m.csv", ["image,i0", *(f"{i},1" for i in range(12))])
    for name in ("a", "b"):
        write_stream(tmp_path / f"{name}.stream", data, data.observations())
        text = (tmp_path / f"{name}.stream").read_text()
        (tmp_path / f"{name}.stream").write_text(text.replace("filename: run.h5", f"filename: {name}.h5"))
    streams = [tmp_path / "a.stream", tmp_path / "b.stream"]
    with pytest.raises(FileError, match="both are frame 0; give a CSV file with the names of the images"):
        scale_files(streams, [tmp_path / "o.h5"], space_group="P212121", monitor=twice)


def test_the_command_ties_scales_to_a_monitor(data, tmp_path):
    stream = write_stream(tmp_path / "run.stream", data, data.observations())
    flux = np.exp(data.ln_g + np.linspace(-0.1, 0.1, 12))
    monitor = hdf5(tmp_path / "m.h5", flux)
    command = ["stills", "scale", str(stream), "-o", str(tmp_path / "s.h5"), "--space-group", "P212121"]
    result = CliRunner().invoke(main, [*command, "--monitor", monitor, "--prior-monitor", "1e-5"])
    assert result.exit_code == 0, result.output
    assert "ln G of 12 of 12 images tied to the monitor" in result.output
    run = read_stills(tmp_path / "s.h5")
    np.testing.assert_allclose(centred(run.scales.ln_g), centred(np.log(flux)), atol=1e-3)
    assert str(tmp_path / "m.h5") in map(str, run.provenance["inputs"])
    over = ["stills", "scale", str(stream), "-o", str(tmp_path / "m.h5"), "--space-group", "P212121", "--overwrite"]
    refused = CliRunner().invoke(main, [*over, "--monitor", monitor])
    assert refused.exit_code != 0
    assert "m.h5" in refused.output


@pytest.mark.parametrize("spread", [1e-4, 10.0])
def test_widths_lie_about_those_expected(spread):
    data = simulate_stills(20, seed=6, spread_width=0.25, **GEOMETRY)
    table, group = data.observations(), data.experiment.space_group
    scales = scale(table, data.experiment, space_group=group, reference=data.reference())
    expected = np.tile([0.0, 3e-3], (20, 1))
    expected[4:8] = np.array([9e-4, 1e-3, 1.1e-3, 1.2e-3])[:, None] * [1.0, 0.0]
    expected[8:] = np.nan
    own = fit_image_widths(
        table, data.experiment, scales, width=RockingWidth(1.1e-3), space_group=group, reference=data.reference(),
        prior_r0=spread, expected=expected,
    )  # fmt: skip
    width = own.ratio * own.width.domain
    d = np.array([np.median(table.d[table.usable & (table.image == number)]) for number in range(20)])
    if spread < 1.0:  # the prior decides
        np.testing.assert_allclose(width[4:8], expected[4:8, 0], rtol=1e-3)
        np.testing.assert_allclose(width[:4], 3e-3 / d[:4], rtol=0.03)
        np.testing.assert_allclose(width[8:], np.median(width), rtol=1e-3)
    else:  # the data do
        np.testing.assert_allclose(width, 1e-3 * data.width_ratio, rtol=0.05)
        assert own.spread == pytest.approx(np.log(data.width_ratio).std(), rel=0.15)


def test_impossible_priors_of_widths_are_said(data):
    table, group = data.observations(), data.experiment.space_group
    scales = scale(table, data.experiment, space_group=group)
    options = {"width": RockingWidth(1e-3), "space_group": group}
    with pytest.raises(SettingError, match="prior_r0 is 0"):
        fit_image_widths(table, data.experiment, scales, prior_r0=0.0, **options)
    with pytest.raises(ShapeError, match=r"expected is \(12,\): \(domain, mosaicity\) of 12 images is \(12, 2\)"):
        fit_image_widths(table, data.experiment, scales, prior_r0=0.1, expected=np.ones(12), **options)
    for more in ({"batch": 1.0}, {"fit_width": False}):
        with pytest.raises(SettingError, match="rocking width"):
            scale_files(["run.refl"], ["o.h5"], prior_r0=0.1, **more)


@pytest.mark.filterwarnings("ignore:.*(intensities by summation|has no lp and no qe)")
def test_widths_that_came_with_the_data_are_priors(data, tmp_path):
    stream = write_stream(tmp_path / "run.stream", data, data.observations())
    radii = np.linspace(0.012, 0.018, 12)
    text = stream.read_text()
    for radius in radii:
        text = text.replace("profile_radius = 0.01000", f"profile_radius = {radius:.5f}", 1)
    stream.write_text(text)
    command = ["stills", "scale", str(stream), "-o", str(tmp_path / "s.h5"), "--space-group", "P212121"]
    result = CliRunner().invoke(main, [*command, "--prior-r0", "1e-4"])
    assert result.exit_code == 0, result.output
    assert "about those that came with 12 of 12 images" in result.output
    own = read_stills(tmp_path / "s.h5").image_widths
    expected = np.sqrt(0.4) * 0.1 * np.round(radii, 5)
    d = np.median(data.observations().d)
    width = own.ratio * RockingWidth(own.width.domain, own.width.mosaicity).at(d, 1.0)
    np.testing.assert_allclose(width, expected, rtol=0.02)
    table = dials_table(tmp_path / "dials.refl", data, data.observations())
    with pytest.warns(CrystintWarning, match="no width came with the data"):
        scale_files([table], [tmp_path / "d.h5"], prior_r0=0.1)
    file = table.with_suffix(".expt")
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"profile": [{"__id__": "gaussian_rs", "sigma_m": 0.1}]}))
    np.testing.assert_allclose(expected_widths(read_data(table), 12), [[0.0, np.sqrt(2.0) * np.radians(0.1)]] * 12)
    width = RockingWidth(0.0, 2e-3)
    write_stills(tmp_path / "i.h5", experiment=data.experiment, observations=data.observations(), width=width)
    assert (expected_widths(read_data(tmp_path / "i.h5"), 12) == [0.0, 2e-3]).all()
    run = read_stills(tmp_path / "s.h5")
    write_stills(tmp_path / "f.h5", run, width=width)
    assert np.isnan(expected_widths(read_data(tmp_path / "f.h5"), 12)).all()  # fitted to the data themselves
