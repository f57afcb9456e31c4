"""Which values of a pixel are measurements, and how that follows from what a file tells and holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, SettingError

__all__ = ["FileLimits", "ValidValues", "fewest_counts", "has_marks", "hidden_value", "valid_values"]

_FEW_VALUES = 4
"""different values below zero that may still be marks"""
_RARE = 1e-3
"""share of pixels below which it does not matter what they are"""
_MODULE, _GAP = (195, 487), (17, 7)
"""px, (slow, fast), of PILATUS detectors, whose gaps hold -1 and whose bad pixels hold -2"""


@dataclass(frozen=True, slots=True)
class ValidValues:
    """Which values of a pixel are measurements. NaN and infinities never are.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> crystint.ValidValues.of(np.uint16)
    ValidValues(lowest=None, marks=(65535,), overload=None)
    >>> crystint.ValidValues(lowest=-100).unusable(np.array([-101, -100, 7]))
    array([ True, False, False])
    """

    lowest: float | None = None
    """smallest measurement, counts; None = there is no limit"""
    marks: tuple[float, ...] = ()
    """at most two values that mean "no measurement" """
    overload: float | None = None
    """what stands for counts that were too many: it, and all above it, is saturated signal; None = no such value"""

    def __post_init__(self) -> None:
        numbers = [*self.marks, *([] if self.lowest is None else [self.lowest])]
        if len(self.marks) > 2 or not all(map(math.isfinite, numbers)):
            raise SettingError(f"valid values are {self}, expected at most two marks, and finite numbers")

    @classmethod
    def of(cls, dtype: Any) -> Self:
        """Those of a dtype where nothing else is told: no negative integers, not all ones of unsigned ones.

        Raises
        ------
        DTypeError
            For bool, complex and other dtypes that are no counts.
        """
        dtype = np.dtype(dtype)
        if dtype.kind not in "iuf":
            raise DTypeError(f"{dtype} holds no counts, expected an integer or a float dtype")
        if dtype.kind == "f":
            return cls()
        return cls(lowest=0) if dtype.kind == "i" else cls(marks=(int(np.iinfo(dtype).max),))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self | None:
        """The inverse of `to_dict`; None stays None."""
        return None if values is None else cls(values["lowest"], tuple(values["marks"]), values["overload"])

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)

    def unusable(self, frame: NDArray[Any]) -> NDArray[np.bool_]:
        """Pixels that hold no measurement; bool, of the frame's shape.

        Raises
        ------
        DTypeError
            For bool, complex and other dtypes that are no counts.
        """
        if frame.dtype.kind not in "iuf":
            raise DTypeError(f"the frame is {frame.dtype}, expected an integer or a float dtype")
        bad = ~np.isfinite(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, np.bool_)
        lowest = self.lowest_of(frame.dtype)
        if lowest is not None:
            bad |= frame < lowest
        for mark in self.marks:
            bad |= frame == as_counts(mark, frame.dtype)
        return np.asarray(bad)

    def lowest_of(self, dtype: np.dtype[Any]) -> float | None:
        """The smallest measurement in frames of a dtype; of signed integers the lowest value never is one."""
        if dtype.kind != "i":
            return self.lowest
        return least(dtype) + 1 if self.lowest is None else max(self.lowest, least(dtype) + 1)

    def marker(self, dtype: np.dtype[Any]) -> float:
        """The value to write for a pixel without a measurement: -1, the lowest integer, all ones or NaN."""
        if dtype.kind == "f":
            return math.nan
        if self.lowest is not None and (self.lowest >= 0 and dtype.kind == "i"):
            return -1
        return self.marks[0] if self.marks else hidden_value(dtype)

    def limit(self, saturation: float | None) -> float | None:
        """The largest measurement, counts: the saturation value, if it is below the overload; None = no limit."""
        if self.overload is None:
            return saturation
        below = self.overload - 1
        if isinstance(self.overload, float):
            below = float(np.nextafter(np.float32(self.overload), np.float32(0)))
        return below if saturation is None else min(saturation, below)

    def negative(self, dtype: np.dtype[Any]) -> bool:
        """Whether integers of this dtype may be below zero, and are then no photon counts."""
        return dtype.kind == "i" and (self.lowest is None or self.lowest < 0)

    def text(self, dtype: np.dtype[Any]) -> str:
        """In words."""
        parts = [] if self.lowest is None or self.lowest <= least(dtype) + 1 else [f"from {self.lowest:g}"]
        parts += [f"not {' or '.join(f'{mark:.10g}' for mark in self.marks)}"] if self.marks else []
        parts += [] if self.overload is None else [f"{self.overload:.10g} is an overload"]
        return ", ".join(parts) or ("all finite ones" if dtype.kind == "f" else "all")


def least(dtype: np.dtype[Any]) -> float:
    """The smallest value of a dtype."""
    return -math.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def fewest_counts(dtype: np.dtype[Any], valid: ValidValues | None) -> float:
    """The fewest counts that the background of integers can have: 0, or the smallest measurement."""
    lowest = None if valid is None else valid.lowest_of(dtype)
    return 0.0 if lowest is None or (lowest < 0 and dtype.kind != "i") else lowest


def as_counts(value: float, dtype: np.dtype[Any]) -> Any:
    """A value as frames of this dtype hold it: counts of 32 bits are rounded in float32."""
    return dtype.type(value) if dtype.kind == "f" else value


def hidden_value(dtype: np.dtype[Any]) -> float:
    """A value that is no measurement, whatever the lower limit: the lowest integer, all ones or NaN."""
    if dtype.kind == "f":
        return math.nan
    limits = np.iinfo(dtype)
    return int(limits.min if dtype.kind == "i" else limits.max)


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What a file tells of its values. None = nothing."""

    lowest: float | None = None
    """underload_value: the smallest measurement"""
    error: float | None = None
    """error_value: means "no measurement"; below zero, so do all values below it"""
    bits: int | None = None
    """of the counter: all of them set means "no measurement", or an overload"""
    marks_negative: bool = False
    """whether it is of a kind that marks pixels by -1 and -2: CBF, and what says that it is of a PILATUS"""
    exact: ValidValues | None = None
    """what crystint wrote"""

    def asks_for(self, dtype: np.dtype[Any]) -> bool:
        """Whether only the frames themselves can tell what is below zero."""
        return dtype.kind == "i" and self.lowest is None and self.error is None and self.exact is None


