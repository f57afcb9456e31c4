"""Layouts kept by the browser, by name on the server, in files, and those that the page comes with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.online.streams import frames_of
from tests.page.desk import choose, near, places, titles


@pytest.fixture(autouse=True, scope="module")
def _images(served: Any) -> None:
    served.send(frames_of(count=3))


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
