"""Simulated rotation data: where and when DIALS predicts their reflections, and the counts that the truth says."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

import crystint
from crystint import stills
from crystint.errors import SettingError
from crystint.io.reflections.dials_table import read_table
from tests.oracles.stills_rotation import turn

SMALL = {"d_min": 3.0, "shape": (300, 330), "distance": 0.1, "seed": 3, "start": 10.0}
PREDICTED = [
    ([4, -13, 6], [136.0755, 14.3763, 1.3753]),
    ([-1, -12, 8], [85.9464, 16.5954, 2.3667]),
    ([8, -7, 0], [214.8511, 89.0146, 3.3162]),
    ([2, 3, -5], [225.5927, 204.6022, 4.0101]),
    ([-1, 7, -9], [250.1088, 274.5542, 5.7595]),
    ([-8, 6, -1], [127.0467, 215.4324, 6.2421]),
    ([-11, 9, -3], [128.9514, 260.1614, 7.3769]),
]
"""Indices; fast, slow (px) and frame: of `dials.predict a.expt` (DIALS 3.12), a.expt written by write_rotation."""


@pytest.fixture(scope="module")
def scan():
    return stills.simulate_rotation(8, **SMALL)


def test_reflections_are_where_dials_predicts_them(scan):
    truth = scan.truth
    for hkl, (fast, slow, z) in PREDICTED:
        row = truth[(truth["hkl"] == hkl).all(axis=1) & (np.abs(truth["z"] - z) < 0.5)]
        assert len(row) == 1
        assert np.allclose([row["fast"][0], row["slow"][0], row["z"][0]], [fast, slow, z], atol=1e-4)


@pytest.mark.skipif(shutil.which("dials.predict") is None, reason="DIALS is not on PATH")
def test_dials_predicts_the_same_from_the_experiment(scan, tmp_path):
    stills.write_rotation(scan, tmp_path / "a.h5")
    subprocess.run(["dials.predict", "a.expt"], cwd=tmp_path, check=True, capture_output=True)
    table = read_table(tmp_path / "predicted.refl")
    middle, truth, found = table["xyzcal.px"], scan.truth, 0
    for hkl, (fast, slow, z) in zip(table["miller_index"], middle):
        row = truth[(truth["hkl"] == hkl).all(axis=1) & (np.abs(truth["z"] - z) < 0.5)]
        found += len(row)
        if len(row):
            assert np.allclose([row["fast"][0], row["slow"][0], row["z"][0]], [fast, slow, z], rtol=0.0, atol=1e-6)
    assert found == np.count_nonzero((truth["z"] >= 0) & (truth["z"] < len(scan)))


def test_a_reflection_is_on_the_sphere_at_its_angle(scan):
    truth = scan.truth[::7]
    for row in truth:
        q = turn([1.0, 0.0, 0.0], row["phi"]) @ scan.setting @ row["hkl"]
        s1 = q + np.array([0.0, 0.0, -1.0])
        assert abs(np.linalg.norm(s1) - 1.0) < 1e-9
        assert abs(1.0 / np.linalg.norm(q) - row["d"]) < 1e-6
        fast = 165 + s1[0] / -s1[2] * 0.1 / 172e-6
        slow = 150 - s1[1] / -s1[2] * 0.1 / 172e-6
        assert np.allclose([fast, slow], [row["fast"], row["slow"]], rtol=0.0, atol=1e-6)


def test_counts_and_background_are_what_the_truth_says(scan):
    truth = scan.truth
    excess = sum(scan.mean(number) - scan.background for number in range(len(scan)))
    inner = truth[(truth["slow"] > 8) & (truth["slow"] < 292) & (truth["fast"] > 8) & (truth["fast"] < 322)]
    outer = (truth["counts"] * truth["share"]).sum() - (inner["counts"] * inner["share"]).sum()
    total = float(excess.sum())
    assert total == pytest.approx((truth["counts"] * truth["share"]).sum() - 0.5 * outer, abs=0.5 * outer)
    strong = inner[inner["full"]][np.argmax(inner["counts"][inner["full"]])]
    box = excess[int(strong["slow"]) - 4 : int(strong["slow"]) + 5, int(strong["fast"]) - 4 : int(strong["fast"]) + 5]
    assert box.sum() == pytest.approx(strong["counts"], rel=0.01)
    drawn = np.stack([scan.image(number) for number in range(len(scan))])
    expected = np.stack([scan.mean(number) for number in range(len(scan))])
    assert (drawn - expected).sum() == pytest.approx(0.0, abs=5 * np.sqrt(expected.sum()))
    assert ((drawn - expected) ** 2).sum() == pytest.approx(expected.sum(), rel=0.02)
    assert (drawn[2] == scan.image(2)).all()


def test_background_is_round_in_what_separation_divides_by(scan):
    weight = crystint.Separator(scan.settings.geometry, rings=40).rings.weight
    radius = np.hypot(*np.mgrid[-149.5:150, -164.5:165]).astype(int)
    flat = scan.background / weight
    size = np.bincount(radius.ravel())
    mean = np.bincount(radius.ravel(), flat.ravel())[size > 0] / size[size > 0]
    assert np.abs(flat / mean[np.searchsorted(np.flatnonzero(size), radius)] - 1.0).max() < 0.02


def test_a_wrong_setting_is_named():
    with pytest.raises(SettingError, match="'mosaic'"):
        stills.simulate_rotation(3, mosaic=1.0)
    for name, value in (("oscillation", 0.0), ("background", (1.0, 0.0)), ("scale", -1.0), ("seed", -1)):
        with pytest.raises(SettingError, match=name):
            stills.simulate_rotation(3, **{name: value})
    with pytest.raises(IndexError):
        stills.simulate_rotation(2, **SMALL).image(2)
