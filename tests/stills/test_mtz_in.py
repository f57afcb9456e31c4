"""Intensities of MTZ, mmCIF and .hkl files."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError, SettingError
from crystint.io.reflections.mtz_in import read_mtz_observations
from crystint.io.reflections.mtz_out import write_unmerged_mtz
from crystint.io.reflections.reference_in import read_reference_cif, read_reference_hkl, read_reference_mtz
from crystint.model.observations import Flag, Observations
from tests.conftest import shared_data
from tests.stills.test_predict import an_experiment

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

CELL = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)
GROUP = gemmi.SpaceGroup("P 43 21 2")


def an_mtz(path, columns, hkl, *, cell=CELL, batches=()):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = GROUP
    mtz.set_cell_for_all(gemmi.UnitCell(*cell))
    mtz.add_dataset("one").wavelength = 1.1
    for name, kind, _ in columns:
        mtz.add_column(name, kind)
    mtz.set_data(np.column_stack([hkl, *[values for _, _, values in columns]]).astype(np.float32))
    for number in batches:
        batch = gemmi.Mtz.Batch()
        batch.number, batch.wavelength = number, 0.9
        mtz.batches.append(batch)
    mtz.write_to_file(str(path))
    return path


@pytest.fixture
def unmerged(tmp_path, rng):
    """As measured, and what is in the file: indices of the asymmetric unit with the operator that took them there."""
    n = 60
    hkl = rng.integers(-8, 9, (n, 3))
    asu, operations = gemmi.ReciprocalAsu(GROUP), GROUP.operations()
    reduced = [asu.to_asu(h, operations) for h in hkl.tolist()]
    columns = {
        "M/ISYM": ("Y", np.array([isym for _, isym in reduced], dtype=float)),
        "BATCH": ("B", rng.choice([3.0, 7.0, 20.0], n)),
        "I": ("J", rng.normal(50, 20, n).astype(np.float32)),
        "SIGI": ("Q", rng.uniform(1, 5, n).astype(np.float32)),
        "FRACTIONCALC": ("R", rng.uniform(0.2, 1, n).astype(np.float32)),
        "Wavelength": ("R", rng.uniform(1.0, 1.2, n).astype(np.float32)),
        "ewald_offset": ("R", rng.normal(0, 1e-3, n).astype(np.float32)),
    }
    return hkl, np.array([h for h, _ in reduced]), columns


def as_list(columns):
    return [(name, kind, values) for name, (kind, values) in columns.items()]


def test_unmerged_rows_are_as_measured(tmp_path, unmerged):
    hkl, reduced, columns = unmerged
    path = an_mtz(tmp_path / "a.mtz", as_list(columns), reduced, batches=[3, 7])
    with pytest.warns(CrystintWarning, match="60 intensities I of 3 batches"):
        found, experiment = read_mtz_observations(path)
    assert np.array_equal(found.hkl, hkl)
    assert np.array_equal(np.array([3, 7, 20])[found.image], columns["BATCH"][1])
    for name, column in (("intensity", "I"), ("sigma", "SIGI"), ("wavelength", "Wavelength")):
        assert np.array_equal(getattr(found, name), columns[column][1])
    assert np.array_equal(found.excitation, columns["ewald_offset"][1])
    assert (found.partiality == 1.0).all()
    assert (found.correction == 1.0).all()
    unit = gemmi.UnitCell(*CELL)
    np.testing.assert_allclose(found.d, [unit.calculate_d(h) for h in hkl.tolist()], rtol=1e-6)
    assert experiment.name == ("batch 3", "batch 7", "batch 20")
    np.testing.assert_allclose(experiment.wavelength, [0.9, 0.9, 1.1], rtol=1e-6)
    assert experiment.space_group.hm == GROUP.hm
    assert experiment.cell == pytest.approx(CELL)
    assert set(experiment.unusable()) == {0, 1, 2}


def test_partial_rows_keep_their_fraction(tmp_path, unmerged):
    _, reduced, columns = unmerged
    fraction = columns["FRACTIONCALC"][1]
    columns["M/ISYM"][1][:10] += 256
    found, _ = read_mtz_observations(an_mtz(tmp_path / "a.mtz", as_list(columns), reduced))
    assert np.array_equal(found.partiality[:10], fraction[:10])
    assert (found.partiality[10:] == 1.0).all()
    columns["partiality"] = ("R", fraction)
    found, _ = read_mtz_observations(an_mtz(tmp_path / "a.mtz", as_list(columns), reduced))
    assert np.array_equal(found.partiality, fraction)


def test_other_labels_and_no_isym(tmp_path, unmerged):
    hkl, _, columns = unmerged
    kept = [("Iobs", "J", columns["I"][1]), ("SigIobs", "Q", columns["SIGI"][1]), ("batch", "B", columns["BATCH"][1])]
    path = an_mtz(tmp_path / "a.mtz", kept, hkl)
    with pytest.warns(CrystintWarning, match="no M/ISYM"):
        found, _ = read_mtz_observations(path)
    assert np.array_equal(found.hkl, hkl)
    again, _ = read_mtz_observations(path, intensity="Iobs")
    assert np.array_equal(again.intensity, found.intensity)
    with pytest.raises(FileError, match="no column IPR; its columns are H, K, L, Iobs"):
        read_mtz_observations(path, intensity="IPR")


def test_bad_values_are_flagged(tmp_path, unmerged):
    _, reduced, columns = unmerged
    columns["I"][1][0], columns["SIGI"][1][1], columns["SIGI"][1][2] = np.nan, 0.0, -1.0
    found, _ = read_mtz_observations(an_mtz(tmp_path / "a.mtz", as_list(columns), reduced))
    assert np.flatnonzero(found.flags == Flag.BAD_VALUE).tolist() == [0, 1, 2]
    assert np.isnan(found.sigma[1:3]).all()


def test_our_own_files_come_back(tmp_path, rng):
    experiment = an_experiment(rng, 3)
    n = 50
    image = np.sort(rng.integers(0, 3, n))
    hkl = np.unique(rng.integers(-9, 9, (300, 3)), axis=0)
    hkl = hkl[rng.permutation(len(hkl))[:n]]
    table = Observations(
        image=image,
        hkl=hkl,
        intensity=rng.normal(50, 20, n),
        sigma=rng.uniform(1, 5, n),
        d=rng.uniform(1, 5, n),
        partiality=rng.uniform(0.2, 1, n),
        correction=rng.uniform(0.5, 1, n),
        excitation=rng.normal(0, 1e-3, n),
        slow=rng.uniform(0, 100, n),
        fast=rng.uniform(0, 100, n),
        background=rng.uniform(0, 9, n),
        background_variance=rng.uniform(1, 9, n),
    )
    write_unmerged_mtz(tmp_path / "a.mtz", table, experiment)
    found, read = read_mtz_observations(tmp_path / "a.mtz")
    order = [np.lexsort((*rows.hkl.T, rows.image)) for rows in (table, found)]
    table, found = table.select(order[0]), found.select(order[1])
    assert np.array_equal(found.hkl, table.hkl)
    assert np.array_equal(found.image, table.image)
    for name in ("partiality", "excitation", "slow", "fast", "background"):
        np.testing.assert_allclose(getattr(found, name), getattr(table, name), rtol=1e-6)
    np.testing.assert_allclose(found.intensity, table.intensity / table.correction, rtol=1e-6)
    np.testing.assert_allclose(found.background_variance, table.background_variance / table.correction**2, rtol=1e-5)
    assert read.name == experiment.name
    again = gemmi.read_mtz_file(str(tmp_path / "a.mtz"))  # gemmi repeats the keyword of the line
    again.write_to_file(str(tmp_path / "again.mtz"))
    assert read_mtz_observations(tmp_path / "again.mtz")[1].name == experiment.name
    np.testing.assert_allclose(read.wavelength, experiment.wavelength, rtol=1e-6)


def test_wrong_files_are_refused(tmp_path, unmerged):
    _, reduced, columns = unmerged
    with pytest.raises(FileError, match="does not exist"):
        read_mtz_observations(tmp_path / "a.mtz")
    (tmp_path / "a.mtz").write_bytes(b"MTZ nothing")
    with pytest.raises(FileError, match="damaged"):
        read_mtz_observations(tmp_path / "a.mtz")
    some = {name: columns[name] for name in ("I", "SIGI")}
    path = an_mtz(tmp_path / "a.mtz", as_list(some), reduced)
    with pytest.raises(FileError, match="is merged"):
        read_mtz_observations(path)
    some = {name: columns[name] for name in ("I", "BATCH")}
    with pytest.raises(FileError, match="no sigmas of I"):
        read_mtz_observations(an_mtz(path, as_list(some), reduced))
    some = {name: columns[name] for name in ("SIGI", "BATCH")}
    with pytest.raises(FileError, match="no intensities"):
        read_mtz_observations(an_mtz(path, as_list(some), reduced))
    with pytest.raises(FileError, match="unmerged"):
        read_reference_mtz(an_mtz(path, as_list(columns), reduced))


# --- references -----------------------------------------------------------------------------------------------------


HKL = np.array([[1, 0, 4], [2, 1, 3], [3, 3, 0]])


@pytest.mark.parametrize(
    ("columns", "intensity", "sigma"),
    [
        ([("F", "F", [3, 4, 5]), ("IMEAN", "J", [1, 2, 3]), ("SIGIMEAN", "Q", [1, 1, 2])], [1, 2, 3], [1, 1, 2]),
        (
            [
                ("I(+)", "K", [2, 4, 6]),
                ("SIGI(+)", "M", [3, 1, 1]),
                ("I(-)", "K", [4, np.nan, 2]),
                ("SIGI(-)", "M", [4, 1, 1]),
            ],
            [3, 4, 4],
            [2.5, 1, np.sqrt(0.5)],
        ),
        ([("FC", "F", [9, 9, 9]), ("FP", "F", [3, 4, 5]), ("SIGFP", "Q", [0.1, 0.2, 0.3])], [9, 16, 25], [0.6, 1.6, 3]),
        ([("FC", "F", [3, 4, 5]), ("PHIC", "P", [0, 0, 0])], [9, 16, 25], [np.nan] * 3),
        ([("F(+)", "G", [3, 4, 5]), ("SIGF(+)", "L", [0, 0, 0]), ("F(-)", "G", [3, 2, np.nan])], [9, 10, 25], None),
    ],
)
def test_merged_columns(tmp_path, columns, intensity, sigma):
    reference = read_reference_mtz(an_mtz(tmp_path / "a.mtz", columns, HKL))
    np.testing.assert_allclose(reference.match(HKL), intensity, rtol=1e-6)
    if sigma is not None:
        order = np.lexsort(reference.hkl.T[::-1])
        np.testing.assert_allclose(reference.sigma[order], sigma, rtol=1e-6)
    assert reference.cell == pytest.approx(CELL)


def test_a_column_can_be_named(tmp_path):
    path = an_mtz(tmp_path / "a.mtz", [("I", "J", [1, 2, 3]), ("FMODEL", "F", [3, 4, 5])], HKL)
    np.testing.assert_allclose(read_reference_mtz(path, column="FMODEL").match(HKL), [9, 16, 25])
    with pytest.raises(FileError, match="it has I, FMODEL"):
        read_reference_mtz(path, column="J")
    with pytest.raises(FileError, match="neither intensities nor amplitudes"):
        read_reference_mtz(an_mtz(path, [("FreeR_flag", "I", [0, 1, 2])], HKL))


def test_headers_must_be_complete(tmp_path):
    path = an_mtz(tmp_path / "a.mtz", [("I", "J", [1, 2, 3])], HKL, cell=(1, 1, 1, 90, 90, 90))
    with pytest.raises(FileError, match="no cell"):
        read_reference_mtz(path)


CIF = """data_r1
_cell.length_a 79.0
_cell.length_b 79.0
_cell.length_c 38.0
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 43 21 2'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
{names}
{rows}
"""


@pytest.mark.parametrize(
    ("names", "rows", "intensity"),
    [
        (["intensity_meas", "intensity_sigma", "F_meas_au"], ["1 2 9", "2 1 9", "? ? 9"], [1, 2, np.nan]),
        (["F_meas_au", "F_meas_sigma_au"], ["3 1", "4 1", "5 1"], [9, 16, 25]),
        (
            ["pdbx_I_plus", "pdbx_I_plus_sigma", "pdbx_I_minus", "pdbx_I_minus_sigma"],
            ["1 1 3 1", "4 1 ? ?", "1 1 1 1"],
            [2, 4, 1],
        ),
    ],
)
def test_mmcif(tmp_path, names, rows, intensity):
    path = tmp_path / "a.cif"
    table = [f"{h} {k} {l} {row}" for (h, k, l), row in zip(HKL.tolist(), rows, strict=True)]  # noqa: E741
    path.write_text(CIF.format(names="\n".join(f"_refln.{name}" for name in names), rows="\n".join(table)))
    np.testing.assert_allclose(read_reference_cif(path).match(HKL), intensity)


def test_mmcif_without_data(tmp_path):
    path = tmp_path / "a.cif"
    with pytest.raises(FileError, match="does not exist"):
        read_reference_cif(path)
    path.write_text(CIF.format(names="_refln.status", rows="1 0 4 o"))
    with pytest.raises(FileError, match="no measured intensities or amplitudes; it has index_h"):
        read_reference_cif(path)
    path.write_text("data_x loop_ _a")
    with pytest.raises(FileError):
        read_reference_cif(path)


HKL_FILE = """CrystFEL reflection list version 2.0
Symmetry: 422
   h    k    l          I    phase   sigma(I)   nmeas
   1    0    4       1.50        -       0.20      12
   2    1    3      -2.50        -       0.30       2
   3    3    0       7.00        -       0.40       9
