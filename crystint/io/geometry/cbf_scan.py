"""Scan and instrument in the header of a CBF file.

A mini header (DECTRIS, "Pilatus CBF header specification" 1.4) tells the angle and the width, but not the direction of
the axis: dxtbx's choice is made, which is the fast direction, and for some detectors, by their serial numbers, another.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.io.geometry.cbf import axes_in, panel_of_axes
from crystint.io.geometry.cbf_header import NUMBER, cif_block, cif_value, mini_lines
from crystint.io.geometry.clock import moment
from crystint.io.geometry.lab_frame import MIRRORED, lab_axes, mirrors, pseudovector
from crystint.model.instrument import Instrument
from crystint.model.scan import STILL, Scan

__all__ = ["cbf_instrument", "cbf_scan"]

_IMGCIF = np.diag([1.0, -1.0, -1.0])
"""From imgCIF's frame (x along fast, z to the source) to that of `Geometry`, of a detector that is not tilted."""
_ALONG_FAST = "the mini header does not tell the direction of the axis; it is taken along fast, as DIALS does"
_MATERIALS = {"silicon": "Si", "si": "Si", "cdte": "CdTe", "gaas": "GaAs", "cdznte": "CdZnTe", "czt": "CdZnTe"}


class _Axes(NamedTuple):
    """Directions in imgCIF's frame, by the keys of the mini header, the axis that carries the crystal first."""

    vectors: dict[str, tuple[float, float, float]]
    since: int = 0
    """year"""


_MINI_KAPPA = {"Phi": (1.0, 0.0, 0.0), "Kappa": (0.914, 0.279, -0.297), "Omega": (1.0, 0.0, 0.0)}
_SMARGON = {"Phi": (1.0, 0.0, 0.0), "Chi": (0.0, 0.0, -1.0), "Omega": (1.0, 0.0, 0.0)}
_BY_SERIAL = {
    "60-0100": _Axes(_MINI_KAPPA),
    "60-0126": _Axes(_MINI_KAPPA),
    "160-0001": _Axes(_SMARGON),
    "60-0114": _Axes({"": (0.0, 1.0, 0.0)}, 2017),
    "60-0119": _Axes({"": (0.0, 1.0, 0.0)}, 2015),
    "60-0115": _Axes({"": (0.0, 1.0, 0.0)}),
    "E-32-0105": _Axes({"": (0.0, 1.0, 0.0)}),
    "E-32-0107": _Axes({"": (0.0, 1.0, 0.0)}),
    "60-0125": _Axes({"": (-1.0, 0.0, 0.0)}),
    "60-0127": _Axes({"": (-1.0, 0.0, 0.0)}),
    "60-0132": _Axes({"": (-1.0, 0.0, 0.0)}),
}
"""Goniometers of known detectors, as dxtbx's formats have them (cctbx/dxtbx, src/dxtbx/format/FormatCBFMini*.py)."""
_PLATES = {"60-0119": (-1.0, 0.0, 0.0)}
"""The axis where Oscillation_axis names the fast direction"""


def cbf_scan(text: str, shape: tuple[int, int]) -> tuple[Scan | None, tuple[str, ...], tuple[str, ...]]:
    """The scan of the one frame of a CBF file.

    Parameters
    ----------
    text : str
        The header.
    shape : (slow, fast)

    Returns
    -------
    scan : Scan or None
        None where the header tells neither an angle nor a time.
    guesses, problems : tuple of str
        Sentences, as `crystint.io.frames.readers.ToldScan` has them.
    """
    header = _Mini(text)
    if "_axis.vector[1]" in text:
        try:
            block = cif_block(text)
            lab = _lab(block, shape)
            scan, mirrored = _full(block, lab, header), mirrors(lab)
        except GeometryError as error:
            return None, (), (f"the axis tables of a CBF header make no scan: {error}",)
        if scan is not None:
            return scan, (), ((MIRRORED,) if mirrored and scan.rotates else ())
    scan, guesses = _mini(header)
    return scan, guesses, ()


def cbf_instrument(text: str) -> Instrument:
    """What a CBF header tells of detector, source and sample."""
    header = _Mini(text)
    source = None
    if "_diffrn_source" in text:
        try:
            block = cif_block(text)
            source = _first(block, "_diffrn_source.type") or _first(block, "_diffrn_source.source")
        except GeometryError:
            source = None
    return Instrument(
        material=header.material,
        thickness=header.thickness,
        detector=header.detector,
        serial=header.serial,
        source=source,
    )


def _first(block: cif.Block, name: str) -> str | None:
    """The first value of an item, None where it is not told."""
    values = [cif.as_string(value).strip() for value in block.find_values(name)]
    return values[0] or None if values else None


class _Mini:
    """Words and numbers of a mini header."""

    def __init__(self, text: str) -> None:
        self.lines = mini_lines(text)
        self.words: dict[str, str] = {}
        for line in self.lines:
            match = re.match(r"([A-Za-z]\w*)[\s:=(]+(.*)$", line)
            if match is not None:
                self.words.setdefault(match[1], match[2].strip())

    def number(self, key: str) -> float | None:
        match = re.match(NUMBER, self.words.get(key, ""))
        return float(match[0]) if match else None

    @property
    def time(self) -> tuple[float, str]:
        """`moment` of the line that holds nothing else."""
        return next((moment(line) for line in self.lines if re.match(r"\d{4}[-/]\w+[-/]\d+[T ]\d", line)), (np.nan, ""))

    @property
    def _named(self) -> re.Match[str] | None:
        return re.match(r"(.*?)(?:,\s*S/N\s*(\S+?)(?:[,\s].*)?)?$", self.words.get("Detector", ""))

    @property
    def detector(self) -> str | None:
        return (self._named[1].strip() or None) if self._named else None

    @property
    def serial(self) -> str | None:
        return self._named[2] if self._named else None

    @property
    def _sensor(self) -> re.Match[str] | None:
        pattern = re.compile(rf"(\w+)\s+sensor,?\s+thickness\s*[:=]?\s*({NUMBER})\s*m\b", re.IGNORECASE)
        return next((match for line in self.lines if (match := pattern.match(line))), None)

    @property
    def material(self) -> str | None:
        return _MATERIALS.get(self._sensor[1].lower(), self._sensor[1]) if self._sensor else None

    @property
    def thickness(self) -> float | None:
        return float(self._sensor[2]) or None if self._sensor else None


