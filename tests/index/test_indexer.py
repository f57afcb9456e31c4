"""Simulated stills with strays: lattices that are there are told, others are not."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.index.defaults import ACCEPTED
from crystint.index.indexer import Indexer
from crystint.index.known_cell import KnownCell
from tests.index.simulated import CELLS, basis_of, misorientation, q_of, still


def indexer_of(engine, cell="lysozyme", q_max=0.5, **options):
    return Indexer(engine, KnownCell.of(*CELLS[cell]), q_max, **options)


@pytest.mark.parametrize("cell", CELLS)
def test_every_frame_is_indexed(engine, cell):
    rng = np.random.default_rng(5)
    hard = (25, 0.3, 0.2), (15, 0.6, 0.3), (10, 0.3, 0.2)
    stills = [still(rng, CELLS[cell][0], n, strays, error=error) for n, strays, error in hard for _ in range(6)]
    solutions = indexer_of(engine, cell).index([each.q for each in stills])
    assert [each.frame for each in solutions] == list(range(len(stills)))
    away = [misorientation(np.linalg.inv(s.setting), t.basis) for s, t in zip(solutions, stills, strict=True)]
    assert max(away) < 1
    assert np.median(away[:6]) < 0.05
    assert min(each.evidence for each in solutions) > ACCEPTED


@pytest.mark.parametrize("number", [2, 3])
def test_several_lattices_of_a_frame(engine, number):
    rng = np.random.default_rng(6)
    frames = [[still(rng, CELLS["lysozyme"][0], 25, 0.3) for _ in range(number)] for _ in range(8)]
    spots = [rng.permutation(np.concatenate([one.q for one in frame])) for frame in frames]
    solutions = indexer_of(engine, lattices=5).index(spots)
    for number_of_frame, frame in enumerate(frames):
        own = [np.linalg.inv(each.setting) for each in solutions if each.frame == number_of_frame]
        assert len(own) == number  # no more, though five may be
        away = [min(misorientation(basis, truth.basis) for basis in own) for truth in frame]
        assert max(away) < 0.5


@pytest.mark.parametrize("cell", ["lysozyme", "triclinic"])
def test_azimuths_thrown_at_random_are_no_lattice(engine, cell):
    rng = np.random.default_rng(7)
    spots = []
    for n in (10, 15, 25, 50) * 10:
        place = still(rng, CELLS[cell][0], n, 0.0).place
        angle = rng.uniform(0, 2 * np.pi, len(place))
        radius = np.linalg.norm(place, axis=1)
        spots.append(q_of(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])))
    assert indexer_of(engine, cell).index(spots) == []


def test_another_cell_is_not_seen(engine):
    rng = np.random.default_rng(8)
    spots = [still(rng, CELLS["triclinic"][0], 30, 0.2).q for _ in range(10)]
    assert indexer_of(engine, "lysozyme").index(spots) == []


def test_frames_without_spots_enough_are_passed_over(engine):
    rng = np.random.default_rng(9)
    good = still(rng, CELLS["lysozyme"][0], 25, 0.1).q
    solutions = indexer_of(engine).index([np.zeros((0, 3)), good[:5], good])
    assert [each.frame for each in solutions] == [2]
    assert indexer_of(engine).index([]) == []


def test_settings_are_right_handed_and_of_the_cell_that_was_given(engine):
    """A body-centred cell: what is searched is the reduced primitive one."""
    cell = (58.0, 58.0, 150.5, 90.0, 90.0, 90.0)
    known = KnownCell.of(cell, "I 41")
    assert known.volume == pytest.approx(58 * 58 * 150.5 / 2)
    rng = np.random.default_rng(10)
    stills = [still(rng, cell, 400, 0.0) for _ in range(4)]
    spots = []
    for each in stills:  # nodes of odd h + k + l are absent
        index = np.rint(each.q @ each.basis.T)
        spots.append(each.q[index.sum(axis=1) % 2 == 0][:40])
    solutions = Indexer(engine, known, 0.5).index(spots)
    assert len(solutions) == 4
    for solution, truth in zip(solutions, stills, strict=True):
        assert np.linalg.det(solution.setting) > 0
        basis = np.linalg.inv(solution.setting)
        assert np.allclose(np.linalg.norm(basis, axis=1), cell[:3], rtol=5e-3)
        assert misorientation(basis, truth.basis) < 0.3


def test_cells_and_their_strains():
    free = {"P 1": 6, "P 1 21 1": 4, "P 21 21 21": 3, "P 43 21 2": 2, "P 61": 2, "R 3:R": 2, "F d -3 m": 1}
    shapes = {
        "P 1": (46, 71, 98, 77, 83, 68), "P 1 21 1": (63, 94, 81, 90, 102, 90), "P 21 21 21": (60, 70, 80, 90, 90, 90),
        "P 43 21 2": (79, 79, 38, 90, 90, 90), "P 61": (93, 93, 130, 90, 90, 120), "R 3:R": (70, 70, 70, 82, 82, 82),
        "F d -3 m": (140, 140, 140, 90, 90, 90),
    }  # fmt: skip
    for group, number in free.items():
        known = KnownCell.of(shapes[group], group)
        assert len(known.strains) == number
        assert np.allclose(known.basis @ known.basis.T, basis_of(shapes[group]) @ basis_of(shapes[group]).T)
        for strain in known.strains:
            strained = known.basis @ (np.eye(3) + 0.01 * strain)
            lengths = np.linalg.norm(strained, axis=1)
            cosine = (strained @ strained.T) / np.outer(lengths, lengths)
            angles = np.degrees(np.arccos(cosine[[1, 0, 0], [2, 2, 1]]))
            KnownCell.of((*lengths, *angles), group)  # still of the shape that the group needs
    with pytest.raises(SettingError, match="needs a = b"):
        KnownCell.of((60, 70, 80, 90, 90, 90), "P 43 21 2")
