"""Draw the pictures of README.md and docs/ from simulated frames: ``python docs/make_pictures.py [PAGE...]``.

With names of tutorials (``stills``), those of these only, which their own blocks draw.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
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
WIDTH = 850
"""Pixels across, at most."""


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


def stills() -> object:
    """A run on simulated stills whose orientations are not quite right, as pictures have it."""
    from crystint.plot import plot_stills
    from crystint.stills import RockingWidth, StillsRun, integrate, merge, scale, simulate_stills

    data = simulate_stills(
        80,
        d_min=3.0,
        shape=(420, 440),
        distance=0.06,
        mosaicity=1e-3,
        spot=2.0e-3,
        spot_growth=2.0e-3,
        background=0.5,
        orientation_error=2e-4,
        seed=1,
    )
    width = RockingWidth(1e-3, 1e-3)
    found = integrate(data.images(), data.experiment, d_min=3.0, width=width)
    group, cell = data.settings.crystal.group, data.settings.crystal.cell
    scales = scale(found.observations, data.experiment, space_group=group)
    merged = merge(found.observations, scales, space_group=group, cell=cell, reference=data.reference())
    run = StillsRun(
        experiment=data.experiment,
        observations=found.observations,
        scales=scales,
        merged=merged,
        profile=found.profile,
        width=width,
    )
    return plot_stills(run, title="80 simulated stills, orientations wrong by 0.01°")


def convergent() -> object:
    """A scaling of simulated convergent-beam frames."""
    from crystint.cbc import read_run
    from crystint.plot import plot_cbc

    with tempfile.TemporaryDirectory() as folder:
        for step in ("simulate -o table.h5 --seed 1", "scale table.h5 -o scaled.h5 --symmetry mmm --bandwidth 1e-3 -q"):
            command = [sys.executable, "-m", "crystint", "cbc", *step.split()]
            subprocess.run(command, check=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
        return plot_cbc(read_run(f"{folder}/scaled.h5"), title="8 simulated convergent-beam frames")


def save(figure: object, name: str, dpi: int) -> None:
    """Write a figure with few colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)  # type: ignore[attr-defined]
    shrink(buffer, name)


def shrink(source: io.BytesIO | Path, name: str) -> None:
    """Store a picture with few colours, and not too large for a page."""
    from PIL import Image

    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)
    print(f"{name}: {(FOLDER / name).stat().st_size / 1e3:.0f} kB")


def tutorial(page: Path) -> None:
    """Run the blocks of a tutorial in an empty folder, and keep the pictures that it shows."""
    from sybil import Sybil

    from conftest import PARSERS

    shown = re.findall(r"\(\.\./images/([\w-]+\.png)\)", page.read_text(encoding="utf-8"))
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for example in Sybil(parsers=PARSERS).parse(page).examples():
                example.evaluate()
            for name in shown:
                shrink(Path(name), name)
        finally:
            os.chdir(before)


def main() -> None:
    """Draw all of them, or those of some tutorials."""
    tutorials = ROOT / "docs" / "tutorials"
    names = sys.argv[1:] or sorted(path.stem for path in tutorials.glob("*.md"))
    for name in names:
        tutorial(tutorials / f"{name}.md")
    if not sys.argv[1:]:
        pages()


def pages() -> None:
    """Pictures of the other pages."""
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
    save(stills(), "stills.png", 75)
    save(convergent(), "cbc.png", 75)


if __name__ == "__main__":
    main()
