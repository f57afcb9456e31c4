"""What is known of images beforehand: flux of a beam monitor, from a file, and rocking widths that others measured."""

from __future__ import annotations

from collections import Counter

import numpy as np

from crystint.arrays import Floats
from crystint.errors import FileError
from crystint.io.monitor import read_monitor_values
from crystint.io.reflections.dials_profiles import read_mosaicity
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.stills.inputs import StillsInput

__all__ = ["expected_widths", "monitor_of_images"]

_OF_SPHERE = np.sqrt(0.4)
"""R0 of the Gaussian exp(-(e / R0)^2) that is as wide (RMS) as a sphere of radius 1, cut by a plane: sqrt(2 / 5)"""


def monitor_of_images(source: str, images: Experiment) -> tuple[Floats, str]:
    """What the monitor says of each image, float64 [n], NaN where nothing; and words about it.

    Parameters
    ----------
    source
        As for `read_monitor_values`; its frames are numbers of `Experiment.frame`, or names or sources of images.

    Raises
    ------
    FileError
        When no image is in the file, a frame has two values, or a number may mean several frames.
    """
    frames, values = read_monitor_values(source)
    numbered = frames.dtype.kind in "iu"
    labels = [str(frame) for frame in frames.tolist()]
    value_of = dict(zip(labels, values.tolist(), strict=True))
    if len(value_of) < len(labels):
        twice = Counter(labels).most_common(1)[0][0]
        raise FileError(f"{source}: image {twice} has several values, expected one")
    if numbered:
        _check_numbers(source, images, len(frames), max(frames.tolist(), default=-1))
        monitor = np.array([value_of.get(str(frame), np.nan) for frame in images.frame.tolist()])
        unmatched = value_of.keys() - set(map(str, images.frame.tolist()))
    else:
        names = list(zip(images.name, images.source, strict=True))
        monitor = np.array([value_of.get(name, value_of.get(path, np.nan)) for name, path in names])
        unmatched = value_of.keys() - {label for pair in names for label in pair}
    if len(unmatched) == len(value_of):
        raise FileError(
            f"{source} has none of the images: it names {', '.join(labels[:2]) or 'nothing'}, the images are "
            f"{', '.join(images.name[:2])} (or numbers from 0, or {images.source[0] or 'their files'})"
        )
    there = np.isfinite(monitor) & (monitor > 0.0)
    if not there.any():
        raise FileError(f"{source}: no image has a value above 0")
    words = f"ln G of {there.sum()} of {counted(len(images), 'image')} tied to the monitor {source}"
    without = int((~there).sum())
    words += f"; {counted(without, 'image')} without a value above 0 not" if without else ""
    words += f"; {counted(len(unmatched), 'value')} of other images not used" if unmatched else ""
    return np.where(there, monitor, np.nan), words


def _check_numbers(source: str, images: Experiment, values: int, last: int) -> None:
    """Raise where numbers of frames do not tell the images apart, or the file ends before them."""
    label: dict[int, str] = {}
    for frame, path, name in zip(images.frame.tolist(), images.source, images.name, strict=True):
        if label.setdefault(frame, path or name) != (path or name):
            raise FileError(
                f"{source} tells frames by number, but {label[frame]} and {path or name} both are frame {frame}; give "
                "a CSV file with the names of the images"
            )
    if last < max(label, default=0):
        raise FileError(
            f"{source} has {counted(values, 'value')}, up to frame {last}, but there are images up to frame "
            f"{max(label)}"
        )


def expected_widths(data: StillsInput, images: int) -> Floats:
    """float64 [images, 2]: domain, 1/angstrom, and mosaicity, rad, that came with the data; NaN where none did.

    Of CrystFEL the profile radius of each crystal, as the Gaussian of the same RMS width; of DIALS sqrt(2) sigma_m, the
    median of its profile models; of an .h5 the width it was integrated with, not one that scaling fitted.
    """
    widths = np.full((images, 2), np.nan)
    if data.profile_radius is not None:
        radius = np.where(data.profile_radius > 0.0, data.profile_radius, np.nan)
        widths[:] = np.stack([_OF_SPHERE * radius, np.where(np.isfinite(radius), 0.0, np.nan)], axis=1)
    elif data.run.width is not None and data.run.scales is None:
        widths[:] = data.run.width.domain, data.run.width.mosaicity
    elif len(data.files) > 1 and data.files[1].suffix == ".expt":
        mosaicity = read_mosaicity(data.files[1])
        if mosaicity is not None:
            widths[:] = 0.0, np.sqrt(2.0) * mosaicity
    return widths
