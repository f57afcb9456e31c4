"""The beam in HDF5 files: its wavelength and its polarization, wherever they stand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from crystint.io.hdf5.nexus_values import energy, find_group, length, place_of, quantity
from crystint.model.partial_geometry import PartialGeometry
from crystint.units import wavelength_of

__all__ = ["beam_geometry"]

_BEAM = ("entry/instrument/beam", "entry/sample/beam")


def beam_geometry(file: h5py.File, detector: h5py.Group) -> PartialGeometry:
    """Wavelength, angstrom, from the wavelength or the photon energy, and polarization from the Stokes parameters.

    Raises
    ------
    GeometryError
        When the unit of a wavelength is no length, or that of an energy no energy.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for holder in _holders(file, detector):
        for key in ("incident_wavelength", "wavelength", "incident_energy", "photon_energy", "energy"):
            if "wavelength" not in values and (wavelength := _wavelength(holder, key)) is not None:
                values["wavelength"], places["wavelength"] = wavelength, place_of(holder, key)
    beam = find_group(file, _BEAM, "NXbeam")
    if beam is not None and (polarization := _polarization(beam)) is not None:
        values["polarization"] = polarization
        places["polarization"] = place_of(beam, "incident_polarization_stokes")
    return PartialGeometry(values, places)


def _holders(file: h5py.File, detector: h5py.Group) -> Iterator[h5py.Group]:
    """Groups that may hold the wavelength, the most trusted first."""
    for usual, kind in ((_BEAM, "NXbeam"), ((), "NXmonochromator")):
        holder = find_group(file, usual, kind)
        if holder is not None:
            yield holder
    for path in ("entry/instrument/monochromator", "entry/instrument", "entry_1/instrument_1/source_1"):
        item = file.get(path)
        if isinstance(item, h5py.Group):
            yield item
    item = detector.get("detectorSpecific")
    if isinstance(item, h5py.Group):
        yield item
    yield detector


def _wavelength(holder: h5py.Group, key: str) -> float | None:
    """Angstrom, which is also meant where a wavelength has no unit."""
    stored = quantity(holder, key)
    if stored is None or stored.value <= 0.0:
        return None
    if "energy" in key:
        return wavelength_of(energy(holder, key) or math.nan)
    return (length(holder, key) or math.nan) * 1e10 if stored.unit else stored.value


def _polarization(beam: h5py.Group) -> float | None:
    """Polarization factor from the Stokes parameters (I, Q, U, V) of NXbeam: Q / I; None when absent."""
    item = beam.get("incident_polarization_stokes")
    if not isinstance(item, h5py.Dataset) or item.shape[-1:] != (4,):
        return None
    stokes = np.asarray(item[()], dtype=np.float64).reshape(-1, 4)[0]
    factor = stokes[1] / stokes[0] if stokes[0] > 0 else math.nan
    return float(factor) if abs(factor) <= 1 else None
