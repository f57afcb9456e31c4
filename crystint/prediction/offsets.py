"""From the pixels of a frame to their offsets from a reciprocal lattice point: what profiles are functions of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import GeometryError, ShapeError
from crystint.model.experiment import Detector, Experiment
from crystint.prediction.rays import pixel_rays

__all__ = ["Offsets", "excitation_of", "panels_at", "polarization", "ray_table", "rays"]


def panels_at(detector: Detector, slow: ArrayLike, fast: ArrayLike) -> NDArray[np.intp]:
    """Number of the panel that owns each place of the frame, px; -1 = none."""
    slow, fast = np.broadcast_arrays(np.asarray(slow, dtype=np.float64), np.asarray(fast, dtype=np.float64))
    panel_of = np.full(slow.shape, -1, dtype=np.intp)
    for number, panel in enumerate(detector.panels):
        panel_of[panel.holds(slow, fast)] = number
    return panel_of


def rays(
    experiment: Experiment, image: ArrayLike, slow: ArrayLike, fast: ArrayLike, panel: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Unit vectors of the rays that are counted, on average, at places of the frame (parallax undone).

    Parameters
    ----------
    image : int [...]
        Rows of the experiment; they say which detector.
    slow, fast : float [...]
        px from the outer corner: a pixel's centre is at + 0.5. All arguments are broadcast together.
    panel : int [...], optional
        Numbers of the panels, where known: quicker, and a place beside its panel is on its plane. -1 = none.

    Returns
    -------
    float64 [..., 3]
        NaN in no panel.
    """
    image, slow, fast = np.broadcast_arrays(np.asarray(image), np.asarray(slow), np.asarray(fast))
    which = experiment.detector[image]
    numbers = np.unique(which)
    result = np.full((*slow.shape, 3), np.nan)
    for number in numbers:
        detector = experiment.detectors[number]
        here: Any = which == number if len(numbers) > 1 else np.s_[...]
        where = slow[here], fast[here]
        owner = panels_at(detector, *where) if panel is None else np.broadcast_to(panel, slow.shape)[here]
        result[here] = pixel_rays(detector, np.asarray(owner), *where)
    return result


def ray_table(detector: Detector) -> NDArray[np.float64]:
    """Rays of the centres of all pixels of a frame, float64 [slow, fast, 3]; NaN in no panel.

    They are the same for all images of a detector: where millions of pixels are looked up this is quicker than
    `rays`, for 24 bytes per pixel of the frame.
    """
    table = np.full((*detector.shape, 3), np.nan)
    for number, panel in enumerate(detector.panels):
        for row in range(*panel.slow):
            fast = np.arange(*panel.fast) + 0.5
            table[row, slice(*panel.fast)] = pixel_rays(detector, np.asarray(number), np.asarray(row + 0.5), fast)
    return table


@dataclass(frozen=True, eq=False)
class Offsets:
    """q of a pixel minus the lattice point, 1/angstrom, in parts; the pixel's q is u/wavelength - s0."""

    along: NDArray[np.float64]
    """float64 [...]: along the ray of the pixel. At the spot itself it is minus the reflection's excitation"""
    radial: NDArray[np.float64]
    """float64 [...]: across the ray in the plane of s0, away from the beam"""
    tangential: NDArray[np.float64]
    """float64 [...]: across both, along u x s0"""

    @property
    def across(self) -> NDArray[np.float64]:
        """eps_t, the length of the two tangential parts."""
        return np.asarray(np.hypot(self.radial, self.tangential))


def excitation_of(experiment: Experiment, image: ArrayLike, hkl: NDArray[Any], ray: NDArray[np.float64]) -> Offsets:
    """Offsets of pixels from the lattice points of reflections.

    Parameters
    ----------
    image : int [n]
    hkl : int [n, 3]
    ray : float64 [n, 3] or [n, m, 3]
        Of one pixel, or of m pixels, for each reflection; see `rays`.

    Raises
    ------
    ShapeError
        When the numbers of rows differ.
    """
    image, hkl = np.asarray(image), np.asarray(hkl)
    if hkl.shape != (len(image), 3) or ray.shape[:1] != (len(image),) or ray.shape[-1] != 3:
        raise ShapeError(
            f"image, hkl and ray are {image.shape}, {hkl.shape}, {ray.shape}; expected [n], [n, 3], [n, .., 3]"
        )
    incident = experiment.incident[image]
    s1 = incident + np.einsum("nij,nj->ni", experiment.setting[image], hkl.astype(np.float64))
    radius = np.linalg.norm(incident, axis=1)
    beam = incident / radius[:, None]
    aslant, side = _dot(s1, beam), np.cross(beam, s1)
    for _ in range(ray.ndim - 2):
        s1, beam, side, radius, aslant = s1[:, None], beam[:, None], side[:, None], radius[:, None], aslant[:, None]
    # dq = u/wavelength - s1 along u, along (u (u . beam) - beam) / sine and along u x beam / sine
    ahead, cosine = _dot(ray, s1), _dot(ray, beam)
    sine = np.sqrt(np.maximum(1.0 - cosine * cosine, 1e-300))
    return Offsets(
        along=radius - ahead,
        radial=(aslant - cosine * ahead) / sine,
        tangential=-_dot(ray, side) / sine,
    )


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("...i,...i->...", a, b))


def polarization(experiment: Experiment, image: ArrayLike, ray: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor of the intensity, float64 [n], along unit vectors `ray` [n, 3].

    fraction (1 - (u . (n x s0))^2) + (1 - fraction) (1 - (u . n)^2), with n the part of the polarization normal
    that is across the beam of the image, and s0 its direction.

    Raises
    ------
    GeometryError
        When the normal is along the beam.
    """
    image = np.asarray(image)
    beam = experiment.incident / np.linalg.norm(experiment.incident, axis=1)[:, None]
    direction = np.array(experiment.polarization_normal, dtype=np.float64)
    normal = direction - beam * (beam @ direction)[:, None]
    length = np.linalg.norm(normal, axis=1)
    if (length[image] < 1e-6 * np.linalg.norm(direction)).any():
        raise GeometryError(f"the polarization normal {experiment.polarization_normal} is along the beam")
    with np.errstate(divide="ignore", invalid="ignore"):
        normal /= length[:, None]
    share = experiment.polarization_fraction
    across, along = _dot(ray, np.cross(normal, beam)[image]), _dot(ray, normal[image])
    return np.asarray(share * (1.0 - across**2) + (1.0 - share) * (1.0 - along**2))
