"""Panels opened, moved, floated and closed by mouse, and all of it by keyboard alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.online.streams import frames_of
from tests.page.desk import choose, command, drag, near, places, titles
from tests.page.waiting import expect

FOCUSED = "() => document.activeElement.closest('[data-panel]')?.dataset.panel ?? null"


@pytest.fixture(autouse=True, scope="module")
def _images(served: Any) -> None:
    served.send(frames_of(count=3))


def test_a_layout_survives_a_reload(served, open_page):
    page = open_page(served)
    choose(page, "Layout", "Alignment")
    before = places(page)
    # a tab is dragged beside another one, then a border between groups is moved
    start = page.locator(".dv-tab", has_text="Regions").first.bounding_box()
    target = page.locator(".dv-tab", has_text="Status").first.bounding_box()
    drag(page, start, target)
    moved = places(page)
    assert moved != before
    sash = page.locator(".dv-sash.dv-enabled:visible").first.bounding_box()
    drag(page, sash, {**sash, "x": sash["x"] - 90, "y": sash["y"] - 90})
    sized = places(page)
    assert not near(sized, moved, 20)
    command(page, "let the panel float")
    floating = places(page)
    page.reload()
    page.locator(".dv-dockview").first.wait_for()
    assert near(places(page), floating)
    choose(page, "Layout", "Reset to the usual layout")
    assert not near(places(page), floating)


@pytest.mark.parametrize("preset", ["Serial", "Grid scan", "Rotation", "Alignment", "Files"])
def test_every_preset_shows_an_image_and_no_trouble(served, open_page, preset):
    page = open_page(served)
    choose(page, "Layout", preset)
    groups = places(page)
    assert any("Image" in group["tabs"] for group in groups)
    desk = page.locator("#desk").bounding_box()
    assert sum(group["box"][2] * group["box"][3] for group in groups) > 0.95 * desk["width"] * desk["height"]
    expect(page.locator(".messages")).to_have_attribute("data-loudness", "none")


def test_two_tabs_of_one_browser_have_a_layout_each(served, open_page):
    page = open_page(served)
    choose(page, "Layout", "Alignment")
    mine = places(page)
    other = page.context.new_page()
    other.set_viewport_size(page.viewport_size)
    other.goto(served.page)
    other.locator(".dv-dockview").first.wait_for()
    assert near(places(other), mine)  # a new tab begins with the layout of last time
    choose(other, "Layout", "Files")
    theirs = places(other)
    page.reload()
    page.locator(".dv-dockview").first.wait_for()
    assert near(places(page), mine)
    other.reload()
    other.locator(".dv-dockview").first.wait_for()
    assert near(places(other), theirs)
    other.close()


def test_everything_is_reached_by_keyboard(served, open_page):
    """Each panel opened, gone to, moved, maximised, floated and closed without a mouse."""
    page = open_page(served)
    command(page, "layout alignment")
    page.keyboard.press("Control+k")
    page.locator("#palette-list").wait_for()
    offers = page.locator("#palette-list [role=option]").all_inner_texts()
    page.keyboard.press("Escape")
    kinds = [match[1] for each in offers if (match := re.search(r"(?:Open|Another) (.+)", each))]
    assert len(kinds) >= 3
    for title in kinds:
        command(page, f"panel open {title}" if f"Open {title}" in " ".join(offers) else f"panel another {title}")
        assert page.evaluate(FOCUSED) is not None, title
    # round all that are seen, there and back
    groups = len(places(page))
    there = []
    for _ in range(groups):
        page.keyboard.press("F6")
        there.append(
            page.evaluate(
                "() => document.activeElement.closest('.dv-groupview')?.querySelector('.dv-active-tab')?.textContent"
            )
        )
    assert len(there) == groups
    assert None not in there
    for expected in reversed(there[:-1]):
        page.keyboard.press("Shift+F6")
        tab = "() => document.activeElement.closest('.dv-groupview').querySelector('.dv-active-tab').textContent"
        assert page.evaluate(tab) == expected
    page.keyboard.press("1")
    first = page.evaluate("() => document.activeElement.closest('.dv-groupview').getBoundingClientRect().toJSON()")
    desk = page.locator("#desk").bounding_box()
    assert abs(first["left"] - desk["x"]) < 3
    assert abs(first["top"] - desk["y"]) < 3
    # as large as the page, and back
    before = places(page)
    page.keyboard.press("F9")
    assert len(places(page)) == 1
    page.keyboard.press("F9")
    assert near(places(page), before)
    # floating, and back
    page.keyboard.press("Shift+F9")
    assert len(places(page)) >= len(before)
    page.keyboard.press("Shift+F9")
    page.keyboard.press("Control+Shift+ArrowRight")
    page.keyboard.press("Control+Shift+ArrowLeft")
    assert titles(page) == sorted(tab for group in before for tab in group["tabs"])
    # the menus of the bar at the top
    page.locator("#top").get_by_role("button", name="Panels").focus()
    page.keyboard.press("Enter")
    page.get_by_role("menu").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.textContent").startswith("Panels")
    # all closed, and one again from the empty desk
    for _ in range(100):
        if not titles(page):
            break
        command(page, "close panel")
    assert titles(page) == []
    page.get_by_text("No panel is open.").wait_for()
    page.get_by_role("button", name="Image", exact=True).focus()
    page.keyboard.press("Enter")
    assert titles(page) == ["Image"]


def test_a_panel_is_made_when_it_is_seen(served, open_page):
    page = open_page(served)
    command(page, "layout alignment")
    places(page)
    made = "() => [...document.querySelectorAll('[data-panel]')].filter((each) => each.childElementCount > 0).length"
    seen = len([group for group in places(page) if group["tabs"]])
    assert page.evaluate(made) == seen
    assert len(titles(page)) > seen
