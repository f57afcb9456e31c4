"""Pictures of the page for browsers: ``python docs/make_page_pictures.py [NAME...]``.

Simulated series are sent to a service, and Chromium, driven by Playwright, shows them; needs both, and `make web`.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from crystint import Roi, Rois  # noqa: E402
from crystint.online import AnalysisSettings  # noqa: E402
from crystint.simulate import Lattice, Simulation, ice_rings, simulate  # noqa: E402
from crystint.stream import End, Image, SeriesKey, encode_end, encode_frame, encode_image, encode_start  # noqa: E402
from tests.online.streams import start_of  # noqa: E402
from tests.page.conftest import ARGUMENTS, CHROMIUM  # noqa: E402
from tests.page.serving import Served, served_service  # noqa: E402

FOLDER = ROOT / "docs" / "images"
SIZE = {"width": 1440, "height": 860}
COLOURS = 128
SHAPE = (1024, 1062)


def crystal(
    intensity: float, frames: int, rotation: float | None = None, seed: int = 5, ice: float = 5.0
) -> Simulation:
    """Stills, or a rotation, of a crystal with ice on it, on a detector of modules."""
    return simulate(
        SHAPE,
        frames,
        dtype="uint16",
        background=9.0,
        falloff=2.0,
        rings=ice_rings(ice),
        peaks=Lattice(cell=(38.0, 38.0, 78.0), mosaicity=0.0018, b_factor=24.0, d_min=1.8, rotation=rotation),
        intensity=intensity,
        width=0.8,
        modules=(195, 256),
        dead=200,
        hot=40,
        saturation=60000,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class Series:
    """What is sent, and what is said of it."""

    name: str
    frames: NDArray[np.uint16]
    """uint16 [n, slow, fast]"""
    grid: dict[str, Any] | None = None
    more: dict[str, Any] | None = None


def serial() -> Series:
    """Crystals of a jet: a third of the images are hits."""
    rng = np.random.default_rng(1)
    hits = np.concatenate(
        [crystal(strength, 5, seed=seed).frames for seed, strength in enumerate((9000.0, 4000.0, 1500.0))]
    )
    blanks = crystal(1e-3, 4, seed=9).frames
    drawn = [
        hits[rng.integers(len(hits))] if rng.random() < 0.35 else blanks[rng.integers(len(blanks))] for _ in range(90)
    ]
    return Series("lysozyme_jet", np.stack(drawn))


def grid() -> Series:
    """A loop with a large and a small crystal, line by line and back."""
    rows, columns = 8, 12
    levels = [crystal(strength, 2, seed=3).frames for strength in (1e-3, 600.0, 1500.0, 4000.0, 9000.0)]
    y, x = np.indices((rows, columns))
    strength = np.exp(-(((x - 4) / 1.9) ** 2 + ((y - 3.2) / 1.4) ** 2)) + 0.55 * np.exp(
        -(((x - 9) / 1.1) ** 2 + ((y - 5) / 1.0) ** 2)
    )
    level = np.digitize(strength, (0.06, 0.2, 0.45, 0.75))
    level[1::2] = level[1::2, ::-1]
    frames = np.stack([levels[each][number % 2] for number, each in enumerate(level.ravel())])
    return Series(
        "loop_7", frames, {"n_fast": columns, "n_slow": rows, "step_x_um": 20.0, "step_y_um": 20.0, "snake": True}
    )


def rotation() -> Series:
    """Turned by half a degree from image to image, through a thick and a thin side of the crystal."""
    turned = [
        crystal(3000.0 + 5000.0 * np.cos(np.pi * part / 4) ** 2, 48, np.deg2rad(0.5), seed=2)[part]
        for part in range(48)
    ]
    return Series("thaumatin_1", np.stack(turned), more={"goniometer": {"omega": (0.0, 0.5)}})


def alignment() -> Series:
    """The beam comes into the middle of a region."""
    slow, fast = np.indices(SHAPE)
    base = crystal(1e-3, 1, seed=9, ice=0.5)
    rng = np.random.default_rng(4)
    frames = []
    for number in range(40):
        far = 1 - np.exp(-number / 9)
        spot = 90 * np.exp(-((slow - 360 - 150 * far) ** 2 + (fast - 700 - 160 * far) ** 2) / 900)
        frames.append((base[0] + rng.poisson(spot)).astype(np.uint16))
    return Series("alignment", np.stack(frames))


REGIONS = (
    Roi.circle("target", center=(512.0, 860.0), radius=60.0),
    Roi.box("low_order", slow=(430, 600), fast=(430, 610)),
    Roi.azimuthal("ice_ring", q_min=1.66, q_max=1.74),
)


@dataclass(frozen=True)
class Picture:
    """A view of the page."""

    series: Callable[[], Series]
    fragment: str
    image: int | None = None
    """None = one with many spots"""
    dark: bool = False
    steps: Callable[[Any], None] | None = None


def _palette(page: Any) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("panel")


PICTURES = {
    "serial": Picture(serial, "layout=serial&overlays=spots,saturated,beam,ice,values"),
    "grid": Picture(grid, "layout=grid-scan"),
    "rotation": Picture(rotation, "layout=rotation&overlays=spots,rings,beam,values"),
    "alignment": Picture(alignment, "layout=alignment&roi=target&overlays=beam,regions", 39),
    "files": Picture(serial, "layout=files"),
    "dark": Picture(serial, "layout=serial&overlays=spots,saturated,beam,ice,values", dark=True),
    "significance": Picture(serial, "layout=serial&layer=significance&overlays=spots,beam"),
    "commands": Picture(serial, "layout=serial", steps=_palette),
}


@contextmanager
def serving() -> Iterator[Served]:
    """A service with a ring for all images of a series."""
    with tempfile.TemporaryDirectory() as folder:
        root, state = Path(folder, "data"), Path(folder, "state")
        root.mkdir()
        settings = AnalysisSettings(rings=300, hit_peaks=10)
        with served_service(settings, data_root=root, state=state, ring=2**29) as served:
            yield served


def send(served: Served, series: Series, number: int) -> str:
    """Send it; its key."""
    if series.grid is not None:
        answer = served.ask("POST", "/api/v1/start", json={"grid": series.grid})
        assert answer.status_code == 200, answer.text
    key = SeriesKey(number, series.name)
    start = start_of(series.frames, key, geometry=crystal(1.0, 1).geometry, **(series.more or {}))
    began = time.time_ns()
    messages = [encode_start(start)]
    for image, frame in enumerate(series.frames):
        packed = {"threshold_1": encode_frame(frame, "bslz4")}
        messages.append(encode_image(Image(key, image, packed, started=began + 100_000_000 * image)))
    for message in [*messages, encode_end(End(key))]:
        served.service.take(message)
    served.wait(key)
    return str(key)


def shrink(data: bytes, name: str) -> None:
    """Store a picture with few colours."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)
    print(f"{name}: {(FOLDER / name).stat().st_size / 1e3:.0f} kB")


