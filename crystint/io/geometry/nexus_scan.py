"""Scan and instrument in NXmx files and in the masters of DECTRIS and Jungfraujoch."""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, GeometryError, warn
from crystint.io.geometry.clock import moment
from crystint.io.geometry.lab_frame import MIRRORED, lab_axes, mirrors, pseudovector
from crystint.io.geometry.nexus_axes import first_panel, parent_of, radians
from crystint.io.geometry.nexus_detector import TURNED
from crystint.io.hdf5.nexus_values import groups_of_class, length, number, text, unit_of
from crystint.model.instrument import Instrument
from crystint.model.scan import STILL, Scan

__all__ = ["UNKNOWN", "nexus_instrument", "nexus_scan"]

UNKNOWN = "unknown"
"""Attribute of a field that had to be there and that nobody knows; its value is why it holds what it does."""
_DECTRIS = (-1.0, 0.0, 0.0)
"""In McStas's frame: the fast direction of the detector, which DIALS takes where a master tells angles and no axis."""
_MOTORS = ("phi", "kappa", "chi", "omega")
"""Of DECTRIS's masters, the one next to the crystal first."""
_THIN = 1e-8
"""m: no sensor is so thin; it stands for one that is not known"""
_THICK = 0.05
"""m: no sensor is thicker; it stands for one in another unit"""
_LONGER = 1.001
"""of the frame time: an exposure that is longer is not one"""
_SECONDS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(
        ("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "usec", "microsecond", "microseconds"), 1e-6
    ),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_MATERIALS = {"silicon": "Si"}
Floats = NDArray[np.float64]


class _Axis(NamedTuple):
    """An axis of the goniometer; angles and width in degrees."""

    name: str
    vector: Floats
    """in McStas's frame"""
    angles: Floats
    """[frames]"""
    width: Floats | None
    """[frames]; None = not told"""


def nexus_scan(
    file: h5py.File, detector: h5py.Group | None, entry: str, shape: tuple[int, int], frames: int
) -> tuple[Scan | None, tuple[str, ...], tuple[str, ...]]:
    """The scan of the frames of an HDF5 file.

    The chain of axes that the sample depends on; else the angles of DECTRIS's ``goniometer`` group.

    Parameters
    ----------
    file : h5py.File
    detector : h5py.Group or None
        That of the frames.
    entry : str
        Path of the NXentry of the frames.
    shape : (slow, fast)
        Of a frame.
    frames : int

    Returns
    -------
    scan : Scan or None
        None where the file tells neither angles nor times.
    guesses, problems : tuple of str
        Sentences, as `crystint.io.frames.readers.ToldScan` has them.
    """
    told = _Told(frames)
    top = file.get(entry)
    top = top if isinstance(top, h5py.Group) else file
    samples = groups_of_class(top, "NXsample", 1) or [top.get("sample")]
    axes: list[_Axis] = []
    for sample in samples[:1]:
        if isinstance(sample, h5py.Group):
            try:
                axes = told.chain(file, sample) or told.motors(sample)
            except (CrystintError, KeyError, ValueError, TypeError) as error:
                told.problems.append(f"{file.filename}: the axes of {sample.name} cannot be used: {error}")
    times, zone = _times(top, detector, told)
    if not axes and all(np.isnan(values).all() for values in times.values()):
        return None, (), tuple(told.problems)
    at, width = told.turning(axes)
    try:
        panel = None if detector is None else first_panel(file, detector, shape)
    except (CrystintError, KeyError, ValueError, IndexError):
        panel = None  # the geometry says what is wrong
    lab = np.diag(TURNED) if panel is None else lab_axes(panel)
    if axes and mirrors(lab) and _any(width):
        told.problems.append(f"{file.filename}: {MIRRORED}")
    vectors = np.array([pseudovector(lab, axis.vector) for axis in axes])
    angles = np.array([axis.angles for axis in axes]).reshape(len(axes), frames)
    scan = None
    try:
        scan = Scan(tuple(axis.name for axis in axes), vectors, angles, at, width=width, zone=zone, **times)
    except CrystintError as error:
        told.problems.append(f"{file.filename}: the axes of the sample make no scan: {error}")
    return scan, tuple(told.guesses), tuple(told.problems)


class _Told:
    """Axes with a value for each frame, and what had to be assumed or left out on the way."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.guesses: list[str] = []
        self.problems: list[str] = []

    def chain(self, file: h5py.File, sample: h5py.Group) -> list[_Axis]:
        """What the sample depends on; where that is nothing, axes that stand beside it all the same."""
        item = sample.get("depends_on")
        path = text(item[()]) if isinstance(item, h5py.Dataset) else ""
        path = _unreferenced(sample) if path in ("", ".") else posixpath.join(sample.name, path)
        axes: list[_Axis] = []
        seen: set[str] = set()
        while path not in ("", "."):
            if path in seen:
                raise GeometryError(f"the axis {path} depends on itself")
            seen.add(path)
            axis = file.get(path)
            if not isinstance(axis, h5py.Dataset):
                raise GeometryError(f"{path} is not there")
            if text(axis.attrs.get("transformation_type")) == "rotation":
                axes.append(self._axis(axis, sample))
            path = parent_of(axis)
        return axes

    def _axis(self, axis: h5py.Dataset, sample: h5py.Group) -> _Axis:
        name = axis.name.rpartition("/")[2]
        unit = text(axis.attrs.get("units"))
        angles = self._each(_degrees(axis, unit), axis.name)
        self._tell_no_unit(axis, unit, angles)
        vector = np.asarray(axis.attrs["vector"], dtype=np.float64).reshape(3)
        return _Axis(
            name,
            vector,
            angles,
            self._width((axis.parent, sample.get(f"sample_{name}"), sample.get("goniometer")), name, angles, unit),
        )

    def motors(self, sample: h5py.Group) -> list[_Axis]:
        """DECTRIS's: angles without a direction. Only the one that turns is an axis."""
        group = sample.get("goniometer")
        if not isinstance(group, h5py.Group):
            return []
        axes = []
        for name in _MOTORS:
            item = group.get(name, group.get(f"{name}_start"))
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or not item.size:
                continue
            unit = text(item.attrs.get("units"))
            width = self._width((group,), name, np.zeros(0), unit)
            values = _degrees(item, unit)
            if len(values) == 1 and width is not None:
                values = values + np.concatenate([[0.0], np.cumsum(width[:-1])])
            angles = self._each(values, item.name)
            axes.append(_Axis(name, np.array(_DECTRIS), angles, width))
        moving = [axis for axis in axes if _moves(axis)]
        chosen = moving[-1:] or axes[-1:]
        if not chosen:
            return []
        others = [axis for axis in axes if axis is not chosen[0] and np.any(axis.angles)]
        if len(moving) > 1:
            self._tell_several(moving, chosen[0])
        self.guesses.append(
            f"the direction of {chosen[0].name} is not told; it is taken along fast, as DIALS does"
            + (
                f" ({', '.join(f'{axis.name} {axis.angles[0]:g}' for axis in others)} degrees left out)"
                if others
                else ""
            )
        )
        return chosen

    def _tell_no_unit(self, item: h5py.Dataset, unit: str, angles: Floats) -> None:
        if not unit and np.any(angles):
            self.problems.append(f"{item.name} tells no unit; its angles are taken for degrees")

    def _tell_several(self, axes: list[_Axis], taken: _Axis) -> None:
        names = ", ".join(axis.name for axis in axes)
        self.problems.append(f"the axes {names} turn at once; {taken.name} is taken for the scan")

    def _each(self, values: Floats, place: str) -> Floats:
        """One value for each frame."""
        if len(values) == self.frames:
            return values
        if len(values) == 1:
            return np.full(self.frames, values[0])
        few = len(values) < self.frames
        rest = "those of the last frames are not known" if few else "the first ones are used"
        self.problems.append(f"{place} has {len(values)} values for {self.frames} frames; {rest}")
        padded = np.full(self.frames, np.nan)
        padded[: len(values)] = values[: self.frames]
        return padded

    def _width(self, groups: tuple[Any, ...], name: str, angles: Floats, unit: str) -> Floats | None:
        """Of the turn in each frame, from its end or its width; None where neither is told."""
        for group in groups:
            if not isinstance(group, h5py.Group):
                continue
            for suffix in ("end", "increment_set", "increment", "range_average"):
                item = group.get(f"{name}_{suffix}")
                if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or not item.size:
                    continue
                values = _degrees(item, text(item.attrs.get("units")) or unit)
                if suffix == "end" and len(values) != len(angles):
                    continue
                if np.isfinite(values).all():
                    return values - angles if suffix == "end" else self._each(values, item.name)
        return None

    def turning(self, axes: list[_Axis]) -> tuple[int, Floats]:
        """Number of the axis that turns, and the width of each frame."""
        moving = [number for number, axis in enumerate(axes) if _moves(axis)]
        turning = [number for number in moving if (width := axes[number].width) is not None and _any(width)]
        at = max(turning or moving or [0], key=lambda number: float(np.ptp(axes[number].angles)) if axes else 0.0)
        if not moving:
            return at, np.zeros(self.frames)
        width, angles = axes[at].width, axes[at].angles
        if width is None:
            steps = np.diff(angles)
            width = np.append(steps, steps[-1:]) if len(steps) else np.zeros(self.frames)
            last = int(np.flatnonzero(np.isfinite(angles)).max(initial=0))
            if last and np.isnan(width[last]):
                width[last] = width[last - 1]
            self.guesses.append(
                f"the width of the frames is not told; they are taken to turn {axes[at].name} to the next"
            )
        if len(moving) > 1 and _any(width):
            self._tell_several([axes[number] for number in moving], axes[at])
        return at, width


def _any(width: Floats) -> bool:
    return bool((np.abs(width) > STILL).any())


def _moves(axis: _Axis) -> bool:
    """From frame to frame, or within one."""
    return _any(np.diff(axis.angles)) or (axis.width is not None and _any(axis.width))


def _degrees(item: h5py.Dataset, unit: str) -> Floats:
    values = np.asarray(item[()], dtype=np.float64).reshape(-1)
    return np.asarray(values * np.degrees(radians(1.0, unit)))


def _unreferenced(sample: h5py.Group) -> str:
    """Path of the axis of the sample's transformations that no other depends on; "" where there is not one."""
    group = sample.get("transformations")
    if not isinstance(group, h5py.Group):
        return ""
    axes = [item for key in group if isinstance(item := group.get(key), h5py.Dataset) and "vector" in item.attrs]
    below = {parent_of(axis) for axis in axes}
    tops = [axis.name for axis in axes if axis.name not in below]
    return tops[0] if len(tops) == 1 else ""


def _times(top: h5py.Group, detector: h5py.Group | None, told: _Told) -> tuple[dict[str, Floats], str]:
    """Fields of a scan, and the zone of the clock."""
    nothing = np.full(told.frames, np.nan)
    times = {"exposure": nothing, "frame_time": nothing, "times": nothing.copy()}
    places = [] if detector is None else [detector, detector.get("detectorSpecific")]
    places = [place for place in places if isinstance(place, h5py.Group)]
    for field, names in (("exposure", ("count_time",)), ("frame_time", ("frame_times", "frame_time"))):
        for item in (place.get(name) for name in names for place in places):
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.size:
                seconds = _seconds(item, told)
                if seconds is None:
                    continue
                values = told._each(seconds, item.name)
                if (values[np.isfinite(values)] > 0.0).any():
                    times[field] = values
                    break
    longer = np.flatnonzero(times["exposure"] > _LONGER * times["frame_time"])
    if len(longer):
        exposure, period = (times[field][longer[0]] for field in ("exposure", "frame_time"))
        told.problems.append(
            f"frame {longer[0]} is said to be exposed for {exposure:.6g} s, longer than its frame time of {period:.6g} "
            "s; both are used as they are: check their units"
        )
    start, zone = np.nan, ""
    written = [top.get("start_time"), *(place.get("data_collection_date") for place in places)]
    for item in written:
        if not np.isfinite(start) and isinstance(item, h5py.Dataset):
            start, zone = moment(text(item[()]))
    each = None if detector is None else detector.get("start_time")
    if isinstance(each, h5py.Dataset) and each.dtype.kind in "iuf" and each.size == told.frames:
        first, own = moment(text(each.attrs.get("start")))
        after = _seconds(each, told)
        if np.isfinite(first) and after is not None:
            times["times"], zone = first + after, own
    elif told.frames:
        times["times"][0] = start
    return times, zone


def _seconds(item: h5py.Dataset, told: _Told) -> Floats | None:
    """Times in s; without a unit they are. None where the unit is not known, which is told."""
    unit = text(item.attrs.get("units")).strip().lower()
    factor = _SECONDS.get(unit)
    if factor is None:
        told.problems.append(f"{item.name} is in {unit!r}, expected a unit of time such as s or ms: it is left out")
        return None
    return np.asarray(item[()], dtype=np.float64).reshape(-1) * factor


def nexus_instrument(file: h5py.File, detector: h5py.Group | None, entry: str) -> Instrument:
    """What an HDF5 file tells of detector, instrument, source and sample."""
    top = file.get(entry)
    top = top if isinstance(top, h5py.Group) else file
    facts: dict[str, Any] = {}
    if detector is not None:
        material, thickness = _word(detector, "sensor_material"), _length(detector)
        facts = {
            "material": _MATERIALS.get(material.lower(), material) if material and thickness else None,
            "thickness": thickness,
            "gain": number(detector, "gain"),
            "underload": number(detector, "underload_value"),
            "detector": _word(detector, "description"),
            "serial": _word(detector, "serial_number") or _word(detector, "detector_number"),
        }
    for name, kind in (("name", "NXinstrument"), ("source", "NXsource"), ("sample", "NXsample")):
        groups = groups_of_class(top, kind, 2)
        facts[name] = next((word for group in groups if (word := _word(group, "name"))), None)
    return Instrument.from_dict({name: value for name, value in facts.items() if value is not None})


def _length(detector: h5py.Group) -> float | None:
    """Of the sensor, where it is known."""
    item = detector.get("sensor_thickness")
    if not isinstance(item, h5py.Dataset) or UNKNOWN in item.attrs:
        return None
    try:
        thickness = length(detector, "sensor_thickness")
    except GeometryError:
        return None
    if thickness is not None and thickness > _THICK:
        warn(
            f"{detector.file.filename}: {item.name} is {thickness:.4g} m"
            + (" (it tells no unit)" if not unit_of(item) else "")
            + f", expected less than {_THICK:g} m: it is left out; correct its unit"
        )
        return None
    return thickness if thickness and thickness > _THIN else None


def _word(group: h5py.Group, key: str) -> str | None:
    item = group.get(key)
    if not isinstance(item, h5py.Dataset) or UNKNOWN in item.attrs:
        return None
    word = text(item[()]).strip()
    return word if word and word.lower() != "unknown" else None
