"""Where data end: halves of known CC1/2 whose limit is known, shells of noise, and the B of what is left."""

from __future__ import annotations

import math

import gemmi
import numpy as np
import pytest

from crystint.model import symmetry
from crystint.model.observations import Observations
from crystint.stills.files import read_stills, write_stills
from crystint.stills.merging.collect import wilson_b
from crystint.stills.merging.merge import merge
from crystint.stills.merging.merged import Merged
from crystint.stills.merging.resolution_limit import resolution_limit
from crystint.stills.report import stills_report

CELL, GROUP = (60.0, 70.0, 80.0, 90.0, 90.0, 90.0), gemmi.SpaceGroup("P 21 21 21")


def halves(rng, curve, n=6000, d_min=1.5):
    """Intensities of two halves whose correlation at s = 1/d^2 is curve(s), evenly spread in reciprocal space."""
    s = rng.uniform(20.0**-3, d_min**-3, n) ** (2 / 3)
    truth = rng.exponential(1.0, n)
    noise = np.sqrt(1.0 / np.clip(curve(s), 1e-3, 0.9999) - 1.0)
    return truth[:, None] + noise[:, None] * rng.normal(size=(n, 2)), s**-0.5


def tanh(middle, width):
    return lambda s: 0.5 * (1.0 - np.tanh((s - middle) / width))


@pytest.mark.parametrize(("middle", "width"), [(0.2, 0.06), (0.3, 0.03), (0.15, 0.01)])
def test_the_limit_of_a_curve(rng, middle, width):
    limits = [resolution_limit(*halves(rng, tanh(middle, width))) for _ in range(8)]
    true = (middle + width * np.arctanh(0.4)) ** -0.5
    np.testing.assert_allclose(limits, true, rtol=0.03)
    assert np.mean(limits) == pytest.approx(true, rel=0.015)


def test_a_signal_that_ends_at_once_and_an_ice_ring(rng):
    def curve(s):
        return np.where((s < 2.4**-2) & (np.abs(s - 3.67**-2) > 0.012), 0.98, 0.0)

    limits = [resolution_limit(*halves(rng, curve)) for _ in range(8)]
    np.testing.assert_allclose(limits, 2.4, rtol=0.02)


@pytest.mark.parametrize(("ring", "middle"), [(2.25, 0.3), (2.67, 0.2)])
def test_an_ice_ring_in_a_smooth_curve(rng, ring, middle):
    """Least squares would be off by 2 to 5 %."""

    def curve(s):
        return np.where(np.abs(s - ring**-2) < 0.012, 0.0, tanh(middle, 0.03)(s))

    limits = [resolution_limit(*halves(rng, curve)) for _ in range(8)]
    assert np.mean(limits) == pytest.approx((middle + 0.03 * np.arctanh(0.4)) ** -0.5, rel=0.01)


def test_data_that_are_good_to_their_end(rng):
    both, d = halves(rng, lambda s: np.full_like(s, 0.9))
    assert resolution_limit(both, d) == d.min()
    assert math.isnan(resolution_limit(*halves(rng, lambda s: np.zeros_like(s))))
    assert math.isnan(resolution_limit(both[:200], d[:200]))
    both[5:] = np.nan
    assert math.isnan(resolution_limit(both, d))


B = 20.0