def valid_values(
    dtype: np.dtype[Any], told: FileLimits, *, masked: bool, lowest: float | None, negative: bool
) -> ValidValues:
    """Which values are measurements.

    Parameters
    ----------
    dtype : dtype
        Of the frames.
    told : FileLimits
    masked : bool
        Whether the file has one pixel mask for all frames: it has all pixels that are never measured then, and a
        counter with all bits set elsewhere is an overload.
    lowest : float or None
        A lower limit in place of the file's.
    negative : bool
        Whether integers below zero are measurements, where neither the file nor `lowest` tells it.
    """
    if told.exact is not None:
        return ValidValues(told.exact.lowest if lowest is None else lowest, told.exact.marks, told.exact.overload)
    limit = _lower_limit(dtype, told, negative) if lowest is None else lowest
    highest = np.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)
    full = [2**told.bits - 1] if told.bits is not None and 1 < told.bits <= 32 and 2**told.bits - 1 <= highest else []
    full += [int(highest)] if dtype.kind == "u" and int(highest) not in full else []
    error = [] if not told.error or told.error > highest or (told.error < 0 and dtype.kind == "i") else [told.error]
    marks = error if masked else [*error, *full]
    overload = next((value for value in full if value not in error), None) if masked else None
    if dtype.kind == "f" and overload is not None:
        overload = float(np.float32(overload))
    return ValidValues(limit, tuple(dict.fromkeys(marks))[:2], overload)


def _lower_limit(dtype: np.dtype[Any], told: FileLimits, negative: bool) -> float | None:
    """The smallest measurement; None = any value."""
    limit = told.lowest
    if limit is None and told.error is not None and told.error < 0 and dtype.kind == "i":
        limit = told.error + 1
    if dtype.kind == "i":
        if limit is None:
            return least(dtype) + 1 if negative else 0
        return max(limit, least(dtype) + 1)
    return None if limit is None or limit <= least(dtype) else limit


def has_marks(frame: NDArray[Any], marks_negative: bool) -> bool | None:
    """Whether the values below zero in a frame of signed integers mark pixels. None = there are none.

    Many different ones are measurements. A few are marks in a file of the kind that marks pixels so, and else where
    they stand together, as gaps and bad blocks do, more than they would by chance; noise about zero is scattered.
    """
    below = (frame < 0) & (frame > least(frame.dtype))
    share = int(np.count_nonzero(below)) / max(frame.size, 1)
    if share == 0:
        return None
    if len(np.unique(frame[below])) > _FEW_VALUES:
        return False
    modules = all((n + gap) % (size + gap) == 0 for n, size, gap in zip(frame.shape, _MODULE, _GAP, strict=True))
    if marks_negative or modules or share < _RARE:
        return True
    pairs = ((below[1:], below[:-1]), (below[:, 1:], below[:, :-1]))
    beside = [int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one)), 1) for one, other in pairs]
    return max(beside) >= 0.5 * (1.0 + share)
