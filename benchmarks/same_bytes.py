"""Show that a change leaves the outputs of crystint as they were, data set by data set.

    python benchmarks/same_bytes.py make FOLDER [--data FOLDER]
    python benchmarks/same_bytes.py compare FOLDER_A FOLDER_B

``make`` runs a fixed list of commands in FOLDER and writes ``manifest.json`` there: a digest of every output, and of
every data set, column and attribute in it. The commands are those of the checkout that PYTHONPATH names, or of the
installed package. File names are relative, so that command lines in provenances are the same wherever FOLDER is.
Simulated data are always used; real frames are, where the folder of sample data holds them (default: ``shared/data``
beside the checkout, or CRYSTINT_TEST_DATA). CRYSTINT_DEVICE names the device. Two quiet cores take about two minutes.

``compare`` names what is not the same. Exit status 1: data differ, or a command ends otherwise. Provenances, which may
gain entries, and files that differ in nothing but their bytes are listed apart and change no exit status.
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gemmi
import h5py
import hdf5plugin  # noqa: F401  (filters of the frames that crystint writes)
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CRYSTINT_TEST_DATA", ROOT.parent / "shared" / "data"))
MANIFEST = "manifest.json"
_RECORD = "record of "
"""Begins the name of a part that is a provenance: what may differ."""
_PICTURES = (".png", ".pdf", ".svg")
_SHOWN = 20
"""Differences of one file that are named."""


@dataclass(frozen=True)
class Line:
    """A command to run.

    Attributes
    ----------
    words : str
        Without ``crystint``. ``-o NAME`` is an output.
    needs : str
        An input without which it is left out.
    printed : str
        File for what it prints, an output as well.
    """

    words: str
    needs: str = ""
    printed: str = ""

    @property
    def outputs(self) -> list[str]:
        """Names of the files that it writes, or of folders."""
        words = shlex.split(self.words)
        names = [after for word, after in pairwise(words) if word == "-o"]
        return names + [self.printed] * bool(self.printed)


def _separation(frames: str, name: str, needs: str = "") -> list[Line]:
    """Peaks, sparse files and whole frames again."""
    peaks = " ".join(f"-o {name}/{file}" for file in ("p.cxi", "p.refl", "p.h5", "p.json", "p.jsonl", "SPOT.XDS"))
    return [
        Line(f"peaks {frames} {peaks}", needs),
        Line(f"sparsify {frames} -o {name}/plain.h5", needs),
        Line(f"sparsify {frames} -o {name}/peaks.h5 --peaks --snr 4 --error-model azimuthal", needs),
        Line(f"sparsify {frames} -o {name}/compact.h5 --compact --error-model poisson", needs),
        Line(f"densify {name}/plain.h5 -o {name}/clean.h5 --no-noise", needs),
        Line(f"densify {name}/compact.h5 -o {name}/noisy.h5 --seed 3 --compression bslz4", needs),
        Line(f"convert {name}/plain.h5 -o {name}/plain-compact.h5", needs),
        Line(f"convert {name}/compact.h5 -o {name}/compact-plain.h5", needs),
        Line(f"compare {frames.split(' -m')[0]} {name}/plain.h5 --json --seed 1", needs, f"{name}/compare.json"),
    ]


_PLACE = "--distance 0.1 --pixel-size 75um --wavelength 1.3"
_DETECTOR = "--shape 1001,1031 --pixel-size 344e-6 --d-min 2.4"
_THAUMATIN = "'in/thau_3_2_00*.cbf'"
_EXPT, _CASE, _LOKI = "in/11_integrated.expt", "in/cbc_case.h5", "in/loki.npy"
_OF_LOKI = f"{_LOKI} -m in/loki-mask.npy"


def _lines(text: str, needs: str = "") -> list[Line]:
    """A command in each line of a text; lines that begin with ... go on with the one before."""
    return [Line(words.strip(), needs) for words in text.replace("\n...", "").strip().splitlines()]


LINES = [
    *_lines(f"""
stills simulate -o stills --frames 6 {_DETECTOR} --intensity 8000 --seed 5
stills predict stills/frames.expt -o stills/p.refl -o stills/p.csv -o stills/p.h5 --d-min 2.4
stills integrate stills/frames.expt stills/frames.h5 -o stills/i.h5 -o stills/i.mtz --d-min 2.4
stills integrate stills/frames.expt stills/frames.h5 -o stills/sum.h5 --d-min 2.4 --method sum --no-recenter
stills scale stills/i.h5 -o stills/s.h5 -o stills/s.mtz
stills scale stills/truth.h5 -r stills/reference.mtz -o stills/r.h5
stills merge stills/s.h5 -o stills/m.h5 -o stills/m.mtz -o stills/m.txt
stills merge stills/r.h5 -o stills/a.mtz --anomalous -r stills/reference.mtz --free 0.05 --sigma larger
"""),
    *_lines(
        f"""
