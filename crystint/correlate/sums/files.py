"""Polar images and correlations in HDF5 files, and back.

/entry                 NXentry
    data               NXdata: values and weights of polar images, or the correlation with its error and variance
    sums, grid         NXcollection: of correlations, the sums that files add by, and the rings they are of
    process            how it was made
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from os import PathLike
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.correlate.polar.polar import PolarImage
from crystint.correlate.polar.polar_grid import PolarGrid
from crystint.correlate.sums.correlation_sums import CorrelationSums
from crystint.correlate.sums.harmonics import fourier_coefficients
from crystint.correlate.sums.result import CorrelationRun
from crystint.errors import FileError
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, process, put
from crystint.io.hdf5.packing import BSLZ4, GZIP, ChunkWriter
from crystint.io.hdf5.provenance import read_provenance

__all__ = ["PolarFile", "kind_of", "polar_writer", "read_correlations", "read_polar", "write_correlations"]

Source = str | PathLike[str]
_POLAR, _CORRELATION = "crystint polar images", "crystint angular correlations"
_PACKED = GZIP.options
"""of correlations: every HDF5 library has it. Polar images come too fast for it."""
_SUMS = [entry.name for entry in fields(CorrelationSums)]


class PolarFile:
    """Polar images that are put into an open file one by one; rows never written are NaN, with weight 0."""

    def __init__(self, values: h5py.Dataset, weights: h5py.Dataset) -> None:
        self._values, self._weights = (ChunkWriter(data, BSLZ4, waiting=0) for data in (values, weights))

    def write(self, number: int, image: PolarImage) -> None:
        """Put the image of a frame in its place."""
        self._values.put(number, 1, image.values[None])
        self._weights.put(number, 1, image.weights[None])


@contextmanager
def polar_writer(
    path: Source,
    grid: PolarGrid,
    frames: int,
    *,
    q: NDArray[np.float64] | None = None,
    provenance: Callable[[], Mapping[str, Any]],
    overwrite: bool = False,
) -> Iterator[PolarFile]:
    """A new file for the polar images of so many frames, compressed frame by frame.

    `provenance` is asked for when all frames are written: by then it is known which could not be read.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        entry = _entry(file, _POLAR)
        axis = "radius" if grid.q is None else "q"
        data = group(entry, "data", "NXdata", signal="values", axes=[".", axis, "azimuth"], azimuth_indices=2)
        shape = (frames, *grid.shape)
        how: dict[str, Any] = {"dtype": np.float32, "chunks": (1, *grid.shape), **BSLZ4.options}
        values = data.create_dataset("values", shape, fillvalue=np.nan, **how)
        weights = data.create_dataset("weights", shape, fillvalue=0.0, **how)
        values.attrs["units"] = "count"
        values.attrs["long_name"] = "counts per pixel; NaN = no data"
        weights.attrs["long_name"] = "share of the cell that rests on data"
        _put_axes(data, grid.radii, grid.q if grid.q is not None else q, along=1)
        put(data, "azimuth", grid.angles, "rad", long_name="from the fast axis towards the slow one")
        put(entry, "center", np.array(grid.center), "pixel", long_name="(slow, fast) from the outer corner")
        yield PolarFile(values, weights)
        made = provenance()
        process(entry, "process", made, made)


def read_polar(path: Source, number: int = 0) -> tuple[PolarImage, NDArray[np.float64] | None, int]:
    """One polar image of a file, the q of its rows where known, and how many images there are.

    The grid of the image has the radii and directions of the file, and its q where rows were laid out by q.

    Raises
    ------
    FileError
        When the file is missing, damaged, or something else, or has no such frame.
    """
    with open_hdf5(path) as file:
        _check_kind(path, file, _POLAR, "polar images")
        try:
            data = file["entry/data"]
            count = len(data["values"])
            if not -count <= number < count:
                raise FileError(f"{path} has frames 0 to {count - 1}, not {number}")
            values, weights = data["values"][number % count], data["weights"][number % count]
            angles, radii = data["azimuth"][()], data["radius"][()]
            q = data["q"][()] if "q" in data else None
            rows = q if "q" in data.attrs["axes"] else None
            center = tuple(float(part) for part in file["entry/center"][()])
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise error if isinstance(error, FileError) else FileError(f"{path}: damaged ({error})") from error
    direction = -1 if len(angles) > 1 and angles[1] < angles[0] else 1
    grid = PolarGrid((center[0], center[1]), radii, len(angles), float(angles[0]), direction, rows)
    return PolarImage(values, grid, weights), q, count


