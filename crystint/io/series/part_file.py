"""A file of raw frames in the making: packed chunks of a detector as they came, without packing them anew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import hdf5plugin
import numpy as np

from crystint import __version__
from crystint.arrays import Bytes
from crystint.io.hdf5.deferred import DeferredFile
from crystint.io.hdf5.files import group, put
from crystint.io.hdf5.filters import BITSHUFFLE, HEADER, LZ4
from crystint.io.nxmx import as_images
from crystint.model.valid_values import ValidValues

__all__ = ["PartFile", "Stack", "checksum", "data_path"]

_OPTIONS: dict[int, Any] = {0: {}, BITSHUFFLE: hdf5plugin.Bitshuffle(cname="lz4"), LZ4: hdf5plugin.LZ4()}
_ABSENT = -1


def data_path(channel: str, first: bool) -> str:
    """Where the frames of a channel stand in all files of a series; those of the first one where programs look."""
    return "/entry/data/data" if first else f"/entry/data_{channel.replace('/', '_')}/data"


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The frames of a channel."""

    channel: str
    path: str
    """of the data set, see `data_path`"""
    shape: tuple[int, int]
    """(slow, fast)"""
    dtype: np.dtype[Any]
    """native"""
    packing: int
    """number of the one filter: 32008 bitshuffle with LZ4, 32004 LZ4, 0 none"""
    fill: int
    """what pixels of frames that never came hold: no measurement"""

    @classmethod
    def of(
        cls, channel: str, first: bool, shape: tuple[int, int], dtype: Any, packing: int, valid: ValidValues
    ) -> Self:
        """Of frames that are packed so; `valid` says which value marks what is no measurement."""
        native = np.dtype(dtype).newbyteorder("=")
        return cls(channel, data_path(channel, first), shape, native, packing, int(valid.marker(native)))

    @property
    def nbytes(self) -> int:
        """Of a frame."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def takes(self, chunk: Bytes, plain: bool) -> bool:
        """Whether a frame, plain or packed, has the length that it should have, as far as its header tells."""
        if plain:
            return len(chunk) == self.nbytes
        return len(chunk) >= HEADER and int.from_bytes(chunk[:8].tobytes(), "big") == self.nbytes

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` is the inverse."""
        return {
            "channel": self.channel, "path": self.path, "shape": list(self.shape), "dtype": self.dtype.str,
            "packing": self.packing, "fill": self.fill,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave."""
        slow, fast = values["shape"]
        dtype = np.dtype(values["dtype"])
        return cls(values["channel"], values["path"], (slow, fast), dtype, values["packing"], values["fill"])

    def group(self, file: h5py.File) -> h5py.Group:
        """Its NXdata group, made if it is not there."""
        place, _, name = self.path.rpartition("/")
        data = file.get(place)
        return group(file, place, "NXdata", signal=name, channel=self.channel) if data is None else data


class PartFile:
    """Images `first` to `first + rows - 1` of a series, a row each. All methods are for one thread.

    HDF5's lock is held for moments only: the bytes go to the disk outside it (`DeferredFile`).

    Parameters
    ----------
    path : path
        The file while it is being written.
    first, rows : int
    series : mapping
        Of attributes of the entry: what the series is called.
    """

    def __init__(self, path: Path, first: int, rows: int, series: Mapping[str, Any]) -> None:
        self.first, self.rows = first, rows
        self._target = DeferredFile(path)
        self._stacks: dict[str, tuple[Stack, h5py.Dataset]] = {}
        self._numbers = np.full(rows, _ABSENT, np.int64)
        try:
            self._file = h5py.File(self._target, "w")
            for key, value in (("NX_class", "NXroot"), ("creator", "crystint"), ("creator_version", __version__)):
                self._file.attrs[key] = value
            entry = group(self._file, "entry", "NXentry", default="data")
            for key, value in series.items():
                entry.attrs[key] = value
        except BaseException:
            self._target.close()
            raise

    @property
    def stacks(self) -> dict[str, Stack]:
        """By channel."""
        return {channel: stack for channel, (stack, _) in self._stacks.items()}

    def __contains__(self, number: int) -> bool:
        return 0 <= number - self.first < self.rows and bool(self._numbers[number - self.first] != _ABSENT)

    @property
    def count(self) -> int:
        """Images that are in it."""
        return int(np.count_nonzero(self._numbers != _ABSENT))

    @property
    def numbers(self) -> list[int]:
        """Of the images that are in it."""
        return [int(number) for number in self._numbers[self._numbers != _ABSENT]]

    def add_stack(self, stack: Stack) -> None:
        """Make room for the frames of a channel."""
        frames = stack.group(self._file).create_dataset(
            "data",
            shape=(self.rows, *stack.shape),
            maxshape=(None, *stack.shape),
            chunks=(1, *stack.shape),
            dtype=stack.dtype,
            fillvalue=stack.fill,
            **_OPTIONS[stack.packing],
        )
        as_images(frames)
        self._stacks[stack.channel] = stack, frames

    def place(self, channel: str, number: int, chunk: Bytes, plain: bool = False, stored: bool = False) -> int:
        """Tell HDF5 of a packed frame; it is in the file after `drain`.

        Parameters
        ----------
        channel : str
        number : int
            Of the image in its series.
        chunk : uint8 [n]
            Contiguous; must not change until it is drained.
        plain : bool
            It is not packed, although the others are.
        stored : bool
            Its bytes are in the file already, where HDF5 is expected to put them.

        Returns
        -------
        int
            Where in the file it belongs.
        """
        _, frames = self._stacks[channel]
        self._target.expect(chunk, stored)
        frames.id.write_direct_chunk((number - self.first, 0, 0), chunk, 1 if plain else 0)
        if self._target.placed is None:
            raise OSError(f"HDF5 did not place a chunk of {len(chunk)} bytes")
        self._numbers[number - self.first] = number
        return self._target.placed

    def drain(self) -> None:
        """Write to the disk what was placed.

        Raises
        ------
        OSError
            When the disk does not take it: `drop` it then.
        """
        self._target.drain()

    def drop(self, number: int) -> list[int]:
        """Take an image out, and with it those of higher numbers, as HDF5 takes out no others.

        Returns
        -------
        list of int
            Numbers of these others.
        """
        row = number - self.first
        for stack, frames in self._stacks.values():
            frames.resize((row, *stack.shape))
            frames.resize((self.rows, *stack.shape))
        lost = [other for other in self.numbers if other > number]
        self._numbers[row:] = _ABSENT
        return lost

    def finish(self, rows: int | None = None) -> None:
        """Close the file for HDF5; what that wants written is written by `save`.

        Parameters
        ----------
        rows : int, optional
            There are fewer images than were expected.
        """
        rows = self.rows if rows is None else rows
        for stack, frames in self._stacks.values():
            if rows != self.rows:
                frames.resize((rows, *stack.shape))
            frames.attrs["image_nr_low"] = np.int64(self.first + 1)
            frames.attrs["image_nr_high"] = np.int64(self.first + rows)
            made = put(frames.parent, "image_id", self._numbers[:rows])
            made.attrs["long_name"] = "number of the image in its series, from 0; -1 = it never came"
        self._stacks = {}
        self._file.close()

    def save(self) -> None:
        """Write the rest, wait until the disk has it, and close the file.

        Raises
        ------
        OSError
            When the disk does not take it.
        """
        try:
            self._target.drain()
            self._target.sync()
        finally:
            self._target.close()

    def abandon(self) -> None:
        """Close without writing anything more."""
        self._stacks = {}
        with suppress(OSError, RuntimeError, ValueError):
            self._file.close()
        with suppress(OSError):
            self._target.close()


def checksum(chunk: Bytes) -> int:
    """Of a chunk: sum of its 8-byte words, modulo 2^64. Tells bytes that a disk never got, in a tenth of the time that
    CRC-32 takes."""
    whole = len(chunk) // 8 * 8
    words = int(np.add.reduce(np.frombuffer(chunk[:whole].data, "<u8"), dtype=np.uint64)) if whole else 0
    return (words + int.from_bytes(chunk[whole:].tobytes(), "little")) % 2**64


def read_at(path: Path, at: int, size: int) -> Bytes:
    """Bytes of a file, uint8 [size or fewer]."""
    file = os.open(path, os.O_RDONLY)
    try:
        return np.frombuffer(os.pread(file, size, at), np.uint8)
    finally:
        os.close(file)
