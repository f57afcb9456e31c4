"""The catalogue of what a file is: how each kind is recognised, read, written, described and drawn.

Whoever is handed a file asks here: `kind_of` says what it is, `unexpected` makes the error when it is not what was
wanted. Content counts before the suffix. Functions are named by "module:function" and imported when they are used, so
that the catalogue imports nothing, and may name functions of packages above `io`.

Another package adds a kind by an entry point of the group ``crystint.kinds`` that is a `Kind`, or a function that gives
one; its kinds are asked after those of crystint that say what they are, and before the formats that hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from os import PathLike

from crystint.errors import FileError, warn
from crystint.io import recognise as by
from crystint.io.guard import guarded
from crystint.io.opened_file import OpenedFile
from crystint.references import resolve

__all__ = [
    "ENTRY_POINTS",
    "NEVER_FRAMES",
    "Kind",
    "Recognised",
    "kind_by_suffix",
    "kind_of",
    "kinds",
    "kinds_read",
    "opened_kind",
    "unexpected",
]

ENTRY_POINTS = "crystint.kinds"
Recogniser = Callable[[OpenedFile], str | None]


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of file."""

    name: str
    """in words, singular: "sparse file" """
    recognise: Recogniser | str
    """function of an `OpenedFile`, or "module:function": the form in which it is of this kind, None = it is not"""
    suffixes: tuple[str, ...] = ()
    """that such files usually have"""
    reader: str = ""
    """ "module:function" of a path, the public one; empty = crystint has none"""
    writer: str = ""
    """ "module:function" that writes such a file"""
    describe: str = ""
    """ "module:function": (OpenedFile) -> dict of names to text, numbers, or dicts of these, for ``crystint info``"""
    draw: str = ""
    """ "module:function": (OpenedFile, View) -> Figure, for ``crystint plot``; see `crystint.plot.view`"""
    advice: str = ""
    """what to do with such a file where another kind was wanted"""
    plural: bool = False
    """the name is one: "frames", "correlations" """
    unreadable: bool = False
    """crystint knows what it is and has no reader: `advice` says what to do"""


@dataclass(frozen=True, eq=False)
class Recognised:
    """What a file is."""

    kind: Kind
    form: str
    """ "CXI" of a peak list, "compact" of a sparse file, ..."""

    @property
    def name(self) -> str:
        """Of the kind."""
        return self.kind.name

    @property
    def text(self) -> str:
        """ "a sparse file (compact)"."""
        return _with_article(self.kind.name, self.kind.plural) + (f" ({self.form})" if self.form else "")


def _with_article(name: str, plural: bool) -> str:
    if plural:
        return name
    return ("an " if name[0] in "aeiou" or name.startswith(("MTZ", "HDF5", "XDS")) else "a ") + name


