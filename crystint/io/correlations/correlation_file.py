"""Files of angular correlations: the mean with its error, and the sums that add."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import h5py
import numpy as np

from crystint import __version__
from crystint.arrays import FileName
from crystint.errors import FileError
from crystint.io.correlations.layout import CORRELATION, check_kind, new_entry, put_axes
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, process, put
from crystint.io.hdf5.packing import GZIP
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.correlation_run import CorrelationRun
from crystint.model.correlation_sums import CorrelationSums
from crystint.model.fourier_coefficients import FourierCoefficients

__all__ = ["read_correlation_file", "write_correlation_file"]

_PACKED = GZIP.options
"""every HDF5 library has it; polar images come too fast for it"""
_SUMS = [entry.name for entry in fields(CorrelationSums) if entry.name != "spectrum"]


def write_correlation_file(
    path: FileName, run: CorrelationRun, spectrum: FourierCoefficients | None = None, *, overwrite: bool = False
) -> None:
    """Correlations with error and variance, and the sums they come from. No dates: equal runs give equal files.

    Parameters
    ----------
    run : CorrelationRun
        Written as its `norm` and `by_intensity` say; the sums are stored as they are.
    spectrum : FourierCoefficients, optional
        Of the correlations, stored as well.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    SettingError
        For a norm that there is not.
    """
    sums = run.sums
    mean = run.correlation
    cosine = run.cos_psi()
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        entry = new_entry(file, CORRELATION)
        data = group(entry, "data", "NXdata", signal="correlation", axes=["row", "lag"])
        parts = {
            "correlation": (mean, "count^2"),
            "correlation_errors": (run.error, "count^2"),
            "variance": (sums.variance(run.norm, by_intensity=run.by_intensity), "count^4"),
        }
        for name, (values, units) in parts.items():
            made = data.create_dataset(name, data=values, **_PACKED)
            made.attrs["units"] = units if run.counts else ""
        put(data, "row", np.arange(len(run.pairs)))
        put(data, "lag", sums.lags, "rad")
        put(data, "norm", run.norm)
        put(data, "by_intensity", run.by_intensity)
        put(data, "number", sums.number, long_name="exposures, or pairs of them in difference correlations")
        if cosine is not None:
            data.create_dataset("cos_psi", data=cosine, **_PACKED)
        if (run.pairs[:, 0] == run.pairs[:, 1]).all():
            own = run.pairs[:, 0]
            put_axes(data, run.radii[own], None if run.q is None else run.q[own], along=0)
        if spectrum is not None:
            coefficients = group(entry, "coefficients", "NXdata", signal="real", axes=["row", "harmonic"])
            columns = {
                "real": spectrum.values.real,
                "imaginary": spectrum.values.imag,
                "real_errors": spectrum.error,
                "pixel_noise": spectrum.noise,
            }
            for name, values in columns.items():
                put(coefficients, name, values, "count^2" if run.counts else "")
            put(coefficients, "harmonic", np.arange(spectrum.values.shape[1]))
            put(coefficients, "row", np.arange(len(spectrum.values)))
        rings = group(entry, "grid", "NXcollection")
        put_axes(rings, run.radii, run.q)
        put(rings, "pairs", run.pairs, long_name="numbers of the two rings of each row")
        if run.wavelength is not None:
            put(rings, "wavelength", run.wavelength, "angstrom")
        put(rings, "kind", run.kind)
        put(rings, "rows", "q" if run.of_q else "radius")
        put(rings, "direction", run.direction)
        stored = group(entry, "sums", "NXcollection")
        _store(stored, sums)
        if sums.spectrum is not None:
            _store(group(stored, "spectrum", "NXcollection"), sums.spectrum)
        process(entry, "process", run.provenance, run.provenance)


def _store(parent: h5py.Group, sums: CorrelationSums) -> None:
    for name in _SUMS:
        value = getattr(sums, name)
        how = _PACKED if np.ndim(value) and np.size(value) else {}
        parent.create_dataset(name, data=value, **how)


def _stored(path: FileName, parent: h5py.Group) -> CorrelationSums:
    parts: dict[str, Any] = {name: np.asarray(parent[name][()]) for name in _SUMS}
    parts["number"] = int(parts["number"])
    if any(np.ndim(value) != 2 for name, value in parts.items() if name != "number"):
        raise FileError(f"{path}: damaged (sums of {parts['total'].shape})")
    return CorrelationSums(**parts)


@reads_file
def read_correlation_file(path: FileName) -> CorrelationRun:
    """The run that `write_correlation_file` stored; it adds to others.

    Raises
    ------
    FileError
        When the file is missing, damaged, or something else.
    """
    with open_hdf5(path) as file:
        check_kind(path, file, CORRELATION, "correlations")
        entry, rings, stored = file["entry"], file["entry/grid"], file["entry/sums"]
        sums = _stored(path, stored)
        if "spectrum" in stored:  # files of older versions have none
            sums = replace(sums, spectrum=_stored(path, stored["spectrum"]))
        run = CorrelationRun(
            sums=sums,
            radii=rings["radius"][()],
            q=rings["q"][()] if "q" in rings else None,
            pairs=rings["pairs"][()],
            wavelength=float(rings["wavelength"][()]) if "wavelength" in rings else None,
            kind=rings["kind"].asstr()[()],
            norm=entry["data/norm"].asstr()[()],
            by_intensity=bool(entry["data/by_intensity"][()]),
            of_q=rings["rows"].asstr()[()] == "q",
            direction=int(rings["direction"][()]),
        )
    run.provenance.update(read_provenance(path))
    return run
