"""Pictures of runs on stills: what is drawn is what the run holds, whatever parts it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.plot import save_figure
from crystint.plot.stills import plot_centroids, plot_prediction, plot_stills
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import StillsRun
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.merging.deviates import binned_deviates
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.centroids import CentroidResiduals
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.scales import Scales
from crystint.stills.simulation.simulate import simulate_stills


@pytest.fixture(scope="module")
def data():
    return simulate_stills(60, d_min=4.0, shape=(500, 520), distance=0.07, seed=3)


@pytest.fixture(scope="module")
def run(data):
    table = data.observations(error_b=0.1)
    n = len(data.experiment)
    scales = Scales(
        ln_g=np.where(np.arange(n) == 2, np.nan, data.ln_g),
        b=np.where(np.arange(n) == 2, np.nan, data.b),
        covariance=np.tile(np.diag([1e-4, 0.25]), (n, 1, 1)),
        used=np.full(n, 80),
        chi2=np.ones(n),
        failed={2: "image 2: dark"},
        iterations=7,
        converged=True,
    )
    merged = merge(
        table, scales, space_group="P 21 21 21", cell=data.settings.crystal.cell, error_model=ErrorModel(1, 0.1)
    )
    edges = np.array([0.0, 0.02, 0.06])
    profile = ProfileWidths(edges, np.array([1e-3, 2e-3]), np.array([3e-3, 4e-3]), np.array([50, 60]))
    return StillsRun(
        experiment=data.experiment, observations=table, scales=scales, merged=merged, profile=profile,
        width=RockingWidth(1e-3),
    )  # fmt: skip


def titled(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def line(axes, label):
    (found,) = [entry for entry in axes.get_lines() if entry.get_label() == label]
    return found.get_xdata(), found.get_ydata()


def test_every_panel_shows_its_numbers(run):
    panels = titled(plot_stills(run, title="A run"))
    good = np.isfinite(run.scales.ln_g)
    scale = panels["Scale of each image"].get_lines()[0]
    assert np.array_equal(scale.get_xdata(), np.flatnonzero(good))
    assert np.array_equal(scale.get_ydata(), run.scales.ln_g[good])
    assert line(panels["Scale of each image"], "1 without a scale")[0] == [2]
    assert np.array_equal(panels["Temperature factor of each image"].get_lines()[0].get_ydata(), run.scales.b[good])
    statistics = run.merged.statistics
    x, y = line(panels["Correlations"], "CC½, halves of images")
    assert np.array_equal(y, statistics.column("cc_half"), equal_nan=True)
    assert np.allclose(x, 0.5 * (statistics.edges[1:] ** -2.0 + statistics.edges[:-1] ** -2.0))
    assert np.array_equal(line(panels["R factors"], "R_meas")[1], statistics.column("r_meas"), equal_nan=True)
    ratio = panels["Mean I / σ of merged intensities"].get_lines()[0].get_ydata()
    assert np.array_equal(ratio, statistics.column("i_over_sigma"))
    complete = panels["Completeness and multiplicity"].get_lines()[0].get_ydata()
    assert np.allclose(complete, 100 * statistics.column("completeness"))
    widths = panels["Width of the profiles"]
    assert np.allclose(line(widths, "radial")[1], [1, 2])
    assert np.allclose(line(widths, "tangential")[1], [3, 4])
    assert "Error model" in panels
    assert "Excitation errors" in panels


def test_partiality_is_drawn_over_the_excitation(run):
    figure = plot_stills(StillsRun(observations=run.observations, width=run.width))
    other = figure.axes[-1]
    x, y = line(other, "mean partiality")
    assert np.allclose(y, np.exp(-(x**2)), atol=0.02)
    curve = next(entry for entry in other.get_lines() if entry.get_label().startswith("model"))
    assert np.allclose(curve.get_ydata(), np.exp(-(curve.get_xdata() ** 2)))


def test_deviates_are_those_of_the_model_that_made_them(run):
    found = binned_deviates(run.observations, run.merged, run.scales, bins=10)
    assert len(found.intensity) == 10
    assert (np.diff(found.intensity) > 0).all()
    error = 1 / np.sqrt(2 * found.count)
    assert (np.abs(found.corrected - 1) < 6 * error).all()
    assert np.allclose(found.recorded, found.expected, rtol=0.25)
    assert found.recorded[-1] > 1.5
    model = replace(run.merged, error_model=ErrorModel(4.0, 0.0))
    doubled = binned_deviates(run.observations, model, run.scales, bins=10)
    assert np.allclose(doubled.expected, 2.0)
    with pytest.raises(SettingError, match="bins"):
        binned_deviates(run.observations, run.merged, run.scales, bins=0)


@pytest.mark.parametrize(
    "parts", [("scales",), ("merged",), ("profile",), ("observations",), ("merged", "observations")]
)
def test_parts_may_be_missing(run, parts, tmp_path):
    figure = plot_stills(StillsRun(**{name: getattr(run, name) for name in parts}))
    assert len(figure.axes) >= 1
    if parts == ("profile",):
        save_figure(figure, tmp_path / "a.png", dpi=30)
        save_figure(plot_stills(StillsRun(profile=run.profile)), tmp_path / "b.png", dpi=30)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_odd_runs_are_drawn(run, tmp_path):
    n = 3
    nothing = Scales(
        ln_g=np.full(n, np.nan), b=np.full(n, np.nan), covariance=np.full((n, 2, 2), np.nan), used=np.zeros(n, np.intp),
        chi2=np.full(n, np.nan), failed={0: "dark", 1: "dark", 2: "dark"}, iterations=1, converged=True,
    )  # fmt: skip
    few = run.observations.select(slice(0, 3))
    for number, odd in enumerate(
        (
            StillsRun(scales=nothing),
            StillsRun(profile=ProfileWidths.constant(1e-3)),
            StillsRun(observations=few, merged=merge(few, space_group="P 1", cell=(60, 70, 80, 90, 90, 90))),
        )
    ):
        save_figure(plot_stills(odd), tmp_path / f"{number}.png", dpi=30)
    for empty in (StillsRun(), StillsRun(observations=few.select(slice(0, 0)))):
        with pytest.raises(ShapeError, match="nothing to draw"):
            plot_stills(empty)


def test_predictions_are_drawn_where_they_are(data, run):
    frame = data.image(1)
    figure = plot_prediction(frame, run.observations, image=1, mask=data.settings.mask)
    main = figure.axes[0]
    rows = run.observations.image == 1
    drawn = np.concatenate([np.stack(entry.get_data(), 1) for entry in main.get_lines()])
    wanted = np.stack([run.observations.fast[rows], run.observations.slow[rows]], 1)
    assert np.allclose(np.sort(drawn, axis=0), np.sort(wanted, axis=0))
    counts = [int(text.get_text().rsplit(": ")[1]) for text in main.get_legend().get_texts()]
    share = run.observations.partiality[rows]
    assert counts == [np.sum(share >= 0.5), np.sum((share >= 0.1) & (share < 0.5)), np.sum(share < 0.1)]
    assert len(figure.axes) > 10
    plot_prediction(frame, run.observations.select(slice(0, 0)))
    with pytest.raises(ShapeError, match="expected an image"):
        plot_prediction(frame[0], run.observations)


def test_centroids_are_drawn_in_pixels(rng):
    n = 400
    ones = np.ones(n)
    residuals = CentroidResiduals(
        image=np.arange(n) % 4,
        radial=2e-3 * rng.normal(0.5, 0.1, n),
        tangential=1e-3 * rng.normal(0.0, 0.2, n),
        radial_sigma=1e-4 * ones,
        tangential_sigma=1e-4 * ones,
        radial_pixel=2e-3 * ones,
        tangential_pixel=1e-3 * ones,
    )
    panels = titled(plot_centroids(residuals, 4))
    cloud = panels["Seen minus predicted"].get_lines()[0]
    assert np.allclose(cloud.get_ydata(), residuals.radial / 2e-3)
    mean = line(panels["Mean of each image"], "radial")[1]
    assert np.allclose(mean, 0.5, atol=0.05)
    with pytest.raises(ShapeError, match="nothing to draw"):
        plot_centroids(replace(residuals, radial=np.nan * ones), 4)


PANELS = {
    "scales": "Scale of each image",
    "temperature factors": "Temperature factor of each image",
    "correlations": "Correlations",
    "significance": "Mean I / σ of merged intensities",
    "completeness": "Completeness and multiplicity",
    "R factors": "R factors",
    "error model": "Error model",
    "widths": "Width of the profiles",
    "excitation": "Excitation errors",
}


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_is_drawn_alone(run, name, tmp_path):
    whole = titled(plot_stills(run))[PANELS[name]]
    alone = plot_stills(run, panel=name)
    axes = titled(alone)[PANELS[name]]
    assert axes.get_ylabel() == whole.get_ylabel()
    for one, other in zip(axes.get_lines(), whole.get_lines(), strict=True):
        np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())
    save_figure(alone, tmp_path / "alone.png", dpi=40)


def test_panels_are_drawn_in_axes_of_others(run, data):
    from matplotlib.figure import Figure

    figure = Figure()
    first, second, third, fourth = figure.subplots(2, 2).ravel()
    assert plot_stills(run, ax=first) is figure
    assert plot_stills(run, panel="widths", ax=second, title="mine") is figure
    frame, predicted = data.image(0), run.observations
    assert plot_prediction(frame, predicted, image=0, ax=third, title="one frame") is figure
    n = len(predicted)
    residuals = CentroidResiduals(
        image=predicted.image, radial=np.full(n, 0.5), tangential=np.full(n, -0.25), radial_pixel=np.ones(n),
        tangential_pixel=np.ones(n), radial_sigma=np.ones(n), tangential_sigma=np.ones(n),
    )  # fmt: skip
    assert plot_centroids(residuals, len(data.experiment), ax=fourth) is figure
    assert len(figure.axes) == 4
    assert first.get_ylabel() == "G"
    assert second.get_title(loc="left") == "mine"
    assert [len(axes.images) for axes in (first, second, third, fourth)] == [0, 0, 1, 0]
    spots = sum(len(entry.get_xdata()) for entry in third.get_lines())
    assert spots == np.count_nonzero(predicted.image == 0)
    assert "one frame" in (third.get_title(), third.get_title(loc="left"))
    (cloud, *_) = [entry for entry in fourth.get_lines() if len(entry.get_xdata()) == n]
    assert (cloud.get_xdata() == -0.25).all()
    assert (cloud.get_ydata() == 0.5).all()


def test_a_panel_that_is_not_there_is_an_error(run):
    with pytest.raises(SettingError, match="panel is 'moon', but this run has scales, temperature factors, "):
        plot_stills(run, panel="moon")
    with pytest.raises(SettingError, match=r"panel is 'scales', but this run has widths$"):
        plot_stills(StillsRun(profile=run.profile), panel="scales")