def _mini(header: _Mini) -> tuple[Scan | None, tuple[str, ...]]:
    seconds, zone = header.time
    turning = re.match(r"[A-Za-z]+", header.words.get("Oscillation_axis", ""))
    word = turning[0].capitalize() if turning else ""
    start, width = header.number("Start_angle"), header.number("Angle_increment")
    if start is None:
        start, width = header.number(word), header.number(f"{word}_increment")
    times = _times(header.number("Exposure_time"), header.number("Exposure_period"), seconds)
    if start is None:
        told = any(np.isfinite(values).any() for values in times.values())
        return (Scan((), np.zeros((0, 3)), np.zeros((0, 1)), 0, np.zeros(1), zone=zone, **times) if told else None), ()
    width = width or 0.0
    axes = _BY_SERIAL.get(re.sub(r"-F$", "", header.serial or ""))
    if axes is not None and axes.since and not (np.isfinite(seconds) and seconds >= _year(axes.since)):
        axes = None
    vectors = {"": (1.0, 0.0, 0.0)} if axes is None else axes.vectors
    if "FAST" in header.words.get("Oscillation_axis", "").upper() and header.serial in _PLATES:
        vectors = {"": _PLATES[header.serial]}
    name = word if word in ("Omega", "Phi", "Kappa", "Chi") else "Omega"
    names = [each or name for each in vectors]
    turns = names.index(name) if name in names else len(names) - 1
    angles = [[header.number(each) or 0.0] for each in names]
    angles[turns] = [start]
    scan = Scan(
        tuple(each.lower() for each in names),
        np.array(list(vectors.values())) @ _IMGCIF,
        np.array(angles),
        turns,
        width=np.array([width]),
        zone=zone,
        **times,
    )
    return scan, () if axes is not None else (_ALONG_FAST,)


def _year(year: int) -> float:
    return moment(f"{year}-01-01T00:00:00")[0]


def _times(exposure: float | None, period: float | None, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Fields of a scan of one frame; a time of 0 is one that was not set."""
    values = {"exposure": exposure or np.nan, "frame_time": period or np.nan, "times": seconds}
    return {name: np.array([value]) for name, value in values.items()}


def _lab(block: cif.Block, shape: tuple[int, int]) -> NDArray[np.float64]:
    """What turns vectors of the file into the laboratory of `Geometry`; float64 [3, 3]."""
    placed = panel_of_axes(block, shape)
    return _IMGCIF if placed is None else lab_axes(placed[0], placed[1])


def _full(block: cif.Block, lab: NDArray[np.float64], header: _Mini) -> Scan | None:
    """From the tables of axes; None when they have no goniometer, or one of an order that they do not tell."""
    kinds = {row[0]: cif.as_string(row[1]) for row in block.find("_axis.", ["id", "equipment"])}
    axes = {name: row for name, row in axes_in(block).items() if kinds.get(name) == "goniometer"}
    axes = {name: row for name, row in axes.items() if row[1] == "rotation"}
    order = _order(axes)
    if not order:
        return None
    start = {row[0]: cif_value(row[1]) for row in block.find("_diffrn_scan_axis.", ["axis_id", "angle_start"])}
    start |= {row[0]: cif_value(row[1]) for row in block.find("_diffrn_scan_frame_axis.", ["axis_id", "angle"])}
    step = {row[0]: cif_value(row[1]) for row in block.find("_diffrn_scan_axis.", ["axis_id", "angle_increment"])}
    turning = [number for number, name in enumerate(order) if abs(step.get(name, 0.0)) > STILL]
    if len(turning) > 1:
        raise GeometryError(f"the axes {', '.join(order[number] for number in turning)} turn at once")
    table = block.find("_diffrn_scan_frame.", ["integration_time"])
    exposure = cif_value(table[0][0]) if len(table) else 0.0
    table = block.find("_diffrn_scan_frame.", ["date"])
    seconds, zone = moment(cif.as_string(table[0][0])) if len(table) else (np.nan, "")
    if not np.isfinite(seconds):
        seconds, zone = header.time
    at = turning[0] if turning else 0
    times = _times(header.number("Exposure_time") or exposure, header.number("Exposure_period"), seconds)
    return Scan(
        tuple(order),
        np.array([pseudovector(lab, [cif_value(each) for each in axes[name][3:6]]) for name in order]),
        np.array([[start.get(name, 0.0)] for name in order]),
        at,
        width=np.array([step.get(order[at], 0.0)]),
        zone=zone,
        **times,
    )


def _order(axes: dict[str, list[str]]) -> list[str]:
    """Names of a chain of axes, the one that nothing stands on first; none when they are no single chain."""
    below = {name: row[2] for name, row in axes.items()}
    tops = [name for name in axes if name not in below.values()]
    if len(tops) != 1:
        return []
    order = tops
    while below[order[-1]] in axes and len(order) <= len(axes):
        order.append(below[order[-1]])
    return order if len(order) == len(axes) else []