End of reflections
Generated by CrystFEL
1 2 3
"""


def test_crystfel_lists(tmp_path):
    path = tmp_path / "a.hkl"
    path.write_text(HKL_FILE)
    reference = read_reference_hkl(path, cell=CELL, space_group=GROUP)
    np.testing.assert_allclose(reference.match(HKL), [1.5, -2.5, 7.0])
    assert sorted(reference.sigma.tolist()) == [0.2, 0.3, 0.4]
    path.write_text(HKL_FILE[:185])
    with pytest.raises(FileError, match=r"line 5.*cut off"):
        read_reference_hkl(path, cell=CELL, space_group=GROUP)
    path.write_text("1 0 4 3.0 0.5\n2 1 3 4.0 0.5\n0 0 0 0 0\n")
    np.testing.assert_allclose(read_reference_hkl(path, cell=CELL, space_group=GROUP, kind="F").match(HKL[:2]), [9, 16])
    with pytest.raises(SettingError, match=r"give I \(intensities\) or F"):
        read_reference_hkl(path, cell=CELL, space_group=GROUP)
    with pytest.raises(SettingError, match="expected I or F"):
        read_reference_hkl(path, cell=CELL, space_group=GROUP, kind="E")
    path.write_text("nothing\n")
    with pytest.raises(FileError, match="no reflections"):
        read_reference_hkl(path, cell=CELL, space_group=GROUP, kind="I")


def test_the_real_reference():
    reference = read_reference_mtz(shared_data("stills/xfel_lysozyme/hewl_reference.mtz"))
    assert len(reference) == 12542
    with np.load(shared_data("stills/xfel_lysozyme/observations.npz")) as data:
        matched = np.isfinite(reference.match(data["miller_index"]))
    assert matched.sum() == 8788
