"""Parameters of regions of interest: which ones each type has, and which values they can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from crystint.errors import SettingError

__all__ = ["FIELDS", "checked"]

FIELDS: dict[str, tuple[str, ...]] = {
    "box": ("slow_min", "slow_max", "fast_min", "fast_max"),
    "circle": ("center", "radius"),
    "azimuthal": ("q_min", "q_max", "d_min", "d_max", "phi_min_deg", "phi_max_deg"),
    "polygon": ("corners",),
    "bitmap": ("shape", "runs"),
}
"""Parameters of each type, in their order."""

_FAR = 1e6
"""px"""
_MOST_CORNERS = 1000
_MOST_PIXELS = 2**31 - 1


def checked(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a region, in their order, as plain Python values.

    Raises
    ------
    SettingError
        With the field.
    """
    fields = FIELDS[kind]
    for key in parameters:
        if key not in fields:
            near = get_close_matches(str(key), fields, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(fields)}"
            raise SettingError(f"{key} is not a parameter of type {kind}{hint}", str(key))
    values = _CHECKS[kind](parameters)
    return {key: values[key] for key in fields if key in values}


def _value(parameters: Mapping[str, Any], key: str) -> Any:
    if key not in parameters:
        raise SettingError(f"{key} is missing", key)
    return parameters[key]


def _whole(parameters: Mapping[str, Any], key: str) -> int:
    return _whole_number(_value(parameters, key), key)


def _whole_number(value: Any, key: str) -> int:
    number = _number(value, key, _MOST_PIXELS)
    if number != math.floor(number):
        raise SettingError(f"{key} is {value!r:.60}, expected a whole number", key)
    return int(number)


def _number(value: Any, key: str, far: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise SettingError(f"{key} is {value!r:.60}, expected a number", key)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) > far:
        limit = "" if math.isinf(far) else f" of at most {far:g}"
        raise SettingError(f"{key} is {value!r:.60}, expected a finite number{limit}", key)
    return number


def _position(value: Any, key: str) -> tuple[float, float]:
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != 2:
        raise SettingError(f"{key} is {value!r:.60}, expected [slow, fast] in px", key)
    return _number(value[0], key, _FAR), _number(value[1], key, _FAR)


def _box(parameters: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: _whole(parameters, key) for key in FIELDS["box"]}
    for axis in ("slow", "fast"):
        low, high = values[f"{axis}_min"], values[f"{axis}_max"]
        if low > high:
            raise SettingError(f"{axis}_min is {low}, above {axis}_max, which is {high}", f"{axis}_min")
    return values


def _circle(parameters: Mapping[str, Any]) -> dict[str, Any]:
    center = _position(_value(parameters, "center"), "center")
    radius = _number(_value(parameters, "radius"), "radius", _FAR)
    if not radius > 0:
        raise SettingError(f"radius is {radius:g}, expected px above 0", "radius")
    return {"center": center, "radius": radius}


def _azimuthal(parameters: Mapping[str, Any]) -> dict[str, Any]:
    of_q, of_d = ([key for key in (f"{name}_min", f"{name}_max") if key in parameters] for name in "qd")
    if of_q and of_d:
        raise SettingError("it has limits of q and of d, expected one of both", of_d[0])
    if len(of_q) + len(of_d) != 2:
        name = "d" if of_d else "q"
        missing = next(key for key in (f"{name}_min", f"{name}_max") if key not in parameters)
        what = "" if of_q or of_d else ", and so are q_max, d_min and d_max: a ring has two limits of q or of d"
        raise SettingError(f"{missing} is missing{what}", missing)
    low, high = keys = of_q or of_d
    values = {key: _number(parameters[key], key) for key in keys}
    if values[low] < 0 or (of_d and not values[low] > 0):
        raise SettingError(f"{low} is {values[low]:g}, expected a number {'above' if of_d else 'from'} 0", low)
    if not values[low] < values[high]:
        raise SettingError(f"{low} is {values[low]:g}, expected less than {high}, which is {values[high]:g}", low)
    angles = [key for key in ("phi_min_deg", "phi_max_deg") if key in parameters]
    if len(angles) == 1:
        other = "phi_max_deg" if angles == ["phi_min_deg"] else "phi_min_deg"
        raise SettingError(f"{other} is missing: a sector has two angles", other)
    values |= {key: _number(parameters[key], key, 1e6) for key in angles}
    if angles:
        start, stop = values["phi_min_deg"], values["phi_max_deg"]
        if stop - start < 360.0 and start % 360.0 % 360.0 == stop % 360.0 % 360.0:
            raise SettingError(
                f"phi_min_deg and phi_max_deg are both {start % 360.0:g}, expected two angles", "phi_max_deg"
            )
    return values


def _polygon(parameters: Mapping[str, Any]) -> dict[str, Any]:
    corners = _value(parameters, "corners")
    if not isinstance(corners, list | tuple | np.ndarray) or not 3 <= len(corners) <= _MOST_CORNERS:
        raise SettingError(
            f"corners are {corners!r:.60}, expected 3 to {_MOST_CORNERS} of [slow, fast] in px", "corners"
        )
    return {"corners": tuple(_position(corner, f"corners.{number}") for number, corner in enumerate(corners))}


def _bitmap(parameters: Mapping[str, Any]) -> dict[str, Any]:
    shape, runs = _value(parameters, "shape"), _value(parameters, "runs")
    if not isinstance(shape, list | tuple) or len(shape) != 2:
        raise SettingError(f"shape is {shape!r:.60}, expected [slow, fast] pixels", "shape")
    slow, fast = (_whole_number(value, "shape") for value in shape)
    if min(slow, fast) < 1 or slow * fast > _MOST_PIXELS:
        raise SettingError(f"shape is {shape!r}, expected two numbers above 0", "shape")
    if not isinstance(runs, list | tuple) or not runs:
        raise SettingError(
            f"runs are {runs!r:.60}, expected [start, stop] of pixel numbers slow * width + fast", "runs"
        )
    before, checked_runs = -1, []
    for number, run in enumerate(runs):
        if not isinstance(run, list | tuple) or len(run) != 2:
            raise SettingError(f"runs.{number} is {run!r:.60}, expected [start, stop]", f"runs.{number}")
        start, stop = (_whole_number(value, f"runs.{number}") for value in run)
        if not before < start < stop <= slow * fast:
            raise SettingError(
                f"runs.{number} is [{start}, {stop}], expected pixel numbers behind the run before it, "
                f"below {slow * fast}",
                f"runs.{number}",
            )
        checked_runs.append((start, stop))
        before = stop
    return {"shape": (slow, fast), "runs": tuple(checked_runs)}


_CHECKS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "box": _box,
    "circle": _circle,
    "azimuthal": _azimuthal,
    "polygon": _polygon,
    "bitmap": _bitmap,
}
