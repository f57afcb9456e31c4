"""The frame of the page: files of the page, colours, keys, messages, names of controls."""

from __future__ import annotations

import re

import pytest

from crystint.online.page import page_files
from tests.page.region_screen import eventually
from tests.page.waiting import expect

CONTROLS = {
    "button", "checkbox", "combobox", "link", "listbox", "menuitem", "menuitemcheckbox", "menuitemradio", "option",
    "radio", "searchbox", "slider", "spinbutton", "switch", "tab", "textbox", "treeitem",
}  # fmt: skip


def test_light_and_dark(served, open_page):
    page = open_page(served, color_scheme="dark")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Colours").click()
    page.get_by_role("menuitemradio", name="Light").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    page.locator(".dv-dockview").first.wait_for()
    eventually(lambda: page.evaluate(ground), light)
    page.get_by_role("button", name="Colours").click()
    page.get_by_role("menuitemradio", name="As the system").click()
    eventually(lambda: page.evaluate(ground), dark)
    page.emulate_media(color_scheme="light")
    eventually(lambda: page.evaluate(ground), light)


def test_all_keys_are_told_and_commands_are_searched(served, open_page):
    page = open_page(served)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys of the page")
    dialog.wait_for()
    expect(dialog).to_contain_text("go to the next panel", use_inner_text=True)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.keyboard.press("Control+k")
    search = page.get_by_role("combobox", name="Search for a command")
    search.wait_for()
    page.keyboard.type("colours dark")
    expect(page.locator("#palette-list [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    search.wait_for(state="detached")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_messages_cover_nothing_and_errors_stay(served, open_page):
    page = open_page(served, "?layer=rays&zoom=%3Cimg%20src=x%20onerror=alert(1)%3E&part=1:2")
    more = page.get_by_role("button", name=re.compile("3 messages"))
    more.wait_for()
    more.click()
    sheet = page.get_by_role("region", name="Messages")
    expect(sheet.locator("img")).to_have_count(0)
    for part in ("layer=rays", "<img", "part=1:2"):
        assert part in sheet.inner_text() or "%3Cimg" in sheet.inner_text()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    bar, desk = page.locator("#bottom").bounding_box(), page.locator("#desk").bounding_box()
    assert desk["y"] + desk["height"] <= bar["y"] + 0.5


@pytest.mark.parametrize("fragment", [None, "?layout=grid-scan", "?layout=alignment", "?layout=files"])
def test_every_control_has_a_name(served, open_page, fragment):
    page = open_page(served, fragment)
    page.get_by_text("idle").first.wait_for()
    page.wait_for_timeout(500)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
    assert len(controls) > 8
    nameless = [node for node in controls if not node.get("name", {}).get("value", "").strip()]
    described = []
    for node in nameless:
        html = session.send("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]})["node"]
        described.append(f"{node['role']['value']}: <{html['localName']} {' '.join(html.get('attributes', []))}>")
    assert described == []


def test_files_are_sent_packed_and_kept_by_the_browser(served):
    for name in page_files():
        path = "/" if name == "index.html" else f"/static/{name}"
        plain = served.ask("GET", path, headers={"Accept-Encoding": "identity"})
        packed = served.ask("GET", path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert ("immutable" in plain.headers["cache-control"]) == (name != "index.html")
        assert "script-src 'self'" in plain.headers["content-security-policy"]
    for wrong in ("/static/../page.py", "/static/index.html", "/static/main-000000000000.js", "/static/%2e%2e/page.py"):
        assert served.ask("GET", wrong).status_code == 404
