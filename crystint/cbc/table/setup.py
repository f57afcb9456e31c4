"""Geometry of a convergent-beam experiment: from pixels and Miller indices to incident wavevectors.

Laboratory axes: x along the fast axis of the detector, y along the slow one, z along the beam; the detector is the
plane z = 0. Wavevectors are in units of 1/wavelength, so that those of the beam have length 1.

Two conventions are those of cbclib's files and not those of `crystint.Geometry`: `CBCSetup.wavelength` is in metres
(`CBCSetup.wavelength_angstrom` is not), and the whole number i is the middle of pixel i, which is at i times the pixel
size; `crystint.Geometry` counts from the outer corner of pixel 0, so that its middle of pixel i is i + 1/2
(`CBCSetup.focus_from_corner` has the focus in that way).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.cbc.protocols import Columns, ScalingTable
from crystint.errors import GeometryError, SettingError, ShapeError
from crystint.html import html_table
from crystint.io.cbc.setup_file import read_setup, write_setup
from crystint.io.guard import guarded

__all__ = ["CBCSetup"]

T = TypeVar("T", bound=ScalingTable)
_ROWS = 1 << 16
"""Rows of a table that are worked on at a time, so that memory stays small."""
_ROTATION_ERROR = 1e-5
"""Largest departure of R R^T from 1: matrices are often stored in single precision."""
_LENGTH_ERROR = 0.05
"""Largest departure of |k_in| from 1. Streaks of finite width have some 0.001; wrong units or indices much more."""


@dataclass(frozen=True, eq=False, repr=False)
class CBCSetup:
    """Where the focus, the pupil, the sample in each frame and its lattice are.

    Raises
    ------
    ShapeError
        For an array of another shape.
    GeometryError
        For values that cannot be: with the name, the value and what is expected.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> data.setup.write("setup.h5")
    >>> setup = cbc.CBCSetup.read("setup.h5")
    >>> setup.wavelength == data.setup.wavelength, setup.u(data.table).shape == (len(data.table), 2)
    (True, True)
    """

    focus: Floats
    """float64 [3], m: x, y from the middle of pixel (0, 0), z from the detector; negative before it"""
    pupil: Floats
    """float64 [4], px: y0, y1, x0, x1 of the shadow of the lens on the detector; a whole number is the middle of a
    pixel"""
    wavelength: float
    """m, not angstrom: see `wavelength_angstrom`"""
    pixel_size: tuple[float, float]
    """m, (slow, fast)"""
    basis: Floats
    """float64 [3, 3], 1/wavelength: rows a*, b*, c* of the crystal before rotation"""
    rotation: Floats
    """float64 [frames, 3, 3]: the crystal in a frame has the lattice vectors R g (columns)"""
    sample_z: Floats
    """float64 [frames], m: plane of the sample, from the detector"""
    frames: NDArray[np.int64] = field(default=None)  # type: ignore[arg-type]
    """int64 [frames], ascending: numbers of the frames; default 0, 1, ..."""
    shape: tuple[int, int] | None = None
    """px, (slow, fast) of the detector; None = not known"""
    other: Mapping[str, Any] = field(default_factory=dict)
    """what a file has besides (the rotation axis, say): kept and written again, not used"""

    def __post_init__(self) -> None:
        count = np.size(self.sample_z)
        shapes = {"focus": (3,), "pupil": (4,), "basis": (3, 3), "rotation": (count, 3, 3), "sample_z": (count,)}
        for name, shape in shapes.items():
            self._set(name, np.array(getattr(self, name), np.float64), shape)
            if not np.isfinite(getattr(self, name)).all():
                raise GeometryError(f"{name} of the setup is not finite: {getattr(self, name).ravel()[:9]}")
        frames = getattr(self, "frames")  # noqa: B009 - to the type checker it is never None
        self._set("frames", np.arange(count) if frames is None else np.array(frames, np.int64), (count,))
        if (self.frames[1:] <= self.frames[:-1]).any():
            raise GeometryError("the frames of the setup are not in ascending order, expected each number once")
        object.__setattr__(self, "pixel_size", (float(self.pixel_size[0]), float(self.pixel_size[1])))
        for name, value in (("wavelength", self.wavelength), ("pixel_size", min(self.pixel_size))):
            if not 0.0 < value < np.inf:
                raise GeometryError(f"{name} of the setup is {value}, expected metres, above 0")
        if self.focus[2] >= 0.0 or (self.sample_z >= 0.0).any():
            raise GeometryError("focus and sample must be before the detector: their z is negative (the detector is 0)")
        y0, y1, x0, x1 = self.pupil
        if not (y0 < y1 and x0 < x1):
            raise GeometryError(f"pupil is {self.pupil.tolist()}, expected y0 < y1, x0 < x1")
        if abs(np.linalg.det(self.basis)) < 1e-12 * np.prod(np.linalg.norm(self.basis, axis=1)):
            raise GeometryError("the rows of basis lie in a plane, expected a*, b*, c* in 1/wavelength")
        error = np.abs(self.rotation @ self.rotation.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2), initial=0.0)
        wrong = (error > _ROTATION_ERROR) | (np.linalg.det(self.rotation) < 0.0)
        if wrong.any():
            raise GeometryError(f"rotation of frame {self.frames[np.argmax(wrong)]} is no rotation (R R^T is not 1)")

    def _set(self, name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise ShapeError(f"{name} of the setup is {values.shape}, expected {shape}")
        values.flags.writeable = False
        object.__setattr__(self, name, values)

    @classmethod
    def read(cls, path: str | PathLike[str], group: str | None = None) -> Self:
        """Read the geometry of an HDF5 file; see `crystint.io.cbc.setup_file.read_setup`."""
        with guarded(path):
            return cls(**read_setup(path, group))

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the geometry as an HDF5 file; see `crystint.io.cbc.setup_file.write_setup`."""
        write_setup(path, self, overwrite=overwrite)

    def __repr__(self) -> str:
        a, b, c, *angles = (f"{value:.4g}" for value in self.cell)
        return (
            f"<CBCSetup: {len(self.frames)} frames, {self.wavelength_angstrom:.4g} angstrom,"
            f" cell {a} {b} {c} {' '.join(angles)}, focus {-1e3 * self.focus[2]:.4g} mm before the detector>"
        )

    def _repr_html_(self) -> str:
        facts = {
            "frames": len(self.frames),
            "wavelength, angstrom": self.wavelength_angstrom,
            "cell, angstrom and degrees": self.cell,
            "focus (x, y, z), mm": tuple((1e3 * self.focus).tolist()),
            "pupil (y0, y1, x0, x1), px": tuple(self.pupil.tolist()),
            "sample from focus, mm": 1e3 * float(np.mean(self.sample_z) - self.focus[2]) if len(self.frames) else None,
            "pixels (slow, fast), um": tuple(1e6 * size for size in self.pixel_size),
            "detector (slow, fast), px": self.shape,
        }
        return html_table("CBCSetup", facts)

    @property
    def wavelength_angstrom(self) -> float:
        """angstrom, as everywhere else in crystint"""
        return 1e10 * self.wavelength

    @property
    def focus_from_corner(self) -> tuple[float, float]:
        """(slow, fast) of the focus in px from the outer corner of pixel (0, 0), where pixel i is from i to i + 1:
        as `crystint.Geometry` has its beam."""
        slow, fast = self.pixel_size
        return float(self.focus[1] / slow + 0.5), float(self.focus[0] / fast + 0.5)

    @cached_property
    def centre(self) -> Floats:
        """float64 [3]: unit wavevector of the ray through the middle of the pupil."""
        y0, y1, x0, x1 = self.pupil
        return self._incident((x0 + x1) / 2.0, (y0 + y1) / 2.0)

    @cached_property
    def pupil_limits(self) -> tuple[Floats, Floats]:
        """float64 [3] twice: unit wavevectors through the lower and the upper corner of the pupil."""
        y0, y1, x0, x1 = self.pupil
        return self._incident(x0, y0), self._incident(x1, y1)

    @cached_property
    def cell(self) -> tuple[float, float, float, float, float, float]:
        """a, b, c in angstrom and alpha, beta, gamma in degrees."""
        direct = np.linalg.inv(self.basis).T * self.wavelength * 1e10
        length = np.linalg.norm(direct, axis=1)
        cosine = (direct @ direct.T) / np.outer(length, length)
        alpha, beta, gamma = np.degrees(np.arccos([cosine[1, 2], cosine[0, 2], cosine[0, 1]]))
        return float(length[0]), float(length[1]), float(length[2]), float(alpha), float(beta), float(gamma)

    def g(self, hkl: ArrayLike, frame: ArrayLike) -> Floats:
        """float64 [n, 3], 1/wavelength: reciprocal lattice vectors of hkl [n, 3] in frames [n] (numbers)."""
        lattice = np.asarray(hkl, np.float64) @ self.basis
        return np.asarray(np.einsum("nij,nj->ni", self.rotation[self._index(frame)], lattice))

    def k_out(self, x: ArrayLike, y: ArrayLike, frame: ArrayLike, k_in: Floats | None = None) -> Floats:
        """float64 [n, 3]: unit wavevectors from the sample to pixels (fast x, slow y) [n].

        The scattering point is where the ray `k_in` [n, 3] from the focus meets the plane of the sample; None = the
        ray through the middle of the pupil.
        """
        z = self.sample_z[self._index(frame)]
        ray = self.centre[None] if k_in is None else k_in
        way = z - self.focus[2]
        slow, fast = self.pixel_size
        out = np.stack(
            [
                np.asarray(x) * fast - self.focus[0] - ray[:, 0] / ray[:, 2] * way,
                np.asarray(y) * slow - self.focus[1] - ray[:, 1] / ray[:, 2] * way,
                -z,
            ],
            axis=1,
        )
        return np.asarray(out / np.linalg.norm(out, axis=1)[:, None])

    def k_in(self, x: ArrayLike, y: ArrayLike, hkl: ArrayLike, frame: ArrayLike, corrections: int = 1) -> Floats:
        """float64 [n, 3]: incident wavevectors k_out - g, of length 1 but for the width of streaks and of pixels.

        k_out needs the scattering point, which needs k_in: it starts from the ray through the middle of the pupil and
        is corrected `corrections` times. The error falls by (sample - focus) / (sample - detector), 1/49 in a typical
        set-up; one correction leaves 1.4e-5 there, less than a hundredth of a pixel.

        Raises
        ------
        SettingError
            For a frame that the setup does not have, or a negative number of corrections.
        """
        if corrections < 0:
            raise SettingError(f"corrections is {corrections}, expected 0 or more")
        g = self.g(hkl, frame)
        ray = self.k_out(x, y, frame) - g
        for _ in range(corrections):
            ray = self.k_out(x, y, frame, ray) - g
        return np.asarray(ray)

    def u(self, table: Columns, corrections: int = 1) -> Floats:
        """float64 [n, 2]: x and y of the incident wavevector of each row of a table.

        Raises
        ------
        SettingError
            When the table is not indexed, or has a frame that the setup does not have.
        GeometryError
            When an incident wavevector is not about 1 long: wrong indices, units of the basis, or setup.
        """
        return self._rows(table, corrections)[:, :2].copy()

    def xmap(self, table: Columns, corrections: int = 1) -> Floats:
        """float64 [n, 3]: x and y of the incident wavevector and number of the frame of each row (errors: see `u`)."""
        made = self._rows(table, corrections)
        made[:, 2] = table.frame
        return made

    def with_u(self, table: T, corrections: int = 1) -> T:
        """The table with its column u."""
        return table.replace(u=self.u(table, corrections))

    @staticmethod
    def grid(u: Floats, shape: tuple[int, int] = (40, 40)) -> tuple[Floats, Floats]:
        """Nodes (y [ny], x [nx]) of a regular grid of `shape` (ny, nx) from the least to the largest u [n, 2].

        Raises
        ------
        SettingError
            For less than two nodes along an axis, no rows, or all of them at one place.
        """
        if min(shape) < 2:
            raise SettingError(f"shape of the grid is {shape}, expected two nodes or more along each axis")
        if not len(u):
            raise SettingError("there are no rows to lay a grid over")
        low, high = u[:, :2].min(axis=0), u[:, :2].max(axis=0)
        if not (high > low).all():
            raise SettingError(f"all rows have u between {low} and {high}, expected some extent, without NaN")
        return np.linspace(low[1], high[1], shape[0]), np.linspace(low[0], high[0], shape[1])

    def _rows(self, table: Columns, corrections: int) -> Floats:
        if table.hkl is None:
            raise SettingError("the table has no h, k, l: it is not indexed, so the incident rays are not known")
        made = np.empty((len(table.frame), 3))
        for start in range(0, len(table.frame), _ROWS):
            part = slice(start, start + _ROWS)
            made[part] = self.k_in(table.x[part], table.y[part], table.hkl[part], table.frame[part], corrections)
            length = np.linalg.norm(made[part], axis=1)
            wrong = ~(np.abs(length - 1.0) < _LENGTH_ERROR)
            if wrong.any():
                row = start + int(np.argmax(wrong))
                raise GeometryError(
                    f"row {row} (frame {table.frame[row]}, streak {table.streak[row]}, hkl {table.hkl[row].tolist()}): "
                    f"k_out - g is {length[row - start]:.3f} long, expected 1; are hkl, the frame's rotation and the "
                    "basis (in 1/wavelength) those of this table?"
                )
        return made

    def _incident(self, x: float, y: float) -> Floats:
        slow, fast = self.pixel_size
        ray = np.array([x * fast, y * slow, 0.0]) - self.focus
        return np.asarray(ray / np.linalg.norm(ray))

    def _index(self, frame: ArrayLike) -> NDArray[np.intp]:
        """Row of each frame number in the arrays of the setup."""
        wanted = np.atleast_1d(np.asarray(frame))
        index = np.searchsorted(self.frames, wanted)
        present = index < len(self.frames)
        present[present] = self.frames[index[present]] == wanted[present]
        if not present.all():
            raise SettingError(
                f"the setup has no frame {wanted[np.argmin(present)]}; it has {len(self.frames)} frames"
                + (f", {self.frames[0]} to {self.frames[-1]}" if len(self.frames) else "")
            )
        return index