@pytest.fixture(scope="module")
def noisy() -> dict[float | None, Merged]:
    """20 images of reflections to 1.9 angstrom whose signal ends at 2.5, merged with and without a limit."""
    rng = np.random.default_rng(5)
    hkl = symmetry.possible(CELL, GROUP, 1.9)
    d = symmetry.spacing(hkl, CELL)
    atoms = {"C": 5.0, "N": 1.35, "O": 1.5, "H": 8.0}
    grid = np.linspace(0.0, 0.07, 100)
    f2 = [sum(n * gemmi.Element(name).it92.calculate_sf(at) ** 2 for name, n in atoms.items()) for at in grid]
    mean = 30.0 * np.interp(0.25 / d**2, grid, f2) * np.exp(-B / (2.0 * d**2)) * symmetry.epsilon(hkl, GROUP)
    truth = np.where(d > 2.5, mean * rng.exponential(1.0, len(d)), 0.0)
    rows = np.concatenate([rng.permutation(len(hkl))[: len(hkl) // 4] for _ in range(20)])
    image = np.repeat(np.arange(20), len(hkl) // 4)
    sigma = np.sqrt(100.0 + truth[rows])
    table = Observations(image, hkl[rows], truth[rows] + sigma * rng.normal(size=len(rows)), sigma, d=d[rows])
    return {limit: merge(table, space_group=GROUP, cell=CELL, d_min=limit) for limit in (None, 2.5)}


@pytest.mark.parametrize("limit", [None, 2.5])
def test_limit_and_b_do_not_depend_on_the_noise_beyond(noisy, limit):
    statistics = noisy[limit].statistics
    assert statistics.limit == pytest.approx(2.5, abs=0.03)
    assert statistics.wilson_b == pytest.approx(B, abs=1.0)
    table = statistics.table()
    assert f"Suggested resolution limit {statistics.limit:.2f} angstrom" in table
    assert ("up to the end of the data" in table) == (limit is not None)


def test_shells_of_noise_are_warned_of(noisy):
    notes = [note for note in noisy[None].notes if "without a signal" in note]
    statistics = noisy[None].statistics
    noise = [shell for shell in statistics.shells if shell.d_max < 2.5]
    assert [shell.d_max for shell in statistics.beyond_limit] == [shell.d_max for shell in noise]
    assert f"{len(noise)} of 10 shells beyond {statistics.limit:.2f} angstrom without a signal: CC1/2 " in notes[0]
    assert f"--d-min {statistics.limit:.2f}" in notes[0]
    assert not [note for note in noisy[2.5].notes if "signal" in note]


def test_the_data_up_to_the_limit_have_a_line(noisy):
    """The same as of a merge that ends there, but for its error model."""
    inside, cut = noisy[None].statistics.up_to_limit, noisy[2.5].statistics.overall
    assert inside.d_min == noisy[None].statistics.limit
    for name in ("unique", "observations", "i_over_sigma", "r_meas", "cc_half", "multiplicity", "completeness"):
        assert getattr(inside, name) == pytest.approx(getattr(cut, name), rel=0.03), name
    assert noisy[2.5].statistics.up_to_limit is None
    assert noisy[None].statistics.overall.i_over_sigma < 0.8 * inside.i_over_sigma
    assert noisy[None].statistics.to_dict()["up_to_limit"]["unique"] == inside.unique


def test_r_factors_of_noise_are_not_printed(noisy):
    statistics = noisy[None].statistics
    columns = statistics.table().splitlines()[0].replace("d, angstrom", "low high").replace("compl %", "compl").split()
    for line in statistics.table().splitlines()[1:11]:
        for name, text in zip(columns, line.split(), strict=False):
            if name.startswith("R_"):
                assert text == "-" or 0.0 <= float(text) < 10.0
    assert any(math.isnan(shell.r_meas) or shell.r_meas > 10.0 for shell in statistics.beyond_limit)
    assert not any(shell.r_meas < 0.0 or shell.r_split < 0.0 for shell in statistics.shells)


def test_a_limit_is_kept_in_files(noisy, tmp_path):
    write_stills(tmp_path / "m.h5", merged=noisy[None])
    run = read_stills(tmp_path / "m.h5")
    assert run.merged.statistics.table() == noisy[None].statistics.table()
    assert "Suggested resolution limit 2.5" in stills_report(run)


def test_a_bin_that_is_half_noise_does_not_make_the_b(rng):
    d = np.sort(rng.uniform(2.0, 4.0, 4000))
    intensity = 100.0 * np.exp(-2 * 30.0 * 0.25 / d**2) * rng.exponential(1.0, len(d))
    whole = wilson_b(intensity, d, np.ones(len(d)))
    intensity[:150] *= 0.2
    assert wilson_b(intensity, d, np.ones(len(d))) == pytest.approx(whole, abs=0.7)
    assert wilson_b(
        np.concatenate([np.full(1000, 1e-3), intensity]),
        np.concatenate([np.full(1000, 1.9), d]),
        np.ones(5000),
        np.full(5000, 1.0),
        d_min=1.95,
    ) == pytest.approx(whole, abs=0.7)


def test_noise_beyond_is_no_fall_off(rng):
    """No limit is known, and a third of the bins has means of noise: a little above 0, by accident."""
    d = np.concatenate([rng.uniform(2.0, 4.0, 4000), rng.uniform(1.8, 2.0, 2000)])
    sigma = np.full(len(d), 1.0)
    intensity = 300.0 * np.exp(-2 * 30.0 * 0.25 / d**2) * rng.exponential(1.0, len(d))
    whole = wilson_b(intensity[:4000], d[:4000], np.ones(4000), sigma[:4000])
    intensity[4000:] = np.abs(rng.normal(0.0, 0.05, 2000))
    assert wilson_b(intensity, d, np.ones(6000), sigma) == pytest.approx(whole, abs=0.7)
