"""Frames of the image formats that crystint reads through FabIO, and of NumPy files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.frames.edf_claims import check_edf
from crystint.io.frames.library_log import log_messages
from crystint.io.frames.readers import READABLE, FrameSource, ToldScan, folded, native
from crystint.io.geometry.image_header import header_geometry, header_scan
from crystint.io.opened_file import OpenedFile
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import FileLimits

__all__ = ["ArrayReader", "ImageReader", "NumpyReader"]

_WRONG = re.compile(r"incomplete|truncat|corrupt|mismatch|no tiff reader|too short|unexpected end", re.IGNORECASE)


class ImageReader:
    """The frames of one file, through FabIO. The first frame is read when the reader is made."""

    def __init__(self, file: OpenedFile) -> None:
        self._path = path = file.path
        self._lock = Lock()
        check_edf(path)
        with self._guarded():
            import fabio

            self._image = fabio.open(str(path))
            first = np.asarray(self._image.data)
            self.count = int(self._image.nframes)
        if first.ndim != 2 or first.size == 0 or first.dtype.kind not in "iuf":
            raise FileError(
                f"{path} holds {first.dtype} data of shape {first.shape}, expected a grey image (slow, fast)"
            )
        self.shape: tuple[int, int] = (first.shape[0], first.shape[1])
        self.dtype: np.dtype[Any] = first.dtype.newbyteorder("=")

    @contextmanager
    def _guarded(self, index: int | None = None) -> Iterator[None]:
        """Turn whatever FabIO raises or logs about damage into a FileError."""
        where = str(self._path) if index is None else f"{self._path}, frame {index},"
        with log_messages("fabio") as messages:
            try:
                yield
            except Exception as error:  # FabIO raises anything from AssertionError to struct.error
                damage = next((line for line in messages if _WRONG.search(line)), None)
                if damage is not None or index is not None:
                    raise FileError(f"{where} is damaged or truncated: {damage or error}") from error
                raise FileError(f"{where} is of unknown kind or damaged; crystint reads {READABLE}") from error
        damage = next((line for line in messages if _WRONG.search(line)), None)
        if damage is not None:
            raise FileError(f"{where} is damaged or truncated: {damage}")

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One frame. FabIO reads one file for one thread at a time.

        Raises
        ------
        FileError
            When it is damaged or truncated; the message gives its number.
        """
        with self._lock, self._guarded(index):
            data = np.asarray((self._image if index == 0 else self._image.get_frame(index)).data)
        return native(data)

    def chunk(self, index: int) -> None:
        """None: these formats know no bitshuffle."""

    def source(self, index: int) -> FrameSource:
        """Where that frame is."""
        return FrameSource(str(self._path), index)

    def geometry(self) -> PartialGeometry:
        """What the header of the first frame tells, of formats whose header is known."""
        return header_geometry(self._image.header, type(self._image).__name__.lower(), self.shape, str(self._path))

    def scan(self) -> ToldScan:
        """From the header of an SMV file of ADSC."""
        kind = type(self._image).__name__.lower()
        return ToldScan(*header_scan(self._image.header, kind)) if self.count == 1 else ToldScan()

    def instrument(self) -> Instrument:
        """Nothing that is read."""
        return Instrument()

    def metadata(self) -> SourceMetadata:
        """The header of the first frame, as FabIO reads it."""
        header = {str(key): str(value) for key, value in self._image.header.items()}
        return SourceMetadata.of_header(str(self._path), json.dumps(header, indent=0)) if header else SourceMetadata()

    def mask(self) -> tuple[None, list[str]]:
        """None: these formats hold no mask beside the frame."""
        return None, []

    def saturation(self) -> float | None:
        """None: these formats tell no limit that crystint reads."""
        return None

    def limits(self) -> FileLimits:
        """Negative values mark pixels in the files of a PILATUS."""
        return FileLimits(marks_negative="pilatus" in str(self._image.header).lower())

    def close(self) -> None:
        """Close the file."""
        self._image.close()


class ArrayReader:
    """Frames that are in memory already, or mapped into it."""

    def __init__(self, frames: NDArray[Any], name: str) -> None:
        if frames.dtype.kind not in "iuf":
            hint = "; a mask is given with -m" if frames.dtype.kind == "b" else ""
            raise FileError(f"{name} holds {frames.dtype}, expected integers or floats{hint}")
        if frames.ndim == 4 and frames.shape[1] == 1:
            frames = frames[:, 0]
        if frames.ndim not in (2, 3) or 0 in frames.shape[-2:]:
            raise FileError(f"{name} has shape {frames.shape}, expected (slow, fast) or (frames, slow, fast)")
        self._frames = frames if frames.ndim == 3 else frames[None]
        self._name = name
        self.count = len(self._frames)
        self.shape: tuple[int, int] = (self._frames.shape[1], self._frames.shape[2])
        self.dtype: np.dtype[Any] = frames.dtype.newbyteorder("=")

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One frame, copied."""
        if out is None or (out.shape, out.dtype) != (self.shape, self.dtype):
            return native(self._frames[index])
        np.copyto(out, self._frames[index])
        return out

    def chunk(self, index: int) -> None:
        """None: an array is not packed."""

    def source(self, index: int) -> FrameSource:
        """Where that frame is."""
        return FrameSource(self._name, index)

    def geometry(self) -> PartialGeometry:
        """Empty: an array tells no geometry."""
        return PartialGeometry()

    def scan(self) -> ToldScan:
        """None that is read."""
        return ToldScan()

    def instrument(self) -> Instrument:
        """Nothing that is read."""
        return Instrument()

    def metadata(self) -> SourceMetadata:
        """None: an array has none."""
        return SourceMetadata()

    def mask(self) -> tuple[None, list[str]]:
        """None: an array tells no mask."""
        return None, []

    def saturation(self) -> float | None:
        """None: an array tells no limit."""
        return None

    def limits(self) -> FileLimits:
        """None: an array tells nothing."""
        return FileLimits()

    def close(self) -> None:
        """Nothing is kept open."""


class NumpyReader(ArrayReader):
    """The frames of a .npy file, mapped and not loaded."""

    def __init__(self, path: Path) -> None:
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise FileError(f"{path} is damaged, truncated or no array of numbers: {error}") from error
        if fold := folded(frames.shape):
            warn(f"{path} has {fold}")
            frames = frames.reshape(-1, *frames.shape[-2:])
        super().__init__(np.asarray(frames), str(path))

    def close(self) -> None:
        """Let go of the mapping."""
        self._frames = np.empty((0, *self.shape), dtype=self.dtype)