stills predict {_EXPT} -o wedge/p.refl -o wedge/p.csv -o wedge/p.h5
stills integrate {_EXPT} 'in/l-cyst_01_*.cbf' -o wedge/i.h5 -o wedge/i.mtz
stills scale wedge/i.h5 -o wedge/s.h5 -o wedge/s.mtz
stills merge wedge/s.h5 -o wedge/m.h5 -o wedge/m.mtz -o wedge/m.txt
stills merge in/11_integrated.refl -o wedge/refl.mtz -o wedge/refl.h5
""",
        _EXPT,
    ),
    *_separation(_THAUMATIN, "thaumatin", "in/thau_3_2_0003.cbf"),
    *_lines(
        f"peaks {_THAUMATIN} -o thaumatin/d.h5 --d-min 3 --d-max 20 --patch 5 --rings 500 --snr-clip 4",
        "in/thau_3_2_0003.cbf",
    ),
    *_separation("stills/frames.h5 -m in/mask.npy", "nxmx"),
    Line("demo -o demo --frames 3 -q"),
    *_lines("""
cbc simulate -o cbc/t.h5 --frames 4 --seed 1 --d-min 3.8
cbc simulate -o cbc/rows.h5 --rows 20000 --frames 5 --seed 2
cbc scale cbc/t.h5 -o cbc/s.h5 --symmetry mmm --grid 24,24
cbc scale cbc/t.h5 -o cbc/least.h5 --symmetry mmm --grid 24,24 --bandwidth 2e-3 --iterations 4
... --kind least_squares --loss huber --intercept
cbc scale cbc/t.h5 -o cbc/device.h5 --symmetry mmm --grid 24,24 --bandwidth 2e-3 --iterations 4 --device cpu
cbc merge cbc/s.h5 -o cbc/m.mtz -o cbc/m.hkl -o cbc/m.txt
"""),
    *_lines(
        f"""
cbc scale {_CASE} --key table --setup {_CASE} -o cbc/case.h5 --symmetry mmm --bandwidth 2e-3 --iterations 3
cbc merge cbc/case.h5 -o cbc/case.mtz -o cbc/case.hkl -o cbc/case.txt --cell 22.1,27.3,33.7,90,90,90
""",
        _CASE,
    ),
    *_lines(f"""
correlate center in/rings.npy --beam 99,106 {_PLACE} -o rings/c.poni -o rings/c.json
correlate polar in/rings.npy -g rings/c.poni -o rings/polar.h5 --radii 40,90
correlate polar in/rings.npy --beam 100.3,104.6 -m in/ring-mask.npy -o rings/nearest.h5 --radii 40,90
... --method nearest --origin loki
correlate correlate in/rings.npy -g rings/c.poni -o rings/none.h5 --radii 50,70 --coefficients 8 --cross all
correlate correlate in/rings.npy -g rings/c.poni -o rings/raw.h5 --radii 50,70 --outliers 0
correlate correlate in/rings.npy -g rings/c.poni -o rings/pairs.h5 --radii 50,70 --outliers 0 --difference optimal
correlate correlate in/rings.npy -g rings/c.poni -o rings/optimal.h5 --radii 50,70 --difference optimal --peaks 3
correlate correlate in/rings.npy -g rings/c.poni -o rings/greedy.h5 --radii 50,70 --difference greedy
... --curve chebyshev
correlate correlate --add rings/raw.h5 --add rings/raw.h5 -o rings/sum.h5
"""),
    *_lines(
        f"""
