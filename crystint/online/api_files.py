"""What the routes of finished files take and give, as `crystint.online.api_models` has it for the others."""

from __future__ import annotations

from pydantic import Field, JsonValue

from crystint.online.api_models import Closed, Number

__all__ = ["FileRequestModel", "ListingModel", "OpenedFileModel", "OverlaySpotsModel"]


class FileEntryModel(Closed):
    """Something in a folder."""

    name: str = Field(description="of a series of image files a pattern: run_*.cbf")
    kind: str | None = Field(
        description="folder, or what the file is, as crystint info says; null = nothing that crystint reads, damaged, "
        "showing data from outside of the data root, or not looked into yet: ask again"
    )
    size: int | None = Field(description="bytes")
    modified: int | None = Field(description="ns since 1970-01-01 UTC")
    files: int | None = Field(description="how many they are")


class ListingModel(Closed):
    """What lies in a folder below the data root."""

    path: str = Field(description="of the folder; empty = the data root itself")
    entries: list[FileEntryModel]
    left_out: int = Field(description="entries that there is no room for")


class FileRequestModel(Closed):
    """A file that is to be looked at."""

    path: str = Field(min_length=1, max_length=4096, description="below the data root; a pattern = one series")
    over: str | None = Field(
        None, max_length=4200, description="key of the series over whose images the spots of the file are shown"
    )
    apart: bool = Field(False, description="a series of its own, also where the frames of a peak list are open")
    geometry: str | None = Field(None, max_length=4096, description="file below the data root, over that of the frames")
    mask: list[str] = Field(default_factory=list, max_length=16, description="files below the data root, 0 = good")
    dataset: str | None = Field(None, max_length=1000, description="path of the frames in an HDF5 file")


class OverlayModel(Closed):
    """Spots that can be shown over the images of a series."""

    name: str
    source: str = Field(description="file:PATH")


class OpenedFileModel(Closed):
    """A finished file that is looked at as a series."""

    series: str = Field(description="its key, file:PATH")
    kind: str
    images: int = Field(description="numbered from 0")
    shape: list[int] | None = Field(description="(slow, fast) px; null = there are no images, results alone")
    dtype: str
    geometry: dict[str, JsonValue] | None
    looked_at: bool = Field(description="its spots are in files; otherwise they are those of the settings of now")
    overlays: list[OverlayModel] = Field(description="the first one has the spots of the series")
    notes: list[str] = Field(description="what was guessed, left out or is not there, a sentence each")
    overlay: str | None = Field(None, description="name of the overlay that the file became")


class OverlaySpotsModel(Closed):
    """Spots of an overlay in an image."""

    series: str
    overlay: str
    image: int
    spots: dict[str, list[Number]] = Field(
        description="slow, fast (px), intensity, sigma (counts), npix, maximum, d (angstrom), flags, significance"
    )
