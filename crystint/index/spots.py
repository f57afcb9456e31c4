"""Spots of frames as rays: what is indexed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.model.experiment import Detector
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag, PeakList
from crystint.model.scan import Scan
from crystint.model.spots import SpotList
from crystint.prediction.offsets import panels_at
from crystint.prediction.rays import pixel_rays

__all__ = ["IndexSpots", "detector_of_geometry", "places_on"]

_ICE = int(PeakFlag.ICE)
_STRAY = int(PeakFlag.PERSISTENT)


def detector_of_geometry(geometry: Geometry) -> Detector:
    """The panels of a geometry, without a sensor: rays are counted where they meet the plane.

    Parameters
    ----------
    geometry : Geometry

    Returns
    -------
    Detector

    Examples
    --------
    >>> import crystint
    >>> from crystint import index
    >>> geometry = crystint.Geometry((300, 320), (1e-4, 1e-4), 0.1, (150.0, 160.0), 1.0)
    >>> [round(value, 6) for value in index.detector_of_geometry(geometry).panels[0].origin]
    [-0.016, -0.015, 0.1]
    """
    return Detector(geometry.shape, geometry.as_panels)


@dataclass(frozen=True, slots=True, eq=False)
class IndexSpots:
    """Spots, sorted by frame, the strongest of a frame first.

    Examples
    --------
    >>> import crystint
    >>> from crystint import index
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> peaks = crystint.Separator(data.geometry, data.mask, rings=30).peaks(data[0])
    >>> spots = index.IndexSpots.of(peaks, index.detector_of_geometry(data.geometry), frames=1)
    >>> len(spots), spots.ray.shape
    (8, (8, 3))
    """

    frame: NDArray[np.int64]
    """int64 [n]: of the sequence, from 0"""
    z: NDArray[np.float64]
    """float64 [n]: place along the sequence, in frames; the middle of frame i is i + 0.5"""
    slow: NDArray[np.float64]
    """float64 [n], px of the frame from the outer corner"""
    fast: NDArray[np.float64]
    """float64 [n], px"""
    panel: NDArray[np.intp]
    """int [n]: the panel of each"""
    ray: NDArray[np.float64]
    """float64 [n, 3]: unit vectors of the laboratory"""
    reach: NDArray[np.float64]
    """float64 [n]: from the sample to the spot, m"""
    intensity: NDArray[np.float64]
    """float64 [n], normalised counts"""
    sigma: NDArray[np.float64]
    """float64 [n]: its standard deviation"""
    ice: NDArray[np.bool_]
    """bool [n]: on a ring of ice"""
    frames: int
    """of the sequence, those without spots too"""
    turned: NDArray[np.float64] | None = None
    """float64 [n, 3, 3]: rotation of the goniometer when each was seen; None = stills"""

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(
        cls, rows: PeakList | SpotList, detector: Detector, frames: int, *, scan: Scan | None = None, d_min: float = 0.0
    ) -> IndexSpots:
        """Spots of a peak list, or joined spots of a scan. What comes back at one place of the detector is left out.

        Parameters
        ----------
        rows : PeakList or SpotList
        detector : Detector
        frames : int
        scan : Scan, optional
            Of a crystal that turns; None = stills.
        d_min : float
            Spots of higher resolution are left out, angstrom.

        Raises
        ------
        GeometryError
            When a spot lies in no panel: the geometry is of another detector.
        """
        names = rows.dtype.names or ()
        joined = "z" in names
        frame = np.floor(rows["z"]).astype(np.int64) if joined else rows["frame"].astype(np.int64)
        chosen = (rows["flags"] & _STRAY) == 0
        if d_min > 0.0:
            chosen &= ~(rows["d"] < d_min)
        order = np.flatnonzero(chosen)
        order = order[np.lexsort((-rows["intensity"][order], frame[order]))]
        rows, frame = rows[order], np.clip(frame[order], 0, max(frames - 1, 0))
        z = rows["z"].astype(np.float64) if joined else frame + 0.5
        slow, fast = rows["slow"].astype(np.float64), rows["fast"].astype(np.float64)
        panel = panels_at(detector, slow, fast)
        if len(panel) and (panel < 0).mean() > 0.5:
            raise GeometryError(
                f"{int((panel < 0).sum())} of {len(panel)} spots lie in no panel of the geometry, which is of frames "
                f"of {detector.shape[0]} x {detector.shape[1]} px: is it that of another detector?"
            )
        inside = np.flatnonzero(panel >= 0)
        rows, frame, z = rows[inside], frame[inside], z[inside]
        slow, fast, panel = slow[inside], fast[inside], panel[inside]
        place = places_on(detector, panel, slow, fast)
        turned = None
        if scan is not None:
            number = np.clip(np.floor(z).astype(np.int64), 0, len(scan) - 1)
            turned = scan.rotation(number, z - number)
        return cls(
            frame=frame,
            z=z,
            slow=slow,
            fast=fast,
            panel=panel,
            ray=pixel_rays(detector, panel, slow, fast),
            reach=np.linalg.norm(place, axis=1),
            intensity=rows["intensity"].astype(np.float64),
            sigma=rows["sigma"].astype(np.float64),
            ice=(rows["flags"] & _ICE) != 0,
            frames=frames,
            turned=turned,
        )

    def q(self, incident: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, 3]: scattering vectors, 1/angstrom, in the frame of the crystal where that turns.

        Parameters
        ----------
        incident : float64 [n, 3] or [3]
            s0.
        """
        length = np.linalg.norm(incident, axis=-1)[..., None]
        q = self.ray * length - incident
        return q if self.turned is None else np.asarray(np.einsum("nji,nj->ni", self.turned, q))


def places_on(
    detector: Detector, panel: NDArray[np.intp], slow: NDArray[np.float64], fast: NDArray[np.float64]
) -> NDArray[np.float64]:
    """float64 [n, 3]: where places on panels are, m; NaN where the panel is -1."""
    place = np.full((len(panel), 3), np.nan)
    for number in np.unique(panel[panel >= 0]):
        here = panel == number
        place[here] = detector.panels[number].lab(slow[here], fast[here]).T
    return place
