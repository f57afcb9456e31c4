"""A part of the raw frames of a series, with a journal beside it: a process that is killed loses no image that was
written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystint.arrays import Bytes
from crystint.errors import FileError
from crystint.io.frame_record import FrameRecord
from crystint.io.outputs import refused
from crystint.io.series.part_file import PartFile, Stack, checksum, read_at
from crystint.run.journal import Journal, journal_of

__all__ = ["RawPart", "working_name"]


def working_name(path: Path) -> Path:
    """The name of a part while it is being written."""
    return path.with_name(path.name + ".part")


class RawPart:
    """A part that is open. When it was open before in a process that was killed, it goes on.

    Its bytes stay where they are: HDF5 puts the same chunks, in the same order, in the same places, so that only what
    HDF5 itself writes is made anew. Where it does not (another version of HDF5, a disk that lost bytes), the chunks
    that are whole are copied.

    Parameters
    ----------
    path : path
        Of the part when it is closed.
    first, rows : int
        Number of its first image, and how many it has room for.
    series : mapping
        What the series is called, JSON-able. A part of another series is refused.

    Raises
    ------
    FileError
        When it cannot be written, or another process writes it.
    """

    def __init__(self, path: Path, first: int, rows: int, series: Mapping[str, Any]) -> None:
        self.path, self.first, self.rows = path, first, rows
        self._series = series
        self._working = working_name(path)
        self._header = {"same": {**series, "first": first, "rows": rows}, "command": []}
        self.recovered = 0
        """images that were in it before"""
        self.lost = 0
        """chunks that the journal has and the disk does not"""
        journal = Journal.open(path, self._header, resume=True)
        try:
            if journal.resumed and self._working.exists():
                self._file, self._journal = self._go_on(journal)
            else:
                if journal.resumed:
                    journal.close(keep=True)
                    journal = Journal.open(path, self._header, resume=False)
                with suppress(FileNotFoundError):
                    self._working.unlink()
                self._file, self._journal = self._begun(self._working), journal
        except OSError as error:
            journal.close(keep=True)
            raise error if isinstance(error, FileError) else refused(path, error) from error
        self.recovered = self._file.count

    def _begun(self, path: Path) -> PartFile:
        return PartFile(path, self.first, self.rows, self._series)

    def _go_on(self, journal: Journal) -> tuple[PartFile, Journal]:
        """With what the journal tells; nothing is written before all of it is checked."""
        records = [dict(FrameRecord.unpack(record).facts) for record in journal.replay()]
        file, whole, same = self._begun(self._working), [], True
        for record in records:
            if "stack" in record:
                file.add_stack(Stack.from_dict(record["stack"]))
                whole.append(record)
                continue
            chunk = read_at(self._working, record["at"], record["size"])
            if len(chunk) != record["size"] or checksum(chunk) != record["sum"]:
                self.lost, same = self.lost + 1, False
                continue
            whole.append(record)
            same = same and record["at"] == file.place(
                record["channel"], record["n"], chunk, record["plain"], stored=True
            )
        if same:
            file.drain()
            return file, journal
        file.abandon()
        return self._copied(whole, journal)

    def _copied(self, records: list[dict[str, Any]], journal: Journal) -> tuple[PartFile, Journal]:
        """The chunks that are whole, in a new file that takes the place of the old one."""
        other = self._working.with_name(self._working.name + ".new")
        with suppress(FileNotFoundError):
            other.unlink()
        file = self._begun(other)
        for record in records:
            if "stack" in record:
                file.add_stack(Stack.from_dict(record["stack"]))
                continue
            chunk = read_at(self._working, record["at"], record["size"])
            record["at"] = file.place(record["channel"], record["n"], chunk, record["plain"])
            file.drain()
        journal.close(keep=True)
        journal = Journal.open(self.path, self._header, resume=False)
        other.replace(self._working)
        for record in records:
            journal.append(_packed(record))
        return file, journal

    def __contains__(self, number: int) -> bool:
        return number in self._file

    @property
    def stacks(self) -> dict[str, Stack]:
        """By channel."""
        return self._file.stacks

    @property
    def count(self) -> int:
        """Images that are in it."""
        return self._file.count

    @property
    def numbers(self) -> list[int]:
        """Of the images that are in it."""
        return self._file.numbers

    def write(self, number: int, chunks: Mapping[str, tuple[Stack, Bytes, bool]]) -> None:
        """Write an image.

        Parameters
        ----------
        number : int
        chunks : mapping
            Of each channel: its stack, its packed frame, and whether that is plain although others are packed.

        Raises
        ------
        FileError
            When the disk does not take it: `dropped` has the images of higher numbers that went with it. Nothing more
            can be written then; `close` it.
        """
        placed = []
        for channel, (stack, chunk, plain) in chunks.items():
            if channel not in self._file.stacks:
                self._file.add_stack(stack)
                self._journal.append(_packed({"stack": stack.to_dict()}))
            placed.append((channel, chunk, plain, self._file.place(channel, number, chunk, plain)))
        try:
            self._file.drain()
            for place, (channel, chunk, plain, at) in enumerate(placed):
                record = {"n": number, "channel": channel, "at": at, "size": len(chunk), "plain": plain}
                self._journal.append(_packed({**record, "sum": checksum(chunk), "images": int(place == 0)}))
        except OSError as error:
            self.dropped = self._file.drop(number)
            raise error if isinstance(error, FileError) else refused(self.path, error) from error

    dropped: list[int] = []  # noqa: RUF012
    """images that went with the one that could not be written"""

    def finish(self, rows: int | None = None) -> None:
        """Write no more images; `save` is to follow, in any thread."""
        self._file.finish(rows)

    def save(self) -> None:
        """Make it safe, and give it its name.

        Raises
        ------
        FileError
            When the disk does not take it. It keeps the name that it has while it is written.
        """
        try:
            self._file.save()
            self._working.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            self._journal.close(keep=True)
            raise refused(self.path, error) from error
        self._journal.close(keep=False)

    def abandon(self) -> None:
        """Leave it as it is, to be gone on with."""
        self._file.abandon()
        self._journal.close(keep=True)

    def discard(self) -> None:
        """Remove it: there is nothing in it."""
        self._file.abandon()
        self._working.unlink(missing_ok=True)
        self._journal.close(keep=False)


def _packed(record: Mapping[str, Any]) -> bytes:
    return FrameRecord(int(record.get("n", -1)), None, record).pack()


def unfinished(path: Path) -> bool:
    """Whether a part of that name was begun and not closed."""
    return working_name(path).exists() and journal_of(path).exists()
