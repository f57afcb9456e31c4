"""Parts of a run: each does some of the frames, on whatever machine, and `merge_parts` makes one result of them.

A part opens the whole sequence of frames, so that all that depends on its beginning (geometry, masks, which values are
measurements, the mask of the first frame) is the same in all parts. It writes one file, ``NAME.part-003-of-100.h5``,
with its own journal beside it; nothing is shared while parts run, and none waits for another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystint.errors import FileError, warn
from crystint.io.hdf5.provenance import differences
from crystint.io.outputs import journal_of
from crystint.io.part_file import PartFile
from crystint.run.outcome import listed
from crystint.run.part import Part

__all__ = ["Parts", "resolved"]


@dataclass(frozen=True, eq=False)
class Parts:
    """All parts of a run, in order, checked: none is missing, none is there twice."""

    files: tuple[PartFile, ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Parts:
        """Open them.

        Raises
        ------
        FileError
            When one is no part, is of another run, is there twice, or is missing; by number and name.
        """
        files = sorted(map(PartFile, paths), key=lambda file: (file.header["part"]["number"], str(file.path)))
        first = files[0]
        for file in files[1:]:
            _alike(first, file)
        of = first.header["part"]["of"]
        names: dict[int, Path] = {}
        for file in files:
            part = file.header["part"]
            if part["number"] in names:
                raise FileError(f"{_named(part)} is there twice: {names[part['number']]} and {file.path}")
            names[part["number"]] = file.path
            if len(file) != part["stop"] - part["start"] and not file.header["joined"]:
                raise FileError(f"{file.path} is damaged: {len(file)} records of {_named(part)}")
        lacking = [number for number in range(of) if number not in names]
        if lacking:
            raise FileError(_lacking(first, lacking, of))
        end = 0
        for file in files:
            part = file.header["part"]
            if part["start"] != end:
                raise FileError(f"{file.path}: {_named(part)} does not begin at {end}, where the one before it ends")
            end = part["stop"]
        if end != first.header["part"]["total"]:
            raise FileError(f"{files[-1].path} ends at {end} of {first.header['part']['total']}")
        return cls(tuple(files))

    @property
    def header(self) -> dict[str, Any]:
        """Of the first: what all have in common."""
        return self.files[0].header

    @property
    def device(self) -> str:
        """That the frames were worked on with."""
        return str(self.header["same"]["device"])

    @property
    def missing(self) -> dict[int, str]:
        """Frames that could not be read, and why."""
        return {int(number): why for file in self.files for number, why in file.header["missing"].items()}

    def check(self, same: Mapping[str, Any]) -> None:
        """Raise FileError unless they are of a run with this fingerprint."""
        changes = differences(_but_device(self.header["same"]), _but_device(same))
        if changes:
            raise FileError(f"{self.files[0].path} belongs to another run: {changes}. Inputs must be as they were")

    def records(self, numbers: range) -> Iterator[bytes]:
        """Those of some numbers, in order."""
        for file in self.files:
            start, stop = file.header["part"]["start"], file.header["part"]["stop"]
            yield from file.records(max(numbers.start, start) - start, min(numbers.stop, stop) - start)

    def record(self, number: int) -> bytes:
        """That of a number."""
        for file in self.files:
            part = file.header["part"]
            if part["start"] <= number < part["stop"]:
                return file.record(number - part["start"])
        raise IndexError(number)


def _named(part: Mapping[str, Any]) -> str:
    """ "part 3 of 100 (frames 30 to 39)"."""
    name = str(Part(part["number"], part["of"]))
    frames = range(part["start"] * part["block"], min(part["stop"] * part["block"], part["frames"]))
    return f"{name} (frames {frames.start} to {frames.stop - 1})" if frames else f"{name} (no frame)"


def _but_device(same: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in same.items() if name != "device"}


def _alike(one: PartFile, other: PartFile) -> None:
    """Raise unless two parts are of one run; devices may differ, which is told."""
    of, mine = one.header["part"]["of"], other.header["part"]["of"]
    if of != mine:
        raise FileError(f"{one.path} is one of {of} parts, {other.path} one of {mine}: the parts of one run are wanted")
    changes = differences(_but_device(one.header["same"]), _but_device(other.header["same"]))
    if changes:
        raise FileError(f"{one.path} and {other.path} are of different runs: {changes}")
    devices = one.header["same"]["device"], other.header["same"]["device"]
    if devices[0] != devices[1]:
        warn(
            f"{other.path} was made with {devices[1]}, {one.path} with {devices[0]}: the last digits of what they "
            "found may differ"
        )


def _lacking(first: PartFile, numbers: Sequence[int], of: int) -> str:
    """Which parts are missing, and what to do."""
    part = first.header["part"]
    named = [Part(number, of) for number in numbers]
    frames = named[0].numbers(part["total"])
    start, stop = frames.start * part["block"], min(frames.stop * part["block"], part["frames"])
    stem = re.sub(r"\.part-\d+-of-\d+$", "", first.path.stem)
    begun = [each for each in named if journal_of(each.path(first.path.with_name(f"{stem}.h5"))).exists()]
    text = (
        f"{'part' if len(numbers) == 1 else 'parts'} {listed(numbers)} of {of} {'is' if len(numbers) == 1 else 'are'}"
    )
    text += f" missing (frames {start} to {stop - 1}{', ...' if len(numbers) > 1 else ''}): run the command again with "
    text += f"--part {numbers[0]}/{of}"
    if begun:
        text += f"; {', '.join(str(each.number) for each in begun[:3])} began: --resume goes on with it"
    return text


def resolved(name: str, folder: str) -> str:
    """A name as it was given where that names the same file from here, else as it stands in its folder."""
    whole = os.path.join(folder, name)
    return name if os.path.realpath(whole) == os.path.realpath(name) else whole
