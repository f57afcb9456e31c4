"""What tells each kind of file from the others: functions that look at an `OpenedFile`.

Each gives the form in which the file is of its kind, such as "CXI" of a peak list, or None when it is not of that kind.
They look at the content first; the suffix decides only where plain text or numbers could be several things. Sources of
the signatures: the specifications of the formats, and what their programs write.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from crystint.io.opened_file import OpenedFile
from crystint.io.reflections.mtz_header import mtz_size

__all__ = [
    "cbc_csv",
    "cbc_list",
    "cbc_scaling",
    "cbc_setup",
    "cbc_table",
    "correlations",
    "crystfel_stream",
    "detector_maps",
    "experiments",
    "fabio_frames",
    "frame_table",
    "frames",
    "geometry",
    "hdf5_frames",
    "is_reflection_table",
    "journal",
    "mask",
    "model",
    "mtz",
    "notes",
    "other_detector",
    "other_hdf5",
    "packed_arrays",
    "part_of_run",
    "peak_list",
    "picture",
    "polar_images",
    "prediction",
    "reflection_list",
    "reflections",
    "regions",
    "report",
    "sparse",
    "stills_run",
    "structure_factors",
    "xds",
]

_POLAR, _CORRELATION = "crystint polar images", "crystint angular correlations"
_FABIO_SUFFIXES = (
    *(".edf", ".cor", ".img", ".mccd", ".mar", ".mar2300", ".mar3450", ".osc", ".sfrm", ".gfrm", ".msk", ".spr"),
    *(".kccd", ".fit2d", ".tif", ".tiff", ".dm3", ".mrc", ".map", ".cbf", ".pnm", ".pgm", ".esperanto", ".bmp", ".jpg"),
)
_INTEGRATED = (b"intensity.prf.value", b"partial_id", b"num_pixels.foreground")
"""Columns of reflection tables that integration leaves, and spot finding does not."""
_GEOMETRY_KEYS = ("pixel_size", "beam_center")
"""Of the JSON of `Geometry`, enough to tell it; what else is missing is said when it is read."""
_STREAK_COLUMNS = ({"x", "y", "streak"}, {"x", "y", "index"}, {"x", "y", "frames"})
"""Of tables of streaks, of crystint and of cbclib."""


# ---------------------------------------------------------------------------------------------- HDF5


def _group(file: OpenedFile, path: str) -> Any:
    """A group of an HDF5 file; None when there is none, or the file is none."""
    if file.hdf5 is None:
        return None
    with suppress(OSError, KeyError, RuntimeError):
        item = file.hdf5.get(path)
        return item if hasattr(item, "keys") else None
    return None


def _scalar_text(file: OpenedFile, path: str) -> str:
    if file.hdf5 is None:
        return ""
    from crystint.io.hdf5.nexus_values import text

    with suppress(OSError, KeyError, RuntimeError, TypeError, AttributeError):
        return text(file.hdf5[path][()])
    return ""


def part_of_run(file: OpenedFile) -> str | None:
    """The records of some of the frames of a run."""
    held = _group(file, "part")
    return "HDF5" if held is not None and "format" in held.attrs and _group(file, "entry_0000") is None else None


def detector_maps(file: OpenedFile) -> str | None:
    """Detector maps that sparse files share."""
    held = _group(file, "entry_0000/detector_maps")
    return "HDF5" if held is not None and "format" in held.attrs else None


def sparse(file: OpenedFile) -> str | None:
    """Sparse frames: of crystint, plain or compact, or of pyFAI."""
    own, data = _group(file, "entry_0000/crystint"), _group(file, "entry_0000/sparse_frames")
    if own is not None and "format" in own.attrs:
        return "compact" if data is not None and "index_delta" in data else "plain"
    if file.hdf5 is None:
        return None
    from crystint.io.sparse.pyfai_layout import is_pyfai

    return "of pyFAI" if is_pyfai(file.hdf5) else None


def stills_run(file: OpenedFile) -> str | None:
    """What `crystint stills` writes as HDF5."""
    entry = _group(file, "entry")
    return "HDF5" if entry is not None and "crystint_stills" in entry.attrs else None


def cbc_scaling(file: OpenedFile) -> str | None:
    """What `crystint cbc scale` writes."""
    return "HDF5" if _group(file, "entry/scaling") is not None and cbc_table(file) else None


def cbc_table(file: OpenedFile) -> str | None:
    """Pixels of streaks, in HDF5."""
    entry = _group(file, "entry")
    if entry is not None and "crystint_cbc" in entry.attrs:
        return "HDF5"
    for place in ("entry/table", "table", "data", "/"):
        group = _group(file, place)
        if group is None:
            continue
        if "pandas_type" in group.attrs:
            return "HDF5 of pandas"
        if any(columns <= set(group) for columns in _STREAK_COLUMNS):
            return "HDF5 of cbclib"
    return None


def cbc_setup(file: OpenedFile) -> str | None:
    """The geometry of a convergent-beam experiment on its own."""
    places = ("entry/geometry", "geometry", "setup")
    groups = [group for place in places if (group := _group(file, place)) is not None]
    return "HDF5" if any({"foc_pos", "basis_mat"} <= set(group) for group in groups) else None


def polar_images(file: OpenedFile) -> str | None:
    """What `crystint correlate polar` writes."""
    return "HDF5" if _scalar_text(file, "entry/title") == _POLAR else None


def correlations(file: OpenedFile) -> str | None:
    """What `crystint correlate correlate` writes."""
    return "HDF5" if _scalar_text(file, "entry/title") == _CORRELATION else None


def hdf5_frames(file: OpenedFile) -> str | None:
    """Stacks of frames in HDF5: masters, virtual data sets, CXI, plain ones."""
    if file.hdf5 is None:
        return None
    from crystint.errors import FileError
    from crystint.io.frames.stack_search import NoFramesError, find_datasets

    try:
        names = find_datasets(file.hdf5, str(file.path), file.dataset)
    except NoFramesError:
        return None
    except FileError:
        return "HDF5"  # a choice, or a link that leads nowhere: whoever reads it will say so
    if re.search(r"/data_\d+$", names[0]):
        return "DECTRIS master"
    definition = _scalar_text(file, "entry/definition")
    by = " of crystint" if "densify" in (_group(file, "entry") or ()) or _made_by_crystint(file) else ""
    if file.hdf5[names[0]].is_virtual:
        return f"{definition or 'HDF5'}, virtual data set"
    if definition:
        return definition + by
    return "CXI" if "cxi_version" in file.hdf5 else "HDF5"


def _made_by_crystint(file: OpenedFile) -> bool:
    from crystint.io.hdf5.nexus_values import text

    return file.hdf5 is not None and text(file.hdf5.attrs.get("creator")).startswith("crystint")


def _detector(file: OpenedFile) -> Any:
    """The group of the detector; None = there is none."""
    places = ("entry/instrument/detector", "entry_1/instrument_1/detector_1", "entry/instrument/detector_1")
    return next((group for place in places if (group := _group(file, place)) is not None), None)


def other_hdf5(file: OpenedFile) -> str | None:
    """HDF5 that holds nothing crystint reads."""
    if file.hdf5 is None:
        return None
    if _group(file, "Data/Image") is not None:
        return "Velox .emd"
    definition = _scalar_text(file, "entry/definition")
    return f"NeXus, {definition}" if definition and definition != "NXmx" else "HDF5"


# ---------------------------------------------------------------------------------------------- several containers


def frames(file: OpenedFile) -> str | None:
    """CBF, EDF, TIFF, NumPy: formats of frames that say what they are."""
    head = file.head
    if file.container in ("cbf", "tiff"):
        return file.container.upper()
    if file.container == "npy":
        return None if mask(file) else "NumPy"
    if head[:1] == b"{" and (b"Dim_1" in head or b"EDF_" in head):
        return "EDF"
    if head.startswith((b"{\nHEADER_BYTES=", b"{\r\nHEADER_BYTES=")):
        return "SMV"
    if head[208:212] == b"MAP ":
        return "MRC"
    if head[:4] == b"\0\0\0\x03" and file.suffix == ".dm3":
        return "Gatan DM3"
    return None


def fabio_frames(file: OpenedFile) -> str | None:
    """Files that are none of the others and that FabIO says it can read, or would by their name."""
    if file.container == "hdf5" or (file.text and file.suffix not in _FABIO_SUFFIXES):
        return None
    if file.suffix == ".cbf":
        return "CBF"  # damaged at its beginning
    if file.suffix in _FABIO_SUFFIXES:
        return "a format of FabIO"
    from crystint.errors import FileError
    from crystint.io.frames.images import ImageReader

    try:
        ImageReader(file).close()
    except FileError:
        return None
    return "a format of FabIO"


def peak_list(file: OpenedFile) -> str | None:
    """Peaks: CXI, crystint's HDF5, DIALS's strong spots, JSON lines, SPOT.XDS."""
    if file.hdf5 is not None:
        result, own = _group(file, "entry_1/result_1"), _group(file, "entry/peaks")
        if result is not None and "nPeaks" in result:
            return "CXI"
        return "HDF5" if own is not None and {"slow", "fast", "frame_ptr"} <= set(own) else None
    table = _reflection_table(file)
    if table:
        return table if file.contains(b"xyzobs.px.value") and not reflections(file) else None
    if file.text.startswith('{"frame":') and '"n_peaks":' in file.text:
        return "JSON lines"
    spots = not file.head or len(_numbers(file.first_line)) >= 4
    return "SPOT.XDS" if file.suffix == ".xds" and spots else None


def regions(file: OpenedFile) -> str | None:
    """Regions of interest, or what they held; a file that has them besides other things is of these."""
    if file.hdf5 is not None:
        places = ("entry/data", "entry/instrument", "entry/books", "entry_1", "entry_0000")
        alone = all(_group(file, place) is None for place in places)
        return "HDF5" if alone and _group(file, "entry/roi_defs") is not None else None
    text = file.text.lstrip()
    if text.startswith("frame,region,"):
        return "CSV"
    if text.startswith("{") and re.match(r'\{\s*"rois"\s*:\s*\[', text):
        return "JSON document"
    return "JSON document of Jungfraujoch" if re.match(r'\{\s*"(box|circle|azim)"\s*:\s*\{\s*"rois"', text) else None


def frame_table(file: OpenedFile) -> str | None:
    """Results of frames, a row for each, in a file of their own."""
    if file.hdf5 is not None:
        if _scalar_text(file, "entry/definition") == "NXmx":
            return None  # the frames themselves, of which the results tell
        data = _group(file, "entry/results")
        return "HDF5" if data is not None and {"frame", "status"} <= set(data) else None
    return "CSV" if file.first_line.lstrip("\ufeff").startswith("frame,status,") else None


def reflections(file: OpenedFile) -> str | None:
    """Reflection tables of DIALS that have indices: predicted, indexed or integrated."""
    table = _reflection_table(file)
    if not table or not file.contains(b"miller_index"):
        return None
    if any(file.contains(name) for name in _INTEGRATED):
        return f"integrated, {table}"
    return f"indexed, {table}" if file.contains(b"xyzobs.px.value") else f"predicted, {table}"


def is_reflection_table(file: OpenedFile) -> bool:
    """Whether a file is a reflection table of DIALS, whatever its columns."""
    return bool(_reflection_table(file))


def _reflection_table(file: OpenedFile) -> str:
    """ "DIALS .refl", "DIALS pickle" or empty."""
    if file.head.startswith(b"\x93\xbbdials::af::reflection_table"):
        return "DIALS .refl"
    return "DIALS pickle" if file.head.startswith(b"\x80\x02cdials_array_family_flex_ext") else ""


def geometry(file: OpenedFile) -> str | None:
    """PONI, CrystFEL, JSON of `Geometry`, or a detector in HDF5 without frames."""
    text = file.text.lower()
    if file.hdf5 is not None:
        detector = _detector(file)
        return "NXmx" if detector is not None and "distance" in detector else None
    if not text:
        return None
    if ("poni1:" in text and "poni2:" in text) or file.suffix == ".poni":
        return "PONI"
    if "/min_fs" in text or "/corner_x" in text or file.suffix == ".geom":
        return "CrystFEL"
    return "JSON" if _has_keys(file, *_GEOMETRY_KEYS) else None


def _has_keys(file: OpenedFile, *keys: str) -> bool:
    """Whether a file is one JSON object with these keys, not in an object within it; a damaged one by its beginning."""
    if file.text.lstrip()[:1] != "{" or not all(f'"{key}"' in file.text for key in keys):
        return False
    try:
        values = json.loads(file.path.read_text(encoding="utf-8"))
    except ValueError:
        return '"provenance"' not in file.text and '"frame":' not in file.text
    return set(keys) <= set(values)


def mask(file: OpenedFile) -> str | None:
    """A pixel mask in HDF5 without frames, of Fit2D, or of bool in NumPy's format."""
    if file.container == "npy":
        return "NumPy" if re.search(rb"'descr': '\|b1'", file.head[:128]) else None
    if file.hdf5 is not None:
        from crystint.io.hdf5.files import planes

        return "HDF5" if any("mask" in name.rpartition("/")[2].lower() for name in planes(file.hdf5)) else None
    return "Fit2D" if file.suffix == ".msk" and file.head.startswith(b"M\0\0\0A\0\0\0") else None


