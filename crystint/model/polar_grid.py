"""Where the cells of a polar image lie on a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import GeometryError, SettingError, ShapeError
from crystint.html import html_table
from crystint.model.geometry import Geometry
from crystint.model.panels import rotation_matrix

__all__ = ["ORIGINS", "PolarGrid", "smooth_size"]

ORIGINS = {"fast": 0.0, "loki": -math.pi}
"""Named directions of column 0: along the fast axis; LOKI's, against it."""
_MOST_CELLS = 2**31 - 1


def smooth_size(n: int) -> int:
    """The smallest number >= n without prime factors above 5: a good length for Fourier transforms.

    Raises
    ------
    SettingError
        When n is below 1.
    """
    if n < 1:
        raise SettingError(f"n is {n}, expected 1 or more")
    best = 1 << (n - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            best = min(best, threes << max(0, (-(-n // threes) - 1).bit_length()))
            threes *= 3
        fives *= 5
    return best


@dataclass(frozen=True, slots=True, eq=False)
class PolarGrid:
    """Rings (rows) and azimuths (columns) about a centre.

    The point of row i and column j is at ``center + radii[i] * (sin a, cos a)`` (slow, fast) with the angle
    ``a = origin + direction * 2 pi j / azimuths``: from the fast axis towards the slow one, so clockwise on a screen
    whose slow axis points down. There may be more azimuths than a ring has pixels: neighbours then share pixels, and
    their noise.

    Raises
    ------
    ShapeError, SettingError
        When the radii are no ascending list of finite numbers >= 0, or another value is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> grid = correlate.PolarGrid(data.center, np.arange(20.0, 60.0))
    >>> grid.shape, grid.angles.shape
    ((40, 375), (375,))
    """

    center: tuple[float, float]
    """(slow, fast) px from the outer corner; it may lie outside the frame"""
    radii: NDArray[np.float64]
    """float64 [rows]: radius of each row, px; for a grid in q on a tilted detector, that without the tilt"""
    azimuths: int = 0
    """number of columns; 0 = one per pixel of the last ring at least, rounded up to a `smooth_size`"""
    origin: float | str = "fast"
    """angle of column 0, rad, or a name of `ORIGINS`"""
    direction: int = 1
    """+1: from the fast axis towards the slow one; -1: the other way round"""
    q: NDArray[np.float64] | None = None
    """float64 [rows]: momentum transfer of each row, 1/angstrom; None = the rows are radii"""
    geometry: Geometry | None = None
    """of a detector on which rings are no circles: rows are cones then, and angles are about the beam"""
    pixel_center: tuple[float, float] | None = None
    """the centre counted from the centre of the first pixel, where it was given so; None = center - 0.5"""

    def __post_init__(self) -> None:
        radii = _ascending("radii", self.radii)
        center = _pair("center", self.center)
        origin = ORIGINS.get(self.origin) if isinstance(self.origin, str) else float(self.origin)
        if origin is None or not math.isfinite(origin):
            raise SettingError(f"origin is {self.origin!r}, expected an angle in rad or one of {', '.join(ORIGINS)}")
        if self.direction not in (1, -1):
            raise SettingError(f"direction is {self.direction!r}, expected 1 or -1")
        n = self.azimuths
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise SettingError(f"azimuths is {n!r}, expected a whole number, or 0 to choose one")
        columns = int(n) or smooth_size(max(1, math.ceil(2.0 * math.pi * radii[-1])))
        if columns * len(radii) > _MOST_CELLS:
            raise SettingError(f"{len(radii)} rows x {columns} azimuths are too many cells, expected fewer than 2^31")
        middle = (center[0] - 0.5, center[1] - 0.5)
        if self.pixel_center is not None:
            middle = _pair("pixel_center", self.pixel_center)
        values = {"center": center, "radii": radii, "azimuths": columns, "origin": origin, "pixel_center": middle}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def loki(cls, x_center: float, y_center: float, q_r_max: int, q_r_min: int, nphi: int) -> Self:
        """The grid of LOKI's InterpSimple, to the last bit: radii q_r_min .. q_r_max - 1 px, column 0 towards -x.

        `x_center` (fast) and `y_center` (slow) count from the centre of the first pixel.
        """
        if not 0 <= q_r_min < q_r_max:
            raise SettingError(f"qRmin is {q_r_min} and qRmax {q_r_max}, expected 0 <= qRmin < qRmax")
        middle = _pair("center", (y_center, x_center))
        center = (middle[0] + 0.5, middle[1] + 0.5)
        radii = np.arange(q_r_min, q_r_max, dtype=np.float64)
        return cls(center, radii, nphi, origin="loki", pixel_center=middle)

    @classmethod
    def of_q(
        cls,
        geometry: Geometry,
        q: ArrayLike,
        azimuths: int = 0,
        *,
        origin: float | str = "fast",
        direction: int = 1,
    ) -> Self:
        """Rows of momentum transfer `q`, 1/angstrom, about the beam of a geometry; tilts and oblong pixels are seen to.

        Raises
        ------
        GeometryError
            When the wavelength is unknown, the detector has several panels, or no ring of some q reaches it.
        """
        values = _ascending("q", q)
        if geometry.wavelength is None:
            raise GeometryError("rows of q need a wavelength, which the geometry does not have")
        if geometry.panels is not None:
            raise GeometryError("polar grids are for detectors of one flat panel; this geometry has several")
        sine = values * geometry.wavelength / (4.0 * math.pi)
        if sine[-1] >= math.sqrt(0.5):
            limit = 4.0 * math.pi * math.sqrt(0.5) / geometry.wavelength
            raise GeometryError(
                f"q is up to {values[-1]:g}, expected below {limit:g} 1/angstrom (2 theta = 90 degrees)"
            )
        size = geometry.pixel_size
        radii = geometry.distance_along_beam * np.tan(2.0 * np.arcsin(sine)) / math.sqrt(size[0] * size[1])
        circles = size[0] == size[1] and geometry.rotation[0] == geometry.rotation[1] == geometry.rotation[2] == 0.0
        return cls(
            geometry.direct_beam,
            radii,
            azimuths,
            origin=origin,
            direction=direction,
            q=values,
            geometry=None if circles else geometry,
        )

    def __repr__(self) -> str:
        rows = self.radii if self.q is None else self.q
        return (
            f"<PolarGrid: {len(rows)} rings from {rows[0]:g} to {rows[-1]:g} {'px' if self.q is None else '1/angstrom'}"
            f" x {self.azimuths} azimuths, centre {self.center[0]:.2f}, {self.center[1]:.2f} px>"
        )

    def _repr_html_(self) -> str:
        rows = self.radii if self.q is None else self.q
        facts = {
            "centre (slow, fast)": f"{self.center[0]:.3f}, {self.center[1]:.3f} px",
            "rings": len(rows),
            "from, to": f"{rows[0]:g}, {rows[-1]:g} {'px' if self.q is None else '1/angstrom'}",
            "azimuths": self.azimuths,
            "first azimuth": f"{self.origin:g} rad",
            "direction": self.direction,
        }
        return html_table("PolarGrid", facts)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, azimuths)."""
        return len(self.radii), self.azimuths

    @property
    def angles(self) -> NDArray[np.float64]:
        """float64 [azimuths]: angle of each column from the fast axis towards the slow one, rad."""
        return self.angles_at(np.arange(self.azimuths))

    def angles_at(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Angles of columns, fractions of columns too, rad."""
        angle: NDArray[np.float64] = self.direction * (2.0 * math.pi * column / self.azimuths) + float(self.origin)
        return angle

    def positions(
        self, radii: NDArray[np.float64], angles: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(slow, fast) of points in px from the centre of the first pixel; two float64 [radii, angles].

        NaN where a direction never meets the detector.
        """
        assert self.pixel_center is not None
        radius, cosine, sine = radii[:, None], np.cos(angles)[None, :], np.sin(angles)[None, :]
        if self.geometry is None:
            return self.pixel_center[0] + radius * sine, self.pixel_center[1] + radius * cosine
        geometry, (high, wide) = self.geometry, self.geometry.pixel_size
        slope = radius * math.sqrt(high * wide) / geometry.distance_along_beam  # tan(2 theta)
        y, x, z = rotation_matrix(geometry.rotation)  # rows: of (slow, fast, normal)
        ray = np.stack(np.broadcast_arrays(slope * sine, slope * cosine, np.ones(())))
        slow, fast, along = np.einsum("ba,b...->a...", np.array([y, x, z]), ray)  # the inverse of a rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(along > 1e-9, geometry.distance / along, np.nan)
        center = geometry.beam_center
        return center[0] - 0.5 + slow * reach / high, center[1] - 0.5 + fast * reach / wide

    def borders(self) -> NDArray[np.float64]:
        """float64 [rows + 1]: radii between the rows, px: halfway, and as far beyond the first and the last row.

        The first is at least 0; a single row is one pixel wide.
        """
        radii = self.radii
        if len(radii) == 1:
            return np.array([max(0.0, radii[0] - 0.5), radii[0] + 0.5])
        half = 0.5 * (radii[1:] + radii[:-1])
        ends = max(0.0, 1.5 * radii[0] - 0.5 * radii[1]), 1.5 * radii[-1] - 0.5 * radii[-2]
        return np.concatenate([ends[:1], half, ends[1:]])


def _ascending(what: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ShapeError(f"{what} is {array.shape}, expected a list of at least one number")
    if not (np.isfinite(array).all() and array[0] >= 0.0 and (np.diff(array) > 0.0).all()):
        raise SettingError(f"{what} must be finite, ascending and 0 or more")
    return array


def _pair(what: str, value: tuple[float, float]) -> tuple[float, float]:
    pair = tuple(float(part) for part in value)
    if len(pair) != 2 or not all(map(math.isfinite, pair)):
        raise SettingError(f"{what} is {value!r}, expected two finite numbers (slow, fast)")
    return pair[0], pair[1]
