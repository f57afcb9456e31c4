"""Regions of interest of a detector: the document that they are told in, and what is measured in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, warn
from crystint.model.frame_table import Column
from crystint.model.geometry import Geometry
from crystint.model.roi import Roi, RoiType
from crystint.model.roi_members import RoiMembers, members_of
from crystint.model.roi_shapes import FIELDS

__all__ = ["MOST_ROIS", "ROI_COLUMNS", "ROI_DTYPE", "Roi", "Rois", "empty_roi_values"]

MOST_ROIS = 64
"""as many as an integer has bits"""
ROI_COLUMNS = (
    Column("sum", "i8", "count", "sum of the measurements, exact"),
    Column("sum_sq", "f8", "count^2", "sum of their squares, exact below 2^53"),
    Column("max", "i8", "count", "the largest; the smallest number of 64 bits where there is none"),
    Column("pixels", "u4", "", "pixels of the region"),
    Column("npixel", "u4", "", "pixels that hold a measurement: not masked, not marked as unusable in the frame"),
    Column("masked", "u4", "", "the other ones"),
    Column("saturated", "u4", "", "measurements above the largest valid value; they are summed up like all others"),
    Column("mean", "f8", "count", "sum / npixel"),
    Column("x", "f8", "pixel", "fast coordinate of the centre of the counts above zero; NaN where the sum is none"),
    Column("y", "f8", "pixel", "slow coordinate of it; positions count from the outer corner of the first pixel"),
    Column("background", "f8", "count", "what the background of the rings makes of the sum"),
    Column("signal", "f8", "count", "sum - background, of the pixels whose ring has a background"),
    Column("sigma", "f8", "count", "standard deviation of the signal"),
    Column("snr", "f8", "", "signal / sigma"),
    Column("spots", "i4", "", "peaks whose centre lies in the region; -1 = none were looked for"),
)
"""Columns of what is measured in a region of a frame, in their order."""

ROI_DTYPE: np.dtype[Any] = np.dtype([(column.name, column.type) for column in ROI_COLUMNS])
"""Dtype of a region of a frame; `ROI_COLUMNS` has the unit and the meaning of each column."""


def empty_roi_values(n: int = 0) -> NDArray[np.void]:
    """`n` regions without pixels: sums are 0, what is not known is NaN, and -1 in `spots`."""
    values = np.zeros(n, ROI_DTYPE)
    values["max"] = np.iinfo(np.int64).min
    for column in ("mean", "x", "y", "background", "signal", "sigma", "snr"):
        values[column] = np.nan
    values["spots"] = -1
    return values


@dataclass(frozen=True)
class Rois:
    """The regions of interest of a detector: an immutable document. Region i has bit i in maps.

    Examples
    --------
    >>> from crystint import Roi, Rois
    >>> rois = Rois((Roi.circle("spot", center=(20.5, 30.5), radius=2.0),))
    >>> Rois.from_dict(rois.to_dict()) == rois
    True
    >>> rois.members(None, (40, 50)).details["spot"]
    {'pixels': 13, 'clipped': False}
    """

    rois: tuple[Roi, ...] = ()
    """at most 64, each with a name of its own"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rois", tuple(self.rois))
        if len(self.rois) > MOST_ROIS:
            raise SettingError(f"there are {len(self.rois)} regions, expected at most {MOST_ROIS}", "rois")
        for number, name in enumerate(self.names):
            if name in self.names[:number]:
                raise SettingError(
                    f"name {name!r} is there twice, expected another for each region", f"rois.{number}.name"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the regions, in their order."""
        return tuple(roi.name for roi in self.rois)

    def __len__(self) -> int:
        return len(self.rois)

    def __iter__(self) -> Iterator[Roi]:
        return iter(self.rois)

    def __getitem__(self, name: str) -> Roi:
        """The region of a name; KeyError when there is none."""
        for roi in self.rois:
            if roi.name == name:
                return roi
        raise KeyError(name)

    def with_(self, roi: Roi) -> Rois:
        """With a region in place of the one of its name, or as the last one."""
        if roi.name in self.names:
            return Rois(tuple(roi if each.name == roi.name else each for each in self.rois))
        return Rois((*self.rois, roi))

    def without(self, name: str) -> Rois:
        """Without the region of a name; KeyError when there is none."""
        gone = self[name]
        return Rois(tuple(each for each in self.rois if each is not gone))

    def to_dict(self) -> dict[str, Any]:
        """The document, of JSON-able values: ``{"rois": [{"name": ..., "type": ..., ...}, ...]}``."""
        return {"rois": [roi.to_dict() for roi in self.rois]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Make regions from a document, as `to_dict` gives it.

        Raises
        ------
        SettingError
            With the field, such as "rois.2.radius".
        """
        entries = _entries(document, ("rois",))["rois"]
        rois = []
        for number, entry in enumerate(entries):
            try:
                rois.append(Roi.from_dict(entry))
            except SettingError as error:
                place = f"rois.{number}" + (f".{error.field}" if error.field else "")
                name = entry.get("name") if isinstance(entry, Mapping) else None
                raise SettingError(f"region {number}{f' ({name})' if name else ''}: {error}", place) from None
        return cls(tuple(rois))

    @classmethod
    def from_jungfraujoch(cls, document: Mapping[str, Any]) -> Self:
        """Make regions from a document of Jungfraujoch: box, circle and azim, x along fast and y along slow.

        Its circles are taken to have their centres in pixels whose first has its centre at 0: 0.5 is added.
        """
        rois = []
        for kind, entries in _entries(document, ("box", "circle", "azim")).items():
            entries = _entries(entries, ("rois",), f"{kind}.")["rois"]
            for number, entry in enumerate(entries):
                try:
                    rois.append(Roi.from_dict(_FROM_JUNGFRAUJOCH[kind](_complete(kind, entry))))
                except SettingError as error:
                    place = error.field or ""
                    theirs = _THEIR_NAMES.get((kind, place), place)
                    text = f"{kind} {number}: {error}"
                    raise SettingError(
                        text, ".".join([kind, "rois", str(number), *([theirs] if theirs else [])])
                    ) from None
        return cls(tuple(rois))

    def to_jungfraujoch(self) -> dict[str, Any]:
        """The document of Jungfraujoch. Polygons and bitmaps, which it has not, are left out with a warning."""
        document: dict[str, Any] = {kind: {"rois": []} for kind in ("box", "circle", "azim")}
        left = []
        for roi in self.rois:
            values = roi.parameters
            if roi.type == "box":
                entry = {theirs: values[ours] for theirs, ours in _BOX.items()}
                document["box"]["rois"].append({"name": roi.name, **entry})
            elif roi.type == "circle":
                slow, fast = values["center"]
                entry = {"center_x_pxl": fast - 0.5, "center_y_pxl": slow - 0.5, "radius_pxl": values["radius"]}
                document["circle"]["rois"].append({"name": roi.name, **entry})
            elif roi.type == "azimuthal":
                q = (
                    (values["q_min"], values["q_max"])
                    if "q_min" in values
                    else _q_limits(values["d_min"], values["d_max"])
                )
                entry = dict(zip(("q_min_recipA", "q_max_recipA"), q, strict=True))
                entry |= {key: values[key] for key in ("phi_min_deg", "phi_max_deg") if key in values}
                document["azim"]["rois"].append({"name": roi.name, **entry})
            else:
                left.append(f"{roi.name} ({roi.type})")
        if left:
            warn(f"regions that Jungfraujoch has no form for are left out: {', '.join(left)}")
        return document

    def members(self, geometry: Geometry | None, shape: tuple[int, int], *, strict: bool = True) -> RoiMembers:
        """The pixels of each region on a detector.

        Parameters
        ----------
        geometry : Geometry or None
            For azimuthal regions, with a wavelength; without it they have no pixels, and their details say so.
        shape : (slow, fast)
        strict : bool
            A region that has no pixel on the detector, or a bitmap of another shape, is an error. Else it has no
            pixels, and its details say so: for regions that were right before the detector changed.

        Raises
        ------
        SettingError
            With the field.
        """
        return members_of(self.rois, geometry, shape, strict=strict)


_BOX = {"min_x_pxl": "fast_min", "max_x_pxl": "fast_max", "min_y_pxl": "slow_min", "max_y_pxl": "slow_max"}
_AZIM = {"q_min_recipA": "q_min", "q_max_recipA": "q_max", "phi_min_deg": "phi_min_deg", "phi_max_deg": "phi_max_deg"}
_CIRCLE = {"center_x_pxl": "center", "center_y_pxl": "center", "radius_pxl": "radius"}
_KEYS = {"box": _BOX, "circle": _CIRCLE, "azim": _AZIM}
_THEIR_NAMES = {(kind, ours): theirs for kind, keys in _KEYS.items() for theirs, ours in keys.items()}


def _renamed(entry: Mapping[str, Any], keys: Mapping[str, str], kind: RoiType) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "type": kind,
        **{keys[key]: entry[key] for key in keys if entry.get(key) is not None},
    }