# ---------------------------------------------------------------------------------------------- text and binary


def _numbers(line: str) -> list[float]:
    """The numbers that a line consists of; none when it holds anything else."""
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return []


def experiments(file: OpenedFile) -> str | None:
    """Experiment lists of DIALS: JSON that says so near its beginning or end."""
    looks = file.head.lstrip()[:1] == b"{" and b'"ExperimentList"' in file.head + file.tail
    return "DIALS .expt" if looks else None


def notes(file: OpenedFile) -> str | None:
    """What `crystint peaks` leaves beside formats without room for it."""
    if file.suffix != ".json" or file.text.lstrip()[:1] != "{":
        return None
    return "JSON" if '"provenance"' in file.text[:64] and not _has_keys(file, *_GEOMETRY_KEYS) else None


def crystfel_stream(file: OpenedFile) -> str | None:
    """Streams of CrystFEL's indexamajig."""
    return "CrystFEL .stream" if file.head.startswith(b"CrystFEL stream format") else None


def reflection_list(file: OpenedFile) -> str | None:
    """Rows of h k l and values without a cell: of CrystFEL, for SHELX, or plain."""
    if file.head.startswith(b"CrystFEL reflection list"):
        return "CrystFEL .hkl"
    return "SHELX or plain rows" if file.suffix == ".hkl" and not xds(file) and file.text else None


