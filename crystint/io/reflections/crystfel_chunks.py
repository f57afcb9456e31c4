"""The text of CrystFEL streams, taken apart: header, chunks, crystals, reflections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, unreadable, warn
from crystint.io.reflections.crystfel_geometry import StreamGeometry
from crystint.model.plausible import implausible
from crystint.units import energy_of, wavelength_of

__all__ = ["StreamReader"]

_COLUMNS = ["h", "k", "l", "I", "sigma(I)", "peak", "background", "fs/px", "ss/px"]
_PEAKS = ["fs/px", "ss/px", "(1/d)/nm^-1", "Intensity"]
_NAMED = 5
"""crystals that are named one by one"""
_NEXT = "----- Begin chunk"
_NUMBER = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"


def _is_energy(value: float) -> bool:
    """Whether a photon can have that energy, eV."""
    return bool(value > 0.0) and not implausible("wavelength", wavelength_of(value))


class StreamReader:
    """Crystals of a stream as dictionaries, and a table of reflections for each.

    A table is numbers [n, 9], h k l I sigma peak background fs ss, and panels [n]: -1 = unknown, -2 = not named.
    With `images`, chunks are remembered as well, each with the table of its peak list, fs ss 1/d I, under "peaks"; a
    crystal has the number of its chunk under "image". Then a stream without a crystal, or without energies, will do.
    """

    def __init__(self, path: Path, geometry_file: Path | None, *, images: bool = False) -> None:
        self.path, self.geometry_file = path, geometry_file
        self.geometry: StreamGeometry | None = None
        self.no_parser: ImportError | None = None
        """why there is a geometry that was not read"""
        self.crystals: list[dict[str, Any]] = []
        self.tables: list[tuple[NDArray[np.float64], NDArray[np.intp]]] = []
        self.images: list[dict[str, Any]] | None = [] if images else None
        self.blank = 0
        self._embedded = ""
        self._again = False

    def read(self, file: Iterator[str]) -> None:
        """Read all of an open stream.

        Raises
        ------
        FileError, GeometryError
            As `read_stream`.
        """
        first = next(file, "")
        if not first.startswith("CrystFEL stream format"):
            raise FileError(f"{self.path} is no CrystFEL stream: it begins {first[:40]!r}")
        if self.geometry_file is not None:
            try:
                text = self.geometry_file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise unreadable(self.geometry_file, error) from error
            self._parse(text, self.geometry_file)
        cut = 0
        for line in file:
            if line.startswith("----- Begin geometry file"):
                lines = []
                for line in file:
                    if line.startswith("----- End geometry file"):
                        break
                    lines.append(line)
                self._embed("".join(lines))
            elif line.startswith("----- Begin chunk"):
                self._again = True
                while self._again:
                    self._again = False
                    cut += not self._chunk(file)
        if cut:
            warn(f"{self.path}: {cut} chunks are cut off; what they had in full is kept")
        if self.images:
            return
        if not self.crystals:
            raise FileError(f"{self.path} has no crystals in its {self.blank} chunks; index the images first")
        self._settle_energies()

    def _settle_energies(self) -> None:
        """Give crystals whose chunk names no photon energy that of the geometry, and leave out those without any."""
        wavelength = None if self.geometry is None else self.geometry.wavelength
        stand_in = np.nan if wavelength is None else energy_of(wavelength)
        for crystal in self.crystals:
            crystal.setdefault("energy", stand_in)
        good = [_is_energy(crystal["energy"]) for crystal in self.crystals]
        if all(good):
            return
        bad = [crystal for crystal, fine in zip(self.crystals, good, strict=True) if not fine]
        names = ", ".join(f"{crystal.get('file', 'image')}{crystal['event']}" for crystal in bad[:_NAMED])
        names += f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        if self.geometry_file is not None and _is_energy(stand_in):
            for crystal in bad:
                crystal["energy"] = stand_in
            warn(f"{self.path}: crystals without a possible photon energy have that of {self.geometry_file}: {names}")
            return
        if not any(good):
            raise FileError(
                f"{self.path}: none of its {len(good)} crystals has a possible photon energy (photon_energy_eV); give "
                "a geometry, -g, with a line such as photon_energy = 9000 eV"
            )
        warn(f"{self.path}: crystals without a possible photon energy are left out: {names}")
        self.crystals = [crystal for crystal, fine in zip(self.crystals, good, strict=True) if fine]
        self.tables = [table for table, fine in zip(self.tables, good, strict=True) if fine]

    def _embed(self, text: str) -> None:
        """The geometry of the stream; several streams in one file have it several times."""
        if self.geometry_file is not None or text == self._embedded:
            return
        if self._embedded:
            raise FileError(f"{self.path} holds several geometries; split it, or give one .geom for all of it")
        self._embedded = text
        self._parse(text, self.path)

    def _parse(self, text: str, path: Path) -> None:
        try:
            self.geometry = StreamGeometry.parse(text, path)
        except ImportError as error:
            self.no_parser = error

    def _chunk(self, file: Iterator[str]) -> bool:
        """One chunk with its crystals; False where the file ends in it."""
        chunk: dict[str, Any] = {"serial": len(self.crystals) + 1, "event": "", "length": np.nan, "bandwidth": 0.0}
        if self.images is not None:
            chunk["image"] = len(self.images)
            self.images.append(chunk)
        has_crystal = False
        for line in file:
            if line.startswith("----- End chunk"):
                self.blank += not has_crystal
                return True
            if line.startswith("--- Begin crystal"):
                if not self._crystal(file, chunk):
                    return False
                has_crystal = True
            elif line.startswith(_NEXT):
                self._again = True
                return False
            elif self.images is not None and line.startswith("Peaks from peak search"):
                block = self._block(file, "End of peak list")
                if block is None:
                    return False
                chunk["peaks"] = self._table(block, _PEAKS)
            elif line.startswith("Image filename:"):
                chunk["file"] = line.split(":", 1)[1].strip()
            elif line.startswith("Event:"):
                chunk["event"] = line.split(":", 1)[1].strip()
            elif line.startswith("Image serial number:"):
                chunk["serial"] = int(line.split(":", 1)[1])
            elif line.startswith("photon_energy_eV ="):
                value = re.match(rf"photon_energy_eV = {_NUMBER}", line)
                chunk["energy"] = float(value[1]) if value else np.nan
            elif value := re.match(rf"average_camera_length = {_NUMBER}", line):
                chunk["length"] = float(value[1])
            elif value := re.match(rf"beam_bandwidth = {_NUMBER}", line):
                chunk["bandwidth"] = float(value[1])
        return False

    def _crystal(self, file: Iterator[str], chunk: dict[str, Any]) -> bool:
        """One crystal, with its reflections where it has them; False, and nothing kept, where the file ends."""
        crystal: dict[str, Any] = {**chunk, "shift": (0.0, 0.0), "lattice": "triclinic", "centering": "P"}
        table: tuple[NDArray[np.float64], NDArray[np.intp]] = np.zeros((0, 9)), np.zeros(0, dtype=np.intp)
        for line in file:
            if line.startswith("--- End crystal"):
                missing = [name for name in ("astar", "bstar", "cstar") if name not in crystal]
                if missing:
                    warn(f"{crystal.get('file', 'a chunk')}: a crystal without {', '.join(missing)} is left out")
                    return True
                self.crystals.append(crystal)
                self.tables.append(table)
                return True
            if line.startswith("Reflections measured"):
                block = self._block(file, "End of reflections")
                if block is None:
                    return False
                table = self._table(block)
            elif line.startswith(_NEXT):
                self._again = True
                return False
            elif value := re.match(rf"([abc]star) = {_NUMBER} {_NUMBER} {_NUMBER} nm\^-1", line):
                crystal[value[1]] = [0.1 * float(number) for number in value.groups()[1:]]
            elif value := re.match(rf"profile_radius = {_NUMBER} nm", line):
                crystal["radius"] = 0.1 * float(value[1])
            elif value := re.match(rf"predict_refine/det_shift x = {_NUMBER} y = {_NUMBER} mm", line):
                crystal["shift"] = 1e-3 * float(value[1]), 1e-3 * float(value[2])
            elif value := re.match(r"(lattice_type|centering) = (\S+)", line):
                crystal["lattice" if value[1] == "lattice_type" else "centering"] = value[2]
        return False

    def _block(self, file: Iterator[str], end: str) -> list[str] | None:
        """The lines of a list of reflections or peaks; None where it is cut off."""
        block: list[str] = []
        for line in file:
            if line.startswith(end):
                return block
            if line.startswith(_NEXT):
                self._again = True
                return None
            block.append(line)
        return None

    def _table(
        self, block: list[str], columns: Sequence[str] = _COLUMNS
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Numbers [n, columns], and panels; -2 where the stream does not name them."""
        if not block:
            return np.zeros((0, len(columns))), np.zeros(0, dtype=np.intp)
        what = "peaks" if columns is _PEAKS else "reflections"
        names = block[0].split()
        if any(name not in names for name in columns):
            raise FileError(
                f"{self.path} has {what} with the columns {block[0].strip()!r}; streams before 2.3 are not read"
            )
        words = " ".join(block[1:]).split()
        if len(words) % len(names):
            raise FileError(f"{self.path} is damaged: {what} of {len(names)} columns have {len(words)} values")
        text = np.array(words, dtype=str).reshape(-1, len(names))
        try:
            table = text[:, [names.index(name) for name in columns]].astype(np.float64)
        except ValueError as error:
            raise FileError(f"{self.path} is damaged: {error} among its {what}") from None
        panel = next((place for place, name in enumerate(names) if name.lower() == "panel"), None)
        if panel is None or self.geometry is None:
            return table, np.full(len(table), -2, dtype=np.intp)
        named, row = np.unique(text[:, panel], return_inverse=True)
        numbers = np.array([self.geometry.names.get(str(name), -1) for name in named], dtype=np.intp)
        return table, numbers[row.reshape(-1)]
