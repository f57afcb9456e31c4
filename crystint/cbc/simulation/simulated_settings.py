"""What a simulation of convergent-beam streaks may hold: optics, crystal, maps, noise; checked once."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from crystint.cbc.merging.families import symmetry_group
from crystint.errors import SettingError

__all__ = ["CBCSettings", "space_group"]

_POSITIVE = (
    "numerical_aperture", "wavelength", "distance", "pixel_size", "d_min",
    "crowding", "width", "intensity", "map_scale",
)  # fmt: skip
_NOT_NEGATIVE = ("defocus", "background", "intercept", "b_factor", "weakest", "contrast", "frame_spread")
_COUNTS = ("frames", "nodes", "min_pixels")
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
    found = symmetry_group(name)
    if found is None:
        raise SettingError("symmetry is None; without any symmetry it is '1', and friedel False")
    return found


@dataclass(frozen=True)
class CBCSettings:
    """Everything that a simulated set of convergent-beam frames depends on.

    The beam goes along z to a focus, the crystal is `defocus` behind it, the detector `distance` behind the focus and
    across the beam. Directions are unit vectors (their x, y are about angles in rad).

    Raises
    ------
    SettingError
        For an impossible value, with its name.
    """

    frames: int = 8
    symmetry: str = "mmm"
    """space group, or point group (then without absences)"""
    friedel: bool = True
    """hkl and -h-k-l have one intensity; otherwise independent ones"""
    cell: tuple[float, ...] | None = None
    """angstrom, degrees: six numbers; None = one of about 20 000 cubic angstrom that fits the symmetry"""
    seed: int = 0

    numerical_aperture: float = 0.03
    """half the side of the square pupil: incident directions have |u_x|, |u_y| <= this"""
    wavelength: float = 0.73
    """angstrom"""
    distance: float = 0.1
    """m, focus to detector"""
    defocus: float = 0.002
    """m, focus to crystal"""
    pixel_size: float = 200e-6
    """m; pixel (x, y) is at (x, y) times this"""
    shape: tuple[int, int] = (512, 512)
    """(slow, fast) pixels; the focus is opposite the middle"""
    rotation: float = 2.0
    """degrees per frame, about the slow axis (y)"""
    d_min: float = 3.1
    """angstrom"""
    crowding: float = 1.0
    """about so many times more streaks on a frame, and more overlaps: the volume of the cell is multiplied by this"""
    width: float = 4.0
    """px: full width of a streak, as `profile` understands it"""
    profile: str = "gauss"
    """tophat, linear, quad or gauss"""
    min_pixels: int = 9
    """shorter streaks are left out"""

    intensity: float = 60.0
    """mean |q|^2, counts in a pixel on the middle of a streak where chi is 1"""
    b_factor: float = 0.0
    """B of the intensities, angstrom^2: |q|^2 falls as exp(-B / 2 d^2)"""
    weakest: float = 0.02
    """|q|^2 = mean (weakest + (1 - weakest) w), with w of Wilson's laws"""
    map_scale: float = 0.4
    """length on which chi changes, in units of the numerical aperture"""
    contrast: float = 0.6
    """standard deviation of log chi within a frame"""
    frame_spread: float = 0.1
    """standard deviation of the log of the mean of chi from frame to frame"""
    nodes: int = 40
    """of the grid on which the true maps are kept, per side"""
    background: float = 10.0
    """counts, about; 1.2 times that in the middle, 0.75 in the corners"""
    intercept: float = 0.0
    """mean of an exponential law of constant counts that each streak adds to its pixels"""
    noise: bool = True
    """Poisson counts; False: the expectations themselves"""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected a number above 0")
        for name in _NOT_NEGATIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected a number, 0 or more")
        for name in _COUNTS:
            if getattr(self, name) < (2 if name == "nodes" else 1):
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected {2 if name == 'nodes' else 1} or more")
        if self.seed < 0:
            raise SettingError(f"seed is {self.seed!r}, expected 0 or more")
        if self.numerical_aperture >= 0.5:
            raise SettingError(f"numerical_aperture is {self.numerical_aperture!r}, expected less than 0.5")
        if self.defocus >= self.distance:
            raise SettingError(f"defocus is {self.defocus!r} m, expected less than the distance, {self.distance!r} m")
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise SettingError(f"shape is {self.shape!r}, expected (slow, fast) pixels")
        if self.profile not in ("tophat", "linear", "quad", "gauss"):
            raise SettingError(f"profile is {self.profile!r}, expected tophat, linear, quad or gauss")
        if self.weakest > 1.0:
            raise SettingError(f"weakest is {self.weakest!r}, expected 0 to 1")
        if not self.unit_cell.is_compatible_with_spacegroup(self.group):
            raise SettingError(f"cell {self.cell} does not fit the symmetry {self.symmetry!r}")

    @property
    def group(self) -> gemmi.SpaceGroup:
        """The space group."""
        return space_group(self.symmetry)

    @property
    def unit_cell(self) -> gemmi.UnitCell:
        """The cell, made larger by `crowding`."""
        given = _CELLS[self.group.crystal_system()] if self.cell is None else self.cell
        if len(given) != 6 or not (np.isfinite(given).all() and gemmi.UnitCell(*given).volume > 1.0):
            raise SettingError(f"cell is {self.cell}, expected six numbers, angstrom and degrees, that span a volume")
        longer = self.crowding ** (1.0 / 3.0)
        a, b, c, alpha, beta, gamma = given
        return gemmi.UnitCell(longer * a, longer * b, longer * c, alpha, beta, gamma)
