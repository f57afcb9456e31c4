"""Settings of the steps of signal separation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from crystint.model.peaks import HIT
from crystint.prediction.defaults import MARGIN
from crystint.run.settings import DetectorSettings, NotNegative, Positive, StepSettings, Whole, number, setting

__all__ = [
    "ConvertSettings",
    "CorrectionSettings",
    "DensifySettings",
    "FrameSettings",
    "MaskSettings",
    "PeaksSettings",
    "RoiSettings",
    "SearchSettings",
    "Settings",
    "SparsifySettings",
]


class CorrectionSettings(StepSettings):
    """Corrections, rings and the background: what separation does with any frame."""

    heading = "Corrections and background"

    dark: Path | None = setting(
        None, "dark frame, counts, subtracted", metavar="FILE", kinds=("frames",), advanced=True
    )  # fmt: skip
    flat: Path | None = setting(None, "flat field, divided out", metavar="FILE", kinds=("frames",), advanced=True)
    normalization: tuple[Path, ...] = setting(
        (), "further factors per pixel, divided out", metavar="FILE", kinds=("frames",), advanced=True
    )
    solid_angle: bool = setting(True, "divide by the solid angle of each pixel", advanced=True)
    saturation: Literal["file", "none"] | Positive = setting(
        "file",
        "largest valid counts; pixels above it are signal, never background; file = what the file says",
        metavar="NUMBER|file|none",
        advanced=True,
    )

    rings: int = setting(1000, "number of resolution rings", ge=1, le=65534)
    error_model: Literal["poisson", "azimuthal", "hybrid"] = setting("hybrid", "where the spread of a pixel comes from")
    snr_clip: Literal["auto"] | Positive = setting(
        "auto", "clipping threshold in standard deviations; auto = Chauvenet", metavar="NUMBER|auto", advanced=True
    )
    cycles: int = setting(5, "most clipping cycles", ge=0, le=1000, advanced=True)

    @property
    def clip(self) -> float | None:
        """The clipping threshold as `Separator` takes it: None = automatic."""
        return None if self.snr_clip == "auto" else float(self.snr_clip)


class FrameSettings(CorrectionSettings, DetectorSettings):
    """Frames of files, and what separation does with each."""


class SearchSettings(CorrectionSettings):
    """What is looked for in a frame, wherever it comes from."""

    heading = "Peaks"

    snr: Positive | None = setting(
        None, "significance of a peak (default: 5), or, in sparsify, of a pixel to keep (default: 3)"
    )
    snr_pick: Positive = setting(2.0, "significance of each pixel of a peak")
    noise: NotNegative = setting(0.0, "constant noise added in quadrature, counts", advanced=True)
    patch: Annotated[Literal[3, 5], BeforeValidator(number)] = setting(
        3, "width of the neighbourhood of a peak, px", advanced=True
    )
    connected: int = setting(3, "pixels of the neighbourhood above snr_pick", ge=1, le=25)
    strict_mask: bool = setting(False, "drop peaks that touch an unusable pixel", advanced=True)
    hit_peaks: int = setting(HIT, "peaks, without those on rings of ice, that make a frame a hit", ge=1)
    hits_only: bool = setting(
        False, "leave out the signal of frames that are no hits; their rows of results stay", advanced=True
    )
    d_min: Positive | None = setting(None, "finest spacing of a peak, angstrom")
    d_max: Positive | None = setting(None, "coarsest spacing of a peak, angstrom")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.d_min is not None and self.d_max is not None and self.d_min >= self.d_max:
            raise ValueError(f"d_min is {self.d_min:g} and d_max {self.d_max:g} angstrom, expected d_min below d_max")
        pixels = self.patch**2
        if self.connected > pixels:
            raise ValueError(f"connected is {self.connected}, but a patch of {self.patch} has {pixels} pixels")
        return self


class Settings(SearchSettings, FrameSettings):
    """Settings of ``crystint peaks`` and ``crystint sparsify``, with the units of each.

    The names are those of the command line options, in TOML with ``-`` or ``_``.

    Examples
    --------
    >>> from crystint.separation import Settings
    >>> Settings(rings=200, d_min=1.8).snr_clip
    'auto'
    """

    snr_peak: Positive = setting(5.0, "significance of a peak stored with a sparse file")


class PeaksSettings(Settings):
    """Those of ``crystint peaks`` alone beside the others."""

    heading = "Frames together"

    join: bool | None = setting(
        None, "join the peaks of neighbouring frames to spots (default: where the frames are a rotation scan)"
    )
    min_frames: int = setting(1, "fewest frames of a joined spot", ge=1)
    persistent: bool = setting(
        True, "keep peaks on places to which they come back while the crystal moves; they are flagged",
        negative="--no-persistent",
    )  # fmt: skip


def _percent(value: Any) -> Any:
    """Text "1%" or "0.01" to a share."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return 0.01 * float(value.strip()[:-1])
        except ValueError:
            return value
    return number(value)


_Share = Annotated[float, BeforeValidator(_percent), Field(gt=0.0, le=0.5)]