def write_correlations(
    path: Source,
    run: CorrelationRun,
    *,
    coefficients: int | None = None,
    overwrite: bool = False,
) -> None:
    """Correlations with error and variance, and the sums they come from. No dates: equal runs give equal files.

    Parameters
    ----------
    path : path
        Ends with .h5.
    run : CorrelationRun
        Written as its `norm` and `by_intensity` say; the sums are stored as they are.
    coefficients : int, optional
        Store Fourier coefficients up to this harmonic as well.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    SettingError
        For a norm or a harmonic that there is not.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> correlate.write_correlations("run.h5", run)
    >>> bool((correlate.read_correlations("run.h5").correlation == run.correlation).all())
    True
    """
    sums = run.sums
    mean = run.correlation
    spectrum = None if coefficients is None else fourier_coefficients(mean, coefficients)
    cosine = run.cos_psi()
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        entry = _entry(file, _CORRELATION)
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
            _put_axes(data, run.radii[own], None if run.q is None else run.q[own], along=0)
        if spectrum is not None:
            found = group(entry, "coefficients", "NXdata", signal="real", axes=["row", "harmonic"])
            for name, values in (("real", spectrum.real), ("imaginary", spectrum.imag)):
                put(found, name, values, "count^2" if run.counts else "")
            put(found, "harmonic", np.arange(spectrum.shape[1]))
            put(found, "row", np.arange(len(spectrum)))
        rings = group(entry, "grid", "NXcollection")
        _put_axes(rings, run.radii, run.q)
        put(rings, "pairs", run.pairs, long_name="numbers of the two rings of each row")
        if run.wavelength is not None:
            put(rings, "wavelength", run.wavelength, "angstrom")
        put(rings, "kind", run.kind)
        put(rings, "rows", "q" if run.of_q else "radius")
        put(rings, "direction", run.direction)
        kept = group(entry, "sums", "NXcollection")
        for name in _SUMS:
            value = getattr(sums, name)
            how = _PACKED if np.ndim(value) and np.size(value) else {}
            kept.create_dataset(name, data=value, **how)
        process(entry, "process", run.provenance, run.provenance)


def read_correlations(path: Source) -> CorrelationRun:
    """The run that `write_correlations` stored; it adds to others.

    Parameters
    ----------
    path : path

    Returns
    -------
    CorrelationRun

    Raises
    ------
    FileError
        When the file is missing, damaged, or something else.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> correlate.write_correlations("run.h5", run)
    >>> correlate.read_correlations("run.h5").sums.number
    20
    """
    with open_hdf5(path) as file:
        _check_kind(path, file, _CORRELATION, "correlations")
        try:
            entry, rings, kept = file["entry"], file["entry/grid"], file["entry/sums"]
            parts = {name: kept[name][()] for name in _SUMS}
            number = int(parts.pop("number"))
            sums = CorrelationSums(**{name: np.asarray(value) for name, value in parts.items()}, number=number)
            if sums.total.ndim != 2 or any(np.ndim(value) != 2 for value in parts.values()):
                raise FileError(f"{path}: damaged (sums of {sums.total.shape})")
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
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise error if isinstance(error, FileError) else FileError(f"{path}: damaged ({error})") from error
    run.provenance.update(read_provenance(path))
    return run


def kind_of(path: Source) -> str:
    """ "polar" or "correlation".

    Raises
    ------
    FileError
        When the file is missing or something else.
    """
    with open_hdf5(path) as file:
        kind = _kind(file)
    if kind not in (_POLAR, _CORRELATION):
        raise FileError(f"{path} holds neither polar images nor correlations; expected what `crystint correlate` wrote")
    return "polar" if kind == _POLAR else "correlation"


def _entry(file: h5py.File, kind: str) -> h5py.Group:
    file.attrs["default"] = "entry"
    entry = group(file, "entry", "NXentry", default="data")
    put(entry, "title", kind)
    return entry


def _put_axes(
    parent: h5py.Group, radii: NDArray[np.float64], q: NDArray[np.float64] | None, along: int | None = None
) -> None:
    """Radii, and q where it is known: of an axis of the data, in a NXdata."""
    for name, values, units in (("radius", radii, "pixel"), ("q", q, "1/angstrom")):
        if values is not None:
            put(parent, name, values, units)
            if along is not None:
                parent.attrs[f"{name}_indices"] = along


def _kind(file: h5py.File) -> str:
    title = file.get("entry/title")
    try:
        return str(title.asstr()[()]) if isinstance(title, h5py.Dataset) else ""
    except (TypeError, OSError):
        return ""


def _check_kind(path: Source, file: h5py.File, kind: str, what: str) -> None:
    if _kind(file) != kind:
        raise FileError(f"{path} holds no {what}; expected what `crystint correlate` wrote")
