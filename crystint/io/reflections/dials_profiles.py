"""Profile models of DIALS: how far crystals are mosaic."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

import numpy as np

from crystint.errors import FileError, unreadable

__all__ = ["read_mosaicity"]


def read_mosaicity(path: str | PathLike[str]) -> float | None:
    """Angular spread of crystals, RMS in rad: the median ``sigma_m`` of an experiment list's Gaussian profile models.

    Returns
    -------
    float or None
        None where there is no such model, or where it is 0 (as for stills).

    Raises
    ------
    FileError
        When the file cannot be read.
    """
    try:
        profiles = json.loads(Path(path).read_text(encoding="utf-8")).get("profile") or []
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, AttributeError) as error:
        raise FileError(f"{path} is no list of experiments as DIALS writes it: {error}") from error
    # one number, or one for each image of a scan
    spreads = [np.ravel(profile["sigma_m"]) for profile in profiles if profile.get("sigma_m") is not None]
    values = np.concatenate([np.zeros(0), *spreads])
    values = values[np.isfinite(values) & (values > 0.0)]
    return float(np.radians(np.median(values))) if values.size else None
