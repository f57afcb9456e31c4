"""Crystallographic binary files (CBF): header, checks of completeness, and the decoded frame.

The layout of the binary section follows the imgCIF dictionary, International Tables for Crystallography G,
chapter 2.3; the mini header follows DECTRIS, "Pilatus CBF header specification" 1.4. The MD5 sum of a file
takes longer than decoding its frame: it is compared when that is asked for (`wrong_sum_of`), as `crystint verify` does.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.containers import DAMAGE, open_as_it_is, open_packed, packing_of, unpacked
from crystint.io.frames.byte_offset import decode, runs_are_long
from crystint.io.frames.readers import FrameSource, ToldScan
from crystint.io.geometry.cbf import cbf_geometry, cbf_saturation
from crystint.io.geometry.cbf_scan import cbf_instrument, cbf_scan
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import FileLimits

__all__ = ["CbfReader", "read_cbf_header", "wrong_sum_of"]

_START = b"\x0c\x1a\x04\xd5"
_LONGEST_HEADER = 1 << 24
_PADDING = 16
"""Bytes; a pixel takes 15 at most."""
_DTYPES = {
    f"{sign} {bits}-bit integer": np.dtype(f"{letter}int{bits}")
    for sign, letter in (("signed", ""), ("unsigned", "u"))
    for bits in (8, 16, 32, 64)
} | {"signed 32-bit real IEEE": np.dtype(np.float32), "signed 64-bit real IEEE": np.dtype(np.float64)}


@dataclass(frozen=True)
class CbfHeader:
    """The header of a CBF file with one frame."""

    text: str
    """everything before the binary section"""
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    compression: str
    """"x-CBF_BYTE_OFFSET", or "" for none"""
    size: int | None
    """bytes of the binary section"""
    md5: str | None
    """base64 of the MD5 sum of the binary section"""
    start: int
    """where the binary section starts"""


def read_cbf_header(path: Path) -> CbfHeader:
    """Read the header of a CBF file (also packed by gzip or bzip2).

    Raises
    ------
    FileError
        When the file is missing, damaged or holds no image.
    """
    content = b""
    with open_packed(path) as stream:
        try:
            while _START not in content and len(content) < _LONGEST_HEADER:
                more = stream.read(1 << 14)
                if not more:
                    break
                content += more
        except DAMAGE as error:
            raise FileError(f"{path} is damaged or truncated: {error}") from error
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> CbfHeader:
    at = content.find(_START)
    if at < 0:
        raise FileError(f"{path} is a CBF file without an image: its binary section is missing (truncated?)")
    text, _, section = content[:at].decode("latin-1").rpartition("--CIF-BINARY-FORMAT-SECTION--")
    fields = {
        name.lower(): value.strip().strip('"')
        for name, value in re.findall(r"^\s*([\w-]+)\s*[:=]\s*([^\r\n;]*)", section, re.MULTILINE)
    }
    try:
        fast = int(fields["x-binary-size-fastest-dimension"])
        slow = int(fields["x-binary-size-second-dimension"])
        size = int(fields["x-binary-size"]) if "x-binary-size" in fields else None
    except (KeyError, ValueError) as error:
        raise FileError(f"{path} is a CBF file without the size of its image: {error}") from None
    if slow < 1 or fast < 1 or int(fields.get("x-binary-size-third-dimension") or 1) > 1:
        raise FileError(f"{path} holds a CBF image of {slow} x {fast} pixels, expected one frame of some pixels")
    name = fields.get("x-binary-element-type", "signed 32-bit integer")
    if name not in _DTYPES:
        raise FileError(f"{path} holds elements of type {name!r}, which crystint does not read")
    return CbfHeader(
        text=text,
        shape=(slow, fast),
        dtype=_DTYPES[name],
        compression=fields.get("conversions", ""),
        size=size,
        md5=fields.get("content-md5"),
        start=at + len(_START),
    )


def _most_bytes(header: CbfHeader) -> int:
    """Bytes of a file up to the end of its image, at most: a pixel takes 15 bytes of byte offsets at most."""
    pixels = header.shape[0] * header.shape[1]
    return header.start + (15 * pixels if header.size is None else max(header.size, 0))


def _image(path: Path, packed: bool) -> tuple[bytes, CbfHeader, int]:
    """Content of a file, its header, and where its binary section ends.

    Raises
    ------
    FileError
        When it is damaged, holds no image, or less bytes of it than its header tells.
    """
    content = unpacked(path, _most_bytes(read_cbf_header(path)) if packed else None)
    header = _parse(path, content)
    there = len(content) - header.start
    if header.size is None:
        return content, header, len(content)
    if there < header.size:
        raise FileError(f"{path} is truncated: its image has {there} of {header.size} bytes")
    return content, header, header.start + max(header.size, 0)


def _is_packed(path: Path) -> bool:
    with open_as_it_is(path) as stream:
        return bool(packing_of(stream.read(3)))


def wrong_sum_of(path: Path) -> tuple[int, str]:
    """Bytes of the image of a CBF file, and what is wrong with their MD5 sum; empty = nothing.

    Raises
    ------
    FileError
        When the file is missing, damaged in another way, or has no MD5 sum.
    """
    content, header, stop = _image(path, _is_packed(path))
    if not header.md5:
        raise FileError(f"{path} has no checksum: the header of its image has no Content-MD5")
    image = memoryview(content)[header.start : stop]
    md5 = base64.b64encode(hashlib.md5(image, usedforsecurity=False).digest()).decode()
    return len(image), "" if md5 == header.md5 else f"MD5 sum of its image {md5}, expected {header.md5}"


class CbfReader:
    """The one frame of a CBF file."""

    count = 1

    def __init__(self, path: Path) -> None:
        self._path, self._packed = path, _is_packed(path)

    @cached_property
    def header(self) -> CbfHeader:
        """The header; read lazily."""
        return read_cbf_header(self._path)

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of the frame."""
        return self.header.dtype

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The frame, after checks of the lengths of its image; not of its MD5 sum.

        Raises
        ------
        FileError
            When the file is truncated or damaged.
        """
        content, header, stop = _image(self._path, self._packed)
        self.header = header
        pixels = header.shape[0] * header.shape[1]
        if pixels > stop - header.start:  # each takes a byte or more
            raise FileError(f"{self._path} is truncated: {stop - header.start} bytes are there for {pixels} pixels")
        if header.compression.lower() == "x-cbf_byte_offset":
            if header.dtype == np.int32 and runs_are_long(content, header.start, stop):
                return self._decoded(content, header, stop, out)
            values = self._by_fabio(content[header.start : stop], header)
        elif header.compression.lower() in ("", "x-cbf_none"):
            size = header.dtype.itemsize
            count = min(pixels, (stop - header.start) // size)
            stored = np.frombuffer(content, header.dtype.newbyteorder("<"), count, header.start)
            values = stored.astype(header.dtype)
        else:
            raise FileError(f"{self._path}: crystint does not read the compression {header.compression}")
        self._check_count(values.size, pixels)
        return values.reshape(header.shape)

    def _check_count(self, there: int, pixels: int) -> None:
        if there != pixels:
            raise FileError(f"{self._path} is truncated: {there} of {pixels} pixels are there")

    def _decoded(self, content: bytes, header: CbfHeader, stop: int, out: NDArray[Any] | None) -> NDArray[np.int32]:
        """The pixels of a section, which has nothing after the last one but zeros that fill it up."""
        fits = out is not None and out.shape == header.shape and out.dtype == np.int32 and out.flags.c_contiguous
        frame: NDArray[np.int32] = out if out is not None and fits else np.empty(header.shape, np.int32)
        there, after = decode(content, header.start, stop, frame.reshape(-1))
        self._check_count(there, frame.size)
        if header.size is not None and content[after:stop].strip(b"\0"):
            raise FileError(f"{self._path} is damaged: its image goes on for {stop - after} bytes after the last pixel")
        return frame

    def _by_fabio(self, packed: bytes, header: CbfHeader) -> NDArray[Any]:
        """As `_decoded`, for images of many escapes and of other elements."""
        from fabio.compression import decByteOffset

        # FabIO takes the bytes of a number that is cut off from behind the end: zeros are there, and are missed then
        padded = packed + bytes(_PADDING)
        made = np.asarray(decByteOffset(padded, size=len(padded), dtype=str(header.dtype)))
        pixels = header.shape[0] * header.shape[1]
        values, more = made[:pixels].astype(header.dtype, copy=False), made[pixels:]
        if len(more) < _PADDING:
            self._check_count(made.size - _PADDING, pixels)
        if header.size is not None and (more != made[pixels - 1]).any():
            count = len(more) - _PADDING
            raise FileError(f"{self._path} is damaged: its image goes on for {count} pixels after the last one")
        return values

    def chunk(self, index: int) -> None:
        """None: the format knows no bitshuffle."""

    def source(self, index: int) -> FrameSource:
        """Where that frame is."""
        return FrameSource(str(self._path), 0)

    def geometry(self) -> PartialGeometry:
        """From the axis tables of a full header, else from the mini header."""
        return cbf_geometry(self.header.text, self.shape, str(self._path))

    def scan(self) -> ToldScan:
        """From the axis tables of a full header, else from the mini header."""
        return ToldScan(*cbf_scan(self.header.text, self.shape))

    def instrument(self) -> Instrument:
        """Sensor and names."""
        return cbf_instrument(self.header.text)

    def metadata(self) -> SourceMetadata:
        """The header."""
        return SourceMetadata.of_header(str(self._path), self.header.text)

    def mask(self) -> tuple[None, list[str]]:
        """None: a CBF file marks unusable pixels in the frame itself."""
        return None, []

    def saturation(self) -> float | None:
        """Count_cutoff of the mini header, or the overload of a full one."""
        return cbf_saturation(self.header.text)

    def limits(self) -> FileLimits:
        """Negative values mark pixels: -1 gaps, -2 bad ones."""
        return FileLimits(marks_negative=True)

    def close(self) -> None:
        """Nothing is kept open."""
