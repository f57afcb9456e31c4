"""Indexing ambiguities: what lattices allow, who has which, and what is said when it cannot be told."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
import pytest

from crystint.model import symmetry
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.merging.ambiguity import find_ambiguity, reindexing_operators
from crystint.stills.merging.assign import Indexings, best_assignment, eigenvector_start
from crystint.stills.merging.merge import merge

TETRAGONAL = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)
TRIGONAL = (60.0, 60.0, 50.0, 90.0, 90.0, 120.0)


def made(
    group: str, cell: tuple[float, ...], images: int, per_image: int, *, true_group: str | None = None,
    d_min: float = 2.5, shares: Any = None, seed: int = 0,
) -> tuple[Observations, np.ndarray, Reference]:  # fmt: skip
    """Stills whose images are indexed in ways drawn at random; with partiality errors and counting noise."""
    rng = np.random.default_rng(seed)
    every = symmetry.possible(cell, "P 1", d_min)
    every = np.concatenate([every, -every])
    every = every[~symmetry.absent(every, group)]
    rotations = reindexing_operators(cell, group)[1]
    mode = rng.choice(len(rotations), images, p=shares)
    image = np.repeat(np.arange(images), per_image).astype(np.int32)
    true = every[rng.integers(0, len(every), len(image))]
    d = symmetry.spacing(true, cell)
    unique = symmetry.possible(cell, true_group or group, d_min * (1 - 1e-9))
    level = rng.exponential(1000.0, len(unique))
    place = np.searchsorted(symmetry.pack(unique), symmetry.pack(symmetry.asu(true, true_group or group)))
    factor = (rng.lognormal(0, 0.7, images)[image] * np.exp(-40 / (4 * d**2))) * rng.lognormal(0, 0.3, len(image))
    mean = factor * level[place]
    intensity = rng.poisson(200.0 + mean) - 200.0
    inverse = np.rint(np.linalg.inv(rotations)).astype(int)
    indexed = np.einsum("ni,nij->nj", true, inverse[mode[image]])
    table = Observations(
        image, indexed, intensity, np.sqrt(200 + np.maximum(intensity, 0)), d=d,
        background_variance=np.full(len(d), 200.0),
    )  # fmt: skip
    reference = Reference(unique, level, np.ones(len(level)), cell, gemmi.SpaceGroup(true_group or group))  # type: ignore[arg-type]
    return table, mode, reference


def test_operators_are_those_of_the_lattice_that_the_space_group_lacks() -> None:
    assert reindexing_operators(TETRAGONAL, "P 43 21 2")[0] == ("h,k,l",)
    assert len(reindexing_operators(TETRAGONAL, "P 41")[0]) == 2
    assert len(reindexing_operators(TRIGONAL, "P 3")[0]) == 4
    assert len(reindexing_operators((60.0, 70, 80, 90, 90, 90), "P 21 21 21")[0]) == 1
    assert len(reindexing_operators((60.0, 60.3, 80, 90, 90, 90), "P 21 21 21")[0]) == 2
    assert len(reindexing_operators((60.0, 60.3, 80, 90, 90, 90), "P 21 21 21", max_obliquity=0.01)[0]) == 1
    # by hand: P4 with the operator 4/mmm adds: every index goes to an inequivalent one of the same spacing
    hkl = np.array([[1, 2, 3], [4, 0, 1], [3, 5, -2]])
    turned = hkl @ reindexing_operators(TETRAGONAL, "P 4")[1][1]
    assert symmetry.spacing(turned, TETRAGONAL) == pytest.approx(symmetry.spacing(hkl, TETRAGONAL))
    changed = symmetry.asu(turned, "P 4") != symmetry.asu(hkl, "P 4")
    assert changed.any(axis=1).tolist() == [True, False, True]
    assert np.array_equal(symmetry.asu(turned, "P 4 2 2"), symmetry.asu(hkl, "P 4 2 2"))


@pytest.mark.parametrize(("group", "cell", "images", "per_image"), [
    ("P 4", TETRAGONAL, 200, 150), ("P 3", TRIGONAL, 200, 250), ("P 63", TRIGONAL, 60, 250),
])  # fmt: skip
def test_images_are_parted_as_they_were_made(group: str, cell: Any, images: int, per_image: int) -> None:
    table, mode, reference = made(group, cell, images, per_image)
    found = find_ambiguity(table, cell=cell, space_group=group)
    assert found.found
    assert found.clear.mean() > 0.95
    modes = len(found.operators)
    common = np.zeros((modes, modes), int)
    np.add.at(common, (mode[found.clear], found.mode[found.clear]), 1)
    assert (np.count_nonzero(common, axis=0) == 1).all()  # every party is one of those made
    assert common[:, 0].max() == np.bincount(mode[found.clear]).max()  # the commonest is left as it is
    assert f"{np.count_nonzero(found.mode)} of {images} images agree better with the others" in found.message
    assert all(f"({name})" in found.message for name in found.operators[1:])
    solved = found.resolve(table)
    assert find_ambiguity(solved, cell=cell, space_group=group).message == ""
    before, after = (
        merge(x, space_group=group, cell=cell, reference=reference).statistics.overall for x in (table, solved)
    )
    assert after.cc_half_observations > before.cc_half_observations + 0.1
    against = find_ambiguity(table, cell=cell, space_group=group, reference=reference)
    assert np.array_equal(against.mode[against.clear], mode[against.clear])
    assert "agree better with the reference" in against.message
    fits = merge(against.resolve(table), space_group=group, cell=cell, reference=reference)
    assert fits.statistics.overall.cc_reference > before.cc_reference + 0.15


def test_nothing_is_said_where_there_is_no_choice_or_no_difference() -> None:
    table, _, _ = made("P 43 21 2", TETRAGONAL, 40, 60)
    none = find_ambiguity(table, cell=TETRAGONAL, space_group="P 43 21 2")
    assert (none.message, none.found, none.operators) == ("", False, ("h,k,l",))
    assert np.array_equal(none.resolve(table).hkl, table.hkl)
    table, _, reference = made("P 4", TETRAGONAL, 200, 150, shares=[1.0, 0.0])
    same = find_ambiguity(table, cell=TETRAGONAL, space_group="P 4")
    assert (same.message, same.found) == ("", False)
    assert find_ambiguity(table, cell=TETRAGONAL, space_group="P 4", reference=reference).message == ""
    assert find_ambiguity(Observations.join([]), cell=TETRAGONAL, space_group="P 4").message == ""


def test_a_few_strays_are_found() -> None:
    table, mode, _ = made("P 4", TETRAGONAL, 200, 150, shares=[0.96, 0.04])
    found = find_ambiguity(table, cell=TETRAGONAL, space_group="P 4", names=[f"run//{i}" for i in range(200)])
    assert np.array_equal(np.flatnonzero(found.mode), np.flatnonzero(mode))
    assert f"run//{np.flatnonzero(mode)[0]}" in found.message


@pytest.mark.parametrize(("true_group", "per_image"), [("P 4 2 2", 150), ("P 4", 12)])
def test_noise_is_not_taken_for_an_ambiguity(true_group: str, per_image: int) -> None:
    table, _, _ = made("P 4", TETRAGONAL, 200, per_image, true_group=true_group)
    found = find_ambiguity(table, cell=TETRAGONAL, space_group="P 4")
    assert not found.found
    assert not found.mode.any()
    assert "cannot be told" in found.message


def test_a_whole_data_set_indexed_unlike_the_reference_is_said() -> None:
    table, _, reference = made("P 4", TETRAGONAL, 50, 100, shares=[0.0, 1.0])
    found = find_ambiguity(table, cell=TETRAGONAL, space_group="P 4", reference=reference)
    assert "of 50 images agree better with the reference" in found.message
    assert found.mode[found.clear].all()
    wrong, right = (
        merge(x, space_group="P 4", cell=TETRAGONAL, reference=reference, error_model=None, outliers=None)
        for x in (table, found.resolve(table))
    )
    assert any("agree better with the reference when they are reindexed as (-h,k,-l)" in note for note in wrong.notes)
    assert right.notes == ()
    spoiled = table.intensity.copy()
    spoiled[table.image < 20] = np.nan
    rest = find_ambiguity(table.replace(intensity=spoiled), cell=TETRAGONAL, space_group="P 4", reference=reference)
    assert not rest.clear[:20].any()
    assert np.array_equal(rest.mode[20:], found.mode[20:])


def test_the_eigenvector_alone_parts_the_images(rng: np.random.Generator) -> None:
    images, per_image, pairs = 100, 80, 300
    level = rng.exponential(1.0, 2 * pairs)
    mode = rng.integers(0, 2, images)
    image = np.repeat(np.arange(images), per_image).astype(np.int32)
    true = rng.integers(0, 2 * pairs, len(image))
    as_indexed = true ^ mode[image]  # reflections 2 i and 2 i + 1 are exchanged
    value = level[true] + 0.5 * rng.normal(size=len(true))
    table = Indexings(image, value, np.stack([as_indexed, as_indexed ^ 1]), images, 2 * pairs)
    start = eigenvector_start(table, np.ones(images, bool), 1, rng)
    assert abs(np.mean(start == mode) - 0.5) > 0.48


def test_images_are_not_compared_with_themselves(rng: np.random.Generator) -> None:
    """Each of few images sees its own reflections only: nothing can be said, however well an image fits itself."""
    number = np.arange(1000) ^ np.array([[0], [1]])
    image = np.repeat(np.arange(10), 100).astype(np.int32)
    table = Indexings(image, rng.exponential(1.0, 1000), number, 10, 1000)
    _, cc, spread = best_assignment(table, np.ones(10, bool))
    assert np.isnan(cc).all()
    assert (spread == 0.0).all()


def test_weak_images_are_left_alone_rather_than_guessed() -> None:
    table, mode, reference = made("P 4", TETRAGONAL, 300, 14)
    found = find_ambiguity(table, cell=TETRAGONAL, space_group="P 4", reference=reference)
    assert 0.1 < found.clear.mean() < 0.9
    assert not found.mode[~found.clear].any()
    assert np.mean(found.mode[found.clear] == mode[found.clear]) > 0.98


def test_images_beyond_the_first_thousand_join_the_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystint.stills.merging.assign._MOST", 60)
    table, mode, _ = made("P 4", TETRAGONAL, 200, 150)
    found = find_ambiguity(table, cell=TETRAGONAL, space_group="P 4")
    assert found.clear.mean() > 0.95
    agreement = np.mean(found.mode[found.clear] == mode[found.clear])
    assert agreement in (0.0, 1.0)


def test_absent_reflections_have_no_say() -> None:
    table, _, _ = made("I 4", TETRAGONAL, 60, 150)
    rng = np.random.default_rng(1)
    odd = table.hkl[:3000] + np.array([1, 0, 0], np.int32)
    junk = table.select(np.arange(3000)).replace(hkl=odd, intensity=1e4 * rng.normal(size=3000))
    mixed = Observations.join([table, junk])
    one, other = (find_ambiguity(x, cell=TETRAGONAL, space_group="I 4") for x in (table, mixed))
    assert np.array_equal(one.cc, other.cc)
    assert one.found