_CONVERT = "crystint has no reader for it; convert it to"
_SPECIFIC = (
    Kind(
        "part of a run", by.part_of_run, (".h5",),
        reader="crystint.io.part_file:PartFile",
        writer="crystint.io.part_file:write_part",
        describe="crystint.io.describe:part_of_run",
        advice="crystint merge-parts makes the result of the run of all of its parts",
    ),
    Kind(
        "sparse file", by.sparse, (".h5", ".hdf5"),
        reader="crystint.io.sparse.open:open_sparse",
        writer="crystint.separation.files:sparsify",
        describe="crystint.io.describe:sparse",
        draw="crystint.plot.files:draw_sparse",
        advice="open it with crystint.open_sparse, or crystint densify makes frames of it",
    ),
    Kind(
        "detector maps of sparse files", by.detector_maps, (".h5", ".hdf5"), plural=True,
        reader="crystint.io.sparse.maps:SharedMaps.read",
        writer="crystint.io.sparse.maps:SharedMaps.make",
        describe="crystint.io.describe:detector_maps",
        advice="sparse files link to it: keep it beside them; crystint sparsify --maps takes it for more files",
    ),
    Kind(
        "stills file", by.stills_run, (".h5", ".hdf5"),
        reader="crystint.stills:read_stills",
        writer="crystint.stills:write_stills",
        describe="crystint.io.describe_results:stills_run",
        draw="crystint.plot.files:draw_stills",
        advice="crystint.stills.read_stills reads it; crystint stills scale and merge go on with it",
    ),
    Kind(
        "scaled convergent-beam file", by.cbc_scaling, (".h5", ".hdf5", ".hdf", ".nxs"),
        reader="crystint.cbc:read_run",
        writer="crystint.cbc.merging.files:write_run",
        describe="crystint.io.describe_results:cbc_scaling",
        draw="crystint.plot.files:draw_cbc",
        advice="crystint cbc merge writes its intensities for other programs",
    ),
    Kind(
        "convergent-beam table", by.cbc_table, (".h5", ".hdf5", ".hdf", ".nxs"),
        reader="crystint.cbc:read_table",
        writer="crystint.cbc:write_table",
        describe="crystint.io.describe_results:cbc_table",
        draw="crystint.plot.files:draw_table",
        advice="crystint cbc scale goes on with it",
    ),
    Kind(
        "convergent-beam table", by.cbc_csv, (".csv",),
        reader="crystint.cbc:read_table",
        writer="crystint.cbc:write_table",
        describe="crystint.io.describe_results:cbc_csv",
        draw="crystint.plot.files:draw_table",
        advice="crystint cbc scale goes on with it",
    ),
    Kind(
        "convergent-beam setup", by.cbc_setup, (".h5", ".hdf5", ".hdf", ".nxs"),
        reader="crystint.cbc:CBCSetup.read",
        writer="crystint.cbc:CBCSetup.write",
        describe="crystint.io.describe_results:cbc_setup",
        draw="crystint.plot.files:draw_setup",
        advice="give it to crystint cbc scale with --setup",
    ),
    Kind(
        "polar images", by.polar_images, (".h5", ".hdf5", ".hdf", ".nxs"), plural=True,
        reader="crystint.io.correlations.polar_file:read_polar",
        writer="crystint.io.correlations.polar_file:polar_writer",
        describe="crystint.io.describe_results:polar_images",
        draw="crystint.plot.files:draw_polar",
        advice="they are of radius and azimuth; crystint correlate correlate takes the frames they were made of",
    ),
    Kind(
        "correlations", by.correlations, (".h5", ".hdf5", ".hdf", ".nxs"), plural=True,
        reader="crystint.correlate:read_correlations",
        writer="crystint.correlate:write_correlations",
        describe="crystint.io.describe_results:correlations",
        draw="crystint.plot.files:draw_correlations",
        advice="crystint correlate correlate --add adds to them",
    ),
    Kind(
        "peak list", by.peak_list, (".cxi", ".refl", ".h5", ".hdf5", ".nxs", ".json", ".jsonl", ".xds"),
        reader="crystint.io.peaks.files:read_peaks",
        writer="crystint.io.peaks.files:write_peaks",
        describe="crystint.io.describe:peaks",
        draw="crystint.plot.files:draw_peaks",
        advice="crystint.read_peaks reads it; crystint plot FRAMES --peaks draws it over its frames",
    ),
    Kind(
        "regions of interest", by.regions, (".h5", ".csv", ".json"), plural=True,
        reader="crystint.io.roi_files:read_rois",
        writer="crystint.separation.files:sum_regions",
        describe="crystint.io.describe:regions",
        advice="crystint.read_rois reads what they held, crystint roi --rois takes a document or an .h5",
    ),
    Kind(
        "table of frames", by.frame_table, (".csv", ".h5"),
        reader="crystint.io.frame_table:read_frame_table",
        writer="crystint.io.frame_table:write_frame_table",
        describe="crystint.io.describe:frame_table",
        draw="crystint.plot.files:draw_frame_table",
        advice="crystint.read_frame_table reads it; crystint frames prints and draws it",
    ),
    Kind(
        "reflections", by.reflections, (".refl", ".pickle"), plural=True,
        reader="crystint.stills:read_observations",
        writer="crystint.io.reflections.dials_table_out:write_table",
        describe="crystint.io.describe_reflections:table",
        draw="crystint.plot.files:draw_reflection_table",
        advice="crystint stills scale reads them together with the .expt beside them",
    ),
    Kind(
        "experiments", by.experiments, (".expt", ".json"), plural=True,
        reader="crystint.stills:read_experiment",
        writer="crystint.io.reflections.dials_experiments_out:write_dials_experiments",
        describe="crystint.io.describe_reflections:experiments",
        draw="crystint.plot.files:draw_experiments",
        advice="crystint stills integrate takes them before the frames",
    ),
    Kind(
        "stream of indexed images", by.crystfel_stream, (".stream",),
        reader="crystint.stills:read_observations",
        describe="crystint.io.describe_reflections:stream",
        draw="crystint.plot.files:draw_stream",
        advice="crystint stills scale reads it",
    ),
    Kind(
        "list of reflections", by.reflection_list, (".hkl",),
        reader="crystint.stills:read_reference",
        writer="crystint.io.reflections.shelx:write_hklf4",
        describe="crystint.io.describe_reflections:hkl",
        draw="crystint.plot.files:draw_hkl",
        advice="it has no cell: it can be a reference, -r, of data that have one",
    ),
    Kind(
        "list of reflections", by.cbc_list, (".txt",),
        writer="crystint.cbc.merging.export:write_text",
        describe="crystint.io.describe_reflections:cbc_list",
        draw="crystint.plot.files:draw_hkl",
        advice="crystint cbc merge writes .mtz as well, which crystint reads",
    ),
    Kind(
        "MTZ file", by.mtz, (".mtz",),
        reader="crystint.stills:read_reference",
        writer="crystint.io.reflections.mtz_out:write_merged_mtz",
        describe="crystint.io.describe_reflections:mtz",
        draw="crystint.plot.files:draw_mtz",
        advice="a merged one is a reference, -r; an unmerged one can be scaled with crystint stills scale",
    ),
    Kind(
        "structure factors", by.structure_factors, (".cif", ".mmcif", ".ent"), plural=True,
        reader="crystint.stills:read_reference",
        describe="crystint.io.describe_reflections:structure_factors",
        draw="crystint.plot.files:draw_structure_factors",
        advice="they are a reference, -r",
    ),
    Kind(
        "list of predicted spots", by.prediction, (".csv",),
        writer="crystint.stills.prediction.predicted_files:write_predicted_csv",
        describe="crystint.io.describe_reflections:prediction",
        draw="crystint.plot.files:draw_prediction",
        advice="crystint stills predict writes .h5 and .refl as well, which crystint reads",
    ),
    Kind(
        "journal", by.journal, (".partial",),
        reader="crystint.run.journal:Journal.open",
        describe="crystint.io.describe:journal",
        advice="the command that began it goes on with it when it is given --resume",
    ),
    Kind(
        "notes of a peak list", by.notes, (".json",), plural=True,
        reader="crystint.io.hdf5.provenance:read_provenance",
        describe="crystint.io.describe:notes",
        draw="crystint.plot.files:draw_geometry",
        advice="they say how the peak list of the same name was made",
    ),
    Kind(
        "report", by.report, (".txt",),
        describe="crystint.io.describe:text",
        advice="it is a text to be read; no command takes it",
    ),
    Kind(
        "picture", by.picture, (".png", ".pdf", ".svg"),
        writer="crystint.plot.style:save_figure",
        describe="crystint.io.describe:picture",
        advice="it is a picture already",
    ),
    Kind(
        "XDS reflection file", by.xds, (".hkl",), unreadable=True,
        describe="crystint.io.describe:text",
        advice=f"{_CONVERT} MTZ, with POINTLESS (XDSIN) or gemmi xds2mtz",
    ),
    Kind(
        "model", by.model, (".pdb", ".cif", ".mmcif", ".ent"), unreadable=True,
        describe="crystint.io.describe:text",
        advice=f"{_CONVERT} structure factors, with gemmi sfcalc or phenix.fmodel",
    ),
    Kind(
        "electron microscope file", by.other_detector, (".ser", ".dm4", ".eer"), unreadable=True,
        describe="crystint.io.describe:container",
        advice=f"{_CONVERT} MRC, TIFF or HDF5, with RosettaSciIO or ncempy",
    ),
    Kind(
        "archive of arrays", by.packed_arrays, (".npz",), unreadable=True,
        describe="crystint.io.describe:container",
        advice=f"{_CONVERT} .npy: numpy.save one of its arrays",
    ),
)  # fmt: skip
_GENERAL = (
    Kind(
        "frames", by.frames, (".cbf", ".edf", ".tif", ".tiff", ".npy", ".img", ".mrc", ".dm3"), plural=True,
        reader="crystint.io.frames.sequence:open_frames",
        describe="crystint.io.describe:frames",
        draw="crystint.plot.files:draw_frames",
        advice="crystint peaks and crystint sparsify read them",
    ),
    Kind(
        "frames", by.hdf5_frames, (".h5", ".hdf5", ".hdf", ".nxs", ".cxi"), plural=True,
        reader="crystint.io.frames.sequence:open_frames",
        writer="crystint.io.sparse.dense_file:DenseWriter",
        describe="crystint.io.describe:frames",
        draw="crystint.plot.files:draw_frames",
        advice="crystint peaks and crystint sparsify read them",
    ),
    Kind(
        "geometry", by.geometry, (".poni", ".geom", ".json", ".h5"),
        reader="crystint.io.geometry.files:read_geometry",
        writer="crystint.io.geometry.files:write_geometry",
        describe="crystint.io.describe:geometry",
        draw="crystint.plot.files:draw_geometry",
        advice="give it with -g",
    ),
    Kind(
        "mask", by.mask, (".h5", ".msk", ".npy"),
        reader="crystint.io.frames.masks:read_mask",
        describe="crystint.io.describe:mask",
        draw="crystint.plot.files:draw_mask",
        advice="give it with -m",
    ),
    Kind(
        "HDF5 file", by.other_hdf5, (".h5", ".nxs", ".emd"), unreadable=True,
        describe="crystint.io.describe:hdf5",
        advice="crystint has no reader for what is in it; frames in it can be named with --dataset",
    ),
    Kind(
        "frames", by.fabio_frames, plural=True,
        reader="crystint.io.frames.sequence:open_frames",
        describe="crystint.io.describe:frames",
        draw="crystint.plot.files:draw_frames",
        advice="crystint peaks and crystint sparsify read them",
    ),
)  # fmt: skip


