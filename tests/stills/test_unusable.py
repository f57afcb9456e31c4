"""Rows that cannot be used are counted, files without a wavelength stay without, few data are merged unscaled."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError
from crystint.io.reflections.mtz_in import read_mtz_observations
from crystint.model.observations import Flag, Observations
from crystint.stills.files import read_stills
from crystint.stills.report import stills_report
from crystint.stills.step_functions import merge_files, scale_files
from tests.stills.test_mtz_in import CELL, GROUP, an_mtz

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")

HKL = np.array(gemmi.make_miller_array(gemmi.UnitCell(*CELL), GROUP, 6.0), dtype=np.int32)


def written(path, intensity, sigma, *, images=6, wavelength=1.0, column=None):
    """Every reflection once on each image; one of data set and batches has the wavelength."""
    image = np.repeat(np.arange(images), len(HKL))
    columns = [
        ("M/ISYM", "Y", np.ones(len(image))), ("BATCH", "B", image + 1), ("I", "J", intensity), ("SIGI", "Q", sigma),
    ]  # fmt: skip
    if column is not None:
        columns.append(("Wavelength", "R", np.full(len(image), column)))
    an_mtz(path, columns, np.tile(HKL, (images, 1)))
    mtz = gemmi.read_mtz_file(str(path))
    for dataset in mtz.datasets:
        dataset.wavelength = wavelength
    for number in range(images):
        batch = gemmi.Mtz.Batch()
        batch.number, batch.wavelength, batch.cell = number + 1, wavelength, mtz.cell
        mtz.batches.append(batch)
    mtz.write_to_file(str(path))
    return path


def values(rng, images=6):
    intensity = np.tile(rng.exponential(1000.0, len(HKL)), images)
    sigma = np.sqrt(50.0 + intensity)
    return intensity + sigma * rng.normal(size=len(sigma)), sigma


def test_each_row_counts_once_for_its_first_reason():
    n = 9
    columns = {name: np.full(n, 10.0) for name in ("intensity", "sigma", "d")}
    columns |= {"partiality": np.ones(n), "correction": np.ones(n), "flags": np.zeros(n, np.uint32)}
    columns["intensity"][[0, 1]] = np.nan, np.inf
    columns["sigma"][[1, 2, 3]] = 0.0, -5.0, np.nan
    columns["correction"][4] = 0.0
    columns["d"][5] = np.nan
    columns["flags"][[0, 6]] = Flag.OUTLIER
    columns["flags"][7] = Flag.EDGE
    table = Observations(np.zeros(n, int), np.ones((n, 3), int), **columns)
    assert table.left_out == {
        "with an intensity that is no number": 2,
        "with a sigma not above 0": 2,
        "with a partiality or correction not above 0": 1,
        "without a resolution": 1,
        "outliers": 1,
    }
    assert sum(table.left_out.values()) == np.count_nonzero(~table.usable)


def test_scale_and_merge_say_how_many_and_why(tmp_path, rng):
    intensity, sigma = values(rng)
    sigma[:7], sigma[10:14], sigma[20:22], intensity[30:35] = 0.0, -3.0, np.nan, np.nan
    n = len(sigma)
    path = written(tmp_path / "a.mtz", intensity, sigma)
    reasons = "5 with an intensity that is no number, 13 with a sigma not above 0"
    out = tmp_path / "s.h5"
    assert f"not used, of {n} observations: {reasons}\n" in scale_files([path], [out]).text + "\n"
    text = merge_files(out, [tmp_path / "m.h5"], d_min=7.0).text
    good = np.isfinite(intensity) & (sigma > 0.0)
    beyond = int((np.tile(gemmi.UnitCell(*CELL).calculate_d_array(HKL), 6)[good] < 7.0).sum())
    line = next(line for line in text.splitlines() if line.startswith(f"not used, of {n} observations: {reasons}"))
    assert f"{beyond} outside the resolution limits" in line
    used = int(text.split()[0])
    assert used + sum(int(part.split()[0]) for part in line.partition(": ")[2].split(", ")) == n
    assert f"not used                          {reasons}" in stills_report(read_stills(tmp_path / "m.h5"))


def test_good_files_have_no_such_line(tmp_path, rng):
    path = written(tmp_path / "a.mtz", *values(rng))
    assert "not used" not in scale_files([path], [tmp_path / "s.h5"]).text


@pytest.mark.parametrize("wavelength", [0.0, float("nan"), float("inf"), -1.0])
def test_no_wavelength_stays_none(tmp_path, rng, wavelength):
    path = written(tmp_path / "a.mtz", *values(rng), wavelength=wavelength, column=0.0)
    with pytest.warns(CrystintWarning, match="no wavelength for its data set and batches"):
        table, _ = read_mtz_observations(path)
    assert np.isnan(table.wavelength).all()
    scale_files([path], [tmp_path / "s.h5", tmp_path / "s.mtz"])
    merge_files(tmp_path / "s.h5", [tmp_path / "m.mtz", tmp_path / "m.txt"])
    for name in ("s.mtz", "m.mtz"):
        mtz = gemmi.read_mtz_file(str(tmp_path / name))
        assert [dataset.wavelength for dataset in mtz.datasets] == [0.0, 0.0]
    assert "wavelength                        not known" in (tmp_path / "m.txt").read_text()


def test_a_known_wavelength_is_kept(tmp_path, rng):
    path = written(tmp_path / "a.mtz", *values(rng), wavelength=1.234)
    scale_files([path], [tmp_path / "s.h5"])
    merge_files(tmp_path / "s.h5", [tmp_path / "m.mtz"])
    assert gemmi.read_mtz_file(str(tmp_path / "m.mtz")).datasets[-1].wavelength == pytest.approx(1.234)


def test_one_image_is_merged_unscaled(tmp_path, rng):
    intensity, sigma = values(rng, images=1)
    path = written(tmp_path / "a.mtz", intensity, sigma, images=1)
    with pytest.raises(FileError, match=r"none of 1 image can be scaled: .* merge --unscaled"):
        scale_files([path], [tmp_path / "s.h5"])
    merge_files(path, [tmp_path / "m.mtz"], unscaled=True)
    mtz = gemmi.read_mtz_file(str(tmp_path / "m.mtz"))
    rows = {tuple(h): at for at, h in enumerate(HKL.tolist())}
    order = [rows[tuple(h)] for h in mtz.make_miller_array().tolist()]
    np.testing.assert_allclose(mtz.array[:, 3], intensity[order], rtol=1e-6)


def test_scales_are_left_aside_on_request(tmp_path, rng):
    intensity, sigma = values(rng)
    sizes = np.repeat(np.exp(rng.normal(size=6)), len(HKL))
    path = written(tmp_path / "a.mtz", sizes * intensity, sizes * sigma)
    scale_files([path], [tmp_path / "s.h5"])
    run = merge_files(tmp_path / "s.h5", [tmp_path / "m.h5"], unscaled=True, outliers=None).result
    assert run.scales is None
    assert run.merged.statistics.overall.r_meas > 0.2
    assert merge_files(tmp_path / "s.h5", [tmp_path / "n.h5"]).result.merged.statistics.overall.r_meas < 0.1
