"""Families of reflections against orbits written out from the International Tables."""

import itertools

import gemmi
import numpy as np
import pytest

from crystint.cbc.merging.families import families, symmetry_group
from crystint.errors import SettingError, ShapeError
from tests.oracles.cbc_families import GENERATORS, ORDERS, orbit

CUBE = np.array(list(itertools.product(range(-3, 4), repeat=3)))


@pytest.mark.parametrize("friedel", [True, False])
@pytest.mark.parametrize("name", GENERATORS)
def test_families_are_the_orbits(name: str, friedel: bool) -> None:
    found = families(CUBE, name, friedel=friedel)
    rows = list(map(tuple, CUBE.tolist()))
    orbits = {hkl: orbit(hkl, name, friedel) for hkl in rows}
    assert len(found) == len(set(orbits.values()))
    for hkl, number in zip(rows, found.number):
        assert tuple(found.hkl[number].tolist()) in orbits[hkl]
        assert found.size[number] == len(orbits[hkl])
        mate = (-hkl[0], -hkl[1], -hkl[2])
        assert found.centric[number] == (mate in orbit(hkl, name, False))


@pytest.mark.parametrize("name", ORDERS)
def test_orders(name: str) -> None:
    assert (families(CUBE, name, friedel=False).order, families(CUBE, name).order) == ORDERS[name]


@pytest.mark.parametrize("name", GENERATORS)
def test_signs_tell_friedel_mates_apart(name: str) -> None:
    merged, apart = families(CUBE, name), families(CUBE, name, friedel=False)
    assert np.array_equal(merged.sign, apart.sign)
    mates = dict(zip(map(tuple, CUBE.tolist()), merged.sign.tolist()))
    for hkl, sign in mates.items():
        centric = (-hkl[0], -hkl[1], -hkl[2]) in orbit(hkl, name, False)
        assert mates[(-hkl[0], -hkl[1], -hkl[2])] == (1 if centric else -sign)
    whole = np.where((merged.sign == 1)[:, None], 1, -1) * merged.hkl[merged.number]
    assert np.array_equal(apart.hkl[apart.number], whole)


def test_4mm_without_friedel_keeps_l_and_minus_l_apart() -> None:
    found = families([[1, 2, 3], [2, 1, 3], [1, 2, -3]], "4mm", friedel=False)
    assert found.number.tolist() == [1, 1, 0]
    assert found.hkl.tolist() == [[-2, -1, -3], [2, 1, 3]]
    assert found.sign.tolist() == [1, 1, -1]
    assert len(families([[1, 2, 3], [2, 1, 3], [1, 2, -3]], "4mm")) == 1


def test_none_joins_equal_indices_only() -> None:
    found = families([[1, 2, 3], [-1, -2, -3], [1, 2, 3]])
    assert found.hkl.tolist() == [[-1, -2, -3], [1, 2, 3]]
    assert found.number.tolist() == [1, 0, 1]
    assert found.order == 1
    assert not found.friedel
    assert found.group is None
    assert found.sign.tolist() == [1, 1, 1]
    assert found.size.tolist() == [1, 1]
    assert not found.centric.any()
    assert not found.absent.any()


@pytest.mark.parametrize("name", ["P 21 21 21", "P3121", "P3112", "C 1 2 1", "R 3 2:R", "I a -3 d", "P 43 21 2"])
def test_space_groups_as_gemmi_reduces_them(name: str) -> None:
    group = gemmi.SpaceGroup(name)
    operations, unit = group.operations(), gemmi.ReciprocalAsu(group)
    found = families(CUBE, name)
    expected = [unit.to_asu(hkl, operations) for hkl in CUBE.tolist()]
    assert found.hkl[found.number].tolist() == [list(hkl) for hkl, _ in expected]
    absent = [operations.is_systematically_absent(hkl) for hkl in CUBE.tolist()]
    assert found.absent[found.number].tolist() == absent
    assert any(absent) == (name != "R 3 2:R")


def test_a_point_group_has_no_absences() -> None:
    assert not families(CUBE, "m-3m").absent.any()


@pytest.mark.parametrize(("given", "name"), [
    ("4mm", "P 4 m m"), ("4 m m", "P 4 m m"), ("2", "P 1 2 1"), ("112", "P 1 1 2"), ("m3m", "P m -3 m"),
    ("222", "P 2 2 2"), ("P32", "P 32"), ("p212121", "P 21 21 21"), (19, "P 21 21 21"),
    (np.int64(4), "P 1 21 1"), ("3", "P 3"), ("-62m", "P -6 2 m"), ("R 3:R", "R 3:R"),
])  # fmt: skip
def test_names(given: str | int, name: str) -> None:
    group = symmetry_group(given)
    assert group is not None
    assert group.xhm() == name
    assert symmetry_group(group) is group


def test_every_point_group_has_a_name() -> None:
    named = {group.point_group_hm() for group in gemmi.spacegroup_table()}
    for name in named - {"32", "3m", "-3m"}:
        group = symmetry_group(name)
        assert group is not None
        assert group.point_group_hm() == name
    for name in ("321", "312", "3m1", "31m", "-3m1", "-31m", "-4m2", "-6m2"):
        group = symmetry_group(name)
        assert group is not None
        assert group.hm.replace(" ", "") == "P" + name


@pytest.mark.parametrize(("given", "part"), [
    ("32", "'321' or '312'"), ("3m", "'3m1' or '31m'"), ("-3m", "'-3m1' or '-31m'"), ("mmmm", "'mmm'"),
    ("19", "point group"), ("", "point group"), ("P 7 2", "unknown symmetry 'P 7 2'"), (0, "unknown symmetry 0"),
    (231, "unknown"), (2.5, "2.5"), (True, "True"),
])  # fmt: skip
def test_unknown_or_ambiguous(given: str, part: str) -> None:
    with pytest.raises(SettingError, match=part) as caught:
        families(CUBE, given)
    assert "expected" in str(caught.value) or "settings" in str(caught.value)


def test_indices_that_are_none() -> None:
    assert families(CUBE.astype(float), "mmm").hkl.tolist() == families(CUBE, "mmm").hkl.tolist()
    with pytest.raises(SettingError, match="whole"):
        families(np.array([[1.0, 2.5, 3.0]]), "mmm")
    with pytest.raises(SettingError, match="whole"):
        families(np.array([[1.0, np.nan, 3.0]]), "mmm")
    with pytest.raises(ShapeError, match="expected"):
        families(CUBE[:, :2], "mmm")


@pytest.mark.parametrize("symmetry", [None, "mmm", "4mm"])
def test_nothing_at_all(symmetry: str | None) -> None:
    found = families(np.zeros((0, 3), int), symmetry)
    assert len(found) == 0
    assert found.hkl.shape == (0, 3)
    assert found.number.shape == (0,)
