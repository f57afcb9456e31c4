"""Which pixels of a frame belong to which reflection, and which tell its background.

A pixel is described by where its ray passes the predicted one, in 1/angstrom and on two axes: radial, away from
the beam, and tangential. Over the few pixels of a spot both are linear in the pixel to a percent.

The core of a reflection is the ellipse (t_rad / R_rad)^2 + (t_tan / R_tan)^2 <= reach^2 about the predicted place;
its ring is what lies outside a guard about it, and in no core of any reflection that is predicted on the
frame. A pixel that two cores claim is used by neither (the profile of the others says what it holds); pixels that
are masked, marked in the frame, saturated or beyond the panel are not used at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, ShapeError
from crystint.html import html_table
from crystint.model.experiment import Detector, Experiment
from crystint.model.observations import Flag
from crystint.model.valid_values import ValidValues
from crystint.prediction.offsets import excitation_of, rays

__all__ = ["FORM_RINGS", "FORM_WIDTH", "BoxRules", "Places", "Shoeboxes", "cut", "pixel_axes"]

_HALVES = np.array([5, 6, 8, 11, 15, 20, 27, 36])
"""px: boxes have sides of 2 h + 1, so that only a few shapes are worked on"""
FORM_RINGS = 5
FORM_WIDTH = 0.5
"""R: rings that the form of profiles is given in, from the middle to the radius of the usual core"""
_STEP = 1.0
"""px: the axes of a pixel are differences over this far to both sides"""


@dataclass(frozen=True)
class BoxRules:
    """What belongs to a shoebox.

    Raises
    ------
    SettingError
        When a number is impossible.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.RockingWidth(domain=1e-3)
    >>> rules = stills.BoxRules(ring_pixels=60)
    >>> integrated = stills.integrate(data.images(), data.experiment, d_min=4.0, width=width, rules=rules)
    """

    reach: float = 2.5
    """radius of the core, in widths R of the profile: 2.5 holds 99.8 %"""
    guard: float = 1.4
    """the ring begins at this many radii of the core"""
    ring_pixels: int = 100
    """boxes are as large as a ring of this many pixels asks for"""
    min_ring: int = 20
    """a reflection with fewer background pixels is MASKED"""
    min_captured: float = 0.6
    """a reflection is MASKED when the pixels that can be used hold less than this share of it"""

    def __post_init__(self) -> None:
        good = {
            "reach": self.reach > 0.5,
            "guard": self.guard >= 1.0,
            "ring_pixels": self.ring_pixels >= 1,
            "min_ring": 1 <= self.min_ring <= self.ring_pixels,
            "min_captured": 0.0 <= self.min_captured <= 1.0,
        }
        for name, fine in good.items():
            if not fine:
                raise SettingError(f"{name} is {getattr(self, name)!r}; see BoxRules for what it can be")

    def _repr_html_(self) -> str:
        facts = {
            "reach of the core (widths)": self.reach,
            "start of the ring (cores)": self.guard,
            "pixels of the ring": self.ring_pixels,
            "least pixels of the ring": self.min_ring,
            "least share of the reflection": self.min_captured,
        }
        return html_table("BoxRules", facts)


@dataclass(frozen=True, eq=False)
class Places:
    """Where reflections are predicted on one frame, and how wide."""

    panel: NDArray[np.intp]
    """int [n]"""
    slow: NDArray[np.float64]
    """float64 [n], px of the frame from the outer corner"""
    fast: NDArray[np.float64]
    axes: NDArray[np.float64]
    """float64 [n, 2, 2], 1/angstrom per px: [radial, tangential] x [slow, fast], see `pixel_axes`"""
    width: NDArray[np.float64]
    """float64 [n, 2], 1/angstrom: R of the profile, radial and tangential"""
    form: NDArray[np.float64] | None = None
    """float64 [n, 5]: see `crystint.stills.integration.profile.ProfileWidths`; None = Gaussian"""

    def __len__(self) -> int:
        return len(self.slow)

    def extent(self) -> NDArray[np.float64]:
        """float64 [n, 2]: how far the ellipse of one width R reaches along slow and fast, px."""
        turned = self.axes / self.width[:, :, None]
        inverse = np.linalg.inv(turned)
        return np.asarray(np.sqrt(np.square(inverse).sum(axis=2)))

    def halves(self, rules: BoxRules) -> NDArray[np.intp]:
        """int [n]: half sides of the boxes that hold core and guard, and leave enough pixels for the ring."""
        guard = rules.reach * rules.guard
        scale = np.abs(np.linalg.det(self.axes / self.width[:, :, None]))
        side = np.sqrt(rules.ring_pixels + np.pi * guard**2 / scale)
        half = np.maximum(np.ceil(0.5 * (side - 1.0)), np.ceil(guard * self.extent().max(axis=1)))
        place = np.searchsorted(_HALVES, np.where(np.isfinite(half), half, 0.0))
        return np.asarray(_HALVES[np.minimum(place, len(_HALVES) - 1)])


@dataclass(frozen=True, eq=False)
class Shoeboxes:
    """The boxes of one shape: pixels of n reflections, each a row of side x side pixels, fast running fastest."""

    row: NDArray[np.intp]
    """int [n]: which of the `Places`"""
    side: int
    counts: NDArray[Any]
    """dtype of the frame [n, side * side]; 0 where a pixel cannot be used"""
    offset: tuple[NDArray[np.float64], NDArray[np.float64]]
    """float64 [n, side] each: pixel centres along slow and fast from the predicted place, px"""
    profile: NDArray[np.float64]
    """float64 [n, side * side]: share of the reflection in each pixel of the core that is used, 0 elsewhere"""
    ring: NDArray[np.bool_]
    """bool [n, side * side]"""
    flags: NDArray[np.uint32]
    """uint32 [n]: MASKED, SATURATED, OVERLAPPED, EDGE"""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def captured(self) -> NDArray[np.float64]:
        """float64 [n]: share of each reflection in the pixels that are used."""
        return np.asarray(self.profile.sum(axis=1))


def pixel_axes(
    experiment: Experiment,
    image: NDArray[np.integer],
    hkl: NDArray[np.integer],
    panel: NDArray[np.integer],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How far the ray of a pixel is from that of its neighbours, across itself.

    Parameters
    ----------
    image : int [n]
        Rows of the experiment.
    hkl : int [n, 3]
    panel : int [n]
    slow, fast : float64 [n]
        Predicted places, px of the frame from the outer corner.

    Returns
    -------
    float64 [n, 2, 2]
        1/angstrom per px: [radial, tangential] offsets (`crystint.prediction.predict.Offsets`) for a step along
        [slow, fast].
    """
    down, right = np.array([_STEP, -_STEP, 0.0, 0.0]), np.array([0.0, 0.0, _STEP, -_STEP])
    around = rays(experiment, image[:, None], slow[:, None] + down, fast[:, None] + right, panel[:, None])
    offsets = excitation_of(experiment, image, hkl, around)
    both = np.stack([offsets.radial, offsets.tangential], axis=1)
    return np.asarray((both[:, :, 0::2] - both[:, :, 1::2]) / (2.0 * _STEP))


