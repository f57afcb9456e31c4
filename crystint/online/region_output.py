"""Regions of interest in the file of results: what they were, and what they held in each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystint.io.rois import RoiWriter
from crystint.model.geometry import Geometry
from crystint.model.rois import Rois
from crystint.online.results_journal import ResultsJournal

__all__ = ["put_regions"]

_ROWS = 4096
"""images at a time"""


def put_regions(
    entry: Any,
    journal: ResultsJournal,
    versions: Sequence[Mapping[str, Any]],
    images: int,
    geometry: Geometry | None,
    shape: tuple[int, int],
) -> int | None:
    """Write them into an entry of a file; nothing where there were none.

    Parameters
    ----------
    entry : h5py.Group
    journal : ResultsJournal
    versions : sequence of mapping
        ``version``, ``first_image`` and ``document`` of each.
    images : int
        Of the series.
    geometry : Geometry or None
    shape : (slow, fast)

    Returns
    -------
    int or None
        Images whose regions could not be stored: a service that was started anew had others of the same version. None =
        there were no regions.
    """
    documents: dict[int, Mapping[str, Any]] = {}
    for each in versions:
        documents.setdefault(int(each["version"]), each)
    regions = {number: Rois.from_dict(each["document"]) for number, each in sorted(documents.items())}
    regions = {number: rois for number, rois in regions.items() if len(rois) and number > 0}
    if not regions:
        return None
    writer = RoiWriter(entry)
    for number, rois in regions.items():
        first = int(documents[number]["first_image"])
        writer.define(rois, rois.members(geometry, shape, strict=False), geometry, version=number, first_frame=first)
    lost = 0
    for start in range(0, images, _ROWS):
        stop = min(start + _ROWS, images)
        version = journal.rows(start, stop)["roi_version"]
        held = sorted(journal.regions(start, stop), key=lambda each: each[0])
        for image, names, values in held:
            number = int(version[image - start])
            if number in regions and names == regions[number].names:
                writer.put(image, values[None], number)
            else:
                lost += 1
    writer.flush(images)
    return lost