def _circle(entry: Mapping[str, Any]) -> dict[str, Any]:
    center = []
    for key in ("center_y_pxl", "center_x_pxl"):
        if isinstance(entry[key], bool) or not isinstance(entry[key], int | float):
            raise SettingError(f"{key} is {entry[key]!r}, expected a number", key)
        center.append(entry[key] + 0.5)
    return {"name": entry["name"], "type": "circle", "center": center, "radius": entry["radius_pxl"]}


_FROM_JUNGFRAUJOCH: dict[str, Any] = {
    "box": lambda entry: _renamed(entry, _BOX, "box"),
    "circle": _circle,
    "azim": lambda entry: _renamed(entry, _AZIM, "azimuthal"),
}


def _complete(kind: str, entry: Any) -> Mapping[str, Any]:
    """An entry of Jungfraujoch's document whose keys are all there and none other."""
    if not isinstance(entry, Mapping):
        raise SettingError(f"it is {entry!r:.60}, expected a map")
    allowed = ("name", *_KEYS[kind])
    for key in entry:
        if key not in allowed:
            raise SettingError(f"{key} is not one of {', '.join(allowed)}", str(key))
    for key in allowed:
        if key not in entry and not key.startswith("phi_"):
            raise SettingError(f"{key} is missing", key)
    return entry


