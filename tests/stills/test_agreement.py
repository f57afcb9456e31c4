"""References that are of the crystal, of another, or the wrong column of the right file."""

from __future__ import annotations

import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError
from crystint.io.reflections.reference_in import read_reference_mtz
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.merging.agreement import Agreement
from crystint.stills.merging.merge import merge
from crystint.stills.step_functions import merge_files, scale_files
from tests.stills.test_mtz_in import CELL, GROUP, an_mtz

pytestmark = pytest.mark.filterwarnings("ignore:.*taken as corrected already:crystint.errors.CrystintWarning")

HKL = np.array(gemmi.make_miller_array(gemmi.UnitCell(*CELL), GROUP, 5.0), dtype=np.int32)
D = gemmi.UnitCell(*CELL).calculate_d_array(HKL)


def truth(rng):
    """Wilson's distribution with a strong fall-off, which any two crystals share."""
    return 1000.0 * np.exp(-200.0 / (2.0 * D**2)) * rng.exponential(1.0, len(HKL))


def observed(rng, intensity, *, noise=0.1, images=8):
    sigma = noise * 300.0 + 0.05 * intensity
    image = np.repeat(np.arange(images), len(HKL))
    value = np.tile(intensity, images) + np.tile(sigma, images) * rng.normal(size=len(image))
    return Observations(
        image, np.tile(HKL, (images, 1)), value, np.tile(sigma, images), d=np.tile(D, images),
        slow=np.arange(len(image)), fast=np.zeros(len(image)),
    )  # fmt: skip


def compared(rng, data, target, **how):
    table = observed(rng, data, **how)
    merged = merge(table, space_group=GROUP, cell=CELL, error_model=None, outliers=None)
    reference = Reference(HKL, target, np.ones(len(HKL)), CELL, GROUP, "FP")
    return merged, Agreement.of(merged, reference, Path("r.mtz"))


def test_figures_are_those_of_numpy(rng):
    """One shell of 40, so that relative means divided by one number."""
    data, target = truth(rng), truth(rng)
    few = np.arange(40)
    merged, _ = compared(rng, data, target)
    reference = Reference(HKL[few], target[few] + data[few], np.ones(40), CELL, GROUP)
    agreement = Agreement.of(merged, reference, None)
    rows = [merged.hkl.tolist().index(h) for h in HKL[few].tolist()]
    x, y = target[few] + data[few], merged.intensity[rows]
    cc = np.corrcoef(x, y)[0, 1]
    assert agreement.cc == pytest.approx(cc)
    assert agreement.error == pytest.approx((1 - cc**2) / np.sqrt(39))
    assert agreement.slope == pytest.approx(np.polyfit(x / x.mean(), y / y.mean(), 1)[0])
    assert agreement.common == 40
    assert str(agreement).startswith("reference of scaling: CC ")


@pytest.mark.parametrize("noise", [0.02, 0.5, 2.0])
def test_the_right_reference_is_never_refused(rng, noise):
    data = truth(rng)
    for target in (
        data,
        3.7 * data,
        data * rng.normal(1.0, 0.3, len(data)) ** 2,
        np.where(rng.random(len(data)) < 0.9, np.nan, data),
    ):
        assert compared(rng, data, target, noise=noise)[1].verdict == ""


@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_another_crystal_is_refused(rng, noise):
    """Although both fall off alike, so that a plain correlation is far from 0."""
    data, target = truth(rng), truth(rng)
    merged, agreement = compared(rng, data, target, noise=noise)
    assert np.corrcoef(merged.intensity, Reference(HKL, target, target, CELL, GROUP).match(merged.hkl))[0, 1] > 0.2
    assert agreement.verdict == "none"
    assert agreement.doubt.startswith("the reference r.mtz (FP) does not agree with the data: CC ")


