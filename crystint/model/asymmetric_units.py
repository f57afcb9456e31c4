"""Asymmetric units of reciprocal space, as CCP4 and gemmi choose them, in the reference setting of each space group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crystint.model.indices import Indices

__all__ = ["Inside", "asymmetric_unit"]

Inside = Callable[[Indices, Indices, Indices], NDArray[np.bool_]]

_TRICLINIC: Inside = lambda h, k, l: (l > 0) | ((l == 0) & ((h > 0) | ((h == 0) & (k >= 0))))  # noqa: E731, E741
_MONOCLINIC: Inside = lambda h, k, l: (k >= 0) & ((l > 0) | ((l == 0) & (h >= 0)))  # noqa: E731, E741
_ORTHORHOMBIC: Inside = lambda h, k, l: (h >= 0) & (k >= 0) & (l >= 0)  # noqa: E731, E741
_ROTATED: Inside = lambda h, k, l: (l >= 0) & (((h >= 0) & (k > 0)) | ((h == 0) & (k == 0)))  # noqa: E731, E741
_MIRRORED: Inside = lambda h, k, l: (h >= k) & (k >= 0) & (l >= 0)  # noqa: E731, E741
_BAR_3: Inside = lambda h, k, l: ((h >= 0) & (k > 0)) | ((h == 0) & (k == 0) & (l >= 0))  # noqa: E731, E741
_BAR_31M: Inside = lambda h, k, l: (h >= k) & (k >= 0) & ((k > 0) | (l >= 0))  # noqa: E731, E741
_BAR_3M1: Inside = lambda h, k, l: (h >= k) & (k >= 0) & ((h > k) | (l >= 0))  # noqa: E731, E741
_M_BAR_3: Inside = lambda h, k, l: (h >= 0) & (((l >= h) & (k > h)) | ((l == h) & (k == h)))  # noqa: E731, E741
_M_BAR_3M: Inside = lambda h, k, l: (k >= l) & (l >= h) & (h >= 0)  # noqa: E731, E741

_LAST_NUMBER: tuple[tuple[int, Inside], ...] = (
    (2, _TRICLINIC),
    (15, _MONOCLINIC),
    (74, _ORTHORHOMBIC),
    (88, _ROTATED),
    (142, _MIRRORED),
    (148, _BAR_3),
    (167, _BAR_3M1),
    (176, _ROTATED),
    (194, _MIRRORED),
    (206, _M_BAR_3),
    (230, _M_BAR_3M),
)
_NUMBERS_31M = (149, 151, 153, 157, 159, 162, 163)


def asymmetric_unit(number: int) -> Inside:
    """A test on h, k, l, for the space group of this number (1 to 230)."""
    if number in _NUMBERS_31M:
        return _BAR_31M
    return next(inside for last, inside in _LAST_NUMBER if number <= last)
