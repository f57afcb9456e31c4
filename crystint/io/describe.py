"""What a file is, in words and numbers: the work behind ``crystint info``, for frames and what belongs to them.

The catalogue, `crystint.io.kinds`, names a function of an `OpenedFile` for each kind; those of reflections and of
results are in `describe_reflections` and `describe_results`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError
from crystint.io.describe_geometry import describe_geometry, describe_partial
from crystint.io.frame_record import FrameRecord
from crystint.io.frame_table import frame_table_in
from crystint.io.frames.masks import mask_in, read_mask
from crystint.io.frames.sequence import Frames
from crystint.io.frames.sources import reader_of
from crystint.io.frames.stack_search import NoFramesError, find_datasets
from crystint.io.geometry.files import partial_geometry_in
from crystint.io.guard import guarded
from crystint.io.hdf5.provenance import provenance_in, read_provenance
from crystint.io.kinds import kinds_read, opened_kind
from crystint.io.linked_files import master_of
from crystint.io.opened_file import OpenedFile
from crystint.io.part_file import PartFile
from crystint.io.peaks.files import peaks_in, rows_in, scan_in, spots_in
from crystint.io.recognise import peak_list as form_of
from crystint.io.roi_files import read_roi_document
from crystint.io.rois import roi_table_in
from crystint.io.sparse.dense_file import missing_in
from crystint.io.sparse.maps import MAPS
from crystint.io.sparse.open import sparse_in
from crystint.model.frame_table import FrameStatus, FrameTable
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.mask import unusable
from crystint.model.peaks import HIT
from crystint.model.rois import Rois
from crystint.model.scan import Scan
from crystint.model.sparse import counts_by_reason, reasons_text
from crystint.references import resolve
from crystint.units import ordinal, readable_size

__all__ = ["describe", "made_by"]


def describe(path: str | PathLike[str], dataset: str | None = None, *, lowest: float | None = None) -> dict[str, Any]:
    """What is in a file. It is opened once.

    Parameters
    ----------
    path : path
    dataset : str, optional
        Path of frames inside an HDF5 file: of these it tells, whatever else the file is.
    lowest : float, optional
        Smallest valid counts of frames; None = that of the file.

    Returns
    -------
    dict
        JSON-able: name of a property to text, a number, or a dict of those. ``kind``, ``form`` and ``size`` (bytes) are
        always there.

    Raises
    ------
    FileError
        When the file is missing, damaged or of no kind that is known.
    """
    with OpenedFile(path, dataset, lowest=lowest) as file:
        if dataset is not None and file.hdf5 is not None:
            return {"kind": "frames", "form": "HDF5", "size": file.size, **frames(file)}
        recognised = opened_kind(file)
        if recognised is None:
            raise FileError(f"{path} is of no kind that crystint knows; it reads {kinds_read()}")
        kind = recognised.kind
        with guarded(path):
            about = resolve(kind.describe)(file) if kind.describe else {}
        note = {"note": kind.advice} if kind.unreadable else {}
        return {"kind": kind.name, "form": recognised.form, "size": file.size, **about, **note}


def frames(file: OpenedFile) -> dict[str, Any]:
    """Number, shape and dtype of frames, their geometry and mask, and what the first one holds."""
    recorded = () if file.hdf5 is None else missing_in(file.hdf5)
    with Frames([reader_of(file)], [str(file.path)]) as opened:
        reasons = opened.missing
        why = {"why missing": "; ".join(list(dict.fromkeys(reasons.values()))[:3])} if reasons else {}
        return {**_missing(sorted({*recorded, *reasons})), **why, **_frames(opened, file.lowest)}


def geometry(file: OpenedFile) -> dict[str, Any]:
    """All fields of a geometry."""
    shape, partial = partial_geometry_in(file)
    return describe_partial(partial, shape)


def mask(file: OpenedFile) -> dict[str, Any]:
    """How many pixels are masked."""
    masked = read_mask(file.path) if file.hdf5 is None else mask_in(file)
    return {"shape": _shape(masked.shape), "mask": _mask(masked)}


def notes(file: OpenedFile) -> dict[str, Any]:
    """Of which file notes are, and how that was made."""
    content = json.loads(file.path.read_text(encoding="utf-8"))
    about = {"of": file.path.with_suffix("").name, "frames": content.get("n_frames", 0)}
    about |= made_by(content["provenance"]) | _missing(content.get("missing") or ())
    if content.get("scan"):
        about |= _scan(Scan.from_dict(content["scan"]), Instrument())
    if content.get("geometry"):
        about |= describe_geometry(Geometry.from_dict(content["geometry"]))
    return about


def part_of_run(file: OpenedFile) -> dict[str, Any]:
    """Which part of which run, and what became of its frames."""
    part = PartFile(file.path)
    place = part.header["part"]
    start, stop = place["start"] * place["block"], min(place["stop"] * place["block"], place["frames"])
    return {
        "part": f"{place['number']} of {place['of']}",
        "frames": f"{stop - start} of {place['frames']}, from {start}",
        "command": " ".join(part.header["command"]),
        **_missing([int(number) for number in part.header["missing"]]),
    }


def journal(file: OpenedFile) -> dict[str, Any]:
    """What a run has done that was stopped, and which command goes on with it.

    The layout is that of `crystint.run.journal`: length and CRC-32 (uint32) before each record, the first of which is a
    header in JSON.
    """
    content = file.path.read_bytes()
    at, records = content.index(b"\n") + 1, []
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at)
        if at + 8 + length > len(content):
            break
        records.append(content[at + 8 : at + 8 + length])
        at += 8 + length
    header = json.loads(records[0])
    frames_of = list(map(FrameRecord.unpack, records[1:]))
    missing = [record.number for record in frames_of if record.missing is not None]
    if "series_id" in header.get("same", {}):  # of a stream: a record has any number of images
        images = sum(int(record.facts.get("images", 0)) for record in frames_of)
        return {"of": file.path.with_suffix("").name, "images": images, "series": _series_text(header["same"])}
    command = " ".join(header["command"])
    of = header.get("same", {}).get("frames")
    frames = (len(records) - 1) * int(header.get("block", 1))
    done = f"{frames if of is None else min(frames, of)}" + (f" of {of} frames" if of is not None else "")
    return {"of": file.path.with_suffix("").name, "command": command, "done": done, **_missing(missing)}


def _series_text(same: Mapping[str, Any]) -> str:
    return f"{same['series_id']}-{same.get('series_unique_id', '')}".rstrip("-")


def text(file: OpenedFile) -> dict[str, Any]:
    """The first line of a text."""
    return {"begins": file.first_line[:100]}


def picture(file: OpenedFile) -> dict[str, Any]:
    """Width and height of a PNG (W3C, PNG specification, IHDR)."""
    if not file.head.startswith(b"\x89PNG") or len(file.head) < 24:
        return {}
    width, height = struct.unpack(">II", file.head[16:24])
    return {"shape": f"{width} x {height} px (width x height)"}


def container(_file: OpenedFile) -> dict[str, Any]:
    """Nothing is known of what is inside."""
    return {}


def hdf5(file: OpenedFile) -> dict[str, Any]:
    """What stands at the top of an HDF5 file."""
    names = list(file.hdf5 or ())
    return {"holds": ", ".join("/" + name for name in names[:10]) + ", ..." * (len(names) > 10)}


def made_by(record: Any) -> dict[str, Any]:
    """Program and inputs of a provenance."""
    about: dict[str, Any] = {}
    if "program" in record:
        about["made by"] = f"{record['program']} {record.get('version', '')}".strip()
    if record.get("inputs"):
        about["from"] = ", ".join(record["inputs"][:3]) + (", ..." if len(record["inputs"]) > 3 else "")
    return about


def _shape(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]} (slow x fast)"


def _frames(frames: Frames, lowest: float | None) -> dict[str, Any]:
    about: dict[str, Any] = {"frames": len(frames), "shape": _shape(frames.shape), "dtype": str(frames.dtype)}
    if len(frames) and (inside := frames.source(0).dataset):
        about["dataset"] = inside
    try:
        about |= describe_partial(frames.partial_geometry(), frames.shape)
    except GeometryError as error:
        about["geometry"] = f"unusable: {error}"
    try:
        mask = frames.mask
        about["mask"] = _mask(mask) if mask is not None else "; ".join(frames.unusable_masks) or "none"
    except FileError as error:
        mask, about["mask"] = None, f"unusable: {error}"
    about |= _scan(frames.scan, frames.instrument)
    about["saturation"] = "not known" if frames.saturation is None else float(frames.saturation)
    if (master := master_of(frames.files[0])) is not None:
        about["master"] = f"{master.name} beside it shows these frames"
    first = next((number for number in range(len(frames)) if number not in frames.missing), None)
    if first is not None:
        frame = frames[first]
        valid = frames.valid_from(lowest)
        about["valid values"] = valid.text(frames.dtype)
        bad = unusable(frame, valid)
        about[f"frame {first}"] = _counts(frame, bad if mask is None else bad | (mask != 0))
    return about


def _counts(frame: NDArray[Any], bad: NDArray[np.bool_]) -> dict[str, Any]:
    """Usable pixels of a frame and what they hold."""
    good = frame[~bad]
    about: dict[str, Any] = {"unusable": f"{int(bad.sum())} px ({100 * bad.mean():.3g} %)"}
    if good.size:
        about |= {"mean": f"{good.mean(dtype=np.float64):.4g}", "median": f"{np.median(good):g}"}
        about["maximum"] = f"{good.max():g}"
    return about


def _mask(mask: NDArray[np.uint32]) -> str:
    """Number of masked pixels, and of those with each bit."""
    bits = {bit: int(np.count_nonzero(mask & np.uint32(1 << bit))) for bit in range(32)}
    used = ", ".join(f"bit {bit}: {count}" for bit, count in bits.items() if count)
    masked = int(np.count_nonzero(mask))
    return f"{masked} px ({100 * masked / mask.size:.3g} %)" + (f", {used}" if used else "")


def sparse(file: OpenedFile) -> dict[str, Any]:
    """Frames, rings and peaks of a sparse file, how it was made, and what the first frame holds."""
    with sparse_in(file) as opened:
        about: dict[str, Any] = {"frames": len(opened), "shape": _shape(opened.shape), "dtype": str(opened.dtype)}
        about |= {"rings": opened.rings.rings, **made_by(opened.provenance or {})}
        if opened.has_peaks:
            about["peaks"] = len(opened.peaks)
        if opened.results is not None:
            about |= _results(opened.results)
        if opened.geometry is not None:
            about |= describe_geometry(opened.geometry)
        about |= _scan(opened.scan, opened.instrument)
        if opened.shared_maps:
            about["detector maps"] = f"in {opened.shared_maps}, which other files may share"
        if opened.gzipped:
            about["compression"] = "gzip: readers need no plug-in"
        raw = (opened.provenance or {}).get("raw_bytes")
        if isinstance(raw, int) and raw > 0:
            about["raw files"] = f"{readable_size(raw)}, {raw / file.size:.3g} times this file"
        about["mask"] = _mask(opened.rings.mask)
        about |= _missing(opened.missing) | _audit(opened.audit)
        if "kept_pixels" in opened.provenance:
            about["pixels kept"] = reasons_text(opened.provenance["kept_pixels"])
        first = next((number for number in range(len(opened)) if number not in opened.missing), None)
        if first is not None:
            frame = opened[first]
            about[f"frame {first}"] = {
                "pixels kept": len(frame.index),
                **({} if frame.reason is None else {"of these": reasons_text(counts_by_reason(frame))}),
                "error model": frame.error_model,
                "snr": frame.snr,
            }
        return about


def _audit(audit: dict[str, Any] | None) -> dict[str, Any]:
    """What became of reflections, use by use; nothing when that was not asked for."""
    if audit is None:
        return {}
    whole, every = audit["total"], audit["every"]
    share_kept = "" if whole["kept"] is None else f", {100 * whole['kept']:.1f} % of their counts kept"
    frames = "" if every == 1 else f", in every {ordinal(every)} frame"
    about = {"audit": f"{whole['reflections']} reflections: {audit['source']}{frames}{share_kept}"}
    return about | {one["use"]: f"{one['answer']} ({one['why']})" for one in audit["verdicts"]}


def _scan(scan: Scan | None, instrument: Instrument) -> dict[str, Any]:
    """How the crystal was turned and exposed, and what is known of the instrument; nothing when that is nothing."""
    told = instrument.facts()
    told.pop("valid counts", None)  # `saturation` and `valid values` say it
    about = {"scan": {} if scan is None else scan.facts(), "instrument": told}
    return {name: facts for name, facts in about.items() if facts}


def detector_maps(file: OpenedFile) -> dict[str, Any]:
    """Shape, rings and mask of detector maps that sparse files share."""
    if file.hdf5 is None:
        return {}
    held = file.hdf5[MAPS]
    mask = held["pixel_mask"][()]
    about = {"shape": _shape(mask.shape), "rings": len(held["ring_radius"]), "mask": _mask(mask)}
    return about | {"unusable in the first frame": len(held["unusable_index"])}


def _missing(numbers: Sequence[int]) -> dict[str, Any]:
    """Frames that could not be read when the file was made; nothing when there are none."""
    if not len(numbers):
        return {}
    some = ", ".join(map(str, numbers[:10])) + ", ..." * (len(numbers) > 10)
    return {"missing": f"{len(numbers)} frame{'s' * (len(numbers) > 1)}: {some}"}


def peaks(file: OpenedFile) -> dict[str, Any]:
    """Number of peaks, joined spots and frames, hits among these, resolution; and the frames that a CXI file shows."""
    listed, spots = peaks_in(file), spots_in(file)
    rows, missing = rows_in(file)
    counts = np.bincount(np.maximum(listed["frame"], 0), minlength=rows or 0)
    about: dict[str, Any] = {}
    if spots is not None:
        once = int(np.count_nonzero(spots["n_frames"] == 1))
        about["spots"] = f"{len(spots)}, joined through frames ({once} of them on one frame)"
    instead = spots is not None and file.hdf5 is None and form_of(file) != "JSON lines"
    about |= {} if instead else {"peaks": len(listed)}
    about |= {"frames": "not told"} if rows is None else {"frames": rows}
    results = frame_table_in(file)
    if not instead:
        about["with peaks"] = int(np.count_nonzero(counts))
    if results is not None:
        about |= _results(results)
    elif not instead:
        about["hits"] = f"{np.count_nonzero(counts >= HIT)} (>= {HIT} peaks)"
    about |= _missing(missing)
    about |= _scan(scan_in(file), Instrument())
    spacing = listed["d"][np.isfinite(listed["d"]) & (listed["d"] > 0)]
    if len(spacing):
        about["resolution"] = f"{spacing.max():.3g} to {spacing.min():.3g} angstrom"
    about |= made_by(read_provenance(file.path) if file.hdf5 is None else provenance_in(file.hdf5))
    return about | {name: value for name, value in _shown_frames(file).items() if name not in about}


def frame_table(file: OpenedFile) -> dict[str, Any]:
    """How many frames there are, and what they hold."""
    rows = frame_table_in(file)
    if rows is None:
        return {}
    missing = np.flatnonzero(rows["status"] == FrameStatus.MISSING)
    about = {"frames": len(rows), **_results(rows), **_missing(rows["frame"][missing].tolist())}
    table = None if file.hdf5 is None else roi_table_in(file.hdf5)
    if table is not None:
        about["regions"] = _regions(table.rois)
    return about | made_by(read_provenance(file.path) if file.hdf5 is None else provenance_in(file.hdf5))


def regions(file: OpenedFile) -> dict[str, Any]:
    """Regions of interest, and of how many frames there is what they held."""
    if file.hdf5 is not None:
        return frame_table(file) or {"regions": _regions(read_roi_document(file.path))}
    if file.text.lstrip().startswith("{"):
        return {"regions": _regions(read_roi_document(file.path))}
    lines = file.path.read_text(encoding="utf-8").splitlines()[1:]
    parts = [line.split(",", 2) for line in lines if line.count(",") > 1]
    names = dict.fromkeys(part[1] for part in parts)
    return {"frames": len({part[0] for part in parts}), "regions": ", ".join(names)} | made_by(
        read_provenance(file.path)
    )


def _regions(rois: Rois) -> str:
    return ", ".join(f"{roi.name} ({roi.type})" for roi in rois) or "none"


def _results(rows: FrameTable) -> dict[str, Any]:
    """Hits, resolution and background of frames."""
    about: dict[str, Any] = {}
    judged = int(np.count_nonzero(rows["hit"] >= 0))
    if judged:
        hits = int(np.count_nonzero(rows["hit"] == 1))
        about["hits"] = f"{hits} of {judged} ({100 * hits / judged:.3g} %)"
    if (vetoed := int(np.count_nonzero(rows["status"] == FrameStatus.VETOED))) > 0:
        about["vetoed"] = f"{vetoed}: their signal was left out"
    limits = rows["d_min"][np.isfinite(rows["d_min"])]
    if len(limits):
        about["d_min"] = f"{limits.min():.3g} to {limits.max():.3g} angstrom, median {np.median(limits):.3g}"
    background = rows["background"][np.isfinite(rows["background"])]
    if len(background):
        about["background"] = f"median {np.median(background):.3g} counts from 3 to 5 angstrom"
    return about


def _shown_frames(file: OpenedFile) -> dict[str, Any]:
    """The frames in a file that is something else as well; nothing when there are none."""
    if file.hdf5 is None:
        return {}
    try:
        find_datasets(file.hdf5, str(file.path), None)
        shown = frames(file)
    except NoFramesError:
        return {}
    except FileError as error:
        return {"images": f"cannot be read: {error}"}
    missing = {"images missing": shown.pop("missing")} if "missing" in shown else {}
    return {"images": shown.pop("frames"), **missing, **shown}
