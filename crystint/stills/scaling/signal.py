"""Whether an image has any signal: its scale on the linear axis, against the error that a scale of 0 would have.

ln G always has a value: that of a blank frame comes out at -6 or -10, and its intensities, divided by G, are noise of
enormous size. So the test is about G itself. With x the intensities expected at G = 1 and s^2 the variances without
signal, the weighted sum of J is 0 for a blank frame, and in units of its error

    z = sum (x / s) min(J / s, 5) / sqrt(sum (x / s)^2)

J / s is cut, at -5 too, so that a few hot pixels or spots of salt make no signal. Nothing in x may come from the image
itself. z grows with the number of reflections: a mean I / sigma of 0.3 over 500 of them is 6.7.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats

__all__ = ["SIGNIFICANT", "levels", "no_signal", "significance"]

SIGNIFICANT = 4.0
"""z that an image needs. One blank frame in 30 000 has it by chance; an image with less would weigh less than a
thousandth of one with a mean I / sigma of 5 over 500 reflections"""
_LIMIT = 5.0
_SHELLS = 20
_BLOCK = 1 << 16
"""rows worked on at a time"""


def significance(
    image: NDArray[np.integer],
    images: int,
    intensity: Floats,
    sigma: Floats,
    weight: Floats,
) -> Floats:
    """z of each image, float64 [images]; 0 where nothing is expected.

    Parameters
    ----------
    image : int [n]
        Of each observation.
    images
        How many there are.
    intensity, sigma : float64 [n]
        J, and its standard deviation without signal.
    weight : float64 [n]
        What J / sigma would be at G = 1, x / s, in any unit. Where x is itself uncertain, the more of it the better
        known it is: any weights make a valid test that J does not enter.
    """
    total, square = np.zeros(images), np.zeros(images)
    for start in range(0, len(image), _BLOCK):
        rows = slice(start, start + _BLOCK)
        deviate = np.clip(intensity[rows] / sigma[rows], -_LIMIT, _LIMIT)
        total += np.bincount(image[rows], weight[rows] * deviate, images)
        square += np.bincount(image[rows], weight[rows] ** 2, images)
    return np.divide(total, np.sqrt(square), out=np.zeros(images), where=square > 0.0)


def levels(s2: Floats, intensity: Floats, factor: Floats) -> Floats:
    """float64 [n]: mean intensity by resolution, which stands for reflections that nothing else is known of.

    Parameters
    ----------
    s2, intensity, factor : float64 [n]
        1 / 4 d^2, counts, and counts per unit of intensity.
    """
    shell = np.minimum((s2 * (_SHELLS / max(float(s2.max(initial=0.0)), 1e-12))).astype(np.intp), _SHELLS - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.bincount(shell, intensity, _SHELLS) / np.bincount(shell, factor, _SHELLS)
    return np.where(level > 0.0, level, 0.0)[shell]


def no_signal(z: float, count: int) -> str:
    """What is said of an image without signal."""
    return (
        f"no usable signal: the weighted sum of its {count} intensities is {z:.1f} times its error, "
        f"{SIGNIFICANT:g} needed for a scale"
    )