def draw(served: Served, browser: Any, name: str, picture: Picture, key: str) -> None:
    """Open the page and keep what it shows."""
    number = picture.image
    if number is None:
        rows = served.json(f"/api/v1/results?series={quote(key, safe='')}&columns=frame,n_spots")["columns"]
        held = set(served.json(f"/api/v1/images?series={quote(key, safe='')}")["images"])
        number = sorted((spots, frame) for frame, spots in zip(rows["frame"], rows["n_spots"]) if frame in held)[-3][1]
    context = browser.new_context(viewport=SIZE, color_scheme="dark" if picture.dark else "light")
    page = context.new_page()
    page.on(
        "console", lambda message: print(f"{name}: {message.type}: {message.text}") if message.type != "log" else None
    )
    page.goto(f"{served.page}&series/{quote(key, safe='')}/image/{number}?{picture.fragment}")
    page.locator(".dv-dockview").first.wait_for()
    page.get_by_text(f"image {number}").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2500)
    if picture.steps is not None:
        picture.steps(page)
        page.wait_for_timeout(500)
    shrink(page.screenshot(), f"page-{name}.png")
    context.close()


def main() -> None:
    """Draw all of them, or those that are named."""
    from playwright.sync_api import sync_playwright

    names = sys.argv[1:] or list(PICTURES)
    FOLDER.mkdir(exist_ok=True)
    makers = dict.fromkeys(PICTURES[name].series for name in names)
    with serving() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        for number, maker in enumerate(makers, 1):
            if maker is alignment:
                answer = served.ask("PUT", "/api/v1/rois", json=Rois(REGIONS).to_dict())
                assert answer.status_code == 200, answer.text
            key = send(served, maker(), number)
            for name in names:
                if PICTURES[name].series is maker:
                    draw(served, browser, name, PICTURES[name], key)
        browser.close()


if __name__ == "__main__":
    main()
