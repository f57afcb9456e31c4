"""Images as the bytes of files: what a program that asks by HTTP gets."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["file_bytes", "npy_bytes", "tiff_bytes"]


def npy_bytes(image: NDArray[Any]) -> bytes:
    """An array as a file of NumPy.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from crystint.io.image_bytes import npy_bytes
    >>> np.load(io.BytesIO(npy_bytes(np.arange(3)))).tolist()
    [0, 1, 2]
    """
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(image), allow_pickle=False)
    return stream.getvalue()


def tiff_bytes(image: NDArray[Any]) -> bytes:
    """An image as TIFF with the values that it has, not compressed: what every reader takes.

    Parameters
    ----------
    image : uint, int or float [slow, fast]
    """
    from tifffile import imwrite

    stream = io.BytesIO()
    imwrite(stream, np.ascontiguousarray(image), photometric="minisblack", metadata=None)
    return stream.getvalue()


def file_bytes(suffix: str, write: Callable[[Path], object]) -> bytes:
    """What a function writes into a file of a suffix."""
    with tempfile.TemporaryDirectory(prefix="crystint-") as folder:
        path = Path(folder) / f"image{suffix}"
        write(path)
        return path.read_bytes()
