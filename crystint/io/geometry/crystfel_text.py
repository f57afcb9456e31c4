"""The text of a CrystFEL geometry: its panels as cfelpyutils reads them, and the keys that it leaves out.

Meaning and units of the keys: crystfel_geometry(5) of CrystFEL 0.11.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crystint.errors import GeometryError, unreadable, warn
from crystint.io.hdf5.nexus_values import Quantity
from crystint.units import electron_wavelength, energy_of, wavelength_of

__all__ = ["CrystfelText", "parse_geom", "read_geom_text"]

_PANEL = {
    *("min_fs", "max_fs", "min_ss", "max_ss", "corner_x", "corner_y", "fs", "ss", "res", "clen", "coffset", "data"),
    *("no_index", "mask_edge_pixels", "max_adu", "adu_per_eV", "adu_per_photon", "mask", "mask_file"),
    *("flag_lessthan", "flag_morethan", "flag_equal", "saturation_map", "saturation_map_file", "badrow_direction"),
    *("rail_direction", "clen_for_centering", "rigid_group"),
}
"""Keys of a panel, or of all panels after them."""
_TOP = {
    *("photon_energy", "photon_energy_scale", "wavelength", "electron_voltage", "bandwidth"),
    *("detector_shift_x", "detector_shift_y", "mask_good", "mask_bad"),
    *("peak_list", "peak_list_type", "peak_info_location"),
}
_BAD = {"min_x", "max_x", "min_y", "max_y", "min_fs", "max_fs", "min_ss", "max_ss", "panel"}
_NUMBERED = re.compile(r"dim\d+$|mask[0-7]_(data|file|goodbits|badbits)$|(rigid_)?group_")
_BEAM_ONLY = {"bandwidth": "the beam counts as of one wavelength", "photon_energy_scale": ""}
_PIXELS_ONLY = {
    "flag_lessthan": "no pixel is masked by its value",
    "flag_equal": "no pixel is masked by its value",
    "flag_morethan": "--saturation sets the largest valid count",
    "saturation_map": "--saturation sets the largest valid count",
    "saturation_map_file": "--saturation sets the largest valid count",
    "badrow_direction": "",
}
"""Keys that crystint does not apply, of the geometry and of the mask, and what there is instead."""
_TRUE = {"1", "true", "yes"}


@dataclass(frozen=True, eq=False)
class CrystfelText:
    """What a geometry says; lengths of cfelpyutils in m, corners with the shift of the detector in them."""

    path: Path
    """for messages"""
    panels: Mapping[str, Any]
    """cfelpyutils's panels by name"""
    bad: Mapping[str, Any]
    """cfelpyutils's bad regions by name"""
    top: Mapping[str, str]
    """the last value of each key that stands outside panels"""
    own: Mapping[str, Mapping[str, str]]
    """of each panel, all its keys and values as written"""

    @cached_property
    def length_place(self) -> str:
        """Where in the data files the camera length is, with its unit; "" when it is here."""
        places = [panel["clen_from"] for panel in self.panels.values() if panel["clen_from"]]
        return str(places[0]) if places else ""

    @property
    def has_length(self) -> bool:
        """Whether every panel has a camera length that is a number."""
        return all(not panel["clen_from"] and math.isfinite(panel["clen"]) for panel in self.panels.values())

    @property
    def wavelength(self) -> float | None:
        """Angstrom; None when it is absent or in the data files."""
        for key, default in (("wavelength", "m"), ("photon_energy", "ev"), ("electron_voltage", "v")):
            value = self.top.get(key, "")
            if not value or value.startswith("/"):
                continue
            number, unit = _number_and_unit(self.path, key, value)
            if number > 0.0:
                return _wavelength(self.path, key, number, unit.lower() or default)
        return None

    @property
    def beam_place(self) -> str:
        """The key of the wavelength and its place in the data files; "" when it is a number, or absent."""
        for key in ("wavelength", "photon_energy", "electron_voltage"):
            if self.top.get(key, "").startswith("/"):
                return f"{key} = {self.top[key]}"
        return ""

    @property
    def saturation(self) -> float | None:
        """The smallest max_adu of the panels; None = there is none."""
        limits = [float(panel["max_adu"]) for panel in self.panels.values()]
        return min((limit for limit in limits if math.isfinite(limit) and limit > 0.0), default=None)

    def flagged(self, panel: str) -> bool:
        """Whether a panel is to be left out, by no_index."""
        return self.own[panel].get("no_index", "0").lower() in _TRUE

    def edge(self, panel: str) -> int:
        """How many pixels at each edge of a panel are bad.

        Raises
        ------
        GeometryError
            When it is no whole number.
        """
        text = self.own[panel].get("mask_edge_pixels", "0")
        if not text.isdigit():
            raise GeometryError(f"{self.path}: mask_edge_pixels is {text!r}, expected a whole number")
        return int(text)

    def warn_of_the_geometry(self) -> None:
        """Name the keys of the geometry that change nothing, or that crystint does not know."""
        unknown = sorted(key for key in self._values if key not in _PANEL | _TOP and not _NUMBERED.match(key))
        if unknown:
            warn(f"{self.path}: keys that crystint does not know change nothing: {', '.join(unknown[:12])}")
        self._warn_of(_BEAM_ONLY)
        for axis in "xy":
            if (shift := self.top.get(f"detector_shift_{axis}", "")).startswith("/"):
                warn(f"{self.path}: detector_shift_{axis} = {shift} is a place in the data files and is not applied")
        energy = energy_of(self.wavelength or 1.24)
        for key, scale in (("adu_per_photon", 1.0), ("adu_per_eV", energy)):
            gains = {float(values[key]) * scale for values in self.own.values() if _is_number(values.get(key))}
            if any(not 0.5 <= gain <= 2.0 for gain in gains if gain > 0.0):  # 0.0001 per eV is written for photons
                units = ", ".join(f"{gain:.3g}" for gain in sorted(gains)[:3])
                warn(f"{self.path}: {key} is not applied: {units} units per photon are taken for photons")

    def warn_of_the_mask(self) -> None:
        """Name the keys of the mask that are not applied."""
        self._warn_of(_PIXELS_ONLY)

    def _warn_of(self, keys: Mapping[str, str]) -> None:
        for key, instead in keys.items():
            value = self._values.get(key, "")
            if value not in ("", "-"):
                warn(f"{self.path}: {key} = {value} is not applied{instead and '; ' + instead}")

    @property
    def _values(self) -> dict[str, str]:
        """One value of each key that is anywhere."""
        return {key: value for values in self.own.values() for key, value in values.items()} | dict(self.top)


