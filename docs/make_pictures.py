"""Draw the pictures of README.md and docs/ from simulated frames: ``python docs/make_pictures.py``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from crystint import Separator, compare  # noqa: E402
from crystint.plot import plot_frame  # noqa: E402
from crystint.simulate import Lattice, Simulation, ice_rings, simulate  # noqa: E402

FOLDER = ROOT / "docs" / "images"
"""Where the pictures go."""
COLOURS = 200
"""A picture of so few colours is half of the size."""


def scene() -> Simulation:
    """A still of a crystal with ice on it, on a detector of modules."""
    return simulate(
        (1024, 1062),
        dtype="uint16",
        background=9.0,
        falloff=2.0,
        rings=ice_rings(5.0),
        peaks=Lattice(cell=(58.0, 58.0, 150.0), mosaicity=0.0018, b_factor=16.0),
        intensity=9000.0,
        width=0.8,
        modules=(195, 256),
        dead=200,
        hot=40,
        saturation=60000,
        seed=5,
    )


def save(figure: object, name: str, dpi: int) -> None:
    """Write a figure with few colours."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)  # type: ignore[attr-defined]
    picture = Image.open(buffer).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(FOLDER / name, optimize=True)
    print(f"{name}: {(FOLDER / name).stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Draw all of them."""
    from crystint.plot import plot_comparison

    FOLDER.mkdir(exist_ok=True)
    data = scene()
    frame = data[0]
    separator = Separator(data.geometry, data.mask, saturation=data.saturation)
    background = separator.background(frame)
    peaks = separator.peaks(frame, background=background)
    title = "Simulated frame, and the peaks found in it"
    figure = plot_frame(frame, background=background, peaks=peaks, geometry=data.geometry, mask=data.mask, title=title)
    save(figure, "frame.png", 80)
    sparse = separator.sparsify(frame, background=background)
    save(plot_comparison(compare.compare(frame, sparse)), "compare.png", 75)


if __name__ == "__main__":
    main()
