"""What Jungfraujoch's viewers read of a run: its start, and images with their spots, as far as that is public.

Positions are in pixels from the centre of the first one there. Programs that read them: streamvis needs a mask of the
channel "default" in the start; ALBIS needs messages of one part; jfjoch2bsread merges the images of a metadata message
with its other keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crystint.errors import StreamError
from crystint.model.geometry import Geometry
from crystint.online.result import Result
from crystint.online.sink import Run
from crystint.stream import End, Image, PackedFrame, Start, encode_end, encode_frame, encode_image, encode_start
from crystint.stream.cbor import encode
from crystint.stream.jungfraujoch import FALLBACK_CHANNEL

__all__ = [
    "PREVIEW_PERIOD",
    "image_keys",
    "metadata_message",
    "preview_end",
    "preview_image",
    "preview_start",
    "start_message",
]

PREVIEW_PERIOD = 0.2
"""s from an image of the preview to the next"""
_MOST_SPOTS = 250
"""the strongest ones, as many as Jungfraujoch sends by default"""
_TO_CENTRE = 0.5
"""px from the outer corner of a pixel to its centre"""


def preview_start(run: Run, channel: str | None = None) -> bytes:
    """The start of a series: geometry as it is used, and the mask of the channel that is looked at; zeros where the
    detector sent none."""
    return start_message(run.start, run.geometry, channel)


def start_message(start: Start, geometry: Geometry | None = None, channel: str | None = None) -> bytes:
    """As `preview_start`, of a start; `geometry` goes before its own."""
    mask = start.masks.get(channel or "", next(iter(start.masks.values()), None))
    if mask is None:
        mask = np.zeros(start.shape, np.uint32)
    told = replace(
        start,
        dialect="jungfraujoch",
        channels=(FALLBACK_CHANNEL,),
        masks={FALLBACK_CHANNEL: mask},
        geometry=geometry or start.geometry,
        user_data=start.user_data if isinstance(start.user_data, dict) else None,
    )
    return encode_start(told)[0]


def preview_image(image: Image, result: Result | None, channel: str | None = None) -> bytes:
    """An image with what was seen in it; without, where there is no result.

    Raises
    ------
    StreamError
        When its frame is damaged, or there is no such channel.
    """
    name = next(iter(image.frames)) if channel is None else channel
    if name not in image.frames:
        raise StreamError(f"image {image.number} has no channel {name!r}; it has {', '.join(image.frames)}")
    frame = image.frames[name]
    told = replace(image, frames={FALLBACK_CHANNEL: _packed(frame)}, user_data=None)
    return encode_image(told, "jungfraujoch", None if result is None else image_keys(result))[0]


def _packed(frame: PackedFrame) -> PackedFrame:
    """As it is, or by bitshuffle and LZ4: LZ4 alone is not allowed there."""
    return frame if frame.algorithm == "bslz4" and not frame.column_major else encode_frame(frame.decode())


def image_keys(result: Result) -> dict[str, Any]:
    """What an image message has beside its pixels. What is not known is not there."""
    row, peaks = result.row[0], result.peaks
    if len(peaks) > _MOST_SPOTS:
        peaks = peaks[np.sort(np.argsort(-peaks["intensity"], kind="stable")[:_MOST_SPOTS])]
    columns = (peaks["fast"] - _TO_CENTRE, peaks["slow"] - _TO_CENTRE, peaks["intensity"])
    spots = zip(*(column.tolist() for column in columns), strict=True)
    keys: dict[str, Any] = {
        "spots": [{"x": x, "y": y, "I": intensity, "indexed": False} for x, y, intensity in spots],
        "indexing_result": False,
        "bkg_estimate": float(row["background"]),
        "ice_ring_score": float(row["ice_score"]),
        "saturated_pixel_count": int(row["saturated"]),
        "error_pixel_count": int(row["bad"]),
        "roi_integrals": {
            name: {
                "sum": int(values["sum"]),
                "sum_square": float(values["sum_sq"]),
                "max": int(values["max"]),
                "pixels": int(values["npixel"]),
            }
            for name, values in zip(result.roi_names, result.rois, strict=True)
        },
    }
    if row["n_spots"] < 0:  # nobody looked for them
        keys["spots"] = None
        keys["indexing_result"] = None
    return {
        key: value
        for key, value in keys.items()
        if value is not None and not (isinstance(value, float) and math.isnan(value)) and not _is_unknown(value)
    }


def _is_unknown(value: Any) -> bool:
    return type(value) is int and value < 0


def metadata_message(run: Run, results: Sequence[Result]) -> bytes:
    """What is known of some images, without their pixels."""
    return encode(
        {
            "type": "metadata",
            "series_id": run.key.id,
            "series_unique_id": run.key.unique_id,
            "images": [{"image_id": result.number, **image_keys(result)} for result in results],
        }
    )


def preview_end(run: Run) -> bytes:
    """The end of a series."""
    books = run.books
    counts = {"max_image_number": books.expected, "images_collected_count": books.received}
    return encode_end(End(run.key), "jungfraujoch", counts)[0]