def mtz(file: OpenedFile) -> str | None:
    """MTZ, merged or unmerged."""
    if not file.head.startswith(b"MTZ "):
        return None
    size = mtz_size(file.path)
    return "unmerged" if size is not None and size.batches else "merged"


def structure_factors(file: OpenedFile) -> str | None:
    """mmCIF with reflections."""
    if not re.match(r"(\s|#.*\n)*data_", file.text):
        return None
    if "_refln" in file.text or (file.suffix in (".cif", ".ent", ".mmcif") and file.contains(b"_refln.")):
        return "mmCIF"
    return None


def model(file: OpenedFile) -> str | None:
    """Coordinates of a model: mmCIF or PDB."""
    if re.match(r"(\s|#.*\n)*data_", file.text):
        return "mmCIF" if file.contains(b"_atom_site") else None
    return "PDB" if re.match(r"(HEADER|CRYST1|REMARK|ATOM  |HETATM)", file.text) else None


def cbc_csv(file: OpenedFile) -> str | None:
    """Pixels of streaks, as CSV."""
    names = {name.strip().strip('"') for name in file.first_line.split(",")}
    return "CSV" if any(columns <= names for columns in _STREAK_COLUMNS) else None


def cbc_list(file: OpenedFile) -> str | None:
    """What `crystint cbc merge` writes as text."""
    return "text" if re.match(r"# crystint \S+: \|q\|\^2 from convergent-beam", file.first_line) else None