def cut(
    frame: NDArray[Any],
    detector: Detector,
    places: Places,
    rules: BoxRules,
    *,
    mask: NDArray[np.bool_] | None = None,
    saturation: float | None = None,
    valid: ValidValues | None = None,
) -> Iterator[Shoeboxes]:
    """The shoeboxes of all reflections on a frame, those of one shape together.

    Parameters
    ----------
    frame : number [slow, fast]
        Negative integers, the all-ones value of unsigned ones, NaN and infinities are no measurements.
    detector : Detector
    places : Places
        *All* reflections that are on the frame: they keep out of one another's background.
    rules : BoxRules
    mask : bool [slow, fast], optional
        True where a pixel must not be used.
    saturation : float, optional
        Counts above this are not used; None = the detector's.
    valid : ValidValues, optional
        Which values are measurements; None = the default of the frame's dtype.

    Raises
    ------
    ShapeError
        When frame, mask and detector do not have one shape.
    """
    for name, array in (("frame", frame), ("mask", mask)):
        if array is not None and array.shape != detector.shape:
            raise ShapeError(f"{name} is {array.shape}, expected {detector.shape} (slow, fast), as the detector")
    valid = valid or ValidValues.of(frame.dtype)
    limit = valid.limit(detector.saturation if saturation is None else saturation)
    shapes = [_Shape(detector, places, rules, rows, half) for half, rows in _by_half(places, rules)]
    claims = np.zeros(frame.size, dtype=np.uint16)
    for shape in shapes:
        np.add.at(claims, shape.claimed(), np.uint16(1))
    for shape in shapes:
        yield shape.fill(frame, claims, mask, np.inf if limit is None else float(limit), valid)


