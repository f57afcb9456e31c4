"""Which pixels are not to be used: masks as NXmx bit fields, and the values that mark a pixel within a
frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import DTypeError, ShapeError, described
from crystint.model.valid_values import ValidValues

__all__ = ["USER_MASK", "combine_masks", "marker", "unusable"]

USER_MASK = 0x100
"""Bit 8 of the NXmx pixel mask: masked by the user."""


def unusable(frame: NDArray[Any], valid: ValidValues | None = None) -> NDArray[np.bool_]:
    """Pixels that the frame itself marks as holding no measurement.

    Without `valid` negative values of signed integers (CBF writes -1 and -2), the all-ones value of unsigned integers,
    and NaN and infinities of floats. Saturation is not looked at: that needs a limit.

    Parameters
    ----------
    frame : int, uint or float [slow, fast]
        Counts; any other shape works as well.
    valid : ValidValues, optional
        Which values are measurements, such as `Frames.valid`.

    Returns
    -------
    bool [slow, fast]
        True where unusable.

    Raises
    ------
    DTypeError
        For bool, complex and other dtypes that are no counts.
    """
    return (valid or ValidValues.of(frame.dtype)).unusable(frame)


def marker(dtype: np.dtype[Any] | type, valid: ValidValues | None = None) -> int | float:
    """The value that marks an unusable pixel in this dtype: -1 (signed), all ones (unsigned) or NaN (float).

    With `valid` one that is no measurement by it.

    Raises
    ------
    DTypeError
        For bool, complex and other dtypes that are no counts.
    """
    return (valid or ValidValues.of(dtype)).marker(np.dtype(dtype))


def combine_masks(*masks: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Bitwise OR of masks. Zero = good; `None` entries are ignored.

    Parameters
    ----------
    masks : bool, int or float [slow, fast]
        Integers keep their bits where they fit 32 bits (int32 -1 is all bits set). True, a float other than
        0 and an integer that does not fit become `USER_MASK`. NaN is masked.
    shape : (slow, fast)
        Shape of the frame; with no mask at all the result is all good.

    Returns
    -------
    uint32 [slow, fast]

    Raises
    ------
    ShapeError
        When a mask has another shape; the message gives its number in the call, from 1.
    DTypeError
        When a mask holds anything but numbers.
    """
    combined = np.zeros(shape, dtype=np.uint32)
    for number, each in enumerate(masks, start=1):
        if each is None:
            continue
        mask = np.asarray(each)
        if mask.ndim == 0:
            raise ShapeError(
                f"mask {number} is {described(mask.item())}, expected an array of {tuple(shape)} (slow, fast)"
            )
        if mask.shape != tuple(shape):
            hint = "; it looks transposed" if mask.shape == tuple(shape)[::-1] else ""
            raise ShapeError(f"mask {number} is {mask.shape}, expected {tuple(shape)} (slow, fast){hint}")
        if mask.dtype.kind not in "biuf":
            raise DTypeError(f"mask {number} is {mask.dtype}, expected bool or numbers with 0 = good")
        combined |= _bits(mask)
    return combined


def _bits(mask: NDArray[Any]) -> NDArray[np.uint32]:
    """The mask as uint32, nonzero wherever it was nonzero."""
    if mask.dtype.kind in "bf":
        return np.where(mask != 0, np.uint32(USER_MASK), np.uint32(0))
    bits = mask.astype(np.uint32)
    if mask.dtype.itemsize > 4:
        bits[(mask > 0xFFFFFFFF) | (mask < -0x80000000)] = USER_MASK
    return bits
