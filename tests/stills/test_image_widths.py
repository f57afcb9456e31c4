"""Rocking widths that differ between images: found with their errors, and not where they do not differ."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import least_squares

from crystint.cli import main
from crystint.errors import SettingError
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import read_stills
from crystint.stills.report import stills_report
from crystint.stills.scaling.image_scatter import scatter_of_images, scattering_images
from crystint.stills.scaling.image_widths import fit_image_widths
from crystint.stills.scaling.scale import scale
from crystint.stills.simulation.simulate import simulate_stills
from crystint.stills.step_functions import merge_files
from tests.stills.streams import write_stream

GEOMETRY = {"d_min": 3.5, "shape": (400, 420), "distance": 0.06}


def made(spread, **settings):
    return simulate_stills(30, spread_width=spread, seed=6, **GEOMETRY, **settings)


def fitted(data, known, **options):
    table, group = data.observations(), data.experiment.space_group
    reference = data.reference() if known else None
    scales = scale(table, data.experiment, space_group=group, reference=reference)
    options = {"space_group": group, "reference": reference, "width": RockingWidth(1.1e-3), **options}
    return table, scales, fit_image_widths(table, data.experiment, scales, **options)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("more", [{}, {"mosaicity": 2e-3, "bandwidth": 3e-3}])
def test_each_image_has_its_width(known, more):
    data = made(0.25, **more)
    width = RockingWidth(1.1e-3, 1.1 * more.get("mosaicity", 0.0), more.get("bandwidth", 0.0))
    table, _, own = fitted(data, known, width=width)
    off = np.log(own.ratio * own.width.domain / 1e-3) - np.log(data.width_ratio)
    assert np.abs(off).max() < 0.03
    assert 0.6 < np.sqrt(np.mean((off / own.sigma) ** 2)) < 1.5
    assert own.spread == pytest.approx(np.log(data.width_ratio).std(), rel=0.15)
    wide = own.at(table.d, np.ones(len(table)), table.image)
    square = own.ratio[table.image] ** 2 * (own.width.domain**2 + (own.width.mosaicity / table.d) ** 2)
    np.testing.assert_allclose(wide**2, square + 0.5 * width.bandwidth**2 / table.d**4)


@pytest.mark.parametrize("known", [True, False])
def test_one_width_stays_one(known):
    _, _, own = fitted(made(0.0), known)
    assert own.spread <= 0.003
    assert np.abs(np.log(own.ratio)).max() < 0.003
    assert own.width.domain == pytest.approx(1e-3, rel=0.01)


def test_an_image_alone_agrees_with_scipy():
    """ln G, B and ln r of one image, least squares about the truth; priors and robust weights have no say."""
    data = made(0.3)
    table, _, own = fitted(data, True, prior_ln_g=1e3, prior_b=1e6)
    known = data.reference().match(table.hkl, data.experiment.space_group)
    for image in (0, 7):
        rows = table.image == image
        e, d, y, j = table.excitation[rows], table.d[rows], known[rows] * table.correction[rows], table.intensity[rows]
        sigma = np.sqrt(table.background_variance[rows] + np.maximum(j, 0.0))

        def off(x, e=e, d=d, y=y, j=j, sigma=sigma):
            return (np.exp(x[0] - x[1] / (4 * d**2) - (e / (1e-3 * np.exp(x[2]))) ** 2) * y - j) / sigma

        best = least_squares(off, [data.ln_g[image], data.b[image], 0.0])
        error = np.sqrt(np.linalg.inv(best.jac.T @ best.jac)[2, 2])
        ratio = np.log(own.ratio[image] * own.width.domain / 1e-3)
        assert abs(ratio - best.x[2]) < 2 * error
        assert own.sigma[image] == pytest.approx(error, rel=0.25)


def test_images_that_say_little_are_held_near_the_others():
    data = made(0.1)
    table, group = data.observations(), data.experiment.space_group
    faint = table.image == 4
    noise = 3e4 * np.random.default_rng(0).normal(size=len(table))
    table = table.replace(
        intensity=np.where(faint, table.intensity + noise, table.intensity),
        sigma=np.where(faint, 3e4, table.sigma),
        background_variance=np.where(faint, 9e8, table.background_variance),
    )
    scales = scale(table, data.experiment, space_group=group, prior_ln_g=0.2)
    options = {"width": RockingWidth(1e-3), "space_group": group, "prior_ln_g": 0.2}
    own = fit_image_widths(table, data.experiment, scales, **options)
    assert abs(np.log(own.ratio[4])) < 0.5 * own.spread
    assert own.sigma[4] == pytest.approx(own.spread, rel=0.2)
    with pytest.raises(SettingError, match="none can be compared"):
        fit_image_widths(
            table.replace(excitation=np.full(len(table), np.nan)), data.experiment, scales, **options
        )  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 0.25])
def test_the_command_takes_them_where_the_data_ask_for_it(tmp_path, spread):
    data = made(spread)
    stream = write_stream(tmp_path / "run.stream", data, data.observations())
    names = [str(tmp_path / name) for name in ("run.stream", "s.h5")]
    command = ["stills", "scale", names[0], "-o", names[1], "--space-group", "P212121", "-q"]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, stream.exists()) == (0, True), result.output
    run = read_stills(names[1])
    assert ("rocking widths of images differ by" in result.output) == (run.image_widths is not None) == (spread > 0)
    assert "chi^2 of images" in result.output
    merge_files(tmp_path / "s.h5", [tmp_path / "m.h5"])
    merged = read_stills(tmp_path / "m.h5")
    assert merged.merged.statistics.overall.r_split < 0.05
    assert np.std(run.scales.ln_g - data.ln_g) < 0.03
    report = stills_report(merged)
    assert ("R0 of images over that" in report) == (spread > 0)
    assert re.search(r"images that scatter more +none", report)


def test_chi2_is_one_with_and_without_a_reference():
    data = made(0.0)
    for reference in (data.reference(), None):
        scales = scale(
            data.observations(), data.experiment, space_group="P212121", reference=reference, fit_errors=False
        )
        assert np.median(scales.chi2) == pytest.approx(1.0, abs=0.1)
        line, doubt = scatter_of_images(scales, data.experiment.name)
        assert (line[:14], doubt) == ("chi^2 of image", "")


def test_images_that_scatter_more_than_their_errors_are_named():
    data = made(0.0)
    table = data.observations()
    bad = np.isin(table.image, [3, 11])
    size = np.where(table.image == 3, 2.0, 1.0)
    shaken = table.intensity * np.exp(size * bad * np.random.default_rng(2).normal(size=len(table)))
    scales = scale(table.replace(intensity=shaken), data.experiment, space_group="P212121")
    assert sorted(scattering_images(scales)) == [3, 11]
    _, doubt = scatter_of_images(scales, data.experiment.name)
    assert doubt.startswith("2 of 30 images scatter more than their errors, by chi^2 per observation: ")
    assert all(data.experiment.name[number] in doubt for number in (3, 11))