correlate center {_OF_LOKI} --beam 152,151 --distance 51mm --pixel-size 0.4mm -o loki/c.poni -o loki/c.json
correlate polar {_OF_LOKI} --beam 150,149.9 -o loki/polar.h5 --radii 10,130 --azimuths 816 --method nearest
correlate correlate {_OF_LOKI} --beam 150,149.9 -o loki/none.h5 --radii 10,130
correlate correlate {_OF_LOKI} --beam 150,149.9 -o loki/raw.h5 --radii 10,130 --outliers 0
""",
        _LOKI,
    ),
]


def make_inputs(folder: Path, data: Path) -> None:
    """Put everything that the commands read into a folder: rings and masks made here, and copies of sample data."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    slow, fast = np.indices((200, 210)) + 0.5
    slow, fast = slow - 100.3, fast - 104.6
    radius, phi = np.hypot(slow, fast), np.arctan2(slow, fast)
    frames = []
    for number in range(6):
        around = 1.0 + 0.2 * np.cos(phi - 2.0 * (number % 3)) + 0.1 * np.cos(4.0 * phi + rng.uniform(0.0, 6.0))
        level = rng.uniform(0.8, 1.2) * (20.0 + 200.0 * np.exp(-(((radius - 60.0) / 3.0) ** 2)))
        frames.append(rng.poisson(level * around))
    np.save(folder / "rings.npy", np.array(frames, np.int32))
    np.save(folder / "ring-mask.npy", (rng.random((200, 210)) < 0.03).astype(np.uint8))
    np.save(folder / "mask.npy", (rng.random((1001, 1031)) < 0.01).astype(np.uint8))
    for packed in (*data.glob("thaumatin/*.cbf.bz2"), *data.glob("stills/l_cysteine_wedge/*.cbf.bz2")):
        (folder / packed.stem).write_bytes(bz2.decompress(packed.read_bytes()))
    for file in (*data.glob("stills/l_cysteine_wedge/11_integrated.*"), *data.glob("cbc/cbc_case.h5")):
        shutil.copyfile(file, folder / file.name)
    if (data / "loki/inputs/test_img.npy").exists():
        np.save(folder / "loki.npy", np.load(data / "loki/inputs/test_img.npy"))
        np.save(folder / "loki-mask.npy", (~np.load(data / "loki/inputs/test_mask.npy")).astype(np.uint8))


def make(folder: Path, data: Path) -> int:
    """Run all commands and write the manifest; 1 when a command failed."""
    if folder.exists() and any(folder.iterdir()):
        print(f"{folder} is not empty", file=sys.stderr)
        return 1
    make_inputs(folder / "in", data)
    search = os.pathsep.join(
        str(Path(one).resolve()) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one
    )
    environment = {**os.environ, "PYTHONPATH": search}
    crystint = [sys.executable, "-m", "crystint"]
    listed = subprocess.run([*crystint, "devices", "--json"], env=environment, capture_output=True, check=True)
    device = next(f"{one['name']}, driver {one['driver']}" for one in json.loads(listed.stdout) if one["default"])
    print(device)
    codes, outputs, failed = {}, set(), 0
    for line in LINES:
        if line.needs and not (folder / line.needs).exists():
            print(f"left out, there is no {line.needs}: {line.words}")
            continue
        for name in line.outputs:
            (folder / name).parent.mkdir(exist_ok=True)
        start = time.perf_counter()
        done = subprocess.run(
            [*crystint, *shlex.split(line.words)],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        if line.printed:
            (folder / line.printed).write_bytes(done.stdout)
        codes[line.words] = done.returncode
        outputs |= {Path(name).parts[0] for name in line.outputs}
        failed += done.returncode != 0
        print(f"{time.perf_counter() - start:6.1f} s  {done.returncode}  crystint {line.words}", flush=True)
        if done.returncode:
            print(done.stderr.decode(), end="", file=sys.stderr)
    files = sorted(path for name in ["in", *outputs] for path in (folder / name).rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): digests(path) for path in files}
    manifest = {"device": device, "commands": codes, "files": found}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    print(f"{len(codes)} commands, {failed} failed, {len(found)} files, {sum(map(len, found.values()))} digests")
    return int(failed > 0)


def digests(path: Path) -> dict[str, Any]:
    """Digest of a file's bytes, under "bytes", and of each of its parts, under its name."""
    parts = {"bytes": _digest(path.read_bytes())}
    if path.parent.name == "in":
        return parts
    for name, value in _parts(path):
        record = _record(value)
        if record is None:
            parts[name] = _digest(value)
        else:
            parts |= {f"{_RECORD}{name}: {entry}": held for entry, held in _entries(record)}
    return parts


