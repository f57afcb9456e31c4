"""The start of a series in Stream2 and in Jungfraujoch's messages: what it tells of detector, beam and series."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, StreamError
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.mask import combine_masks
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.valid_values import FileLimits, valid_values
from crystint.stream import jungfraujoch
from crystint.stream.messages import Dialect, SeriesKey, Start
from crystint.stream.times import nanoseconds
from crystint.stream.typed_arrays import frame_of, plain_value
from crystint.units import wavelength_of

__all__ = ["START_KEYS", "start_of"]

START_KEYS = frozenset(
    {
        "arm_date",
        "az_int_bin_to_q",
        "beam_center_x",
        "beam_center_y",
        "channels",
        "count_time",
        "detector_description",
        "detector_distance",
        "detector_serial_number",
        "detector_translation",
        "error_value",
        "flatfield",
        "frame_time",
        "goniometer",
        "image_dtype",
        "image_size_x",
        "image_size_y",
        "incident_energy",
        "incident_wavelength",
        "magic_number",
        "number_of_images",
        "pixel_mask",
        "pixel_size_x",
        "pixel_size_y",
        "saturation_value",
        "sensor_material",
        "sensor_thickness",
    }
)
_LONGEST_AXIS = 2**16
_MOST_CHANNELS = 16
_MOST_IMAGES = 2**48
_FAR = 40.0
"""m"""
_LARGEST = 1e300
"""JSON has whole numbers that no float holds"""
_LONGEST_EXPOSURE = 1e6
"""s"""


class _Values:
    """The values of a message; what is not as it should be is noted and taken as not told."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.warnings: list[str] = []

    def number(self, key: str, *, positive: bool = True, most: float = _LARGEST) -> float | None:
        """A finite number; of those that must be positive 0 = not told."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
            self.warnings.append(f"{key} is {value!r:.60}, expected a number; it is ignored")
            return None
        if positive and value <= 0:
            if value < 0:
                self.warnings.append(f"{key} is {value!r}, expected a number above 0; it is ignored")
            return None
        if value > most:
            self.warnings.append(f"{key} is {value!r:.60}, expected at most {most:g}; it is ignored")
            return None
        return value

    def text(self, key: str) -> str | None:
        """A text; an empty one tells nothing."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            self.warnings.append(f"{key} is {value!r:.60}, expected a text; it is ignored")
            return None
        return value or None


def start_of(values: dict[str, Any], series: SeriesKey, message: bytes, dialect: Dialect | None = None) -> Start:
    """The start that a message tells; what is not needed and wrong is ignored, with a warning in it."""
    told = _Values(values)
    shape = (_size(values, "image_size_y"), _size(values, "image_size_x"))
    dtype = _dtype(told)
    goniometer = _goniometer(told)
    geometry, partial = _geometry(told, shape, goniometer)
    masks = _masks(told, shape)
    saturation = told.number("saturation_value")
    error_value = told.number(jungfraujoch.ERROR_VALUE, positive=False)
    limits = FileLimits(error=error_value)
    return Start(
        series,
        shape,
        dialect or ("jungfraujoch" if jungfraujoch.is_jungfraujoch(values) else "stream2"),
        images=_images(told),
        channels=_channels(told),
        dtype=dtype,
        geometry=geometry,
        partial=partial,
        masks=masks,
        valid=None if dtype is None else valid_values(dtype, limits, masked=bool(masks), lowest=None, negative=True),
        error_value=error_value,
        instrument=Instrument(
            material=told.text("sensor_material"),
            thickness=told.number("sensor_thickness"),
            saturation=saturation,
            detector=told.text("detector_description"),
            serial=told.text("detector_serial_number"),
        ),
        frame_time=told.number("frame_time", most=_LONGEST_EXPOSURE),
        count_time=told.number("count_time", most=_LONGEST_EXPOSURE),
        goniometer=goniometer,
        armed=_armed(told),
        user_data=plain_value(values.get("user_data")),
        warnings=tuple(told.warnings),
        message=message,
    )


def _size(values: dict[str, Any], key: str) -> int:
    value = values.get(key)
    if type(value) is not int or not 0 < value <= _LONGEST_AXIS:
        raise StreamError(f"{key} of the start is {value!r:.60}, expected a whole number from 1 to {_LONGEST_AXIS}")
    return value


def _images(told: _Values) -> int | None:
    number = told.number("number_of_images")
    if number is None:
        return None
    if number != int(number) or number > _MOST_IMAGES:
        told.warnings.append(f"number_of_images is {number!r}, expected a whole number; it is ignored")
        return None
    return int(number)


def _channels(told: _Values) -> tuple[str, ...]:
    names = told.values.get("channels")
    if names is None:
        return ()
    right = isinstance(names, list) and len(names) <= _MOST_CHANNELS and all(isinstance(name, str) for name in names)
    if not right or len(set(names)) != len(names):
        told.warnings.append(f"channels is {names!r:.60}, expected at most {_MOST_CHANNELS} names; it is ignored")
        return ()
    return tuple(names)


