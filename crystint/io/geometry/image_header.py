"""Geometry in the headers of image formats that FabIO reads.

Only what a format defines is taken. Positions are px from the outer corner of the first pixel where the format says
nothing else. What is there and cannot be used is told as the place of the missing field.

- SMV of ADSC (https://wiki.uni-konstanz.de/ccp4/index.php/SMV_file_format): mm; the beam centre in MOSFLM's order, in
  which dxtbx takes it: BEAM_CENTER_X along slow, BEAM_CENTER_Y along fast.
- d*TREK: Rigaku, "d*TREK image format" 1.1; the chain of the detector's goniometer.
- R-AXIS: Rigaku's header of 1024 bytes. mar345: "The mar345 image plate file formats". Bruker: frames of a PHOTON II.
- EDF: SAXS keywords (P. Boesecke (2007), J. Appl. Cryst. 40, s423), pyFAI's PONI keys, or a PILATUS mini header.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from crystint.errors import GeometryError, note, warn
from crystint.io.geometry.cbf import cbf_geometry
from crystint.io.geometry.curved import PANELS_NEEDED, curved_detector
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.geometry.transforms import rotation, translation
from crystint.model.geometry import Panel
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.scan import Scan

__all__ = ["header_geometry", "header_scan"]

Header: TypeAlias = Mapping[str, Any]
_MM = 1e-3


def header_geometry(header: Header, kind: str, shape: tuple[int, int], name: str) -> PartialGeometry:
    """What a header tells.

    Parameters
    ----------
    header : mapping of str to str or number
        As FabIO reads it.
    kind : str
        FabIO's class, such as "adscimage".
    shape : (slow, fast)
    name : str
        Of the file, for messages.

    Raises
    ------
    GeometryError
        When the detector is not flat, or its axes make no geometry.
    """
    read = _READERS.get(kind)
    try:
        if read is not None and (curved := curved_detector(shape)):
            raise GeometryError(f"the detector is {curved}; its header does not place its modules: {PANELS_NEEDED}")
        return PartialGeometry() if read is None else read(header, shape, name)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error


def header_scan(header: Header, kind: str) -> tuple[Scan | None, tuple[str, ...]]:
    """The scan of the one frame of an SMV file (OSC_START, OSC_RANGE, TIME), and what of it is a guess."""
    if kind not in ("adscimage", "dtrekimage") or "DETECTOR_NAMES" in header or "OSC_START" not in header:
        return None, ()
    exposure = _number(header, "TIME") or math.nan
    scan = Scan(
        ("omega",),
        np.array([[1.0, 0.0, 0.0]]),
        np.array([[_number(header, "OSC_START")]]),
        width=np.array([_number(header, "OSC_RANGE")]),
        exposure=np.array([exposure]),
    )
    return scan, ("the header does not tell the direction of the axis; it is taken along fast, as DIALS does",)


def _numbers(header: Header, key: str) -> list[float]:
    """The finite numbers of a value, until something else stands there; units after a blank or "_" go."""
    values = []
    for word in str(header.get(key, "")).split():
        match = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:_\w+)?;?", word)
        if match is None:
            break
        values.append(float(match[1]))
    return values


def _number(header: Header, key: str) -> float:
    """The first number of a value; 0 when there is none, which is what is written for what was not set."""
    return next(iter(_numbers(header, key)), 0.0)


def _partial(where: Mapping[str, str], **values: Any) -> PartialGeometry:
    """Fields that are set: neither None nor 0."""
    there = {
        field: value
        for field, value in values.items()
        if value is not None and (all(value) if isinstance(value, tuple) else value)
    }
    return PartialGeometry(there, {field: f"{where[field]} of the header" for field in there})


def _without(partial: PartialGeometry, field: str, reason: str) -> PartialGeometry:
    """The same without a field, and the reason in its place."""
    values = {key: value for key, value in partial.values.items() if key != field}
    return PartialGeometry(values, {**partial.places, field: reason})


def _swung(partial: PartialGeometry, degrees: float, key: str) -> PartialGeometry:
    """Without the beam centre, of a detector on an arm whose axis the header does not tell."""
    if abs(degrees) < 1e-3:
        return partial
    return _without(
        partial, "beam_center", f"{key} is {degrees:g} degrees, and the header does not say about which axis"
    )


def _adsc(header: Header, shape: tuple[int, int], name: str) -> PartialGeometry:
    """SMV, or d*TREK where the header has its goniometer."""
    if "DETECTOR_NAMES" in header:
        return _dtrek(header, shape, name)
    pixel = _number(header, "PIXEL_SIZE")
    center = _number(header, "BEAM_CENTER_X"), _number(header, "BEAM_CENTER_Y")
    if not pixel:
        return PartialGeometry()
    where = {
        "pixel_size": "PIXEL_SIZE",
        "distance": "DISTANCE",
        "wavelength": "WAVELENGTH",
        "beam_center": "BEAM_CENTER_X and _Y",
    }
    slow, fast = center[0] / pixel, center[1] / pixel
    partial = _partial(
        where,
        pixel_size=(pixel * _MM, pixel * _MM),
        distance=_number(header, "DISTANCE") * _MM,
        wavelength=_number(header, "WAVELENGTH"),
        beam_center=(slow, fast),
    )
    partial = _swung(partial, _number(header, "TWOTHETA"), "TWOTHETA")
    if "beam_center" in partial.values:
        if not (0.0 <= slow <= shape[0] and 0.0 <= fast <= shape[1]):
            text = f"({center[0]:g}, {center[1]:g}) mm lies outside the frame"
            warn(f"{name}: the beam centre of the header, {text}, and is left out; give it with --beam")
            return _without(partial, "beam_center", f"BEAM_CENTER, {text}")
        if abs(slow - fast) > 1.0:
            note(
                f"{name}: the beam centre of an SMV header is written in more than one order; taken is MOSFLM's, "
                f"(slow, fast) = ({slow:.1f}, {fast:.1f}) px. --beam sets another"
            )
    return partial


def _dtrek(header: Header, shape: tuple[int, int], name: str) -> PartialGeometry:
    """d*TREK: the axes of the first detector, moved along its goniometer from the last axis to the first."""
    prefix = str(header["DETECTOR_NAMES"]).split()[0]
    names = ("DETECTOR_VECTORS", "SPATIAL_DISTORTION_INFO", "GONIO_VECTORS", "GONIO_VALUES")
    axes, distortion, vectors, values = (_numbers(header, prefix + key) for key in names)
    units = str(header.get(prefix + "GONIO_UNITS", "")).split()
    mixed = _numbers(header, prefix + "SPATIAL_DISTORTION_VECTORS") or [1.0, 0.0, 0.0, 1.0]
    wavelength = next((w for key in ("SCAN_WAVELENGTH", "WAVELENGTH") if (w := _number(header, key))), 0.0)
    source = _numbers(header, "SOURCE_WAVELENGTH")
    wavelength = wavelength or (source[-1] if source else 0.0)
    beam = _partial({"wavelength": "the wavelength"}, wavelength=wavelength)
    whole = len(axes) == 6 and len(distortion) >= 4 and len(mixed) == 4 and len(units) == len(values) > 0
    if not whole or len(vectors) != 3 * len(units) or not set(units) <= {"deg", "mm"}:
        return beam
    fast, slow = np.array(mixed).reshape(2, 2) @ np.array(axes).reshape(2, 3)
    fast, slow = fast * distortion[2], slow * distortion[3]
    transform = np.eye(4)
    for unit, value, vector in zip(units, values, np.array(vectors).reshape(-1, 3), strict=True):
        nothing = np.zeros(3)
        step = rotation(vector, math.radians(value), nothing) if unit == "deg" else translation(vector, value, nothing)
        transform = transform @ step
    origin = transform @ np.append(-distortion[0] * fast - distortion[1] * slow, 1.0)
    steps = [transform[:3, :3] @ vector for vector in (slow, fast)]
    panel = Panel((0, shape[0]), (0, shape[1]), *(tuple(_MM * vector) for vector in (origin[:3], *steps)))
    towards = np.array((_numbers(header, "SOURCE_VECTORS") or [0.0, 0.0, 1.0])[:3])
    geometry = geometry_in_lab([panel], shape, beam=-towards, wavelength=wavelength or None, beam_outside=True)
    return PartialGeometry.of_axes(geometry, f"{prefix}GONIO_VALUES and the like of the header")


def _raxis(header: Header, shape: tuple[int, int], name: str) -> PartialGeometry:
    if _number(header, "IP shape") == 1:
        raise GeometryError(f"the imaging plate is a cylinder (IP shape of the header): {PANELS_NEEDED}")
    where = {
        "pixel_size": "Pixel Length",
        "distance": "Crystal-to-detector Distance",
        "wavelength": "Wavelength",
        "beam_center": "Direct beam position",
    }
    partial = _partial(
        where,
        pixel_size=(_number(header, "Y Pixel Length") * _MM, _number(header, "X Pixel Length") * _MM),
        distance=_number(header, "Crystal-to-detector Distance") * _MM,
        wavelength=_number(header, "Wavelength"),
        beam_center=(_number(header, "Direct beam Y position"), _number(header, "Direct beam X position")),
    )
    if any(_number(header, f"{way} Scan") for way in ("Horizontal", "Vertical", "Front/Back")):
        partial = _without(partial, "beam_center", "the scan of the plate runs in another order than the header's axes")
    return _swung(partial, _number(header, "2Theta Angle"), "2Theta Angle")


def _mar345(header: Header, shape: tuple[int, int], name: str) -> PartialGeometry:
    where = {
        "pixel_size": "PixelLength",
        "distance": "Distance",
        "wavelength": "Wavelength",
        "beam_center": "CENTER",
    }
    partial = _partial(
        where,
        pixel_size=(_number(header, "PixelHeight") * _MM, _number(header, "PixelLength") * _MM),
        distance=_number(header, "Distance") * _MM,
        wavelength=_number(header, "Wavelength"),
        beam_center=(_number(header, "CENTER_Y"), _number(header, "CENTER_X")),
    )
    return _swung(partial, _number(header, "TwoTheta"), "TwoTheta")


def _bruker(header: Header, shape: tuple[int, int], name: str) -> PartialGeometry:
    """The wavelength; of a PHOTON II, whose DETTYPE counts pixels per half centimetre, the place as well."""
    wavelength = _number(header, "WAVELEN")
    if not str(header.get("DETTYPE", "")).strip().startswith("CMOS-PHOTONII"):
        return _partial({"wavelength": "WAVELEN"}, wavelength=wavelength)
    density = re.search(r"CMOS-PHOTONII\S*\s+([\d.]+)", str(header["DETTYPE"]))
    pixel = 5.0 / float(density[1]) if density and float(density[1]) else 0.0
    distances, centers = _numbers(header, "DISTANC"), _numbers(header, "CENTER")
    partial = _partial(
        {"pixel_size": "DETTYPE", "distance": "DISTANC", "wavelength": "WAVELEN", "beam_center": "CENTER"},
        pixel_size=(pixel * _MM, pixel * _MM),
        distance=distances[1] * 1e-2 if len(distances) > 1 else 0.0,
        wavelength=wavelength,
        beam_center=(centers[-1], centers[-2]) if len(centers) > 1 else None,
    )
    return _swung(partial, _number(header, "ANGLES"), "2-theta of ANGLES")


def _edf(header: Header, shape: tuple[int, int], name: str) -> PartialGeometry:
    mini = str(header.get("_array_data.header_contents", ""))
    if "Detector_distance" in mini:
        return cbf_geometry("\n".join(re.findall(r"# [A-Z][\x20-\x7e]*", mini)), shape, name)
    lower = {str(key).lower(): value for key, value in header.items()}
    if {"poni1", "poni2"} <= lower.keys():
        return _poni(lower)
    where = {
        "pixel_size": "PSize_1 and _2",
        "distance": "SampleDistance",
        "wavelength": "WaveLength",
        "beam_center": "Center_1 and _2",
    }
    turned = [f"detectorrotation_{axis}" for axis in "123" if abs(_number(lower, f"detectorrotation_{axis}")) > 1e-6]
    partial = _partial(
        where,
        pixel_size=(_number(lower, "psize_2"), _number(lower, "psize_1")),
        distance=_number(lower, "sampledistance"),
        wavelength=_number(lower, "wavelength") * 1e10 if "sampledistance" in lower else None,
        beam_center=(_number(lower, "center_2"), _number(lower, "center_1")),
    )
    return _without(partial, "beam_center", f"{', '.join(turned)} of the header is not read") if turned else partial


def _poni(header: Header) -> PartialGeometry:
    """PONI's keys, in m, rad and m, as pyFAI writes them into headers."""
    pixel = tuple(_number(header, f"pixel{axis}") or _number(header, f"pixelsize{axis}") for axis in (1, 2))
    distance = _number(header, "dist") or _number(header, "distance")
    if not all(pixel) or not distance:
        return PartialGeometry()
    values = {
        "pixel_size": pixel,
        "distance": distance,
        "beam_center": tuple(_number(header, f"poni{axis}") / pixel[axis - 1] for axis in (1, 2)),
        "rotation": tuple(_number(header, f"rot{axis}") for axis in (1, 2, 3)),
    }
    if wavelength := _number(header, "wavelength"):
        values["wavelength"] = wavelength * 1e10
    return PartialGeometry(values, dict.fromkeys(values, "PONI keys of the header"))


_READERS: dict[str, Callable[[Header, tuple[int, int], str], PartialGeometry]] = {
    "adscimage": _adsc,
    "dtrekimage": _adsc,
    "raxisimage": _raxis,
    "mar345image": _mar345,
    "bruker100image": _bruker,
    "brukerimage": _bruker,
    "edfimage": _edf,
}
