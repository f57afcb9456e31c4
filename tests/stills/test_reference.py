"""Reference intensities are found through the symmetry, whichever form a reflection is given in."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystint.errors import GeometryError, ShapeError
from crystint.model.reference import Reference

CELL = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)


def box(n):
    hkl = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3), -1).reshape(-1, 3)
    return hkl[hkl.any(axis=1)]


def by_gemmi(hkl, name):
    group = gemmi.SpaceGroup(name)
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    return np.array([asu.to_asu(h, operations)[0] for h in hkl.tolist()])


@pytest.mark.parametrize(
    "name",
    ["P 1", "C 1 2 1", "P 21 21 21", "P 43 21 2", "P 3 1 2", "P 3 2 1", "P 61 2 2", "P 21 3", "F 4 3 2", "R 3:R"],
)
def test_equivalents_are_those_of_gemmi(rng, name):
    hkl = box(4)
    unique, row = np.unique(by_gemmi(hkl, name), axis=0, return_inverse=True)
    value = rng.normal(size=len(unique))
    reference = Reference(unique, value, np.ones(len(unique)), CELL, gemmi.SpaceGroup(name))
    assert np.array_equal(reference.match(hkl), value[row.reshape(-1)])
    assert np.array_equal(reference.match(hkl, gemmi.SpaceGroup("P 1")), value[row.reshape(-1)])
    assert np.isnan(reference.match(np.array([[9, 9, 9]]))).all()


def test_rows_that_the_data_make_equivalent_are_averaged():
    reference = Reference(
        np.array([[1, 2, 3], [1, 2, -3], [2, 0, 0]]), [2.0, 4.0, np.nan], [1.0, 1.0, 1.0], CELL, gemmi.SpaceGroup("P 1")
    )
    asked = np.array([[-1, -2, -3], [1, 2, -3], [1, -2, 3], [2, 0, 0]])
    np.testing.assert_array_equal(reference.match(asked), [2.0, 4.0, np.nan, np.nan])
    np.testing.assert_array_equal(reference.match(asked, gemmi.SpaceGroup("P 2 2 2")), [3.0, 3.0, 3.0, np.nan])


def test_averaged_merges_mates_and_leaves_out_what_is_not_known():
    found = Reference.averaged(
        np.array([[1, 2, 3], [-1, -2, -3], [4, 0, 0], [5, 1, 1]]),
        np.array([2.0, 4.0, 7.0, np.nan]),
        np.array([3.0, 4.0, 1.0, 1.0]),
        CELL,
        gemmi.SpaceGroup("P 1"),
    )
    assert len(found) == 2
    assert found.match(np.array([[1, 2, 3], [4, 0, 0], [5, 1, 1]])).tolist()[:2] == [3.0, 7.0]
    assert sorted(found.sigma.tolist()) == [1.0, 2.5]
    np.testing.assert_allclose(found.d, 1 / np.sqrt([(1 + 4) / 79**2 + 9 / 38**2, 16 / 79**2]))


def test_an_empty_reference_knows_nothing():
    reference = Reference(np.zeros((0, 3)), [], [], CELL, gemmi.SpaceGroup("P 1"))
    assert np.isnan(reference.match(np.array([[1, 0, 0]]))).all()
    assert reference.match(np.zeros((0, 3))).shape == (0,)


def test_columns_that_do_not_belong_together_are_refused():
    with pytest.raises(ShapeError, match="intensity is"):
        Reference(np.zeros((2, 3)), [1.0], [1.0, 1.0], CELL, gemmi.SpaceGroup("P 1"))
    with pytest.raises(ShapeError, match="hkl is"):
        Reference(np.zeros(3), [1.0], [1.0], CELL, gemmi.SpaceGroup("P 1"))
    with pytest.raises(GeometryError, match="cell"):
        Reference(np.zeros((0, 3)), [], [], (np.nan,) * 6, gemmi.SpaceGroup("P 1"))
    with pytest.raises(ShapeError, match="expected"):
        Reference(np.zeros((0, 3)), [], [], CELL, gemmi.SpaceGroup("P 1")).match(np.zeros(3))
