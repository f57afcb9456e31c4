"""Frames of TIFF files, through tifffile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.containers import open_as_it_is, open_packed, packing_of, unpacked
from crystint.io.frames.library_log import log_messages
from crystint.io.frames.readers import FrameSource, ToldScan
from crystint.io.geometry.cbf import cbf_geometry, cbf_saturation
from crystint.io.geometry.cbf_scan import cbf_instrument, cbf_scan
from crystint.io.geometry.marccd import marccd_geometry, marccd_saturation
from crystint.io.limits import check_claim
from crystint.io.opened_file import OpenedFile
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import FileLimits

__all__ = ["TiffReader", "count_frames"]

_DAMAGE = re.compile(r"invalid (page )?offset|circular|contains no pages|corrupt", re.IGNORECASE)
"""What tifffile logs, and then goes on with the pages before it."""
_UNSUPPORTED = re.compile(r"not supported|not a known|requires the")
"""What tifffile raises of a compression or a number of bits that it does not decode."""
_PALETTE = 3
"""PhotometricInterpretation of pixels that are numbers of colours (Adobe, TIFF revision 6.0, section 5)."""
_HEADER_BYTES = 1 << 14


@contextmanager
def _damage_is_error(where: str) -> Iterator[None]:
    """A FileError of whatever tifffile and imagecodecs raise or log about damage."""
    with log_messages("tifffile") as messages:
        failure: Exception | None = None
        try:
            yield
        except (FileError, MemoryError):
            raise
        except Exception as error:  # the codecs raise classes of their own, derived from RuntimeError
            failure = error
    damage = next((message for message in messages if _DAMAGE.search(message)), None)
    unsupported = isinstance(failure, NotImplementedError) or _UNSUPPORTED.search(str(failure))
    if unsupported and damage is None:
        raise FileError(f"{where} is a TIFF that crystint cannot decode: {failure}") from failure
    if failure is not None or damage is not None:
        raise FileError(f"{where} is damaged or truncated: {damage or failure}") from failure


def _opened(path: Path) -> Any:
    """The `tifffile.TiffFile`; what gzip or bzip2 packed is unpacked into memory."""
    from tifffile import TiffFile

    with open_as_it_is(path) as stream:
        if not packing_of(stream.read(3)):
            return TiffFile(str(path))
    return TiffFile(BytesIO(unpacked(path)), name=str(path))


def _count(tiff: Any) -> tuple[int, bool]:
    """Number of frames, and whether all of them stand behind one another under a single directory.

    That is how ImageJ, MetaMorph and tifffile write stacks for which a chain of directories is too small or too long.
    """
    pages = len(tiff.pages)
    if pages == 1 and (tiff.is_imagej or tiff.is_shaped or tiff.is_stk):
        series = tiff.series[0]
        frames = series.size // tiff.pages.first.size if series.dataoffset is not None else 1
        if frames > 1:
            return frames, True
    return pages, False


def count_frames(path: Path) -> int | None:
    """Number of frames of a TIFF file, without decoding one; None where the file is damaged."""
    try:
        with _damage_is_error(str(path)), _opened(path) as tiff:
            return _count(tiff)[0]
    except FileError:
        return None


class TiffReader:
    """The frames of one TIFF or BigTIFF file. Only directories are read when it is made.

    Raises
    ------
    FileError
        When the file is damaged or truncated, or holds colours.
    """

    def __init__(self, file: OpenedFile) -> None:
        self._path = path = file.path
        self._lock = Lock()
        with ExitStack() as closed_on_failure:
            with _damage_is_error(str(path)):
                self._tiff = closed_on_failure.enter_context(_opened(path))
                self.count, self._stacked = _count(self._tiff)
                self._first = self._tiff.pages.first
            self._check_grey()
            closed_on_failure.pop_all()
        self._close = finalize(self, self._tiff.close)  # also of a reader that nobody closes
        self.shape: tuple[int, int] = self._first.shape
        self.dtype: np.dtype[Any] = self._first.dtype.newbyteorder("=")

    def _check_grey(self) -> None:
        page = self._first
        expected = "expected a grey image (slow, fast)"
        if page.samplesperpixel != 1:
            raise FileError(f"{self._path} has {page.samplesperpixel} samples per pixel, {expected}")
        if page.photometric == _PALETTE:
            raise FileError(f"{self._path} holds numbers of a palette's colours, {expected}")
        if page.dtype is None or page.dtype.kind not in "iuf" or len(page.shape) != 2 or page.size == 0:
            kind = page.dtype or f"{page.bitspersample}-bit"
            raise FileError(f"{self._path} holds {kind} data of shape {page.shape}, {expected}")

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One frame. A file is read for one thread at a time.

        Raises
        ------
        FileError
            When it is damaged or truncated; the message gives its number.
        """
        with self._lock, _damage_is_error(f"{self._path}, frame {index},"):
            frame = self._of_stack(index) if self._stacked else self._of_page(index, out)
        return np.ascontiguousarray(frame, frame.dtype.newbyteorder("="))

    def _of_page(self, index: int, out: NDArray[Any] | None) -> NDArray[Any]:
        page = self._tiff.pages[index]
        end = max(map(sum, zip(page.dataoffsets, page.databytecounts)), default=0)
        size = self._tiff.filehandle.size
        if end > size:
            raise FileError(
                f"{self._path}, frame {index}, is truncated: its pixels reach to byte {end}, the file ends at {size}"
            )
        check_claim(f"{self._path}, frame {index},", page.nbytes, sum(page.databytecounts))
        fits = out is not None and (out.shape, out.dtype) == (page.shape, page.dtype) and out.flags.c_contiguous
        frame: NDArray[Any] = page.asarray(out=out if fits else None, maxworkers=1)
        return frame

    def _of_stack(self, index: int) -> NDArray[Any]:
        page, handle = self._first, self._tiff.filehandle
        offset = page.dataoffsets[0] + index * page.nbytes
        frame = handle.read_array(page.dtype.newbyteorder(self._tiff.byteorder), page.size, offset)
        return np.asarray(frame).reshape(page.shape)

    def chunk(self, index: int) -> None:
        """None: TIFF knows no bitshuffle."""

    def source(self, index: int) -> FrameSource:
        """Where that frame is."""
        return FrameSource(str(self._path), index)

    def _start(self) -> bytes:
        """The bytes in which detectors put headers of their own."""
        with open_packed(self._path) as stream:
            return stream.read(_HEADER_BYTES)

    @staticmethod
    def _mini_header(start: bytes) -> str:
        """The mini header that PILATUS detectors put into TIFF files; empty elsewhere."""
        return "\n".join(re.findall(r"# [A-Z][\x20-\x7e]*", start.decode("latin-1")))

    def geometry(self) -> PartialGeometry:
        """From the mini header of a PILATUS file, or the header of MarCCD and Rayonix; empty elsewhere."""
        start = self._start()
        mini = cbf_geometry(self._mini_header(start), self.shape, str(self._path))
        return mini.over(marccd_geometry(start, self.shape))

    def scan(self) -> ToldScan:
        """From the mini header of a PILATUS file of one frame."""
        header = self._mini_header(self._start())
        return ToldScan(*cbf_scan(header, self.shape)) if header and self.count == 1 else ToldScan()

    def instrument(self) -> Instrument:
        """From the mini header of a PILATUS file."""
        return cbf_instrument(self._mini_header(self._start()))

    def metadata(self) -> SourceMetadata:
        """The mini header of a PILATUS file."""
        header = self._mini_header(self._start())
        return SourceMetadata.of_header(str(self._path), header) if header else SourceMetadata()

    def mask(self) -> tuple[None, list[str]]:
        """None: TIFF holds no mask beside the frame."""
        return None, []

    def saturation(self) -> float | None:
        """Count_cutoff of a PILATUS file, or saturated_value of MarCCD; None elsewhere."""
        start = self._start()
        limit = cbf_saturation(self._mini_header(start))
        return marccd_saturation(start, self.shape) if limit is None else limit

    def limits(self) -> FileLimits:
        """Negative values mark pixels in the files of a PILATUS."""
        header = self._mini_header(self._start())
        return FileLimits(marks_negative=re.search("pilatus|Count_cutoff", header, re.IGNORECASE) is not None)

    def close(self) -> None:
        """Close the file."""
        self._close()
