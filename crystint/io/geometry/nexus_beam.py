"""The beam in HDF5 files: its wavelength and its polarization, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import warn
from crystint.io.hdf5.nexus_values import electronvolts, groups_of_class, metres, place_of, unit_of
from crystint.model.facts import range_text
from crystint.model.partial_geometry import PartialGeometry
from crystint.units import HC

__all__ = ["beam_geometry"]

_WAVES = ("incident_wavelength", "wavelength", "photon_wavelength_A")
_ENERGIES = ("incident_energy", "photon_energy", "energy", "photon_energy_eV", "photon_energy_ev")
_SAME_FACTOR = 0.01
"""of polarization"""
_SAME = 1e-6
"""relative: wavelengths that agree so well are one"""


def beam_geometry(file: h5py.File, detector: h5py.Group | None, frames: int | None = None) -> PartialGeometry:
    """Wavelength, angstrom, from the wavelength or the photon energy, and polarization from the Stokes parameters.

    Of an array with weights the weighted mean is taken; one value per frame is that of the frame, and their mean that
    of all; of other arrays the mean, with a warning.

    Parameters
    ----------
    file : h5py.File
    detector : h5py.Group, optional
        Beams beside it come first.
    frames : int, optional
        How many the file has.

    Raises
    ------
    GeometryError
        When the unit of a wavelength is no length, or that of an energy no energy.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    each: Floats | None = None
    beams = list(_beams(file, detector))
    for holder, key in ((holder, key) for holder in beams for key in (*_WAVES, *_ENERGIES)):
        stored = _wavelengths(holder, key)
        if stored is not None:
            values["wavelength"], each = _one_or_each(holder, key, stored, frames)
            places["wavelength"] = place_of(holder, key)
            break
    for holder in beams:
        if "polarization" not in values and (factor := _polarization(holder)) is not None:
            values["polarization"] = factor
            places["polarization"] = place_of(holder, "incident_polarization_stokes")
    return PartialGeometry(values, places, each)


def _beams(file: h5py.File, detector: h5py.Group | None) -> Iterator[h5py.Group]:
    """Groups that may hold the wavelength, the most trusted first: near the detector before others."""
    near = [] if detector is None else [detector.parent, detector.parent.parent]
    for top in (*near, file):
        yield from groups_of_class(top, "NXbeam")
        yield from groups_of_class(top, "NXmonochromator")
    paths = ("entry/instrument/beam", "entry/sample/beam", "entry/instrument/monochromator")
    for path in (*paths, "entry/instrument", "entry_1/instrument_1/source_1", "LCLS"):
        item = file.get(path)
        if isinstance(item, h5py.Group):
            yield item
    if detector is not None:
        item = detector.get("detectorSpecific")
        if isinstance(item, h5py.Group):
            yield item
        yield detector


def _wavelengths(holder: h5py.Group, key: str) -> Floats | None:
    """Angstrom, NaN where there is none; None when all are. Without units angstrom and eV are meant."""
    item = holder.get(key)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or not item.size:
        return None
    values = np.asarray(item[()], dtype=np.float64)
    values = np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
    if np.isnan(values).all():
        return None
    if key in _ENERGIES:
        return np.asarray(HC / electronvolts(values, item))
    return np.asarray(metres(values, item) * 1e10 if unit_of(item) else values)


def _one_or_each(
    holder: h5py.Group, key: str, values: Floats, frames: int | None
) -> tuple[float, NDArray[np.float64] | None]:
    """The wavelength of all frames, and that of each where the file tells it."""
    weights = _weights(holder, key, values)
    if weights is not None:
        values = np.asarray(np.nansum(values * weights, axis=-1) / np.sum(weights, axis=-1))
    flat = values.reshape(-1)
    mean = float(np.nanmean(flat))
    place = f"{holder.file.filename}: {place_of(holder, key)}"
    if len(flat) == frames and np.isnan(flat).any():
        warn(
            f"{place} has none for {np.isnan(flat).sum()} of {frames} frames; the mean of the others is used for these"
        )
    if np.nanmax(np.abs(flat / mean - 1.0)) <= _SAME:
        return float(flat[np.isfinite(flat)][0]), None
    if len(flat) != frames:
        warn(
            f"{place} gives {len(flat)} wavelengths, {range_text(flat, 'angstrom', '.6g')}, with neither weights nor "
            f"one for each of {frames or 'the'} frames; their mean is used, {mean:.6g}"
        )
        return mean, None
    return mean, np.where(np.isnan(flat), mean, flat)


def _weights(holder: h5py.Group, key: str, values: Floats) -> Floats | None:
    """The weights of a spectrum along its last axis; 0 where there is no wavelength."""
    for name in (f"{key}_weights", f"{key}_weight"):
        item = holder.get(name)
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and item.shape[-1:] == values.shape[-1:] != ():
            weights = np.asarray(item[()], dtype=np.float64)
            weights = np.where(np.isfinite(weights + values) & (weights > 0.0), weights, 0.0)
            if weights.sum(axis=-1).all():
                return np.asarray(weights)
    return None


def _polarization(beam: h5py.Group) -> float | None:
    """Polarization factor from the Stokes parameters (I, Q, U, V) of NXbeam: Q / I; None when absent."""
    item = beam.get("incident_polarization_stokes")
    if not isinstance(item, h5py.Dataset) or item.shape[-1:] != (4,):
        return None
    stokes = np.asarray(item[()], dtype=np.float64).reshape(-1, 4)
    stokes = stokes[stokes[:, 0] > 0.0]
    if not len(stokes) or not (np.abs(factors := stokes[:, 1] / stokes[:, 0]) <= 1.0).all():
        return None
    if np.ptp(factors) > _SAME_FACTOR:
        place = f"{beam.file.filename}: {place_of(beam, 'incident_polarization_stokes')}"
        warn(f"{place} gives polarizations of {range_text(factors)}; their mean is used, {factors.mean():.4g}")
    return float(factors.mean())
