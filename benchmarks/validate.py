"""Print the figures of docs/validation.md: real frames against DIALS, against themselves, and against their size.

    python benchmarks/validate.py [FOLDER]

FOLDER, or the environment variable CRYSTINT_TEST_DATA, or ``../shared/data`` beside the checkout, holds
``thaumatin/thau_3_2_00{03,08,15,18}.cbf.bz2`` and ``thaumatin/dials_strong_spots.csv``. All settings are the defaults.
With DIALS on PATH, ``dials.find_spots`` is run on the raw and on the densified frame 03, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

import crystint
from crystint.io.hdf5.provenance import provenance
from crystint.io.sparse.dense_file import DenseWriter
from crystint.io.sparse.writer import SparseWriter
from crystint.model.rings import interpolate
from crystint.ops.densify import Densifier

_FRAMES = ("thau_3_2_0003", "thau_3_2_0008", "thau_3_2_0015", "thau_3_2_0018")
_SHARED = ("background_count", "background_sem", "background_excess", "background_additive", "role")
_FRAME = ("index", "index_delta", "index_escape", "intensity", "background_avg", "background_std")


def places(table: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [n, 2]: (slow, fast) of a peak list."""
    return np.column_stack([table["slow"], table["fast"]])


def share_near(of: NDArray[np.float64], near: NDArray[np.float64], reach: float = 3.0) -> float:
    """Share of the places `of` that have one of the places `near` within `reach` px."""
    if not len(of) or not len(near):
        return 0.0
    return float(np.mean(KDTree(near).query(of)[0] <= reach))


def heading(text: str) -> None:
    """A heading of the output."""
    print(f"\n## {text}\n", flush=True)


def table(*rows: tuple[Any, ...]) -> None:
    """Rows as a Markdown table; the first is the head."""
    for number, row in enumerate(rows):
        print("| " + " | ".join(map(str, row)) + " |")
        if number == 0:
            print("|" + "---|" * len(row))
    sys.stdout.flush()


def peaks_table(frames: dict[str, Any], spots: NDArray[Any]) -> None:
    """Peaks against DIALS's strong spots."""
    heading("Peaks against the spots of dials.find_spots, within 3 px")
    rows: list[tuple[Any, ...]] = [("frame", "DIALS spots", "crystint peaks", "spots found %", "peaks near a spot %")]
    for name, (frame, separator, _) in frames.items():
        dials, ours = places(spots[spots["frame"] == name]), places(separator.peaks(frame))
        found, right = 100 * share_near(dials, ours), 100 * share_near(ours, dials)
        rows.append((name, len(dials), len(ours), f"{found:.1f}", f"{right:.1f}" if len(ours) else "-"))
    table(*rows)


