"""Crystallographic binary files (CBF): header, checks of completeness, and the decoded frame.

The layout of the binary section follows the imgCIF dictionary, International Tables for Crystallography G,
chapter 2.3; the mini header follows DECTRIS, "Pilatus CBF header specification" 1.4. FabIO decodes the byte
offsets.
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
from crystint.io.frames.readers import FrameSource, ToldScan
from crystint.io.geometry.cbf import cbf_geometry, cbf_saturation
from crystint.io.geometry.cbf_scan import cbf_instrument, cbf_scan
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import FileLimits

__all__ = ["CbfReader", "read_cbf_header"]

_START = b"\x0c\x1a\x04\xd5"
_LONGEST_HEADER = 1 << 24
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


class CbfReader:
    """The one frame of a CBF file."""

    count = 1

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_as_it_is(path) as stream:
            self._packed = bool(packing_of(stream.read(3)))

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
        """The frame, after checks of its length and of its MD5 sum where the file has one.

        Raises
        ------
        FileError
            When the file is truncated or damaged.
        """
        path = self._path
        most = None if not self._packed else _most_bytes(read_cbf_header(path))
        content = unpacked(path, most)
        header = self.header = _parse(path, content)
        packed = content[header.start :]
        if header.size is not None:
            if len(packed) < header.size:
                raise FileError(f"{path} is truncated: its image has {len(packed)} of {header.size} bytes")
            packed = packed[: header.size]
            if header.md5:
                md5 = base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode()
                if md5 != header.md5:
                    raise FileError(f"{path} is damaged: MD5 sum of its image {md5}, expected {header.md5}")
        return self._decode(packed, header)

    def _decode(self, packed: bytes, header: CbfHeader) -> NDArray[Any]:
        pixels = header.shape[0] * header.shape[1]
        if pixels > len(packed):  # each takes a byte or more
            raise FileError(f"{self._path} is truncated: {len(packed)} bytes are there for {pixels} pixels")
        if header.compression.lower() == "x-cbf_byte_offset":
            values = self._byte_offset(packed, header)
        elif header.compression.lower() in ("", "x-cbf_none"):
            size = header.dtype.itemsize
            whole = packed[: min(pixels * size, len(packed) // size * size)]
            values = np.frombuffer(whole, dtype=header.dtype.newbyteorder("<")).astype(header.dtype)
        else:
            raise FileError(f"{self._path}: crystint does not read the compression {header.compression}")
        if values.size != pixels:
            raise FileError(f"{self._path} is truncated: {values.size} of {pixels} pixels are there")
        return values.reshape(header.shape)

    def _byte_offset(self, packed: bytes, header: CbfHeader) -> NDArray[Any]:
        """The pixels of a section, which has nothing after the last one but zeros that fill it up."""
        from fabio.compression import decByteOffset

        pixels = header.shape[0] * header.shape[1]

        def decode(most: int) -> NDArray[Any]:
            made = decByteOffset(packed, size=most, dtype=str(header.dtype))  # lets other threads run
            return np.asarray(made).astype(header.dtype, copy=False)

        values = decode(pixels + (header.size is not None))
        if values.size > pixels:
            more = decode(len(packed))[pixels:]
            if (more != values[pixels - 1]).any():
                raise FileError(f"{self._path} is damaged: its image goes on for {more.size} pixels after the last one")
        return values[:pixels]

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
