"""crystint correlate correlate: what its files hold, against the formulas of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.correlate import PolarGrid, PolarTransform, cos_psi, half_scattering_angle
from crystint.correlate.files import read_correlations
from crystint.correlate.pairs.curve_likeness import likeness
from crystint.correlate.pairs.pairing import pair_exposures
from crystint.engine import default_engine
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.geometry import Geometry
from tests.correlate.case import AZIMUTHS, CENTER, GRID, PLAIN, RADII, SHAPE, exposures, gaps, masked, refused, run
from tests.oracles import correlate_runs
from tests.oracles.correlate_polar import nearest

OWN = [(i, i) for i in range(len(RADII))]
ALL = [(i, j) for i in range(len(RADII)) for j in range(i, len(RADII))]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f.npy: nine frames; mask.npy: no test changes them."""
    folder = tmp_path_factory.mktemp("sums")
    np.save(folder / "f.npy", exposures(9))
    np.save(folder / "mask.npy", gaps())
    return folder


def rings(count: int = 9, which: slice = slice(None)) -> np.ndarray:
    """float64 [exposures, rings, n]: the nearest pixels, by loops; NaN = masked."""
    return np.array([nearest(one, CENTER, RADII, AZIMUTHS) for one in masked(exposures(count), gaps())])[:, which]


def correlated(made: Path, output: Path, *options: Any) -> dict[str, Any]:
    """The data of a file, made with the mask."""
    run(0, "correlate", made / "f.npy", "-m", made / "mask.npy", *options, "-o", output)
    return data_of(output)


def data_of(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: one[()] for name, one in file["entry/data"].items()}


def same(found: dict[str, Any], expected: tuple[np.ndarray, np.ndarray], rtol: float = 2e-5) -> None:
    c, error = expected
    np.testing.assert_allclose(found["correlation"], c, rtol=rtol, atol=rtol * np.nanmax(np.abs(c)))
    np.testing.assert_allclose(found["correlation_errors"], error, rtol=1e-3, atol=1e-3 * np.nanmedian(error))


@pytest.mark.parametrize("by_intensity", [False, True])
@pytest.mark.parametrize("norm", ["mask", "mean", "sum"])
def test_single_exposures_are_averaged_as_documented(made: Path, tmp_path: Path, norm: str, by_intensity: bool) -> None:
    more = ("--by-intensity",) if by_intensity else ()
    found = correlated(made, tmp_path / "c.h5", *PLAIN, "--norm", norm, *more)
    shots = rings()
    assert 0.05 < np.isnan(shots).mean() < 0.2
    means = correlate_runs.ring_means(shots) if by_intensity else None
    same(found, correlate_runs.average(shots, OWN, norm=norm, means=means))
    assert found["number"] == 9
    assert found["norm"] == norm.encode()
    assert bool(found["by_intensity"]) == by_intensity
    count = correlate_runs.each(shots, OWN)[1]
    effective = count.sum(0) ** 2 / (count**2).sum(0) if norm == "mask" else 9
    np.testing.assert_allclose(found["variance"], effective * found["correlation_errors"] ** 2, rtol=1e-9)
    with h5py.File(tmp_path / "c.h5") as file:
        data = file["entry/data"]
        assert data.attrs["signal"] == "correlation"
        assert data.attrs["axes"].tolist() == ["row", "lag"]
        assert data.attrs["radius_indices"] == 0
        assert [data[name].attrs["units"] for name in ("correlation", "correlation_errors", "variance")] == (
            ["", "", ""] if by_intensity else ["count^2", "count^2", "count^4"]
        )
        assert data["lag"].attrs["units"] == "rad"
        np.testing.assert_allclose(data["lag"], 2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS)
        np.testing.assert_array_equal(data["radius"], RADII)
        assert file["entry/grid/kind"].asstr()[()] == "single, counts"


def test_weights_of_areas_take_part(made: Path, tmp_path: Path) -> None:
    found = correlated(made, tmp_path / "c.h5", *GRID, "--outliers", 0)
    transform = PolarTransform(default_engine(), PolarGrid(CENTER, RADII, AZIMUTHS), SHAPE, method="area", mask=gaps())
    images = [transform.run(frame) for frame in exposures(9)]
    weights = np.array([image.weights for image in images])
    assert len(np.unique(weights)) > 100
    same(found, correlate_runs.average(np.array([image.values for image in images]), OWN, weights))


