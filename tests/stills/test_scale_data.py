"""Scaling of real data: four sweeps of l-cysteine as DIALS scaled them, 300 XFEL stills of lysozyme."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystint.model import symmetry
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.error_model import fit_error_model
from crystint.stills.scaling.scale import scale
from tests.conftest import shared_data
from tests.oracles import stills_scaling as oracle


class Sweeps:
    """l-cysteine in batches of 50 images (5 degrees), and what DIALS made of it."""

    group = "P 21 21 21"

    def __init__(self) -> None:
        data = np.load(shared_data("stills/l_cysteine_observations.npz"))
        flags = data["flags"]
        use = ((flags & (1 << 8)) != 0) & ((flags & ((1 << 22) | (1 << 23) | (1 << 24))) == 0)
        use &= data["partiality"] > 0.4
        get = {name: data[name][use].astype(np.float64) for name in data.files}
        batch = get["sweep"] * 1000 + np.maximum(get["xyzcal_px"][:, 2], 0) // 50
        batch = np.unique(batch, return_inverse=True)[1]
        self.images = int(batch.max()) + 1
        self.observations = Observations(
            image=batch,
            hkl=data["miller_index"][use],
            intensity=get["intensity_sum_value"],
            sigma=np.sqrt(get["intensity_sum_variance"]),
            d=get["d"],
            partiality=get["partiality"],
            correction=get["dqe"] / get["lp"],
        )
        self.number = symmetry.groups(self.observations.hkl, self.group)[1]
        factor = get["lp"] / get["dqe"] / get["partiality"] / get["inverse_scale_factor"]
        intensity, sigma = get["intensity_sum_value"] * factor, np.sqrt(get["intensity_sum_variance"]) * factor
        plain = oracle.means(self.number, intensity, sigma)[self.number]
        self.dials = oracle.means(self.number, intensity, 1.00772 * np.hypot(sigma, 0.05261 * plain))

    def judge(self, scales, rows):
        intensity, _ = scales.apply(self.observations)
        rows = rows & np.isfinite(intensity)
        unique, number = np.unique(self.number[rows], return_inverse=True)
        intensity, table = intensity[rows], self.observations.select(rows)
        mean = np.bincount(number, intensity) / np.bincount(number)
        for _ in range(3):
            sigma = scales.apply(table, mean[number])[1]
            model = fit_error_model(number, intensity, sigma)
            sigma = np.sqrt(model.variance(sigma, mean[number]))
            mean = oracle.means(number, intensity, sigma)
        dials = self.dials[unique]
        ratio = (dials @ mean) / (mean @ mean)
        return {
            "r_meas": oracle.r_meas(number, intensity, sigma),
            "cc_half": oracle.cc_half(number, intensity, sigma),
            "cc_dials": np.corrcoef(mean, dials)[0, 1],
            "r_dials": np.abs(dials - ratio * mean).sum() / dials.sum(),
            "isa": model.isa,
        }


@pytest.fixture(scope="module")
def sweeps():
    return Sweeps()


@pytest.mark.parametrize("refine_b", [True, False])
def test_sweeps_in_batches_agree_as_well_as_dials_makes_them(sweeps, refine_b):
    found = scale(sweeps.observations, sweeps.images, space_group=sweeps.group, refine_b=refine_b)
    assert found.converged
    assert not found.failed
    assert found.gain == pytest.approx(1.0, abs=0.02)
    got = sweeps.judge(found, np.ones(len(sweeps.observations), bool))
    assert got["r_meas"] <= 0.042
    assert got["cc_half"] >= 0.999
    assert got["cc_dials"] >= 0.999
    assert got["r_dials"] <= 0.02
    assert got["isa"] > 17.0


def test_sweeps_scaled_and_merged(sweeps):
    scales = scale(sweeps.observations, sweeps.images, space_group=sweeps.group)
    cell = (5.43, 8.14, 12.04, 90.0, 90.0, 90.0)
    merged = merge(sweeps.observations, scales, space_group=sweeps.group, cell=cell)
    overall = merged.statistics.overall
    assert overall.r_meas <= 0.040
    assert overall.cc_half >= 0.999
    assert merged.error_model.isa > 18.0


def test_scales_of_one_half_of_the_reflections_fit_the_other_half(sweeps):
    half = np.random.default_rng(5).random(sweeps.number.max() + 1) < 0.5
    seen = half[sweeps.number]
    fitted = sweeps.observations.replace(flags=np.where(seen, 0, 1).astype(np.uint32))
    found = scale(fitted, sweeps.images, space_group=sweeps.group)
    got = sweeps.judge(found, ~seen)
    assert got["r_meas"] <= 0.045
    assert got["cc_half"] >= 0.999


class Lysozyme:
    """Strong spots of 300 stills, and intensities of another crystal."""

    group = gemmi.SpaceGroup("P 43 21 2")

    def __init__(self) -> None:
        data = np.load(shared_data("stills/xfel_lysozyme/observations.npz"))
        self.image, hkl = data["image"], data["miller_index"]
        point = np.einsum("nij,nj->ni", data["A"][self.image], hkl)
        ray = data["s0"][self.image] + point
        ray /= np.linalg.norm(ray, axis=1)[:, None]
        self.observations = Observations(
            image=self.image,
            hkl=hkl,
            intensity=data["intensity"],
            sigma=np.sqrt(data["variance"]),
            d=1.0 / np.linalg.norm(point, axis=1),
            correction=1.0 - ray[:, 1] ** 2,  # XFEL: polarized along x
        )
        mtz = gemmi.read_mtz_file(str(shared_data("stills/xfel_lysozyme/hewl_reference.mtz")))
        columns = np.array(mtz, copy=False)
        self.reference = Reference(
            hkl=columns[:, :3].astype(np.int32),
            intensity=columns[:, mtz.column_labels().index("IMEAN")].astype(np.float64),
            sigma=columns[:, mtz.column_labels().index("SIGIMEAN")].astype(np.float64),
            cell=tuple(mtz.cell.parameters),
            space_group=mtz.spacegroup,
        )
        self.number = symmetry.groups(hkl, self.group)[1]
        self.known = self.reference.match(hkl, self.group)

    def judge(self, scales, weights):
        intensity, sigma = scales.apply(self.observations)
        if weights == "observed":  # what must not be done
            sigma = np.hypot(sigma, 0.5 * intensity)
        else:
            mean = np.bincount(self.number, intensity) / np.bincount(self.number)
            for _ in range(3):
                sigma = scales.apply(self.observations, mean[self.number])[1]
                sigma = np.hypot(sigma, 0.5 * np.maximum(mean, 0.0)[self.number])
                mean = oracle.means(self.number, intensity, sigma)
        mean = oracle.means(self.number, intensity, sigma)
        of = np.full(len(mean), np.nan)
        of[self.number] = self.known
        seen = np.isfinite(of)
        return np.corrcoef(mean[seen], of[seen])[0, 1], {
            "by observation": oracle.cc_half(self.number, intensity, sigma, 10),
            "by image": oracle.cc_half(self.number, intensity, sigma, 10, image=self.image),
        }


@pytest.fixture(scope="module")
def lysozyme():
    return Lysozyme()


def test_xfel_stills_scaled_to_a_reference(lysozyme):
    found = scale(
        lysozyme.observations, 300, space_group=lysozyme.group, reference=lysozyme.reference, min_observations=5
    )
    assert found.converged
    assert not found.failed
    cc, halves = lysozyme.judge(found, "expected")
    assert cc >= 0.66
    assert halves["by observation"] >= 0.43
    assert halves["by image"] >= 0.40
    assert 0.6 < found.ln_g.std() < 0.85
    worse, _ = lysozyme.judge(found, "observed")
    assert worse <= cc - 0.2


def test_xfel_stills_scaled_and_merged(lysozyme):
    scales = scale(lysozyme.observations, 300, space_group=lysozyme.group, reference=lysozyme.reference)
    merged = merge(
        lysozyme.observations, scales, space_group=lysozyme.group, cell=lysozyme.reference.cell,
        reference=lysozyme.reference,
    )  # fmt: skip
    overall = merged.statistics.overall
    assert overall.cc_half >= 0.40
    assert overall.cc_reference >= 0.66


def test_xfel_stills_scaled_to_one_another(lysozyme):
    found = scale(lysozyme.observations, 300, space_group=lysozyme.group)
    assert found.converged
    assert not found.failed
    cc, halves = lysozyme.judge(found, "expected")
    assert cc >= 0.55
    assert halves["by observation"] >= 0.40
    assert found.error_model.note  # the spread is all partiality: sigmas from counts say nothing, and that is said