def _entries(document: Any, keys: Sequence[str], place: str = "") -> dict[str, Any]:
    """What a document has under some keys, which are the only ones: a list each, or a map for "box", "circle" and
    "azim"; what is not there is empty."""
    if not isinstance(document, Mapping):
        raise SettingError(
            f"the document of regions is {document!r:.60}, expected a map with {' or '.join(keys)}", place[:-1]
        )
    for key in document:
        if key not in keys:
            near = get_close_matches(str(key), [*keys, *sum(FIELDS.values(), ())], 1)
            raise SettingError(
                f"{key!r} is not a key of it" + (f"; did you mean {near[0]}?" if near else ""), f"{place}{key}"
            )
    if keys == ("rois",):
        entries = document.get("rois")
        if not isinstance(entries, Sequence) or isinstance(entries, str | bytes):
            raise SettingError(f"rois is {entries!r:.60}, expected a list of regions", f"{place}rois")
        if len(entries) > MOST_ROIS:
            raise SettingError(f"there are {len(entries)} regions, expected at most {MOST_ROIS}", f"{place}rois")
        return {"rois": entries}
    return {key: document.get(key, {"rois": []}) for key in keys}


def _q_limits(d_min: float, d_max: float) -> tuple[float, float]:
    return 2.0 * np.pi / d_max, 2.0 * np.pi / d_min
