"""What the steps of stills can be told: a model per step. Library functions take their defaults from these."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from crystint.prediction.defaults import BAND
from crystint.run.settings import (
    Distance,
    Finite,
    NotNegative,
    PixelSettings,
    PixelSize,
    Positive,
    SourceSettings,
    StepSettings,
    Wavelength,
    Whole,
    number,
    numbers,
    setting,
)

__all__ = [
    "IntegrateSettings",
    "MergeSettings",
    "PredictSettings",
    "RefineSettings",
    "ScaleSettings",
    "SimulateSettings",
]

_SPACE_GROUP = "space group to use instead of that of the input, such as P43212"
_EXPERIMENT = "the .expt that belongs to a .refl file, where that is not beside it"
_GEOMETRY = "CrystFEL geometry of a stream that holds none"
_REFERENCE = "known intensities: merged MTZ, mmCIF, CrystFEL .hkl"
_COLUMN = "which intensities or amplitudes of the reference; .hkl: I or F"
_KNOWN = ("MTZ file", "structure factors", "list of reflections")
"""kinds of files of known intensities"""

_Share = Annotated[float, BeforeValidator(number), Field(ge=0.0, le=1.0)]
_Correlation = Annotated[float, BeforeValidator(number), Field(ge=-1.0, le=1.0)]
_Cell = Annotated[tuple[Finite, Finite, Finite, Finite, Finite, Finite], numbers(6)]
_Shape = Annotated[tuple[int, int], numbers(2)]


def _error_model(value: Any) -> Any:
    """Text "A,B" to two numbers; the words stay."""
    if not isinstance(value, str) or value in ("fit", "none"):
        return value
    try:
        a, b = (float(part) for part in value.split(","))
    except ValueError:
        raise ValueError(f"is {value!r}, expected fit, none, or two numbers A,B") from None
    return a, b


_ErrorModel = Annotated[Literal["fit", "none"] | tuple[float, float], BeforeValidator(_error_model)]


class _Limited(StepSettings):
    """Limits of resolution that belong together."""

    heading = "Resolution"

    d_min: Positive | None = setting(None, "highest resolution, angstrom", metavar="A")
    d_max: Positive | None = setting(None, "lowest resolution, angstrom", metavar="A")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.d_min is not None and self.d_max is not None and self.d_min >= self.d_max:
            raise ValueError(f"d_min is {self.d_min:g} and d_max {self.d_max:g} angstrom, expected d_min below d_max")
        return self


class _RockingCurve(StepSettings):
    """The rocking curve, and how far from the Ewald sphere reflections are looked for."""

    heading = "Rocking curve"

    domain: Positive | None = setting(
        None,
        "width R0 of the rocking curve exp(-e^2 / R0^2), 1/angstrom; of EXPERIMENT, or measured, where none is given",
        metavar="WIDTH",
    )
    mosaicity: NotNegative | None = setting(
        None, "mosaicity: the part of the width that grows as 1/d, rad", metavar="RAD"
    )
    bandwidth: NotNegative | None = setting(None, "bandwidth of the beam, relative, RMS", metavar="B")
    band: Positive = setting(BAND, "reflections within this many R0 of the sphere")


class PredictSettings(_Limited, _RockingCurve):
    """What ``crystint stills predict`` can be told."""

    geometry: Path | None = setting(None, _GEOMETRY, flag="-g", metavar="GEOM", kinds=("geometry",), advanced=True)


class IntegrateSettings(PixelSettings, SourceSettings, _RockingCurve):
    """What ``crystint stills integrate`` can be told."""

    heading = "Integration"

    d_min: Positive | None = setting(None, "highest resolution, angstrom", metavar="A")
    method: Literal["combined", "profile", "sum"] = setting(
        "combined",
        "profile: fitted amplitudes; sum: counts of the core less background; combined: profile for faint reflections, "
        "sum for strong ones",
    )
    recenter: bool = setting(
        True,
        "put profiles where the strong spots of an image are seen, by a linear function of the place, and give them "
        "the mean form of those",
    )
    reference: Path | None = setting(None, _REFERENCE, flag="-r", metavar="FILE", kinds=_KNOWN)
    reference_column: str | None = setting(None, _COLUMN, metavar="LABEL", advanced=True)
    noise: NotNegative = setting(0.0, "RMS noise of the detector, counts")
    geometry: Path | None = setting(None, _GEOMETRY, flag="-g", metavar="GEOM", kinds=("geometry",), advanced=True)


class RefineSettings(StepSettings):
    """What ``crystint stills refine`` can be told."""

    prior_rotation: Positive = setting(
        2e-3, "standard deviation of rotations of the crystals, that is known beforehand", metavar="RAD"
    )
    prior_distance: Positive | None = setting(
        None, "the same of distances of the detector, relative; without it they stay as they are", metavar="SHARE"
    )
    min_spots: Whole = setting(10, "images with fewer centroids stay as they are", metavar="N", ge=2)


class ScaleSettings(StepSettings):
    """What ``crystint stills scale`` can be told."""

    heading = "Scaling"

    experiment: Path | None = setting(None, _EXPERIMENT, metavar="FILE", kinds=("experiments",))
    geometry: Path | None = setting(None, _GEOMETRY, flag="-g", metavar="GEOM", kinds=("geometry",), advanced=True)
    space_group: str | None = setting(None, _SPACE_GROUP, metavar="NAME")
    reference: Path | None = setting(None, _REFERENCE, flag="-r", metavar="FILE", kinds=_KNOWN)
    reference_column: str | None = setting(None, _COLUMN, metavar="LABEL", advanced=True)
    intensity: str | None = setting(None, ".refl: profile or sum; .mtz: label of the intensities", metavar="NAME")
    batch: Positive | None = setting(None, "scale this many degrees of rotation data as one image", metavar="DEG")
    refine_b: bool = setting(True, "a temperature factor per image", option="--b", negative="--no-b")
    prior_ln_g: Positive = setting(
        1.5, "standard deviation of ln G between images, that is known beforehand", metavar="SD"
    )
    prior_b: Positive = setting(20.0, "the same of temperature factors, angstrom^2", metavar="A2")
    monitor: str | None = setting(
        None,
        "tie ln G of images to a beam monitor: a CSV file with the columns image (name, or number of the frame from 0) "
        "and value, or a data set with a value per frame, as run.h5:/entry/flux",
        metavar="FILE",
        kinds=("frames", "HDF5 file"),
    )
    prior_monitor: Positive = setting(0.2, "standard deviation of ln G about the monitor's", metavar="SD")
    prior_r0: Positive | None = setting(
        None,
        "give each image a rocking width of its own, with ln R0 within SD of what came with the data: profile radius, "
        "mosaicity of the profile model, or the width of the integration",
        metavar="SD",
    )
    fit_width: bool | None = setting(
        None,
        "fit the rocking width of the data set, and so the partialities (default: for stills that crystint integrated, "
        "and for others where that explains left-out observations better)",
        negative="--keep-width",
    )
    wavelength_nodes: Whole = setting(
        0, "nodes of a curve over the wavelength, for Laue data; 0 = no curve", metavar="N", ge=0
    )
    reindex: bool = setting(False, "resolve an indexing ambiguity that is found")
    min_partiality: _Share = setting(0.1, "least partiality of an observation that is used")

    @model_validator(mode="after")
    def _widths_of_stills(self) -> Self:
        if self.batch is not None and (self.fit_width or self.prior_r0 is not None):
            raise ValueError("the rocking width cannot be fitted to images that are taken together in batches")
        if self.fit_width is False and self.prior_r0 is not None:
            raise ValueError("--prior-r0 is for rocking widths that are fitted, which --keep-width forbids")
        return self


class MergeSettings(_Limited):
    """What ``crystint stills merge`` can be told."""

    heading = "Merging"

    experiment: Path | None = setting(None, _EXPERIMENT, metavar="FILE", kinds=("experiments",))
    space_group: str | None = setting(None, _SPACE_GROUP, metavar="NAME")
    reference: Path | None = setting(None, _REFERENCE, flag="-r", metavar="FILE", kinds=_KNOWN)
    reference_column: str | None = setting(None, _COLUMN, metavar="LABEL", advanced=True)
    unscaled: bool = setting(
        False, "merge intensities as they are, without scales: one image, say, or images with few reflections"
    )
    anomalous: bool = setting(False, "keep Friedel mates apart")
    min_partiality: _Share = setting(0.3, "least partiality of an observation that is merged")
    outliers: Positive | None = setting(
        6.0, "reject observations more than SIGMA standard deviations off", metavar="SIGMA"
    )
    error_model: _ErrorModel = setting("fit", "sigma'^2 = A sigma^2 + (B <I>)^2", metavar="fit|none|A,B")
    sigma: Literal["internal", "external", "larger"] = setting(
        "internal", "sigma of merged intensities: from the variances, from the scatter, or the larger of both"
    )
    shells: Whole = setting(10, "resolution shells of the statistics", ge=1, le=1000)
    reject: Positive | None = setting(
        None,
        "leave out images whose delta-CC1/2 is more than SD standard deviations below the mean of all images",
        metavar="SD",
    )
    min_cc: _Correlation | None = setting(
        None, "leave out images whose correlation with the reference is below CC", metavar="CC"
    )
    free: Annotated[float, BeforeValidator(number), Field(gt=0.0, le=0.5)] | None = setting(
        None,
        "share of the reflections that is flagged free in an .mtz, by a hash of their indices; without it none is",
        metavar="SHARE",
    )
    free_from: Path | None = setting(
        None,
        "copy free flags of an MTZ or mmCIF file to an .mtz; reflections that it lacks get theirs alike",
        metavar="FILE",
        kinds=("MTZ file", "structure factors"),
        advanced=True,
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.free is not None and self.free_from is not None:
            raise ValueError("free_from takes the share of the flags from its file: give free or free_from")
        if isinstance(self.error_model, tuple) and not all(map(math.isfinite, self.error_model)):
            raise ValueError(f"error_model is {self.error_model}, expected two finite numbers")
        return self


class SimulateSettings(StepSettings):
    """What ``crystint stills simulate`` can be told."""

    frames: Whole = setting(20, "how many", ge=1)
    images: bool = setting(True, "draw frames, not only a table")
    cell: _Cell = setting((60.0, 70.0, 80.0, 90.0, 90.0, 90.0), "angstrom, degrees", metavar="A,B,C,AL,BE,GA")
    space_group: str = setting("P 21 21 21", "with or without spaces", metavar="NAME")
    d_min: Positive = setting(1.7, "highest resolution", metavar="A")
    shape: _Shape = setting((2527, 2463), "pixels", metavar="SLOW,FAST")
    pixel_size: PixelSize = setting(172e-6, "m", metavar="LENGTH")
    distance: Distance = setting(0.15, "m", metavar="LENGTH")
    wavelength: Wavelength = setting(1.0, "angstrom", metavar="A")
    background: NotNegative = setting(1.0, "per pixel, about", metavar="COUNTS")
    intensity: Positive = setting(2000.0, "of a mean reflection at low resolution", metavar="COUNTS")
    domain: Positive = setting(1e-3, "R0, 1/angstrom", metavar="WIDTH")
    mosaicity: NotNegative = setting(0.0, "rad", metavar="RAD")
    bandwidth: NotNegative = setting(0.0, "relative, RMS", metavar="B")
    spot: Positive = setting(1.2e-3, "radius R1 of the spots, 1/angstrom", metavar="WIDTH")
    spread_width: NotNegative = setting(0.0, "of rocking widths between images, relative", metavar="SD")
    spread_ln_g: NotNegative = setting(0.5, "of scales", metavar="SD")
    spread_b: NotNegative = setting(2.0, "of temperature factors", metavar="A2")
    orientation_error: NotNegative = setting(0.0, "of the experiment", metavar="RAD")
    second_lattice: _Share = setting(0.0, "of frames with two crystals", metavar="SHARE")
    free_indexing: bool = setting(False, "index each image in one of the ways an ambiguity allows")
    seed: Whole = setting(0, "seed of the random numbers", ge=0, le=2**63 - 1)
