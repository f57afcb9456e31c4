"""Pictures of angular correlation: what is drawn is what the data hold, whatever parts they lack."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystint.correlate import Correlator, PolarGrid, fit_rings, simulate_rings
from crystint.correlate.files import read_correlations, write_correlations
from crystint.correlate.polar.polar import PolarImage
from crystint.errors import SettingError
from crystint.model.correlation_run import CorrelationRun
from crystint.model.correlation_sums import CorrelationSums
from crystint.plot import save_figure
from crystint.plot.correlate import plot_correlations, plot_polar, plot_rings
from tests.oracles.correlate_rings import circle_radius

N = 72
CENTER = (50.5, 60.25)


def titles(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def labels(figure):
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


def texts(figure):
    return "\n".join(text.get_text() for text in figure.texts)


@pytest.fixture(scope="module")
def run():
    """Ten rings of 12 exposures; the ring of 54 px stands out."""
    power = np.zeros(9)
    power[8] = 1e-4
    values = simulate_rings(12, N, power, rings=10, mean=100.0, noise=0.5, seed=1).values.astype(np.float64)
    values[:, 4] = 100 + 30 * (simulate_rings(12, N, power, seed=2).values[:, 0] - 1) * 100
    correlator = Correlator()
    for one in values:
        correlator.add(one)
    own = np.repeat(np.arange(10)[:, None], 2, axis=1)
    return CorrelationRun(correlator.sums, np.arange(50.0, 60.0), own)


def of_q(run):
    return replace(run, q=0.02 * run.radii, wavelength=1.2, of_q=True)


def polar(rows=30, **options):
    values = np.random.default_rng(0).poisson(100.0, (rows, N)).astype(np.float32)
    values[12] += 300.0
    values[20, 10:20] = np.nan
    if rows > 25:
        values[25] = np.nan
    weights = np.isfinite(values).astype(np.float32)
    return PolarImage(values, PolarGrid(CENTER, np.arange(10.0, 10.0 + rows), N, **options), weights)


def test_a_frame_with_its_rings():
    radius = circle_radius((140, 150), (70.2, 74.6))
    rng = np.random.default_rng(0)
    frame = rng.poisson(100 + 200 * sum(np.exp(-0.5 * ((radius - r) / 2) ** 2) for r in (30, 55))).astype(float)
    frame[:, 40:43] = np.nan
    rings = fit_rings(frame)
    figure = plot_rings(frame, rings)
    left, right = figure.axes
    shown = left.images[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan), frame)
    assert tuple(left.images[0].get_extent()) == (0, 150, 140, 0)
    assert (left.get_xlabel(), left.get_ylabel()) == ("fast (px)", "slow (px)")
    assert left.get_ylim() == (140, 0)
    *outlines, cross = left.get_lines()
    for line, ring in zip(outlines, rings.radius, strict=True):
        x, y = line.get_data()
        np.testing.assert_allclose(np.hypot(y - rings.center[0], x - rings.center[1]), ring, rtol=1e-9)
    assert np.ravel(cross.get_data()).tolist() == [rings.center[1], rings.center[0]]
    assert (right.get_xlabel(), right.get_ylabel()) == ("radius (px)", "median counts of a pixel")
    profile, *marks = right.get_lines()
    x, y = profile.get_data()
    # the fitted centre is not that of the frame, so bins by the oracle's distance about it
    distance = circle_radius(frame.shape, rings.center)
    for number in (10, 30, 55):
        inside = np.sort(frame[(distance >= number) & (distance < number + 1) & np.isfinite(frame)])
        assert y[x == number + 0.5].tolist() == [inside[len(inside) // 2]]
    assert [mark.get_xdata()[0] for mark in marks] == rings.radius.tolist()
    assert [note.get_text() for note in right.texts] == [f"{ring:.1f}" for ring in rings.radius]
    head = texts(figure)
    assert "Powder rings" in head
    assert f"centre {rings.center[0]:.2f} ± " in head
    assert "2 rings" in head
    assert "Name" in texts(plot_rings(frame, rings, title="Name"))


def test_rings_of_a_few_samples_are_no_strong_ones():
    image = polar()
    values = image.values.copy()
    values[3], values[28] = np.nan, np.nan
    values[3, ::15] = 5000.0  # five dashes
    weights = np.isfinite(values).astype(np.float32)
    names = list(titles(plot_polar(PolarImage(values, image.grid, weights))))
    assert "Ring at 22 px" in names
    assert "Ring at 13 px" not in names
    values[:] = np.nan  # where all have little, the best of them
    values[10:20, :12] = 100.0
    values[15, :12] = 200.0
    values[27, 0] = 5000.0
    weights = np.isfinite(values).astype(np.float32)
    names = list(titles(plot_polar(PolarImage(values, image.grid, weights))))
    assert "Ring at 25 px" in names
    assert "Ring at 37 px" not in names


def _correlated(run, values):
    correlator = Correlator(workers=1)
    for one in values:
        correlator.add(one)
    return replace(run, sums=correlator.sums)


def test_maps_without_a_pattern_say_why(run):
    for values, said in (
        (np.zeros((3, 10, N)), "C is 0 at all lags"),
        (np.full((3, 10, N), 4.0), "C does not change with the lag"),
        (np.full((3, 10, N), np.nan), "no data"),
    ):
        axes = plot_correlations(_correlated(run, values)).axes[0]
        assert [text.get_text() for text in axes.texts] == [said]
        shown = axes.images[0].get_array()
        assert np.ma.getmaskarray(shown).all() == (said == "no data")
    assert not plot_correlations(run).axes[0].texts


def test_no_data_has_one_colour(run):
    pictures = [plot_polar(polar()), plot_correlations(run)]
    rng = np.random.default_rng(0)
    radius = circle_radius((140, 150), (70.2, 74.6))
    frame = rng.poisson(100 + 200 * np.exp(-0.5 * ((radius - 40) / 2) ** 2)).astype(float)
    pictures.append(plot_rings(frame, fit_rings(frame)))
    colours = [figure.axes[0].images[0].get_cmap() for figure in pictures]
    bad = {tuple(colour.get_bad()) for colour in colours}
    assert len(bad) == 1
    (wrong,) = bad
    for colour in colours:  # and no value has it
        assert np.abs(colour(np.linspace(0, 1, 513))[:, :3] - np.array(wrong)[:3]).max(axis=1).min() > 0.1


@pytest.mark.parametrize("direction", [1, -1])
def test_a_polar_image(direction):
    image = polar(direction=direction)
    figure = plot_polar(image)
    main, side, *lows = figure.axes
    shown = main.images[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan), image.values)
    step = direction * 5.0
    np.testing.assert_allclose(main.images[0].get_extent(), (-step / 2, 360 * direction - step / 2, 39.5, 9.5))
    assert (main.get_xlabel(), main.get_ylabel()) == ("azimuth (deg)", "radius (px)")
    x, y = side.get_lines()[0].get_data()
    assert y.tolist() == image.grid.radii.tolist()
    for row in (0, 12, 20):
        good = np.sort(image.values[row][np.isfinite(image.values[row])])
        assert x[row] == good[(len(good) - 1) // 2]
    assert np.isnan(x[25])
    assert side.get_xlabel() == "median counts"
    names = [axes.get_title(loc="left") for axes in lows]
    assert len(names) == 3
    assert "Ring at 22 px" in names
    ring = lows[names.index("Ring at 22 px")]
    angles = np.degrees(image.grid.angles)
    order = np.argsort(angles)
    np.testing.assert_allclose(ring.get_lines()[0].get_xdata(), angles[order])
    np.testing.assert_allclose(ring.get_lines()[0].get_ydata(), image.values[12][order])
    assert ring.get_ylabel() == "counts"
    assert lows[-1].get_xlabel() == "azimuth (deg)"
    head = texts(figure)
    assert "30 rings × 72 azimuths" in head
    assert f"{100 * image.weights.mean():.1f} % with data" in head
    assert "centre 50.50, 60.25 px (slow, fast)" in head


def test_rings_of_a_polar_image_are_named_as_they_were_laid_out():
    image = polar()
    q = 0.02 * image.grid.radii
    assert list(titles(plot_polar(image, rings=[33.4, 22], q=q))) == [
        "Ring at 33 px, q 0.660 1/Å", "Ring at 22 px, q 0.440 1/Å",
    ]  # fmt: skip
    figure = plot_polar(polar(q=q), rings=[0.44], q=q)
    assert [*titles(figure)] == ["Ring at 0.44 1/Å"]
    assert figure.axes[0].get_ylabel() == "q (1/Å)"
    with pytest.raises(SettingError, match="no ring at 99: rings are from 10 to 39"):
        plot_polar(image, rings=[99])
    with pytest.raises(SettingError, match=r"no ring at 22: rings are from 0.2 to 0.78"):
        plot_polar(polar(q=q), rings=[22])


def test_a_map_and_curves_of_correlations(run):
    figure = plot_correlations(run)
    found = titles(figure)
    picture = next(axes for name, axes in found.items() if name.startswith("Correlation of each row"))
    assert (picture.get_xlabel(), picture.get_ylabel()) == ("lag Δ (deg)", "radius (px)")
    np.testing.assert_allclose(picture.images[0].get_extent(), (-2.5, 357.5, 59.5, 49.5))
    c = run.correlation
    away = np.minimum(np.arange(N), N - np.arange(N)) > 0.03 * N
    expected = (c - c[:, away].mean(1, keepdims=True)) / c[:, away].std(1, keepdims=True)
    np.testing.assert_allclose(np.ma.filled(picture.images[0].get_array(), np.nan), expected, rtol=1e-9, atol=1e-9)
    assert "54 px" in found
    lags = found["54 px"]
    np.testing.assert_allclose(lags.get_lines()[0].get_xdata(), 5.0 * np.arange(N))
    factor = thousands(lags.get_ylabel())
    np.testing.assert_allclose(lags.get_lines()[0].get_ydata() * factor, c[4])
    band = lags.collections[0].get_paths()[0].vertices[:, 1] * factor
    for bound in (c[4] - run.error[4], c[4] + run.error[4]):
        assert np.isclose(bound[:, None], band[None], rtol=1e-9).any(axis=1).all()
    assert lags.get_ylabel().startswith("C(Δ)")
    row = figure.axes.index(lags)
    cosine, bars = figure.axes[row + 1], figure.axes[row + 2]
    assert cosine.get_title(loc="left") == "over cos Δ"
    x, y = cosine.get_lines()[0].get_data()
    half = np.arange(N // 2 + 1)
    np.testing.assert_allclose(x, np.sort(np.cos(2 * np.pi * half / N)), atol=1e-12)
    np.testing.assert_allclose(y[::-1] * factor, 0.5 * (c[4][half] + c[4][-half % N]))
    assert bars.get_title(loc="left").startswith("Fourier coefficients")
    heights = np.array([bar.get_height() for bar in bars.patches]) * thousands(bars.get_title(loc="left"))
    np.testing.assert_allclose(heights, np.fft.rfft(c[4])[1:17].real / N, rtol=1e-9, atol=1e-9 * heights.max())
    assert np.argmax(heights) == 7
    assert "12 exposures   ·   10 rows   ·   single   ·   per pair of valid samples" in texts(figure)


def thousands(label):
    """What a label says that values are in."""
    return (
        10.0 ** int(label[label.index("{", label.index("(")) + 1 : label.index("}", label.index("10^"))])
        if "10^" in label
        else 1.0
    )


def test_small_values_have_a_power_of_ten(run):
    small = replace(run, by_intensity=True, kind="difference, counts", norm="sum")
    tiny = replace(run.sums, total=1e-6 * run.sums.total)
    figure = plot_correlations(replace(small, sums=tiny, by_intensity=False, norm="mask"), rings=[54])
    lags = titles(figure)["54 px"]
    assert lags.get_ylabel() == "C(Δ) ($10^{-3}$)"
    np.testing.assert_allclose(1e-3 * lags.get_lines()[0].get_ydata(), 1e-6 * run.correlation[4], rtol=1e-9)
    assert "12 pairs" in texts(figure)
    assert "sums over the ring, over ⟨I₁⟩⟨I₂⟩" in texts(plot_correlations(small))


def test_rows_of_q_have_the_angle_in_space(run):
    figure = plot_correlations(of_q(run), rings=[1.08])
    found = titles(figure)
    assert "1.080 1/Å" in found
    assert found["over cos ψ"].get_xlabel() == "cos ψ"
    theta = np.arcsin(1.08 * 1.2 / (4 * np.pi))
    lag = 2 * np.pi * np.arange(N // 2 + 1) / N
    x = np.cos(lag) * np.cos(theta) ** 2 + np.sin(theta) ** 2
    np.testing.assert_allclose(found["over cos ψ"].get_lines()[0].get_xdata(), np.sort(x), rtol=1e-9)
    assert "q (1/Å)" in [label for _, label in labels(figure)]
    by_radius = replace(run, q=0.02 * run.radii, wavelength=1.2)  # q is known, rings were laid out in px
    figure = plot_correlations(by_radius, rings=[54])
    assert "54 px, 1.080 1/Å" in titles(figure)
    assert "radius (px)" in [label for _, label in labels(figure)]
    with pytest.raises(SettingError, match=r"no ring at 54: rings are from 1 to 1.18"):
        plot_correlations(of_q(run), rings=[54])


def test_rings_with_one_another(run):
    pairs = np.array([[0, 4], [4, 4], [1, 2], [2, 4], [3, 3], [5, 5], [6, 7]])
    crossed = replace(run, pairs=pairs, sums=some(run.sums, len(pairs)))
    figure = plot_correlations(crossed, rings=[54])
    assert {"50 × 54 px", "54 px", "52 × 54 px"} <= set(titles(figure))
    assert ("lag Δ (deg)", "row") in labels(figure)
    with pytest.raises(SettingError, match="the ring at 58 is in no row"):
        plot_correlations(crossed, rings=[58])
    few = replace(run, pairs=pairs[:3], sums=some(run.sums, 3))
    assert not any(name.startswith("Correlation of each") for name in titles(plot_correlations(few)))


def some(sums, rows):
    names = [name for name in CorrelationSums.__slots__ if name not in ("number", "spectrum")]
    parts = {name: getattr(sums, name)[:rows] for name in names}
    return replace(sums, **parts, spectrum=None if sums.spectrum is None else some(sums.spectrum, rows))


def test_lags_of_either_sign_are_one_angle():
    values = simulate_rings(3, N, np.ones(5) * 1e-3, seed=3).values[:, 0].astype(np.float64)
    correlator = Correlator(pairs=[[0, 1]])
    for one in values:
        correlator.add(np.stack([one, np.roll(one, 5)]))
    turned = CorrelationRun(correlator.sums, np.array([5.0, 6.0]), np.array([[0, 1]]))
    c = turned.correlation[0]
    assert np.argmax(c) == 5
    axes = titles(plot_correlations(turned))["over cos Δ"]
    half = np.arange(N // 2 + 1)
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata()[::-1], 0.5 * (c[half] + c[-half % N]), rtol=1e-9)


def test_what_is_missing_is_left_white_or_said(run, tmp_path):
    total, pairs = run.sums.total.copy(), np.repeat(run.sums.pairs, N, axis=1)
    pairs[2], total[2] = 0.0, 0.0  # a ring without data
    pairs[4, 30:33], total[4, 30:33] = 0.0, 0.0  # lags without pairs
    pairs_square = np.repeat(run.sums.pairs_square, N, axis=1) * (pairs > 0)
    gappy = replace(run, sums=replace(run.sums, total=total, pairs=pairs, pairs_square=pairs_square))
    assert np.isnan(gappy.correlation[2]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_correlations(gappy, rings=[52, 54])
        save_figure(figure, tmp_path / "a.png")
    picture = next(axes for name, axes in titles(figure).items() if name.startswith("Correlation of each row"))
    mask = np.ma.getmaskarray(picture.images[0].get_array())
    assert mask[2].all()
    assert np.flatnonzero(mask[4]).tolist() == [30, 31, 32]
    assert not mask[[0, 1, 3]].any()
    empty = titles(figure)["52 px"]
    assert [text.get_text() for text in empty.texts] == ["no data"]
    assert np.isnan(titles(figure)["54 px"].get_lines()[0].get_ydata()[30:33]).all()


def test_nothing_but_gaps(run, tmp_path):
    nothing = replace(run, sums=replace(run.sums, pairs=0 * run.sums.pairs, total=0 * run.sums.total))
    blank = polar()
    blank = PolarImage(np.full_like(blank.values, np.nan), blank.grid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, figure in enumerate((plot_correlations(nothing), plot_polar(blank))):
            assert any("no data" in text.get_text() for axes in figure.axes for text in axes.texts), number
            save_figure(figure, tmp_path / f"{number}.png")
        save_figure(plot_correlations(nothing, rings=[54]), tmp_path / "c.png")
        save_figure(plot_polar(blank, rings=[22]), tmp_path / "d.png")
    assert "0.0 % with data" in texts(plot_polar(blank))


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_few_lags_and_one_exposure(n, tmp_path):
    correlator = Correlator()
    correlator.add(np.arange(2.0 * n).reshape(2, n) + 1)
    few = CorrelationRun(correlator.sums, np.array([5.0, 6.0]), np.array([[0, 0], [1, 1]]))
    assert np.isnan(few.error).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_correlations(few)
        save_figure(figure, tmp_path / "a.png")
        save_figure(
            plot_polar(PolarImage(np.ones((1, n), np.float32), PolarGrid(CENTER, [5.0], n))), tmp_path / "b.png"
        )
    assert "1 exposure   ·   2 rows" in texts(figure)
    assert not titles(figure).get("5 px", figure.axes[0]).collections  # no band without errors


def test_a_file_is_drawn_as_what_was_written(run, tmp_path: Path):
    written = replace(of_q(run), norm="mean", by_intensity=True)
    write_correlations(tmp_path / "c.h5", written)
    again = read_correlations(tmp_path / "c.h5")
    assert (again.norm, again.by_intensity, again.of_q, again.direction) == ("mean", True, True, 1)
    first, second = plot_correlations(written), plot_correlations(again)
    for name in ("a", "b"):
        save_figure({"a": first, "b": second}[name], tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "per sample, over ⟨I₁⟩⟨I₂⟩" in texts(second)