NEVER_FRAMES = tuple(
    kind
    for kind in _SPECIFIC
    if kind.name.startswith(
        ("part of a run", "sparse", "detector maps", "stills", "scaled", "convergent", "polar", "correlations")
    )
)
"""Kinds of HDF5 files of which no data set is a frame, whatever its shape."""


@lru_cache(maxsize=1)
def _of_other_packages() -> tuple[Kind, ...]:
    """The kinds that other packages register. One that cannot be loaded is left out, with a warning."""
    kinds = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            loaded = point.load()
            kind = loaded if isinstance(loaded, Kind) else loaded()
        except Exception as error:  # whatever another package raises
            warn(f"the kind of file {point.name!r} ({point.value}) is left out: {error or type(error).__name__}")
            continue
        if isinstance(kind, Kind):
            kinds.append(kind)
        else:
            warn(f"the kind of file {point.name!r} ({point.value}) is left out: expected a crystint.io.kinds.Kind")
    return tuple(kinds)


def kinds() -> tuple[Kind, ...]:
    """All kinds, in the order in which they are asked. A kind of several formats stands there several times."""
    return (*_SPECIFIC, *_of_other_packages(), *_GENERAL)


def opened_kind(file: OpenedFile, among: Sequence[Kind] | None = None) -> Recognised | None:
    """What an opened file is; None = of no kind that is known.

    Parameters
    ----------
    file : OpenedFile
    among : sequence of Kind, optional
        Ask these alone.

    Raises
    ------
    FileError
        When the file is empty, or cannot be looked into because it is damaged.
    """
    for kind in kinds() if among is None else among:
        recogniser = resolve(kind.recognise) if isinstance(kind.recognise, str) else kind.recognise
        try:
            with guarded(file.path):
                form = recogniser(file)
        except Exception as error:  # whatever another package raises
            if kind not in _of_other_packages():
                raise
            warn(f"the kind of file {kind.name!r} is left out for {file.path}: {error.__cause__ or error}")
            continue
        if form is not None:
            return Recognised(kind, form)
    return None


