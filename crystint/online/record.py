"""Messages as they came, on disk: a file each, and an index with their times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystint.errors import CrystintError, FileError, unreadable
from crystint.io.outputs import refused
from crystint.online.inlet import Inlet
from crystint.stream import End, Image, Start, read_message

__all__ = ["INDEX", "Recorded", "Recorder", "recorded"]

INDEX = "index.jsonl"
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message on disk."""

    path: Path
    """of its first part, if it has several"""
    time: int
    """ns since 1970-01-01 UTC, when it came"""
    parts: tuple[int, ...]
    """bytes of each, one after the other in the file"""
    kind: str
    """start, image, end, another word, or damaged"""

    def read(self) -> tuple[bytes, ...]:
        """Its parts.

        Raises
        ------
        FileError
            If the file is not there, or has another size.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise unreadable(self.path, error) from None
        if len(data) != sum(self.parts):
            raise FileError(f"{self.path} has {len(data)} bytes, its index says {sum(self.parts)}")
        parts, place = [], 0
        for length in self.parts:
            parts.append(data[place : place + length])
            place += length
        return tuple(parts)


class Recorder:
    """Writes messages into a new folder.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    FileError
        When there is something in the folder, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise FileError(f"{folder} is not empty; name a new folder")
            self._index = (folder / INDEX).open("x", encoding="utf-8")
        except OSError as error:
            raise refused(folder, error) from None
        self.folder = folder
        self.messages = self.images = self.ends = self.damaged = self.bytes = 0

    def write(self, parts: Sequence[Any], came: int) -> None:
        """A message that came at so many ns since 1970.

        Raises
        ------
        FileError
            When it cannot be written.
        """
        described = _described(parts)
        lengths = [memoryview(part).nbytes for part in parts]
        name = f"{self.messages:08d}_{described['kind']:.20}.cbor"
        name = name.replace("/", "_")
        line = {"file": name, "time": came, "parts": lengths, **described}
        try:
            with (self.folder / name).open("xb") as file:
                for part in parts:
                    file.write(part)
            self._index.write(json.dumps(line) + "\n")
            self._index.flush()
        except OSError as error:
            raise refused(self.folder / name, error) from None
        self.messages += 1
        self.bytes += sum(lengths)
        self.images += described["kind"] == "image"
        self.ends += described["kind"] == "end"
        self.damaged += described["kind"] == "damaged"

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def pull(self, addresses: Sequence[str], until: Callable[[], bool], series: int = 0, most: int = 10**10) -> None:
        """Write what comes from addresses.

        Parameters
        ----------
        addresses : sequence of str
            Where detectors are bound.
        until : callable
            True = stop.
        series : int
            Ends of series after which it stops; 0 = none.
        most : int
            Bytes after which it stops.

        Raises
        ------
        SettingError
            When an address is none.
        FileError
            When something cannot be written.
        """
        with Inlet(addresses) as inlet:
            while True:
                for parts, came in inlet.receive(_POLL):
                    self.write(parts, came)
                    if self.bytes >= most or (series and self.ends >= series):
                        return
                if until():
                    return


def _described(parts: Sequence[Any]) -> dict[str, Any]:
    """What a message is, for its line of the index."""
    try:
        message = read_message(parts)
    except CrystintError as error:
        return {"kind": "damaged", "error": str(error)[:200]}
    kind = "start" if isinstance(message, Start) else "image" if isinstance(message, Image) else "end"
    if not isinstance(message, Start | Image | End):
        kind = "other"
    described: dict[str, Any] = {"kind": kind}
    if message.series is not None:
        described |= {"series": message.series.id, "unique_id": message.series.unique_id}
    if isinstance(message, Image):
        described["image"] = message.number
    return described


def recorded(folder: Path) -> Iterator[Recorded]:
    """The messages of a folder, in their order.

    Raises
    ------
    FileError
        When it is no record.
    """
    path = folder / INDEX
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise FileError(f"{path} is no index of recorded messages") from None
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            name, parts = str(values["file"]), tuple(int(length) for length in values["parts"])
            if name != Path(name).name:
                raise ValueError("a file elsewhere")
            yield Recorded(folder / name, int(values["time"]), parts, str(values["kind"]))
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                return  # cut off in the middle of a line
            raise FileError(f"{path}: line {number} is no message of a record") from None
