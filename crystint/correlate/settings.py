"""What the steps of angular correlation can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator

from crystint.correlate.defaults import DEGREE, HARMONICS, REACH
from crystint.errors import SettingError
from crystint.run.settings import (
    DetectorSettings,
    Finite,
    NotNegative,
    Positive,
    StepSettings,
    Whole,
    number,
    numbers,
    option_name,
    setting,
)

__all__ = ["AddSettings", "CenterSettings", "CorrelateSettings", "GridSettings", "PlotSettings", "PolarSettings"]


def _two_rings(value: Any) -> Any:
    """Text "R1,R2" to two numbers; "all" stays."""
    if value == "all":
        return value
    try:
        return numbers(2).func(value)  # type: ignore[call-arg]
    except ValueError:
        raise ValueError(f"is {value!r}, expected two rings with a comma between them, or all") from None


Rows = Annotated[tuple[Finite, ...], numbers(2, 3)]
"""from, to, and step"""


class CenterSettings(DetectorSettings):
    """What ``crystint correlate center`` can be told."""

    shape: Literal["circle", "ellipse", "tilt"] = setting("circle", "shape of the rings")
    radius: tuple[Positive, ...] = setting((), "a ring to look for, within 10 px", metavar="PX")
    ring_q: Annotated[tuple[Finite, ...], numbers()] | None = setting(
        None, "rings of a calibrant, 1/angstrom: the distance is refined as well", metavar="Q,Q,..."
    )
    reach: Positive = setting(REACH, "how far the start may be off, px", metavar="PX")
    width: Positive | None = setting(
        None, "width of the broadest rings, at half height, px (default: about 8)", metavar="PX"
    )


class GridSettings(DetectorSettings):
    """How frames become polar images."""

    radii: Rows | None = setting(
        None, "rings, px (default: 1 px apart, to the farthest edge)", metavar="MIN,MAX[,STEP]"
    )
    q: Rows | None = setting(None, "rings, 1/angstrom, instead of radii", metavar="MIN,MAX[,STEP]")
    azimuths: Whole = setting(
        0, "samples of a ring; 0 = one per pixel of the last ring, and no prime factor above 5", metavar="N", ge=0
    )
    origin: Literal["fast", "loki"] | Finite = setting(
        "fast", "direction of the first sample: the fast axis, LOKI's against it, or an angle", metavar="fast|loki|RAD"
    )
    direction: Annotated[Literal[1, -1], BeforeValidator(number)] = setting(
        1, "1: from the fast axis towards the slow one; -1: the other way round"
    )
    method: Literal["nearest", "bilinear", "area"] = setting(
        "area", "value of a sample: the pixel there, of four pixels, or the mean over its area"
    )
    corrections: bool = setting(True, "divide by solid angle and polarization, where there is a geometry")

    @model_validator(mode="after")
    def _rows_once(self) -> Self:
        if self.radii is not None and self.q is not None:
            raise ValueError("radii and q exclude each other: give the rows once")
        return self


class PolarSettings(GridSettings):
    """What ``crystint correlate polar`` can be told."""


Norm = Literal["mask", "mean", "sum"] | None
_NORM = setting(
    None,
    "each lag over its number of valid pairs, over all samples, or a sum as LOKI's (default: mask; of results that are "
    "added without frames, that of the first)",
)
_BY_INTENSITY = setting(
    None, "divide by the product of the mean intensities (default: no; of added results, as the first)"
)
_COEFFICIENTS = setting(None, "store Fourier coefficients up to N, too", metavar="N", ge=0)


class AddSettings(StepSettings):
    """What results that are added without frames can be told: part of `CorrelateSettings`."""

    add: tuple[Path, ...] = ()
    norm: Norm = _NORM
    by_intensity: bool | None = _BY_INTENSITY
    coefficients: Whole | None = _COEFFICIENTS


class CorrelateSettings(GridSettings):
    """What ``crystint correlate correlate`` can be told."""

    difference: Literal["optimal", "greedy", "next"] | None = setting(
        None,
        "correlate differences of exposures: paired by like curves, with the least total distance or in LOKI's way, "
        "or each with the next (default: every exposure by itself)",
    )
    block: Whole = setting(500, "exposures among which pairs are sought", metavar="N", ge=2)
    cross: tuple[Annotated[Literal["all"] | tuple[Finite, Finite], BeforeValidator(_two_rings)], ...] = setting(
        (),
        "rings to correlate with one another, px or 1/angstrom (default: each with itself)",
        metavar="R1,R2|all",
    )
    outliers: NotNegative = setting(
        5.0, "leave out samples further from the median of their ring, standard deviations; 0 = none", metavar="SD"
    )
    peaks: NotNegative = setting(
        0.0, "leave out samples further from the curve, standard deviations; 0 = none", metavar="SD"
    )
    curve: Literal["fourier", "chebyshev"] = setting(
        "fourier", "curve that is fitted around a ring; chebyshev is LOKI's"
    )
    order: Whole | None = setting(
        None,
        f"harmonics (default: {HARMONICS}) or degree (default: {DEGREE}) of the curve",
        metavar="N",
        ge=0,
    )
    subtract: Literal["none", "mean", "curve"] = setting(
        "none", "what is subtracted from each ring, without --difference"
    )
    scale: Literal["none", "frame", "ring"] | None = setting(
        None, "divide by the mean of the frame, or of each ring (default: frame with --difference, else none)"
    )
    norm: Norm = _NORM
    by_intensity: bool | None = _BY_INTENSITY
    coefficients: Whole | None = _COEFFICIENTS
    add: tuple[Path, ...] = setting((), "an earlier result to add", metavar="FILE")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.difference is not None and self.subtract != "none":
            raise ValueError("--subtract is for exposures by themselves; a difference has nothing to subtract")
        return self

    @property
    def scaling(self) -> str:
        """What rings are divided by the mean of."""
        return self.scale or ("none" if self.difference is None else "frame")

    @property
    def kind(self) -> str:
        """In words, what correlations of such rings can be added to."""
        scaled = "counts" if self.scaling == "none" else f"scaled by {self.scaling}"
        if self.difference is not None:
            return f"difference, {scaled}"
        return f"single, {scaled}" + ("" if self.subtract == "none" else f", {self.subtract} subtracted")

    def of_results(self) -> AddSettings:
        """The settings of results that are added without frames.

        Raises
        ------
        SettingError
            When others were given as well, which say how frames are to be treated.
        """
        fields = type(self).model_fields
        for name in fields:
            if name in self.model_fields_set and name not in AddSettings.model_fields:
                option = option_name(name, fields[name])
                raise SettingError(f"{option} is for FRAMES, and there are none: results are added as they are")
        return AddSettings.of({name: getattr(self, name) for name in AddSettings.model_fields})


class PlotSettings(StepSettings):
    """What ``crystint correlate plot`` can be told."""

    frame: Whole = setting(0, "number of the polar image, from 0; -1 = the last", metavar="N")
    ring: tuple[NotNegative, ...] = setting(
        (), "a ring to show as a curve, px or 1/angstrom (default: some strong ones)", metavar="R"
    )
    title: str | None = setting(None, "title of the picture", metavar="TEXT")