def test_what_cannot_be_told_is_not_refused(rng):
    data, target = truth(rng), truth(rng)
    assert compared(rng, data, target, noise=200.0)[1].verdict == ""  # the data are noise
    assert compared(rng, data, np.where(np.arange(len(data)) < 15, target, np.nan))[1].verdict in ("doubtful", "")
    few = np.where(np.arange(len(data)) < 9, target, np.nan)
    agreement = compared(rng, data, few)[1]
    assert agreement.verdict == ""
    assert "9 common reflections, too few" in str(agreement)
    mixed = 0.5 * data / data.std() + target / target.std()
    assert compared(rng, data, mixed * data.std())[1].verdict == "doubtful"


F, P, Q = "F", "P", "Q"


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (("FWT", "PHWT", "FC", "PHIC"), "FC"),
        (("2FOFCWT", "PH2FOFCWT", "FOFCWT", "PHFOFCWT", "F-model", "PHIF-model"), "F-model"),
        (("DELFWT", "PHDELWT", "FC_ALL", "PHIC_ALL", "F_meas"), "F_meas"),
        (("FEM", "PHFEM", "Fdm", "PHIdm", "FP", "SIGFP", "PHIB"), "FP"),
        (("Fmap", "PHmap", "F-obs"), "F-obs"),
        (("mFo-DFc", "PHI1", "FCALC", "PHICALC"), "FCALC"),
        (("FOFC", "PHFOFC", "FWT_no_fill", "PHWT_no_fill"), "FWT_no_fill"),
        (("DELFWT", "PHDELWT"), None),
    ],
)
def test_maps_are_no_reference_where_others_are(tmp_path, labels, chosen):
    kinds = {label: P if label.startswith("PH") else Q if label.startswith("SIG") else F for label in labels}
    columns = [(label, kinds[label], np.full(len(HKL), float(at))) for at, label in enumerate(labels)]
    path = an_mtz(tmp_path / "r.mtz", columns, HKL)
    if chosen is None:
        with pytest.raises(FileError, match=f"its columns are .*{labels[0]}"):
            read_reference_mtz(path)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CrystintWarning)
        reference = read_reference_mtz(path)
    assert reference.label == chosen
    assert reference.intensity[0] == labels.index(chosen) ** 2
    assert [str(entry.message).split("; ")[-1] for entry in caught] == (
        ["FWT_no_fill is taken for amplitudes, which it is only roughly"] if chosen == "FWT_no_fill" else []
    )
    assert read_reference_mtz(path, column=labels[0]).label == labels[0]


def test_commands_say_the_column_and_refuse_noise(tmp_path, rng):
    data = truth(rng)
    table = observed(rng, data)
    columns = [
        ("M/ISYM", "Y", np.ones(len(table))), ("BATCH", "B", table.image + 1), ("I", "J", table.intensity),
        ("SIGI", "Q", table.sigma),
    ]  # fmt: skip
    path = an_mtz(tmp_path / "a.mtz", columns, table.hkl, batches=range(1, 9))
    noise = [("FP", "F", np.sqrt(truth(rng))), ("FC", "F", np.sqrt(data)), ("PHIC", "P", 0 * data)]
    reference = an_mtz(tmp_path / "r.mtz", noise, HKL)
    out = tmp_path / "s.h5"
    with pytest.raises(FileError, match=r"r\.mtz \(FP\) does not agree .*--reindex.*--reference-column"):
        scale_files([path], [out], reference=reference)
    assert not out.exists()
    text = scale_files([path], [out], reference=reference, reference_column="FC").text
    assert f"reference {reference} (FC): CC 0.9" in text
    assert "CC of images" in text
    assert "reference of scaling (FC): CC 0.9" in merge_files(out, [tmp_path / "m.h5"]).text
    with pytest.warns(CrystintWarning, match=r"\(FP\) does not agree"):
        merge_files(out, [tmp_path / "n.h5"], reference=reference)
    with pytest.raises(Exception, match="--reference-column FC needs a reference"):
        scale_files([path], [tmp_path / "x.h5"], reference_column="FC")