def prediction(file: OpenedFile) -> str | None:
    """What `crystint stills predict` writes as CSV."""
    return "CSV" if file.first_line.startswith("image,name,h,k,l,panel,") else None


def report(file: OpenedFile) -> str | None:
    """What `crystint stills merge` writes as text."""
    return "text" if file.suffix == ".txt" and re.search(r"^INPUT$", file.text, re.MULTILINE) else None


def journal(file: OpenedFile) -> str | None:
    """What is done of a run that was stopped."""
    return "journal" if file.head.startswith(b"crystint journal 1\n") else None


def picture(file: OpenedFile) -> str | None:
    """PNG, PDF and SVG."""
    head = file.head
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"%PDF-"):
        return "PDF"
    return "SVG" if re.search(r"<svg\b", file.text) else None


def xds(file: OpenedFile) -> str | None:
    """XDS_ASCII.HKL and INTEGRATE.HKL."""
    if file.head.startswith(b"!FORMAT=XDS_ASCII"):
        return "XDS_ASCII.HKL"
    return "INTEGRATE.HKL" if file.head.startswith(b"!OUTPUT_FILE=INTEGRATE.HKL") else None


def other_detector(file: OpenedFile) -> str | None:
    """Formats of electron microscopes that FabIO does not read."""
    if file.head.startswith(b"II\x97\x01"):
        return "TIA .ser"
    if file.head[:4] == b"\0\0\0\x04" and file.suffix == ".dm4":
        return "Gatan DM4"
    return "Thermo Fisher .eer" if file.suffix == ".eer" else None


def packed_arrays(file: OpenedFile) -> str | None:
    """.npz."""
    return "NumPy .npz" if file.head.startswith(b"PK\x03\x04") and file.suffix == ".npz" else None