def width_table(name: str, frame: NDArray[Any], geometry: Any, mask: Any) -> None:
    """Width of z = (v - mean) / std of background pixels, by radius and by normalization within a ring."""
    heading(f"Width of z in the background of {name}")
    columns = ("lowest", "second", "third", "highest")
    rows: list[tuple[Any, ...]] = [("model, rings", "mean", *(f"{column} weights" for column in columns))]
    for model in ("poisson", "hybrid"):
        separator = crystint.Separator(geometry, mask, error_model=model)
        rings, background = separator.rings, separator.background(frame)
        place = rings.position
        good = np.isfinite(place) & (frame >= 0)
        good.ravel()[separator.sparsify(frame, snr=5.0).index] = False
        ring = np.clip(np.floor(place[good] + 0.5), 0, rings.rings - 1).astype(int)
        weight = rings.weight[good].astype(float)
        mean = interpolate(background.mean, place[good])
        z = (frame[good] / weight - mean) / np.sqrt(mean / weight)
        quartile = rank_within(ring, weight)
        quarter = np.minimum(4 * np.searchsorted(np.sort(ring), ring) // len(ring), 3)
        for part in range(4):
            here = (quarter == part) & np.isfinite(z)
            widths = [f"{z[here & (quartile == i)].std():.3f}" for i in range(4)]
            edges = f"{ring[here].min()}-{ring[here].max()}"
            rows.append((f"{model}, {edges}", f"{frame[good][here].mean():.2f}", *widths))
    table(*rows)


def rank_within(group: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Quartile (0 to 3) of each value among those of its group."""
    order = np.lexsort((values, group))
    first = np.searchsorted(group[order], group[order])
    size = np.bincount(group)[group[order]]
    quartile = np.empty(len(group), np.intp)
    quartile[order] = 4 * (np.arange(len(group)) - first) // size
    return quartile


def compression_table(frames: dict[str, Any], folder: Path) -> None:
    """Bytes per frame, against the raw frame under bitshuffle-LZ4."""
    heading("Compression at SNR_pick 3, kB per frame")
    head = ("frame", "pixels kept", "raw bslz4", "plain", "ratio", "compact", "ratio", "fixed per file")
    rows: list[tuple[Any, ...]] = [head]
    for name, (frame, separator, geometry) in frames.items():
        raw, fixed, found = packed_size(frame), 0, []
        sparse = separator.sparsify(frame)
        for compact in (False, True):
            path = folder / "sparse.h5"
            record = provenance({}, [], [])
            writer = SparseWriter(
                path,
                separator.rings,
                frame.dtype,
                geometry=geometry,
                provenance=record,
                compact=compact,
                overwrite=True,
            )
            with writer:
                writer.write(sparse, frame=frame)
            payload = payload_size(path)
            fixed = path.stat().st_size - payload
            found += [f"{payload / 1e3:.1f}", f"{raw / payload:.1f}"]
        rows.append((name, len(sparse.index), f"{raw / 1e3:.0f}", *found, f"{fixed / 1e3:.0f}"))
    table(*rows)


def packed_size(frame: NDArray[Any]) -> int:
    """Bytes of a frame under bitshuffle-LZ4."""
    with h5py.File("raw", "w", driver="core", backing_store=False) as file:
        made = file.create_dataset("a", data=frame, chunks=frame.shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        return int(made.id.get_storage_size())


def payload_size(path: Path) -> int:
    """Bytes of what a sparse file holds frame by frame."""
    with h5py.File(path) as file:
        shared, own = file["entry_0000/sparse_frames"], file["entry_0000/crystint"]
        found = [shared[name] for name in _FRAME if name in shared] + [own[name] for name in _SHARED]
        return sum(int(one.id.get_storage_size()) for one in found)


def densify_table(frames: dict[str, Any]) -> None:
    """Statistics of background pixels, raw and densified."""
    heading("Background before and after, SNR_pick 3, seed 0")
    head = (
        "frame",
        "pixels",
        "mean raw",
        "densified",
        "variance raw",
        "densified",
        "zeros % raw",
        "densified",
        "picked anew",
    )
    rows: list[tuple[Any, ...]] = [head]
    for name, (frame, separator, _) in frames.items():
        sparse = separator.sparsify(frame)
        back = Densifier(separator.engine, separator.rings).run(sparse)
        again = separator.sparsify(back)
        rest = np.isfinite(separator.rings.position) & (frame >= 0)
        rest.ravel()[sparse.index] = False
        raw, new = frame[rest].astype(float), back[rest].astype(float)
        statistics = [f(x) for f in (np.mean, np.var) for x in (raw, new)]
        zeros = [f"{100 * np.mean(x == 0):.2f}" for x in (raw, new)]
        anew = len(np.setdiff1d(again.index, sparse.index))
        rows.append((name, rest.sum(), *(f"{value:.4f}" for value in statistics), *zeros, anew))
    table(*rows)


def find_spots(source: Path, folder: Path, stem: str) -> NDArray[np.float64]:
    """Places of the spots that dials.find_spots finds with its defaults."""
    environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    for command in (
        ["dials.import", str(source), f"output.experiments={stem}.expt"],
        ["dials.find_spots", f"{stem}.expt", f"output.reflections={stem}.refl", "nproc=1"],
    ):
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return places(crystint.read_peaks(folder / f"{stem}.refl"))


def dials_table(name: str, frames: dict[str, Any], source: Path, folder: Path) -> None:
    """Spots that DIALS finds in the raw frame, and in the densified one."""
    heading(f"dials.find_spots on {name}: raw, and sparsified and densified again")
    if shutil.which("dials.find_spots") is None:
        print("DIALS is not on PATH.")
        return
    frame, separator, geometry = frames[name]
    raw = find_spots(source, folder, "raw")
    densifier, sparse = Densifier(separator.engine, separator.rings), separator.sparsify(frame)
    head = ("frame", "spots", "raw spots found within 2 px %", "within 3 px %", "spots near a raw one (2 px) %")
    rows: list[tuple[Any, ...]] = [head, ("raw", len(raw), "100.0", "100.0", "100.0")]
    for label, noise, seed in (("seed 0", True, 0), ("seed 1", True, 1), ("seed 2", True, 2), ("no noise", False, 0)):
        path = folder / f"dense_{label.replace(' ', '_')}.h5"
        writer = DenseWriter(
            path,
            frame.shape,
            frame.dtype,
            geometry=geometry,
            mask=separator.rings.mask,
            saturation=separator.saturation,
            provenance=provenance({}, [], []),
        )
        with writer:
            writer.write(densifier.run(sparse, noise, seed))
        found = find_spots(path, folder, path.stem)
        shares = share_near(raw, found, 2.0), share_near(raw, found, 3.0), share_near(found, raw, 2.0)
        rows.append((f"densified, {label}", len(found), *(f"{100 * share:.1f}" for share in shares)))
    table(*rows)


def main() -> None:
    """Print all tables."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CRYSTINT_TEST_DATA", beside)
    folder = Path(given) / "thaumatin"
    spots = np.genfromtxt(
        folder / "dials_strong_spots.csv", delimiter=",", skip_header=1, names=True, dtype=None, encoding="ascii"
    )
    engine = crystint.Engine()
    print(f"crystint {crystint.__version__} on {engine.device.name} ({engine.device.platform})")
    frames: dict[str, Any] = {}
    for name in _FRAMES:
        with crystint.open_frames(folder / f"{name}.cbf.bz2") as opened:
            geometry = opened.geometry
            separator = crystint.Separator(geometry, opened.mask, engine=engine, saturation=opened.saturation)
            frames[name] = opened[0], separator, geometry
    peaks_table(frames, spots)
    frame, separator, geometry = frames["thau_3_2_0015"]
    width_table("thau_3_2_0015", frame, geometry, separator.rings.mask)
    densify_table(frames)
    with tempfile.TemporaryDirectory() as made:
        compression_table(frames, Path(made))
        name = "thau_3_2_0003"
        dials_table(name, frames, folder / f"{name}.cbf.bz2", Path(made))


if __name__ == "__main__":
    main()
