"""Standard profiles at places where they are known, and pixels of streaks against the slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crystint.cbc.merging import profiles
from crystint.cbc.merging.profiles import PROFILES, standard_profile, streak_pixels
from crystint.cbc.table.table import CBCTable
from crystint.cbc.table.table_files import read_table
from crystint.errors import SettingError, ShapeError
from tests.conftest import shared_data
from tests.oracles import cbc_profiles as oracle


@pytest.mark.parametrize("name", PROFILES)
def test_values_where_they_are_known(name: str, rng: np.random.Generator) -> None:
    e = np.array([0.0, 1.0, -1.0, 1.25, 2.0, 2.4999, 2.5, -2.5, 3.0, 1e9])
    known = {
        "tophat": [1, 1, 1, 1, 0.5, 1e-4, 0, 0, 0, 0],
        "linear": [1, 0.6, 0.6, 0.5, 0.2, 4e-5, 0, 0, 0, 0],
        "quad": [1, 0.84, 0.84, 0.75, 0.36, 7.99984e-5, 0, 0, 0, 0],
        "gauss": [1, 0.51847295, 0.51847295, 0.35608574, 0.06008968, 5.97119e-6, 0, 0, 0, 0],
    }
    found = standard_profile(name, e, 4.0)
    assert np.allclose(found, known[name], rtol=1e-5, atol=1e-12)
    distance, width = rng.uniform(-6, 6, 500), rng.uniform(0, 9, 500)
    expected = [oracle.profile(name, each, wide) for each, wide in zip(distance.tolist(), width.tolist())]
    assert np.allclose(standard_profile(name, distance, width), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", PROFILES)
def test_pixels_equal_the_oracle(name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_BLOCK", 7)
    shape, n = (31, 23), 40
    ends = rng.uniform([-6, -6, -6, -6], [29, 37, 29, 37], (n, 4))
    ends[0] = 3, 5, 15, 5  # along x on pixel centres, along y, diagonal, backwards, short, outside
    ends[1] = 4.5, 2, 4.5, 20
    ends[2] = 2, 2, 14, 14
    ends[3] = 20, 9.25, 1, 9.25
    ends[4] = 7.2, 7.9, 7.3, 7.8
    ends[5] = 100, 100, 120, 110
    width = rng.uniform(0, 8, n)
    width[:3] = 1.0, 4.0, 2.0
    found = streak_pixels(*ends.T, width, name, shape)
    assert (found.streak.dtype, found.x.dtype, found.y.dtype, found.profile.dtype) == ("i8", "i4", "i4", "f8")
    for number in range(n):
        expected = oracle.pixels(*ends[number].tolist(), float(width[number]), name, shape)
        here = found.streak == number
        assert list(zip(found.x[here].tolist(), found.y[here].tolist())) == [each[:2] for each in expected]
        assert np.allclose(found.profile[here], [each[2] for each in expected], rtol=0, atol=1e-14)
    assert not (found.streak == 5).any()
    assert len(np.unique(found.streak)) > 30


def test_a_streak_that_moves_by_less_than_a_pixel_moves_its_profile() -> None:
    """Theory: the centre of mass across a streak is where its line is; rounding the ends would move it in jumps."""
    for shift in np.linspace(0, 1, 11):
        found = streak_pixels(5, 10 + shift, 30, 10 + shift, 6, "gauss", (25, 40))
        column = found.x == 17
        centre = (found.profile[column] * found.y[column]).sum() / found.profile[column].sum()
        assert abs(centre - 10 - shift) < 0.003


@pytest.mark.parametrize(("name", "area"), [("tophat", 4.0), ("linear", 2.5), ("quad", 10 / 3)])
def test_the_sum_across_is_the_area_of_the_profile(name: str, area: float) -> None:
    sums = []
    for shift in np.linspace(0, 1, 20, endpoint=False):
        found = streak_pixels(5, 10 + shift, 30, 10 + shift, 4, name, (25, 40))
        sums.append(found.profile[found.x == 17].sum())
    assert abs(np.mean(sums) - area) < 0.02


def test_ends_and_edges() -> None:
    found = streak_pixels(4, 3, 8, 3, 1, "linear", (10, 20))
    assert found.x.tolist() == [4, 5, 6, 7, 8]  # w = 1: neighbours at distance 1 are 0
    assert found.y.tolist() == [3] * 5
    assert found.profile.tolist() == [1.0] * 5
    assert streak_pixels(3.5, 3, 8.5, 3, 1, "linear", (10, 20)).x.tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert streak_pixels(3.6, 3, 8.4, 3, 1, "linear", (10, 20)).x.tolist() == [4, 5, 6, 7, 8]
    assert streak_pixels(-50, 3, 50, 3, 1, "quad", (10, 20)).x.tolist() == list(range(20))
    assert streak_pixels(3, -50, 3, 50, 1, "quad", (10, 20)).y.tolist() == list(range(10))
    none: list[float] = []
    assert len(streak_pixels(none, none, none, none, 2, "quad", (10, 20)).x) == 0


def test_the_pixels_of_streaks_make_a_table() -> None:
    found = streak_pixels([2, 2], [2, 3], [9, 9], [8, 2], 3, "quad", (20, 20))
    n = len(found.x)
    columns = found._asdict() | {"frame": np.zeros(n, int), "counts": np.ones(n), "background": np.ones(n)}
    table = CBCTable.from_columns(columns)
    assert len(table.streak_starts) == 2


def test_gauss_of_width_4_is_the_profile_of_the_case() -> None:
    """Streaks of the case: a line fitted to each explains its profiles as `gauss` of width 4, and as nothing else."""
    table = read_table(shared_data("cbc/cbc_case.h5"))
    top = {}
    for name in PROFILES:
        errors = []
        for start, stop in zip(table.streak_starts[:40], table.streak_starts[1:41]):
            x, y, p = (values[start:stop] for values in (table.x, table.y, table.profile))
            grid = np.linspace(0.0, 2.5, 2501)
            distance = np.interp(-p, -standard_profile(name, grid, 4.0), grid)  # from the profile, back
            strong = p > 0.02
            centre = np.average(np.stack([x, y]), weights=p, axis=1)
            shifted = np.stack([x, y], axis=1)[strong] - centre
            direction = np.linalg.svd(shifted * p[strong, None])[2][0]
            across = shifted @ np.array([-direction[1], direction[0]])
            side = np.sign(across)
            line = np.stack([shifted[:, 0] * side, shifted[:, 1] * side, side], axis=1)
            sure = distance[strong] > 0.6  # on one side for sure
            solution = np.linalg.lstsq(line[sure], distance[strong][sure], rcond=None)[0]
            errors.append(np.sqrt(np.mean((line[sure] @ solution - distance[strong][sure]) ** 2)))
        top[name] = float(np.median(errors))
    assert min(top, key=lambda name: top[name]) == "gauss"
    assert top["gauss"] < 0.3 * min(value for name, value in top.items() if name != "gauss")


BAD: list[tuple[tuple[Any, ...], type[Exception], str]] = [
    ((0, 0, 1, 1, 1, "Gauss", (5, 5)), SettingError, "profile is 'Gauss', expected one of tophat, linear, quad, gauss"),
    ((0, 0, 1, 1, -1, "quad", (5, 5)), SettingError, "width is -1.0"),
    ((0, 0, 1, 1, np.nan, "quad", (5, 5)), SettingError, "width is nan"),
    (([0, 1], [0, 1], [1, 1], [1, 1], 1, "quad", (5, 5)), SettingError, "streak 1 has the ends"),
    ((0, np.nan, 1, 1, 1, "quad", (5, 5)), SettingError, "streak 0 has the ends"),
    (([0, 1], [0, 1, 2], 1, 1, 1, "quad", (5, 5)), ShapeError, "same number"),
    ((np.zeros((2, 2)), 1, 1, 1, 1, "quad", (5, 5)), ShapeError, r"\(2, 2\)"),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), BAD)
def test_what_cannot_be_is_refused(arguments: tuple[Any, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        streak_pixels(*arguments)