def read_geom_text(path: Path) -> CrystfelText:
    """A geometry file.

    Raises
    ------
    FileError
        When it cannot be read.
    GeometryError
        When it is no geometry.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_geom(text, path)


def parse_geom(text: str, path: Path) -> CrystfelText:
    """The text of a geometry; `path` is for messages.

    Raises
    ------
    GeometryError
        When the text is no geometry.
    """
    with warnings.catch_warnings():  # of the TypedDict that it builds on
        warnings.simplefilter("ignore", DeprecationWarning)
        from cfelpyutils.geometry import load_crystfel_geometry
    top: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {}
    lines = ["adu_per_photon = 1"]  # cfelpyutils asks for one
    for panel, key, value in _entries(text):
        if not panel:
            top[key] = value
        elif not panel.startswith("bad"):
            if panel not in own:
                own[panel] = {each: there for each, there in top.items() if each in _PANEL or _NUMBERED.match(each)}
            own[panel][key] = value
        elif key not in _BAD:
            warn(f"{path}: {panel}/{key} is no key of a bad region and changes nothing")
            continue
        streamed = key == "data" and not value.startswith("/")  # a key of messages, which cfelpyutils does not expect
        if "group" not in key and not streamed:  # nothing here depends on them
            lines.append(f"{panel + '/' if panel else ''}{key} = {_plain(path, key, value)}")
    messages = io.StringIO()
    try:
        with contextlib.redirect_stdout(messages), contextlib.redirect_stderr(messages):
            parsed = load_crystfel_geometry(io.StringIO("\n".join(lines) + "\n")).detector
    except SystemExit:
        raise GeometryError(f"{path} is not a valid CrystFEL geometry: {messages.getvalue().strip()}") from None
    except Exception as error:  # cfelpyutils raises what its parsing raises
        raise GeometryError(f"{path} is not a valid CrystFEL geometry: {error}") from error
    for axis in "xy":
        shift = top.get(f"detector_shift_{axis}", "0")
        if not shift.startswith("/"):
            metres = _metres(path, f"detector_shift_{axis}", shift)
            for panel in parsed["panels"].values():
                panel[f"cn{axis}"] += metres * panel["res"]
    return CrystfelText(path, parsed["panels"], parsed["bad"], top, own)


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """(panel or "", key, value) of each line; comments go."""
    for line in text.splitlines():
        name, equals, value = line.partition(";")[0].partition("=")
        if not equals or not name.strip():
            continue
        panel, slash, key = name.strip().rpartition("/")
        yield (panel, key, value.strip()) if slash else ("", name.strip(), value.strip())


def _plain(path: Path, key: str, value: str) -> str:
    """A value in the terms of cfelpyutils: lengths in m, energies in eV, both without a unit."""
    if value.startswith("/"):
        return value.split()[0] if key in ("clen", "photon_energy") else value
    if key in ("clen", "coffset"):
        return repr(_metres(path, key, value))
    return "0" if key == "photon_energy" else value


def _metres(path: Path, key: str, value: str) -> float:
    number, unit = _number_and_unit(path, key, value)
    metres = Quantity(number, unit.lower() or "m").metres
    if metres is None:
        raise GeometryError(f"{path}: {key} is in {unit!r}, expected m or mm")
    return metres


def _number_and_unit(path: Path, key: str, value: str) -> tuple[float, str]:
    match = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµ]*)", value)
    if match is None:
        raise GeometryError(f"{path}: {key} is {value!r}, expected a number and its unit")
    return float(match[1]), match[2]


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and math.isfinite(float(text))
    except ValueError:
        return False


def _wavelength(path: Path, key: str, number: float, unit: str) -> float:
    """Angstrom, of a wavelength, a photon energy or the voltage of an electron microscope."""
    scales = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "v": 1.0, "kv": 1e3}
    metres = Quantity(number, unit).metres
    if key == "wavelength" and metres is not None:
        return metres * 1e10
    if key == "photon_energy" and unit in scales and unit.endswith("ev"):
        return wavelength_of(number * scales[unit])
    if key == "electron_voltage" and unit in scales and not unit.endswith("ev"):
        return electron_wavelength(number * scales[unit])
    expected = {"wavelength": "m or A", "photon_energy": "eV or keV", "electron_voltage": "V or kV"}[key]
    raise GeometryError(f"{path}: {key} is in {unit!r}, expected {expected}")
