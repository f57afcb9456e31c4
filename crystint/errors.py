"""Everything crystint raises on purpose.

CrystintError
 |- ShapeError      (also ValueError)  an array has the wrong shape
 |- DTypeError      (also TypeError)   an array has a dtype that no kernel was written for
 |- SettingError    (also ValueError)  a parameter has an impossible value
 |- GeometryError   (also ValueError)  a geometry is missing, incomplete or impossible
 |- FileError       (also OSError)     a file is missing, damaged, of an unknown kind, or cannot be written
 |   '- MissingFrameError              a frame of a sequence was never written, or its file is not there
 |- KernelArgumentError (also TypeError) an argument of a kernel is missing, unknown, or of another type
 |- DeviceError     (also RuntimeError) no usable OpenCL device, or it failed, or a kernel did not build
 |   '- DeviceMemoryError              it has too little memory
 |- ClusterError    (also RuntimeError) a dask cluster is not there, or does not do its part
 |- StreamError     (also ValueError)  a message of a detector is damaged, too large, or of an unknown kind
 '- RefusedError    (also RuntimeError) the online service does not do what it was asked for, and says why

 CrystintWarning  (also UserWarning)  the result is there, but something was guessed, ignored, left out, or looks wrong
 '- CrystintNote                      nothing looks wrong, but of two ways to go on one was taken

Messages say which thing, what it is, what was expected and, where it can be seen, the likely cause.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np

__all__ = [
    "ClusterError",
    "CrystintError",
    "CrystintNote",
    "CrystintWarning",
    "DTypeError",
    "DeviceError",
    "DeviceMemoryError",
    "FileError",
    "GeometryError",
    "KernelArgumentError",
    "MissingFrameError",
    "RefusedError",
    "SettingError",
    "ShapeError",
    "StreamError",
    "check",
    "described",
    "note",
    "recorded_warnings",
    "unreadable",
    "warn",
]


class CrystintError(Exception):
    """Base of everything crystint raises on purpose."""


class ShapeError(CrystintError, ValueError):
    """An array has the wrong shape."""


class DTypeError(CrystintError, TypeError):
    """An array has a dtype that no kernel was written for."""


class SettingError(CrystintError, ValueError):
    """A parameter has an impossible value.

    Parameters
    ----------
    text : str
        Which one, its value, what was expected.
    field : str, optional
        Where it is in a document, such as "rois.2.radius".
    """

    def __init__(self, text: str = "", field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


class GeometryError(CrystintError, ValueError):
    """A geometry is missing, incomplete or impossible."""


class FileError(CrystintError, OSError):
    """A file is missing, damaged, of an unknown kind, or cannot be written."""


class MissingFrameError(FileError):
    """A frame of a sequence was never written, or the file that it should be in is not there."""


class DeviceError(CrystintError, RuntimeError):
    """No usable OpenCL device, one that failed or has too little memory, or a kernel that does not build."""


class DeviceMemoryError(DeviceError):
    """The memory of a device does not hold what it is to hold."""


class KernelArgumentError(CrystintError, TypeError):
    """An argument of a kernel is missing, unknown, or not of the type of its parameter."""


class ClusterError(CrystintError, RuntimeError):
    """No dask cluster, workers without crystint or with another version of it, or workers that die."""


class StreamError(CrystintError, ValueError):
    """A message of a detector is damaged, beyond the limits, or of an unknown kind."""


class RefusedError(CrystintError, RuntimeError):
    """The online service does not do what it was asked for.

    Parameters
    ----------
    reason : str
        One of wrong_state, bad_value, not_found, conflict, too_large, unauthorized, forbidden, busy, internal.
    text : str
        A sentence: what is wrong, what was expected.
    field : str, optional
        Of the request, that it is about.
    """

    def __init__(self, reason: str, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.reason, self.field = reason, field


class CrystintWarning(UserWarning):
    """The result is there, but something was guessed, ignored, left out, or looks wrong.

    Commands print each of them once, on stderr. In Python they are warnings like any other:
    ``warnings.catch_warnings`` collects them, ``warnings.simplefilter("error", crystint.CrystintWarning)`` makes them
    errors.
    """


class CrystintNote(CrystintWarning):
    """Nothing looks wrong, but where the user did not say which of two ways to go, one was taken."""


def note(text: str) -> None:
    """Say which way was taken, as a `CrystintNote`."""
    warnings.warn(CrystintNote(text), stacklevel=3)


def warn(text: str) -> None:
    """Say something that the user must know, as a `CrystintWarning`."""
    warnings.warn(CrystintWarning(text), stacklevel=3)


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """The texts that are warned of in the block, each once, for an output that keeps them.

    The list is complete when the block has ended; then they are warned of as they would have been without it.
    """
    texts: list[str] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CrystintWarning)
            yield texts
    finally:
        texts += dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, CrystintWarning))
        for text in texts:
            warn(text)
        for each in caught:
            if not issubclass(each.category, CrystintWarning):
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def described(value: object) -> str:
    """What an argument of a wrong type is, for a message: "a str ('frame.cbf')", "an ndarray of (8, 9) int32"."""
    if value is None:
        return "None"
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" or name == "ndarray" else "a"
    if isinstance(value, np.ndarray):
        return f"{article} {name} of {value.shape} {value.dtype}"
    text = repr(value) if isinstance(value, str | bytes | int | float | complex | PathLike) else ""
    return f"{article} {name}" + (f" ({text[:60]})" if text else "")


def check(what: str, array: np.ndarray[Any, Any], shape: tuple[int, ...], dtypes: Iterable[np.dtype[Any]]) -> None:
    """Raise unless `array` has this shape and one of these dtypes.

    Raises
    ------
    ShapeError, DTypeError
        With the name `what`, the value found and the value expected.
    """
    if array.ndim == 0:
        value = array.item()
        hint = (
            "; open the file first, with crystint.open_frames or crystint.Geometry.read"
            if isinstance(value, str)
            else ""
        )
        raise ShapeError(f"{what} is {described(value)}, expected an array of {shape} (slow, fast){hint}")
    if array.shape != shape:
        hint = "; it looks transposed" if array.shape == shape[::-1] else ""
        raise ShapeError(f"{what} is {array.shape}, expected {shape} (slow, fast){hint}")
    allowed = list(dtypes)
    if array.dtype not in allowed:
        wanted = ", ".join(str(dtype) for dtype in allowed)
        hint = "; convert it where its values fit" if array.dtype.kind in "iuf" else ""
        raise DTypeError(f"{what} is {array.dtype}, expected one of {wanted}{hint}")


def unreadable(path: Any, error: OSError) -> FileError:
    """What is said of a file that cannot be opened, in one way everywhere."""
    if isinstance(error, FileNotFoundError):
        return FileError(f"{path} does not exist")
    if isinstance(error, IsADirectoryError):
        return FileError(f"{path} is a folder; name its files, for instance {path}/*.cbf")
    return FileError(f"{path} cannot be read: {error.strerror or error}")