class SparsifySettings(Settings):
    """Those of ``crystint sparsify`` alone beside the others."""

    heading = "Sparse file"

    snr: Literal["auto"] | Positive | None = setting(  # type: ignore[assignment]  # more than the others take
        None,
        "significance of a pixel to keep (default: 3); auto = what loses no more than --loss, together with --grow "
        "where that is not given",
        metavar="NUMBER|auto",
    )
    loss: _Share | None = setting(
        None, "of --snr auto: loss of integrated intensity, 0.01 or 1%; 1% where it is not given", metavar="SHARE"
    )
    loss_above: Positive | None = setting(
        None,
        "of --snr auto: I/sigma of the reflections that lose so little; 10 where it is not given",
        metavar="I/SIGMA",
        advanced=True,
    )
    peaks: bool = setting(False, "store the peak list, too")
    spots: bool = setting(
        True,
        "look for spots, for the results of each frame: 5 % of the time on weak frames, 25 % with 1600 spots each",
    )
    compact: bool = setting(False, "smaller, for crystint only: FabIO cannot read it (see convert)", advanced=True)
    audit: bool = setting(False, "tell in the file what became of reflections: raw frames against densified ones")
    audit_every: Whole | None = setting(None, "the same, in every N-th frame alone", ge=1, metavar="N", advanced=True)
    keep: Path | None = setting(
        None,
        "keep all pixels in the boxes of the reflections that these experiments with crystals (.expt) predict, or that "
        "a .refl of predictions or a CrystFEL stream lists, whatever their counts; to --d-min, if it is given",
        metavar="MODEL",
        kinds=("experiments", "reflections", "stream of indexed images"),
    )
    keep_margin: Whole = setting(MARGIN, "px added on each side of a box", ge=0, le=1000, advanced=True)
    keep_radius: Positive | None = setting(
        None, "px from a predicted place to the end of its box; as the model says where it is not given", metavar="PX",
        advanced=True,
    )  # fmt: skip
    keep_mosaicity: Positive | None = setting(
        None, "RMS mosaicity of the crystal, degrees; as the model says where it is not given", metavar="DEG",
        advanced=True,
    )  # fmt: skip
    grow: Whole | None = setting(
        None,
        "keep the pixels around each significant one, too, up to so many px away (default: 0, or as snr auto finds)",
        ge=0,
        le=100,
    )
    compression: Literal["zstd", "gzip"] = setting(
        "zstd", "zstd: small, readers need hdf5plugin's filters; gzip: any HDF5 program reads it, larger",
        advanced=True,
    )  # fmt: skip
    maps: Path | None = setting(
        None,
        "file of the detector maps, which the sparse files of a series share by a relative link: made if it is not "
        "there, else its maps must be the same",
        metavar="FILE.h5",
        kinds=("detector maps of sparse files",),
        advanced=True,
    )
    estimate: bool = setting(False, "write nothing, but tell size, ratio and time of the run from some of its frames")
    sample: Whole = setting(50, "frames that --estimate works on, spread over the run", ge=1, advanced=True)
    checksum_inputs: bool = setting(
        False, "note SHA-256, size and time of every input file in the output; reads them once more", advanced=True
    )

    @model_validator(mode="after")
    def _stated(self) -> Self:
        more = [name for name in ("loss", "loss_above") if getattr(self, name) is not None]
        if more and self.snr != "auto":
            raise ValueError(f"{more[0]} is of snr auto: give snr auto, too")
        return self

    @property
    def audited(self) -> int:
        """Every how many frames reflections are audited; 0 = never."""
        return self.audit_every or int(self.audit)

    @model_validator(mode="after")
    def _boxes(self) -> Self:
        more = [
            name for name in ("keep_margin", "keep_radius", "keep_mosaicity")
            if getattr(self, name) != type(self).model_fields[name].default
        ]  # fmt: skip
        if more and self.keep is None:
            raise ValueError(f"{more[0]} is about the boxes of keep: give keep a model, too")
        if self.hits_only and self.keep is not None:
            raise ValueError(
                "hits_only leaves out frames by what is seen in them, and keep is there so that nothing is: "
                "expected one of the two"
            )
        return self

    def files(self) -> tuple[Path, ...]:
        """Every file that is there before the run; that of the maps may be made by it."""
        return tuple(path for path in super().files() if path != self.maps)


class MaskSettings(Settings):
    """Those of ``crystint mask`` alone beside the ones that decide on rings and peaks."""

    motion: Literal["auto", "yes", "no"] = setting(
        "auto",
        "whether the crystal moves, or is another, from frame to frame: what keeps its place is the detector's then; "
        "auto = as the scan of the files and the peaks tell",
    )
    false_pixels: Positive = setting(1.0, "good pixels that may be masked by chance, in the whole detector")
    beam_stop: bool = setting(True, "mask the beam stop and its holder")
    margin: int = setting(2, "px by which the shadow of a beam stop is grown", ge=0, le=100)
    mask_places: bool = setting(False, "mask, too, the places to which spots come back on half of the frames")


class RoiSettings(Settings):
    """Those of ``crystint roi`` alone beside the ones that decide on rings and peaks."""

    rois: Path | dict[str, Any] | None = setting(
        None, "regions of interest: a JSON document of crystint or of Jungfraujoch, or a file of an earlier run",
        metavar="FILE",
    )  # fmt: skip

    @model_validator(mode="after")
    def _regions_there(self) -> Self:
        if self.rois is None:
            raise ValueError("rois is missing, expected a file with regions of interest")
        return self


class DensifySettings(StepSettings):
    """Settings of ``crystint densify``."""

    noise: bool = setting(True, "draw the background from its distribution")
    seed: Whole = setting(0, "seed of the noise", ge=0, le=2**63 - 1)
    compression: Literal["auto", "gzip", "bslz4", "none"] = setting(
        "auto",
        "gzip: any HDF5 program reads it; bslz4: fast and what Eiger files have, needs a plugin; "
        "auto: bslz4 where the raw frames came in it, else gzip",
    )


class ConvertSettings(StepSettings):
    """Settings of ``crystint convert``."""

    compact: bool | None = setting(None, "form to write (default: the other one)", negative="--plain")
