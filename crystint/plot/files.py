"""Files as pictures: the functions that the catalogue of kinds, `crystint.io.kinds`, names for ``crystint plot``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from crystint.errors import FileError, GeometryError, ShapeError, warn
from crystint.io.describe_reflections import crystal, rows_of
from crystint.io.frames.masks import mask_in, read_mask
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.frames.sources import reader_of
from crystint.io.geometry.files import geometry_in
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.files import peaks_in, read_peaks, spots_in
from crystint.io.recognise import notes
from crystint.io.sparse.open import sparse_in
from crystint.model.geometry import Geometry
from crystint.model.sparse import counts_by_reason, reasons_text
from crystint.plot.detector import plot_experiment, plot_geometry, plot_mask
from crystint.plot.frame import plot_frame
from crystint.plot.frame_table import plot_series
from crystint.plot.peaks import plot_peaks, plot_spots
from crystint.plot.reflections import plot_reflections
from crystint.plot.view import Drawing, View
from crystint.run.frames import frame_number

__all__ = [
    "draw_cbc",
    "draw_correlations",
    "draw_experiments",
    "draw_frame_table",
    "draw_frames",
    "draw_geometry",
    "draw_hkl",
    "draw_mask",
    "draw_mtz",
    "draw_peaks",
    "draw_polar",
    "draw_prediction",
    "draw_reflection_table",
    "draw_setup",
    "draw_sparse",
    "draw_stills",
    "draw_stream",
    "draw_structure_factors",
    "draw_table",
]


@contextmanager
def _frames(file: OpenedFile, view: View) -> Iterator[Frames]:
    chosen = view.settings.frames
    if len(view.files) == 1:
        with Frames([reader_of(file)], [str(file.path)]) as frames:
            yield frames if chosen is None else frames.select(chosen)
    else:
        with open_frames(list(view.files), dataset=view.settings.dataset, frames=chosen) as frames:
            yield frames


def draw_frames(file: OpenedFile, view: View) -> Drawing:
    """A frame with rings, masked pixels, peaks, and the background profile; without a geometry its counts alone."""
    from crystint.separation.prepared import opened

    settings = view.settings
    with _frames(file, view) as frames:
        total = len(frames)
        number = frame_number(view.settings.frame, total)
        label = f"frame {number}" + (f" ({frames.numbers[number]} of all)" if total < frames.total else "")
        title = view.title(label if frames.total > 1 else "")
        peaks = None
        if settings.peaks is not None:
            peaks = read_peaks(settings.peaks)
            peaks = peaks[peaks["frame"] == number]
        try:
            with opened(frames, settings, view.device) as run:
                frame = frames[number]
                if settings.find:
                    ((_, peaks, _),) = run.examine(
                        frame[None], (number,), None, 5.0 if settings.snr is None else settings.snr
                    )
                figure = plot_frame(
                    frame,
                    background=run.separator.background(frame),
                    peaks=peaks,
                    geometry=run.geometry,
                    mask=run.separator.rings.mask,
                    title=title,
                    valid=run.valid,
                )
        except GeometryError as error:
            if settings.find or settings.geometry or settings.distance or settings.beam or settings.pixel_size:
                raise
            warn(f"drawn without rings: {error}")
            figure = plot_frame(frames[number], peaks=peaks, mask=frames.mask, title=title, valid=frames.valid)
    return Drawing(figure, label + ("" if peaks is None else f", {len(peaks)} peaks"))


def draw_frame_table(file: OpenedFile, view: View) -> Drawing:
    """The results of frames, over their numbers."""
    from crystint.io.frame_table import frame_table_in
    from crystint.series.settings import SHOWN
    from crystint.series.summary import Series

    rows = frame_table_in(file)
    assert rows is not None  # it was recognised
    return Drawing(plot_series(Series(rows, SHOWN, title=view.title())))


def draw_sparse(file: OpenedFile, view: View) -> Drawing:
    """A frame as densify makes it without noise, with its background and the peaks that were stored."""
    from crystint.engine import Engine
    from crystint.ops.densify import densify

    with sparse_in(file) as sparse:
        number = frame_number(view.settings.frame, len(sparse))
        frame = sparse[number]
        if frame.missing:
            raise FileError(f"{file.path}: frame {number} is missing in it")
        peaks = sparse.peaks[sparse.peaks["frame"] == number] if sparse.has_peaks else None
        if view.settings.peaks is not None:
            peaks = read_peaks(view.settings.peaks)
            peaks = peaks[peaks["frame"] == number]
        figure = plot_frame(
            densify(frame, noise=False, engine=Engine(view.device)),
            background=frame.background,
            peaks=peaks,
            geometry=sparse.geometry,
            mask=sparse.rings.mask,
            title=view.title(f"frame {number}, densified" if len(sparse) > 1 else "densified"),
            valid=sparse.rings.valid,
        )
    text = f"frame {number}, {len(frame.index)} pixels kept"
    if frame.reason is not None:
        text += f": {reasons_text(counts_by_reason(frame))}"
    return Drawing(figure, text + ("" if peaks is None else f", {len(peaks)} peaks"))


def draw_peaks(file: OpenedFile, view: View) -> Drawing:
    """The peaks of all frames, or the spots that they were joined to."""
    peaks, spots = peaks_in(file), spots_in(file)
    text = f"{len(peaks)} peaks" if spots is None else f"{len(spots)} spots"
    return Drawing(plot_peaks(peaks, spots=spots, title=view.title()), text)


def draw_geometry(file: OpenedFile, view: View) -> Drawing:
    """A detector; of the notes of a peak list, the one that its frames are of."""
    import json

    if notes(file) is not None:
        values = json.loads(file.path.read_text(encoding="utf-8")).get("geometry")
        if values is None:
            raise FileError(f"{file.path} tells no geometry: there is nothing to draw")
        geometry = Geometry.from_dict(values)
    else:
        geometry = geometry_in(file, beam_outside=True)
    return Drawing(plot_geometry(geometry, title=view.title()))


def draw_mask(file: OpenedFile, view: View) -> Drawing:
    """Masked pixels."""
    mask = read_mask(file.path) if file.hdf5 is None else mask_in(file)
    return Drawing(plot_mask(mask, title=view.title()), f"{int(np.count_nonzero(mask))} masked pixels")


def draw_stills(file: OpenedFile, view: View) -> Drawing:
    """Scales, statistics, widths and observations, as far as the file has them; else its reference or its images."""
    from crystint.plot.stills import plot_stills
    from crystint.stills import read_stills

    run = read_stills(file.path)
    try:
        return Drawing(plot_stills(run, title=view.title()))
    except ShapeError:
        reference = run.reference
        if reference is not None:
            title = view.title("reference")
            return Drawing(
                plot_reflections(reference.hkl, reference.intensity, reference.sigma, reference.d, title=title)
            )
        if run.experiment is not None:
            return Drawing(plot_experiment(run.experiment, title=view.title()))
        raise


def draw_cbc(file: OpenedFile, view: View) -> Drawing:
    """A scaling: maps, |q|^2, convergence."""
    from crystint.cbc import read_run
    from crystint.plot.cbc import plot_cbc

    return Drawing(plot_cbc(read_run(file.path), title=view.title()))


def draw_table(file: OpenedFile, view: View) -> Drawing:
    """The streaks of one frame of a table."""
    from crystint.cbc import read_table
    from crystint.plot.streaks import plot_table

    table = read_table(file.path, arrange=True)
    number = frame_number(view.settings.frame, len(np.unique(table.frame)))
    return Drawing(plot_table(table, frame=number, title=view.title()), f"frame {number} of the table")


def draw_setup(file: OpenedFile, view: View) -> Drawing:
    """Lens and sample of a convergent-beam experiment."""
    from crystint.cbc import CBCSetup
    from crystint.plot.streaks import plot_setup

    return Drawing(plot_setup(CBCSetup.read(file.path), title=view.title()))


def draw_polar(file: OpenedFile, view: View) -> Drawing:
    """A polar image with ring profiles."""
    from crystint.io.correlations.polar_file import read_polar
    from crystint.plot.correlate import plot_polar

    image, q, count = read_polar(file.path, view.settings.frame)
    number = view.settings.frame % count
    title = view.title(f"frame {number} of {count}")
    return Drawing(plot_polar(image, q=q, rings=view.settings.ring, title=title), f"frame {number} of {count}")


def draw_correlations(file: OpenedFile, view: View) -> Drawing:
    """Correlations as a map, and of single rings."""
    from crystint.correlate import read_correlations
    from crystint.plot.correlate import plot_correlations

    return Drawing(plot_correlations(read_correlations(file.path), rings=view.settings.ring, title=view.title()))


def draw_experiments(file: OpenedFile, view: View) -> Drawing:
    """Orientations, cells and wavelengths of a DIALS .expt."""
    from crystint.stills import read_experiment

    return Drawing(plot_experiment(read_experiment(file.path), title=view.title()))


def draw_stream(file: OpenedFile, view: View) -> Drawing:
    """The reflections of a CrystFEL stream."""
    from crystint.io.reflections.crystfel_stream import read_stream

    stream = read_stream(file.path)
    seen, about = stream.observations, (f"{len(stream.experiment.setting)} crystals",)
    return Drawing(plot_reflections(seen.hkl, seen.intensity, seen.sigma, seen.d, title=view.title(), about=about))


def draw_reflection_table(file: OpenedFile, view: View) -> Drawing:
    """Intensities of a reflection table of DIALS; of predicted reflections, their places."""
    from crystint.io.reflections.dials_table import read_table

    table = read_table(file.path)
    d = table.columns.get("d")
    for name in ("prf", "sum"):
        if f"intensity.{name}.value" in table:
            value, variance = (table[f"intensity.{name}.{what}"] for what in ("value", "variance"))
            sigma = np.sqrt(np.maximum(variance, 0.0))
            intensity = np.where(sigma > 0, value, np.nan)
            return Drawing(plot_reflections(table["miller_index"], intensity, sigma, d, title=view.title()))
    place = table["xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"]
    inverse = 1.0 / d if d is not None else np.full(table.rows, np.nan)
    return Drawing(plot_spots(place[:, 1], place[:, 0], inverse, "1 / d (1/Å)", title=view.title()))


def draw_prediction(file: OpenedFile, view: View) -> Drawing:
    """Places and partialities of a list of predicted spots."""
    names = file.first_line.split(",")
    chosen = [names.index(name) for name in ("slow", "fast", "partiality")]
    lines = file.path.read_text(encoding="utf-8").splitlines()[1:]
    try:
        # the name of an image may have commas: count from the end
        rows = [line.split(",") for line in lines]
        values = np.array([[float(row[at - len(names)]) for at in chosen] for row in rows]).reshape(-1, 3)
    except (ValueError, IndexError) as error:
        raise FileError(f"{file.path} is damaged: {error}") from error
    return Drawing(plot_spots(values[:, 0], values[:, 1], values[:, 2], "partiality", title=view.title()))


def draw_hkl(file: OpenedFile, view: View) -> Drawing:
    """A list of reflections without a cell."""
    rows = rows_of(file)
    return Drawing(plot_reflections(rows[:, :3].astype(np.int64), rows[:, 3], rows[:, 4], title=view.title()))


def draw_structure_factors(file: OpenedFile, view: View) -> Drawing:
    """Intensities of an mmCIF file."""
    from crystint.io.reflections.reference_in import read_reference_cif

    reference = read_reference_cif(file.path)
    about = tuple(crystal(reference.cell, reference.space_group).values())
    return Drawing(
        plot_reflections(
            reference.hkl, reference.intensity, reference.sigma, reference.d, title=view.title(), about=about
        )
    )


def draw_mtz(file: OpenedFile, view: View) -> Drawing:
    """Intensities of an MTZ file, merged or not."""
    from crystint.io.reflections.mtz_in import is_unmerged, open_mtz, read_mtz_observations
    from crystint.io.reflections.reference_in import read_reference_mtz

    mtz = open_mtz(file.path)
    about = tuple(crystal(mtz.cell, mtz.spacegroup).values())
    if is_unmerged(mtz):
        seen, experiment = read_mtz_observations(file.path)
        about = (f"unmerged, {len(experiment.setting)} images", *about)
        return Drawing(plot_reflections(seen.hkl, seen.intensity, seen.sigma, seen.d, title=view.title(), about=about))
    reference = read_reference_mtz(file.path)
    return Drawing(
        plot_reflections(
            reference.hkl, reference.intensity, reference.sigma, reference.d, title=view.title(), about=about
        )
    )
