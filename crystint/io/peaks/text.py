"""Peak lists as text: JSON lines, and SPOT.XDS."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frame_table import RESULTS, json_rows
from crystint.io.outputs import atomic_path
from crystint.io.peaks.nxdata import LATER, MEANING, POSITION, UNITS
from crystint.model.frame_table import FrameTable
from crystint.model.geometry import Geometry
from crystint.model.peaks import PEAK_DTYPE, PeakList, empty_peaks, unknown_peaks
from crystint.model.scan import Scan
from crystint.model.spots import SPOT_DTYPE, SpotList, empty_spots, unknown_spots

__all__ = ["json_spots", "read_json_lines", "read_spot_xds", "write_json_lines", "write_spot_xds", "xds_spots"]

_COLUMNS = [name for name in PEAK_DTYPE.names or () if name != "frame"]


def write_json_lines(
    path: Path,
    peaks: PeakList,
    *,
    shape: tuple[int, int],
    n_frames: int,
    geometry: Geometry | None,
    sources: Sequence[Any] | None,
    provenance: Mapping[str, Any],
    missing: Sequence[int] = (),
    results: FrameTable | None = None,
    overwrite: bool,
    spots: SpotList | None = None,
    scan: Scan | None = None,
) -> None:
    """One object per frame, frames without peaks too: ``frame``, ``n_peaks``, ``file``, ``index`` and a
    list per column; ``missing``, true, in those that could not be read; ``results``, the row of the table of frames.

    The line of the first frame also has ``conventions``, ``shape``, ``geometry``, ``scan`` and ``provenance``.
    Joined spots, where there are any, make a last line: ``n_spots``, and ``spots`` with a list per column.
    Numbers that JSON cannot hold (d without a wavelength, d on the beam) are null.
    """
    lines = None if results is None else json_rows(results)
    first, absent = np.searchsorted(peaks["frame"], np.arange(n_frames + 1)), frozenset(missing)
    with atomic_path(path, overwrite) as temporary, temporary.open("w", encoding="utf-8") as file:
        for frame in range(n_frames):
            some = peaks[first[frame] : first[frame + 1]]
            line: dict[str, Any] = {"frame": frame, "n_peaks": len(some)}
            if sources is not None:
                source = sources[frame]
                line |= {"file": source.file, "index": source.index}
            if frame in absent:
                line["missing"] = True
            if lines is not None:
                line[RESULTS] = next(lines)
            for name in _COLUMNS:
                line[name] = [_number(value) for value in some[name].tolist()]
            if frame == 0:
                line["conventions"] = {"position": POSITION, "units": UNITS, "meaning": MEANING}
                line["shape"] = list(shape)
                line["geometry"] = None if geometry is None else geometry.to_dict()
                line["scan"] = None if scan is None else scan.to_dict()
                line["provenance"] = dict(provenance)
            file.write(json.dumps(line, allow_nan=False) + "\n")
        if spots is not None:
            columns = {name: [_number(value) for value in spots[name].tolist()] for name in SPOT_DTYPE.names or ()}
            file.write(json.dumps({"n_spots": len(spots), "spots": columns}, allow_nan=False) + "\n")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read_json_lines(path: Path) -> PeakList:
    """The peaks of a file that `write_json_lines` made; null is NaN.

    Raises
    ------
    FileError
        When it is missing or a line is not such an object; the message gives its number.
    """
    frames = [empty_peaks()]
    for number, text in enumerate(_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            if "spots" in line:
                continue
            peaks = unknown_peaks(len(line["slow"]))
            peaks["frame"] = line["frame"]
            for name in _COLUMNS:
                if name in LATER and name not in line:
                    continue
                peaks[name] = [math.nan if value is None else value for value in line[name]]
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{path} line {number} is not a frame of a peak list ({error!r})") from error
        frames.append(peaks)
    return np.concatenate(frames)


def write_spot_xds(
    path: Path, peaks: PeakList, spots: SpotList | None = None, *, images: NDArray[np.int64], overwrite: bool
) -> None:
    """x, y, z and intensity per line, by falling intensity, with the centre of the first pixel at (1, 1).

    A line for each spot, as COLSPOT of XDS writes them; for each peak of each frame where they are not joined.
    z is in images as XDS counts them: image 1 reaches from 0 to 1.

    Parameters
    ----------
    images : int64 [frames]
        Of `image_numbers`.
    """
    rows = peaks if spots is None else spots
    z = images[peaks["frame"]] + 0.5 if spots is None else spots["z"] + (images[spots["frame0"]] - spots["frame0"])
    order = np.argsort(-rows["intensity"], kind="stable")
    with atomic_path(path, overwrite) as temporary, temporary.open("w", encoding="ascii") as file:
        for number in order:
            row, place = rows[number], z[number]
            x, y = row["fast"] + 0.5, row["slow"] + 0.5
            file.write(f"{x:10.3f} {y:10.3f} {place:10.2f} {row['intensity']:12.2f}\n")


def read_spot_xds(path: Path) -> PeakList:
    """Position, frame and intensity of the spots of a SPOT.XDS file; the rest is 0, and NaN for ``d``.

    Raises
    ------
    FileError
        When it is missing or a line has fewer than four numbers; the message gives its number.
    """
    rows = []
    for number, text in enumerate(_text(path).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            x, y, z, intensity = map(float, text.split()[:4])
        except ValueError as error:
            raise FileError(f"{path} line {number} is not a spot: expected x, y, z and intensity") from error
        rows.append((x - 0.5, y - 0.5, math.floor(z), intensity))
    peaks = unknown_peaks(len(rows))
    for column, name in enumerate(("fast", "slow", "frame", "intensity")):
        peaks[name] = [row[column] for row in rows]
    return peaks[np.lexsort((peaks["fast"], np.floor(peaks["slow"]), peaks["frame"]))]


def xds_spots(path: Path) -> SpotList | None:
    """The spots of a SPOT.XDS file; None when each lies in the middle of an image: peaks that are not joined."""
    rows = np.array([line.split()[:4] for line in _text(path).splitlines() if line.strip()], np.float64).reshape(-1, 4)
    if not len(rows) or np.allclose(rows[:, 2] % 1.0, 0.5, atol=1e-3):
        return None
    spots = unknown_spots(len(rows))
    spots["fast"], spots["slow"], spots["z"], spots["intensity"] = rows.T
    spots["fast"] -= 0.5
    spots["slow"] -= 0.5
    spots["frame0"] = np.floor(spots["z"])
    spots["frame1"] = spots["frame0"] + 1
    return spots


def json_spots(path: Path) -> SpotList | None:
    """The joined spots of a file that `write_json_lines` made; None = there are none."""
    lines = _text(path).splitlines()
    if not lines or '"n_spots":' not in lines[-1][:40]:
        return None
    try:
        columns = json.loads(lines[-1])["spots"]
        spots = empty_spots(len(columns["z"]))
        for name in SPOT_DTYPE.names or ():
            spots[name] = [math.nan if value is None else value for value in columns[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} line {len(lines)} is not a list of spots ({error!r})") from error
    return spots


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read as text ({error})") from error
