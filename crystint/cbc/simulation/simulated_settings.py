"""What a simulation of convergent-beam streaks may hold: optics, crystal, maps, noise; checked once."""

from __future__ import annotations

from typing import Self

import gemmi
from pydantic import model_validator

from crystint.cbc.merging.families import symmetry_group
from crystint.cbc.settings import SimulationSettings
from crystint.errors import SettingError

__all__ = ["CBCSettings", "space_group"]

_CELLS = {
    gemmi.CrystalSystem.Triclinic: (22.1, 27.3, 33.7, 82.0, 95.0, 101.0),
    gemmi.CrystalSystem.Monoclinic: (22.1, 27.3, 33.7, 90.0, 103.0, 90.0),
    gemmi.CrystalSystem.Orthorhombic: (22.1, 27.3, 33.7, 90.0, 90.0, 90.0),
    gemmi.CrystalSystem.Tetragonal: (24.6, 24.6, 33.7, 90.0, 90.0, 90.0),
    gemmi.CrystalSystem.Trigonal: (26.4, 26.4, 33.7, 90.0, 90.0, 120.0),
    gemmi.CrystalSystem.Hexagonal: (26.4, 26.4, 33.7, 90.0, 90.0, 120.0),
    gemmi.CrystalSystem.Cubic: (27.3, 27.3, 27.3, 90.0, 90.0, 90.0),
}


def space_group(name: str) -> gemmi.SpaceGroup:
    """The group of that name; a point group's name is that of its primitive group without screws: mmm = P m m m.

    Raises
    ------
    SettingError
        When there is none, or it has two meanings.
    """
    group = symmetry_group(name)
    if group is None:
        raise SettingError("symmetry is None; without any symmetry it is '1', and friedel False")
    return group


class CBCSettings(SimulationSettings):
    """`SimulationSettings` with what follows from them, and that fit together; `of` makes them of a mapping.

    Raises
    ------
    SettingError
        For an impossible value, with its name: by `of`.

    Examples
    --------
    >>> from crystint import cbc
    >>> cbc.CBCSettings(frames=3, symmetry="4mm").wavelength  # angstrom
    0.73
    """

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.defocus >= self.distance:
            raise ValueError(f"defocus is {self.defocus!r} m, expected less than the distance, {self.distance!r} m")
        if not self.unit_cell.is_compatible_with_spacegroup(self.group):
            raise ValueError(f"cell {self.cell} does not fit the symmetry {self.symmetry!r}")
        return self

    @property
    def group(self) -> gemmi.SpaceGroup:
        """The space group."""
        return space_group(self.symmetry)

    @property
    def unit_cell(self) -> gemmi.UnitCell:
        """The cell, made larger by `crowding`."""
        cell = _CELLS[self.group.crystal_system()] if self.cell is None else self.cell
        if not gemmi.UnitCell(*cell).volume > 1.0:
            raise SettingError(f"cell is {self.cell}, expected six numbers, angstrom and degrees, that span a volume")
        longer = self.crowding ** (1.0 / 3.0)
        a, b, c, alpha, beta, gamma = cell
        return gemmi.UnitCell(longer * a, longer * b, longer * c, alpha, beta, gamma)
