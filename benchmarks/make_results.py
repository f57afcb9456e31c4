"""Measure this machine and write the tables of benchmarks/RESULTS.md, and its picture.

    python benchmarks/make_results.py thau_3_2_0003.cbf

Each OpenCL device gets the table of the frame as it is. The first (the default device, or the first --device) is
measured in full: other dtypes, peers where they are installed, kernels, and the times over pixels, rings, cores and
threads. Takes some eight minutes on two cores. The text between the markers of RESULTS.md is replaced; the rest stays.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PEERS = {"pyfai": "pyFAI", "fabio": "fabio", "peakfinder8": "om"}
"""--peer -> the module that it needs"""
OTHER_DTYPES = ("uint16", "uint32")
PLOTTED = (
    *("background hybrid", "sparsify hybrid", "peaks hybrid", "densify clean"),
    *("pyFAI sigma_clip Cython hybrid", "pyFAI sparsify OpenCL hybrid"),
    *("pyFAI peakfinder OpenCL hybrid (grid corrected)", "FabIO densify clean", "peakfinder8"),
)
TIMES = ("copies", "wall_ms", "least_copies", "least_cpu_ms", "frames_per_s")
OWN = ("background", "sparsify", "peaks", "densify")
Found = dict[str, Any]


def only(names: Iterable[str]) -> list[str]:
    """The options that limit a measurement to these."""
    return [word for name in names for word in ("--only", name)]


def run(folder: Path, *arguments: str) -> Any:
    """What a crystint command prints as JSON, run in a folder, so that no path is part of the command."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    print("crystint", *arguments, flush=True)
    command = [sys.executable, "-m", "crystint", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def by_name(times: Sequence[Found]) -> dict[str, Found]:
    """The rows of a table."""
    return {row["name"]: row for row in times}


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many figures."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def name_of(found: Found) -> str:
    """A device in few words."""
    platform = {"Portable Computing Language": "PoCL"}.get(found["platform"], found["platform"])
    return f"{platform} {found['driver']}"


def size_of(found: Found) -> str:
    """A frame in few words."""
    slow, fast = found["shape"]
    return f"{slow} × {fast} {found['dtype']} ({slow * fast / 1e6:.2f} Mpx)"


def about(runs: Sequence[Found]) -> str:
    """Devices, versions, dates and commands."""
    versions = {name: number for found in runs for name, number in found["versions"].items()}
    lines = ["- Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()) + "."]
    devices = {f"{name_of(found)}: {found['device']}, {found['cores']} cores" for found in runs}
    lines += [f"- Device {device}." for device in sorted(devices)]
    lines.append(f"- Date: {runs[0]['date'][:10]}. Commands:\n\n```")
    lines += [" ".join(f"'{word}'" if " " in word else word for word in found["command"]) for found in runs]
    return "\n".join([*lines, "```"])


def times(runs: Sequence[Found]) -> str:
    """One row per operation, two columns per device."""
    head = ["operation", "target"]
    for found in runs:
        head += [f"{name_of(found)}: copies", "wall ms", "least: copies", "core-ms", "frames/s", ""]
    rows = []
    for first in runs[0]["times"]:
        row = [first["name"], number(first["target"])]
        for found in runs:
            one = by_name(found["times"])[first["name"]]
            verdict = {None: "", True: "met", False: "missed"}[one["met"]]
            row += [number(one[key]) for key in TIMES] + [verdict]
        rows.append(row)
    return f"Frame {size_of(runs[0])}.\n\n" + table(head, rows)


def dtypes(runs: Sequence[Found]) -> str:
    """One column per dtype."""
    head = ["operation, copies", "target", *(found["dtype"] for found in runs)]
    rows = []
    for first in runs[0]["times"]:
        if first["target"] is not None:
            found = [by_name(run["times"])[first["name"]] for run in runs]
            cells = [number(one["copies"]) + ("" if one["met"] else " (missed)") for one in found]
            rows.append([first["name"], number(first["target"]), *cells])
    units = ", ".join(f"{found['dtype']} {number(found['times'][0]['wall_ms'])}" for found in runs)
    return f"{name_of(runs[0])}. A copy took, in ms: {units}.\n\n" + table(head, rows)


def kernels(found: Found) -> str:
    """Bytes, times and bandwidth."""
    head = ["operation", "kernel", "ms", "MB that must move", "MB that move", "of the copy's bandwidth"]
    rows = []
    for one in found["kernels"]:
        share = "" if one["share"] is None else f"{100 * one['share']:.0f} %"
        sizes = ["" if one[key] is None else number(one[key]) for key in ("floor_mb", "moved_mb")]
        rows.append([one["operation"], f"`{one['kernel']}`", number(one["ms"]), *sizes, share])
    return f"{name_of(found)}, frame {size_of(found)}.\n\n" + table(head, rows)


def peers(found: Found) -> str:
    """Other programs beside crystint's own in the same run."""
    theirs = [row for row in found["times"] if row["name"].startswith(("pyFAI", "FabIO", "peakfinder8", "DIALS"))]
    ours = [row for row in found["times"] if row["name"].startswith(OWN)]
    rows = [[row["name"], *(number(row[key]) for key in TIMES[:-1])] for row in [*ours, *theirs]]
    return f"{name_of(found)}, frame {size_of(found)}.\n\n" + table(
        ["", "copies", "wall ms", "least: copies", "core-ms"], rows
    )


def over(found: Found, what: str) -> str:
    """One column per number of pixels, rings, cores or threads: milliseconds per frame."""
    points = found["scale"]["points"]
    head = [f"wall ms per frame, at {what}", *(f"{point['at']:g}" for point in points)]
    rows = [
        [first["name"], *(number(by_name(point["times"])[first["name"]]["wall_ms"]) for point in points)]
        for first in points[0]["times"]
    ]
    return f"{name_of(found)}, {found['dtype']}.\n\n" + table(head, rows)


def replace(text: str, part: str, new: str) -> str:
    """The text with what is between the markers of a part replaced."""
    begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{RESULTS} has no markers {begin} and {end}")
    return f"{text[: text.index(begin)]}{begin}\n\n{new}\n\n{text[text.index(end) :]}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frame", type=Path, help="a frame with its geometry; the targets are for thau_3_2_0003.cbf")
    parser.add_argument("--device", action="append", help="device to measure, the first in full; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file to write into")
    given = parser.parse_args()
    folder, frame = given.frame.resolve().parent, given.frame.name
    there = run(folder, "devices")
    ids = given.device or [one["id"] for one in sorted(there, key=lambda one: not one["default"])]
    installed = [word for name, module in PEERS.items() if find_spec(module) for word in ("--peer", name)]
    rounds, few = ("--rounds", str(given.rounds)), ("--rounds", "2")

    def bench(device: str, *arguments: str) -> Found:
        found: Found = run(folder, "bench", *arguments, "--device", device, "-q")
        return found

    main_one = ids[0]
    tables = [bench(device, frame, *rounds, "--kernels") for device in ids]
    others = [bench(main_one, frame, "--dtype", dtype, *rounds, *only(OWN)) for dtype in OTHER_DTYPES]
    compared = bench(main_one, frame, *few, *only([*OWN, "pyFAI", "FabIO", "peakfinder8"]), *installed)
    pixels = bench(main_one, "--scale", "pixels", *few, *only(PLOTTED), *installed)
    rings = bench(main_one, frame, "--scale", "rings", *few)
    cores = bench(main_one, frame, "--scale", "cores", *few)
    threads = bench(main_one, "--scale", "threads", *few)

    text = given.results.read_text(encoding="utf-8")
    parts = {
        "about": about([*tables, *others, compared, pixels, rings, cores, threads]),
        "times": times(tables),
        "dtypes": dtypes([tables[0], *others]),
        "kernels": "\n\n".join(kernels(found) for found in tables),
        "peers": peers(compared),
        "pixels": over(pixels, "Mpx"),
        "rings": over(rings, "rings"),
        "cores": over(cores, "cores"),
        "threads": over(threads, "threads"),
    }
    for part, new in parts.items():
        text = replace(text, part, new)
    given.results.write_text(text, encoding="utf-8")
    draw(pixels, given.results.parent / "throughput.png")
    print(f"wrote {given.results}")


def draw(pixels: Found, path: Path) -> None:
    """The picture."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.plot_throughput import draw as figure
    from crystint.plot import save_figure

    save_figure(figure(pixels), path, overwrite=True)


if __name__ == "__main__":
    main()
