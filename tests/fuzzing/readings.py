"""What is done with a damaged file: what ``crystint info`` does, and every reader of such a file."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import crystint
from crystint import cbc, correlate, stills
from crystint.errors import CrystintError
from crystint.io.correlations.polar_file import read_polar
from crystint.io.describe import describe
from crystint.io.frames.masks import read_mask
from crystint.io.geometry.dials import expt_scan
from crystint.io.linked_files import files_read
from crystint.io.roi_files import read_roi_document

__all__ = ["outcome_of"]

CELL = {"cell": (78.0, 78.0, 37.0, 90.0, 90.0, 90.0), "space_group": "P 43 21 2"}


def _frames(path: Path) -> Iterator[Callable[[], object]]:
    """The first and the last frame, and what is told with them; the file is opened once."""
    with crystint.open_frames(path) as frames:
        yield lambda: frames[0]
        yield lambda: frames[-1]
        yield lambda: frames.chunk(0)
        yield lambda: frames.geometry
        yield lambda: frames.mask
        yield lambda: frames.saturation
        yield lambda: frames.scan
        yield lambda: frames.instrument
        yield frames.metadata
        yield lambda: frames.source(0)
        yield frames.all_files


def _sparse(path: Path) -> Iterator[Callable[[], object]]:
    with crystint.open_sparse(path) as file:
        yield lambda: file[0]
        yield lambda: file[-1].background.image()
        for name in (
            "rings",
            "geometry",
            "provenance",
            "sources",
            "missing",
            "peaks",
            "error_model",
            "scan",
            "instrument",
        ):
            yield lambda name=name: getattr(file, name)
        yield file.metadata


def _each(*readers: Callable[[Path], object]) -> Callable[[Path], Iterator[Callable[[], object]]]:
    return lambda path: (lambda reader=reader: reader(path) for reader in readers)


def _reference(path: Path) -> object:
    return stills.read_reference(path, **CELL)


_STILLS = _each(stills.read_stills, stills.read_data, stills.read_experiment, _reference)
READERS: dict[str, Callable[[Path], Iterator[Callable[[], object]]]] = {
    "sparse": _sparse,
    "cxi": _each(crystint.read_peaks),
    "peaks": _each(crystint.read_peaks),
    "refl": _each(crystint.read_peaks, stills.read_data),
    "expt": _each(stills.read_experiment, crystint.Geometry.read, expt_scan),
    "poni": _each(crystint.Geometry.read),
    "geom": _each(crystint.Geometry.read, read_mask),
    "json": _each(crystint.Geometry.read),
    "stream": _each(stills.read_data, stills.read_experiment),
    "mtz": _each(stills.read_data, _reference),
    "cif": _each(_reference),
    "mask": _each(read_mask),
    "cbc": _each(cbc.read_table, cbc.read_run, cbc.CBCSetup.read),
    "correlations": _each(read_polar, correlate.read_correlations),
    "stills": _STILLS,
    "journal": _each(),
    "regions": _each(crystint.read_rois, read_roi_document),
}
"""By format; others hold frames"""


def outcome_of(format: str, path: Path) -> dict[str, str]:
    """Read a file in all ways. ``kind`` is what must not be, "traceback" or "memory", when any of them ends so; else
    "read" or "error" (of crystint), as what ``crystint info`` says of the file."""
    outcomes = [_attempt(read) for read in _readings(format, path)]
    return next((each for each in outcomes if each["kind"] not in ("read", "error")), outcomes[0])


def _readings(format: str, path: Path) -> Iterator[Callable[[], object]]:
    yield lambda: describe(path)
    yield lambda: files_read([path])
    if format not in READERS:
        yield lambda: read_mask(path)
        yield lambda: crystint.Geometry.read(path)
    steps = READERS.get(format, _frames)(path)
    try:
        yield from steps
    except Exception as error:  # in opening the file, once for all that is read of it
        raised = error

        def again() -> None:
            raise raised

        yield again


def _attempt(read: Callable[[], object]) -> dict[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except CrystintError as error:
        short = [cause for cause in _causes(error) if isinstance(cause, MemoryError)]
        return {"kind": "memory" if short else "error", "text": f"{type(error).__name__}: {error}"}
    except MemoryError as error:
        return {"kind": "memory", "text": "".join(traceback.format_exception(error))}
    except BaseException as error:  # whatever a reader lets through is a fault
        return {"kind": "traceback", "text": "".join(traceback.format_exception(error))}
    return {"kind": "read", "text": ""}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
