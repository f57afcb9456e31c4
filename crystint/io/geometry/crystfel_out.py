"""A geometry as CrystFEL reads it (.geom)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crystint.errors import GeometryError
from crystint.model.geometry import Geometry
from crystint.units import energy_of

__all__ = ["geom_text"]


def geom_text(
    geometry: Geometry,
    *,
    data: str = "/entry/data/data",
    dimensions: Sequence[str] = ("%", "ss", "fs"),
    peak_list: str | None = None,
    bad_value: float | None = None,
    saturation: float | None = None,
    comment: str = "",
) -> str:
    """The text of a geometry file; `crystint.Geometry.read` gives the same geometry back.

    CrystFEL's laboratory has z along the beam; x and y are taken along fast and slow, which is its frame turned about
    the beam: nothing but the direction of polarization can see that.

    Parameters
    ----------
    geometry : Geometry
    data : str
        Where the frames are in the data.
    dimensions : sequence of str
        What its axes are.
    peak_list : str, optional
        Where the peaks are in the data.
    bad_value : float, optional
        Counts of pixels that hold no measurement.
    saturation : float, optional
        The largest measurement.
    comment : str
        A first line.

    Raises
    ------
    GeometryError
        When the wavelength is not known.
    """
    if geometry.wavelength is None:
        raise GeometryError(
            "CrystFEL needs the photon energy, and the wavelength is not known; give a geometry with one"
        )
    panels = geometry.as_panels
    length = min(panel.origin[2] for panel in panels) if geometry.panels else geometry.distance
    lines = [f"; {line}" for line in comment.splitlines()]
    lines += [
        f"photon_energy = {energy_of(geometry.wavelength):.17g} eV",
        f"clen = {length:.17g} m",
        "adu_per_photon = 1",
    ]
    lines.append(f"data = {data}")
    lines += [f"dim{number} = {name}" for number, name in enumerate(dimensions)]
    lines += [] if peak_list is None else [f"peak_list = {peak_list}"]
    lines += [] if bad_value is None else [f"flag_equal = {bad_value:.17g}"]
    lines += [] if saturation is None else [f"flag_morethan = {saturation:.17g}"]
    for number, panel in enumerate(panels):
        pixel = math.hypot(*panel.fast_vector)
        x, y, z = panel.origin
        values = {
            "min_fs": panel.fast[0],
            "max_fs": panel.fast[1] - 1,
            "min_ss": panel.slow[0],
            "max_ss": panel.slow[1] - 1,
            "res": f"{1.0 / pixel:.17g}",
            "corner_x": f"{x / pixel:.17g}",
            "corner_y": f"{y / pixel:.17g}",
            "coffset": f"{z - length:.17g}",
            "fs": _direction(panel.fast_vector, pixel),
            "ss": _direction(panel.slow_vector, pixel),
        }
        lines += ["", *(f"p{number}/{key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _direction(vector: tuple[float, float, float], pixel: float) -> str:
    return " ".join(f"{value / pixel:+.17f}{axis}" for value, axis in zip(vector, "xyz", strict=True))
