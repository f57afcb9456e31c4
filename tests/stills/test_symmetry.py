"""Asymmetric units, absences and unique reflections, against gemmi one reflection at a time."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.model import symmetry


def some_reflections() -> np.ndarray:
    """General ones, and every kind of special one."""
    general = np.random.default_rng(3).integers(-7, 8, (60, 3))
    special = [list(hkl) for hkl in itertools.product((-2, -1, 0, 1, 2), repeat=3)]
    axes = [[0, 0, n] for n in range(-6, 7)] + [[n, 0, 0] for n in range(-6, 7)] + [[n, n, 0] for n in range(-4, 5)]
    return np.concatenate([general, special, axes]).astype(np.int32)


def test_every_setting_of_every_space_group_equals_gemmi() -> None:
    hkl = some_reflections()
    plain = hkl.tolist()
    for group in gemmi.spacegroup_table():
        unit, operations = gemmi.ReciprocalAsu(group), group.operations()
        reduced, isym = symmetry.reduce(hkl, group)
        expected = [unit.to_asu(row, operations) for row in plain]
        assert reduced.tolist() == [row for row, _ in expected], group.xhm()
        assert isym.tolist() == [number for _, number in expected], group.xhm()
        assert np.array_equal(symmetry.absent(hkl, group), operations.systematic_absences(hkl)), group.xhm()
        assert np.array_equal(symmetry.centric(hkl, group), operations.centric_flag_array(hkl)), group.xhm()
        epsilon = operations.epsilon_factor_without_centering_array(hkl)
        assert np.array_equal(symmetry.epsilon(hkl, group), epsilon), group.xhm()


@pytest.mark.parametrize("spread", [6, 400, 100_000])
def test_distinct_is_numpys_unique_whether_the_box_is_full_or_empty(rng: np.random.Generator, spread: int) -> None:
    hkl = rng.integers(-spread, spread, (5000, 3))
    unique, number = symmetry.distinct(hkl)
    expected, row = np.unique(hkl, axis=0, return_inverse=True)
    assert np.array_equal(unique, expected)
    assert np.array_equal(number, row.ravel())
    assert np.array_equal(symmetry.unpack(symmetry.pack(hkl)), hkl)


def test_groups_hold_what_is_equivalent_and_nothing_else(rng: np.random.Generator) -> None:
    hkl = rng.integers(-5, 6, (400, 3)).astype(np.int32)
    operations = gemmi.SpaceGroup("P 3 2 1").operations()
    for anomalous in (False, True):
        unique, number = symmetry.groups(hkl, "P 3 2 1", anomalous=anomalous)
        for one in range(0, 400, 7):
            mates = {tuple(op.apply_to_hkl(hkl[one].tolist())) for op in operations.sym_ops}
            if not anomalous:
                mates |= {tuple(-i for i in mate) for mate in mates}
            equal = np.array([tuple(row) in mates for row in hkl.tolist()])
            assert np.array_equal(number == number[one], equal)
        assert np.array_equal(unique, unique[np.lexsort(unique.T[::-1])])
        assert np.array_equal(symmetry.asu(hkl, "P 3 2 1", anomalous=anomalous), unique[number])


def test_friedel_mates_of_centric_reflections_are_one() -> None:
    mates = np.array([[1, 0, 5], [-1, 0, -5], [1, 2, 3], [-1, -2, -3]])
    assert len(symmetry.groups(mates, "P 2 2 2", anomalous=True)[0]) == 3
    assert len(symmetry.groups(mates, "P 2 2 2")[0]) == 2
    assert symmetry.asu(mates, "P 2 2 2", anomalous=True).tolist() == [[1, 0, 5], [1, 0, 5], [1, 2, 3], [-1, -2, -3]]


@pytest.mark.parametrize(("name", "cell"), [
    ("P 43 21 2", (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)),
    ("C 1 2 1", (50.0, 31.0, 40.0, 90.0, 110.0, 90.0)),
    ("R 3:R", (40.0, 40.0, 40.0, 80.0, 80.0, 80.0)),
])  # fmt: skip
def test_possible_reflections_are_those_a_loop_finds(name: str, cell: tuple[float, ...]) -> None:
    unit, group = gemmi.UnitCell(*cell), gemmi.SpaceGroup(name)
    operations, asu = group.operations(), gemmi.ReciprocalAsu(group)
    top = [range(-int(length / 6.0) - 1, int(length / 6.0) + 2) for length in cell[:3]]
    expected = [
        list(hkl)
        for hkl in itertools.product(*top)
        if any(hkl) and 6.0 <= unit.calculate_d(hkl) <= 20.0 and asu.is_in(hkl)
        and not operations.is_systematically_absent(hkl)
    ]  # fmt: skip
    reflections = symmetry.possible(cell, name, 6.0, 20.0)
    assert reflections.tolist() == expected
    both = symmetry.possible(cell, name, 6.0, 20.0, anomalous=True)
    assert len(both) == 2 * len(reflections) - np.count_nonzero(symmetry.centric(reflections, name))
    assert symmetry.spacing(reflections, cell) == pytest.approx([unit.calculate_d(hkl) for hkl in expected])


def test_names_of_operators() -> None:
    assert symmetry.operator_name(np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])) == "k,h,-l"
    turn = np.array([[0, 1, 0], [-1, -1, 0], [0, 0, 1]])
    assert symmetry.operator_name(turn) == "-k,h-k,l"
    assert (np.array([[5, 7, 3]]) @ turn).tolist() == [[-7, -2, 3]]


def test_bad_input_is_said() -> None:
    with pytest.raises(SettingError, match="unknown space group 'P 5'"):
        symmetry.asu(np.zeros((1, 3), int), "P 5")
    with pytest.raises(SettingError, match="unknown space group 0"):
        symmetry.as_space_group(0)
    with pytest.raises(ShapeError, match=r"\(3,\), expected \(n, 3\)"):
        symmetry.reduce(np.zeros(3, int), "P 1")
    with pytest.raises(SettingError, match="damaged"):
        symmetry.pack(np.array([[1 << 20, 0, 0]]))
    with pytest.raises(SettingError, match="d_min"):
        symmetry.possible((10.0, 10, 10, 90, 90, 90), "P 1", 0.0)
    empty, number = symmetry.groups(np.zeros((0, 3), int), "P 1")
    assert empty.shape == (0, 3)
    assert number.shape == (0,)
