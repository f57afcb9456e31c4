"""Draw throughput against the size of the frame.

crystint bench --scale pixels --peer pyfai --json > pixels.json
python benchmarks/plot_throughput.py pixels.json -o benchmarks/throughput.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from crystint.plot.style import ACCENT, BLUE, GREY, INK, TITLE, new_figure, save_figure, style  # noqa: E402

OWN = {
    "background hybrid": ("background", "o-"),
    "sparsify hybrid": ("sparsify", "s-"),
    "peaks hybrid": ("peaks", "^-"),
    "densify clean": ("densify", "v-"),
}
PEERS = {
    "pyFAI sigma_clip Cython hybrid": ("pyFAI sigma clipping, Cython", "o--"),
    "pyFAI sparsify OpenCL hybrid": ("pyFAI sparsify, OpenCL", "s--"),
    "pyFAI peakfinder OpenCL hybrid (grid corrected)": ("pyFAI peakfinder, OpenCL, corrected", "^--"),
    "peakfinder8 C++": ("peakfinder8, C++, one thread", "D--"),
    "FabIO densify clean": ("FabIO densify, one thread", "v--"),
}
APART = 0.046
"""least distance of two labels, as a share of the height of the axes"""


def curves(found: dict[str, Any]) -> dict[str, tuple[list[float], list[float]]]:
    """Megapixels and megapixels per second of every operation in the JSON of ``crystint bench --scale pixels``."""
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for point in found["scale"]["points"]:
        for row in point["times"]:
            if row["frames_per_s"] is not None:
                size, speed = lines.setdefault(row["name"], ([], []))
                size.append(point["megapixels"])
                speed.append(point["megapixels"] * row["frames_per_s"])
    return lines


def spread(places: list[float]) -> list[float]:
    """The places, ascending, moved so that neighbours are `APART`, and their middle stays."""
    moved = list(places)
    for _ in range(500):
        for i in range(len(moved) - 1):
            lack = APART - (moved[i + 1] - moved[i])
            if lack > 0:
                moved[i] -= lack / 2
                moved[i + 1] += lack / 2
    return moved


def draw(found: dict[str, Any]) -> Any:
    """The figure."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    lines = curves(found)
    shown = {name: kind for name, kind in {**OWN, **PEERS}.items() if name in lines}
    with style():
        figure = new_figure(8.6, 5.4)
        axes = figure.add_axes((0.085, 0.11, 0.62, 0.75))
        axes.set(xscale="log", yscale="log", xlabel="size of the frame / Mpx", ylabel="throughput / Mpx per s")
        axes.grid(True, which="major")
        if "copy" in lines:
            axes.plot(*lines["copy"], ":", color=GREY, linewidth=1.2)
        for name, (_, form) in shown.items():
            own = name in OWN
            axes.plot(*lines[name], form, color=ACCENT if own else BLUE, linewidth=1.8 if own else 1.2, markersize=4.5)
        sizes = sorted({size for size, _ in lines.values() for size in size})
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        arrow = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
        low, high = (float(np.log10(limit)) for limit in axes.get_ylim())
        label = {"copy": "copying the frame"} | {name: text for name, (text, _) in shown.items()}
        ends = sorted((float(np.log10(lines[name][1][-1])) - low, name) for name in label if name in lines)
        for (end, name), place in zip(ends, spread([end / (high - low) for end, _ in ends])):
            colour = GREY if name == "copy" else ACCENT if name in OWN else BLUE
            axes.annotate(
                label[name],
                (1.0, end / (high - low)),
                (1.045, place),
                xycoords="axes fraction",
                textcoords="axes fraction",
                va="center",
                color=colour,
                fontsize=8,
                annotation_clip=False,
                arrowprops=arrow | {"color": colour},
            )
        figure.text(0.085, 0.94, "Throughput against the size of the frame", color=INK, **TITLE)
        where = f"{found['device']}, {found['platform']}, {found['cores']} cores; {found['dtype']}"
        what = f"{where}, {found['rings']} rings, hybrid"
        figure.text(0.085, 0.895, f"{what}; crystint red, others blue", color=GREY, fontsize=8.5)
    return figure


def main() -> None:
    """Read JSON, write a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, help="what `crystint bench --scale pixels --json` printed")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "throughput.png")
    given = parser.parse_args()
    save_figure(draw(json.loads(given.json.read_text())), given.output, overwrite=True)
    print(f"wrote {given.output}")


if __name__ == "__main__":
    main()
