"""Frames of the image formats that FabIO reads, and of NumPy files."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.containers import open_packed
from crystint.io.frames.readers import READABLE, FrameSource, native
from crystint.io.geometry.cbf import cbf_geometry, cbf_saturation
from crystint.io.opened_file import OpenedFile
from crystint.model.geometry import Geometry

__all__ = ["ArrayReader", "ImageReader", "NumpyReader", "count_pages"]

_WRONG = re.compile(r"incomplete|truncat|corrupt|mismatch|no tiff reader|too short|unexpected end", re.IGNORECASE)


class _Listener(logging.Handler):
    """Keeps what FabIO logs in this thread instead of printing it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.heard.append(record.getMessage())


_listeners: list[_Listener] = []
_propagate = [True]
"""What FabIO's logger did before the first of the listeners."""
_lock = Lock()


@contextmanager
def _listening() -> Iterator[list[str]]:
    """FabIO reports some damage only to its log, and fills the frame with zeros: collect what it says."""
    logger, listener = logging.getLogger("fabio"), _Listener()
    with _lock:
        if not _listeners:
            _propagate[0], logger.propagate = logger.propagate, False
        _listeners.append(listener)
        logger.addHandler(listener)
    try:
        yield listener.heard
    finally:
        with _lock:
            logger.removeHandler(listener)
            _listeners.remove(listener)
            if not _listeners:
                logger.propagate = _propagate[0]


def count_pages(path: Path) -> int | None:
    """Number of pages of a TIFF or BigTIFF file, from its chain of directories; None where it breaks.

    Adobe, TIFF revision 6.0, section 2; BigTIFF has 8-byte offsets.
    """
    pages = 0
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
            order = {b"II": "<", b"MM": ">"}[start[:2]]
            big = struct.unpack(order + "H", start[2:4])[0] == 43
            offset, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
            (at,) = struct.unpack_from(order + offset, start, 8 if big else 4)
            seen: set[int] = set()
            while at:
                if at in seen:
                    return None
                seen.add(at)
                stream.seek(at)
                (entries,) = struct.unpack(order + count, stream.read(struct.calcsize(count)))
                stream.seek(entries * entry, 1)
                (at,) = struct.unpack(order + offset, stream.read(struct.calcsize(offset)))
                pages += 1
    except (KeyError, OSError, struct.error):
        return None
    return pages or None


def _samples(path: Path) -> int | None:
    """Samples per pixel (tag 277) of the first page of a TIFF file; None when it does not say, or is a BigTIFF."""
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            order = {b"II": "<", b"MM": ">"}[start[:2]]
            version, at = struct.unpack(order + "HI", start[2:])
            if version != 42:
                return None
            stream.seek(at)
            (entries,) = struct.unpack(order + "H", stream.read(2))
            for _ in range(entries):
                tag, kind, count = struct.unpack(order + "HHI", stream.read(8))
                value = stream.read(4)
                if tag == 277 and kind == 3 and count == 1:
                    return int(struct.unpack(order + "H", value[:2])[0])
    except (KeyError, OSError, struct.error):
        return None
    return None


class ImageReader:
    """The frames of one file, through FabIO. The first frame is read when the reader is made."""

    def __init__(self, file: OpenedFile) -> None:
        self._path = path = file.path
        self._tiff = file.container == "tiff"
        self._lock = Lock()
        if self._tiff and (samples := _samples(path)) not in (None, 1):
            raise FileError(f"{path} has {samples} samples per pixel, expected a grey image (slow, fast)")
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
        with _listening() as heard:
            try:
                yield
            except Exception as error:  # FabIO raises anything from AssertionError to struct.error
                damage = next((line for line in heard if _WRONG.search(line)), None)
                if damage is not None or index is not None:
                    raise FileError(f"{where} is damaged or truncated: {damage or error}") from error
                raise FileError(f"{where} is of unknown kind or damaged; crystint reads {READABLE}") from error
        damage = next((line for line in heard if _WRONG.search(line)), None)
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
            if index == 0:
                data = np.asarray(self._image.data)
            elif self._compressed_tiff():
                data = self._page(index)
            else:
                data = np.asarray(self._image.get_frame(index).data)
        return native(data)

    def chunk(self, index: int) -> None:
        """None: these formats know no bitshuffle."""

    def _compressed_tiff(self) -> bool:
        """FabIO reads only the first page of a compressed TIFF, through Pillow."""
        return type(self._image).__name__ == "TifImage" and getattr(self._image, "lib", None) == "PIL"

    def _page(self, index: int) -> NDArray[Any]:
        from PIL import Image

        with Image.open(self._path) as image:
            image.seek(index)
            return np.asarray(image)

    def source(self, index: int) -> FrameSource:
        """Where that frame is."""
        return FrameSource(str(self._path), index)

    def _header(self) -> str:
        """The mini header that PILATUS detectors put into TIFF files; empty elsewhere."""
        if not self._tiff:
            return ""
        with open_packed(self._path) as stream:
            text = stream.read(1 << 14).decode("latin-1")
        return "\n".join(re.findall(r"# [A-Z][\x20-\x7e]*", text))

    def geometry(self, *, beam_outside: bool = False) -> Geometry | None:
        """From the mini header of a PILATUS TIFF file; None elsewhere."""
        return cbf_geometry(self._header(), self.shape, str(self._path), beam_outside=beam_outside)

    def mask(self) -> NDArray[np.uint32] | None:
        """None: these formats hold no mask beside the frame."""
        return None

    def saturation(self) -> float | None:
        """Count_cutoff of the mini header of a PILATUS TIFF file; None elsewhere."""
        return cbf_saturation(self._header())

    def close(self) -> None:
        """Close the file."""
        self._image.close()


class ArrayReader:
    """Frames that are in memory already, or mapped into it."""

    def __init__(self, frames: NDArray[Any], name: str) -> None:
        if frames.dtype.kind not in "iuf":
            raise FileError(f"{name} holds {frames.dtype}, expected integers or floats")
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

    def geometry(self, *, beam_outside: bool = False) -> Geometry | None:
        """None: an array tells no geometry."""
        return None

    def mask(self) -> NDArray[np.uint32] | None:
        """None: an array tells no mask."""
        return None

    def saturation(self) -> float | None:
        """None: an array tells no limit."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""


class NumpyReader(ArrayReader):
    """The frames of a .npy file, mapped and not loaded."""

    def __init__(self, path: Path) -> None:
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise FileError(f"{path} is damaged, truncated or no array of numbers: {error}") from error
        super().__init__(np.asarray(frames), str(path))

    def close(self) -> None:
        """Let go of the mapping."""
        self._frames = np.empty((0, *self.shape), dtype=self.dtype)
