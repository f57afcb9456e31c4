"""Cells and space groups: every setting, small distortions, and refusals that say what was expected."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import SettingError
from crystint.model.cells import common_cell, needed_cell, symmetric_cell
from crystint.model.observations import Observations
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.scale import scale
from tests.stills.test_scale import _experiment, made


def test_every_setting_gets_a_cell_that_gemmi_accepts_and_keeps_it() -> None:
    rng = np.random.default_rng(0)
    for group in gemmi.spacegroup_table():
        any_cell = (*rng.uniform(40.0, 90.0, 3), *rng.uniform(75.0, 110.0, 3))
        cell = symmetric_cell(any_cell, group, lengths=np.inf, angles=180.0)
        assert cell.is_compatible_with_spacegroup(group, 1e-6), group.xhm()
        again = symmetric_cell(cell, group, lengths=1e-7, angles=1e-5)
        assert np.allclose(again.parameters, cell.parameters, atol=1e-6)
        assert cell.volume > 0.0


def test_cells_that_fit_are_not_touched() -> None:
    for cell, group in (
        ((79.0, 79.0, 38.0, 90.0, 90.0, 90.0), "P 43 21 2"),
        ((50.0, 60.0, 70.0, 80.0, 95.0, 101.0), "P 1"),
        ((60.1, 60.1, 97.3, 90.0, 90.0, 120.0), "P 61 2 2"),
        ((60.1, 50.1, 97.3, 90.0, 93.0, 90.0), "C 2"),
        ((60.0, 60.0, 60.0, 72.0, 72.0, 72.0), "R 3:R"),
    ):
        assert symmetric_cell(cell, group).parameters == cell
        unit = gemmi.UnitCell(*cell)
        assert symmetric_cell(unit, group).parameters == unit.parameters


def test_small_distortions_are_averaged() -> None:
    """As dials.refine leaves them in P 1: means of what is equal, right angles right."""
    cell = symmetric_cell((79.2, 78.8, 38.0, 90.3, 89.6, 90.1), "P 43 21 2")
    assert cell.parameters[:3] == pytest.approx((79.0003, 79.0003, 38.0), abs=1e-3)
    assert cell.parameters[3:] == (90.0, 90.0, 90.0)
    with pytest.raises(SettingError, match="within 1% and 1 degrees"):
        symmetric_cell((80.0, 78.0, 38.0, 90.0, 90.0, 90.0), "P 43 21 2")
    with pytest.raises(SettingError, match="alpha = gamma = 90"):
        symmetric_cell((80.0, 78.0, 38.0, 91.2, 95.0, 90.0), "C 2")


@pytest.mark.parametrize(
    ("group", "needed"),
    [
        ("P 1", "no particular cell"),
        ("C 1 2 1", "alpha = gamma = 90"),
        ("P 1 1 2", "alpha = beta = 90"),
        ("P 21 21 21", "alpha = beta = gamma = 90"),
        ("P 43 21 2", "a = b, alpha = beta = gamma = 90"),
        ("P 61 2 2", "a = b, alpha = beta = 90, gamma = 120"),
        ("R 3:R", "a = b = c, alpha = beta = gamma"),
        ("R 3:H", "a = b, alpha = beta = 90, gamma = 120"),
        ("I 2 3", "a = b = c, alpha = beta = gamma = 90"),
    ],
)
def test_what_a_group_needs(group: str, needed: str) -> None:
    assert needed_cell(group) == needed


@pytest.mark.parametrize("group", ["P 2 3", "P 61 2 2"])
def test_a_group_that_the_cell_contradicts_is_refused(group: str) -> None:
    observations, _ = made(images=6)
    cell = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)
    with pytest.raises(SettingError, match=f"the cell is 79.00 79.00 38.00 .* space group {group} needs a = b"):
        merge(observations, space_group=group, cell=cell)
    with pytest.raises(SettingError, match=f"space group {group} needs a = b"):
        scale(observations, _experiment(tuple("abcdef")), space_group=group)


@pytest.mark.parametrize("cell", [(79.0, 79.0, np.nan, 90.0, 90.0, 90.0), (79.0, 79.0, 38.0, 90.0, 90.0, 180.0)])
def test_cells_without_volume_are_none(cell: tuple[float, ...]) -> None:
    with pytest.raises(SettingError, match="has no volume"):
        symmetric_cell(cell, "P 1")


def test_merged_data_have_the_symmetric_cell_and_say_so() -> None:
    table = Observations(
        image=[0, 1, 0], hkl=[[1, 2, 3], [2, 1, 3], [3, 3, 1]], intensity=[9.0, 11.0, 5.0], sigma=[1.0, 1.0, 1.0],
        d=[9.0, 9.0, 9.0],
    )  # fmt: skip
    merged = merge(table, space_group="P 4", cell=(79.3, 78.9, 38.0, 90.2, 90.0, 90.0))
    assert merged.cell.a == merged.cell.b == pytest.approx(79.1, abs=1e-3)
    assert "the cell 79.300 78.900 38.000 90.200 90.000 90.000 became 79.10" in merged.notes[0] + merged.notes[-1]
    merged = merge(table, space_group="P 4", cell=(79.3, 79.3001, 38.0, 90.0, 90.0, 90.0))
    assert merged.cell.a == merged.cell.b
    assert not any("became" in note for note in merged.notes)


def test_commands_refuse_it_before_they_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystint.stills.scale_step.find_ambiguity", None)  # the cell is looked at first
    run = CliRunner()
    where = str(tmp_path)
    made_now = run.invoke(
        main,
        ["stills", "simulate", "-o", where, "--frames", "4", "--shape", "300,320", "--distance", "0.05", "--d-min", "5",
         "--cell", "79,79,38,90,90,90", "--space-group", "P43212", "--no-images", "--quiet"],
    )  # fmt: skip
    assert made_now.exit_code == 0, made_now.output
    truth = f"{where}/truth.h5"
    for step in ("scale", "merge"):
        done = run.invoke(main, ["stills", step, truth, "-o", f"{where}/{step}.h5", "--space-group", "P23", "--quiet"])
        assert done.exit_code != 0
        assert "79.00 79.00 38.00 90.00 90.00 90.00, but space group P 2 3 needs a = b = c" in done.output
        assert "ambiguity" not in done.output
        assert not Path(f"{where}/{step}.h5").exists()


def test_cells_that_are_read_show_what_contradicts_them() -> None:
    """Settings of a tetragonal crystal are not made cubic, but small differences go."""
    rng = np.random.default_rng(0)
    real = np.diag([79.2, 78.8, 38.0]) * (1.0 + 1e-4 * rng.normal(size=(5, 1, 1)))
    setting = np.linalg.inv(real)
    cubic = common_cell(setting, gemmi.SpaceGroup("P 2 3"))
    assert cubic[:3] == pytest.approx((79.2, 78.8, 38.0), rel=1e-3)
    tetragonal = common_cell(setting, gemmi.SpaceGroup("P 4"))
    assert tetragonal[0] == tetragonal[1] == pytest.approx(79.0, rel=1e-3)
    assert tetragonal[3:] == (90.0, 90.0, 90.0)
    assert common_cell(np.full((2, 3, 3), np.nan), gemmi.SpaceGroup("P 4")) == (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
