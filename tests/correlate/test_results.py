"""How results of angular correlation show themselves: in a line, in a notebook, in axes of others, in xarray."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from crystint import correlate
from crystint.engine import default_engine
from crystint.model.geometry import Geometry
from crystint.plot import plot_correlations, plot_polar, plot_rings

SHAPE, CENTER = (150, 160), (75.3, 81.8)
GEOMETRY = Geometry(SHAPE, (2e-3, 2e-3), 0.5, beam_center=CENTER, wavelength=1.2)


@pytest.fixture(scope="module")
def made() -> dict[str, object]:
    data = correlate.simulate_frame(SHAPE, center=CENTER, radii=(30.0, 50.0), gap=2, seed=1)
    grid = correlate.PolarGrid(CENTER, np.arange(20.0, 60.0), 240)
    values = correlate.simulate_rings(6, 240, rings=3, seed=1).values
    correlator = correlate.Correlator(pairs=[[0, 0], [0, 2]])
    for one in values:
        correlator.add(one)
    run = correlate.CorrelationRun(
        correlator.sums,
        np.array([20.0, 21.0, 22.0]),
        np.array([[0, 0], [0, 2]]),
        q=np.array([1.0, 1.1, 1.2]),
        wavelength=1.2,
    )
    return {
        "frame": np.where(data.mask != 0, np.nan, data.frame),
        "Rings": correlate.fit_rings(data.frame, data.mask),
        "PolarGrid": grid,
        "PolarGrid of q": correlate.PolarGrid.of_q(GEOMETRY, [1.0, 1.25], 60),
        "PolarImage": correlate.polar_image(data.frame, grid, mask=data.mask),
        "CorrelationSums": run.sums,
        "CorrelationRun": run,
        "Pairing": correlate.pair_exposures(np.array([[0.0], [5.0], [0.1], [5.2], [9.0]])),
        "RadialProfile": correlate.RadialProfile(SHAPE, CENTER, data.mask),
        "RingOutliers": correlate.RingOutliers(default_engine(), 5.0),
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Rings", ["2 rings", "75.3", "81.8", "px"]),
        ("PolarGrid", ["40 rings", "20 to 59 px", "240 azimuths"]),
        ("PolarGrid of q", ["2 rings", "1 to 1.25 1/angstrom", "60 azimuths"]),
        ("PolarImage", ["40 rings x 240 azimuths", "% with data"]),
        ("CorrelationSums", ["6 exposures", "2 rows x 240 lags"]),
        ("CorrelationRun", ["6 exposures correlated", "2 rows x 240 lags", "single"]),
        ("Pairing", ["2 pairs", "1 left over"]),
        ("RadialProfile", ["bins of 1"]),
        ("RingOutliers", ["beyond 5 standard deviations"]),
    ],
)
def test_results_are_a_line_and_a_table(made: dict[str, object], name: str, words: list[str]) -> None:
    result = made[name]
    text = repr(result)
    assert text.startswith(f"<{name.split()[0]}: ")
    assert len(text.splitlines()) == 1
    assert len(text) < 160
    assert [word for word in words if word not in text] == []
    table = result._repr_html_()  # type: ignore[attr-defined]
    assert table.startswith(f"<table><caption>{name.split()[0]}</caption>")
    assert table.count("<tr>") == table.count("</tr>") > 1


def test_plots_draw_in_axes_of_others(made: dict[str, object]) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots(2, 2).ravel()
    assert plot_rings(made["frame"], made["Rings"], ax=axes[0]) is figure  # type: ignore[arg-type]
    assert plot_polar(made["PolarImage"], ax=axes[1], title="one") is figure  # type: ignore[arg-type]
    assert plot_correlations(made["CorrelationRun"], ax=axes[2]) is figure  # type: ignore[arg-type]
    assert plot_correlations(made["CorrelationRun"], rings=[22.0], ax=axes[3]) is figure  # type: ignore[arg-type]
    assert len(figure.axes) == 4
    assert [len(one.images) for one in axes] == [1, 1, 1, 0]
    assert axes[1].get_title() == "one"
    assert axes[3].get_xlabel() == "lag Δ (deg)"


def test_polar_images_and_correlations_become_xarray(made: dict[str, object]) -> None:
    pytest.importorskip("xarray")
    image, run = made["PolarImage"], made["CorrelationRun"]
    assert isinstance(image, correlate.PolarImage)
    assert isinstance(run, correlate.CorrelationRun)
    polar = image.to_xarray()
    assert dict(polar.sizes) == {"radius": 40, "azimuth": 240}
    np.testing.assert_array_equal(polar["values"], image.values)
    np.testing.assert_array_equal(polar["weights"], image.weights)
    np.testing.assert_array_equal(polar["radius"], image.grid.radii)
    np.testing.assert_array_equal(polar.azimuth, image.grid.angles)
    assert polar["values"].attrs["units"] == "count"
    assert polar.sel(radius=30.0)["values"].shape == (240,)
    of_q = correlate.polar_image(np.ones(SHAPE, np.float32), made["PolarGrid of q"]).to_xarray()  # type: ignore[arg-type]
    assert dict(of_q.sizes) == {"q": 2, "azimuth": 60}
    data = run.to_xarray()
    assert dict(data.sizes) == {"row": 2, "lag": 240}
    np.testing.assert_array_equal(data.correlation, run.correlation)
    np.testing.assert_array_equal(data.error, run.error)
    np.testing.assert_array_equal(data.cos_psi, run.cos_psi())
    assert data.radius_2.values.tolist() == [20.0, 22.0]
    assert data.q_1.values.tolist() == [1.0, 1.0]
    assert data.row.values.tolist() == run.names()


def test_without_xarray_it_says_what_is_missing(made: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    for name in ("PolarImage", "CorrelationRun"):
        with pytest.raises(ImportError, match="to_xarray needs the package xarray: pip install"):
            made[name].to_xarray()  # type: ignore[attr-defined]


def test_names_of_loki_are_there() -> None:
    from crystint.correlate import (
        DiffCorr,
        InterpSimple,
        RingFit,
        fit_periodic,
        is_outlier,
        loki,
        pair_fits,
        remove_peaks,
    )

    named = (RingFit, InterpSimple, DiffCorr, is_outlier, fit_periodic, pair_fits, remove_peaks)
    assert [getattr(loki, one.__name__) for one in named] == list(named)
    ring = np.full(60, 10.0)
    ring[7] = 90.0
    ring[::5] += 0.5
    left, mask, removed = remove_peaks(ring, ring > 0, thick=1, peak_thresh=5.0)
    assert np.flatnonzero(removed).tolist() == [6, 7, 8]
    assert np.flatnonzero(~mask).tolist() == [6, 7, 8]
    assert not left[6:9].any()
    rings = remove_peaks(ring[None], np.full((1, 60), 10.0), thick=1, threshold=5.0)
    assert np.flatnonzero(rings.removed[0]).tolist() == [6, 7, 8]
    assert remove_peaks(values=ring[None], curves=np.full((1, 60), 10.0), thick=1, threshold=5.0).removed.sum() == 3
