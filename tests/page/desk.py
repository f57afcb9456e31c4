"""What tests do with the panels of the page."""

from __future__ import annotations

from typing import Any

__all__ = ["choose", "command", "drag", "near", "places", "titles"]

PLACES = """() => [...document.querySelectorAll('.dv-groupview')].filter((x) => x.offsetWidth > 0).map((group) => {
  const box = group.getBoundingClientRect();
  const tabs = [...group.querySelectorAll('[role=tab]')];
  return {
    tabs: tabs.map((tab) => tab.textContent.trim()),
    front: tabs.findIndex((tab) => tab.getAttribute('aria-selected') === 'true'),
    box: [box.left, box.top, box.width, box.height].map(Math.round),
  };
}).sort((a, b) => a.box[1] - b.box[1] || a.box[0] - b.box[0])"""


def places(page: Any) -> Any:
    """Tabs and boxes of the groups, once they stand still."""
    before = page.evaluate(PLACES)
    while True:
        page.wait_for_timeout(100)
        now = page.evaluate(PLACES)
        if now == before:
            return now
        before = now


def titles(page: Any) -> list[str]:
    """Of all panels."""
    return sorted(tab for group in places(page) for tab in group["tabs"])


def choose(page: Any, menu: str, item: str) -> None:
    """Choose an item of a menu of the bar at the top."""
    page.locator("#top").get_by_role("button", name=menu, exact=True).click()
    page.get_by_role("menu").get_by_text(item, exact=True).click()


def command(page: Any, words: str) -> None:
    """Do what the palette has for some words, by keyboard."""
    page.keyboard.press("Control+k")
    page.locator("#palette-list").wait_for()
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.locator("#palette-list").wait_for(state="detached")


def drag(page: Any, start: Any, target: Any) -> None:
    """From the middle of a box to that of another one."""
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    for beside in (0, 3, 6):  # a place to drop is shown first, and taken then
        page.mouse.move(target["x"] + target["width"] / 2 + beside, target["y"] + target["height"] / 2, steps=4)
        page.wait_for_timeout(50)
    page.mouse.up()


def near(one: Any, other: Any, most: float = 3) -> bool:
    """Whether two layouts are the same but for some px."""
    if [(each["tabs"], each["front"]) for each in one] != [(each["tabs"], each["front"]) for each in other]:
        return False
    return all(abs(a - b) <= most for x, y in zip(one, other) for a, b in zip(x["box"], y["box"]))
