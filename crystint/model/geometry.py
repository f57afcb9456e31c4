"""Where the pixels of a detector are, and what that makes of the scattering angle, q, d and the
corrections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import GeometryError
from crystint.html import html_table
from crystint.model.panels import Panel, check_geometry, rotation_matrix
from crystint.model.pixel_maps import Formula, Place, fill, two_theta
from crystint.units import d_of, q_of, wavelength_of

__all__ = ["Geometry", "Panel"]

_FLAT_LIMIT = math.radians(80.0)
"""Largest two-theta for which rings are made equally wide on a plane; beyond it, equally wide in angle."""

_Range: TypeAlias = tuple[int, int]


def _instead(name: str, value: object) -> str:
    """What to write in place of an argument that `Geometry` does not have."""
    if name == "energy" and isinstance(value, int | float) and value > 0:
        return f": give wavelength={wavelength_of(value):.6g}, in angstrom, which is what {value:g} eV are"
    like = get_close_matches(name, Geometry.__dataclass_fields__, 1)
    return f" (did you mean {like[0]}?)" if like else f"; it has {', '.join(Geometry.__dataclass_fields__)}"


@dataclass(frozen=True)
class Geometry:
    """A flat detector, tilted or not, as PONI files describe it (orientation 3); or several flat panels.

    The laboratory frame is PONI's: z along the beam, x and y along the fast and the slow axis of a detector
    without rotation (pyFAI's axes 1, 2, 3 are y, x, z). The sample is the origin. The detector stands at
    `distance` along its normal and is then turned by rot1 about y, rot2 about x and rot3 about z (the first
    two left-handed), as in J. Kieffer and D. Karkoulis (2013), J. Phys. Conf. Ser. 425, 202012.

    Raises
    ------
    GeometryError
        When a value is impossible (the message names the field), or the direct beam misses the frame while
        `beam_outside` is False.

    Examples
    --------
    >>> import crystint
    >>> geometry = crystint.Geometry(
    ...     (2527, 2463), pixel_size=(172e-6, 172e-6), distance=0.351, beam_center=(1306.96, 1261.61), wavelength=0.969
    ... )
    >>> round(float(geometry.d()[0, 0]), 3)  # angstrom, in the first pixel
    1.362
    >>> geometry.write("detector.poni")
    >>> crystint.Geometry.read("detector.poni").distance
    0.351
    """

    shape: tuple[int, int]
    """(slow, fast) pixels"""
    pixel_size: tuple[float, float]
    """(slow, fast), m"""
    distance: float
    """from the sample to the detector along the detector's normal, m"""
    beam_center: tuple[float, float]
    """(slow, fast) of the point of normal incidence in px from the outer corner; without rotation, the beam
    centre"""
    wavelength: float | None = None
    """angstrom; None = unknown (then there is no q and no d)"""
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """PONI's (rot1, rot2, rot3), rad"""
    polarization: float | None = None
    """fraction (I_x - I_y) / (I_x + I_y) of the beam, -1 to 1, 0.99 at a synchrotron; None = no correction"""
    beam_outside: bool = False
    """allow a direct beam that misses the frame"""
    panels: tuple[Panel, ...] | None = None
    """panels of a detector that is not one plane; pixels in no panel have NaN maps. None = one flat panel"""

    if not TYPE_CHECKING:

        def __new__(cls, *values: Any, **named: Any) -> Self:
            """Refuse names that there are not, with the way to what is meant, and name what lacks."""
            for name, value in named.items():
                if name not in cls.__dataclass_fields__:
                    raise GeometryError(f"Geometry has no {name}{_instead(name, value)}")
            needed = [each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING]
            lacking = [name for name in needed[len(values) :] if name not in named]
            if lacking and (values or named):  # pickle makes it without any
                raise GeometryError(f"Geometry needs {', '.join(lacking)} as well")
            return object.__new__(cls)

    def __post_init__(self) -> None:
        for name, value in check_geometry(self).items():
            object.__setattr__(self, name, value)
        if not self.beam_outside and self.panels is None:
            self._check_beam()

    def _check_beam(self) -> None:
        beam = self.direct_beam
        if self._holds(beam):
            return
        center = self.beam_center
        hint = ""
        if self._holds(beam[::-1]):
            hint = " Swapped it would lie inside: is it given as (fast, slow)?"
        else:
            for unit, size in (("mm", 1e-3), ("um", 1e-6), ("m", 1.0)):
                places = [c * size / p / n for c, p, n in zip(center, self.pixel_size, self.shape, strict=True)]
                if all(0.25 < place < 0.75 for place in places):
                    hint = f" The numbers look like {unit}; they must be pixels."
                    break
        raise GeometryError(
            f"the direct beam meets the detector at (slow, fast) = ({beam[0]:.2f}, {beam[1]:.2f}) px, "
            f"outside the frame of {self.shape[0]} x {self.shape[1]} pixels "
            f"(beam_center {center[0]:.2f}, {center[1]:.2f}).{hint} "
            "If the detector really stands beside the beam, set beam_outside=True."
        )

    def _holds(self, beam: tuple[float, float]) -> bool:
        return 0.0 <= beam[0] <= self.shape[0] and 0.0 <= beam[1] <= self.shape[1]

    @classmethod
    def read(
        cls, path: str | PathLike[str], *, shape: tuple[int, int] | None = None, beam_outside: bool = False
    ) -> Geometry:
        """Read a geometry file; see `crystint.io.geometry.files.read_geometry`."""
        from crystint.io.geometry.files import read_geometry

        return read_geometry(path, shape=shape, beam_outside=beam_outside)

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a .poni or .json file; see `crystint.io.geometry.files.write_geometry`."""
        from crystint.io.geometry.files import write_geometry

        write_geometry(path, self, overwrite=overwrite)

    def __repr__(self) -> str:
        slow_um, fast_um = (1e6 * size for size in self.pixel_size)
        parts = [
            f"{self.shape[0]} x {self.shape[1]} px of {slow_um:g} x {fast_um:g} um",
            f"distance {1e3 * self.distance:.6g} mm",
            f"beam {self.beam_center[0]:.2f}, {self.beam_center[1]:.2f} px",
            *([f"{self.wavelength:.6g} angstrom"] if self.wavelength is not None else []),
            *(["tilted"] if any(self.rotation) else []),
            *([f"{len(self.panels)} panels"] if self.panels is not None else []),
        ]
        return f"<Geometry: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        facts = {
            "shape (slow, fast)": f"{self.shape[0]} x {self.shape[1]} px",
            "pixel size": "{:g} x {:g} um".format(*(1e6 * size for size in self.pixel_size)),
            "distance": f"{1e3 * self.distance:.6g} mm",
            "beam centre (slow, fast)": "{:.3f}, {:.3f} px".format(*self.beam_center),
            "wavelength": None if self.wavelength is None else f"{self.wavelength:.6g} angstrom",
            "rotation": "{:g}, {:g}, {:g} rad".format(*self.rotation),
            "polarization": self.polarization,
            "panels": 1 if self.panels is None else len(self.panels),
        }
        return html_table("Geometry", facts)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-able values; `from_dict` is the inverse."""
        values: dict[str, Any] = {
            "shape": list(self.shape),
            "pixel_size": list(self.pixel_size),
            "distance": self.distance,
            "beam_center": list(self.beam_center),
            "wavelength": self.wavelength,
            "rotation": list(self.rotation),
            "polarization": self.polarization,
            "beam_outside": self.beam_outside,
        }
        if self.panels is not None:
            values["panels"] = [panel.to_dict() for panel in self.panels]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a geometry from what `to_dict` gave.

        Raises
        ------
        GeometryError
            When a key is missing or unknown, or a value is impossible.
        """
        arguments = dict(values)
        panels = arguments.pop("panels", None)
        try:
            return cls(
                **arguments, panels=None if panels is None else tuple(Panel.from_dict(panel) for panel in panels)
            )
        except TypeError as error:
            raise GeometryError(f"not the fields of a geometry: {error}") from error

    @property
    def direct_beam(self) -> tuple[float, float]:
        """(slow, fast) px where the direct beam meets the detector's plane; NaN where it never does.

        With several panels it is `beam_center`: there is no one plane.
        """
        if self.panels is not None:
            return self.beam_center
        rot1, rot2, _ = self.rotation
        if math.cos(rot1) * math.cos(rot2) <= 1e-9:
            return math.nan, math.nan
        slow = self.distance * math.tan(rot2) / math.cos(rot1) / self.pixel_size[0]
        fast = -self.distance * math.tan(rot1) / self.pixel_size[1]
        return self.beam_center[0] + slow, self.beam_center[1] + fast

    @property
    def distance_along_beam(self) -> float:
        """Metres from the sample to the direct beam's spot, distance / (cos rot1 cos rot2).

        Where the plane is within 3 degrees of parallel to the beam, or behind, it is `distance`.
        """
        cosine = math.cos(self.rotation[0]) * math.cos(self.rotation[1])
        return self.distance / cosine if cosine > 0.05 else self.distance

    @property
    def as_panels(self) -> tuple[Panel, ...]:
        """The panels, or the one that the detector is, in the laboratory."""
        if self.panels is not None:
            return self.panels
        axes = rotation_matrix(self.rotation)[[1, 0, 2]]  # x, y, z of PONI's axes 1, 2, 3
        (slow, fast), (high, wide) = self.beam_center, self.pixel_size
        corner = axes @ np.array([-slow * high, -fast * wide, self.distance])
        vectors = corner, axes[:, 0] * high, axes[:, 1] * wide
        x, s, f = ((float(v[0]), float(v[1]), float(v[2])) for v in vectors)
        return (Panel((0, self.shape[0]), (0, self.shape[1]), x, s, f),)

    def positions(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """x, y, z of the pixel centres in the laboratory, m; three float64 [slow, fast]."""
        slow = np.arange(self.shape[0], dtype=np.float64)[:, None] + 0.5
        fast = np.arange(self.shape[1], dtype=np.float64)[None, :] + 0.5
        return self._lab(slow, fast)

    def _lab(
        self, slow: NDArray[np.float64], fast: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """x, y, z in m of positions in px; NaN in no panel. The two arrays broadcast."""
        if self.panels is not None:
            wide = np.broadcast_arrays(slow, fast)
            place = np.full((3, *wide[0].shape), np.nan)
            for panel in self.panels:
                inside = panel.holds(*wide)
                place[:, inside] = panel.lab(wide[0][inside], wide[1][inside])
            return place[0], place[1], place[2]
        return self._on_plane(slow, fast)

    def _on_plane(
        self, slow: NDArray[np.float64], fast: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """As `_lab`, of a detector without panels."""
        y, x, z = rotation_matrix(self.rotation)
        p1 = (slow - self.beam_center[0]) * self.pixel_size[0]
        p2 = (fast - self.beam_center[1]) * self.pixel_size[1]
        return (
            x[0] * p1 + (x[1] * p2 + x[2] * self.distance),
            y[0] * p1 + (y[1] * p2 + y[2] * self.distance),
            z[0] * p1 + (z[1] * p2 + z[2] * self.distance),
        )

    def _map(self, formula: Formula) -> Floats:
        """A formula of x, y, z over all pixel centres; float64 [slow, fast], NaN in no panel."""
        if self.panels is None:
            image = np.empty(self.shape)
            fill(image, formula, self._on_plane)
            return image
        image = np.full(self.shape, np.nan)
        for panel in self.panels:
            fill(image, formula, panel.lab, panel.slices)
        return image

    def radius(self) -> NDArray[np.float64]:
        """Distance of the pixel centres from the beam axis, m (pyFAI's ``r_m``); float64 [slow, fast]."""
        return self._map(lambda x, y, _z: np.sqrt(x * x + y * y))

    def two_theta(self) -> NDArray[np.float64]:
        """Scattering angle of the pixel centres, rad; float64 [slow, fast]."""
        return self._map(two_theta)

    def q(self) -> NDArray[np.float64]:
        """Momentum transfer 4 pi sin(theta) / lambda, 1/angstrom; float64 [slow, fast].

        Raises
        ------
        GeometryError
            When the wavelength is unknown.
        """
        return q_of(self.two_theta(), self._required_wavelength("q"))

    def d(self) -> NDArray[np.float64]:
        """Spacing lambda / (2 sin(theta)), angstrom, infinite on the beam; float64 [slow, fast].

        Raises
        ------
        GeometryError
            When the wavelength is unknown.
        """
        return d_of(self.two_theta(), self._required_wavelength("d"))

    def _required_wavelength(self, what: str) -> float:
        if self.wavelength is None:
            raise GeometryError(f"{what} needs a wavelength, and this geometry has none: give wavelength= in angstrom")
        return self.wavelength

    def solid_angle(self) -> NDArray[np.float64]:
        """Solid angle of each pixel relative to normal incidence at `distance`; float64 [slow, fast].

        cos^3 of the angle of incidence on one plane (pyFAI's convention); with several panels the area seen
        over the squared distance, relative to a pixel of `pixel_size` at `distance`.
        """
        if self.panels is None:
            cube = self.distance**3

            def on_plane(x: Floats, y: Floats, z: Floats) -> Floats:
                squared = x * x + y * y + z * z
                return np.asarray(cube / (squared * np.sqrt(squared)))

            return self._map(on_plane)
        image = np.full(self.shape, np.nan)
        scale = self.distance**2 / (self.pixel_size[0] * self.pixel_size[1])
        for panel in self.panels:
            area = scale * np.cross(panel.slow_vector, panel.fast_vector)

            def on_panel(x: Floats, y: Floats, z: Floats, area: Floats = area) -> Floats:
                squared = x * x + y * y + z * z
                facing = np.abs(area[0] * x + area[1] * y + area[2] * z)
                return np.asarray(facing / (squared * np.sqrt(squared)))

            fill(image, on_panel, panel.lab, panel.slices)
        return image

    def polarization_factor(self) -> NDArray[np.float64]:
        """Share of the intensity left in each pixel by polarization; float64 [slow, fast]; ones when not set.

        (1 + cos^2(2theta) - P cos(2 chi) sin^2(2theta)) / 2 with the azimuth chi from x: R. Kahn et al.
        (1982), J. Appl. Cryst. 15, 330, in pyFAI's convention (P = 1: the field is along x).
        """
        if self.polarization is None:
            return np.ones(self.shape)
        fraction = self.polarization

        def left(x: Floats, y: Floats, z: Floats) -> Floats:
            x, y, z = x * x, y * y, z * z
            return np.asarray(0.5 * (1.0 + (z - fraction * (x - y)) / (x + y + z)))

        return self._map(left)

    def ring_radius(self) -> NDArray[np.float64]:
        """The coordinate in which rings are equally wide, m; float64 [slow, fast].

        `distance_along_beam` * tan(2theta) when every 2theta is under 80 degrees (without tilt,
        `radius()`), and `distance_along_beam` * 2theta otherwise.
        """
        scale = self.distance_along_beam
        if self._rings_on_plane:
            return self._map(lambda x, y, z: np.asarray(scale * (np.sqrt(x * x + y * y) / z)))
        return self._map(lambda x, y, z: np.asarray(scale * two_theta(x, y, z)))

    def ring_two_theta(self, radius: ArrayLike) -> NDArray[np.float64]:
        """Scattering angle, rad, where `ring_radius` is `radius` m; the shape of `radius`."""
        ratio = np.asarray(radius, dtype=np.float64) / self.distance_along_beam
        return np.arctan(ratio) if self._rings_on_plane else ratio

    @property
    def _rings_on_plane(self) -> bool:
        """Whether every 2theta is under the limit. A cone cuts a plane in a convex figure, so corners
        decide."""
        whole: list[tuple[Place, _Range, _Range]] = [(self._on_plane, (0, self.shape[0]), (0, self.shape[1]))]
        pieces = whole if self.panels is None else [(panel.lab, panel.slow, panel.fast) for panel in self.panels]
        angles = []
        for place, rows, columns in pieces:
            slow = np.array([[rows[0] + 0.5], [rows[1] - 0.5]])
            fast = np.array([[columns[0] + 0.5, columns[1] - 0.5]])
            angles.append(float(np.max(two_theta(*place(slow, fast)))))
        return max(angles) < _FLAT_LIMIT

    def two_theta_at(self, slow: ArrayLike, fast: ArrayLike) -> NDArray[np.float64]:
        """Scattering angle, rad, at positions in px from the outer corner; NaN in no panel."""
        x, y, z = self._lab(np.asarray(slow, dtype=np.float64), np.asarray(fast, dtype=np.float64))
        return np.asarray(np.arctan2(np.hypot(x, y), z))

    def q_at(self, slow: ArrayLike, fast: ArrayLike) -> NDArray[np.float64]:
        """Momentum transfer, 1/angstrom, at positions in px from the outer corner; NaN without a
        wavelength."""
        angle = self.two_theta_at(slow, fast)
        return np.full(angle.shape, np.nan) if self.wavelength is None else q_of(angle, self.wavelength)

    def d_at(self, slow: ArrayLike, fast: ArrayLike) -> NDArray[np.float64]:
        """Spacing, angstrom, at positions in px from the outer corner; infinite on the beam, NaN without
        wavelength."""
        angle = self.two_theta_at(slow, fast)
        return np.full(angle.shape, np.nan) if self.wavelength is None else d_of(angle, self.wavelength)
