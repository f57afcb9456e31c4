"""What a powder ring is on the detector: a circle, an ellipse, or the section of a cone by a tilted plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike

from crystint.arrays import Floats
from crystint.errors import GeometryError
from crystint.model.geometry import Geometry
from crystint.model.panels import rotation_matrix

__all__ = ["Ellipse", "RingShape", "Tilt", "place_on_ring", "tilted"]


class RingShape(Protocol):
    """A family of rings about one centre. Every ring of it is a line of constant `radius`."""

    @property
    def center(self) -> tuple[float, float]:
        """(slow, fast) of the direct beam, px from the outer corner."""

    @property
    def values(self) -> tuple[float, ...]:
        """The free parameters; the first two are the centre."""

    def having(self, values: ArrayLike) -> Self:
        """The same family with other parameters."""

    def to_geometry(self, template: Geometry) -> Geometry:
        """The template with this centre (and tilt); GeometryError when this shape does not say enough for it."""

    def radius(self, slow: ArrayLike, fast: ArrayLike) -> Floats:
        """Ring coordinate, px, of places in px from the outer corner; the arrays broadcast."""

    @property
    def projection(self) -> Floats:
        """float64 [3, 3]: (x, y, z) = projection @ (slow, fast, 1), radius = hypot(x, y) / z, z > 0 before the sample.

        With another centre and all else kept, slow and fast are those less the shift of the centre.
        """


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Similar ellipses about one centre; circles when there is no strain, and when it is not to be fitted.

    The radius is the length of (slow, fast) - centre after a stretch that keeps areas, exp(-[[p, x], [x, -p]]) with
    strain = (p, x): a ring of radius R has half axes R exp(+-hypot(p, x)). Two numbers without the jump that an angle
    has where the axes are equal.
    """

    center: tuple[float, float]
    strain: tuple[float, float] | None = None
    """(plus, cross); None = a circle"""

    @property
    def values(self) -> tuple[float, ...]:
        """Centre, and strain when there is one."""
        return (*self.center, *(self.strain or ()))

    def having(self, values: ArrayLike) -> Ellipse:
        """As `RingShape.having`."""
        slow, fast, *strain = (float(value) for value in np.asarray(values))
        return Ellipse((slow, fast), None if self.strain is None else (strain[0], strain[1]))

    def radius(self, slow: ArrayLike, fast: ArrayLike) -> Floats:
        """As `RingShape.radius`."""
        ds = np.asarray(slow, dtype=np.float64) - self.center[0]
        df = np.asarray(fast, dtype=np.float64) - self.center[1]
        if self.strain is None or self.strain == (0.0, 0.0):
            return np.asarray(np.sqrt(ds * ds + df * df))
        plus, cross = self.strain
        size = math.hypot(plus, cross)
        even, odd = math.cosh(min(size, 50.0)), -math.sinh(min(size, 50.0)) / size
        ds, df = (even + odd * plus) * ds + odd * cross * df, odd * cross * ds + (even - odd * plus) * df
        return np.asarray(np.sqrt(ds * ds + df * df))

    @property
    def projection(self) -> Floats:
        """As `RingShape.projection`."""
        plus, cross = self.strain or (0.0, 0.0)
        size = min(math.hypot(plus, cross), 50.0)
        even, odd = math.cosh(size), -math.sinh(size) / size if size else 0.0
        turn = np.array([[even + odd * plus, odd * cross], [odd * cross, even - odd * plus]])
        return np.block([[turn, -(turn @ self.center)[:, None]], [np.array([[0.0, 0.0, 1.0]])]])

    @property
    def axis_ratio(self) -> float:
        """Long half axis over short half axis."""
        return math.exp(2.0 * math.hypot(*(self.strain or (0.0, 0.0))))

    @property
    def angle(self) -> float:
        """Direction of the long axis, rad in (-pi/2, pi/2], from the fast towards the slow axis; NaN on a circle."""
        plus, cross = self.strain or (0.0, 0.0)
        if plus == 0.0 and cross == 0.0:
            return math.nan
        return 0.5 * math.atan2(cross, -plus)

    def half_axes(self, radius: ArrayLike) -> tuple[Floats, Floats]:
        """Long and short half axis, px, of rings of these radii (geometric means of the axes)."""
        ratio = math.sqrt(self.axis_ratio)
        return np.asarray(radius, dtype=np.float64) * ratio, np.asarray(radius, dtype=np.float64) / ratio

    def to_geometry(self, template: Geometry) -> Geometry:
        """The template with this centre and no rotation.

        Raises
        ------
        GeometryError
            When the ellipse is not a circle (an ellipse does not say which way the detector leans, nor how far away it
            is: fit the shape "tilt"), the pixels are not square, or the template has panels.
        """
        _one_square_plane(template)
        if self.strain is not None and self.strain != (0.0, 0.0):
            raise GeometryError(
                f"an ellipse of axis ratio {self.axis_ratio:.5f} is no geometry: it does not say which side of the "
                "detector is nearer; fit shape='tilt' with the distance known, or a calibrant"
            )
        return replace(template, beam_center=self.center, rotation=(0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Tilt:
    """Cones of scattering cut by the plane of a detector that may be tilted.

    The radius is distance_along_beam * tan(2 theta) in px of the slow axis: what a circle's radius would be on a plane
    across the beam through the same spot.
    """

    geometry: Geometry
    fit_distance: bool = False
    """whether the distance along the beam is one of the parameters"""
    fit_tilt: bool = True
    """whether rot1 and rot2 are"""

    @property
    def center(self) -> tuple[float, float]:
        """As `RingShape.center`."""
        return self.geometry.direct_beam

    @property
    def values(self) -> tuple[float, ...]:
        """Spot of the direct beam (px); rot1, rot2 (rad) and log(distance along the beam) as far as they are fitted."""
        tilt = self.geometry.rotation[:2] if self.fit_tilt else ()
        along = (math.log(self.geometry.distance_along_beam),) if self.fit_distance else ()
        return (*self.center, *tilt, *along)

    def having(self, values: ArrayLike) -> Tilt:
        """As `RingShape.having`. What is not fitted is kept."""
        slow, fast, *rest = (float(value) for value in np.asarray(values))
        along = math.exp(rest.pop()) if self.fit_distance else self.geometry.distance_along_beam
        rot1, rot2 = rest if self.fit_tilt else self.geometry.rotation[:2]
        return replace(self, geometry=tilted(self.geometry, (slow, fast), rot1, rot2, along))

    def radius(self, slow: ArrayLike, fast: ArrayLike) -> Floats:
        """As `RingShape.radius`."""
        slow, fast = np.asarray(slow, np.float64), np.asarray(fast, np.float64)
        x, y, z = (row[0] * slow + (row[1] * fast + row[2]) for row in self.projection)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(x * x + y * y) / z)

    @property
    def projection(self) -> Floats:
        """As `RingShape.projection`."""
        size = np.array(self.geometry.pixel_size)
        y, x, z = np.asarray(rotation_matrix(self.geometry.rotation), np.float64)
        rows = np.array([x, y, z * size[0] / self.geometry.distance_along_beam])
        turn = rows[:, :2] * (size / size[0])
        origin = rows[:, 2] * self.geometry.distance / size[0] - turn @ self.geometry.beam_center
        return np.column_stack([turn, origin])

    def to_geometry(self, template: Geometry) -> Geometry:
        """The fitted geometry; wavelength and polarization of the template."""
        return replace(
            self.geometry,
            wavelength=template.wavelength,
            polarization=template.polarization,
            beam_outside=template.beam_outside,
        )


def tilted(geometry: Geometry, beam: tuple[float, float], rot1: float, rot2: float, along: float) -> Geometry:
    """The geometry whose direct beam meets the plane at `beam` (px), `along` metres from the sample."""
    distance = along * math.cos(rot1) * math.cos(rot2)
    slow = beam[0] - distance * math.tan(rot2) / math.cos(rot1) / geometry.pixel_size[0]
    fast = beam[1] + distance * math.tan(rot1) / geometry.pixel_size[1]
    rotation = (rot1, rot2, geometry.rotation[2])
    return replace(geometry, distance=distance, beam_center=(slow, fast), rotation=rotation, beam_outside=True)


def _one_square_plane(geometry: Geometry) -> None:
    if geometry.panels is not None:
        raise GeometryError("this geometry has panels; rings are fitted on one plane")
    slow, fast = geometry.pixel_size
    if not math.isclose(slow, fast, rel_tol=1e-6):
        raise GeometryError(f"pixel_size is {geometry.pixel_size} m; circles need square pixels: fit shape='tilt'")


def place_on_ring(shape: RingShape, radius: ArrayLike, azimuth: ArrayLike) -> tuple[Floats, Floats]:
    """Where rays from the centre meet rings: (slow, fast), px; NaN where they do not.

    Parameters
    ----------
    shape : RingShape
    radius : float [...], px
    azimuth : float [...]
        Direction of the ray on the detector, rad, from the fast axis towards the slow axis.
    """
    target, azimuth = np.broadcast_arrays(np.asarray(radius, np.float64), np.asarray(azimuth, np.float64))
    along_slow, along_fast = np.sin(azimuth), np.cos(azimuth)
    slow, fast = shape.center
    length = target.copy()
    with np.errstate(all="ignore"):
        for _ in range(50):
            reached = shape.radius(slow + length * along_slow, fast + length * along_fast)
            beyond = shape.radius(slow + (length + 1e-3) * along_slow, fast + (length + 1e-3) * along_fast)
            step = (target - reached) / (beyond - reached) * 1e-3
            length = np.where(np.isfinite(step), length + np.clip(step, -0.5 * length, length), np.nan)
            if not np.any(np.abs(step) > 1e-9):
                break
    return slow + length * along_slow, fast + length * along_fast
