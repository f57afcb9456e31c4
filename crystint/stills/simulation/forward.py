"""From excited reflections to the counts that are expected, and where."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model.experiment import Detector
from crystint.stills.simulation.scene import Scene

__all__ = ["Truth", "attenuated_depth", "forward", "meeting", "polarization_of"]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is so, one row per reflection that is excited and meets the detector; sorted by image, then index."""

    image: NDArray[np.int32]
    """int32 [n]"""
    hkl: NDArray[np.int32]
    """int32 [n, 3]: as indexed"""
    unique: NDArray[np.int32]
    """int32 [n]: row of `Lattice.unique_hkl`"""
    d: Floats
    """float64 [n], angstrom"""
    excitation: Floats
    """float64 [n], 1/angstrom, positive outside the sphere"""
    partiality: Floats
    polarization: Floats
    efficiency: Floats
    true_intensity: Floats
    """float64 [n]: I(hkl)"""
    signal: Floats
    """float64 [n]: J, counts expected"""
    background: Floats
    """float64 [n], counts per pixel expected at the spot"""
    slow: Floats
    """float64 [n], px from the outer corner"""
    fast: Floats
    ray: Floats
    """float64 [n, 3]: unit vector"""
    spot_pixels: Floats
    """float64 [n]: 1 / sum of the profile's square, px"""
    listed: NDArray[np.bool_]
    """bool [n]: |excitation| is at most `band` R0; the others only spill into the frames"""

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: NDArray[Any]) -> Truth:
        """Some of the rows."""
        return Truth(**{entry.name: getattr(self, entry.name)[rows] for entry in fields(self)})


def forward(data: Scene, image: NDArray[np.intp], point: NDArray[np.intp], excitation: Floats) -> Truth:
    """The truth of reflections of `Lattice.hkl[point]` in `image`; those that miss the detector are left out."""
    s, lattice = data.settings, data.lattice
    hkl = lattice.hkl[point].astype(np.float64)
    s1 = data.incident[image] + np.einsum("nij,nj->ni", data.setting[image], hkl)
    ray = np.asarray(s1 / np.linalg.norm(s1, axis=1)[:, None])
    slow, fast = meeting(s.detector, ray)
    other = data.other_indexing[image]
    if other.any():
        hkl[other] = hkl[other] @ data.reindex
    indexed = np.rint(hkl).astype(np.int32)
    on = np.flatnonzero((slow >= 0) & (slow < s.shape[0]) & (fast >= 0) & (fast < s.shape[1]))
    on = on[np.lexsort((indexed[on, 2], indexed[on, 1], indexed[on, 0], image[on]))]
    image, point, excitation, ray = image[on], point[on], excitation[on], ray[on]
    d, intensity = lattice.d[point], lattice.intensity[point]
    wavelength = data.wavelengths[image]
    partiality = np.exp(-((excitation / s.rocking(d, wavelength, data.width_ratio[image])) ** 2))
    polarization = polarization_of(ray, s.polarization_fraction)
    normal = np.abs(ray[:, 2])
    depth = s.thickness * s.attenuation
    efficiency = -np.expm1(-depth / normal) if depth else np.ones(len(d))
    scale = np.exp(data.ln_g[image] - 0.25 * data.b[image] / d**2)
    # a pixel seen from the sample, in 1/angstrom squared, against the area pi R1^2 of the profile
    seen = (s.pixel_size / s.distance) ** 2 * normal**3 / wavelength**2
    return Truth(
        image=image.astype(np.int32),
        hkl=indexed[on],
        unique=lattice.unique[point],
        d=d,
        excitation=excitation,
        partiality=partiality,
        polarization=polarization,
        efficiency=efficiency,
        true_intensity=intensity,
        signal=scale * partiality * polarization * efficiency * intensity,
        background=s.background_at(d),
        slow=slow[on],
        fast=fast[on],
        ray=ray,
        spot_pixels=2.0 * np.pi * s.spot_width(d) ** 2 / seen,
        listed=np.abs(excitation) <= s.band * s.rocking(d, wavelength),
    )


def polarization_of(ray: Floats, fraction: float) -> Floats:
    """Share of the intensity along rays [n, 3], beam along -z, `fraction` of it with its field along x."""
    return np.asarray(fraction * (1.0 - ray[:, 0] ** 2) + (1.0 - fraction) * (1.0 - ray[:, 1] ** 2))


def attenuated_depth(thickness: float, attenuation: float, normal: Floats) -> Floats:
    """Mean way of a ray in the sensor before it is counted, m: 1/mu - (t/cos + 1/mu) exp(-mu t/cos)."""
    if not thickness * attenuation:
        return np.zeros_like(normal)
    path = thickness / normal
    return np.asarray(1.0 / attenuation - (path + 1.0 / attenuation) * np.exp(-attenuation * path))


def meeting(detector: Detector, ray: Floats) -> tuple[Floats, Floats]:
    """(slow, fast) px from the outer corner of the first panel's plane, parallax in; NaN behind it."""
    panel = detector.panels[0]
    columns = np.stack([panel.slow_vector, panel.fast_vector], axis=1)
    size = np.linalg.norm(columns, axis=0)
    normal = np.cross(panel.fast_vector, panel.slow_vector)
    normal = normal / np.linalg.norm(normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.dot(panel.origin, normal) / (ray @ normal)
        way = np.where(way > 0.0, way, np.nan)
        way = way + attenuated_depth(detector.thickness, detector.attenuation, np.abs(ray @ normal))
    place = (way[:, None] * ray - np.asarray(panel.origin)) @ (columns / size**2)
    return place[:, 0], place[:, 1]