def _dtype(told: _Values) -> np.dtype[Any] | None:
    name = told.text("image_dtype")
    if name is None:
        return None
    if name not in {f"{sign}int{8 * size}" for sign in ("", "u") for size in (1, 2, 4, 8)} | {"float32", "float64"}:
        told.warnings.append(f"image_dtype is {name!r:.60}, expected a dtype such as uint16; it is ignored")
        return None
    return np.dtype(name)


def _armed(told: _Values) -> int | None:
    date = told.values.get("arm_date")
    if date is None:
        return None
    try:
        return nanoseconds(date, "arm_date")
    except StreamError as error:
        told.warnings.append(f"{error}; it is ignored")
        return None


def _goniometer(told: _Values) -> dict[str, tuple[float, float]]:
    axes = told.values.get("goniometer")
    if axes is None:
        return {}
    if not isinstance(axes, dict):
        told.warnings.append(f"goniometer is {axes!r:.60}, expected its axes; it is ignored")
        return {}
    goniometer: dict[str, tuple[float, float]] = {}
    for name, axis in axes.items():
        each = _Values(axis if isinstance(axis, dict) else {})
        start, increment = (each.number(key, positive=False) for key in ("start", "increment"))
        if start is None:
            told.warnings.append(f"the axis {name!r:.40} of the goniometer has no start; it is ignored")
        else:
            goniometer[name] = (float(start), float(increment or 0.0))
    return goniometer


def _geometry(
    told: _Values, shape: tuple[int, int], goniometer: dict[str, tuple[float, float]]
) -> tuple[Geometry | None, PartialGeometry]:
    """The geometry, and what of it can be used where it is not whole.

    As `crystint.io.geometry.nexus` reads it from DECTRIS's files: beam centres count from the outer corner of the
    first pixel, and zeros mean that nothing was set.
    """
    values: dict[str, Any] = {}
    distance = told.number(jungfraujoch.DISTANCE) or _translated(told)
    if distance is not None:
        values["distance"] = float(distance)
    pixel = told.number("pixel_size_y"), told.number("pixel_size_x")
    if pixel[0] is not None and pixel[1] is not None:
        values["pixel_size"] = pixel
    center = told.number("beam_center_y", positive=False), told.number("beam_center_x", positive=False)
    if center[0] is not None and center[1] is not None and any(center):
        values["beam_center"] = center
    wavelength, energy = told.number("incident_wavelength"), told.number("incident_energy")
    if wavelength is not None or energy is not None:
        values["wavelength"] = wavelength_of(energy) if wavelength is None and energy is not None else wavelength
    partial = PartialGeometry(values)
    if partial.missing:
        told.warnings.append(f"the start tells no {', no '.join(partial.missing)}: there is no geometry")
        return None, partial
    problem = ""
    if values["distance"] > _FAR:
        problem = f"its distance is {values['distance']:g} m"
    if any(goniometer.get("two_theta", (0.0, 0.0))):
        problem = "the detector is turned by two_theta, about an axis that is not told"
    try:
        if not problem:
            return partial.whole(shape), partial
    except CrystintError as error:
        problem = str(error)
    told.warnings.append(f"the geometry of the start cannot be used: {problem}")
    return None, partial.without("distance", "beam_center")


def _translated(told: _Values) -> float | None:
    """The distance: the last number of detector_translation, without its sign."""
    vector = told.values.get("detector_translation")
    if vector is None:
        return None
    if not isinstance(vector, list) or len(vector) != 3:
        told.warnings.append(f"detector_translation is {vector!r:.60}, expected three numbers in m; it is ignored")
        return None
    along = _Values({"detector_translation[2]": vector[2]})
    distance = along.number("detector_translation[2]", positive=False)
    told.warnings += along.warnings
    return abs(distance) if distance else None


def _masks(told: _Values, shape: tuple[int, int]) -> dict[str, NDArray[np.uint32]]:
    """Of each channel; and whether the flat field, of which nothing is used, is one."""
    flat = told.values.get("flatfield")
    for channel, value in _by_channel(told, "flatfield", flat).items():
        try:
            frame_of(value, f"the flat field of {channel!r:.40}")
        except StreamError as error:
            told.warnings.append(f"{error}; it is ignored")
    masks: dict[str, NDArray[np.uint32]] = {}
    mask = told.values.get("pixel_mask")
    if mask is None:
        told.warnings.append("the start has no pixel mask; DECTRIS's detectors send it with header_detail = all")
    for channel, value in _by_channel(told, "pixel_mask", mask).items():
        what = f"the pixel mask of {channel!r:.40}"
        try:
            frame = frame_of(value, what)
            if frame.shape != shape:
                raise StreamError(f"{what} is {frame.shape}, the images are {shape} (slow, fast)")
            masks[channel] = combine_masks(frame.decode(), shape=shape)
        except CrystintError as error:
            told.warnings.append(f"{error}; it is ignored")
    return masks


def _by_channel(told: _Values, key: str, values: Any) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict) or len(values) > _MOST_CHANNELS:
        told.warnings.append(f"{key} is no map of at most {_MOST_CHANNELS} channels; it is ignored")
        return {}
    return values
