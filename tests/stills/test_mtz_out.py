"""MTZ files: read back with gemmi, with reciprocalspaceship where it is installed, and with DIALS's iotbx."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

from crystint.errors import FileError, SettingError, ShapeError
from crystint.io.reflections.mtz_batches import batch_orientation
from crystint.io.reflections.mtz_out import write_merged_mtz, write_unmerged_mtz
from crystint.model.free_set import free_numbers
from crystint.model.symmetry import groups
from crystint.stills.merging.merge import merge
from crystint.stills.simulation.simulate import Crystal, simulate_stills
from tests.stills.dials import run_dials_python

SETTINGS = {"d_min": 3.5, "shape": (600, 620), "distance": 0.07, "seed": 3}


@pytest.fixture(scope="module")
def data():
    return simulate_stills(12, crystal=Crystal(anomalous=0.1), **SETTINGS)


@pytest.fixture(scope="module")
def observations(data):
    table = data.observations()
    flags = table.flags.copy()
    flags[5] = 64
    return table.replace(flags=flags)


@pytest.fixture(scope="module")
def merged(data, observations):
    return merge(observations, space_group="P 21 21 21", cell=data.settings.crystal.cell, anomalous=True)


def column(mtz, name):
    return np.array(mtz.column_with_label(name))


def test_merged_columns_types_and_values(tmp_path, merged):
    path = tmp_path / "merged.mtz"
    f = np.sqrt(np.maximum(merged.intensity, 0.1))
    settings = {"amplitudes": (f, 0.1 * f), "free": 0.05, "wavelength": 1.0, "history": ["x" * 200, "made up"]}
    write_merged_mtz(path, merged, **settings)
    mtz = gemmi.read_mtz_file(str(path))
    kinds = {entry.label: entry.type for entry in mtz.columns}
    assert kinds == {
        **dict.fromkeys("HKL", "H"),
        **dict(zip(("IMEAN", "SIGIMEAN", "N", "F", "SIGF", "FreeR_flag"), "JQIFQI")),
        **dict(zip(("I(+)", "SIGI(+)", "I(-)", "SIGI(-)", "N(+)", "N(-)"), "KMKMII")),
    }
    assert not mtz.batches
    assert mtz.spacegroup.xhm() == "P 21 21 21"
    assert mtz.cell.parameters == pytest.approx((60, 70, 80, 90, 90, 90))
    assert mtz.dataset(1).wavelength == pytest.approx(1.0)
    assert mtz.history[1] == "x" * 80
    assert "crystint" in mtz.history[0]
    hkl = np.stack([column(mtz, name) for name in "HKL"], axis=1).astype(int)
    order = np.lexsort(merged.hkl.T[::-1])
    assert np.array_equal(hkl, merged.hkl[order])
    for name, values in (
        ("IMEAN", merged.intensity),
        ("SIGIMEAN", merged.sigma),
        ("I(+)", merged.plus[:, 0]),
        ("SIGI(-)", merged.minus[:, 1]),
        ("N(-)", merged.multiplicity_minus),
        ("F", f),
    ):
        assert np.allclose(column(mtz, name), values[order], rtol=1e-6, equal_nan=True), name
    free = column(mtz, "FreeR_flag")
    assert set(free) == set(range(20))
    assert np.array_equal(free, free_numbers(hkl, "P 21 21 21", 20))
    asu = gemmi.ReciprocalAsu(mtz.spacegroup)
    assert all(asu.is_in(row) for row in hkl[::20].tolist())
    intensities = gemmi.Intensities()
    intensities.import_mtz(mtz)
    with pytest.raises(FileError, match="exists"):
        write_merged_mtz(path, merged)
    first = path.read_bytes()
    write_merged_mtz(path, merged, **settings, overwrite=True)
    assert path.read_bytes() == first
    together = replace(merged, plus=None, minus=None)
    write_merged_mtz(path, together, overwrite=True)
    labels = gemmi.read_mtz_file(str(path)).column_labels()
    assert labels == ["H", "K", "L", "IMEAN", "SIGIMEAN", "N"]


def test_unmerged_columns_and_batches(tmp_path, data, observations):
    path = tmp_path / "unmerged.mtz"
    write_unmerged_mtz(path, observations, data.experiment, history=["simulated"])
    mtz = gemmi.read_mtz_file(str(path))
    kinds = {entry.label: entry.type for entry in mtz.columns}
    assert list(kinds)[:9] == ["H", "K", "L", "M/ISYM", "BATCH", "I", "SIGI", "FRACTIONCALC", "XDET"]
    assert (kinds["M/ISYM"], kinds["BATCH"], kinds["I"], kinds["SIGI"]) == ("Y", "B", "J", "Q")
    assert {kinds[name] for name in ("XDET", "YDET", "ewald_offset", "LP", "SCALEUSED", "BG", "Wavelength")} == {"R"}
    assert mtz.nreflections == len(observations) - 1
    assert list(mtz.sort_order) == [1, 2, 3, 4, 5]
    assert [batch.number for batch in mtz.batches] == list(range(1, 13))
    assert mtz.batches[3].cell.parameters == pytest.approx((60, 70, 80, 90, 90, 90), abs=1e-4)
    assert mtz.batches[3].wavelength == pytest.approx(1.0)
    assert mtz.batches[3].title.endswith("image 3")
    assert mtz.batches[3].floats[111] == pytest.approx(70.0)
    assert "simulated" in mtz.history

    asu = np.stack([column(mtz, name) for name in "HKL"], axis=1).astype(int)
    isym = column(mtz, "M/ISYM").astype(int)
    assert isym.min() >= 1
    assert isym.max() <= 8
    mtz.switch_to_original_hkl()
    hkl = np.stack([column(mtz, name) for name in "HKL"], axis=1).astype(int)
    image = column(mtz, "BATCH").astype(int) - 1
    rows = {(i, *h): n for n, (i, h) in enumerate(zip(observations.image.tolist(), observations.hkl.tolist()))}
    at = np.array([rows[(i, *h)] for i, h in zip(image.tolist(), hkl.tolist())])
    assert len(set(at.tolist())) == len(at)
    for name, values in (
        ("I", observations.intensity / observations.correction),
        ("SIGI", observations.sigma / observations.correction),
        ("FRACTIONCALC", observations.partiality),
        ("XDET", observations.fast),
        ("YDET", observations.slow),
        ("ewald_offset", observations.excitation),
        ("d", observations.d),
    ):
        assert np.allclose(column(mtz, name), values[at], rtol=1e-5, atol=1e-9), name
    reduced = gemmi.ReciprocalAsu(mtz.spacegroup)
    operations = mtz.spacegroup.operations()
    for h, wanted, number in list(zip(hkl.tolist(), asu.tolist(), isym.tolist()))[::200]:
        assert list(reduced.to_asu(h, operations)[0]) == wanted
        assert reduced.to_asu(h, operations)[1] == number


def test_a_scale_is_divided_out(tmp_path, data, observations):
    path = tmp_path / "scaled.mtz"
    factor = np.exp(data.ln_g[observations.image]) * observations.correction * observations.partiality
    factor[observations.image == 4] = np.nan
    sigma = observations.sigma / factor * 1.5
    write_unmerged_mtz(path, observations, data.experiment, factor=factor, sigma=sigma)
    mtz = gemmi.read_mtz_file(str(path))
    assert 5 not in [batch.number for batch in mtz.batches]
    assert mtz.nreflections == np.sum((observations.image != 4) & (observations.flags == 0))
    scale = column(mtz, "SCALEUSED")
    good = observations.usable & np.isfinite(factor)
    assert np.allclose(np.sort(column(mtz, "I")), np.sort((observations.intensity / factor)[good]), rtol=1e-5)
    assert np.allclose(np.sort(column(mtz, "SIGI")), np.sort(sigma[good]), rtol=1e-5)
    assert np.allclose(np.sort(scale), np.sort(factor[good]), rtol=1e-5)
    with pytest.raises(ShapeError, match="factor"):
        write_unmerged_mtz(path, observations, data.experiment, factor=factor[:3], overwrite=True)
    with pytest.raises(ShapeError, match="experiment of 3"):
        write_unmerged_mtz(path, observations, data.experiment.select(np.arange(3)), overwrite=True)


def test_orientations_predict_what_was_seen(tmp_path, data, observations):
    """The batch header alone (cell, U, wavelength) puts reflections on the Ewald sphere, the beam along x."""
    path = tmp_path / "unmerged.mtz"
    write_unmerged_mtz(path, observations, data.experiment)
    mtz = gemmi.read_mtz_file(str(path))
    mtz.switch_to_original_hkl()
    hkl = np.stack([column(mtz, name) for name in "HKL"], axis=1)
    image, offset = column(mtz, "BATCH").astype(int) - 1, column(mtz, "ewald_offset")
    for batch in mtz.batches:
        cell = batch.cell
        stars = np.array(cell.reciprocal().parameters)
        gamma, beta = np.radians(stars[5]), np.radians(stars[4])
        b = np.array(
            [
                [stars[0], stars[1] * np.cos(gamma), stars[2] * np.cos(beta)],
                [0, stars[1] * np.sin(gamma), -stars[2] * np.sin(beta) * np.cos(np.radians(cell.alpha))],
                [0, 0, 1 / cell.c],
            ]
        )
        u = np.array([batch.floats[6 + i] for i in range(9)]).reshape(3, 3).T
        assert np.allclose(u @ u.T, np.eye(3), atol=1e-6)
        rows = image == batch.number - 1
        s1 = hkl[rows] @ (u @ b).T + [1 / batch.wavelength, 0, 0]
        assert np.allclose(np.linalg.norm(s1, axis=1) - 1, offset[rows], atol=2e-6)
        source = [batch.floats[80 + i] for i in range(6)]
        assert source == [-1, 0, 0, -1, 0, 0]
    assert np.allclose(np.linalg.det(batch_orientation(data.experiment)), 1.0)


@pytest.mark.parametrize(
    ("space_group", "cell"),
    [
        ("P 1 21 1", (50, 40, 60, 90, 105, 90)),
        ("P 31 2 1", (60, 60, 70, 90, 90, 120)),
        ("P 1", (40, 45, 50, 80, 95, 100)),
    ],
)
def test_other_cells(tmp_path, space_group, cell):
    data = simulate_stills(3, crystal=Crystal(cell=cell, space_group=space_group), **SETTINGS)
    path = tmp_path / "unmerged.mtz"
    write_unmerged_mtz(path, data.observations(), data.experiment)
    mtz = gemmi.read_mtz_file(str(path))
    assert mtz.batches[0].cell.parameters == pytest.approx(cell, abs=1e-3)
    assert mtz.spacegroup.xhm() == space_group
    assert np.allclose(np.array(mtz.make_d_array()), column(mtz, "d"), rtol=1e-5)


def test_impossible_free_sets(tmp_path, merged):
    with pytest.raises(SettingError, match="free"):
        write_merged_mtz(tmp_path / "a.mtz", merged, free=0.0)
    with pytest.raises(ShapeError, match="F is"):
        write_merged_mtz(tmp_path / "a.mtz", merged, amplitudes=(np.zeros(3), np.zeros(3)))
    assert not list(tmp_path.iterdir())


def test_reciprocalspaceship_reads_them(tmp_path, data, observations, merged):
    rs = pytest.importorskip("reciprocalspaceship")
    write_unmerged_mtz(tmp_path / "u.mtz", observations, data.experiment)
    write_merged_mtz(tmp_path / "m.mtz", merged)
    found = rs.read_mtz(str(tmp_path / "u.mtz"))
    assert found.merged is False
    assert str(found.dtypes["BATCH"]) == "Batch"
    assert len(found) == len(observations) - 1
    assert rs.read_mtz(str(tmp_path / "m.mtz")).merged


def test_cctbx_reads_them(tmp_path, data, observations, merged):
    write_unmerged_mtz(tmp_path / "u.mtz", observations, data.experiment)
    write_merged_mtz(tmp_path / "m.mtz", merged)
    script = """
from iotbx import mtz
unmerged = mtz.object("u.mtz")
batch = unmerged.batches()[2]
print(unmerged.n_reflections(), unmerged.n_batches(), batch.num(), batch.alambd(), batch.ldtype(), batch.ndet())
print(" ".join(f"{value:.6f}" for value in batch.umat()))
arrays = mtz.object("m.mtz").as_miller_arrays()
print(" ".join(array.info().labels[0] for array in arrays), arrays[0].is_xray_intensity_array())
data = [a for a in unmerged.as_miller_arrays(merge_equivalents=False) if a.info().labels[0] == "I"][0]
print(data.merge_equivalents().array().size())
"""
    lines = run_dials_python(script, tmp_path).splitlines()
    assert lines[0] == f"{len(observations) - 1} 12 3 1.0 2 1"
    umat = np.array(lines[1].split(), float).reshape(3, 3).T
    assert np.allclose(umat, batch_orientation(data.experiment)[2], atol=1e-5)
    assert "IMEAN" in lines[2]
    assert lines[2].endswith("True")
    assert int(lines[3]) == len(groups(observations.hkl[observations.usable], "P 21 21 21")[0])
