"""Writes the colour maps of the page, as Matplotlib has them: `python web/make_colors.py`."""

from __future__ import annotations

import base64
from pathlib import Path

import matplotlib
import numpy as np

MAPS = {"viridis": "viridis", "magma": "magma", "cividis": "cividis", "heat": "hot", "diverging": "RdBu_r"}


def table(name: str) -> bytes:
    """256 colours of red, green and blue."""
    colors = matplotlib.colormaps[MAPS[name]](np.arange(256))[:, :3]
    return np.rint(255.0 * colors).astype(np.uint8).tobytes()


if __name__ == "__main__":
    lines = [f'  {name}: "{base64.b64encode(table(name)).decode()}",' for name in MAPS]
    text = "\n".join([
        "/** Colour maps of Matplotlib: 256 times red, green, blue, in base64. Made by make_colors.py. */",
        "export const TABLES = {",
        *lines,
        "} as const;",
        "",
    ])  # fmt: skip
    (Path(__file__).parent / "src/image/color_tables.ts").write_text(text)
