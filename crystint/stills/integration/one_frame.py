"""One frame: predict, cut, measure the background, fit the profiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.experiment import Detector, Experiment
from crystint.model.observations import Flag, Observations
from crystint.model.reference import Reference
from crystint.model.valid_values import ValidValues
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import Prediction, predict
from crystint.stills.integration.amplitude import Amplitudes, amplitudes, box_sums, combined
from crystint.stills.integration.first_scale import expected_intensity
from crystint.stills.integration.misfit import spot_fit
from crystint.stills.integration.place_offsets import coordinates, smooth_offsets
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.integration.ring import expected_background, ring_means, ring_shares
from crystint.stills.integration.shoeboxes import FORM_RINGS, BoxRules, Places, Shoeboxes, cut, pixel_axes
from crystint.stills.integration.spot_moments import SpotMoments

__all__ = [
    "FrameIntegrator",
    "FramePart",
    "Seen",
]


@dataclass(frozen=True, eq=False)
class FramePart:
    """What one frame gave; rows as in `crystint.stills.integration.integrate.Integrated`."""

    observations: Observations
    moments: SpotMoments
    ring_pixels: NDArray[np.intp]
    captured: NDArray[np.float64]
    guess: float
    """1/angstrom: width that stands in where none was measured"""
    terms: dict[int, int]
    """images whose places were moved, and how many terms that has"""
    both: NDArray[np.float64]
    """float64 [len(moments), 2], counts: amplitudes of the profiles of the strong spots, and sums over their cores"""
    away: NDArray[np.float64]
    """float64 [len(moments), 2, 2], px: how far they are from [predicted, moved] places, [radially, tangentially]"""
    pixel: NDArray[np.float64]
    """float64 [len(moments)], 1/angstrom: a px there"""
    fit: NDArray[np.float64]
    """float64 [len(moments), 3]: of the strong spots and their profiles, as `spot_fit`"""
    rings: tuple[NDArray[np.float64], NDArray[np.float64]]
    """float64 [len(moments), 5] each: share of the core in rings of 0.5 R, of counts and of the profile"""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is found at some places."""

    columns: dict[str, NDArray[Any]]
    """of numbers, in the order of the places"""
    moments: SpotMoments
    """of the strong spots"""
    rows: NDArray[np.intp]
    """int [len(moments)]: which of the places"""
    both: NDArray[np.float64]
    """float64 [len(moments), 2], counts: amplitudes of their profiles, and sums over their cores"""
    fit: NDArray[np.float64]
    """float64 [len(moments), 3]: as `FramePart.fit`"""
    rings: tuple[NDArray[np.float64], NDArray[np.float64]]
    """float64 [len(moments), 5] each"""


_METHODS = ("combined", "profile", "sum")
_MOVES = 2
"""times that places are moved to where spots are seen: the first cores may not hold all of a spot"""
_SETTLED = 0.1
"""px: places that move by less stay"""