def _parts(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and value of everything in a file: arrays, text, bytes."""
    suffix = path.suffix.lower()
    if suffix in (".h5", ".cxi"):
        with h5py.File(path) as file:
            yield from _of_group(file, "")
    elif suffix == ".mtz":
        mtz = gemmi.read_mtz_file(str(path))
        yield from (
            (f"column {column.label} {column.type}", np.array(column.array, copy=True)) for column in mtz.columns
        )
        yield "cell and group", f"{mtz.cell.parameters} {mtz.spacegroup.xhm()}"
        yield "batches", [([*map(int, batch.ints)], [*map(float, batch.floats)]) for batch in mtz.batches]
        yield f"{_RECORD}history", {"program": "crystint", "history": list(mtz.history)}
    elif suffix in (".json", ".jsonl"):
        for number, content in enumerate(_json(path.read_text(encoding="utf-8"))):
            if isinstance(content, dict) and "provenance" in content:
                yield f"record {number} provenance", content.pop("provenance")
            yield f"record {number}", json.dumps(content)
    elif suffix in (".csv", ".txt", ".poni", ".hkl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        yield "comments", {"program": "crystint", "lines": [line for line in lines if line.startswith("#")]}
        yield "lines", "\n".join(line for line in lines if not line.startswith("#"))
    elif suffix not in _PICTURES:
        yield "content", path.read_bytes()


def _json(text: str) -> list[Any]:
    """One value, or a value per line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def _of_group(group: h5py.Group, place: str) -> Iterator[tuple[str, Any]]:
    yield from ((f"{place}@{name}", group.attrs[name]) for name in group.attrs)
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{place}/{name}"
        if isinstance(link, h5py.ExternalLink):
            yield where, f"external {link.filename} {link.path}"
        elif isinstance(link, h5py.SoftLink):
            yield where, f"soft {link.path}"
        elif isinstance(group[name], h5py.Group):
            yield from _of_group(group[name], where)
        else:
            yield from ((f"{where}@{key}", group[name].attrs[key]) for key in group[name].attrs)
            yield where, group[name][()]


def _record(value: Any) -> dict[str, Any] | None:
    """The provenance that a value is, as a dictionary; None when it is something else."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) and value.get("program") == "crystint" else None


def _entries(record: dict[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _entries(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", json.dumps(value)


def _digest(value: Any) -> str:
    """SHA-256 of a value, with dtype and shape in front where it has them."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()[:32]
    if isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        content = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
        return f"{array.dtype.str} {np.shape(value)} {hashlib.sha256(content).hexdigest()[:32]}"
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


def compare(first: Path, second: Path) -> int:
    """Print what is not the same in two folders; 1 when data or exit statuses differ."""
    old, new = (json.loads((folder / MANIFEST).read_text(encoding="utf-8")) for folder in (first, second))
    data = [f"device: {old['device']} -> {new['device']}"] * (old["device"] != new["device"])
    data += [
        f"crystint {words}: exit {old['commands'].get(words, 'not run')} -> {new['commands'].get(words, 'not run')}"
        for words in {**old["commands"], **new["commands"]}
        if old["commands"].get(words) != new["commands"].get(words)
    ]
    records, only_bytes = [], []
    for name in sorted({**old["files"], **new["files"]}):
        if name not in old["files"] or name not in new["files"]:
            data.append(f"{name}: only in {first if name in old['files'] else second}")
            continue
        before, after = old["files"][name], new["files"][name]
        parts = [part for part in {**before, **after} if before.get(part) != after.get(part)]
        opaque = name.startswith("in/") or (len(before) == 1 and Path(name).suffix not in _PICTURES)
        if parts == ["bytes"] and not opaque:
            only_bytes.append(name)
        named = [
            f"{name} {part}: {before.get(part, 'not there')} -> {after.get(part, 'not there')}"
            for part in parts
            if part != "bytes" or opaque
        ]
        of_data = [text for text in named if not text.startswith(f"{name} {_RECORD}")]
        data += of_data[:_SHOWN] + [f"{name}: {len(of_data) - _SHOWN} more"] * (len(of_data) > _SHOWN)
        records += [text for text in named if text.startswith(f"{name} {_RECORD}")]
    for title, lines in (("provenance", records), ("bytes alone", only_bytes), ("DATA", data)):
        print(f"{title}: {len(lines)} differ" + ":" * bool(lines))
        for text in lines:
            print(f"  {text}")
    print(f"{len(old['files'])} files, {sum(map(len, old['files'].values()))} digests")
    return int(bool(data))


def main() -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(description="Outputs before and after a change, data set by data set.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("make", help="run the commands and write the manifest")
    one.add_argument("folder", type=Path)
    one.add_argument("--data", type=Path, default=DATA, help="sample data (default: %(default)s)")
    two = verbs.add_parser("compare", help="name what differs")
    two.add_argument("first", type=Path)
    two.add_argument("second", type=Path)
    given = parser.parse_args()
    return make(given.folder, given.data) if given.verb == "make" else compare(given.first, given.second)


if __name__ == "__main__":
    sys.exit(main())