def test_a_difference_has_the_lesser_of_two_weights(tmp_path: Path) -> None:
    frames = exposures(4).astype(np.float32)
    frames[np.random.default_rng(2).random(frames.shape) < 0.1] = np.nan
    np.save(tmp_path / "f.npy", frames)
    options = ("--outliers", 0, "--difference", "next", "--scale", "none")
    run(0, "correlate", tmp_path / "f.npy", *GRID, *options, "-o", tmp_path / "d.h5")
    transform = PolarTransform(default_engine(), PolarGrid(CENTER, RADII, AZIMUTHS), SHAPE, method="area")
    images = [transform.run(frame) for frame in frames]
    values, weights = (np.array([getattr(one, name) for one in images]) for name in ("values", "weights"))
    expected = correlate_runs.average(values[::2] - values[1::2], OWN, np.minimum(weights[::2], weights[1::2]))
    same(data_of(tmp_path / "d.h5"), expected, 1e-4)


@pytest.mark.parametrize(
    ("cross", "pairs"),
    [(("8,14", "10,9", "8,14"), [(0, 6), (2, 1)]), (("all",), ALL), (("14,8", "all"), [(6, 0), *ALL])],
)
def test_rings_with_one_another(made: Path, tmp_path: Path, cross: tuple[str, ...], pairs: list[Any]) -> None:
    options = [part for one in cross for part in ("--cross", one)]
    found = correlated(made, tmp_path / "c.h5", *PLAIN, *options, "--by-intensity")
    run_of = read_correlations(tmp_path / "c.h5")
    assert [tuple(pair) for pair in run_of.pairs] == pairs
    assert run_of.names()[0] == {(0, 6): "8 × 14 px", (0, 0): "8 px", (6, 0): "14 × 8 px"}[pairs[0]]
    same(found, correlate_runs.average(rings(), pairs, means=correlate_runs.ring_means(rings())))
    assert "radius" not in found


@pytest.mark.parametrize("which", [slice(3, 4), slice(None)])
@pytest.mark.parametrize("how", ["next", "greedy", "optimal"])
def test_differences(made: Path, tmp_path: Path, how: str, which: slice) -> None:
    radii = RADII[which]
    place = ("--radii", f"{radii[0]},{radii[-1] + 1}", *GRID[:2], *GRID[4:], "--method", "nearest", "--outliers", 0)
    options = ("-m", made / "mask.npy", "--difference", how, "--by-intensity", "--order", 2)
    result = run(0, "correlate", made / "f.npy", *place, *options, "-o", tmp_path / "d.h5")
    shots = correlate_runs.of_frame(rings(which=which))
    if how == "next":
        pairs = [[0, 1], [2, 3], [4, 5], [6, 7]]
    else:
        like = likeness(correlate_runs.lines(shots), harmonics=2)
        pairs = pair_exposures(like.points, how, alike=like.alike).pairs.tolist()
    (left,) = set(range(9)) - {number for pair in pairs for number in pair}
    assert f"warning: 1 exposure without a partner: {left}\n" in result.stderr
    assert "9 frames; 4 pairs correlated" in result.stdout
    if how != "next":
        assert np.mean([i % 3 == j % 3 for i, j in pairs]) > 0.5
    difference, both = correlate_runs.pairs_of(pairs, shots)
    own = [(i, i) for i in range(len(radii))]
    expected = correlate_runs.average(difference, own, means=correlate_runs.ring_means(both))
    found = data_of(tmp_path / "d.h5")
    same(found, expected, 2e-4)  # sums are of float32
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["entry/data/correlation"].attrs["units"] == ""
        assert file["entry/grid/kind"].asstr()[()] == "difference, scaled by frame"
    assert read_provenance(tmp_path / "d.h5")["settings"]["difference"] == how


def test_pairs_are_sought_within_blocks(made: Path, tmp_path: Path) -> None:
    options = (*PLAIN, "-m", made / "mask.npy", "--difference", "optimal", "--scale", "none")
    run(0, "correlate", made / "f.npy", *options, "--block", 4, "-o", tmp_path / "d.h5")
    shots, pairs = rings(), []
    for begin, end in ((0, 4), (4, 9)):  # the rest of one joins the block before it
        like = likeness(correlate_runs.lines(shots[begin:end]))
        found = pair_exposures(like.points, "optimal", alike=like.alike)
        pairs += (begin + found.pairs).tolist()
    same(data_of(tmp_path / "d.h5"), correlate_runs.average(correlate_runs.pairs_of(pairs, shots)[0], OWN), 2e-4)
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["entry/data/correlation"].attrs["units"] == "count^2"