@dataclass(frozen=True, eq=False)
class FrameIntegrator:
    """What is the same for all frames; fields as the arguments of `crystint.stills.integration.integrate.integrate`.

    Raises
    ------
    SettingError
        When a setting is impossible.
    """

    experiment: Experiment
    width: RockingWidth
    d_min: float
    band: float
    rules: BoxRules
    method: str
    mask: NDArray[np.bool_] | None
    saturation: float | None
    noise: float
    background_floor: float
    strong: float
    reference: Reference | None
    recenter: bool = True
    first_width: float = 2.0
    """px: R of the profiles before any was measured"""
    valid: ValidValues | None = None
    """which values are measurements; None = the default of the frames' dtype"""

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise SettingError(f"method is {self.method!r}, expected one of {', '.join(_METHODS)}")
        if not self.strong > 0.0:
            raise SettingError(f"strong is {self.strong!r}, expected a number above 0")
        if not (self.background_floor > 0.0 and self.noise >= 0.0):
            raise SettingError(
                f"background_floor is {self.background_floor!r} and noise {self.noise!r}; "
                f"expected above 0, and 0 or more"
            )

    def run(
        self, frame: NDArray[Any], images: NDArray[np.intp], profile: ProfileWidths | None
    ) -> tuple[FramePart | None, dict[int, str]]:
        """Integrate all images of one frame.

        Parameters
        ----------
        frame : number [slow, fast]
        images : int [m]
            Rows of the experiment that are on this frame.
        profile : ProfileWidths or None
            None = `first_width`, to find out.

        Returns
        -------
        part : FramePart or None
            None where nothing is predicted.
        notes : dict
            What is to be said of which image.
        """
        predicted = predict(self.experiment, self.d_min, self.width, band=self.band, images=images)
        notes = dict(predicted.notes)
        if not len(predicted):
            return None, self._note(notes, images, predicted)
        places, guess = self._places(predicted, profile)
        detectors = self.experiment.detector[images]
        if np.any(detectors != detectors[0]):
            names = ", ".join(self.experiment.name[image] for image in images)
            raise SettingError(f"{names} are on one frame, but with different detectors")
        detector = self.experiment.detectors[detectors[0]]
        seen = self._seen(frame, detector, places, predicted)
        terms: dict[int, int] = {}
        for _ in range(_MOVES if self.recenter else 0):
            step, terms = self._shift(places, predicted, seen)
            at = predicted.slow + step[:, 0], predicted.fast + step[:, 1]
            change = np.hypot(at[0] - places.slow, at[1] - places.fast)
            if not change.max(initial=0.0) > _SETTLED:
                break
            places = replace(places, slow=at[0], fast=at[1])
            seen = self._seen(frame, detector, places, predicted)
        columns, moments, spots = seen.columns, seen.moments, seen.rows
        observations = Observations(
            image=predicted.image,
            hkl=predicted.hkl,
            intensity=columns["intensity"],
            sigma=np.sqrt(columns["variance"]),
            d=predicted.d,
            partiality=predicted.partiality,
            correction=predicted.polarization * predicted.efficiency,
            excitation=predicted.excitation,
            slow=predicted.slow.astype(np.float32),
            fast=predicted.fast.astype(np.float32),
            background=columns["background"].astype(np.float32),
            background_variance=columns["background_variance"],
            flags=columns["flags"].astype(np.uint32),
        )
        pixel = np.sqrt(np.abs(np.linalg.det(places.axes[spots])))
        away = np.stack(
            [
                np.stack([moments.centroid_slow - at.slow[spots], moments.centroid_fast - at.fast[spots]], axis=1)
                for at in (predicted, places)
            ],
            axis=1,
        )
        away = np.einsum("nij,nkj->nki", places.axes[spots], away) / pixel[:, None, None]
        part = FramePart(
            observations=observations,
            moments=moments,
            ring_pixels=columns["ring_pixels"].astype(np.intp),
            captured=columns["captured"],
            guess=guess,
            terms=terms,
            both=seen.both,
            away=away,
            pixel=pixel,
            fit=seen.fit,
            rings=seen.rings,
        )
        return part, self._note(notes, images, predicted, observations)

    def _seen(self, frame: NDArray[Any], detector: Detector, places: Places, predicted: Prediction) -> Seen:
        """Amplitudes of all reflections, and the strong spots, in cores at these places."""
        boxes = list(
            cut(frame, detector, places, self.rules, mask=self.mask, saturation=self.saturation, valid=self.valid)
        )
        columns = self._measure(boxes, places, predicted)
        moments, rows, both, fit = [], [np.zeros(0, dtype=np.intp)], [np.zeros((0, 2))], [np.zeros((0, 3))]
        seen, expected = [np.zeros((0, FORM_RINGS))], [np.zeros((0, FORM_RINGS))]
        for box in boxes:
            mean, ring = columns["background"][box.row], columns["ring_pixels"][box.row]
            significance = columns["significance"][box.row]
            some = np.flatnonzero((significance >= self.strong) & (box.flags == 0))
            moments.append(
                SpotMoments.of(box, places, predicted.image, predicted.hkl, predicted.d, mean, significance, some)
            )
            rows.append(box.row[some])
            counted, modelled = ring_shares(box, places, mean, some)
            seen.append(counted)
            expected.append(modelled)
            pixels = box.counts[some], box.profile[some], mean[some]
            fitted, total = (
                estimate(*pixels, ring[some], noise=self.noise).intensity for estimate in (amplitudes, box_sums)
            )
            both.append(np.stack([fitted, total], axis=1))
            fit.append(spot_fit(box, some, mean[some], total, floor=self.background_floor, noise=self.noise))
        return Seen(
            columns, SpotMoments.join(moments), np.concatenate(rows), np.concatenate(both), np.concatenate(fit),
            (np.concatenate(seen), np.concatenate(expected)),
        )  # fmt: skip

    def _shift(self, places: Places, predicted: Prediction, seen: Seen) -> tuple[NDArray[np.float64], dict[int, int]]:
        """How far spots are seen from where they are predicted, px along slow and fast, smooth over each image."""
        moved, terms = np.zeros((len(predicted), 2)), dict[int, int]()
        spots, moments = seen.rows, seen.moments
        away = np.stack(
            [moments.centroid_slow - predicted.slow[spots], moments.centroid_fast - predicted.fast[spots]], axis=1
        )
        axes = places.axes[spots]
        offset = np.einsum("nij,nj->ni", axes, away)
        error = np.sqrt(np.abs(np.linalg.det(axes))) * np.hypot(moments.sigma_slow, moments.sigma_fast)
        for image in np.unique(predicted.image):
            rows = np.flatnonzero(predicted.image == image)
            here = np.flatnonzero(predicted.image[spots] == image)
            at = coordinates(predicted.ray[rows], self.experiment.incident[image])
            offsets, count = smooth_offsets(
                at, np.searchsorted(rows, spots[here]), offset[here], error[here], moments.significance[here]
            )
            if count:
                moved[rows] = np.linalg.solve(places.axes[rows], offsets[:, :, None])[:, :, 0]
                terms[int(image)] = count
        return moved, terms

    def _places(self, predicted: Prediction, profile: ProfileWidths | None) -> tuple[Places, float]:
        where = predicted.panel.astype(np.intp), predicted.slow, predicted.fast
        axes = pixel_axes(self.experiment, predicted.image, predicted.hkl, *where)
        pixel = np.sqrt(np.abs(np.linalg.det(axes)))
        guess = self.first_width * float(np.median(pixel))
        width = np.repeat(self.first_width * pixel[:, None], 2, axis=1) if profile is None else profile.at(predicted.d)
        form = None if profile is None else profile.form_at(predicted.d)
        return Places(*where, axes=axes, width=width, form=form), guess

    def _measure(self, boxes: list[Shoeboxes], places: Places, predicted: Prediction) -> dict[str, NDArray[Any]]:
        """Columns of numbers, in the order of the places."""
        n = len(places)
        names = ("intensity", "variance", "background_variance", "background", "captured", "significance")
        columns: dict[str, NDArray[Any]] = {name: np.full(n, np.nan) for name in names}
        columns |= {name: np.zeros(n, np.int64) for name in ("ring_pixels", "flags")}
        for box in boxes:
            mean, pixels = ring_means(box.counts, box.ring, noise=self.noise)
            columns["background"][box.row], columns["ring_pixels"][box.row] = mean, pixels
            columns["flags"][box.row], columns["captured"][box.row] = box.flags, box.captured
        expected = expected_background(columns["background"], columns["ring_pixels"], predicted.d)
        self._fit(boxes, columns, expected, None)
        if self.reference is not None:
            self._fit(boxes, columns, expected, self._model(columns, predicted))
        with np.errstate(invalid="ignore", divide="ignore"):
            columns["significance"] = columns["intensity"] / np.sqrt(columns["variance"])
        bad = ~(np.isfinite(columns["intensity"]) & (columns["variance"] > 0.0))
        columns["flags"][bad] |= int(Flag.BAD_VALUE)
        return columns

    def _fit(
        self,
        boxes: list[Shoeboxes],
        columns: dict[str, NDArray[Any]],
        expected: NDArray[np.float64],
        model: NDArray[np.float64] | None,
    ) -> None:
        for box in boxes:
            pixels = box.counts, box.profile, columns["background"][box.row], columns["ring_pixels"][box.row]
            options: dict[str, Any] = {
                "model": None if model is None else model[box.row],
                "expected_background": expected[box.row],
                "background_floor": self.background_floor,
                "noise": self.noise,
            }
            estimates: dict[str, Amplitudes] = {}
            if self.method != "sum":
                estimates["profile"] = amplitudes(*pixels, **options)
            if self.method != "profile":
                estimates["sum"] = box_sums(*pixels, **options)
            if self.method == "combined":
                estimates["combined"] = combined(estimates["profile"], estimates["sum"], options["model"])
            for name in ("intensity", "variance", "background_variance"):
                columns[name][box.row] = getattr(estimates[self.method], name)

    def _model(self, columns: dict[str, NDArray[Any]], predicted: Prediction) -> NDArray[np.float64]:
        """What the reference makes of each reflection, image by image."""
        assert self.reference is not None
        reference = self.reference.match(predicted.hkl, self.experiment.space_group)
        full = predicted.partiality * predicted.polarization * predicted.efficiency * reference
        use = (columns["flags"] & Flag.excluding()) == 0
        model = np.full(len(predicted), np.nan)
        for image in np.unique(predicted.image):
            rows = np.flatnonzero(predicted.image == image)
            model[rows] = expected_intensity(
                columns["intensity"][rows],
                columns["background_variance"][rows],
                full[rows],
                predicted.d[rows],
                use[rows],
            )
        return model

    def _note(
        self,
        notes: dict[int, str],
        images: NDArray[np.intp],
        predicted: Prediction,
        observations: Observations | None = None,
    ) -> dict[int, str]:
        for image in images.tolist():
            name, rows = self.experiment.name[image], predicted.image == image
            if image in notes:
                continue
            if not rows.any():
                notes[image] = f"{name}: no reflection to {self.d_min:.3g} angstrom is predicted on its panels"
            elif observations is not None and not observations.usable[rows].any():
                notes[image] = (
                    f"{name}: none of its {rows.sum()} predicted reflections can be used "
                    f"(masked, saturated, or without background)"
                )
        return notes
