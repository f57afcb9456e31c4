"""From frames to observations: the reflections that are predicted on each frame, integrated.

Frames are worked on one at a time, so memory holds one frame per thread and the table of results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, ShapeError, warn
from crystint.html import html_table
from crystint.io.frames.sequence import Frames, open_frames
from crystint.model.experiment import Experiment
from crystint.model.facts import counted, resolution_text
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.model.valid_values import ValidValues
from crystint.prediction.pair_frames import Pairing, pair_frames
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.resolution import edge_resolution
from crystint.stills.integration.fit_check import check_fit, image_fit
from crystint.stills.integration.frame_stream import FrameResult, by_frame, stream_parts
from crystint.stills.integration.misfit import ImageFit
from crystint.stills.integration.one_frame import FrameIntegrator
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.integration.settle_widths import settle_widths
from crystint.stills.integration.shoeboxes import BoxRules
from crystint.stills.integration.spot_moments import SpotMoments
from crystint.stills.settings import IntegrateSettings

__all__ = ["SAMPLE", "Integrated", "IntegrationPlan", "integrate", "integrate_sample"]

_DEFAULTS = IntegrateSettings()

SAMPLE = 40
"""frames that widths are measured on, unless told otherwise"""
_FLOOR = 0.02
"""counts per pixel expected at least, unless told otherwise"""
_STRONG = 5.0
"""intensity over sigma of the spots whose moments are kept, unless told otherwise"""


@dataclass(frozen=True, eq=False)
class Integrated:
    """What `integrate` found.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.RockingWidth(domain=1e-3)
    >>> integrated = stills.integrate(data.images(), data.experiment, d_min=4.0, width=width)
    >>> len(integrated.observations) == len(data.listed), integrated.notes
    (True, {})
    """

    observations: Observations
    """by image, then by h, k, l; reflections that cannot be used are there, with flags"""
    profile: ProfileWidths
    """that were used"""
    moments: SpotMoments
    """of the strong spots: where they are seen and how wide"""
    ring_pixels: NDArray[np.int32]
    """int32 [len(observations)]: of the background"""
    captured: NDArray[np.float32]
    """float32 [len(observations)]: share of each reflection in the pixels that were used"""
    fit: ImageFit
    """how strong spots fit their profiles, image by image"""
    notes: dict[int, str] = field(default_factory=dict)
    """images that gave nothing, and why; row of the experiment -> message with its name"""
    warnings: tuple[str, ...] = ()
    """what concerns all images"""

    def __repr__(self) -> str:
        images = counted(len(np.unique(self.observations.image)), "image")
        notes = f", {len(self.notes)} without any" if self.notes else ""
        return f"<Integrated: {counted(len(self.observations), 'observation')} of {images}{notes}>"

    def _repr_html_(self) -> str:
        facts = {
            "observations": len(self.observations),
            "that can be used": int(np.count_nonzero(self.observations.usable)),
            "images": len(np.unique(self.observations.image)),
            "images without any": len(self.notes),
            "resolution": resolution_text(self.observations.d) or None,
            "strong spots": len(self.moments),
            "shells of profile widths": len(self.profile.radial),
            "warnings": self.warnings or None,
        }
        return html_table("Integrated", facts)


@dataclass(frozen=True, eq=False)
class IntegrationPlan:
    """Frames, and what is done with each."""

    frames: Frames
    integrator: FrameIntegrator
    units: list[tuple[int, NDArray[np.intp]]]
    """number of each frame that has images, and those"""
    notes: dict[int, str]
    """images that cannot be used, and why"""

    @classmethod
    def of(
        cls,
        frames: Frames | NDArray[Any],
        experiment: Experiment,
        *,
        width: RockingWidth,
        d_min: float | None = None,
        reference: Reference | None = None,
        method: str = _DEFAULTS.method,
        mask: NDArray[Any] | None = None,
        saturation: float | None = None,
        rules: BoxRules | None = None,
        band: float = _DEFAULTS.band,
        noise: float = _DEFAULTS.noise,
        background_floor: float = _FLOOR,
        strong: float = _STRONG,
        recenter: bool = _DEFAULTS.recenter,
        pairing: Pairing | None = None,
        valid: ValidValues | None = None,
    ) -> IntegrationPlan:
        """For the arguments of `integrate`.

        Raises
        ------
        ShapeError, SettingError
            When they do not belong together.
        """
        opened = frames if isinstance(frames, Frames) else open_frames(np.asarray(frames))
        for detector in experiment.detectors:
            if detector.shape != opened.shape:
                raise ShapeError(f"frames are {opened.shape}, the detector is {detector.shape} (slow, fast)")
        if pairing is None and isinstance(frames, Frames) and any(experiment.source):
            pairing = pair_frames(experiment, opened)
        notes = dict(experiment.unusable())
        if pairing is not None:
            experiment = replace(experiment, frame=pairing.frame)
            notes = pairing.missing | notes
        unusable = opened.mask if mask is None else mask
        integrator = FrameIntegrator(
            experiment=experiment,
            width=width,
            d_min=edge_resolution(experiment) if d_min is None else d_min,
            band=band,
            rules=rules or BoxRules(),
            method=method,
            mask=None if unusable is None else np.asarray(unusable) != 0,
            saturation=opened.saturation if saturation is None else saturation,
            noise=noise,
            background_floor=background_floor,
            strong=strong,
            reference=reference,
            recenter=recenter,
            valid=valid or opened.valid,
        )
        return cls(opened, integrator, by_frame(experiment), notes)

    def widths(
        self, sample: int = SAMPLE, threads: int = 1, round_profile: bool = False
    ) -> tuple[ProfileWidths, list[str]]:
        """Widths of the profiles, measured on some of the frames; doubts about them."""
        profile, doubt = settle_widths(self.frames, self.integrator, self.units, sample, threads, round_profile)
        return profile, [doubt] if doubt else []

    def collect(self, results: Iterable[FrameResult], profile: ProfileWidths) -> tuple[Integrated, list[str]]:
        """What the results of all frames give together; doubts about the fit."""
        parts, notes = [], dict(self.notes)
        for part, why, _ in results:
            parts += [part] if part is not None else []
            notes.update({image: text for image, text in why.items() if image not in notes})
        profile, doubts = check_fit(profile, parts, fitted=self.integrator.method != "sum")
        joined = Observations.join([part.observations for part in parts])
        order = np.argsort(joined.image, kind="stable")
        empty = [np.zeros(0)]
        captured = np.concatenate([part.captured for part in parts] or empty).astype(np.float32)[order]
        fit = image_fit(parts, len(self.integrator.experiment))
        doubts += [text] if (text := fit.warning(self.integrator.experiment.name)) else []
        integrated = Integrated(
            observations=fit.uncertain(joined.select(order), captured),
            profile=profile,
            moments=SpotMoments.join([part.moments for part in parts]),
            ring_pixels=np.concatenate([part.ring_pixels for part in parts] or empty).astype(np.int32)[order],
            captured=captured,
            fit=fit,
            notes=dict(sorted(notes.items())),
        )
        return integrated, doubts


def integrate(
    frames: Frames | NDArray[Any],
    experiment: Experiment,
    *,
    width: RockingWidth,
    d_min: float | None = None,
    reference: Reference | None = None,
    profile: ProfileWidths | None = None,
    method: str = _DEFAULTS.method,
    mask: NDArray[Any] | None = None,
    saturation: float | None = None,
    valid: ValidValues | None = None,
    rules: BoxRules | None = None,
    band: float = _DEFAULTS.band,
    noise: float = _DEFAULTS.noise,
    background_floor: float = _FLOOR,
    strong: float = _STRONG,
    round_profile: bool = False,
    recenter: bool = _DEFAULTS.recenter,
    sample: int = SAMPLE,
    pairing: Pairing | None = None,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Integrated:
    """Integrate all reflections that an experiment predicts on its frames. Warns of what concerns all images.

    Parameters
    ----------
    frames : Frames or number [n, slow, fast]
        Which belongs to an image is found by `pair_frames` where frames are in files and the images name theirs, and
        is `Experiment.frame` elsewhere; all images on a frame are worked on together.
    experiment : Experiment
    width : RockingWidth
        Of prediction; see `band`.
    d_min : float, optional
        angstrom; None = to the farthest corner of the detector.
    reference : Reference, optional
        Known intensities. Each image is scaled to them and integrated once more with the variances that they make
        expected (`crystint.stills.integration.amplitude`). A reflection they do not hold is integrated as without them.
    profile : ProfileWidths, optional
        None = measured on the strong spots of `sample` frames. Cores and widths are found in turns: the first cores
        are circles of 5 px (fewer where all of those overlap), and widths that are measured in them make the next ones.
    method : "combined", "profile" or "sum"
        Amplitudes of the profile for faint reflections and sums over the core for strong ones, see
        `crystint.stills.integration.amplitude`; or only the one, or the other.
    mask : [slow, fast], optional
        Pixels other than 0 are not used; None = the mask in the file, if there is one.
    saturation : float, optional
        Counts above are not used; None = what the detector, or the file, tells.
    valid : ValidValues, optional
        Which values of a pixel are measurements; None = `Frames.valid`.
    rules : BoxRules, optional
        What is core and what is ring.
    band : float
        As `predict`.
    noise : float
        RMS of the detector's own noise, counts; 0 for one that counts photons.
    background_floor : float
        Counts per pixel that are expected at least.
    strong : float
        Intensity over sigma of the spots whose moments are kept.
    round_profile : bool
        Measure one width for both axes.
    recenter : bool
        Put profiles where strong spots are seen, see `crystint.stills.integration.place_offsets`, and give them the
        mean form of those; False = Gaussians, where they are predicted. (`slow` and `fast` of the observations are the
        predicted places either way.)
    sample : int
        Frames for the widths, evenly over all.
    pairing : Pairing, optional
        Frames of images, in place of those.
    threads : int
        Frames worked on at the same time.
    progress : callable, optional
        Called with the number of frames done.

    Returns
    -------
    Integrated

    Raises
    ------
    ShapeError, SettingError
        When arguments do not belong together. A frame or an image that cannot be used raises nothing: see `notes`.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.RockingWidth(domain=1e-3)
    >>> integrated = stills.integrate(data.images(), data.experiment, d_min=4.0, width=width)
    >>> integrated.observations.intensity.shape == integrated.observations.sigma.shape
    True
    """
    plan = IntegrationPlan.of(
        frames, experiment, width=width, d_min=d_min, reference=reference, method=method, mask=mask,
        saturation=saturation, rules=rules, band=band, noise=noise, background_floor=background_floor, strong=strong,
        recenter=recenter, pairing=pairing, valid=valid,
    )  # fmt: skip
    integrated, doubts = _carried_out(plan, profile, sample, threads, round_profile, progress)
    for doubt in doubts:
        warn(doubt)
    return replace(integrated, warnings=tuple(doubts))


def integrate_sample(
    frames: Frames | NDArray[Any], experiment: Experiment, sample: int, threads: int = 1, **options: Any
) -> Observations:
    """The observations of `integrate`, without a word: an attempt, of which others judge the outcome."""
    return _carried_out(IntegrationPlan.of(frames, experiment, **options), None, sample, threads)[0].observations


def _carried_out(
    plan: IntegrationPlan,
    profile: ProfileWidths | None,
    sample: int,
    threads: int,
    round_profile: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[Integrated, list[str]]:
    """What a plan gives, and doubts about all of it."""
    if threads < 1 or sample < 1:
        raise SettingError(f"threads is {threads} and sample {sample}, expected 1 or more")
    doubts: list[str] = []
    if profile is None:
        profile, doubts = plan.widths(sample, threads, round_profile)
    results = []
    for done, result in enumerate(stream_parts(plan.frames, plan.integrator, profile, plan.units, threads), start=1):
        results.append(result)
        if progress is not None:
            progress(done)
    integrated, more = plan.collect(results, profile)
    return integrated, [*doubts, *more]
