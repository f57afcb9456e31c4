"""Panels and layouts: opened, moved, kept and shared by mouse, and all of it by keyboard alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

PLACES = """() => [...document.querySelectorAll('.dv-groupview')].filter((x) => x.offsetWidth > 0).map((group) => {
  const box = group.getBoundingClientRect();
  const tabs = [...group.querySelectorAll('[role=tab]')];
  return {
    tabs: tabs.map((tab) => tab.textContent.trim()),
    front: tabs.findIndex((tab) => tab.getAttribute('aria-selected') === 'true'),
    box: [box.left, box.top, box.width, box.height].map(Math.round),
  };
}).sort((a, b) => a.box[1] - b.box[1] || a.box[0] - b.box[0])"""
FOCUSED = "() => document.activeElement.closest('[data-panel]')?.dataset.panel ?? null"


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


def test_a_layout_survives_a_reload(served, open_page):
    page = open_page(served)
    choose(page, "Layout", "Alignment")
    before = places(page)
    # a tab is dragged beside another one, then a border between groups is moved
    start = page.locator(".dv-tab", has_text="Image").first.bounding_box()
    target = page.locator(".dv-tab", has_text="Regions").first.bounding_box()
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


def test_panels_of_another_version_are_left_out_and_told(served, open_page):
    page = open_page(served)
    choose(page, "Layout", "Alignment")
    before = titles(page)
    page.wait_for_timeout(600)
    page.evaluate(
        """() => {
          addEventListener('pagehide', (event) => event.stopImmediatePropagation(), true);
          const stored = JSON.parse(sessionStorage.getItem('crystint.layout'));
          stored.layout.dock.panels['image-1'].contentComponent = 'hologram';
          sessionStorage.setItem('crystint.layout', JSON.stringify(stored));
        }"""
    )
    changed = page.evaluate("() => sessionStorage.getItem('crystint.layout')")
    fresh = page.context.new_page()
    fresh.add_init_script(
        f"sessionStorage.getItem('begun') || sessionStorage.setItem('crystint.layout', {json.dumps(changed)});"
    )
    fresh.goto(served.page)
    fresh.locator(".dv-dockview").first.wait_for()
    fresh.get_by_text("left out: hologram").first.wait_for()
    assert titles(fresh) == sorted(set(before) - {"Image"})
    fresh.close()


def test_layouts_by_name_are_on_the_server(served, open_page):
    page = open_page(served)
    choose(page, "Layout", "Alignment")
    before = places(page)
    choose(page, "Layout", "Save as…")
    dialog = page.get_by_role("dialog", name="Save the layout on the server")
    for wrong in ("two words", "serial", "<b>"):
        dialog.get_by_label("Name").fill(wrong)
        page.keyboard.press("Enter")
        assert dialog.locator(".trouble").inner_text() != ""
    dialog.get_by_label("Name").fill("morning")
    page.keyboard.press("Enter")
    page.get_by_text("The layout is on the server as morning.").first.wait_for()
    assert served.json("/api/v1/layouts/morning")["crystint"] == "layout"

    choose(page, "Layout", "Serial")
    assert not near(places(page), before)
    other = open_page(served, "?layout=morning")
    other.wait_for_function("() => document.querySelectorAll('[role=tab]').length > 0")
    assert near(places(other), before)
    choose(page, "Layout", "morning")
    assert near(places(page), before)

    choose(page, "Layout", "Rename morning…")
    page.get_by_role("dialog").get_by_label("Name").fill("evening")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("() => location.hash.includes('layout=evening')")
    assert [each["name"] for each in served.json("/api/v1/layouts")["layouts"]] == ["evening"]
    choose(page, "Layout", "Delete evening…")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("() => !location.hash.includes('layout=evening')")
    assert served.json("/api/v1/layouts")["layouts"] == []


def test_a_layout_that_is_not_there_is_told(served, open_page):
    page = open_page(served, "?layout=nowhere", allowed=("404",))
    page.get_by_text("The layout nowhere cannot be shown").first.wait_for()
    assert "Image" in titles(page)


def test_layouts_are_saved_to_and_read_from_files(served, open_page, tmp_path):
    page = open_page(served)
    choose(page, "Layout", "Alignment")
    before = places(page)
    with page.expect_download() as saved:
        choose(page, "Layout", "Save as a file")
    path = tmp_path / saved.value.suggested_filename
    saved.value.save_as(path)
    choose(page, "Layout", "Serial")
    for content, works in ((path.read_text(), True), ("{}", False), ("not JSON", False)):
        path.write_text(content)
        with page.expect_file_chooser() as chooser:
            choose(page, "Layout", "Open a file…")
        chooser.value.set_files(path)
        if not works:
            page.get_by_text("cannot be shown").first.wait_for()
        else:
            page.wait_for_function("() => !location.hash.includes('layout=')")
        assert near(places(page), before)


@pytest.mark.parametrize("preset", ["Serial", "Grid scan", "Rotation", "Alignment", "Files"])
def test_every_preset_shows_an_image_and_no_trouble(served, open_page, preset):
    page = open_page(served)
    choose(page, "Layout", preset)
    groups = places(page)
    assert any("Image" in group["tabs"] for group in groups)
    desk = page.locator("#desk").bounding_box()
    assert sum(group["box"][2] * group["box"][3] for group in groups) > 0.95 * desk["width"] * desk["height"]
    assert page.locator(".messages").get_attribute("data-loudness") == "none"


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
