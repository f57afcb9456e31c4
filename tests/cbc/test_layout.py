"""Layouts: each pixel once, and tables that cannot be scaled."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from crystint.cbc.scaling.layout import Layout
from crystint.errors import SettingError, ShapeError
from tests.cbc.case import small
from tests.oracles import cbc_scaling as oracle


def columns(table):
    names = ("frame", "streak", "x", "y", "counts", "background", "profile", "hkl")
    return SimpleNamespace(**{name: np.array(getattr(table, name)) for name in names})


def test_each_pixel_once_and_in_order(rng):
    table, u, rows = small(rng)
    layout = Layout.of(table, u)
    groups = oracle.pixels(rows)
    assert layout.n_pixels == len(groups) < len(layout)
    for number, members in enumerate(groups):
        assert (layout.pixel[members] == number).all()
        assert layout.counts[number] == rows[members[0]][4]
        assert layout.background[number] == rows[members[0]][5]
    assert layout.multiplicity.tolist() == [len(members) for members in groups]
    assert layout.multiplicity.max() > 1


def test_rows_streaks_and_frames(rng):
    table, u, rows = small(rng, frames=3)
    layout = Layout.of(table, u)
    assert layout.frames.tolist() == [100, 102, 104]
    assert layout.frame.tolist() == [(row[0] - 100) // 2 for row in rows]
    assert layout.streak.tolist() == [row[1] for row in rows]
    assert layout.streak_frame.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert np.array_equal(layout.streak_hkl[layout.streak], table.hkl)
    assert np.array_equal(layout.reflection, layout.streak)
    merged = layout.merged(np.arange(12) % 3, np.eye(3))
    assert merged.reflection.tolist() == [row[7] for row in rows]
    assert merged.n_reflections == 3
    assert layout.n_reflections == 12


def test_streak_numbers_may_have_gaps(rng):
    table, u, _ = small(rng)
    other = columns(table)
    other.streak = other.streak * 7 + 3
    assert np.array_equal(Layout.of(other, u).streak, Layout.of(table, u).streak)


@pytest.mark.parametrize("column", ["counts", "background"])
def test_rows_of_one_pixel_must_agree(rng, column):
    table, u, rows = small(rng)
    first, second = next(members for members in oracle.pixels(rows) if len(members) > 1)[:2]
    wrong = columns(table)
    getattr(wrong, column)[second] += 1.0
    with pytest.raises(SettingError, match=rf"row {second}: {column}.* row {first} of the same pixel"):
        Layout.of(wrong, u)


@pytest.mark.parametrize("column", ["counts", "background", "profile"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_must_be_finite(rng, column, value):
    table, u, _ = small(rng)
    wrong = columns(table)
    getattr(wrong, column)[5] = value
    with pytest.raises(SettingError, match=f"row 5: {column} is not finite"):
        Layout.of(wrong, u)


def test_u_must_be_finite_and_fit(rng):
    table, u, _ = small(rng)
    u[7, 1] = np.nan
    with pytest.raises(SettingError, match="row 7: u is not finite"):
        Layout.of(table, u)
    with pytest.raises(ShapeError, match="u is"):
        Layout.of(table, u[1:])
    with pytest.raises(ShapeError, match="no rows"):
        Layout.of(SimpleNamespace(frame=np.zeros(0), hkl=np.zeros((0, 3))), u[:0])


def test_a_streak_without_profile_and_a_negative_one(rng):
    table, u, _ = small(rng)
    wrong = columns(table)
    wrong.profile[wrong.streak == 2] = 0.0
    with pytest.raises(SettingError, match=r"streak 2 .* profile of 0"):
        Layout.of(wrong, u)
    wrong.profile[wrong.streak == 2] = -0.1
    with pytest.raises(SettingError, match="row 54: the profile is negative"):
        Layout.of(wrong, u)


def test_rows_out_of_order(rng):
    table, u, _ = small(rng)
    wrong = columns(table)
    wrong.frame = wrong.frame[::-1]
    with pytest.raises(SettingError, match="frames are not ascending"):
        Layout.of(wrong, u)
    wrong = columns(table)
    wrong.streak[[30, 80]] = wrong.streak[[80, 30]]
    with pytest.raises(SettingError, match=r"streak \d goes on"):
        Layout.of(wrong, u)


def test_not_indexed_and_two_indices_in_a_streak(rng):
    table, u, _ = small(rng)
    wrong = columns(table)
    wrong.hkl[3] += 1
    with pytest.raises(SettingError, match=r"row 3: h, k, l"):
        Layout.of(wrong, u)
    wrong.hkl = None
    with pytest.raises(SettingError, match="index"):
        Layout.of(wrong, u)


def test_frames_without_rows_and_unexpected_ones(rng):
    table, u, _ = small(rng)
    assert Layout.of(table, u, [100, 102]).n_frames == 2
    with pytest.raises(SettingError, match="frame 101 has no rows"):
        Layout.of(table, u, [100, 101, 102])
    with pytest.raises(SettingError, match="frame 102, which is not among"):
        Layout.of(table, u, [100])


def test_mergings_that_do_not_fit(rng):
    layout = Layout.of(*small(rng)[:2])
    with pytest.raises(ShapeError, match="one per streak"):
        layout.merged([0, 1], np.eye(3))
    with pytest.raises(ShapeError, match="hkl is"):
        layout.merged(np.zeros(8, int), np.eye(4))
    with pytest.raises(SettingError, match="reach from 0 to 7"):
        layout.merged(np.arange(8), np.eye(3))
