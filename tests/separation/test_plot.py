"""Figures: what is drawn, where it is drawn, and that equal figures are equal files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crystint.compare import Comparison, Shells, compare, measure
from crystint.errors import FileError, SettingError, ShapeError
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag, PeakList, empty_peaks
from crystint.plot import plot_comparison, plot_frame, save_figure
from crystint.plot.levels import ring_levels
from crystint.simulate import Simulation, simulate
from tests.separation.test_compare import poisson, sparse_of


def picture(axes: Axes) -> np.ndarray[Any, Any]:
    """The masked image that is shown in some axes."""
    return np.ma.asarray(axes.images[0].get_array())


def scene() -> Simulation:
    return simulate(
        (121, 153),
        background=20.0,
        peaks=[[30.5, 40.5, 9000.0], [80.2, 100.7, 4000.0]],
        modules=(60, 153),
        dead=3,
    )


def peak_list() -> PeakList:
    peaks = empty_peaks(4)
    peaks["slow"], peaks["fast"] = (30.5, 80.2, 5.0, 100.0), (40.5, 100.7, 5.0, 20.0)
    peaks["snr"], peaks["d"] = (90.0, 60.0, 500.0, 0.1), (3.1, np.nan, 2.0, 1.5)
    peaks["flags"] = (0, 0, PeakFlag.SATURATED, PeakFlag.ICE)
    return peaks


def test_pixels_lie_where_their_positions_say() -> None:
    data = scene()
    axes = plot_frame(data[0], mask=data.mask).axes[0]
    image = axes.images[0]
    assert list(image.get_extent()) == [0, 153, 121, 0]  # origin at the upper left, slow down
    assert axes.get_ylim() == (121, 0)
    assert axes.get_xlim() == (0, 153)
    shown = picture(axes)
    assert np.array_equal(np.ma.getmaskarray(shown), data.mask != 0)
    good = data.mask == 0
    assert np.array_equal(shown[good], data[0][good])


def test_large_frames_keep_their_spots_and_gaps() -> None:
    frame = np.ones((2501, 100), np.uint16)
    frame[1234, 56] = 999
    frame[:, 40:47] = 65535
    axes = plot_frame(frame).axes[0]
    shown = picture(axes)
    assert max(shown.shape) <= 1150
    size = -(-2501 // shown.shape[0])
    assert shown[1234 // size, 56 // size] == 999
    assert np.ma.getmaskarray(shown)[:, 42 // size].all()
    assert axes.get_ylim() == (2501, 0)
    assert axes.images[0].get_extent()[2] == shown.shape[0] * size


def test_peaks_are_circles_at_their_centroids() -> None:
    data = scene()
    figure = plot_frame(data[0], peaks=peak_list(), geometry=data.geometry)
    drawn = {str(c.get_label()): c.get_offsets() for c in figure.axes[0].collections if c.get_label()}
    assert np.allclose(drawn["peak (2)"], [[40.5, 30.5], [100.7, 80.2]])  # x = fast, y = slow
    assert np.allclose(drawn["saturated (1)"], [[5, 5]])
    assert np.allclose(drawn["ice ring (1)"], [[20, 100]])
    closeups = [axes.get_title(loc="left") for axes in figure.axes if "I/σ" in axes.get_title(loc="left")]
    assert closeups == ["3.10 Å   I/σ 90", "80, 101   I/σ 60"]  # flagged peaks have none


def test_the_scale_does_not_follow_a_hot_pixel() -> None:
    frame = np.random.default_rng(0).poisson(10, (100, 120)).astype(np.int32)
    calm = plot_frame(frame).axes[0].images[0].norm.vmax
    frame[5, 5] = 2**30
    hot = plot_frame(frame).axes[0].images[0].norm.vmax
    assert calm is not None
    assert hot == pytest.approx(calm, rel=0.05)
    assert 12 < calm < 60


def test_rings_have_the_spacing_they_are_labelled_with() -> None:
    geometry = Geometry((400, 300), (172e-6, 172e-6), 0.05, (190.0, 160.0), wavelength=1.0, rotation=(0.1, 0.1, 0))
    values, levels, labels = ring_levels(geometry)
    assert np.array_equal(values, geometry.q())
    assert 3 <= len(levels) <= 5
    assert np.all(np.diff(levels) > 0)
    assert [f"{2 * np.pi / level:g} Å" for level in levels] == labels
    assert values.min() < levels.min() < levels.max() < values.max()
    axes = plot_frame(np.ones(geometry.shape, np.int32), geometry=geometry).axes[0]
    (contours,) = axes.collections
    for path, level in zip(contours.get_paths(), levels, strict=True):
        fast, slow = path.vertices[::7].T
        assert np.allclose(geometry.q_at(slow, fast), level, rtol=5e-4)
    blind = replace(geometry, wavelength=None)
    assert all(label.endswith("°") for label in ring_levels(blind)[2])
    plot_frame(np.ones(geometry.shape, np.int32), geometry=blind)


def test_the_background_profile_is_the_background() -> None:
    frame = poisson(7.0, 1)
    background = sparse_of(frame, [], 7.0).background
    background.mean[3] = np.nan
    figure = plot_frame(frame, background=background, title="a $title_ with signs")
    lines = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 40]
    assert len(lines) == 1
    assert np.array_equal(lines[0].get_ydata(), background.mean, equal_nan=True)
    assert np.array_equal(lines[0].get_xdata(), background.q)
    draw(figure)


@pytest.mark.parametrize(
    "frame",
    [
        np.full((40, 50), -1, np.int32),
        np.zeros((40, 50), np.uint16),
        np.full((3, 4), np.nan, np.float32),
        np.full((30, 40), np.inf, np.float64),
        np.random.default_rng(0).normal(0, 1, (33, 21)).astype(np.float32),
        np.full((1, 1), 5, np.uint8),
        np.full((1, 300), 2**32 - 2, np.uint32),
        np.ones((300, 1), np.int16),
    ],
    ids=["masked", "zeros", "nan", "inf", "negative", "pixel", "row", "column"],
)
def test_odd_frames_are_drawn(frame: np.ndarray[Any, Any]) -> None:
    geometry = Geometry(frame.shape, (1e-4, 1e-4), 0.1, (0.5, 0.5), wavelength=1.0)
    peaks = empty_peaks(1)
    peaks["slow"], peaks["fast"], peaks["snr"] = 0.5, 0.5, 3.0
    draw(plot_frame(frame))
    draw(plot_frame(frame, geometry=geometry, peaks=empty_peaks(), mask=np.zeros(frame.shape, bool)))
    draw(plot_frame(frame, geometry=geometry, peaks=peaks))


def draw(figure: Figure) -> None:
    """Draw everything; a warning is an error."""
    figure.canvas.draw()


def test_wrong_shapes_are_refused() -> None:
    frame = np.ones((20, 30), np.int32)
    with pytest.raises(ShapeError, match="image"):
        plot_frame(np.ones((2, 3, 4)))
    with pytest.raises(ShapeError, match="image"):
        plot_frame(np.ones((0, 4)))
    with pytest.raises(ShapeError, match="mask"):
        plot_frame(frame, mask=np.ones((30, 20), bool))
    with pytest.raises(ShapeError, match="geometry"):
        plot_frame(frame, geometry=Geometry((30, 20), (1e-4, 1e-4), 0.1, (9.0, 9.0)))


def test_a_comparison_is_drawn() -> None:
    raw = poisson(3.0, 1)
    sparse = sparse_of(raw, [9, 10], 3.0)
    comparison = measure(raw, sparse, raw, poisson(3.0, 2), Shells.of(sparse, 8))
    with_sizes = replace(comparison, raw_bytes=10**6, sparse_bytes=10**4)
    for one in (comparison, with_sizes, replace(comparison, unit="radius")):
        figure = plot_comparison(one, title="$x_1")
        draw(figure)
        assert len(figure.axes) == 6
    bias = figure.axes[0].lines[1].get_ydata()
    assert np.array_equal(bias, comparison.bias_noisy)
    masked = np.full(raw.shape, -1, np.int32)
    nothing = sparse_of(masked, [], 3.0)
    draw(plot_comparison(measure(masked, nothing, masked, masked, Shells.of(nothing, 3))))
    with pytest.raises(ShapeError, match="no frame"):
        plot_comparison(Comparison())


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_equal_figures_are_equal_files(tmp_path: Path, suffix: str, start: bytes) -> None:
    data = scene()
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for path in (first, second):
        figure = plot_frame(data[0], geometry=data.geometry, peaks=peak_list(), mask=data.mask)
        save_figure(figure, path)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(start)
    assert b"CreationDate" not in first.read_bytes()
    with pytest.raises(FileError, match="overwrite"):
        save_figure(figure, first)
    save_figure(figure, first, overwrite=True)
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_unknown_suffix_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"\.png"):
        save_figure(Figure(), tmp_path / "a.bmp")
    assert not list(tmp_path.iterdir())


def test_the_users_settings_and_pyplot_are_left_alone(tmp_path: Path) -> None:
    before = matplotlib.rcParams.copy()
    with matplotlib.rc_context({"font.size": 40, "axes.grid": True, "image.origin": "lower"}):
        mine = plot_frame(scene()[0])
        assert matplotlib.rcParams["font.size"] == 40
        save_figure(mine, tmp_path / "a.png")
    save_figure(plot_frame(scene()[0]), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert matplotlib.rcParams.copy() == before
    script = (
        "import sys, numpy, crystint.plot\n"
        "assert 'matplotlib' not in sys.modules, 'matplotlib is imported before a figure is made'\n"
        "crystint.plot.plot_frame(numpy.ones((9, 9)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot is imported'\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)


def test_plots_go_into_given_axes():
    data = scene()
    axes = Figure().add_subplot()
    assert plot_frame(data[0], geometry=data.geometry, title="here", ax=axes) is axes.figure
    assert axes.get_title() == "here"
    assert len(axes.images) == 1
    frame = np.random.default_rng(0).poisson(5.0, (60, 70)).astype(np.uint16)
    given = Figure().subplots(2, 3).ravel()
    comparison = compare(frame, sparse_of(frame, [9, 10], 5.0))
    assert plot_comparison(comparison, axes=given) is given[0].figure
    assert all(one.get_title(loc="left") or one.get_title() for one in given)
    with pytest.raises(ShapeError, match="axes are 2, expected 6"):
        plot_comparison(comparison, axes=given[:2])
