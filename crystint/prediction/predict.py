"""Which reflections an image shows, where, and how much of each.

r = A h,  s1 = s0 + r,  excitation = |s1| - 1/wavelength (positive outside the Ewald sphere), ray u = s1/|s1|:
White et al. (2013), Acta Cryst. D69, 1231.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.experiment import Experiment
from crystint.model.facts import counted, range_text, resolution_text
from crystint.prediction.candidates import candidates, index_bounds
from crystint.prediction.defaults import BAND
from crystint.prediction.offsets import Offsets, excitation_of, panels_at, polarization, ray_table, rays
from crystint.prediction.partiality import RockingWidth, partiality
from crystint.prediction.rays import project, sensor_efficiency

__all__ = ["Offsets", "Prediction", "excitation_of", "panels_at", "polarization", "predict", "ray_table", "rays"]

_MOST = 1e9
"""lattice points within d_min above which an image's cell is taken for a mistake"""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Reflections by image, then by h, k, l.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.RockingWidth(domain=1e-3)
    >>> predicted = stills.predict(data.experiment, 4.0, width)
    >>> predicted.slow.shape == (len(predicted),), float(predicted.partiality.max()) <= 1
    (True, True)
    """

    image: NDArray[np.int32]
    """int32 [n]: row of the experiment"""
    hkl: NDArray[np.int32]
    """int32 [n, 3]"""
    d: NDArray[np.float64]
    """float64 [n], angstrom"""
    excitation: NDArray[np.float64]
    """float64 [n], 1/angstrom, at the middle of the exposure"""
    excitation_sweep: NDArray[np.float64]
    """float64 [n], 1/angstrom: its change over the exposure; 0 for stills"""
    partiality: NDArray[np.float64]
    """float64 [n], averaged over the exposure"""
    polarization: NDArray[np.float64]
    """float64 [n]: factor"""
    efficiency: NDArray[np.float64]
    """float64 [n]: of the sensor, factor"""
    panel: NDArray[np.int32]
    """int32 [n]: number in the image's detector"""
    slow: NDArray[np.float64]
    """float64 [n], px of the frame from the outer corner, parallax in"""
    fast: NDArray[np.float64]
    """float64 [n], px"""
    ray: NDArray[np.float64]
    """float64 [n, 3]: unit vector"""
    outside: int = 0
    """reflections near the sphere whose ray meets no panel; they are in no column"""
    notes: dict[int, str] = field(default_factory=dict)
    """images that nothing could be predicted for, and why"""

    def __repr__(self) -> str:
        resolution = resolution_text(self.d)
        images = counted(len(np.unique(self.image)), "image")
        return f"<Prediction: {counted(len(self), 'reflection')} of {images}{resolution and ', '}{resolution}>"

    def _repr_html_(self) -> str:
        facts = {
            "reflections": len(self),
            "images": len(np.unique(self.image)),
            "resolution": resolution_text(self.d) or None,
            "partiality": range_text(self.partiality) or None,
            "outside of all panels": self.outside,
            "images without a prediction": len(self.notes),
        }
        return html_table("Prediction", facts)

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(item.name for item in fields(cls) if item.name not in ("outside", "notes"))

    def select(self, rows: NDArray[Any]) -> Self:
        """Some of the reflections (numbers or a mask); `outside` and `notes` stay those of the whole."""
        columns = {name: getattr(self, name)[rows] for name in self.columns()}
        return type(self)(**columns, outside=self.outside, notes=self.notes)


def predict(
    experiment: Experiment,
    d_min: float,
    width: RockingWidth,
    *,
    d_max: float = np.inf,
    band: float = BAND,
    images: NDArray[Any] | None = None,
) -> Prediction:
    """Reflections on the panels with |excitation| <= band * width (+ half of the change over the exposure).

    Systematic absences and 000 are left out. A reflection in a gap between panels, or off the detector, is only
    counted.

    Parameters
    ----------
    d_min, d_max : float
        Limits of spacing, angstrom.
    width : RockingWidth
        Its bandwidth is used, not the experiment's.
    band : float
        1.5 holds 99.7 % of what p^2-weighted data tell, 2 99.99 %.
    images : int [m] or bool [n], optional
        Rows of the experiment; None = all. Sorted; each once.

    Returns
    -------
    Prediction

    Raises
    ------
    SettingError
        When a limit is impossible. Images that cannot be used raise nothing: they are in `notes`.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.RockingWidth(domain=1e-3)
    >>> predicted = stills.predict(data.experiment, 4.0, width)
    >>> len(predicted) == len(data.listed), predicted.hkl.dtype
    (True, dtype('int32'))
    """
    if not (np.isfinite(d_min) and 0.0 < d_min < d_max):
        raise SettingError(f"d_min is {d_min!r} and d_max {d_max!r} angstrom, expected 0 < d_min < d_max")
    if not (np.isfinite(band) and band > 0.0):
        raise SettingError(f"band is {band!r}, expected a number above 0")
    wanted = np.arange(len(experiment)) if images is None else np.unique(np.arange(len(experiment))[images])
    chosen = set(wanted.tolist())
    notes = {image: why for image, why in experiment.unusable().items() if image in chosen}
    wanted = wanted[~np.isin(wanted, list(notes))]
    bounds = index_bounds(experiment.setting[wanted], d_min)
    points = 4.0 / 3.0 * np.pi / d_min**3 / np.abs(np.linalg.det(experiment.setting[wanted]))
    odd = ~((points < _MOST) & (bounds.max(axis=1, initial=0.0) < 3e4))
    for image, number in zip(wanted[odd].tolist(), points[odd], strict=True):
        notes[image] = f"{experiment.name[image]}: its cell gives {number:.3g} reflections to {d_min} angstrom"
    wanted = wanted[~odd]

    operations = experiment.space_group.operations()
    parts, outside = [], 0
    for image, hkl in candidates(
        experiment.setting[wanted],
        experiment.incident[wanted],
        d_min,
        _reach(experiment, wanted, width, band, d_min),
    ):
        part, missed = _near(experiment, wanted[image], hkl, width, band, (d_min, d_max), operations)
        outside += missed
        if len(part["image"]):
            parts.append(part)
    return Prediction(**_joined(parts), outside=outside, notes=notes)