def _by_half(places: Places, rules: BoxRules) -> Iterator[tuple[int, NDArray[np.intp]]]:
    halves = places.halves(rules)
    for half in np.unique(halves):
        yield int(half), np.flatnonzero(halves == half)


class _Shape:
    """Reflections with boxes of one side, before their pixels are looked at."""

    def __init__(self, detector: Detector, places: Places, rules: BoxRules, rows: NDArray[np.intp], half: int) -> None:
        self.rules, self.rows, self.side = rules, rows, 2 * half + 1
        steps = np.arange(-half, half + 1)
        panels = np.array([(*panel.slow, *panel.fast) for panel in detector.panels])[places.panel[rows]]
        offsets, indices, inside = [], [], []
        for number, predicted in enumerate((places.slow[rows], places.fast[rows])):
            index = np.floor(predicted).astype(np.int64)[:, None] + steps
            offsets.append(index + 0.5 - predicted[:, None])
            indices.append(np.clip(index, 0, detector.shape[number] - 1))
            low, high = panels[:, 2 * number, None], panels[:, 2 * number + 1, None]
            inside.append((index >= low) & (index < high))
        self.offset = offsets[0], offsets[1]
        self.inside = self._square(inside[0][:, :, None] & inside[1][:, None, :])
        self.pixel = self._square(indices[0][:, :, None] * detector.shape[1] + indices[1][:, None, :])
        turned = places.axes[rows] / places.width[rows, :, None]
        distance = 0.0
        for axis in range(2):
            slow, fast = offsets[0] * turned[:, axis, 0, None], offsets[1] * turned[:, axis, 1, None]
            distance = distance + np.square(slow[:, :, None] + fast[:, None, :])
        self.distance = self._square(np.asarray(distance))
        self.core = self.distance <= rules.reach**2
        self.form = None if places.form is None else places.form[rows]

    def _square(self, boxes: NDArray[Any]) -> NDArray[Any]:
        return boxes.reshape(len(self.rows), self.side * self.side)

    def _profile(self) -> NDArray[np.float64]:
        """Gaussians, times what interpolates the form between the middles of its rings."""
        if self.form is None:
            return np.asarray(np.exp(-self.distance))
        last = self.form.shape[1] - 1
        at = np.clip(np.sqrt(self.distance) / FORM_WIDTH - 0.5, 0.0, last)
        low = np.minimum(at.astype(np.intp), last - 1)
        share = at - low
        before, after = (np.take_along_axis(self.form, low + step, axis=1) for step in (0, 1))
        return np.asarray(np.exp((1.0 - share) * before + share * after - self.distance))

    def claimed(self) -> NDArray[np.int64]:
        """Pixel numbers of all cores."""
        return np.asarray(self.pixel[self.core & self.inside])

    def fill(
        self,
        frame: NDArray[Any],
        claims: NDArray[np.uint16],
        mask: NDArray[np.bool_] | None,
        limit: float,
        valid: ValidValues,
    ) -> Shoeboxes:
        rules, core = self.rules, self.core
        values = frame.reshape(-1)[self.pixel]
        counted = self.inside & ~valid.unusable(values)
        if mask is not None:
            counted &= ~mask.reshape(-1)[self.pixel]
        full = counted & (values > limit)
        good = counted & ~full
        taken = claims[self.pixel]
        contested = core & self.inside & (taken > 1)
        ring = good & (taken == 0) & (self.distance > (rules.reach * rules.guard) ** 2)
        profile = self._profile()
        whole = profile.sum(axis=1)
        profile /= np.where(whole > 0.0, whole, 1.0)[:, None]
        profile[~(core & good & ~contested)] = 0.0
        flags = np.zeros(len(self.rows), dtype=np.uint32)
        few = (profile.sum(axis=1) < rules.min_captured) | (ring.sum(axis=1) < rules.min_ring)
        for flag, where in (
            (Flag.MASKED, few),
            (Flag.SATURATED, (core & full).any(axis=1)),
            (Flag.OVERLAPPED, contested.any(axis=1)),
            (Flag.EDGE, (core & ~self.inside).any(axis=1)),
        ):
            flags |= np.where(where, np.uint32(flag), np.uint32(0))
        values[~good] = 0
        return Shoeboxes(self.rows, self.side, values, self.offset, profile, ring, flags)
