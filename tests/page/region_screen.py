"""The image on a page, places of the detector on its screen, and the regions of the service."""

from __future__ import annotations

import time
from typing import Any

import crystint
from tests.online.streams import frames_of

SHAPE = (150, 170)
FRAMES = frames_of(count=8)


class Screen:
    """A page with the image on it, and places of the detector on its screen."""

    def __init__(self, page: Any, served: Any) -> None:
        self.page, self.served = page, served
        page.locator(".image-area").wait_for()
        page.locator(".dv-tab", has_text="Regions").first.click()
        page.get_by_role("grid", name="Regions").wait_for()
        # the picture is as large as fits, with 2 % round it
        page.locator(".image-area").focus()
        page.keyboard.press("0")
        # with the picture come the ends of its colours
        ends = page.locator(".contrast-number")
        eventually(lambda: ends.count() == 2 and all(ends.nth(number).input_value() for number in range(2)))

    def at(self, slow: float, fast: float) -> tuple[float, float]:
        """x, y of px of the detector."""
        box = self.page.locator(".image-area").bounding_box()
        zoom = min(box["width"] / (1.04 * SHAPE[1]), box["height"] / (1.04 * SHAPE[0]))
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return x + (fast - SHAPE[1] / 2) * zoom, y + (slow - SHAPE[0] / 2) * zoom

    @property
    def pixel(self) -> float:
        """px of the detector that a px of the screen is"""
        a, b = self.at(0, 0), self.at(0, 1)
        return 1.0 / (b[0] - a[0])

    def press(self, slow: float, fast: float) -> None:
        self.page.mouse.move(*self.at(slow, fast))
        self.page.mouse.down()

    def drag(self, *places: tuple[float, float]) -> None:
        """Press at the first place, over the others, release at the last."""
        self.press(*places[0])
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=4)
        self.page.mouse.up()

    def click(self, slow: float, fast: float) -> None:
        self.page.mouse.click(*self.at(slow, fast))

    def key(self, key: str) -> None:
        self.page.locator(".image-area").focus()
        self.page.keyboard.press(key)

    def row(self, name: str) -> Any:
        return self.page.locator(f"tr[data-region='{name}']")

    def select(self, name: str) -> None:
        self.row(name).click()
        self.page.locator("#region-name").wait_for()

    def type(self, label: str, value: str) -> None:
        """A number of the selected region."""
        field = self.page.get_by_role("region", name="Selected region").get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")


def eventually(question: Any, expected: Any = True) -> Any:
    """The answer, once it is the expected one."""
    until = time.monotonic() + 20
    answer = question()
    while answer != expected and time.monotonic() < until:
        time.sleep(0.05)
        answer = question()
    assert answer == expected
    return answer


def rois(served: Any) -> list[dict[str, Any]]:
    regions: list[dict[str, Any]] = served.json("/api/v1/rois")["document"]["rois"]
    return regions


def names(served: Any) -> list[str]:
    return [region["name"] for region in rois(served)]


def put(served: Any, *regions: crystint.Roi) -> None:
    document = crystint.Rois(regions).to_dict()
    answer = served.ask("PUT", "/api/v1/rois", json=document)
    assert answer.status_code == 200, answer.text
