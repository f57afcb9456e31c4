"""The address has what is shown: F5 loses nothing, links open the same, back and forward work."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.online.streams import frames_of
from tests.page.desk import choose
from tests.page.waiting import expect

LOOK = "layer=significance&scale=log&color=viridis&levels=1:9&overlays=spots,rings&rings=3.67&layout=alignment"


@pytest.fixture(scope="module")
def key(served: Any) -> str:
    served.send(frames_of(count=5))
    return quote(served.json("/api/v1/series")[0]["series"], safe="")


def place(page: Any) -> str:
    return page.locator("#top .place").inner_text().replace("\n", " ")


def fragment(page: Any) -> str:
    return page.evaluate("() => location.hash")


def test_a_link_opens_what_was_shown_and_so_does_f5(served, open_page, key):
    page = open_page(served, f"series/{key}/image/3?part=10:60,20:90.5&{LOOK}")
    page.get_by_text("image 3").first.wait_for()
    # the panel shows that part as large as fits, and says so
    page.wait_for_function("() => !location.hash.includes('part=10:60,20:90.5')")
    page.wait_for_timeout(600)
    shown = fragment(page)
    assert shown.startswith(f"#series/{key}/image/3?")
    for part in LOOK.split("&"):
        assert part in shown
    # of the shape of the panel, and the part that was asked for as large as fits
    slow0, slow1, fast0, fast1 = (
        float(each) for each in re.search(r"part=([^&]+)", shown)[1].replace(",", ":").split(":")
    )
    assert max(slow0 - 10, 60 - slow1, fast0 - 20, 90.5 - fast1) < 0.02
    assert min((slow1 - slow0) / 50, (fast1 - fast0) / 70.5) == pytest.approx(1, abs=0.02)
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    page.reload()
    page.get_by_text("image 3").first.wait_for()
    page.wait_for_timeout(600)
    assert fragment(page) == shown
    # somebody else, in a browser of his own
    other = open_page(served, shown[1:])
    other.get_by_text("image 3").first.wait_for()
    other.wait_for_timeout(600)
    assert fragment(other) == shown


def test_back_and_forward(served, open_page, key):
    page = open_page(served, f"series/{key}/image/1")
    page.get_by_text("image 1").first.wait_for()
    page.wait_for_timeout(1600)
    page.evaluate(f"() => {{ location.hash = '#series/{key}/image/4' }}")
    page.get_by_text("image 4").first.wait_for()
    page.go_back()
    page.get_by_text("image 1").first.wait_for()
    page.go_forward()
    page.get_by_text("image 4").first.wait_for()
    assert fragment(page).startswith(f"#series/{key}/image/4")


def test_a_layout_of_a_link_is_in_the_address(served, open_page):
    page = open_page(served)
    choose(page, "Layout", "Rotation")
    page.wait_for_function("() => location.hash.includes('layout=rotation')")
    choose(page, "Layout", "Serial")  # the usual one, which the address need not have
    page.wait_for_function("() => !location.hash.includes('layout')")


def test_what_is_wrong_in_a_link_is_told_and_the_rest_is_shown(served, open_page, key):
    page = open_page(served, f"series/{key}/image/2?layer=rays&scale=log")
    page.get_by_text("The address was not understood in one part: layer=rays").first.wait_for()
    page.get_by_text("image 2").first.wait_for()
    page.wait_for_function("() => location.hash.includes('scale=log') && !location.hash.includes('layer')")