@pytest.mark.parametrize(
    "options", [(), ("--cross", "all", "--difference", "next"), ("--subtract", "curve", "--scale", "ring")]
)
def test_results_that_are_added_are_those_of_one_run(made: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    frames = exposures(9)[:8]
    for name, part in (("a", frames[:2]), ("b", frames[2:6]), ("c", frames[6:]), ("whole", frames)):
        np.save(tmp_path / f"{name}.npy", part)
    more = (*GRID, "-m", made / "mask.npy", *options, "--by-intensity")
    for name in ("a", "b", "whole"):
        run(0, "correlate", tmp_path / f"{name}.npy", *more, "--norm", "mean", "-o", tmp_path / f"{name}.h5")
    before = [part for name in ("a", "b") for part in ("--add", tmp_path / f"{name}.h5")]
    run(0, "correlate", tmp_path / "c.npy", *more, "--norm", "mean", *before, "-o", tmp_path / "sum.h5")
    run(0, "correlate", tmp_path / "c.npy", *more, "-o", tmp_path / "c.h5")  # of another norm: sums have none
    before += ["--add", tmp_path / "c.h5"]
    result = run(0, "correlate", *before, "-o", tmp_path / "files.h5")
    assert result.stdout.startswith(f"3 files; {4 if '--difference' in options else 8} ")
    whole = data_of(tmp_path / "whole.h5")
    for name in ("sum", "files"):
        part = data_of(tmp_path / f"{name}.h5")
        assert part.keys() == whole.keys()
        assert part["norm"] == b"mean"
        assert part["by_intensity"]
        for key in ("correlation", "correlation_errors", "variance", "number"):
            np.testing.assert_allclose(part[key], whole[key], rtol=1e-6, atol=1e-6 * np.nanmax(np.abs(whole[key])))
        assert len(read_provenance(tmp_path / f"{name}.h5")["settings"]["parts"]) == (2 if name == "sum" else 3)
    run(0, "correlate", *before, "--norm", "sum", "--no-by-intensity", "-o", tmp_path / "other.h5")
    other = data_of(tmp_path / "other.h5")
    assert other["norm"] == b"sum"
    assert not other["by_intensity"]
    assert np.nanmax(other["correlation"]) != pytest.approx(np.nanmax(whole["correlation"]))


def test_what_cannot_be_added_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", exposures(2))
    geometry = Geometry(SHAPE, (2e-3, 2e-3), 0.05, beam_center=CENTER, wavelength=1.2)
    geometry.write(tmp_path / "g.json")
    Geometry(SHAPE, (2e-3, 2e-3), 0.051, beam_center=CENTER, wavelength=1.2).write(tmp_path / "h.json")
    grid, own = ("--azimuths", 60, "-q"), ("--beam", "20.3,21.6")
    settings: dict[str, tuple[Any, ...]] = {
        "first": ("--radii", "8,12", *own, *grid),
        "radii": ("--radii", "8,13", *own, *grid),
        "lags": ("--radii", "8,12", *own, "--azimuths", 64, "-q"),
        "kind": ("--radii", "8,12", *own, *grid, "--subtract", "mean"),
        "pairs": ("--radii", "8,12", *own, *grid, "--cross", "8,9"),
        "turned": ("--radii", "8,12", *own, *grid, "--cross", "8,9", "--direction", -1),
        "own turned": ("--radii", "8,12", *own, *grid, "--direction", -1),
        "q": ("-g", tmp_path / "g.json", "--q", "2,3,0.25", *grid),
        "q far": ("-g", tmp_path / "h.json", "--q", "2,3,0.25", *grid),
    }
    for name, options in settings.items():
        run(0, "correlate", tmp_path / "f.npy", *options, "-o", tmp_path / f"{name}.h5")

    def added(*names: str) -> tuple[Any, ...]:
        return (*[part for name in names for part in ("--add", tmp_path / f"{name}.h5")], "-o", tmp_path / "sum.h5")

    for first, second, said in (
        ("first", "radii", "differ in radii, pairs of rings"),
        ("first", "lags", "differ in azimuths (60; 64)"),
        ("first", "kind", "differ in kind (single, counts; single, counts, mean subtracted)"),
        ("first", "pairs", "differ in pairs of rings"),
        ("pairs", "turned", "differ in direction (1; -1)"),
        ("first", "q", "differ in rings (px; 1/angstrom), radii, q, wavelength (None; 1.2)"),
    ):
        assert refused(tmp_path, 2, "correlate", *added(first, second)).endswith(said)
    run(0, "correlate", *added("first", "own turned"))
    run(0, "correlate", *added("q", "q far"), "--overwrite")  # of equal q, at two distances
    np.testing.assert_allclose(read_correlations(tmp_path / "sum.h5").q, [2, 2.25, 2.5, 2.75])


def test_q_and_the_angle_in_space(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", exposures(3))
    Geometry(SHAPE, (2e-3, 2e-3), 0.05, beam_center=CENTER, wavelength=1.2).write(tmp_path / "g.json")
    place = ("-g", tmp_path / "g.json", "-q", "--cross", "2,2.4", "--q", "2,3,0.2")
    run(0, "correlate", tmp_path / "f.npy", *place, "--coefficients", 5, "-o", tmp_path / "c.h5")
    found = read_correlations(tmp_path / "c.h5")
    assert found.names() == ["2.000 × 2.400 1/Å"]
    np.testing.assert_array_equal(found.places, found.q)
    theta = np.arcsin(np.array([2, 2.4]) * 1.2 / (4 * np.pi))
    expected = np.cos(found.sums.lags) * np.cos(theta[0]) * np.cos(theta[1]) + np.sin(theta[0]) * np.sin(theta[1])
    with h5py.File(tmp_path / "c.h5") as file:
        np.testing.assert_allclose(file["entry/data/cos_psi"][0], expected, rtol=1e-12)
        assert file["entry/grid/q"].attrs["units"] == "1/angstrom"
        assert file["entry/grid/rows"].asstr()[()] == "q"
        assert file["entry/grid/wavelength"].attrs["units"] == "angstrom"
        made = file["entry/coefficients"]
        assert made.attrs["signal"] == "real"
        assert made["real"].attrs["units"] == "count^2"
        assert made["harmonic"][()].tolist() == [0, 1, 2, 3, 4, 5]
        c = file["entry/data/correlation"][0]
        lag = file["entry/data/lag"][()]
        by_sum = [np.mean(c * np.exp(-1j * n * lag)) for n in range(6)]
        np.testing.assert_allclose(made["real"][0] + 1j * made["imaginary"][0], by_sum, rtol=1e-9, atol=1e-9 * c.max())
        assert np.abs(made["imaginary"][0, 1:]).max() > 0  # of two rings
    half = half_scattering_angle(2.0, 1.2)
    assert cos_psi(0.0, half, half) == pytest.approx(1.0)


def test_one_exposure_has_no_error(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", exposures(1))
    result = run(0, "correlate", tmp_path / "f.npy", *GRID, "-o", tmp_path / "c.h5")
    assert "1 frame; 1 exposure correlated, 7 rows x 60 lags" in result.stdout
    found = data_of(tmp_path / "c.h5")
    assert np.isfinite(found["correlation"]).all()
    assert np.isnan(found["correlation_errors"]).all()
    assert np.isnan(found["variance"]).all()


def test_rings_without_data_constant_rings_and_nan(tmp_path: Path) -> None:
    frames = exposures(4).astype(np.float32)
    slow, fast = np.indices(SHAPE) + 0.5
    radius = np.hypot(slow - CENTER[0], fast - CENTER[1])
    frames[:, (radius > 6) & (radius < 9.75)] = np.nan  # 8 and 9 px
    frames[:, (radius > 12) & (radius < 16)] = 7.0  # 13 and 14 px
    frames[1, 18:22, 30:34] = np.nan
    frames[2, 18:22, 30:34] = np.inf
    np.save(tmp_path / "f.npy", frames)
    run(0, "correlate", tmp_path / "f.npy", *PLAIN[:-1], 5, "--coefficients", 4, "-o", tmp_path / "c.h5")
    found = data_of(tmp_path / "c.h5")
    assert np.isnan(found["correlation"]).all(axis=1).tolist() == [True, True, *5 * [False]]
    np.testing.assert_allclose(found["correlation"][5:], 49.0, rtol=1e-6)
    np.testing.assert_allclose(found["correlation_errors"][5:], 0.0, atol=1e-5)
    assert np.isfinite(found["correlation"][2:]).all()
    with h5py.File(tmp_path / "c.h5") as file:
        assert np.isnan(file["entry/coefficients/real"][:2]).all()
        np.testing.assert_allclose(file["entry/coefficients/real"][5, 1:], 0.0, atol=1e-5)
    good = np.where(np.isfinite(frames), frames, np.nan)
    shots = np.array([nearest(one, CENTER, RADII, AZIMUTHS) for one in good])[:, 3:5]
    run(0, "correlate", tmp_path / "f.npy", *PLAIN, "-o", tmp_path / "all.h5")
    c, _ = correlate_runs.average(shots, [(0, 0), (1, 1)])
    np.testing.assert_allclose(data_of(tmp_path / "all.h5")["correlation"][3:5], c, rtol=2e-5)
    said = run(0, "correlate", tmp_path / "f.npy", *PLAIN, "--difference", "optimal", "-o", tmp_path / "d.h5")
    assert "2 pairs" in said.stdout
    for name in ("c", "d"):
        run(0, "plot", tmp_path / f"{name}.h5", "-o", tmp_path / f"{name}.png")


def test_frames_without_a_good_pixel(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.full((3, *SHAPE), np.nan, np.float32))
    for how in ((), ("--difference", "greedy"), ("--difference", "next")):
        said = refused(tmp_path, 1, "correlate", tmp_path / "f.npy", *GRID, *how, "-o", tmp_path / "c.h5")
        assert "have data" in said if how else "no data in any of the rings" in said


@pytest.mark.parametrize("how", [(), ("--difference", "next"), ("--difference", "greedy"), ("--difference", "optimal")])
def test_a_frame_without_data_is_missing(tmp_path: Path, how: tuple[str, ...]) -> None:
    """It is named, not counted, and takes no partner from another frame."""
    frames = exposures(7).astype(np.float32)
    frames[[1, 4]] = np.nan
    np.save(tmp_path / "f.npy", frames)
    np.save(tmp_path / "left.npy", np.delete(frames, (1, 4), axis=0))
    norm = ("--norm", "sum")
    said = run(3, "correlate", tmp_path / "f.npy", *GRID, *how, *norm, "-o", tmp_path / "c.h5").stderr
    assert "2 of 7 frames could not be read and are recorded as missing: 1, 4" in said
    assert "frame 1: no data in any of the rings; it is recorded as missing" in said
    assert read_provenance(tmp_path / "c.h5")["settings"]["missing"] == [1, 4]
    run(0, "correlate", tmp_path / "left.npy", *GRID, *how, *norm, "-o", tmp_path / "p.h5")
    found, other = data_of(tmp_path / "c.h5"), data_of(tmp_path / "p.h5")
    for name in ("correlation", "correlation_errors", "number"):
        np.testing.assert_array_equal(found[name], other[name])
    assert found["number"] == (2 if how else 5)
    strict = refused(tmp_path, 1, "correlate", tmp_path / "f.npy", *GRID, *how, "--strict", "-o", tmp_path / "s.h5")
    assert "frame 1: no data in any of the rings" in strict


def test_outliers_and_peaks_do_not_take_part(tmp_path: Path) -> None:
    frames = exposures(4)
    np.save(tmp_path / "clean.npy", frames)
    hot = np.random.default_rng(5).random(SHAPE) < 0.02
    frames[:, hot] = 100_000
    np.save(tmp_path / "f.npy", frames)
    run(0, "correlate", tmp_path / "clean.npy", *PLAIN, "-o", tmp_path / "clean.h5")
    clean = data_of(tmp_path / "clean.h5")["correlation"]
    worst = {}
    for name, options in {"none": (0,), "outliers": (5,), "peaks": (5, "--peaks", 4, "--curve", "chebyshev")}.items():
        run(0, "correlate", tmp_path / "f.npy", *PLAIN[:-1], *options, "-o", tmp_path / f"{name}.h5")
        worst[name] = np.abs(data_of(tmp_path / f"{name}.h5")["correlation"][2:5] / clean[2:5] - 1).max()
    assert worst["none"] > 10
    assert worst["outliers"] < 0.1
    assert worst["peaks"] < 0.1
