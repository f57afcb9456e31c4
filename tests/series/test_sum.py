"""Sums over frames against NumPy on whole stacks; virtual powder."""

from __future__ import annotations

import fabio
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose, assert_array_equal

import crystint
from crystint.cli import main
from crystint.run.execution import Execution
from crystint.series.steps import SUM

SHAPE = (37, 53)


@pytest.fixture
def stack(tmp_path, rng):
    """70 frames, so that there are several blocks; one pixel is bad in some frames, one always, one is saturated."""
    frames = rng.poisson(3.0, (70, *SHAPE)).astype(np.int32)
    frames[::3, 5, 6] = -2
    frames[:, 7, 8] = -2
    frames[4, 9, 10] = 5000
    mask = np.zeros(SHAPE, np.uint32)
    mask[0, :3] = 1
    path = tmp_path / "run.h5"
    with crystint.DenseWriter(
        path, SHAPE, frames.dtype, geometry=None, mask=mask, saturation=1000.0, provenance={}
    ) as writer:
        for frame in frames:
            writer.write(frame)
    good = (frames >= 0) & (frames <= 1000) & (mask == 0)
    return path, np.ma.masked_array(frames, ~good)


def test_images_are_those_of_numpy(stack, tmp_path):
    path, frames = stack
    outcome = SUM([path], outputs=[tmp_path / "sum.h5", tmp_path / "sum.png"])
    assert outcome.frames == 70
    with h5py.File(tmp_path / "sum.h5") as file:
        data = file["entry/sum"]
        number = data["number"][()]
        assert_array_equal(number, (~frames.mask).sum(axis=0))
        assert_array_equal(data["sum"][()], frames.astype(np.int64).sum(axis=0).filled(0))
        assert data["sum"].dtype == np.int64
        assert_array_equal(data["maximum"][()], frames.max(axis=0).filled(0))
        assert_allclose(data["mean"][()], frames.mean(axis=0).filled(np.nan), rtol=1e-6)
        assert_allclose(data["variance"][()], frames.var(axis=0, ddof=1).filled(np.nan), rtol=1e-5)
        assert data.attrs["signal"] == "mean"
        assert data["variance"].attrs["units"] == "count^2"
    with fabio.open(f"{tmp_path / 'sum.h5'}::/entry/sum/sum") as image:
        assert_array_equal(image.data, frames.astype(np.int64).sum(axis=0).filled(0))


@pytest.mark.parametrize("what", ["mean", "sum", "maximum"])
def test_one_image_for_others(stack, tmp_path, what):
    path, frames = stack
    SUM([path], outputs=[tmp_path / "one.tif", tmp_path / "one.npy"], settings={"what": what})
    expected = {"mean": frames.mean, "sum": frames.sum, "maximum": frames.max}[what](axis=0)
    expected = expected.filled(np.nan if what == "mean" else 0)
    with fabio.open(tmp_path / "one.tif") as image:
        assert_allclose(image.data, expected, rtol=1e-6)
    assert_allclose(np.load(tmp_path / "one.npy"), expected, rtol=1e-6)


def test_one_file_holds_one_image(stack, tmp_path):
    path, _ = stack
    refused = CliRunner().invoke(main, ["sum", str(path), "-o", str(tmp_path / "a.tif"), "--what", "mean,sum"])
    assert refused.exit_code == 2
    assert "one image" in refused.output
    assert CliRunner().invoke(main, ["sum", str(path), "-o", str(tmp_path / "a.h5"), "--what", "median"]).exit_code == 2


def test_sums_too_large_for_a_tiff(tmp_path):
    np.save(tmp_path / "f.npy", np.full((3, 4), 2**31 - 2, np.int32))
    np.save(tmp_path / "g.npy", np.full((3, 4), 2**31 - 3, np.int32))
    np.save(tmp_path / "h.npy", np.full((3, 4), 2**31 - 3, np.int32))
    files = [str(tmp_path / f"{name}.npy") for name in "fgh"]
    refused = CliRunner().invoke(main, ["sum", *files, "-o", str(tmp_path / "a.tif"), "--what", "sum"])
    assert refused.exit_code == 2
    assert "no TIFF of 32 bits" in refused.output
    assert not list(tmp_path.glob("a.tif*"))


@pytest.mark.parametrize("suffix", [".cxi", ".h5", ".jsonl", ".refl"])
def test_the_virtual_powder_of_peaks(tmp_path, suffix):
    data = crystint.simulate.simulate((120, 130), 3, background=4.0, peaks=20, intensity=900.0, seed=5)
    np.save(tmp_path / "f.npy", data.frames)
    crystint.Geometry.write(data.geometry, tmp_path / "g.poni")
    path = tmp_path / f"p{suffix}"
    settings = {"rings": 60, "geometry": str(tmp_path / "g.poni")}
    crystint.separation.find_peaks([tmp_path / "f.npy"], [path], settings)
    SUM([path], outputs=[tmp_path / "powder.h5"])
    peaks = crystint.read_peaks(path)
    with h5py.File(tmp_path / "powder.h5") as file:
        images = {name: file["entry/sum"][name][()] for name in ("sum", "mean", "maximum", "number")}
    expected = np.zeros((120, 130))
    for peak in peaks:
        expected[int(peak["slow"]), int(peak["fast"])] += peak["intensity"]
    assert_allclose(images["sum"], expected, rtol=1e-5)
    assert_allclose(images["mean"], expected / 3, rtol=1e-5)
    assert images["number"].sum() == len(peaks) > 30
    assert images["maximum"].max() == pytest.approx(peaks["intensity"].max(), rel=1e-6)
    refused = CliRunner().invoke(main, ["sum", str(path), "-o", str(tmp_path / "a.h5"), "--what", "variance"])
    assert refused.exit_code == 2


def test_dask_sums_the_same(stack, tmp_path):
    pytest.importorskip("distributed")
    path, frames = stack
    how = Execution(dask="local", threads=2, dask_frames=64)
    assert SUM([path], outputs=[tmp_path / "sum.h5"], execution=how).frames == len(frames)
    with h5py.File(tmp_path / "sum.h5") as file:
        assert_array_equal(file["entry/sum/sum"][()], frames.astype(np.int64).sum(axis=0).filled(0))
