"""What an HDF5 file tells of the values of its pixels, beside the saturation value."""

from __future__ import annotations

import json
import re
from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.io.hdf5.nexus_values import text
from crystint.model.valid_values import FileLimits, ValidValues

__all__ = ["VALID_VALUES", "nexus_limits"]

VALID_VALUES = "valid_values"
"""data set of the detector in which crystint notes them, in JSON"""
_NAMES = ("description", "type", "local_name", "model", "name", "detector_type")


def nexus_limits(detector: h5py.Group | None, name: str) -> FileLimits:
    """``underload_value``, ``error_value`` and ``bit_depth_image`` of a detector, or of its detectorSpecific.

    Raises
    ------
    FileError
        When what crystint noted is damaged.
    """
    if detector is None:
        return FileLimits()
    specific = detector.get("detectorSpecific")
    groups = [detector, specific] if isinstance(specific, h5py.Group) else [detector]
    values = {key: _first(groups, key) for key in ("underload_value", "error_value", "bit_depth_image")}
    bits = values["bit_depth_image"]
    words = [text(item[()]) for key in _NAMES if isinstance(item := detector.get(key), h5py.Dataset) and not item.shape]
    try:
        noted = detector.get(VALID_VALUES)
        exact = ValidValues.from_dict(json.loads(text(noted[()]))) if isinstance(noted, h5py.Dataset) else None
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{name}: {detector.name}/{VALID_VALUES} is damaged: {error!r}") from error
    return FileLimits(
        lowest=values["underload_value"],
        error=values["error_value"],
        bits=None if bits is None else int(bits),
        marks_negative=any(re.search("pilatus", word, re.IGNORECASE) for word in [*words, detector.name]),
        exact=exact,
    )


def _first(groups: list[h5py.Group], key: str) -> float | None:
    """The number of the first group that has it, whole where it is, of any size."""
    for group in groups:
        item: Any = group.get(key)
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.size:
            value = np.asarray(item[()]).reshape(-1)[0].item()
            if np.isfinite(value):
                return int(value) if value == int(value) else float(value)
    return None
