"""Merging statistics: slow loops, gemmi, cctbx and DIALS say the same, and parts add up to the whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.model import symmetry
from crystint.stills.merging.collect import collect, wilson_b
from crystint.stills.merging.image_rejection import delta_cc_half
from crystint.stills.merging.moments import PairMoments
from crystint.stills.merging.shell_sums import ShellSums
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.merging.statistics import Statistics
from crystint.stills.merging.sums import MergeSums, image_halves, observation_halves
from tests.conftest import shared_data
from tests.oracles import stills_merging as oracle

CELL = (20.0, 24.0, 30.0, 90.0, 90.0, 90.0)
GROUP = "P 21 21 21"
Table = dict[str, Any]


def made(seed: int = 0, n: int = 3000, spread: float = 0.1, level: float = 0.0) -> Table:
    """Observations of a small crystal, some reflections once only, with an anomalous signal."""
    rng = np.random.default_rng(seed)
    every = symmetry.possible(CELL, "P 1", 2.5)
    every = every[~symmetry.absent(every, GROUP)]
    hkl = every[rng.integers(0, len(every), n)] * rng.choice([-1, 1], n)[:, None]
    keys, isym = symmetry.reduce(hkl, GROUP)
    unique, number = symmetry.distinct(keys)
    minus = (isym % 2 == 0) & ~symmetry.centric(keys, GROUP)
    true = level + rng.exponential(100.0, len(unique)) + 5.0
    signal = rng.normal(0.0, 10.0, len(unique))
    variance = (2.0 + spread * rng.exponential(100.0, n)) ** 2
    intensity = true[number] + np.where(minus, -1, 1) * signal[number] + np.sqrt(variance) * rng.normal(size=n)
    image = np.sort(rng.integers(0, 60, n)).astype(np.int32)
    halves = image_halves(60)[image], observation_halves(number)
    columns = {"hkl": unique, "number": number, "minus": minus, "intensity": intensity, "variance": variance}
    return columns | {"image": image, "half_of_images": halves[0], "half_of_observations": halves[1]}


def summed(table: Table, rows: Any = slice(None)) -> MergeSums:
    columns = ("number", "minus", "intensity", "variance", "half_of_images", "half_of_observations")
    return MergeSums.of(table["hkl"], *(table[name][rows] for name in columns))


def statistics_of(table: Table, shells: ResolutionShells, **options: Any) -> Statistics:
    return collect(
        summed(table), table["number"], table["intensity"], cell=gemmi.UnitCell(*CELL),
        space_group=gemmi.SpaceGroup(GROUP), shells=shells, **options,
    )  # fmt: skip


@pytest.mark.parametrize("by", ["volume", "number"])
def test_every_shell_and_the_whole_equal_the_slow_loops(by: Any) -> None:
    table = made()
    d = symmetry.spacing(table["hkl"], CELL)
    shells = ResolutionShells.of(d, 5, by=by)
    rng = np.random.default_rng(5)
    reference = np.where(rng.random(len(d)) < 0.7, rng.exponential(50.0, len(d)), np.nan)
    found = statistics_of(table, shells, reference=reference)
    shell = shells.number(d)[table["number"]]
    assert (shell >= 0).all()
    for number, row in [*enumerate(found.shells), (None, found.overall)]:
        use = np.flatnonzero(shell == number) if number is not None else np.arange(len(shell))
        columns = (table[name][use] for name in ("intensity", "variance", "half_of_images", "half_of_observations"))
        known = {int(key): value for key, value in enumerate(reference) if math.isfinite(value)}
        expected = oracle.statistics(table["number"][use], *columns, reference=known)
        for name, value in expected.items():
            if name == "r_reference" and number is not None:
                continue  # one scale for all shells
            assert getattr(row, name) == pytest.approx(value, rel=1e-9), name
        parts = (table[name][use] for name in ("number", "minus", "intensity", "variance", "half_of_observations"))
        assert row.cc_anomalous == pytest.approx(oracle.cc_anomalous(*parts), rel=1e-9)
    assert found.overall.cc_anomalous > 0.3


def test_completeness_counts_what_is_possible() -> None:
    table = made(n=400)
    d = symmetry.spacing(table["hkl"], CELL)
    found = statistics_of(table, ResolutionShells.of(d, 4))
    every = symmetry.possible(CELL, GROUP, float(d.min()) * (1 - 1e-9), float(d.max()) * (1 + 1e-9))
    assert found.overall.possible == len(every)
    assert found.overall.completeness == len(table["hkl"]) / len(every)
    acentric = ~symmetry.centric(table["hkl"], GROUP)
    sides = [set(table["number"][table["minus"] == side].tolist()) for side in (False, True)]
    pairs = sum(acentric[i] and i in sides[0] and i in sides[1] for i in range(len(acentric)))
    possible = np.count_nonzero(~symmetry.centric(every, GROUP))
    assert found.overall.completeness_anomalous == pairs / possible
    assert sum(shell.possible for shell in found.shells) == len(every)


def test_statistics_of_parts_add_to_those_of_all() -> None:
    table = made(level=1e6)  # far above the spread: raw sums would cancel
    d = symmetry.spacing(table["hkl"], CELL)
    shells = ResolutionShells.of(d, 5)
    whole = statistics_of(table, shells).sums
    pieces = ShellSums()
    for number in range(5):
        row = whole.row(number)
        pieces = pieces + row
    for name in ("cc_half", "cc_half_observations", "cc_half_variance", "r_meas", "r_split", "i_over_sigma"):
        assert getattr(pieces, name)[0] == pytest.approx(getattr(whole.total, name)[0], rel=1e-9), name
    empty = Statistics()
    total = statistics_of(table, shells)
    assert (empty + total) is total
    assert (total + empty) is total
    with pytest.raises(ShapeError, match="different resolution shells"):
        _ = total + Statistics(shells.edges * 1.1, whole)
    twice = (total + total).overall
    assert twice.observations == 2 * total.overall.observations
    assert twice.r_meas == pytest.approx(total.overall.r_meas)


def test_moments_of_pieces_are_those_of_all_and_do_not_cancel(rng: np.random.Generator) -> None:
    x = 1e9 + rng.normal(size=1001)
    y = 1e9 + 0.5 * (x - 1e9) + rng.normal(size=1001)
    x[5], y[7] = np.nan, np.nan
    added = PairMoments()
    for part in np.split(np.arange(1001), [3, 4, 500]):
        added = added + PairMoments.of(x[part], y[part], np.zeros(len(part), int), 1)
    good = np.isfinite(x) & np.isfinite(y)
    assert added.n[0] == good.sum()
    assert added.cc[0] == pytest.approx(np.corrcoef(x[good], y[good])[0, 1], abs=1e-6)
    assert np.isnan(PairMoments.of(x[:2], y[:2], np.zeros(2, int), 1).cc[0])
    assert np.isnan(PairMoments().cc)


def test_sums_of_two_sets_of_images_are_those_of_all() -> None:
    table = made(level=1e5)
    whole = summed(table)
    first = np.isin(table["image"], np.arange(0, 60, 3))

    def part(rows: np.ndarray) -> MergeSums:
        left, number = np.unique(table["number"][rows], return_inverse=True)
        piece = {name: value[rows] for name, value in table.items() if name != "hkl"}
        return summed(piece | {"hkl": table["hkl"][left], "number": number})

    added = MergeSums() + part(first) + part(~first) + MergeSums()
    assert np.array_equal(added.hkl, whole.hkl)
    for name in ("count", "weight", "mean", "half_weight", "half_mean"):
        assert np.allclose(getattr(added, name), getattr(whole, name), rtol=1e-13, atol=0), name
    assert np.allclose(added.spread, whole.spread, rtol=1e-6, atol=1e-9)
    for one, other in zip(added.merged, whole.merged):
        assert np.allclose(one, other, rtol=1e-6)


def test_repeated_draws_are_taken_together() -> None:
    table = made()
    shells = ResolutionShells.of(symmetry.spacing(table["hkl"], CELL), 3)
    weight = 1.0 / table["variance"]
    runs = [statistics_of(table, shells, weight=weight, image=table["image"], repeats=n).sums for n in (1, 6)]
    for name in ("by_image", "by_observation"):
        one, six = getattr(runs[0], name), getattr(runs[1], name)
        assert six.n.sum() == pytest.approx(6 * one.n.sum(), rel=0.02)
    columns = (table["number"], table["intensity"], table["variance"])
    draws = []
    for seed in range(6):
        halves = image_halves(60, seed)[table["image"]], observation_halves(table["number"], seed)
        expected = oracle.statistics(*columns, *halves)
        draws.append((expected["cc_half"], expected["cc_half_observations"]))
    whole = runs[1].total
    assert (whole.cc_half[0], whole.cc_half_observations[0]) == pytest.approx(np.mean(draws, axis=0), abs=5e-4)
    assert np.ptp(draws, axis=0).min() > 1.5e-3


def test_halves_are_even_random_and_the_same_again(rng: np.random.Generator) -> None:
    group = rng.integers(0, 300, 2000)
    half = observation_halves(group, seed=3)
    share = np.bincount(group, half)
    size = np.bincount(group)
    assert np.all(np.abs(2 * share - size) <= 1)
    assert abs(half.mean() - 0.5) < 0.02
    assert np.array_equal(half, observation_halves(group, seed=3))
    assert np.mean(half != observation_halves(group, seed=4)) > 0.4
    odd = size % 2 == 1
    assert 0.3 < np.mean((2 * share > size)[odd]) < 0.7
    assert abs(int(image_halves(101).sum()) - 50) <= 1
    # neighbours are in the same half as often as in different ones, less what evenness asks
    pairs = observation_halves(np.zeros(100_000, int))
    assert np.mean(pairs[1:] == pairs[:-1]) == pytest.approx(0.5, abs=0.01)


def lysozyme_like() -> tuple[np.ndarray, ...]:
    """The real observations of l-cysteine, on DIALS's scale: hkl, intensity, sigma, batch of 50 images."""
    data = np.load(shared_data("stills/l_cysteine_observations.npz"))
    flags = data["flags"]
    use = ((flags & (1 << 8)) != 0) & (data["partiality"] > 0.4)
    for bit in (22, 23, 24):
        use &= (flags & (1 << bit)) == 0
    columns = {name: data[name][use] for name in data}
    factor = (columns["dqe"] / columns["lp"] * columns["inverse_scale_factor"]).astype(float)
    sigma = np.sqrt(columns["intensity_sum_variance"]) / factor
    batch = columns["sweep"].astype(int) * 1000 + (columns["xyzcal_px"][:, 2] // 50).astype(int)
    batch = np.unique(batch, return_inverse=True)[1]
    return columns["miller_index"], columns["intensity_sum_value"] / factor, sigma, batch


L_CYSTEINE = (5.43, 8.14, 12.04, 90.0, 90.0, 90.0)


def real_statistics(count: int = 10, **options: Any) -> tuple[Statistics, MergeSums]:
    hkl, intensity, sigma, image = lysozyme_like()
    present = ~symmetry.absent(hkl, GROUP)
    hkl, intensity, sigma, image = hkl[present], intensity[present], sigma[present], image[present]
    keys, isym = symmetry.reduce(hkl, GROUP)
    unique, number = symmetry.distinct(keys)
    minus = (isym % 2 == 0) & ~symmetry.centric(keys, GROUP)
    halves = image_halves(image.max() + 1)[image], observation_halves(number)
    sums = MergeSums.of(unique, number, minus, intensity, sigma**2, *halves)
    d = symmetry.spacing(unique, L_CYSTEINE)
    cell, group = gemmi.UnitCell(*L_CYSTEINE), gemmi.SpaceGroup(GROUP)
    shells = ResolutionShells.of(d, count)
    weight = 1.0 / sigma**2
    return collect(
        sums, number, intensity, cell=cell, space_group=group, shells=shells, weight=weight, image=image, **options
    ), sums


def test_real_data_give_the_numbers_of_cctbx() -> None:
    """Recipe: tests/oracles/gen_stills_merging_cctbx.py."""
    expected = json.loads((Path(__file__).parents[1] / "oracles" / "stills_merging_cctbx.json").read_text())
    found, _ = real_statistics(repeats=10)
    exact = ("r_merge", "r_meas", "r_pim", "completeness", "mean_intensity", "i_over_sigma")
    for row, other in zip([*found.shells, found.overall], [*expected["shells"], expected["overall"]]):
        assert row.d_max == pytest.approx(other["d_max"], rel=1e-4)
        assert row.d_min == pytest.approx(other["d_min"], rel=1e-4)
        assert (row.observations, row.unique) == (other["observations"], other["unique"])
        for name in exact:
            assert getattr(row, name) == pytest.approx(other[name], rel=1e-4), name
        assert row.cc_half_variance == pytest.approx(other["cc_half_variance"], abs=1e-4)
        # theirs are halves by another draw, and not weighted
        assert row.cc_half_observations == pytest.approx(other["cc_half_observations"], abs=0.01)


def test_real_data_give_the_numbers_of_gemmi() -> None:
    hkl, intensity, sigma, _ = lysozyme_like()
    data = gemmi.Intensities()
    group = gemmi.SpaceGroup(GROUP)
    data.set_data(gemmi.UnitCell(*L_CYSTEINE), group, hkl.astype(np.int32), intensity, sigma)
    data.remove_systematic_absences()
    data.prepare_for_merging(gemmi.DataType.Mean)
    other = data.calculate_merging_stats(None, use_weights="X")[0]  # means weighted by 1 / sigma^2
    plain = data.calculate_merging_stats(None, use_weights="U")[0]
    found = real_statistics()[0].overall
    assert (found.observations, found.unique) == (other.all_refl, other.unique_refl)
    for name in ("r_merge", "r_meas", "r_pim"):
        assert getattr(found, name) == pytest.approx(getattr(other, name)(), abs=1e-6), name
    assert found.cc_half_variance == pytest.approx(plain.cc_half(), abs=1e-4)


def test_delta_cc_half_is_that_of_dials() -> None:
    """dials.compute_delta_cchalf; recipe as above. Shells of equal width in 1/d^2, absent reflections included."""
    expected = json.loads((Path(__file__).parents[1] / "oracles" / "stills_merging_cctbx.json").read_text())
    hkl, intensity, _, image = lysozyme_like()
    unique, number = symmetry.groups(hkl, GROUP)
    s2 = symmetry.spacing(unique, L_CYSTEINE) ** -2.0
    place = (s2 - s2.min()) / (s2.max() - s2.min()) * 10
    shell = np.clip(place.astype(int), 0, 9)
    found = delta_cc_half(image, number, intensity, shell)
    assert found.cc_half == pytest.approx(expected["cc_half"], abs=1e-7)
    assert found.cc_half - found.delta == pytest.approx(np.array(expected["cc_half_without"]), abs=1e-7)


def test_shells_end_where_they_should() -> None:
    d = np.array([10.0, 5.0, 4.0, 3.0, 2.5, 2.0, np.nan])
    shells = ResolutionShells.of(d, 3, by="number")
    assert shells.number(d).tolist() == [0, 0, 1, 1, 2, 2, -1]
    volume = ResolutionShells.of(d, 4)
    cubes = np.diff(volume.edges**-3.0)
    assert cubes == pytest.approx(np.full(4, cubes[0]), rel=1e-6)
    assert volume.number(np.array([10.0, 2.0, 1.99, 11.0, np.nan, np.inf])).tolist() == [0, 3, -1, -1, -1, -1]
    limited = ResolutionShells.of(d, 2, d_min=2.4, d_max=6.0)
    assert limited.number(d).tolist()[0] == -1
    assert limited.number(d).tolist()[5] == -1
    edge = ResolutionShells(np.array([10.0, 4.0, 2.0]))
    assert edge.number(np.array([10.0, 4.0, 2.0])).tolist() == [0, 0, 1]
    assert len(ResolutionShells.of(np.full(20, 3.0), 5, by="number")) == 1
    for bad in ({"count": 0}, {"d_min": 20.0}, {"d_min": -1.0}):
        with pytest.raises(SettingError):
            ResolutionShells.of(d, **bad)
    with pytest.raises(SettingError, match="no reflections"):
        ResolutionShells.of(np.array([np.nan]), 3)
    with pytest.raises(SettingError, match="descending"):
        ResolutionShells(np.array([2.0, 4.0]))


def test_nothing_to_divide_by_is_nan_and_the_table_leaves_it_out() -> None:
    table = made(n=40)
    lonely = {name: value[:40] for name, value in table.items()}
    first = np.unique(lonely["number"], return_index=True)[1]
    single = {name: value[first] if name != "hkl" else value for name, value in lonely.items()}
    d = symmetry.spacing(single["hkl"], CELL)
    found = statistics_of(single, ResolutionShells.of(d, 2))
    row = found.overall
    assert row.multiplicity == 1
    assert all(
        math.isnan(getattr(row, name)) for name in ("r_meas", "cc_half", "cc_star", "cc_reference", "reduced_chi2")
    )
    text = found.table()
    assert "R_meas" not in text
    assert len(text.splitlines()) == 4
    assert found.to_dict()["overall"]["r_meas"] is None
    json.dumps(found.to_dict(), allow_nan=False)
    assert np.array_equal(found.column("unique"), [shell.unique for shell in found.shells])


def test_wilson_b_is_found(rng: np.random.Generator) -> None:
    d = rng.uniform(1.6, 4.0, 20_000)
    atoms = {"C": 5.0, "N": 1.35, "O": 1.5, "H": 8.0}
    x = 0.25 / d**2
    grid = np.linspace(x.min(), x.max(), 200)
    f2 = [sum(n * gemmi.Element(name).it92.calculate_sf(at) ** 2 for name, n in atoms.items()) for at in grid]
    epsilon = np.where(rng.random(len(d)) < 0.5 * (d - 1.6), 4, 1)  # more of them at low resolution
    intensity = epsilon * np.interp(x, grid, f2) * np.exp(-2 * 24.0 * x) * rng.exponential(1.0, len(d))
    assert wilson_b(intensity, d, epsilon) == pytest.approx(24.0, abs=0.7)
    assert math.isnan(wilson_b(intensity[:30], d[:30], epsilon[:30]))
