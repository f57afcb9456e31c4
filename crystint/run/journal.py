"""A journal beside an output: what is done already, so that a run that was killed can be resumed.

The file begins with a line that names it; then come records: length (uint32), CRC-32 (uint32), bytes. The first record
is a header in JSON. Records are only ever appended, with plain writes, which survive a process that is killed; one that
is incomplete or corrupt fails its length or its CRC and is cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from struct import Struct
from typing import Any, Self

from crystint.errors import FileError, unreadable
from crystint.io.hdf5.provenance import differences
from crystint.io.outputs import journal_of, mode_of, refused, remove_leftovers

__all__ = ["Journal", "check_free", "header_of", "journal_of", "records_in"]

_MAGIC = b"crystint journal 1\n"
_FRAME = Struct("<II")


def records_in(output: Path) -> int:
    """How many frames the journal of an output holds, by their lengths; 0 when there is none.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    path = journal_of(output)
    try:
        with FileIO(path) as file:
            size, at = os.fstat(file.fileno()).st_size, len(_MAGIC)
            header = _read(file, at)
            block = 1 if header is None else int(json.loads(header).get("block", 1))
            count = -1  # the header
            while at + _FRAME.size <= size:
                length, _ = _FRAME.unpack(os.pread(file.fileno(), _FRAME.size, at))
                at += _FRAME.size + length
                count += at <= size
            return max(count, 0) * block
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise unreadable(path, error) from error


def _read(file: FileIO, at: int) -> bytes | None:
    """The record that begins at a place; None when there is no whole one."""
    head = os.pread(file.fileno(), _FRAME.size, at)
    if len(head) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(head)
    if at + _FRAME.size + length > os.fstat(file.fileno()).st_size:
        return None
    record = os.pread(file.fileno(), length, at + _FRAME.size)
    return record if len(record) == length and zlib.crc32(record) == checksum else None


def header_of(output: Path) -> dict[str, Any] | None:
    """What the run that began the journal of an output was given; None where there is no journal."""
    try:
        with FileIO(journal_of(output)) as file:
            header = _read(file, len(_MAGIC))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(journal_of(output), error) from error
    return None if header is None else dict(json.loads(header))


class Journal:
    """The journal of one run, locked against others. Made by `Journal.open`; `close` it.

    Attributes
    ----------
    header : dict
        What the run that began it was given.
    resumed : bool
        Whether it was there before.
    """

    def __init__(self, output: Path, file: FileIO, header: Mapping[str, Any], end: int) -> None:
        self._output, self._file, self._end = output, file, end
        self.header = header
        self._starts = array("q")  # where each record begins
        self.resumed = end > 0

    @property
    def count(self) -> int:
        """Records behind the header, as far as they were read or written."""
        return len(self._starts)

    @classmethod
    def open(cls, output: Path, header: Mapping[str, Any], *, resume: bool) -> Self:
        """Begin a journal, or resume the one that is there.

        Temporary files that a killed run left beside the output are removed: the lock says that no process writes them.

        Parameters
        ----------
        output : path
        header : mapping
            JSON-able. ``header["same"]``, a mapping, must be the same when a journal is gone on with.
        resume : bool
            False = begin anew, whatever is there.

        Raises
        ------
        FileError
            When another run has it, it cannot be written, or belongs to a run with other settings or inputs.
        """
        file = _locked(output)
        try:
            size = os.fstat(file.fileno()).st_size
            started = os.pread(file.fileno(), len(_MAGIC), 0) if size else b""
            if started != _MAGIC[: len(started)]:
                raise FileError(f"{journal_of(output)} is no journal of this version of crystint; remove or rename it")
            old = _read(file, len(_MAGIC)) if resume else None
            remove_leftovers(output)
            if old is None:
                os.ftruncate(file.fileno(), 0)
                made = cls(output, file, header, 0)
                made._write(_MAGIC, json.dumps(header).encode())
                return made
            stored = json.loads(old)
            _same(journal_of(output), stored["same"], json.loads(json.dumps(header["same"])))
            return cls(output, file, stored, len(_MAGIC) + _FRAME.size + len(old))
        except OSError as error:
            file.close()
            if isinstance(error, FileError):
                raise
            raise refused(output, error) from error
        except BaseException:
            file.close()
            raise

    def replay(self) -> Iterator[bytes]:
        """The records that are there, one after the other. What follows the last whole one is cut off."""
        while (record := _read(self._file, self._end)) is not None:
            self._starts.append(self._end)
            self._end += _FRAME.size + len(record)
            yield record
        os.ftruncate(self._file.fileno(), self._end)

    def append(self, record: bytes) -> None:
        """Add a record, after those of `replay`.

        Raises
        ------
        FileError
            When the disk is full, or the file cannot be written for another reason. What was there before is kept.
        """
        start = self._end
        self._write(b"", record)
        self._starts.append(start)

    def read(self, number: int) -> bytes:
        """A record that was read or written before, the first being 0.

        Raises
        ------
        FileError
            When it cannot be read any more.
        """
        record = _read(self._file, self._starts[number])
        if record is None:
            raise FileError(f"{journal_of(self._output)} was changed while the run goes on: record {number} is damaged")
        return record

    def _write(self, before: bytes, record: bytes) -> None:
        whole = b"".join([before, _FRAME.pack(len(record), zlib.crc32(record)), record])
        done = 0
        try:
            while done < len(whole):
                done += os.pwrite(self._file.fileno(), memoryview(whole)[done:], self._end + done)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), self._end)
            raise refused(self._output, error) from error
        self._end += len(whole)

    def close(self, *, keep: bool) -> None:
        """Close the file, and remove it unless it is to be kept."""
        if not keep:
            journal_of(self._output).unlink(missing_ok=True)
        self._file.close()


def check_free(output: Path) -> None:
    """Raise FileError when another run has the journal of an output."""
    with suppress(FileNotFoundError):
        file = FileIO(journal_of(output), "r+")
        with file:
            _lock(file, output)


def _lock(file: FileIO, output: Path) -> None:
    """Lock a journal until it is closed."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(f"{output} is being written by another run, which holds {journal_of(output)}") from None
    except OSError:
        pass  # a file system without locks


def _locked(output: Path) -> FileIO:
    """The file of a journal, made if need be, and locked."""
    path = journal_of(output)
    while True:
        try:
            mode = mode_of(output)  # the journal holds what the output will hold
            mode = 0o666 if mode is None else mode | stat.S_IRUSR | stat.S_IWUSR
            file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, mode), "r+")
        except OSError as error:
            raise refused(path, error) from error
        try:
            _lock(file, output)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            file.close()
        except FileNotFoundError:
            file.close()  # the other run has just ended and removed it
        except BaseException:
            file.close()
            raise


def _same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise unless a run is the one that the journal belongs to; the differences are listed."""
    changes = differences(old, new)
    if changes:
        raise FileError(f"{path} belongs to another run: {changes}. Run as before to continue it, or --overwrite it")