def kind_by_suffix(suffix: str, among: Sequence[str]) -> str:
    """Which of some kinds, by name, a file of this suffix is read as where its content does not tell; empty = none."""
    usual = (kind for kind in kinds() if kind.reader and suffix.lower() in kind.suffixes)
    return next((kind.name for kind in usual if kind.name in among), "")


def kind_of(path: str | PathLike[str]) -> Recognised:
    """What a file is.

    Raises
    ------
    FileError
        When the file is missing, a folder, empty, damaged, or of no kind that is known.
    """
    with OpenedFile(path) as file:
        recognised = opened_kind(file)
    if recognised is None:
        raise FileError(f"{path} is of no kind that crystint knows; it reads {kinds_read()}")
    return recognised


def unexpected(file: OpenedFile | str | PathLike[str], expected: str, reason: str = "") -> FileError:
    """The error for a file that is not what was wanted: what it is, what was expected, and what to do.

    Parameters
    ----------
    file : OpenedFile or path
    expected : str
        Name of a kind, or other words.
    reason : str
        Why it could not be read as that, for files of no kind that is known, or of the kind that was expected.
    """
    path = file.path if isinstance(file, OpenedFile) else file
    try:
        if isinstance(file, OpenedFile):
            recognised = opened_kind(file)
        else:
            with OpenedFile(file) as opened:
                recognised = opened_kind(opened)
    except FileError as error:
        return error
    if recognised is None or recognised.name in (expected, "HDF5 file"):
        return FileError(reason or f"{path} is of no kind that crystint knows; expected {expected}")
    wanted = next((_with_article(expected, kind.plural) for kind in kinds() if kind.name == expected), expected)
    advice = f": {recognised.kind.advice}" if recognised.kind.advice else ""
    verb = "holds" if recognised.kind.plural else "is"
    return FileError(f"{path} {verb} {recognised.text}; expected {wanted}{advice}")


def kinds_read() -> str:
    """Names of the kinds that crystint reads."""
    return ", ".join(dict.fromkeys(kind.name for kind in kinds() if kind.reader))
