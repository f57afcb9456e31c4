"""The image of the page, for tests: what a person does with it, and what is drawn."""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
import pytest

from crystint.model.geometry import Geometry
from crystint.stream import SeriesKey
from tests.online.streams import frames_of

KEY = SeriesKey(3, "run")
SHAPE = (150, 170)
GEOMETRY = Geometry(SHAPE, (75e-6, 75e-6), 0.06, (71.3, 90.2), 1.0)
UNUSABLE, SATURATED = (190, 190, 194), (255, 0, 200)


def frames(count: int = 8, seed: int = 1) -> Any:
    """Frames with spots; image 3 has none; a column without measurements."""
    made = frames_of("u2", count, SHAPE, seed)
    made[3:4] = np.random.default_rng(2).poisson(2.0, SHAPE)
    made[:, :, 40:43] = 65535
    return made


class Image:
    """The image of a page, and what a person does with it."""

    def __init__(self, page: Any) -> None:
        self.page, self.area = page, page.locator(".image-area")
        self.area.wait_for()
        self._expect = pytest.importorskip("playwright.sync_api").expect

    def focus(self) -> None:
        self.area.focus()

    def press(self, *keys: str) -> None:
        self.focus()
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def number(self) -> int:
        return int(self.page.get_by_label("Number of the image").input_value() or -1)

    def wait_number(self, number: int) -> None:
        self._expect(self.page.locator(".image-number")).to_have_value(str(number), timeout=20_000)

    def status(self) -> str:
        return str(self.page.locator(".image-status").inner_text())

    def wait_status(self, words: str) -> None:
        self.page.locator(".image-status", has_text=re.compile(words)).wait_for()

    def _drawn(self) -> tuple[list[int], str]:
        """Size, and base64 of red, green and blue."""
        return self.page.evaluate(
            """() => {
                const canvas = document.querySelector('.image-canvas'), copy = document.createElement('canvas');
                copy.width = canvas.width;
                copy.height = canvas.height;
                const context = copy.getContext('2d', {willReadFrequently: true});
                context.drawImage(canvas, 0, 0);
                const {data} = context.getImageData(0, 0, copy.width, copy.height), bytes = [];
                for (let start = 0; start < data.length; start += 30000) {
                    const some = [];
                    const end = Math.min(start + 30000, data.length);
                    for (let i = start; i < end; i += 4) some.push(data[i], data[i + 1], data[i + 2]);
                    bytes.push(String.fromCharCode(...some));
                }
                return [[copy.height, copy.width], btoa(bytes.join(''))];
            }"""
        )  # fmt: skip

    def settled(self) -> tuple[list[int], str]:
        """Wait until the picture stays the same."""
        before: Any = None
        for _ in range(100):
            now = self._drawn()
            if now == before:
                return now
            before = now
            self.page.wait_for_timeout(200)
        raise AssertionError("the picture does not settle")

    def pixels(self) -> Any:
        """uint8 [y, x, 3] of what is drawn, one for a pixel of the screen."""
        size, data = self.settled()
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(*size, 3)

    def place(self, slow: float, fast: float, shape: tuple[int, int] = SHAPE) -> tuple[float, float]:
        """Where a position of the detector is on the canvas, when all of the image is shown."""
        box = self.area.bounding_box()
        zoom = min(box["width"] / (1.04 * shape[1]), box["height"] / (1.04 * shape[0]))
        x = box["width"] / 2 + (fast - shape[1] / 2) * zoom
        y = box["height"] / 2 + (slow - shape[0] / 2) * zoom
        return x, y

    def move(self, slow: float, fast: float) -> None:
        """The mouse, to the centre of a pixel."""
        box = self.area.bounding_box()
        x, y = self.place(slow + 0.5, fast + 0.5)
        self.page.mouse.move(box["x"] + x, box["y"] + y)

    def colors(self, shape: tuple[int, int] = SHAPE) -> Any:
        """uint8 [slow, fast, 3]: the colour in the middle of each pixel, when all of the image is shown."""
        drawn = self.pixels()
        slow, fast = np.mgrid[: shape[0], : shape[1]] + 0.5
        x, y = self.place(slow, fast, shape)
        return drawn[y.astype(int), x.astype(int)]

    def field(self, name: str) -> str:
        return str(self.page.locator(f'[data-field="{name}"]').inner_text())

    def wait_field(self, name: str, words: str) -> None:
        self.page.locator(f'[data-field="{name}"]', has_text=re.compile(words)).wait_for()

    def contrast(self) -> tuple[float, float]:
        self.settled()
        fields = [self.page.get_by_label(f"Value of the {end} colour") for end in ("first", "last")]
        for field in fields:
            self._expect(field).not_to_have_value("")
        low, high = (float(field.input_value()) for field in fields)
        return low, high

    def overlays(self, **wanted: bool) -> None:
        """Switch what is drawn over the image, by the sheet."""
        self.page.get_by_role("button", name="Overlays ▾").click()
        for name, on in wanted.items():
            box = self.page.locator(".image-sheet").get_by_label(name.replace("_", " "), exact=True)
            if box.is_checked() != on:
                box.click()
        self.page.keyboard.press("Escape")


NOTHING = {"spots": False, "mask": False, "beam_centre": False, "resolution_rings": False, "saturated_pixels": False}


def indigo(counts: Any, low: float, high: float) -> Any:
    """Expected colours: white to dark blue, in 255 steps of the root; the colour itself may be rounded either way."""
    step = np.floor(255.0 * np.sqrt(np.clip((counts.astype(float) - low) / (high - low), 0.0, 1.0)) + 0.5) / 255.0
    return 255.0 + step[..., None] * (np.array([40.0, 0.0, 110.0]) - 255.0)