def _joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """All parts as one, in order; they are taken apart, one column at a time, so as not to hold all of it twice."""

    def whole(name: str) -> NDArray[Any]:
        dtype, shape = _EMPTY[name]
        return np.concatenate([np.zeros((0, *shape), dtype), *(part.pop(name) for part in parts)])

    first = {name: whole(name) for name in ("image", "hkl")}
    order = np.argsort(_key(first["image"], first["hkl"]), kind="stable")
    return {name: (first.pop(name) if name in first else whole(name))[order] for name in _EMPTY}


_EMPTY: dict[str, tuple[Any, tuple[int, ...]]] = {
    name: (
        np.int32 if name in ("image", "hkl", "panel") else np.float64,
        (3,) if name in ("hkl", "ray") else (),
    )
    for name in Prediction.columns()
}


def _key(image: NDArray[np.int32], hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    """A number for each row that sorts by image, h, k and l."""
    key = image.astype(np.int64)
    for index in hkl.T:
        low = int(index.min(initial=0))
        key = key * (int(index.max(initial=0)) - low + 1) + (index - low)
    return key


def _turned(matrix: NDArray[np.float64], image: NDArray[np.intp], hkl: NDArray[np.int32]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("nij,nj->ni", matrix[image], hkl.astype(np.float64)))


def _reach(
    experiment: Experiment, images: NDArray[np.intp], width: RockingWidth, band: float, d_min: float
) -> NDArray[np.float64]:
    """The most that |excitation| may be in each image: the width grows towards d_min, and so does the sweep."""
    reach = band * width.at(d_min, experiment.wavelength[images])
    if experiment.sweep is not None:
        turn = experiment.sweep[images] @ np.linalg.inv(experiment.setting[images])
        reach = reach + 0.5 * np.linalg.norm(turn, axis=(1, 2)) / d_min
    return np.asarray(reach)


def _near(
    experiment: Experiment,
    image: NDArray[np.intp],
    hkl: NDArray[np.int32],
    width: RockingWidth,
    band: float,
    limits: tuple[float, float],
    operations: Any,
) -> tuple[dict[str, NDArray[Any]], int]:
    """The columns of those candidates that are predicted, and how many more meet no panel."""
    r = _turned(experiment.setting, image, hkl)
    s2 = np.einsum("ij,ij->i", r, r)
    keep = (s2 <= 1.0 / limits[0] ** 2) & (s2 >= 1.0 / limits[1] ** 2) & (s2 > 0.0)
    keep &= ~operations.systematic_absences(hkl)
    image, hkl, r, s2 = image[keep], hkl[keep], r[keep], s2[keep]
    incident = experiment.incident[image]
    s1 = incident + r
    length = np.sqrt(np.einsum("ij,ij->i", s1, s1))
    wavelength = 1.0 / np.linalg.norm(incident, axis=1)
    d, excitation = 1.0 / np.sqrt(s2), length - 1.0 / wavelength
    sweep = np.zeros(len(d))
    if experiment.sweep is not None:
        half = 0.5 * _turned(experiment.sweep, image, hkl)
        sweep = np.linalg.norm(s1 + half, axis=1) - np.linalg.norm(s1 - half, axis=1)
    spread = width.at(d, wavelength)
    keep = (np.abs(excitation) <= band * spread + 0.5 * np.abs(sweep)) & (length > 0.0)

    rows = np.flatnonzero(keep)
    ray = s1[rows] / length[rows, None]
    panel = np.full(len(rows), -1, dtype=np.intp)
    slow, fast, efficiency = np.full(len(rows), np.nan), np.full(len(rows), np.nan), np.ones(len(rows))
    which = experiment.detector[image[rows]]
    for number in np.unique(which):
        here = np.flatnonzero(which == number)
        detector = experiment.detectors[number]
        panel[here], slow[here], fast[here] = project(detector, ray[here])
        efficiency[here] = sensor_efficiency(detector, panel[here], ray[here])
    hit = panel >= 0
    near = rows[hit]
    partial = partiality(excitation[near], spread[near], None if experiment.sweep is None else sweep[near])
    part: dict[str, NDArray[Any]] = {
        "image": image[near].astype(np.int32),
        "hkl": hkl[near],
        "d": d[near],
        "excitation": excitation[near],
        "excitation_sweep": sweep[near],
        "partiality": partial,
        "polarization": polarization(experiment, image[near], ray[hit]),
        "efficiency": efficiency[hit],
        "panel": panel[hit].astype(np.int32),
        "slow": slow[hit],
        "fast": fast[hit],
        "ray": ray[hit],
    }
    return part, len(rows) - len(near)
