"""What the web interface gives of images: models of its OpenAPI document, as those of `crystint.online.api_models`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from crystint.online.api_models import Number

__all__ = [
    "AboutModel",
    "HistogramModel",
    "HitModel",
    "PixelModel",
    "ProfileModel",
    "RegionsNowModel",
    "SpotModel",
    "SpotsModel",
    "StripModel",
]

Row = dict[str, JsonValue]
Source = Literal["series", "again"]
_SOURCE = "series: as they were found; again: they are not remembered, and were looked for with the settings of now"


class LaboratoryModel(BaseModel):
    """The plane across the beam on which panels are shown as the sample sees them."""

    shape: list[int] = Field(description="(slow, fast) px")
    origin: list[float] = Field(description="(x, y) of the outer corner of its first pixel, m across the beam")
    pixel_size: list[float] = Field(description="(slow, fast), m")
    beam_center: list[float] = Field(description="(slow, fast) px of the beam")
    distance: float = Field(description="m")


class PanelModel(BaseModel):
    """A panel, and the affine map of its positions to the plane: (slow', fast') = matrix (slow, fast, 1), px."""

    slow: list[int] = Field(description="first pixel, and one behind the last")
    fast: list[int]
    matrix: list[list[float]] = Field(description="[2][3]")
    off: float = Field(description="px, how far off the map is at a corner of a panel that is tilted to the plane")


class AboutModel(BaseModel):
    """What is known of an image. null = nothing is."""

    series: str
    image: int
    shape: list[int] = Field(description="(slow, fast) px")
    dtype: str
    saturation: Number = Field(description="largest valid value, counts")
    geometry: dict[str, JsonValue] | None
    laboratory: LaboratoryModel | None = Field(description="null = the detector is shown as it is stored")
    panels: list[PanelModel] | None
    row: Row | None = Field(description="every column of its results")
    rois: dict[str, Row] = Field(description="what the regions hold")
    settings_version: int | None
    roi_version: int | None
    hit: bool | None


class RegionsNowModel(BaseModel):
    """What an image holds in the regions as they are now."""

    series: str
    image: int
    roi_version: int
    rois: dict[str, Row] = Field(description="by name: every column")


class SpotsModel(BaseModel):
    """The spots of an image."""

    series: str
    image: int
    source: Source = Field(description=_SOURCE)
    spots: dict[str, list[Number]] = Field(
        description="slow, fast (px), intensity, sigma (counts), npix, maximum, d (angstrom), flags, significance"
    )


class FlagModel(BaseModel):
    """A flag of a spot."""

    name: str
    meaning: str


class SpotModel(BaseModel):
    """Why there is a spot: a box of pixels about it, [slow][fast]."""

    series: str
    image: int
    spot: int
    source: Source = Field(description=_SOURCE)
    settings_version: int = Field(description="of the settings that it is explained with")
    slow0: int = Field(description="first row of the box")
    fast0: int = Field(description="first column of the box")
    counts: list[list[Number]] = Field(description="as they are stored, those of masked pixels as well")
    background: list[list[Number]] = Field(description="counts that are expected")
    sigma: list[list[Number]] = Field(description="standard deviation of these, counts")
    significance: list[list[Number]] = Field(description="sigma above the background; null where masked")
    mask: list[list[int]] = Field(description="1 of the detector, 2 of the user, 4 no measurement in this image")
    strongest: list[int] = Field(description="(slow, fast) of the strongest pixel")
    snr: float = Field(description="sigma that the strongest pixel of a spot needs")
    threshold: Number = Field(description="counts that are as many, in the strongest pixel")
    snr_pick: float = Field(description="sigma that the other pixels of a spot need")
    threshold_pick: Number = Field(description="counts that are as many, in the strongest pixel")
    noise: float = Field(description="counts, added in quadrature")
    row: Row = Field(description="every column of the spot")
    flags: list[FlagModel]
    text: str


class PixelModel(BaseModel):
    """A pixel of an image. null = not known."""

    series: str
    image: int
    slow: int
    fast: int
    counts: Number = Field(description="null = masked, or no measurement")
    stored: float = Field(description="what the image holds there, whatever it means")
    background: Number = Field(description="counts that are expected")
    sigma: Number = Field(description="standard deviation of these")
    significance: Number = Field(description="sigma above the background")
    d: Number = Field(description="angstrom")
    q: Number = Field(description="1/angstrom")
    two_theta_deg: Number
    phi_deg: Number
    panel: int | None
    mask: list[str] = Field(description="why it is not used")


class ProfileModel(BaseModel):
    """The background of the rings, from small to large angles."""

    series: str
    image: int
    title: str
    unit: str
    q: list[Number] = Field(description="1/angstrom")
    d: list[Number] = Field(description="angstrom")
    two_theta_deg: list[Number]
    background: list[Number] = Field(description="mean of a pixel, normalised counts")
    spread: list[Number] = Field(description="standard deviation of a pixel")
    error: list[Number] = Field(description="standard error of the mean")
    pixels: list[Number] = Field(description="that were left in the ring")


class HistogramModel(BaseModel):
    """Usable pixels by their values."""

    series: str
    image: int
    layer: str
    region: list[int] = Field(description="slow0, slow1, fast0, fast1")
    edges: list[float] = Field(description="of the bins, one more than these; none where no pixel is usable")
    counts: list[int]
    unusable: int = Field(description="pixels that are masked, or hold no measurement")


class HitModel(BaseModel):
    """A hit beside an image."""

    series: str | None
    image: int | None = Field(description="null = there is none")
    held: bool = Field(description="its pixels are held")


class StripModel(BaseModel):
    """What became of the images of a series, counted in bins."""

    series: str | None
    ended: bool
    first: int | None
    last: int | None
    per: int = Field(description="images of a bin")
    status: dict[str, list[int]] = Field(
        description="ok: looked at; skipped: not, since too many came; failed: could not be; missing: never came; "
        "late: after it was given up; hit"
    )
    beyond: int = Field(description="images with numbers too high for a strip")
